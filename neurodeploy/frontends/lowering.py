"""The graph under construction, with what the builders in ``ops/`` need: nodes, views, constants, the input by id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from ..array import Array
from ..ir.graph import Builder, Header
from ..ir.nodes import Const, Input, Node, Sum, Synapse, View
from ..ir.roles import reshaped_roles
from ..ir.types import Interval, Origin, Shape, Value
from .traced import Call
from .values import MaskedScores, Refusal, Scores, Stream, TokenIds


class Lowering:
    """Nodes with the origin of the ``call`` that is being lowered; ``tables`` are the lookups among them."""

    def __init__(self, header: Header, to_array: Callable[[Any], Array]) -> None:
        self.builder = Builder(header)
        self.to_array = to_array
        self.call = Call("input", "input", (), {}, Origin("", "input"), False, lambda: None)
        self.tables: dict[str, Any] = {}  # synapse -> torch tensor (rows,): what it is of a single token
        self.pasts: dict[
            str, str
        ] = {}  # delayed synapse -> the call, perhaps a later one, whose result it reads

    # --- adding nodes --------------------------------------------------------------------------------------------
    def add(
        self, kind: type[Node], inputs: Sequence[str], shape: Shape, what: str = "", **fields: Any
    ) -> str:
        """Append a node with the call's origin, named after its module: the same under every version of torch.

        The one operator of a module has the module's path as its name; any other ``what`` it does behind that.
        """
        path = self.call.origin.path
        bare = self.call.leaf and path and kind not in (View, Const)
        name = path if bare else ".".join(filter(None, (path, what or _what(kind, fields))))
        node = kind(name=name, inputs=tuple(inputs), origin=(self.call.origin,), **fields)
        return self.builder.add(node, Value(shape))

    def like(self, stream: Stream, kind: type[Node], **fields: Any) -> Stream:
        """An operator that keeps shape and batch axis."""
        return stream.at(self.add(kind, [stream.name], stream.shape, **fields), stream.shape)

    def view(self, name: str, shape: Shape, op: str, args: Iterable[int], to: Shape) -> str:
        """A View node, or ``name`` itself where nothing would move."""
        args = tuple(int(a) for a in args)
        nothing = {
            "reshape": args == shape.sizes,
            "permute": args == tuple(range(len(args))),
            "broadcast": args == shape.sizes,
            "slice": to == shape,
        }.get(op, False)
        return name if nothing else self.add(View, [name], to, op=op, args=args)

    def graph_permute(self, name: str, shape: Shape, order: Sequence[int]) -> tuple[str, Shape]:
        """Permute graph axes."""
        to = Shape(tuple(shape.roles[a] for a in order), tuple(shape.sizes[a] for a in order))
        return self.view(name, shape, "permute", order, to), to

    def graph_reshape(self, name: str, shape: Shape, sizes: Sequence[int]) -> tuple[str, Shape]:
        """Reshape graph axes; roles follow."""
        to = Shape(reshaped_roles(shape, tuple(sizes)), tuple(sizes))
        return self.view(name, shape, "reshape", sizes, to), to

    def reshape(self, stream: Stream, sizes: Sequence[int]) -> Stream:
        """Torch's reshape; the batch must stay inside one axis."""
        new, copies = inferred(sizes, prod(stream.sizes)), stream.copies
        places = list(_batch_places(new, prod(stream.sizes[: stream.batch]) * stream.outer, copies))
        if not places:
            cause, limit = "a reshape mixes the batch with other axes", "the batch stays inside one axis"
            raise Refusal("ND105", cause, f"{stream.sizes} to {new}", limit, "reshape per sample")
        q, outer = min(places, key=lambda place: (new[place[0]] != copies, place[1], place[0]))
        merged = new[q] != copies
        graph = (*new[:q], *((new[q] // copies,) if merged else ()), *new[q + 1 :])
        name, shape = self.graph_reshape(stream.name, stream.shape, graph)
        return Stream(name, shape, q, copies, merged, outer)

    def permute(self, stream: Stream, dims: Sequence[int]) -> Stream:
        """Torch's permute; the batch axis may move and nothing happens to the graph."""
        dims = [stream.dim(d) for d in dims]
        batch = dims.index(stream.batch)
        order = dims if stream.merged else [stream.axis(d) for d in dims if d != stream.batch]
        name, shape = self.graph_permute(stream.name, stream.shape, order)
        return stream.at(name, shape, batch)

    def slice(self, stream: Stream, dim: int, start: int | None, stop: int | None, step: int = 1) -> Stream:
        """Torch's slice with Python's rules for missing and negative bounds."""
        size = stream.sizes[stream.dim(dim)]
        start, stop, step = slice(start, stop, step).indices(size)
        if (start, stop, step) == (0, size, 1):
            return stream
        axis, count = stream.axis(dim, "a slice"), len(range(start, stop, step))
        if count == 0 or step < 1:
            raise Refusal("ND101", "an empty or backward slice", f"{start}:{stop}:{step} of {size}")
        sizes = (*stream.shape.sizes[:axis], count, *stream.shape.sizes[axis + 1 :])
        shape = Shape(stream.shape.roles, sizes)
        name = self.view(stream.name, stream.shape, "slice", (axis, start, stop, step), shape)
        return stream.at(name, shape)

    def broadcast(self, stream: Stream, wanted: Sequence[int]) -> Stream:
        """Torch's expand: repeats axes of size 1, -1 keeps one; new axes come in front."""
        padded = self.reshape(stream, (1,) * (len(wanted) - stream.rank) + stream.sizes)
        full = [old if new == -1 else new for old, new in zip(padded.sizes, wanted, strict=True)]
        if full[padded.batch] != padded.sizes[padded.batch]:
            raise Refusal("ND105", "expand repeats the batch", f"{stream.sizes} to {tuple(full)}")
        target = [s for d, s in enumerate(full) if padded.merged or d != padded.batch]
        if padded.merged:
            target[padded.batch] = padded.shape.sizes[padded.batch]
        shape = Shape(padded.shape.roles, tuple(target))
        return padded.at(self.view(padded.name, padded.shape, "broadcast", target, shape), shape)

    def one_hot(self, ids: TokenIds, vocabulary: int) -> Stream:
        """The input as one spike per token on one of ``vocabulary`` lines: (N, V), what a synapse can look up by."""
        node = Input(name="input", origin=(Origin("", "input"),))
        shape = Shape(("N", "K"), (ids.tokens, vocabulary))
        if node.name not in self.builder.nodes:
            self.builder.add(node, Value(shape, interval=Interval(0, 1, True)))
        rows = self.builder.values[node.name].shape.sizes[1]
        if rows != vocabulary:
            cause = "token ids are looked up in tables of different length"
            fix = "give all tables of the ids the same number of rows"
            raise Refusal("ND101", cause, f"{vocabulary} rows", f"{rows} rows", fix)
        return ids.at(node.name, shape)

    # --- constants -----------------------------------------------------------------------------------------------
    def array(self, constant: Any) -> Array:
        """A constant as a numpy array, floats as float64."""
        own = isinstance(constant, (int, float, np.ndarray))
        array = np.asarray(constant if own else self.to_array(constant))
        return array.astype(np.float64) if array.dtype.kind == "f" else array

    def aligned(self, constant: Any, like: Stream) -> Array:
        """A constant without the batch axis of ``like``, aligned to its torch axes from the right.

        The result has as many axes as the graph shape of ``like``. Refusal ND105 if samples would get different values.
        """
        given = self.array(constant)
        array: Array = given.reshape((1,) * (like.rank - given.ndim) + given.shape).astype(np.float64)
        axis = like.batch + array.ndim - like.rank
        if array.shape[axis] == 1:
            return array if like.merged else array.squeeze(axis)
        before, after = array.shape[:axis], array.shape[axis + 1 :]
        folded = array.reshape(*before, like.outer, like.copies, -1, *after)
        one: Array = folded.take(0, axis + 1)
        if not np.array_equal(folded, np.broadcast_to(np.expand_dims(one, axis + 1), folded.shape)):
            found = f"axis {axis} of {array.shape}"
            raise Refusal("ND105", "a constant differs from sample to sample", found)
        return one.reshape(*before, -1, *after) if like.merged else one.reshape(before + after)

    def hide(self, scores: Scores, hidden: Array) -> MaskedScores:
        """Scores that a softmax will take for minus infinity where ``hidden``, aligned as a constant is."""
        if isinstance(scores, MaskedScores):
            return MaskedScores(scores.scores, scores.hidden | self.hide(scores.scores, hidden).hidden)
        return MaskedScores(scores, np.broadcast_to(self.aligned(hidden, scores) > 0, scores.shape.sizes))

    def const(self, array: Array, roles: Sequence[str]) -> tuple[str, Shape]:
        """A Const node and its shape."""
        array = np.ascontiguousarray(array, dtype=np.float64)
        array.setflags(write=False)
        shape = Shape(tuple(roles), array.shape)
        return self.add(Const, [], shape, value=array), shape


def _what(kind: type[Node], fields: Mapping[str, Any]) -> str:
    """What a node does, in one word."""
    if kind is Synapse:
        return "linear" if fields["op"] == "dense" else "conv"
    return str(fields.get("op") or fields.get("model") or ("add" if kind is Sum else kind.__name__.lower()))


def inferred(sizes: Sequence[int], total: int) -> tuple[int, ...]:
    """Sizes with a -1 filled in."""
    known = prod(s for s in sizes if s != -1)
    return tuple(total // known if s == -1 else int(s) for s in sizes)


def _batch_places(sizes: tuple[int, ...], outside: int, copies: int) -> Iterator[tuple[int, int]]:
    """Axes that can hold a batch with ``outside`` elements before it, each with the part of them inside the axis."""
    for axis, size in enumerate(sizes):
        lead = prod(sizes[:axis])
        if lead and outside % lead == 0 and size and size % (outside // lead * copies) == 0:
            yield axis, outside // lead
