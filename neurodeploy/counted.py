"""How far long work has come: who does it counts, and who wants to know listens, however many calls lie between them.

Nothing is told where nobody listens, and what is told changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
#: is told how much is done, of how much, in which unit
Heard = Callable[[int, int, str], None]

_heard: ContextVar[Heard | None] = ContextVar("heard", default=None)


@contextmanager
def listening(heard: Heard) -> Iterator[None]:
    """Inside, ``heard`` is told how far the work of this thread has come."""
    before = _heard.set(heard)
    try:
        yield
    finally:
        _heard.reset(before)


def tell(done: int, of: int, unit: str) -> None:
    """So much is done, of so much; ``unit`` is a plural, such as "samples"."""
    heard = _heard.get()
    if heard is not None:
        heard(done, of, unit)


def counted(items: Collection[T], unit: str) -> Iterator[T]:
    """The items of something, each of which is told when it is done."""
    for done, item in enumerate(items, 1):
        yield item
        tell(done, len(items), unit)
