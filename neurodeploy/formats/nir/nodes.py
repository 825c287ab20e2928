"""What each NIR node becomes: nodes of the graph behind one stream, made from checked parameters.

A rule takes an item and the shape of its input and returns nodes with their values, in order; the first reads the
stream, ``STREAM`` stands for its name, the others read nodes of the same rule. Problems go into the item, and the rule
returns None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from ...array import Array
from ...ir.nodes import Neuron, Node, Reduce, Synapse, View
from ...ir.shapes import MAX_DELAY
from ...ir.types import Shape, Value
from .._base import FormatOptions
from .file import Item

Sizes = tuple[int, ...]
Made = list[tuple[Node, Value]]

STREAM = "?"
MAX_SIDE = 1 << 20  # of kernels, strides, paddings and groups
MAX_KERNEL = 1 << 28  # elements of a kernel after dilation
MAX_DENSE_IDENTITY = (
    2048  # elements whose delays differ, or that feed back into something that is not a layer
)
#: where a current keeps more per tick, the saturating LIF is used: bounds of the stock one would be too tight
MOST_KEPT = 0.97

#: (reset, reset_delay) -> rule of general_lif
RESETS = {("value", False): 0, ("subtract", False): 1, ("subtract", True): 2, ("value", True): 3}

DISCRETISATION = (
    "forward Euler, current before voltage, threshold and reset after the voltage; strict threshold"
)


class NirOptions(FormatOptions):
    """Options of the reader; NIR describes differential equations, so the time step is not in the file."""

    dt: float = Field(
        1e-4, gt=0, lt=1e9, description="time step of LIF, LI, CubaLIF and CubaLI; snnTorch uses 1e-4"
    )
    integrator_dt: float = Field(
        1.0, gt=0, lt=1e9, description="time step of IF and I; 1: r is the gain per tick"
    )
    delay_dt: float | None = Field(None, gt=0, lt=1e9, description="time step of Delay; dt unless given")
    synapse: Literal["euler", "jump"] = Field(
        "euler", description="what w_in does to the current: dt / tau_syn of it, or all of it (Norse)"
    )
    reset: Literal["value", "subtract"] = Field(
        "value", description="what a spike does: v_reset, or v - threshold"
    )
    reset_delay: bool = Field(False, description="the reset acts in the next tick (snnTorch's reset_delay)")
    start: Literal["zero", "rest"] = Field("zero", description="voltage before tick 1: 0, or v_leak (Norse)")
    input_max: int = Field(1, ge=1, le=(1 << 23) - 1, description="largest raw input; 1: spikes")
    input_signed: bool = Field(False, description="raw inputs go down to -input_max")
    input_scale: float = Field(1.0, gt=0, lt=1e9, description="what one unit of the raw input is worth")
    per_tick: bool = Field(True, description="a frame for each tick; false: one frame that stays")
    readout: Literal["auto", "sum", "mean", "last"] = Field(
        "auto", description="over ticks; auto: spikes are summed, of voltages the last counts"
    )
    output: str = Field("", description="which Output is read, where there are several")
    integers: Literal["auto", "never"] = Field(
        "auto", description="take the integers that this program wrote, or not"
    )


def make(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    """The nodes of one item behind a stream of shape ``sizes``; None with problems noted."""
    rule = RULES.get(item.kind)
    if rule is None:
        known = ", ".join(sorted({*RULES, "Input", "Output", "NIRGraph"} - {"Pass"}))
        item.problem("ND125", "a node of unknown type", "type", item.kind, known)
        return None
    before = len(item.problems)
    made = rule(item, sizes, options)
    return None if len(item.problems) > before else made


def value(sizes: Sizes) -> Value:
    """A value with the roles that its number of axes suggests."""
    roles = {1: "C", 2: "CX", 3: "CYX"}.get(len(sizes)) or "C" + "G" * (len(sizes) - 1)
    return Value(Shape(tuple(roles), sizes))


def _step(node: Node, sizes: Sizes) -> tuple[Node, Value]:
    return node, value(sizes)


# --- weights -----------------------------------------------------------------------------------------------------


def _linear(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    weight = item.numbers("weight")
    bias = item.numbers("bias") if item.kind == "Affine" else None
    if weight is None or (item.kind == "Affine" and bias is None):
        return None
    if weight.ndim != 2:
        item.problem("ND125", "weights of several matrices", "weight", weight.shape, "(outputs, inputs)")
        return None
    if sizes != weight.shape[1:]:
        item.problem(
            "ND126", "weights do not fit the input", "weight", weight.shape, f"input of shape {sizes}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        item.problem("ND126", "a bias of another length", "bias", bias.shape, weight.shape[:1])
    return [
        _step(
            Synapse(name=item.name, inputs=(STREAM,), weight=weight, bias=_unless_zero(bias)),
            weight.shape[:1],
        )
    ]


def _unless_zero(bias: Array | None) -> Array | None:
    return bias if bias is not None and bias.any() else None


def _conv(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    """Cross-correlation; dilated kernels are spread with zeros, ``same`` pads more behind than before, as in torch."""
    axes = 1 if item.kind == "Conv1d" else 2
    weight, bias = item.numbers("weight"), item.numbers("bias")
    stride = item.whole("stride", 1, MAX_SIDE, axes)
    dilation = item.whole("dilation", 1, MAX_SIDE, axes)
    groups = item.whole("groups", 1, MAX_SIDE, 1)
    by_name = item.text("padding")
    padding = (0,) * axes if by_name is not None else item.whole("padding", 0, MAX_SIDE, axes)
    if by_name not in (None, "same", "valid"):
        item.problem("ND124", "a padding that is not known", "padding", by_name, "numbers, same, valid")
    if (
        weight is None
        or bias is None
        or stride is None
        or dilation is None
        or groups is None
        or padding is None
    ):
        return None
    if weight.ndim != axes + 2 or not weight.size:
        item.problem(
            "ND126", "a kernel of other rank", "weight", weight.shape, f"{axes + 2} axes, none empty"
        )
        return None
    if len(sizes) != axes + 1 or sizes[0] != weight.shape[1] * groups[0] or weight.shape[0] % groups[0]:
        found = f"{weight.shape} in {groups[0]} groups"
        item.problem("ND126", "a kernel does not fit the input", "weight", found, f"input of shape {sizes}")
        return None
    if bias.shape != weight.shape[:1]:
        item.problem("ND126", "a bias of another length", "bias", bias.shape, weight.shape[:1])
    extent = tuple(d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True))
    added = tuple(e - 1 for e in extent) if by_name == "same" else tuple(2 * p for p in padding)
    room = tuple(s + a for s, a in zip(sizes[1:], added, strict=True))
    if any(e > r for e, r in zip(extent, room, strict=True)):
        item.problem("ND126", "a kernel larger than the padded input", "weight", extent, room)
        return None
    if by_name == "same" and any(s != 1 for s in stride):
        item.problem("ND124", "padding 'same' with a stride", "stride", stride, 1)
    if weight.shape[0] * weight.shape[1] * int(np.prod(extent, dtype=object)) > MAX_KERNEL:
        item.problem(
            "ND123", "a kernel too large once it is dilated", "dilation", dilation, f"{MAX_KERNEL} elements"
        )
        return None
    weight = _dilated(weight, dilation, extent)
    if by_name == "same":
        odd = [(0, 0), (0, 0)] + [((e - 1) % 2, 0) for e in extent]
        weight, padding = np.pad(weight, odd), tuple(e // 2 for e in extent)
    if axes == 1:
        weight, stride, padding = weight[:, :, None, :], (1, *stride), (0, *padding)
    grid = sizes if axes == 2 else (sizes[0], 1, sizes[1])
    out = _positions(grid[1:], padding, weight.shape[2:], stride)
    node = Synapse(
        name=item.name, inputs=(STREAM,), weight=weight, bias=_unless_zero(bias), op="conv",
        stride=(stride[0], stride[1]), padding=(padding[0], padding[1]), groups=groups[0],
    )  # fmt: skip
    made = (weight.shape[0], *out)
    return [_step(node, made)] if axes == 2 else _within(item, sizes, grid, node, made, (made[0], made[2]))


def _positions(sizes: Sizes, padding: Sizes, window: Sizes, stride: Sizes) -> Sizes:
    return tuple((s + 2 * p - w) // t + 1 for s, p, w, t in zip(sizes, padding, window, stride, strict=True))


def _dilated(weight: Array, dilation: Sizes, extent: Sizes) -> Array:
    if all(d == 1 for d in dilation):
        return weight
    spread = np.zeros((*weight.shape[:2], *extent))
    places: tuple = (slice(None), slice(None), *(slice(None, None, d) for d in dilation))
    spread[places] = weight
    return spread


def _within(item: Item, sizes: Sizes, grid: Sizes, node: Synapse, made: Sizes, out: Sizes) -> Made:
    """``node`` on the stream as an image of shape ``grid``, its result turned back into shape ``out``."""
    steps: Made = []
    if sizes != grid:
        name = f"{item.name}.in"
        steps.append(_step(View(name=name, inputs=(STREAM,), op="reshape", args=grid), grid))
        node = replace(node, inputs=(name,))
    steps.append(_step(node, made))
    if out != made:
        steps.append(_step(View(name=f"{item.name}.out", inputs=(node.name,), op="reshape", args=out), out))
    return steps


def _scale(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    """One factor for all, or one each: a depthwise kernel of one element."""
    scale = item.numbers("scale")
    full = None if scale is None else spread(item, "scale", scale, sizes)
    if full is None:
        return None
    return _diagonal(item, item.name, sizes, np.broadcast_to(full, sizes), 0)


def _diagonal(item: Item, name: str, sizes: Sizes, factors: Array, delay: int) -> Made:
    """Factors by element as a depthwise kernel, over channels where all elements of a channel share theirs."""
    rows = factors.reshape(sizes[0], -1)
    by_channel = len(sizes) == 3 and bool((rows == rows[:, :1]).all())
    grid = sizes if by_channel else (int(np.prod(sizes)), 1, 1)
    weight = (rows[:, 0] if by_channel else factors.reshape(-1)).reshape(-1, 1, 1, 1)
    node = Synapse(
        name=name,
        inputs=(STREAM,),
        weight=np.array(weight, dtype=np.float64),
        op="conv",
        groups=grid[0],
        delay=delay,
    )
    return _within(item, sizes, grid, node, grid, sizes)


# --- delays ------------------------------------------------------------------------------------------------------


def ticks(item: Item, options: NirOptions) -> Array | None:
    """The delays of a Delay in whole ticks."""
    delay, step = item.numbers("delay"), options.delay_dt or options.dt
    if delay is None:
        return None
    found = np.rint(delay / step)
    if (
        delay.size == 0
        or (np.abs(delay / step - found) > 1e-3).any()
        or found.min() < 0
        or found.max() > MAX_DELAY
    ):
        shown = f"{delay.min():g} .. {delay.max():g} at {step:g} a tick" if delay.size else "no delay"
        item.problem(
            "ND124", "a delay that is no whole number of ticks, or too long", "delay", shown, f"0 .. {MAX_DELAY} ticks",
            "--set reader.delay_dt=STEP, the time of one tick in the unit of the delays",
        )  # fmt: skip
        return None
    return found.astype(np.int64)


def _delay(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    """A delay that no weights behind it can take: an identity that waits."""
    found = ticks(item, options)
    full = None if found is None else spread(item, "delay", found, sizes)
    return None if full is None else waiting(item, item.name, sizes, np.asarray(full, dtype=np.int64))


def waiting(item: Item, name: str, sizes: Sizes, delay: Array, feedback: bool = False) -> Made | None:
    """An identity with delays of shape () or ``sizes``; ``feedback``: it has to read the neuron itself."""
    one = np.unique(delay)
    if one.size == 1 and (len(sizes) == 3 or not feedback):
        return _diagonal(item, name, sizes, np.ones(sizes), int(one[0]))
    count = int(np.prod(sizes))
    if count > MAX_DENSE_IDENTITY or (feedback and len(sizes) != 1):
        item.problem(
            "ND125", "a delay that differs by element, or feedback without weights, over many elements", "", sizes,
            f"{MAX_DENSE_IDENTITY} in one axis", "use one delay, or put weights behind it",
        )  # fmt: skip
        return None
    each = np.broadcast_to(np.broadcast_to(delay, sizes).reshape(1, -1), (count, count)).copy()
    node = Synapse(
        name=name, inputs=(STREAM,), weight=np.eye(count), delay=int(one[0]) if one.size == 1 else each
    )
    return _within(item, sizes, (count,), node, (count,), sizes)


# --- pooling and views -------------------------------------------------------------------------------------------


def _pool(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    window = item.whole("kernel_size", 1, MAX_SIDE, 2)
    stride = item.whole("stride", 1, MAX_SIDE, 2)
    padding = item.whole("padding", 0, MAX_SIDE, 2)
    if window is None or stride is None or padding is None:
        return None
    if len(sizes) != 3 or any(
        w > s + 2 * p or p >= w for w, s, p in zip(window, sizes[1:], padding, strict=True)
    ):
        limit = f"input of shape {sizes}, padding below the window"
        item.problem(
            "ND126",
            "a window that does not fit the input",
            "kernel_size",
            f"{window}, padding {padding}",
            limit,
        )
        return None
    out = tuple(
        (s + 2 * p - w) // t + 1 for s, p, w, t in zip(sizes[1:], padding, window, stride, strict=True)
    )
    node = Reduce(
        name=item.name, inputs=(STREAM,), op="sum" if item.kind == "SumPool2d" else "mean",
        window=(window[0], window[1]), stride=(stride[0], stride[1]), padding=(padding[0], padding[1]),
    )  # fmt: skip
    return [_step(node, (sizes[0], *out))]


def _flatten(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    """Axes start_dim .. end_dim become one; they do not count a batch, unless the declared input has one."""
    rank = len(sizes)
    start = item.whole("start_dim", -rank - 1, rank, 1, 1)
    end = item.whole("end_dim", -rank - 1, rank, 1, -1)
    if start is None or end is None:
        return None
    batched = 0
    if item.has("input_type"):
        declared = item.numbers("input_type")
        batched = int(declared is not None and declared.shape == (rank + 1,) and declared[0] == 1)
    first, last = (d if d < 0 else d - batched for d in (start[0], end[0]))
    first, last = max(first, 0) if first >= 0 else max(first + rank, 0), last if last >= 0 else last + rank
    if not 0 <= first <= last < rank:
        if first == rank or rank == 1:  # a vector stays one
            return []
        item.problem(
            "ND126", "axes that the input does not have", "start_dim", (start[0], end[0]), f"shape {sizes}"
        )
        return None
    out = (*sizes[:first], int(np.prod(sizes[first : last + 1])), *sizes[last + 1 :])
    if out == sizes:
        return []
    return [_step(View(name=item.name, inputs=(STREAM,), op="reshape", args=out), out)]


def _nothing(item: Item, sizes: Sizes, options: NirOptions) -> Made:
    return []


# --- neurons -----------------------------------------------------------------------------------------------------


def spread(item: Item, key: str, array: Array, sizes: Sizes) -> Array | None:
    """A parameter as one number, or as an array of the population's shape; None, and a problem, if it is neither."""
    while array.ndim > len(sizes) and array.shape[0] == 1:
        array = array[0]
    if array.size and bool((array == array.flat[0]).all()):
        if array.size == 1 or array.shape == sizes:
            return np.asarray(array.flat[0])
    if (
        array.size == 0
        or array.ndim != len(sizes)
        or any(a not in (1, s) for a, s in zip(array.shape, sizes, strict=True))
    ):
        item.problem("ND126", "a parameter has another shape than its population", key, array.shape, sizes)
        return None
    return np.ascontiguousarray(np.broadcast_to(array, sizes))


