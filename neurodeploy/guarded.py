"""Libraries that are not ours on files that are not ours: in a copy of this process, with limits of time and memory.

HDF5, decoders of images and tokenizers trust what a file says: a damaged one makes them crash, loop or allocate. So
they run in a copy, which hands back numbers and texts through memory that both share; what becomes of the copy does not
become of the command. Nothing is pickled. Where the system cannot copy a process, the work is done in this one.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import mmap
import os
import resource
import signal
import struct
import tempfile
import time
import warnings
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np

from .errors import NeurodeployError, Problem, first_line

Result = TypeVar("Result")

SECONDS = 20.0
MEMORY = 1 << 30
_DONE, _MEMORY, _RAISED, _TYPED = range(4)
_STEP = 0.002  # seconds between two looks at the copy
_LENGTH = struct.Struct("<Q")


class Stopped(Exception):
    """The copy crashed, took too long, needed too much, or its library raised; the text says which."""


def call(
    function: Callable[..., Result], *arguments: Any, seconds: float = SECONDS, memory: int = MEMORY
) -> Result:
    """``function(*arguments)``, worked out in a copy of this process that may take so long and so many bytes more.

    The result is made of arrays, texts, bytes, numbers, lists, tuples and dictionaries with texts as keys. Typed errors
    are raised as they are; whatever else happens is :class:`Stopped`.
    """
    if not hasattr(os, "fork"):
        return function(*arguments)
    with _shared() as file:
        with warnings.catch_warnings():
            # Python warns of forks beside threads; the copy uses one library alone
            warnings.simplefilter("ignore")
            child = os.fork()
        if child == 0:
            _work(file, function, arguments, seconds, memory)
        outcome, found = _outcome(child, seconds), _read(file)
    if outcome == _DONE:
        return found  # type: ignore[no-any-return]
    if outcome == _TYPED:
        kind, problems = found
        classes: list[type[NeurodeployError]] = [NeurodeployError, *_subclasses(NeurodeployError)]
        raise next(c for c in classes if c.__name__ == kind)(
            [Problem(**{**p, "fixes": tuple(p["fixes"])}) for p in problems]
        )
    raise Stopped(str(found) if outcome == _RAISED else f"more than {memory >> 20} MB of memory")


def _subclasses(kind: type[NeurodeployError]) -> list[type[NeurodeployError]]:
    own: list[type[NeurodeployError]] = kind.__subclasses__()
    return [each for sub in own for each in (sub, *_subclasses(sub))]


def _outcome(child: int, seconds: float) -> int:
    """How the copy ended; Stopped where it did not by itself."""
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                child = 0
                if os.WIFSIGNALED(status):
                    raise Stopped(f"its library stops with signal {os.WTERMSIG(status)}")
                return os.WEXITSTATUS(status)
            time.sleep(_STEP)
        raise Stopped(f"its library does not come to an end in {seconds:.0f} s")
    finally:
        if child:  # an interruption as well
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _shared() -> Any:
    """A file in memory, or on the disk where there is none."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("neurodeploy"), "w+b")
    return tempfile.TemporaryFile()


# --- in the copy -------------------------------------------------------------------------------------------------


def _work(
    file: Any, function: Callable[..., Any], arguments: tuple[Any, ...], seconds: float, memory: int
) -> NoReturn:
    """The copy's part: work and vanish, without any of the clean-up that belongs to the original."""
    outcome = _RAISED
    try:
        _limit(seconds, memory)
        outcome = _attempt(file, function, arguments)
    finally:
        os._exit(outcome)


def _attempt(file: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> int:
    try:
        _write(file, function(*arguments))
        return _DONE
    except MemoryError:
        return _MEMORY
    except NeurodeployError as error:
        _write(file, (type(error).__name__, [vars(problem) for problem in error.problems]))
        return _TYPED
    except BaseException as error:  # libraries in Rust raise what is no Exception
        _write(file, first_line(error))
        return _RAISED


def _limit(seconds: float, memory: int) -> None:
    for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.alarm(int(seconds) + 2)  # an original that was killed cannot stop its copy
    faulthandler.disable()  # a crash is an answer, not news
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(quiet, stream)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):  # Linux tells how much there is already
        held = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (held + memory, held + memory))


# --- what is handed back -----------------------------------------------------------------------------------------


def _write(file: Any, value: Any) -> None:
    """Arrays and bytes one after the other, then JSON that says where they lie, then its length."""

    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return {"bytes": plain(np.frombuffer(value, np.uint8))}
        if isinstance(value, np.ndarray):
            file.seek(-file.tell() % 16, 1)
            place = file.tell()
            file.write(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
            return {"array": [place, value.dtype.str, value.shape]}
        if isinstance(value, dict):
            return {"dict": [[key, plain(item)] for key, item in value.items()]}
        if isinstance(value, (list, tuple)):
            return {type(value).__name__: [plain(item) for item in value]}
        return {"": value}

    text = json.dumps(plain(value)).encode()
    file.write(text)
    file.write(_LENGTH.pack(len(text)))
    file.flush()


def _read(file: Any) -> Any:
    """What the copy wrote, its arrays where they are; None where it wrote nothing."""
    size = file.seek(0, 2)
    if not size:
        return None
    content = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
    (length,) = _LENGTH.unpack(content[-_LENGTH.size :])
    text = content[size - _LENGTH.size - length : size - _LENGTH.size]

    def value(item: dict[str, Any]) -> Any:
        ((kind, inner),) = item.items()
        return make[kind](inner)

    def array(held: list[Any]) -> Any:
        place, dtype, shape = held
        return np.frombuffer(content, dtype, prod(shape), place).reshape(shape)

    make: dict[str, Callable[[Any], Any]] = {
        "": lambda inner: inner,
        "array": array,
        "bytes": lambda inner: value(inner).tobytes(),
        "list": lambda inner: [value(part) for part in inner],
        "tuple": lambda inner: tuple(value(part) for part in inner),
        "dict": lambda inner: {key: value(part) for key, part in inner},
    }

    return value(json.loads(text))
