"""Which tile sends how much to which: output axons of every tile, and messages between pairs of tiles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import accumulate

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.nodes import Output, Synapse
from ..ir.widths import REGISTER_BITS
from ..passes.balance import Turns, turns
from ..target import Target
from .activity import activity
from .bundles import Bundles, Readers, bundled, readers
from .demand import Accounting
from .fields import Field
from .groups import Population, owners
from .layouts._base import places
from .reads import Read, fed, reads
from .regions import flat_along, region
from .tiling import Tiling
from .windows import under

HOST_TILE = -1
KEPT = 1 << 24  # flows that are remembered, of 18 bytes each


@dataclass(frozen=True, eq=False)
class Traffic:
    """Flows between tiles, numbered through all groups in order; :data:`HOST_TILE` stands for the host.

    ``axons[i]`` words of the output axon table go from tile ``source[i]`` to tile ``target[i]`` for one consumer node,
    and ``messages[i]`` elements (times their measured activity, where known) can travel in a tick. ``multicast``: the
    same messages, each sent once to all that it goes to; None where each has one destination.
    """

    source: Array
    target: Array
    axons: Array
    messages: Array
    tiles: int
    multicast: Bundles | None = None

    @cached_property
    def packets(self) -> Bundles:
        """What is sent."""
        return self.multicast or Bundles.apart(np.stack([self.source, self.target]), self.messages)

    @property
    def axon_out(self) -> Array:
        """Output axon words of each tile."""
        sent = self.source != HOST_TILE
        return np.bincount(self.source[sent], self.axons[sent], self.tiles).astype(np.int64)

    def between(self, cores: Sequence[Sequence[int]]) -> Bundles:
        """Packets between the cores that hold these tiles, in order, without what stays on a core.

        Each pair, or each core with the same receivers, has one bundle.
        """
        core = np.full(self.tiles + 1, HOST_TILE)  # the last is the host's, which HOST_TILE finds
        for index, tiles in enumerate(cores):
            core[list(tiles)] = index
        return self.packets.gathered(core).merged(len(cores))


@dataclass(frozen=True, eq=False)
class _Arrivals:
    """What the tiles of a group read, tile by tile, and what they hand to the host, numbered within their groups.

    ``value[i]`` is the place of what is sent among the group's :func:`_values`, ``messages[i]`` counts its elements.
    """

    value: Array
    source: Array
    target: Array
    axons: Array
    messages: Array


def packet_bits(graph: Graph, name: str, target: Target) -> int:
    """Bits of one message of a value on the wire: its address and, unless all that it says is a spike, its payload."""
    node = graph.nodes[name]
    value = graph.values[
        node.inputs[0] if isinstance(node, Output) else name
    ]  # the host adds up what is read out
    payload = 0 if value.code.kind == "binary" else value.fixed.bits if value.fixed else REGISTER_BITS
    return target.chip.packet_header_bits + payload


class Flows:
    """The traffic of one network that is cut again and again: what a new cut leaves alone is not counted anew.

    Nor is what arrives at groups that are cut alike and read from groups that are cut alike: the layers of a deep
    network.
    """

    def __init__(self, graph: Graph, groups: Sequence[Population], multicast: bool = False) -> None:
        self.graph, self.groups, self.owner, self.multicast = graph, groups, owners(groups), multicast
        self.place = {name: i for group in groups for i, name in enumerate(group.names)}
        self.known: dict[tuple[object, ...], _Arrivals] = {}
        self.spoken: dict[str, tuple[object, Array]] = {}
        self.reached: dict[str, tuple[object, Readers]] = {}

    def traffic(self, tilings: Mapping[str, Tiling]) -> Traffic:
        """All flows between the tiles of a cut."""
        *first, tiles = accumulate((t.cut.cores for t in tilings.values()), initial=0)
        start = dict(zip(tilings, first, strict=True))
        senders = _Senders(self.graph, self.owner, tilings)
        flows = []
        for name, tiling in tilings.items():
            values = _values(tiling.accounting)
            key = self._key(tiling, values, tilings)
            found = self.known.pop(key) if key in self.known else _arrivals(tiling, senders)
            self.known[key] = found  # what was asked for last comes last
            flows.append(self._numbered(found, values, start, start[name], senders))
        self._trim()
        none = np.zeros(0, dtype=np.int64)
        source, target, axons, messages = (np.concatenate([none, *part]) for part in zip(*flows, strict=True))
        together = self._together(tilings, start, senders) if self.multicast else None
        return Traffic(source, target, axons, messages.astype(np.float64), tiles, together)

    def _together(
        self, tilings: Mapping[str, Tiling], start: Mapping[str, int], senders: _Senders
    ) -> Bundles:
        """All messages, each once with all tiles that it goes to."""
        parts: dict[tuple[str, int], list[tuple[Array, list[tuple[int, ...]]]]] = defaultdict(list)
        for name, tiling in tilings.items():
            for key, (label, sets) in self._readers(tiling).items():
                numbered = [tuple(start[name] + tile for tile in tiles) for tiles in sets]
                parts[key].append((label, numbered))
        for node in self.graph.of(Output):
            host = np.ones(self.graph.values[node.name].shape.size, dtype=np.int64), [(), (HOST_TILE,)]
            if not self.owner[node.name].on_host:
                parts[node.name, -1].append(host)
        found: list[tuple[int, tuple[int, ...], float]] = []
        for (value, _), labels in parts.items():
            group = self.owner[value]
            shape = self.graph.values[value].shape
            sender = np.full(shape.size, HOST_TILE)
            if not group.on_host:
                sender = start[group.name] + senders.place(value, tilings[group.name])
            each = activity(self.graph, value).each.reshape(-1)
            found += bundled(sender, each, labels)
        return Bundles.of(found)

    def _readers(self, tiling: Tiling) -> Readers:
        """The tiles of a group that read each element of what others send, found once for a cut."""
        name, cut = tiling.accounting.group.name, tiling.cut
        if name not in self.reached or self.reached[name][0] is not cut:
            taken = _reading(tiling, turns(self.graph))
            sizes = {value: self.graph.values[value].shape.size for value in _read(tiling.accounting)}
            self.reached[name] = cut, readers(taken, sizes)
        return self.reached[name][1]

    def _trim(self) -> None:
        """Forget what was not asked for the longest time, down to :data:`KEPT` flows."""
        left = sum(len(found.source) for found in self.known.values())
        for key in list(self.known):
            if left <= KEPT:
                break
            left -= len(self.known.pop(key).source)

    def _key(
        self, tiling: Tiling, values: Sequence[str], tilings: Mapping[str, Tiling]
    ) -> tuple[object, ...]:
        """What decides what arrives: the cuts of the group and of those that it reads, and which of their values."""
        place = {name: i for i, name in enumerate(values)}
        found: list[object] = [tiling.cut.partition]
        for value in _read(tiling.accounting):
            group = self.owner[value]
            cut = None if group.on_host else tilings[group.name].cut.partition
            found.append((place[value], cut, self.place[value]))
        return tuple(found)

    def _numbered(
        self,
        found: _Arrivals,
        values: Sequence[str],
        start: Mapping[str, int],
        reader: int,
        senders: _Senders,
    ) -> tuple[Array, Array, Array, Array]:
        """Sources, targets, axons and messages with tiles numbered through all groups."""
        sender = np.array([start.get(self.owner[value].name, HOST_TILE) for value in values], dtype=np.int64)
        readers = [HOST_TILE if isinstance(self.graph.nodes[value], Output) else reader for value in values]
        target = found.target + np.array(readers, dtype=np.int64)[found.value]
        messages = found.messages.astype(np.float64)
        for place, value in enumerate(values):
            here = found.value == place
            messages[here] *= self._active(value, senders)[found.source[here]]
        return found.source + sender[found.value], target, found.axons, messages

    def _active(self, value: str, senders: _Senders) -> Array:
        """How often the elements of a value on each tile of its group speak; on the host one number for all."""
        tiling = senders.tilings.get(self.owner[value].name)
        if value not in self.spoken or self.spoken[value][0] is not (tiling and tiling.cut):
            each = activity(self.graph, value)
            self.spoken[value] = tiling and tiling.cut, senders.means(value, each, tiling)
        return self.spoken[value][1]


def _values(accounting: Accounting) -> list[str]:
    """What a group reads of others and hands to the host, in a fixed order."""
    return [
        *dict.fromkeys(_read(accounting)),
        *(n.name for n in accounting.group.nodes if isinstance(n, Output)),
    ]


def _read(accounting: Accounting) -> list[str]:
    """Every operand of a group that is sent by others."""
    return [i for node in accounting.group.entries for i in node.inputs if i not in accounting.constants]


def _arrivals(tiling: Tiling, senders: _Senders) -> _Arrivals:
    place = {name: i for i, name in enumerate(_values(tiling.accounting))}
    outputs = [n.name for n in tiling.accounting.group.nodes if isinstance(n, Output)]
    one, sent = np.zeros(1, dtype=np.int32), []
    for i, part in enumerate(tiling.tiles):
        sent += [(place[read.source], i, *senders.sent(read)) for read in tiling.accounting.reads(part)]
        for name in outputs:
            if size := part.size(name):
                sent.append((place[name], 0, one + i, one + size, one + size))
        part.forget()
    each = [len(source) for _, _, source, _, _ in sent]
    value, target = (np.repeat(np.array([flow[k] for flow in sent], dtype=np.int32), each) for k in (0, 1))
    source, axons, messages = (np.concatenate([one[:0], *(flow[k] for flow in sent)]) for k in (2, 3, 4))
    return _Arrivals(value.astype(np.int16), source, target, axons, messages)


def _reading(tiling: Tiling, taken: Turns) -> Iterator[tuple[int, str, int, Array]]:
    """(tile, value, channel axis, elements) of all that arrives at the tiles of a group."""
    accounting = tiling.accounting
    graph, channels = accounting.graph, accounting.channels
    for i, part in enumerate(tiling.tiles):
        for node, out in accounting.regions(part).items():
            dense = isinstance(node, Synapse) and node.op == "dense"
            for operand, read in enumerate(reads(graph, node, out, channels)):
                if read.source not in accounting.constants:
                    last, flat = len(graph.shape(read.source)) - 1, under(graph, node, out, read)
                    arriving = taken.arriving(read.source, flat[fed(graph, node, operand, flat)])
                    yield i, read.source, last if dense else channels.get(read.source, last), arriving
        part.forget()


Sent = tuple[Array, Array, Array]


def _content(sorted_indices: Array) -> Hashable:
    """The same for the same indices, short where none is left out."""
    if len(sorted_indices) and sorted_indices[-1] - sorted_indices[0] == len(sorted_indices) - 1:
        return int(sorted_indices[0]), len(sorted_indices)
    return sorted_indices.tobytes()


class _Senders:
    """Answers, for a read, which tiles hold what it needs."""

    def __init__(self, graph: Graph, owner: Mapping[str, Population], tilings: Mapping[str, Tiling]) -> None:
        self.graph, self.tilings, self.owner = graph, tilings, owner
        self.known: dict[tuple[object, ...], Sent] = {}
        self.places: dict[str, Array] = {}

    def sent(self, read: Read) -> Sent:
        """The tiles of the sending group (0: the host), their axon words and the elements that they send."""
        # Tiles that differ in output channels only read the same: most reads have been answered before.
        region = read.region
        content = [region.indices] if region.axes is None else region.axes
        key = (read.source, read.position, *map(_content, content))
        if key not in self.known:
            self.known[key] = self._sent(read)
        return self.known[key]

    def _sent(self, read: Read) -> Sent:
        group = self.owner[read.source]
        if group.on_host:
            source, axons, messages = (np.array([n]) for n in (0, read.axons, read.region.size))
        else:
            tiling, taken = self.tilings[group.name], turns(self.graph)
            model = taken.model(read.source)
            if model is not None:  # one axon serves all tokens of a copy, which sends them all
                flat, shape = taken.arriving(read.source, read.region.indices), read.region.shape
                read = replace(read, region=region(flat, shape))
                one = replace(read, region=region(flat[model[flat] == flat], shape))
                axons, _ = self._by_element(one, tiling)
                _, messages = self._by_tile(read, tiling)
            else:
                axons, messages = self._by_tile(read, tiling)
            source = np.flatnonzero(messages)
            axons, messages = axons[source], messages[source]
        return source.astype(np.int32), axons.astype(np.int32), messages.astype(np.int32)

    def _by_tile(self, read: Read, tiling: Tiling) -> tuple[Array, Array]:
        cells, axes, edges = tiling.accounting.cells, read.region.axes, tiling.cut.partition.edges
        if (
            cells.neuron is None
            and read.region.shape == cells.shape
            and edges is not None
            and axes is not None
        ):
            return _by_axis(read, axes, edges)
        return self._by_element(read, tiling)

    def _by_element(self, read: Read, tiling: Tiling) -> tuple[Array, Array]:
        count = tiling.cut.cores
        flat = read.region.indices
        place = self.place(read.source, tiling)[flat]
        messages = np.bincount(place, minlength=count)
        if read.position is None:
            return messages, messages
        position = flat_along(flat, read.region.shape, read.position)
        return np.bincount(np.unique(position * count + place) % count, minlength=count), messages

    def means(self, name: str, numbers: Field, tiling: Tiling | None) -> Array:
        """The mean on each tile of numbers that the elements of a value have."""
        if tiling is None:
            return np.array([numbers.each.mean(dtype=np.float64)])
        if numbers.even:
            return np.full(tiling.cut.cores, numbers.first)
        cells, cut = tiling.accounting.cells, tiling.cut.partition
        if cells.neuron is None:
            flat = numbers.each.astype(np.float64).ravel()
            found, sizes = (cut.shares(cells.before(part)) for part in (flat, np.ones_like(flat)))
        else:
            place = self.place(name, tiling)
            found, sizes = (np.bincount(place, part, cut.count) for part in (numbers.each.ravel(), None))
        means: Array = found / np.maximum(sizes, 1)
        return means

    def place(self, name: str, tiling: Tiling) -> Array:
        """The tile of each element of a value."""
        if name not in self.places:
            place = np.zeros(self.graph.values[name].shape.size, dtype=np.int64)
            for i, part in enumerate(tiling.tiles):
                place[part.of(name)] = i
                part.forget()
            self.places[name] = place
        return self.places[name]


def _by_axis(read: Read, axes: tuple[Array, ...], edges: tuple[Array, ...]) -> tuple[Array, Array]:
    """As by element, for a grid: counts along the axes multiply."""
    cut = zip(axes, edges, strict=True)
    counts = [np.bincount(places(ends, a), minlength=len(ends) - 1) for a, ends in cut]
    position = range(len(counts)) if read.position is None else read.position
    words = [c if a in position else np.minimum(c, 1) for a, c in enumerate(counts)]
    one = np.ones(1, dtype=np.int64)
    return reduce(np.kron, words, one), reduce(np.kron, counts, one)
