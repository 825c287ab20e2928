"""Words on a core: the compiler's print-outs, closed forms, and the memory images that are really written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.image import encode
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.interp import convolve, windows
from neurodeploy.ir.neuron_model import NEURONS, NeuronModel
from neurodeploy.ir.nodes import Micro, Neuron, Synapse
from neurodeploy.mapping.demand import Accounting, dense_row, kernel_entry, weight_bits
from neurodeploy.mapping.groups import populations
from neurodeploy.mapping.layouts.grid import Parts
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.mapping.reads import connections, departures
from neurodeploy.mapping.types import Demand
from neurodeploy.passes.balance import CROSSING, balance
from neurodeploy.target import Target, load
from tests.strategies import integer_graphs
from tests.tiny import chain
from tests.unit.mapping.networks import LIF, Net, ecmt_transformer, mlp, spiking_transformer

LOIHI1, LOIHI2 = load("loihi1"), load("loihi2")


def limited(**limits: int) -> Target:
    changed = {key: getattr(LOIHI2.limits, key).model_copy(update={"value": n}) for key, n in limits.items()}
    return LOIHI2.model_copy(update={"limits": LOIHI2.limits.model_copy(update=changed)})


def whole(graph: Graph, group: str, target: Target = LOIHI2) -> Demand:
    """Demand of a group as one tile."""
    graph = balance(graph)
    found = next(g for g in populations(graph) if g.name == group)
    accounting = Accounting.of(graph, target, found)
    (tile,) = Parts(accounting.cells, (), accounting.cells.shape).tiles()
    return accounting.demand(tile)


@pytest.mark.parametrize("model", [m for m in NEURONS.values() if m.inputs == 1], ids=lambda m: m.name)
def test_each_threshold_that_a_model_declares_counts(model: NeuronModel) -> None:
    params, target = (
        model.quantize(model.example, 2.0**-10, 1.0).params,
        limited(distinct_thresholds_per_core=16),
    )
    graph = lambda own: chain(
        (64,), (Neuron(name="n", inputs=("x",), model=model.name, params={**params, **own}), (64,))
    )
    (group,) = (g.name for g in populations(balance(graph({}))) if "n" in g.names)
    assert whole(graph({}), group, target).thresholds == bool(model.thresholds)
    for name in model.thresholds:
        assert whole(graph({name: np.arange(1, 65)}), group, target).thresholds == 64


@pytest.mark.parametrize(
    "targets, bits, words", [(50, 8, 16), (64, 8, 21), (10, 8, 4), (200, 8, 63), (256, 8, 81)]
)
def test_dense_rows_are_those_of_the_print_outs(targets: int, bits: int, words: int) -> None:
    assert dense_row(targets, bits, LOIHI2) == words


@pytest.mark.parametrize(
    "outputs, bits, words",
    [(16, 5, 2), (32, 5, 4), (64, 5, 6), (128, 5, 11), (64, 4, 5), (256, 5, 21), (64, 5, 6), (48, 6, 6)],
)
def test_kernel_entries_are_those_of_the_print_outs(outputs: int, bits: int, words: int) -> None:
    """YOLO-KP L1 to L10; within the word per entry that the reconstruction leaves open."""
    assert abs(kernel_entry(outputs, bits, LOIHI2) - words) <= 1


def test_loihi1_cuts_a_list_into_blocks_of_64() -> None:
    """nengo-loihi 1.1: 8 synapses of 8 bits take 128 bits; 65 need a second block of one."""
    assert dense_row(8, 8, LOIHI1) == 2 and dense_row(64, 8, LOIHI1) == 9 and dense_row(65, 8, LOIHI1) == 10


@pytest.mark.parametrize(
    "weight, bits",
    [
        ([-127, 127], 8),
        ([-128, 127], 8),
        ([-256, 254], 8),
        ([128], 1),
        ([0, 0], 2),
        ([-1, 1], 1),
        ([1], 1),
        ([-8, 0], 2),
        ([-1], 1),
        ([96, -64], 3),
        ([255], 9),
    ],
)
def test_weight_bits_leave_out_a_common_power_of_two(weight: list[int], bits: int) -> None:
    assert weight_bits(np.array(weight)) == bits


def test_tokens_share_a_kernel() -> None:
    net = Net()
    graph = net.output(net.lif(net.dense(net.input("NC", 5, 12), 20)))
    demand = whole(graph, "fc")
    assert (
        demand.synapse_words == 12 * kernel_entry(20, 8, LOIHI2)
        and demand.axon_in == 5
        and demand.neurons == 100
    )


def test_convolution_stores_its_kernel_once_and_reads_positions() -> None:
    net = Net()
    graph = net.output(net.lif(net.conv(net.input("CYX", 4, 6, 6), 8, 3, 1, 1)))
    demand = whole(graph, "conv")
    assert demand.synapse_words == 9 * 4 * kernel_entry(8, 8, LOIHI2) and demand.axon_in == 36
    assert demand.fan_in == 36


def test_depthwise_convolution_needs_one_entry_per_channel_and_offset() -> None:
    net = Net()
    graph = net.output(net.lif(net.conv(net.input("CYX", 4, 6, 6), 8, 3, groups=4)))
    assert whole(graph, "conv").synapse_words == 4 * 9 * kernel_entry(2, 8, LOIHI2)


def test_state_of_a_chain_adds_up() -> None:
    """Delay 24, layer norm sums 64, multi-threshold potential 24 bits: two words."""
    demand = whole(ecmt_transformer(1, 2, 16), "block0_proj")
    delay = 24 * 4
    assert demand.neuron_words == demand.neurons * -(-(delay + 64 + 24) // 64)
    assert demand.fan_in == 16 + 1 and demand.table_words > 0


def test_a_core_holds_the_rows_of_ticks_of_its_own_elements() -> None:
    """One multiplier and one shift of 2 bits for all, and an offset of 8 bits for each element, in 4 ticks."""

    def network(*sizes: int) -> Graph:
        rows = {"multiplier": np.ones((4, 1, 1), int), "shift": np.zeros((4, 1, 1), int), "bits": 24}
        params = {**rows, "offset": np.full((4, *sizes), -100)}
        node = Micro(name="m", inputs=("x",), op="affine_by_tick", params=params, timing="instant")
        return chain(sizes, (node, sizes), (Neuron(name="n", inputs=("m",), model="lif", params=LIF), sizes))

    few = balance(network(5, 12))
    (group,) = (g.name for g in populations(few) if "m" in g.names)
    assert whole(few, group).table_words == -(-4 * (60 * 8 + 2 + 2) // 64)
    many = map_graph(balance(network(64, 384)), LOIHI2)
    assert many.fits and len(many.cores) < 20  # all rows on every core would leave room for one neuron


def test_cumulative_product_keeps_two_operands_and_two_sums() -> None:
    demand = whole(ecmt_transformer(1, 2, 16, 10), "block0_av")
    tokens, heads, width = 5, 2, 8
    assert demand.neurons == heads * tokens * width
    assert demand.held_words == heads * (tokens * tokens + tokens * width) * 32 // 64
    assert demand.neuron_words == demand.neurons * 2  # P, Y and the potential: 88 bits
    assert demand.axon_in == 2 * heads * tokens and demand.fan_in == 2 * tokens


def test_instant_product_keeps_its_operands_for_the_tick() -> None:
    demand = whole(spiking_transformer(1, 4, 16), "block0_kv")
    assert demand.neuron_words == demand.neurons and demand.synapse_words == 0
    assert (
        demand.held_words == 2 * 2 * 4 * 8 * 2 // 64
    )  # two operands of 2 heads, 4 tokens, 8 channels, 2 bits


def test_a_view_that_brings_two_elements_together_saves_no_neurons() -> None:
    """x + x^T: elements (i, j) and (j, i) stay on one core and are still two neurons."""
    net = Net()
    x = net.dense(net.input("NC", 6, 6), 6)
    graph = net.output(net.lif(net.total(x, net.view(x, "permute", (1, 0), "NC"))))
    assert whole(graph, "fc").neurons == 36


NETWORKS = [mlp((40, 30, 10)), spiking_transformer(1, 16, 32), ecmt_transformer(1, 4, 32)]


def assert_images_within_demand(graph: Graph, target: Target) -> None:
    """Synapse memory to the word; axon tables at most what was asked for (a core may merge two readers of a value)."""
    mapping = map_graph(graph, target)
    for core, image in zip(mapping.cores, encode(graph, mapping, target).images, strict=False):
        assert len(image.tables["synapses"]) == core.demand.synapse_words
        assert len(image.tables["axons"]) <= core.demand.axon_in
        assert len(image.tables["routes"]) <= core.demand.axon_out


@pytest.mark.parametrize("neurons", [4095, 100])
@pytest.mark.parametrize("graph", NETWORKS, ids=["mlp", "spiking", "ecmt"])
def test_images_take_what_was_counted(graph: Graph, neurons: int) -> None:
    assert_images_within_demand(balance(graph), limited(neurons_per_core=neurons))


@settings(max_examples=60, deadline=None)
@given(integer_graphs(), st.sampled_from([12, 50, 4095]))
def test_images_of_random_graphs_take_what_was_counted(graph: Graph, neurons: int) -> None:
    assert_images_within_demand(balance(graph), limited(neurons_per_core=neurons))


# --- connections that leave ----------------------------------------------------------------------------------------


def traced(graph: Graph, name: str) -> dict[str, np.ndarray]:
    """Connections of every pair of elements by brute force: what each element of ``name`` reaches in its readers."""
    found = {}
    for reader in (graph.nodes[n] for n in graph.consumers[name]):
        counts = np.zeros(graph.shape(name), dtype=np.int64)
        for at in np.ndindex(graph.shape(name)):
            one = np.zeros(graph.shape(name), dtype=np.int64)
            one[at] = 1
            if isinstance(reader, Synapse) and reader.op == "conv":
                ones = np.ones_like(reader.weight)
                counts[at] = convolve(one[None], replace(reader, weight=ones, bias=None)).sum()
            elif isinstance(reader, Synapse):
                counts[at] = (one[..., None, :] * np.ones_like(reader.weight)).sum()
            else:
                counts[at] = windows(one[None], reader).sum()
        found[reader.name] = counts
    return found


@pytest.mark.parametrize(
    "read",
    [
        lambda net, x: net.dense(x, 5),
        lambda net, x: net.conv(x, 6, 3, 1, 1),
        lambda net, x: net.conv(x, 4, 3, 2, 1, groups=2),
        lambda net, x: net.conv(x, 4, 2, 3),
        lambda net, x: net.pool(x, "sum", 2),
    ],
    ids=["dense", "padded", "grouped", "gaps", "pool"],
)
def test_connections_that_leave_are_those_that_brute_force_finds(read: Callable[[Net, str], str]) -> None:
    net = Net()
    x = net.lif(net.conv(net.input("CYX", 1, 6, 6), 2, 1), "sender")
    graph = net.output(net.lif(read(net, x), "reader"))
    ((name, counts),) = traced(graph, "sender").items()
    assert np.array_equal(np.broadcast_to(departures(graph, graph.nodes[name], 0), counts.shape), counts)
    group = next(g for g in populations(graph) if "sender" in g.names)
    assert np.max(Accounting.of(graph, LOIHI2, group).fan_out) == counts.max()


@pytest.mark.parametrize("network", [mlp((8, 6, 4)), spiking_transformer(1, 4, 8), ecmt_transformer(1, 2, 8)])
def test_what_leaves_without_padding_arrives(network: Graph) -> None:
    graph = balance(network)
    for node in (n for n in graph if isinstance(n, CROSSING)):
        leaving = sum(
            int(np.sum(np.broadcast_to(departures(graph, node, k), graph.shape(i))))
            for k, i in enumerate(node.inputs)
        )
        assert leaving == connections(graph, node) * graph.values[node.name].shape.size, node.name


def test_a_neuron_shown_several_times_has_all_connections() -> None:
    net = Net()
    x = net.lif(net.dense(net.input("C", 4), 3, "first"), "sender")
    twice = net.view((x, x), "concat", (0,), "C")
    graph = balance(net.output(net.dense(twice, 5, "second")))
    group = next(g for g in populations(graph) if "sender" in g.names)
    accounting = Accounting.of(graph, LOIHI2, group)
    assert int(np.sum(accounting.fan_out)) == 2 * 3 * 5
