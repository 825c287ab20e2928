"""Depths and balance: branches meet, meaning stays, delays are shared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.ir import interp
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.nodes import (
    Const,
    Delay,
    Input,
    Micro,
    Neuron,
    Output,
    Product,
    Reduce,
    Sum,
    Synapse,
    View,
)
from neurodeploy.ir.types import Shape, Value
from neurodeploy.passes.balance import balance, constants, depths, host, hurried, line, unbalanced
from tests.strategies import inputs, integer_graphs
from tests.tiny import chain

LIF = {"du": 4095, "dv": 2048, "vth": 1}
VALUE = Value(Shape(("N", "C"), (2, 3)))
EYE = np.eye(3, dtype=np.int64)


def graph(*nodes: object) -> Graph:
    """Nodes on values of (2, 3), with an input "x" in front and an output behind."""
    builder = Builder(Header(level="integer", timesteps=3))
    builder.add(Input(name="x"), VALUE)
    for node in nodes:
        builder.add(node, VALUE)
    last = list(builder.nodes)[-1]
    builder.add(Output(name="out", inputs=(last,)), VALUE)
    return builder.build()


def dense(name: str, source: str) -> Synapse:
    return Synapse(name=name, inputs=(source,), weight=EYE)


def test_depths_count_crossing_nodes_and_delays() -> None:
    g = graph(
        dense("a", "x"),
        Neuron(name="n", inputs=("a",), model="lif", params=LIF),
        dense("b", "n"),
        Delay(name="d", inputs=("b",), steps=3),
        Product(name="p", inputs=("d", "n"), equation="nc,nc->nc", timing="instant"),
        Sum(name="s", inputs=("p", "x")),
    )
    assert depths(g) == {"x": 0, "a": 1, "n": 1, "b": 2, "d": 5, "p": 6, "s": 6, "out": 6}


def test_constants_have_no_depth_and_hold_nobody_up() -> None:
    g = graph(
        Const(name="c", value=np.ones((2, 3), dtype=np.int64)),
        View(name="v", inputs=("c",), op="permute", args=(0, 1)),
        dense("a", "x"),
        Sum(name="s", inputs=("a", "v")),
    )
    assert constants(g) == {"c", "v"} and "v" not in depths(g)
    assert balance(g) is g


@pytest.mark.parametrize("kind", ["sum", "product", "repeated"])
def test_early_branches_wait(kind: str) -> None:
    join = {
        "sum": Sum(name="j", inputs=("b", "a"), signs=(1, -1)),
        "product": Product(name="j", inputs=("b", "a"), equation="nc,nc->nc", timing="held"),
        "repeated": Sum(name="j", inputs=("b", "a", "a")),
    }[kind]
    g = graph(dense("a", "x"), dense("b", "a"), join)
    balanced = balance(g)
    delay = balanced.nodes["a_delay1"]
    assert isinstance(delay, Delay) and delay.steps == 1 and balanced.values["a_delay1"] is g.values["a"]
    assert not unbalanced(balanced) and unbalanced(g)[0] == ("a", "j", 1)
    assert len(balanced.of(Delay)) == 1


def test_one_delay_serves_all_that_wait_equally_long() -> None:
    g = graph(
        dense("a", "x"),
        dense("b", "a"),
        Sum(name="s", inputs=("a", "b")),
        Sum(name="t", inputs=("b", "a")),
        dense("c", "t"),
        Sum(name="u", inputs=("a", "c", "s")),
    )
    assert sorted(d.name for d in balance(g).of(Delay)) == ["a_delay1", "a_delay2", "s_delay1"]


def test_input_waits_one_step_before_a_plain_consumer() -> None:
    g = graph(
        View(name="v", inputs=("x",), op="permute", args=(0, 1)),
        Neuron(name="n", inputs=("v",), model="lif", params=LIF),
    )
    assert host(g) == {"x", "v"}
    assert depths(g)["n"] == 1 and depths(g)["v"] == 0
    assert balance(g).nodes["n"].inputs == ("v_delay1",)


def test_long_delays_can_be_chained() -> None:
    g = graph(dense("a", "x"), Delay(name="d", inputs=("a",), steps=7), Sum(name="s", inputs=("a", "d")))
    delays = [d for d in balance(g, longest=3).of(Delay) if d.name != "d"]
    assert [d.steps for d in delays] == [3, 3, 1]
    assert not unbalanced(balance(g, longest=3))


def test_names_of_the_graph_survive() -> None:
    g = graph(dense("a", "x"), dense("b", "a"), Sum(name="s", inputs=("a", "b")), dense("a_delay1", "s"))
    balanced = balance(g)
    assert set(g.nodes) <= set(balanced.nodes) and isinstance(balanced.nodes["a_delay1"], Synapse)


def test_reduce_and_micro_depths() -> None:
    value = Value(Shape(("C",), (3,)))
    builder = Builder(Header(level="integer"))
    builder.add(Input(name="x"), VALUE)
    builder.add(Reduce(name="r", inputs=("x",), op="sum", axes=(0,)), value)
    builder.add(Micro(name="m", inputs=("r",), op="relu", timing="instant"), value)
    builder.add(Output(name="out", inputs=("m",)), value)
    assert depths(builder.build()) == {"x": 0, "r": 1, "m": 1, "out": 1}


@settings(max_examples=60, deadline=None)
@given(integer_graphs(), st.data())
def test_balance_keeps_meaning_and_depths(g: Graph, data: st.DataObject) -> None:
    balanced = balance(g)
    assert not unbalanced(balanced)
    assert balance(balanced) is balanced
    before, after = depths(g), depths(balanced)
    assert {name: after[name] for name in before} == before
    x = data.draw(inputs(g))
    names = [n.name for n in g]
    first, second = interp.run(g, x, record=names), interp.run(balanced, x, record=names)
    assert np.array_equal(first.outputs, second.outputs)
    assert all(np.array_equal(first.values[n], second.values[n]) for n in names)


def test_a_delay_of_one_tick_makes_up_for_the_step_of_a_synapse() -> None:
    first = Synapse(name="a", inputs=("x",), weight=np.ones((1, 1), int), delay=1)
    second = Synapse(name="b", inputs=("a",), weight=np.ones((1, 1), int), delay=3)
    found = chain((1,), (first, (1,)), (second, (1,)))
    level = depths(found)
    assert (level["a"], level["b"]) == (0, 0)
    assert line(found, found.nodes["b"], level) == -1  # three ticks of delay: kept two steps
    assert balance(found) is found


def test_a_loop_longer_than_its_delay_is_hurried() -> None:
    def loop(delay: int) -> Graph:
        back = Synapse(name="back", inputs=("n",), weight=np.ones((1, 1), int), delay=delay)
        total = Sum(name="sum", inputs=("x", "back"))
        forth = Synapse(name="forth", inputs=("sum",), weight=np.ones((1, 1), int))
        neuron = Neuron(name="n", inputs=("forth",), model="lif", params={"du": 4095, "dv": 0, "vth": 1})
        return chain((1,), (back, (1,)), (total, (1,)), (forth, (1,)), (neuron, (1,)))

    assert hurried(loop(1)) == [("n", "back", 1)]
    assert hurried(loop(2)) == []
    assert unbalanced(balance(loop(2))) == []
    assert interp.run(balance(loop(2)), np.ones((1, 1), int)).outputs.tolist() == [[[0]]]
