"""Vector code: LLVM IR written out where loops of numba would leave vectors half empty or sums in memory.

Generic vectors (32 lanes of 16 bits are one AVX-512 register or two AVX2 registers) serve both instruction sets; no
compiler is needed. Every function has a twin of plain loops. :func:`chosen` is the vector form where a self-test at the
ends of all ranges finds both equal, else the twin. Memory is passed as addresses: buffers belong to whoever calls.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from ..array import Array
from .kernels import inlined, kept

#: columns of a vector of weights: two of them, one biased and one signed, share a lane of 16 bits
LANES = 64
#: rows of weights whose sum is exact in 16 bits: 256 * 255 < 2^16
FLUSH = 256
#: entries by which a list is padded, with the row of zeros
PAD = 4
#: elements that :func:`positions` may write behind the last one
SPILL = 32

_i8, _i16, _i32, _i64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


#: a function whose LLVM code is written out
_emitted: Callable[[Callable[..., Any]], Any] = intrinsic


def has(feature: str) -> bool:
    """Whether numba compiles for a processor with this feature, by LLVM's name."""
    named = config.CPU_FEATURES
    if named is not None:
        return f"+{feature}" in named.split(",")
    return bool(llvm.get_host_cpu_features().get(feature))


def _pointer(build: Any, address: Any, kind: Any) -> Any:
    return build.inttoptr(address, kind.as_pointer())


def _splat(kind: Any, value: int) -> Any:
    return ir.Constant(kind, [value] * kind.count)


def _load(build: Any, address: Any, kind: Any, align: int) -> Any:
    found = build.load(_pointer(build, address, kind))
    found.align = align
    return found


def _spread(build: Any, value: Any, kind: Any) -> Any:
    """A vector of one scalar in every lane."""
    empty = ir.Constant(kind, ir.Undefined)
    return build.shuffle_vector(
        build.insert_element(empty, value, _i32(0)), empty, _splat(ir.VectorType(_i32, kind.count), 0)
    )


@_emitted
def part(context: Any, array: Any, start: Any, size: Any) -> Any:
    """``size`` elements of a contiguous array of any rank from its element ``start`` on, as a row.

    Nothing is checked: a slice of numba costs more than the loop over 128 columns that reads it.
    """
    row = types.Array(array.dtype, 1, "C")

    def generate(context: Any, build: Any, signature: Any, args: Any) -> Any:
        whole = context.make_array(array)(context, build, args[0])
        made = context.make_array(row)(context, build)
        item = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(array.dtype)))
        populate_array(made, build.gep(whole.data, [args[1]]), (args[2],), (item,), item, None)
        return made._getvalue()

    return row(array, types.int64, types.int64), generate


@_emitted
def row_at(context: Any, address: Any, like: Any, size: Any) -> Any:
    """``size`` contiguous elements at an address, of the type of an array."""
    row = types.Array(like.dtype, 1, "C")

    def generate(context: Any, build: Any, signature: Any, args: Any) -> Any:
        made, element = context.make_array(row)(context, build), context.get_data_type(like.dtype)
        item = context.get_constant(types.intp, context.get_abi_sizeof(element))
        populate_array(made, _pointer(build, args[0], element), (args[2],), (item,), item, None)
        return made._getvalue()

    return row(types.int64, like, types.int64), generate


# --- sums of rows of weights ------------------------------------------------------------------------------------


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

    @_emitted
    def gather(context: Any, index: Any, count: Any, weights: Any, start: Any, out: Any) -> Any:
        def generate(context: Any, build: Any, signature: Any, args: Any) -> Any:
            index, count, weights, start, out = args
            half, full = ir.VectorType(_i16, 32), ir.VectorType(_i32, 32)
            sums = [
                cgutils.alloca_once(build, half) for _ in range(2 * parts)
            ]  # LLVM keeps them in registers
            for one in sums:
                build.store(_splat(half, 0), one)
            entries, rows = _pointer(build, index, _i16), _pointer(build, weights, _i8)
            with cgutils.for_range_slice(build, _i64(0), count, _i64(PAD)) as (at, _):
                four = []
                for r in range(PAD):
                    row = build.zext(build.load(build.gep(entries, [build.add(at, _i64(r))])), _i64)
                    four.append(build.gep(rows, [build.mul(row, _i64(width))]))
                for p in range(parts):
                    lanes = []
                    for row in four:
                        found = build.load(
                            build.bitcast(build.gep(row, [_i64(LANES * p)]), half.as_pointer())
                        )
                        found.align = LANES
                        lanes.append(found)
                    upper = [build.ashr(x, _splat(half, 8)) for x in lanes]
                    for x, one in ((lanes, sums[p]), (upper, sums[parts + p])):
                        more = build.add(build.add(x[0], x[1]), build.add(x[2], x[3]))
                        build.store(build.add(build.load(one), more), one)
            bias = _spread(build, build.trunc(build.shl(count, _i64(7)), _i32), full)
            for p in range(parts):
                both, high = build.load(sums[p]), build.load(sums[parts + p])
                low = build.sub(build.zext(build.sub(both, build.shl(high, _splat(half, 8))), full), bias)
                for q, value in enumerate((low, build.sext(high, full))):
                    place = _i64(4 * (LANES * p + 32 * q))
                    total = build.add(_load(build, build.add(start, place), full, 4), value)
                    build.store(total, _pointer(build, build.add(out, place), full)).align = 4
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


