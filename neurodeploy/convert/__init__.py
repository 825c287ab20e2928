"""Conversion methods: a source graph becomes a spiking one."""

from __future__ import annotations

from ..ir.graph import Graph
from ._base import METHODS, Method


def named(name: str) -> Method:
    """The method of that name; UsageError ND307 with the nearest known ones."""
    return METHODS.named(name, "ND307", "conversion method", "--method")


def natural(graph: Graph) -> Method:
    """The method that keeps a source network most nearly as it was trained."""
    return max(METHODS.values(), key=lambda method: method.suits(graph))
