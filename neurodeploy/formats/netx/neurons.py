"""The neuron groups of .net files: numbers of a file, the registered model that they are, and back.

The rules are those of netx 0.6.0: du = iDecay - 1, dv = vDecay, bias shifted by 6, SDNN thresholds and biases shifted
by spike_exp + 6, RF decays taken through period and damping and truncated. ``refDelay``, ``wgtExp``, ``weight_exp``,
``gradedSpike``, ``activation`` and the training-only entries are not read by netx, hence not here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar

import numpy as np

from ...array import Array
from ...ir.nodes import Neuron
from .._base import Refusals
from .fields import Fields, flat

STATE_EXP = 6  # fixed in netx
DECAY_ONE = 1 << 12
#: the threshold of a dense block without neuron group: above any voltage
NEVER = 1 << 17
#: the largest threshold of a chip, which a voltage exceeds in its last 63 steps before it saturates
LARGEST = (1 << 17) - 1
VTH_MAX = (1 << 18) - 1  # what slayer writes for an affine layer
BIAS_MAX = (1 << 15) - 1  # Lava keeps the mantissa in int16
SDNN_MAX = (1 << 19) - 1  # shifted by 12 in int32
MESSAGE_MAX = 24
SDNN_MESSAGE_BITS = 16
#: bits of the sums that a sigma-delta neuron adds up, behind a convolution and elsewhere
CONV_BITS, DENSE_BITS = 24, 32
INPUT = "input"
#: what an input layer of CUBA neurons takes: a bias mantissa of 13 bits
BIAS_RANGE = (-4096, 4095)
#: models that send a sum, of which the last tick counts; of all others ticks are added up
SUMS = ("cuba_voltage", "sigma")


@dataclass(frozen=True)
class Place:
    """What a group does not say itself: the type of its layer, that one's channels, and netx's ``spike_exp``."""

    layer: str
    channels: int = 1
    spike_exp: int = 0


class NeuronGroup(ABC):
    """One neuron group, its numbers as the file holds them: int64 arrays of no axis, or of one with the channels.

    ``message_bits`` is what netx hands to the next layer: 0 for binary spikes. ``streams`` counts sums that come in,
    ``entering`` is what an input layer can take. A bias is shifted up by ``bias_exp``, its magnitude at most
    ``bias_max``; netx uses none where ``biased`` is False. ``silent``: none fires until it saturates.
    """

    models: ClassVar[tuple[str, ...]]
    graded: ClassVar[bool] = False
    streams: ClassVar[int] = 1
    bias_max: ClassVar[int] = SDNN_MAX
    model: str
    message_bits: int = 0
    bias_exp: int = STATE_EXP
    biased: bool = False
    silent: bool = False
    entering: tuple[int, int] = BIAS_RANGE

    @classmethod
    @abstractmethod
    def read(cls, group: Fields, place: Place) -> NeuronGroup | None:
        """From the file; None after noting what is wrong."""

    @classmethod
    @abstractmethod
    def of(cls, neuron: Neuron, place: Place, refusals: Refusals) -> NeuronGroup | None:
        """From a node; numbers that no file leads to are refused, and None if there is nothing near them."""

    @abstractmethod
    def params(self) -> dict[str, Any]:
        """The model's integer parameters."""

    @abstractmethod
    def fields(self) -> dict[str, Any]:
        """The datasets of the group, as slayer writes them."""


@dataclass(frozen=True, eq=False)
class Cuba(NeuronGroup):
    """CUBA and LOIHI: Lava's LIF. One that is not meant to fire, at the end of a network, is read by its voltage."""

    models = ("cuba_lif", "cuba_voltage")
    bias_max = BIAS_MAX
    biased = True
    current: Array
    voltage: Array
    threshold: Array
    message_bits: int = 0
    model: str = "cuba_lif"

    @classmethod
    def read(cls, group: Fields, place: Place) -> Cuba | None:
        """The input of an input layer is written into the bias, so no current is kept there."""
        current = group.per_channel("iDecay", 0, DECAY_ONE, place.channels)
        voltage = group.per_channel("vDecay", 0, DECAY_ONE, place.channels)
        threshold = group.per_channel("vThMant", 0, VTH_MAX, place.channels)
        bits = group.scalar("messageBits", 0, MESSAGE_MAX, 0)
        if current is None or voltage is None or threshold is None or bits is None:
            return None
        return cls(np.asarray(DECAY_ONE) if place.layer == INPUT else current, voltage, threshold, bits)

    @classmethod
    def of(cls, neuron: Neuron, place: Place, refusals: Refusals) -> Cuba:
        """Decays of 12 bits, thresholds of 18."""
        du, dv, vth = neuron.params["du"], neuron.params["dv"], neuron.params.get("vth", VTH_MAX)
        found = cls(np.asarray(du) + 1, np.asarray(dv), np.asarray(vth), model=neuron.model)
        limits = ((found.current, DECAY_ONE), (found.voltage, DECAY_ONE), (found.threshold, VTH_MAX))
        outside = any(not 0 <= numbers.min() <= numbers.max() <= limit for numbers, limit in limits)
        if outside or (place.layer == INPUT and (found.current != DECAY_ONE).any()):
            refusals.add(neuron.name, "decays or threshold outside what the file holds", "12 and 18 bits")
        return found

    @property
    def silent(self) -> bool:  # type: ignore[override]
        """Every threshold is as large as a chip's can be."""
        return bool((self.threshold >= LARGEST).all())

    def params(self) -> dict[str, Any]:
        """Of ``cuba_lif``."""
        return {"du": self.current - 1, "dv": self.voltage, "vth": self.threshold, "bias": 0}

    def fields(self) -> dict[str, Any]:
        """Decays and threshold."""
        numbers = {"iDecay": self.current, "vDecay": self.voltage, "vThMant": self.threshold}
        held = {key: flat(value) for key, value in numbers.items()}
        return {"type": "CUBA", **held, "refDelay": 1, "gradedSpike": False}


