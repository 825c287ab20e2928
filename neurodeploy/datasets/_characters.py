"""Texts by characters, as several formats need them: the alphabet, one line for each of its characters, and windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import bundled
from ._checks import require_content, truncated
from ._types import Images

#: printable ASCII and the end of a line, whatever the text; all else becomes a question mark
ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
#: characters of a window
CONTEXT = 64
#: between the beginnings of training windows; those of the held-out text lie side by side
STRIDE = 16


def documentation() -> Path:
    """The text of this project that ships."""
    return bundled.path("models") / "data" / "documentation.txt"


def read(path: Path, spec: str) -> NDArray[np.uint8]:
    """The place of each character of a text in the alphabet; UsageError ND920 to ND922 for a file that is no text."""
    require_content(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise truncated(spec, f"byte {error.start} is not UTF-8", "UTF-8 text") from error
    table = np.full(1 << 8, ALPHABET.index("?"), dtype=np.uint8)
    table[[ord(character) for character in ALPHABET]] = np.arange(len(ALPHABET))
    return table[np.frombuffer(text.encode("latin-1", errors="replace"), dtype=np.uint8)]


def windows(ids: NDArray[np.uint8], starts: NDArray[np.int64]) -> Images:
    """``CONTEXT`` characters from each start on, (n, CONTEXT, V), with one spike on the line of each."""
    frames = np.zeros((len(starts), CONTEXT, len(ALPHABET)), dtype=np.uint8)
    found = ids[starts[:, None] + np.arange(CONTEXT)]
    np.put_along_axis(frames, found[..., None].astype(np.int64), 1, axis=-1)
    return frames
