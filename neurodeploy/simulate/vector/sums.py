"""Sums of rows of weights, for lists of spikes."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from ...array import Array
from ...jit import kept
from ..kernels import inlined
from .emit import I8, I16, I32, I64, emitted, load_at, part, pointer, splat, spread

#: columns of a vector of weights: two of them, one biased and one signed, share a lane of 16 bits
LANES = 64
#: rows of weights whose sum is exact in 16 bits: 256 * 255 < 2^16
FLUSH = 256
#: entries by which a list is padded, with the row of zeros
PAD = 4


def packed(weight: Array, tile: int) -> Array:
    """Weights (K, N) of 8 bits as tiles of columns (N / tile, K + 1, tile), the last row zero, 64-byte aligned.

    Byte 2 j of a lane is w[j] + 128, byte 2 j + 1 is w[j + 32]: the sums of both columns come from two additions, of
    lanes modulo 2^16 and of their upper bytes.
    """
    inputs, outputs = weight.shape
    tiles = -(-outputs // tile)
    rows = np.zeros((inputs + 1, tiles * tile), np.int8)
    rows[:-1, :outputs] = weight
    parts = rows.reshape(inputs + 1, tiles, tile // LANES, 2, 32).view(np.uint8)
    out = np.empty((tiles, inputs + 1, tile // LANES, 32, 2), np.uint8)
    out[..., 0] = (parts[:, :, :, 0] ^ 0x80).transpose(1, 0, 2, 3)
    out[..., 1] = parts[:, :, :, 1].transpose(1, 0, 2, 3)
    return aligned(out.reshape(tiles, inputs + 1, tile))


def aligned(x: Array) -> Array:
    """A copy that starts at a multiple of 64 bytes: rows of 64 bytes elsewhere cross cache lines."""
    raw = np.empty(x.nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    out: Array = raw[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
    out[...] = x
    return out


def _gather(parts: int) -> Any:
    """Sums of rows of ``parts`` * 64 columns."""
    width = parts * LANES

    @emitted
    def gather(context: Any, index: Any, count: Any, weights: Any, start: Any, out: Any) -> Any:
        def generate(context: Any, build: Any, signature: Any, args: Any) -> Any:
            index, count, weights, start, out = args
            half, full = ir.VectorType(I16, 32), ir.VectorType(I32, 32)
            sums = [
                cgutils.alloca_once(build, half) for _ in range(2 * parts)
            ]  # LLVM keeps them in registers
            for one in sums:
                build.store(splat(half, 0), one)
            entries, rows = pointer(build, index, I16), pointer(build, weights, I8)
            with cgutils.for_range_slice(build, I64(0), count, I64(PAD)) as (at, _):
                four = []
                for r in range(PAD):
                    row = build.zext(build.load(build.gep(entries, [build.add(at, I64(r))])), I64)
                    four.append(build.gep(rows, [build.mul(row, I64(width))]))
                for p in range(parts):
                    lanes = []
                    for row in four:
                        found = build.load(build.bitcast(build.gep(row, [I64(LANES * p)]), half.as_pointer()))
                        found.align = LANES
                        lanes.append(found)
                    upper = [build.ashr(x, splat(half, 8)) for x in lanes]
                    for x, one in ((lanes, sums[p]), (upper, sums[parts + p])):
                        more = build.add(build.add(x[0], x[1]), build.add(x[2], x[3]))
                        build.store(build.add(build.load(one), more), one)
            bias = spread(build, build.trunc(build.shl(count, I64(7)), I32), full)
            for p in range(parts):
                both, high = build.load(sums[p]), build.load(sums[parts + p])
                low = build.sub(build.zext(build.sub(both, build.shl(high, splat(half, 8))), full), bias)
                for q, value in enumerate((low, build.sext(high, full))):
                    place = I64(4 * (LANES * p + 32 * q))
                    total = build.add(load_at(build, build.add(start, place), full, 4), value)
                    build.store(total, pointer(build, build.add(out, place), full)).align = 4
            return context.get_dummy_value()

        return types.void(types.intp, types.int64, types.intp, types.intp, types.intp), generate

    return gather


gather_64, gather_128 = _gather(1), _gather(2)


@inlined
def gather(index: Array, count: int, weights: Array, bias: Array, out: Array) -> None:
    """out = bias + the rows of weights (K + 1, tile), flat, that ``count`` entries of ``index`` (uint16) name.

    ``bias`` and ``out`` (tile,) int32. The list is padded to a multiple of four with the row of zeros, K.
    """
    whole = (count + 3) & ~3
    entries, rows, sums = index.ctypes.data, weights.ctypes.data, out.ctypes.data
    start = bias.ctypes.data
    at = 0
    while True:
        now = min(whole - at, FLUSH)
        if out.size == 128:
            gather_128(entries + 2 * at, now, rows, start, sums)
        else:
            gather_64(entries + 2 * at, now, rows, start, sums)
        at += now
        start = sums
        if at >= whole:
            break


@kept
def gather_plain(index: Array, count: int, weights: Array, bias: Array, out: Array) -> None:
    """The twin of :func:`gather`."""
    out[:] = bias
    for i in range(count):
        row = part(weights, np.int64(index[i]) * out.size, out.size)
        for p in range(0, out.size, LANES):
            for j in range(32):
                out[p + j] += np.int32(row[p + 2 * j]) - np.int32(128)
                out[p + 32 + j] += np.int32(np.int8(row[p + 2 * j + 1]))
