"""LIF with every reset, leaky integrator, threshold: integers against plain Python numbers and against floats."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from neurodeploy.neurons.general_lif import MEMBERS, RULES

LIF, INTEGRATOR, THRESHOLD = MEMBERS
TICKS, SIZE, TOP = 40, 60, (1 << 23) - 1
BASE = {"alpha": 0.5, "beta": 0.75, "gain": 0.5, "bias": 0.0625, "threshold": 1.0, "v_reset": -0.25}
UNIT = 2.0**-10


def stream(seed: int = 0, spread: float = 1.0, bias: float = 0.4) -> np.ndarray:
    return np.rint(np.random.default_rng(seed).normal(bias, spread, (TICKS, SIZE)) / UNIT).astype(np.int64)


def decay(x: int, factor: int) -> int:
    return (abs(x) * factor >> 12) * (1 if x >= 0 else -1)


def clip(x: int) -> int:
    return max(-TOP, min(TOP, x))


def reference(xs: list[int], p: dict[str, int]) -> tuple[list[int], list[int]]:
    """Spikes and voltages of one neuron, in the words of the docstring."""
    u = v = 0
    spikes, volts = [], []
    for x in xs:
        late = p["rule"] >= 2 and v > p["vth"]
        u = clip(decay(u, 4096 - p["du"]) + x * 64)
        v = decay(v, 4096 - p["dv"]) + u + p["bias"]
        if late:
            v = v - p["vth"] if p["rule"] == 2 else p["v_reset"]
        v = clip(v)
        s = v > p["vth"]
        if s and p["rule"] == 0:
            v = p["v_reset"]
        if s and p["rule"] == 1:
            v -= p["vth"]
        spikes.append(int(s))
        volts.append(v)
    return spikes, volts


def run(
    model: Any, step: Any, xs: np.ndarray, params: tuple, dtype: Any
) -> tuple[np.ndarray, np.ndarray, int]:
    """Outputs, voltages, and how many states were clipped."""
    u = v = np.zeros(xs.shape[1:], dtype)
    outs, volts, clipped = [], [], 0
    for x in xs:
        out, u, v, *rest = step(x, u, v, *params)
        clipped += int(np.sum(rest[0])) if rest else 0
        outs.append(out)
        volts.append(v)
    return np.array(outs), np.array(volts), clipped


@pytest.mark.parametrize("rule", range(len(RULES)), ids=RULES)
@pytest.mark.parametrize("spread", [1.0, 4000.0])
def test_integers_are_those_of_the_docstring(rule: int, spread: float) -> None:
    ints = dict(LIF.quantize({**BASE, "rule": rule}, UNIT, 1.0).params)
    xs = stream(1, spread)
    outs, volts, clipped = run(LIF, LIF.int_step, xs, tuple(ints[n] for n in LIF.int_params), np.int64)
    plain = {k: int(v) for k, v in ints.items()}
    for element in range(SIZE):
        spikes, expected = reference(xs[:, element].tolist(), plain)
        assert outs[:, element].tolist() == spikes and volts[:, element].tolist() == expected
    assert 0.02 < outs.mean() < 0.98
    assert (clipped > 0) == (spread > 1)


@pytest.mark.parametrize("rule", range(len(RULES)), ids=RULES)
def test_integers_follow_the_floats_under_every_reset(rule: int) -> None:
    params = {**BASE, "rule": rule}
    ints, xs = LIF.quantize(params, UNIT, 1.0).params, stream(2)
    outs, _, _ = run(LIF, LIF.int_step, xs, tuple(ints[n] for n in LIF.int_params), np.int64)
    floats, _, _ = run(LIF, LIF.float_step, xs * UNIT, tuple(params[n] for n in LIF.float_params), float)
    assert np.mean(outs != floats) < 0.01 and floats.any()


@pytest.mark.parametrize("rule", range(len(RULES)), ids=RULES)
def test_compiled_code_knows_every_reset(rule: int) -> None:
    ints, xs = LIF.quantize({**BASE, "rule": rule}, UNIT, 1.0).params, stream(3)[:, :5]
    params = tuple(int(ints[n]) for n in LIF.int_params)
    from tests.conformance.test_neurons import compiled

    step = compiled(LIF.int_step)
    assert isinstance(step, numba.core.registry.CPUDispatcher)
    outs, volts, _ = run(LIF, LIF.int_step, xs, params, np.int64)
    for element in range(5):
        state = (0, 0)
        for t in range(TICKS):
            out, *state, _ = step(int(xs[t, element]), *state, *params)
            assert (out, state[1]) == (outs[t, element], volts[t, element])


def test_a_late_subtraction_takes_the_threshold_from_the_leaked_voltage() -> None:
    """snnTorch's default: beta v + x - threshold, not beta (v - threshold) + x."""
    p = {**BASE, "alpha": 0.0, "gain": 1.0, "bias": 0.0}
    x = np.array([[3.0], [0.0], [0.0]])
    for rule, second in ((1, 0.75 * (3.0 - 1.0)), (2, 0.75 * 3.0 - 1.0)):
        _, volts, _ = run(LIF, LIF.float_step, x, (*(p[n] for n in LIF.float_params[:-1]), rule), float)
        before_reset = volts[1, 0] + (1.0 if rule == 1 else 0.0)  # it fires again
        assert before_reset == pytest.approx(second)


def test_parameters_that_leave_the_state_are_refused() -> None:
    with pytest.raises(ValueError, match="threshold"):
        LIF.quantize({**BASE, "threshold": 1e6, "rule": 0}, UNIT, 1.0)
    with pytest.raises(ValueError, match="offset"):
        INTEGRATOR.quantize({**INTEGRATOR.example, "offset": 1e6}, UNIT, 1.0)


def test_the_integrator_sends_its_voltage_from_an_offset() -> None:
    params = {**INTEGRATOR.example, "offset": 0.5, "bias": 0.125}
    made, xs = INTEGRATOR.quantize(params, UNIT, 1.0), stream(4)
    outs, volts, clipped = run(
        INTEGRATOR, INTEGRATOR.int_step, xs, tuple(made.params[n] for n in INTEGRATOR.int_params), np.int64
    )
    assert np.array_equal(outs, volts + made.params["offset"]) and not clipped
    floats, _, _ = run(
        INTEGRATOR, INTEGRATOR.float_step, xs * UNIT, tuple(params[n] for n in INTEGRATOR.float_params), float
    )
    np.testing.assert_allclose(outs * made.scale, floats, atol=16 * made.scale)


def test_thresholds_are_strict_also_on_whole_units() -> None:
    vth = THRESHOLD.quantize({"threshold": 0.5}, 0.25, 1.0).params["vth"]
    assert THRESHOLD.int_step(np.array([1, 2, 3]), vth)[0].tolist() == [0, 0, 1]
    assert THRESHOLD.float_step(np.array([0.25, 0.5, 0.75]), 0.5)[0].tolist() == [0, 0, 1]
