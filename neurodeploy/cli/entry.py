"""The way in and every way out: one command, its errors as text, its exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from typing import Any, TextIO, cast

import typer

from .. import errors, interrupts
from ..errors import NeurodeployError, Problem, UsageError, nearest
from .app import app
from .screen import Closed, Format, Pipe, Silent, screen

try:  # typer carries its own copy of click since 0.26
    from typer._click import exceptions as click_errors
except ImportError:  # pragma: no cover
    from click import exceptions as click_errors  # type: ignore[no-redef]

EXIT_INTERRUPTED = 130
EXIT_CLOSED = 141  # what a shell reports of a tool whose reader has gone


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exits with 0 .. 6, or with 128 + a signal: Ctrl-C, SIGTERM, SIGHUP, or a reader who left."""
    _open_streams()
    with interrupts.terminable():
        code = call(sys.argv[1:] if arguments is None else list(arguments))
    for number in (signal.SIGINT, *interrupts.ENDING):
        signal.signal(number, signal.SIG_IGN)  # everything has been said
    sys.exit(code)


def _open_streams() -> None:
    """What was closed before we began leads nowhere: the next file must not become stdout."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, this one
            setattr(sys, name, open(os.devnull, "w" if number else "r"))  # noqa: SIM115 - as long as the process


def call(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every error has been shown, and every broken member that was met."""
    from ..registry import problems

    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, Pipe(stream)) for stream in before)
    screen.kept = None
    try:
        screen.configure(_early_format(arguments))
        try:
            code = _called(arguments)
        except KeyboardInterrupt as again:  # while the first one was answered
            code = _interrupted(again)
        with interrupts.uninterrupted():
            screen.complain(problems())
            code = _last(code)
    except KeyboardInterrupt:  # everything has been said
        code = interrupts.exit_code()
    except Closed:
        code = _gone(before)
    finally:
        sys.stdout, sys.stderr = before
    return code


def _last(code: int) -> int:
    """Print what was kept until the end, and see it written; returns the exit code."""
    try:
        screen.close(code)
        sys.stdout.flush()
    except OSError as error:  # a full disk behind a redirection
        screen.configure(Format.plain)
        return _io(error)
    return code


def _gone(streams: Iterable[TextIO]) -> int:
    """What is left in the buffers goes nowhere, so that the interpreter stays quiet about it when it ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in streams:
            os.dup2(nowhere, stream.fileno())
    return EXIT_CLOSED


def _called(arguments: Sequence[str]) -> int:
    try:
        with _stdout_apart() if screen.json else nullcontext():
            result = app(args=list(arguments), prog_name="neurodeploy", standalone_mode=False)
        code = result if isinstance(result, int) else errors.EXIT_OK
    except Closed:
        raise
    except typer.Exit as stop:
        code = stop.exit_code
    except BaseException as raised:
        error = interrupts.beneath(raised)
        return next(answer(error) for kind, answer in ANSWERS if isinstance(error, kind))
    return _interrupted(None) if code == EXIT_INTERRUPTED else code


@contextmanager
def _stdout_apart() -> Iterator[None]:
    """Whatever a command, a library or the user's own code prints goes to stderr: stdout is for the JSON object."""
    before, kept = sys.stdout, None
    sys.stdout = sys.stderr
    with suppress(OSError, ValueError):  # a stream of a test has no number
        if before.fileno() == 1:
            before.flush()
            kept = os.dup(1)
            os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout = before
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)


def _interrupted(_: object) -> int:
    text, code = "nothing was left half-written", interrupts.exit_code()
    if screen.json:
        problem = Problem("ND961", "interrupted", found=text)
        screen.data({"exit_code": code, "problems": [asdict(problem)]})
    screen.said(f"interrupted: {text}")
    return code


def _left(error: SystemExit) -> int:
    """Somebody's code ended the process, a library's or that of the user's own model."""
    if isinstance(
        error.__context__, OSError
    ):  # how the parser answers any broken pipe, that of a child process too
        return _io(error.__context__)
    cause, found = "code that the command ran asked to end the program", f"SystemExit: {error.code}"
    return _shown(UsageError(Problem("ND962", cause, found=found)))


def _io(error: OSError) -> int:
    from ..files import io_problem

    return _shown(io_problem(error))


def _early_format(arguments: Sequence[str]) -> Format:
    """The format, known before parsing, so that wrong flags are reported in it too."""
    found = Format.auto
    for before, text in zip(["", *arguments], [*arguments, ""], strict=True):
        given = text.removeprefix("--format=")
        if given in Format.__members__ and (given != text or before == "--format"):
            found = Format(given)
    return found


def _shown(error: NeurodeployError) -> int:
    screen.problems(error)
    return error.exit_code


def _usage(error: Any) -> UsageError:
    """What the parser complains about, with the nearest known names."""
    context = getattr(error, "ctx", None)
    given, known, kind = _named(error, context)
    fixes = tuple(f"use {kind} {name!r}" for name in nearest(given, known)[:1]) if given else ()
    place = context.command_path if context else "neurodeploy"
    return UsageError(Problem("ND900", _cause(error), place, given, "", fixes or (f"{place} --help",)))


def _cause(error: Any) -> str:
    """The parser's sentence without its own suggestions, which are among the fixes."""
    text = str(error.format_message())
    for tail in (" Did you mean", " (Possible options", " (Did you mean"):
        text = text.partition(tail)[0]
    return text.rstrip(".")


def _named(error: Any, context: Any) -> tuple[str, list[str], str]:
    """(mistyped name, known names, what it is) of a parser's complaint."""
    option = getattr(error, "option_name", None)
    if isinstance(error, click_errors.NoSuchOption) and context is not None:
        return str(option), [o for p in context.command.params for o in p.opts if o.startswith("--")], "flag"
    commands = getattr(getattr(context, "command", None), "commands", None)
    if commands and "No such command" in error.message:
        return error.message.split("'")[1], list(commands), "command"
    return "", [], ""


def _bug(error: BaseException) -> int:
    """An exception that nobody foresaw: short on the console, whole with -v."""
    log, text = "".join(getattr(error, "__notes__", ())[-1:]), f"{type(error).__name__}: {error}"
    if screen.json:
        problem = Problem("ND960", "a bug in neurodeploy", log, text, fixes=("-v shows the traceback",))
        screen.data({"exit_code": errors.EXIT_BUG, "problems": [asdict(problem)]})
    else:
        screen.said(f"internal error: {text}" + (f"\n  log: {log}" if log else ""))
        screen.said("  a bug in neurodeploy; -v shows the traceback")
    if screen.verbose:
        screen.said("".join(traceback.format_exception(error)))
    return errors.EXIT_BUG


#: what may end a command -> its exit code, once it has been shown; the first kind that fits
ANSWERS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Callable[[Any], int]], ...] = (
    ((KeyboardInterrupt, typer.Abort), _interrupted),
    (click_errors.NoArgsIsHelpError, lambda error: errors.EXIT_USAGE),  # the help has been printed
    (click_errors.ClickException, lambda error: _shown(_usage(error))),
    (Silent, lambda stop: stop.code),
    (NeurodeployError, _shown),
    (SystemExit, _left),
    (OSError, _io),
    (MemoryError, lambda error: _shown(UsageError(Problem("ND934", "the machine's memory is used up")))),
    (BaseException, _bug),  # a library may panic with what is no Exception
)
