"""Which elements of a group's nodes are one neuron, and which neurons must share a core.

Elementwise nodes and Views tie an element of their output to one of their input: tied elements are one *neuron*.
Row operators and broadcasts tie whole rows: neurons tied that way are an *atom* and live on one core. Both relations
are computed on whole arrays of labels; a group without Views that reorder and without rows costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import TypeVar

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.micro_op import MICROCODE
from ..ir.nodes import Micro, Node, View
from ..passes.balance import CROSSING, constants, turns
from .groups import Population
from .regions import Region, flat_of, region

NOBODY = np.zeros(0, dtype=np.int64)
Labels = Array  # of neurons, in the shape of a node's value
Found = TypeVar("Found")


def _of_twin(find: Callable[[Cells], Found]) -> cached_property[Found]:
    """What a group has in common with the one of which it is a twin: found once, by that."""

    def found(cells: Cells) -> Found:
        shared: Found = find(cells) if cells.twin is None else getattr(cells.twin, find.__name__)
        return shared

    found.__doc__ = find.__doc__
    return cached_property(found)


@dataclass(frozen=True, eq=False)
class Cells:
    """Neurons of one group; arrays over a node's elements are flat.

    ``anchor`` is the node whose axes are cut, ``shape`` its value's. ``neuron[node]`` gives each element's neuron and
    ``home[neuron]`` the anchor element that decides its core; both None if element i of every node is neuron i.
    ``twin``: those of a group that differs in names only.
    """

    anchor: str
    shape: tuple[int, ...]
    sizes: dict[str, int]
    neuron: dict[str, Array] | None = None
    home: Array | None = None
    twin: Cells | None = None

    def renamed(self, name: dict[str, str]) -> Cells:
        """Those of a group that differs in names only."""
        sizes = {name[n]: size for n, size in self.sizes.items()}
        neuron = self.neuron and {name[n]: found for n, found in self.neuron.items()}
        return replace(self, anchor=name[self.anchor], sizes=sizes, neuron=neuron, twin=self.twin or self)

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return self.sizes[self.anchor] if self.home is None else len(self.home)

    @_of_twin
    def homes(self) -> tuple[Array, Array]:
        """Distinct anchor elements that decide a core, sorted, and how many neurons each decides for."""
        if self.home is None:
            return np.arange(self.neurons), np.ones(self.neurons, dtype=np.int64)
        count = np.bincount(self.home, minlength=self.sizes[self.anchor])
        found = np.flatnonzero(count)
        return found, count[found]

    @_of_twin
    def coordinates(self) -> tuple[Array, ...]:
        """Coordinates of the homes along each axis of the anchor."""
        return tuple(np.unravel_index(self.homes[0], self.shape)) if self.shape else ()

    def before(self, amounts: Array) -> Array:
        """Of amounts of the anchor's elements, flat, those before each corner of its grid."""
        before = np.zeros([size + 1 for size in self.shape], dtype=amounts.dtype)
        inner = tuple(slice(1, None) for _ in self.shape)
        before[inner] = amounts.reshape(self.shape)
        for axis in range(len(self.shape)):
            np.cumsum(before, axis=axis, out=before)
        return before

    @_of_twin
    def neurons_before(self) -> Array:
        """Neurons whose home lies :meth:`before` each corner."""
        if self.home is None:
            return self.before(self.homes[1])
        return self.before(np.bincount(self.home, minlength=self.sizes[self.anchor]))

    def within(self, axes: tuple[Array, ...]) -> Array:
        """Places in :attr:`homes` of those in a product of index sets of the anchor's axes."""
        flat, homes = flat_of(axes, self.shape), self.homes[0]
        place = np.minimum(np.searchsorted(homes, flat), len(homes) - 1)
        found: Array = place[homes[place] == flat]
        return found

    @_of_twin
    def residents(self) -> tuple[Array, Array]:
        """Neurons in order of their homes, and where each home's begin (one more at the end)."""
        order = np.argsort(self.home, kind="stable") if self.home is not None else np.arange(self.neurons)
        return order, np.concatenate([[0], np.cumsum(self.homes[1])])

    @cached_property
    def element(self) -> dict[str, Array | None]:
        """Per node the element that shows each neuron, -1 for none; None if a neuron shows in several."""
        if self.twin is not None:
            return dict(zip(self.neuron or {}, self.twin.element.values(), strict=True))
        found: dict[str, Array | None] = {}
        for name, neuron in (self.neuron or {}).items():
            shown = np.full(self.neurons, -1, dtype=np.int64)
            shown[neuron] = np.arange(len(neuron))
            found[name] = shown if int((shown >= 0).sum()) == len(neuron) else None
        return found

    def hosted(self, homes: Array) -> Tile:
        """The tile of some homes, given as sorted places in :attr:`homes`; any set of them is a tile."""
        if self.neuron is None:
            return Tile(self, None, homes)
        order, start = self.residents
        width = start[homes + 1] - start[homes]
        first = np.repeat(start[homes] - np.cumsum(width) + width, width)
        return Tile(self, None, np.sort(order[first + np.arange(len(first))], kind="stable"))


