"""The eleven node kinds, frozen. A node names its inputs and yields exactly one value, known by the node's name.

What each kind computes is :mod:`neurodeploy.ir.interp`; what is legal where is :mod:`neurodeploy.ir.levels`.
Arrays inside nodes are never written to. Integers of which there are as many as parameters or elements (weights, delays
by connection, constants) are kept in the narrowest type that holds them, whatever a node was made with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ..array import Array, narrow, wide
from .equation import Equation
from .types import Origin

Timing = Literal["instant", "held", "cumulative"]
Keeps = Literal["", "own", "tokens", "all"]
ViewOp = Literal["reshape", "permute", "slice", "concat", "broadcast", "pad"]
Params = Mapping[str, Any]  # name -> number, string, tuple of numbers, or numpy array


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """Base of all kinds: ``name`` is unique in the graph, ``inputs`` are names of earlier nodes."""

    name: str
    inputs: tuple[str, ...] = ()
    origin: tuple[Origin, ...] = ()

    @property
    def kind(self) -> str:
        """The kind's name, in lower case."""
        return type(self).__name__.lower()

    @property
    def place(self) -> str:
        """The name and where in the user's model the node came from, for people."""
        return f"{self.name} from {self.origin[0]}" if self.origin else self.name


@dataclass(frozen=True, eq=False, kw_only=True)
class Input(Node):
    """A named stream; raw integer r stands for the real value (r - zero) * scale.

    A sample is one frame that stays the same at every tick, or, ``per_tick``, a frame for each tick.
    """

    scale: float | Array = 1.0
    zero: int | Array = 0
    per_tick: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Output(Node):
    """A readout over ticks: ``sum`` and ``mean`` accumulate (a mean's divisor folds into the scale), ``last`` keeps."""

    readout: Literal["sum", "mean", "last"] = "sum"


@dataclass(frozen=True, eq=False, kw_only=True)
class Const(Node):
    """A fixed tensor of the value's shape."""

    value: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", narrow(self.value))


