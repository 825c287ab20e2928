"""Norms and elementwise functions: registered microcode operators."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ...ir.nodes import Micro, Neuron
from ..lowering import Lowering
from ..values import Refusal, Stream
from ._base import operator
from .linear import affine


@operator("layer_norm")
def layer_norm(
    lowering: Lowering,
    x: Stream,
    normalized_shape: Sequence[int] | None,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn_enable: bool = False,
) -> Stream:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes, joined into one for the operator.

    ``normalized_shape`` None is the last axis, as for :func:`rms_norm`: what a front end makes of the spelled-out form.
    """
    normalized_shape = normalized_shape or x.sizes[-1:]
    count, sizes = len(normalized_shape), x.sizes
    width = prod(normalized_shape)
    x.axes(range(x.rank - count, x.rank), "layer norm")
    gamma = np.ones(width) if weight is None else lowering.array(weight).reshape(-1)
    beta = np.zeros(width) if bias is None else lowering.array(bias).reshape(-1)
    row = lowering.reshape(x, (*sizes[: x.rank - count], width))
    params = {"width": width, "gamma": gamma, "beta": beta, "eps": float(eps)}
    return lowering.reshape(lowering.like(row, Micro, op="layer_norm", params=params), sizes)


@operator("native_layer_norm")
def native_layer_norm(lowering: Lowering, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """The decomposed form; its saved statistics are never read."""
    return layer_norm(lowering, *args, **kwargs), None, None


@operator("rms_norm")
def rms_norm(
    lowering: Lowering,
    x: Stream,
    normalized_shape: Sequence[int] | None,
    weight: Any = None,
    eps: float | None = None,
) -> Stream:
    """x / sqrt(mean x^2 + eps) * weight over the last axis; eps defaults to float32's, as in torch."""
    normalized_shape = normalized_shape or x.sizes[-1:]
    if len(normalized_shape) != 1:
        raise Refusal("ND101", "an RMS norm over several axes", tuple(normalized_shape), "the last axis")
    x.axis(-1, "RMS norm")
    gamma = np.ones(normalized_shape[0]) if weight is None else lowering.array(weight)
    eps = float(np.finfo(np.float32).eps if eps is None else eps)
    return lowering.like(x, Micro, op="rms_norm", params={"width": len(gamma), "gamma": gamma, "eps": eps})


@operator("group_norm")
def group_norm(
    lowering: Lowering,
    x: Stream,
    num_groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Stream:
    """A layer norm over each group of channels (torch axis 1) with all their pixels, then a factor per channel."""
    channels = x.axis(1, "group norm")
    rows = lowering.reshape(x, (x.sizes[0], num_groups, -1))
    normed = lowering.reshape(layer_norm(lowering, rows, None, eps=eps), x.sizes)
    if weight is None and bias is None:
        return normed
    gamma = np.ones(x.sizes[1]) if weight is None else lowering.array(weight)
    return affine(lowering, normed, gamma, None if bias is None else lowering.array(bias), channels)


@operator("native_group_norm")
def native_group_norm(
    lowering: Lowering, x: Stream, weight: Any, bias: Any, n: int, c: int, pixels: int, group: int, eps: float
) -> tuple[Any, ...]:
    """The decomposed form; its saved statistics are never read."""
    return group_norm(lowering, x, group, weight, bias, eps), None, None


@operator("gelu")
def gelu(lowering: Lowering, x: Stream, approximate: str = "none") -> Stream:
    """x Phi(x), exact or by tanh."""
    return lowering.like(x, Micro, op="gelu", params={"approximate": approximate})


@operator("neuron")
def neuron(
    lowering: Lowering, x: Stream, model: str, params: dict[str, float], whole_sample: bool = False
) -> Stream:
    """A population of a registered neuron model: what a front end makes of a neuron module.

    One that takes a ``whole_sample`` has to be given time in its first axis: Refusal ND161.
    """
    if whole_sample and (x.merged or x.batch != 1 or x.shape.sizes[0] != 1):
        cause, fix = (
            "a neuron that runs over time is given something else in its first axis",
            "give it (T, batch, ...)",
        )
        raise Refusal("ND161", cause, x.sizes, "(T, batch, ...)", fix)
    return lowering.like(x, Neuron, model=model, params=params)
