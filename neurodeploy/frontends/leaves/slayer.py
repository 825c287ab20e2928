"""Blocks of lava-dl 0.6's slayer: a layer of weights and its neurons, over (B, C, T) or (B, C, Y, X, T), time last.

They quantise weights, decays and thresholds as they run, and write these integers themselves (``export_hdf5``), which
is what :mod:`neurodeploy.formats.netx` reads. 1.0 is ``scale`` (64) of a weight and ``64 * scale`` of a state:
    CUBA, RF, RF_IZ: spikes of 0 and 1;  Affine: the voltage
    SDNN:            changes in 1/4096, that of an Output in 1/2^18, which is the unit of its sums
All arithmetic is exact where the scale is a power of two, but states have no width here. A block sends a tick after its
sums (``delay_shift``) and later (``delay``), an Affine, an Output and, by default, all of SDNN at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from ...array import Array
from ._base import Block, Leaf, SourceLibrary

_NORM = "lava.lib.dl.slayer.neuron.norm.MeanOnlyBatchNorm"
#: slayer's own scale, for which netx knows the units of sigma-delta neurons
_SCALE = 64
#: what a delta of 16 bits holds
_CHANGES = (-(1 << 15) + 1, (1 << 15) - 1)
#: what slayer's 8 bits hold, in steps of 2
_STEPS = (-128, 127)
#: what a module holds until its first call draws a number for each channel
_DRAWN = ("current_decay_min", "decay_min")
_FIXES = (
    "quantise it with the settings that slayer's own export can write",
    "build the network without that block",
)


def _read(family: str, kind: str, module: Any) -> Block:
    """A block, called or not."""
    neuron = getattr(module, "neuron", None)
    if neuron is None:  # a Flatten, or an Input that only knows its shape
        return Block(module.export_hdf5)
    wrong = [*_unlike(family, kind, module), *_neuron_unlike(family, neuron)]
    if wrong:
        return Block(problem="; ".join(wrong), fixes=_FIXES)
    write, entering = module.export_hdf5, (0, 1)
    takes, sends = (_SCALE**2, _SCALE**2) if family == "sigma_delta" else (1, 1)
    late = getattr(module, "delay_shift", False) is True
    if family == "sigma_delta":
        entering = _CHANGES
    if kind == "Input":
        takes, entering, late = neuron.w_scale // 2, _STEPS, late and family != "sigma_delta"
        write = write if family == "sigma_delta" else partial(_write_input, module)
    return Block(
        write, partial(_rest, module), takes, _sends(kind, neuron, sends), entering, int(late), _delay(module),
        _norm(neuron) is not None, _params(family, kind, neuron), summed=kind == "Affine" and not module.dynamics,
    )  # fmt: skip


def _sends(kind: str, neuron: Any, spikes: int) -> int:
    """Integers to 1.0 of what a block returns."""
    if kind == "Affine":
        return int(neuron.s_scale)
    return spikes * _SCALE if kind == "Output" else spikes


def _unlike(family: str, kind: str, module: Any) -> Iterator[str]:
    """What the file does not say of a block."""
    if getattr(module, "count_log", False):
        yield "count_log: it returns two values"
    hooks = [part.pre_hook_fx for part in _synapses(module)]
    if any(hook is None for hook in hooks):
        yield "pre_hook_fx is None: its weights are not quantised"
    if kind == "Affine" and _norm(module.neuron) is not None:
        yield "an Affine with a norm: it is not exported"
    if kind == "Recurrent" and module.bias is not None:
        yield "a bias that is not exported"
    if kind == "Recurrent" and _norm(module.neuron) is not None:
        yield "a Recurrent with a norm: its bias adds up in the current from tick to tick"
    if kind == "Pool":
        yield from _pool_unlike(module)
    if kind == "Input":
        yield from _input_unlike(family, module)
    delay = _delay(module)
    if delay is not None and kind != "Dense" and (delay != delay[0]).any():
        yield "delays that differ: a chip keeps those of a dense layer alone"


def _pool_unlike(module: Any) -> Iterator[str]:
    """slayer lays all channels of a pool under each other: windows that are no partition would cross them."""
    for synapse in _synapses(module):
        if synapse.stride != synapse.kernel_size or any(synapse.padding) or set(synapse.dilation) != {1}:
            yield "a pool whose stride is not its kernel, with padding or dilation: its windows cross channels"
            return


def _input_unlike(family: str, module: Any) -> Iterator[str]:
    """The affine of an input block falls between the integers of its neurons, unless it is a multiple of 1/2."""
    if module.bias is not None and _stored(module, module.bias).any():
        yield "a bias of the input"
    if module.weight is not None and family == "sigma_delta":
        yield "a weight of the input"
    elif module.weight is not None and (_stored(module, module.weight) % (module.neuron.w_scale // 2)).any():
        yield "a weight of the input that is no multiple of 1/2"


def _neuron_unlike(family: str, neuron: Any) -> Iterator[str]:
    """What the file does not say of the neurons of a block."""
    if any(hasattr(neuron, name) for name in _DRAWN):
        yield "decays that its first call draws at random: call the network once"
    if neuron.w_scale & (neuron.w_scale - 1):
        yield f"scale = {neuron.w_scale}: the floats of a scale that is no power of two round"
    if family == "sigma_delta":
        yield from _sdnn_unlike(neuron)
    if getattr(neuron, "graded_spike", False) and family != "sigma_delta":
        yield "graded_spike: spikes that carry their voltage"
    norm = _norm(neuron)
    if norm is not None and (
        f"{type(norm).__module__}.{type(norm).__qualname__}" != _NORM or family.startswith("rf")
    ):
        yield f"norm = {type(norm).__name__}: it is not exported whole"


def _sdnn_unlike(neuron: Any) -> Iterator[str]:
    if neuron.w_scale != _SCALE:
        yield f"scale = {neuron.w_scale}: netx takes {_SCALE} for granted in sigma-delta neurons"
    if neuron.activation.__name__ != "relu":
        yield f"activation = {neuron.activation.__name__}: netx knows relu"
    if neuron.delta.cum_error:
        yield "cum_error: it is not exported"
    if neuron.bias_is_set:
        yield "set_bias: it is not exported"
    threshold = neuron.threshold.detach().numpy() * _SCALE
    if threshold.size > 1 or (threshold % 1).any() or threshold.min() < 1:
        yield "a threshold that is not one positive multiple of 1/64"


def _norm(neuron: Any) -> Any:
    norms = (getattr(neuron, name, None) for name in ("norm", "real_norm", "imag_norm"))
    return next((norm for norm in norms if norm is not None), None)


def _synapses(module: Any) -> list[Any]:
    """The layers of weights of a block: one, two of complex weights, two of a recurrent one."""
    held = [getattr(module, name, None) for name in ("synapse", "input_synapse", "recurrent_synapse")]
    return [
        part for s in held if s is not None for part in ((s.real, s.imag) if hasattr(s, "imag") else (s,))
    ]


def _stored(module: Any, value: Any) -> Array:
    """A parameter of an input block as slayer stores it, int64."""
    stored: Array = module.pre_hook_fx(value.detach(), descale=True).numpy().astype(np.int64)
    return stored


def _delay(module: Any) -> Array | None:
    """Ticks that each channel waits after its spikes."""
    delay = module.delay
    if delay is None or not delay.init:
        return None
    longest = np.inf if delay.max_delay is None else delay.max_delay
    whole: Array = np.floor(np.clip(delay.delay.detach().numpy(), 0, longest)).astype(np.int64)
    return whole


def _params(family: str, kind: str, neuron: Any) -> dict[str, Any]:
    """netx recomputes the decays of resonators, and takes its input in half of slayer's steps."""
    if family.startswith("rf"):
        stored = neuron.device_params
        return {"sin_decay": stored["sinDecay"], "cos_decay": stored["cosDecay"]}
    return {"spike_exp": 7} if family == "sigma_delta" and kind == "Input" else {}