def boxes(before: Array, edges: Sequence[Array]) -> Array:
    """Amounts in each box of a grid, given where its parts begin, and the end: from those :meth:`Cells.before` it."""
    found: Array = before[np.ix_(*edges)]
    for axis in range(found.ndim):
        found = np.diff(found, axis=axis)
    return found


class Tile:
    """The part of a group that goes to one core: a box of a plain grid (``axes``), or a set of neurons."""

    __slots__ = ("_elements", "axes", "cells", "neurons")

    def __init__(self, cells: Cells, axes: tuple[Array, ...] | None, neurons: Array | None = None) -> None:
        self.cells, self.axes = cells, axes
        self.neurons = NOBODY if neurons is None else neurons
        self._elements: dict[str, Array] = {}

    @property
    def elements(self) -> dict[str, Array]:
        """Node -> sorted flat indices, int64."""
        return {name: self.of(name) for name in self.cells.sizes}

    def of(self, name: str) -> Array:
        """Sorted flat indices of a node's elements, int64."""
        if self.axes is not None:
            name = self.cells.anchor
        if name not in self._elements:
            self._elements[name] = self._of(name)
        return self._elements[name]

    def forget(self) -> None:
        """Drop what :meth:`of` keeps."""
        self._elements = {}

    def like(self, cells: Cells) -> Tile:
        """The same tile of a group that is equal but for the names."""
        return self if cells is self.cells else Tile(cells, self.axes, self.neurons)

    def _of(self, name: str) -> Array:
        if self.axes is not None:
            return flat_of(self.axes, self.cells.shape)
        if self.cells.neuron is None:
            return self.neurons
        shown = self.cells.element[name]
        if shown is not None:
            found = shown[self.neurons]
            return np.sort(found[found >= 0], kind="stable")  # mostly sorted: then it is fast
        here = np.zeros(self.cells.neurons, dtype=bool)
        here[self.neurons] = True
        return np.flatnonzero(here[self.cells.neuron[name]])

    def size(self, name: str) -> int:
        """Number of elements of a node."""
        return prod(len(a) for a in self.axes) if self.axes is not None else len(self.of(name))

    def region(self, name: str, shape: tuple[int, ...]) -> Region:
        """The elements of a node whose value has this shape."""
        if self.axes is not None and shape == self.cells.shape:
            return Region(shape, self.axes)
        return region(self.of(name), shape)


def split(number: Array) -> list[Array]:
    """Positions of each number 0 .. max, ascending."""
    count = int(number.max()) + 1
    small = number.astype(np.int16 if count < 1 << 15 else np.int64)  # numpy sorts 16 bits by radix
    order = np.argsort(small, kind="stable")
    return np.split(order, np.cumsum(np.bincount(number, minlength=count))[:-1])


# --- labels ------------------------------------------------------------------------------------------------------


