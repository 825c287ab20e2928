"""Which process of Lava means the same integers as a node, and with which arguments. Needs no Lava.

Checked against the sources of Lava 0.10.0 (models with tag ``fixed_pt``) and by tests at the edges. What Lava's
processes do with numbers outside the ranges asked for here differs from what the graph means, so outside them a node
runs in an own process, and the reason is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from ...array import Array, wide
from ...ir.fixed import bits_for
from ...ir.graph import Graph
from ...ir.nodes import Neuron, Synapse
from .wiring import Op

#: Conv wraps its sums to 24 bits
CONV_REACH = 1 << 23
#: Dense and Sparse sum twice the weight in int32
DENSE_REACH = 1 << 30
INT32 = 1 << 31
SMALL_FIELDS = 127  # Conv keeps kernel size, stride, padding and number of groups in int8
DELAYS = 63  # Loihi 2's six bits, which DelayDense checks
SPARSE_ENTRIES = 1 << 22  # an unrolled convolution larger than this stays an own process
BIAS_MANT = (-(1 << 12), (1 << 12) - 1)  # 13 bits
BIAS_EXP = 6  # a bias then weighs what a synaptic sum weighs, which LIF shifts by 6
VTH_MAX = (1 << 17) - 1


@dataclass(frozen=True, eq=False)
class Stock:
    """A process of Lava: class name, keyword arguments, shapes of its ports, and how values fit these.

    ``before`` turns the node's input into what the in port takes, ``after`` what the out port sends into the node's
    value.
    """

    process: str
    arguments: Mapping[str, Any]
    before: tuple[Op, ...] = ()
    after: tuple[Op, ...] = ()
    ins: tuple[str, ...] = ("s_in",)
    variables: Mapping[str, Any] = field(default_factory=dict)  # set after construction
    message_bits: int | None = None  # width of the population's messages, which Lava's process does not check
    folds: bool = False  # whether the biases of what it reads are part of it


@dataclass(frozen=True)
class Own:
    """Why no process of Lava will do."""

    reason: str


class Unfit(ValueError):
    """Raised on the way to a process of Lava where none will do; its text is the reason."""


@dataclass(frozen=True, eq=False)
class Place:
    """What a neuron's process must know of its surroundings.

    ``depth``: step of tick t is t + depth; ``period``: steps from sample to sample, None for a single sample; ``bias``:
    constant part of the input, of the population's shape. What arrives before tick 1 of a single sample is zero.
    ``reach``: largest magnitude of an input; ``from_lava``: all of it comes from connections of Lava, ``from_conv``:
    from one Conv.
    """

    shape: tuple[int, ...]
    depth: int
    period: int | None
    bias: Array | None = None
    reach: int = 0
    from_lava: bool = False
    from_conv: bool = False


# --- connections -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Link:
    """A Synapse from a value of shape ``source`` to one of ``shape``.

    ``reach``: largest magnitude of a sum; ``bits`` of what is sent, 0 for plain spikes; ``wraps``: as those of
    :func:`connection`.
    """

    node: Synapse
    source: tuple[int, ...]
    shape: tuple[int, ...]
    reach: int
    bits: int
    wraps: int | None

    @property
    def flat(self) -> bool:
        """Whether it is one matrix, shared by nothing."""
        return self.node.op == "dense" and prod(self.source) == self.node.weight.shape[-1]

    @property
    def fits_conv(self) -> bool:
        """Whether Lava's Conv holds sums and numbers."""
        small = (*self.node.weight.shape[2:], *self.node.stride, *self.node.padding, self.node.groups)
        fits = self.node.op == "dense" or max(small) <= SMALL_FIELDS
        return fits and self.reach < (INT32 if self.wraps == 24 else CONV_REACH)


def connection(graph: Graph, node: Synapse, lag: int, wraps: int | None = None) -> Stock | Own:
    """The process for a Synapse whose sum is due ``lag`` steps after what it reads was sent, delays not counted.

    Its bias is left out: whoever takes the sum adds it. ``wraps``: the only reader looks at no more than these low bits
    of the sum, as populations of lava-dl do.
    """
    source = graph.values[node.inputs[0]]
    if source.interval is None or not np.issubdtype(node.weight.dtype, np.integer):
        return Own("the bounds of its input are not known")
    steps = np.asarray(node.later(lag - 1))  # beyond the one step of every connection
    reach = (
        int(np.abs(wide(node.weight)).reshape(len(node.weight), -1).sum(1).max()) * source.interval.magnitude
    )
    binary = source.code.kind == "binary" and source.interval.lo >= 0 and source.interval.hi <= 1
    bits = 0 if binary else min(31, bits_for(source.interval.magnitude, source.interval.lo < 0))
    link = _Link(node, source.shape.sizes, graph.shape(node.name), reach, bits, wraps)
    try:
        if steps.any():
            return _delayed(link, steps)
        return Stock("Dense", _weights(link), *_flat(link)) if link.flat else _shared(link)
    except Unfit as why:
        return Own(str(why))


