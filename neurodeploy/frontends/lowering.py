"""The graph under construction, with what the builders in ``ops/`` need: nodes, views, constants, the input by id."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from ..array import Array
from ..ir.graph import Builder, Header
from ..ir.neuron_model import NEURONS
from ..ir.nodes import Const, Input, Neuron, Node, Product, Reduce, Sum, Synapse, View
from ..ir.roles import reshaped_roles
from ..ir.types import BINARY, Interval, Origin, Shape, Value
from .traced import Call, references
from .values import (
    TIME,
    MaskedScores,
    Pair,
    Refusal,
    Run,
    Scores,
    Stream,
    TokenIds,
    changing_parameter,
    foreign,
    inner,
    mixed_ticks,
    other_ticks,
)  # fmt: skip


class Lowering:
    """Nodes with the origin of the ``call`` that is being lowered; ``tables`` are the lookups among them.

    ``ticks`` is how many of them a model runs in one call; None where one call is one tick. What is repeated so often
    is time, but for the first ``others``, which have the same length by chance; ``repeated`` counts all of them.
    """

    def __init__(
        self, header: Header, to_array: Callable[[Any], Array], ticks: int | None = None, others: int = 0
    ) -> None:
        self.builder = Builder(header)
        self.others, self.repeated = others, 0
        self.to_array, self.ticks = to_array, ticks
        self.known: dict[
            tuple[Any, ...], str
        ] = {}  # a module that is called at every tick computes the same nodes
        self.calls: dict[
            str, tuple[tuple[Stream, ...], int]
        ] = {}  # neuron -> what it reads, how often it was called
        self.refused: dict[str, Refusal] = {}  # neuron -> why its ticks are no ticks of one population
        self.mixed: list[Call] = []  # neurons that take ticks and samples in one axis for time
        self.call = Call("input", "input", (), {}, Origin("", "input"), False, lambda: None)
        self.tables: dict[str, Any] = {}  # synapse -> torch tensor (rows,): what it is of a single token
        self.pasts: dict[
            str, str
        ] = {}  # delayed synapse -> the call, perhaps a later one, whose result it reads
        self.names: dict[str, str] = {}  # constant, or what is computed from one -> its name in the module
        self.held: dict[
            str, tuple[str, float, Stream]
        ] = {}  # clipped value -> "above" or "below", where, what it was of
        self.truths: set[str] = set()  # what a comparison of spikes has made: zeros and ones
        self.spectra: set[str] = set()  # complex streams: their last axis is real and imaginary part
        self.pairs: dict[str, Pair] = {}  # product of two masks of single tokens, or what is left by it

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
        if self.ticks is None:
            return self.builder.add(node, Value(shape))
        key = path, kind, tuple(inputs), shape, content(fields)
        if key not in self.known:
            self.known[key] = self.builder.add(node, Value(shape))
        return self.known[key]

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
        """Torch's reshape; samples, and ticks, must each stay whole inside one axis."""
        new = inferred(sizes, prod(stream.sizes))
        axes = _regrouped(stream, new)
        if axes is None:
            cause, limit = "a reshape mixes the batch with other axes", "the batch stays inside one axis"
            raise Refusal("ND105", cause, f"{stream.sizes} to {new}", limit, "reshape per sample")
        graph = [prod(inner(run)) for run in axes if inner(run)]
        name, shape = self.graph_reshape(stream.name, stream.shape, graph)
        return stream.at(name, shape, axes)

    def permute(self, stream: Stream, dims: Sequence[int]) -> Stream:
        """Torch's permute; the batch axis may move and nothing happens to the graph."""
        dims = [stream.dim(d) for d in dims]
        own = [d for d in range(stream.rank) if inner(stream.axes[d])]
        order = [own.index(d) for d in dims if d in own]
        name, shape = self.graph_permute(stream.name, stream.shape, order)
        return stream.at(name, shape, [stream.axes[d] for d in dims])

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
        padded = self.lifted(stream, len(wanted))
        full = [old if new == -1 else new for old, new in zip(padded.sizes, wanted, strict=True)]
        for old, new, run in zip(padded.sizes, full, padded.axes, strict=True):
            if foreign(run) and old != new:
                raise Refusal("ND105", "expand repeats the batch", f"{stream.sizes} to {tuple(full)}")
        padded = self.over_time(padded, full)
        target = [
            prod(inner(run)) if foreign(run) else n
            for n, run in zip(full, padded.axes, strict=True)
            if inner(run)
        ]
        shape = Shape(padded.shape.roles, tuple(target))
        return padded.at(self.view(padded.name, padded.shape, "broadcast", target, shape), shape)

    def lifted(self, stream: Stream, rank: int) -> Stream:
        """The stream with axes of size 1 in front."""
        return self.reshape(stream, (1,) * (rank - stream.rank) + stream.sizes)

    def met(self, a: Stream, b: Stream, what: str) -> tuple[Stream, Stream]:
        """Two operands whose samples and ticks stand in the same axes; Refusal ND105 or ND162 where they do not."""
        a, b = self._in_time_of(a, b), self._in_time_of(b, a)
        if a.place != b.place:
            cause = f"{what} of streams whose batch axes do not meet"
            limit = "the batch in the same axis of both"
            raise Refusal("ND105", cause, f"{a.sizes} and {b.sizes}", limit)
        readouts = {a.readout, b.readout}
        if len(readouts) > 1 and "sum" in readouts:
            raise mixed_ticks(f"{what} of all ticks and of one", f"{a.sizes} and {b.sizes}")
        ticks = {stream.tick for stream in (a, b)} - {0}
        if len(ticks) > 1 or any(stream.partial for stream in (a, b)):
            raise self.unlike(what, f"ticks {a.tick} and {b.tick}", a, b)
        readout, tick = max(readouts), max(a.tick, b.tick)
        return replace(a, readout=readout, tick=tick), replace(b, readout=readout, tick=tick)

    def unlike(self, what: str, found: str, a: Stream, b: Stream) -> Refusal:
        """Why two streams are not one at two ticks: a parameter that differs (ND174), or anything else (ND160)."""
        one, two = (self.builder.nodes[stream.name] for stream in (a, b))
        while one is not two:
            alike = type(one) is type(two) and one.inputs == two.inputs
            if alike and isinstance(one, Synapse) and isinstance(two, Synapse) and _comparable(one, two):
                weights = np.broadcast_arrays(one.weight, two.weight)
                return changing_parameter(one.place, [w[weights[0] != weights[1]] for w in weights])
            if type(one) is not type(two) or len(one.inputs) != 1 or len(two.inputs) != 1:
                break
            one, two = (self.builder.nodes[node.inputs[0]] for node in (one, two))
        return other_ticks(what, found)

    def called(self) -> list[str]:
        """The names that constants of the call have in the module."""
        refs = references((self.call.args, self.call.kwargs))
        return [self.names[ref.name] for ref in refs if ref.name in self.names]

    def _in_time_of(self, stream: Stream, other: Stream) -> Stream:
        """What is the same at all ticks as if it had them, where the other operand has."""
        if stream.timed or stream.readout or not other.timed:
            return stream
        stream = self.lifted(stream, max(stream.rank, other.rank))
        dim = next(d for d, run in enumerate(other.axes) if TIME in run) + stream.rank - other.rank
        alone = other.axes[dim - stream.rank] == (TIME,) and stream.axes[dim] == (1,)
        return self.timed(stream, dim, other.ticks) if alone else stream

    def one_for_each(self, streams: Sequence[Any]) -> bool:
        """Whether these are one value at all ticks, in order."""
        first = streams[0]
        return len(streams) == self.ticks and all(
            isinstance(s, Stream) and not s.partial and s == replace(first, tick=tick)
            for tick, s in enumerate(streams, 1)
        )

    def alike(self, a: Stream, b: Any) -> bool:
        """Whether two streams are one value, or the same view of one."""
        if not isinstance(b, Stream) or replace(a, name="") != replace(b, name=""):
            return False
        made = [self.builder.nodes[stream.name] for stream in (a, b)]
        views = [(node.op, node.args, node.inputs) for node in made if isinstance(node, View)]
        return a.name == b.name or (len(views) == 2 and views[0] == views[1])

    def over_time(self, stream: Stream, sizes: Sequence[int]) -> Stream:
        """The stream with time in the place of the first axis of size 1 that is to be repeated once for each tick."""
        grown = (d for d, run in enumerate(stream.axes) if run == (1,) and sizes[d] == self.ticks)
        dim = None if stream.timed or stream.readout else next(grown, None)
        if dim is None or self.ticks is None:
            return stream
        self.repeated += 1
        return stream if self.repeated <= self.others else self.timed(stream, dim, self.ticks)

    def timed(self, stream: Stream, dim: int, ticks: int) -> Stream:
        """The stream with time in the place of an axis of size 1."""
        axis = stream.axis(dim)
        rest = (*stream.shape.sizes[:axis], *stream.shape.sizes[axis + 1 :])
        name, shape = self.graph_reshape(stream.name, stream.shape, rest)
        axes = [(TIME,) if d == dim else run for d, run in enumerate(stream.axes)]
        return replace(stream, ticks=ticks).at(name, shape, axes)

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

    def binary(self, name: str) -> bool:
        """Whether a value is of zeros and ones by construction: spikes, what moves them, what a comparison made."""
        node: Any = self.builder.nodes[name]
        if isinstance(node, Neuron):
            model = NEURONS[node.model]
            return not model.quantises and model.code(node.params) == BINARY
        whole = isinstance(node, Product) and node.scale == 1
        whole = whole and {*node.einsum.left, *node.einsum.right} <= {*node.einsum.out}
        largest = isinstance(node, Reduce) and node.op == "max"
        if isinstance(node, View) or whole or largest:
            return all(map(self.binary, node.inputs))
        if name in self.tables:
            return bool(np.isin(self.array(self.tables[name]), (0, 1)).all())
        return name in self.truths or (isinstance(node, Const) and bool(np.isin(node.value, (0, 1)).all()))

    # --- constants -----------------------------------------------------------------------------------------------
    def array(self, constant: Any) -> Array:
        """A constant as a numpy array, floats as float64."""
        own = isinstance(constant, (int, float, np.ndarray))
        array = np.asarray(constant if own else self.to_array(constant))
        return array.astype(np.float64) if array.dtype.kind == "f" else array

    def by_tick(self, constant: Any, like: Stream) -> Array | None:
        """What a constant is at each tick, (T, ...) with :meth:`aligned` behind; None where it is the same at all."""
        if not like.timed:
            return None
        ticks = np.stack([self.aligned(constant, like, tick) for tick in range(like.ticks)])
        return None if (ticks == ticks[0]).all() else ticks

    def aligned(self, constant: Any, like: Stream, tick: int | None = None) -> Array:
        """A constant without the batch axis of ``like``, aligned to its torch axes from the right.

        The result has as many axes as the graph shape of ``like``; where ticks differ it is what ``tick`` gets, from 0
        on. Refusal ND105 if samples would get different values, ND174 if ticks would and none is named.
        """
        given = self.array(constant)
        array: Array = given.reshape((1,) * (like.rank - given.ndim) + given.shape).astype(np.float64)
        axis = array.ndim - like.rank
        for run in like.axes:
            if foreign(run):
                array = _without_copies(array, axis, run, like, ", ".join(self.called()), tick)
            axis += bool(inner(run))
        return array

    def hide(self, scores: Scores, hidden: Array) -> MaskedScores:
        """Scores that a softmax will take for minus infinity where ``hidden``, aligned as a constant is."""
        if isinstance(scores, MaskedScores):
            return replace(scores, hidden=scores.hidden | self.hide(scores.scores, hidden).hidden)
        return MaskedScores(scores, np.broadcast_to(self.aligned(hidden, scores) > 0, scores.shape.sizes))

    def const(self, array: Array, roles: Sequence[str]) -> tuple[str, Shape]:
        """A Const node and its shape."""
        array = np.ascontiguousarray(array, dtype=np.float64)
        array.setflags(write=False)
        shape = Shape(tuple(roles), array.shape)
        return self.add(Const, [], shape, value=array), shape


