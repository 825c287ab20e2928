"""Messages by what they reach: where packets are multicast, a message to several cores is sent once.

The one place that says what that saves: expected packets, links that many share, routes, chips and places ask it. Where
packets have one destination, every flow is a bundle of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from ..array import Array

#: by value and channel axis: the number of the readers of each element, and the readers that each number stands for
Readers = dict[tuple[str, int], tuple[Array, list[tuple[int, ...]]]]


@dataclass(frozen=True, eq=False)
class Bundles:
    """Messages that go from one place to the same places: tiles, cores or chips, -1 is the host.

    ``ends`` (2, pairs): sender and receiver; ``row`` (pairs,): the bundle of each pair, whose pairs have one sender;
    ``messages`` (bundles,) in a tick.
    """

    ends: Array
    row: Array
    messages: Array

    @classmethod
    def apart(cls, ends: Array, messages: Array) -> Bundles:
        """A packet for each receiver."""
        return cls(ends, np.arange(len(messages)), messages)

    @classmethod
    def of(cls, reached: Sequence[tuple[int, Sequence[int], float]]) -> Bundles:
        """From sender, receivers and messages of each."""
        ends = [(source, target) for source, targets, _ in reached for target in targets]
        row = np.repeat(np.arange(len(reached)), [len(targets) for _, targets, _ in reached])
        pairs = np.array(ends, dtype=np.int64).reshape(-1, 2).T
        return cls(pairs, row, np.array([amount for *_, amount in reached], dtype=np.float64))

    @property
    def shared(self) -> bool:
        """Whether any message reaches more than one place."""
        return len(self.row) > len(self.messages)

    @property
    def copies(self) -> Array:
        """What each pair's receiver takes in."""
        found: Array = self.messages[self.row]
        return found

    @property
    def senders(self) -> Array:
        """Where each bundle comes from."""
        found = np.empty(len(self.messages), dtype=np.int64)
        found[self.row] = self.ends[0]
        return found

    def sent(self, places: int) -> Array:
        """Packets that each of so many places sends; those of the host are not among them."""
        senders = self.senders
        local = senders >= 0
        return np.bincount(senders[local], self.messages[local], places)

    @property
    def local(self) -> Array:
        """Messages that are not the host's."""
        found: Array = self.messages[self.senders >= 0]
        return found

    @property
    def hops(self) -> float:
        """Expected ways along x, and as many along y, before places are known; those of the host are not among them.

        A packet to one place takes a hop each way; each further copy adds one hop in all.
        """
        return float(self.local.sum() + self.copies[self.ends[0] >= 0].sum()) / 2

    def gathered(self, place: Array) -> Bundles:
        """Those between other places, such as chips, that hold these; ``place`` of each, the last is the host's.

        What stays at one place is left out.
        """
        ends, pairs = self.apart_at(place)
        rows, row = np.unique(pairs, return_inverse=True)
        return Bundles(ends, row.reshape(-1), self.messages[rows])

    def apart_at(self, place: Array) -> tuple[Array, Array]:
        """Ends and bundles of the pairs of :meth:`gathered`, each once; bundles are numbered as here."""
        ends = place[self.ends]
        apart = np.flatnonzero(ends[0] != ends[1])
        if self.shared:
            pairs = np.stack([self.row[apart], *ends[:, apart]])
            apart = apart[np.sort(np.unique(pairs, axis=1, return_index=True)[1])]
        return ends[:, apart], self.row[apart]

    def without_host(self) -> Bundles:
        """Those between places other than the host."""
        pairs = np.flatnonzero((self.ends >= 0).all(axis=0))
        rows, row = np.unique(self.row[pairs], return_inverse=True)
        return Bundles(self.ends[:, pairs], row.reshape(-1), self.messages[rows])

    def merged(self, places: int) -> Bundles:
        """Those with the same sender and the same receivers together, of so many places, in order."""
        if not self.shared:
            # The host takes part as one place more.
            source, target = np.where(self.ends < 0, places, self.ends)
            pairs = csr_array((self.messages, (source, target)), shape=(places + 1, places + 1))
            pairs.sum_duplicates()
            ends = np.stack([np.repeat(np.arange(places + 1), np.diff(pairs.indptr)), pairs.indices])
            return Bundles.apart(np.where(ends == places, -1, ends), pairs.data)
        found: dict[tuple[int, tuple[int, ...]], float] = {}
        starts = np.flatnonzero(np.diff(self.row, prepend=-1))
        for pairs, amount in zip(np.split(self.ends.T, starts[1:]), self.messages.tolist(), strict=True):
            key = int(pairs[0, 0]), tuple(sorted(pairs[:, 1].tolist()))
            found[key] = found.get(key, 0.0) + amount
        return Bundles.of([(*key, found[key]) for key in sorted(found)])

    @property
    def hosted(self) -> float:
        """Packets that pass the host's interface, of bundles between chips: one for each chip that it reaches."""
        return float(self.copies[(self.ends < 0).any(axis=0)].sum())


def readers(reads: Iterable[tuple[int, str, int, Array]], sizes: dict[str, int]) -> Readers:
    """Who reads each element, given which elements of a value along a channel axis a reader, by number, takes in."""
    alike: dict[tuple[str, int], dict[bytes, tuple[Array, list[int]]]] = defaultdict(dict)
    for reader, value, axis, flat in reads:
        # Tiles that differ in output channels only read the same.
        alike[value, axis].setdefault(flat.tobytes(), (flat, []))[1].append(reader)
    found: Readers = {}
    for (value, axis), parts in alike.items():
        label, sets = np.zeros(sizes[value], dtype=np.int64), list[tuple[int, ...]]([()])
        for flat, numbers in parts.values():
            before, new = np.unique(label[flat], return_inverse=True)
            label[flat] = len(sets) + new.reshape(-1)
            sets += [(*sets[old], *numbers) for old in before.tolist()]
        used, label = np.unique(label, return_inverse=True)
        found[value, axis] = label.reshape(-1), [tuple(sorted({*sets[n]})) for n in used.tolist()]
    return found


def bundled(
    sender: Array, activity: Array, parts: Sequence[tuple[Array, Sequence[tuple[int, ...]]]]
) -> Iterable[tuple[int, tuple[int, ...], float]]:
    """(sender, receivers, messages) of a value, given the sender of each element and, by group, who reads it."""
    key = sender
    for label, sets in parts:
        _, key = np.unique(key * len(sets) + label, return_inverse=True)
        key = key.reshape(-1)
    _, first, key = np.unique(key, return_index=True, return_inverse=True)
    messages = np.bincount(key.reshape(-1), activity, len(first))
    for at, amount in zip(first.tolist(), messages.tolist(), strict=True):
        reached = [reader for label, sets in parts for reader in sets[label[at]]]
        if reached:
            yield int(sender[at]), tuple(reached), amount
