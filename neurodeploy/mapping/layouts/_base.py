"""What a layout strategy is: a rewrite of the integer graph before it is cut, ways to cut a group, or both.

The integer graph keeps its meaning. Where a network is computed in more populations (partial sums, relays, copies that
take turns), the strategy rewrites it into one that says so, and everything behind works on that graph. Where only the
places of its neurons differ, the strategy offers partitions. Those of all strategies compete, group by group.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from ...array import Array
from ...ir.graph import Graph
from ...registry import Member, Room
from ...target import Target
from ..cells import Tile
from ..demand import Accounting

#: how a user names a partition: by its label, or by parts per axis, their number or their sizes
Wanted = str | tuple[tuple[str, int | tuple[int, ...]], ...]


class Partition(ABC):
    """One way to cut a group into tiles, each of which goes to one core."""

    @property
    @abstractmethod
    def label(self) -> str:
        """What people call it, such as ``tokens/2 x channels/1``."""

    @property
    @abstractmethod
    def count(self) -> int:
        """Number of tiles."""

    @abstractmethod
    def tiles(self) -> list[Tile]:
        """The tiles: each neuron of the group in exactly one, atoms whole."""

    @abstractmethod
    def sample(self) -> Tile:
        """The tile that is expected to ask most of its core, by which the partition is judged until it is chosen."""

    @property
    def axis(self) -> int | None:
        """The only axis of the anchor along which it cuts; None where there are several or none."""
        return None

    @property
    def edges(self) -> tuple[Array, ...] | None:
        """Where the parts of a grid over the anchor's axes begin, and the end: its traffic is counted axis by axis."""
        return None

    def tile(self, number: int) -> Tile:
        """One of the tiles."""
        return self.tiles()[number]

    def shares(self, before: Array) -> Array:
        """The amount in each tile, of amounts that elements of the anchor have (:meth:`.Cells.before`)."""
        for axis in range(before.ndim):
            before = np.diff(before, axis=axis)
        return np.array([before.ravel()[tile.of(tile.cells.anchor)].sum() for tile in self.tiles()])


def places(edges: Array, at: Array) -> Array:
    """The number of the part in which each index of an axis lies."""
    found: Array = np.searchsorted(edges, at, side="right") - 1
    return found


class Layout(Member):
    """One strategy; stateless object, discovered by its file."""

    title: str

    def rewrite(self, graph: Graph, target: Target) -> Graph:
        """An integer graph that computes the same and can be laid out in this way; balanced afterwards."""
        return graph

    def partitions(self, accounting: Accounting, least: int, fine: bool = False) -> Sequence[Partition]:
        """Ways to cut a group into at least ``least`` tiles, fewest first; the finest comes last.

        ``fine`` asks for every size, also those that are rarely better than the usual ones.
        """
        return ()

    def named(self, accounting: Accounting, wanted: Wanted) -> Partition | None:
        """The partition that a user asks for; None where this strategy has none of that name."""
        if not isinstance(wanted, str):
            return None
        offers = (self.partitions(accounting, 1, fine) for fine in (False, True))
        return next((p for offer in offers for p in offer if p.label == wanted), None)


LAYOUTS = Room("mapping.layouts", Layout)