def _write_input(module: Any, group: Any) -> None:
    """CUBA neurons that charge by what they are given, which netx has no layer for: weights of their own, one each."""
    shape, weight = tuple(module.shape), 2
    if module.weight is not None:
        weight = 2 * int(_stored(module, module.weight).flat[0]) // module.neuron.w_scale
    group["shape"] = np.array(shape)
    if len(shape) == 1:
        group["type"], group["weight"] = (
            np.array(["dense"], "S10"),
            weight * np.eye(shape[0], dtype=np.float32),
        )
    else:
        group["type"], group["weight"] = np.array(["pool"], "S10"), np.full((1, 1, 1, 1), weight, np.float32)
        group["stride"], group["padding"], group["dilation"] = [1, 1], [0, 0], [1, 1]
    for key, value in module.neuron.device_params.items():
        group[f"neuron/{key}"] = value
    norm = _norm(module.neuron)
    if norm is not None:
        group["bias"] = norm.bias.detach().numpy().ravel()


def _rest(module: Any) -> None:
    """States of no sample: the next call makes them of its own size."""
    for part in module.modules():
        for name, state in list(part.named_buffers(recurse=False)):
            if name.endswith("_state"):
                setattr(part, name, state.new_zeros(1))
        if hasattr(part, "delay_buffer"):
            part.delay_buffer = None


_TAKEN = {
    "cuba": ("Affine", "Conv", "Dense", "Flatten", "Input", "Pool", "Recurrent"),
    "rf": ("Dense", "Flatten"),
    "rf_iz": ("Dense", "Flatten"),
    "sigma_delta": ("Conv", "Dense", "Flatten", "Input", "Output", "Pool"),
}
_FAMILIES = ("adrf", "adrf_iz", "alif", *_TAKEN)
_BLOCKS = (
    "Affine", "Average", "Conv", "ConvT", "Dense", "Flatten", "Input", "KWTA", "Output", "Pool", "Recurrent",
    "TimeDecimation", "Unpool",
)  # fmt: skip


def _refusal(family: str, kind: str) -> Leaf:
    known = ", ".join(_TAKEN.get(family, ()))
    why = (
        f"of {family}, {known} are read"
        if known
        else "neurons whose threshold adapts have no file to be read from"
    )
    return Leaf(
        problem=f"slayer.block.{family}.{kind}: {why}",
        fixes=("use blocks of cuba, rf, rf_iz or sigma_delta",),
    )


_ALONE = Leaf(
    problem="a neuron of slayer outside of a block: only a block says which weights are its own",
    fixes=("use the block of the same name: slayer.block.cuba.Dense and its kin",),
)
_PLACE = "lava.lib.dl.slayer"

MEMBER = SourceLibrary(
    "slayer",
    {},
    {
        **{
            f"{_PLACE}.block.{family}.{kind}": _refusal(family, kind)
            for family, kind in product(_FAMILIES, _BLOCKS)
            if kind not in _TAKEN.get(family, ())
        },
        **{f"{_PLACE}.neuron.{family}.Neuron": _ALONE for family in _FAMILIES},
    },
    {
        f"{_PLACE}.block.{family}.{kind}": partial(_read, family, kind)
        for family, kinds in _TAKEN.items()
        for kind in kinds
    },
)
