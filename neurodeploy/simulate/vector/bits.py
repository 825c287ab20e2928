"""Rows added to rows, for the bits of a mask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from ...array import Array
from ..kernels import inlined
from .emit import I64, emitted, load_at, pointer, row_at


@contextmanager
def _each_bit(build: Any, mask: Any) -> Iterator[list[tuple[Any, Any]]]:
    """A loop over the bits that are set in an int64, by fours: the place of each, and whether it is one.

    Most masks of a row are one pass, which processors foresee.
    """
    left = cgutils.alloca_once_value(build, mask)
    head, body, end = (build.append_basic_block(name) for name in ("bits", "four", "no_bits"))
    build.branch(head)
    build.position_at_end(head)
    now = build.load(left)
    build.cbranch(build.icmp_unsigned("!=", now, I64(0)), body, end)
    build.position_at_end(body)
    four = []
    for _ in range(4):
        four.append((build.cttz(now, ir.IntType(1)(0)), build.icmp_unsigned("!=", now, I64(0))))
        now = build.and_(now, build.sub(now, I64(1)))
    build.store(now, left)
    yield four
    build.branch(head)
    build.position_at_end(end)


def _of_bits(gathers: bool, parts: int) -> Any:
    """:func:`rows_of_bits`, else :func:`row_to_bits`, for ``parts`` * 16 columns."""

    @emitted
    def of_bits(
        context: Any, mask: Any, row: Any, out: Any, step: Any, spare: Any, narrow: Any, wide: Any
    ) -> Any:
        def generate(context: Any, build: Any, signature: Any, args: Any) -> Any:
            mask, row, out, step, spare, *_ = args
            few, many = (ir.VectorType(ir.IntType(kind.dtype.bitwidth), 16) for kind in (narrow, wide))

            def load(start: Any, kind: Any, part: int) -> Any:
                size = kind.element.width // 8
                found = load_at(build, build.add(start, I64(16 * size * part)), kind, size)
                return found if kind.element.width == many.element.width else build.sext(found, many)

            def store(value: Any, start: Any, part: int) -> None:
                size = many.element.width // 8
                place = build.add(start, I64(16 * size * part))
                build.store(value, pointer(build, place, many)).align = size

            kept = [cgutils.alloca_once_value(build, load(out, many, p) if gathers else load(row, few, p))
                    for p in range(parts)]  # fmt: skip
            moving = row if gathers else out
            with _each_bit(build, mask) as four:
                rows = [
                    build.select(there, build.add(moving, build.mul(place, step)), spare)
                    for place, there in four
                ]
                for p, one in enumerate(kept):
                    if gathers:
                        first, second, *others = [load(row, few, p) for row in rows]
                        more = build.add(build.add(first, second), build.add(*others))
                        build.store(build.add(build.load(one), more), one)
                    for row in () if gathers else rows:
                        store(build.add(load(row, many, p), build.load(one)), row, p)
            for p, one in enumerate(kept if gathers else []):
                store(build.load(one), out, p)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 5, narrow, wide), generate

    return of_bits


rows_of_bits_1, rows_of_bits_2 = (_of_bits(True, parts) for parts in (1, 2))
row_to_bits_1, row_to_bits_2 = (_of_bits(False, parts) for parts in (1, 2))


@inlined
def rows_of_bits(
    mask: int,
    row: int,
    out: int,
    step: int,
    spare: Array,
    narrow: Array,
    wide: Array,
    columns: int,
) -> None:
    """out (columns,) += the row at ``row + k * step`` for every bit k of a mask; addresses, and arrays of the types.

    ``spare``: at least 32 zeros of the wider type, which stay zeros.
    """
    done = 0
    while columns - done >= 32:
        rows_of_bits_2(
            mask,
            row + done * narrow.itemsize,
            out + done * wide.itemsize,
            step,
            spare.ctypes.data,
            narrow,
            wide,
        )
        done += 32
    while columns - done >= 16:
        rows_of_bits_1(
            mask,
            row + done * narrow.itemsize,
            out + done * wide.itemsize,
            step,
            spare.ctypes.data,
            narrow,
            wide,
        )
        done += 16
    if done < columns:
        rows_of_bits_plain(
            mask,
            row + done * narrow.itemsize,
            out + done * wide.itemsize,
            step,
            spare,
            narrow,
            wide,
            columns - done,
        )


@inlined
def rows_of_bits_plain(
    mask: int,
    row: int,
    out: int,
    step: int,
    spare: Array,
    narrow: Array,
    wide: Array,
    columns: int,
) -> None:
    """The twin of :func:`rows_of_bits`."""
    while mask != 0:
        added(row_at(row + _first(mask) * step, narrow, columns), row_at(out, wide, columns))
        mask &= mask - 1


@inlined
def row_to_bits(
    mask: int,
    row: int,
    out: int,
    step: int,
    spare: Array,
    narrow: Array,
    wide: Array,
    columns: int,
) -> None:
    """The row at ``out + k * step`` += row (columns,) for every bit k of a mask; addresses, and arrays of the types.

    ``spare``: room for 32 of the wider type, where anything is left.
    """
    done = 0
    while columns - done >= 32:
        row_to_bits_2(
            mask,
            row + done * narrow.itemsize,
            out + done * wide.itemsize,
            step,
            spare.ctypes.data,
            narrow,
            wide,
        )
        done += 32
    while columns - done >= 16:
        row_to_bits_1(
            mask,
            row + done * narrow.itemsize,
            out + done * wide.itemsize,
            step,
            spare.ctypes.data,
            narrow,
            wide,
        )
        done += 16
    if done < columns:
        row_to_bits_plain(
            mask,
            row + done * narrow.itemsize,
            out + done * wide.itemsize,
            step,
            spare,
            narrow,
            wide,
            columns - done,
        )


@inlined
def row_to_bits_plain(
    mask: int,
    row: int,
    out: int,
    step: int,
    spare: Array,
    narrow: Array,
    wide: Array,
    columns: int,
) -> None:
    """The twin of :func:`row_to_bits`."""
    while mask != 0:
        added(row_at(row, narrow, columns), row_at(out + _first(mask) * step, wide, columns))
        mask &= mask - 1


@emitted
def _first(context: Any, x: Any) -> Any:
    """The place of the lowest bit that is set in an int64."""
    return types.int64(types.int64), lambda context, build, signature, args: build.cttz(
        args[0], ir.IntType(1)(1)
    )


@inlined
def added(row: Array, out: Array) -> None:
    """out (m,) += row (m,)."""
    for j in range(out.size):
        out[j] += row[j]
