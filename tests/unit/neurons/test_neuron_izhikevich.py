"""Izhikevich's neuron: rest, the published form, rhythm and adaptation, widths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurodeploy.neurons.izhikevich import MEMBER

#: the published neuron in millivolts from rest
REGULAR = {
    "square": 0.04,
    "gap": 15.0,
    "a": 0.02,
    "b": 0.2,
    "peak": 100.0,
    "reset": 5.0,
    "jump": 8.0,
    "bias": 0.0,
}
UNIT = 2.0**-6


def spikes(current: float, ticks: int, scale: float = UNIT, **changes: float) -> np.ndarray:
    """Ticks in which the integer neuron spikes under a constant current."""
    params = MEMBER.quantize({**REGULAR, **changes}, scale, 1.0).params
    values = [params[name] for name in MEMBER.int_params]
    state: tuple[Any, ...] = (np.int64(0), np.int64(0))
    found = []
    for tick in range(ticks):
        out, *rest = MEMBER.int_step(np.int64(round(current / scale)), *state, *values)
        state = tuple(rest[:-1])
        found += [tick] if out else []
    return np.array(found)


def published(current: float, ticks: int) -> np.ndarray:
    """The same of the published equations, in millivolts, one Euler step a tick; the peak cuts the voltage."""
    v, u, found = -70.0, -14.0, []
    for tick in range(ticks):
        v = min(v + 0.04 * v * v + 5 * v + 140 - u + current, 30.0)
        u += 0.02 * (0.2 * v - u)
        if v >= 30.0:
            v, u = -65.0, u + 8.0
            found.append(tick)
    return np.array(found)


@pytest.mark.parametrize("current", [4.5, 6.0, 10.0, 14.0])
def test_it_spikes_in_the_ticks_of_the_published_equations(current: float) -> None:
    theirs, ours = published(current, 400), spikes(current, 400)
    assert len(theirs) > 3 and len(ours) == len(theirs)
    assert np.abs(ours - theirs).max() <= 2


def test_its_first_interval_is_the_shortest() -> None:
    between = np.diff(spikes(10.0, 400))
    assert between[0] < between[-1]


def test_a_bias_is_a_current() -> None:
    assert np.array_equal(spikes(0.0, 200, bias=10.0), spikes(10.0, 200))


def test_a_small_current_does_not_make_it_spike() -> None:
    assert not len(spikes(1.0, 400))


@pytest.mark.parametrize("scale", [2.0**-10, 2.0**-3])
def test_units_do_not_matter(scale: float) -> None:
    assert np.abs(len(spikes(10.0, 400, scale)) - len(published(10.0, 400))) <= 1


def test_a_unit_that_is_too_fine_is_refused() -> None:
    finest = MEMBER.finest_unit(REGULAR)
    MEMBER.quantize(REGULAR, finest * 1.01, 1.0)
    with pytest.raises(ValueError, match="state units"):
        MEMBER.quantize(REGULAR, finest * 0.98, 1.0)
