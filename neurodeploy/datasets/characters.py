"""Texts as sequences of characters: a frame for each of them, with one spike on the line of the character.

A sample is a window of ``CONTEXT`` characters, so tokens are ticks; its label is the character that follows. The
alphabet is printable ASCII and the end of a line, whatever the text; all else becomes a question mark. Every tenth
block of a text is held out: of it the windows lie side by side, so that each character is predicted once.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import bundled
from ._base import DataFormat
from ._checks import refuse, require_content, truncated
from ._types import DataSet, Facts, Images, Split, content_hash

FORMAT = "the name documentation: texts of neurodeploy by characters; characters:PATH, a text of your own"
NAMES, PREFIX = ("documentation",), "characters:"
ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
CONTEXT = 64
#: of training windows; those of the held-out text lie side by side
STRIDE = 16
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
    require_content(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise truncated(spec, f"byte {error.start} is not UTF-8", "UTF-8 text") from error
    ids = encoded(text)
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
    return (
        bundled.path("models") / "data" / "documentation.txt"
        if spec in NAMES
        else Path(spec.removeprefix(PREFIX))
    )


def encoded(text: str) -> NDArray[np.uint8]:
    """The place of each character in the alphabet."""
    table = np.full(1 << 8, ALPHABET.index("?"), dtype=np.uint8)
    table[[ord(character) for character in ALPHABET]] = np.arange(len(ALPHABET))
    return table[np.frombuffer(text.encode("latin-1", errors="replace"), dtype=np.uint8)]


def _split(ids: NDArray[np.uint8], part: NDArray[np.bool_], stride: int) -> Split:
    """Windows that lie in a part of the text."""
    starts = np.arange(0, len(ids) - CONTEXT, stride)
    starts = starts[part[starts] & part[starts + CONTEXT - 1]]
    windows = np.arange(CONTEXT)

    def read(chosen: NDArray[np.int64]) -> Images:
        frames = np.zeros((len(chosen), CONTEXT, len(ALPHABET)), dtype=np.uint8)
        np.put_along_axis(frames, ids[starts[chosen, None] + windows][..., None].astype(np.int64), 1, axis=-1)
        return frames

    return Split(ids[starts + CONTEXT].astype(np.int64), read)


MEMBER = DataFormat("characters", FORMAT, accepts, load, facts, names=NAMES)
