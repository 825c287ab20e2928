"""Einsum letters for products of two streams with torch's broadcasting rules."""

from __future__ import annotations

from string import ascii_lowercase

from ...ir.equation import Equation
from ...ir.nodes import Product
from ...ir.types import Shape
from ..lowering import Lowering
from ..values import Refusal, Stream, inner

#: stands for an axis that the graph does not have, until it is left out
NONE = "*"


def matmul_streams(lowering: Lowering, a: Stream, b: Stream, scale: float = 1.0) -> Stream:
    """(..., n, k) @ (..., k, m) with leading axes matched from the right."""
    if a.rank < 2 or b.rank < 2:
        cause = "a product of a matrix and a vector of streams"
        raise Refusal("ND101", cause, (a.sizes, b.sizes), "two matrices")
    for stream in (a, b):
        stream.axis(-1, "a product")
        stream.axis(-2, "a product")
    return _multiply(lowering, a, b, 2, scale)


def hadamard(lowering: Lowering, a: Stream, b: Stream) -> Stream:
    """Elementwise product with broadcasting."""
    return _multiply(lowering, a, b, 0, 1.0)


def _multiply(lowering: Lowering, a: Stream, b: Stream, matrix: int, scale: float) -> Stream:
    """Product over leading axes matched from the right; the last ``matrix`` (0 or 2) axes multiply as matrices."""
    a, b = lowering.met(a, b, "a product")
    rank = max(a.rank, b.rank)
    axes = a.axes if a.rank == rank else b.axes
    free = iter(ascii_lowercase)
    lead = "".join(next(free) if inner(run) else NONE for run in axes[: rank - matrix])
    left = (lead[rank - a.rank :] + "yx"[:matrix]).replace(NONE, "")
    right = (lead[rank - b.rank :] + "xz"[:matrix]).replace(NONE, "")
    out = (lead + "yz"[:matrix]).replace(NONE, "")
    sizes = {letter: max(_size(left, a, letter), _size(right, b, letter)) for letter in left + right}
    a_name, left_kept = _without_broadcast(lowering, a, left, sizes)
    b_name, right_kept = _without_broadcast(lowering, b, right, sizes)
    roles = {**dict(zip(right, b.shape.roles, strict=True)), **dict(zip(left, a.shape.roles, strict=True))}
    shape = Shape(tuple(roles[letter] for letter in out), tuple(sizes[letter] for letter in out))
    equation = str(Equation(left_kept, right_kept, out))
    name = lowering.add(Product, [a_name, b_name], shape, equation=equation, scale=float(scale))
    return a.at(name, shape, axes)


def _size(letters: str, stream: Stream, letter: str) -> int:
    return stream.shape.sizes[letters.index(letter)] if letter in letters else 1


def _without_broadcast(
    lowering: Lowering, stream: Stream, letters: str, sizes: dict[str, int]
) -> tuple[str, str]:
    """The operand without axes of size 1 that the other operand repeats, and its letters."""
    kept = [i for i, letter in enumerate(letters) if stream.shape.sizes[i] == sizes[letter]]
    name, _ = lowering.graph_reshape(stream.name, stream.shape, [stream.shape.sizes[i] for i in kept])
    return name, "".join(letters[i] for i in kept)
