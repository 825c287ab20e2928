"""Passes on networks that remember inside a sample: delayed and recurrent synapses keep their meaning.

Every case is one where a rule for synapses without delay would change it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from neurodeploy.ir import interp, levels, shapes
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.nodes import Const, Input, Neuron, Node, Output, Sum, Synapse, View
from neurodeploy.ir.types import Shape, Value
from neurodeploy.passes import PASSES, simplify

RNG = np.random.default_rng(0)
TICKS = 6
LIF = {"beta": 0.5, "gain": 1.0, "threshold": 0.6}


def graph(*nodes: tuple[Node, str, tuple[int, ...]]) -> Graph:
    """Nodes with roles and sizes, behind an Input of four channels, in front of an Output of the last one."""
    b = Builder(Header("net", "source", TICKS))
    b.add(Input(name="x", per_tick=True), Value(Shape(("C",), (4,))))
    for node, roles, sizes in nodes:
        b.add(node, Value(Shape(tuple(roles), sizes)))
    last, roles, sizes = nodes[-1]
    b.add(Output(name="out", inputs=(last.name,), readout="last"), Value(Shape(tuple(roles), sizes)))
    return b.build()


def dense(
    name: str, source: str, outputs: int = 4, inputs: int = 4, **facts: object
) -> tuple[Node, str, tuple]:
    weight = facts.pop("weight", RNG.normal(size=(outputs, inputs)))
    return Synapse(name=name, inputs=(source,), weight=weight, **facts), "C", (outputs,)


def diagonal(name: str, source: str, **facts: object) -> tuple[Node, str, tuple]:
    return dense(name, source, weight=np.diag(RNG.normal(size=4)), **facts)


def neuron(
    name: str, source: str, roles: str = "C", sizes: tuple[int, ...] = (4,)
) -> tuple[Node, str, tuple]:
    return Neuron(name=name, inputs=(source,), model="lif", params=LIF), roles, sizes


def view(name: str, source: str, op: str, args: tuple, roles: str, sizes: tuple) -> tuple[Node, str, tuple]:
    return View(name=name, inputs=(source,), op=op, args=args), roles, sizes


def channels_first() -> Graph:
    """A view that sink_views would move behind a neuron that feeds back."""
    back, _, _ = dense("back", "n", weight=RNG.normal(size=(3, 3)), delay=1)
    return graph(
        dense("w", "x", 6),
        (back, "CX", (2, 3)),
        view("flat", "back", "reshape", (6,), "C", (6,)),
        (Sum(name="sum", inputs=("w", "flat"), signs=(1, 1)), "C", (6,)),
        view("turned", "sum", "reshape", (2, 3), "CX", (2, 3)),
        neuron("n", "turned", "CX", (2, 3)),
    )


CASES: dict[str, Callable[[], Graph]] = {
    "a factor that waits, behind a layer": lambda: graph(dense("w", "x"), diagonal("d", "w", delay=2)),
    "a factor that waits, before a layer": lambda: graph(diagonal("d", "x", delay=2), dense("w", "d")),
    "an offset before a layer that waits": lambda: graph(
        diagonal("d", "x", bias=RNG.normal(size=4)), dense("w", "d", delay=2)
    ),
    "a factor before a layer that waits": lambda: graph(diagonal("d", "x"), dense("w", "d", delay=1)),
    "a constant before a layer that waits": lambda: graph(
        (Const(name="c", value=RNG.normal(size=4)), "C", (4,)),
        (Sum(name="sum", inputs=("x", "c"), signs=(1, 1)), "C", (4,)),
        dense("w", "sum", delay=2),
    ),
    "a constant behind a layer that waits": lambda: graph(
        dense("w", "x", delay=2),
        (Const(name="c", value=RNG.normal(size=4)), "C", (4,)),
        (Sum(name="sum", inputs=("w", "c"), signs=(1, 1)), "C", (4,)),
    ),
    "parts of a layer with delays of its own": lambda: graph(
        dense("w", "x", 6, delay=RNG.integers(0, 4, (6, 4))),
        view("a", "w", "slice", (0, 0, 3, 1), "C", (3,)),
        view("b", "w", "slice", (0, 3, 6, 1), "C", (3,)),
        (Sum(name="sum", inputs=("a", "b"), signs=(1, -1)), "C", (3,)),
    ),
    "a layer that feeds back": lambda: graph(
        dense("w", "x"), dense("back", "n", delay=1),
        (Sum(name="sum", inputs=("w", "back"), signs=(1, 1)), "C", (4,)), neuron("n", "sum"),
    ),
    "a factor that feeds back": lambda: graph(
        dense("w", "x"), diagonal("back", "n", delay=1),
        (Sum(name="sum", inputs=("w", "back"), signs=(1, 1)), "C", (4,)), neuron("n", "sum"),
    ),
    "a neuron behind a view feeds back": channels_first,
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("function", [*PASSES.values(), simplify], ids=lambda f: f.__name__)
def test_networks_with_memory_keep_their_meaning(function: Callable[[Graph], Graph], name: str) -> None:
    before = CASES[name]()
    after = function(before)
    x = np.random.default_rng(1).integers(0, 3, (3, TICKS, 4))
    np.testing.assert_allclose(interp.run(after, x).outputs, interp.run(before, x).outputs, atol=1e-12)
    assert not shapes.problems(after) and not levels.verify(after, "source")


def test_a_factor_before_a_layer_that_waits_is_folded() -> None:
    assert len(simplify(CASES["a factor before a layer that waits"]()).of(Synapse)) == 1