#: a dense block without neuron group integrates without leak and never fires
AFFINE = Cuba(np.asarray(0), np.asarray(DECAY_ONE), np.asarray(NEVER))


@dataclass(frozen=True, eq=False)
class Sdnn(NeuronGroup):
    """SDNN: ``sigma_delta`` with ReLU; ``delta`` alone as an input layer; ``sigma`` alone with ``sigma_output``."""

    models = ("delta", "sigma_delta", "sigma")
    graded = True
    model: str
    place: Place
    threshold: int = 0
    message_bits: int = SDNN_MESSAGE_BITS

    @classmethod
    def read(cls, group: Fields, place: Place) -> Sdnn | None:
        """A Sigma has no threshold."""
        bits = group.scalar("messageBits", 0, MESSAGE_MAX, SDNN_MESSAGE_BITS)
        if bits is None:
            return None
        if bits == 1:
            group.problem("ND124", "signed messages need two bits", "messageBits", 1, f"2 .. {MESSAGE_MAX}")
            return None
        if place.layer != INPUT and group.has("sigma_output"):
            return cls("sigma", place, message_bits=bits)
        threshold = group.scalar("vThMant", 0, SDNN_MAX)
        model = "delta" if place.layer == INPUT else "sigma_delta"
        return None if threshold is None else cls(model, place, threshold, bits)

    @classmethod
    def of(cls, neuron: Neuron, place: Place, refusals: Refusals) -> Sdnn:
        """Parameters other than those that netx gives to every such neuron are refused."""
        found = cls(neuron.model, replace(place, spike_exp=int(neuron.params.get("spike_exp", 0))))
        wanted = found.params()
        fixed = [k for k in ("message_bits", "input_bits", "state_exp", "cum_error", "relu") if k in wanted]
        wrong = [k for k in fixed if np.any(np.asarray(neuron.params[k]) != wanted[k])]
        if wrong:
            shown = ({k: table[k] for k in wrong} for table in (neuron.params, wanted))
            refusals.add(neuron.name, *map(str, shown))
        if neuron.model == "sigma":
            return found
        shift, vth = found.bias_exp, np.asarray(neuron.params["vth"])
        if vth.size != 1 or (vth & ((1 << shift) - 1)).any() or not 0 <= vth.min() >> shift <= SDNN_MAX:
            refusals.add(neuron.name, f"threshold {vth.min()}", f"one whole multiple of 2^{shift}")
        return replace(found, threshold=int(vth.ravel()[0]) >> shift)

    @property
    def bias_exp(self) -> int:  # type: ignore[override]
        """Threshold and bias have the binary point of graded spikes."""
        return self.place.spike_exp + STATE_EXP

    @property
    def biased(self) -> bool:  # type: ignore[override]
        """Lava gives a Delta and a Sigma none."""
        return self.model == "sigma_delta"

    @property
    def entering(self) -> tuple[int, int]:  # type: ignore[override]
        """What fits into messages once the binary point is added."""
        limit = ((1 << ((self.message_bits or SDNN_MESSAGE_BITS) - 1)) - 1) >> self.place.spike_exp
        return -limit, limit

    def params(self) -> dict[str, Any]:
        """Of the model."""
        summed = {"input_bits": CONV_BITS if self.place.layer in ("conv", "pool") else DENSE_BITS}
        if self.model == "sigma":
            return {"message_bits": MESSAGE_MAX, **summed}
        exps = {"spike_exp": self.place.spike_exp, "state_exp": STATE_EXP}
        messages = {"message_bits": self.message_bits or SDNN_MESSAGE_BITS}
        own = {**summed, "bias": 0, "relu": 1} if self.biased else {}
        return {"vth": self.threshold << self.bias_exp, **exps, **messages, **own, "cum_error": 0}

    def fields(self) -> dict[str, Any]:
        """Threshold and activation, which netx does not read."""
        sigma = {"sigma_output": True} if self.model == "sigma" else {}
        return {"type": "SDNN", "activation": "relu", "vThMant": self.threshold, **sigma}