@dataclass
class _Ties:
    """Labels given so far and the pairs of labels found to be one neuron or one atom."""

    labels: dict[str, Labels] = field(default_factory=dict)
    count: int = 0
    same: list[tuple[Array, Array]] = field(default_factory=list)
    together: list[tuple[Array, Array]] = field(default_factory=list)

    def fresh(self, shape: tuple[int, ...]) -> Labels:
        size = int(np.prod(shape, dtype=np.int64))
        self.count += size
        return np.arange(self.count - size, self.count).reshape(shape)


def cells(graph: Graph, group: Population) -> Cells:
    """The neurons and atoms of a group."""
    sizes = {n.name: graph.values[n.name].shape.size for n in group.nodes}
    if _plain(graph, group, sizes):
        anchor = max([*group.entries, *group.nodes], key=lambda n: _counts_tokens(graph, n.name)).name
        return Cells(anchor, graph.shape(anchor), sizes)
    ties = _Ties()
    still = constants(graph)
    for node in group.nodes:
        ties.labels[node.name] = _label(graph, node, [i for i in node.inputs if i not in still], ties)
    neuron_of = _components(ties.count, ties.same)
    neuron = {name: neuron_of[labels.ravel()] for name, labels in ties.labels.items()}
    neurons = int(neuron_of.max()) + 1
    atom = _components(neurons, [(neuron_of[a], neuron_of[b]) for a, b in ties.together])
    anchor = _anchor(graph, group, neuron, atom)
    home = _homes(graph, anchor, neuron, atom)[atom]
    return Cells(anchor, graph.shape(anchor), sizes, neuron, home)


def _plain(graph: Graph, group: Population, sizes: dict[str, int]) -> bool:
    """True if element i of every node is element i of every other."""
    still = constants(graph)
    if len(set(sizes.values())) > 1:
        return False
    for node in group.nodes:
        streams = [i for i in node.inputs if i not in still]
        moves = isinstance(node, View) and node.op not in ("reshape", "broadcast")
        row = isinstance(node, Micro) and MICROCODE[node.op].row
        loose = not isinstance(node, CROSSING) and not streams and len(group.nodes) > 1
        if moves or row or loose:
            return False
    return True


def _label(graph: Graph, node: Node, streams: list[str], ties: _Ties) -> Labels:
    shape = graph.shape(node.name)
    inside = [i for i in streams if i in ties.labels]
    if isinstance(node, CROSSING) or not inside:
        return ties.fresh(shape)
    labels = _viewed(graph, node, ties) if isinstance(node, View) else _elementwise(shape, inside, ties)
    if isinstance(node, Micro) and MICROCODE[node.op].row and labels.size:
        ties.together.append((labels.ravel(), np.broadcast_to(labels[..., :1], labels.shape).ravel()))
    return labels


def _viewed(graph: Graph, node: View, ties: _Ties) -> Labels:
    # Labels travel through the View itself, one higher, so that padding and constants arrive as 0: nobody's.
    absent = {i: np.zeros(graph.shape(i), dtype=np.int64) for i in node.inputs if i not in ties.labels}
    arrays = [absent[i] if i in absent else ties.labels[i] + 1 for i in node.inputs]
    labels = np.ascontiguousarray(node.apply(arrays)) - 1
    flat = labels.reshape(-1)
    first = _first(flat, ties.count)
    own = ties.fresh((len(flat) - int(first.sum()),))
    shown = flat[~first]
    # A second copy of an element is a neuron of its own that reads the first.
    ties.together.append((own[shown >= 0], shown[shown >= 0]))
    flat[~first] = own
    return labels


def _elementwise(shape: tuple[int, ...], inside: list[str], ties: _Ties) -> Labels:
    size = int(np.prod(shape, dtype=np.int64))
    equal = [i for i in dict.fromkeys(inside) if ties.labels[i].size == size]
    labels = ties.labels[equal[0]].reshape(shape) if equal else ties.fresh(shape)
    for other in equal[1:]:
        ties.same.append((labels.ravel(), ties.labels[other].ravel()))
    for other in dict.fromkeys(inside):
        if other not in equal:
            ties.together.append(_spread(labels, ties.labels[other]))
    return labels


