"""Steps by events: cases by hand, what no step can beat, and trains that come to the same as packets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.cost import queues
from neurodeploy.cost.contention import Stage, Wires, contended, step_times, works
from neurodeploy.ir.trace import EVENT_KINDS, HOST, Events, Flows, Link, Router
from neurodeploy.mapping.routes import route
from neurodeploy.mapping.topology import DIRECT, Topology
from neurodeploy.price import stages
from neurodeploy.target import load
from tests.fast import fast
from tests.unit.cost import plain_queues

WIRES = Wires(mesh_ns=2.0, chip_ns=5.0, host_ns=10.0, hop_x_ns=3.0, hop_y_ns=4.0, buffer=16)
FREE = Wires(0.0, 0.0, 0.0, 0.0, 0.0, buffer=16)
HERE, EAST, NORTH, FAR = Router(0, 0, 0), Router(0, 1, 0), Router(0, 1, 1), Router(1, 0, 0)
Sent = dict[tuple[int, int], float]


def flows(sent: Sent, spans: list[tuple[int, int]] | None = None) -> Flows:
    """Packets of one step."""
    ends = np.array(list(sent)).reshape(-1, 2)
    packets = np.array(list(sent.values()), dtype=np.float32).reshape(-1, 1)
    return Flows(ends, packets, np.array(spans, dtype=np.float32)) if spans else Flows(ends, packets)


def step(
    sent: Sent,
    places: list[Router],
    program: dict[int, float],
    receive: dict[int, float],
    wires: Wires = WIRES,
    spans: list[tuple[int, int]] | None = None,
) -> tuple[float, Stage]:
    """Time of a step, and what it waits for."""
    programs, receiving = np.zeros((2, len(places), 1))
    for row, given in ((programs, program), (receiving, receive)):
        for core, ns in given.items():
            row[core] = ns
    found = step_times(flows(sent, spans), places, programs, receiving, wires)
    return float(found.step_ns[0]), found.critical[0]


def link(start: Router, end: Router) -> Stage:
    return Stage(Link(start, end).kind, link=Link(start, end))


CASES = {
    # The last packet leaves with the program's end, crosses a link (2) and a hop (3), and is served (1).
    "slow sender": ({(0, 1): 10}, [HERE, EAST], {0: 100}, {1: 10}, 100 + 2 + 3 + 1, Stage("program", 0)),
    # The first one is there after 1 + 2 + 3, and ten of 50 each follow.
    "slow receiver": ({(0, 1): 10}, [HERE, EAST], {0: 10}, {1: 500}, 1 + 2 + 3 + 500, Stage("receive", 1)),
    "same router": ({(0, 1): 10}, [HERE, HERE], {0: 10}, {1: 500}, 1 + 500, Stage("receive", 1)),
    "itself": ({(0, 0): 10}, [HERE], {0: 10}, {0: 500}, 1 + 500, Stage("receive", 0)),
    # Two senders of 30 packets each at once: the link takes one after the other.
    "shared link": (
        {(0, 2): 30, (1, 3): 30}, [HERE, HERE, EAST, EAST], {}, {}, 60 * 2 + 3, link(HERE, EAST)
    ),
    # The first packet is there after a service and a hop; the second link then works through all of them.
    "x, then y": ({(0, 1): 30}, [HERE, NORTH], {}, {}, 3 + 2 + 30 * 2 + 4, link(EAST, NORTH)),
    "between chips": ({(0, 1): 10}, [HERE, FAR], {}, {}, 10 * 5, link(HERE, FAR)),
    # Into and out of the chip through one interface; the last packet out needs no more than that.
    "host": ({(-1, 0): 10, (0, -1): 10}, [HERE], {}, {}, 20 * 10, Stage("host")),
    "nothing sent": ({}, [HERE, EAST], {0: 70}, {1: 90}, 90, Stage("receive", 1)),
    "nothing": ({}, [HERE], {}, {}, 0, Stage("idle")),
    # Arrivals without packets in this step are work all the same.
    "work alone": ({(0, 1): 1}, [HERE, EAST, EAST], {}, {2: 900}, 900, Stage("receive", 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_steps_by_hand(name: str) -> None:
    *given, time, stage = CASES[name]
    lasts, critical = step(*given)
    assert lasts == pytest.approx(time) and critical == stage


@pytest.mark.parametrize(("room", "time"), [(1, 130), (2, 120), (16, 100)])
def test_a_full_buffer_blocks_what_comes_behind(room: int, time: float) -> None:
    """Four packets of 10 ns each for one core, then one of 100 ns for another, over the same link.

    With room for one, the fifth reaches its core when the receiver of the others begins with the fourth; with room for
    two, one service earlier.
    """
    sent, places = {(0, 1): 4.0, (0, 2): 1.0}, [HERE, EAST, EAST]
    wires, spans = replace(FREE, buffer=room), [(0, 3), (4, 4)]
    assert step(sent, places, {}, {1: 40, 2: 100}, wires, spans)[0] == time


def test_a_step_waits_for_what_blocks_not_for_what_is_blocked() -> None:
    """As above, each ten times as long: 300 of 450 ns pass while the fifth packet waits for the first receiver."""
    sent, places = {(0, 1): 4.0, (0, 2): 1.0}, [HERE, EAST, EAST]
    wires, spans = replace(FREE, buffer=1), [(0, 3), (4, 4)]
    assert step(sent, places, {}, {1: 400, 2: 150}, wires, spans) == (450, Stage("receive", 1))


def test_a_blocked_core_works_on_later() -> None:
    """Room for one: the third packet leaves when the receiver is done with the first, and only then work goes on."""
    sent, places, spans = {(0, 1): 3.0, (0, 2): 1.0}, [HERE, HERE, HERE], [(0, 2), (3, 3)]
    wires, work = replace(FREE, buffer=1), {1: 300, 2: 500}
    assert step(sent, places, {0: 4}, work, wires, spans) == (1 + 200 + 1 + 500, Stage("receive", 2))
    assert step(sent, places, {0: 4}, work, FREE, spans)[0] == 4 + 500


def test_who_comes_first_decides() -> None:
    """A short flow before, behind and among a long one to another core, whose own work is the shorter one."""
    sent, places = {(0, 1): 100.0, (0, 2): 10.0}, [HERE, HERE, HERE]

    def time(spans: list[tuple[int, int]] | None) -> float:
        return step(sent, places, {0: 110}, {2: 1000}, FREE, spans)[0]

    assert time([(10, 99), (0, 9)]) == pytest.approx(1 + 1000)
    assert time([(0, 89), (90, 99)]) == pytest.approx(101 + 1000)
    assert 1 + 1000 < time(None) < 101 + 1000


def random_case(
    seed: int, cores: int = 24, chips: int = 2
) -> tuple[Flows, list[Router], np.ndarray, np.ndarray]:
    """Two steps of bursts between cores of a few chips and the host; work with and without packets."""
    rng = np.random.default_rng(seed)
    places = [Router(*rng.integers(0, (chips, 4, 3)).tolist()) for _ in range(cores)]
    ends = np.unique(rng.integers(-1, cores, (6 * cores, 2)), axis=0)
    ends = ends[(ends >= 0).any(axis=1)]
    packets = rng.poisson(rng.choice([0.0, 2.0, 60.0], (len(ends), 2))).astype(np.float32)
    program, receive = rng.exponential(300.0, (2, cores, 2))
    return (
        Flows(ends, packets, np.sort(rng.integers(0, 99, (len(ends), 2)), axis=1)),
        places,
        program,
        receive,
    )


def busiest(given: Flows, places: list[Router], wires: Wires) -> np.ndarray:
    """Nanoseconds of the busiest link in each step."""
    total: dict[Link | str, np.ndarray] = {}
    each = {"mesh": wires.mesh_ns, "chip": wires.chip_ns, "host": wires.host_ns}
    for ends, packets in zip(given.ends.tolist(), given.packets, strict=True):
        a, b = (places[end] if end >= 0 else None for end in ends)
        for way in route(a, b, wires.topology):
            key = "host" if HOST in way else way
            total[key] = total.get(key, 0) + each[way.kind] * packets
    return np.max(list(total.values()), axis=0)


@pytest.mark.parametrize(
    ("seed", "room"), fast([(s, r) for s in range(8) for r in (1, 4, 16)], (0, 1), (1, 16))
)
def test_no_step_beats_a_core_or_a_link(seed: int, room: int) -> None:
    """Packets that are never delivered, as in a circle of full buffers, would not be waited for."""
    given, places, program, receive = random_case(seed)
    wires = replace(WIRES, buffer=room)
    found = step_times(given, places, program, receive, wires, budget=10**9)
    assert found.train == 1.0
    for bound in (program.max(axis=0), receive.max(axis=0), busiest(given, places, wires)):
        assert (found.step_ns >= bound * (1 - 1e-6)).all()
    assert ((found.share > 0) & (found.share <= 1 + 1e-9)).all()


def copied(
    rows: list[tuple[int, list[int], float]], places: list[Router], wires: Wires, **work: dict
) -> float:
    """Time of a step whose packets are copied: rows of a sender, its receivers and packets."""
    halves = np.zeros((2, len(places), 1))
    for half, name in zip(halves, ("program", "receive"), strict=True):
        for core, ns in work.get(name, {}).items():
            half[core] = ns
    packets = np.array([[amount] for *_, amount in rows], dtype=np.float32)
    reached = [(source, targets) for source, targets, _ in rows]
    given = Flows.of(reached, packets, np.zeros((0, 2)), multicast=True)
    return float(step_times(given, places, halves[0], halves[1], wires).step_ns[0])


def test_a_copied_packet_takes_a_shared_link_once() -> None:
    """Ten packets to two cores behind one link (2) and hop (3), of which one has a further link of its own (4)."""
    places = [HERE, EAST, NORTH]
    assert copied([(0, [1, 2], 10)], places, WIRES) == pytest.approx(10 * 2 + 3 + 2 + 4)
    assert copied([(0, [1], 10), (0, [2], 10)], places, WIRES) == pytest.approx(20 * 2 + 3 + 2 + 4, abs=2.1)
    # Both take in what arrives at the same time.
    assert copied([(0, [1, 2], 10)], places, FREE, receive={1: 500, 2: 400}) == pytest.approx(500)


def test_a_host_sends_a_packet_for_each_chip() -> None:
    """Cores of one chip share the packet, those of another have one of their own: 10 ns each at the interface."""
    places = [HERE, EAST, Router(1, 0, 0)]
    assert copied([(-1, [0, 1], 10)], places, replace(WIRES, mesh_ns=0, hop_x_ns=0)) == pytest.approx(100)
    assert copied([(-1, [0, 1, 2], 10)], places, replace(WIRES, mesh_ns=0, hop_x_ns=0)) == pytest.approx(200)


def test_a_copy_that_finds_no_room_holds_up_the_packet() -> None:
    """Room for one: what comes in at a core of 100 ns each while the one before is served is copied to the other then.

    The packet waits until both have it, so the slower core says when the step ends.
    """
    wires, places = replace(FREE, buffer=1), [HERE, HERE, HERE]
    assert copied([(0, [1, 2], 4)], places, wires, receive={1: 400, 2: 40}) == pytest.approx(400)
    assert copied([(0, [1, 2], 4)], places, wires, receive={1: 400, 2: 1200}) == pytest.approx(1200)
    alone = copied([(0, [1], 4), (0, [2], 4)], places, replace(FREE, buffer=16), receive={1: 400, 2: 400})
    assert alone == pytest.approx(400)


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_one_receiver_are_pairs(seed: int) -> None:
    given, places, program, receive = random_case(seed)
    same = Flows.of([(a, [b]) for a, b in given.ends.tolist()], given.packets, given.spans, multicast=True)
    found, again = (step_times(flows, places, program, receive, WIRES) for flows in (given, same))
    assert found.step_ns.tolist() == again.step_ns.tolist() and found.critical == again.critical


@pytest.mark.parametrize("room", [1, 4])
@pytest.mark.parametrize("seed", range(3))
def test_no_step_with_copied_packets_beats_a_core_or_a_link(seed: int, room: int) -> None:
    """All rows of a sender in bundles of up to four receivers; every copy arrives, whatever is full."""
    given, places, program, receive = random_case(seed)
    rng, rows = np.random.default_rng(seed), list[tuple[int, list[int]]]()
    for source in np.unique(given.ends[:, 0]).tolist():
        ends = given.ends[given.ends[:, 0] == source, 1].tolist()
        while ends:
            size = int(rng.integers(1, 5))
            rows.append((source, ends[:size]))
            ends = ends[size:]
    packets = rng.poisson(20.0, (len(rows), 2)).astype(np.float32)
    wires = replace(WIRES, buffer=room)
    copies = Flows.of(rows, packets, np.zeros((0, 2)), multicast=True)
    found = step_times(copies, places, program, receive, wires, budget=10**9)
    load: dict[Link | str, np.ndarray] = {}
    each = {"mesh": wires.mesh_ns, "chip": wires.chip_ns, "host": wires.host_ns}
    for (source, targets), amount in zip(rows, packets, strict=True):
        start, *ends = (places[end] if end >= 0 else None for end in (source, *targets))
        for link in {link for end in ends for link in route(start, end, wires.topology)}:
            key = "host" if HOST in link else link
            load[key] = load.get(key, 0) + each[link.kind] * amount
    fullest = np.max(list(load.values()), axis=0)
    for bound in (program.max(axis=0), receive.max(axis=0), fullest):
        assert (found.step_ns >= bound * (1 - 1e-6)).all()


@pytest.mark.parametrize("budget", fast([10**9, 20_000, 2_000], 20_000))
@pytest.mark.parametrize("room", [1, 2, 16])
def test_compiled_queues_are_plain_ones(room: int, budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit, with ties, what blocks, and trains of many packets; also over the chips of a board."""
    board = Topology((2,), ((3, 1), (0, 1), (1, 2), (1, 0)))
    for seed, topology in ((0, DIRECT), (1, board)):
        case = random_case(seed, cores=24, chips=4 if topology is board else 2)
        wires = replace(WIRES, buffer=room, topology=topology)
        found = step_times(*case, wires, budget=budget)
        with monkeypatch.context() as plain:
            plain.setattr(queues, "served", plain_queues.served)
            again = step_times(*case, wires, budget=budget)
        assert (found.train > 1) == (budget < 10**9)
        assert found.step_ns.tolist() == again.step_ns.tolist()
        assert found.share.tolist() == again.share.tolist() and found.critical == again.critical


