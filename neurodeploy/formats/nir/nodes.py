"""What each NIR node becomes: nodes of the graph behind one stream, made from checked parameters.

A rule takes an item and the shape of its input and returns nodes with their values, in order; the first reads the
stream, ``STREAM`` stands for its name, the others read nodes of the same rule. Problems go into the item, and the rule
returns None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ...array import Array
from ...ir.nodes import Reduce, Synapse, View
from ...ir.shapes import MAX_DELAY
from . import neurons
from .file import STREAM, Item, Made, Sizes, step
from .options import NirOptions

MAX_SIDE = 1 << 20  # of kernels, strides, paddings and groups
MAX_KERNEL = 1 << 28  # elements of a kernel after dilation
#: elements whose delays differ, or that feed back into something that is not a layer
MAX_DENSE_IDENTITY = 2048


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


def _linear(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    weight = item.numbers("weight")
    bias = item.numbers("bias") if item.kind == "Affine" else None
    if weight is None or (item.kind == "Affine" and bias is None):
        return None
    if weight.ndim != 2:
        item.problem("ND125", "weights of several matrices", "weight", weight.shape, "(outputs, inputs)")
        return None
    if sizes != weight.shape[1:]:
        limit = f"input of shape {sizes}"
        item.problem("ND126", "weights do not fit the input", "weight", weight.shape, limit)
    if bias is not None and bias.shape != weight.shape[:1]:
        item.problem("ND126", "a bias of another length", "bias", bias.shape, weight.shape[:1])
    node = Synapse(name=item.name, inputs=(STREAM,), weight=weight, bias=_unless_zero(bias))
    return [step(node, weight.shape[:1])]


def _unless_zero(bias: Array | None) -> Array | None:
    return bias if bias is not None and bias.any() else None


@dataclass(frozen=True)
class _Window:
    """How a kernel moves over an input of one or two axes; ``same``: padded so that the shape stays, as in torch."""

    stride: Sizes
    dilation: Sizes
    padding: Sizes
    groups: int
    same: bool

    @classmethod
    def read(cls, item: Item, axes: int) -> _Window | None:
        """From the fields of a Conv1d or Conv2d."""
        stride = item.whole("stride", 1, MAX_SIDE, axes)
        dilation = item.whole("dilation", 1, MAX_SIDE, axes)
        groups = item.whole("groups", 1, MAX_SIDE, 1)
        named = item.text("padding")
        padding = (0,) * axes if named is not None else item.whole("padding", 0, MAX_SIDE, axes)
        if named not in (None, "same", "valid"):
            item.problem("ND124", "a padding that is not known", "padding", named, "numbers, same, valid")
        if stride is None or dilation is None or groups is None or padding is None:
            return None
        if named == "same" and any(s != 1 for s in stride):
            item.problem("ND124", "padding 'same' with a stride", "stride", stride, 1)
        return cls(stride, dilation, padding, groups[0], named == "same")

    def extent(self, kernel: Sizes) -> Sizes:
        """What a kernel covers once it is dilated."""
        return tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, kernel, strict=True))

    def fits(self, item: Item, weight: Array, bias: Array, sizes: Sizes) -> bool:
        """Whether a kernel can move over an input of this shape; problems where it cannot."""
        rank = len(self.stride) + 2
        if weight.ndim != rank or not weight.size:
            limit = f"{rank} axes, none empty"
            item.problem("ND126", "a kernel of other rank", "weight", weight.shape, limit)
            return False
        out, into = weight.shape[:2]
        if len(sizes) != rank - 1 or sizes[0] != into * self.groups or out % self.groups:
            found, limit = f"{weight.shape} in {self.groups} groups", f"input of shape {sizes}"
            item.problem("ND126", "a kernel does not fit the input", "weight", found, limit)
            return False
        if bias.shape != weight.shape[:1]:
            item.problem("ND126", "a bias of another length", "bias", bias.shape, weight.shape[:1])
        extent = self.extent(weight.shape[2:])
        added = [e - 1 for e in extent] if self.same else [2 * p for p in self.padding]
        room = tuple(s + a for s, a in zip(sizes[1:], added, strict=True))
        if any(e > r for e, r in zip(extent, room, strict=True)):
            item.problem("ND126", "a kernel larger than the padded input", "weight", extent, room)
            return False
        if out * into * int(np.prod(extent, dtype=object)) > MAX_KERNEL:
            cause, limit = "a kernel too large once it is dilated", f"{MAX_KERNEL} elements"
            item.problem("ND123", cause, "dilation", self.dilation, limit)
            return False
        return True

    def spread(self, weight: Array) -> tuple[Array, Sizes]:
        """The kernel with zeros for its dilation, and the padding of both sides; ``same`` pads more behind."""
        extent = self.extent(weight.shape[2:])
        wide = np.zeros((*weight.shape[:2], *extent))
        places = (slice(None), slice(None), *(slice(None, None, d) for d in self.dilation))
        wide[places] = weight
        if not self.same:
            return wide, self.padding
        more = [(0, 0), (0, 0), *(((e - 1) % 2, 0) for e in extent)]
        return np.pad(wide, more), tuple(e // 2 for e in extent)


def _conv(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    """Cross-correlation; one over a line is one over an image of one row."""
    flat = item.kind == "Conv1d"
    weight, bias, window = item.numbers("weight"), item.numbers("bias"), _Window.read(item, 1 if flat else 2)
    if weight is None or bias is None or window is None or not window.fits(item, weight, bias, sizes):
        return None
    kernel, padding = window.spread(weight)
    stride, grid = window.stride, sizes
    if flat:
        kernel, stride, padding = kernel[:, :, None, :], (1, *stride), (0, *padding)
        grid = (sizes[0], 1, sizes[1])
    node = Synapse(
        name=item.name, inputs=(STREAM,), weight=kernel, bias=_unless_zero(bias), op="conv",
        stride=(stride[0], stride[1]), padding=(padding[0], padding[1]), groups=window.groups,
    )  # fmt: skip
    made = (len(kernel), *_positions(grid[1:], padding, kernel.shape[2:], stride))
    return _within(item, sizes, grid, node, made, (made[0], made[2]) if flat else made)


def _positions(sizes: Sizes, padding: Sizes, window: Sizes, stride: Sizes) -> Sizes:
    return tuple((s + 2 * p - w) // t + 1 for s, p, w, t in zip(sizes, padding, window, stride, strict=True))


def _within(item: Item, sizes: Sizes, grid: Sizes, node: Synapse, made: Sizes, out: Sizes) -> Made:
    """``node`` on the stream as an image of shape ``grid``, its result turned back into shape ``out``."""
    steps: Made = []
    if sizes != grid:
        name = f"{item.name}.in"
        steps.append(step(View(name=name, inputs=(STREAM,), op="reshape", args=grid), grid))
        node = replace(node, inputs=(name,))
    steps.append(step(node, made))
    if out != made:
        steps.append(step(View(name=f"{item.name}.out", inputs=(node.name,), op="reshape", args=out), out))
    return steps


def _scale(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    """One factor for all, or one each: a depthwise kernel of one element."""
    scale = item.numbers("scale")
    full = None if scale is None else item.spread("scale", scale, sizes)
    return None if full is None else _diagonal(item, item.name, sizes, np.broadcast_to(full, sizes), 0)


def _diagonal(item: Item, name: str, sizes: Sizes, factors: Array, delay: int) -> Made:
    """Factors by element as a depthwise kernel, over channels where all elements of a channel share theirs."""
    rows = factors.reshape(sizes[0], -1)
    by_channel = len(sizes) == 3 and bool((rows == rows[:, :1]).all())
    grid = sizes if by_channel else (int(np.prod(sizes)), 1, 1)
    weight = (rows[:, 0] if by_channel else factors.reshape(-1)).reshape(-1, 1, 1, 1)
    weight = np.array(weight, dtype=np.float64)
    node = Synapse(name=name, inputs=(STREAM,), weight=weight, op="conv", groups=grid[0], delay=delay)
    return _within(item, sizes, grid, node, grid, sizes)


def ticks(item: Item, options: NirOptions) -> Array | None:
    """The delays of a Delay in whole ticks."""
    delay, tick = item.numbers("delay"), options.delay_dt or options.dt
    if delay is None:
        return None
    found = np.rint(delay / tick)
    uneven = (np.abs(delay / tick - found) > 1e-3).any()
    if delay.size == 0 or uneven or found.min() < 0 or found.max() > MAX_DELAY:
        shown = f"{delay.min():g} .. {delay.max():g} at {tick:g} a tick" if delay.size else "no delay"
        cause, limit = "a delay that is no whole number of ticks, or too long", f"0 .. {MAX_DELAY} ticks"
        fix = "--set reader.delay_dt=STEP, the time of one tick in the unit of the delays"
        item.problem("ND124", cause, "delay", shown, limit, fix)
        return None
    whole: Array = found.astype(np.int64)
    return whole


def _delay(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    """A delay that no weights behind it can take: an identity that waits."""
    found = ticks(item, options)
    full = None if found is None else item.spread("delay", found, sizes)
    return None if full is None else waiting(item, item.name, sizes, np.asarray(full, dtype=np.int64))


def waiting(item: Item, name: str, sizes: Sizes, delay: Array, feedback: bool = False) -> Made | None:
    """An identity with delays of shape () or ``sizes``; ``feedback``: it has to read the neuron itself."""
    one = np.unique(delay)
    if one.size == 1 and (len(sizes) == 3 or not feedback):
        return _diagonal(item, name, sizes, np.ones(sizes), int(one[0]))
    count = int(np.prod(sizes))
    if count > MAX_DENSE_IDENTITY or (feedback and len(sizes) != 1):
        cause = "a delay that differs by element, or feedback without weights, over many elements"
        limit, fix = f"{MAX_DENSE_IDENTITY} in one axis", "use one delay, or put weights behind it"
        item.problem("ND125", cause, "", sizes, limit, fix)
        return None
    each = np.broadcast_to(np.broadcast_to(delay, sizes).reshape(1, -1), (count, count)).copy()
    wait = int(one[0]) if one.size == 1 else each
    node = Synapse(name=name, inputs=(STREAM,), weight=np.eye(count), delay=wait)
    return _within(item, sizes, (count,), node, (count,), sizes)


def _pool(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    window = item.whole("kernel_size", 1, MAX_SIDE, 2)
    stride = item.whole("stride", 1, MAX_SIDE, 2)
    padding = item.whole("padding", 0, MAX_SIDE, 2)
    if window is None or stride is None or padding is None:
        return None
    sides = zip(window, sizes[1:], padding, strict=True)
    if len(sizes) != 3 or any(w > s + 2 * p or p >= w for w, s, p in sides):
        found, limit = f"{window}, padding {padding}", f"input of shape {sizes}, padding below the window"
        item.problem("ND126", "a window that does not fit the input", "kernel_size", found, limit)
        return None
    node = Reduce(
        name=item.name, inputs=(STREAM,), op="sum" if item.kind == "SumPool2d" else "mean",
        window=(window[0], window[1]), stride=(stride[0], stride[1]), padding=(padding[0], padding[1]),
    )  # fmt: skip
    return [step(node, (sizes[0], *_positions(sizes[1:], padding, window, stride)))]


def _flatten(item: Item, sizes: Sizes, options: NirOptions) -> Made | None:
    """Axes start_dim .. end_dim become one; they do not count a batch, unless the declared input has one."""
    rank = len(sizes)
    start = item.whole("start_dim", -rank - 1, rank, 1, 1)
    end = item.whole("end_dim", -rank - 1, rank, 1, -1)
    if start is None or end is None:
        return None
    declared = item.numbers("input_type") if item.has("input_type") else None
    batched = int(declared is not None and declared.shape == (rank + 1,) and declared[0] == 1)
    first, last = (d if d < 0 else d - batched for d in (start[0], end[0]))
    first, last = max(first, 0) if first >= 0 else max(first + rank, 0), last if last >= 0 else last + rank
    if not 0 <= first <= last < rank:
        if first == rank or rank == 1:  # a vector stays one
            return []
        found = start[0], end[0]
        item.problem("ND126", "axes that the input does not have", "start_dim", found, f"shape {sizes}")
        return None
    out = (*sizes[:first], int(np.prod(sizes[first : last + 1])), *sizes[last + 1 :])
    view = View(name=item.name, inputs=(STREAM,), op="reshape", args=out)
    return [] if out == sizes else [step(view, out)]


RULES: dict[str, Callable[[Item, Sizes, NirOptions], Made | None]] = {
    "Linear": _linear, "Affine": _linear, "Scale": _scale, "Conv1d": _conv, "Conv2d": _conv, "Delay": _delay,
    "Flatten": _flatten, "SumPool2d": _pool, "AvgPool2d": _pool, "Pass": lambda *_: [], "Threshold": neurons.threshold,
    **dict.fromkeys(neurons.SPIKING, neurons.spiking), **dict.fromkeys(neurons.INTEGRATING, neurons.integrator),
}  # fmt: skip
