"""Pooling and what is one number of many."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from ._base import Node, Refused, onnx
from .linear import padded, sides, window
from .shapes import axes_of

_REDUCED = {
    "ReduceMean": torch.mean,
    "ReduceSum": torch.sum,
    "ReduceMax": torch.amax,
    "ReduceMin": torch.amin,
}


@onnx(*_REDUCED, "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "ReduceProd", known=(1,))
def reduced(node: Node, x: Any, axes: Any = None) -> Any:
    """Over axes, all by default."""
    chosen, keep = axes_of(node, axes), bool(node.get("keepdims", 1))
    if not chosen:
        if node.get("noop_with_empty_axes"):
            return torch.clone(x)
        chosen = list(range(x.dim()))
    if node.op in _REDUCED:
        return _REDUCED[node.op](x, dim=chosen, keepdim=keep)
    if node.op == "ReduceProd":
        for axis in sorted((a % x.dim() for a in chosen), reverse=True):
            x = torch.prod(x, axis, keepdim=keep)
        return x
    if node.op == "ReduceLogSumExp":
        return torch.logsumexp(x, chosen, keepdim=keep)
    if node.op == "ReduceL1":
        return torch.sum(torch.abs(x), dim=chosen, keepdim=keep)
    if node.op == "ReduceL2":
        return torch.linalg.vector_norm(x, 2, chosen, keep)
    return torch.sum(x * x, dim=chosen, keepdim=keep)


@onnx("ArgMax", "ArgMin")
def extreme(node: Node, x: Any) -> Any:
    """Where the largest or smallest element stands, the first of several."""
    if node.get("select_last_index"):
        raise Refused("the last of several largest")
    function = torch.argmax if node.op == "ArgMax" else torch.argmin
    return function(x, node.get("axis", 0), bool(node.get("keepdims", 1)))


@onnx("GlobalAveragePool")
def global_average(node: Node, x: Any) -> Any:
    """The mean of each channel."""
    return torch.mean(x, dim=list(range(2, x.dim())), keepdim=True)


@onnx("GlobalMaxPool")
def global_max(node: Node, x: Any) -> Any:
    """The largest of each channel."""
    return torch.amax(x, dim=list(range(2, x.dim())), keepdim=True)


@onnx("MaxPool", moves=True)
def max_pool(node: Node, x: Any) -> Any:
    """The largest of each window."""
    axes, kernel = x.dim() - 2, node.get("kernel_shape")
    if len([name for name in node.outputs if name]) > 1:
        raise Refused("places of the largest elements")
    strides, dilations = window(node, axes)
    x, padding = padded(node, x, kernel, strides, dilations, float("-inf"))
    function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[axes - 1]
    return function(x, kernel, strides, padding, dilations, bool(node.get("ceil_mode")))


@onnx("AveragePool")
def average_pool(node: Node, x: Any) -> Any:
    """The mean of each window."""
    axes, kernel = x.dim() - 2, node.get("kernel_shape")
    strides, dilations = window(node, axes)
    before, after = sides(node, x, kernel, strides, dilations)
    whole = bool(node.get("count_include_pad"))
    if any(d != 1 for d in dilations) or (before != after and not whole):
        raise Refused("means over dilated windows, or unevenly padded ones that leave the padding out")
    x, padding = padded(node, x, kernel, strides, dilations, 0.0)
    function = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[axes - 1]
    return function(x, kernel, strides, padding, bool(node.get("ceil_mode")), whole)
