"""Conversion methods: a source graph becomes a spiking one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import Problem, UsageError
from ..ir.graph import Graph
from ._auto import AUTO, Chosen, cheapest
from ._base import METHODS, Method

__all__ = ["AUTO", "Chosen", "cheapest", "named", "natural", "require"]


def named(name: str) -> Method:
    """The method of that name, which is not ``auto``; UsageError ND307 with the nearest known ones."""
    return METHODS.named(name, "ND307", "conversion method", "--method", [*METHODS, AUTO])


def natural(graph: Graph) -> Method:
    """The method that keeps a source network most nearly as it was trained."""
    return max(METHODS.values(), key=lambda method: method.suits(graph))


def require(name: str, options: Mapping[str, Any]) -> None:
    """UsageError ND307, ND302 or ND303 for a method or options that are not there; ``auto`` takes none."""
    if name != AUTO:
        named(name).configure(options)
    elif options:
        cause, found = "options belong to a method, and auto chooses one", ", ".join(options)
        raise UsageError(Problem("ND303", cause, "convert", found, fixes=("name a method with --method",)))