def _comparable(one: Synapse, two: Synapse) -> bool:
    """Whether two connections differ in their weights alone."""
    return (
        one.op == two.op
        and one.weight.shape == two.weight.shape
        and not np.array_equal(one.weight, two.weight)
    )


def content(fields: Mapping[str, Any]) -> tuple[Any, ...]:
    """Fields of a node, arrays by their digest, so that equal ones are equal."""

    def hashed(item: Any) -> Any:
        if isinstance(item, np.ndarray):
            return item.shape, item.dtype.str, hashlib.blake2b(item.tobytes()).digest()
        if isinstance(item, Mapping):
            return content(item)
        return tuple(map(hashed, item)) if isinstance(item, (tuple, list)) else item

    return tuple((name, hashed(item)) for name, item in sorted(fields.items()))


def _what(kind: type[Node], fields: Mapping[str, Any]) -> str:
    """What a node does, in one word."""
    if kind is Synapse:
        return "linear" if fields["op"] == "dense" else "conv"
    return str(fields.get("op") or fields.get("model") or ("add" if kind is Sum else kind.__name__.lower()))


def inferred(sizes: Sequence[int], total: int) -> tuple[int, ...]:
    """Sizes with a -1 filled in."""
    known = prod(s for s in sizes if s != -1)
    return tuple(total // known if s == -1 else int(s) for s in sizes)


def _without_copies(
    array: Array, axis: int, run: Run, like: Stream, name: str, tick: int | None = None
) -> Array:
    """A constant without the samples and ticks in one of its axes; ND105 and ND174 where these differ.

    Of ticks that differ one may be asked for.
    """
    before, after = array.shape[:axis], array.shape[axis + 1 :]
    if array.shape[axis] == 1:
        return array if inner(run) else array.reshape(before + after)
    folded = array.reshape(*before, *map(like.length, run), *after)
    for place, part in reversed([*enumerate(run, axis)]):
        if isinstance(part, str):
            one: Array = folded.take(tick or 0 if part == TIME else 0, place)
            if part == TIME and tick is not None:
                folded = one
                continue
            if not np.array_equal(folded, np.broadcast_to(np.expand_dims(one, place), folded.shape)):
                if part == TIME:
                    raise changing_parameter(name, np.moveaxis(folded, place, 0))
                found = f"axis {axis} of {array.shape}"
                raise Refusal("ND105", "a constant differs from sample to sample", found)
            folded = one
    return folded.reshape(*before, *((prod(inner(run)),) if inner(run) else ()), *after)


def _regrouped(stream: Stream, sizes: Sequence[int]) -> list[Run] | None:
    """What axes of these sizes run over; None where samples or ticks would be torn apart."""
    parts: list[int | str] = []
    for part in chain.from_iterable(stream.axes):
        if isinstance(part, int) and parts and isinstance(parts[-1], int):
            parts[-1] *= part
        elif part != 1:
            parts.append(part)
    axes: list[Run] = []
    for size in sizes:
        run: list[int | str] = []
        left = size
        while parts and (left > 1 or not run):
            count = stream.length(parts[0])
            if left % count == 0 and (left > 1 or count == 1):
                run.append(parts.pop(0))
                left //= count
            elif isinstance(parts[0], int) and left > 1 and count % left == 0:
                parts[0] = count // left
                run.append(left)
                left = 1
            else:
                break
        if left > 1:
            return None
        axes.append(tuple(run) or (1,))
    return None if parts else axes
