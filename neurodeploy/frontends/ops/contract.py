"""Einsums, two operands at a time, each as a matrix product with rearrangements around it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from string import ascii_letters
from typing import Any

from ..lowering import Lowering
from ..values import Stream, depends
from ._base import operator
from .arithmetic import mul
from .gather import found
from .linear import matmul
from .pool import sum_
from .views import expand, permute, reshape

#: letters that stand for the axes of an ellipsis: any that no equation has
DOTS = "".join(map(chr, range(0x3B1, 0x3C9)))


@operator("einsum")
def einsum(lowering: Lowering, equation: Any, *operands: Any, **_: Any) -> Stream:
    """Torch's einsum, from the left to the right."""
    equation, given = _listed(equation, operands)
    terms, out = _letters(equation, [_rank(item) for item in given])
    parts = [_once(lowering, item, term) for item, term in zip(given, terms, strict=True)]
    parts = [
        _summed(lowering, item, term, set(out).union(*(t for _, t in (*parts[:i], *parts[i + 1 :]))))
        for i, (item, term) in enumerate(parts)
    ]
    while len(parts) > 2:
        (a, left), (b, right), *rest = parts
        wanted = set(out).union(*(term for _, term in rest))
        between = "".join(letter for letter in dict.fromkeys(left + right) if letter in wanted)
        parts = [(_contracted(lowering, a, left, b, right, between), between), *rest]
    if len(parts) == 1:
        alone: Stream = _ordered(lowering, *parts[0], out)
        return alone
    result: Stream = _contracted(lowering, *parts[0], *parts[1], out)
    return result


def _listed(equation: Any, operands: Sequence[Any]) -> tuple[str, list[Any]]:
    """Equation and operands, also of the form that gives a list of numbers behind each operand."""
    if isinstance(equation, str):
        joined = len(operands) == 1 and isinstance(operands[0], (list, tuple))
        return equation, list(operands[0] if joined else operands)
    given = [equation, *operands]
    lists = [*given[1::2], *([given[-1]] if len(given) % 2 else [])]
    terms = ["".join("..." if n is Ellipsis else ascii_letters[n] for n in numbers) for numbers in lists]
    count = len(given) // 2
    return "->".join([",".join(terms[:count]), *terms[count:]]), given[: 2 * count : 2]


def _once(lowering: Lowering, item: Any, letters: str) -> tuple[Any, str]:
    """An operand without letters that stand twice in it: the diagonal of their axes."""
    import torch

    once = "".join(dict.fromkeys(letters))
    if len(once) == len(letters):
        return item, letters
    before, after = ([once.index(letter) for letter in part] for part in (letters, once))

    def diagonal(tensor: Any) -> Any:
        return torch.einsum(tensor, before, after)

    return (found(lowering, item, diagonal) if isinstance(item, Stream) else diagonal(item)), once


def _letters(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Letters of the operands and the result, those of :data:`DOTS` where an ellipsis stands."""
    left, arrow, out = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    widths = [rank - len(t.replace("...", "")) for rank, t in zip(ranks, terms, strict=True)]
    hidden = max(widths)
    terms = [t.replace("...", DOTS[hidden - w : hidden]) for w, t in zip(widths, terms, strict=True)]
    if not arrow:
        out = "..." + "".join(sorted(c for c in set(left) if c.isalpha() and left.count(c) == 1))
    return terms, out.replace("...", DOTS[:hidden])


def _rank(item: Any) -> int:
    return item.rank if isinstance(item, Stream) else item.ndim


def _sizes(item: Any) -> tuple[int, ...]:
    return item.sizes if isinstance(item, Stream) else tuple(item.shape)


def _summed(lowering: Lowering, item: Any, letters: str, wanted: set[str]) -> tuple[Any, str]:
    """An operand without the axes that only it has and nobody wants."""
    gone = [axis for axis, letter in enumerate(letters) if letter not in wanted]
    if gone:
        item = sum_(lowering, item, gone) if isinstance(item, Stream) else item.sum(gone)
    return item, "".join(letter for letter in letters if letter in wanted)


def _ordered(lowering: Lowering, item: Any, letters: str, wanted: str) -> Any:
    """An operand with its axes in another order."""
    order = [letters.index(letter) for letter in wanted]
    return permute(lowering, item, order) if isinstance(item, Stream) else item.permute(order)


def _contracted(lowering: Lowering, a: Any, left: str, b: Any, right: str, out: str) -> Any:
    """(shared, rows, summed) @ (shared, summed, columns); torch's own result of two constants."""
    if not depends([a, b]):
        import torch

        places = [[(left + right).index(letter) for letter in term] for term in (left, right, out)]
        return torch.einsum(a, places[0], b, places[1], places[2])
    shared = "".join(c for c in out if c in left and c in right)
    summed = "".join(c for c in left if c in right and c not in out)
    rows, columns = ("".join(c for c in out if c in own and c not in shared) for own in (left, right))
    a, b = (
        _ordered(lowering, a, left, shared + rows + summed),
        _ordered(lowering, b, right, shared + summed + columns),
    )
    size = {**dict(zip(shared + summed + columns, _sizes(b), strict=True))}
    size |= {c: max(n, size.get(c, 1)) for c, n in zip(shared + rows + summed, _sizes(a), strict=True)}
    if not (rows or columns or summed):
        return permute(lowering, mul(lowering, a, b), [shared.index(c) for c in out])
    lead = tuple(size[c] for c in shared)
    m, k, n = (prod(size[c] for c in group) for group in (rows, summed, columns))
    whole_a, whole_b = (
        tuple(size[c] for c in own) for own in (shared + rows + summed, shared + summed + columns)
    )
    product = matmul(
        lowering, _as(lowering, a, whole_a, (*lead, m, k)), _as(lowering, b, whole_b, (*lead, k, n))
    )
    whole = reshape(lowering, product, (*lead, *(size[c] for c in rows + columns)))
    return permute(lowering, whole, [(shared + rows + columns).index(c) for c in out])


def _as(lowering: Lowering, item: Any, whole: tuple[int, ...], sizes: tuple[int, ...]) -> Any:
    """An operand as a matrix for each of what is shared; its axes of size 1 are first spread to the other's."""
    if not depends(item) and len(sizes) - 2 > 0 and prod(_sizes(item)) == prod(sizes[-2:]):
        sizes = sizes[-2:]  # a constant that is the same for all that is shared
    elif _sizes(item) != whole:
        item = expand(lowering, item, whole) if isinstance(item, Stream) else item.expand(whole)
    return reshape(lowering, item, sizes) if isinstance(item, Stream) else item.reshape(sizes)
