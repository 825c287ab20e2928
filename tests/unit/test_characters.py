"""Texts by characters: windows, splits, and what is no text."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import bundled, datasets
from neurodeploy.builds.evaluated import surprise
from neurodeploy.datasets._characters import ALPHABET, CONTEXT, STRIDE
from neurodeploy.datasets.characters import BLOCK, TENTH
from neurodeploy.errors import UsageError

#: the text of the zoo, which documents grow away from
FROZEN = "87a2b9180b83a897ea44520f2f8ef2ba62f3bf5fc03ba05b3f1f5027643df93c"


def spelled(frames: np.ndarray) -> list[str]:
    assert set(np.unique(frames)) == {0, 1} and np.all(frames.sum(axis=-1) == 1)
    return ["".join(ALPHABET[i] for i in row) for row in frames.argmax(axis=-1)]


def test_the_frozen_text_is_what_the_zoo_was_trained_on() -> None:
    content = (bundled.path("models") / "data" / "documentation.txt").read_bytes()
    assert hashlib.sha256(content).hexdigest() == FROZEN
    assert set(content.decode()) <= set(ALPHABET)


def test_windows_are_the_text_and_what_follows(tmp_path: Path) -> None:
    """Of a text whose every place is known: the decimal digits of its numbers."""
    text = "".join(f"{n:07d}" for n in range(TENTH * BLOCK // 7 + 2000))
    path = tmp_path / "numbers.text"
    path.write_text(text)
    data = datasets.load(f"characters:{path}")
    assert (data.shape, data.ticks, data.levels, data.sequence) == ((len(ALPHABET),), CONTEXT, 1, True)
    held = range((TENTH - 1) * BLOCK, TENTH * BLOCK)
    assert len(data.test) == BLOCK // CONTEXT
    frames, labels = data.test.take(range(len(data.test)))
    assert "".join(spelled(frames)) == text[held.start : held.stop]  # side by side, each character once
    assert [data.classes[i] for i in labels] == [
        text[i] for i in range(held.start + CONTEXT, held.stop + 1, CONTEXT)
    ]
    wanted = datasets.following(frames, labels)
    assert "".join(ALPHABET[i] for i in wanted.ravel()) == text[held.start + 1 : held.stop + 1]
    trained = spelled(data.train.take(range(len(data.train)))[0])
    assert trained[1] == text[STRIDE : STRIDE + CONTEXT]
    assert not set(trained) & set(spelled(frames))
    assert datasets.facts(f"characters:{path}").ticks == CONTEXT


def test_other_letters_become_question_marks(tmp_path: Path) -> None:
    path = tmp_path / "x.text"
    path.write_text("aé日\t" * (TENTH * BLOCK // 4 + 10), encoding="utf-8")
    assert spelled(datasets.load(f"characters:{path}").test.take([0])[0])[0] == "a???" * (CONTEXT // 4)


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "ND921"), (b"short", "ND921"), (b"a" * TENTH * BLOCK + b"\xff", "ND922")]
)
def test_what_is_no_text_is_refused(content: bytes, code: str, tmp_path: Path) -> None:
    path = tmp_path / "x.text"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=code):
        datasets.load(f"characters:{path}")
    with pytest.raises(UsageError, match="ND920"):
        datasets.load(f"characters:{tmp_path / 'nothing'}")


def test_bits_of_a_token_are_those_of_its_probability() -> None:
    """A uniform guess among eight is three bits; certainty is none; logits may be large."""
    assert surprise(np.zeros((2, 8)), np.array([0, 7])) == pytest.approx([3.0, 3.0])
    sure = np.array([[0.0, 1e6, 0.0], [np.log(3.0), 0.0, -1e9]])
    assert surprise(sure, np.array([1, 0])) == pytest.approx([0.0, np.log2(4 / 3)])
