"""Which registered neuron a piece of a user's own code is, found by running it: no class name is known here.

A piece of code (:class:`Cell`) takes drives and states of one shape and yields one value and the next states, element
by element. Its constants are read where it is linear, below the threshold; the threshold is found by halving; the reset
is read above it. What counts is the comparison that follows: the model has to send the same as the code over random
currents from rest, in every element and tick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..array import Array
from ..ir.neuron_model import NEURONS

#: ticks and magnitudes (in thresholds, or in units) over which code and model are compared
TICKS = 12
SPREADS = (0.3, 1.0, 3.0, 30.0)
#: a probe below the threshold: a power of two, so that dividing by it is exact
_PROBES = tuple(2.0**-k for k in (4, 8, 12, 20))
_DOUBLINGS, _HALVINGS = 40, 120
_RELATIVE, _ABSOLUTE = 1e-9, 1e-12

Step = Callable[[Sequence[Any], Sequence[Any]], tuple[Any, Sequence[Any]]]


@dataclass(frozen=True)
class Cell:
    """``step(drives, states) -> (out, states)`` on float64 tensors; every state has ``shape``, the batch first.

    ``rest`` is where each state begins. The first state is the membrane; others may hold the last spikes.
    """

    step: Step
    shape: tuple[int, ...]
    drives: tuple[tuple[int, ...], ...]
    rest: tuple[float, ...]

    def run(self, drives: Sequence[Array], *states: Array) -> tuple[Array, Array]:
        """Output and next membrane, both counted from rest as the states are."""
        import torch

        pairs = zip(drives, self.drives, strict=True)
        given = [torch.from_numpy(np.array(np.broadcast_to(drive, shape))) for drive, shape in pairs]
        full = [*states, *(np.zeros(self.shape) for _ in self.rest[len(states) :])]
        held = [torch.from_numpy(np.array(s)) + rest for s, rest in zip(full, self.rest, strict=True)]
        out, (after, *_) = self.step(given, held)
        return _array(out, self.shape), _array(after, self.shape) - self.rest[0]

    def sequence(self, drives: Sequence[Sequence[Array]]) -> Array:
        """What is sent at each tick, from rest: (ticks, *shape)."""
        import torch

        states = [torch.full(self.shape, r, dtype=torch.float64) for r in self.rest]
        outs = []
        for tick in drives:
            out, states = self.step([torch.from_numpy(np.array(d)) for d in tick], states)  # type: ignore[assignment]
            outs.append(_array(out, self.shape))
        return np.stack(outs)


@dataclass(frozen=True)
class Population:
    """A registered model with its parameters; its input is the sum of the drives, each times its ratio.

    ``factor`` is which of the drives is its second input: what part of the state is kept.
    """

    model: str
    params: Mapping[str, Any]
    ratios: tuple[Any, ...]
    factor: int | None = None


def _array(tensor: Any, shape: tuple[int, ...]) -> Array:
    array: Array = np.broadcast_to(tensor.detach().double().numpy(), shape).astype(np.float64)
    return array


def linear(cell: Cell, follows: bool = True) -> Population | None:
    """The leaky integrator that a cell is, or None; with ``follows`` what it sends has to be its state."""
    zeros = [np.zeros(shape) for shape in cell.drives]
    _, base = cell.run(zeros)
    _, one = cell.run(zeros, np.ones(cell.shape))
    kept = _round(one - base)
    gains = [_round(cell.run(_only(zeros, k, 1.0))[1] - base) for k in range(len(zeros))]
    random = np.random.default_rng(0)
    for spread in SPREADS:
        drives = [spread * random.standard_normal(shape) for shape in cell.drives]
        states = [spread * random.standard_normal(cell.shape) for _ in cell.rest]
        out, after = cell.run(drives, *states)
        wanted = kept * states[0] + sum((g * d for g, d in zip(gains, drives, strict=True)), base)
        if not np.allclose(after, wanted, _RELATIVE, _ABSOLUTE) or (
            follows and not np.array_equal(out, after + cell.rest[0])
        ):
            return None
    return _integrator(kept, gains, base, cell.rest[0])


def gated(cell: Cell) -> Population | None:
    """The gated integrator v <- f v + x that a cell is, where f is one of the drives and x a sum of any, or None."""
    zeros, random = [np.zeros(shape) for shape in cell.drives], np.random.default_rng(0)
    alone = [_only(zeros, k, 1.0) for k in range(len(zeros))]
    gains, one = [_round(cell.run(drives)[1]) for drives in alone], np.ones(cell.shape)
    factors = [k for k, drives in enumerate(alone) if (_round(cell.run(drives, one)[1]) != gains[k]).any()]
    if len(factors) != 1 or cell.rest != (0.0,) or not all(map(_same_for_samples, gains)):
        return None
    (factor,) = factors
    for spread in SPREADS:
        drives = [spread * random.standard_normal(shape) for shape in cell.drives]
        state = spread * random.standard_normal(cell.shape)
        out, after = cell.run(drives, state)
        wanted = sum((g * d for g, d in zip(gains, drives, strict=True)), drives[factor] * state)
        if not np.allclose(after, wanted, _RELATIVE, _ABSOLUTE) or not np.array_equal(out, after):
            return None
    ratios = tuple(map(_compact, gains))
    return Population("gated_integrator", {}, ratios, factor) if any(map(np.any, ratios)) else None


def _integrator(kept: Array, gains: list[Array], base: Array, rest: float) -> Population | None:
    """v <- kept v + sum of gains x + base, read with what it rests at."""
    if not all(map(_same_for_samples, (kept, base, *gains))) or not gains or not gains[0].all():
        return None
    gain, ratios = _compact(gains[0]), tuple(_compact(g / gains[0]) for g in gains)
    params = {"beta": _compact(kept), "gain": gain, "bias": _compact(base), "offset": rest}
    if np.all(kept == 1.0) and np.all(gains[0] == 1.0) and not base.any():
        return Population("integrator", {"bias": rest}, ratios)
    return Population("leaky_integrator", {"alpha": 0.0, **params}, ratios)


def firing(cell: Cell) -> Population | None:
    """The model of spikes 0 and 1 that a cell is, or None."""
    found = _subthreshold(cell)
    if found is None:
        return None
    kept, gains, base = found
    limits = _limits(cell, gains[0])
    if limits is None:
        return None
    silent, fired = limits
    threshold = _round(gains[0] * fired + base)
    # the largest height that does not fire is the threshold itself where the comparison is strict
    inclusive = not np.any(_heights(cell, silent) == threshold)
    numbers = (kept, base, threshold, *gains)
    if not all(map(_same_for_samples, numbers)) or not all(np.all(n) for n in (threshold > 0, *gains)):
        return None
    ratios = tuple(_compact(g / gains[0]) for g in gains)
    named = {"beta": kept, "gain": gains[0], "bias": base, "threshold": threshold}
    common = {name: _compact(array) for name, array in named.items()}
    drives = list(_currents(cell, gains, threshold, meets=all(map(_dyadic, numbers))))
    sent = [cell.sequence(sequence) for sequence in drives]
    if not all(np.all((out == 0) | (out == 1)) for out in sent):
        return None
    for model, params in _candidates(cell, common, inclusive):
        made = Population(model, params, ratios)
        if all(np.array_equal(played(made, cell.shape, s), o) for s, o in zip(drives, sent, strict=True)):
            return made
    return None


def _subthreshold(cell: Cell) -> tuple[Array, list[Array], Array] | None:
    """What is kept of the state, the gain of each drive, and what is added, all read where nothing fires."""
    zeros = [np.zeros(shape) for shape in cell.drives]
    out, base = cell.run(zeros)
    if out.any() or not zeros:
        return None
    for probe in _PROBES:
        runs = [cell.run(zeros, np.full(cell.shape, probe))]
        runs += [cell.run(_only(zeros, k, probe)) for k in range(len(zeros))]
        if not any(out.any() for out, _ in runs):
            kept, *gains = (_round((after - base) / probe) for _, after in runs)
            return (kept, gains, _round(base)) if gains[0].all() else None
    return None


def _limits(cell: Cell, gain: Array) -> tuple[Array, Array] | None:
    """Neighbouring values of the first drive, from rest: the last where an element is silent, the first where not."""
    sign = np.sign(gain)

    def fires(x: Array) -> Array:
        return cell.run(_first(cell, sign * x))[0] > 0

    high = np.ones(cell.shape)
    for _ in range(_DOUBLINGS):
        silent = ~fires(high)
        if not silent.any():
            break
        high = np.where(silent, 2 * high, high)
    else:
        return None
    low = np.zeros(cell.shape)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if np.all((middle == low) | (middle == high)):
            break
        fired = fires(middle)
        low, high = np.where(fired, low, middle), np.where(fired, middle, high)
    return sign * low, sign * high


def _heights(cell: Cell, x: Array) -> Array:
    """The membrane behind one tick of the first drive."""
    return cell.run(_first(cell, x))[1]


def _first(cell: Cell, x: Array) -> list[Array]:
    """Drives of which only the first is not 0."""
    drives = [np.zeros(shape) for shape in cell.drives]
    drives[0] = _fitted(x, cell.drives[0])
    return drives


def _fitted(x: Array, shape: tuple[int, ...]) -> Array:
    """``x`` as a drive of this shape; a drive that is shared by several elements gets the largest."""
    while x.ndim > len(shape):
        x = x.max(axis=0)
    for axis, size in enumerate(shape):
        if size == 1 and x.shape[axis] != 1:
            x = x.max(axis=axis, keepdims=True)
    return x


def _candidates(
    cell: Cell, common: Mapping[str, Any], inclusive: bool
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Models that fire at this threshold, with every reset; the chips' own first."""
    threshold, gain = np.asarray(common["threshold"]), np.asarray(common["gain"])
    reset = _compact(_round(_heights(cell, np.broadcast_to(2 * threshold / gain, cell.shape))))
    values = [0.0] if np.ndim(reset) == 0 and reset == 0 else [0.0, reset]
    if inclusive:
        if not np.any(common["bias"]):
            yield "lif", {name: common[name] for name in ("beta", "gain", "threshold")}
        for value in values:
            yield "inclusive_lif", {**common, "v_reset": value, "rule": 0}
        yield "inclusive_lif", {**common, "v_reset": 0.0, "rule": 1}
    else:
        general = {"alpha": 0.0, **common}
        for value in values:
            yield "general_lif", {**general, "v_reset": value, "rule": 0}
        for rule in (1, 2, 3):
            yield "general_lif", {**general, "v_reset": 0.0, "rule": rule}


