"""Recurrent networks become integers: what feeds back counts as spikes, and summed layers share their units."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.calibrate import measure
from neurodeploy.convert.native import MEMBER as NATIVE
from neurodeploy.errors import QuantizeError
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.nodes import Input, Micro, Neuron, Output, Sum, Synapse
from neurodeploy.ir.types import Interval, Shape, Value
from neurodeploy.quantize import quantize

TICKS, WIDTH = 8, 12


def network(model: str = "general_lif", alpha: float = 0.5, seed: int = 0) -> Graph:
    """input -> w -> neuron -> read-out, and neuron -> back -> neuron a tick later."""
    rng = np.random.default_rng(seed)
    params = {
        "general_lif": {"alpha": alpha, "beta": 0.75, "gain": 0.5, "bias": 0.0, "threshold": 1.0,
                        "v_reset": 0.0, "rule": 1},
        "cuba_lif": {"alpha": alpha, "beta": 0.75, "bias": 0.0, "threshold": 2.0},
        "leaky_integrator": {"alpha": 0.0, "beta": 0.75, "gain": 0.5, "bias": 0.0, "offset": 0.0},
    }[model]  # fmt: skip
    b, wide = Builder(Header("net", "source", TICKS)), Value(Shape(("C",), (WIDTH,)))
    b.add(Input(name="x", per_tick=True), Value(Shape(("C",), (20,)), interval=Interval(0, 1, True)))
    b.add(
        Synapse(
            name="w", inputs=("x",), weight=rng.normal(0.1, 0.7, (WIDTH, 20)), bias=rng.normal(0, 0.1, WIDTH)
        ),
        wide,
    )
    b.add(Synapse(name="back", inputs=("n",), weight=rng.normal(0, 0.3, (WIDTH, WIDTH)), delay=1), wide)
    b.add(Sum(name="sum", inputs=("w", "back"), signs=(1, 1)), wide)
    b.add(Neuron(name="n", inputs=("sum",), model=model, params=params), wide)
    b.add(
        Synapse(name="out", inputs=("n",), weight=rng.normal(0, 0.5, (4, WIDTH))), Value(Shape(("C",), (4,)))
    )
    b.add(Output(name="y", inputs=("out",)), Value(Shape(("K",), (4,))))
    return b.build()


def integers(graph: Graph) -> tuple[Graph, Graph, np.ndarray]:
    """(spiking, integer, raw input)."""
    spiking = NATIVE.rewrite(graph, None, np.zeros(0), TICKS)
    x = (np.random.default_rng(1).random((64, TICKS, 20)) < 0.4).astype(np.int64)
    return spiking, quantize(spiking, measure(spiking, x)), x


@pytest.mark.parametrize("model", ["general_lif", "cuba_lif"])
@pytest.mark.parametrize("seed", range(3))
def test_recurrent_spikes_follow_the_floats(model: str, seed: int) -> None:
    spiking, made, x = integers(network(model, seed=seed))
    a, b = (interp.run(g, x, record=("n",)) for g in (spiking, made))
    assert np.mean(a.values["n"] != b.values["n"]) < 0.03
    assert 0.05 < a.values["n"].mean() < 0.9 and not any(b.saturations.values())


def test_summed_layers_share_their_units_and_need_no_rescale() -> None:
    _, made, _ = integers(network())
    assert not made.of(Micro)
    one, two, total = (made.values[n].fixed.scale for n in ("w", "back", "sum"))
    assert np.array_equal(one, two) and np.array_equal(one, total)
    largest = np.maximum(*(np.abs(made.nodes[n].weight).max(axis=1) for n in ("w", "back")))
    assert (largest >= 120).all()  # the wider of both fills its eight bits


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9])
def test_currents_that_add_up_cannot_wrap(alpha: float) -> None:
    """Lava's current wraps at 2^23 with 6 bits below the unit: constant full input must stay below."""
    _, made, x = integers(network("cuba_lif", alpha))
    interval = made.values["sum"].interval
    assert interval is not None and interval.magnitude / (1 - alpha) < 1 << 17
    trace = interp.run(made, np.ones_like(x), timesteps=TICKS)
    assert not any(trace.saturations.values())


def test_feedback_of_more_than_spikes_is_refused_by_name() -> None:
    with pytest.raises(QuantizeError) as error:
        integers(network("leaky_integrator"))
    assert [p.code for p in error.value.problems] == ["ND401"]
    assert "back reads n, which comes later" in error.value.problems[0].cause
