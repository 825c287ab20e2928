"""Who sends packets to whom in a run, over which links, and who is counted apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from ...image import HOST, CoreImage, Export
from ...ir.trace import Link, Router
from ...mapping.routes import route
from ...mapping.topology import Topology


@dataclass
class Network:
    """Links between routers and which (sender, receiver) pairs of images use them.

    ``spans``: first and last place in the order of what the sender can send, by pair; ``places``: how many of them an
    image has so far. ``cells``: who is counted apart, (node, row of its core).
    """

    images: Sequence[CoreImage]
    topology: Topology
    pairs: dict[tuple[int, int], int] = field(default_factory=dict)
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

    def pair(self, source: int, target: int) -> int:
        """Number of a pair."""
        return self.pairs.setdefault((source, target), len(self.pairs))

    def order(self, export: Export, source: int) -> None:
        """Gives the elements of one export the next places of their sender, and widens the spans of its pairs."""
        start = self.places[source]
        self.places[source] += len(export.elements)
        for bundle in (b for b in export.bundles if len(b.elements)):
            place = start + export.turn(bundle.elements)
            found = self.spans.setdefault(self.pair(source, bundle.target), (int(place[0]), int(place[0])))
            span = min(found[0], int(place.min())), max(found[1], int(place.max()))
            self.spans[self.pair(source, bundle.target)] = span

    def path(self, source: int, target: int) -> list[Link]:
        """Links from one image to another; the host is the end of its own link."""
        a, b = (
            Router(image.chip, image.x, image.y) if image.chip >= 0 else None
            for image in (self.images[source], self.images[target])
        )
        return route(a, b, self.topology)

    def links(self) -> tuple[list[Link], csr_array]:
        """All links, and the matrix (links, pairs) that is 1 where a pair's packets pass."""
        numbers: dict[Link, int] = {}
        rows, columns = [], []
        for (source, target), number in self.pairs.items():
            for link in self.path(source, target):
                rows.append(numbers.setdefault(link, len(numbers)))
                columns.append(number)
        ones = np.ones(len(rows), dtype=np.int64)
        return list(numbers), csr_array((ones, (rows, columns)), shape=(len(numbers), len(self.pairs)))

    def hops(self, source: int, target: int) -> tuple[int, int]:
        """Router-to-router hops along x and y inside chips; none for packets that the host sends."""
        mesh = [link for link in self.path(source, target) if link.kind == "mesh"]
        along_x = sum(link.start.x != link.end.x for link in mesh)
        return along_x, len(mesh) - along_x
