"""Discovers the members of a room: every file in the folder, then installed entry points of the same name.

A member file binds ``MEMBER`` to the room's interface. A file that lacks a piece fails here, and the error names
the file and the piece.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from .errors import EnvironmentProblem, Problem

#: room -> names every member must have
ROOMS: dict[str, tuple[str, ...]] = {
    "neurons": ("name", "state", "float_params", "int_params", "float_step", "int_step", "quantize", "code"),
    "microcode": ("name", "float_apply", "int_apply", "quantize", "operations"),
    "convert": ("name", "rewrite"),
    "backends": ("name", "available", "run"),
    "frontends.formats": ("name", "suffix", "title", "Options", "load"),
    "frontends.libraries": ("name", "package", "extra", "title", "Options", "build"),
    "exporters": ("name", "suffix", "title", "available", "write"),
}


@cache
def members(room: str) -> dict[str, Any]:
    """All members of a room by name, sorted; raises EnvironmentProblem for an incomplete one."""
    package = importlib.import_module(f"neurodeploy.{room}")
    sources = [
        f"{package.__name__}.{info.name}"
        for info in pkgutil.iter_modules(package.__path__)
        if not info.name.startswith("_")
    ]
    found = [(source, getattr(importlib.import_module(source), "MEMBER", None)) for source in sources]
    found += [(str(point), point.load()) for point in entry_points(group=f"neurodeploy.{room}")]
    table: dict[str, Any] = {}
    for source, member in found:
        if member is None:
            continue  # a helper module of the room
        missing = [piece for piece in ROOMS[room] if getattr(member, piece, None) is None]
        if missing:
            raise EnvironmentProblem(
                [
                    Problem(
                        "ND930",
                        f"a member of {room} is incomplete",
                        where=source,
                        found=f"lacks {', '.join(missing)}",
                        limit=", ".join(ROOMS[room]),
                    )
                ]
            )
        table[member.name] = member
    return dict(sorted(table.items()))


def neuron(name: str) -> Any:
    """The neuron model of that name."""
    return members("neurons")[name]


def microcode(name: str) -> Any:
    """The non-spiking operator of that name."""
    return members("microcode")[name]
