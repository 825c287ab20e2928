"""Full size with random weights: ViT-S/16 at 224 pixels and a 6-layer, 384-wide encoder, through every stage."""

from __future__ import annotations

import resource
import time

import numpy as np
import pytest

from neurodeploy import compare, passes, support
from neurodeploy.builds.imported import parameters
from neurodeploy.calibrate import measure
from neurodeploy.convert._base import METHODS
from neurodeploy.inputs import samples
from neurodeploy.inputs.fitting import with_range
from neurodeploy.ir import interp, levels
from neurodeploy.ir.nodes import Synapse
from neurodeploy.mapping.mapper import map_graph, prepared
from neurodeploy.program import Program
from neurodeploy.quantize import quantize
from neurodeploy.sources import resolve
from neurodeploy.target import load
from tests import transformers_small as small
from tests.later import torch


@pytest.mark.timeout(900)
@pytest.mark.slow
@pytest.mark.parametrize(
    ("factory", "millions"),
    [
        pytest.param("vit_s", 22.0, marks=pytest.mark.slow),
        pytest.param("minilm", 22.3, marks=pytest.mark.slow),
    ],
)
def test_import_convert_quantize_check_and_run(factory: str, millions: float) -> None:
    torch.set_num_threads(1)
    began = time.perf_counter()
    graph = passes.simplify(resolve.source_graph(resolve.resolve(f"py:tests.transformers_small:{factory}")))
    graph = graph if samples.tokens(graph) else with_range(graph, 255)
    assert parameters(graph) == pytest.approx(millions * 1e6, rel=0.03)
    raw = samples.Synthetic(graph).calibration(2)
    network = getattr(small, factory)()
    x = torch.tensor(raw.argmax(-1)) if samples.tokens(graph) else torch.tensor(raw, dtype=torch.float32)
    with torch.no_grad():
        expected = network(x).numpy()
    source = interp.run(graph, raw, timesteps=1).outputs[-1]
    np.testing.assert_allclose(source, expected, atol=2e-3 * np.abs(expected).max())
    method = METHODS["ecmt"]
    _, options = method.configure(
        {"base_scale": 0.3, "rule": "nearest", "softmax_base": None, "gelu_base": None}
    )
    spiking = method.rewrite(graph, options, raw[:1], 2)
    integer = quantize(spiking, measure(spiking, raw[:1]), lambda node: 8)
    seconds = time.perf_counter() - began
    assert not levels.verify(integer, "integer")
    trace, _ = compare.usable("cpu").run(Program(integer), raw[1:])
    near = compare.agreement(source[1:], trace.outputs[-1])
    assert near["cosine"] > 0.5, near
    place = load("loihi2")
    ready = prepared(integer, place)
    mapping = map_graph(ready, place, optimise="cores")
    assert (
        all(p.code.startswith("ND5") for p in mapping.problems) and not mapping.fits
    )  # one chip is too small
    rows = support.verdicts(ready, place, list(mapping.problems))
    assert len(rows) >= len(ready.of(Synapse))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\n{factory}: to integers {seconds:.0f} s, peak {peak:.2f} GB, {len(ready.nodes)} nodes, {near}")
    assert peak < 6
