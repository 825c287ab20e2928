"""Tokens that take turns: what the cores compute, turn by turn, is what the interpreter says of all tokens at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from neurodeploy import sampled
from neurodeploy.backends.loihi_sim.machine import Machine
from neurodeploy.cost import booked, received
from neurodeploy.cost.counts import count, disagreements, names
from neurodeploy.image import encode
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.mapping.checks import check_group
from neurodeploy.mapping.demand import Accounting
from neurodeploy.mapping.groups import populations
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.passes.balance import balance, period, turns
from neurodeploy.passes.leave_out import leave_out
from neurodeploy.target import load
from tests.fast import at_length
from tests.mappings import streamed_mapping
from tests.strategies import inputs, integer_graphs
from tests.unit.mapping.networks import Net, ecmt_block, spiking_block

TARGET = load("loihi-sim")
#: of every layer, or segment by segment
COPIES = st.lists(st.integers(1, 5), min_size=1, max_size=4)


def streamed(graph: Graph, copies: list[int]) -> Graph:
    """The graph with its tokens taking turns; the example is dropped where they cannot."""
    graph = balance(replace(graph, header=replace(graph.header, copies=tuple(copies))))
    assume(not turns(graph).problems and turns(graph).any)
    parts = (Accounting.of(graph, TARGET, g) for g in populations(graph) if not g.on_host)
    assume(not [p for part in parts for p in check_group(part) if p.code == "ND527"])
    return graph


def check(graph: Graph, seed: int, x: np.ndarray, mapper: bool) -> None:
    mapping = map_graph(graph, TARGET) if mapper else streamed_mapping(graph, TARGET, seed)
    mapping = encode(graph, mapping, TARGET)
    every = [node.name for node in graph]
    wanted, machine = (
        interp.run(graph, x, [*every, *names(graph), *received.names(graph), *booked.names(graph)]),
        Machine(mapping.images),
    )
    found, events = machine.run(x, every)
    assert [n for n in every if not np.array_equal(wanted.values[n], found.values[n])] == []
    assert np.array_equal(wanted.outputs, found.outputs)
    saturated = [{k: v for k, v in trace.saturations.items() if v} for trace in (wanted, found)]
    assert saturated[0] == saturated[1]
    assert disagreements(graph, count(graph, wanted), events) == []
    assert received.disagreements(received.received(graph, mapping, wanted, TARGET), events) == []
    assert list(booked.disagreements(booked.booked(graph, mapping, wanted, TARGET), events)) == []
    assert sampled.difference(graph, mapping, TARGET, wanted, range(len(mapping.cores))) is None
    piped, _ = machine.run(x, every, period(graph))
    assert [n for n in every if not np.array_equal(piped.values[n], found.values[n])] == []


@st.composite
def networks(draw: st.DrawFn) -> Graph:
    """Stems that make tokens or not, blocks that mix them or not, and what is read out: tokens, one, or their sum."""
    net = Net(draw(st.integers(0, 2**31)), draw(st.integers(1, 3)))
    height, width, channels = draw(st.integers(2, 3)), draw(st.integers(1, 3)), 4
    tokens, stem = height * width, draw(st.sampled_from(("host", "patches", "stem", "class token")))
    if stem == "host":
        x = net.dense(net.input("NC", tokens, 3), channels, "embed")
    else:
        x = net.conv(net.input("CYX", 1, 2 * height, 2 * width), channels, 2, 2, name="patch")
        x = net.conv(net.lif(x, "stem"), channels, 3, 1, 1, name="mix") if stem == "stem" else x
        x = net.view(
            net.view(x, "reshape", (channels, tokens), "CN", "flat"), "permute", (1, 0), "NC", "rows"
        )
    if stem == "class token":
        x, tokens = net.view(x, "pad", (0, 1, 0), "NC", "padded"), tokens + 1
    bias = net.random.integers(-9, 9, (tokens, channels))
    x = net.total(x, net.const(bias, "NC", "position"), name="placed")
    for n, kind in enumerate(draw(st.lists(st.sampled_from(sorted(BLOCKS)), min_size=1, max_size=2))):
        x = BLOCKS[kind](net, x, f"b{n}")
    tail = draw(st.sampled_from(("tokens", "first", "sum")))
    x = net.lif(x, "last")
    if tail == "first":
        x = net.view(x, "slice", (0, 0, 1, 1), "NC", "first")
    elif tail == "sum":
        x = net.reduce(x, "sum", (0,), "C", "pool")
    return leave_out(net.output(net.dense(x, 2, "head")))


def mlp_block(net: Net, x: str, name: str) -> str:
    return net.total(x, net.dense(net.lif(net.dense(net.lif(x, f"{name}_s"), 6, f"{name}_1"), f"{name}_h"), 4,
                                  f"{name}_2"), name=f"{name}_add")  # fmt: skip


def mixer_block(net: Net, x: str, name: str) -> str:
    """A layer over tokens, which are its channels."""
    turned = net.view(net.lif(x, f"{name}_s"), "permute", (1, 0), "CN", f"{name}_turned")
    mixed = net.lif(net.dense(turned, net.sizes(x)[0], f"{name}_mix"), f"{name}_m")
    return net.total(x, net.view(mixed, "permute", (1, 0), "NC", f"{name}_back"), name=f"{name}_add")


def causal_block(net: Net, x: str, name: str) -> str:
    """A mask hides later tokens."""
    return ecmt_block(net, x, name, mask=np.triu(np.ones((net.sizes(x)[0],) * 2, dtype=bool), 1))


def masked_block(net: Net, x: str, name: str) -> str:
    """A mask hides some tokens, but from none itself."""
    tokens = net.sizes(x)[0]
    return ecmt_block(
        net, x, name, mask=(net.random.random((tokens, tokens)) < 0.5) & ~np.eye(tokens, dtype=bool)
    )


BLOCKS = {
    "softmax": ecmt_block, "linear attention": spiking_block, "mlp": mlp_block, "mixer": mixer_block,
    "causal": causal_block, "masked": masked_block,
}  # fmt: skip


@settings(max_examples=6, suppress_health_check=[HealthCheck.filter_too_much])
@given(networks(), COPIES, st.integers(0, 2**31), st.booleans(), st.data())
def test_tokens_in_turn_equal_tokens_in_space(
    graph: Graph, copies: list[int], seed: int, mapper: bool, data: st.DataObject
) -> None:
    graph = streamed(graph, copies)
    check(graph, seed, data.draw(inputs(graph)), mapper)


@pytest.mark.slow
@settings(max_examples=at_length(300), suppress_health_check=[HealthCheck.filter_too_much])
@given(networks() | integer_graphs(), COPIES, st.integers(0, 2**31), st.booleans(), st.data())
def test_tokens_in_turn_equal_tokens_in_space_at_length(
    graph: Graph, copies: list[int], seed: int, mapper: bool, data: st.DataObject
) -> None:
    graph = streamed(graph, copies)
    check(graph, seed, data.draw(inputs(graph)), mapper)
