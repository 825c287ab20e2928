"""Layers with weights, and products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from ._base import Node, Refused, onnx


@onnx("MatMul")
def matmul(node: Node, a: Any, b: Any) -> Any:
    """Products of matrices; many rows by one matrix as one product, whatever their order in memory."""
    if a.dim() > 2 and b.dim() == 2:
        return torch.mm(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[-1])
    return torch.matmul(a, b)


@onnx("Gemm")
def gemm(node: Node, a: Any, b: Any, c: Any = None) -> Any:
    """alpha A B + beta C, either matrix turned or not."""
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    a = a.t() if node.get("transA") else a
    weight = b if node.get("transB") else b.t()
    if alpha == 1 and beta == 1 and (c is None or c.dim() == 1):
        return F.linear(a, weight, c)
    made = F.linear(a, weight) * alpha
    return made if c is None else made + c * beta


@onnx("Einsum")
def einsum(node: Node, *operands: Any) -> Any:
    """Sums of products by letters."""
    equation = node.get("equation", "").replace(" ", "")
    return torch.einsum(equation, *operands)


@onnx("Conv")
def convolution(node: Node, x: Any, weight: Any, bias: Any = None) -> Any:
    """Of one to three axes of pixels."""
    axes = x.dim() - 2
    if not 1 <= axes <= 3:
        raise Refused(f"a convolution over {axes} axes", "one to three")
    strides, dilations = window(node, axes)
    x, padding = padded(node, x, tuple(weight.shape[2:]), strides, dilations, 0.0)
    function = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    return function(x, weight, bias, strides, padding, dilations, node.get("group", 1))


@onnx("ConvTranspose")
def transposed(node: Node, x: Any, weight: Any, bias: Any = None) -> Any:
    """The same backwards."""
    axes = x.dim() - 2
    strides, dilations = window(node, axes)
    pads = node.get("pads") or [0] * 2 * axes
    if pads[:axes] != pads[axes:] or node.get("auto_pad", "NOTSET") != "NOTSET" or node.get("output_shape"):
        raise Refused("a transposed convolution of uneven padding", "pads that are equal on both sides")
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[axes - 1]
    more = node.get("output_padding") or [0] * axes
    return function(x, weight, bias, strides, pads[:axes], more, node.get("group", 1), dilations)


def window(node: Node, axes: int) -> tuple[list[int], list[int]]:
    """Strides and dilations."""
    return node.get("strides") or [1] * axes, node.get("dilations") or [1] * axes


def sides(
    node: Node, x: Any, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Padding before and behind each axis."""
    axes, auto = x.dim() - 2, node.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", ""):
        pads = node.get("pads") or [0] * 2 * axes
        return list(pads[:axes]), list(pads[axes:])
    if auto == "VALID":
        return [0] * axes, [0] * axes
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    total = [
        max((-(-n // s) - 1) * s + r - n, 0) for n, s, r in zip(x.shape[2:], strides, reach, strict=True)
    ]
    less, more = [n // 2 for n in total], [n - n // 2 for n in total]
    return (less, more) if auto == "SAME_UPPER" else (more, less)


def padded(
    node: Node, x: Any, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], value: float
) -> tuple[Any, list[int]]:
    """The value, with what is uneven padded already, and the padding that is left."""
    before, after = sides(node, x, kernel, strides, dilations)
    if before == after:
        return x, before
    flat = [n for pair in zip(reversed(before), reversed(after), strict=True) for n in pair]
    return F.pad(x, flat, value=value), [0] * len(before)
