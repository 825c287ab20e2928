"""Static synapses, sums and reductions."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.nodes import Reduce, Sum, Synapse
from . import arithmetic
from .run import Run, Step


def synapse(node: Synapse, graph: Graph) -> Step:
    """By 16-bit numbers where they fit, else :func:`by_blas`."""
    from . import short

    if not node.delays[-1] and short.fits(node, graph):
        return short.synapse(node, arithmetic.storage(graph, node.name))
    return by_blas(node, graph)


def by_blas(node: Synapse, graph: Graph) -> Step:
    """Dense: one matrix product over all ticks, samples and positions. Convolution: the same after im2col."""
    return _late(node, graph) if node.delays[-1] else _planned(node, _kind(node, graph))


def _kind(node: Synapse, graph: Graph) -> Any:
    """The type in which sums over all connections and the bias are exact, whichever of them are added first."""
    rows = np.abs(node.weight.astype(np.float64)).reshape(len(node.weight), -1).sum(axis=1)
    bias = 0.0 if node.bias is None else np.abs(node.bias.astype(np.float64))
    return arithmetic.exact_in(float((rows * arithmetic.magnitude(graph, node.inputs[0]) + bias).max()))


def _planned(node: Synapse, kind: Any) -> Step:
    return _dense(node, kind) if node.op == "dense" else _conv(node, kind)


def parts(node: Synapse, graph: Graph) -> list[tuple[int, Step]]:
    """(delay, step) of the connections of each delay, without the bias."""
    kind = _kind(node, graph)
    return [(delay, _planned(node.part(delay), kind)) for delay in node.delays]


def spread_bias(node: Synapse) -> Array | int:
    """The bias in the shape of the value's last axes, int64."""
    if node.bias is None:
        return 0
    return (node.bias if node.op == "dense" else node.bias[:, None, None]).astype(np.int64)


def _late(node: Synapse, graph: Graph) -> Step:
    """Sums of each delay moved to the tick at which they arrive."""
    kind, planned, shape = _kind(node, graph), parts(node, graph), graph.shape(node.name)
    bias = np.asarray(spread_bias(node)).astype(kind)

    def step(args: list[Array], run: Run) -> Array:
        out = np.zeros((run.ticks, args[0].shape[1], *shape), dtype=kind)
        for delay, part in planned:
            if delay < run.ticks:
                out[delay:] += part([args[0][: run.ticks - delay]], run)
        out += bias
        return out

    return step


def _dense(node: Synapse, kind: Any) -> Step:
    weight = np.ascontiguousarray(node.weight.T.astype(kind))
    bias = None if node.bias is None else node.bias.astype(kind)

    def step(args: list[Array], run: Run) -> Array:
        x = args[0].astype(kind, copy=False)
        rows = x.reshape(-1, x.shape[-1]) @ weight
        if bias is not None:
            rows += bias
        out: Array = rows.reshape(*x.shape[:-1], -1)
        return out

    return step


def _conv(node: Synapse, kind: Any) -> Step:
    outputs, channels, ky, kx = node.weight.shape
    # (G, ky, kx, C/G, O/G) flattened to (G, K, O/G): the order in which patches() lays out its elements
    own = outputs // node.groups
    weight = node.weight.reshape(node.groups, own, channels, ky, kx).transpose(0, 3, 4, 2, 1)
    weight = np.ascontiguousarray(weight.reshape(node.groups, -1, own).astype(kind))
    bias = np.zeros(1, kind) if node.bias is None else node.bias.astype(kind)

    def step(args: list[Array], run: Run) -> Array:
        x = args[0].astype(kind, copy=False)
        columns, height, width = patches(x.reshape(-1, *x.shape[2:]), node)
        found = np.matmul(columns, weight).transpose(1, 0, 2).reshape(-1, height * width, outputs)
        out = np.empty((len(found), outputs, height * width), dtype=kind)
        np.add(found, bias, out=out.transpose(0, 2, 1))  # channels back to the front in the same pass
        return out.reshape(*x.shape[:2], outputs, height, width)

    return step


def patches(x: Array, node: Synapse) -> tuple[Array, int, int]:
    """(n, C, Y, X) -> (G, n Y' X', ky kx C/G), and Y', X'. Channels go last, so copies move runs of channels."""
    (py, px), (sy, sx), (ky, kx) = node.padding, node.stride, node.weight.shape[2:]
    n, channels, rows, columns = x.shape
    padded = np.zeros((n, rows + 2 * py, columns + 2 * px, channels), dtype=x.dtype)
    padded[:, py : py + rows, px : px + columns] = x.transpose(0, 2, 3, 1)
    view = np.lib.stride_tricks.sliding_window_view(padded, (ky, kx), axis=(1, 2))  # type: ignore[call-overload]
    view = view[:, ::sy, ::sx]
    height, width = view.shape[1:3]
    view = view.transpose(0, 1, 2, 4, 5, 3)  # n, Y', X', ky, kx, C
    grouped = view.reshape(n * height * width, ky, kx, node.groups, channels // node.groups)
    return grouped.transpose(3, 0, 1, 2, 4).reshape(node.groups, n * height * width, -1), height, width


def total(node: Sum, graph: Graph) -> Step:
    """Signed addition in the narrowest type that holds every partial sum."""
    shape, signs = graph.shape(node.name), node.every_sign
    kind = arithmetic.exact_in(sum(arithmetic.magnitude(graph, name) for name in node.inputs))
    rank = len(shape) + 2

    def step(args: list[Array], run: Run) -> Array:
        first, *others = (a.reshape(*a.shape[:2], *(1,) * (rank - a.ndim), *a.shape[2:]) for a in args)
        out = first.astype(kind, copy=False)
        out = out if signs[0] == 1 else out * kind(signs[0])
        for sign, x in zip(signs[1:], others, strict=True):
            out = np.add(out, x, dtype=kind) if sign == 1 else np.add(out, x * x.dtype.type(sign), dtype=kind)
        return np.broadcast_to(out, (*out.shape[:2], *shape))

    return step


def reduce(node: Reduce, graph: Graph) -> Step:
    """Sum or maximum over axes, or over windows as an operation on shifted copies."""
    source = graph.shape(node.inputs[0])
    count = prod(node.window) if node.window else prod(source[a] for a in node.axes)
    kind = arithmetic.exact_in(count * arithmetic.magnitude(graph, node.inputs[0]))
    add = np.add if node.op == "sum" else np.maximum
    axes = tuple(a + 2 if a >= 0 else a for a in node.axes)

    def step(args: list[Array], run: Run) -> Array:
        if node.window:
            return _windows(args[0].astype(kind, copy=False), node, add)
        found: Array = add.reduce(args[0], axis=axes, keepdims=node.keepdims, dtype=kind)
        return found

    return step


def _windows(x: Array, node: Reduce, add: np.ufunc) -> Array:
    (wy, wx), (py, px) = node.window or (1, 1), node.padding
    sy, sx = node.stride or (wy, wx)
    if py or px:
        x = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(py, py), (px, px)])
    x = _along(x, -1, wx, sx, add)  # rows first: they lie one after the other in memory
    x = _along(x, -2, wy, sy, add)
    return x.reshape(*x.shape, 1, 1) if node.keepdims else x


def _along(x: Array, axis: int, window: int, stride: int, add: np.ufunc) -> Array:
    """Windows along one axis."""
    x = np.swapaxes(x, axis, -1)
    reach = stride * ((x.shape[-1] - window) // stride) + 1
    out = x[..., :reach:stride]
    for at in range(1, window):
        out = add(out, x[..., at : at + reach : stride])
    return np.swapaxes(out, axis, -1)