def loaded(weight: Array) -> dict[str, Any] | None:
    """Arguments of Dense that make it compute with exactly these weights; None if there are none.

    In mixed mode the lowest of nine bits is lost, so twice the weight is loaded under an exponent of -1. The mode is
    always named: Lava's guess for a matrix without positive entries clips -256. All nine bits of lava-dl's widest
    weights survive where nine are asked for, as netx does.
    """
    weight = wide(weight)
    shift = _shift(weight)
    mantissa = weight >> shift
    lo, hi = int(mantissa.min(initial=0)), int(mantissa.max(initial=0))
    if lo >= -128 and hi <= 127:
        return {"weights": mantissa << 1, "weight_exp": shift - 1, "sign_mode": "MIXED"}
    for mode, low, high in (("EXCITATORY", 0, 255), ("INHIBITORY", -255, 0)):
        if lo >= low and hi <= high:
            return {"weights": mantissa, "weight_exp": shift, "sign_mode": mode}
    if lo >= -256 and hi <= 255:
        return {"weights": mantissa, "weight_exp": shift, "sign_mode": "MIXED", "num_weight_bits": 9}
    return None


def _shift(array: Array) -> int:
    """How many low bits are zero in all entries; 0 where there is nothing else."""
    common = int(np.bitwise_or.reduce(np.abs(array).ravel(), initial=0))
    return max(0, (common & -common).bit_length() - 1)


def _weights(link: _Link) -> dict[str, Any]:
    found = loaded(link.node.weight)
    if found is None:
        raise Unfit("weights need more than 9 bits")
    if link.reach >= DENSE_REACH and (link.wraps != 32 or found["weight_exp"] < 0):
        raise Unfit("sums may leave int32 inside Lava's process")
    return {**found, "weights": found["weights"].astype(np.int32), "num_message_bits": link.bits}


def _delayed(link: _Link, steps: Array) -> Stock:
    node = link.node
    if not link.flat:
        raise Unfit(f"Lava delays no {'convolution' if node.op == 'conv' else 'connection shared by tokens'}")
    if steps.max() > DELAYS:
        raise Unfit(f"a delay of {int(steps.max())} steps; DelayDense has {DELAYS}")
    delays = np.broadcast_to(steps, node.weight.shape).astype(np.int64)
    return Stock("DelayDense", {**_weights(link), "delays": delays}, *_flat(link))


def _flat(link: _Link) -> tuple[tuple[Op, ...], tuple[Op, ...]]:
    before: tuple[Op, ...] = () if len(link.source) == 1 else (("reshape", (prod(link.source),)),)
    return before, () if len(link.shape) == 1 else (("reshape", link.shape),)


def _conv(link: _Link) -> Stock:
    """A convolution in Lava's (X, Y, C) order; a dense layer shared by tokens is one of 1 x 1 over the tokens."""
    node, source = link.node, link.source
    if node.op == "dense":
        tokens, outputs = prod(source[:-1]), node.weight.shape[0]
        arguments = {"weight": node.weight[:, None, None, :], "input_shape": (tokens, 1, source[-1])}
        before: tuple[Op, ...] = (("reshape", (tokens, 1, source[-1])),)
        after: tuple[Op, ...] = (("reshape", (*source[:-1], outputs)),)
    else:
        # Lava's Conv is a true convolution of kernels (O, X, Y, C); ours is a correlation of (O, C, Y, X).
        kernel = node.weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)
        arguments = {
            "weight": kernel, "input_shape": tuple(source[::-1]), "stride": tuple(node.stride[::-1]),
            "padding": tuple(node.padding[::-1]), "groups": node.groups,
        }  # fmt: skip
        before = after = (("permute", (2, 1, 0)),)
    weight = np.ascontiguousarray(arguments["weight"], dtype=np.int32)
    return Stock("Conv", {**arguments, "weight": weight, "num_message_bits": link.bits}, before, after)


def _shared(link: _Link) -> Stock:
    """Shared by tokens, Sparse repeats the weights but is some hundred times faster than Lava's Conv of 1 x 1."""
    if link.node.op == "conv" and link.fits_conv:
        return _conv(link)
    try:
        return _sparse(link)
    except Unfit:
        if link.fits_conv:
            return _conv(link)
        raise


def _sparse(link: _Link) -> Stock:
    """The connection unrolled: what Conv cannot hold exactly."""
    node = link.node
    entries = np.count_nonzero(node.weight) * prod(link.shape) // node.weight.shape[0]
    if entries > SPARSE_ENTRIES:
        raise Unfit(f"Conv cannot hold its sums, and unrolled it has {entries} connections")
    arguments = _weights(link)
    matrix = unrolled(node, arguments["weights"].reshape(node.weight.shape), link.source, link.shape)
    return Stock("Sparse", {**arguments, "weights": matrix}, *_flat(link))