def _parameters(item: Item, sizes: Sizes, **defaults: float | None) -> dict[str, Array] | None:
    """All parameters, each one number or of the population's shape."""
    found = {key: item.numbers(key, default) for key, default in defaults.items()}
    whole = {key: spread(item, key, array, sizes) for key, array in found.items() if array is not None}
    missing = len(whole) < len(defaults) or any(array is None for array in whole.values())
    return None if missing else {k: v for k, v in whole.items() if v is not None}


def _rate(item: Item, key: str, tau: Array, options: NirOptions) -> Array | None:
    """dt / tau, what a tick forgets."""
    if (tau <= 0).any():
        item.problem("ND124", "a time constant that is not positive", key, float(tau.min()), "above 0")
        return None
    rate = options.dt / tau
    if (rate > 1 + 1e-6).any():
        item.problem(
            "ND124", "a time constant shorter than the time step", key, f"{float(tau.min()):g}",
            f"at least dt = {options.dt:g}", "--set reader.dt=STEP, the step that the network was trained with",
        )  # fmt: skip
        return None
    return np.minimum(rate, 1.0)


def _dynamics(
    item: Item, p: Mapping[str, Array], options: NirOptions
) -> tuple[Array, Array, Array, Array, Array] | None:
    """alpha, beta, gain, bias and offset of u <- alpha u + gain x;  v <- beta v + u + bias, v counted from offset."""
    zero, one = np.asarray(0.0), np.asarray(1.0)
    if item.kind in ("IF", "I"):
        alpha, beta, gain, leak = zero, one, options.integrator_dt * p["r"], zero
        bias = zero
    else:
        rate = _rate(item, "tau" if "tau" in p else "tau_mem", p.get("tau", p.get("tau_mem", one)), options)
        fading = _rate(item, "tau_syn", p["tau_syn"], options) if "tau_syn" in p else one
        if rate is None or fading is None:
            return None
        alpha, beta = 1.0 - fading, 1.0 - rate
        arriving = p.get("w_in", one) * (fading if options.synapse == "euler" and "tau_syn" in p else 1.0)
        gain, leak = rate * p["r"] * arriving, p["v_leak"]
        bias = zero if options.start == "rest" else rate * leak
    if (gain <= 0).any():
        key = "r" if (p["r"] <= 0).any() else "w_in"
        item.problem(
            "ND124", "a resistance or input weight that is not positive", key, float(p[key].min()), "above 0"
        )
        return None
    return alpha, beta, gain, bias, leak if options.start == "rest" else zero


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers as floats, arrays as they are."""
    return {k: float(v) if np.ndim(v) == 0 and not isinstance(v, int) else v for k, v in params.items()}


def _spiking(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    """A LIF: Lava's where reset and leaks allow, since that is what chips have; else the general one."""
    keys: dict[str, dict[str, float | None]] = {
        "IF": {"r": None},
        "LIF": {"tau": None, "r": None, "v_leak": None},
        "CubaLIF": {"tau_mem": None, "tau_syn": None, "r": None, "v_leak": None, "w_in": 1.0},
    }
    p = _parameters(item, sizes, v_threshold=None, v_reset=0.0, **keys[item.kind])
    found = None if p is None else _dynamics(item, p, options)
    if p is None or found is None:
        return None
    alpha, beta, gain, bias, offset = found
    threshold, v_reset = p["v_threshold"] - offset, p["v_reset"] - offset
    rule = RESETS[options.reset, options.reset_delay]
    if rule == 3 and item.kind != "CubaLIF":
        rule = 0  # without a current, a voltage that starts the next tick from v_reset is the same, early or late
    stock = (
        rule == 0 and not np.any(v_reset) and bool((threshold >= 0).all())
        and alpha.ndim == beta.ndim == 0 and float(alpha) <= MOST_KEPT
    )  # fmt: skip
    if stock:
        params: dict[str, Any] = {
            "alpha": alpha,
            "beta": beta,
            "bias": bias / gain,
            "threshold": threshold / gain,
        }
        node = Neuron(name=item.name, inputs=(STREAM,), model="cuba_lif", params=_plain(params))
        return [_step(node, sizes)]
    params = {
        "alpha": alpha, "beta": beta, "gain": gain, "bias": bias,
        "threshold": threshold, "v_reset": v_reset, "rule": rule,
    }  # fmt: skip
    return [
        _step(Neuron(name=item.name, inputs=(STREAM,), model="general_lif", params=_plain(params)), sizes)
    ]


