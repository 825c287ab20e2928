"""Functions of single elements, and of elements of two values in the same place."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch.nn import functional as F

from ._base import Known, Node, Refused, numbers, onnx, scalar, tensor

_UNARY: dict[str, Callable[[Any], Any]] = {
    "Abs": torch.abs, "Neg": torch.neg, "Exp": torch.exp, "Log": torch.log, "Sqrt": torch.sqrt, "Erf": torch.erf,
    "Reciprocal": torch.reciprocal, "Tanh": torch.tanh, "Sigmoid": torch.sigmoid, "Relu": torch.relu,
    "Sin": torch.sin, "Cos": torch.cos, "Tan": torch.tan, "Atan": torch.atan, "Asin": torch.asin, "Acos": torch.acos,
    "Sinh": torch.sinh, "Cosh": torch.cosh, "Asinh": torch.asinh, "Acosh": torch.acosh, "Atanh": torch.atanh,
    "Floor": torch.floor, "Ceil": torch.ceil, "Round": torch.round, "Sign": torch.sign, "Not": torch.logical_not,
    "Softplus": F.softplus, "Softsign": F.softsign, "HardSwish": F.hardswish, "Mish": F.mish, "IsNaN": torch.isnan,
}  # fmt: skip


def _unary(function: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda node, x: function(x)


def _binary(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """A constant of one element is a number, but where both are constant: then it keeps its type."""

    def build(node: Node, a: Any, b: Any) -> Any:
        if isinstance(a, Known) and isinstance(b, Known):
            return function(a.tensor, b.tensor)
        return function(scalar(a), scalar(b))

    return build


def _divided(a: Any, b: Any) -> Any:
    whole = all(not part.is_floating_point() for part in (a, b) if isinstance(part, torch.Tensor))
    return torch.div(a, b, rounding_mode="trunc") if whole else a / b


def _power(a: Any, b: Any) -> Any:
    made = torch.pow(a, b)
    return made.to(a.dtype) if isinstance(a, torch.Tensor) else made


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Add": lambda a, b: a + b, "Sub": lambda a, b: a - b, "Mul": lambda a, b: a * b, "Div": _divided, "Pow": _power,
    "Equal": lambda a, b: a == b, "Less": lambda a, b: a < b, "LessOrEqual": lambda a, b: a <= b,
    "Greater": lambda a, b: a > b, "GreaterOrEqual": lambda a, b: a >= b,
}  # fmt: skip

for _name, _function in _UNARY.items():
    onnx(_name)(_unary(_function))
for _name, _two in _BINARY.items():
    onnx(_name, known=(0, 1))(_binary(_two))


@onnx("And", "Or", "Xor")
def logic(node: Node, a: Any, b: Any) -> Any:
    """Of truths."""
    return {"And": torch.logical_and, "Or": torch.logical_or, "Xor": torch.logical_xor}[node.op](a, b)


@onnx("Max", "Min", "Sum", "Mean")
def several(node: Node, *operands: Any) -> Any:
    """Of any number of values."""
    two = {"Max": torch.maximum, "Min": torch.minimum}.get(node.op, torch.add)
    total = reduce(two, operands)
    return total / len(operands) if node.op == "Mean" else total


@onnx("Mod", known=(1,))
def modulo(node: Node, a: Any, b: Any) -> Any:
    """With the divisor's sign, or with ``fmod`` the dividend's."""
    return (torch.fmod if node.get("fmod") else torch.remainder)(a, scalar(b))


@onnx("Identity", "Dropout", moves=True)
def identity(node: Node, x: Any, *rest: Any) -> Any:
    """What inference leaves as it is."""
    if rest and rest[-1] is not None and len(rest) == 2 and bool(rest[1]):
        raise Refused("dropout in training mode", "export in evaluation mode")
    return torch.clone(x)


@onnx("Where")
def where(node: Node, condition: Any, a: Any, b: Any) -> Any:
    """One of two values by a truth."""
    return torch.where(condition, a, b)


@onnx("Clip", known=(1, 2))
def clip(node: Node, x: Any, low: Any = None, high: Any = None) -> Any:
    """Between two numbers, either of which may be left out."""
    least, most = (numbers(each, "bounds") for each in (low, high))
    return torch.clamp(x, least[0] if least else None, most[0] if most else None)


@onnx("LeakyRelu")
def leaky_relu(node: Node, x: Any) -> Any:
    """Slope ``alpha`` below zero."""
    return F.leaky_relu(x, node.get("alpha", 0.01))


@onnx("PRelu")
def prelu(node: Node, x: Any, slope: Any) -> Any:
    """A slope for each channel, or for each element, below zero."""
    if slope.numel() == 1 or (
        x.dim() > 1 and slope.numel() == x.shape[1] == slope.shape[max(0, slope.dim() - x.dim() + 1)]
    ):
        return F.prelu(x, slope.reshape(-1))
    return torch.where(x < 0, x * slope, x)


@onnx("Elu")
def elu(node: Node, x: Any) -> Any:
    """alpha (exp(x) - 1) below zero."""
    return F.elu(x, node.get("alpha", 1.0))


@onnx("Selu")
def selu(node: Node, x: Any) -> Any:
    """gamma times an Elu."""
    alpha, gamma = node.get("alpha", 1.67326319217681884765625), node.get("gamma", 1.05070102214813232421875)
    return gamma * F.elu(x, alpha)


@onnx("Celu")
def celu(node: Node, x: Any) -> Any:
    """alpha (exp(x / alpha) - 1) below zero."""
    return F.celu(x, node.get("alpha", 1.0))


@onnx("ThresholdedRelu")
def thresholded_relu(node: Node, x: Any) -> Any:
    """Zero up to ``alpha``."""
    return F.threshold(x, node.get("alpha", 1.0), 0.0)


@onnx("HardSigmoid")
def hard_sigmoid(node: Node, x: Any) -> Any:
    """alpha x + beta between 0 and 1; of torch's numbers torch's own function."""
    alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return F.hardsigmoid(x)
    return torch.clamp(alpha * x + beta, 0.0, 1.0)


@onnx("Gelu")
def gelu(node: Node, x: Any) -> Any:
    """Exact, or by tanh."""
    return F.gelu(x, approximate=node.get("approximate", "none"))


@onnx("Cast", "CastLike")
def cast(node: Node, x: Any, like: Any = None) -> Any:
    """To another type of numbers."""
    kind = like.dtype if like is not None else TYPES.get(node.get("to"))
    if kind is None:
        raise Refused(f"a cast to type {node.get('to')}", "floats of 32 bits, integers and truths")
    return x.to(kind)


#: ONNX's numbers of types
TYPES = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 6: torch.int32, 7: torch.int64, 9: torch.bool, 10: torch.float32,
    11: torch.float64, 16: torch.float32,
}  # fmt: skip


@onnx("CumSum", known=(1,))
def cumulated(node: Node, x: Any, axis: Any) -> Any:
    """Sums up to each place."""
    if node.get("exclusive") or node.get("reverse"):
        raise Refused("an exclusive or reverse sum")
    return torch.cumsum(tensor(x), int(numbers(axis, "axes")[0]))
