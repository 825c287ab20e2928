"""Windows of pages: which page, which part of it, and what is no text of pages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurodeploy import bundled, datasets
from neurodeploy.datasets._characters import ALPHABET, CONTEXT, STRIDE
from neurodeploy.datasets.pages import BLOCK, FIFTH
from neurodeploy.errors import UsageError

LONG = FIFTH * BLOCK


def page(title: str, length: int) -> str:
    """A page in which no two windows are alike: numbers, one behind the other."""
    text = f"# {title}\n" + "".join(f"{title}{n:05d}\n" for n in range(length // 6 + 1))
    return text[: length - 1] + "\n"


def spelled(frames: np.ndarray) -> list[str]:
    assert set(np.unique(frames)) == {0, 1} and np.all(frames.sum(axis=-1) == 1)
    return ["".join(ALPHABET[i] for i in row) for row in frames.argmax(axis=-1)]


def test_windows_are_of_one_page_and_of_one_part_of_it(tmp_path: Path) -> None:
    pages = [page("a", LONG + 100), page("b", 100), page("c", 2 * LONG)]
    path = tmp_path / "pages.text"
    path.write_text("before any page\n" + "".join(pages))
    data = datasets.load(f"pages:{path}")
    assert data.classes == ("a", "b", "c") and data.shape == datasets.facts(f"pages:{path}").shape == (64, 96)
    every = ((page, place) for page, text in enumerate(pages) for place in range(len(text)))
    held = {(page, place) for page, place in every if place // BLOCK % FIFTH == 4}
    seen: dict[str, set[tuple[int, int]]] = {}
    for part, stride in (("train", STRIDE), ("test", CONTEXT)):
        frames, labels = getattr(data, part).take(range(len(getattr(data, part))))
        places = [pages[label].index(text) for text, label in zip(spelled(frames), labels, strict=True)]
        assert all(place % stride == 0 for place in places)
        seen[part] = {
            (int(label), place + at)
            for label, place in zip(labels, places, strict=True)
            for at in range(CONTEXT)
        }
    assert seen["test"] == held and not seen["train"] & held
    assert len(data.test) == 3 * BLOCK // CONTEXT


def test_the_documentation_is_all_there() -> None:
    data = datasets.load("documentation-pages")
    text = (bundled.path("models") / "data" / "documentation.txt").read_text()
    assert len(data.classes) == text.count("\n# ") + 1 == 19 and data.classes[2] == "Architecture"
    assert set(np.unique(data.test_y)) == set(np.unique(data.train_y)) == set(range(19))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "ND921"),
        (b"no title\n" * LONG, "ND921"),
        (page("one", 2 * LONG).encode(), "ND921"),
        (page("one", 2 * LONG).encode() + page("two", LONG - BLOCK).encode(), "ND921"),
        (b"# a\n\xff", "ND922"),
    ],
    ids=["empty", "no page", "one page", "one long page", "no text"],
)
def test_what_is_no_text_of_pages_is_refused(content: bytes, code: str, tmp_path: Path) -> None:
    path = tmp_path / "x.text"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=code):
        datasets.load(f"pages:{path}")
