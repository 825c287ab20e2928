"""Row operators that can be computed in parts, on several cores: levels of statistics and scalars, then the result.

A row is cut into parts of equal length. In each :class:`.Level` every part says a few statistics of its elements, one
place forms scalars of all parts' statistics, and tells them to every part; from what all levels told, each part makes
its elements of the result. Maxima and sums are exact and have no order, tables are read and numbers rounded where the
program of the whole row does so: the integers are the same.

Each of these is a Micro of the same operator, whose parameter ``piece`` says which. Its row is one of a part or of a
scalar program, and has in front what was told so far (``told`` numbers, one element each):

``terms``    (told | elements) -> statistics of level ``level`` in the first elements, then zeros
``scalars``  (told | statistics of the row) -> what is told from this level on, then zeros
``result``   (told | elements) -> (zeros | elements of the result)

A sum is said in ``digits`` of 15 bits, the highest with the sign, so that each fits a message. ``absent`` marks
elements that are none, where parts have more room than the row has elements.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ..array import Array
from .micro_op import Level, MicroOp, Numbers, Params
from .widths import MESSAGE_BITS

DIGIT_BITS = 15
#: the largest number that a message carries, and below it the largest of a maximum over nothing
MOST = (1 << (MESSAGE_BITS - 1)) - 1
DIGIT_OPS = 3  # shift, mask, add

Piece = Literal["terms", "scalars", "result"]


class RowOp(MicroOp):
    """A row operator that declares, beside the program of a whole row, how it is computed in parts."""

    row = True

    @abstractmethod
    def whole(self, x: Array, params: Params) -> tuple[Array, Array | int]:
        """``int_apply`` of a row that is there as a whole."""

    @abstractmethod
    def result(self, x: Array, told: Numbers, params: Params) -> tuple[Array, Array | int]:
        """The elements of a part of the row, and 1 where they saturated, from what all levels told."""

    @abstractmethod
    def range(self, params: Params, lo: Array, hi: Array) -> tuple[Array, Array]:
        """``bounds`` of the result."""

    @abstractmethod
    def whole_operations(self, params: Params, width: int) -> int:
        """``operations`` of a row that is there as a whole."""

    @abstractmethod
    def result_operations(self, params: Params, width: int) -> int:
        """Operations of the result of ``width`` elements."""

    def int_apply(self, x: Array, params: Params) -> tuple[Array, Array | int]:
        """The program of the whole row, or of one piece of it."""
        piece = params.get("piece")
        if piece is None:
            return self.whole(x, params)
        told, body, params = _opened(x, params)
        if piece == "result":
            y, clipped = self.result(body, told, params)
            head = np.zeros_like(x[..., : len(told)])
            flags = np.broadcast_to(clipped, y.shape)
            return np.concatenate([head, y], axis=-1), np.concatenate([head, flags], axis=-1)
        level = self._level(params)
        if piece == "terms":
            return _first(x, _said(level, level.terms(body, told, params), params.get("absent"))), 0
        return _first(x, (*told, *level.scalars(_heard(level, body), told, params))), 0

    def bounds(self, params: Params, lo: Array, hi: Array) -> tuple[Array, Array]:
        """Those of the result; what is said and told fits messages."""
        piece = params.get("piece")
        if piece is None or piece == "result":
            return self.range(params, lo, hi)
        most = np.full_like(hi, MOST)
        if piece == "terms":
            most[..., self._level(params).maxima :] = 1 << DIGIT_BITS
        return -most, most

    def operations(self, params: Params, width: int) -> int:
        """Those of the whole row, or of a piece: its elements, and what it says, hears and tells."""
        piece = params.get("piece")
        if piece is None:
            return self.whole_operations(params, width)
        if piece == "result":
            return self.result_operations(params, width - int(params["told"]))
        level = self._level(params)
        split = DIGIT_OPS * sum(level.sums)
        if piece == "scalars":
            return level.scalar_ops + split
        return (level.element_ops + level.maxima + split) * (width - int(params["told"])) + split

    def _level(self, params: Params) -> Level:
        return self.levels(params, int(params["reach"]))[params["level"]]


def held(levels: Sequence[Level], level: int) -> int:
    """How many numbers were told before a level."""
    return sum(before.tells for before in levels[:level])


def divides(levels: Sequence[Level], length: int, parts: int) -> bool:
    """Whether a row can be cut into so many parts: none is empty, and each has elements for all that it says."""
    wide = -(-length // parts)
    fits = all(held(levels, i) + wide >= level.messages for i, level in enumerate(levels))
    return bool(levels) and fits and wide * (parts - 1) < length


def parted(
    op: MicroOp, params: Params, reach: int, length: int, parts: int, piece: Piece, level: int
) -> dict[str, Any]:
    """The parameters of a piece of a row of elements up to ``reach``: those along the row are laid out as parts."""
    told = held(op.levels(params, reach), level)
    wide, own = -(-length // parts), dict[str, Any]()
    for name, value in params.items():
        if not _along(name, value, length):
            own[name] = value
        elif piece != "scalars":
            own[name] = laid(np.asarray(value), parts, wide, told)
    if piece == "terms" and parts * wide > length:
        own["absent"] = 1 - laid(np.ones(length, dtype=np.int64), parts, wide, told)
        own["absent"][:, :told] = 0
    return own | {"piece": piece, "level": level, "told": told, "length": length, "reach": reach}


def laid(value: Array, parts: int, wide: int, told: int) -> Array:
    """(..., length) as (..., parts, told + wide), zeros where there is no element."""
    *lead, length = value.shape
    still = [(0, 0)] * len(lead)
    padded = np.pad(value, [*still, (0, parts * wide - length)]).reshape(*lead, parts, wide)
    return np.pad(padded, [*still, (0, 0), (told, 0)])


def _along(name: str, value: Any, length: int) -> bool:
    """Whether a parameter has a value for each element of a row; lookup tables say so in their names."""
    return np.ndim(value) > 0 and "table" not in name and np.shape(value)[-1] == length


def _opened(x: Array, params: Params) -> tuple[Numbers, Array, Params]:
    """What was told, the elements behind it, and the parameters of these."""
    told, width = params["told"], x.shape[-1]
    own = {name: p[..., told:] if _along(name, p, width) else p for name, p in params.items()}
    return tuple(x[..., i : i + 1] for i in range(told)), x[..., told:], own


def _said(level: Level, terms: Numbers, absent: Array | None) -> Numbers:
    """The statistics of a part, in messages."""
    if absent is not None:
        nothing = (-MOST,) * level.maxima + (0,) * len(level.sums)
        terms = tuple(np.where(absent, none, term) for none, term in zip(nothing, terms, strict=True))
    maxima = (term.max(axis=-1, keepdims=True) for term in terms[: level.maxima])
    sums = zip(terms[level.maxima :], level.sums, strict=True)
    return (*maxima, *(digit for term, count in sums for digit in _digits(term, count)))


def _digits(term: Array, count: int) -> list[Array]:
    """The sum over the last axis by digits, lowest first: each is summed in a register, then carried on."""
    found, carry = [], 0
    for i in range(count):
        last = i == count - 1
        digit = term >> (DIGIT_BITS * i) if i else term
        digit = digit if last else digit & ((1 << DIGIT_BITS) - 1)
        total = digit.sum(axis=-1, keepdims=True) + carry
        carry = total >> DIGIT_BITS
        found.append(total if last else total & ((1 << DIGIT_BITS) - 1))
    return found


def _heard(level: Level, body: Array) -> Numbers:
    """The statistics of the row: maxima, and sums whose digits, lowest first, stand behind them."""
    found, place = [body[..., i : i + 1] for i in range(level.maxima)], level.maxima
    for count in level.sums:
        digits = (body[..., place + i : place + i + 1] << (DIGIT_BITS * i) for i in range(count))
        found.append(np.asarray(sum(digits)))
        place += count
    return tuple(found)


def _first(x: Array, numbers: Numbers) -> Array:
    """Numbers in the first elements of a row like ``x``, zeros behind them."""
    out = np.zeros_like(x)
    out[..., : len(numbers)] = np.concatenate(
        [np.broadcast_to(n, (*x.shape[:-1], 1)) for n in numbers], axis=-1
    )
    return out