@pytest.mark.parametrize("seed", range(3))
def test_chips_of_a_board_do_not_block_each_other_in_a_circle(seed: int) -> None:
    """Two by two chips with ports on all sides: with room for one packet between chips, most would never arrive."""
    given, places, program, receive = random_case(seed, cores=40, chips=4)
    board = Topology((2,), ((3, 1), (0, 1), (1, 2), (1, 0)))
    wires = replace(WIRES, buffer=1, topology=board)
    found = step_times(given, places, program, receive, wires, budget=10**9)
    assert (found.step_ns >= busiest(given, places, wires) * (1 - 1e-6)).all()


@pytest.mark.parametrize("seed", range(2))
def test_trains_come_to_the_same_as_packets(seed: int) -> None:
    case = random_case(seed)
    exact, *coarser = (step_times(*case, WIRES, budget=budget) for budget in (10**9, 20_000, 10_000, 2_000))
    off = [float(np.abs(found.step_ns / exact.step_ns - 1).max()) for found in coarser]
    assert 1 < coarser[0].train < coarser[1].train < coarser[2].train
    assert off[0] < 0.05 and off[1] < 0.1 and off[2] < 0.15


def test_the_last_packet_of_a_train_is_waited_for() -> None:
    """The slow sender of above with all its packets in one train."""
    programs, receiving = np.array([[[100.0], [0.0]], [[0.0], [10.0]]])
    found = step_times(flows({(0, 1): 10}), [HERE, EAST], programs, receiving, WIRES, budget=1)
    assert found.train > 10 and found.step_ns[0] == pytest.approx(100 + 2 + 3 + 1)