@dataclass(frozen=True, eq=False, kw_only=True)
class Synapse(Node):
    """Static weights x stream, plus a bias that the receiving population adds at each of its ticks.

    ``dense``: weight (O, C) contracts the last axis and is shared over all others. ``conv``: weight
    (O, C/groups, ky, kx) on an input (C, Y, X), a cross-correlation as in torch. ``bias`` is (O,) or None.

    ``delay`` in ticks, for all connections or, dense only, for each (O, C): what arrives at tick t was sent at tick
    t - delay; nothing was sent before tick 1. The bias is not delayed. Where every delay is at least 1 the input may be
    a Neuron that comes later in the graph: that is how a network is recurrent.

    ``hosted``: the host computes it and sends what comes out, in place of its input. That is what becomes of a lookup
    (a dense Synapse without delays behind the Input of a network of texts) where the mapping says so.
    """

    weight: Array
    bias: Array | None = None
    op: Literal["dense", "conv"] = "dense"
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    groups: int = 1
    delay: int | Array = 0
    hosted: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", narrow(self.weight))
        if isinstance(self.delay, np.ndarray):
            object.__setattr__(self, "delay", narrow(self.delay))

    def later(self, steps: int) -> int | Array:
        """The delays and ``steps`` more, for all connections or for each."""
        return wide(self.delay) + steps if isinstance(self.delay, np.ndarray) else self.delay + steps

    @cached_property
    def delays(self) -> tuple[int, ...]:
        """The distinct delays in ticks, ascending."""
        return tuple(np.unique(self.delay).tolist())

    def part(self, delay: int) -> Synapse:
        """The connections of one delay alone: no bias, no delay, all other weights zero."""
        weight = self.weight if np.ndim(self.delay) == 0 else np.where(self.delay == delay, self.weight, 0)
        return replace(self, weight=weight, bias=None, delay=0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Neuron(Node):
    """A population of one registered neuron model; parameters broadcast to the shape.

    As many inputs as the model has. ``reset`` = (interval, phase) in ticks: the state is set to zero before each tick t
    with (t - phase) mod interval = 0, as it is before tick 1.
    """

    model: str
    params: Params = field(default_factory=dict)
    reset: tuple[int, int] | None = None

    def resets(self, t: int) -> bool:
        """Whether the state is zeroed before tick ``t`` > 1."""
        return self.reset is not None and (t - self.reset[1]) % self.reset[0] == 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Product(Node):
    """Dynamic product of two streams A, B: einsum ``equation`` (lower-case letters, no batch), times ``scale``.

    ``timing``: ``instant`` uses both operands of the tick; ``held`` keeps the last non-silent B; ``cumulative`` is
    expectation compensation: P(t) = P(t-1) + A(t) S_B(t) + S_A(t-1) B(t), output Y(t) - Y(t-1) with Y(t) = P(t)/t.
    Where ``mean`` is False, Y(t) = P(t): the operands are differences, and the output is the change of their product.
    At the integer level ``rescale`` holds arrays (multiplier[T], shift[T]) applied at tick t to P (cumulative, the
    1/t of a mean included) or to the product itself (instant); None means the product is passed on exactly.
    ``shown``: two letters, both of one operand or of the result, and a boolean table over their indices: terms for
    which it is False are left out, so elements of the result that have no others are 0. Not of ``held`` products.
    """

    equation: str
    timing: Timing | None = None
    mean: bool = True
    scale: float = 1.0
    rescale: tuple[Array, Array] | None = None
    shown: tuple[str, Array] | None = None

    @cached_property
    def einsum(self) -> Equation:
        """The equation as a value; ValueError where the text is none."""
        return Equation.parse(self.equation)

    def terms_of(self, letters: str) -> Array | None:
        """Which terms are shown, along the axes ``letters`` (1 long where they do not matter); None: one lacks."""
        if self.shown is None or not set(self.shown[0]) <= set(letters):
            return None
        pair, table = self.shown
        turned = table if letters.index(pair[0]) < letters.index(pair[1]) else table.T
        return turned.reshape([table.shape[pair.index(c)] if c in pair else 1 for c in letters])

    def used(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Operands (..., *shape), 0 where no term with them is shown."""
        left, right = self.terms_of(self.einsum.left), self.terms_of(self.einsum.right)
        return a if left is None else a * left, b if right is None else b * right

    def met(self, contract: Callable[[Array, Array], Array], a: Array, b: Array) -> Array:
        """What ``contract`` makes of operands (..., *shape), without the terms that are not shown."""
        found, out = contract(*self.used(a, b)), self.terms_of(self.einsum.out)
        return found if out is None else found * out

    def pairs(self, a: Array, b: Array) -> Array:
        """Non-zero pairs that operands (T, B, ...) meet in terms that are shown, (T,)."""
        equation = self.einsum
        if self.shown is None or any(self.terms_of(c) is not None for c in (equation.left, equation.right)):
            return equation.pairs(*self.used(a, b))
        pair, table = self.shown  # one of each operand
        if pair[0] in equation.right:
            pair, table = pair[::-1], table.T
        x, y = pair[0], pair[1]
        both = "".join(c for c in equation.left if c in equation.right)
        often_a = np.einsum(f"YZ{equation.left}->YZ{both}{x}", (a != 0).astype(np.int64))
        often_b = np.einsum(f"YZ{equation.right}->YZ{both}{y}", (b != 0).astype(np.int64))
        often_a = often_a @ table.astype(np.int64)
        met: Array = (often_a * often_b).sum(axis=tuple(range(1, often_a.ndim)))
        return met

    def narrowed(self, kept: Mapping[str, Array]) -> dict[str, Array]:
        """For each letter the indices in any term of elements of the result that have some; one where none is."""
        if self.shown is None:
            return dict(kept)
        letters, table = self.shown
        x, y = (kept.get(c, np.arange(n)) for c, n in zip(letters, table.shape, strict=True))
        part = table[np.ix_(x, y)]
        met = (x[part.any(axis=1)], y[part.any(axis=0)]) if part.any() else (x[:1], y[:1])
        return {**kept, **dict(zip(letters, met, strict=True))}

    def factor(self, t: int) -> tuple[Array | int, Array | int]:
        """Multiplier and shift at tick ``t``, the last ones from where they end; 1 and 0 where nothing is rescaled."""
        if self.rescale is None:
            return 1, 0
        multiplier, shift = (np.atleast_1d(part) for part in self.rescale)
        index = min(t, len(multiplier)) - 1
        return multiplier[index], shift[index]


@dataclass(frozen=True, eq=False, kw_only=True)
class Sum(Node):
    """Exact n-ary addition with signs; inputs broadcast to the value's shape."""

    signs: tuple[int, ...] = ()

    @property
    def every_sign(self) -> tuple[int, ...]:
        """The sign of each input: all plus where none are given."""
        return self.signs or (1,) * len(self.inputs)


@dataclass(frozen=True, eq=False, kw_only=True)
class Reduce(Node):
    """Sum, mean or max over whole ``axes``, or over windows of (Y, X) with ``window`` and ``stride``.

    At the integer level only ``sum`` and ``max`` occur: a mean is a sum whose divisor sits in the scale.
    """

    op: Literal["sum", "mean", "max"]
    axes: tuple[int, ...] = ()
    keepdims: bool = False
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    padding: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Micro(Node):
    """A registered non-spiking operator. ``cumulative`` wraps it in expectation compensation.

    F(t) = t * f(S(t)/t), output F(t) - F(t-1), with S(t) the running sum of the input; S(t)/t is
    ``fixed.rescale(S, *fixed.reciprocal(t))`` in integers.
    """

    op: str
    params: Params = field(default_factory=dict)
    timing: Timing | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class View(Node):
    """Rearranges elements without arithmetic: reshape, permute, slice, concat, broadcast, pad.

    ``args``: reshape (sizes), permute (axes), slice (axis, start, stop, step), concat (axis,), broadcast (sizes),
    pad (axis, before, after). :meth:`apply` is the meaning, on arrays with ``lead`` extra leading axes.
    """

    op: ViewOp
    args: tuple[int, ...] = ()

    def apply(self, arrays: list[Array], lead: int = 0) -> Array:
        """Rearrange ``arrays`` (one per input), leaving the first ``lead`` axes alone."""
        x, head = arrays[0], arrays[0].shape[:lead]
        if self.op == "reshape":
            return x.reshape(head + self.args)
        if self.op == "permute":
            return x.transpose(tuple(range(lead)) + tuple(a + lead for a in self.args))
        if self.op == "slice":
            axis, start, stop, step = self.args
            return x[(slice(None),) * (axis + lead) + (slice(start, stop, step),)]
        if self.op == "concat":
            return np.concatenate(
                [np.broadcast_to(a, head + a.shape[a.ndim - (x.ndim - lead) :]) for a in arrays],
                axis=self.args[0] + lead,
            )
        if self.op == "broadcast":
            new = (1,) * (len(self.args) + lead - x.ndim)  # new axes come first, but after the leading ones
            return np.broadcast_to(x.reshape(head + new + x.shape[lead:]), head + self.args)
        axis, before, after = self.args
        widths = [(0, 0)] * x.ndim
        widths[axis + lead] = (before, after)
        return np.pad(x, widths)


@dataclass(frozen=True, eq=False, kw_only=True)
class Delay(Node):
    """Holds its input for ``steps`` hardware steps so that branches meet at the same tick; the identity per tick.

    ``keeps`` (where tokens take turns, empty: a line that moves on with every step): what arrives is kept by token and
    tick until it is used, in the ``own`` turns of its tokens, in those of the ``tokens`` of its token axis, or at once
    (``all``).
    """

    steps: int
    keeps: Keeps = ""


KINDS: dict[str, type[Node]] = {
    cls.__name__.lower(): cls
    for cls in (Input, Output, Const, Synapse, Neuron, Product, Sum, Reduce, Micro, View, Delay)
}
