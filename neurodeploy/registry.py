"""Discovers the members of a room: every file and folder in it, then installed entry points of the same name.

A member binds ``MEMBER`` to an instance of the room's interface. That class, beside which the room is declared, is the
one list of what a member has to have: its abstract methods, and its annotated attributes without a default. A file of
several members has them in the list ``MEMBERS``. Names that begin with an underscore are helpers of a room.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from abc import ABC
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial
from importlib import metadata
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from .errors import EnvironmentProblem, Problem, UsageError, first_line, unknown_name


class Member(ABC):
    """What the members of all rooms have: a name that no other in the room has.

    ``distributions`` are the installed packages whose version can change what the member computes.
    """

    name: str
    distributions: tuple[str, ...] = ()


M = TypeVar("M", bound=Member)
_SEARCHED: list[Room[Any]] = []


class Room(Mapping[str, M], Generic[M]):
    """The members of one room by name, sorted; searched when it is first asked.

    What keeps a file from being a member is an ND930 in ``problems`` and leaves the other members alone.
    """

    def __init__(self, path: str, interface: type[M]) -> None:
        self.path, self.interface = path, interface

    def __getitem__(self, name: str) -> M:
        return self.members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    @property
    def members(self) -> dict[str, M]:
        """The whole members by name."""
        return self._found[0]

    @property
    def problems(self) -> list[Problem]:
        """A warning for each file or entry point that is no whole member, or has the name of another."""
        return [problem for _, problem in self._found[1]]

    @property
    def searched(self) -> bool:
        """Whether anybody has asked so far."""
        return "_found" in vars(self)

    def broken(self, name: str) -> list[Problem]:
        """The problems of files that would hold the member of that name; empty where there are none."""
        same = [problem for names, problem in self._found[1] if _plain(name) in names]
        return [replace(problem, severity="error") for problem in same]

    def named(
        self, name: str, code: str, kind: str, where: str = "", known: Collection[str] | None = None
    ) -> M:
        """The member of that name; EnvironmentProblem ND930 for a broken one, UsageError ``code`` where there is none.

        ``kind`` and ``where`` are for people: what was asked for, and by which flag. ``known``: those that will do.
        """
        known = self.members if known is None else known
        if name in known:
            return self.members[name]
        broken = self.broken(name)
        if broken:
            raise EnvironmentProblem(broken)
        raise UsageError(unknown_name(code, kind, name, known, where))

    @cached_property
    def _found(self) -> tuple[dict[str, M], list[tuple[set[str], Problem]]]:
        """Whole members by name; what is wrong with others, with the names under which one may ask for them."""
        package = importlib.import_module(f"{__package__}.{self.path}")
        _SEARCHED.append(self)
        table: dict[str, M] = {}
        origin: dict[str, str] = {}
        problems: list[tuple[set[str], Problem]] = []
        for label, source, load in _sources(package):
            members: list[Any] = [None]
            try:
                members = load()
                faults = [lacking(member, self.interface) for member in members]
            except Exception as error:  # a member's own code may raise anything
                members, faults = [None], [("cannot be imported", first_line(error))]
            for member, (cause, found) in zip(members, faults, strict=True):
                if not cause and member.name in table:
                    cause, found = f"has the name of {origin[member.name]}", member.name
                if cause:
                    names = {_plain(label), _plain(str(getattr(member, "name", "")))}
                    problems.append((names, self._problem(cause, source, found)))
                else:
                    table[member.name], origin[member.name] = member, source
        return dict(sorted(table.items())), problems

    def _problem(self, cause: str, source: str, found: str) -> Problem:
        wanted = f"MEMBER = an instance of {self.interface.__name__}, see {self.interface.__module__}"
        return Problem("ND930", f"a member of {self.path} {cause}", source, found, wanted, severity="warning")


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _sources(package: ModuleType) -> Iterator[tuple[str, str, Callable[[], list[Any]]]]:
    """(name, file or entry point, how to load its members) of everything that claims to hold any."""
    for info in pkgutil.iter_modules(package.__path__):
        if not info.name.startswith("_"):
            name = f"{package.__name__}.{info.name}"
            folder = Path(str(getattr(info.module_finder, "path", "")))
            file = folder / info.name / "__init__.py" if info.ispkg else folder / f"{info.name}.py"
            yield info.name, str(file), partial(_bound, name)
    for point in entry_points(group=package.__name__):
        owner = f" of {point.dist.name}" if point.dist is not None else ""
        yield point.name, f"entry point {point.name} = {point.value}{owner}", partial(_installed, point)


def _bound(module: str) -> list[Any]:
    """The members of a file: ``MEMBERS`` where it holds several, else ``MEMBER``."""
    names = vars(importlib.import_module(module))
    return list(names.get("MEMBERS", [names.get("MEMBER")]))


def _installed(point: EntryPoint) -> list[Any]:
    """What an entry point of another package names: a member, or a list of them."""
    found = point.load()
    return found if isinstance(found, list) else [found]


def lacking(member: Any, interface: type[Member]) -> tuple[str, str]:
    """What keeps an object from being a member, and the pieces or the type that are wrong; ("", "") for a whole one."""
    if member is None:
        return "binds no MEMBER", ""
    if not isinstance(member, interface):
        return f"is no {interface.__name__}", f"MEMBER is a {type(member).__name__}"
    pieces = {name for base in interface.__mro__ for name in inspect.get_annotations(base)}
    missing = sorted(pieces - set(dir(member)))
    if missing:
        return "is incomplete", f"it lacks {', '.join(missing)}"
    return ("", "") if isinstance(member.name, str) and member.name else ("has no name", repr(member.name))


def problems() -> list[Problem]:
    """What is wrong with members of the rooms that were searched so far."""
    return [problem for room in _SEARCHED for problem in room.problems]


def version(distribution: str) -> str:
    """The version that is installed, empty where none is."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
