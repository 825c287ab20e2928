"""Norms and elementwise functions: registered microcode operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np

from ...ir.neuron_model import NEURONS
from ...ir.nodes import Micro, Neuron
from ..lowering import Lowering
from ..values import BATCH, TIME, Membrane, Refusal, Stream, depends, inner
from ._base import operator
from ._letters import hadamard
from .arithmetic import mul, sub
from .linear import affine
from .pool import mean, sum_
from .views import movedim

#: square of a length next to nothing
SHORT = 1e-24


@operator("layer_norm")
def layer_norm(
    lowering: Lowering,
    x: Stream,
    normalized_shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn_enable: bool = False,
) -> Stream:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes, joined into one for the operator."""
    count, sizes = len(normalized_shape), x.sizes
    width = prod(normalized_shape)
    x.graph_axes(range(x.rank - count, x.rank), "layer norm")
    gamma = np.ones(width) if weight is None else lowering.array(weight).reshape(-1)
    beta = np.zeros(width) if bias is None else lowering.array(bias).reshape(-1)
    row = lowering.reshape(x, (*sizes[: x.rank - count], width))
    params = {"width": width, "gamma": gamma, "beta": beta, "eps": float(eps)}
    return lowering.reshape(lowering.like(row, Micro, op="layer_norm", params=params), sizes)


