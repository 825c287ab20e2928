"""Proven bounds: tight where a formula says what is reachable, clipped where a node saturates."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.ir import fixed, intervals
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Const, Micro, Neuron, Node, Product, Reduce, Sum, Synapse, View
from neurodeploy.ir.types import Interval, graded
from neurodeploy.microcode.rescale import MEMBER as RESCALE
from tests.tiny import chain


def found(graph: Graph, name: str) -> tuple[int, int]:
    interval = graph.values[name].interval
    assert interval is not None and interval.proven
    return interval.lo, interval.hi


CASES: list[tuple[Node, tuple[int, ...], tuple[int, int]]] = [
    (Synapse(name="n", inputs=("x",), weight=np.array([[2, -3]]), bias=np.array([5])), (1, 1), (-33, 47)),
    (Reduce(name="n", inputs=("x",), op="sum", axes=(0, 1)), (), (-20, 12)),
    (Reduce(name="n", inputs=("x",), op="max", axes=(1,)), (1,), (-10, 6)),
    (Sum(name="n", inputs=("x", "x"), signs=(1, -1)), (1, 2), (-16, 16)),
    (View(name="n", inputs=("x",), op="pad", args=(1, 0, 1)), (1, 3), (-10, 6)),
    (Const(name="n", value=np.array([[4, -9]])), (1, 2), (-9, 4)),
    (Product(name="n", inputs=("x", "x"), equation="ab,cb->ac", timing="instant"), (1, 1), (-120, 200)),
    (
        Micro(name="n", inputs=("x",), op="rescale", params=RESCALE.params(0.5, 4), timing="instant"),
        (1, 2),
        (-5, 3),
    ),
    (
        Micro(name="n", inputs=("x",), op="rescale", params=RESCALE.params(4.0, 4), timing="instant"),
        (1, 2),
        (-7, 7),
    ),
    (Neuron(name="n", inputs=("x",), model="lif", params={"du": 0, "dv": 0, "vth": 1}), (1, 2), (0, 1)),
]


@pytest.mark.parametrize(("node", "shape", "expected"), CASES, ids=lambda case: getattr(case, "kind", ""))
def test_bounds_are_the_reachable_ends(node: Node, shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    graph = chain((1, 2), (node, shape), reach=(-10, 6))
    assert found(graph, "n") == expected


def test_padding_of_a_convolution_is_known_to_be_zero() -> None:
    node = Synapse(name="n", inputs=("x",), weight=np.full((1, 1, 3, 3), -1), op="conv", padding=(1, 1))
    assert found(chain((1, 1, 1), (node, (1, 1, 1)), reach=(3, 5)), "n") == (-5, -3)


def test_readout_grows_with_ticks_and_last_does_not() -> None:
    node = View(name="n", inputs=("x",), op="reshape", args=(1,))
    assert found(chain((1,), (node, (1,)), reach=(-2, 3), ticks=4), "y") == (-8, 12)
    assert found(chain((1,), (node, (1,)), reach=(-2, 3), ticks=4, readout="last"), "y") == (-2, 3)


def test_compensated_product_is_bounded_by_the_difference_of_its_means() -> None:
    table = fixed.multipliers_of(1 / np.arange(1, 3))
    node = Product(name="n", inputs=("x", "x"), equation="a,a->a", timing="cumulative", rescale=table)
    # P(1) in [0, 9], P(2) in [0, 36], Y(2) in [0, 18]: differences from -9 to 18
    assert found(chain((1,), (node, (1,)), reach=(0, 3), ticks=2, bits={"n": 24}), "n") == (-9, 18)


def test_compensated_operator_is_bounded_by_t_times_its_range() -> None:
    node = Micro(name="n", inputs=("x",), op="rescale", params=RESCALE.params(1.0, 8), timing="cumulative")
    assert found(chain((1,), (node, (1,)), reach=(0, 5), ticks=3, bits={"n": 24}), "n") == (-10, 15)
    assert found(chain((1,), (node, (1,)), reach=(0, 5), ticks=3, bits={"n": 4}), "n") == (-7, 7)


def test_declared_code_bounds_a_population() -> None:
    node = Neuron(
        name="n", inputs=("x",), model="graded_relu", params={"multiplier": 1, "shift": 0, "limit": 15}
    )
    assert found(chain((1,), (node, (1,)), codes={"n": graded(15, signed=False)}), "n") == (0, 15)


def test_propagating_twice_changes_nothing() -> None:
    node = Micro(name="n", inputs=("x",), op="rescale", params=RESCALE.params(1.0, 8), timing="cumulative")
    once = chain((1,), (node, (1,)), reach=(0, 5), ticks=3, bits={"n": 24})
    assert intervals.propagate(once).content_hash() == once.content_hash()


def test_measured_input_makes_sums_measured_until_a_node_clips() -> None:
    params = {"multiplier": 1, "shift": 0, "limit": 255}
    graph = chain(
        (1,),
        (Synapse(name="w", inputs=("x",), weight=np.array([[2]])), (1,)),
        (Neuron(name="n", inputs=("w",), model="graded_relu", params=params), (1,)),
        (Synapse(name="v", inputs=("n",), weight=np.array([[3]])), (1,)),
    )
    measured = graph.with_values(
        {"x": type(graph.values["x"])(graph.values["x"].shape, interval=Interval(0, 9, False))}
    )
    again = intervals.propagate(measured)
    assert [again.values[name].interval.proven for name in ("x", "w", "n", "v")] == [False, False, True, True]


def test_input_without_an_interval_is_refused() -> None:
    graph = chain((1,), level="spiking")
    bare = graph.with_values({"x": type(graph.values["x"])(graph.values["x"].shape)})
    with pytest.raises(ValueError, match="no interval"):
        intervals.propagate(bare)