def unrolled(node: Synapse, weight: Array, source: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """The sparse matrix (outputs, inputs) of a shared connection, both sides flattened."""
    from scipy.sparse import block_diag, csr_matrix

    if node.op == "dense":
        return block_diag([csr_matrix(weight)] * prod(source[:-1]), format="csr")
    inputs, outputs = np.arange(prod(source)).reshape(source), np.arange(prod(shape)).reshape(shape)
    (py, px), (sy, sx) = node.padding, node.stride
    padded = np.pad(inputs, ((0, 0), (py, py), (px, px)), constant_values=-1)
    each, per = source[0] // node.groups, shape[0] // node.groups
    rows, columns, entries = [], [], []
    for dy, dx in np.ndindex(weight.shape[2:]):
        here = padded[:, dy : dy + sy * shape[1] : sy, dx : dx + sx * shape[2] : sx]
        for g in range(node.groups):
            parts = outputs[g * per : (g + 1) * per, None], here[None, g * each : (g + 1) * each]
            part = weight[g * per : (g + 1) * per, :, dy, dx, None, None]
            row, column, entry = np.broadcast_arrays(*parts, part)
            kept = (column >= 0) & (entry != 0)
            rows.append(row[kept])
            columns.append(column[kept])
            entries.append(entry[kept])
    triple = (np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns)))
    return csr_matrix(triple, shape=(prod(shape), prod(source)), dtype=np.int32)


# --- neurons -----------------------------------------------------------------------------------------------------


def neuron(node: Neuron, place: Place) -> Stock | Own:
    """The process for a population, or why it needs an own one."""
    lowering = NEURONS.get(node.model)
    try:
        return Own(f"Lava has no {node.model}") if lowering is None else lowering(node, place)
    except Unfit as why:
        return Own(str(why))


def _reset(node: Neuron, place: Place) -> dict[str, int]:
    """Arguments of LIFReset: staggered, at the step of tick 1; none if no reset is needed."""
    if node.reset is None:
        if place.period is not None:
            return {"reset_interval": place.period, "reset_offset": 1 + place.depth}
        return {}
    interval, phase = node.reset
    if place.period is not None and (place.period % interval or (1 - phase) % interval):
        raise Unfit(f"its reset every {interval} ticks does not fit samples of {place.period} steps")
    offset = (phase + place.depth) % interval or interval  # Lava wants it positive
    return {"reset_interval": interval, "reset_offset": offset}


def _lif(node: Neuron, place: Place) -> Stock:
    _fitting_bias(node, place)
    return _leaky("LIF", node, place, place.bias, BIAS_EXP, {"vth": node.params["vth"]}, (0, VTH_MAX))


def _cuba_lif(node: Neuron, place: Place) -> Stock:
    bias = np.asarray(node.params["bias"])
    if place.bias is not None:
        raise Unfit("a bias that is part of its current")
    exponent = min(7, _shift(bias))
    return _leaky("LIF", node, place, bias >> exponent, exponent, {"vth": node.params["vth"]})


def _ternary_lif(node: Neuron, place: Place) -> Stock:
    if place.period is not None or node.reset is not None:
        raise Unfit("TernaryLIF cannot be reset between samples")
    _fitting_bias(node, place)
    thresholds = _single(node, "vth_hi", "vth_lo")
    return _leaky("TernaryLIF", node, place, place.bias, BIAS_EXP, thresholds, (-VTH_MAX, VTH_MAX))


def _fitting_bias(node: Neuron, place: Place) -> None:
    """A current that is kept from tick to tick would keep the bias too; met by sending the bias: see plan.py."""
    if place.bias is not None and np.any(np.asarray(node.params["du"]) != 4095):
        raise Unfit("a bias that is part of its current")


def _leaky(
    process: str, node: Neuron, place: Place, bias: Array | None, exponent: int,
    thresholds: Mapping[str, Any], limits: tuple[int, int] | None = None,
) -> Stock:  # fmt: skip
    """LIF and its kin; thresholds outside ``limits`` are refused."""
    reset = _reset(node, place)
    arguments: dict[str, Any] = {"shape": place.shape}
    for name in ("du", "dv"):
        value = np.asarray(node.params[name])
        arguments[name] = int(value.flat[0]) if len(np.unique(value)) == 1 else _each(value, place.shape)
    if bias is not None and np.any(bias):
        if place.period is None and place.depth:
            raise Unfit("its bias would act before tick 1")
        low, high = BIAS_MANT
        if bias.min() < low or bias.max() > high:
            raise Unfit("a bias of more than 13 bits")
        arguments |= {"bias_mant": _each(bias, place.shape).astype(np.int32), "bias_exp": exponent}
    arguments |= reset
    for name, value in thresholds.items():
        array = np.asarray(value)
        if limits is not None and (array.min() < limits[0] or array.max() > limits[1]):
            raise Unfit("a threshold of more than 17 bits")
        arguments[name] = _each(array, place.shape).astype(np.int32) if array.size > 1 else int(array.item())
    return Stock(f"{process}Reset" if reset else process, arguments, ins=("a_in",))


