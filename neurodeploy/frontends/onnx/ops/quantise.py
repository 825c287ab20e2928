"""Quantisers of the form QDQ: what is quantised stays in real units, and what undoes it is left with nothing to do."""

from __future__ import annotations

from typing import Any

import torch

from ._base import Known, Node, Refused, numbers, onnx

_LIMITS = {torch.uint8: (0, 255), torch.int8: (-128, 127)}


@onnx("QuantizeLinear", known=(1, 2))
def quantise(node: Node, x: Any, scale: Any, zero: Any = None) -> Any:
    """The quantised value in real units; of one scale, or of one for each channel."""
    steps, offset, kind = _parameters(node, scale, zero)
    low, high = _LIMITS[kind]
    if x.device.type == "meta":  # which torch 2.3 has no kernel for
        return torch.empty_like(x)
    if len(steps) == 1:
        return torch.fake_quantize_per_tensor_affine(x, steps[0], offset[0], low, high)
    axis = node.get("axis", 1) % x.dim()
    zeros = zero.tensor.to(torch.int32) if zero is not None else torch.zeros(len(steps), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(x, scale.tensor, zeros, axis, low, high)


def _parameters(node: Node, scale: Any, zero: Any) -> tuple[list[float], list[int], torch.dtype]:
    steps = numbers(scale, "scales")
    offset = [int(n) for n in numbers(zero, "zero points")] or [0] * len(steps)
    kind = zero.tensor.dtype if isinstance(zero, Known) else torch.uint8
    if kind not in _LIMITS or node.get("block_size"):
        raise Refused(f"a quantiser to {kind}", "integers of 8 bits")
    return steps, offset, kind


@onnx("DequantizeLinear", known=(1, 2))
def dequantise(node: Node, x: Any, scale: Any, zero: Any = None) -> Any:
    """Stored integers in real units; of a quantised value it is given that value, in these units already."""
    if x.is_floating_point():
        return torch.clone(x)
    if node.get("block_size"):
        raise Refused("a quantiser of blocks", "one scale, or one for each channel")
    numbers(scale, "scales")
    steps, zeros = scale.tensor, (zero.tensor if zero is not None else torch.zeros((), dtype=torch.int32))
    if steps.numel() > 1:
        sizes = [1] * x.dim()
        sizes[node.get("axis", 1)] = -1
        steps, zeros = steps.reshape(sizes), (zeros.reshape(sizes) if zeros.numel() > 1 else zeros)
    return (x.to(torch.float32) - zeros.to(torch.float32)) * steps
