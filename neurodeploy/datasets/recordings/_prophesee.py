"""The head of Prophesee's files: lines of text that begin with ``% ``, a keyword, a value."""

from __future__ import annotations

from .. import _checks

MOST_HEAD = 1 << 16  # bytes


def head(path: str) -> tuple[dict[str, str], int]:
    """Values by keyword, in small letters, and where the data begin; UsageError ND923 for a head without end."""
    with open(path, "rb") as file:
        content = file.read(MOST_HEAD)
    found, place = {}, 0
    while content[place : place + 2] == b"% ":
        end = content.find(b"\n", place)
        if end < 0:
            raise _checks.foreign(path, f"a head of more than {len(content)} bytes", f"at most {MOST_HEAD}")
        key, _, value = content[place + 2 : end].decode("latin-1").strip().partition(" ")
        found[key.lower()] = value.strip()
        place = end + 1
        if key == "end":
            break
    return found, place


def sides(rows: str | None, columns: str | None, path: str) -> tuple[int, int] | None:
    """The size of the sensor from two values of a head, None where it does not say; UsageError ND923."""
    if rows is None or columns is None:
        return None
    try:
        size = int(rows), int(columns)
    except ValueError:
        size = 0, 0
    if min(size) < 1 or max(size) >= 1 << 14:
        raise _checks.foreign(path, f"{columns} x {rows} pixels"[:80], "whole numbers of 14 bits")
    return size
