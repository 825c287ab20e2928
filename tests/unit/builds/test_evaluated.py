"""What the evaluation stage measures: on which samples each level of a network is asked."""

import time

import numpy as np
import pytest

from neurodeploy.builds import evaluated
from neurodeploy.builds.answered import CODES, Collected, picture
from neurodeploy.datasets import DataSet
from neurodeploy.datasets._types import array_split
from neurodeploy.inputs.samples import Recorded
from neurodeploy.ir.graph import Builder
from neurodeploy.ir.nodes import Input, Output
from neurodeploy.simulate import pools
from tests.networks import value


def pixel() -> Recorded:
    """Ten test and thirty training images, whose pixel is their label or, at odd places, the next class."""
    labels = np.arange(40) % 4
    images = (labels + np.arange(40) % 2).astype(np.uint8).reshape(-1, 1, 1, 1)
    train, test = array_split(images[10:], labels[10:]), array_split(images[:10], labels[:10])
    builder = Builder()
    builder.add(Input(name="input"), value("CYX", 1, 1, 1))
    builder.add(Output(name="output", inputs=("input",)), value("CYX", 1, 1, 1))
    return Recorded(builder.build(), DataSet("made up", train, test, tuple("abcd"), (1, 1, 1), 4, "", ""))


def test_test_samples_alone_are_asked_a_few_batches_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, list[int]] = {"integer": [], "source": []}

    def answers(level: str, shift: int) -> evaluated.Answers:
        def run(x: np.ndarray) -> np.ndarray:
            asked[level].append(len(x))
            return x.reshape(1, -1) + shift

        return run

    monkeypatch.setattr(evaluated, "batch_size", lambda graph: 2)
    monkeypatch.setattr(pools, "threads", lambda: 2)
    stimulus, heard = pixel(), list[tuple[int, int]]()
    runs = {"integer": answers("integer", 0), "source": answers("source", 9)}
    accuracy, counts = evaluated.judged(stimulus, runs, stimulus.labels(0), lambda *done: heard.append(done))
    assert (accuracy.samples, accuracy.integer, accuracy.source, accuracy.spiking) == (10, 0.5, 0.0, None)
    assert counts == {"test": {"samples": 10, "integer": 5, "source": 0}}
    assert asked == {"integer": 5 * [2], "source": 5 * [2]} and heard == [(4, 10), (8, 10), (10, 10)]


def test_one_network_at_two_levels_is_asked_once() -> None:
    asked = []

    def run(x: np.ndarray) -> np.ndarray:
        asked.append(len(x))
        return x.reshape(1, -1)

    runs = {"spiking": run, "integer": lambda x: x.reshape(1, -1), "source": run}
    accuracy, _ = evaluated.judged(pixel(), runs, pixel().labels(0), lambda done, of: None)
    assert accuracy.source == accuracy.spiking == 0.5 and asked == [10]


def test_batches_side_by_side_are_put_together_in_order() -> None:
    images, seen = np.arange(300)[:, None], []

    def run(x: np.ndarray) -> np.ndarray:
        seen.append(len(x))
        time.sleep(0.02 if x[0, 0] == 0 else 0.0)  # the first one ends last
        return np.stack([x[:, 0], 2 * x[:, 0]])

    alone, together = (evaluated._in_batches(64, run, images, threads) for threads in (False, True))
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


def test_answers_of_all_levels_are_counted_and_the_wrong_ones_kept() -> None:
    heard = Collected(4)
    images = np.zeros((5, 1, 4, 6), np.uint8)
    images[:, 0, 1:3] = 4
    labels = np.array([0, 1, 1, 2, 0])
    answers = {"integer": np.array([[9] * 5, [0, 1, 2, 2, 1]]), "source": np.array([[0, 1, 1, 2, 1]])}
    heard.hear(images[:3], labels[:3], {level: found[:, :3] for level, found in answers.items()})
    heard.hear(images[3:], labels[3:], {level: found[:, 3:] for level, found in answers.items()}, 3)
    found = heard.told()
    assert found.pairs == (
        (0, 0, {"integer": 1, "source": 1}), (0, 1, {"integer": 1, "source": 1}), (1, 1, {"integer": 1, "source": 2}),
        (1, 2, {"integer": 1}), (2, 2, {"integer": 1, "source": 1}))  # fmt: skip
    assert [(row.sample, row.label, row.said["integer"]) for row in found.wrong] == [(2, 1, 2), (4, 0, 1)]
    drawn = found.wrong[0].picture
    assert (drawn["width"], drawn["height"]) == (6, 4)
    pixels = [drawn["palette"][CODES.index(code)] for code in drawn["codes"]]
    assert pixels == 6 * ["#000000"] + 12 * ["#ffffff"] + 6 * ["#000000"]


def test_a_sample_is_a_picture_where_it_has_rows_and_columns() -> None:
    colours = np.zeros((3, 64, 48), np.uint8)
    colours[0] = 255
    drawn = picture(colours, 255)
    assert (drawn["width"], drawn["height"], drawn["palette"]) == (24, 32, ["#ff0000"])
    assert picture(np.stack([colours, colours]), 255) == drawn  # frames
    assert picture(np.zeros((7, 30)), 1) is None and picture(np.zeros(5), 1) is None


def test_texts_are_shown_as_what_the_network_is_given() -> None:
    heard = Collected(1, lambda raw: " ".join(map(str, raw.argmax(axis=-1))))
    heard.hear(np.eye(9)[None, [3, 1]], np.array([1]), {"integer": np.array([[0]])})
    (row,) = heard.told().wrong
    assert row.text == "3 1" and row.picture is None