def test_fractions_of_a_packet_are_served_in_a_fraction_of_the_time() -> None:
    assert step({(0, 1): 0.25}, [HERE, EAST], {0: 40}, {1: 8})[0] == pytest.approx(40 + 0.25 * 2 + 3 + 8)


def test_work_is_split_between_the_halves() -> None:
    target = load("loihi-sim")
    counts = np.arange(len(EVENT_KINDS)) + 1.0
    number = {kind: i + 1 for i, kind in enumerate(EVENT_KINDS)}
    halves = (
        {"product_op": ("product_ops",), "neuron_update": ("stock_updates",), "neuron_spike": ("spikes",),
         "axon_out": ("packets_out",), "microcode_op": ("program_ops", "microcode_ops"),
         "state_access": ("state_accesses", "reset_words")},
        {"synaptic_op": ("synaptic_ops",)},
        {"axon_in": ("packets_in",), "memory_read": ("memory_reads",)},
    )  # fmt: skip
    programs, receiving = works(stages(counts, EVENT_KINDS, target, "nominal"), target)
    times = [
        sum(getattr(target.costs.time_ns, key).nominal * number[kind] for key in half for kind in half[key])
        for half in halves
    ]
    share = target.costs.step.serial_share.nominal
    received = max(times[1:]) + share * min(times[1:])
    # The longer half lasts as long as the core takes for all of it.
    assert max(programs, receiving) == pytest.approx(max(times) + share * (sum(times) - max(times)))
    assert programs / receiving == pytest.approx(times[0] / received)


