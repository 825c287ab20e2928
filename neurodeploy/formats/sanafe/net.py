"""A mapped network as SANA-FE can hold it: who sends to which core when, and what each message meets there.

Everything is read from the memory images of the cores, as ``loihi-sim`` reads them. SANA-FE computes in doubles and
knows neither products nor microcode, so nothing is left to its dynamics: every sender replays the steps at which the
simulated cores sent its value, and what it sends ends in accumulators that never fire. One SANA-FE group holds the
neurons of one graph node:

* ``NODE``: the senders. A neuron of one of the chip's own models pays an update in every step and a spike where it
  fires; another neuron, and a sender of another kind (a sum, a product, a delay line), pays its spikes alone; those of
  the host pay nothing.
* ``NODE/currents``: the targets of a node's weights, with the weights of the image. Their potential is the weighted
  sum of the step before.
* ``NODE/arrivals``: one neuron per core where messages arrive that meet no weight (operands of products and of sums,
  delay lines, the host), over a connection without cost.

SANA-FE gives every neuron a unit of hardware; ``unit`` says which. The host has a core of its own in each tile that it
sends into, so that its messages cross no link, as ours do not.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

import numpy as np

from ...array import Array
from ...backends.loihi_sim import MEMBER as LOIHI_SIM
from ...errors import GraphError, Problem, SimulateError, UsageError, unknown_name
from ...image import HOST, CoreImage, Receiver, addresses_read, exports, origins, places, receiver
from ...ir.graph import Graph, free_name
from ...ir.neuron_model import NEURONS
from ...ir.nodes import Delay, Micro, Neuron, Node, Output, Product, Reduce, Sum, Synapse
from ...ir.trace import Events
from ...mapping.topology import HOST_PORT
from ...program import Program
from ...target import Target
from .._base import Refusals

UNIT = 1024  # neurons that one dendrite or soma unit of SANA-FE holds
BYTES_PER_SYNAPSE = 2000  # measured with 2.2.9: 1.9 kB, of which reading the file takes more than half
MEMORY_GB = 8.0  # what the simulator may take unless told otherwise

#: kinds of senders, as they are priced
SENDERS = NEURON, RELAY, FREE = "neuron", "relay", "free"


#: a tile, a core in it, and a kind of unit there
Place = tuple[int, int, str]
#: (site, sender, address, weight) of what arrives, by node and whether it meets weights
Rows = dict[tuple[str, bool], list[tuple[Array, ...]]]


@dataclass(frozen=True, eq=False)
class Group:
    """Neurons of one node in one role; arrays have one entry per neuron.

    ``index``: flat element of the node's value (senders), address in the core's inbox (currents), 0 (arrivals).
    ``tile`` and ``core`` (its number in the tile) as in the architecture; ``depth``: the step of tick t is t + depth.
    """

    label: str
    node: str
    role: str
    index: Array
    tile: Array
    core: Array
    depth: Array
    unit: Array

    @property
    def size(self) -> int:
        """Number of neurons."""
        return len(self.index)


@dataclass(frozen=True, eq=False)
class Connections:
    """Connections between two groups, by their numbers: ``pairs`` (n, 2) of neurons, ``weights`` (n,)."""

    source: int
    target: int
    pairs: Array
    weights: Array


@dataclass(frozen=True)
class Counts:
    """Events of all samples together, as SANA-FE should count them.

    ``fired`` are ``spikes`` (those priced), those that the host injects and those of senders outside the chosen layers.
    ``synaptic_events`` include the ``deliveries``, which meet no weight. ``packets`` include those ``from_host``;
    ``merged`` of our messages with ``merged_hops`` are not among them, since SANA-FE sends one message per spike and
    core.
    """

    fired: int
    spikes: int
    synaptic_events: int
    deliveries: int
    packets: int
    from_host: int
    to_host: int
    hops_x: int
    hops_y: int
    merged: int
    merged_hops: int
    neurons: int
    ticks: int

    @property
    def updates(self) -> int:
        """Evaluations of a neuron while samples follow each other."""
        return self.neurons * self.ticks


@dataclass(frozen=True, eq=False)
class Network:
    """All that the files say: groups (senders first), connections, spike trains, and what to expect of a run.

    ``trains[g]`` (neurons, steps) of sender group g: first ``pipelined`` steps in which samples follow each other every
    T ticks without a gap, then ``framed`` steps in which each has T + depth steps of its own.
    """

    groups: tuple[Group, ...]
    connections: tuple[Connections, ...]
    trains: tuple[Array, ...]
    samples: int
    pipelined: int
    framed: int
    expected: Counts
    events: Events
    whole: bool
    not_carried: tuple[tuple[str, str], ...]

    @property
    def words_per_operation(self) -> float:
        """Words of synapse memory that are read for one synaptic operation, mean over the network."""
        operations = self.events.total("synaptic_ops")
        return self.events.total("memory_reads") / operations if operations else 0.0

    @property
    def synapses(self) -> int:
        """Connections, those without weight included."""
        return sum(len(c.weights) for c in self.connections)


def network(
    program: Program, target: Target, x: Array, layers: Sequence[str] = (), memory_gb: float = MEMORY_GB
) -> Network:
    """What SANA-FE is given for raw inputs ``x`` (samples, ...); ``layers``: patterns of receiving nodes, all if none.

    Raises GraphError ND230 with every node where nothing could be compared, SimulateError ND610 for a program without
    memory images and ND620 where SANA-FE would need more than ``memory_gb``; and what ``loihi-sim`` raises.
    """
    images = tuple(program.mapping.images) if program.mapping is not None else ()
    if program.mapping is None or not images:
        fixes = ("build again on a target that the network fits",)
        raise SimulateError(Problem("ND610", "the program has no memory images", "mapping", fixes=fixes))
    if program.graph.header.copies:
        cause, fixes = "tokens take turns, and SANA-FE's neurons do not", ("build again with --streams 0",)
        raise GraphError(
            Problem("ND230", cause, program.graph.header.name, "streams", "tokens in space", fixes)
        )
    _check(program.graph, images, target)
    chosen = _chosen(program, layers)
    board = _Board(images, target)
    senders, mail = board.traffic
    mail = mail.restrict(board, chosen)
    _fits(board, mail, memory_gb, program.graph)
    return _Builder(program, board, senders, mail, chosen, not layers).build(np.asarray(x))


def _check(graph: Graph, images: Sequence[CoreImage], target: Target) -> None:
    refused = Refusals("SANA-FE")
    mesh, mapped = f"{target.chip.routers_x} x {target.chip.routers_y}", "{routers_x} x {routers_y}"
    mapped = mapped.format_map(images[0].header)
    if mesh != mapped:
        limit, fix = f"{mesh} of {target.name}", "price it as the target of the build"
        refused.add("mapping", f"mapped onto {mapped} routers", limit, fix)
    chips = len({image.chip for image in images} - {HOST})
    if chips > 1:
        refused.add("mapping", f"{chips} chips", "one mesh", "build again with --chips 1")
    if target.chip.multicast or any(image.header.get("multicast") for image in images):
        found, limit = "packets that are copied on their way", "a packet for each core, as in SANA-FE"
        refused.add("mapping", found, limit, "build for a target without chip.multicast")
    if not graph.of(Synapse):
        for node in graph.of(Product, Micro, Sum, Reduce, Delay):
            refused.add(node.name, node.kind, "at least one synapse in the network")
    refused.check()


def _chosen(program: Program, layers: Sequence[str]) -> frozenset[str]:
    """Nodes of the populations that hold a node of one of the patterns; UsageError ND905 for those without any."""
    graph = program.graph
    if not layers or program.mapping is None:
        return frozenset(graph.nodes)
    found = {pattern: set(fnmatch.filter(graph.nodes, pattern)) for pattern in layers}
    lost = [p for p, nodes in found.items() if not nodes]
    if lost:
        raise UsageError([unknown_name("ND905", "layer", p, graph.nodes, "--layers") for p in lost])
    hit = set(chain.from_iterable(found.values()))
    groups = [set(group.nodes) for group in program.mapping.groups if hit & set(group.nodes)]
    return frozenset(hit | set(chain.from_iterable(groups)))


def _fits(board: _Board, mail: _Mail, memory_gb: float, graph: Graph) -> None:
    synapses = int(mail.fan_out.sum())
    needed = synapses * BYTES_PER_SYNAPSE / 1e9
    if needed > memory_gb:
        total = board.synapses
        by_node = sorted(graph.nodes, key=lambda name: -total[name])
        largest = ", ".join(f"{name} ({total[name]})" for name in by_node[:3])
        choose = f"choose layers: --layers PATTERN; most synapses: {largest}"
        cause = "the network is too large for SANA-FE, which keeps every synapse apart"
        found, limit = f"{synapses} synapses, about {needed:.1f} GB", f"{memory_gb:g} GB"
        fixes = choose, f"allow more: --memory {needed * 1.05:.1f}"
        raise SimulateError(Problem("ND620", cause, graph.header.name, found, limit, fixes))


# --- what the images say -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Synapses:
    """What the messages of one core meet, slot by slot: entries ``start[slot]`` .. ``start[slot + 1]``."""

    start: Array
    address: Array
    weight: Array
    node: Array  # number of the node that owns the address, by address

    @classmethod
    def of(cls, image: CoreImage, plan: Receiver) -> _Synapses:
        """From the decoded receiving half of a core."""
        live = addresses_read(image)
        parts = [(np.zeros(0, np.int64),) * 3]
        for delivery in plan.deliveries:
            row, column = np.nonzero(delivery.weights)
            address = delivery.address[:, column]
            slot = delivery.slots[:, row]
            weight = np.broadcast_to(delivery.weights[row, column].astype(np.int64), address.shape)
            kept = live[address]
            parts.append((slot[kept], address[kept], weight[kept]))
        slot, address, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.lexsort((address, slot))
        start = np.searchsorted(slot[order], np.arange(plan.slots + 1))
        node = np.full(len(plan.inbox), -1)
        for name, (first, size) in zip(image.ports_of, image.tables["ports"].tolist(), strict=True):
            node[first : first + size] = plan.nodes.index(name)
        return cls(start, address[order], weight[order], node)


@dataclass(frozen=True, eq=False)
class _Mail:
    """All messages that can be sent, one row each: ``sender`` number, ``target`` site, its ``slot``.

    ``fan_out``: weights met that belong to chosen nodes.
    """

    sender: Array
    target: Array
    slot: Array
    fan_out: Array

    def restrict(self, board: _Board, chosen: frozenset[str]) -> _Mail:
        """The messages that some chosen node reads."""
        fan_out, read = np.zeros(len(self.slot), np.int64), np.zeros(len(self.slot), bool)
        for site, plan in enumerate(board.plans):
            mine = self.target == site
            wanted = np.array([name in chosen for name in plan.nodes])
            slot = self.slot[mine]
            fan_out[mine] = plan.fan_out[wanted][:, slot].sum(axis=0)
            read[mine] = wanted[plan.reader[slot]] | (fan_out[mine] > 0)
        return _Mail(self.sender[read], self.target[read], self.slot[read], fan_out[read])


@dataclass(frozen=True, eq=False)
class _Senders:
    """Where each sender is: (site, unit, instruction, element, tile of its copy; -1 but for the host).

    ``turn``: smaller for those of a core whose messages leave earlier.
    """

    key: Array
    turn: Array
    node: Array
    flat: Array
    depth: Array
    neuron: Array
    own: Array


@dataclass(frozen=True, eq=False)
class _Board:
    """All images, decoded: receiving halves, sends, tiles."""

    images: Sequence[CoreImage]
    target: Target

    @cached_property
    def plans(self) -> list[Receiver]:
        """The receiving half of each; MappingError ND582 and ND586 for images that contradict themselves."""
        return [receiver(image) for image in self.images]

    @cached_property
    def tile(self) -> Array:
        """Tile of each site; SANA-FE numbers tiles column by column. The host listens behind its port."""
        places = [HOST_PORT if image.chip == HOST else (image.x, image.y) for image in self.images]
        return np.array([x * self.target.chip.routers_y + y for x, y in places])

    @cached_property
    def core(self) -> Array:
        """Number of each site in its tile; the host's comes after those of the chip."""
        own = self.target.chip.cores_per_router
        return np.array([own if image.chip == HOST else image.slot for image in self.images])

    @cached_property
    def synapses(self) -> Counter[str]:
        """Synapses by node, in all messages that can be sent."""
        total, (_, mail) = Counter[str](), self.traffic
        for site, plan in enumerate(self.plans):
            slots = mail.slot[mail.target == site]
            total.update(dict(zip(plan.nodes, plan.fan_out[:, slots].sum(axis=1).tolist(), strict=True)))
        return total

    @cached_property
    def traffic(self) -> tuple[_Senders, _Mail]:
        """Everything that sends, every neuron, and all messages that can be sent."""
        keys, turns = [np.zeros((0, 5), np.int64)], [np.zeros(0, int)]
        targets, slots = [np.zeros(0, int)], [np.zeros(0, int)]
        by_place = places(self.images)
        for site, image in enumerate(self.images):
            tables = [origins(image, unit) for unit in range(len(image.units))]
            for export in exports(image, by_place, self.plans):
                number, element = tables[export.unit][export.instruction]
                for bundle in export.bundles:
                    tile = self.tile[bundle.target] if image.chip == HOST else -1
                    what = number[bundle.elements], element[bundle.elements]
                    keys.append(_table(site, export.unit, *what, tile))
                    turns.append(export.turn(bundle.elements))
                    targets.append(np.full(len(bundle.elements), bundle.target))
                    slots.append(bundle.slots)
        neurons = [
            _table(site, unit, number, np.arange(item.size), -1)
            for site, image in enumerate(self.images)
            for unit, piece in enumerate(image.units)
            for number, item in enumerate(piece.program)
            if item.op == "neuron"
        ]
        every = np.concatenate([*keys, *neurons])
        key, first, place = np.unique(every, axis=0, return_index=True, return_inverse=True)
        target, slot, turn = (np.concatenate(column) for column in (targets, slots, turns))
        turn = np.pad(turn, (0, len(every) - len(turn)))[first]  # of neurons that send nothing, any
        mail = _Mail(place.reshape(-1)[: len(target)], target, slot, np.zeros(len(target), np.int64))
        return self._described(key, turn), mail

    def _described(self, key: Array, turn: Array) -> _Senders:
        node = np.empty(len(key), dtype=object)
        flat, depth = np.zeros(len(key), np.int64), np.zeros(len(key), np.int64)
        neuron, own = np.zeros(len(key), bool), np.ones(len(key), bool)
        refused = Refusals("SANA-FE")
        _, first, count = np.unique(key[:, :3], axis=0, return_index=True, return_counts=True)
        for begin, n in zip(first.tolist(), count.tolist(), strict=True):
            rows, (site, unit, number) = slice(begin, begin + n), key[begin, :3].tolist()
            image, element = self.images[site], key[rows, 3]
            item, mine = image.units[unit].program[number], image.own(image.units[unit].program[number])
            if item.probe.size < item.size or item.op in ("const", "view"):
                refused.add(item.node or item.op, "a constant that is sent", "values that change")
                continue
            node[rows] = item.node
            flat[rows] = image.elements(item)[element]
            depth[rows] = image.units[unit].depth
            neuron[rows] = item.op == "neuron"
            own[rows] = True if mine is None else mine[element]
        refused.check()
        return _Senders(key, turn, node, flat, depth, neuron, own)


