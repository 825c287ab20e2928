"""Norms and softmax."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from ._base import Node, Refused, onnx


@onnx("BatchNormalization")
def batch_norm(node: Node, x: Any, scale: Any, shift: Any, mean: Any, variance: Any) -> Any:
    """By numbers that training has left."""
    if node.get("training_mode"):
        raise Refused("a batch norm in training mode", "export in evaluation mode")
    return F.batch_norm(x, mean, variance, scale, shift, False, 0.0, node.get("epsilon", 1e-5))


@onnx("InstanceNormalization")
def instance_norm(node: Node, x: Any, scale: Any, shift: Any) -> Any:
    """Each channel of a sample by itself."""
    return F.group_norm(x, x.shape[1], scale, shift, node.get("epsilon", 1e-5))


@onnx("GroupNormalization")
def group_norm(node: Node, x: Any, scale: Any, shift: Any) -> Any:
    """Channels in groups, scaled by channel, or by group before opset 21."""
    groups = node.get("num_groups")
    if scale.shape[0] != x.shape[1]:
        scale, shift = (part.repeat_interleave(x.shape[1] // groups) for part in (scale, shift))
    return F.group_norm(x, groups, scale, shift, node.get("epsilon", 1e-5))


@onnx("LayerNormalization")
def layer_norm(node: Node, x: Any, scale: Any, shift: Any = None) -> Any:
    """Over the axes from ``axis`` on."""
    if any(node.outputs[1:]):
        raise Refused("means and deviations as results of their own")
    sizes = list(x.shape[node.get("axis", -1) :])
    return F.layer_norm(x, sizes, scale, shift, node.get("epsilon", 1e-5))


@onnx("RMSNormalization")
def rms_norm(node: Node, x: Any, scale: Any) -> Any:
    """Without a mean."""
    axes = list(range(node.get("axis", -1) % x.dim(), x.dim()))
    return x * torch.rsqrt(torch.mean(x * x, dim=axes, keepdim=True) + node.get("epsilon", 1e-5)) * scale


@onnx("LpNormalization")
def lp_norm(node: Node, x: Any) -> Any:
    """Divided by a norm along one axis."""
    order, axis = node.get("p", 2), node.get("axis", -1)
    if order == 2:
        return x / torch.sqrt(torch.sum(x * x, dim=axis, keepdim=True))
    return x / torch.sum(torch.abs(x), dim=axis, keepdim=True)


@onnx("Softmax", "LogSoftmax")
def softmax(node: Node, x: Any) -> Any:
    """Along one axis; before opset 13 over all from it on."""
    function = F.softmax if node.op == "Softmax" else F.log_softmax
    if node.opset >= 13:
        return function(x, dim=node.get("axis", -1))
    axis = node.get("axis", 1) % x.dim()
    if axis == x.dim() - 1:
        return function(x, dim=axis)
    return function(x.flatten(axis), dim=axis).reshape(x.shape)
