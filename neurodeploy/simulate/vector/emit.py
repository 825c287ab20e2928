"""What all vector code is written with: LLVM vectors, loads, and rows of memory as arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import config
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


#: marks a function whose LLVM code is written out
emitted: Callable[[Callable[..., Any]], Any] = intrinsic


def has(feature: str) -> bool:
    """Whether numba compiles for a processor with this feature, by LLVM's name."""
    named = config.CPU_FEATURES
    if named is not None:
        return f"+{feature}" in named.split(",")
    return bool(llvm.get_host_cpu_features().get(feature))


def pointer(build: Any, address: Any, kind: Any) -> Any:
    """An address as a pointer."""
    return build.inttoptr(address, kind.as_pointer())


def splat(kind: Any, value: int) -> Any:
    """A constant in every lane."""
    return ir.Constant(kind, [value] * kind.count)


def load_at(build: Any, address: Any, kind: Any, align: int) -> Any:
    """What lies at an address that is a multiple of ``align`` bytes."""
    found = build.load(pointer(build, address, kind))
    found.align = align
    return found


def spread(build: Any, value: Any, kind: Any) -> Any:
    """A vector of one scalar in every lane."""
    empty = ir.Constant(kind, ir.Undefined)
    return build.shuffle_vector(
        build.insert_element(empty, value, I32(0)), empty, splat(ir.VectorType(I32, kind.count), 0)
    )


@emitted
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


@emitted
def row_at(context: Any, address: Any, like: Any, size: Any) -> Any:
    """``size`` contiguous elements at an address, of the type of an array."""
    row = types.Array(like.dtype, 1, "C")

    def generate(context: Any, build: Any, signature: Any, args: Any) -> Any:
        made, element = context.make_array(row)(context, build), context.get_data_type(like.dtype)
        item = context.get_constant(types.intp, context.get_abi_sizeof(element))
        populate_array(made, pointer(build, args[0], element), (args[2],), (item,), item, None)
        return made._getvalue()

    return row(types.int64, like, types.int64), generate


@emitted
def array_at(context: Any, words: Any, at: Any, like: Any) -> Any:
    """The contiguous array whose address and shape are words of a row, of the type and rank of another array."""
    kind = types.Array(like.dtype, like.ndim, "C")

    def generate(context: Any, build: Any, signature: Any, args: Any) -> Any:
        place = build.gep(context.make_array(words)(context, build, args[0]).data, [args[1]])
        start, *shape = (build.load(build.gep(place, [I64(i)])) for i in range(1 + like.ndim))
        element = context.get_data_type(like.dtype)
        item = strides = context.get_constant(types.intp, context.get_abi_sizeof(element))
        steps: list[Any] = []
        for size in reversed(shape):
            steps.insert(0, strides)
            strides = build.mul(strides, size)
        made = context.make_array(kind)(context, build)
        populate_array(made, pointer(build, start, element), shape, steps, item, None)
        return made._getvalue()

    return kind(words, types.int64, like), generate
