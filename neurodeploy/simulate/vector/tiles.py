"""Tiles of rows times columns of pairs of 16-bit numbers, whose sums stay in registers."""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils

from .emit import emitted, has

binding.initialize_native_asmparser()  # for the instruction that is said outright
MANY = has("avx512bw")  # registers: 32 of 16 lanes, else 16 of 8
VNNI = MANY and has("avx512vnni")
LANES = 16 if MANY else 8
#: of a tile: rows, and columns in registers, so that sums fill the registers; and the columns in numbers
DENSE_ROWS, DENSE_VECTORS = (12, 2) if MANY else (6, 2)
DENSE_COLUMNS = LANES * DENSE_VECTORS
CONV_ROWS, CONV_VECTORS = (8, 3) if MANY else (4, 3)
CONV_COLUMNS = LANES * CONV_VECTORS


def _added(builder: Any, total: Any, a: Any, b: Any) -> Any:
    """total + a[2i] b[2i] + a[2i+1] b[2i+1] of 16-bit lanes, in 32 bits."""
    if VNNI:  # said outright: the compiler would split it into two, as if a single sum had to be fast
        kind = ir.FunctionType(total.type, [total.type, a.type, b.type])
        return builder.asm(kind, "vpdpwssd $3, $2, $0", "=v,0,v,v", [total, a, b], False)
    wide = ir.VectorType(ir.IntType(32), 2 * LANES)
    index, none = ir.VectorType(ir.IntType(32), LANES), ir.Constant(wide, ir.Undefined)
    product = builder.mul(builder.sext(a, wide), builder.sext(b, wide))
    even, odd = (
        builder.shuffle_vector(product, none, ir.Constant(index, list(range(first, 2 * LANES, 2))))
        for first in (0, 1)
    )
    return builder.add(total, builder.add(even, odd))  # which compilers know as one instruction


def tile_of(rows: int, vectors: int) -> Any:
    """A tile of so many rows, and columns in registers, as a function for compiled code.

    tile(a, a_at, b, b_at, steps, pairs, c): c (rows, columns) = rows of ``a`` times columns of ``b``, both int32 that
    hold pairs; places in elements. Rows of a follow each other; the columns of pair k of b lie at ``b_at + steps[k]``.
    """

    def tile(typing: Any, a: Any, a_at: Any, b: Any, b_at: Any, steps: Any, pairs: Any, c: Any) -> Any:
        signature = types.void(a, types.intp, b, types.intp, steps, types.intp, c)
        return signature, lambda context, builder, _, args: _tile(context, builder, (a, b, steps, c), args)

    def _tile(context: Any, builder: Any, kinds: Any, args: Any) -> Any:
        i16, i32, i64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
        row, halves = ir.VectorType(i32, LANES), ir.VectorType(i16, 2 * LANES)

        def data(kind: Any, place: int, element: Any) -> Any:
            pointer = context.make_array(kind)(context, builder, args[place]).data
            return builder.bitcast(pointer, element.as_pointer())

        places = (0, i32), (2, i32), (4, i64), (6, i32)
        from_a, from_b, further, to_c = (
            data(kind, *place) for kind, place in zip(kinds, places, strict=True)
        )
        from_a, from_b = builder.gep(from_a, [args[1]]), builder.gep(from_b, [args[3]])
        zero, no_row = ir.Constant(row, None), ir.Constant(row, ir.Undefined)
        sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(vectors)] for _ in range(rows)]
        with cgutils.for_range(builder, args[5], intp=i64) as loop:
            at = builder.gep(from_b, [builder.load(builder.gep(further, [loop.index]))])
            columns = [
                builder.load(builder.bitcast(builder.gep(at, [i64(v * LANES)]), halves.as_pointer()), align=4)
                for v in range(vectors)
            ]
            for r in range(rows):
                place = builder.add(builder.mul(args[5], i64(r)), loop.index)
                pair = builder.insert_element(no_row, builder.load(builder.gep(from_a, [place])), i32(0))
                spread = builder.bitcast(builder.shuffle_vector(pair, no_row, zero), halves)
                for v in range(vectors):
                    builder.store(_added(builder, builder.load(sums[r][v]), spread, columns[v]), sums[r][v])
        for r in range(rows):
            for v in range(vectors):
                to = builder.gep(to_c, [i64((r * vectors + v) * LANES)])
                builder.store(builder.load(sums[r][v]), builder.bitcast(to, row.as_pointer()), align=4)
        return context.get_dummy_value()

    return emitted(tile)


dense_tile, conv_tile = tile_of(DENSE_ROWS, DENSE_VECTORS), tile_of(CONV_ROWS, CONV_VECTORS)
