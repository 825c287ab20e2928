"""Neuron groups of .net files: which registered model and which integer parameters they are.

The rules are those of netx 0.6.0: du = iDecay - 1, dv = vDecay, bias shifted by 6, SDNN thresholds and biases shifted
by spike_exp + 6, RF decays taken through period and damping and truncated. ``refDelay``, ``wgtExp``, ``weight_exp``,
``gradedSpike``, ``activation`` and the training-only entries are not read by netx, hence not here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...array import Array
from ...neurons.lif import FORGET
from .fields import Fields

STATE_EXP = 6  # fixed in netx
DECAY_ONE = 1 << 12
#: the threshold of a dense block without neuron group: above any voltage
NEVER = 1 << 17
VTH_MAX = (1 << 18) - 1  # what slayer writes for an affine layer
BIAS_MAX = (1 << 15) - 1  # Lava keeps the mantissa in int16
SDNN_MAX = (1 << 19) - 1  # shifted by 12 in int32
MESSAGE_MAX = 24
SDNN_MESSAGE_BITS = 16


@dataclass(frozen=True)
class NeuronSpec:
    """A registered model with integer parameters (int64 arrays of one value or one per channel).

    ``message_bits`` is what netx hands to the next layer: 0 for binary spikes. ``inputs`` counts synapses per stream.
    """

    model: str
    params: dict[str, Any] = field(default_factory=dict)
    message_bits: int = 0
    inputs: int = 1

    @property
    def graded(self) -> bool:
        """Whether it sends anything but 0 and 1."""
        return self.model in ("delta", "sigma_delta", "sigma", "cuba_voltage")

    @property
    def silent(self) -> bool:
        """A CUBA neuron whose threshold no 24-bit voltage exceeds."""
        return self.model == "cuba_lif" and bool((np.asarray(self.params["vth"]) >= NEVER).all())


#: a dense block without neuron group integrates without leak and never fires
AFFINE = NeuronSpec("cuba_lif", {"du": -1, "dv": DECAY_ONE, "vth": NEVER, "bias": 0})


def neuron_of(
    layer: Fields, channels: int, spike_exp: int, is_input: bool, is_conv: bool
) -> NeuronSpec | None:
    """The neuron of a layer of ``channels`` channels, None after noting what is wrong."""
    group = Fields(layer.tree, layer.at("neuron"))
    kind = group.text("type")
    if kind is None:
        return None
    if kind in ("LOIHI", "CUBA"):
        return _cuba(group, channels, is_input)
    if kind == "SDNN":
        return _sdnn(group, spike_exp, is_input, is_conv)
    if "RF" in kind and not kind.startswith("AD") and not is_input:
        return _rf(group, kind, channels)
    reason = "its adaptation would be lost" if kind.startswith("AD") else "netx cannot run it"
    limit = "CUBA, LOIHI, SDNN, RF (behind an input)"
    layer.problem("ND125", "a neuron that cannot be imported", "neuron/type", f"{kind[:40]}: {reason}", limit)
    return None


def _cuba(group: Fields, channels: int, is_input: bool) -> NeuronSpec | None:
    current = per_channel(group, "iDecay", 0, DECAY_ONE, channels)
    voltage = per_channel(group, "vDecay", 0, DECAY_ONE, channels)
    threshold = per_channel(group, "vThMant", 0, VTH_MAX, channels)
    bits = group.scalar("messageBits", 0, MESSAGE_MAX, 0)
    if current is None or voltage is None or threshold is None or bits is None:
        return None
    # The input of an input layer is written into the bias, so no current is kept.
    du = FORGET if is_input else current - 1
    return NeuronSpec("cuba_lif", {"du": du, "dv": voltage, "vth": threshold, "bias": 0}, bits)


def _sdnn(group: Fields, spike_exp: int, is_input: bool, is_conv: bool) -> NeuronSpec | None:
    bits = group.scalar("messageBits", 0, MESSAGE_MAX, SDNN_MESSAGE_BITS)
    if bits is None:
        return None
    if bits == 1:
        group.problem("ND124", "signed messages need two bits", "messageBits", 1, f"2 .. {MESSAGE_MAX}")
        return None
    width = {"message_bits": bits or SDNN_MESSAGE_BITS, "input_bits": 24 if is_conv else 32}
    if not is_input and group.has("sigma_output"):
        return NeuronSpec("sigma", {**width, "message_bits": MESSAGE_MAX}, bits)
    threshold = group.scalar("vThMant", 0, SDNN_MAX)
    if threshold is None:
        return None
    common = {"vth": threshold << (spike_exp + STATE_EXP), "spike_exp": spike_exp, "state_exp": STATE_EXP}
    if is_input:
        width.pop("input_bits")
        return NeuronSpec("delta", {**common, **width, "cum_error": 0}, bits)
    return NeuronSpec("sigma_delta", {**common, **width, "bias": 0, "relu": 1, "cum_error": 0}, bits)


def _rf(group: Fields, kind: str, channels: int) -> NeuronSpec | None:
    sin = per_channel(group, "sinDecay", -DECAY_ONE, DECAY_ONE, channels)
    cos = per_channel(group, "cosDecay", -DECAY_ONE, DECAY_ONE, channels)
    threshold = group.scalar("vThMant", 0, VTH_MAX)
    if sin is None or cos is None or threshold is None:
        return None
    sin_decay, cos_decay = recomputed_decays(sin, cos)
    params = {"sin_decay": sin_decay, "cos_decay": cos_decay, "vth": threshold << STATE_EXP}
    return NeuronSpec("rf" if "PHASE" in kind else "rf_iz", params, inputs=2)


def recomputed_decays(sin: Array, cos: Array) -> tuple[Array, Array]:
    """The integer decays that reach Lava: netx goes through period and damping, and Lava truncates.

    Rounding on the way can cost a unit, so the operations are netx's, one by one, in float64.
    """
    s, c = sin / DECAY_ONE, cos / DECAY_ONE
    damping = 1 - np.sqrt(s**2 + c**2)
    with np.errstate(divide="ignore"):
        period = 1 / (np.arctan2(s, c) / 2 / np.pi)
    turn = np.pi * 2 * 1 / period
    sin_decay, cos_decay = (1 - damping) * np.sin(turn), (1 - damping) * np.cos(turn)
    return tuple((part * DECAY_ONE).astype(np.int32).astype(np.int64) for part in (sin_decay, cos_decay))  # type: ignore[return-value]


def per_channel(group: Fields, key: str, low: int, high: int, channels: int) -> Array | None:
    """One whole number, or one for each channel, as an int64 array of no or one axis."""
    value = group.whole(key, low, high)
    if value is None or value.size == 1:
        return None if value is None else value.reshape(())
    if value.shape != (channels,):
        group.problem(
            "ND126", "neither one value nor one per channel", key, f"shape {value.shape}", f"({channels},)"
        )
        return None
    return value
