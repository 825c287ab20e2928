"""Neurons of source libraries, one file for each (see ``_base.py``)."""

from __future__ import annotations

from typing import Any

from ._base import LEAVES, Leaf


def leaf_of(module: Any) -> Leaf | None:
    """What a module is if it is a neuron; a subclass of a known class is refused, since it may fire differently."""
    known = {name: read for library in LEAVES.values() for name, read in library.classes.items()}
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
