"""What a file says as a program of torch: constants are worked out, and the rest is a call of a torch function each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import torch

from ...errors import ImportModelError, Problem, first_line
from .. import _torch, doors
from .ops._base import MOST_ELEMENTS, ONNX, Known, Node, OnnxOperator, Refused, TooLarge
from .read import OWN, File, Given

_BODY = "export the part of the network without it"
_QDQ = "quantise in the form QDQ: QuantizeLinear and DequantizeLinear around float operators"
_SOURCE = "export the torch module itself with torch.export.save to a .pt2 file"

#: operators that are not read, and what can be written in their place
INSTEAD = {
    "If": _BODY, "Loop": _BODY, "Scan": _BODY,
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "MatMulInteger", "ConvInteger"), _QDQ),
    "DynamicQuantizeLinear": "quantise statically: QuantizeLinear with a constant scale",
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _SOURCE),
    "NonMaxSuppression": "read boxes and scores, and choose on the host",
}  # fmt: skip


@dataclass(frozen=True)
class _Step:
    """One call: an operand is the name of a value, a constant with its numbers, or None."""

    node: Node
    operator: OnnxOperator
    operands: tuple[str | Known | None, ...]

    def run(self, values: Mapping[str, Any]) -> Any:
        return self.operator.build(self.node, *(_of(operand, values) for operand in self.operands))


def _of(operand: str | Known | None, values: Mapping[str, Any]) -> Any:
    if isinstance(operand, Known):
        return replace(operand, tensor=values[operand.tensor])
    return None if operand is None else values[operand]


class _Network(torch.nn.Module):  # type: ignore[misc]
    """The steps one after the other; each is a module, so that torch notes which of them a call belongs to."""

    def __init__(
        self,
        steps: Sequence[_Step],
        constants: Mapping[str, Any],
        inputs: Sequence[str],
        outputs: Sequence[str],
    ) -> None:
        super().__init__()
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self.places = {name: f"c{k}" for k, name in enumerate(constants)}
        for name, place in self.places.items():
            self.register_buffer(place, constants[name], persistent=False)
        self.steps = {f"s{k}": step for k, step in enumerate(steps)}
        for name, step in self.steps.items():
            self.add_module(name, _Part(step))

    def forward(self, *given: Any) -> Any:
        values = {name: getattr(self, place) for name, place in self.places.items()}
        values.update(zip(self.inputs, given, strict=True))
        for name, step in self.steps.items():
            made = getattr(self, name)(values)
            values.update(zip(step.node.outputs, _several(made), strict=False))
        return tuple(values[name] for name in self.outputs)


class _Part(torch.nn.Module):  # type: ignore[misc]
    def __init__(self, step: _Step) -> None:
        super().__init__()
        self.step = step

    def forward(self, values: Mapping[str, Any]) -> Any:
        return self.step.run(values)


def _several(made: Any) -> Sequence[Any]:
    return made if isinstance(made, (tuple, list)) else (made,)


def program(file: File, inputs: Sequence[Given], where: str) -> Any:
    """The torch.export.ExportedProgram of a file whose ``inputs``, in this order, have whole sizes.

    Raises ImportModelError with everything that is wrong: ND102 (NaN), ND125 (operators that are not read), ND126
    (sizes that do not fit), ND183 (values that are too large), ND195 (inputs of other types).
    """
    folding = _Folding(file, inputs, where)
    network = folding.network()
    examples = tuple(torch.zeros(each.sizes, dtype=_type(each)) for each in inputs)
    try:
        with _torch.inference():
            found = torch.export.export(network.eval(), examples, strict=False)
    except Exception as error:  # torch raises a dozen unrelated classes here
        cause = "torch cannot read what the file says"
        raise ImportModelError(Problem("ND125", cause, where, first_line(error), "", (_SOURCE,))) from error
    _placed(found, network)
    return found


def _placed(program: Any, network: _Network) -> None:
    """Of each call the place in the network instead of the number of its step."""
    places = {name: step.node for name, step in network.steps.items()}
    for node in program.graph.nodes:
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        found = places.get(str(stack[-1][0]).rpartition(".")[2]) if stack else None
        node.meta["nn_module_stack"] = {"": (found.place, f"onnx.{found.op}")} if found else {}
        node.meta.pop("stack_trace", None)  # lines of ours


def _type(given: Given) -> torch.dtype:
    kind = getattr(torch, given.dtype, None)
    if not isinstance(kind, torch.dtype) or kind.is_complex:
        cause, limit = "an input of an unsupported type", "floats or token ids"
        raise ImportModelError(Problem("ND195", cause, given.name, given.dtype or "no tensor", limit))
    return torch.float32 if kind.is_floating_point else kind


@dataclass(eq=False)
class _Folding:
    """A pass over the nodes: what is constant is computed, of anything else the sizes are known."""

    file: File
    inputs: Sequence[Given]
    where: str
    values: dict[str, Any] = field(default_factory=dict)
    quantised: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    steps: list[_Step] = field(default_factory=list)
    problems: dict[tuple[str, ...], list[Problem]] = field(default_factory=dict)
    most: int = MOST_ELEMENTS

    def network(self) -> _Network:
        """The steps that the outputs need, with their constants; ImportModelError with all problems."""
        constants = {name: _tensor(array) for name, array in self.file.constants.items()}
        self.values = {"": None, **constants}
        self.values.update(
            (each.name, torch.empty(each.sizes, dtype=_type(each), device="meta")) for each in self.inputs
        )
        self.most = max([MOST_ELEMENTS, *(4 * tensor.numel() for tensor in constants.values())])
        for node in self.file.nodes:
            self._step(node)
        self._outputs()
        if self.problems:
            raise ImportModelError([_joined(group) for group in self.problems.values()])
        steps = list(self._needed())
        read = {name for step in steps for name in _names(step)} | set(self.file.outputs)
        used = {name: value for name, value in self.values.items() if name in read and _constant(value)}
        self._finite(steps, used)
        return _Network(steps, used, [each.name for each in self.inputs], self.file.outputs)

    def _outputs(self) -> None:
        for name in self.file.outputs:
            if name not in self.values and not self.problems:
                self._refuse(Node("output", "", name, (), ()), "ND126", "a result that no node makes", name)

    def _step(self, node: Node) -> None:
        """One node, or why not; what follows from an unread node is not looked at."""
        missing = [name for name in node.inputs if name not in self.values]
        if missing and not self.problems:
            cause = "a node reads a value that no node before it makes"
            self._refuse(node, "ND126", cause, missing[0][:100])
        operator = ONNX.get(node.op) if node.domain in OWN else None
        if operator is None:
            self._unread(node)
        if missing or operator is None:
            return
        try:
            made = self._made(node, operator)
        except Refused as error:
            cause = f"operator '{node.op}' is used in a form that is not read"
            self._refuse(node, "ND125", cause, str(error), "", error.fixes or (_SOURCE,))
        except TooLarge as error:
            cause = "the model file holds a value that is too large"
            self._refuse(node, "ND183", cause, str(error), f"{self.most} elements, or four times a weight")
        except Exception as error:  # whatever torch says to sizes and types that do not fit
            cause = "parts of the network file do not fit together"
            self._refuse(node, "ND126", cause, f"{node.op}: {first_line(error)}"[:200])
        else:
            self.values.update((name, value) for name, value in zip(node.outputs, made, strict=False) if name)

    def _made(self, node: Node, operator: OnnxOperator) -> Sequence[Any]:
        """What a node yields: numbers where all is constant, else sizes."""
        operands = [self.values[name] for name in node.inputs]
        given = tuple(
            Known(value, value.tolist())
            if k in operator.known and value is not None and _constant(value)
            else value
            for k, value in enumerate(operands)
        )
        self._units(node, operator, given)
        sizes = _several(operator.build(node, *map(_meta, given)))
        if any(value.numel() > self.most for value in sizes):
            raise TooLarge(f"{node.op}: {[tuple(value.shape) for value in sizes]}"[:200])
        if all(map(_constant, sizes)):  # of sizes alone
            return sizes
        if all(value is None or _constant(value) for value in operands):
            return _several(operator.build(node, *given))
        names = [
            Known(name, each.numbers) if isinstance(each, Known) else (name or None)
            for name, each in zip(node.inputs, given, strict=True)
        ]
        self.steps.append(_Step(node, operator, tuple(names)))
        return sizes

    def _units(self, node: Node, operator: OnnxOperator, given: Sequence[Any]) -> None:
        """Let quantised values pass from a quantiser to what undoes it; Refused where anything else reads them."""
        if node.op == "QuantizeLinear":
            self.quantised[node.outputs[0]] = tuple(map(_parameter, (*given[1:3], None)[:2]))
            return
        held = [self.quantised[name] for name in node.inputs if name in self.quantised]
        if not held:
            return
        if node.op == "DequantizeLinear":
            wanted = tuple(map(_parameter, (*given[1:3], None)[:2]))
            if held[0] != wanted:
                raise Refused("a dequantiser of another scale than the quantiser in front of it", _QDQ)
        elif operator.moves or (node.op == "Concat" and held.count(held[0]) == len(node.inputs)):
            self.quantised.update((name, held[0]) for name in node.outputs)
        else:
            raise Refused("integers of a quantiser", _QDQ)

    def _needed(self) -> Iterator[_Step]:
        """The steps on which an output depends."""
        names, kept = set(self.file.outputs), list[_Step]()
        for step in reversed(self.steps):
            if names & set(step.node.outputs):
                names.update(_names(step))
                kept.append(step)
        return reversed(kept)

    def _finite(self, steps: Sequence[_Step], used: Mapping[str, Any]) -> None:
        """ImportModelError ND102 for weights that are not finite; masks may hold infinity."""
        weights = {n for step in steps if step.operator.family in ("linear", "norm") for n in _names(step)}
        _torch.require_finite({name: value for name, value in used.items() if name in weights})

    def _unread(self, node: Node) -> None:
        own = node.domain in OWN
        name = node.op if own else f"{node.domain}:{node.op}"
        cause = f"operator '{name}' is not read" if own else f"operator '{name}' is none of ONNX's own"
        self._refuse(node, "ND125", cause, name, "", (INSTEAD.get(node.op, _SOURCE),))

    def _refuse(
        self, node: Node, code: str, cause: str, found: str, limit: str = "", fixes: tuple[str, ...] = ()
    ) -> None:
        problem = Problem(code, cause, f"{self.where}: {node.place}", found, limit, fixes)
        self.problems.setdefault((code, cause, found, node.op), []).append(problem)


def _names(step: _Step) -> Iterator[str]:
    for operand in step.operands:
        if operand is not None:
            yield operand.tensor if isinstance(operand, Known) else operand


def _tensor(array: Any) -> Any:
    return torch.from_numpy(array.copy())


def _constant(value: Any) -> bool:
    return value is not None and value.device.type != "meta"


def _meta(operand: Any) -> Any:
    """The operand without its numbers, but for those that are asked for."""
    if isinstance(operand, Known):
        return replace(operand, tensor=operand.tensor.to("meta"))
    return None if operand is None else operand.to("meta")


def _parameter(operand: Any) -> Any:
    return operand.numbers if isinstance(operand, Known) else None


def _joined(group: list[Problem]) -> Problem:
    first, more = group[0], len(group) - 1
    where = f"{first.where} and {more} more place{'s' if more > 1 else ''}"
    return replace(first, where=where) if more else first


def sized(file: File, shape: tuple[int, ...] | None, names: Sequence[str], where: str) -> list[Given]:
    """The inputs of a file, the image or the text in front; open sizes are those of the data.

    ``names`` are what the inputs are called instead, in order. ImportModelError ND134 for a file without inputs, ND135
    for an open size that the data do not tell.
    """
    if not file.inputs:
        cause, limit = "the model takes no input", "one image, or one text"
        raise ImportModelError(Problem("ND134", cause, where, "none", limit))
    called = list(names) if len(names) == len(file.inputs) else [each.name for each in file.inputs]
    order = sorted(range(len(called)), key=lambda k: called[k] in doors.MADE)
    main = file.inputs[order[0]]
    sizes = _whole(main, shape, where)
    found = [replace(main, sizes=sizes)]
    for k in order[1:]:
        each = file.inputs[k]
        found.append(
            replace(each, sizes=sizes if len(each.sizes) == len(sizes) else _whole(each, shape, where))
        )
    return found


def _whole(given: Given, shape: tuple[int, ...] | None, where: str) -> tuple[int, ...]:
    """The sizes of an input: an open batch is of :data:`~.._torch.BATCH`."""
    batch, *own = given.sizes or (None,)
    told = shape if shape is not None and len(shape) == len(own) else (None,) * len(own)
    asked = [size if isinstance(size, int) else known for size, known in zip(own, told, strict=True)]
    sizes = [size for size in asked if size is not None]
    if not given.sizes or len(sizes) < len(asked):
        cause, found = "the input shape of the model is left open", str(tuple(given.sizes))
        fixes = (
            "give the data set with --data",
            "export with fixed sizes, but for the batch in the first axis",
        )
        limit = "fixed sizes, or those of the data"
        raise ImportModelError(Problem("ND135", cause, f"{where}: {given.name[:100]}", found, limit, fixes))
    whole = (batch if isinstance(batch, int) else _torch.BATCH, *sizes)
    if any(size < 1 for size in whole) or prod(whole) > MOST_ELEMENTS:
        limit = f"positive sizes of at most {MOST_ELEMENTS} elements"
        problem = Problem("ND183", "the input of the model is too large or empty", where, str(whole), limit)
        raise ImportModelError(problem)
    return whole
