"""Ways to run a program, by name, and which of them verify a build."""

from __future__ import annotations

from ..errors import BackendError, NeurodeployError, Problem, UsageError
from ..program import Program
from ._base import BACKENDS, Backend, Description


def usable(name: str, granularity: str = "") -> Backend:
    """The backend of that name, with one process per layer or core where it has processes.

    Raises UsageError ND702 for an unknown one and ND743 for a granularity that it does not have, BackendError ND701
    if it cannot be used, EnvironmentProblem ND930 if its file is broken.
    """
    backend = BACKENDS.named(name, "ND702", "backend")
    reason = backend.available()
    if reason:
        raise BackendError(Problem("ND701", f"the backend {name} cannot be used here", name, reason))
    return granular(backend, granularity) if granularity else backend


def granular(backend: Backend, granularity: str) -> Backend:
    """The backend at this granularity; UsageError ND743 if it has none of that name."""
    if granularity not in backend.granularities:
        limit = f"one of {', '.join(backend.granularities)}" if backend.granularities else "none"
        cause = f"the backend {backend.name} has no such granularity"
        raise UsageError(Problem("ND743", cause, "--granularity", granularity, limit))
    return backend.at(granularity)


def proving(program: Program) -> tuple[Backend, ...]:
    """The backends on which a build is verified; those of memory images only if the program has some."""
    imaged = program.mapping is not None and bool(program.mapping.images)
    return tuple(usable(name) for name, b in BACKENDS.items() if b.proves and (imaged or not b.mapped))


def described(program: Program) -> dict[str, Description | Problem]:
    """What each backend of processes makes of a program, by name, or why it can make nothing of it."""
    found: dict[str, Description | Problem] = {}
    for name, backend in BACKENDS.items():
        try:
            description = backend.describe(program)
        except NeurodeployError as error:
            found[name] = error.problems[0]
        else:
            if description is not None:
                found[name] = description
    return found
