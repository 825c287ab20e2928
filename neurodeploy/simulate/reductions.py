"""Sums over axes, over ticks and over windows as compiled work, beside the layers that they follow."""

from __future__ import annotations

from math import prod

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.nodes import Output, Reduce
from . import arithmetic, calls
from .calls import Call
from .values import Values, by_rows, turned

OVER_AXES = """\
    rows, count, size = x.shape
    for r in range(lo, hi):
        for j in range(size):
            out[r, j] = 0
        for i in range(count):
            for j in range(size):
                out[r, j] += x[r, i, j]
"""

#: of rows of channels; beyond the edge stand zeros
OVER_WINDOWS = """\
    height, width, rows, columns, high, wide, down, right, above, before = geometry
    size = x.shape[1]
    for r in range(lo, hi):
        image, pixel = r // (rows * columns), r % (rows * columns)
        top, left = pixel // columns * down - above, pixel % columns * right - before
        to = part(out, r * size, size)
        inside = top >= 0 and left >= 0 and top + high <= height and left + wide <= width
        first = sums or not inside
        if first:
            for j in range(size):
                to[j] = 0
        for i in range(max(0, -top), min(high, height - top)):
            for k in range(max(0, -left), min(wide, width - left)):
                row = part(x, ((image * height + top + i) * width + left + k) * size, size)
                if sums:
                    for j in range(size):
                        to[j] += row[j]
                elif first:
                    for j in range(size):
                        to[j] = max(to[j], row[j])
                else:
                    for j in range(size):
                        to[j] = row[j]
                first = True
"""

OVER_TICKS = """\
    for t in range(len(out)):
        source = x[t if len(x) > 1 else 0]
        for j in range(lo, hi):
            out[t, j] = np.int64(source[j])
        if total and t:
            for j in range(lo, hi):
                out[t, j] += out[t - 1, j]
"""


def over_axes(node: Reduce, graph: Graph, values: Values) -> Array | None:
    """The sums of a value; None where they are left to numpy: maxima, and all that are not narrow."""
    (name,) = node.inputs
    x, kind = values.arrays[name], arithmetic.integer_for(graph, node.name)
    shape = graph.shape(name)
    axes = sorted(a % len(shape) for a in node.axes)
    if node.op != "sum" or axes != list(range(axes[0], axes[-1] + 1)):
        return None
    before, summed, after = shape[: axes[0]], shape[axes[0] : axes[-1] + 1], shape[axes[-1] + 1 :]
    bound = prod(summed) * arithmetic.magnitude(graph, name)
    if not _narrow(x) or x.shape[2:] != shape or bound > np.iinfo(kind).max or kind is np.int64:
        return None
    out = values.take((*x.shape[:2], *graph.shape(node.name)), kind)
    rows = prod(x.shape[:2]) * prod(before)
    given = {"x": x.reshape(rows, prod(summed), -1), "out": out.reshape(rows, prod(after))}
    values.call(Call(calls.kernel("over_axes", "", OVER_AXES, given), given, rows, 1, False))
    return out


def over_windows(node: Reduce, graph: Graph, values: Values) -> Array | None:
    """Sums or maxima of windows (T, B, C, Y, X); None where they are left to numpy.

    That is where channels do not lie side by side in memory, as layers leave them, and of what is not narrow.
    """
    (name,) = node.inputs
    x, kind, shape = by_rows(values.arrays[name]), arithmetic.integer_for(graph, node.name), graph.shape(name)
    high, wide = node.window or (1, 1)
    bound = (high * wide if node.op == "sum" else 1) * arithmetic.magnitude(graph, name)
    if node.keepdims or len(shape) != 3 or not _narrow(x) or bound > np.iinfo(kind).max or kind is np.int64:
        return None
    channels, rows, columns = graph.shape(node.name)
    out = values.take((*x.shape[:2], rows, columns, channels), kind)
    geometry = *shape[1:], rows, columns, high, wide, *(node.stride or (high, wide)), *node.padding
    given = {
        "x": x.reshape(-1, channels), "out": out.reshape(-1, channels), "geometry": geometry, "sums": node.op == "sum",
    }  # fmt: skip
    before = "from neurodeploy.simulate.vector import part"
    extent = out.size // channels
    values.call(Call(calls.kernel("over_windows", before, OVER_WINDOWS, given), given, extent, 1, False))
    return turned(out)


def over_ticks(node: Output, graph: Graph, values: Values) -> Array | None:
    """The read-out (T, B, *shape) of every tick; None where it is left to numpy: of what is not narrow."""
    x = values.arrays[node.inputs[0]]
    if not _narrow(x) or x.shape[2:] != graph.shape(node.name):
        return None
    out = values.take((values.run.ticks, *x.shape[1:]), np.int64)
    size = prod(x.shape[1:])
    given = {
        "x": x.reshape(len(x), size),
        "out": out.reshape(len(out), size),
        "total": node.readout != "last",
    }
    values.call(Call(calls.kernel("over_ticks", "", OVER_TICKS, given), given, size, 1, False))
    return out


def _narrow(x: Array) -> bool:
    return x.dtype in (np.int8, np.int16, np.int32) and x.flags.c_contiguous and x.size > 0
