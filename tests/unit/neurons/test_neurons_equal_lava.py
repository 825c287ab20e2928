"""Integer steps against the arithmetic of Lava's own fixed-point process models, run without a Lava runtime.

A process model is made as Lava's builder makes it: variables of the types it declares, ports that hand over an array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurodeploy.ir.neuron_model import NEURONS

pytestmark = pytest.mark.needs("lava.proc.lif.models")
SIZE, TICKS = 300, 24


class Port:
    """Hands over what it was given, and keeps what is sent through it."""

    def __init__(self) -> None:
        self.value: np.ndarray = np.zeros(0)

    def recv(self) -> np.ndarray:
        return self.value

    def send(self, value: np.ndarray) -> None:
        self.value = np.array(value)


def process_model(cls: Any, proc_params: dict[str, Any], **variables: Any) -> Any:
    """An instance of a Lava process model whose variables have the types that it declares."""
    model = cls(proc_params)
    for name in dir(cls):
        kind = getattr(cls, name)
        if type(kind).__name__ != "LavaPyType" or not isinstance(kind.cls, type):
            continue
        if name in variables and kind.cls is np.ndarray:
            value = np.zeros(np.shape(variables[name]) or (1,), kind.d_type)
            value[:] = variables[name]
            setattr(model, name, value)
        elif name in variables:
            setattr(model, name, variables[name])
        elif kind.cls is np.ndarray:
            setattr(model, name, np.zeros(SIZE, kind.d_type))
        else:
            setattr(model, name, Port())
    return model


def inputs(seed: int, limit: int) -> np.ndarray:
    """(TICKS, SIZE) int32: small, large and extreme values, and silence."""
    rng = np.random.default_rng(seed)
    scale = rng.choice([0, 3, 200, 5000, limit // 16, limit], (TICKS, SIZE))
    x = rng.integers(-limit, limit, (TICKS, SIZE)) * scale // limit
    x[:, 0], x[:, 1] = limit - 1, -limit + 1
    return x.astype(np.int32)


def ours(name: str, params: dict[str, Any], *streams: np.ndarray) -> tuple[list, list, list]:
    """Outputs, states and clip flags at every tick."""
    model, outs, states, clips = NEURONS[name], [], [], []
    state: tuple = tuple(np.zeros(SIZE, np.int64) for _ in model.state)
    for parts in zip(*streams, strict=True):
        out, *rest = model.int_step(
            *(p.astype(np.int64) for p in parts), *state, *(params[n] for n in model.int_params)
        )
        state, clipped = tuple(rest[:-1]), rest[-1]
        outs.append(out)
        states.append(state)
        clips.append(clipped)
    return outs, states, clips


def compare(
    model: Any, ports: tuple[str, ...], names: tuple[str, ...], run: tuple, *streams: np.ndarray
) -> None:
    """The same outputs and states as the Lava model at every tick; messages only where ours were not clipped."""
    outs, states, clips = run
    for t, parts in enumerate(zip(*streams, strict=True)):
        for port, part in zip(ports, parts, strict=True):
            getattr(model, port).value = part.copy()
        with np.errstate(over="ignore"):
            model.run_spk()
        for name, value in zip(names, states[t], strict=True):
            assert np.array_equal(getattr(model, name), value), (t, name)
        free = np.ones(SIZE, bool) if model.s_out.value.dtype == bool else ~(clips[t] != 0)
        if names == ("u", "v") or names == ("real", "imag"):
            free[:] = True
        assert np.array_equal(model.s_out.value[free].astype(np.int64), outs[t][free]), t


DECAYS = [(-1, 0), (4095, 4096), (4095, 128), (1023, 512), (0, 4095), (2047, 1)]


@pytest.mark.parametrize(("du", "dv"), DECAYS)
@pytest.mark.parametrize("vth", [0, 1, 320, 10_000, (1 << 17) - 1, 1 << 17])
def test_cuba_lif(du: int, dv: int, vth: int) -> None:
    from lava.proc.lif.models import PyLifModelBitAcc

    bias = np.random.default_rng(1).integers(-(1 << 15), 1 << 15, SIZE)
    bias[:4] = 0, -(1 << 15), (1 << 15) - 1, 4095
    x = inputs(du + dv + vth + 1, 1 << (31 if vth == 320 else 23))
    lava = process_model(
        PyLifModelBitAcc, {}, bias_mant=bias, bias_exp=np.full(SIZE, 6), du=du, dv=dv, vth=vth
    )
    run = ours("cuba_lif", {"du": du, "dv": dv, "bias": bias << 6, "vth": vth}, x)
    compare(lava, ("a_in",), ("u", "v"), run, x)


@pytest.mark.parametrize("name", ["cuba_lif", "cuba_voltage"])
def test_current_stays_in_24_bits_below_the_limit_of_loihi(name: str) -> None:
    x = inputs(5, 1 << 17)
    _, states, _ = ours(name, {"du": -1, "dv": 0, "bias": 0, "vth": 1 << 17}, x)
    assert max(np.abs(u).max() for u, _ in states) <= 1 << 23


@pytest.mark.parametrize(("du", "dv"), DECAYS)
def test_voltage_of_a_neuron_that_never_fires_is_lavas(du: int, dv: int) -> None:
    from lava.proc.lif.models import PyLifModelBitAcc

    x = inputs(du + 7, 1 << 31)
    lava = process_model(
        PyLifModelBitAcc,
        {},
        bias_mant=np.full(SIZE, -9),
        bias_exp=np.full(SIZE, 6),
        du=du,
        dv=dv,
        vth=1 << 17,
    )
    outs, states, _ = ours("cuba_voltage", {"du": du, "dv": dv, "bias": -9 * 64}, x)
    for t, part in enumerate(x):
        lava.a_in.value = part.copy()
        lava.run_spk()
        assert not lava.s_out.value.any()
        assert np.array_equal(lava.v, outs[t]) and np.array_equal(lava.u, states[t][0])


@pytest.mark.parametrize("cum_error", [0, 1])
@pytest.mark.parametrize(("spike_exp", "state_exp"), [(6, 6), (0, 0), (2, 7)])
@pytest.mark.parametrize("vth", [0, 1, 5, 300])
def test_delta(cum_error: int, spike_exp: int, state_exp: int, vth: int) -> None:
    from lava.proc.sdn.models import PyDeltaModelFixed

    scaled, x = vth << (spike_exp + state_exp), inputs(vth + spike_exp, 1 << 22)
    lava = process_model(
        PyDeltaModelFixed, {}, vth=scaled, spike_exp=spike_exp, state_exp=state_exp, cum_error=bool(cum_error)
    )
    params = {"vth": scaled, "spike_exp": spike_exp, "state_exp": state_exp, "cum_error": cum_error}
    run = ours("delta", {**params, "message_bits": 32}, x)
    compare(lava, ("a_in",), ("act", "residue", "error"), run, x)


@pytest.mark.parametrize("cum_error", [0, 1])
@pytest.mark.parametrize("relu", [0, 1])
@pytest.mark.parametrize(("vth", "state_exp"), [(0, 6), (7 << 12, 6), (1, 0), (1 << 30, 3)])
def test_sigma_delta(cum_error: int, relu: int, vth: int, state_exp: int) -> None:
    from lava.proc.sdn.models import PySigmaDeltaModelFixed
    from lava.proc.sdn.process import ActivationMode

    bias = np.random.default_rng(2).integers(-(1 << 31), 1 << 31, SIZE) >> np.arange(SIZE) % 24
    x = inputs(vth + relu, 1 << 30)
    lava = process_model(
        PySigmaDeltaModelFixed,
        {"act_mode": ActivationMode.RELU if relu else ActivationMode.UNIT},
        vth=vth,
        bias=bias,
        spike_exp=6,
        state_exp=state_exp,
        cum_error=bool(cum_error),
    )
    params = {"bias": bias, "vth": vth, "state_exp": state_exp, "relu": relu, "cum_error": cum_error}
    run = ours("sigma_delta", {**params, "message_bits": 32, "input_bits": 32}, x)
    compare(lava, ("a_in",), ("sigma", "act", "residue", "error"), run, x)


def test_sigma_wraps_as_lavas_does() -> None:
    from lava.proc.sdn.models import PySigmaModelFixed

    x = inputs(9, 1 << 30)
    lava = process_model(PySigmaModelFixed, {})
    outs, states, clips = ours("sigma", {"message_bits": 24, "input_bits": 32}, x)
    compare(lava, ("a_in",), ("sigma",), (outs, states, clips), x)
    clipped = np.array(clips) != 0
    assert clipped.any() and (np.abs(np.array(outs)) <= (1 << 23) - 1).all()
    assert np.array_equal(np.array(outs)[~clipped], np.array([s[0] for s in states])[~clipped])


@pytest.mark.parametrize("name", ["sigma", "sigma_delta", "delta"])
def test_messages_saturate_symmetrically_and_are_counted(name: str) -> None:
    params = {
        "bias": 0,
        "vth": 1,
        "spike_exp": 0,
        "state_exp": 0,
        "relu": 0,
        "cum_error": 0,
        "input_bits": 32,
        "message_bits": 5,
    }
    x = np.tile(np.array([14, 1, 1, -31, -1, 0], np.int32)[:, None], (1, SIZE))
    outs, _, clips = ours(name, params, x)
    raw = np.cumsum([14, 1, 1, -31, -1, 0]) if name == "sigma" else np.array([14, 1, 1, -31, -1, 0])
    raw = np.diff([0, 14, 1, 1, -31, -1, 0]) if name == "delta" else raw
    assert [int(o[0]) for o in outs] == np.clip(raw, -15, 15).tolist()
    assert [int(np.broadcast_to(c, SIZE)[0]) for c in clips] == (np.abs(raw) > 15).astype(int).tolist()


def test_sums_behind_a_convolution_wrap_at_24_bits_as_lavas_do() -> None:
    from lava.proc.conv import utils

    x = inputs(11, 1 << 30)
    _, states, _ = ours("sigma", {"message_bits": 24, "input_bits": 24}, x[:1])
    assert np.array_equal(states[0][0], utils.signed_clamp(x[0].astype(np.int64), 24))


@pytest.mark.parametrize(("name", "room"), [("rf", "rf"), ("rf_iz", "rf_iz")])
@pytest.mark.parametrize("angle", [0.1, 0.7, 2.5, -1.2])
@pytest.mark.parametrize("vth", [64, 4096, 1 << 20])
def test_resonate_and_fire(name: str, room: str, angle: float, vth: int) -> None:
    from lava.proc.rf.models import PyRFModelFixed
    from lava.proc.rf_iz.models import PyRF_IZModelFixed

    sin, cos = (int(np.int32(0.97 * 4096 * f(angle))) for f in (np.sin, np.cos))
    x, y = inputs(vth, 1 << 23), inputs(vth + 1, 1 << 23)
    lava = process_model(
        PyRFModelFixed if name == "rf" else PyRF_IZModelFixed,
        {},
        sin_decay=sin,
        cos_decay=cos,
        vth=vth,
        state_exp=6,
        decay_bits=12,
    )
    run = ours(name, {"sin_decay": sin, "cos_decay": cos, "vth": vth}, x, y)
    compare(lava, ("a_real_in", "a_imag_in"), ("real", "imag"), run, x, y)
    assert sum(int(o.sum()) for o in run[0]) > 0