def _each(array: Array, shape: tuple[int, ...]) -> Array:
    """One value for each neuron."""
    return np.ascontiguousarray(np.broadcast_to(array, (1, *shape))[0])


def _free_running(node: Neuron, place: Place) -> None:
    """Refuse what a process without a reset cannot do."""
    if place.period is not None or node.reset is not None:
        raise Unfit("its process of Lava cannot be reset")
    if place.bias is not None:
        raise Unfit("a bias outside its process")


def _single(node: Neuron, *names: str) -> dict[str, int]:
    """Parameters of which Lava has one for all neurons."""
    values = {name: np.unique(node.params[name]) for name in names}
    differing = next((name for name, value in values.items() if len(value) != 1), None)
    if differing is not None:
        raise Unfit(f"{differing} differs from neuron to neuron")
    return {name: int(value[0]) for name, value in values.items()}


def _sigma_delta(node: Neuron, place: Place) -> Stock:
    """Lava scales threshold and bias by the exponents itself; its registers are int32 and wrap, as the model's do."""
    bias = np.asarray(node.params["bias"])
    _free_running(node, place)
    _wide(node, place)
    single = _single(node, "vth", "state_exp", "relu", "cum_error", "message_bits")
    unit = 1 << single["state_exp"]
    if single["vth"] % unit or np.any(bias % unit):
        raise Unfit("threshold or bias finer than the exponents of Lava's process")
    if bias.any() and place.depth:
        raise Unfit("its bias would act before tick 1")
    arguments = {
        "shape": place.shape, "vth": single["vth"] // unit, "bias": _each(bias // unit, place.shape), "spike_exp": 0,
        "state_exp": single["state_exp"], "cum_error": bool(single["cum_error"]), "act_mode": single["relu"],
    }  # fmt: skip
    return Stock("SigmaDelta", arguments, ins=("a_in",), message_bits=single["message_bits"])


def _delta(node: Neuron, place: Place) -> Stock:
    _free_running(node, place)
    single = _single(node, "vth", "spike_exp", "state_exp", "cum_error", "message_bits")
    shift = single["spike_exp"] + single["state_exp"]
    if single["vth"] % (1 << shift):
        raise Unfit("a threshold finer than the exponents of Lava's process")
    if 4 * (place.reach << shift) + single["vth"] >= INT32:
        raise Unfit("its input may leave int32 inside Lava's process")
    arguments = {
        "shape": place.shape, "vth": single["vth"] >> shift, "spike_exp": single["spike_exp"],
        "state_exp": single["state_exp"], "cum_error": bool(single["cum_error"]),
    }  # fmt: skip
    return Stock("Delta", arguments, ins=("a_in",), message_bits=single["message_bits"])


def _sigma(node: Neuron, place: Place) -> Stock:
    _free_running(node, place)
    _wide(node, place)
    bits = _single(node, "message_bits")["message_bits"]
    return Stock("Sigma", {"shape": place.shape}, ins=("a_in",), message_bits=bits)


def _wide(node: Neuron, place: Place) -> None:
    """Lava's sigma processes add int32 as it comes: it has to come so from a process of Lava."""
    if not place.from_lava:
        raise Unfit("its input comes from an own process")
    bits = int(np.max(node.params["input_bits"]))
    if bits < 32 and place.reach >= 1 << (bits - 1) and not place.from_conv:
        raise Unfit(f"its input wraps at {bits} bits")


def _resonator(node: Neuron, place: Place) -> Stock:
    _free_running(node, place)
    # The constructor takes a period and a decay in floating point; the integers are set as they are.
    arguments = {"shape": place.shape, "period": 8.0, "alpha": 0.5, "state_exp": 6, "decay_bits": 12}
    single = _single(node, "sin_decay", "cos_decay", "vth")
    variables = {name: np.int32(value) for name, value in single.items()}
    return Stock(node.model.upper(), arguments, ins=("a_real_in", "a_imag_in"), variables=variables)


NEURONS: dict[str, Callable[[Neuron, Place], Stock]] = {
    "lif": _lif, "ternary_lif": _ternary_lif, "cuba_lif": _cuba_lif, "sigma_delta": _sigma_delta, "delta": _delta,
    "sigma": _sigma, "rf": _resonator, "rf_iz": _resonator,
}  # fmt: skip
