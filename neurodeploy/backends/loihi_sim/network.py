"""Who sends packets to whom in a run, over which links, and who is counted apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from ...array import Array
from ...image import HOST, CoreImage, Export
from ...ir.trace import Link, Router
from ...mapping.routes import tree
from ...mapping.topology import Topology


@dataclass
class Network:
    """Links between routers and which pairs of a sender and its receivers, all of them images, use them.

    A packet has one receiver, or, where packets are multicast, all that its message goes to. ``spans``: first and last
    place in the order of what the sender can send, by pair; ``places``: how many of them an image has so far.
    ``cells``: who is counted apart, (node, row of its core).
    """

    images: Sequence[CoreImage]
    topology: Topology
    pairs: dict[tuple[int, tuple[int, ...]], int] = field(default_factory=dict)
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    places: Counter[int] = field(default_factory=Counter)
    cells: dict[tuple[str, int], int] = field(default_factory=dict)

    @cached_property
    def row(self) -> dict[int, int]:
        """Rows of the counts by image; the host has none."""
        return {site: row for row, site in enumerate(n for n, i in enumerate(self.images) if i.chip != HOST)}

    def cell(self, node: str, site: int) -> int:
        """Number of a node on a core."""
        return self.cells.setdefault((node, self.row[site]), len(self.cells))

    def pair(self, source: int, targets: tuple[int, ...]) -> int:
        """Number of a pair."""
        return self.pairs.setdefault((source, targets), len(self.pairs))

    def packets(self, export: Export) -> Iterator[tuple[tuple[int, ...], Array]]:
        """Receivers of packets, and the elements of an export that send such packets."""
        bundles = [bundle for bundle in export.bundles if len(bundle.elements)]
        if not self.topology.multicast or not bundles:
            yield from (((bundle.target,), bundle.elements) for bundle in bundles)
            return
        reached = np.zeros((max(int(b.elements.max()) for b in bundles) + 1, len(bundles)), dtype=bool)
        for number, bundle in enumerate(bundles):
            reached[bundle.elements, number] = True
        sets, which = np.unique(reached, axis=0, return_inverse=True)
        for number, members in enumerate(sets):
            if members.any():
                targets = tuple(bundles[place].target for place in np.flatnonzero(members))
                yield targets, np.flatnonzero(which.reshape(-1) == number)

    def order(self, export: Export, source: int) -> None:
        """Gives the elements of one export the next places of their sender, and widens the spans of its pairs."""
        start = self.places[source]
        self.places[source] += len(export.elements)
        for targets, elements in self.packets(export):
            place, pair = start + export.turn(elements), self.pair(source, targets)
            found = self.spans.setdefault(pair, (int(place[0]), int(place[0])))
            self.spans[pair] = min(found[0], int(place.min())), max(found[1], int(place.max()))

    def path(self, source: int, targets: Sequence[int]) -> list[Link]:
        """Links from one image to others; the host is the end of its own link."""
        start, *ends = (
            Router(image.chip, image.x, image.y) if image.chip >= 0 else None
            for image in (self.images[site] for site in (source, *targets))
        )
        return tree(start, ends, self.topology)

    def links(self) -> tuple[list[Link], csr_array]:
        """All links, and the matrix (links, pairs) that is 1 where a pair's packets pass."""
        numbers: dict[Link, int] = {}
        rows, columns = [], []
        for (source, targets), number in self.pairs.items():
            for link in self.path(source, targets):
                rows.append(numbers.setdefault(link, len(numbers)))
                columns.append(number)
        ones = np.ones(len(rows), dtype=np.int64)
        return list(numbers), csr_array((ones, (rows, columns)), shape=(len(numbers), len(self.pairs)))

    def hops(self, source: int, targets: Sequence[int]) -> tuple[int, int]:
        """Router-to-router hops along x and y inside chips; none for packets that the host sends."""
        mesh = [link for link in self.path(source, targets) if link.kind == "mesh"]
        along_x = sum(link.start.x != link.end.x for link in mesh)
        return along_x, len(mesh) - along_x
