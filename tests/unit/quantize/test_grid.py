"""Weights on a grid stay exact, so that a sum that is the threshold fires in integers as it does in the model."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy import calibrate
from neurodeploy.convert import native
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.nodes import Input, Neuron, Output, Synapse
from neurodeploy.ir.types import Interval
from neurodeploy.mapping.demand import weight_bits
from neurodeploy.quantize import quantize
from neurodeploy.quantize.grid import on_grid, signs
from tests.networks import value

TICKS, LAYERS = 6, 3
UNITS = [1.0, 0.1, 1 / 3, float(np.float32(0.1)), 2.0**-5]


def integrate_and_fire(weights: list[np.ndarray], threshold: float) -> Graph:
    """Layers of neurons without leak behind raw levels 0 .. 4, the spikes of the last ones summed."""
    builder = Builder(Header(name="if", timesteps=TICKS, notes={"contains_neurons": True}))
    last = builder.add(
        Input(name="input"), replace(value("C", weights[0].shape[1]), interval=Interval(0, 4, True))
    )
    for i, weight in enumerate(weights):
        shape = value("C", len(weight))
        builder.add(Synapse(name=f"w{i}", inputs=(last,), weight=weight), shape)
        params = {"beta": 1.0, "gain": 1.0, "threshold": threshold}
        last = builder.add(Neuron(name=f"n{i}", inputs=(f"w{i}",), model="lif", params=params), shape)
    builder.add(Output(name="output", inputs=(last,), readout="sum"), value("C", len(weights[-1])))
    return builder.build()


def counted(weights: list[np.ndarray], threshold: int, x: np.ndarray) -> np.ndarray:
    """Spikes of the last layer over all ticks, in whole numbers of the grid."""
    voltage = [np.zeros((len(x), len(w)), np.int64) for w in weights]
    total = np.zeros((len(x), len(weights[-1])), np.int64)
    for _ in range(TICKS):
        sent = x
        for i, weight in enumerate(weights):
            voltage[i] += sent @ weight.T
            sent = (voltage[i] >= threshold).astype(np.int64)
            voltage[i] *= 1 - sent
        total += sent
    return total


@given(seed=st.integers(0, 2**32 - 1), unit=st.sampled_from(UNITS), most=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_integers_fire_at_every_tie(seed: int, unit: float, most: int) -> None:
    rng = np.random.default_rng(seed)
    steps = [rng.integers(-most, most + 1, (8, 8)) for _ in range(LAYERS)]
    threshold = int(rng.integers(1, 2 * most + 1))
    graph = integrate_and_fire([w * unit for w in steps], threshold * unit)
    x = rng.integers(0, 5, (12, 8))
    spiking = native.MEMBER.rewrite(graph, None, x, TICKS)
    integer = quantize(spiking, calibrate.measure(spiking, x))
    np.testing.assert_array_equal(interp.run(integer, x).outputs[-1], counted(steps, threshold, x))


def test_a_grid_is_found_past_zeros_and_in_float32() -> None:
    rows = np.array(
        [[0.3, 0.7, 0, -0.1], np.float32([0.3, 0.7, 0, -0.1]), [0, 0, 0, 0], [5, 0, 0, 0]], np.float64
    )
    units = np.maximum(np.abs(rows).max(1) / 127, 1e-9)
    found = on_grid(rows, units)
    np.testing.assert_allclose(found, [0.7 / 126, 0.7 / 126, 1e-9, 5 / 127])
    assert (found >= units).all()


def test_rows_off_the_grid_and_finer_ones_keep_their_unit() -> None:
    rng = np.random.default_rng(0)
    rows = np.vstack([rng.normal(size=(30, 64)), rng.integers(-500, 501, (2, 64)) * 0.01])
    rows[30:, 0] = 5.0
    units = np.abs(rows).max(1) / 127
    np.testing.assert_array_equal(on_grid(rows, units), units)


@pytest.mark.parametrize("steps", [64, 101, 127])
def test_the_unit_grows_by_less_than_two(steps: int) -> None:
    rows = np.arange(-steps, steps + 1)[None] * 0.01
    units = np.abs(rows).max(1) / 127
    found = on_grid(rows, units)
    np.testing.assert_allclose(found, 0.01)
    assert found[0] < 2 * units[0]


def test_weights_that_differ_in_sign_alone_take_one_power_of_two() -> None:
    """Each row in units of its own, all of them as fine as the coarsest row allows."""
    scales = np.array([0.3, 0.07, 5.0])
    rows = scales[:, None] * np.array([[1, -1, 1, 1], [-1, -1, 1, -1], [1, 1, 1, -1]])
    found = signs(rows, np.array([0.3, 0.07, 5.0]) / [127, 40, 100])
    assert found is not None
    np.testing.assert_allclose(found, scales / 32)
    np.testing.assert_allclose(signs(rows.astype(np.float32), scales / 127), scales / 64, rtol=1e-6)


@pytest.mark.parametrize("row", [[0.3, -0.3, 0.0], [0.3, -0.31, 0.3], [0.0, 0.0, 0.0]])
def test_other_weights_are_no_signs(row: list[float]) -> None:
    assert signs(np.array([row, [1.0, -1.0, 1.0]]), np.array([0.001, 0.001])) is None
    assert signs(np.array([[0.5, -0.5, 0.5]]), np.array([0.6])) is None  # not even one unit fits


@pytest.mark.parametrize("scales", [np.full(8, 0.3), np.geomspace(0.02, 5.0, 8)], ids=["one", "each"])
def test_a_layer_of_signs_takes_one_bit_and_fires_at_every_tie(scales: np.ndarray) -> None:
    rng = np.random.default_rng(3)
    steps = [rng.choice([-1, 1], (8, 8)) for _ in range(LAYERS)]
    graph = integrate_and_fire([scales[:, None] * w for w in steps], 0.9)
    x = rng.integers(0, 5, (12, 8))
    spiking = native.MEMBER.rewrite(graph, None, x, TICKS)
    integer = quantize(spiking, calibrate.measure(spiking, x))
    assert [weight_bits(node.weight) for node in integer.of(Synapse)] == [1] * LAYERS
    if np.all(scales == 0.3):
        np.testing.assert_array_equal(interp.run(integer, x).outputs[-1], counted(steps, 3, x))
