"""The one lowering from canonical torch operators to a source graph; each operator is written once, in ``ops/``.

The batch axis never reaches the graph. A :class:`Stream` remembers where it stands in torch's shape, so that
``permute(2, 0, 3, 1, 4)`` or ``view(batch * heads, ...)`` is understood, and an operator that mixes samples is
refused (ND105).
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from math import prod
from typing import Any

import numpy as np

from ..array import Array
from ..errors import ImportModelError, Problem
from ..ir.graph import Builder, Graph, Header, prune
from ..ir.nodes import Const, Input, Micro, Node, Output, Sum, Synapse, View
from ..ir.roles import reshaped_roles
from ..ir.types import Interval, Origin, Shape, Value
from ..registry import MICROCODE
from .composites import fused
from .lookups import elementwise, hidden_ids
from .traced import Call, Ref, Traced, references, substitute


class Refusal(Exception):
    """An operator application that has no meaning in the graph; becomes a Problem with the call's origin."""

    def __init__(self, code: str, cause: str, found: object = "", limit: object = "", *fixes: str) -> None:
        super().__init__(cause)
        self.code, self.cause, self.found, self.limit, self.fixes = code, cause, str(found), str(limit), fixes


@dataclass(frozen=True)
class Unknown:
    """The result of a refused call; whatever depends on it is passed over in silence."""


@dataclass(frozen=True)
class Stream:
    """An activation: graph node ``name`` of ``shape``, and the torch axis that carries the ``copies`` samples.

    ``merged``: that axis also holds a graph axis, as after ``view(batch * heads, ...)``; else it is the batch alone.
    ``outer`` is the part of the graph axis that runs slower than the batch, as after ``view(tokens * batch, ...)``.
    ``hidden``, of the graph's shape, is where a constant mask made a score so small that its softmax is 0: only a
    softmax can read such a stream, and the scores themselves stay as they are. ``ids``: the stream is the token ids of
    the input, which only an embedding can read, or an operator that makes something else of each id by itself.
    """

    name: str
    shape: Shape
    batch: int
    copies: int
    merged: bool = False
    outer: int = 1
    hidden: Array | None = field(default=None, compare=False)
    ids: bool = False

    @property
    def place(self) -> tuple[int, bool, int]:
        """Where the batch stands, counted from the right: operands of one operator have to agree on it."""
        return self.rank - self.batch, self.merged, self.outer

    @property
    def sizes(self) -> tuple[int, ...]:
        """Torch's shape, batch included."""
        s = self.shape.sizes
        if self.merged:
            return (*s[: self.batch], s[self.batch] * self.copies, *s[self.batch + 1 :])
        return (*s[: self.batch], self.copies, *s[self.batch :])

    @property
    def rank(self) -> int:
        """Number of torch axes."""
        return len(self.shape.sizes) + (not self.merged)

    def dim(self, dim: int) -> int:
        """A torch axis counted from the front."""
        return dim + self.rank if dim < 0 else dim

    def axis(self, dim: int, what: str = "this operator") -> int:
        """The graph axis of a torch axis; Refusal ND105 for the batch axis."""
        dim = self.dim(dim)
        if dim == self.batch:
            raise Refusal(
                "ND105",
                f"{what} works on the batch axis",
                f"axis {dim} of {self.sizes}",
                "samples do not influence each other",
                "keep the batch in the first axis, untouched",
            )
        return dim if self.merged or dim < self.batch else dim - 1

    def axes(self, dims: Sequence[int], what: str = "this operator") -> tuple[int, ...]:
        """The graph axes of several torch axes, sorted."""
        return tuple(sorted(self.axis(d, what) for d in dims))


#: canonical operator name -> builder (lowering, *args, **kwargs) -> Stream, tuple of them, or a constant
Operator = Callable[..., Any]
_TABLE: dict[str, Operator] = {}


def operator(*names: str) -> Callable[[Operator], Operator]:
    """Register a builder under torch's names for the operator."""

    def register(function: Operator) -> Operator:
        _TABLE.update(dict.fromkeys(names, function))
        return function

    return register


@cache
def operators() -> dict[str, Operator]:
    """All operators: every file of ``ops/`` registers its own, and members of ``microcode`` name torch's."""
    package = importlib.import_module(".ops", __package__)
    for info in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{info.name}")
    found: dict[str, Operator] = {
        name: partial(_micro, op) for op, member in MICROCODE.items() for name in member.torch
    }
    return dict(sorted({**found, **_TABLE}.items()))


