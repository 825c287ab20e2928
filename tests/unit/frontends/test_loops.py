"""Neurons and feedback that a loop over ticks spells out: the graph of one tick equals the module, or is refused."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from neurodeploy import passes
from neurodeploy.errors import ImportModelError
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Neuron
from neurodeploy.sources import resolve
from tests.fast import fast
from tests.later import Later, torch

if TYPE_CHECKING:
    from neurodeploy.frontends.proof import prove
    from tests.unit.frontends import looped
else:
    looped, prove = Later("tests.unit.frontends.looped"), Later("neurodeploy.frontends.proof.prove")

SCALE, LEVELS, TICKS = 1 / 16, 16, 4
EQUAL = (
    "Soft",
    "Number",
    "Nothing",
    "Recorded",
    "Written",
    "Otherwise",
    "Compiled",
    "Begins",
    "Spikes",
    "Recurrent",
    "Late",
    "Layers",
    "Layerwise",
    "Frames",
    "Gates",
)
REFUSED = ("Refractory", "FromInput", "Membrane", "Forgetful", "Strong", "Biased")


def made(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return getattr(looped, name)(**options).eval()


def imported(model: Any, frames: bool = False) -> Graph:
    """The graph, compared with the model."""
    loaded = resolve.from_torch(model, InputSpec((1, 8, 8), SCALE, timesteps=TICKS, frames=frames))
    graph = passes.simplify(loaded.graph)
    assert loaded.reference is not None
    prove.prove(loaded.reference, loaded.graph, graph, (0, LEVELS))
    return graph


def said(model: Any, raw: np.ndarray) -> np.ndarray:
    """What a copy of the model says in double precision, the tensors that it makes included."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            return copy.deepcopy(model).double()(torch.tensor(raw * SCALE)).numpy()
    finally:
        torch.set_default_dtype(before)


def agrees(graph: Graph, model: Any) -> None:
    frames = (TICKS,) if graph.input.per_tick else ()
    raw = np.random.default_rng(0).integers(0, LEVELS + 1, (5, *frames, 1, 8, 8))
    populations = [node.name for node in graph.of(Neuron)]
    trace = interp.run(graph, raw, record=populations)
    np.testing.assert_allclose(trace.outputs[-1], said(model, raw), atol=1e-9)
    assert all(np.mean(trace.values[name] != 0) > 0.01 for name in populations)


@pytest.mark.parametrize(
    "name",
    fast(
        EQUAL,
        "Number",
        "Recorded",
        "Written",
        "Otherwise",
        "Compiled",
        "Spikes",
        "Recurrent",
        "Layerwise",
        "Gates",
    ),
)
def test_the_graph_of_one_tick_equals_the_loop(name: str) -> None:
    model = made(name)
    graph = imported(
        model, frames=name == "Gates"
    )  # without steps it takes data to say that it loops over time
    assert graph.header.timesteps == TICKS
    assert [node.model for node in graph.of(Neuron)] == looped.EQUAL[getattr(looped, name)]
    assert bool(graph.feedback) == (name in ("Recurrent", "Late"))
    agrees(graph, model)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), [("Layerwise", {"frames": True}), ("Soft", {"ticks": 2})])
def test_frames_and_few_ticks(name: str, options: dict[str, Any]) -> None:
    model = made(name, **options)
    graph = imported(model)
    assert (graph.input.per_tick, graph.header.timesteps) == (
        name == "Layerwise",
        options.get("ticks", TICKS),
    )
    agrees(graph, model)


@pytest.mark.parametrize("name", fast(REFUSED, "Refractory", "Biased"))
def test_what_no_neuron_does_is_refused(name: str) -> None:
    with pytest.raises(ImportModelError) as caught:
        imported(made(name))
    codes = {problem.code for problem in caught.value.problems}
    assert looped.REFUSED[getattr(looped, name)] in codes
    assert any("looped.py:" in problem.where for problem in caught.value.problems)


def test_every_kind_is_tried() -> None:
    assert tuple(kind.__name__ for kind in looped.EQUAL) == EQUAL
    assert tuple(kind.__name__ for kind in looped.REFUSED) == REFUSED
