"""Lava's neurons of differences: an encoder (Delta), a decoder (Sigma), and both around a ReLU (SigmaDelta).

What they send saturates at ``message_bits``. That is not Lava's, whose messages have no width; each clipped message is
counted.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..ir.fixed import flag, saturate, select, wrap
from ..ir.types import Code, graded
from ..ir.widths import MESSAGE_BITS, REGISTER_BITS, STATE_BITS
from ._base import NeuronModel, Params, Quantized, Scale, StateVar, Values

DELTA_BITS = 16  # of a message of differences: lava-dl's default
INPUT_BITS = 32


def delta_rule(act: Any, last: Any, residue: Any, error: Any, vth: Any, cum_error: Any) -> Values:
    """(spike, residue, error) in int32: the change of ``act`` is sent where it, or its sum, reaches ``vth``."""
    delta = wrap(act - last + residue, 32)
    total = wrap(error + delta, 32) * cum_error
    key = select(cum_error != 0, total, delta)
    spike = delta * flag(wrap(np.abs(key), 32) >= vth)  # |-2^31| is -2^31 in int32
    error = total * (1 - flag(wrap(np.abs(spike), 32) > 0))
    return spike, delta - spike, error


def float_delta_rule(act: Any, last: Any, residue: Any, error: Any, threshold: Any, cum_error: Any) -> Values:
    """(spike, residue, error) in real numbers."""
    delta = act - last + residue
    total = (error + delta) * cum_error
    spike = np.where(np.abs(np.where(cum_error, total, delta)) >= threshold, delta, 0.0)
    return spike, delta - spike, total * np.where(spike == 0, 1.0, 0.0)


def shift_for(observed: float, in_scale: Scale) -> int:
    """Bits to drop from a state so that changes up to twice ``observed`` fit a message of DELTA_BITS bits."""
    units = 2.0 * max(observed, 0.0) / float(np.min(in_scale))
    return max(0, int(np.ceil(np.log2(max(units, 1.0)))) - (DELTA_BITS - 1))


def payload(params: Params, default: int) -> Code:
    """Graded, as wide as ``message_bits`` says."""
    return graded((1 << (int(params.get("message_bits", default)) - 1)) - 1)


class Delta(NeuronModel):
    """Sends what its input changed by, once the change is large enough (Lava's Delta).

    Float (Lava's floating model):
        d = x - act + residue;  s = d where |d| >= threshold, else 0;  residue <- d - s;  act <- x
    With ``cum_error`` the sum of d since the last spike is compared instead of d.
    Integer: Lava 0.10.0 ``PyDeltaModelFixed`` to the bit, int32 registers included:
        a = wrap32(x << (spike_exp + state_exp));  d, s, residue as above, vth = threshold << (spike_exp + state_exp)
        out = s >> state_exp, saturated at ``message_bits``
    """

    name = "delta"
    state = tuple(StateVar(name, REGISTER_BITS, declared=STATE_BITS) for name in ("act", "residue", "error"))
    float_params = ("threshold", "cum_error")
    int_params = ("vth", "spike_exp", "state_exp", "cum_error", "message_bits")
    thresholds = ("vth",)
    example: ClassVar = {"threshold": 0.25, "cum_error": 0}
    stock = True
    grade = ("documented", "sigma-delta neurons with graded spikes ship with Lava for Loihi 2")

    @staticmethod
    def float_step(x: Any, act: Any, residue: Any, error: Any, threshold: Any, cum_error: Any) -> Values:
        """Lava's floating Delta."""
        spike, residue, error = float_delta_rule(x, act, residue, error, threshold, cum_error)
        return spike, x, residue, error

    @staticmethod
    def int_step(
        x: Any,
        act: Any,
        residue: Any,
        error: Any,
        vth: Any,
        spike_exp: int,
        state_exp: int,
        cum_error: int,
        message_bits: int,
    ) -> Values:
        """Lava's fixed-point Delta, messages saturated."""
        new = wrap(x << (spike_exp + state_exp), 32)
        spike, residue, error = delta_rule(new, act, residue, error, vth, cum_error)
        raw = spike >> state_exp
        out = saturate(raw, message_bits)
        return out, new, residue, error, flag(raw != out)

    def code(self, params: Params) -> Code:
        """Graded, ``message_bits`` wide."""
        return payload(params, DELTA_BITS)

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """State in input units; only what does not fit a message of 16 bits is shifted out."""
        shift = shift_for(observed, in_scale)
        vth = np.rint(np.asarray(params["threshold"]) / np.asarray(in_scale)).astype(np.int64)
        ints = {"vth": vth, "spike_exp": -shift, "state_exp": shift}
        ints |= {"cum_error": int(params["cum_error"]), "message_bits": DELTA_BITS}
        return Quantized(ints, self.code(ints), np.asarray(in_scale) * 2.0**shift)

    def operations(self, params: Params) -> int:
        """Two shifts, three adds, a magnitude, a compare, a select, a clip."""
        return 9


class Sigma(NeuronModel):
    """The running sum of its input, sent at every tick (Lava's Sigma, the read-out of sigma-delta networks).

    Float:  sigma += x;  the output is sigma.
    Integer: Lava 0.10.0 ``PySigmaModelFixed`` to the bit, a 32-bit register that wraps. What is sent saturates at
    ``message_bits``. ``input_bits`` as in :class:`SigmaDelta`.
    """

    name = "sigma"
    state = (StateVar("sigma", REGISTER_BITS, declared=STATE_BITS),)
    int_params = ("message_bits", "input_bits")
    thresholds = ()
    modular = True
    stock = True
    grade = ("documented", "sigma-delta neurons with graded spikes ship with Lava for Loihi 2")

    @staticmethod
    def float_step(x: Any, sigma: Any) -> Values:
        """The running sum."""
        return sigma + x, sigma + x

    @staticmethod
    def int_step(x: Any, sigma: Any, message_bits: int, input_bits: int) -> Values:
        """The running sum in 32 bits, sent in ``message_bits``."""
        sigma = wrap(sigma + wrap(x, input_bits), 32)
        out = saturate(sigma, message_bits)
        return out, sigma, flag(sigma != out)

    def code(self, params: Params) -> Code:
        """Graded, ``message_bits`` wide."""
        return payload(params, MESSAGE_BITS)

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """Nothing to choose: a unit of the sum is one of the input."""
        ints = {"message_bits": MESSAGE_BITS, "input_bits": INPUT_BITS}
        return Quantized(ints, self.code(ints), np.asarray(in_scale))

    def operations(self, params: Params) -> int:
        """One add, one clip."""
        return 2


class SigmaDelta(NeuronModel):
    """Sums up changes, applies ReLU, sends the change of the result (Lava's SigmaDelta).

    Float (Lava's floating model):  sigma += x;  act = f(sigma + bias) with f = ReLU (``relu`` 1) or none (0);  then the
    rule of :class:`Delta` on act.
    Integer: Lava 0.10.0 ``PySigmaDeltaModelFixed`` to the bit, int32 registers that wrap included. ``bias`` and ``vth``
    are already shifted by spike_exp + state_exp; the input is not, its unit is the state's. out = s >> state_exp,
    saturated at ``message_bits``. ``input_bits`` is the width at which the sum of the synapse in front wraps in Lava:
    24 behind a Conv, 32 behind a Dense.
    """

    name = "sigma_delta"
    state = tuple(
        StateVar(name, REGISTER_BITS, declared=STATE_BITS) for name in ("sigma", "act", "residue", "error")
    )
    float_params = ("bias", "threshold", "relu", "cum_error")
    int_params = ("bias", "vth", "state_exp", "relu", "cum_error", "message_bits", "input_bits")
    thresholds = ("vth",)
    example: ClassVar = {"bias": 0.0, "threshold": 0.25, "relu": 1, "cum_error": 0}
    modular = True
    stock = True
    grade = ("documented", "sigma-delta neurons with graded spikes ship with Lava for Loihi 2")

    @staticmethod
    def float_step(
        x: Any,
        sigma: Any,
        act: Any,
        residue: Any,
        error: Any,
        bias: Any,
        threshold: Any,
        relu: Any,
        cum_error: Any,
    ) -> Values:
        """Lava's floating SigmaDelta."""
        sigma = sigma + x
        new = np.where(relu, np.maximum(sigma + bias, 0.0), sigma + bias)
        spike, residue, error = float_delta_rule(new, act, residue, error, threshold, cum_error)
        return spike, sigma, new, residue, error

    @staticmethod
    def int_step(
        x: Any,
        sigma: Any,
        act: Any,
        residue: Any,
        error: Any,
        bias: Any,
        vth: Any,
        state_exp: int,
        relu: int,
        cum_error: int,
        message_bits: int,
        input_bits: int,
    ) -> Values:
        """Lava's fixed-point SigmaDelta, messages saturated."""
        sigma = wrap(sigma + wrap(x, input_bits), 32)
        linear = wrap(sigma + bias, 32)
        new = select(relu != 0, np.maximum(linear, 0), linear)
        spike, residue, error = delta_rule(new, act, residue, error, vth, cum_error)
        raw = spike >> state_exp
        out = saturate(raw, message_bits)
        return out, sigma, new, residue, error, flag(raw != out)

    def code(self, params: Params) -> Code:
        """Graded, ``message_bits`` wide."""
        return payload(params, DELTA_BITS)

    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """State in input units; only what does not fit a message of 16 bits is shifted out."""
        shift, unit = shift_for(observed, in_scale), np.asarray(in_scale)
        ints = {
            "bias": np.rint(np.asarray(params["bias"]) / unit).astype(np.int64),
            "vth": np.rint(np.asarray(params["threshold"]) / unit).astype(np.int64),
        }
        ints |= {"state_exp": shift, "relu": int(params["relu"]), "cum_error": int(params["cum_error"])}
        ints |= {"message_bits": DELTA_BITS, "input_bits": INPUT_BITS}
        return Quantized(ints, self.code(ints), unit * 2.0**shift)

    def operations(self, params: Params) -> int:
        """Five adds, a maximum, a magnitude, a compare, a select, a shift, a clip."""
        return 11


MEMBERS = [Delta(), Sigma(), SigmaDelta()]
