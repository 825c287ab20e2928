"""Signals that ask a program to end: SIGTERM and SIGHUP are taken like Ctrl-C, and all of them can be held back.

Python turns Ctrl-C into an exception, so that everybody cleans up; it lets SIGTERM end the process on the spot.
Handlers belong to the main thread: elsewhere nothing here changes anything.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: what ends a program from outside, beside Ctrl-C: asked to by a person or a scheduler, or its terminal was closed
ENDING = (signal.SIGTERM, signal.SIGHUP)
#: an exit code says by which signal a program ended
SIGNALLED = 128


class Terminated(KeyboardInterrupt):
    """One of :data:`ENDING`, ``number``: who cleans up after Ctrl-C cleans up after this."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


_last: list[int] = []
#: signals since :func:`terminable` began: an exception that falls into a destructor is dropped by Python
_come: list[int] = []


def exit_code() -> int:
    """128 + the signal by which :func:`terminable` was ended last, or else that of Ctrl-C."""
    return SIGNALLED + (_last[-1] if _last else signal.SIGINT)


def heed() -> None:
    """Raise :class:`Terminated` for a signal that came but whose exception was dropped: for loops that wait long."""
    if _come:
        number = _come[-1]
        _come.clear()
        raise Terminated(number)


def beneath(error: BaseException) -> BaseException:
    """The interruption that an error was made of, else the error: Python wraps what falls into a ``__set_name__``."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__
    return cause or error


def _raise(number: int, frame: FrameType | None) -> None:
    _last.append(number)
    _come.append(number)
    raise Terminated(number)


@contextmanager
def terminable() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise :class:`Terminated`, unless somebody handles or ignores them already.

    Outside again such a signal ends the process as it would have ended it at once: only the cleaning up came first.
    """
    taken = [number for number in ENDING if _main_thread() and signal.getsignal(number) is signal.SIG_DFL]
    if taken:
        _last.clear()
        _come.clear()
    for number in taken:
        signal.signal(number, _raise)
    try:
        yield
    except Terminated as ended:
        _give_back(taken)
        if ended.number in taken:
            signal.raise_signal(ended.number)
        raise
    finally:
        _give_back(taken)
        if taken:
            _come.clear()


def _give_back(taken: list[signal.Signals]) -> None:
    for number in taken:
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and the signals that end a program wait until the block is done: for what takes a moment."""
    waiting: list[int] = []
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, *ENDING) if _main_thread()}
    held = {n: handler for n, handler in before.items() if handler is not None}  # None: not set from Python
    for number in held:
        signal.signal(number, lambda number, frame: waiting.append(number))
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
        for first in waiting[:1]:
            signal.raise_signal(first)


def _main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
