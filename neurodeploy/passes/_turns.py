"""Which tokens take turns: a network whose tokens are computed one after the other, by a few copies of its layers.

A *token* is what one index of a token axis stands for. From layer to layer an element keeps its token as long as it is
computed from nothing else: dense layers, elementwise nodes, Views, the rows of a product's first operand. Values whose
elements all have a token take turns: of S copies of a layer, copy c computes token r S + c in turn r, T ticks long.
What mixes tokens (the other operand of a product, a sum over tokens, a layer that reads several) *keeps* what arrives,
by token and tick, until all is there. All other values are in space: every element has a neuron of its own.

A *segment* is what lies between such mixtures: behind as many of them, and with copies of its own. Where one hands a
token over to another of other copies, a Delay keeps it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

import numpy as np

from ..array import Array
from ..errors import Problem
from ..ir.graph import Graph
from ..ir.micro_op import MICROCODE
from ..ir.nodes import Delay, Micro, Node, Output, Product, Reduce, Synapse, View

#: kinds that can keep what arrives for them
KEEPING = (Product, Reduce, Delay, Output)
NOBODY = -1
NUMBER = np.int32  # of a token: every element of every value has one


@dataclass(frozen=True, eq=False)
class Sight:
    """What the tokens of a product see of an operand that is kept: ``table`` (tokens, indices along ``axis``).

    ``first`` and ``last``: of each index the first and the last token of the operand's elements, 0: they have none.
    """

    table: Array
    axis: int
    shape: tuple[int, ...]
    first: Array
    last: Array

    def of(self, tokens: Array) -> Array:
        """Which indices each of some tokens sees, (tokens, indices); a token -1 sees none."""
        seen: Array = self.table[tokens] & (tokens >= 0)[:, None]
        return seen

    def index(self, flat: Array) -> Array:
        """The index of each of some elements of the operand."""
        return np.unravel_index(flat, self.shape)[self.axis]


@dataclass(frozen=True, eq=False)
class Turns:
    """Tokens of the elements of every value that has any, and how many copies take them one after the other.

    ``ticks`` of a turn. ``token``: of each element, flat, numbered from 0; of values on the host the one that reads it.
    ``segment``: the number of that of each such value; ``copies``: of each segment, none where all is in space.
    ``sights``: of operands of products that leave out terms, by product and operand; ``stores``: places for what is
    kept, which samples use in turn.
    ``outside``: nodes of the host, which has all tokens at hand. ``problems``: why the network cannot be laid out so.
    """

    ticks: int
    copies: tuple[int, ...] = ()
    token: dict[str, Array] = field(default_factory=dict)
    segment: dict[str, int] = field(default_factory=dict)
    straight: Container[tuple[str, int]] = ()
    outside: Container[str] = ()
    problems: tuple[Problem, ...] = ()
    sights: Mapping[tuple[str, int], Sight] = field(default_factory=dict)
    stores: int = 1
    _slots: dict[int, tuple[Array, Array]] = field(default_factory=dict)
    _models: dict[tuple[int, int], Array] = field(default_factory=dict)

    @cached_property
    def tokens(self) -> int:
        """Number of tokens."""
        return 1 + max((last for _, last in self._ends.values()), default=0)

    @property
    def any(self) -> bool:
        """Whether any tokens take turns."""
        return any(self.of(name) < self.tokens for name in self.token)

    @property
    def segments(self) -> int:
        """Number of segments."""
        return 1 + max(self.segment.values(), default=-1)

    def of_segment(self, segment: int) -> int:
        """Copies of a segment; as many as there are tokens where all are in the first turn."""
        return min(self.copies[min(segment, len(self.copies) - 1)], self.tokens)

    def of(self, name: str) -> int:
        """Copies of a value, as of its segment; as many as there are tokens if it has none."""
        return self.of_segment(self.segment[name]) if self.copies and name in self.segment else self.tokens

    def turn(self, name: str) -> Array | None:
        """The turn in which each element of a value is computed; None where all are in the first."""
        copies = self.of(name)
        return self.token[name] // copies if copies < self.tokens and name in self.token else None

    def axis(self, name: str, shape: tuple[int, ...]) -> int | None:
        """The axis of a value of this shape whose index is the token, if its tokens take turns and there is one."""
        token = self.token.get(name, np.zeros(0))
        for axis in range(len(shape)) if self.turn(name) is not None else ():
            index = np.arange(shape[axis]).reshape([-1 if a == axis else 1 for a in range(len(shape))])
            if np.array_equal(np.broadcast_to(index, shape).ravel(), token):
                return axis
        return None

    @cached_property
    def _ends(self) -> dict[str, tuple[int, int]]:
        """The first and the last token of every value."""
        ends = {i: (int(token.min()), int(token.max())) for i, token in _distinct(self.token).items()}
        return {name: ends[id(token)] for name, token in self.token.items()}

    def first(self, name: str) -> int:
        """The first turn of any element."""
        return self._ends[name][0] // self.of(name) if name in self.token else 0

    def last(self, name: str) -> int:
        """The last turn of any element."""
        return self._ends[name][1] // self.of(name) if name in self.token else 0

    def turns(self, name: str) -> int:
        """Turns of all copies together in which anything of a value is computed."""
        return len(np.unique(self.token[name])) if self.turn(name) is not None else 1

    def mixed(self, node: Node, operand: int) -> bool:
        """Whether a node reads other tokens of an input than its own, in other turns."""
        if not self.copies or node.name in self.outside or (node.name, operand) in self.straight:
            return False
        return bool(self.last(node.inputs[operand]) or self.last(node.name))

    def handed(self, node: Node, operand: int) -> bool:
        """Whether an input has the same tokens as the node, in other turns."""
        source = node.inputs[operand]
        if not self.copies or node.name in self.outside or source not in self.token:
            return False
        return (node.name, operand) in self.straight and self.of(source) != self.of(node.name)

    def kept(self, node: Node, operand: int) -> bool:
        """Whether a node keeps an input until it is used, which arrives in other turns than those that use it."""
        if isinstance(node, Delay):
            return bool(node.keeps)
        if isinstance(node, Output):
            return bool(self.last(node.name))
        return isinstance(node, KEEPING) and self.mixed(node, operand)

    def wait(self, node: Node, operand: int) -> int:
        """Steps from the first turn of an input until all that a node's first turn needs has been sent."""
        source = node.inputs[operand]
        if isinstance(node, Delay):
            return 0
        if self.handed(node, operand):
            # One step into the Delay that keeps it, one more into the line that hands it over.
            return max(self._behind(source, node.name), 0) * self.ticks + 2
        if not self.mixed(node, operand):
            return 0
        turns = max(self._ahead(node, operand), 0)
        return turns * self.ticks + (not isinstance(node, KEEPING))

    def sight(self, node: Node, operand: int) -> Sight | None:
        """What a product whose tokens take turns sees of an operand; None where each of its tokens sees all of it."""
        return self.sights.get((node.name, operand)) if self.turn(node.name) is not None else None

    def share(self, node: Node, operand: int) -> float:
        """Share of an operand that is kept which a product uses in a turn, mean over turns."""
        sight = self.sight(node, operand)
        return 1.0 if sight is None else float(sight.table[np.unique(self.token[node.name])].mean())

    def _ahead(self, node: Node, operand: int) -> int:
        """Most turns by which anything of an input comes later in its turns than who needs it in those of the node."""
        source, sight = node.inputs[operand], self.sight(node, operand)
        if sight is None:
            return self.last(source) - self.first(node.name)
        token, index = np.nonzero(sight.table)
        return int((sight.last[index] // self.of(source) - token // self.of(node.name)).max())

    def _behind(self, source: str, reader: str) -> int:
        """Most turns by which a token of the reader comes earlier in its turns than in those of the source."""
        tokens = np.unique(self.token[reader])
        return int((tokens // self.of(source) - tokens // self.of(reader)).max())

    def until(self, node: Node, operand: int) -> int:
        """Most turns for which a token that is kept is needed, from the turn of the source to one of the reader."""
        source = node.inputs[operand]
        if isinstance(node, Delay) and source in self.token and node.name in self.token:
            return self._behind(node.name, source)
        sight = self.sight(node, operand)
        if sight is None:
            return self.last(node.name) - self.first(source)
        token, index = np.nonzero(sight.table)
        return int((token // self.of(node.name) - sight.first[index] // self.of(source)).max())

    def arriving(self, name: str, flat: Array) -> Array:
        """The elements that arrive where some are needed and kept: a copy sends to whom needs any of its tokens."""
        model = self.model(name)
        if model is None:
            return flat
        needed = np.zeros(len(model), dtype=bool)
        needed[model[flat]] = True
        return np.flatnonzero(needed[model])

    def by_turn(self, name: str, models: Array) -> Array:
        """The elements for which some stand, (turns, elements), -1: none; all in one turn if each stands for itself."""
        if self.model(name) is None:
            return models[None]
        place, table = self.slots(name)
        copies = self.of(name)
        token = self.token[name][models] % copies + copies * np.arange(self.last(name) + 1)[:, None]
        found: Array = np.where(
            token < len(table), table[np.minimum(token, len(table) - 1), place[models]], NOBODY
        )
        return found

    def slots(self, name: str) -> tuple[Array, Array]:
        """For each element its place among those of its token, and the elements (tokens, places), -1: none."""
        token = self.token[name]  # one array for all values whose elements have the same tokens
        if id(token) not in self._slots:
            order = np.argsort(token, kind="stable")
            counts = np.bincount(token, minlength=self.tokens)
            place = np.empty(len(token), dtype=np.int64)
            place[order] = np.arange(len(token)) - np.repeat(np.cumsum(counts) - counts, counts)
            table = np.full((self.tokens, int(counts.max())), NOBODY)
            table[token, place] = np.arange(len(token))
            self._slots[id(token)] = place, table
        return self._slots[id(token)]

    def model(self, name: str) -> Array | None:
        """For each element the one that stands for it in every turn of its copy; None where each stands for itself."""
        copies = self.of(name)
        if copies == self.tokens:
            return None
        key = id(self.token[name]), copies
        if key in self._models:
            return self._models[key]
        place, table = self.slots(name)
        ahead = self.token[name] % copies
        found: Array = table[ahead, place]
        while (found < 0).any():  # a copy whose first turn has none of this value
            ahead = np.minimum(ahead + copies, len(table) - 1)
            found = np.where(found < 0, table[ahead, place], found)
        self._models[key] = found
        return found


def turns(graph: Graph, still: Container[str], outside: Container[str]) -> Turns:
    """The turns of a graph as its header asks for them; ``still``: its constants, ``outside``: nodes on the host."""
    return _Finder(graph, still, outside).turns()


class _Finder:
    def __init__(self, graph: Graph, still: Container[str], outside: Container[str]) -> None:
        self.graph, self.still, self.outside = graph, still, outside
        self.token: dict[str, Array] = {}  # in the shape of the value
        self.known: dict[tuple[int, ...], list[Array]] = {}
        self.straight: set[tuple[str, int]] = set()
        self.sights: dict[tuple[str, int], Sight] = {}
        self.problems: list[Problem] = []
        self.free = 1 << 20

    def turns(self) -> Turns:
        graph, ticks = self.graph, self.graph.header.timesteps
        for node in graph:
            if node.name not in self.still and node.name not in self.outside:
                self._node(node)
        if not self.token:
            cause = "the network has no tokens that could take turns"
            self._refuse(cause, graph.header.name, "no value with a token axis", "dense layers over tokens")
        for node in graph.delayed:
            self._refuse("a delayed connection cannot be streamed", node.name, "ticks of delay", "none")
        self._numbered()
        sizes = {i: np.bincount(t[t >= 0].ravel()) for i, t in _distinct(self.token).items()}
        for node in (node for node in graph if node.name in self.token):
            self._alike(node, sizes[id(self.token[node.name])])
            if isinstance(node, Product) and node.shown is not None:
                self._seen(node, node.shown)
        if self.problems:
            return Turns(ticks, problems=tuple(self.problems))
        self.known.clear()
        flat = {name: self._once(token.ravel()) for name, token in self.token.items()}
        straight = frozenset(self.straight)
        found = Turns(
            ticks,
            graph.header.copies,
            flat,
            self._segments(),
            straight,
            self.outside,
            sights=self.sights,
            stores=graph.header.stores,
        )
        self._sent_once(found)
        return replace(found, problems=tuple(self.problems)) if self.problems else found

    def _segments(self) -> dict[str, int]:
        """The segment of every value with tokens: numbers of those behind ever more mixtures of tokens."""
        level: dict[str, int] = {}
        for node in self.graph:
            read = [
                (i, name) for i, name in enumerate(node.inputs) if name in level and name not in self.outside
            ]
            behind = (level[name] + ((node.name, i) not in self.straight) for i, name in read)
            if node.name not in self.still:
                level[node.name] = max(behind, default=0)
        for node in reversed(
            list(self.graph)
        ):  # what a Delay keeps, and hands over by a line, is its readers'
            before = self.graph.nodes[node.inputs[0]] if isinstance(node, Delay) else node
            readers = self.graph.consumers[node.name]
            keeps = isinstance(node, Delay) and (node.keeps or (isinstance(before, Delay) and before.keeps))
            if (keeps or node.name in self.outside) and readers and node.name in self.token:
                level[node.name] = level[readers[0]]
        number = {n: i for i, n in enumerate(sorted({level[name] for name in self.token}))}
        return {name: number[level[name]] for name in self.token}

    def _sent_once(self, found: Turns) -> None:
        """Refuse what would be sent to readers of several turns."""
        for name in (name for name in self.token if name in self.outside):
            readers = [n for n in self.graph.consumers[name] if n in self.token and n not in self.outside]
            if len({found.of(reader) for reader in readers}) > 1:
                self._twice(name)

    def _refuse(self, cause: str, where: str, found: str, limit: str) -> None:
        fixes = ("lay the tokens out in space",)
        self.problems.append(Problem("ND527", cause, where, found, limit, fixes))

    def _node(self, node: Node) -> None:
        streams = [i for i, name in enumerate(node.inputs) if name not in self.still]
        token = self._token(node, streams)
        if token is not None:
            self.token[node.name] = self._once(np.broadcast_to(token, self.graph.shape(node.name)))
        for i in streams:
            source = node.inputs[i]
            if source in self.outside:
                self.straight.add((node.name, i))
                self._read_outside(node, source)
            elif self._straight(node, i):
                self.straight.add((node.name, i))

    def _once(self, token: Array) -> Array:
        """The same array for the same tokens: those of repeated layers are held, and looked at, once."""
        known = self.known.setdefault(token.shape, [])
        for found in known:
            if np.array_equal(found, token):
                return found
        known.append(np.ascontiguousarray(token, dtype=NUMBER))
        return known[-1]

    def _straight(self, node: Node, operand: int) -> bool:
        """Whether each element reads elements of its own token only."""
        theirs, own = self.token.get(node.inputs[operand]), self.token.get(node.name)
        if theirs is None or own is None:
            return theirs is None and own is None
        if isinstance(node, Product):
            letters = (node.einsum.left, node.einsum.right)[operand]
            return _same(_projected(theirs, letters, node.einsum.out, own.shape), own)
        return True

    def _token(self, node: Node, streams: list[int]) -> Array | None:
        """The tokens of a node's elements, in its shape; None where they have none."""
        shape, read = self.graph.shape(node.name), [self.graph.nodes[node.inputs[i]] for i in streams]
        if any(isinstance(n, Delay) and n.keeps == "all" for n in read):
            return None  # which waits for a node in space
        if isinstance(node, Synapse):
            return self._synapse(node, shape)
        if isinstance(node, Product):
            return self._product(node, shape)
        known = [self.token.get(node.inputs[i]) for i in streams]
        if isinstance(node, Reduce):
            return self._reduced(node, known[0] if known else None)
        if isinstance(node, View):
            return self._view(node, known)
        if isinstance(node, Delay) and (node.keeps in ("all", "tokens") or node.inputs[0] in self.outside):
            return None if node.keeps == "all" else self.token.get(node.inputs[0], self._by_axis(node.name))
        if all(token is None for token in known):
            return None
        inputs = [node.inputs[i] for i in streams if node.inputs[i] not in self.outside]
        return self._elementwise(node, [self.token.get(i, self._by_axis(i)) for i in inputs])

    def _elementwise(self, node: Node, known: list[Array | None]) -> Array | None:
        """The tokens of all inputs, those of values in space by their token axis; None where they differ."""
        shape = self.graph.shape(node.name)
        wide = [np.broadcast_to(t, shape) for t in known if t is not None and _fits(t.shape, shape)]
        if not wide or len(wide) < len(known) or any(not np.array_equal(t, wide[0]) for t in wide):
            return None
        row = isinstance(node, Micro) and MICROCODE[node.op].row
        return None if row and (wide[0] != wide[0][..., :1]).any() else wide[0]

    def _product(self, node: Product, shape: tuple[int, ...]) -> Array | None:
        """Tokens of the first operand whose tokens the result tells apart."""
        equation = node.einsum
        for letters, source in zip((equation.left, equation.right), node.inputs, strict=True):
            known = self.token.get(source)
            token = None if known is None else _projected(known, letters, equation.out, shape)
            if token is not None:
                # A held operand is replaced as a whole, so it has to be there as a whole.
                whole = equation.right if node.timing == "held" else ""
                axes = tuple(a for a, c in enumerate(equation.out) if c in whole)
                return token if (token == token.min(axis=axes, keepdims=True)).all() else None
        return None

    def _reduced(self, node: Reduce, token: Array | None) -> Array | None:
        if token is None or node.window is not None:
            return None
        axes = tuple(a % token.ndim for a in node.axes)
        low, high = token.min(axis=axes, keepdims=True), token.max(axis=axes, keepdims=True)
        return low.reshape(self.graph.shape(node.name)) if np.array_equal(low, high) else None

    def _by_axis(self, name: str) -> Array | None:
        """Tokens by the only token axis of a value, unless that is its last."""
        shape = self.graph.values[name].shape
        axes = [a for a, role in enumerate(shape.roles) if role == "N"]
        if len(axes) != 1 or shape.sizes[axes[0]] < 2:
            return None
        index = np.arange(shape.sizes[axes[0]]).reshape(
            [-1 if a == axes[0] else 1 for a in range(len(shape.sizes))]
        )
        return np.broadcast_to(index, shape.sizes)

    def _synapse(self, node: Synapse, shape: tuple[int, ...]) -> Array | None:
        source = node.inputs[0]
        token = self.token.get(source)
        if node.op == "dense":
            if token is None:
                own, theirs = self._by_axis(node.name), self._by_axis(source)
                return (
                    own if own is not None and theirs is not None and _rows(own) and _rows(theirs) else None
                )
            return None if (token != token[..., :1]).any() else np.broadcast_to(token[..., :1], shape)
        if source in self.outside:
            return self._patches(node, shape)
        pointwise = node.weight.shape[2:] == (1, 1) and node.stride == (1, 1) and not any(node.padding)
        if token is None or not pointwise or (token != token[:1]).any():
            return None
        return np.broadcast_to(token[:1], shape)

    def _patches(self, node: Synapse, shape: tuple[int, ...]) -> Array | None:
        """Tokens of a convolution whose windows do not overlap and whose places become tokens behind it."""
        window, stride = node.weight.shape[2:], node.stride
        if any(w > s for w, s in zip(window, stride, strict=True)) or any(node.padding):
            return None
        ahead = [node.name]
        for name in ahead:
            shown = self.graph.values[name].shape
            if shown.roles.count("N") == 1 and shown.sizes[shown.roles.index("N")] >= prod(shape[1:]):
                return np.broadcast_to(np.arange(prod(shape[1:])).reshape(1, *shape[1:]), shape)
            ahead += [r for r in self.graph.consumers[name] if isinstance(self.graph.nodes[r], View)]
        return None

    def _view(self, node: View, known: list[Array | None]) -> Array | None:
        if any(token is None for token in known):
            return None
        arrays = [self.token.get(i, np.full(self.graph.shape(i), NOBODY)) + 1 for i in node.inputs]
        token = np.array(node.apply(arrays)) - 1
        if (token >= 0).all():
            return token
        axis = self._by_axis(node.name)
        if axis is None:
            return None
        count = int(axis.max()) + 1
        row = np.full(count, NOBODY)
        np.maximum.at(row, axis.ravel(), token.ravel())
        lost = np.flatnonzero(row < 0)
        row[lost] = self.free + lost
        return row[axis]

    def _read_outside(self, node: Node, source: str) -> None:
        """The tokens of what the host sends: those that read it."""
        own = self.token.get(node.name)
        if own is None:
            read = None
        elif isinstance(node, Synapse) and node.op == "conv":
            read = np.full(self.graph.shape(source), NOBODY)
            (ky, kx), (sy, sx) = node.weight.shape[2:], node.stride
            for y, x in np.ndindex(*own.shape[1:]):
                read[:, y * sy : y * sy + ky, x * sx : x * sx + kx] = own[0, y, x]
        elif isinstance(node, Synapse):
            read = np.broadcast_to(own[..., :1], self.graph.shape(source))
        else:
            read = own
        known = self.token.setdefault(source, np.array([]) if read is None else read)
        if not np.array_equal(known, np.array([]) if read is None else read):
            self._twice(source)
        if read is None:
            del self.token[source]

    def _twice(self, source: str) -> None:
        cause, found = "the host would have to send a value twice", "read in different turns"
        self._refuse(cause, source, found, "the same turns")

    def _numbered(self) -> None:
        """Numbers tokens in the order of the token axis that shows most of them."""
        best: Array | None = None
        for name, token in self.token.items():
            axis = self._by_axis(name) if name in self.graph.nodes else None
            if axis is not None and (best is None or int(axis.max()) + 1 > len(best)):
                row = np.full(int(axis.max()) + 1, NOBODY)
                row[axis.ravel()] = token.ravel()
                if np.array_equal(row[axis], token) and len(np.unique(row)) == len(row):
                    best = row
        order = [] if best is None else best.tolist()
        distinct = _distinct(self.token)
        last = max((int(token.max()) for token in distinct.values()), default=NOBODY)
        there = np.zeros(last + 2, dtype=bool)  # what has none comes last, where -1 finds it
        for token in distinct.values():
            there[token.ravel()] = True
        there[NOBODY] = False
        there[order] = False
        order += np.flatnonzero(there).tolist()
        number = np.full(last + 2, NOBODY, dtype=NUMBER)
        number[order] = np.arange(len(order))
        numbered = {i: number[token] for i, token in distinct.items()}
        self.token = {name: numbered[id(token)] for name, token in self.token.items()}

    def _alike(self, node: Node, counts: Array) -> None:
        """Every token must have as many elements, and a View must show those of every token in the same way."""
        token = self.token[node.name]
        if len(np.unique(counts[counts > 0])) > 1 or counts.sum() < token.size:
            found = f"{counts[counts > 0].min()} .. {counts.max()} elements"
            self._refuse("tokens of a value differ in size", node.name, found, "as many for each token")
        elif isinstance(node, View) and node.name not in self.outside:
            self._shown_alike(node, token.ravel())

    def _seen(self, node: Product, shown: tuple[str, Array]) -> None:
        """What each token of a product that leaves out terms sees of its operands."""
        letters, table = shown
        own = self.token[node.name]
        numbers = 1 + max(int(token.max()) for token in self.token.values())
        for place, by_token in ((0, table), (1, table.T)):
            x, y = letters[place], letters[1 - place]
            if x not in node.einsum.out:
                continue
            rows = np.moveaxis(own, node.einsum.out.index(x), 0).reshape(table.shape[place], -1)
            if (rows != rows[:, :1]).any() or len(np.unique(rows[:, 0])) < len(rows):
                continue
            seen = np.zeros((numbers, by_token.shape[1]), dtype=bool)
            seen[rows[:, 0]] = by_token
            for operand, axes in enumerate((node.einsum.left, node.einsum.right)):
                if y in axes:
                    self.sights[node.name, operand] = self._sight(node.inputs[operand], seen, axes.index(y))
            return
        self._refuse("tokens of a product that leaves out terms do not tell these apart", node.name,
                     f"terms by {letters!r} of {node.equation}", "an index for each token")  # fmt: skip

    def _sight(self, source: str, seen: Array, axis: int) -> Sight:
        shape = self.graph.shape(source)
        token = self.token.get(source, np.zeros(shape, dtype=NUMBER))
        each = np.moveaxis(token, axis, 0).reshape(shape[axis], -1)
        return Sight(seen, axis, shape, each.min(axis=1), each.max(axis=1))

    def _shown_alike(self, node: View, token: Array) -> None:
        base, arrays, place = 1, [], [np.full(1, NOBODY)]
        for name in node.inputs:
            size = prod(self.graph.shape(name))
            arrays.append(np.arange(base, base + size).reshape(self.graph.shape(name)))
            theirs = self.token.get(name)
            if theirs is None:
                place.append(np.arange(base, base + size) + self.free)
            else:
                place.append(_places(theirs.ravel()) * len(node.inputs) + len(arrays) - 1)
            base += size
        shown = np.concatenate(place)[np.ascontiguousarray(node.apply(arrays)).ravel()]
        order = np.argsort(token, kind="stable")
        table = shown[order].reshape(len(np.unique(token)), -1)
        known = table.max(axis=0)
        if ((table != known) & (table != NOBODY)).any():
            self._refuse("tokens of a view differ in what they show", node.name, "a constant, or other places",
                         "the same places for each token")  # fmt: skip


def _distinct(token: dict[str, Array]) -> dict[int, Array]:
    """The arrays among those of all values, by their identity."""
    return {id(found): found for found in token.values()}


def _places(token: Array) -> Array:
    """Place of each element among those of its token."""
    order = np.argsort(token, kind="stable")
    counts = np.bincount(token - token.min())
    place = np.empty(len(token), dtype=np.int64)
    place[order] = np.arange(len(token)) - np.repeat(np.cumsum(counts) - counts, counts)
    return place


def _fits(source: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return len(source) <= len(shape) and all(
        a in (b, 1) for a, b in zip(source[::-1], shape[::-1], strict=False)
    )


def _rows(token: Array) -> bool:
    """Whether all of a row is of one token."""
    return bool((token == token[..., :1]).all())


def _same(a: Array | None, b: Array) -> bool:
    return a is not None and np.array_equal(np.broadcast_to(a, b.shape), b)


def _projected(token: Array, letters: str, out: str, shape: tuple[int, ...]) -> Array | None:
    """Tokens of an operand on the axes of the result; None where summed letters run over several."""
    gone = tuple(a for a, c in enumerate(letters) if c not in out)
    low, high = token.min(axis=gone, keepdims=True), token.max(axis=gone, keepdims=True)
    if not np.array_equal(low, high):
        return None
    kept = [c for c in letters if c in out]
    rest = low.reshape([n for c, n in zip(letters, token.shape, strict=True) if c in out])
    order = sorted(range(len(kept)), key=lambda a: out.index(kept[a]))
    rest = rest.transpose(order)
    return np.broadcast_to(
        rest.reshape([n if c in kept else 1 for c, n in zip(out, shape, strict=True)]), shape
    )


def waits(graph: Graph, found: Turns, level: dict[str, int]) -> Iterator[int]:
    """Steps after which the next sample may enter, by every population and everything that is kept."""
    for node in graph:
        if node.name in level:
            yield (found.last(node.name) + 1) * found.ticks
        for i, source in enumerate(node.inputs):
            if node.name in level and source in level and found.kept(node, i):
                late = found.until(node, i) * found.ticks
                needed = level[node.name] + int(isinstance(node, Output)) - level[source] + late
                yield -(-needed // found.stores)
