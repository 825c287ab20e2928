"""Weights that are rounded together: the slow way written out, and what a network gains."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from neurodeploy import calibrate
from neurodeploy.builds import integer as stage
from neurodeploy.config import BuildConfig
from neurodeploy.convert import pmsm
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Synapse
from neurodeploy.quantize import moments, quantize
from neurodeploy.quantize.rounding import DAMP, fed_forward, nearest
from tests.networks import images, mini_vit
from tests.tiny import chain


def correlated(samples: int = 400, inputs: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(samples, 2)) @ rng.normal(size=(2, inputs)) + 0.1 * rng.normal(
        size=(samples, inputs)
    )


def test_columns_are_rounded_in_turn_and_the_free_ones_take_the_least_squares_of_the_rest() -> None:
    rng, x = np.random.default_rng(1), correlated()
    weight, moment = rng.uniform(-3, 3, (5, 6)), x.T @ x
    damped = moment + DAMP * np.diagonal(moment).mean() * np.eye(6)
    for row, found in zip(weight, fed_forward(weight, moment[None], 7), strict=True):
        now, fixed = row.copy(), np.zeros(6)
        for j in range(6):
            fixed[j] = np.floor(now[j] + 0.5)
            free = slice(j + 1, 6)
            lost = row[: j + 1] - fixed[: j + 1]
            now[free] = row[free] + np.linalg.solve(damped[free, free], damped[free, : j + 1] @ lost)
        np.testing.assert_array_equal(found, fixed)


def test_sums_change_less_than_of_weights_rounded_by_themselves() -> None:
    rng, x = np.random.default_rng(2), correlated()
    weight = rng.uniform(-3, 3, (50, 6))
    errors = [
        np.square(x @ (weight - q).T).sum()
        for q in (nearest(weight, 3), fed_forward(weight, (x.T @ x)[None], 3))
    ]
    assert errors[1] < 0.5 * errors[0]


def test_whole_weights_stay_limits_hold_and_silent_inputs_say_nothing() -> None:
    rng, x = np.random.default_rng(3), correlated()
    whole = rng.integers(-3, 4, (20, 6)).astype(float)
    np.testing.assert_array_equal(fed_forward(whole, (x.T @ x)[None], 3), whole)
    weight = rng.uniform(-3, 3, (200, 6))
    found = fed_forward(weight, (x.T @ x)[None], 3)
    assert np.abs(found).max() == 3
    assert (np.abs(found).sum(axis=1) <= (np.abs(weight) + 0.5).sum(axis=1)).all()
    np.testing.assert_array_equal(fed_forward(weight, np.zeros((1, 6, 6)), 3), nearest(weight, 3))
    x[:, 0] = 0.0
    np.testing.assert_array_equal(fed_forward(weight, (x.T @ x)[None], 3)[:, 0], nearest(weight, 3)[:, 0])


def spiking_vit(timesteps: int = 1) -> tuple[Graph, np.ndarray]:
    graph = mini_vit(dim=16, hidden=32)
    samples = images(graph, 64)
    return pmsm.MEMBER.rewrite(graph, pmsm.MEMBER.configure({"levels": 60})[1], samples, timesteps), samples


def test_moments_are_those_of_the_inputs_of_each_neuron_over_ticks() -> None:
    spiking, samples = spiking_vit(timesteps=2)
    found = moments(spiking, samples)
    assert found.keys() == {node.name for node in spiking.of(Synapse)}
    read = {node.name: node.inputs[0] for node in spiking.of(Synapse)}
    values = interp.run(spiking, samples, record=set(read.values())).values
    for name in found.keys() - {"patch"}:
        rows = values[read[name]].reshape(-1, values[read[name]].shape[-1])
        np.testing.assert_allclose(found[name][0], rows.T @ rows, rtol=1e-9, atol=1e-9)
    image = values[read["patch"]]  # 2 x 2 pixels, which do not overlap
    rows = image.reshape(2, len(samples), 2, 2, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(-1, 4)
    np.testing.assert_allclose(found["patch"][0], rows.T @ rows)


def test_sums_of_convolutions_in_groups_change_less() -> None:
    rng = np.random.default_rng(4)
    smooth = np.cumsum(np.cumsum(rng.normal(size=(8, 4, 9, 9)), axis=2), axis=3)
    node = Synapse(name="conv", inputs=("x",), weight=rng.normal(size=(6, 2, 3, 3)), op="conv", groups=2,
                   stride=(2, 1), padding=(1, 0))  # fmt: skip
    graph = chain((4, 9, 9), (node, (6, 5, 7)), level="source")
    raw = np.rint(smooth).astype(int)
    seen = moments(graph, raw)["conv"]
    assert seen.shape == (2, 18, 18)
    truth = interp.convolve(raw, node)
    units = np.abs(node.weight).max() / 3
    errors = [
        np.square(interp.convolve(raw, replace(node, weight=q * units)) - truth).sum()
        for q in (nearest(node.weight / units, 3), fed_forward(node.weight / units, seen, 3))
    ]
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("bits", [3, 4])
def test_integers_of_few_bits_are_nearer_to_the_floats(bits: int) -> None:
    spiking, samples = spiking_vit()
    ranges, x = calibrate.measure(spiking, samples), images(spiking, 64, seed=5)
    truth = interp.run(spiking, x).outputs[-1]
    errors = []
    for seen in (None, moments(spiking, samples)):
        integer = quantize(spiking, ranges, lambda node: bits, seen)
        unit = float(integer.values[integer.output.name].fixed.scale)
        errors.append(np.square(interp.run(integer, x).outputs[-1] * unit - truth).mean())
    assert errors[1] < 0.85 * errors[0]


def test_a_build_rounds_by_the_samples_that_calibrate_if_it_is_asked_to() -> None:
    spiking, samples = spiking_vit()
    ranges = calibrate.measure(spiking, samples)
    made = {}
    for rounding in ("nearest", "calibrated"):
        config = BuildConfig(model="m", weight_bits=3, calib=32, rounding=rounding)
        found: Any = SimpleNamespace(
            config=config, stimulus=SimpleNamespace(calibration=lambda count: samples[:count])
        )
        made[rounding] = stage.quantize(found, spiking, ranges)
    by = {"nearest": None, "calibrated": moments(spiking, samples[:32])}
    for rounding, seen in by.items():
        whole = quantize(spiking, ranges, lambda node: 3, seen)
        for node in whole.of(Synapse):
            np.testing.assert_array_equal(made[rounding].graph.nodes[node.name].weight, node.weight)
    assert "rounded on calibration samples" in made["calibrated"].fact
    assert "rounded" not in made["nearest"].fact
