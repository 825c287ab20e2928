"""A network beside itself: the levels layer by layer, and what is kept of each layer."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from neurodeploy import beside, calibrate
from neurodeploy.array import Array
from neurodeploy.convert import ecmt
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Neuron
from neurodeploy.program import Program
from neurodeploy.quantize import quantize
from tests.networks import images, mini_vit

SAMPLES = 12


@cache
def networks() -> tuple[Graph, Graph, Graph, Array]:
    source = mini_vit()
    x = images(source, SAMPLES)
    spiking = ecmt.MEMBER.rewrite(source, ecmt.EcmtConfig(base_scale=0.5), x, 4)
    return source, spiking, quantize(spiking, calibrate.measure(spiking, x)), x


def test_noise_is_that_of_layers_of_the_same_name_through_their_scale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, spiking, integer, x = networks()
    monkeypatch.setattr(beside, "CHUNK", 5)  # powers of all parts add up before they are compared
    found = beside.compared(source, spiking, Program(integer), x).sqnr_db
    assert found and set(found) <= set(spiking.nodes)
    assert np.median(list(found.values())) > 10
    floats, whole = (interp.run(graph, x, found).values for graph in (spiking, integer))
    for name, decibels in found.items():
        signal = floats[name].mean(axis=0)
        noise = whole[name].mean(axis=0) * integer.values[name].fixed.scale - signal
        known = 10 * np.log10(np.sum(signal**2) / np.sum(noise**2)) if noise.any() else beside.SQNR_MAX_DB
        assert decibels == pytest.approx(min(known, beside.SQNR_MAX_DB))


def test_a_layer_holds_histograms_and_the_same_elements_of_all_levels() -> None:
    source, spiking, integer, x = networks()
    found = beside.compared(source, spiking, Program(integer), x)
    assert found.samples == beside.SHOWN
    x = x[: beside.SHOWN]
    row = next(row for row in found.layers if row.kind == "synapse" and row.noise_db < beside.SQNR_MAX_DB)
    means = {
        "source": interp.run(source, x, (row.name,)).values[row.name].mean(axis=0).ravel(),
        "spiking": interp.run(spiking, x, (row.name,)).values[row.name].mean(axis=0).ravel(),
        "integer": (
            interp.run(integer, x, (row.name,)).values[row.name].mean(axis=0)
            * integer.values[row.name].fixed.scale
        ).ravel(),
    }
    for level, values in means.items():
        ends = pytest.approx((min(row.low, values.min()), max(row.high, values.max())))
        assert (row.low, row.high) == ends and sum(row.counts[level]) == values.size
        known = np.histogram(values, beside.BINS, (row.low, row.high))[0]
        assert (
            np.abs(known - row.counts[level]).sum() <= 4
        )  # sums of batches of another size differ in the last bit
        where = [
            np.flatnonzero(np.isclose(values, point, rtol=1e-3, atol=1e-6)) for point in row.points[level]
        ]
        assert all(len(places) for places in where)
    signal, error = means["source"], means["spiking"] - means["source"]
    assert row.noise_db == pytest.approx(10 * np.log10((signal**2).sum() / (error**2).sum()))


def test_a_population_parts_where_its_integers_leave_what_floats_round_to() -> None:
    source, spiking, integer, x = networks()
    found = beside.compared(source, spiking, Program(integer), x)
    x, known = x[: beside.SHOWN], {row.name: row for row in found.layers}
    populations = [node.name for node in integer.of(Neuron) if node.name in known]
    assert populations
    floats, whole = (interp.run(graph, x, populations).values for graph in (spiking, integer))
    for name in populations:
        step = integer.values[name].fixed.scale
        ticks = [np.any(np.rint(a / step) != b) for a, b in zip(floats[name], whole[name], strict=True)]
        assert known[name].tick == (ticks.index(True) + 1 if any(ticks) else 0)
    assert {known[name].tick for name in populations} - {0} and not known["head"].tick


def test_a_coder_that_a_conversion_put_in_stands_beside_what_it_codes() -> None:
    source, spiking, integer, x = networks()
    coder = next(n for n in integer.of(Neuron) if n.name not in source.nodes and n.inputs[0] in source.nodes)
    levels = beside.recorded(source, spiking, Program(integer), x, coder.name)
    assert set(levels) == set(beside.LEVELS)
    np.testing.assert_array_equal(
        levels["source"], interp.run(source, x, (coder.inputs[0],)).values[coder.inputs[0]]
    )
    np.testing.assert_array_equal(levels["spiking"], interp.run(spiking, x, (coder.name,)).values[coder.name])


def test_the_noisiest_layers_are_kept_of_a_deep_network(monkeypatch: pytest.MonkeyPatch) -> None:
    source, spiking, integer, x = networks()
    whole = beside.compared(source, spiking, Program(integer), x)
    monkeypatch.setattr(beside, "MOST_LAYERS", 3)
    kept = beside.compared(source, spiking, Program(integer), x)
    assert kept.sqnr_db == whole.sqnr_db and len(kept.layers) == 3
    noisiest = sorted(row.quantised_db for row in whole.layers)[:3]
    assert sorted(row.quantised_db for row in kept.layers) == noisiest