def _currents(
    cell: Cell, gains: Sequence[Array], threshold: Array, meets: bool
) -> Iterator[list[list[Array]]]:
    """Sequences of drives from rest: random ones of several sizes; quarters of the threshold where sums are exact."""
    random = np.random.default_rng(1)
    shapes = [(np.max(np.abs(threshold / g)), shape) for g, shape in zip(gains, cell.drives, strict=True)]
    for spread in SPREADS:
        yield [
            [spread * size * (random.standard_normal(shape) + 0.3) for size, shape in shapes]
            for _ in range(TICKS)
        ]
    if meets:
        yield [[size * random.integers(-1, 7, shape) / 4 for size, shape in shapes] for _ in range(TICKS)]


def _dyadic(array: Array) -> bool:
    """Whether sums and products of such numbers are exact."""
    return not np.any(array * 2**10 % 1)


def played(made: Population, shape: tuple[int, ...], sequence: Sequence[Sequence[Array]]) -> Array:
    """What the registered model sends over a sequence of drives, from rest: (ticks, *shape)."""
    model = NEURONS[made.model]
    state: tuple[Any, ...] = tuple(np.zeros(shape) for _ in model.state)
    outs = []
    for tick in sequence:
        x = np.zeros(shape) + sum(ratio * drive for ratio, drive in zip(made.ratios, tick, strict=True))
        out, *rest = model.float_step(x, *state, *(made.params[name] for name in model.float_params))
        state = tuple(rest)
        outs.append(out)
    return np.stack(outs)


