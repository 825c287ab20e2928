"""Windows of texts, labelled with the page that they are from: what networks that read texts learn to tell apart.

A page begins where a line begins with ``# ``, the title of a Markdown page, which names its class. A sample is a window
of ``CONTEXT`` characters, all there at once. Every fifth block of each page is held out, and no window of the training
split has a character of it; held-out windows lie side by side.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ._base import DataFormat
from ._characters import ALPHABET, CONTEXT, STRIDE, documentation, read, windows
from ._checks import refuse
from ._types import DataSet, Facts, Split, content_hash

FORMAT = (
    "the name documentation-pages: characters of neurodeploy's pages; pages:PATH, Markdown pages in one file"
)
NAMES, PREFIX = ("documentation-pages",), "pages:"
BLOCK, FIFTH = 4 * CONTEXT, 5
TITLE = re.compile(r"^# (.+)$", re.MULTILINE)


def accepts(spec: str) -> bool:
    """The name, or a path behind the prefix."""
    return spec in NAMES or spec.startswith(PREFIX)


def facts(spec: str) -> Facts:
    """The same for every text."""
    return Facts((CONTEXT, len(ALPHABET)), 1, str(_path(spec)))


def load(spec: str) -> DataSet:
    """Windows (64, 96) of a text of two pages or more; UsageError ND920 to ND922 for a file that is none."""
    path = _path(spec)
    ids = read(path, spec)
    found = list(TITLE.finditer("".join(ALPHABET[i] for i in ids)))
    splits = _splits(ids, np.array([title.start() for title in found], dtype=np.int64))
    if len(splits[0].labels) == 0 or len(np.unique(splits[1].labels)) < 2:
        cause, limit = "the text has too few long pages", f"two of {FIFTH * BLOCK} characters or more"
        raise refuse("ND921", cause, spec, f"{len(found)} pages", limit, "begin each with '# Title'")
    titles, shape = tuple(title[1] for title in found), (CONTEXT, len(ALPHABET))
    return DataSet(spec, *splits, titles, shape, 1, content_hash(ids), str(path))


def _path(spec: str) -> Path:
    return documentation() if spec in NAMES else Path(spec.removeprefix(PREFIX))


def _splits(ids: NDArray[np.uint8], begins: NDArray[np.int64]) -> tuple[Split, Split]:
    """Training and held-out windows of the pages that begin at these characters."""
    ends, parts = np.append(begins, len(ids))[1:], []
    for stride, test in ((STRIDE, False), (CONTEXT, True)):
        starts, labels = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for page, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            first = np.arange(0, end - begin - CONTEXT + 1, stride)
            held = [(first + at) // BLOCK % FIFTH == FIFTH - 1 for at in (0, CONTEXT - 1)]
            first = first[held[0] & held[1] if test else ~(held[0] | held[1])]
            starts.append(begin + first)
            labels.append(np.full(len(first), page))
        parts.append(_split(ids, np.concatenate(starts), np.concatenate(labels)))
    return parts[0], parts[1]


def _split(ids: NDArray[np.uint8], starts: NDArray[np.int64], labels: NDArray[np.int64]) -> Split:
    return Split(labels, lambda chosen: windows(ids, starts[chosen]))


MEMBER = DataFormat("pages", FORMAT, accepts, load, facts, names=NAMES)
