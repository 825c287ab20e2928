"""Means, sums and maxima over axes and over windows."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ...ir.nodes import Reduce
from ...ir.types import Shape
from ..bounds import bounds
from ..lowering import Lowering
from ..values import TIME, MaskedScores, Refusal, Stream, foreign, moved_batch
from ._base import operator
from .arithmetic import mul
from .gather import taken
from .linear import along
from .views import constant_pad, unsqueeze


@operator("mean")
def mean(lowering: Lowering, x: Stream, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Stream:
    """Mean over axes."""
    return _over_axes(lowering, x, "mean", dim, keepdim)


@operator("sum")
def sum_(lowering: Lowering, x: Stream, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Stream:
    """Sum over axes."""
    return _over_axes(lowering, x, "sum", dim, keepdim)


@operator("amax")
def amax(lowering: Lowering, x: Stream, dim: Any = None, keepdim: bool = False) -> Stream:
    """Maximum over axes."""
    return _over_axes(lowering, x, "max", dim, keepdim)


def _over_axes(lowering: Lowering, x: Stream, op: str, dim: Any, keepdim: bool) -> Stream:
    dims = range(x.rank) if dim is None or dim == [] else [dim] if isinstance(dim, int) else dim
    dims = {x.dim(d) for d in dims}
    for time in (d for d in dims if x.axes[d] == (TIME,)):
        rest = [d - (d > time) for d in dims if d != time]
        read = x.read(time, op)
        read = _over_axes(lowering, read, op, rest, keepdim) if rest else read
        return unsqueeze(lowering, read, time) if keepdim else read
    axes = x.graph_axes(sorted(dims), f"a {op}")
    if all(x.shape.sizes[a] == 1 for a in axes):  # of one element each is that element
        kept_dims = [d for d in range(x.rank) if keepdim or d not in dims]
        return lowering.reshape(x, tuple(x.sizes[d] for d in kept_dims))
    sizes = tuple(1 if a in axes else s for a, s in enumerate(x.shape.sizes))
    kept = [a for a in range(len(sizes)) if keepdim or a not in axes]
    shape = Shape(tuple(x.shape.roles[a] for a in kept), tuple(sizes[a] for a in kept))
    name = lowering.add(Reduce, [x.name], shape, op=op, axes=axes, keepdims=bool(keepdim))
    return x.at(name, shape, [run for d, run in enumerate(x.axes) if keepdim or d not in dims])


@operator("max_pool2d", "max_pool1d", reads=(MaskedScores,))
def max_pool(
    lowering: Lowering,
    given: Stream | MaskedScores,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Stream:
    """Maximum over windows; where something may be negative, elements of the edge stand for the padding.

    The graph pads with zeros. A window that reaches over an edge holds the element there as well: twice is as once.
    """
    if return_indices:
        raise Refusal("ND101", "a max pooling with indices", "return_indices", "the maxima alone")
    x = given if isinstance(given, Stream) else _without_border(lowering, given, kernel_size, dilation)
    if any(d != 1 for d in _pair(dilation)):
        for i, size in enumerate(x.sizes[2:]):
            k, s, p, d = (_at(value, i) for value in (kernel_size, stride or kernel_size, padding, dilation))
            x = _maxima(lowering, x, 2 + i, _dilated(size, k, s, p, d, ceil_mode))
        return x
    if ceil_mode or (any(_pair(padding)) and bounds(lowering, x.name)[0] < 0):
        x, padding = _edged(lowering, x, kernel_size, stride, padding, ceil_mode), 0
    return _windows(lowering, x, "max", kernel_size, stride, padding)


@operator("max_pool2d_with_indices", reads=(MaskedScores,))
def max_pool_with_indices(lowering: Lowering, x: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """The decomposed form; the indices are never read."""
    return max_pool(lowering, x, *args, **kwargs), None


@operator("max_pool3d")
def max_pool_3d(
    lowering: Lowering,
    x: Stream,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Stream:
    """Maximum over windows of the last three axes: of rows and columns, then of the axis before them.

    What is before those may be ticks and samples, as in (T, B, C, Y, X).
    """
    ahead, depth = x.sizes[:-3], x.sizes[-3]
    apart = next((d for d, run in enumerate(x.axes) if not foreign(run)), x.rank)
    lead = prod(x.sizes[:apart])
    given = (kernel_size, stride or kernel_size, padding, dilation)
    kernel, step, pad, apart_by = ([_at(value, axis) for axis in range(3)] for value in given)
    x = lowering.reshape(x, (lead, prod(x.sizes[apart:-2]), *x.sizes[-2:]))
    x = max_pool(lowering, x, kernel[1:], step[1:], pad[1:], apart_by[1:], ceil_mode, return_indices)
    rows, columns = x.sizes[-2:]
    if (kernel[0], step[0], pad[0]) != (1, 1, 0):
        x = lowering.reshape(x, (lead, prod(ahead[apart:]), depth, rows * columns))
        x = max_pool(lowering, x, (kernel[0], 1), (step[0], 1), (pad[0], 0), (apart_by[0], 1), ceil_mode)
        depth = x.sizes[2]
    return lowering.reshape(x, (*ahead, depth, rows, columns))


@operator("max_pool3d_with_indices")
def max_pool_3d_with_indices(lowering: Lowering, x: Stream, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """The decomposed form; the indices are never read."""
    return max_pool_3d(lowering, x, *args, **kwargs), None


@operator("avg_pool2d", "avg_pool1d")
def avg_pool(
    lowering: Lowering,
    x: Stream,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Stream:
    """Mean over windows; behind it a factor for each, where torch divides by something else than the window's size."""
    import torch
    import torch.nn.functional as F

    sides = _reaches(x, kernel_size, stride, padding, ceil_mode)
    even = all(before == after for before, after in sides)
    zeros = [n for side in reversed(sides) for n in side]
    padded: Stream = x if even else constant_pad(lowering, x, zeros)
    pooled = _windows(lowering, padded, "mean", kernel_size, stride, padding if even else 0)
    ones = torch.ones(1, 1, *x.sizes[2:], dtype=torch.float64)
    options: dict[str, Any] = {"divisor_override": divisor_override} if x.rank == 4 else {}
    pool = F.avg_pool2d if x.rank == 4 else F.avg_pool1d
    wanted = pool(ones, kernel_size, stride, padding, ceil_mode, count_include_pad, **options)
    factor = (wanted / pool(F.pad(ones, zeros), kernel_size, stride))[0, 0]
    return pooled if bool((factor == 1).all()) else mul(lowering, pooled, factor)


