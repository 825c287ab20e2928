"""What many rows share is sent to each: groups can be cut down to single rows, and mean the same to the last bit."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.ir import intervals, levels
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.micro_op import MICROCODE
from neurodeploy.ir.nodes import Delay, Micro, Sum, Synapse
from neurodeploy.mapping.cells import cells
from neurodeploy.mapping.groups import populations
from neurodeploy.mapping.layouts.broadcast import MEMBER as BROADCAST
from neurodeploy.mapping.mapper import map_graph, prepared
from neurodeploy.passes.balance import balance, depths
from neurodeploy.target import load
from tests.mappings import random_mapping
from tests.strategies import inputs, integer_graphs
from tests.unit.mapping.networks import Net
from tests.unit.mapping.test_fan_in import assert_same, spikes
from tests.unit.mapping.test_map_graph import assert_sound, limited

SIM = load("loihi-sim")
ROWS = ["softmax", "layer_norm", "rms_norm"]
Sizes = tuple[int, ...]


def attention(
    mask: Sizes, heads: int = 2, tokens: int = 3, row: str = "softmax", view: bool = False
) -> Graph:
    """Scores of a few tokens and a mask of this shape, made of the input and added before a row operator."""
    net = Net(timesteps=2)
    x = net.input("NC", tokens, 4)
    q, k = (net.multi(net.dense(x, 2 * heads, name, top=9), f"{name}_mt") for name in "qk")
    each = [net.view(net.view(n, "reshape", (tokens, heads, 2), "NHC", f"{n}_split"), "permute", (1, 0, 2), "HNC",
                     f"{n}_heads") for n in (q, k)]  # fmt: skip
    scores = net.product(each[0], each[1], "hnd,hmd->hnm", "HNN", "scores", "instant")
    flat = net.view(x, "reshape", (4 * tokens,), "C", "flat")
    hidden = net.micro(net.dense(flat, prod(mask), "mask", top=5), "rescale", "mask_unit", "instant")
    shown = net.view(hidden, "reshape", mask, "HNN"[-len(mask) :], "mask_shape")
    if view:
        shown = net.view(shown, "broadcast", (heads, tokens, tokens), "HNN", "mask_all")
    masked = net.micro(net.total(scores, shown), "rescale", "unit", "instant")
    return intervals.propagate(net.output(net.multi(net.micro(masked, row, row, "instant"))))


def rows(graph: Graph) -> dict[str, tuple[int, int]]:
    """Of each group with a row operator into how many parts it can be cut, and how many rows it has."""
    found = {}
    for group in populations(graph):
        for node in group.nodes:
            if isinstance(node, Micro) and MICROCODE[node.op].row:
                found[node.name] = len(cells(graph, group).homes[0]), prod(graph.shape(node.name)[:-1])
    return found


MASKS = [(1, 1, 3), (2, 1, 3), (1, 3, 3), (1, 3, 1), (2, 3, 1), (1, 1, 1), (3,), (3, 1), (2, 3, 3)]


@pytest.mark.parametrize("view", [False, True], ids=["sum", "view"])
@pytest.mark.parametrize("mask", MASKS, ids=str)
@pytest.mark.parametrize("row", ROWS)
def test_a_group_of_rows_can_be_cut_down_to_single_rows(row: str, mask: Sizes, view: bool) -> None:
    graph = attention(mask, row=row, view=view)
    made = prepared(graph, SIM)
    assert not levels.verify(made, "integer")
    assert rows(made) == {row: (6, 6)}


@settings(max_examples=12)
@given(
    st.sampled_from(MASKS),
    st.booleans(),
    st.sampled_from(["softmax", "rms_norm"]),
    st.integers(0, 2**31),
    st.data(),
)
def test_masked_rows_cut_at_random_mean_the_same(
    mask: Sizes, view: bool, row: str, seed: int, data: st.DataObject
) -> None:
    graph = attention(mask, row=row, view=view)
    made = prepared(graph, SIM)
    mapping = random_mapping(made, SIM, seed, most=6)
    assert_same(graph, made, mapping, data.draw(inputs(graph)), [n.name for n in graph])


@pytest.mark.parametrize("axis", ["heads", "tokens"])
def test_rows_that_a_mask_shares_are_cut_along_heads_and_queries(axis: str) -> None:
    graph = attention((1, 1, 3), heads=4)
    made = prepared(graph, SIM)
    room = {"heads": 2 * 3 * 3, "tokens": 4 * 3}[axis]  # two heads, or one query of all
    target = limited(SIM, neurons_per_core=room)
    assert "ND501" in {p.code for p in map_graph(balance(graph), target).problems}
    mapping = map_graph(made, target)
    assert mapping.fits, [str(p) for p in mapping.problems]
    assert_sound(made, mapping, target)
    assert_same(graph, made, mapping, spikes(graph), [n.name for n in graph])


def test_a_mask_waits_where_it_is_small_and_rows_are_no_later() -> None:
    graph = attention((1, 1, 3))
    made = prepared(graph, SIM)
    assert depths(made)["add"] == depths(graph)["add"]
    assert {made.values[d.name].shape.size for d in made.of(Delay)} <= {3}


def test_what_lies_within_a_row_or_on_one_core_stays() -> None:
    graph = attention((2, 3, 1))
    assert BROADCAST.rewrite(graph, SIM) is graph
    graph = attention((1, 1, 3))
    assert BROADCAST.rewrite(graph, load("cpu-sim")) is graph


def test_constants_are_kept_by_every_core() -> None:
    net = Net()
    x = net.dense(net.input("NC", 4, 3), 3)
    shared = net.const(np.arange(3)[None], "NC")
    graph = net.output(net.multi(net.micro(net.total(x, shared), "layer_norm")))
    assert BROADCAST.rewrite(graph, SIM) is graph and rows(balance(graph)) == {"layer_norm": (4, 4)}


@settings(max_examples=12)
@given(integer_graphs(), st.integers(0, 2**31), st.data())
def test_random_networks_mean_the_same(graph: Graph, seed: int, data: st.DataObject) -> None:
    made = BROADCAST.rewrite(graph, SIM)
    assert not levels.verify(made, "integer")
    ready = balance(made)
    assert_same(
        graph, ready, random_mapping(ready, SIM, seed), data.draw(inputs(graph)), [n.name for n in graph]
    )


def test_a_synapse_stands_only_where_a_stream_is_repeated() -> None:
    graph = attention((2, 3, 3))
    assert BROADCAST.rewrite(graph, SIM) is graph
    made = BROADCAST.rewrite(attention((1, 1, 3)), SIM)
    (added,) = [n for n in made.of(Synapse) if n.name not in ("q", "k", "mask")]
    assert added.weight.tolist() == [[1]] * 6 and [n.inputs[0] for n in made.of(Sum)] == ["scores"]
