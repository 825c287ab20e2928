"""Tokens that take turns: steps, memory of one token, what is kept, the user's say, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import sampled
from neurodeploy.backends.lava import lowered
from neurodeploy.backends.loihi_sim.machine import Machine
from neurodeploy.builds.mapped import imaged, laid_out
from neurodeploy.cost import booked, estimate, received
from neurodeploy.cost.counts import count, disagreements, names
from neurodeploy.cost.latency import fold
from neurodeploy.errors import BackendError, GraphError, UsageError
from neurodeploy.formats.sanafe.net import network
from neurodeploy.image import encode
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Delay, Neuron, Product, Synapse
from neurodeploy.ir.trace import EVENT_KINDS
from neurodeploy.mapping.demand import Accounting
from neurodeploy.mapping.expected import whole, work
from neurodeploy.mapping.given import read
from neurodeploy.mapping.grades import grades
from neurodeploy.mapping.groups import populations
from neurodeploy.mapping.mapper import map_graph, placed, planned, prepared
from neurodeploy.mapping.types import Demand, Mapping
from neurodeploy.mapping.written import written
from neurodeploy.passes.balance import depths, lag, period, turns
from neurodeploy.passes.leave_out import leave_out
from neurodeploy.price import PRICED, TAKING_IN, barrier_ns, lasting, stages
from neurodeploy.program import Program
from neurodeploy.sampled import Sampled
from neurodeploy.target import load
from tests.unit.mapping.networks import Net, ecmt_block, mlp, spiking_block, spiking_transformer
from tests.unit.mapping.test_map_graph import limited

TARGET = load("loihi-sim")
TICKS, TOKENS = 4, 6


def perceptron() -> Graph:
    """Two dense layers over tokens, read out token by token."""
    net = Net(timesteps=TICKS)
    x = net.lif(net.dense(net.input("NC", TOKENS, 5), 12, "fc1"), "lif1")
    return net.output(net.dense(x, 3, "fc2"))


def attention(depth: int = 1, mask: np.ndarray | None = None) -> Graph:
    """Patches, a bias for each token, blocks with softmax, a sum over tokens."""
    net = Net(timesteps=TICKS)
    x = net.conv(net.input("CYX", 1, 6, 4), 8, 2, 2, name="patch")
    x = net.view(net.view(x, "reshape", (8, TOKENS), "CN", "flat"), "permute", (1, 0), "NC", "tokens")
    x = net.total(x, net.const(np.arange(8 * TOKENS).reshape(TOKENS, 8), "NC", "position"), name="embed")
    for i in range(depth):
        x = ecmt_block(net, x, f"block{i}", mask=mask)
    return net.output(net.dense(net.reduce(net.multi(x, "last"), "sum", (0,), "C", "pool"), 4, "head"))


def causal(depth: int = 1) -> Graph:
    """The same, where no token sees a later one."""
    return leave_out(attention(depth, np.triu(np.ones((TOKENS, TOKENS), dtype=bool), 1)))


NETWORKS = {
    "perceptron": perceptron,
    "attention": attention,
    "causal attention": causal,
    "linear attention": lambda: spiking_transformer(1, 4, 16),
}


def inputs(graph: Graph) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2, (3, *interp.input_shape(graph)))


def mapped(graph: Graph) -> Mapping:
    mapping = map_graph(graph, TARGET)
    assert mapping.fits, mapping.problems
    return encode(graph, mapping, TARGET)


# --- what is computed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copies", [1, 2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_token_and_tick_is_as_in_space_and_both_books_agree(name: str, copies: int) -> None:
    graph = prepared(NETWORKS[name](), TARGET, copies)
    mapping, x = mapped(graph), inputs(graph)
    every = [node.name for node in graph]
    wanted = interp.run(graph, x, [*every, *names(graph), *received.names(graph)])
    found, events = Machine(mapping.images).run(x, every)
    assert [n for n in every if not np.array_equal(wanted.values[n], found.values[n])] == []
    assert np.array_equal(wanted.outputs, found.outputs)
    assert disagreements(graph, count(graph, wanted), events) == []
    assert received.disagreements(received.received(graph, mapping, wanted, TARGET), events) == []


def test_samples_follow_each_other_as_soon_as_nothing_kept_is_replaced() -> None:
    graph = prepared(attention(), TARGET, 2)
    machine, x = Machine(mapped(graph).images), np.concatenate([inputs(graph)] * 2)[::-1]
    alone, _ = machine.run(x)
    together, _ = machine.run(x, period=period(graph))
    assert np.array_equal(alone.outputs, together.outputs)
    hasty, _ = machine.run(x, period=3 * TICKS)
    assert period(graph) > 3 * TICKS and not np.array_equal(alone.outputs, hasty.outputs)


@pytest.mark.parametrize(
    "copies", [(1, 2), *(pytest.param(c, marks=pytest.mark.slow) for c in [(1,), (3,), (6, 1)])]
)
def test_with_two_stores_samples_follow_each_other_without_a_gap(copies: tuple[int, ...]) -> None:
    one, two = (prepared(attention(2), TARGET, *copies, stores=n) for n in (1, 2))
    each = TICKS * (1 + max(turns(two).last(name) for name in depths(two)))
    assert period(two) == each < period(one)
    x = np.concatenate([inputs(two)] * 3)[:7]
    every = [node.name for node in two]
    wanted, found = interp.run(two, x, every), Machine(mapped(two).images).run(x, every, period(two))[0]
    assert [n for n in every if not np.array_equal(wanted.values[n], found.values[n])] == []
    hasty, _ = Machine(mapped(one).images).run(x, period=period(two))
    assert np.array_equal(wanted.outputs, found.outputs) and not np.array_equal(wanted.outputs, hasty.outputs)


def test_a_second_store_takes_as_much_memory_as_the_first() -> None:
    demands = []
    for stores in (1, 2):
        graph = prepared(attention(), TARGET, 1, stores=stores)
        accounting = Accounting.of(
            graph, TARGET, next(g for g in populations(graph) if "block0_av" in g.names)
        )
        demands.append(accounting.demand(accounting.cells.hosted(np.arange(len(accounting.cells.homes[0])))))
    one, two = demands
    payloads = 2 * TOKENS * 4 * TICKS  # heads, tokens, channels of a head, ticks
    assert two.held_words - one.held_words == payloads * 16 // 64
    assert replace(two, held_words=0) == replace(one, held_words=0)


def test_throughput_takes_two_stores_where_samples_come_sooner_and_there_is_room(tmp_path: Path) -> None:
    graph = attention()
    found = laid_out(graph, TARGET, "throughput", streams=1).mapping
    assert found.notes["stores"] == 2
    assert laid_out(graph, TARGET, "latency", streams=1).mapping.notes["stores"] == 1
    assert laid_out(causal(), TARGET, "throughput", streams=1).mapping.notes["stores"] == 1  # nothing to gain
    (tmp_path / "m.toml").write_text(text := written(found, TARGET))
    again = laid_out(graph, TARGET, "energy", given=read(tmp_path / "m.toml")).mapping
    assert "\nstores = 2\n" in text and written(again, TARGET) == text
    (tmp_path / "m.toml").write_text(text.replace("stores = 2", "stores = 3"))
    with pytest.raises(UsageError) as error:
        read(tmp_path / "m.toml")
    assert error.value.problems[0].code == "ND521"


# --- steps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copies, each", [(1, 6), (2, 3), (4, 2), (6, 1), (9, 1)])
def test_a_segment_takes_a_turn_for_each_token_of_a_copy(copies: int, each: int) -> None:
    graph = prepared(perceptron(), TARGET, copies)
    assert turns(graph).last("fc1") == each - 1
    assert lag(graph) == 2 + (each - 1) * TICKS  # as deep as in space, and the turns before the last
    _, events = Machine(mapped(graph).images).run(inputs(graph))
    assert events.steps == TICKS + lag(graph)
    assert period(graph) == (each * TICKS if each == 1 else (each - 1) * TICKS + max(TICKS, 1))


def test_queries_start_when_the_last_token_of_keys_is_there() -> None:
    space, turned = (prepared(attention(), TARGET, copies) for copies in (0, 2))
    late = {n: depths(turned)[n] - d for n, d in depths(space).items() if n in depths(turned)}
    each = 1 + turns(turned).last("block0_fc1")
    assert late["block0_qkv"] == 0 and late["block0_qk"] == (each - 1) * TICKS
    assert late["block0_av"] == late["block0_fc2"] == (each - 1) * TICKS
    assert late["pool"] == 2 * (each - 1) * TICKS  # once more for the last token of the sum
    kept = {n.name for n in turned for i in range(len(n.inputs)) if turns(turned).kept(n, i)}
    assert kept == {"block0_qk", "block0_av", "pool"}
    assert {g.name: g.turns for g in map_graph(turned, TARGET).groups}["head"] == 1


@pytest.mark.parametrize("copies", [1, 2, 4])
def test_a_causal_model_starts_at_once_and_its_samples_follow_each_other_without_a_gap(copies: int) -> None:
    space, turned = (prepared(causal(2), TARGET, n) for n in (0, copies))
    late = {n: depths(turned)[n] - d for n, d in depths(space).items() if n in depths(turned)}
    each = 1 + turns(turned).last("block0_fc1")
    blocks = {n: steps for n, steps in late.items() if n.startswith("block")}
    assert set(blocks.values()) == {0} and late["pool"] == (each - 1) * TICKS
    assert not [n for n in turned.of(Delay) if n.steps > 4]  # the residual waits no longer than in space
    kept = {n.name for n in turned for i in range(len(n.inputs)) if turns(turned).kept(n, i)}
    assert kept == {"block0_qk", "block0_av", "block1_qk", "block1_av", "pool"}
    assert period(turned) == each * TICKS
    machine, x = Machine(mapped(turned).images), np.concatenate([inputs(turned)] * 2)[::-1]
    alone, together = (machine.run(x, period=steps)[0].outputs for steps in (None, period(turned)))
    assert np.array_equal(alone, together) and np.array_equal(alone, interp.run(turned, x).outputs)


def test_a_token_waits_for_those_that_a_mask_shows_and_keeps_them_as_long() -> None:
    band = np.abs(np.subtract.outer(np.arange(TOKENS), np.arange(TOKENS))) > 1
    graph = prepared(leave_out(attention(1, band)), TARGET, 1)
    space = depths(prepared(attention(), TARGET))
    assert depths(graph)["block0_qk"] - space["block0_qk"] == TICKS  # one token later than its own
    scores, taken = graph.nodes["block0_qk"], turns(graph)
    assert taken.until(scores, 1) == 1 and taken.wait(scores, 1) == TICKS


def test_saturations_of_what_is_kept_count_once_whoever_sees_it() -> None:
    graph = causal()
    loud = graph.nodes["block0_qkv_mt"]
    assert isinstance(loud, Neuron)
    loud = replace(loud, params={**loud.params, "unit_p": 1 << 29, "unit_n": 1 << 29})
    graph = Graph({**graph.nodes, loud.name: loud}, graph.values, graph.header)
    for copies in (0, 1, 2, 4):
        turned = prepared(graph, TARGET, copies)
        wanted = interp.run(turned, x := inputs(turned))
        assert wanted.saturations["block0_qk"] > 0
        assert Machine(mapped(turned).images).run(x)[0].saturations == wanted.saturations


@pytest.mark.parametrize("copies, late", [((1, 2), 3), ((2, 1), 0), ((1, 6), 5), ((6, 1), 0), ((2, 3), 1)])
def test_a_segment_starts_as_soon_as_no_token_that_is_handed_over_is_late(
    copies: tuple[int, int], late: int
) -> None:
    net = Net(timesteps=TICKS)
    x = net.lif(net.dense(net.input("NC", TOKENS, 5), 8, "fc1"), "lif1")
    mixed = net.view(net.reduce(x, "sum", (0,), "C", "all"), "broadcast", (TOKENS, 8), "NC", "back")
    graph = prepared(
        net.output(net.dense(net.lif(net.total(x, mixed, name="both"), "lif2"), 3, "fc2")), TARGET, *copies
    )
    (kept,) = (n for n in graph.of(Delay) if n.keeps and n.inputs == ("lif1",))
    level, taken, found = depths(graph), turns(graph), turns(graph).token[kept.name]
    earliest = (
        level["lif1"] + found // taken.of("lif1") * TICKS + 1 - found // taken.of(kept.name) * TICKS
    ).max()
    assert late == int((np.arange(TOKENS) // copies[0] - np.arange(TOKENS) // copies[1]).max())
    assert level[kept.name] >= earliest == level["lif1"] + 1 + late * TICKS
    images, frames = mapped(graph).images, inputs(graph)
    assert np.array_equal(Machine(images).run(frames)[0].outputs, interp.run(graph, frames).outputs)


def test_waits_longer_than_any_delay_are_kept_by_one() -> None:
    long = TARGET.limits.delay_steps.model_copy(update={"value": 8})
    target = TARGET.model_copy(update={"limits": TARGET.limits.model_copy(update={"delay_steps": long})})
    graph = prepared(attention(), target, 1)
    waiting = {n.name: n.keeps for n in graph.of(Delay)}
    assert set(waiting.values()) == {"own", ""} and all(n.keeps or n.steps <= 8 for n in graph.of(Delay))
    mapping = map_graph(graph, target)
    assert mapping.fits
    images, x = encode(graph, mapping, target).images, inputs(graph)
    assert np.array_equal(Machine(images).run(x)[0].outputs, interp.run(graph, x).outputs)


# --- memory ------------------------------------------------------------------------------------------------------


def demands(mapping: Mapping, group: str) -> Demand:
    """What the pieces of a group need together."""
    return sum((p.demand for core in mapping.cores for p in core.pieces if p.group == group), Demand())


def test_a_core_has_neurons_synapses_and_axons_of_one_token() -> None:
    one, every = (mapped(prepared(attention(), TARGET, copies)) for copies in (1, 0))
    turned, space = (demands(m, "block0_fc1") for m in (one, every))
    assert turned.neurons * TOKENS == space.neurons and turned.axon_out * TOKENS == space.axon_out
    for mapping in (one, every):
        for place, image in zip(mapping.cores, mapping.images, strict=False):
            assert len(image.tables["synapses"]) == place.demand.synapse_words
            assert len(image.tables["axons"]) <= place.demand.axon_in  # pieces of a core share them


def test_what_is_kept_has_room_for_every_token_and_tick() -> None:
    graph = prepared(attention(), TARGET, 2)
    mapping, bits = mapped(graph), graph.values["block0_v"].width
    copies, payloads = 2, TICKS * TOKENS * 8  # of all heads
    assert demands(mapping, "block0_av").held_words >= copies * payloads * bits // 64
    ports = [
        image.port_size(port) for image in mapping.images for port in image.tables["kept"][:, 0].tolist()
        if image.ports_of[port] == "block0_av"
    ]  # fmt: skip
    assert [size * TICKS for size in ports] == [payloads] * copies


# --- the user's say ----------------------------------------------------------------------------------------------


def test_a_mapping_file_says_it_and_gives_the_same_map_again(tmp_path: Path) -> None:
    graph = attention()
    first = laid_out(graph, TARGET, "latency", streams=2).mapping
    (tmp_path / "m.toml").write_text(text := written(first, TARGET))
    assert "\nstreams = 2\n" in text and "tokens = 2" in text
    again = laid_out(graph, TARGET, "energy", given=read(tmp_path / "m.toml")).mapping
    assert written(again, TARGET) == text
    assert [g.layout for g in again.groups] == [g.layout for g in first.groups]


@pytest.mark.parametrize("copies", [(2, 1), (1, 6)], ids=["fewer", "then in space"])
def test_a_mapping_file_says_the_copies_of_every_segment(tmp_path: Path, copies: tuple[int, ...]) -> None:
    graph = attention()
    first = placed(planned(prepared(graph, TARGET, *copies), TARGET, "latency"))
    assert first.fits and first.notes["streams"] == list(copies)
    (tmp_path / "m.toml").write_text(text := written(first, TARGET))
    assert "streams = " not in text
    again = laid_out(graph, TARGET, "energy", given=read(tmp_path / "m.toml")).mapping
    assert written(again, TARGET) == text
    assert [(g.layout, g.copies) for g in again.groups] == [(g.layout, g.copies) for g in first.groups]


def test_one_layer_speaks_for_its_segment(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('[layer."block0_qkv*"]\nlayout = { copies = 2 }\n')
    found = laid_out(attention(), TARGET, "cores", given=read(tmp_path / "m.toml"), streams=3).mapping
    copies = {g.name: g.copies for g in found.groups if g.layout != "host"}
    assert found.notes["streams"] == [2, 3]
    assert copies["patch"] == copies["block0_qkv"] == 2
    assert (
        copies["block0_qk"] == copies["block0_av"] == copies["block0_fc1"] == 3
    )  # behind the mixture of tokens
    assert copies["pool"] == copies["head"] == 0


CONTRADICTIONS = {
    "layers of one segment": "[layer.patch]\nlayout = { copies = 2 }\n[layer.block0_qkv]\nlayout = { copies = 3 }\n",
    "no tokens": "[layer.head]\nlayout = { copies = 2 }\n",
    "no number": "[layer.patch]\nlayout = { copies = [1, 2] }\n",
    "none": "[layer.patch]\nlayout = { copies = 0 }\n",
}


@pytest.mark.parametrize("said", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_copies_that_contradict_each_other_are_refused(tmp_path: Path, said: str) -> None:
    (tmp_path / "m.toml").write_text(said)
    with pytest.raises(UsageError, match="ND523"):
        laid_out(attention(), TARGET, "cores", given=read(tmp_path / "m.toml"))


@pytest.mark.parametrize("said", ["streams = -1", 'streams = "two"', "streams = true"])
def test_a_number_of_copies_is_a_number(tmp_path: Path, said: str) -> None:
    (tmp_path / "m.toml").write_text(said)
    with pytest.raises(UsageError, match="ND521"):
        read(tmp_path / "m.toml")


def test_tokens_that_take_turns_are_cut_into_their_copies(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text("streams = 2\n[layer.fc1]\nlayout = { tokens = 3 }\n")
    with pytest.raises(UsageError, match="ND523") as caught:
        laid_out(perceptron(), TARGET, "cores", given=read(tmp_path / "m.toml"))
    assert caught.value.problems[0].fixes == ("tokens = 2",)


def test_tokens_take_turns_where_nothing_else_fits() -> None:
    target = limited(neurons_per_core=12).with_chips(1)
    target = target.model_copy(update={"chip": target.chip.model_copy(update={"cores_per_chip": 14})})
    space = laid_out(attention(), target, "energy", streams=0).mapping
    assert not space.fits
    found = laid_out(attention(), target, "energy").mapping
    assert found.fits and set(found.notes["streams"]) == {1}
    fits = laid_out(attention(), TARGET, "energy").mapping
    assert fits.fits and "streams" not in fits.notes


# --- what cannot be ----------------------------------------------------------------------------------------------


def delayed() -> Graph:
    graph = perceptron()
    (_, last) = graph.of(Synapse)
    nodes = {**graph.nodes, last.name: replace(last, delay=1)}
    return Graph(nodes, graph.values, graph.header)


def odd() -> Graph:
    """A token that is a constant where others are computed."""
    net = Net(timesteps=TICKS)
    x = net.dense(net.input("NC", TOKENS, 5), 12, "fc1")
    extra = net.const(np.ones((1, 12), dtype=np.int64), "NC", "cls")
    return net.output(
        net.dense(net.lif(net.view((extra, x), "concat", (0,), "NC", "joined"), "lif"), 3, "fc2")
    )


@pytest.mark.parametrize(
    "graph", [mlp((8, 8, 4)), delayed(), odd()], ids=["no tokens", "delays", "a constant"]
)
def test_what_cannot_take_turns_is_refused(graph: Graph) -> None:
    problems = map_graph(prepared(graph, TARGET, 1), TARGET).problems
    assert {p.code for p in problems if p.severity == "error"} == {"ND527"}


def test_lava_runs_the_same_graph_in_space_and_sanafe_does_not() -> None:
    graph = prepared(attention(), TARGET, 2)
    program = Program(graph, mapped(graph))
    space = lowered(program).graph
    assert space.header.copies == () and max(depths(space).values()) < lag(graph) + 1
    x = inputs(graph)
    assert np.array_equal(interp.run(space, x).outputs, interp.run(graph, x).outputs)
    with pytest.raises(BackendError, match="ND742"):
        lowered(program, "core")
    with pytest.raises(GraphError, match="ND230"):
        network(program, TARGET, x)


def test_what_is_kept_is_no_surer_than_a_held_operand() -> None:
    space, turned = (grades(prepared(attention(), TARGET, copies), TARGET) for copies in (0, 2))
    assert turned["pool"][0] == TARGET.silicon.held_operand.grade != space["pool"][0]
    assert turned["block0_fc1"] == space["block0_fc1"]


def test_what_is_too_large_to_be_executed_whole_has_the_same_costs() -> None:
    laid = laid_out(attention(), TARGET, "cores", streams=2)
    whole = imaged(laid, TARGET, 600.0)
    found = imaged(laid, TARGET, sampled.expected_s(laid.graph, laid.mapping) * 0.99)
    assert whole.mapping.images and found.program.unimaged and found.warnings == whole.warnings
    x = inputs(laid.graph)
    _, events = Machine(whole.mapping.images).run(x)
    booking = booked.booked(
        laid.graph, laid.mapping, interp.run(laid.graph, x, booked.names(laid.graph)), TARGET
    )
    one, other = (estimate(found.program, each, TARGET) for each in (events, booking))
    for name in ("core_pj", "node_pj", "layers"):
        assert getattr(one, name) == getattr(other, name), name
    assert np.allclose(one.timing.step_ns, other.timing.step_ns)
    assert np.allclose(one.timing.steady_ns, other.timing.steady_ns)
    assert np.allclose(one.contended.step_ns, other.contended.step_ns)


def test_counts_beyond_memory_are_said_and_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    laid = laid_out(attention(), TARGET, "cores", streams=2)
    steps = TICKS + laid.mapping.depth
    monkeypatch.setattr(booked, "MOST_COUNTED", len(laid.mapping.cores) * steps * len(EVENT_KINDS) - 1)
    assert booked.samples_at_once(laid.graph, laid.mapping) == 0
    found = imaged(laid, TARGET, 0.0)
    (said,) = (p for p in found.warnings if p.code == "ND528")
    assert said.found == f"{len(laid.mapping.cores)} cores x {steps} steps"
    assert (
        str(Sampled((0, 1), 3, counted=False)) == "sampled: 2 of 3 cores executed, and not counted: see ND528"
    )


def test_objectives_weigh_turns_against_space() -> None:
    target = limited(neurons_per_core=12)
    few, fast = (laid_out(attention(), target, objective).mapping for objective in ("cores", "latency"))
    space, turned = (laid_out(attention(), target, "cores", streams=s).mapping for s in (0, 1))
    assert few.notes["streams"] and "streams" not in fast.notes
    assert len(few.cores) <= len(turned.cores) < len(space.cores)
    taken, *others = few.notes["search"]["plans"]
    assert taken["cores"] == len(few.cores)
    assert {"plan": "tokens in space"}.items() <= others[-1].items() and others[-1]["cores"] > taken["cores"]


@pytest.mark.parametrize("copies", [(2,), (4,)])
def test_an_expected_period_is_the_fold_of_what_cores_take_in_and_do_in_a_frame(
    copies: tuple[int, ...],
) -> None:
    """As the report folds counts; on free links, since those of a frame are folded beside it."""
    costs, none = TARGET.costs.time_ns, dict.fromkeys(("low", "nominal", "high"), 0.0)
    links = ("mesh_bit", "chip_bit", "host_packet")
    cost = {name: getattr(costs, name).model_copy(update=none) for name in links}
    target = TARGET.model_copy(
        update={"costs": TARGET.costs.model_copy(update={"time_ns": costs.model_copy(update=cost)})}
    )
    plan = planned(prepared(attention(), target, *copies), target, "cores").plan
    apart, most = period(plan.graph), np.zeros(period(plan.graph))
    assert apart > max(g.turns for g in plan.groups) * TICKS  # some steps of a period only take in
    for group in (g for g in plan.groups if g.name in plan.tilings):
        tiles = plan.expected[group.name]
        frame = np.zeros((len(tiles), plan.steps, len(EVENT_KINDS)))
        staged = [PRICED[kind].stage if kind in PRICED else None for kind in EVENT_KINDS]
        taken = np.array([stage in TAKING_IN for stage in staged])
        for tick in range(TICKS * group.turns):
            frame[:, group.depth + tick - 1] += tiles * taken
            frame[:, group.depth + tick] += tiles * ~taken
        work = fold(stages(frame, EVENT_KINDS, target, "nominal"), apart)
        barrier = barrier_ns(target.model_copy(update={"chips": plan.chips}), "nominal")
        most = np.maximum(most, lasting([*work, barrier], target, "nominal").max(axis=0))
    assert plan.period_ns == pytest.approx(most.sum())


@pytest.mark.parametrize("copies", [0, 2])
def test_the_work_of_products_is_shared_out_with_their_running_sums(copies: int) -> None:
    graph = prepared(attention(), TARGET, copies)
    parts = [Accounting.of(graph, TARGET, g) for g in populations(graph) if not g.on_host]
    products = [part for part in parts if {type(node) for node in part.group.entries} == {Product}]
    assert len(products) == 2
    for part in products:
        assert work(part).ns.sum() == pytest.approx(
            stages(whole(part), EVENT_KINDS, TARGET, "nominal").sum(), rel=1e-5
        )


@pytest.mark.parametrize("copies", [(1,), (2,), (3, 1), (1, 6)])
def test_expected_steps_and_their_cost_are_those_that_cores_count(copies: tuple[int, ...]) -> None:
    found = planned(prepared(attention(), TARGET, *copies), TARGET, "energy")
    graph, mapping = found.plan.graph, placed(found)
    program = Program(graph, encode(graph, mapping, TARGET))
    _, events = Machine(program.mapping.images).run(inputs(graph))
    counted = estimate(program, events, TARGET)
    assert events.steps == found.plan.steps
    assert 0.8 < found.plan.latency_ns / counted.timing.latency_ns.nominal < 1.25
    # Kept operands are summed up anew in every turn. Nobody measured how active they are: more is expected.
    kind = EVENT_KINDS.index("state_accesses")
    expected = sum(counts[kind] for counts in found.plan.counts.values()) * TICKS
    assert 0.5 < expected / events.core_counts[..., kind].sum(axis=(1, 2)).mean() < 2.5


def stemmed() -> Graph:
    """A convolution whose windows overlap, and spikes of it as tokens of an attention: tokens take turns behind it."""
    net = Net(timesteps=TICKS)
    x = net.lif(net.conv(net.input("CYX", 1, 10, 6), 8, 3, 1, name="stem"), "stem_lif")
    x = net.lif(net.conv(x, 8, 2, 2, name="patch"), "patch_lif")
    rows, columns = net.sizes(x)[1:]
    x = net.view(net.view(x, "reshape", (8, rows * columns), "CN", "flat"), "permute", (1, 0), "NC", "tokens")
    x = net.lif(net.dense(x, 16, "embed"), "embed_lif")
    x = spiking_block(net, spiking_block(net, x, "block0"), "block1")
    return net.output(net.dense(net.reduce(x, "sum", (0,), "C", "pool"), 4, "head"))


@pytest.mark.parametrize("objective", ["cores", "energy"])
def test_cuts_of_an_earlier_plan_hold_where_no_tokens_take_turns(objective: str) -> None:
    graph = stemmed()
    space = planned(prepared(graph, TARGET), TARGET, objective)
    turned = prepared(graph, TARGET, 2)
    alone, after = (planned(turned, TARGET, objective, earlier=cuts) for cuts in ({}, space.cuts))
    assert after.plan.cost == alone.plan.cost
    for name, tiling in after.plan.tilings.items():
        other = alone.plan.tilings[name]
        assert (tiling.cut.layout, tiling.demands) == (other.cut.layout, other.demands)
        assert tiling.accounting.graph is turned
    shared = [key for key in after.cuts if after.cuts[key] is space.cuts.get(key)]
    assert shared and len(shared) < len(space.cuts)


def test_repeated_layers_share_what_is_found_about_their_neurons_and_tokens() -> None:
    plan = planned(prepared(attention(2), TARGET, 2), TARGET).plan
    first, second = (plan.tilings[f"block{i}_qk"].accounting.cells for i in (0, 1))
    assert first is not second and first.homes is second.homes and first.residents is second.residents
    assert [*first.element.values()] == [*second.element.values()]
    token = turns(plan.graph).token
    assert token["block0_softmax"] is token["block1_softmax"]