def _maxima(lowering: Lowering, x: Stream, dim: int, windows: Sequence[Sequence[int]]) -> Stream:
    """The maximum over each window of positions along an axis; where windows differ in length, some hold one twice."""
    longest = max(map(len, windows))
    places = [window[min(i, len(window) - 1)] for i in range(longest) for window in windows]
    x = taken(lowering, x, dim, places)
    x = lowering.reshape(x, (*x.sizes[:dim], longest, len(windows), *x.sizes[dim + 1 :]))
    return amax(lowering, x, dim)


def _dilated(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> list[list[int]]:
    """The positions of an axis that each window holds, but for those in the padding."""
    before, after = _reach(size, dilation * (kernel - 1) + 1, stride, padding, ceil_mode)
    starts = range(-before, size + after - dilation * (kernel - 1), stride)
    return [[p for p in range(s, s + dilation * kernel, dilation) if 0 <= p < size] for s in starts]


def _edged(lowering: Lowering, x: Stream, kernel: Any, stride: Any, padding: Any, ceil_mode: bool) -> Stream:
    """The axes of space with their outermost elements repeated, as far as windows reach."""
    for i, sides in enumerate(_reaches(x, kernel, stride, padding, ceil_mode)):
        places = np.pad(np.arange(x.sizes[2 + i]), sides, mode="edge")
        x = taken(lowering, x, 2 + i, places.tolist())
    return x


def _without_border(lowering: Lowering, x: MaskedScores, kernel: Any, dilation: Any) -> Stream:
    """A stream padded with minus infinity: its outermost elements stand there instead.

    Refusal ND101 where a window may hold nothing else, or what is hidden is no border.
    """
    stream, shown, box = x.scores, ~x.hidden, np.ones(x.hidden.shape, bool)
    ends = []
    for axis, size in enumerate(shown.shape[1:], start=1):
        rows = np.flatnonzero(np.moveaxis(shown, axis, 0).reshape(size, -1).any(axis=1))
        first, last = (int(rows[0]), int(rows[-1])) if len(rows) else (size, size)
        ends.append((first, last, size - 1 - last))
        np.moveaxis(box, axis, 0)[[*range(first), *range(last + 1, size)]] = False
    wide = any(max(first, after) >= _at(kernel, i) for i, (first, _, after) in enumerate(ends))
    if wide or any(d != 1 for d in _pair(dilation)) or not np.array_equal(box, shown):
        cause, limit = "a maximum of which a window may be hidden whole", "a border narrower than the window"
        raise Refusal("ND101", cause, stream.sizes, limit)
    for i, (first, last, _) in enumerate(ends):
        places = np.clip(np.arange(stream.sizes[2 + i]), first, last)
        stream = taken(lowering, stream, 2 + i, places.tolist())
    return stream


def _reaches(x: Stream, kernel: Any, stride: Any, padding: Any, ceil_mode: bool) -> list[tuple[int, int]]:
    """How far windows reach over both ends of each axis of space."""
    sides = []
    for i, size in enumerate(x.sizes[2:]):
        k, s, p = (_at(value, i) for value in (kernel, stride or kernel, padding))
        sides.append(_reach(size, k, s, p, ceil_mode))
    return sides


def _reach(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> tuple[int, int]:
    over = -(size + 2 * padding - kernel) % stride if ceil_mode else 0
    begins = size + 2 * padding - kernel + over  # the last window, which may not begin in the padding
    return padding, padding + (over if begins < size + padding else 0)


def _at(value: Any, axis: int) -> int:
    """The number for one axis of space, of one for all or a list of them."""
    return value if isinstance(value, int) else int(value[axis % len(value)])


def _pair(value: Any) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value or ())


def _windows(lowering: Lowering, x: Stream, op: str, kernel: Any, stride: Any, padding: Any) -> Stream:
    """Windows over the last one or two axes of (C, X) or (C, Y, X)."""
    if x.rank not in (3, 4) or not x.batched:
        raise moved_batch("pooling", x)
    one_row = x.rank == 3
    image = lowering.reshape(x, (*x.sizes[:2], 1, x.sizes[2])) if one_row else x
    given = ((kernel, 1), (stride or kernel, 1), (padding, 0))
    window, step, pad = (_window(value, one_row, across) for value, across in given)
    old = image.shape.sizes[1:]
    steps = [(n + 2 * p - w) // s for n, p, w, s in zip(old, pad, window, step, strict=True)]
    shape = Shape(image.shape.roles, (image.shape.sizes[0], *(whole + 1 for whole in steps)))
    name = lowering.add(Reduce, [image.name], shape, op=op, window=window, stride=step, padding=pad)
    out = image.at(name, shape)
    return lowering.reshape(out, (*out.sizes[:2], out.sizes[3])) if one_row else out


def _window(value: Any, one_row: bool, across: int) -> tuple[int, int]:
    """Two numbers; in a single row of pixels ``across`` for the row."""
    pair = _pair(value)
    return (across, pair[0]) if one_row else (pair[0], pair[-1])


@operator("adaptive_avg_pool2d", "_adaptive_avg_pool2d", "adaptive_avg_pool1d")
def adaptive_avg_pool(lowering: Lowering, x: Stream, output_size: Any) -> Stream:
    """Mean over windows; of windows that differ in size a linear map along each axis."""
    import torch
    import torch.nn.functional as F

    wanted = _adapted(x, output_size)
    if all(n == 1 for n in wanted):
        return mean(lowering, x, list(range(2, x.rank)), True)
    if not any(size % n for size, n in zip(x.sizes[2:], wanted, strict=True)):
        return _windows(
            lowering, x, "mean", [s // n for s, n in zip(x.sizes[2:], wanted, strict=True)], None, 0
        )
    for dim, n in enumerate(wanted, start=2):
        rows = F.adaptive_avg_pool1d(torch.eye(x.sizes[dim], dtype=torch.float64)[None], n)[0]
        x = along(lowering, x, dim, lowering.array(rows.T))
    return x


@operator("adaptive_avg_pool3d", "_adaptive_avg_pool3d")
def adaptive_avg_pool_volume(lowering: Lowering, x: Stream, output_size: Any) -> Stream:
    """Means over whole axes of a volume; one of them, time perhaps, may stay as it is."""
    wanted = _adapted(x, output_size)
    changed = [d for d, n in enumerate(wanted, start=2) if n != x.sizes[d]]
    if x.rank != 5 or any(wanted[d - 2] != 1 for d in changed):
        limit = "each axis whole, or one mean of it"
        raise Refusal("ND101", "a volume is pooled to windows", f"{x.sizes} to {tuple(wanted)}", limit)
    return mean(lowering, x, changed, True) if changed else x


@operator("adaptive_max_pool2d", "adaptive_max_pool1d")
def adaptive_max_pool(lowering: Lowering, x: Stream, output_size: Any, return_indices: bool = False) -> Any:
    """Maximum over windows; aten's form has their positions beside it, which nothing may read."""
    wanted, space = _adapted(x, output_size), x.sizes[2:]
    if all(n == 1 for n in wanted):
        out = amax(lowering, x, list(range(2, x.rank)), True)
    elif not any(size % n for size, n in zip(space, wanted, strict=True)):
        out = _windows(lowering, x, "max", [s // n for s, n in zip(space, wanted, strict=True)], None, 0)
    else:
        out = x
        for dim, (size, n) in enumerate(zip(space, wanted, strict=True), start=2):
            windows = [range(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]
            out = _maxima(lowering, out, dim, windows)
    return out if lowering.call.sizes is not None else (out, None)


def _adapted(x: Stream, output_size: Any) -> list[int]:
    """The wanted size of each axis of space; None keeps one."""
    space = x.sizes[2:]
    return [n if w is None else w for n, w in zip(space, _pair(output_size) * len(space), strict=False)]
