"""What a format of recordings is: one way to store the events of one sample in a file.

A file of this room binds ``MEMBER`` to a :class:`Recording`. Its functions run in a guarded copy of the process, which
catches what a damaged file makes them raise; they hold sizes that a file states against its own before they use them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...registry import Member, Room
from .._events import Events


@dataclass(frozen=True)
class Recording(Member):
    """Files with one of ``suffixes``, whose events are read by ``read(path)``.

    ``title`` is one line for people; ``size(path)`` are the rows and columns of the sensor, None where a file does not
    say; ``label(path)`` is the class of the sample where its file holds it, else None.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    read: Callable[[str], Events]
    size: Callable[[str], tuple[int, int] | None] = lambda path: None
    label: Callable[[str], int | None] = lambda path: None
    distributions: tuple[str, ...] = ()


RECORDINGS = Room("datasets.recordings", Recording)
