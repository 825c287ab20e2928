"""A function of scalars over whole rows."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .emit import I32, emitted


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
        module.add_metadata([text("vectorize.width"), ir.Constant(I32, 16)]),
        module.add_metadata([text("parallel_accesses"), group]),
    ]
    loop = _distinct(module)
    loop.operands = (loop, *hints)
    return loop, group


@emitted
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
        flags = cgutils.alloca_once_value(build, ir.Constant(I32, 0))
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
