"""The graded rectifier: clip to the payload, count what is above it, absorb per-channel units."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.ir.neuron_model import NEURONS
from neurodeploy.neurons.graded_relu import PAYLOAD_MAX

RELU = NEURONS["graded_relu"]


@pytest.mark.parametrize(
    ("x", "out", "clipped"), [(-5, 0, 0), (0, 0, 0), (1, 1, 0), (510, 255, 0), (511, 255, 1), (10**6, 255, 1)]
)
def test_clips_to_the_payload_and_counts_only_above(x: int, out: int, clipped: int) -> None:
    s, c = RELU.int_step(np.int64(x), 1, 1, PAYLOAD_MAX)
    assert (int(s), int(c)) == (out, clipped)


def test_quantize_gives_one_unit_to_channels_of_different_scale() -> None:
    scale = np.array([0.01, 0.02, 0.5])
    q = RELU.quantize({}, scale, 51.0 / 1.125)  # payloads reach 1.125 times the observed maximum
    real = np.array([10.0, 20.0, 51.0])
    out, _ = RELU.int_step(
        np.rint(real / scale).astype(np.int64), q.params["multiplier"], q.params["shift"], q.params["limit"]
    )
    assert q.scale == pytest.approx(0.2)
    assert out.tolist() == [50, 100, 255]


def test_quantize_of_a_silent_population_has_a_unit() -> None:
    assert RELU.quantize({}, 0.1, 0.0).scale == pytest.approx(1.125 / 255)


def test_float_step_is_relu() -> None:
    assert RELU.float_step(np.array([-2.0, 0.0, 3.0]))[0].tolist() == [0.0, 0.0, 3.0]
