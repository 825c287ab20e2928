"""Source libraries: which module classes are neurons, and which registered model each one is.

Every file here knows one library and binds ``CLASSES``, a table from qualified class name to a function (module) ->
Leaf. A library is never imported for this: a module of it can only be met when its user has imported it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Leaf:
    """A neuron module as a registered model with its float parameters, or the ``problem`` that prevents it."""

    model: str = ""
    params: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""
    fixes: tuple[str, ...] = ()


Reader = Callable[[Any], Leaf]


@cache
def readers() -> dict[str, Reader]:
    """All known neuron classes by qualified name."""
    table: dict[str, Reader] = {}
    for info in pkgutil.iter_modules(__path__):
        table.update(importlib.import_module(f"{__name__}.{info.name}").CLASSES)
    return dict(sorted(table.items()))


def leaf_of(module: Any) -> Leaf | None:
    """What a module is if it is a neuron; a subclass of a known class is refused, since it may fire differently."""
    known = readers()
    names = [f"{cls.__module__}.{cls.__qualname__}" for cls in type(module).__mro__]
    if names[0] in known:
        return known[names[0]](module)
    base = next((n for n in names[1:] if n in known), None)
    if base is None:
        return None
    return Leaf(
        problem=f"{names[0]} derives from {base} and may fire differently",
        fixes=(f"use {base.rpartition('.')[2]} itself", "write frontends/leaves/<library>.py for the class"),
    )