def _micro(op: str, lowering: Lowering, x: Stream, inplace: bool = False) -> Stream:
    """An elementwise function without parameters."""
    return lowering.like(x, Micro, op=op)


#: what may happen to scores between a mask and the softmax, and to token ids before their embedding
_KEEPING = {"clone", "contiguous", "detach", "alias", "to", "_to_copy", "float", "type_as", "dropout", "size",
            "sym_size"}  # fmt: skip
_RESHAPING = {"view", "reshape", "_unsafe_view", "_reshape_alias", "view_copy"}
READ_HIDDEN = {"softmax", "_softmax", "_safe_softmax", "add", "iadd", "add_", "masked_fill", "masked_fill_", "where",
               "maximum", "max", *_KEEPING, *_RESHAPING}  # fmt: skip
_KEEPING_IDS = {"long", "int", "getitem", "slice", *_KEEPING, *_RESHAPING}
READ_IDS = {"embedding", "zeros_like", "ones_like", "new_zeros", "new_ones", *_KEEPING_IDS}


class Lowering:
    """The graph under construction, with what the builders in ``ops/`` need."""

    def __init__(self, traced: Traced, header: Header) -> None:
        self.builder = Builder(header)
        self.traced = traced
        self.batch = traced.batch
        self.env: dict[str, Any] = dict(traced.constants)
        self.call: Call
        self.problems: dict[tuple, list[Problem]] = {}
        self.tables: dict[str, Any] = {}  # synapse -> torch tensor (V,): what it is of a single token
        self.vocabulary = _vocabulary(traced) if traced.tokens else None

    @property
    def ids(self) -> Stream:
        """The token ids of the input."""
        found: Stream = self.env[self.traced.input]
        return found

    # --- running -------------------------------------------------------------------------------------------------
    def step(self, call: Call) -> None:
        """Lower one call, or record why not."""
        self.call = call
        try:
            self.env[call.name] = self._result(call)
        except Refusal as refusal:
            self.env[call.name] = Unknown()
            self.refuse(refusal)

    def _result(self, call: Call) -> Any:
        operands = [self.env[r.name] for r in references((call.args, call.kwargs))]
        args, kwargs = (substitute(part, lambda r: self.env[r.name]) for part in (call.args, call.kwargs))
        if not any(_holds(o, Stream) or _holds(o, Unknown) for o in operands):
            return evaluated(call, args, kwargs)
        if (looked_up := elementwise(self, call, args, kwargs)) is not None:
            return looked_up
        builder, streams = operators().get(call.op), [o for o in operands if isinstance(o, Stream)]
        if any(stream.ids for stream in streams):
            _require_reader(call.op, streams)
        if builder is None:
            raise unknown_operator(call.op)
        if any(_holds(o, Unknown) for o in operands):
            return Unknown()
        _require_reader(call.op, streams)
        _require_known_form(call.op, builder, self, *args, **kwargs)
        return builder(self, *args, **kwargs)

    def refuse(self, refusal: Refusal) -> None:
        """Record a problem; the same line refused in many blocks is one problem with all its places."""
        call = self.call
        problem = Problem(
            refusal.code, refusal.cause, str(call.origin), refusal.found, refusal.limit, refusal.fixes
        )
        key = (refusal.code, refusal.cause, refusal.found, call.op, call.origin.file, call.origin.line)
        self.problems.setdefault(key, []).append(problem)

    def collected(self) -> list[Problem]:
        """All problems, places of the same line joined."""
        return [_joined(group) for group in self.problems.values()]

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
        return self.moved(stream, self.add(kind, [stream.name], stream.shape, **fields), stream.shape)

    def moved(self, stream: Stream, name: str, shape: Shape, batch: int | None = None) -> Stream:
        """The stream that another node carries on, its batch axis where it was unless said otherwise."""
        return replace(stream, name=name, shape=shape, batch=stream.batch if batch is None else batch)

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
        new, copies = _inferred(sizes, prod(stream.sizes)), stream.copies
        places = list(_batch_places(new, prod(stream.sizes[: stream.batch]) * stream.outer, copies))
        if not places:
            raise Refusal(
                "ND105",
                "a reshape mixes the batch with other axes",
                f"{stream.sizes} to {new}",
                "the batch stays inside one axis",
                "reshape per sample",
            )
        q, outer = min(places, key=lambda place: (new[place[0]] != copies, place[1], place[0]))
        merged = new[q] != copies
        graph = (*new[:q], *((new[q] // copies,) if merged else ()), *new[q + 1 :])
        if stream.ids and (graph != stream.shape.sizes or q or merged):
            raise _misused_ids("a reshape that moves tokens")
        name, shape = self.graph_reshape(stream.name, stream.shape, graph)
        hidden = None if stream.hidden is None else stream.hidden.reshape(shape.sizes)
        return Stream(name, shape, q, copies, merged, outer, hidden, stream.ids)

    def permute(self, stream: Stream, dims: Sequence[int]) -> Stream:
        """Torch's permute; the batch axis may move and nothing happens to the graph."""
        dims = [stream.dim(d) for d in dims]
        batch = dims.index(stream.batch)
        order = dims if stream.merged else [stream.axis(d) for d in dims if d != stream.batch]
        name, shape = self.graph_permute(stream.name, stream.shape, order)
        return self.moved(stream, name, shape, batch)

    def slice(self, stream: Stream, dim: int, start: int | None, stop: int | None, step: int = 1) -> Stream:
        """Torch's slice with Python's rules for missing and negative bounds."""
        size = stream.sizes[stream.dim(dim)]
        start, stop, step = slice(start, stop, step).indices(size)
        if (start, stop, step) == (0, size, 1):
            return stream
        if stream.ids:
            raise _misused_ids("a slice of the tokens")
        axis, count = stream.axis(dim, "a slice"), len(range(start, stop, step))
        if count == 0 or step < 1:
            raise Refusal("ND101", "an empty or backward slice", f"{start}:{stop}:{step} of {size}")
        sizes = (*stream.shape.sizes[:axis], count, *stream.shape.sizes[axis + 1 :])
        shape = Shape(stream.shape.roles, sizes)
        return self.moved(
            stream, self.view(stream.name, stream.shape, "slice", (axis, start, stop, step), shape), shape
        )

    def one_hot(self, ids: Stream, vocabulary: int) -> Stream:
        """The input as one spike per token on one of ``vocabulary`` lines: (N, V), what a synapse can look up by."""
        names = [node.name for node in self.builder.nodes.values() if isinstance(node, Input)]
        shape = Shape(("N", "K"), (ids.shape.sizes[0], vocabulary))
        if names and self.builder.values[names[0]].shape != shape:
            raise Refusal(
                "ND101",
                "token ids are looked up in tables of different length",
                f"{vocabulary} rows",
                f"{self.builder.values[names[0]].shape.sizes[1]} rows",
                "give all tables of the ids the same number of rows",
            )
        if not names:
            node = Input(name="input", origin=(Origin("", "input"),))
            names = [self.builder.add(node, Value(shape, interval=Interval(0, 1, True)))]
        return Stream(names[0], shape, ids.batch, ids.copies)

    # --- constants -----------------------------------------------------------------------------------------------
    def array(self, constant: Any) -> Array:
        """A constant as a numpy array, floats as float64."""
        own = isinstance(constant, (int, float, np.ndarray))
        array = np.asarray(constant if own else self.traced.to_array(constant))
        return array.astype(np.float64) if array.dtype.kind == "f" else array

    def aligned(self, constant: Any, like: Stream) -> Array:
        """A constant without the batch axis of ``like``, aligned to its torch axes from the right.

        The result has as many axes as the graph shape of ``like``. Refusal ND105 if samples would get different values.
        """
        array = self.array(constant)
        array = array.reshape((1,) * (like.rank - array.ndim) + array.shape).astype(np.float64)
        axis = like.batch + array.ndim - like.rank
        size = array.shape[axis]
        if size == 1:
            return array if like.merged else array.squeeze(axis)
        before, after = array.shape[:axis], array.shape[axis + 1 :]
        folded = array.reshape(*before, like.outer, like.copies, -1, *after)
        one = folded.take(0, axis + 1)
        if not np.array_equal(folded, np.broadcast_to(np.expand_dims(one, axis + 1), folded.shape)):
            raise Refusal(
                "ND105", "a constant differs from sample to sample", f"axis {axis} of {array.shape}"
            )
        return one.reshape(*before, -1, *after) if like.merged else one.reshape(before + after)

    def const(self, array: Array, roles: Sequence[str]) -> str:
        """A Const node."""
        array = np.ascontiguousarray(array, dtype=np.float64)
        array.setflags(write=False)
        return self.add(Const, [], Shape(tuple(roles), array.shape), value=array)


def _what(kind: type[Node], fields: Mapping[str, Any]) -> str:
    """What a node does, in one word."""
    if kind is Synapse:
        return "linear" if fields["op"] == "dense" else "conv"
    return str(fields.get("op") or fields.get("model") or ("add" if kind is Sum else kind.__name__.lower()))


def evaluated(call: Call, args: Any, kwargs: Any) -> Any:
    """What torch itself makes of constants; Refusal ND101 with what it says where it cannot."""
    try:
        return call.evaluate(*args, **kwargs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        text = str(error).strip().splitlines()
        found = f"{type(error).__name__}: {text[0] if text else ''}"
        raise Refusal("ND101", f"operator '{call.op}' cannot be computed on its constants", found) from error


def _require_reader(op: str, operands: Iterable[Stream]) -> None:
    """Refusal where an operator would see masked scores as numbers, or token ids as quantities."""
    for stream in operands:
        if stream.hidden is not None and op not in READ_HIDDEN:
            raise Refusal(
                "ND101",
                "scores hidden by a mask are read by something else than a softmax",
                op,
                "softmax",
                "apply the mask directly before the softmax",
            )
        if stream.ids and op not in READ_IDS:
            raise _misused_ids(op)


def _misused_ids(op: str) -> Refusal:
    return Refusal(
        "ND101",
        "token ids are used for something else than looking up their embedding",
        op,
        "an embedding, or a function of each id by itself such as ids != pad",
        "count positions over constants: the number of tokens is fixed",
        "of a Hugging Face model: pass position_ids as a constant",
    )


def _require_known_form(op: str, builder: Operator, *args: Any, **kwargs: Any) -> None:
    """Refusal ND101 for an argument that the operator's builder does not know."""
    try:
        inspect.signature(builder).bind(*args, **kwargs)
    except TypeError as error:
        raise Refusal("ND101", f"operator '{op}' is used in a form that is not supported", error) from error


def unknown_operator(op: str) -> Refusal:
    """The refusal for an operator that no builder knows."""
    return Refusal(
        "ND101",
        f"operator '{op}' has no counterpart in the graph",
        op,
        "",
        "replace it by supported operators",
        f"add a builder for '{op}' to neurodeploy/frontends/ops",
    )


def lower(
    traced: Traced,
    header: Header,
    scale: float | Array = 1.0,
    offset: float | Array = 0.0,
    readout: str = "sum",
) -> Graph:
    """The source graph of a traced program.

    A raw integer r enters as ``r * scale + offset`` (scalars, or one value per leading channel). Raises
    ImportModelError with every operator that cannot be expressed (ND101, ND105, ...).
    """
    state = Lowering(traced, header)
    state.call = Call("input", "input", (), {}, Origin("", "input"), False, lambda: None)
    state.env[traced.input] = (
        _ids(traced)
        if traced.tokens
        else _input(state, np.asarray(scale, np.float64), np.asarray(offset, np.float64))
    )
    for call in fused(traced):
        state.step(call)
    problems = state.collected()
    result = state.env[traced.output.name] if isinstance(traced.output, Ref) else None
    problems = problems or list(_output_problems(result))
    if problems or not isinstance(result, Stream):
        raise ImportModelError(problems)
    _output(state, result, readout)
    graph = prune(state.builder.build()) if state.tables else state.builder.build()
    return tokens_noted(state, graph) if traced.tokens else graph


def _input(state: Lowering, scale: Array, offset: Array) -> Stream:
    """Input node, and a constant where the offset is no whole number of raw units.

    Axes before the batch are of size 1 (one tick of a network that takes all of them): the image is without.
    """
    traced, axis = state.traced, state.traced.batch_axis
    sizes = traced.sizes[axis + 1 :]
    roles = ("G",) * (len(sizes) - 3) + ("C", "Y", "X")[-len(sizes) :]
    per_channel = (-1,) + (1,) * (min(len(sizes), 3) - 1)
    scale, offset = (a.reshape(per_channel) if a.size > 1 else a.reshape(()) for a in (scale, offset))
    zero = np.rint(-offset / scale).astype(np.int64)
    rest = offset + zero * scale
    shape = Shape(roles, sizes)
    name = state.add(Input, [], shape, scale=_plain(scale), zero=_plain(zero))
    if np.abs(rest).max() > 1e-12 * np.abs(scale).max():
        rest = rest.reshape((1,) * (len(sizes) - rest.ndim) + rest.shape)
        name = state.add(Sum, [name, state.const(rest, roles)], shape, signs=(1, 1))
    name, shape = state.graph_reshape(name, shape, (*traced.sizes[:axis], *sizes))
    return Stream(name, shape, axis, traced.batch)


def _ids(traced: Traced) -> Stream:
    """Token ids (batch, N); no node yet, since the length of the table that they index is not known."""
    if len(traced.sizes) != 2 or traced.batch_axis:
        raise ImportModelError(
            Problem(
                "ND103",
                "token ids have an axis for the batch and one for the tokens",
                "input",
                str(traced.sizes),
                "(batch, tokens)",
            )
        )
    return Stream("", Shape(("N",), traced.sizes[1:]), 0, traced.batch, ids=True)


def tokens_noted(state: Lowering, graph: Graph) -> Graph:
    """The graph with the note ``tokens``: how raw inputs are made of token ids, and which of them it hides."""
    length, vocabulary = graph.shape(graph.input.name)
    note = {"length": length, "vocabulary": vocabulary, "hidden": hidden_ids(state, graph.nodes)}
    return graph.with_header(notes={**graph.header.notes, "tokens": note})


def _vocabulary(traced: Traced) -> int | None:
    """Rows of the table that the ids of the input are looked up in."""
    names = {traced.input}
    for call in traced.calls:
        read = {ref.name for ref in references((call.args, call.kwargs))}
        if read & names and call.op in _KEEPING_IDS:
            names.add(call.name)
        elif read & names and call.op == "embedding":
            for name in read & traced.constants.keys():
                return int(traced.constants[name].shape[0])
    return None


def _plain(array: Array) -> Any:
    return array.item() if array.ndim == 0 else array


def _output_problems(result: Any) -> Iterable[Problem]:
    if not isinstance(result, Stream) or result.ids or result.hidden is not None:
        yield Problem(
            "ND107",
            "the model does not return exactly one tensor that depends on its input",
            "return value",
            type(result).__name__,
            "one tensor",
            ("return the logits alone",),
        )
    elif result.merged or result.batch != 0:
        yield Problem(
            "ND105",
            "the result does not keep the batch in its first axis",
            "return value",
            str(result.sizes),
            "(batch, ...)",
            ("return one row per sample",),
        )


def _output(state: Lowering, result: Stream, readout: str) -> None:
    shape = Shape(("K",), result.shape.sizes) if len(result.shape.sizes) == 1 else result.shape
    origin = state.builder.nodes[result.name].origin
    state.builder.add(
        Output(name="output", inputs=(result.name,), origin=origin, readout=readout),  # type: ignore[arg-type]
        Value(shape),
    )


def _holds(value: Any, kind: type) -> bool:
    return isinstance(value, kind) or (
        isinstance(value, (tuple, list)) and any(_holds(v, kind) for v in value)
    )


def _inferred(sizes: Sequence[int], total: int) -> tuple[int, ...]:
    """Sizes with a -1 filled in."""
    known = prod(s for s in sizes if s != -1)
    return tuple(total // known if s == -1 else int(s) for s in sizes)


def _batch_places(sizes: tuple[int, ...], outside: int, copies: int) -> Iterator[tuple[int, int]]:
    """Axes that can hold a batch with ``outside`` elements before it, each with the part of them inside the axis."""
    for axis, size in enumerate(sizes):
        lead = prod(sizes[:axis])
        if lead and outside % lead == 0 and size and size % (outside // lead * copies) == 0:
            yield axis, outside // lead


def _joined(group: list[Problem]) -> Problem:
    first, more = group[0], len(group) - 1
    where = first.where if not more else f"{first.where} and {more} more place{'s' if more > 1 else ''}"
    return Problem(first.code, first.cause, where, first.found, first.limit, first.fixes)
