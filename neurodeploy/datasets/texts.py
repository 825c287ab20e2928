"""Texts: one per line of a ``.txt`` file, or the column ``text`` of ``.csv`` and ``.jsonl``, with whole-number labels.

A text that occurs again is left out, so that the two splits share none. What a text is to a network is its tokenizer's
business (:mod:`neurodeploy.inputs.texts`).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import Problem, UsageError
from ._base import DataFormat
from ._checks import foreign, refuse, require_content, truncated
from ._types import DataSet, Split, content_hash, stratified_indices

FORMAT = "a .txt file with a text per line, a .csv or .jsonl file with text and label"
TEXT, LABEL = "text", "label"
MOST_DIGITS = 20

Row = tuple[str, Any, Any]  # where, text, label or None


def accepts(spec: str) -> bool:
    """Any file with one of the suffixes."""
    return Path(spec).suffix in _READERS


def load(spec: str) -> DataSet:
    """A stratified fifth of the texts is the test split; UsageError ND920 .. ND925, every bad row at once."""
    rows, path = read(spec), Path(spec)
    rows = list({row[1]: row for row in reversed(rows)}.values())[::-1]  # the first of equal ones
    if len(rows) < 2:
        raise refuse("ND921", "there are too few different texts", spec, str(len(rows)), "at least 2")
    texts = np.array([row[1] for row in rows], dtype=object)
    labelled = rows[0][2] is not None
    labels = np.array([row[2] or 0 for row in rows], dtype=np.int64)
    train, test = (Split(labels[part], texts[part].__getitem__) for part in stratified_indices(labels))
    classes = tuple(str(label) for label in range(int(labels.max()) + 1)) if labelled else ()
    digest = content_hash(np.frombuffer("\0".join(texts).encode(), np.uint8), labels)
    return DataSet(path.name, train, test, classes, (), 1, digest, spec, texts=True, labelled=labelled)


def read(spec: str) -> list[Row]:
    """All rows in their order; UsageError ND920, ND922, ND923, ND925."""
    path = Path(spec)
    require_content(path)
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise truncated(spec, f"byte {error.start} is not UTF-8", "UTF-8 text") from error
    rows = list(_READERS[path.suffix](spec, content))
    problems = list(_problems(rows))
    if problems:
        raise UsageError(problems)
    return rows


def _problems(rows: list[Row]) -> Iterator[Problem]:
    labelled = any(label is not None for _, _, label in rows)
    for where, text, label in rows:
        if not isinstance(text, str) or not _encodable(text):
            yield Problem("ND925", "a row holds no text", where, repr(text)[:80], f"a string as {TEXT!r}")
        if labelled and (not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < 1 << 20):
            limit = "a whole number from 0, the position among the network's outputs, in every row or in none"
            yield Problem("ND925", "a label is no class of a network", where, repr(label)[:80], limit)


def _encodable(text: str) -> bool:
    """Whether a text is one: JSON can spell halves of letters, which no file and no tokenizer takes."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _class(text: str) -> int | str:
    """A label of a table; what is no short whole number stays a text, and is refused with its row."""
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) <= MOST_DIGITS else text


def _lines(spec: str, content: str) -> Iterator[Row]:
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            yield f"{spec}:{number}", line.strip(), None


def _csv(spec: str, content: str) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(content), strict=True)
    if "\0" in content:  # refused by the library before Python 3.11 alone
        raise truncated(spec, "a NUL", "comma-separated values")
    try:
        if TEXT not in (reader.fieldnames or ()):
            raise foreign(spec, f"columns {', '.join(reader.fieldnames or ())}"[:120], f"a column {TEXT}")
        for row in reader:
            label = row.get(LABEL) if LABEL in reader.fieldnames else None  # type: ignore[operator]
            yield f"{spec}:{reader.line_num}", row[TEXT], None if label is None else _class(label)
    except csv.Error as error:
        raise truncated(f"{spec}:{reader.reader.line_num}", str(error), "comma-separated values") from error


def _json_lines(spec: str, content: str) -> Iterator[Row]:
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            yield f"{spec}:{number}", row.get(TEXT), row.get(LABEL)
        else:
            yield f"{spec}:{number}", line.encode(), None  # refused with the other rows that hold no text


_READERS = {".txt": _lines, ".csv": _csv, ".jsonl": _json_lines}


MEMBER = DataFormat("texts", FORMAT, accepts, load)
