"""Where a row has spikes: as positions, and as bits of a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from ...array import Array
from ..kernels import inlined
from .emit import I8, I16, I32, I64, emitted, load_at, part, pointer, row_at, splat, spread

#: elements that :func:`positions` may write behind the last one
SPILL = 32


#: positions of the bits that are set in each byte
_TABLE = np.zeros((256, 8), np.uint16)
for _byte in range(256):
    _set = [bit for bit in range(8) if _byte >> bit & 1]
    _TABLE[_byte, : len(_set)] = _set


@emitted
def _compressed(context: Any, source: Any, base: Any, out: Any) -> Any:
    """Positions of the non-zero of 32 bytes, plus ``base``, as uint16 to ``out``; how many."""

    def generate(context: Any, build: Any, signature: Any, args: Any) -> Any:
        source, base, out = args
        bytes_, half, bits = ir.VectorType(I8, 32), ir.VectorType(I16, 32), ir.VectorType(ir.IntType(1), 32)
        found = build.icmp_unsigned("!=", load_at(build, source, bytes_, 1), splat(bytes_, 0))
        places = build.add(spread(build, build.trunc(base, I16), half), ir.Constant(half, list(range(32))))
        kind = ir.FunctionType(half, [half, bits, half])
        compress = cgutils.get_or_insert_function(
            build.module, kind, "llvm.experimental.vector.compress.v32i16"
        )
        packed = build.call(compress, [places, found, ir.Constant(half, ir.Undefined)])
        build.store(packed, pointer(build, out, half)).align = 2
        mask = build.bitcast(found, I32)
        return build.zext(build.ctpop(mask), I64)

    return types.int64(types.intp, types.int64, types.intp), generate


def _mask(size: int) -> Any:
    """mask(source, size): which of so many bytes are not zero, a bit each."""

    @emitted
    def mask(context: Any, source: Any, count: Any) -> Any:
        def generate(context: Any, build: Any, signature: Any, args: Any) -> Any:
            kind = ir.VectorType(I8, size)
            found = build.icmp_unsigned("!=", load_at(build, args[0], kind, 1), splat(kind, 0))
            bits = build.bitcast(found, ir.IntType(size))
            return bits if size == 64 else build.zext(bits, I64)

        return types.int64(types.intp, types.int64), generate

    return mask


mask_8, mask_16, mask_32, mask_64 = (_mask(size) for size in (8, 16, 32, 64))
_BYTES = np.empty(0, np.int8)


@inlined
def mask_plain(source: int, size: int) -> int:
    """The same for any size up to 64."""
    row = row_at(source, _BYTES, size)
    mask: Any = np.int64(0)
    for j in range(size):
        mask |= np.int64(row[j] != 0) << j
    return mask  # type: ignore[no-any-return]


@inlined
def positions_compress(spikes: Array, base: int, out: Array, count: int) -> int:
    """:func:`positions_plain` by compression in a register."""
    whole = spikes.size & ~31
    for at in range(0, whole, 32):
        count += _compressed(spikes.ctypes.data + at, base + at, out.ctypes.data + 2 * count)
    if whole < spikes.size:
        count = positions_plain(part(spikes, whole, spikes.size - whole), base + whole, out, count)
    return count


@inlined
def positions_table(spikes: Array, base: int, out: Array, count: int) -> int:
    """:func:`positions_plain`, eight at a time from a table."""
    whole = spikes.size & ~31
    for at in range(0, whole, 32):
        mask = mask_32(spikes.ctypes.data + at, 32)
        for quarter in range(4):
            byte = (mask >> (8 * quarter)) & 255
            _placed(_TABLE.ctypes.data + 16 * byte, base + at + 8 * quarter, out.ctypes.data + 2 * count)
            count += _ones(byte)
    if whole < spikes.size:
        count = positions_plain(part(spikes, whole, spikes.size - whole), base + whole, out, count)
    return count


@emitted
def _placed(context: Any, entry: Any, base: Any, out: Any) -> Any:
    """Eight numbers of a table, plus ``base``, as uint16 to ``out``."""

    def generate(context: Any, build: Any, signature: Any, args: Any) -> Any:
        eight = ir.VectorType(I16, 8)
        places = build.add(load_at(build, args[0], eight, 2), spread(build, build.trunc(args[1], I16), eight))
        build.store(places, pointer(build, args[2], eight)).align = 2
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@emitted
def _ones(context: Any, x: Any) -> Any:
    """How many bits of an int64 are set."""
    return types.int64(types.int64), lambda context, build, signature, args: build.ctpop(args[0])


@inlined
def positions_plain(spikes: Array, base: int, out: Array, count: int) -> int:
    """Append where a row of bytes is not zero, plus ``base``, to ``out`` (uint16) behind ``count``; the new count.

    Up to 32 elements behind the last one may be written.
    """
    for j in range(spikes.size):
        out[count] = np.uint16(base + j)
        count += spikes[j] != 0
    return count
