"""Convolutions unrolled for Lava's Sparse, and Lava-free cells, against the interpreter's convolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.backends.lava import cell
from neurodeploy.backends.lava.stock import unrolled
from neurodeploy.ir import interp
from neurodeploy.ir.nodes import Synapse

CASES = [
    ((2, 5, 7), (4, 2, 3, 2), {"stride": (1, 2), "padding": (1, 0)}),
    ((4, 4, 4), (4, 1, 3, 3), {"groups": 4, "padding": (1, 1)}),
    ((4, 3, 3), (6, 2, 2, 1), {"groups": 2, "stride": (2, 1)}),
    ((3, 1, 1), (2, 3, 1, 1), {}),
]


@pytest.mark.parametrize(("source", "kernel", "more"), CASES)
def test_unrolled_and_own_convolution(source: tuple[int, ...], kernel: tuple[int, ...], more: dict) -> None:
    rng = np.random.default_rng(4)
    weight = rng.integers(-127, 128, kernel) * (rng.random(kernel) < 0.7)
    node = Synapse(name="c", inputs=("x",), weight=weight, op="conv", **more)
    x = rng.integers(-99, 100, source)
    expected = interp.convolve(x[None], node)[0]
    matrix = unrolled(node, weight, source, expected.shape)
    assert np.array_equal(matrix.dot(x.ravel()).reshape(expected.shape), expected)
    assert np.array_equal(cell.linear(node, x), expected)
    nothing = replace(node, weight=0 * weight)
    assert unrolled(nothing, nothing.weight, source, expected.shape).nnz == 0


def test_a_layer_shared_by_tokens() -> None:
    weight, x = np.array([[1, 2, 0], [-3, 0, 5]]), np.arange(12).reshape(2, 2, 3)
    node = Synapse(name="d", inputs=("x",), weight=weight)
    matrix = unrolled(node, weight, x.shape, (2, 2, 2))
    assert np.array_equal(matrix.dot(x.ravel()).reshape(2, 2, 2), x @ weight.T)
    assert np.array_equal(cell.linear(node, x), x @ weight.T)
