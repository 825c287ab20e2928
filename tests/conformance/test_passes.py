"""Every pass keeps the meaning of every network it meets, and what readers rely on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from neurodeploy import passes
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.ir import interp, levels
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Const
from tests.later import torch, torch_export, torch_fx
from tests.unit.frontends.functions import FUNCTIONS, SHAPE, module
from tests.unit.frontends.test_imported_models import random_network

TICKS = 3


def _vit(**arguments: object) -> Callable[[], Graph]:
    return lambda: torch_export.import_module(
        random_network("digits-vit", **arguments), InputSpec((1, 8, 8), 1 / 16)
    )


def _a2os2a(**arguments: object) -> Callable[[], Graph]:
    network = lambda: random_network("digits-a2os2a", **arguments)
    return lambda: torch_fx.import_module(network(), InputSpec((1, 8, 8), 1 / 16, timesteps=TICKS))


def _operator(name: str) -> Callable[[], Graph]:
    return lambda: torch_fx.import_module(module(name), InputSpec(SHAPE, 1 / 16, -0.3, timesteps=TICKS))


NETWORKS: dict[str, Callable[[], Graph]] = {
    "vit": _vit(),
    "vit with mean": _vit(pool="mean", depth=1),
    "a2os2a": _a2os2a(depth=1),
    **{name: _operator(name) for name in FUNCTIONS},
}
#: every pass on whole networks, and all of them together on every operator
CASES = [
    (function, name)
    for function in (*passes.PASSES.values(), passes.simplify)
    for name in NETWORKS
    if name not in FUNCTIONS or function is passes.simplify
]
cases = pytest.mark.parametrize(
    ("function", "name"), CASES, ids=[f"{f.__name__}-{name}" for f, name in CASES]
)
_IMPORTED: dict[str, Graph] = {}


def network(name: str) -> Graph:
    """The imported graph, made once per process."""
    torch.set_num_threads(1)
    if name not in _IMPORTED:
        _IMPORTED[name] = NETWORKS[name]()
    return _IMPORTED[name]


def logits(graph: Graph) -> np.ndarray:
    raw = np.random.default_rng(2).integers(0, 17, (4, *graph.shape("input")))
    return interp.run(graph, raw, timesteps=TICKS).outputs


@cases
def test_pass_keeps_the_meaning(function: passes.Pass, name: str) -> None:
    before = network(name)
    frozen = before.content_hash()
    after = function(before)
    np.testing.assert_allclose(logits(after), logits(before), rtol=1e-9, atol=1e-9)
    assert before.content_hash() == frozen
    assert not levels.verify(after, "source")
    assert after.header == before.header
    assert (after.input.name, after.output.name) == ("input", "output")
    assert all(node.origin for node in after)


@cases
def test_pass_finds_nothing_more_the_second_time(function: passes.Pass, name: str) -> None:
    once = function(network(name))
    assert function(once).content_hash() == once.content_hash()


@pytest.mark.parametrize("name", NETWORKS)
def test_simplified_shapes_are_what_the_nodes_yield(name: str) -> None:
    graph = passes.simplify(network(name))
    raw = np.zeros((2, *graph.shape("input")), np.int64)
    names = [n.name for n in graph if not isinstance(n, Const)]
    values = interp.run(graph, raw, record=names, timesteps=1).values
    state: dict = {}
    tick = interp._Tick(graph, state, 1, False, {})
    env = dict(interp.evaluate_tick(tick, raw))
    for n in names:
        assert (
            np.broadcast_shapes(env[n].shape[1:], graph.shape(n)) == graph.shape(n) == values[n].shape[2:]
        ), n
