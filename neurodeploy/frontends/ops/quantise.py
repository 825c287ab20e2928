"""Quantisers of activations: the first tick of a multi-spike neuron, which is how a quantised network is held.

A network that was trained with quantisers is an ANN whose graph holds a neuron that is the quantiser, run for one tick
from rest: :mod:`~neurodeploy.neurons.integer_lif` where halves go to even numbers, as torch rounds them, and
:mod:`~neurodeploy.neurons.multi_spike` where they go up, as ``floor(x + 1/2)`` does. Quantisers of weights have no
input stream and are folded into the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

from ...ir.neuron_model import NEURONS
from ...ir.nodes import Neuron, Sum
from ...neurons.multi_spike import COUNT_MAX
from ..lowering import Lowering
from ..values import Refusal, Stream
from ._base import operator
from .arithmetic import add, mul, sub

#: steps between the levels of 8 bits, and the most even count of a neuron
LEVELS, EVEN = 255, COUNT_MAX - 1


@operator("quantise")
def quantise(
    lowering: Lowering, x: Stream, step: float, positive: int, negative: int, even: bool = True
) -> Stream:
    """``step * clip(round(x / step), -negative, positive)``: what a front end makes of the spelled-out form.

    A neuron counts to :data:`COUNT_MAX` on a side. Where there are more levels others count what is beyond: with
    k = round(x / step), clip(k, -n, a + b) = clip(k, -n, a) + clip(k - a, 0, b), an even a keeps halves where they go.
    """
    parts: list[Any] = []
    for shift, above, below in _ranges(positive, negative):
        params = {"step": float(step), "positive": above, "negative": below}
        moved: Any = sub(lowering, x, shift * step) if shift else x
        parts.append(
            lowering.like(moved, Neuron, model="integer_lif" if even else "multi_spike", params=params)
        )
    total: Stream = reduce(lambda a, b: add(lowering, a, b), parts)
    return total


def _ranges(positive: int, negative: int) -> Iterator[tuple[int, int, int]]:
    """Where each neuron begins to count, and how far up and down."""
    first = [count if count <= COUNT_MAX else EVEN for count in (positive, negative)]
    yield 0, first[0], first[1]
    for sign, count, done in zip((1, -1), (positive, negative), first, strict=True):
        while done < count:
            more = count - done if count - done <= COUNT_MAX else EVEN
            yield sign * done, more if sign > 0 else 0, more if sign < 0 else 0
            done += more


@operator("fake_quantize_per_tensor_affine", "quantized_decomposed.quantize_per_tensor", retypes=True)
def fake_quantize(
    lowering: Lowering, x: Stream, scale: Any, zero_point: Any, quant_min: int, quant_max: int, *_: Any
) -> Stream:
    """Torch's quantiser with one scale, of up to 8 bits. Refusal ND101 for more, or without 0 among its levels.

    It is also the first half of what torch's export quantisation (PT2E) writes; its stream is in real units already.
    """
    step, zero = (float(lowering.array(number).reshape(())) for number in (scale, zero_point))
    return _affine(lowering, x, step, zero, quant_min, quant_max)


def _affine(lowering: Lowering, x: Stream, step: float, zero: float, least: int, most: int) -> Stream:
    negative, positive = zero - least, most - zero
    if step <= 0 or min(negative, positive) < 0 or negative + positive > LEVELS:
        cause = "a quantiser of more than 8 bits, or without 0 among its levels"
        found, limit = (
            f"scale {step:g}, {-negative:g} to {positive:g} steps",
            f"{LEVELS + 1} levels, 0 among them",
        )
        raise Refusal("ND101", cause, found, limit, "use a quantiser of at most 8 bits")
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
    while isinstance(node, Sum):  # of neurons that count one beyond the other
        node = lowering.builder.nodes[node.inputs[0]]
    step = node.params["step"] if isinstance(node, Neuron) and NEURONS[node.model].quantises else None
    if step != float(lowering.array(scale).reshape(())):
        cause = "a dequantiser of another scale than the quantiser in front of it"
        raise Refusal("ND101", cause, scale, step)
    return x


@operator("fake_quantize_per_channel_affine", retypes=True)
def fake_quantize_channels(
    lowering: Lowering,
    x: Stream,
    scale: Any,
    zero_point: Any,
    axis: int,
    quant_min: int,
    quant_max: int,
    *_: Any,
) -> Stream:
    """A scale for each channel: what is divided by them is quantised by steps of 1, and multiplied again.

    Both are diagonal synapses, which the weights before and behind take over. Refusal ND101 where channels differ in
    their zero points, so that no count stands for 0 in all.
    """
    scales, zeros = (lowering.array(numbers).reshape(-1) for numbers in (scale, zero_point))
    if (scales <= 0).any() or (zeros != zeros[0]).any():
        cause, limit = (
            "a quantiser whose channels differ in their zero points",
            "one zero point, scales above 0",
        )
        raise Refusal(
            "ND101", cause, f"{zeros.min():g} to {zeros.max():g}", limit, "use a symmetric quantiser"
        )
    steps = scales.reshape(-1, *(1,) * (x.rank - 1 - x.dim(axis)))
    made = _affine(lowering, mul(lowering, x, 1.0 / steps), 1.0, float(zeros[0]), quant_min, quant_max)
    return mul(lowering, made, steps)


@operator("fake_quantize_per_channel_affine_cachemask", retypes=True)
def fake_quantize_channels_cachemask(lowering: Lowering, *args: Any) -> tuple[Stream, None]:
    """The form of exported programs; its mask is for gradients."""
    return fake_quantize_channels(lowering, *args), None
