"""SpikeZIP-TF and DCGS against their sources' own equations, and the exactness that each claims."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy import calibrate, quantize
from neurodeploy.convert import dcgs, spikezip
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.neuron_model import NEURONS
from neurodeploy.ir.nodes import Neuron, Product
from tests.networks import images, mini_vit
from tests.unit.convert.test_pmsm import quantised_ann


def convert(method: object, graph: Graph, timesteps: int, **options: object) -> Graph:
    _, config = method.configure(options)
    return method.rewrite(graph, config, images(graph, 64), timesteps)


@pytest.mark.parametrize("levels", [4, 15])
def test_spikezip_converges_to_the_quantised_ann_exactly_and_falls_silent(levels: int) -> None:
    graph, x = mini_vit(seed=4), images(mini_vit(), 40, seed=3)
    spiking = convert(spikezip.MEMBER, graph, 10 * levels, levels=levels)
    tracers = [n for n in spiking.of(Neuron) if n.model == "signed_tracer"]
    trace = interp.run(spiking, x, record=[n.name for n in tracers])
    layers = {n.inputs[0].removesuffix(".value"): n.params for n in tracers}
    np.testing.assert_allclose(trace.outputs[-1], quantised_ann(graph, layers, x), rtol=0, atol=1e-8)
    assert not any(values[-1].any() for values in trace.values.values())


def test_spikezip_in_integers_sends_the_same_read_out_once_it_is_silent() -> None:
    graph, x = mini_vit(seed=4), images(mini_vit(), 10, seed=3)
    spiking = convert(spikezip.MEMBER, graph, 40)
    integer = quantize.quantize(spiking, calibrate.measure(spiking, images(graph, 64)))
    neurons = [n.name for n in integer.of(Neuron) if n.model == "signed_tracer"]
    trace = interp.run(integer, x, record=neurons)
    assert not any(values[-1].any() for values in trace.values.values())
    assert np.array_equal(trace.outputs[-1], trace.outputs[-2])
    assert all(
        t.rescale is None or len(set(map(tuple, np.transpose(t.rescale)))) == 1 for t in integer.of(Product)
    )


def test_tracer_walks_as_the_released_neuron_does() -> None:
    """q += input/s; +1 at q >= 1 below the bound, -1 at q < 0 above it; q -= spike: differences, as in the source."""
    rng, step, positive, negative = np.random.default_rng(0), 0.37, 5, 4
    x = np.cumsum(rng.normal(size=(60, 200)), axis=0)
    model, acc = NEURONS["signed_tracer"], np.zeros(200)
    q, sent, before = np.full(200, 0.5), np.zeros(200), np.zeros(200)
    for now in x:
        q = q + (now - before) / step
        up, down = (q >= 1) & (sent < positive), (q < 0) & (sent > -negative)
        spike = up.astype(float) - down
        q, sent, before = q - spike, sent + spike, now
        out, acc = model.float_step(now, acc, step, positive, negative)
        np.testing.assert_allclose(out, step * spike)


def test_differential_neuron_encodes_as_the_source_does() -> None:
    """r(t) = r(t-1) + level/t with the level nearest below t (x - r) by the rule 3/4: exact where grain allows it."""
    rng, base, levels, ticks = np.random.default_rng(1), 0.21, 6, 6
    x = np.cumsum(rng.normal(size=(ticks, 300)), axis=0)
    model = NEURONS["differential_threshold"]
    r, t, mean = np.zeros(300), np.zeros(300), np.zeros(300)
    for tick in range(1, ticks + 1):
        error = tick * (x[tick - 1] - mean)
        reached = np.abs(error)[:, None] >= 0.75 * base * 2.0 ** np.arange(levels)
        level = np.where(reached.any(axis=1), base * 2.0 ** (reached.sum(axis=1) - 1), 0.0) * np.sign(error)
        mean = mean + level / tick
        out, r, t = model.float_step(x[tick - 1], r, t, base, levels, 60)
        np.testing.assert_allclose(out, level / tick, atol=1e-12)
    np.testing.assert_allclose(r, mean, atol=1e-12)


def test_dcgs_keeps_its_value_in_silence_where_a_rate_would_decay() -> None:
    model = NEURONS["differential_threshold"]
    r, t, outs = np.zeros(1), np.zeros(1), []
    for _ in range(6):
        out, r, t = model.float_step(np.array([1.0]), r, t, 0.5, 4, 60)
        outs.append(float(out[0]))
    assert outs == [1.0, 0, 0, 0, 0, 0] and r[0] == 1.0


def test_dcgs_calibrates_the_largest_level() -> None:
    graph = mini_vit(seed=7)
    x = images(graph, 128, seed=1)
    _, config = dcgs.MEMBER.configure({})
    rows = [
        np.quantile(np.abs(interp.run(graph, b, record=["b0.norm1"], timesteps=1).values["b0.norm1"]), 0.999)
        for b in (x[:64], x[64:])
    ]
    assert dcgs.calibrate(graph, config, x)["b0.norm1"] == pytest.approx(8 * np.mean(rows))


def test_product_of_differences_adds_up_to_the_product_of_values() -> None:
    rng = np.random.default_rng(1)
    graph = convert(spikezip.MEMBER, mini_vit(), 6)
    node = next(n for n in graph.of(Product) if n.timing == "cumulative")
    a, b = (rng.normal(size=(6, 2, *graph.shape(i))) for i in node.inputs)
    state: dict = {}
    got = [
        interp._product(node, [a[t], b[t]], interp._Tick(graph, state, t + 1, False, {})) for t in range(6)
    ]
    for t in range(6):
        whole = node.scale * interp.contract(node.einsum, a[: t + 1].sum(axis=0), b[: t + 1].sum(axis=0))
        np.testing.assert_allclose(np.sum(got[: t + 1], axis=0), whole, atol=1e-9)
