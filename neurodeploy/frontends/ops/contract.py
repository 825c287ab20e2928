"""Einsums of one or two operands, as a matrix product with rearrangements around it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from string import ascii_uppercase
from typing import Any

from ..lowering import Lowering
from ..values import Refusal, Stream, depends
from ._base import operator
from .arithmetic import mul
from .linear import matmul
from .pool import sum_
from .views import expand, permute, reshape


@operator("einsum")
def einsum(lowering: Lowering, equation: str, *operands: Any, **_: Any) -> Stream:
    """Torch's einsum without letters that stand twice in one operand."""
    given = list(operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands)
    terms, out = _letters(equation, [_rank(item) for item in given])
    if len(given) > 2 or any(len(set(term)) < len(term) for term in (*terms, out)):
        raise Refusal(
            "ND101", "an einsum of this kind", equation, "one or two operands, no letter twice in one"
        )
    reduced = [
        _summed(lowering, item, term, set(out).union(*terms[:i], *terms[i + 1 :]))
        for i, (item, term) in enumerate(zip(given, terms, strict=True))
    ]
    if len(reduced) == 1:
        alone: Stream = _ordered(lowering, *reduced[0], out)
        return alone
    return _contracted(lowering, *reduced[0], *reduced[1], out)


def _letters(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Letters of the operands and the result, capitals where an ellipsis stands."""
    left, arrow, out = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    hidden = max(rank - len(t.replace("...", "")) for rank, t in zip(ranks, terms, strict=True))
    dots = [
        ascii_uppercase[hidden - (rank - len(t.replace("...", ""))) : hidden]
        for rank, t in zip(ranks, terms, strict=True)
    ]
    if any(letter.isupper() for letter in equation):
        raise Refusal("ND101", "an einsum with capital letters", equation, "small letters")
    terms = [t.replace("...", d) for t, d in zip(terms, dots, strict=True)]
    if not arrow:
        once = sorted(c for c in set(left) if c.islower() and left.count(c) == 1)
        out = "..." + "".join(once)
    return terms, out.replace("...", ascii_uppercase[:hidden])


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


def _contracted(lowering: Lowering, a: Any, left: str, b: Any, right: str, out: str) -> Stream:
    """(shared, rows, summed) @ (shared, summed, columns)."""
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
