"""Dense products of bytes and of numbers of 16 bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils

from ...array import Array
from ...jit import kept
from .emit import I32, I64, emitted, load_at, part, pointer, spread
from .sums import LANES, aligned

#: rows that share the weights in registers, and columns of a block of dense weights
ROWS = 4


def packed_dense(weight: Array, group: int) -> Array:
    """Weights (K, N) as blocks of 64 columns, (N / 64, K / group, 64, group), aligned; the rest is zero.

    ``group`` 4: unsigned bytes, w + 128. ``group`` 2: int16.
    """
    inputs, outputs = weight.shape
    blocks, groups = -(-outputs // LANES), -(-inputs // group)
    whole = np.zeros((groups * group, blocks * LANES), np.int16)
    whole[:inputs, :outputs] = weight
    parts = whole.reshape(groups, group, blocks, LANES).transpose(2, 0, 3, 1)
    return aligned((parts + 128).astype(np.uint8) if group == 4 else parts)


def _multiplier(build: Any, group: int, width: int) -> Callable[[Any, Any, Any], Any]:
    """(sums, weights, inputs), vectors of int32 -> sums + weights . inputs, in groups of narrower integers."""
    sums, few = ir.VectorType(I32, width), ir.VectorType(ir.IntType(32 // group), width * group)

    def instruction(name: str, *given: Any) -> Any:
        return cgutils.get_or_insert_function(build.module, ir.FunctionType(sums, given), name)

    def eight(old: Any, *pair: Any) -> Any:
        bytes_ = few if llvm.llvm_version_info >= (22, 0, 0) else sums  # the operands' type since LLVM 22
        dot = instruction("llvm.x86.avx512.vpdpbusd.512", sums, bytes_, bytes_)
        return build.call(dot, [old, *(build.bitcast(x, bytes_) for x in pair)])

    def sixteen(old: Any, *pair: Any) -> Any:
        name = "llvm.x86.avx512.pmaddw.d.512" if width == 16 else "llvm.x86.avx2.pmadd.wd"
        return build.add(old, build.call(instruction(name, few, few), [build.bitcast(x, few) for x in pair]))

    return eight if group == 4 else sixteen


def _dot(group: int, rows: int, width: int) -> Any:
    """out[rows, 4 * width] += x . w for ``rows`` rows of int8 (group 4) or int16 (group 2)."""
    tiles = [(r, q) for r in range(rows) for q in range(4)]

    @emitted
    def dot(context: Any, x: Any, stride: Any, w: Any, groups: Any, out: Any, out_stride: Any) -> Any:
        def generate(context: Any, build: Any, signature: Any, args: Any) -> Any:
            x, stride, w, groups, out, out_stride = args
            sums, multiplied = ir.VectorType(I32, width), _multiplier(build, group, width)

            def place(r: int, q: int) -> Any:
                return build.add(out, build.add(build.mul(out_stride, I64(r)), I64(4 * width * q)))

            acc = {tile: cgutils.alloca_once(build, sums) for tile in tiles}  # LLVM keeps them in registers
            for tile in tiles:
                build.store(load_at(build, place(*tile), sums, 4), acc[tile])
            with cgutils.for_range(build, groups) as loop:
                line = build.add(w, build.mul(loop.index, I64(LANES * 4)))
                at = build.add(x, build.mul(loop.index, I64(4)))
                weights = [
                    load_at(build, build.add(line, I64(4 * width * q)), sums, 4 * width) for q in range(4)
                ]
                places = [build.add(at, build.mul(stride, I64(r))) for r in range(rows)]
                inputs = [spread(build, load_at(build, one, I32, 1), sums) for one in places]
                for r, q in tiles:
                    build.store(multiplied(build.load(acc[r, q]), weights[q], inputs[r]), acc[r, q])
            for tile in tiles:
                build.store(build.load(acc[tile]), pointer(build, place(*tile), sums)).align = 4
            return context.get_dummy_value()

        return types.void(types.intp, types.int64, types.intp, types.int64, types.intp, types.int64), generate

    return dot


_dot_8, _dot_8_row = _dot(4, ROWS, 16), _dot(4, 1, 16)
_dot_16, _dot_16_row = _dot(2, ROWS, 16), _dot(2, 1, 16)
_dot_16_narrow, _dot_16_narrow_row = _dot(2, 2, 8), _dot(2, 1, 8)


@kept
def dot_8(x: Array, size: int, weights: Array, blocks: int, bias: Array, out: Array) -> None:
    """out (rows, 64 blocks) = bias + x . w, for x (rows, size) int8, size a multiple of 4; all flat.

    ``weights``: some blocks of :func:`packed_dense`. The unsigned operand of the instruction is w + 128, so that
    128 times the sum of a row is taken off before. Exact below 2^31 in all; nothing saturates.
    """
    width = blocks * LANES
    rows = out.size // width
    for r in range(rows):
        total = np.int32(0)
        for i in range(size):
            total = np.int32(total + np.int32(x[r * size + i]))
        total = np.int32(total * np.int32(128))
        for j in range(width):
            out[r * width + j] = np.int32(bias[j] - total)
    source, target, first = x.ctypes.data, out.ctypes.data, weights.ctypes.data
    for block in range(blocks):
        w, at = first + block * size * LANES, target + block * LANES * 4
        whole = rows & ~3
        for r in range(0, whole, ROWS):
            _dot_8(source + r * size, size, w, size >> 2, at + r * width * 4, width * 4)
        for r in range(whole, rows):
            _dot_8_row(source + r * size, size, w, size >> 2, at + r * width * 4, width * 4)


@kept
def dot_16(x: Array, size: int, weights: Array, blocks: int, bias: Array, out: Array) -> None:
    """:func:`dot_8` for int16, size a multiple of 2."""
    width = blocks * LANES
    rows = out.size // width
    for r in range(rows):
        for j in range(width):  # not out[...] = bias: the texts of its errors take seconds to compile
            out[r * width + j] = bias[j]
    source, target, first = x.ctypes.data, out.ctypes.data, weights.ctypes.data
    for block in range(blocks):
        w, at = first + block * size * LANES * 2, target + block * LANES * 4
        whole = rows & ~3
        for r in range(0, whole, ROWS):
            _dot_16(source + 2 * r * size, 2 * size, w, size >> 1, at + r * width * 4, width * 4)
        for r in range(whole, rows):
            _dot_16_row(source + 2 * r * size, 2 * size, w, size >> 1, at + r * width * 4, width * 4)


@kept
def dot_16_narrow(x: Array, size: int, weights: Array, blocks: int, bias: Array, out: Array) -> None:
    """:func:`dot_16` with vectors of 256 bits."""
    width = blocks * LANES
    rows = out.size // width
    for r in range(rows):
        for j in range(width):
            out[r * width + j] = bias[j]
    source, target, first = x.ctypes.data, out.ctypes.data, weights.ctypes.data
    for half in range(2 * blocks):
        w, at = first + (half >> 1) * size * LANES * 2 + (half & 1) * 128, target + half * 128
        whole = rows & ~1
        for r in range(0, whole, 2):
            _dot_16_narrow(source + 2 * r * size, 2 * size, w, size >> 1, at + r * width * 4, width * 4)
        for r in range(whole, rows):
            _dot_16_narrow_row(source + 2 * r * size, 2 * size, w, size >> 1, at + r * width * 4, width * 4)


@kept
def dot_plain(x: Array, size: int, weights: Array, blocks: int, bias: Array, out: Array) -> None:
    """The twin of :func:`dot_16`: any processor, on int16."""
    width = blocks * LANES
    rows = out.size // width
    for r in range(rows):
        for j in range(width):
            out[r * width + j] = bias[j]
        for block in range(blocks):
            sums = part(out, r * width + block * LANES, LANES)
            for i in range(size):
                value = np.int32(x[r * size + i])
                if value != 0:
                    line = part(weights, ((block * (size >> 1) + (i >> 1)) * LANES) * 2, 2 * LANES)
                    for j in range(LANES):
                        sums[j] = np.int32(sums[j] + np.int32(value * np.int32(line[2 * j + (i & 1)])))
