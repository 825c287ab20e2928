"""What goes wrong, as data: a Problem says where, what was found, the limit, and how to fix it.

Every stage collects its problems and raises them all at once in its own exception class. The long text
behind a code (``neurodeploy explain CODE``) lives in :mod:`neurodeploy.codes`.
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import BaseModel

Options = TypeVar("Options", bound="BaseModel")
EXIT_OK, EXIT_BUG, EXIT_USAGE, EXIT_UNSUPPORTED, EXIT_VERIFY, EXIT_BACKEND = 0, 1, 2, 3, 4, 6


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, or (``severity="warning"``) worth knowing.

    ``code`` is a key of :data:`neurodeploy.codes.CODES`; ``where`` names node, module path, file and line, or
    target key; ``found`` and ``limit`` are the two numbers (or names) that disagree; ``fixes`` are up to three
    ranked commands or edits.
    """

    code: str
    cause: str
    where: str = ""
    found: str = ""
    limit: str = ""
    fixes: tuple[str, ...] = ()
    severity: str = "error"

    def __str__(self) -> str:
        lines = [f"{self.code} {self.cause}".replace("\n", "\n    ")]
        for label, text in (("where", self.where), ("found", self.found), ("limit", self.limit)):
            if text:
                lines.append(f"  {label}: {text}".replace("\n", "\n    "))
        lines += [f"  fix: {text}" for text in self.fixes]
        return "\n".join(lines)


PLACES = 3  # of the same problem that are named for people; JSON has all


def grouped(problems: Iterable[Problem]) -> list[Problem]:
    """One problem for all of the same cause, with the first few places; errors first."""
    groups: dict[Hashable, list[Problem]] = {}
    for problem in sorted(problems, key=lambda p: p.severity != "error"):
        groups.setdefault((problem.code, problem.cause, problem.limit, problem.fixes), []).append(problem)
    joined = []
    for same in groups.values():
        places = [p.where for p in same[:PLACES]] + [f"and {len(same) - PLACES} more"] * (len(same) > PLACES)
        found = ", ".join(list(dict.fromkeys(p.found for p in same))[:PLACES])
        joined.append(replace(same[0], where=";  ".join(p for p in places if p), found=found))
    return joined


class NeurodeployError(Exception):
    """Base of all typed errors: carries every problem of one stage, errors first, by code."""

    exit_code = EXIT_UNSUPPORTED

    def __init__(self, problems: Sequence[Problem] | Problem) -> None:
        found = (problems,) if isinstance(problems, Problem) else tuple(problems)
        self.problems = tuple(sorted(found, key=lambda p: (p.severity != "error", p.code)))
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(p) for p in self.problems)

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows instead of a traceback, as the command line does: ``where`` names the place."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(NeurodeployError):
    """A wrong name, key, flag or file on the command line or in a config (exit 2)."""

    exit_code = EXIT_USAGE


class ImportModelError(NeurodeployError):
    """A model that cannot become a source graph (ND1xx, exit 3)."""


class GraphError(NeurodeployError):
    """A graph that breaks a rule of its level (ND2xx, exit 3)."""


class ConvertError(NeurodeployError):
    """A conversion method that does not apply (ND3xx, exit 3)."""


class QuantizeError(NeurodeployError):
    """Integers that cannot hold the network (ND4xx, exit 3)."""


class MappingError(NeurodeployError):
    """A network that does not fit its target (ND5xx, exit 3)."""


class SimulateError(NeurodeployError):
    """A run that cannot be carried out, such as an input of the wrong shape (ND6xx, exit 3)."""


class VerifyError(NeurodeployError):
    """Two executions that should agree and do not (ND65x, exit 4)."""

    exit_code = EXIT_VERIFY


class BackendError(NeurodeployError):
    """A backend that is not installed here (ND7xx, exit 6)."""

    exit_code = EXIT_BACKEND


class ReportError(NeurodeployError):
    """A build folder whose data cannot be reported on (ND8xx, exit 3)."""


class EnvironmentProblem(NeurodeployError):
    """A full disk, a folder that cannot be written, a missing library (ND9xx, exit 2)."""

    exit_code = EXIT_USAGE


def first_line(error: BaseException) -> str:
    """Class and first line of the text of an error that is not ours."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200] if lines else ''}"


MOST_NAMES = 20  # known names that a message lists before it keeps to the nearest


def nearest(name: str, known: Iterable[str], alike: float = 0.4) -> tuple[str, ...]:
    """The known names that look most like a mistyped one, best first (at most three); ``alike``: how much, 0 .. 1."""
    return tuple(difflib.get_close_matches(name, list(known), n=3, cutoff=alike))


def unknown_name(code: str, kind: str, name: str, known: Iterable[str], where: str = "") -> Problem:
    """The problem for a name that is not in a closed list, with the nearest known ones as fixes."""
    names = sorted(known)
    close = nearest(name, names)
    shown = names if len(names) <= MOST_NAMES else [*close, f"{len(names) - len(close)} more"]
    limit = f"one of {', '.join(shown)}" if names else "none are known"
    return Problem(
        code, f"unknown {kind} {name!r}", where, name, limit, tuple(f"use {kind} {c!r}" for c in close)
    )


def configured(model: type[Options], given: Mapping[str, Any], code: str, owner: str, table: str) -> Options:
    """An instance of a closed model; UsageError ``code`` for unknown keys, with the nearest, and for wrong values."""
    from pydantic import ValidationError

    try:
        return model(**given)
    except ValidationError as error:
        problems = []
        for detail in error.errors():
            key = ".".join(str(part) for part in detail["loc"])
            where = f"{table}.{key}" if key else table
            if detail["type"] == "extra_forbidden":
                problems.append(unknown_name(code, f"key of {owner}", key, model.model_fields, where))
            else:
                cause = f"a key of {owner} is wrong: {detail['msg']}"
                problems.append(Problem(code, cause, where, found=repr(detail["input"])[:120]))
        raise UsageError(problems) from error