def _spread(labels: Labels, source: Labels) -> tuple[Array, Array]:
    """Pairs that tie an output to an input of another size: broadcast, row by row, or as a whole."""
    if all(a in (b, 1) for a, b in zip(source.shape[::-1], labels.shape[::-1], strict=False)):
        return labels.ravel(), np.broadcast_to(source, labels.shape).ravel()
    rows = labels.shape[:-1] if labels.shape[:-1] == source.shape[:-1] else ()
    parts = [x.reshape(*rows, -1) for x in (labels, source)]
    firsts = [np.broadcast_to(parts[0][..., :1], x.shape).ravel() for x in parts]
    return np.concatenate([x.ravel() for x in parts]), np.concatenate(firsts)


def _first(labels: Array, count: int) -> Array:
    """True where a label >= 0 appears for the first time."""
    positions = np.arange(len(labels))
    seen = np.zeros(count + 1, dtype=np.int64)
    seen[labels[::-1]] = positions[::-1]  # the last write wins: the smallest position
    first: Array = (seen[labels] == positions) & (labels >= 0)
    return first


def _components(count: int, pairs: list[tuple[Array, Array]]) -> Array:
    """Component of each of ``count`` labels, numbered by first appearance."""
    rows = np.concatenate([np.zeros(0, dtype=np.int64), *(a for a, _ in pairs)])
    columns = np.concatenate([np.zeros(0, dtype=np.int64), *(b for _, b in pairs)])
    useful = rows != columns
    if not useful.any():
        return np.arange(count)
    ones = np.ones(int(useful.sum()), dtype=np.int8)
    from scipy.sparse import coo_array  # a quarter of a second to import, needed by few groups
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((ones, (rows[useful], columns[useful])), shape=(count, count))
    return np.asarray(connected_components(edges, directed=False)[1], dtype=np.int64)


# --- anchors -----------------------------------------------------------------------------------------------------


def _anchor(graph: Graph, group: Population, neuron: dict[str, Array], atom: Array) -> str:
    """The node that shows the most atoms: an axis of tokens that take turns wins ties, then the first entry."""
    order = [n.name for n in (*group.entries, *group.nodes)]

    def shows(name: str) -> tuple[int, bool]:
        return len(np.unique(atom[neuron[name]])), _counts_tokens(graph, name)

    return max(order, key=shows)  # the first of several


def _counts_tokens(graph: Graph, name: str) -> bool:
    """Whether an axis of a value counts tokens that take turns."""
    return turns(graph).axis(name, graph.shape(name)) is not None


def _homes(graph: Graph, anchor: str, neuron: dict[str, Array], atom: Array) -> Array:
    """Per atom its first anchor element; atoms that the anchor does not show live with a neighbour."""
    home = np.full(int(atom.max()) + 1, -1, dtype=np.int64)
    shown = atom[neuron[anchor]]
    home[shown[::-1]] = np.arange(len(shown))[::-1]  # the last write wins: the smallest index
    for name, cells_of_node in neuron.items():
        if (home < 0).any():
            atoms = atom[cells_of_node]
            near = _filled(home[atoms].reshape(graph.shape(name))).ravel()
            lost = home[atoms] < 0
            home[atoms[lost]] = near[lost]
    return np.maximum(home, 0)


def _filled(home: Array) -> Array:
    """Negative entries replaced by the nearest other one before them, else after them, axis by axis."""
    for axis in range(home.ndim):
        for step in (1, -1):
            lined = np.moveaxis(home, axis, 0)[::step]
            at = np.where(lined >= 0, np.arange(len(lined)).reshape(-1, *[1] * (home.ndim - 1)), -1)
            at = np.maximum.accumulate(at, axis=0)
            known = np.take_along_axis(lined, np.maximum(at, 0), axis=0)
            home = np.moveaxis(np.where(at >= 0, known, lined)[::step], 0, axis)
    return home
