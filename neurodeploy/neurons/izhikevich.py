"""Izhikevich's neuron of 2003: a voltage that charges by its own square, and a recovery that pulls it back.

Voltages count from rest, so that v = w = 0 stays. Forward Euler, one step a tick, recovery behind the voltage:
    v <- clip(v + square v (v - gap) - w + x + bias, -peak, peak);  s = [v >= peak]
    w <- w + a (b v - w) + jump s;  v <- reset where s
``gap`` is the distance from rest to the voltage from which the square carries it away. The published form
0.04 V^2 + 5 V + 140 - U with b = 0.2 rests at V = -70, U = -14: square = 0.04, gap = 15, peak = 100 (V = 30), and its
regular spiking is a = 0.02, reset = 5 (c = -65), jump = 8 (d). The clip keeps the square in its width; below -peak the
parabola would throw the voltage up again.

Integer: states have 6 bits below the unit of the input. v (v - gap) loses ``fine`` bits, so that 31 are left, before it
is multiplied; all three factors are 16-bit multiplies and shifts, rounded once. w saturates at 24 bits and counts.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import flag, multiplier_of, multipliers_of, rescale, saturate
from ..ir.neuron_model import NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import BINARY, Code
from ..ir.widths import STATE_BITS
from ._membrane import FRACTION_BITS, STATE_MAX, in_units

#: bits that are left of the square before it is multiplied
SQUARE_BITS = 31


class Izhikevich(NeuronModel):
    """Quadratic integrate-and-fire with adaptation."""

    name = "izhikevich"
    state = (StateVar("v", STATE_BITS), StateVar("w", STATE_BITS))
    float_params = ("square", "gap", "a", "b", "peak", "reset", "jump", "bias")
    int_params = (
        "gap", "fine", "square", "square_shift", "ab", "ab_shift", "a", "a_shift", "peak", "reset", "jump", "bias",
    )  # fmt: skip
    thresholds = ("peak",)
    #: regular spiking with a peak of 1
    example: ClassVar = {
        "square": 4.0, "gap": 0.15, "a": 0.02, "b": 0.2, "peak": 1.0, "reset": 0.05, "jump": 0.08, "bias": 0.0,
    }  # fmt: skip
    stock = False
    grade = (
        "plausible",
        "OzU-CAST LoihiScalingEfficiency measured an Izhikevich neuron in microcode; its program is not public",
    )

    @staticmethod
    def float_step(
        x: Any, v: Any, w: Any, square: Any, gap: Any, a: Any, b: Any, peak: Any, reset: Any, jump: Any, bias: Any
    ) -> Values:  # fmt: skip
        """One Euler step."""
        v = np.clip(v + square * v * (v - gap) - w + x + bias, -peak, peak)
        s = np.where(v >= peak, 1.0, 0.0)
        w = w + a * (b * v - w) + jump * s
        return s, np.where(s > 0, reset, v), w

    @staticmethod
    def int_step(
        x: Any, v: Any, w: Any, gap: Any, fine: Any, square: Any, square_shift: Any, ab: Any, ab_shift: Any, a: Any,
        a_shift: Any, peak: Any, reset: Any, jump: Any, bias: Any,
    ) -> Values:  # fmt: skip
        """The same on 24-bit states."""
        charge = rescale((v * (v - gap)) >> fine, square, square_shift)
        v = np.minimum(np.maximum(v + charge - w + (x << 6) + bias, -peak), peak)
        s = flag(v >= peak)
        raw = w + rescale(v, ab, ab_shift) - rescale(w, a, a_shift) + s * jump
        w = saturate(raw, STATE_BITS)
        return s, v + s * (reset - v), w, flag(raw != w)

    def code(self, params: Params) -> Code:
        """Binary."""
        return BINARY

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """Voltages in state units, factors as multiplies and shifts; ValueError where one does not fit its width."""
        unit = np.asarray(in_scale) / (1 << FRACTION_BITS)
        ints: dict[str, Any] = {
            name: in_units(params[name], unit, name) for name in ("gap", "peak", "reset", "jump", "bias")
        }
        if ints["peak"].min() < 1 or (ints["peak"] + np.abs(ints["gap"])).max() > STATE_MAX:
            raise ValueError(f"a peak and its gap have to lie within 1 .. {STATE_MAX} state units")
        largest = ints["peak"] * (ints["peak"] + np.abs(ints["gap"]))
        fine = np.maximum(np.ceil(np.log2(largest)).astype(np.int64) - SQUARE_BITS, 0)
        ints["fine"] = fine
        ints["square"], ints["square_shift"] = multipliers_of(float(params["square"]) * unit * 2.0**fine)
        for name, factor in (("ab", float(params["a"]) * float(params["b"])), ("a", float(params["a"]))):
            ints[name], ints[f"{name}_shift"] = multiplier_of(factor)
        return Quantized(ints, BINARY, 1.0)

    def finest_unit(self, params: Params) -> float:
        """The unit at which the peak and its gap fill 24 bits."""
        return (float(params["peak"]) + abs(float(params["gap"]))) * (1 << FRACTION_BITS) / STATE_MAX

    def operations(self, params: Params) -> int:
        """Four multiplies with their shifts, eight sums, three clips, one compare, one jump, one reset."""
        return 22


MEMBER = Izhikevich()
