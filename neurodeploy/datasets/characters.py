"""Texts as sequences of characters: a frame for each of them, with one spike on the line of the character.

A sample is a window of ``CONTEXT`` characters, so tokens are ticks; its label is the character that follows. Every
tenth block of a text is held out: of it the windows lie side by side, so that each character is predicted once.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ._base import DataFormat
from ._characters import ALPHABET, CONTEXT, STRIDE, documentation, read, windows
from ._checks import refuse
from ._types import DataSet, Facts, Split, content_hash

FORMAT = "the name documentation: texts of neurodeploy by characters; characters:PATH, a text of your own"
NAMES, PREFIX = ("documentation",), "characters:"
BLOCK, TENTH = 64 * CONTEXT, 10


def accepts(spec: str) -> bool:
    """The name, or a path behind the prefix."""
    return spec in NAMES or spec.startswith(PREFIX)


def facts(spec: str) -> Facts:
    """The same for every text."""
    return Facts((len(ALPHABET),), 1, str(_path(spec)), CONTEXT)


def load(spec: str) -> DataSet:
    """Windows (64, 96) of a text; UsageError ND920 to ND923 for a file that is none, or too short."""
    path = _path(spec)
    ids = read(path, spec)
    if len(ids) <= TENTH * BLOCK:
        raise refuse(
            "ND921", "the text is too short", spec, f"{len(ids)} characters", f"more than {TENTH * BLOCK}"
        )
    held = np.arange(len(ids)) // BLOCK % TENTH == TENTH - 1
    train, test = (_split(ids, part, stride) for part, stride in ((~held, STRIDE), (held, CONTEXT)))
    shape, digest = (len(ALPHABET),), content_hash(ids)
    return DataSet(
        spec, train, test, tuple(ALPHABET), shape, 1, digest, str(path), ticks=CONTEXT, sequence=True
    )


def _path(spec: str) -> Path:
    return documentation() if spec in NAMES else Path(spec.removeprefix(PREFIX))


def _split(ids: NDArray[np.uint8], part: NDArray[np.bool_], stride: int) -> Split:
    """Windows that lie in a part of the text."""
    starts = np.arange(0, len(ids) - CONTEXT, stride)
    starts = starts[part[starts] & part[starts + CONTEXT - 1]]
    return Split(ids[starts + CONTEXT].astype(np.int64), lambda chosen: windows(ids, starts[chosen]))


MEMBER = DataFormat("characters", FORMAT, accepts, load, facts, names=NAMES)