def test_a_frame_and_a_period_by_events_have_the_barrier_of_the_target() -> None:
    target = load("loihi-sim")
    idle = Events(1, 5, np.zeros((1, 2, 5, len(EVENT_KINDS))), {}, {}, {}, {}, {})
    found = contended(idle, [HERE, EAST], target, 2)
    barrier = target.costs.time_ns.barrier.nominal
    assert (found.latency_ns, found.period_ns) == pytest.approx((5 * barrier, 2 * barrier))
    assert found.step_ns.shape == (5,)


def test_wires_are_those_of_the_target() -> None:
    target = load("loihi-sim")
    keys = ("mesh_bit", "chip_bit", "host_packet", "packet_hop_x", "packet_hop_y")
    mesh, chip, host, x, y = (getattr(target.costs.time_ns, key).high for key in keys)
    assert Wires.of(target, 40, "high", 4) == Wires(
        40 * mesh, 40 * chip, host, x, y, buffer=4, topology=Topology.of(target)
    )
    assert (
        Wires.of(target, 40).buffer
        == target.chip.link_buffer_packets
        == load("loihi1").chip.link_buffer_packets
    )
    endless = target.model_copy(update={"chip": target.chip.model_copy(update={"link_buffer_packets": 0})})
    assert Wires.of(endless, 40).buffer == float("inf")