def _only(zeros: Sequence[Array], index: int, value: float) -> list[Array]:
    return [np.full_like(z, value) if k == index else z for k, z in enumerate(zeros)]


def _same_for_samples(array: Array) -> bool:
    return bool(np.all(array == array[:1]))


def _compact(array: Array) -> Any:
    """A parameter without the batch axis: a number where all elements agree, size 1 along axes that do not matter."""
    one = array[0] if array.ndim else array
    for axis in range(one.ndim):
        first = one.take([0], axis)
        if np.array_equal(np.broadcast_to(first, one.shape), one):
            one = first
    return float(one.reshape(())) if one.size == 1 else one


def _round(array: Array) -> Array:
    """The short decimal or single-precision number that a value is but for the rounding of double arithmetic."""
    if np.all(array == array.flat[0]):  # most parameters are one number, and sorting a whole layer takes long
        values, places = array.reshape(-1)[:1], np.zeros(array.size, dtype=np.intp)
    else:
        values, places = np.unique(array, return_inverse=True)
    short = np.array([float(f"{value:.13g}") for value in values])
    single = values.astype(np.float32).astype(np.float64)
    near = np.spacing(np.abs(values)) * 8
    plain = np.where(np.abs(single - values) <= near, single, values)
    rounded: Array = np.where(np.abs(short - values) <= near, short, plain)[places].reshape(array.shape)
    return rounded
