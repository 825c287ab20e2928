"""The one lowering from canonical torch operators to a source graph; each operator is written once, in ``ops/``.

Here alone is decided which values a call is given: see :mod:`.values` and ``ops/_base.py``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from ..array import Array
from ..counted import counted
from ..errors import ImportModelError, Problem
from ..ir.graph import Graph, Header, prune
from ..ir.micro_op import MICROCODE
from ..ir.nodes import Const, Input, Micro, Neuron, Output, Sum, Synapse, View
from ..ir.types import Shape, Value
from .composites import fused
from .input_spec import InputSpec
from .kinds import Kinds
from .lookups import elementwise, followed, hidden_ids
from .lowering import Lowering
from .ops._base import OPERATORS, Builder, Operator
from .traced import Call, Ref, Traced, evaluated, references, substitute
from .turns import Turns
from .values import (
    BATCH,
    TIME,
    First,
    MaskedScores,
    Membrane,
    OfIds,
    Refusal,
    Run,
    Stream,
    TokenIds,
    Unknown,
    WholeSample,
    depends,
    mixed_ticks,
    plain,
)  # fmt: skip

#: stands for every operator that nobody has declared
NONE = Operator("", "")


def operators() -> dict[str, Operator]:
    """All operators by name: those of ``ops/``, and the elementwise functions that members of ``microcode`` name."""
    functions = {name: member.name for member in MICROCODE.values() for name in member.torch}
    made = {name: Operator(name, "microcode", partial(_micro, op)) for name, op in functions.items()}
    return dict(sorted({**made, **OPERATORS}.items()))


def _micro(op: str, lowering: Lowering, x: Stream, inplace: bool = False) -> Stream:
    """An elementwise function without parameters."""
    return lowering.like(x, Micro, op=op)


def lower(traced: Traced, header: Header, spec: InputSpec, readout: str = "sum") -> Graph:
    """The source graph of a traced program; ImportModelError with all that cannot be expressed (ND101, ND105, ...).

    Something else than the image may be repeated as often as there are ticks, before time begins. What is refused with
    the first repetition for time is tried with the next one.
    """
    refusals: list[ImportModelError] = []
    for others in count():
        lowering = Lowering(header, traced.to_array, traced.ticks, others)
        try:
            return _graph(lowering, traced, spec, readout)
        except ImportModelError as error:
            refusals.append(error)
        if lowering.repeated <= others:
            break
    raise ImportModelError([*traced.unheld, *refusals[0].problems])


def _graph(lowering: Lowering, traced: Traced, spec: InputSpec, readout: str) -> Graph:
    """The source graph, as :func:`lower`."""
    known = operators()
    given = _ids(traced, known) if traced.tokens else _image(lowering, traced, spec)
    lowering.names = dict(traced.names)
    calls, values = fused(traced), {**traced.constants, traced.input: given}
    turns = Turns(traced, calls, values, lowering.array)
    program = _Program(lowering, known, values, Kinds(traced), turns)
    for call in counted(calls, "operators"):
        program.step(call)
    returned = _returned(traced.output, program.values)
    result = plain(next(iter(returned), None))
    if isinstance(result, Stream) and result.tick and result.tick == traced.ticks and not result.partial:
        result = replace(result, tick=0, readout="last")
    problems = (
        program.collected() or list(_output_problems(result, traced.ticks)) or list(program.connected())
    )
    if problems or not isinstance(result, Stream):
        raise ImportModelError(problems)
    shape = Shape(("K",), result.shape.sizes) if len(result.shape.sizes) == 1 else result.shape
    readout = result.readout or readout
    origin = lowering.builder.nodes[result.name].origin
    output = Output(name="output", inputs=(result.name,), origin=origin, readout=readout)  # type: ignore[arg-type]
    lowering.builder.add(output, Value(shape))
    graph = prune(lowering.builder.build()) if lowering.tables else lowering.builder.build()
    if traced.ticks is not None:
        graph = _whole_noted(lowering, graph, traced.time_axis, result)
    if len(returned) > 1:
        graph = remarked(graph, first_of(returned))
    return _tokens_noted(lowering, graph) if traced.tokens else graph


class _Program:
    """What each call has yielded so far, and what was refused."""

    def __init__(
        self,
        lowering: Lowering,
        known: Mapping[str, Operator],
        values: dict[str, Any],
        kinds: Kinds,
        turns: Turns,
    ) -> None:
        self.lowering, self.operators, self.values = lowering, known, values
        self.kinds, self.turns = kinds, turns
        self.problems: dict[tuple[Any, ...], list[Problem]] = {}

    def step(self, call: Call) -> None:
        """Lower one call, or record why not."""
        self.lowering.call = call
        self.kinds.note(call)
        try:
            result = self._read_out(call) if self._readouts(call) else self._result(call)
            if isinstance(result, Stream) and not self.operators[call.op].retypes:
                self.kinds.check(call, self.values, result, self.lowering.binary(result.name))
            self.values[call.name] = result
        except Refusal as refusal:
            self.values[call.name] = Unknown()
            self._refuse(call, refusal)

    def _result(self, call: Call) -> Any:
        """What a call yields; Refusal where it is given what its operator does not read."""
        lowering = self.lowering
        operands = [self.values[ref.name] for ref in references((call.args, call.kwargs))]
        args, kwargs = substitute((call.args, call.kwargs), lambda ref: self.values[ref.name])
        if not depends(operands):
            if names := lowering.called():
                lowering.names[call.name] = ", ".join(names)
            return evaluated(call, args, kwargs)
        operator = self.operators.get(call.op, NONE)
        states = [operand for operand in operands if isinstance(operand, Membrane)]
        if states and Membrane not in operator.reads:
            return states[0] if Membrane in operator.keeps else replace(states[0], name="")
        if operator.elementwise and (made := elementwise(self.lowering, call, args, kwargs)):
            return made
        build = _builder(call.op, operator, {type(operand) for operand in operands})
        if depends(operands, (Unknown,)):
            return Unknown()
        first = next(filter(depends, operands))
        if isinstance(first, TokenIds) and TokenIds in operator.keeps:
            return _kept_ids(first, call, args, kwargs)
        result = self._built(call, operator, build)
        if isinstance(first, MaskedScores) and MaskedScores in operator.keeps:
            return replace(first, scores=result, hidden=first.hidden.reshape(result.shape.sizes))
        return followed(self.lowering, result, operands)

    def _readouts(self, call: Call) -> set[str]:
        """How the operands of a call were put together over all ticks; empty where none was."""
        operands = [self.values[ref.name] for ref in references((call.args, call.kwargs))]
        return {stream.readout for stream in _streams(operands)} - {""}

    def _read_out(self, call: Call) -> Any:
        """What a call yields behind the read-out: the same function of each tick, in nodes of its own.

        A sum counts what is added later once for each tick: it is a part of it. Refusal ND162 for what is not linear.
        """
        readouts, nodes = self._readouts(call), self.lowering.builder.nodes
        before, known = len(nodes), self.lowering.known
        self.lowering.known = {}  # of a module that every tick calls as well, nodes before the read-out are others
        try:
            result = self._result(call)
        finally:
            self.lowering.known = known
        for name in list(nodes)[before:]:
            node = nodes[name]
            free = isinstance(node, (Synapse, Sum, View, Const)) or getattr(node, "op", "") in ("mean", "sum")
            if isinstance(node, Neuron) or not (free or readouts == {"last"}):
                raise mixed_ticks(f"'{call.op}' behind the {max(readouts)} over all ticks", call.op)
            if "sum" in readouts and isinstance(node, Const):
                nodes[name] = replace(node, value=node.value / self.lowering.ticks)
            if "sum" in readouts and isinstance(node, Synapse) and node.bias is not None:
                nodes[name] = replace(node, bias=node.bias / self.lowering.ticks)
        return result

    def _built(self, call: Call, operator: Operator, build: Builder) -> Any:
        """What the builder makes of the values that it reads; Refusal for an argument that it does not know."""

        def read(ref: Ref) -> Any:
            value = self.values[ref.name]
            if isinstance(value, MaskedScores) and MaskedScores in operator.keeps:
                return value.scores
            return value if OfIds in operator.reads else plain(value)

        args, kwargs = substitute((call.args, call.kwargs), read)
        try:
            inspect.signature(build).bind(self.lowering, *args, **kwargs)
        except TypeError as error:
            cause = f"operator '{call.op}' is used in a form that is not supported"
            raise Refusal("ND101", cause, error) from error
        if operator.by_tick:
            made = self.turns.together(call, args, lambda parts: build(self.lowering, *parts, **kwargs))
            if made is not None:
                return made
        return build(self.lowering, *args, **kwargs)

    def _refuse(self, call: Call, refusal: Refusal) -> None:
        """Record a problem; the same line refused in many blocks is one problem with all its places."""
        where = str(call.origin)
        key = (refusal.code, refusal.cause, refusal.found, call.op, call.origin.file, call.origin.line)
        problem = Problem(refusal.code, refusal.cause, where, refusal.found, refusal.limit, refusal.fixes)
        self.problems.setdefault(key, []).append(problem)

    def connected(self) -> Iterator[Problem]:
        """Let each delayed connection read what it delays; a problem where its populations do not fit (ND157)."""
        nodes, values = self.lowering.builder.nodes, self.lowering.builder.values
        for name, call in self.lowering.pasts.items():
            source, node = self.values[call], nodes[name]
            fits = isinstance(source, Stream) and source.shape.sizes == values[name].shape.sizes
            if not fits or not source.batched:
                cause, limit = "what is read one tick later has another form", "the batch in the first axis"
                yield Problem("ND157", cause, node.place, str(getattr(source, "sizes", "")), limit)
            else:
                nodes[name] = replace(node, inputs=(source.name,))

    def collected(self) -> list[Problem]:
        """All problems, places of the same line joined."""
        return [_joined(group) for group in self.problems.values()]


def _returned(output: Any, values: Mapping[str, Any]) -> Sequence[Any]:
    """The values that a model returns; a call may yield several, such as a neuron with its states."""
    made = values.get(output.name) if isinstance(output, Ref) else output
    made = made if isinstance(made, (tuple, list)) else (made,)
    return [values.get(part.name) if isinstance(part, Ref) else part for part in made]


def _streams(item: Any) -> Iterator[Stream]:
    """All streams inside of tuples and lists."""
    item = plain(item)
    if isinstance(item, Stream):
        yield item
    elif isinstance(item, (tuple, list)):
        for part in item:
            yield from _streams(part)


def _builder(op: str, operator: Operator, kinds: set[type]) -> Builder:
    """The builder of an operator; Refusal where there is none, or where it does not read values of these kinds."""
    taken = operator.reads | operator.keeps
    if TokenIds in kinds - taken:
        raise _misused_ids(op)
    if First in kinds - taken:
        cause, limit = (
            "the place of a token is read by something else than an index",
            "x[torch.arange(len(x)), place]",
        )
        raise Refusal("ND101", cause, op, limit)
    if operator.build is None:
        cause, fix = f"operator '{op}' has no counterpart in the graph", "replace it by supported operators"
        raise Refusal("ND101", cause, op, "", fix, f"add a builder for '{op}' to neurodeploy/frontends/ops")
    if MaskedScores in kinds - taken:
        cause = "scores hidden by a mask are read by something else than a softmax"
        raise Refusal("ND101", cause, op, "softmax", "apply the mask directly before the softmax")
    return operator.build


def _kept_ids(ids: TokenIds, call: Call, args: Sequence[Any], kwargs: Mapping[str, Any]) -> TokenIds:
    """The ids, where torch itself says that all of them are still in their places, or in rows that are columns now."""
    import torch

    places = torch.arange(ids.copies * ids.tokens).view(ids.sizes)

    def operand(item: Any) -> Any:
        return places if isinstance(item, TokenIds) else torch.zeros(()) if depends(item) else item

    result = evaluated(call, [*map(operand, args)], {key: operand(item) for key, item in kwargs.items()})
    for kept, wanted in ((ids, places), (replace(ids, turned=not ids.turned), places.t())):
        if result.shape == wanted.shape and bool((result == wanted).all()):
            return kept
    raise _misused_ids(f"{call.op} that moves tokens")


def _misused_ids(op: str) -> Refusal:
    cause = "token ids are used for something else than looking up their embedding"
    limit = "an embedding, or a function of each id by itself such as ids != pad"
    constant = "count positions over constants: the number of tokens is fixed"
    return Refusal(
        "ND101", cause, op, limit, constant, "of a Hugging Face model: pass position_ids as a constant"
    )


def _image(lowering: Lowering, traced: Traced, spec: InputSpec) -> Stream:
    """Input node, and a constant where the offset is no whole number of raw units.

    A network that takes a frame for each tick is given one of them: the image is without time.
    """
    own = [d for d in range(len(traced.sizes)) if d != traced.time_axis]
    sizes = tuple(traced.sizes[d] for d in own[1:])
    roles = ("G",) * (len(sizes) - 3) + ("C", "Y", "X")[-len(sizes) :]
    per_channel = (-1,) + (1,) * (min(len(sizes), 3) - 1)
    levels = (np.asarray(number, np.float64) for number in (spec.scale, spec.offset))
    scale, offset = (a.reshape(per_channel) if a.size > 1 else a.reshape(()) for a in levels)
    zero = np.rint(-offset / scale).astype(np.int64)
    rest = offset + zero * scale
    shape = Shape(roles, sizes)
    lives = lowering.builder.header.notes.get("contains_neurons")
    frames = traced.time_axis is not None or bool(spec.frames and lives and traced.ticks is None)
    name = lowering.add(Input, [], shape, scale=_plain(scale), zero=_plain(zero), per_tick=frames)
    if np.abs(rest).max() > 1e-12 * np.abs(scale).max():
        rest = rest.reshape((1,) * (len(sizes) - rest.ndim) + rest.shape)
        name = lowering.add(Sum, [name, lowering.const(rest, roles)[0]], shape, signs=(1, 1))
    axes: list[Run] = [(BATCH,), *((size,) for size in sizes)]
    if traced.time_axis is not None:
        axes.insert(traced.time_axis, (TIME,))
    return Stream(name, shape, tuple(axes), traced.batch, traced.ticks or 1)


def _ids(traced: Traced, known: Mapping[str, Operator]) -> TokenIds:
    """Token ids (batch, N); ImportModelError ND136 for another number of axes."""
    if len(traced.sizes) != 2:
        cause = "token ids have an axis for the batch and one for the tokens"
        fix = "set input_tokens on the module to the number of tokens"
        problem = Problem("ND136", cause, "input", str(traced.sizes), "(batch, tokens)", (fix,))
        raise ImportModelError(problem)
    return TokenIds(traced.sizes[1], traced.batch, _rows(traced, known))


def _rows(traced: Traced, known: Mapping[str, Operator]) -> int | None:
    """Length of the table that the ids of the input are looked up in; None where there is none."""
    names = {traced.input}
    for call in traced.calls:
        read = {ref.name for ref in references((call.args, call.kwargs))}
        if read.isdisjoint(names):
            continue
        if TokenIds in known.get(call.op, NONE).keeps:
            names.add(call.name)
        elif call.op == "embedding":
            for name in read & traced.constants.keys():
                return int(traced.constants[name].shape[0])
    return None


def _tokens_noted(lowering: Lowering, graph: Graph) -> Graph:
    """The graph with the note ``tokens``: how raw inputs are made of token ids, and which of them it hides."""
    length, vocabulary = graph.shape(graph.input.name)
    note = {"length": length, "vocabulary": vocabulary, "hidden": hidden_ids(lowering, graph.nodes)}
    return graph.with_header(notes={**graph.header.notes, "tokens": note})


def _whole_noted(lowering: Lowering, graph: Graph, given: int | None, result: Stream) -> Graph:
    """The graph with the note ``whole_sample``: how the module runs all of its ticks in one call."""
    returned = result.axes.index((TIME,)) if result.timed else None
    note = WholeSample(lowering.ticks or 1, given, returned, bool(lowering.mixed))
    notes: dict[str, Any] = {"whole_sample": asdict(note)}
    graph = graph.with_header(notes={**graph.header.notes, **notes})
    return remarked(graph, _mixed_batch(lowering.mixed)) if lowering.mixed else graph


def remarked(graph: Graph, remark: Problem) -> Graph:
    """The graph with one more thing that its user is to be told."""
    remarks = [*graph.header.notes.get("remarks", ()), asdict(remark)]
    return graph.with_header(notes={**graph.header.notes, "remarks": remarks})


def first_of(output: Sequence[Any]) -> Problem:
    """ND156, for a model that returns these."""
    cause, fix = "the model returns several values, of which the first is taken", "return the logits alone"
    return Problem("ND156", cause, "return value", f"{len(output)} values", "one", (fix,), "warning")


def _mixed_batch(calls: Sequence[Call]) -> Problem:
    """ND164."""
    cause = "a neuron takes ticks and samples in one axis for time: in a batch, one sample charges it for the next"
    more = f" and {len(calls) - 1} more" if len(calls) > 1 else ""
    limit = "the answer to a sample alone, which is what is built and compared"
    fix = "give each such neuron (T, batch, ...): reshape what is flattened before it"
    return Problem("ND164", cause, f"{calls[0].origin}{more}", "(T * batch, ...)", limit, (fix,), "warning")


def _plain(array: Array) -> Any:
    return array.item() if array.ndim == 0 else array


def _output_problems(result: Any, ticks: int | None) -> Iterator[Problem]:
    if isinstance(result, Membrane):
        cause, limit = "the model returns what it makes of the state of a neuron", "what it makes of spikes"
        fix = "return the sum or the mean of the spikes; to read a membrane, add a neuron that never fires"
        yield Problem("ND165", cause, "return value", f"the state of {result.path}", limit, (fix,))
    elif not isinstance(result, Stream):
        cause = "the model does not return exactly one tensor that depends on its input"
        found = type(result).__name__
        yield Problem("ND107", cause, "return value", found, "one tensor", ("return the logits alone",))
    elif result.tick:
        cause, limit = "the result is not one of all ticks, nor of the last", f"{ticks} ticks"
        yield Problem("ND160", cause, "return value", f"tick {result.tick}", limit)
    elif result.axes[: 1 + result.timed] not in BATCH_FIRST[result.timed]:
        cause, sizes = "the result does not keep the batch in its first axis", str(result.sizes)
        yield Problem("ND105", cause, "return value", sizes, "(batch, ...)", ("return one row per sample",))


#: the first axes of a result, without and with a row for each tick
BATCH_FIRST = ([((BATCH,),)], [((TIME,), (BATCH,)), ((BATCH,), (TIME,))])


def _joined(group: list[Problem]) -> Problem:
    first, more = group[0], len(group) - 1
    where = f"{first.where} and {more} more place{'s' if more > 1 else ''}"
    return replace(first, where=where) if more else first
