"""What every registered neuron model must do; a new model is tested by being in the registry."""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
import pytest

from neurodeploy.ir.neuron_model import NEURONS, NeuronModel, Quantized
from neurodeploy.simulate.kernels import scalar_step

MODELS = NEURONS
UNIT = 2.0**-10  # worth of an input unit: fine enough that thresholds hold ten bits
OBSERVED = 3.0  # magnitude the float population is taken to emit
TICKS, SIZE = 8, 400
GRADES = ("documented", "plausible", "simulation-only")
#: largest share of (element, tick) where the integer output may differ by more than half an output unit
DISAGREEMENT = 0.01


@pytest.fixture(params=sorted(MODELS), name="model")
def _model(request: pytest.FixtureRequest) -> NeuronModel:
    return MODELS[request.param]


def quantized(model: NeuronModel, scale: float | np.ndarray = UNIT) -> Quantized:
    return model.quantize(model.example, scale, OBSERVED)


def stream(seed: int = 0, spread: float = 1.0) -> np.ndarray:
    """Random integer input, (ticks, elements), of standard deviation ``spread`` in source units."""
    return np.rint(np.random.default_rng(seed).normal(0.0, spread, (TICKS, SIZE)) / UNIT).astype(np.int64)


def streams(model: NeuronModel, x: np.ndarray) -> list[np.ndarray]:
    """One input stream for each input of the model: the elements of ``x``, shifted on for every further one."""
    return [np.roll(x, 7 * i, axis=0) for i in range(model.inputs)]


def run_int(model: NeuronModel, xs: np.ndarray, params: Any) -> tuple[np.ndarray, list[tuple], np.ndarray]:
    """Outputs, states after every tick and clip flags from zero state."""
    state: tuple = tuple(np.zeros(xs.shape[1:], np.int64) for _ in model.state)
    outs, states, clips = [], [], []
    for x in xs:
        out, *rest = model.int_step(*streams(model, x), *state, *(params[name] for name in model.int_params))
        state, clipped = tuple(rest[:-1]), rest[-1]
        outs.append(out)
        states.append(state)
        clips.append(np.broadcast_to(clipped, x.shape))
    return np.array(outs), states, np.array(clips)


def run_float(model: NeuronModel, xs: np.ndarray) -> np.ndarray:
    """Outputs from zero state of integer inputs, each in its unit."""
    state: tuple = tuple(np.zeros(xs.shape[1:]) for _ in model.state)
    outs = []
    for x in xs:
        params = (model.example[name] for name in model.float_params)
        first, *others = streams(model, x)
        given = [first * UNIT, *(other * (model.factor_unit or UNIT) for other in others)]
        out, *state_list = model.float_step(*given, *state, *params)
        state = tuple(state_list)
        outs.append(out)
    return np.array(outs)


def test_describes_itself(model: NeuronModel) -> None:
    assert set(model.float_params) <= set(model.example), "example must give every float parameter"
    assert model.grade[0] in GRADES and model.grade[1]
    assert all(1 <= s.bits <= 32 for s in model.state)
    q = quantized(model)
    assert set(model.thresholds) <= set(model.int_params) <= set(q.params)
    operations = model.operations(q.params)
    assert isinstance(operations, int) and operations > 0


def test_integer_parameters_are_integers(model: NeuronModel) -> None:
    for value in quantized(model, np.full(3, UNIT)).params.values():
        assert isinstance(value, int) or np.asarray(value).dtype == np.int64


@pytest.mark.parametrize("seed", range(3))
def test_integer_and_float_agree_within_half_an_output_unit(model: NeuronModel, seed: int) -> None:
    """At most 1 % of elements and ticks differ by more than the tolerance, half a unit but for some: thresholds."""
    xs = np.clip(stream(seed), -OBSERVED / UNIT, OBSERVED / UNIT).astype(np.int64)
    q = quantized(model)
    outs, _, _ = run_int(model, xs, q.params)
    error = np.abs(outs * q.scale - run_float(model, xs))
    assert np.mean(error > (model.tolerance + 1e-3) * np.asarray(q.scale)) <= DISAGREEMENT


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("name", [name for name in sorted(MODELS) if MODELS[name].monotone])
def test_a_monotone_model_sends_no_later_for_larger_inputs(name: str, share: float) -> None:
    """Where even the largest input at every tick sends nothing, and the smallest neither, nothing in between does."""
    model = MODELS[name]
    q, most = quantized(model), int(share / UNIT)
    mixed = np.random.default_rng(6).integers(-most, most + 1, (TICKS, SIZE))
    ends = [run_int(model, np.full((TICKS, 1), end), q.params)[0] for end in (-most, most)]
    first = min(int(np.argmax(found.any(axis=1))) if found.any() else TICKS for found in ends)
    sent = run_int(model, mixed, q.params)[0]
    assert not sent[:first].any()


@pytest.mark.parametrize("spread", [1.0, 100.0])
def test_emits_only_its_declared_code(model: NeuronModel, spread: float) -> None:
    q = quantized(model)
    outs, _, _ = run_int(model, stream(1, spread), q.params)
    lo, hi = q.code.interval
    assert q.code == model.code(q.params) and q.code.spiking
    assert outs.dtype == np.int64 and lo <= outs.min() and outs.max() <= hi
    if q.code.kind in ("binary", "ternary"):
        assert set(np.unique(outs)) <= {-1, 0, 1}


