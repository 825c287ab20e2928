"""Which tile sends how much to which: output axons of every tile, and messages between pairs of tiles."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import accumulate

import numpy as np
from scipy.sparse import csr_array

from ..array import Array
from ..ir.graph import Graph
from ..ir.nodes import Output
from ..ir.widths import REGISTER_BITS
from ..passes.balance import turns
from ..target import Target
from .activity import activity
from .demand import Accounting
from .fields import Field
from .groups import Population, owners
from .layouts._base import places
from .reads import Read
from .regions import flat_along, region
from .tiling import Tiling

HOST_TILE = -1
KEPT = 1 << 24  # flows that are remembered, of 18 bytes each


@dataclass(frozen=True, eq=False)
class Traffic:
    """Flows between tiles, numbered through all groups in order; :data:`HOST_TILE` stands for the host.

    ``axons[i]`` words of the output axon table go from tile ``source[i]`` to tile ``target[i]`` for one consumer node,
    and ``messages[i]`` elements (times their measured activity, where known) can travel in a tick.
    """

    source: Array
    target: Array
    axons: Array
    messages: Array
    tiles: int

    @property
    def axon_out(self) -> Array:
        """Output axon words of each tile."""
        sent = self.source != HOST_TILE
        return np.bincount(self.source[sent], self.axons[sent], self.tiles).astype(np.int64)

    def between(self, cores: Sequence[Sequence[int]]) -> tuple[Array, Array]:
        """(2, flows) sender and receiver, -1 for the host, and messages, of the cores that hold these tiles.

        Each pair once, in order, without what stays on a core.
        """
        core = np.full(self.tiles + 1, HOST_TILE)  # the last is the host's, which HOST_TILE finds
        for index, tiles in enumerate(cores):
            core[list(tiles)] = index
        count = len(cores)
        # The host takes part as one core more.
        source, target = (np.where(end < 0, count, end) for end in (core[self.source], core[self.target]))
        apart = source != target
        pairs = csr_array(
            (self.messages[apart], (source[apart], target[apart])), shape=(count + 1, count + 1)
        )
        pairs.sum_duplicates()
        ends = np.stack([np.repeat(np.arange(count + 1), np.diff(pairs.indptr)), pairs.indices])
        return np.where(ends == count, HOST_TILE, ends), pairs.data


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

    def __init__(self, graph: Graph, groups: Sequence[Population]) -> None:
        self.graph, self.groups, self.owner = graph, groups, owners(groups)
        self.place = {name: i for group in groups for i, name in enumerate(group.names)}
        self.known: dict[tuple[object, ...], _Arrivals] = {}
        self.spoken: dict[str, tuple[object, Array]] = {}

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
        return Traffic(source, target, axons, messages.astype(np.float64), tiles)

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
        place = self._place(read.source, tiling)[flat]
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
            place = self._place(name, tiling)
            found, sizes = (np.bincount(place, part, cut.count) for part in (numbers.each.ravel(), None))
        means: Array = found / np.maximum(sizes, 1)
        return means

    def _place(self, name: str, tiling: Tiling) -> Array:
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
