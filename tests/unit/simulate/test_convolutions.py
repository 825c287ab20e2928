"""Layers that are convolutions, and windows: every geometry, values seen with channels first, threads, plain forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Micro, Neuron, Reduce, Sum, Synapse, View
from neurodeploy.ir.types import BINARY
from neurodeploy.simulate import Engine, chains, compiled, engine, pools, vector
from tests.fast import fast
from tests.tiny import chain
from tests.unit.simulate.test_vector import PLAIN


def lif(name: str, source: str, vth: object) -> Neuron:
    return Neuron(name=name, inputs=(source,), model="lif", params={"du": 4095, "dv": 1024, "vth": vth})


def network(channels: int = 20, ticks: int = 3) -> Graph:
    """Graded pixels, spikes, a rescale and a residual, filters of one channel, both pools, and tokens at the end."""
    rng = np.random.default_rng(3)
    weight = lambda *shape: rng.integers(-128, 127, shape, endpoint=True)
    conv = lambda name, source, inside, kernel, **rest: Synapse(
        name=name, inputs=(source,), weight=weight(channels, inside, *kernel), op="conv", **rest
    )
    scale = {
        "multiplier": rng.integers(1 << 14, 1 << 15, (channels, 1, 1)),
        "shift": np.full((channels, 1, 1), 16),
    }
    each = rng.integers(200, 2000, (channels, 1, 1))
    size = lambda rows, columns: (channels, rows, columns)
    return chain(
        (3, 6, 7),
        (conv("a", "x", 3, (3, 3), padding=(1, 1), bias=weight(channels)), size(6, 7)),
        (lif("s", "a", each), size(6, 7)),
        (Reduce(name="p", inputs=("s",), op="max", axes=(1, 2), window=(3, 2), stride=(2, 2), padding=(1, 0)),
         size(3, 3)),
        (conv("b", "p", channels, (3, 3), padding=(1, 1)), size(3, 3)),
        (Micro(name="scaled", inputs=("b",), op="rescale", params={**scale, "bits": 9}, timing="instant"), size(3, 3)),
        (Sum(name="sum", inputs=("p", "scaled"), signs=(1, -1)), size(3, 3)),
        (lif("t", "sum", 40), size(3, 3)),
        (conv("c", "t", 1, (3, 3), padding=(1, 1), groups=channels, bias=weight(channels)), size(3, 3)),
        (lif("u", "c", each), size(3, 3)),
        (Reduce(name="q", inputs=("u",), op="sum", axes=(1, 2), window=(2, 2), stride=(1, 1)), size(2, 2)),
        (View(name="flat", inputs=("q",), op="reshape", args=(channels, 4)), (channels, 4)),
        (View(name="turned", inputs=("flat",), op="permute", args=(1, 0)), (4, channels)),
        (Synapse(name="rows", inputs=("t",), weight=weight(5, 3)), (channels, 3, 5)),
        (lif("v", "rows", 90), (channels, 3, 5)),
        (Synapse(name="last", inputs=("turned",), weight=weight(3, channels)), (4, 3)),
        ticks=ticks, reach=(-40, 40), codes=dict.fromkeys("stuvp", BINARY), bits={"scaled": 9},
    )  # fmt: skip


def assert_same(graph: Graph, batch: int = 5) -> None:
    reach = graph.values["x"].interval.hi
    x = np.random.default_rng(1).integers(-reach, reach, (batch, *graph.shape("x")), endpoint=True)
    names = list(graph.nodes)
    expected, made = interp.run(graph, x, names), Engine(graph)
    for watched in ([], [], names):
        found = made.run(x, watched)
        assert np.array_equal(found.outputs, expected.outputs)
        assert found.saturations == expected.saturations
        for name in watched:
            assert np.array_equal(found.values[name], expected.values[name]), name


def test_convolutions_are_layers_and_equal_the_interpreter() -> None:
    graph = network()
    starts = {s.start for s in Engine(graph).segments if isinstance(s, compiled.Layer)}
    assert starts == {"patches", "taps", "lists", "rows"} or not vector.has("avx2")
    assert_same(graph)
    assert interp.run(graph, np.full((1, 3, 6, 7), 40)).saturations["scaled"] > 0


@pytest.mark.parametrize("threads", fast([2, 3], 3))
def test_pixels_shared_out_over_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "threads", lambda: threads)
    monkeypatch.setattr(engine, "SPLIT_MACS", 0)
    assert_same(network(), batch=1)


@pytest.mark.slow
def test_plain_forms_make_equal_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector, "chosen", lambda: PLAIN)
    assert_same(network())


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_any_geometry(data: st.DataObject) -> None:
    pick = lambda least, most: data.draw(st.integers(least, most))
    alone, channels = data.draw(st.booleans()), pick(chains.FILTERS, 70)
    inside = channels if alone else pick(1, 5)
    kernel, stride, padding = (pick(1, 4), pick(1, 3)), (pick(1, 3), pick(1, 3)), (pick(0, 3), pick(0, 2))
    size = [max(k - 2 * p, 1) + pick(0, 6) for k, p in zip(kernel, padding, strict=True)]
    after = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True)]
    rng = np.random.default_rng(pick(0, 99))
    weight = rng.choice([-128, 0, 3, 127], (channels, 1 if alone else inside, *kernel))
    node = Synapse(name="w", inputs=("x",), weight=weight, op="conv", bias=rng.integers(-99, 99, channels),
                   stride=stride, padding=padding, groups=channels if alone else 1)  # fmt: skip
    reach = data.draw(st.sampled_from([127, 32767]))
    graph = chain((inside, *size), (node, (channels, *after)), reach=(-reach, reach), readout="last")
    (layer,) = [s for s in Engine(graph).segments if isinstance(s, compiled.Layer)] or [None]
    assert layer is None or layer.start == ("taps" if alone and channels > 1 else "patches")
    x = rng.choice([-reach, -1, 0, reach], (pick(1, 4), inside, *size))
    assert np.array_equal(Engine(graph).run(x).outputs, interp.run(graph, x).outputs)


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_windows_of_any_geometry(data: st.DataObject) -> None:
    """Of negative numbers too: zeros beyond the edge are larger than they are."""
    pick = lambda least, most: data.draw(st.integers(least, most))
    window, stride = (pick(1, 3), pick(1, 3)), (pick(1, 3), pick(1, 3))
    padding = (pick(0, window[0] - 1), pick(0, window[1] - 1))
    size = [w + pick(0, 5) for w in window]
    after = [(n + 2 * p - w) // s + 1 for n, w, s, p in zip(size, window, stride, padding, strict=True)]
    rng = np.random.default_rng(pick(0, 99))
    first = Synapse(
        name="w",
        inputs=("x",),
        op="conv",
        weight=rng.integers(-3, 3, (16, 2, 1, 1)),
        bias=-rng.integers(0, 9, 16),
    )
    node = Reduce(name="r", inputs=("w",), op=data.draw(st.sampled_from(["max", "sum"])), axes=(1, 2), window=window,
                  stride=stride, padding=padding)  # fmt: skip
    graph = chain((2, *size), (first, (16, *size)), (node, (16, *after)), reach=(-3, 3), readout="last")
    x = rng.integers(-3, 3, (pick(1, 3), 2, *size), endpoint=True)
    found = Engine(graph)
    assert np.array_equal(found.run(x).outputs, interp.run(graph, x).outputs)
