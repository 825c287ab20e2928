"""Discovers the members of a room: every file and folder in it, then installed entry points of the same name.

A member binds ``MEMBER`` to an instance of the room's interface, the class in ``_base.py``, which is the one list of
what a member has to have: its abstract methods, and its annotated attributes without a default. A file of several
members has them in the list ``MEMBERS``. Names that begin with an underscore are helpers of a room.
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
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .errors import EnvironmentProblem, Problem, UsageError, first_line, unknown_name

if TYPE_CHECKING:
    from .backends._base import Backend
    from .convert._base import Method
    from .datasets._base import DataFormat
    from .formats._base import Format
    from .frontends.leaves._base import SourceLibrary
    from .frontends.libraries._base import Library
    from .frontends.ops._base import Operator
    from .mapping.layouts._base import Layout
    from .mapping.objectives._base import Objective
    from .mapping.placements._base import Placement
    from .microcode._base import MicroOp
    from .neurons._base import NeuronModel


class Member(ABC):
    """What the members of all rooms have: a name that no other in the room has.

    ``distributions`` are the installed packages whose version can change what the member computes.
    """

    name: str
    distributions: tuple[str, ...] = ()


M = TypeVar("M", bound=Member)


class Room(Mapping[str, M], Generic[M]):
    """The members of one room by name, sorted; searched when it is first asked.

    What keeps a file from being a member is an ND930 in ``problems`` and leaves the other members alone.
    """

    def __init__(self, path: str, interface: str) -> None:
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
        interface = getattr(importlib.import_module(f"{package.__name__}._base"), self.interface)
        table: dict[str, M] = {}
        origin: dict[str, str] = {}
        problems: list[tuple[set[str], Problem]] = []
        for label, source, load in _sources(package):
            members: list[Any] = [None]
            try:
                members = load()
                faults = [lacking(member, interface) for member in members]
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
        wanted = f"MEMBER = an instance of {self.interface}, see {self.path.replace('.', '/')}/_base.py"
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


NEURONS: Room[NeuronModel] = Room("neurons", "NeuronModel")
MICROCODE: Room[MicroOp] = Room("microcode", "MicroOp")
METHODS: Room[Method] = Room("convert", "Method")
BACKENDS: Room[Backend] = Room("backends", "Backend")
FORMATS: Room[Format] = Room("formats", "Format")
LIBRARIES: Room[Library] = Room("frontends.libraries", "Library")
OPERATORS: Room[Operator] = Room("frontends.ops", "Operator")
LEAVES: Room[SourceLibrary] = Room("frontends.leaves", "SourceLibrary")
DATASETS: Room[DataFormat] = Room("datasets", "DataFormat")
OBJECTIVES: Room[Objective] = Room("mapping.objectives", "Objective")
LAYOUTS: Room[Layout] = Room("mapping.layouts", "Layout")
PLACEMENTS: Room[Placement] = Room("mapping.placements", "Placement")

#: every room whose members are found by themselves
ROOMS: tuple[Room[Any], ...] = (
    NEURONS, MICROCODE, METHODS, BACKENDS, FORMATS, LIBRARIES, OPERATORS, LEAVES, DATASETS, OBJECTIVES, LAYOUTS,
    PLACEMENTS,
)  # fmt: skip


def problems(everywhere: bool = False) -> list[Problem]:
    """What is wrong with members of the rooms that were searched so far, or of all rooms."""
    return [problem for room in ROOMS if everywhere or room.searched for problem in room.problems]


#: what every number passes through
BASIS = ("numpy", "scipy", "h5py", "torch")


def distributions() -> tuple[str, ...]:
    """Names of the installed packages whose version can change a number: those of the package and of its members."""
    members = (member for room in ROOMS for member in room.values())
    return tuple(dict.fromkeys([*BASIS, *(name for member in members for name in member.distributions)]))


def version(distribution: str) -> str:
    """The version that is installed, empty where none is."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