@dataclass(frozen=True, eq=False)
class Rf(NeuronGroup):
    """RF and RF_PHASE: resonate and fire, behind complex weights."""

    models = ("rf", "rf_iz")
    streams = 2
    model: str
    sin: Array
    cos: Array
    threshold: int

    @classmethod
    def read(cls, group: Fields, place: Place) -> Rf | None:
        """``rf`` fires by phase, ``rf_iz`` by the imaginary part."""
        sin = group.per_channel("sinDecay", -DECAY_ONE, DECAY_ONE, place.channels)
        cos = group.per_channel("cosDecay", -DECAY_ONE, DECAY_ONE, place.channels)
        threshold = group.scalar("vThMant", 0, VTH_MAX)
        if sin is None or cos is None or threshold is None:
            return None
        return cls("rf" if "PHASE" in (group.text("type") or "") else "rf_iz", sin, cos, threshold)

    @classmethod
    def of(cls, neuron: Neuron, place: Place, refusals: Refusals) -> Rf | None:
        """None where no decays of a file lead to its decays."""
        sin, cos, vth = (np.asarray(neuron.params[n]) for n in ("sin_decay", "cos_decay", "vth"))
        stored = [_before_netx(int(s), int(c)) for s, c in np.broadcast(sin, cos)]
        if None in stored or vth.size != 1 or (vth % (1 << STATE_EXP)).any():
            refusals.add(neuron.name, "decays or a threshold that netx does not arrive at", "12-bit decays")
            return None
        pairs = np.array(stored)
        return cls(neuron.model, pairs[:, 0], pairs[:, 1], int(vth.ravel()[0]) >> STATE_EXP)

    def params(self) -> dict[str, Any]:
        """Of the model."""
        sin_decay, cos_decay = recomputed_decays(self.sin, self.cos)
        return {"sin_decay": sin_decay, "cos_decay": cos_decay, "vth": self.threshold << STATE_EXP}

    def fields(self) -> dict[str, Any]:
        """Decays and threshold."""
        decays = {"sinDecay": flat(self.sin), "cosDecay": flat(self.cos)}
        return {"type": "RF_PHASE" if self.model == "rf" else "RF", **decays, "vThMant": self.threshold}


def recomputed_decays(sin: Array, cos: Array) -> tuple[Array, Array]:
    """The integer decays that reach Lava: netx goes through period and damping, and Lava truncates.

    Rounding on the way can cost a unit, so the operations are netx's, one by one, in float64.
    """
    s, c = sin / DECAY_ONE, cos / DECAY_ONE
    damping = 1 - np.sqrt(s**2 + c**2)
    with np.errstate(divide="ignore"):
        period = 1 / (np.arctan2(s, c) / 2 / np.pi)
    turn = np.pi * 2 * 1 / period
    sin_decay, cos_decay = (1 - damping) * np.sin(turn) * DECAY_ONE, (1 - damping) * np.cos(turn) * DECAY_ONE
    return sin_decay.astype(np.int32).astype(np.int64), cos_decay.astype(np.int32).astype(np.int64)


def _before_netx(sin: int, cos: int) -> tuple[int, int] | None:
    """Decays for the file from which netx arrives at these: the same ones, or neighbours."""
    for a, b in sorted(product(range(-2, 3), repeat=2), key=lambda p: abs(p[0]) + abs(p[1])):
        s, c = sin + a, cos + b
        found = recomputed_decays(np.asarray(s), np.asarray(c))
        if max(abs(s), abs(c)) <= DECAY_ONE and (int(found[0]), int(found[1])) == (sin, cos):
            return s, c
    return None


#: the kind of group that holds the neurons of a model
HOLDS: dict[str, type[NeuronGroup]] = {model: kind for kind in (Cuba, Sdnn, Rf) for model in kind.models}


def read(group: Fields, place: Place) -> NeuronGroup | None:
    """The neuron group of a file, None after noting what is wrong."""
    kind = group.text("type")
    if kind is None:
        return None
    known: dict[str, type[NeuronGroup]] = {"LOIHI": Cuba, "CUBA": Cuba, "SDNN": Sdnn}
    if "RF" in kind and not kind.startswith("AD") and place.layer != INPUT:
        known[kind] = Rf
    if kind in known:
        return known[kind].read(group, place)
    reason = "its adaptation would be lost" if kind.startswith("AD") else "netx cannot run it"
    limit = "CUBA, LOIHI, SDNN, RF (behind an input)"
    group.problem("ND125", "a neuron that cannot be imported", "type", f"{kind[:40]}: {reason}", limit)
    return None
