"""Members that live in a folder of a test: found as if their files lay in the room.

    with rooms.member(NEURONS, tmp_path, toy=TEXT):
        assert "toy" in NEURONS

What a member is written to is a file of its own, so a test that sees it work has touched nothing else.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

from neurodeploy.registry import Room


@contextmanager
def files(package: str, folder: Path, **texts: str) -> Iterator[None]:
    """Write ``NAME.py`` for each text into ``folder``, a further folder of ``package``; forgotten at the end."""
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(dedent(text))
    room = importlib.import_module(package)
    room.__path__.append(str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        room.__path__.remove(str(folder))
        for name in texts:
            sys.modules.pop(f"{package}.{name}", None)
            vars(room).pop(name, None)


@contextmanager
def member(room: Room[Any], folder: Path, **texts: str) -> Iterator[None]:
    """As :func:`files`, in a room of the registry, which is searched anew before and after."""
    with files(f"neurodeploy.{room.path}", folder, **texts):
        forget(room)
        try:
            yield
        finally:
            forget(room)


def forget(room: Room[Any]) -> None:
    """Let a room be searched when it is next asked."""
    vars(room).pop("_found", None)