@operator("native_layer_norm")
def native_layer_norm(lowering: Lowering, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """The decomposed form; its saved statistics are never read."""
    return layer_norm(lowering, *args, **kwargs), None, None


@operator("rms_norm")
def rms_norm(
    lowering: Lowering,
    x: Stream,
    normalized_shape: Sequence[int],
    weight: Any = None,
    eps: float | None = None,
) -> Stream:
    """x / sqrt(mean x^2 + eps) * weight over the last axis; eps defaults to float32's, as in torch."""
    if len(normalized_shape) != 1:
        raise Refusal("ND101", "an RMS norm over several axes", tuple(normalized_shape), "the last axis")
    x.axis(-1, "RMS norm")
    gamma = np.ones(normalized_shape[0]) if weight is None else lowering.array(weight)
    eps = float(np.finfo(np.float32).eps if eps is None else eps)
    return lowering.like(x, Micro, op="rms_norm", params={"width": len(gamma), "gamma": gamma, "eps": eps})


@operator("spelled_norm")
def spelled_norm(
    lowering: Lowering, x: Stream, norm: str, eps: float, dim: int, length: bool = False
) -> Stream:
    """A norm along one axis without weights, as a front end finds it spelled out in simple operators.

    With ``length`` an RMS norm takes the sum of squares for their mean: rows get the length 1.
    """
    rows = movedim(lowering, x, dim, -1)
    width = rows.sizes[-1]
    gamma = np.full(width, width**-0.5 if length else 1.0)
    build = layer_norm if norm == "layer_norm" else rms_norm
    made = build(lowering, rows, [width], gamma, eps=eps / width if length else eps)
    return movedim(lowering, made, -1, dim)


@operator("linalg_vector_norm")
def vector_norm(
    lowering: Lowering, x: Stream, ord: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Stream:
    """The Euclidean length of x over axes, as the sum of x times x of length 1; of zeros it is 0."""
    if ord != 2 or dim is None:
        raise Refusal("ND101", "a length of this kind", f"order {ord}, axes {dim}", "order 2, some axes")
    gone = sorted(x.dim(d) for d in ([dim] if isinstance(dim, int) else dim))
    kept = [d for d in range(x.rank) if d not in gone]
    sizes = x.sizes
    rows = lowering.permute(x, [*kept, *gone])
    rows = lowering.reshape(rows, (*(sizes[d] for d in kept), prod(sizes[d] for d in gone)))
    unit = spelled_norm(lowering, rows, "rms_norm", SHORT, -1, length=True)
    made = sum_(lowering, hadamard(lowering, rows, unit), -1)
    made = lowering.reshape(
        made, [1 if d in gone else n for d, n in enumerate(sizes) if keepdim or d in kept]
    )
    lowering.held[made.name] = "above", 0.0, made
    return made


@operator("norm")
def norm(
    lowering: Lowering, x: Stream, p: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Stream:
    """The older form."""
    return vector_norm(lowering, x, 2 if p == "fro" else p, dim, keepdim)


@operator("var")
def var(
    lowering: Lowering,
    x: Stream,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    correction: Any = None,
) -> Stream:
    """The mean square of what differs from the mean, of n - 1 elements unless ``correction`` says otherwise."""
    dims = [x.dim(d) for d in (range(x.rank) if dim is None else [dim] if isinstance(dim, int) else dim)]
    count = prod(x.sizes[d] for d in dims)
    off: Any = sub(lowering, x, mean(lowering, x, dims, True))
    squares = mean(lowering, hadamard(lowering, off, off), dims, keepdim)
    return mul(lowering, squares, count / (count - (float(unbiased) if correction is None else correction)))


@operator("group_norm")
def group_norm(
    lowering: Lowering,
    x: Stream,
    num_groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Stream:
    """A layer norm over each group of channels (torch axis 1) with all their pixels, then a factor per channel."""
    channels = x.axis(1, "group norm")
    rows = lowering.reshape(x, (x.sizes[0], num_groups, -1))
    normed = lowering.reshape(layer_norm(lowering, rows, rows.sizes[-1:], eps=eps), x.sizes)
    if weight is None and bias is None:
        return normed
    gamma = np.ones(x.sizes[1]) if weight is None else lowering.array(weight)
    return affine(lowering, normed, gamma, None if bias is None else lowering.array(bias), channels)


@operator("native_group_norm")
def native_group_norm(
    lowering: Lowering, x: Stream, weight: Any, bias: Any, n: int, c: int, pixels: int, group: int, eps: float
) -> tuple[Any, ...]:
    """The decomposed form; its saved statistics are never read."""
    return group_norm(lowering, x, group, weight, bias, eps), None, None


@operator("gelu")
def gelu(lowering: Lowering, x: Stream, approximate: str = "none") -> Stream:
    """x Phi(x), exact or by tanh."""
    return lowering.like(x, Micro, op="gelu", params={"approximate": approximate})


@operator("neuron", reads=(Membrane,))
def neuron(
    lowering: Lowering,
    x: Stream,
    model: str,
    params: dict[str, float],
    whole_sample: bool = False,
    states: Sequence[str] = (),
    given: Mapping[str, Any] = MappingProxyType({}),
    forgets: bool = False,
    which: str = "",
    factor: Any = None,
) -> Any:
    """A population of a registered neuron model: what a front end makes of a neuron module.

    ``factor`` is its second input, for models that have one.

    One that takes a ``whole_sample`` has to be given time in its first axis (Refusal ND161), one whose caller keeps its
    ``states`` those that it returned a tick before, or zeros (ND165). One that ``forgets`` has to be given them.
    ``which`` tells it from others of the module.
    """
    if not isinstance(x, Stream):
        raise Refusal(
            "ND165", "a neuron is given the state of another", x.path, "spikes, or what is made of them"
        )
    path = which or lowering.call.origin.path
    _, calls = lowering.calls.get(path, ((x,), 0))
    for name, state in given.items():
        if not _own(lowering, state, Membrane(path, name, calls)):
            cause = "a neuron is handed a state that is not its own"
            limit = "what it returned a tick before, or zeros"
            raise Refusal("ND165", cause, f"{name} in call {calls + 1}", limit)
    if forgets and not whole_sample and (lowering.ticks is None or (calls and not given)):
        cause, limit = "a neuron that keeps no state is handed none", "what it returned a tick before"
        fix = "run all ticks in one call of the model, and hand the neuron its state in each"
        raise Refusal("ND165", cause, ", ".join(states), limit, fix)
    spikes = _spikes(lowering, _inputs(lowering, x, factor), model, params, whole_sample, path)
    return (spikes, *(Membrane(path, name, calls + 1) for name in states)) if states else spikes


@operator("state")
def state(lowering: Lowering, x: Stream) -> Membrane:
    """A state that a neuron returns, where writes were taken out around it."""
    return Membrane(lowering.call.origin.path, "", x.tick)


def _own(lowering: Lowering, state: Any, wanted: Membrane) -> bool:
    """Whether a state is the one that a neuron has itself; in its first call it has none."""
    if isinstance(state, Membrane):
        return state == wanted
    parts = state if isinstance(state, (tuple, list)) else (state,)
    rests = not depends(state) and not any(part is not None and lowering.array(part).any() for part in parts)
    return rests and not wanted.tick


def _inputs(lowering: Lowering, x: Stream, factor: Any) -> tuple[Stream, ...]:
    """What a neuron reads, all in one shape."""
    if factor is None:
        return (x,)
    sizes = np.broadcast_shapes(x.sizes, factor.sizes)
    return lowering.met(lowering.broadcast(x, sizes), lowering.broadcast(factor, sizes), "a gate")


def _spikes(
    lowering: Lowering,
    xs: tuple[Stream, ...],
    model: str,
    params: dict[str, float],
    whole_sample: bool,
    path: str,
) -> Stream:
    """The population at this tick, or at all of them."""
    x = xs[0]
    if whole_sample:
        return lowering.like(_over_time(lowering, x), Neuron, model=model, params=params)
    if x.timed and NEURONS[model].state:
        cause, fix = "a neuron of single ticks is given all ticks at once", "set step_mode 'm' in all modules"
        raise Refusal("ND163", cause, x.sizes, "one tick: (batch, ...)", fix)
    if lowering.ticks is not None and NEURONS[model].state:
        return _next_tick(lowering, xs, model, params, path)
    return _population(lowering, xs, model, params)


def _population(lowering: Lowering, xs: tuple[Stream, ...], model: str, params: dict[str, float]) -> Stream:
    names = [x.name for x in xs]
    return xs[0].at(lowering.add(Neuron, names, xs[0].shape, model=model, params=params), xs[0].shape)


def _next_tick(
    lowering: Lowering, xs: tuple[Stream, ...], model: str, params: dict[str, float], path: str
) -> Stream:
    """A call of a neuron in a loop over ticks: the next tick of its population."""
    x, always = xs[0], tuple(replace(x, tick=0) for x in xs)
    before, calls = lowering.calls.get(path, (always, 0))
    if always != before or x.tick not in (0, calls + 1) or any(stream.partial for stream in xs):
        what, found = f"call {calls + 1} of the neuron", f"another input than in call {max(calls, 1)}"
        other = next((k for k, pair in enumerate(zip(before, always, strict=True)) if pair[0] != pair[1]), 0)
        refusal = lowering.unlike(what, found, before[other], xs[other])
        raise lowering.refused.setdefault(path, refusal)  # of later ticks it is the same
    lowering.calls[path] = before, calls + 1
    return replace(_population(lowering, before, model, params), tick=calls + 1)


def _over_time(lowering: Lowering, x: Stream) -> Stream:
    """What a neuron runs over in its first axis: time, or time and samples, which is time where a sample is alone."""
    first = x.axes[0]
    if first == (1,) and lowering.ticks == 1:
        return lowering.timed(x, 0, 1)
    if TIME not in first or inner(first):
        cause, fix = "a neuron that runs over time is given something else", "give it (T, batch, ...)"
        raise Refusal("ND161", cause, x.sizes, "(T, batch, ...)", fix)
    if BATCH in first:
        lowering.mixed.append(lowering.call)
    return x
