"""Products of 16-bit numbers: every shape, both ends of all ranges, sums that wrap on the way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Synapse
from neurodeploy.simulate import Engine, short
from tests.tiny import chain

TOP = short.SHORT


def equal(graph: Graph, x: np.ndarray) -> None:
    assert short.fits(graph.nodes["w"], graph)
    assert np.array_equal(Engine(graph).run(x).outputs, interp.run(graph, x).outputs)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_dense_of_any_size(data: st.DataObject) -> None:
    inputs, outputs, tokens, samples = (data.draw(st.integers(1, most)) for most in (40, 80, 5, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    weight = rng.choice([-127, -1, 0, 5, 127], (outputs, inputs))
    bias = rng.integers(-1000, 1000, outputs) if data.draw(st.booleans()) else None
    node = Synapse(name="w", inputs=("x",), weight=weight, bias=bias)
    graph = chain((tokens, inputs), (node, (tokens, outputs)), reach=(-255, 255), readout="last")
    equal(graph, rng.choice([-255, -7, 0, 255], (samples, tokens, inputs)))


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_convolution_of_any_geometry(data: st.DataObject) -> None:
    pick = lambda least, most: data.draw(st.integers(least, most))
    groups, inside, own, samples = pick(1, 2), pick(1, 3), pick(short.CONV_ROWS // 2, 20), pick(1, 5)
    kernel, stride, padding = (pick(1, 4), pick(1, 3)), (pick(1, 3), pick(1, 3)), (pick(0, 2), pick(0, 2))
    size = [max(k - 2 * p, 1) + pick(0, 12) for k, p in zip(kernel, padding, strict=True)]
    after = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True)]
    rng = np.random.default_rng(pick(0, 99))
    weight = rng.choice([-127, 0, 3, 127], (groups * own, inside, *kernel))
    node = Synapse(name="w", inputs=("x",), weight=weight, op="conv", bias=rng.integers(-99, 99, groups * own),
                   stride=stride, padding=padding, groups=groups)  # fmt: skip
    graph = chain((groups * inside, *size), (node, (groups * own, *after)), reach=(-TOP, TOP), readout="last")
    equal(graph, rng.choice([-TOP, -1, 0, TOP], (samples, groups * inside, *size)))


@pytest.mark.parametrize("bias", [None, -1])
def test_sums_reach_both_ends_of_32_bits(bias: int | None) -> None:
    """The partial sums of a pair are as large as they get, and cancel to the ends of the register."""
    weight = np.tile([TOP, TOP, -TOP, -TOP, 1], (8, 1))
    node = Synapse(
        name="w", inputs=("x",), weight=weight[:, [0, 2, 4]], bias=None if bias is None else np.full(8, bias)
    )
    reach = short.LONG // (2 * TOP + 1) - 1
    graph = chain((3,), (node, (8,)), reach=(-reach, reach), readout="last")
    equal(graph, np.array([[reach, -reach, reach], [-reach, reach, -reach], [reach, reach, 0]]))


def test_one_more_than_fits_is_left_to_others() -> None:
    node = Synapse(name="w", inputs=("x",), weight=np.full((8, 4), TOP))
    for reach, inside in ((short.LONG // (4 * TOP), True), (short.LONG // (4 * TOP) + 1, False)):
        assert short.fits(node, chain((4,), (node, (8,)), reach=(-reach, reach))) == inside
