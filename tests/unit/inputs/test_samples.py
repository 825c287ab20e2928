"""What networks are run on: synthetic draws in the declared range, and data as the network takes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurodeploy import datasets
from neurodeploy.errors import UsageError
from neurodeploy.inputs import fitting, samples
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Input
from neurodeploy.ir.types import Interval
from tests import fake_format


def network(**asked: Any) -> Graph:
    return fake_format.integers("toy", 5, asked)


def test_a_frame_for_each_tick_or_one_image() -> None:
    assert samples.Synthetic(network()).calibration(3).shape == (3, 5, *fake_format.SHAPE)
    assert samples.Synthetic(network(per_tick=False)).calibration(3).shape == (3, *fake_format.SHAPE)


def test_binary_input_spikes_at_the_stated_rate() -> None:
    drawn = samples.Synthetic(network(), rate=0.3).measurement(100)[0]
    assert set(np.unique(drawn)) == {0, 1}
    assert drawn.mean() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("reach", [(0, 15), (-8, 7), (0, 2)])
def test_other_input_is_uniform_over_the_whole_range(reach: tuple[int, int]) -> None:
    drawn = samples.Synthetic(network(range=list(reach))).measurement(50)[0]
    values, counts = np.unique(drawn, return_counts=True)
    assert (values.min(), values.max(), len(values)) == (*reach, reach[1] - reach[0] + 1)
    assert counts.min() > 0.7 * counts.mean()


def test_a_zero_point_shifts_raw_values() -> None:
    graph = network(range=[-8, 7])
    node = replace(graph.input, zero=8)
    shifted = Graph({**graph.nodes, node.name: node}, graph.values, graph.header)
    assert samples.raw_range(shifted) == (0, 15)
    drawn = samples.Synthetic(shifted).measurement(50)[0]
    assert (drawn.min(), drawn.max()) == (0, 15)


def test_source_graphs_state_raw_ranges() -> None:
    graph = fake_format.floats("toy", 5, {"range": [0, 9]})
    node = replace(graph.input, zero=4)
    assert isinstance(node, Input)
    assert samples.raw_range(Graph({**graph.nodes, node.name: node}, graph.values, graph.header)) == (0, 9)


def test_draws_are_seeded_and_a_sample_does_not_depend_on_how_many_there_are() -> None:
    graph = network()
    one = samples.Synthetic(graph, 3)
    few, many = one.measurement(4)[0], one.measurement(9)[0]
    assert np.array_equal(few, many[:4]) and np.array_equal(
        few, samples.Synthetic(graph, 3).measurement(4)[0]
    )
    assert not np.array_equal(few, samples.Synthetic(graph, 4).measurement(4)[0])
    assert not np.array_equal(few, one.calibration(4)), "calibration and measurement share samples"
    assert len({sample.tobytes() for sample in many}) == 9


def test_facts_say_what_was_drawn() -> None:
    spikes, levels = (samples.Synthetic(network(range=r), 7).facts() for r in ([0, 1], [0, 15]))
    assert "spikes with probability 0.1 in each element and tick, seed 7" in spikes["text"]
    assert "uniform integers 0 .. 15" in levels["text"] and levels["spike_rate"] is None
    assert spikes["label"] == levels["label"] == "synthetic input"


def test_without_a_range_nothing_is_drawn() -> None:
    with pytest.raises(UsageError, match="ND932"):
        samples.Synthetic(fake_format.floats("toy", 5, {"range": None})).calibration(1)


def test_a_range_beyond_every_register_is_not_drawn_from() -> None:
    graph = network()
    value = replace(graph.values["input"], interval=Interval(0, 1 << 70, True))
    with pytest.raises(UsageError, match="ND932"):
        samples.Synthetic(graph.with_values({"input": value})).calibration(1)


# --- data --------------------------------------------------------------------------------------------------------


def write(path: Any, *shape: int, ticks: int = 0, levels: int = 1) -> datasets.DataSet:
    rng = np.random.default_rng(0)
    arrays = {
        "x": rng.integers(0, levels + 1, shape).astype(np.uint8),
        "y": np.arange(shape[0]) % 4,
        "levels": levels,
    }
    np.savez(path, **arrays, **({"ticks": ticks} if ticks else {}))
    return datasets.load(str(path))


def test_an_image_is_the_same_at_every_tick(tmp_path: Any) -> None:
    data = write(tmp_path / "a.npz", 40, 5, *fake_format.SHAPE, ticks=5)
    still = replace(data, ticks=0, test=replace(data.test, read=lambda i: data.test.read(i)[:, 0]))
    frames, labels = samples.Recorded(network(), still).measurement(6)
    assert frames.shape == (6, 5, *fake_format.SHAPE) and labels is not None and len(labels) == 6
    assert all(np.array_equal(frames[:, t], frames[:, 0]) for t in range(5)) and frames.any()


def test_a_frame_for_each_tick_from_data(tmp_path: Any) -> None:
    data = write(tmp_path / "a.npz", 40, 5, *fake_format.SHAPE, ticks=5)
    assert (data.shape, data.ticks) == (fake_format.SHAPE, 5)
    assert datasets.facts(str(tmp_path / "a.npz")) == datasets.Facts(
        fake_format.SHAPE, 1, str(tmp_path / "a.npz"), 5
    )
    frames, _ = samples.Recorded(network(), data).measurement(3)
    assert frames.shape == (3, 5, *fake_format.SHAPE)
    assert not np.array_equal(frames[:, 0], frames[:, 1])
    assert not fitting.misfits(network(), data)


@pytest.mark.parametrize("asked, shape, ticks, levels, cause", [
    ({}, (40, 4, 2, 4, 4), 4, 1, "another number of ticks"),
    ({"per_tick": False}, (40, 5, 2, 4, 4), 5, 1, "takes one image for all"),
    ({}, (40, 5, 2, 4, 5), 5, 1, "do not fit the network's input"),
    ({}, (40, 5, 2, 4, 4), 5, 255, "leave the range"),
    ({"range": [3, 300]}, (40, 5, 2, 4, 4), 5, 255, "leave the range"),
    ({}, (40, 32), 0, 1, "do not fit the network's input"),
])  # fmt: skip
def test_data_that_do_not_fit(
    tmp_path: Any, asked: dict, shape: tuple[int, ...], ticks: int, levels: int, cause: str
) -> None:
    (problem,) = fitting.misfits(
        network(**asked), write(tmp_path / "a.npz", *shape, ticks=ticks, levels=levels)
    )
    assert problem.code == "ND933" and cause in problem.cause
    if "number of ticks" in cause:
        assert problem.fixes == ("--timesteps 4",)


@pytest.mark.parametrize(
    "ticks, shape", [(3, (40, 5, 8)), (5, (40, 5)), (5000, (40, 5, 8)), (-1, (40, 5, 8))]
)
def test_ticks_that_the_arrays_do_not_have(tmp_path: Any, ticks: int, shape: tuple[int, ...]) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(shape, np.uint8), y=np.arange(40) % 4, ticks=ticks)
    for read in (datasets.load, datasets.facts):
        with pytest.raises(UsageError, match="ND924"):
            read(str(tmp_path / "a.npz"))


def test_vectors_are_samples_too(tmp_path: Any) -> None:
    data = write(tmp_path / "a.npz", 40, 12)
    assert (data.shape, data.ticks) == ((12,), 0)
    assert datasets.facts(str(tmp_path / "a.npz")).shape == (12,)
