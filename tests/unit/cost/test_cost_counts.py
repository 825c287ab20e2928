"""Operation counts against closed forms, and against a count that expands every pair."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy import cost
from neurodeploy.cost import counts as counting
from neurodeploy.ir import interp
from neurodeploy.ir.equation import Equation
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.nodes import Input, Neuron, Output, Product, Synapse
from neurodeploy.ir.trace import Trace
from neurodeploy.ir.types import Shape, Value
from tests import fake_build

HEADS, TOKENS, WIDTH, TICKS = 3, 5, 4, 3


def value(roles: str, *sizes: int) -> Value:
    return Value(Shape(tuple(roles), sizes))


def attention(timing: str) -> Graph:
    """Q K^T V on streams that are the input itself."""
    b = Builder(Header(level="spiking", timesteps=TICKS))
    b.add(Input(name="x"), value("HNC", HEADS, TOKENS, WIDTH))
    scores = Product(name="scores", inputs=("x", "x"), equation="hnc,hmc->hnm", timing=timing)
    b.add(scores, value("HNN", HEADS, TOKENS, TOKENS))
    mix = Product(name="mix", inputs=("scores", "x"), equation="hnm,hmc->hnc", timing=timing)
    b.add(mix, value("HNC", HEADS, TOKENS, WIDTH))
    b.add(Output(name="out", inputs=("mix",)), value("HNC", HEADS, TOKENS, WIDTH))
    return b.build()


def counted(graph: Graph, x: np.ndarray) -> cost.Counts:
    return cost.count(graph, interp.run(graph, x, record=cost.names_to_record(graph)))


@pytest.mark.parametrize(
    ("timing", "passes"), [("instant", TICKS), ("held", TICKS), ("cumulative", 2 * TICKS - 1)]
)
def test_attention_of_nonzero_operands_performs_exactly_the_dense_products(timing: str, passes: int) -> None:
    ones = np.ones((2, HEADS, TOKENS, WIDTH), dtype=int)
    found = counted(attention(timing), ones)
    dense = HEADS * TOKENS * TOKENS * WIDTH
    assert found.nodes["scores"].product_ops == passes * dense
    if timing != "cumulative":  # the mean of compensated scores is constant: most ticks add nothing
        assert found.nodes["mix"].product_ops == passes * dense


def test_three_products_of_compensation_count_three_per_tick() -> None:
    ones = np.ones((1, HEADS, TOKENS, WIDTH), dtype=int)
    found = counted(attention("cumulative"), ones)
    assert found.nodes["scores"].three_product_ops == 3 * TICKS * HEADS * TOKENS * TOKENS * WIDTH


def test_dense_macs_of_attention_and_layers_are_the_closed_forms() -> None:
    graph = attention("instant")
    dense = HEADS * TOKENS * TOKENS * WIDTH
    assert [cost.dense_macs(graph, n) for n in graph.of(Product)] == [dense, dense]
    source, graph, _ = fake_build.spiking("ecmt", 2, tokens=4, dim=8, heads=2, hidden=16)
    total = 5  # four tokens and the class token
    expected = {"patch": 8 * 4 * 4, "b0.q": total * 8 * 8, "b0.fc1": total * 8 * 16, "head": 8 * 3}
    assert {name: cost.dense_macs(source, source.nodes[name]) for name in expected} == expected


def layer(op: str, weight: np.ndarray, shape: tuple[int, ...], out: tuple[int, ...], **kind: object) -> Graph:
    b = Builder(Header(level="spiking", timesteps=TICKS))
    roles = "CYX" if op == "conv" else "NC"
    b.add(Input(name="x"), value(roles, *shape))
    b.add(Synapse(name="w", inputs=("x",), weight=weight, op=op, **kind), value(roles, *out))
    b.add(Output(name="out", inputs=("w",)), value(roles, *out))
    return b.build()


@given(st.integers(0, 2**32 - 1))
def test_linear_operations_are_pairs_of_nonzero_value_and_nonzero_weight(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight, x = rng.integers(-1, 2, (6, 4)), rng.integers(-1, 2, (2, TOKENS, 4))
    found = counted(layer("dense", weight, (TOKENS, 4), (TOKENS, 6)), x).nodes["w"]
    expanded = np.einsum("bnc,oc->", x != 0, weight != 0, dtype=np.int64)
    assert found.synaptic_ops == TICKS * expanded / len(x)
    assert found.unskipped_ops == TICKS * np.count_nonzero(x) * 6 / len(x)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2]), st.sampled_from([1, 2]), st.sampled_from([0, 1]))
def test_convolution_operations_equal_a_convolution_of_masks(
    seed: int, groups: int, stride: int, padding: int
) -> None:
    rng = np.random.default_rng(seed)
    weight, x = rng.integers(-1, 2, (4, 4 // groups, 3, 3)), rng.integers(-1, 2, (2, 4, 6, 5))
    shape = tuple((n + 2 * padding - 3) // stride + 1 for n in (6, 5))
    kind = {"stride": (stride, stride), "padding": (padding, padding), "groups": groups}
    graph = layer("conv", weight, (4, 6, 5), (4, *shape), **kind)
    masks = Synapse(name="m", weight=(weight != 0).astype(int), op="conv", **kind)
    expanded = interp.convolve((x != 0).astype(int), masks).sum()
    assert counted(graph, x).nodes["w"].synaptic_ops == TICKS * expanded / len(x)


def test_compensated_products_use_running_sums() -> None:
    a = np.array([[[1, 0]], [[0, 0]], [[-1, 0]]])  # (T, B, C): the sum returns to zero at tick 3
    b = np.array([[[0, 1]], [[1, 0]], [[1, 1]]])
    trace = Trace(np.zeros((3, 1, 1)), {"a": a, "b": b})
    row = counting.TIMINGS["cumulative"](Equation("c", "c", "c"), trace.values["a"], trace.values["b"])
    # tick 1: A1 meets S_B = (0, 1); tick 2: S_A = (1, 0) meets B2 = (1, 0); tick 3: A3 meets S_B, S_A meets B3
    assert row.tolist() == [0, 1, 2]


def test_neuron_updates_are_elements_times_ticks_and_spikes_are_nonzero() -> None:
    _, graph, x = fake_build.spiking("native", 3)
    trace = fake_build.run(graph, x)
    found = cost.count(graph, trace)
    for node in graph.of(Neuron):
        row = found.nodes[node.name]
        assert row.neuron_updates == 4 * graph.values[node.name].shape.size
        assert row.spikes == pytest.approx(np.count_nonzero(trace.values[node.name]) / len(x))
    for kind, ticks in found.by_tick.items():
        assert ticks.sum() == pytest.approx(found.total(kind))


def test_counts_of_batches_add_up_to_the_mean_over_all_samples() -> None:
    _, graph, x = fake_build.spiking("native", 5)
    whole = cost.count(graph, fake_build.run(graph, x))
    parts = cost.count(graph, fake_build.run(graph, x[:2])) + cost.count(graph, fake_build.run(graph, x[2:]))
    assert parts.samples == whole.samples == 5
    for kind in (*counting.SHARED_KINDS, "spikes", "messages"):
        assert parts.total(kind) == pytest.approx(whole.total(kind))
    for kind, ticks in whole.by_tick.items():
        assert parts.by_tick[kind] == pytest.approx(ticks)


def test_disagreements_name_node_and_kind() -> None:
    inputs = fake_build.inputs("native")
    assessment = inputs.assessment
    lif = next(iter(inputs.integer.of(Neuron))).name
    events = assessment.events
    graph = inputs.integer
    assert not cost.disagreements(graph, assessment.counts, events)
    changed = dict(events.node_counts)
    changed[lif] = changed[lif] + 1
    found = cost.disagreements(graph, assessment.counts, replace(events, node_counts=changed))
    assert (lif, "neuron_updates") in {row[:2] for row in found}