def _integrator(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    keys: dict[str, dict[str, float | None]] = {
        "I": {"r": None},
        "LI": {"tau": None, "r": None, "v_leak": None},
        "CubaLI": {"tau_mem": None, "tau_syn": None, "r": None, "v_leak": None, "w_in": 1.0},
    }
    p = _parameters(item, sizes, **keys[item.kind])
    found = None if p is None else _dynamics(item, p, options)
    if found is None:
        return None
    names = ("alpha", "beta", "gain", "bias", "offset")
    params = _plain(dict(zip(names, found, strict=True)))
    return [_step(Neuron(name=item.name, inputs=(STREAM,), model="leaky_integrator", params=params), sizes)]


def _threshold(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    p = _parameters(item, sizes, threshold=None)
    if p is None:
        return None
    return [_step(Neuron(name=item.name, inputs=(STREAM,), model="threshold", params=_plain(p)), sizes)]


RULES: dict[str, Callable[[Item, Sizes, NirOptions], Made | None]] = {
    "Linear": _linear, "Affine": _linear, "Scale": _scale, "Conv1d": _conv, "Conv2d": _conv, "Delay": _delay,
    "Flatten": _flatten, "SumPool2d": _pool, "AvgPool2d": _pool, "IF": _spiking, "LIF": _spiking, "CubaLIF": _spiking,
    "I": _integrator, "LI": _integrator, "CubaLI": _integrator, "Threshold": _threshold, "Pass": _nothing,
}  # fmt: skip
