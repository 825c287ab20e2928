"""Quantisers of activations: the first tick of a multi-spike neuron, which is how a quantised network is held.

A network that was trained with quantisers is an ANN whose graph holds a neuron that is the quantiser, run for one tick
from rest: :mod:`~neurodeploy.neurons.integer_lif` where halves go to even numbers, as torch rounds them, and
:mod:`~neurodeploy.neurons.multi_spike` where they go up, as ``floor(x + 1/2)`` does. Quantisers of weights have no
input stream and are folded into the weights.
"""

from __future__ import annotations

from typing import Any

from ...ir.neuron_model import NEURONS
from ...ir.nodes import Neuron
from ...neurons.multi_spike import COUNT_MAX
from ..lowering import Lowering
from ..values import Refusal, Stream
from ._base import operator


@operator("quantise")
def quantise(
    lowering: Lowering, x: Stream, step: float, positive: int, negative: int, even: bool = True
) -> Stream:
    """``step * clip(round(x / step), -negative, positive)``: what a front end makes of the spelled-out form."""
    params = {"step": float(step), "positive": int(positive), "negative": int(negative)}
    return lowering.like(x, Neuron, model="integer_lif" if even else "multi_spike", params=params)


@operator("fake_quantize_per_tensor_affine", "quantized_decomposed.quantize_per_tensor", retypes=True)
def fake_quantize(
    lowering: Lowering, x: Stream, scale: Any, zero_point: Any, quant_min: int, quant_max: int, *_: Any
) -> Stream:
    """Torch's quantiser with one scale. Refusal ND101 where it has too many levels for a neuron.

    It is also the first half of what torch's export quantisation (PT2E) writes; its stream is in real units already.
    """
    step, zero = (float(lowering.array(number).reshape(())) for number in (scale, zero_point))
    negative, positive = zero - quant_min, quant_max - zero
    if step <= 0 or min(negative, positive) < 0 or max(negative, positive) > COUNT_MAX:
        cause = "a quantiser that no multi-spike neuron computes"
        limit = f"0 among the levels, up to {COUNT_MAX} steps on a side"
        fix = "use a symmetric quantiser of at most 8 bits, -127 to 127"
        raise Refusal("ND101", cause, f"scale {step:g}, {-negative:g} to {positive:g} steps", limit, fix)
    return quantise(lowering, x, step, int(positive), int(negative))


@operator("fake_quantize_per_tensor_affine_cachemask")
def fake_quantize_cachemask(lowering: Lowering, *args: Any) -> tuple[Stream, None]:
    """The form of exported programs; its mask is for gradients."""
    return fake_quantize(lowering, *args), None


@operator("_fake_quantize_per_tensor_affine_cachemask_tensor_qparams")
def fake_quantize_tensors(
    lowering: Lowering, x: Stream, scale: Any, zero_point: Any, enabled: Any, *limits: int
) -> tuple[Stream, None]:
    """The same with scale and zero point as tensors, and a switch, as torch.ao.quantization.FakeQuantize has."""
    on = bool(lowering.array(enabled).reshape(()))
    return (fake_quantize(lowering, x, scale, zero_point, *limits) if on else x), None


@operator("quantized_decomposed.dequantize_per_tensor")
def dequantize_tensor(lowering: Lowering, x: Stream, scale: Any, *_: Any, **__: Any) -> Stream:
    """The second half: nothing is left to do. Refusal ND101 where it is not the half of a quantiser of that scale."""
    node = lowering.builder.nodes[x.name]
    step = node.params["step"] if isinstance(node, Neuron) and NEURONS[node.model].quantises else None
    if step != float(lowering.array(scale).reshape(())):
        cause = "a dequantiser of another scale than the quantiser in front of it"
        raise Refusal("ND101", cause, scale, step)
    return x


@operator("fake_quantize_per_channel_affine", "fake_quantize_per_channel_affine_cachemask")
def fake_quantize_channels(lowering: Lowering, x: Stream, *_: Any) -> Stream:
    """Refused: products and shared layers need one step for all channels of a stream."""
    cause, limit = "a quantiser of activations with a scale for each channel", "one scale for the tensor"
    fix = "use torch.fake_quantize_per_tensor_affine on activations"
    raise Refusal("ND101", cause, "per channel", limit, fix)
