"""What the evaluation stage measures: on which samples each level of a network is asked."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

from neurodeploy.builds import stages
from neurodeploy.datasets import DataSet
from neurodeploy.datasets._types import array_split
from neurodeploy.inputs import samples
from tests.networks import mini_vit


@pytest.mark.parametrize("many", [11, 10])
def test_training_images_are_added_to_a_small_test_split_alone(
    monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    """Ten test and thirty training images, whose pixel is their label or, at odd places, the next class."""
    labels = np.arange(40) % 4
    images = (labels + np.arange(40) % 2).astype(np.uint8).reshape(-1, 1, 1, 1)
    train, test = array_split(images[10:], labels[10:]), array_split(images[:10], labels[:10])
    data = DataSet("made up", train, test, tuple("abcd"), (1, 1, 1), 4, "", "")
    header = SimpleNamespace(notes={}, timesteps=1)
    graph = SimpleNamespace(input=SimpleNamespace(per_tick=False), header=header, values={})
    asked: list[int] = []

    def run(x: np.ndarray) -> np.ndarray:
        asked.append(len(x))
        return x.reshape(1, -1)

    work = SimpleNamespace(
        stimulus=samples.Recorded(graph, data),
        config=SimpleNamespace(eval=0),
        source=None,
        spiking=None,
        saturations={},
        holds_integers=False,
        synthetic=False,
        reasons={},
        warnings=[],
    )
    monkeypatch.setattr(stages, "MANY_TESTED", many)
    monkeypatch.setattr(stages, "_runs", lambda _: {"integer": run})
    said = stages.evaluate(work, lambda _: None)
    assert "50.0 %" in said and work.accuracy.samples == 10 and work.accuracy.integer == 0.5
    assert work.evaluation["test"] == {"samples": 10, "integer": 5}
    if many > 10:
        assert work.evaluation["train and test"] == {"samples": 40, "integer": 20}
        assert asked == [10, 30]
    else:
        assert "train and test" not in work.evaluation and asked == [10]


def test_batches_side_by_side_are_put_together_in_order() -> None:
    images, seen = np.arange(300)[:, None], []

    def run(x: np.ndarray) -> np.ndarray:
        seen.append(len(x))
        time.sleep(0.02 if x[0, 0] == 0 else 0.0)  # the first one ends last
        return np.stack([x[:, 0], 2 * x[:, 0]])

    alone, together = (stages._in_batches(mini_vit(), run, images, threads) for threads in (False, True))
    assert sorted(seen) == sorted(2 * [64, 64, 64, 64, 44])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(alone, [np.arange(300), 2 * np.arange(300)])
