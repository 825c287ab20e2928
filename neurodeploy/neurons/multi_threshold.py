"""Multi-threshold neuron of ECMT: at most one of 2n signed levels per tick, soft reset by the emitted value.

    v <- v + x;  i = the largest level whose switch point v reaches;  out = +-base * 2^i;  v <- v - out
Switch points of level i = 0 .. n-1, by ``rule`` (Huang et al., ACM MM 2024, arXiv 2502.21193, and released code):
    0 ``ecmt_code``  base * (2^i - 1/2)          (released code of ECMT)
    1 ``nearest``    base/2 for i = 0, else 3/4 base * 2^i     (the paper's text: nearest level)
    2 ``dcgs``       3/4 base * 2^i              (released code of DCGS, same group)
Positive and negative side have their own base. No leak, no offset. Invariant: sum out = sum x - v.

Integer (parallel parameter normalization as one graded spike and one weight copy): bases are even integers in state
units, per channel; the payload is +unit_p * 2^i or -unit_n * 2^i with small integers unit_p : unit_n = base_p : base_n.
Compares are exact: 4 v >= c_i * base with integer c_i. v saturates at 24 bits.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from ..array import Array
from ..ir.fixed import flag, saturate, select
from ..ir.neuron_model import IN_MICROCODE, NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import Code, graded
from ..ir.widths import STATE_BITS

RULES = ("ecmt_code", "nearest", "dcgs")
EXPONENT = 0x7FF << 52  # bits of a positive float64 that are not its mantissa
RATIO_MAX = 16  # largest term of base_n : base_p on the wire
RATIO_TOLERANCE = 0.05  # a calibrated base_n moves by at most this, on the wire and in the state alike


def switch_quarters(i: int, rule: Any) -> Any:
    """c_i of the rule: level i is reached where 4 v >= c_i * base."""
    ecmt = (4 << i) - 2
    three = 3 << i
    return select(rule == 0, ecmt, select((rule == 1) & (i == 0), 2, three))


def _reached(quarters: Array, base_p: Any, base_n: Any, rule: int) -> Array:
    """The largest 2^i, i >= 0, whose switch point c_i * base the side of ``quarters`` reaches; 1 below all of them.

    Without a loop over levels, yet exactly as float64 compares decide. Switch points 3 * 2^i * base: the quotient by
    3 * base is at or above 2^i where its dividend is at or above the switch point, rounding included. Those of ECMT's
    code are not powers of two apart, so the level found may be the next one, and is compared once more.
    """
    unit = 4 if rule == 0 else 3
    level: Array = quarters / (unit * base_p)
    np.maximum(level, quarters / (-unit * base_n), out=level)
    if rule == 0:
        level += 0.5
    np.maximum(level, 1.0, out=level)
    bits = level.view(np.int64)
    bits &= EXPONENT  # the power of two at or below it
    if rule == 0:
        base, reach = (quarters >= 0) * base_p + (quarters < 0) * base_n, np.abs(quarters)
        level *= 1.0 - 0.5 * (reach < (4 * level - 2) * base)
        level *= 1.0 + (reach >= (8 * level - 2) * base)
    return level


class MultiThreshold(NeuronModel):
    """ECMT's neuron."""

    name = "multi_threshold"
    state = (StateVar("v", STATE_BITS),)
    float_params = ("base_p", "base_n", "levels", "rule")
    int_params = ("base_p", "base_n", "unit_p", "unit_n", "levels", "rule")
    thresholds = ("base_p", "base_n")
    example: ClassVar = {"base_p": 0.5, "base_n": 0.375, "levels": 8, "rule": 0}
    stock = False
    monotone = True
    grade = ("plausible", f"compares, shifts and graded payloads exist {IN_MICROCODE}")

    @staticmethod
    def float_step(x: Any, v: Any, base_p: Any, base_n: Any, levels: int, rule: int) -> Values:
        """One level per tick, the largest that is reached, out in source units."""
        v = v + x
        quarters, lowest = 4.0 * v, switch_quarters(0, rule)
        base = (quarters >= lowest * base_p) * base_p - (quarters <= -lowest * base_n) * base_n
        out = _reached(quarters, base_p, base_n, rule)
        np.minimum(out, 2.0 ** (levels - 1), out=out)
        out *= base
        return out, v - out

    @staticmethod
    def int_step(
        x: Any, v: Any, base_p: Any, base_n: Any, unit_p: Any, unit_n: Any, levels: int, rule: int
    ) -> Values:
        """One level per tick; out is the payload, the state loses base * 2^i."""
        raw = v + x
        v = saturate(raw, STATE_BITS)
        negative = v < 0
        base, quarters = select(negative, base_n, base_p), 4 * np.abs(v)
        level = v * 0
        for i in range(levels):
            level = select(quarters >= switch_quarters(i, rule) * base, 1 << i, level)
        level = select(negative, -level, level)
        return level * select(negative, unit_n, unit_p), v - level * base, flag(raw != v)

    def code(self, params: Params) -> Code:
        """Graded, +-unit * 2^(levels-1); at the spiking level the unit is 1."""
        unit = max(int(params.get("unit_p", 1)), int(params.get("unit_n", 1)))
        return graded(unit << (int(params["levels"]) - 1))

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """Bases in state units; base_n : base_p, the same in all channels, becomes a fraction with terms up to 16.

        Levels never reached in calibration are dropped, one spare level is kept. Raises ValueError if a base is
        below two state units.
        """
        base_p, base_n = np.asarray(params["base_p"]), np.asarray(params["base_n"])
        ratio = wire_ratio(float((base_n / base_p).flat[0]))
        grain = base_p / ratio.denominator  # worth of one payload unit
        ints = {
            name: 2 * np.rint(unit * grain / np.asarray(in_scale) / 2).astype(np.int64)
            for name, unit in (("base_p", ratio.denominator), ("base_n", ratio.numerator))
        }
        if min(a.min() for a in ints.values()) < 2:
            raise ValueError("a base is smaller than two units of the state")
        finest = float(np.minimum(base_p, base_n).min())
        used = 1 + max(0, int(np.ceil(np.log2(max(observed, float(base_p.max())) / finest))))
        levels = min(int(params["levels"]), used + 1)
        ints |= {"unit_p": ratio.denominator, "unit_n": ratio.numerator}
        ints |= {"levels": levels, "rule": params["rule"]}
        return Quantized(ints, self.code(ints), grain)

    def operations(self, params: Params) -> int:
        """Add, clip, a binary search over 2n switch points, one shift, one subtract."""
        return 5 + int(np.ceil(np.log2(2 * int(params["levels"]) + 1)))


def wire_ratio(ratio: float) -> Fraction:
    """base_n : base_p as a fraction with numerator and denominator in 1 .. 16.

    Small terms keep payloads and sums narrow, so the smallest terms within 5 % win; failing that, the nearest.
    """
    candidates = {Fraction(n, d) for n in range(1, RATIO_MAX + 1) for d in range(1, RATIO_MAX + 1)}
    close = [f for f in candidates if abs(np.log(float(f) / ratio)) <= RATIO_TOLERANCE]
    if close:
        return min(close, key=lambda f: (max(f.numerator, f.denominator), abs(np.log(float(f) / ratio))))
    return min(candidates, key=lambda f: (abs(np.log(float(f) / ratio)), f.numerator + f.denominator))


MEMBER = MultiThreshold()
