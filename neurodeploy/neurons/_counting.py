"""What neurons share that send a count: a quantiser with a residue, and where a value half-way between two goes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.fixed import flag, saturate
from ..ir.neuron_model import IN_MICROCODE, NeuronModel, Params, Quantized, Scale, StateVar, Values
from ..ir.types import Code, multi
from ..ir.widths import STATE_BITS

#: largest count: a payload of 8 bits, sign included
COUNT_MAX = 127


class Counting(NeuronModel):
    """The parts that do not depend on where a half goes."""

    state = (StateVar("v", STATE_BITS),)
    float_params = ("step", "positive", "negative")
    int_params = ("theta", "positive", "negative")
    thresholds = ("theta",)
    stock = False
    monotone = True
    quantises = True
    traced = "searched_step"
    grade = ("plausible", f"compares and graded payloads exist {IN_MICROCODE}")

    def code(self, params: Params) -> Code:
        """A signed count up to the larger of both limits."""
        limit = max(int(params["positive"]), int(params["negative"]))
        return multi(limit, signed=int(params["negative"]) > 0)

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """The step in state units. Raises ValueError where it is below one of them or above 2^22."""
        ints, worth = in_steps(params, in_scale, "state")
        return Quantized(ints, self.code(ints), worth)

    def operations(self, params: Params) -> int:
        """Add, clip, a binary search over the switch points, one multiply, one subtract."""
        points = int(params["positive"]) + int(params["negative"])
        return 5 + int(np.ceil(np.log2(points + 1)))


def in_steps(params: Params, in_scale: Scale, what: str) -> tuple[dict[str, Any], Scale]:
    """Integer parameters of steps and counts, and what a count is worth.

    A step for each channel is at least one unit of ``what``, and worth what its integer says: channels differ in size,
    and small ones cannot say more than their integers do. Raises ValueError where a step for all is below a unit, and
    where any is above 2^22.
    """
    step, unit = np.asarray(params["step"]), np.asarray(in_scale)
    theta = np.rint(step / unit).astype(np.int64)
    if theta.max() > 1 << 22:
        raise ValueError(f"a quantisation step does not fit the width of the {what}")
    counts = {"positive": int(params["positive"]), "negative": int(params["negative"])}
    if step.ndim:
        theta = np.maximum(theta, 1)
        return {"theta": theta, **counts}, theta * unit
    if theta.min() < 1:
        raise ValueError(f"a quantisation step is smaller than one unit of the {what}")
    return {"theta": theta, **counts}, params["step"]


def counted(x: Any, v: Any, theta: Any, positive: int, negative: int, even: int) -> Values:
    """One integer step; out is the signed count.

    A value half-way between two counts goes up or, with ``even`` 1, to the one of the two that is even.
    """
    raw = v + x
    m = saturate(raw, STATE_BITS)
    halves = 2 * m + theta
    out = halves // (2 * theta)
    if even:
        out = out - (out & 1) * flag(halves == 2 * out * theta)
    out = np.minimum(np.maximum(out, -negative), positive)
    return out, m - theta * out, flag(raw != m)


def searched(x: Any, v: Any, theta: Any, positive: int, negative: int, even: int) -> Values:
    """:func:`counted` by a binary search: vectors of a processor have compares, and no division of integers."""
    raw = v + x
    m = saturate(raw, STATE_BITS)
    halves, out = 2 * m + theta, m * 0 - negative
    for place in range(COUNT_MAX.bit_length(), -1, -1):
        if (positive + negative) >> place:
            up = out + (1 << place)  # a half reaches it unless it is odd and halves go to even counts
            out = out + (flag(halves >= 2 * up * theta + even * (up & 1)) << place)
    out = np.minimum(out, positive)
    return out, m - theta * out, flag(raw != m)
