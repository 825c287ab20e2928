"""Discovers the members of a room: every file and folder in it, then installed entry points of the same name.

A member binds ``MEMBER`` to an instance of the room's interface, the class in ``_base.py``, which is the one list of
what a member has to have. Names that begin with an underscore are helpers of a room.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .errors import EnvironmentProblem, Problem, first_line

if TYPE_CHECKING:
    from .backends._base import Backend
    from .convert._base import Method
    from .formats._base import Format
    from .frontends.libraries._base import Library
    from .microcode._base import MicroOp
    from .neurons._base import NeuronModel

Member = TypeVar("Member")


class Room(Mapping[str, Member], Generic[Member]):
    """The members of one room by name, sorted; searched when it is first asked.

    What keeps a file from being a member stands in ``problems`` (ND930) and leaves the other members alone.
    """

    def __init__(self, path: str, interface: str) -> None:
        self.path, self.interface = path, interface

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    @property
    def members(self) -> dict[str, Member]:
        """The whole members by name."""
        return self._found[0]

    @property
    def problems(self) -> list[Problem]:
        """ND930 for each file or entry point that is no whole member, or has the name of another."""
        return self._found[1]

    @cached_property
    def _found(self) -> tuple[dict[str, Member], list[Problem]]:
        package = importlib.import_module(f"{__package__}.{self.path}")
        interface = getattr(importlib.import_module(f"{package.__name__}._base"), self.interface)
        table: dict[str, Member] = {}
        origin: dict[str, str] = {}
        problems: list[Problem] = []
        for source, load in self._sources(package):
            try:
                member = load()
            except Exception as error:  # a member's own code may raise anything
                problems.append(self._problem("cannot be imported", source, first_line(error)))
                continue
            missing = lacking(member, interface)
            if missing:
                problems.append(self._problem("is incomplete", source, missing))
            elif member.name in table:
                problems.append(self._problem(f"has the name of {origin[member.name]}", source, member.name))
            else:
                table[member.name], origin[member.name] = member, source
        return dict(sorted(table.items())), problems

    def _sources(self, package: Any) -> Iterator[tuple[str, Any]]:
        """(file or entry point, how to load the member) of everything that claims to be one."""
        for info in pkgutil.iter_modules(package.__path__):
            if not info.name.startswith("_"):
                name = f"{package.__name__}.{info.name}"
                yield name, lambda name=name: getattr(importlib.import_module(name), "MEMBER", None)
        for point in entry_points(group=f"{__package__}.{self.path}"):
            yield f"{point.name} = {point.value}", point.load

    def _problem(self, cause: str, source: str, found: str) -> Problem:
        return Problem(
            "ND930", f"a member of {self.path} {cause}", source, found, f"MEMBER, a {self.interface}"
        )


def lacking(member: Any, interface: type) -> str:
    """What an object lacks to be a member: empty, or a sentence for people."""
    if member is None:
        return "no MEMBER"
    if not isinstance(member, interface):
        return f"MEMBER is a {type(member).__name__}"
    names = [name for name in inspect.get_annotations(interface) if not hasattr(member, name)]
    return f"lacks {', '.join(names)}" if names else ""


NEURONS: Room[NeuronModel] = Room("neurons", "NeuronModel")
MICROCODE: Room[MicroOp] = Room("microcode", "MicroOp")
METHODS: Room[Method] = Room("convert", "Method")
BACKENDS: Room[Backend] = Room("backends", "Backend")
FORMATS: Room[Format] = Room("formats", "Format")
LIBRARIES: Room[Library] = Room("frontends.libraries", "Library")

#: every room whose members are found by themselves
ROOMS: tuple[Room[Any], ...] = (NEURONS, MICROCODE, METHODS, BACKENDS, FORMATS, LIBRARIES)


def problems() -> list[Problem]:
    """What is wrong with members of the rooms that were searched so far."""
    return [problem for room in ROOMS if "_found" in vars(room) for problem in room.problems]


def require_whole() -> None:
    """EnvironmentProblem ND930 with every member, of any room, that is broken."""
    broken = [problem for room in ROOMS for problem in room.problems]
    if broken:
        raise EnvironmentProblem(broken)
