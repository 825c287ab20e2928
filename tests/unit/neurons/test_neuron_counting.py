"""Neurons that send counts, by numpy's own rounding: every value around every switch point, halves among them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.ir.neuron_model import NEURONS


def rounded(model: str, m: np.ndarray, theta: int) -> np.ndarray:
    """Counts of whole states, where ``theta`` is even: halves go to even numbers, or up."""
    return np.round(m / theta) if model == "integer_lif" else np.floor(m / theta + 0.5)


@pytest.mark.parametrize("model", ["integer_lif", "multi_spike"])
@pytest.mark.parametrize(("positive", "negative"), [(4, 0), (7, 5), (1, 1), (0, 3)])
def test_counts_are_rounded_states(model: str, positive: int, negative: int) -> None:
    theta = 6
    x, v = np.meshgrid(np.arange(-60, 61), np.arange(-7, 8))
    out, after, clipped = NEURONS[model].int_step(x, v, theta, positive, negative)
    wanted = np.clip(rounded(model, x + v, theta), -negative, positive)
    np.testing.assert_array_equal(out, wanted)
    np.testing.assert_array_equal(after, x + v - theta * wanted)
    assert not np.any(clipped)
    sent, left = NEURONS[model].float_step(x * 0.25, v * 0.25, theta * 0.25, positive, negative)
    np.testing.assert_array_equal(sent, wanted * theta * 0.25)
    np.testing.assert_array_equal(left, after * 0.25)


def test_the_state_saturates_and_counts() -> None:
    most = (1 << 23) - 1
    out, after, clipped = NEURONS["integer_lif"].int_step(np.array([most, -most]), np.array([9, -9]), 8, 4, 0)
    np.testing.assert_array_equal(out, [4, 0])
    np.testing.assert_array_equal(after, [most - 32, -most])
    assert np.all(clipped == 1)


@pytest.mark.parametrize("model", ["integer_lif", "multi_spike"])
@given(theta=st.integers(1, 1 << 22), positive=st.integers(0, 127), negative=st.integers(0, 127))
def test_a_search_finds_the_same(model: str, theta: int, positive: int, negative: int) -> None:
    most = (1 << 23) - 1
    around = (
        np.arange(-2 * negative - 3, 2 * positive + 4) * theta // 2
    )  # switch points, and what lies between them
    x = np.concatenate([around - 1, around, around + 1, [-most - 2, -most, most, most + 2]])
    member = NEURONS[model]
    for v in (0, 1, -theta):
        found = member.searched_step(x, v, theta, positive, negative)
        for one, other in zip(member.int_step(x, v, theta, positive, negative), found, strict=True):
            np.testing.assert_array_equal(one, other)
