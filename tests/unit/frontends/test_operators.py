"""Every supported operator, through both torch front ends, against torch itself."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy import passes
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.ir import interp, levels
from neurodeploy.ir.graph import Graph
from tests.fast import fast
from tests.later import modules, torch, torch_export, torch_fx
from tests.unit.frontends.functions import FUNCTIONS, SHAPE, module


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


def _raw(samples: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 17, (samples, *SHAPE))


def _expected(network: torch.nn.Module, raw: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network(torch.tensor(raw, dtype=torch.float64) * 0.0625 - 0.5).numpy()


def _close(graph: Graph, network: torch.nn.Module) -> None:
    raw = _raw()
    assert not levels.verify(graph, "source")
    found = interp.run(graph, raw, timesteps=1).outputs[-1]
    expected = _expected(network, raw)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_fx_equals_torch_before_and_after_passes(name: str) -> None:
    network = module(name)
    graph = torch_fx.import_module(network, InputSpec(SHAPE, 0.0625, -0.5))
    _close(graph, network)
    _close(passes.simplify(graph), network)


@pytest.mark.parametrize("name", fast(FUNCTIONS, *sorted(FUNCTIONS)[::3]))
def test_export_equals_torch_before_and_after_passes(name: str) -> None:
    network = module(name)
    graph = torch_export.import_module(network, InputSpec(SHAPE, 0.0625, -0.5))
    _close(graph, network)
    _close(passes.simplify(graph), network)


@pytest.mark.needs("einops")
@pytest.mark.parametrize("front_end", [torch_fx, torch_export])
def test_einops_takes_what_is_traced(front_end: object) -> None:
    import einops

    def function(s: modules.Apply, x: torch.Tensor) -> torch.Tensor:
        heads = einops.rearrange(x, "b (h c) y x -> b h (y x) c", h=2)
        mixed = einops.einsum(heads, heads, "b h n c, b h m c -> b h n m")
        pooled = einops.reduce(mixed, "b h (y 2) m -> b y h m", "max")
        return einops.repeat(pooled.mean(-1), "b y h -> b (h r) y", r=3)

    network = modules.Apply(function).double().eval()
    _close(front_end.import_module(network, InputSpec(SHAPE, 0.0625, -0.5)), network)