# --- groups, connections, trains -----------------------------------------------------------------------------------


@dataclass
class _Builder:
    """Numbers neurons and lays out what the files say."""

    program: Program
    board: _Board
    every: _Senders
    mail: _Mail
    chosen: frozenset[str]
    whole: bool
    labels: dict[str, None] = field(default_factory=dict)

    def build(self, x: Array) -> Network:
        """Runs the simulated cores on ``x`` and joins their activity with the connections."""
        members, senders = self._senders()
        trace, events = LOIHI_SIM.run(self.program, x, tuple(dict.fromkeys(g.node for g in senders)))
        ticks, samples = trace.outputs.shape[:2]
        depth = self.program.mapping.depth if self.program.mapping is not None else 0
        every = self.every
        sends = every.own | np.isin(np.arange(len(every.key)), self.mail.sender)
        often, trains = np.zeros(len(every.key), np.int64), []
        for numbers, group in zip(members, senders, strict=True):
            values = trace.values[group.node].reshape(ticks, samples, -1)[:, :, group.index]
            active = np.moveaxis(values != 0, 2, 0) & sends[numbers][:, None, None]
            often[numbers] = active.sum(axis=(1, 2))
            trains.append(_trains(active, group.depth, depth))
        receivers, connections = self._connected(self._arriving(), members)
        neurons = sum(g.size for g in senders if g.role == NEURON)
        priced = [n for n, g in zip(members, senders, strict=True) if g.role != FREE]
        spikes = sum(int(often[numbers].sum()) for numbers in priced)
        carried = tuple(r for r in not_carried(self.program.graph) if r[0] in self.chosen)
        expected = self._expected(often, spikes, neurons, samples * ticks)
        return Network(
            groups=(*senders, *receivers), connections=tuple(connections), trains=tuple(trains), samples=samples,
            pipelined=samples * ticks, framed=samples * (ticks + depth), expected=expected, events=events,
            whole=self.whole, not_carried=carried,
        )  # fmt: skip

    def _label(self, node: str, suffix: str = "") -> str:
        """A group name that SANA-FE's dotted addresses allow, unique."""
        plain = "".join("/" if c == "." else c if c.isalnum() or c in "_/-" else "_" for c in node) + suffix
        label = free_name(plain, self.labels, mark="~")
        self.labels[label] = None
        return label

    def _senders(self) -> tuple[list[Array], list[Group]]:
        """The numbers of the senders of each group, and the groups."""
        every, board = self.every, self.board
        member = np.array([name in self.chosen for name in every.node], dtype=bool)
        kept = np.flatnonzero(np.isin(np.arange(len(member)), self.mail.sender) | (every.neuron & member))
        kept = kept[np.argsort(every.turn[kept], kind="stable")]  # the order in which SANA-FE sends
        outside = np.array([board.images[site].chip == HOST for site in every.key[:, 0]], dtype=bool)
        stock = np.array([_stock(self.program.graph.nodes[name]) for name in every.node], dtype=bool)
        role = np.where(outside | ~member, FREE, np.where(every.neuron & stock, NEURON, RELAY))
        found: dict[tuple[str, str], list[int]] = {}
        for number in kept.tolist():
            found.setdefault((every.node[number], str(role[number])), []).append(number)
        members, groups, used = [np.array(numbers) for numbers in found.values()], [], Counter[Place]()
        for (node, kind), ids in zip(found, members, strict=True):
            site = every.key[ids, 0]
            tile, core = np.where(outside[ids], every.key[ids, 4], board.tile[site]), board.core[site]
            unit = _units(tile, core, kind, used)
            label, flat, depth = self._label(node), every.flat[ids], every.depth[ids]
            groups.append(Group(label, node, kind, flat, tile, core, depth, unit))
        return members, groups

    def _arriving(self) -> Rows:
        """What each core receives of the messages that are sent."""
        mail = self.mail
        rows: Rows = {}
        for site, plan in enumerate(self.board.plans):
            mine = np.flatnonzero(mail.target == site)
            if not len(mine):
                continue
            table = _Synapses.of(self.board.images[site], plan)
            begin, end = table.start[mail.slot[mine]], table.start[mail.slot[mine] + 1]
            entry, bare = _spans(begin, end - begin), mine[mail.fan_out[mine] == 0]
            address, zero = table.address[entry], np.zeros(len(bare), np.int64)
            met = np.repeat(mail.sender[mine], end - begin), address, table.weight[entry]
            unmet = mail.sender[bare], zero, zero + 1
            owners = (True, table.node[address], met), (False, plan.reader[mail.slot[bare]], unmet)
            for weighted, owner, columns in owners:
                for number in np.unique(owner).tolist():
                    own, node = owner == number, plan.nodes[number]
                    if node in self.chosen or not weighted:
                        row = np.full(int(own.sum()), site), *(column[own] for column in columns)
                        rows.setdefault((node, weighted), []).append(row)
        return rows

    def _connected(self, rows: Rows, members: list[Array]) -> tuple[list[Group], list[Connections]]:
        """Groups of accumulators and of arrivals, and all connections onto them."""
        groups: list[Group] = []
        found: list[Connections] = []
        used: Counter[Place] = Counter()
        group_of, offset = np.full((2, len(self.every.key)), -1)
        for number, ids in enumerate(members):
            group_of[ids], offset[ids] = number, np.arange(len(ids))
        for (node, weighted), parts in rows.items():
            site, sender, address, weight = (np.concatenate(c) for c in zip(*parts, strict=True))
            size = int(address.max(initial=0)) + 1
            key, neuron = np.unique(site * size + address, return_inverse=True)
            tile, core = self.board.tile[key // size], self.board.core[key // size]
            role = "currents" if weighted else "arrivals"
            unit = _units(tile, core, "target", used) // UNIT
            label = self._label(node, f"/{role}")
            groups.append(Group(label, node, role, key % size, tile, core, np.zeros_like(key), unit))
            for source in np.unique(group_of[sender]).tolist():
                mine = group_of[sender] == source
                pairs = np.column_stack([offset[sender[mine]], neuron[mine]])
                found.append(Connections(source, len(members) + len(groups) - 1, pairs, weight[mine]))
        return groups, found

    def _expected(self, often: Array, spikes: int, neurons: int, ticks: int) -> Counts:
        mail, board, key = self.mail, self.board, self.every.key
        tile = np.where(key[:, 4] >= 0, key[:, 4], board.tile[key[:, 0]])
        sent = often[mail.sender]
        _, index = np.unique(mail.sender * len(board.images) + mail.target, return_index=True)
        first = np.zeros(len(sent), bool)
        first[index] = True
        there, back = (
            divmod(t, board.target.chip.routers_y) for t in (tile[mail.sender], board.tile[mail.target])
        )
        along = [np.abs(a - b) for a, b in zip(there, back, strict=True)]
        host = np.array([image.chip == HOST for image in board.images])
        sending, receiving, bare = host[key[mail.sender, 0]], host[mail.target], mail.fan_out == 0
        total: Callable[[Array], int] = lambda amount: int((sent * amount).sum())
        return Counts(
            fired=int(often.sum()), spikes=spikes, synaptic_events=total(mail.fan_out + bare), deliveries=total(bare),
            packets=total(first), from_host=total(first & sending), to_host=total(first & receiving),
            hops_x=total(along[0] * first), hops_y=total(along[1] * first),
            merged=total(~first & ~sending), merged_hops=total((along[0] + along[1]) * ~first),
            neurons=neurons, ticks=ticks,
        )  # fmt: skip


def _table(*columns: int | Array) -> Array:
    """Columns side by side; a number stands in every row."""
    return np.stack(np.broadcast_arrays(*columns), axis=1)


def _units(tile: Array, core: Array, kind: str, used: Counter[tuple[int, int, str]]) -> Array:
    """The next free number on its core for each neuron."""
    numbers = np.zeros(len(tile), int)
    for i, place in enumerate(zip(tile.tolist(), core.tolist(), strict=True)):
        key = (*place, kind)
        numbers[i] = used[key]
        used[key] += 1
    return numbers


def _spans(first: Array, count: Array) -> Array:
    """first[0] .. first[0] + count[0] - 1, first[1] .., one after the other."""
    start = np.repeat(first - np.cumsum(count) + count, count)
    found: Array = start + np.arange(len(start))
    return found


def _trains(active: Array, depth: Array, deepest: int) -> Array:
    """Spikes (neurons, steps) of values (neurons, ticks, samples): samples in a pipeline, then one at a time."""
    neurons, ticks, samples = active.shape
    pipelined = np.zeros((neurons, samples * ticks), bool)
    framed = np.zeros((neurons, samples * (ticks + deepest)), bool)
    row = np.arange(neurons)
    for sample in range(samples):
        for tick in range(ticks):
            step = tick + depth
            # The run wraps around: a long pipeline has neither a beginning nor an end.
            pipelined[row, (sample * ticks + step) % (samples * ticks)] = active[:, tick, sample]
            framed[row, sample * (ticks + deepest) + step] = active[:, tick, sample]
    return np.concatenate([pipelined, framed], axis=1)


def _stock(node: Node) -> bool:
    """Whether a node is a population of one of the chip's own neuron models."""
    return isinstance(node, Neuron) and NEURONS[node.model].stock


def not_carried(graph: Graph) -> tuple[tuple[str, str], ...]:
    """(node, what of it SANA-FE does not see), in graph order."""
    rows = []
    for node in graph:
        if isinstance(node, Product):
            text = "product: its messages are delivered, its operations and state are not priced"
        elif isinstance(node, (Micro, Sum, Reduce, Delay)):
            text = f"{node.kind}: its messages are delivered, its microcode is not priced"
        elif isinstance(node, Neuron) and not _stock(node):
            payload = ", a payload not carried" if _graded(graph, node.name) else ""
            text = f"{node.model}: its spikes are replayed, its program is not priced{payload}"
        elif isinstance(node, Synapse) and node.delays[-1]:
            text = "delays: every message is counted when it arrives, its current is not held back"
        elif not isinstance(node, Output) and _graded(graph, node.name):
            text = "graded payload: a message counts once, its number is not carried"
        else:
            continue
        rows.append((node.name, text))
    return tuple(rows)


def _graded(graph: Graph, name: str) -> bool:
    """Whether a value that a Synapse reads takes more than 0 and 1."""
    interval = graph.values[name].interval
    binary = interval is not None and 0 <= interval.lo <= interval.hi <= 1
    return not binary and any(name in node.inputs for node in graph.of(Synapse))
