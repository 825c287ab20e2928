"""Elementwise functions that bend between two straight lines: ELU and its kin, Softplus, Mish.

    y = gain max(x, 0) + height r(rate x)
r is a curve that is constant outside of [-reach, reach], so one table of it does whatever the parameters are. It holds
the sides of r that differ: both one after the other, one where r is even, the left one where r is 0 on the right. Step
1/64, unit 2^-20, linear between entries, position with 12 fraction bits. Both terms are rescaled, added, saturated.
Widths: position < 2^23; |r| <= 2^20; both rescales are 64-bit products of at most 48 bits for |x| < 2^32.
Error: |y - f(x)| <= 1 output unit + 3.6e-5 |height| + 2^-15 gain max(x, 0) + 2^-15 |height r|, of which 3.1e-5 |height|
is the chord error step^2/8 * max|r''| for |r''| <= 1.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from ..array import Array
from ..ir.fixed import rescale, saturate
from ..ir.micro_op import MicroOp, Params, QuantizedMicro
from ..ir.types import Fixed, Interval
from ._program import check_reach, finest_unit, out_bits, out_scale
from ._rescale import Rescale
from ._table import INTERPOLATE_OPS, POSITION_OPS, bits_of, interpolate, position, position_params

STEPS = 64  # entries per unit of the curve's argument
FRACTION_BITS = 12
R_BITS = 20  # fraction of a table entry
FINEST_OUT = 2.0**-33  # finer output units ask the rescale of r for more than its 16-bit multiplier


class Bent(MicroOp):
    """One curve r with its lines; a member says r and how its parameters make gain, height and rate."""

    #: from here on r is constant to half a unit of the table
    reach: int = 16
    #: which sides of r the table holds: "both", "even", or "left" where r is 0 on the right
    sides: str = "both"

    @abstractmethod
    def curve(self, u: Array) -> Array:
        """r(u)."""

    @abstractmethod
    def lines(self, params: Params) -> tuple[float, float, float]:
        """(gain, height, rate); gain and rate are above 0."""

    def int_apply(self, x: Array, params: Params) -> tuple[Array, Array | int]:
        """The integer program; second: 1 where the output saturated."""
        table, sides = params["table"], 1 + params["both"]
        top = ((table.size // sides - 1) << FRACTION_BITS) - 1
        place = position(np.maximum(-x, 0) if params["left"] else np.abs(x), params, top)
        behind = np.where(x < 0, table.size // sides, 0) if params["both"] else 0
        r = interpolate(table, place + (behind << FRACTION_BITS), FRACTION_BITS)
        raw = rescale(np.maximum(x, 0), params["out_multiplier"], params["out_shift"])
        raw = raw + rescale(r, params["r_multiplier"], params["r_shift"])
        y = saturate(raw, params["bits"])
        return y, np.where(raw != y, 1, 0)

    def quantize(self, params: Params, fixed: Fixed, interval: Interval, options: Params) -> QuantizedMicro:
        """Default unit: the finest power-of-two multiple of the input's that holds both terms in ``out_bits``.

        A wanted unit finer than 2^-33 becomes 2^-33.
        """
        check_reach(fixed, interval)
        gain, height, rate = self.lines(params)
        bits, table = out_bits(options), self._table(height)
        reached = float(np.abs(table).max()) * 2.0**-R_BITS * abs(height) / float(np.max(fixed.scale))
        largest = gain * max(interval.hi, 0) + reached
        scale = np.maximum(out_scale(options, finest_unit(fixed, largest, bits)), FINEST_OUT)
        factor = np.asarray(fixed.scale) * rate * STEPS * 2.0**FRACTION_BITS
        both = self.sides == "both"
        ints = position_params(factor, ((table.size // (1 + both) - 1) << FRACTION_BITS) - 1)
        line = Rescale.params(gain * np.asarray(fixed.scale) / np.asarray(scale), bits)
        bend = Rescale.params(abs(height) * 2.0**-R_BITS / np.asarray(scale), bits)
        ints |= {"table": table, "bits": bits, "both": int(both), "left": int(self.sides == "left")}
        ints |= {"out_multiplier": line["multiplier"], "out_shift": line["shift"]}
        ints |= {"r_multiplier": bend["multiplier"], "r_shift": bend["shift"]}
        ends = (np.asarray(end, dtype=np.int64) for end in (interval.lo, interval.hi))
        low, high = self._reached(ints, *ends)
        proven = Interval(int(np.min(low)), int(np.max(high)), interval.proven)
        return QuantizedMicro(ints, Fixed(bits, True, scale), proven)

    def _table(self, height: float) -> Array:
        """r with the sign of its height, from 0 outwards: to the right, to the left, or both in this order."""
        points = np.linspace(0.0, self.reach, self.reach * STEPS + 1)
        sides = {"both": (points, -points), "even": (points,), "left": (-points,)}[self.sides]
        table: Array = np.rint(np.sign(height) * self.curve(np.concatenate(sides)) * 2.0**R_BITS).astype(
            np.int64
        )
        return table

    def _reached(self, ints: Params, lo: Array, hi: Array) -> tuple[Array, Array]:
        """The line at both ends and the least and the largest r, saturated."""
        line = [rescale(np.maximum(end, 0), ints["out_multiplier"], ints["out_shift"]) for end in (lo, hi)]
        extremes = ints["table"].min(), ints["table"].max()
        bend = [rescale(extreme, ints["r_multiplier"], ints["r_shift"]) for extreme in extremes]
        return saturate(line[0] + np.min(bend[0]), ints["bits"]), saturate(
            line[1] + np.max(bend[1]), ints["bits"]
        )

    def bounds(self, params: Params, lo: Array, hi: Array) -> tuple[Array, Array] | None:
        """What both terms reach by themselves."""
        return self._reached(params, lo, hi)

    def operations(self, params: Params, width: int) -> int:
        """Magnitude, side, position, interpolation, maximum, two rescales, an add, two compares per element."""
        return (2 + POSITION_OPS + INTERPOLATE_OPS + 1 + 6 + 1 + 2) * width

    def table_bits(self, params: Params) -> int:
        """The table of r."""
        return bits_of(params["table"])


def number(params: Params, name: str, default: float) -> float:
    """A parameter as a number."""
    value: Any = params.get(name, default)
    return float(value)
