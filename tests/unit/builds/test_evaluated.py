"""What the evaluation stage measures: on which samples each level of a network is asked."""

import time

import numpy as np
import pytest

from neurodeploy.builds import evaluated
from neurodeploy.datasets import DataSet
from neurodeploy.datasets._types import array_split
from neurodeploy.inputs.samples import Recorded
from neurodeploy.ir.graph import Builder
from neurodeploy.ir.nodes import Input, Output
from tests.networks import mini_vit, value


def pixel() -> Recorded:
    """Ten test and thirty training images, whose pixel is their label or, at odd places, the next class."""
    labels = np.arange(40) % 4
    images = (labels + np.arange(40) % 2).astype(np.uint8).reshape(-1, 1, 1, 1)
    train, test = array_split(images[10:], labels[10:]), array_split(images[:10], labels[:10])
    builder = Builder()
    builder.add(Input(name="input"), value("CYX", 1, 1, 1))
    builder.add(Output(name="output", inputs=("input",)), value("CYX", 1, 1, 1))
    return Recorded(builder.build(), DataSet("made up", train, test, tuple("abcd"), (1, 1, 1), 4, "", ""))


@pytest.mark.parametrize("many", [11, 10])
@pytest.mark.parametrize("whole", [True, False])
def test_training_images_are_added_to_a_small_test_split_alone(
    monkeypatch: pytest.MonkeyPatch, many: int, whole: bool
) -> None:
    asked: dict[str, list[int]] = {"integer": [], "source": []}

    def answers(level: str, shift: int) -> evaluated.Answers:
        def run(x: np.ndarray) -> np.ndarray:
            asked[level].append(len(x))
            return x.reshape(1, -1) + shift

        return run

    monkeypatch.setattr(evaluated, "MANY_TESTED", many)
    stimulus, heard = pixel(), list[float]()
    test = stimulus.measurement(0)
    runs = {"integer": answers("integer", 0), "source": answers("source", 9)}
    accuracy, counts = evaluated.judged(stimulus, runs, (test[0], test[1]), whole, heard.append)
    assert (accuracy.samples, accuracy.integer, accuracy.source, accuracy.spiking) == (10, 0.5, 0.0, None)
    assert counts["test"] == {"samples": 10, "integer": 5, "source": 0}
    assert heard == sorted(heard) and heard[0] > 0 and heard[-1] < 1
    if whole and many > 10:
        assert counts["train and test"] == {"samples": 40, "integer": 20, "source": 0}
        assert asked == {"integer": [10, 30], "source": [10, 30]}
    else:
        assert set(counts) == {"test"} and asked == {"integer": [10], "source": [10]}


def test_one_network_at_two_levels_is_asked_once() -> None:
    stimulus, asked = pixel(), []

    def run(x: np.ndarray) -> np.ndarray:
        asked.append(len(x))
        return x.reshape(1, -1)

    images, labels = stimulus.measurement(0)
    assert labels is not None
    runs = {"spiking": run, "integer": lambda x: x.reshape(1, -1), "source": run}
    accuracy, _ = evaluated.judged(stimulus, runs, (images, labels), False, lambda share: None)
    assert accuracy.source == accuracy.spiking == 0.5 and asked == [10]


def test_batches_side_by_side_are_put_together_in_order() -> None:
    images, seen = np.arange(300)[:, None], []

    def run(x: np.ndarray) -> np.ndarray:
        seen.append(len(x))
        time.sleep(0.02 if x[0, 0] == 0 else 0.0)  # the first one ends last
        return np.stack([x[:, 0], 2 * x[:, 0]])

    alone, together = (evaluated._in_batches(mini_vit(), run, images, threads) for threads in (False, True))
    assert sorted(seen) == sorted(2 * [64, 64, 64, 64, 44])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(alone, [np.arange(300), 2 * np.arange(300)])


@pytest.mark.parametrize(
    ("synthetic", "integers", "hints"),
    [(False, False, 1), (True, False, 2), (False, True, 0), (True, True, 0)],
)
def test_clipped_values_are_warned_of_with_what_helps(synthetic: bool, integers: bool, hints: int) -> None:
    fixes = evaluated.remedies(synthetic, integers)
    (problem,) = evaluated.saturated({"a": 1, "b": 3}, fixes)
    assert (problem.code, problem.where, problem.found, len(problem.fixes)) == (
        "ND602",
        "b",
        "4 values",
        hints,
    )
    assert evaluated.saturated({}, fixes) == evaluated.saturated({"a": 0}, fixes) == ()
