"""Means, sums and maxima over axes and over windows."""

from __future__ import annotations

from typing import Any

from ...ir.micro_op import MICROCODE
from ...ir.neuron_model import NEURONS
from ...ir.nodes import Micro, Neuron, Reduce, View
from ...ir.types import Shape
from ..lowering import Lowering
from ..values import TIME, Refusal, Stream
from ._base import operator
from .views import cat, unsqueeze


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
    sizes = tuple(1 if a in axes else s for a, s in enumerate(x.shape.sizes))
    kept = [a for a in range(len(sizes)) if keepdim or a not in axes]
    shape = Shape(tuple(x.shape.roles[a] for a in kept), tuple(sizes[a] for a in kept))
    name = lowering.add(Reduce, [x.name], shape, op=op, axes=axes, keepdims=bool(keepdim))
    return x.at(name, shape, [run for d, run in enumerate(x.axes) if keepdim or d not in dims])


@operator("max_pool2d", "max_pool1d")
def max_pool(
    lowering: Lowering,
    x: Stream,
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
    if any(d != 1 for d in _pair(dilation)) or return_indices:
        raise Refusal("ND101", "a max pooling with dilation or indices", dilation, "dilation 1")
    if any(_pair(padding)) and not _nonnegative(lowering, x.name):
        x, padding, ceil_mode = _edged(lowering, x, kernel_size, stride, padding, ceil_mode), 0, False
    return _windows(lowering, x, "max", kernel_size, stride, padding, ceil_mode)


def _edged(lowering: Lowering, x: Stream, kernel: Any, stride: Any, padding: Any, ceil_mode: bool) -> Stream:
    """The last one or two axes with their outermost elements repeated, as far as windows reach."""
    space = x.rank - 2
    for i, size in enumerate(x.sizes[2:]):
        k, s, p = (
            (value if isinstance(value, int) else tuple(value)[i % len(value)])
            for value in (kernel, stride or kernel, padding)
        )
        over = -(size + 2 * p - k) % s if ceil_mode else 0
        over = over if size + p > (size + 2 * p - k + over) else 0  # no window begins in the padding
        dim = x.rank - space + i
        first, last = lowering.slice(x, dim, 0, 1), lowering.slice(x, dim, size - 1, size)
        x = cat(lowering, [*[first] * p, x, *[last] * (p + over)], dim)
    return x


@operator("max_pool2d_with_indices")
def max_pool_with_indices(lowering: Lowering, x: Stream, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """The decomposed form; the indices are never read."""
    return max_pool(lowering, x, *args, **kwargs), None


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
    """Mean over windows."""
    if divisor_override or (any(_pair(padding)) and not count_include_pad):
        cause, found = "an average pooling with a divisor of its own", divisor_override or "count_include_pad"
        raise Refusal("ND101", cause, found, "the window's size")
    return _windows(lowering, x, "mean", kernel_size, stride, padding, ceil_mode)


def _pair(value: Any) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value or ())


def _windows(
    lowering: Lowering, x: Stream, op: str, kernel: Any, stride: Any, padding: Any, ceil_mode: bool
) -> Stream:
    """Windows over the last one or two axes of (C, X) or (C, Y, X)."""
    if x.rank not in (3, 4) or not x.batched:
        raise Refusal("ND105", "pooling whose batch is not the first of its axes", x.sizes)
    one_row = x.rank == 3
    image = lowering.reshape(x, (*x.sizes[:2], 1, x.sizes[2])) if one_row else x
    given = ((kernel, 1), (stride or kernel, 1), (padding, 0))
    window, step, pad = (_window(value, one_row, across) for value, across in given)
    old = image.shape.sizes[1:]
    steps = [divmod(n + 2 * p - w, s) for n, p, w, s in zip(old, pad, window, step, strict=True)]
    if ceil_mode and any(left for _, left in steps):
        cause, found = "pooling windows that reach over the edge", f"ceil_mode on {tuple(old)}"
        raise Refusal("ND101", cause, found, "ceil_mode=False")
    shape = Shape(image.shape.roles, (image.shape.sizes[0], *(whole + 1 for whole, _ in steps)))
    name = lowering.add(Reduce, [image.name], shape, op=op, window=window, stride=step, padding=pad)
    out = image.at(name, shape)
    return lowering.reshape(out, (*out.sizes[:2], out.sizes[3])) if one_row else out


def _window(value: Any, one_row: bool, across: int) -> tuple[int, int]:
    """Two numbers; in a single row of pixels ``across`` for the row."""
    pair = _pair(value)
    return (across, pair[0]) if one_row else (pair[0], pair[-1])


@operator(
    *("adaptive_avg_pool2d", "_adaptive_avg_pool2d", "adaptive_avg_pool1d"),
    *("adaptive_max_pool2d", "adaptive_max_pool1d"),
)
def adaptive_pool(lowering: Lowering, x: Stream, output_size: Any) -> Stream:
    """Mean or maximum over windows that divide the image."""
    op, space = "max" if "max" in lowering.call.op else "mean", x.sizes[2:]
    wanted = [n if w is None else w for n, w in zip(space, _pair(output_size) * len(space), strict=False)]
    if any(n % w for n, w in zip(space, wanted, strict=True)):
        cause, found = "an adaptive pooling whose windows differ in size", f"{space} to {tuple(wanted)}"
        raise Refusal("ND101", cause, found, "sizes that divide")
    if all(w == 1 for w in wanted):
        return _over_axes(lowering, x, op, list(range(2, x.rank)), True)
    return _windows(lowering, x, op, [n // w for n, w in zip(space, wanted, strict=True)], None, 0, False)


def _nonnegative(lowering: Lowering, name: str) -> bool:
    """Whether a value is never below zero by construction."""
    node: Any = lowering.builder.nodes[name]
    if isinstance(node, Neuron):
        return NEURONS[node.model].code(node.params).interval[0] >= 0
    if isinstance(node, Micro):
        return MICROCODE[node.op].nonnegative
    if isinstance(node, (View, Reduce)):
        return all(_nonnegative(lowering, source) for source in node.inputs)
    return False
