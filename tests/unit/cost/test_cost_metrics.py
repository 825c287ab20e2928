"""ANN baseline, paper metric, purity and silicon shares."""

from __future__ import annotations

import pytest

from neurodeploy import cost
from neurodeploy.cost import audit, paper
from neurodeploy.ir.nodes import Product, Synapse
from neurodeploy.ir.types import BINARY, DENSE, TERNARY, graded
from neurodeploy.target import load
from tests import fake_build

TARGET = load("loihi-sim")


def test_baseline_is_macs_and_bytes_at_the_node_scale() -> None:
    source, _, _ = fake_build.spiking("ecmt", 2, tokens=4, dim=8, heads=2, hidden=16)
    found = cost.ann_baseline(source, TARGET)
    layers = source.of(Synapse, Product)
    macs = sum(cost.dense_macs(source, node) for node in layers)
    weights = sum(node.weight.size for node in source.of(Synapse))
    streams = sum(source.values[name].shape.size for node in layers for name in (*node.inputs, node.name))
    assert (found.macs, found.bytes) == (macs, weights + streams)
    costs = TARGET.costs.ann_baseline
    expected = (
        macs * costs.int8_mac_pj.nominal + found.bytes * costs.sram_byte_pj.nominal
    ) * costs.node_scale.nominal
    assert found.energy_pj.nominal == pytest.approx(expected)


def test_native_metric_is_that_of_the_released_counter() -> None:
    """Dense operations times the rate at which the spikes that meet them come; MACs where no spikes are given."""
    inputs = fake_build.inputs("native")
    graph = inputs.integer
    _, spiking, x = fake_build.spiking("native")
    values = fake_build.run(spiking, x).values
    found = cost.paper_energy(graph, inputs.assessment.counts, TARGET)

    def rate(name: str) -> float:
        return float((values[name] != 0).mean())

    dense = {n.name: cost.dense_macs(graph, n) for n in graph.of(Synapse, Product)}
    head = graph.nodes["head"]
    macs = {"stem": 4 * dense["stem"], "head": dense["head"] + 3 * (head.bias is not None)}
    spikes = {"scores": graph.nodes["scores"].inputs[0], "mix": graph.nodes["mix"].inputs[1]}
    spikes |= {name: graph.nodes[name].inputs[0] for name in ("embed", "q", "k", "v", "proj")}
    acs = {name: 4 * dense[name] * rate(read) for name, read in spikes.items()}
    assert {n.name for n in graph.of(Synapse, Product)} == macs.keys() | acs.keys()
    assert graph.shape("head") == (3,) and paper.first_layer(graph) == "stem"
    assert found.macs == sum(macs.values())
    assert found.operations == pytest.approx(sum(acs.values()))
    for name, energy in found.layers.items():
        assert energy == pytest.approx(4.6 * macs[name] if name in macs else 0.9 * acs[name]), name
    assert found.energy_pj == pytest.approx(sum(found.layers.values()))


def test_a_product_of_two_spikes_counts_the_rarer_ones() -> None:
    row = cost.counts.NodeCounts(inputs=30, active=13, left=10, left_active=8)
    assert (row.left_rate, row.right_rate) == (0.8, 0.25)


def test_ecmt_metric_is_t_times_ac_over_mac_times_rate() -> None:
    inputs = fake_build.inputs("ecmt")
    graph, counts = inputs.integer, inputs.assessment.counts
    found = cost.paper_energy(graph, counts, TARGET)
    monitored = [n for n in graph.of(Synapse, Product) if n.name != "patch"]
    assert "patch" not in found.layers and "head" in found.layers
    operations = sum(counts.nodes[n.name].unskipped_ops for n in monitored)
    rate = operations / (4 * sum(cost.dense_macs(graph, n) for n in monitored))
    assert found.ratio == pytest.approx(4 * (0.9 / 4.6) * rate)
    assert found.energy_pj == pytest.approx(0.9 * operations)
    assert found.three_products_ratio > found.ratio


def test_a_linear_layer_counts_nonzero_inputs_times_outputs() -> None:
    inputs = fake_build.inputs("ecmt")
    row, node = inputs.assessment.counts.nodes["b0.fc1"], inputs.integer.nodes["b0.fc1"]
    assert row.unskipped_ops == pytest.approx(row.active * node.weight.shape[0])


def test_an_unlisted_method_is_scoped_as_a_conversion() -> None:
    inputs = fake_build.inputs("ecmt")
    other = inputs.integer.with_header(method="pmsm")
    counts = inputs.assessment.counts
    assert (
        cost.paper_energy(other, counts, TARGET).ratio
        == cost.paper_energy(inputs.integer, counts, TARGET).ratio
    )


@pytest.mark.parametrize(("codes", "kind"), [
    ([BINARY], "binary"), ([BINARY, TERNARY], "ternary"), ([graded(8), DENSE], "dense"), ([], "dense"),
])  # fmt: skip
def test_a_product_is_as_dense_as_its_denser_operand(codes: list, kind: str) -> None:
    assert audit.densest(codes) == kind


@pytest.mark.parametrize("method", ["ecmt", "native"])
def test_shares_of_purity_and_silicon_sum_to_one(method: str) -> None:
    found = fake_build.inputs(method).assessment
    for shares in (found.purity.edges, found.purity.work, found.silicon):
        assert sum(shares.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("method", ["ecmt", "native"])
def test_the_ratio_to_the_baseline_is_events_over_baseline_at_each_end(method: str) -> None:
    found = fake_build.inputs(method).assessment
    events, baseline, ratio = found.estimate.events_pj, found.baseline.energy_pj, found.baseline_ratio
    assert ratio.nominal == pytest.approx(events.nominal / baseline.nominal)
    assert ratio.low == pytest.approx(events.low / baseline.high)
    assert ratio.high == pytest.approx(events.high / baseline.low)
    assert ratio.low < ratio.nominal < ratio.high


def test_dense_operators_are_listed_by_name() -> None:
    assert dict(fake_build.inputs("ecmt").assessment.purity.operators) == {
        "layer_norm": 5,
        "softmax": 2,
        "gelu": 2,
    }
    assert not fake_build.inputs("native").assessment.purity.operators


def test_work_of_ungraded_nodes_is_simulation_only() -> None:
    assessment = fake_build.inputs("ecmt").assessment
    assert cost.silicon(assessment.events, {})["simulation-only"] == 1.0


def test_what_is_not_given_leaves_a_reason() -> None:
    inputs = fake_build.inputs("ecmt")
    from neurodeploy.program import Program

    found = cost.assess(Program(inputs.integer), TARGET, inputs.source)
    assert found.estimate is None and found.paper is None and found.purity is None
    assert {"estimate", "paper", "purity", "silicon"} <= set(found.reasons)
    assert found.baseline is not None