# --- dense products ---------------------------------------------------------------------------------------------

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
    sums, few = ir.VectorType(_i32, width), ir.VectorType(ir.IntType(32 // group), width * group)

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

    @_emitted
    def dot(context: Any, x: Any, stride: Any, w: Any, groups: Any, out: Any, out_stride: Any) -> Any:
        def generate(context: Any, build: Any, signature: Any, args: Any) -> Any:
            x, stride, w, groups, out, out_stride = args
            sums, multiplied = ir.VectorType(_i32, width), _multiplier(build, group, width)

            def place(r: int, q: int) -> Any:
                return build.add(out, build.add(build.mul(out_stride, _i64(r)), _i64(4 * width * q)))

            acc = {tile: cgutils.alloca_once(build, sums) for tile in tiles}  # LLVM keeps them in registers
            for tile in tiles:
                build.store(_load(build, place(*tile), sums, 4), acc[tile])
            with cgutils.for_range(build, groups) as loop:
                line = build.add(w, build.mul(loop.index, _i64(LANES * 4)))
                at = build.add(x, build.mul(loop.index, _i64(4)))
                weights = [
                    _load(build, build.add(line, _i64(4 * width * q)), sums, 4 * width) for q in range(4)
                ]
                places = [build.add(at, build.mul(stride, _i64(r))) for r in range(rows)]
                inputs = [_spread(build, _load(build, one, _i32, 1), sums) for one in places]
                for r, q in tiles:
                    build.store(multiplied(build.load(acc[r, q]), weights[q], inputs[r]), acc[r, q])
            for tile in tiles:
                build.store(build.load(acc[tile]), _pointer(build, place(*tile), sums)).align = 4
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
        out[r * width : (r + 1) * width] = bias
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
        out[r * width : (r + 1) * width] = bias
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
        out[r * width : (r + 1) * width] = bias
        for block in range(blocks):
            sums = part(out, r * width + block * LANES, LANES)
            for i in range(size):
                value = np.int32(x[r * size + i])
                if value != 0:
                    line = part(weights, ((block * (size >> 1) + (i >> 1)) * LANES) * 2, 2 * LANES)
                    for j in range(LANES):
                        sums[j] = np.int32(sums[j] + np.int32(value * np.int32(line[2 * j + (i & 1)])))


# --- where a row has spikes -------------------------------------------------------------------------------------

#: positions of the bits that are set in each byte
_TABLE = np.zeros((256, 8), np.uint16)
for _byte in range(256):
    _set = [bit for bit in range(8) if _byte >> bit & 1]
    _TABLE[_byte, : len(_set)] = _set


@_emitted
def _compressed(context: Any, source: Any, base: Any, out: Any) -> Any:
    """Positions of the non-zero of 32 bytes, plus ``base``, as uint16 to ``out``; how many."""

    def generate(context: Any, build: Any, signature: Any, args: Any) -> Any:
        source, base, out = args
        bytes_, half, bits = ir.VectorType(_i8, 32), ir.VectorType(_i16, 32), ir.VectorType(ir.IntType(1), 32)
        found = build.icmp_unsigned("!=", _load(build, source, bytes_, 1), _splat(bytes_, 0))
        places = build.add(_spread(build, build.trunc(base, _i16), half), ir.Constant(half, list(range(32))))
        kind = ir.FunctionType(half, [half, bits, half])
        compress = cgutils.get_or_insert_function(
            build.module, kind, "llvm.experimental.vector.compress.v32i16"
        )
        packed = build.call(compress, [places, found, ir.Constant(half, ir.Undefined)])
        build.store(packed, _pointer(build, out, half)).align = 2
        mask = build.bitcast(found, _i32)
        return build.zext(build.ctpop(mask), _i64)

    return types.int64(types.intp, types.int64, types.intp), generate


@_emitted
def _mask(context: Any, source: Any) -> Any:
    """Which of 32 bytes are not zero, a bit each."""

    def generate(context: Any, build: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(_i8, 32)
        found = build.icmp_unsigned("!=", _load(build, args[0], kind, 1), _splat(kind, 0))
        return build.zext(build.bitcast(found, _i32), _i64)

    return types.int64(types.intp), generate


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
        mask = _mask(spikes.ctypes.data + at)
        for quarter in range(4):
            byte = (mask >> (8 * quarter)) & 255
            first = np.uint16(base + at + 8 * quarter)
            for j in range(8):
                out[count + j] = np.uint16(_TABLE[byte, j] + first)
            count += _ones(byte)
    if whole < spikes.size:
        count = positions_plain(part(spikes, whole, spikes.size - whole), base + whole, out, count)
    return count


@_emitted
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


# --- a function of scalars over whole rows -----------------------------------------------------------------------


class _Distinct(ir.MDValue):  # type: ignore[misc] # llvmlite has no types
    """Metadata that equals no other: an access group, or a loop, whose first operand is itself."""

    def descr(self, buffer: Any) -> None:
        start = len(buffer)
        super().descr(buffer)
        buffer[start] = f"distinct {buffer[start]}"


def _distinct(module: Any, operands: Any = ()) -> Any:
    return _Distinct(module, operands, name=str(len(module.metadata)))


def _vectorised(build: Any) -> tuple[Any, Any]:
    """Metadata of a loop whose passes are independent, in vectors of 16: for its last branch and for its accesses."""
    module = build.module
    group = _distinct(module)

    def text(name: str) -> Any:
        return ir.MetaDataString(module, f"llvm.loop.{name}")

    hints = [
        module.add_metadata([text("vectorize.enable"), ir.Constant(ir.IntType(1), 1)]),
        module.add_metadata([text("vectorize.width"), ir.Constant(_i32, 16)]),
        module.add_metadata([text("parallel_accesses"), group]),
    ]
    loop = _distinct(module)
    loop.operands = (loop, *hints)
    return loop, group


@_emitted
def lanes(context: Any, function: Any, reads: Any, writes: Any) -> Any:
    """*outs, flag = function(*reads) for every element of rows that do not overlap; the sum of the flags (int32).

    ``reads``: a tuple of arrays of one length and of scalars; ``writes``: of arrays, which may be among those read.
    numba alone gives up on as many arrays, as it would have to check that none overlaps another.
    """
    given = [kind.dtype if isinstance(kind, types.Array) else kind for kind in reads]
    called = function.get_call_type(context, tuple(given), {})

    def generate(context: Any, build: Any, signature: Any, args: Any) -> Any:
        _, reads_, writes_ = args
        sources, targets = cgutils.unpack_tuple(build, reads_), cgutils.unpack_tuple(build, writes_)
        arrays = [context.make_array(kind)(context, build, value) if isinstance(kind, types.Array) else value
                  for kind, value in zip(reads, sources, strict=True)]  # fmt: skip
        outs = [
            context.make_array(kind)(context, build, value)
            for kind, value in zip(writes, targets, strict=True)
        ]
        size = build.extract_value(outs[0].shape, 0)
        flags = cgutils.alloca_once_value(build, ir.Constant(_i32, 0))
        call = context.get_function(function, called)
        loop, group = _vectorised(build)
        with cgutils.for_range(build, size) as one:
            elements = []
            for kind, array in zip(reads, arrays, strict=True):
                if isinstance(kind, types.Array):
                    found = build.load(build.gep(array.data, [one.index]))
                    found.set_metadata("llvm.access.group", group)
                    elements.append(found)
                else:
                    elements.append(array)
            *values, flag = cgutils.unpack_tuple(build, call(build, elements))
            for kind, out, value, made in zip(writes, outs, values, called.return_type, strict=False):
                value = context.cast(build, value, made, kind.dtype)
                build.store(value, build.gep(out.data, [one.index])).set_metadata("llvm.access.group", group)
            flag = context.cast(build, flag, called.return_type[-1], types.int32)
            build.store(build.add(build.load(flags), flag), flags)
            body = build.block
        # the branch back to the head of the loop carries the hints
        body.terminator.set_metadata("llvm.loop", loop)
        return build.load(flags)

    return types.int32(function, reads, writes), generate


# --- rows added to rows -----------------------------------------------------------------------------------------


@_emitted
def _added(context: Any, row: Any, out: Any, size: Any) -> Any:
    """out += row for the first ``size`` elements, a multiple of 16, of signed integers; those of out may be wider."""

    def generate(context: Any, build: Any, signature: Any, args: Any) -> Any:
        source, target = (
            context.make_array(kind)(context, build, x) for kind, x in zip((row, out), args, strict=False)
        )
        few, many = (ir.VectorType(ir.IntType(kind.dtype.bitwidth), 16) for kind in (row, out))
        with cgutils.for_range_slice(build, _i64(0), args[2], _i64(16)) as (at, _):
            place = build.bitcast(build.gep(target.data, [at]), many.as_pointer())
            x = build.load(build.bitcast(build.gep(source.data, [at]), few.as_pointer()))
            old = build.load(place)
            x.align, old.align = few.element.width // 8, many.element.width // 8
            wider = x if few.element.width == many.element.width else build.sext(x, many)
            build.store(build.add(old, wider), place).align = many.element.width // 8
        return context.get_dummy_value()

    return types.void(row, out, types.int64), generate


@inlined
def add(row: Array, out: Array) -> None:
    """out (m,) += row (m,)."""
    whole = out.size & ~15
    _added(row, out, whole)
    add_plain(part(row, whole, out.size - whole), part(out, whole, out.size - whole))


@inlined
def add_plain(row: Array, out: Array) -> None:
    """The twin of :func:`add`."""
    for j in range(out.size):
        out[j] += row[j]


# --- which form is used -----------------------------------------------------------------------------------------


@cache
def text() -> str:
    """The text of this file, on which machine code that calls it depends."""
    return Path(__file__).read_text(encoding="utf-8")


@cache
def chosen() -> dict[str, str]:
    """Name of each function here that kernels call -> name of the form that was found equal to its twin."""
    places = "positions_compress" if has("avx512vbmi2") else "positions_table"
    added = "add" if _adds() else "add_plain"
    wide = {"dot_16": has("avx512bw"), "dot_16_narrow": has("avx2")}
    dot = next((name for name, there in wide.items() if there and _dots(globals()[name])), "dot_plain")
    of_four = "dot_8" if has("avx512vnni") and _dots(dot_8) else ""
    return {
        "add": added,
        "dot_of_2": dot,
        "dot_of_4": of_four,
        "gather": "gather" if _gathers() else "gather_plain",
        "positions": places if _places(globals()[places]) else "positions_plain",
    }


def _gathers() -> bool:
    """Empty, short and long lists of extreme weights, both widths."""
    for tile in (64, 128):
        weight = np.where(np.arange(600)[:, None] % 3 == 0, -128, 127).astype(np.int8) * np.ones(
            (1, tile), np.int8
        )
        weight[::7] = -np.arange(tile) % 251 - 125
        weights = packed(weight, tile)
        for count in (0, 1, 4, 255, 256, 257, 600):
            index = np.full(count + PAD, 600, np.uint16)
            index[:count] = np.arange(count)
            out, bias = np.full(tile, -1, np.int32), np.arange(-5, tile - 5, dtype=np.int32)
            gather(index, count, weights.ravel(), bias, out)
            if not np.array_equal(out - bias, weight[:count].astype(np.int64).sum(axis=0)):
                return False
    return True


def _places(function: Any) -> bool:
    """Rows of every length around the width of a vector; none, all and some elements set; the largest position."""
    for size in (0, 1, 31, 32, 33, 64, 100):
        for step in (1, 2, 7, 1000):
            row = np.zeros(size, np.int8)
            row[::step] = -1
            out, base = np.zeros(size + SPILL, np.uint16), 65535 - size
            count = function(row, base, out, 0)
            if not np.array_equal(out[:count], np.flatnonzero(row) + base):
                return False
    return True


def _adds() -> bool:
    """Odd sizes, every pair of widths, at the ends of the narrower one."""
    for few, many in ((np.int8, np.int16), (np.int16, np.int16), (np.int8, np.int32), (np.int16, np.int32)):
        ends = np.iinfo(few)
        for size in (1, 16, 35):
            row, out = np.resize(np.array([ends.min, ends.max, 1], few), size), np.zeros(size, many)
            add(row, out)
            if not np.array_equal(out, row):
                return False
    return True


def _dots(function: Any) -> bool:
    """All ends of the ranges in every pairing, rows left over, sizes that are no whole vector."""
    group = 4 if function is dot_8 else 2
    kind = np.iinfo(np.int8 if group == 4 else np.int16)
    for rows, size in ((1, 4), (4, 8), (7, 260)):
        x = np.resize(np.array([kind.min, kind.max, kind.max, 0, kind.min], kind.dtype), (rows, size))
        weight = np.resize(np.array([-128, 127, 127, 0, -128, 127, -1]), (size, 128))
        out, bias = np.empty((rows, 128), np.int32), np.arange(128, dtype=np.int32)
        function(x.ravel(), size, packed_dense(weight, group).ravel(), 2, bias, out.ravel())
        if not np.array_equal(out, x.astype(np.int64) @ weight + bias):
            return False
    return True
