"""Which tile sends how much to which: output axons of every tile, and messages between pairs of tiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate

import numpy as np
from scipy.sparse import csr_array

from ..array import Array
from ..ir.graph import Graph
from ..ir.nodes import Output
from ..ir.widths import REGISTER_BITS
from ..target import Target
from .activity import activity
from .groups import Population, owners
from .reads import Read
from .regions import flat_along
from .tiling import Tiling

HOST_TILE = -1


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
class _Flow:
    """From tiles of group ``sender`` to tiles of a reading group, both numbered within it; None: the host."""

    sender: str | None
    source: Array
    reader: str | None
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
    """The traffic of one network that is cut again and again: what a new cut leaves alone is not counted anew."""

    def __init__(self, graph: Graph, groups: Sequence[Population]) -> None:
        self.graph, self.groups, self.owner = graph, groups, owners(groups)
        self.known: dict[str, tuple[dict[str, Tiling], list[_Flow]]] = {}

    def traffic(self, tilings: Mapping[str, Tiling]) -> Traffic:
        """All flows between the tiles of a cut."""
        *first, tiles = accumulate((len(t.tiles) for t in tilings.values()), initial=0)
        start: dict[str | None, int] = {**dict(zip(tilings, first, strict=True)), None: HOST_TILE}
        senders = _Senders(self.graph, self.owner, tilings)
        flows = [flow for name in tilings for flow in self._into(name, senders)]
        columns = [
            np.concatenate([np.zeros(0), *part])
            for part in (
                [flow.source + start[flow.sender] for flow in flows],
                [flow.target + start[flow.reader] for flow in flows],
                [flow.axons for flow in flows],
                [flow.messages for flow in flows],
            )
        ]
        source, target, axons = (numbers.astype(np.int64) for numbers in columns[:3])
        return Traffic(source, target, axons, columns[3], tiles)

    def _into(self, name: str, senders: _Senders) -> list[_Flow]:
        """What the tiles of a group read, and what they hand to the host."""
        cuts, flows = self.known.get(name, ({}, []))
        if not cuts or any(senders.tilings[group] is not cut for group, cut in cuts.items()):
            flows = list(_flows(name, senders))
            involved = {name, *(flow.sender for flow in flows if flow.sender is not None)}
            self.known[name] = {group: senders.tilings[group] for group in involved}, flows
        return flows


def _flows(name: str, senders: _Senders) -> Iterator[_Flow]:
    tiling = senders.tilings[name]
    for i, part in enumerate(tiling.tiles):
        for read in tiling.accounting.reads(part):
            sender, source, axons, messages = senders.sent(read)
            yield _Flow(sender, source, name, np.full(len(source), i), axons, messages)
        for node in tiling.accounting.group.nodes:
            if isinstance(node, Output) and part.size(node.name):
                size = part.size(node.name)
                amounts = np.array([size]), np.array([size * activity(senders.graph, node.name)])
                yield _Flow(name, np.array([i]), None, np.array([0]), *amounts)


Sent = tuple[str | None, Array, Array, Array]


class _Senders:
    """Answers, for a read, which tiles hold what it needs."""

    def __init__(self, graph: Graph, owner: Mapping[str, Population], tilings: Mapping[str, Tiling]) -> None:
        self.graph, self.tilings, self.owner = graph, tilings, owner
        self.known: dict[tuple[object, ...], Sent] = {}
        self.places: dict[str, Array] = {}

    def sent(self, read: Read) -> Sent:
        """The sending group (None: the host), its tiles, their axon words and their messages."""
        # Tiles that differ in output channels only read the same: most reads have been answered before.
        region = read.region
        content = [region.indices] if region.axes is None else region.axes
        key = (read.source, read.position, *(a.tobytes() for a in content))
        if key not in self.known:
            self.known[key] = self._sent(read)
        return self.known[key]

    def _sent(self, read: Read) -> Sent:
        group = self.owner[read.source]
        active = activity(self.graph, read.source)
        if group.on_host:
            return None, np.array([0]), np.array([read.axons]), np.array([read.region.size * active])
        tiling = self.tilings[group.name]
        cells, axes, grid = tiling.accounting.cells, read.region.axes, tiling.cut.partition.grid
        plain = cells.neuron is None and read.region.shape == cells.shape
        if plain and grid is not None and axes is not None:
            axons, messages = _by_axis(read, axes, grid)
        else:
            axons, messages = self._by_element(read, tiling)
        tiles = np.flatnonzero(messages)
        return group.name, tiles, axons[tiles], messages[tiles] * active

    def _by_element(self, read: Read, tiling: Tiling) -> tuple[Array, Array]:
        count = len(tiling.tiles)
        flat = read.region.indices
        place = self._place(read.source, tiling)[flat]
        messages = np.bincount(place, minlength=count)
        if read.position is None:
            return messages, messages
        position = flat_along(flat, read.region.shape, read.position)
        return np.bincount(np.unique(position * count + place) % count, minlength=count), messages

    def _place(self, name: str, tiling: Tiling) -> Array:
        """The tile of each element of a value."""
        if name not in self.places:
            place = np.zeros(self.graph.values[name].shape.size, dtype=np.int64)
            for i, part in enumerate(tiling.tiles):
                place[part.of(name)] = i
            self.places[name] = place
        return self.places[name]


def _by_axis(read: Read, axes: tuple[Array, ...], grid: tuple[int, ...]) -> tuple[Array, Array]:
    """As by element, for a grid: counts along the axes multiply."""
    cut = zip(axes, grid, read.region.shape, strict=True)
    counts = [np.bincount(a // step, minlength=-(-size // step)) for a, step, size in cut]
    position = range(len(counts)) if read.position is None else read.position
    words = [c if a in position else np.minimum(c, 1) for a, c in enumerate(counts)]
    one = np.ones(1, dtype=np.int64)
    return reduce(np.kron, words, one), reduce(np.kron, counts, one)