def test_starts_from_zero_state_and_stays_silent_without_input(model: NeuronModel) -> None:
    outs, states, clips = run_int(model, np.zeros((TICKS, 4), np.int64), quantized(model).params)
    assert outs.all() if model.always else not outs.any()
    assert not clips.any()
    for state in states:
        assert not any(v.any() for variable, v in zip(model.state, state, strict=True) if not variable.clock)


def test_second_sample_equals_the_first_and_nothing_is_written_to(model: NeuronModel) -> None:
    xs, q = stream(2), quantized(model)
    kept = xs.copy()
    first, second = run_int(model, xs, q.params)[0], run_int(model, xs, q.params)[0]
    assert np.array_equal(first, second) and np.array_equal(xs, kept)


@pytest.mark.parametrize("sign", [1, -1])
def test_states_stay_inside_their_width_and_clipping_is_flagged(model: NeuronModel, sign: int) -> None:
    peak = (model.input_limit or 1 << 23) - 1
    xs = np.full((64, 3), sign * peak)
    _, states, clips = run_int(model, xs, quantized(model).params)
    for state in states:
        for variable, value in zip(model.state, state, strict=True):
            assert np.abs(value).max() <= 2 ** (variable.bits - 1)  # Lava's current may be exactly 2^23
    assert set(np.unique(clips)) <= {0, 1}


def test_per_channel_parameters_equal_one_channel_at_a_time(model: NeuronModel) -> None:
    scales = UNIT * np.array([1.0, 0.75, 1.5])
    xs = stream(3)[:, :300].reshape(TICKS, 100, 3)
    together = run_int(model, xs, quantized(model, scales).params)[0]
    for channel, scale in enumerate(scales):
        alone = run_int(model, xs[:, :, channel], quantized(model, float(scale)).params)[0]
        assert np.array_equal(together[:, :, channel], alone)


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function compiled by numba, helpers of its module included."""
    names = dict(function.__globals__)
    for name in function.__code__.co_names:
        if isinstance(names.get(name), types.FunctionType):
            names[name] = compiled(names[name])
    return numba.njit(types.FunctionType(function.__code__, names, function.__name__, function.__defaults__))


@pytest.mark.parametrize("spread", [1.0, 1000.0])
def test_compiled_scalar_step_equals_numpy(model: NeuronModel, spread: float) -> None:
    xs, q = stream(4, spread)[:, :40], quantized(model)
    step = compiled(model.int_step)
    params = [int(q.params[name]) for name in model.int_params]
    outs, states, clips = run_int(model, xs, q.params)
    inputs = [streams(model, x) for x in xs]
    for element in range(xs.shape[1]):
        state: tuple = (0,) * len(model.state)
        for t, parts in enumerate(inputs):
            out, *rest = step(*(int(part[element]) for part in parts), *state, *params)
            state, clipped = tuple(rest[:-1]), rest[-1]
            assert np.ndim(out) == 0 and all(np.ndim(s) == 0 for s in rest), (
                "compiled scalars must stay scalars"
            )
            assert int(out) == outs[t, element] and int(clipped) == clips[t, element]
            assert tuple(int(s) for s in state) == tuple(int(v[element]) for v in states[t])


FORMED = [
    (name, reach)
    for name in sorted(MODELS)
    for reach in (50, 3000, (1 << 17) - 1)
    if MODELS[name].form(quantized(MODELS[name]).params, reach) != "int_step"
]


@pytest.mark.parametrize(("name", "reach"), FORMED)
def test_narrow_form_of_the_step_equals_it(name: str, reach: int) -> None:
    """At the ends of the inputs for which the form is said to hold, and between; states as well."""
    model, kind = MODELS[name], np.int32
    params = quantized(model).params
    step = scalar_step(name, model.form(params, reach))
    rng = np.random.default_rng(0)
    xs = rng.integers(-reach, reach, (TICKS, 60), endpoint=True)
    xs[:, :2] = reach, -reach
    out, states, clips = run_int(model, xs, params)
    for j in range(60):
        state = [kind(0)] * len(model.state)
        ints = [kind(np.broadcast_to(params[name], 60)[j]) for name in model.int_params]
        for t in range(TICKS):
            given = [kind(x[t, j]) for x in streams(model, xs)]
            value, *after, clipped = step(*given, *state, *ints)
            state = [kind(one) for one in after]
            expected = [np.broadcast_to(one, 60)[j] for one in states[t]]
            assert (value, clipped) == (out[t, j], clips[t, j]) and state == expected


@pytest.mark.slow
def test_compiled_step_vectorizes_over_int64_arrays(model: NeuronModel) -> None:
    """One ufunc per output, over the state of a whole population."""
    rng, q = np.random.default_rng(5), quantized(model)
    step, leading = compiled(model.int_step), model.inputs + len(model.state)
    arity = leading + len(model.int_params)
    names = ", ".join(f"a{i}" for i in range(arity))
    args = streams(model, stream(6)[0]) + [rng.integers(-1000, 1000, SIZE) for _ in model.state]
    args += [np.full(SIZE, int(q.params[name])) for name in model.int_params]
    expected = model.int_step(*args[:leading], *(q.params[name] for name in model.int_params))
    for i, value in enumerate(expected):
        scope: dict[str, Any] = {"step": step}
        exec(f"def output({names}):\n    return step({names})[{i}]", scope)
        ufunc = numba.vectorize([numba.int64(*[numba.int64] * arity)])(scope["output"])
        assert np.array_equal(ufunc(*args), np.broadcast_to(value, SIZE))
