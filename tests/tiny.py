"""Graphs of a few nodes, written out by hand, for tests that state expected numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.ir import intervals
from neurodeploy.ir.graph import Graph, Header
from neurodeploy.ir.nodes import Input, Node, Output
from neurodeploy.ir.types import DENSE, Code, Fixed, Interval, Shape, Value

ROLES = {0: (), 1: ("C",), 2: ("N", "C"), 3: ("C", "Y", "X")}


def chain(
    size: tuple[int, ...],
    *nodes: tuple[Node, tuple[int, ...]],
    ticks: int = 1,
    level: str = "integer",
    reach: tuple[int, int] = (-100, 100),
    readout: str = "sum",
    bits: dict[str, int] | None = None,
    codes: dict[str, Code] | None = None,
) -> Graph:
    """Input "x" of shape ``size``, then nodes with their shapes, then Output "y" of the last; bounds are proven.

    ``bits`` and ``codes`` declare widths and codes of values by node name.
    """
    (last, shape) = nodes[-1] if nodes else (Input(name="x"), size)
    table: list[tuple[Node, tuple[int, ...]]] = [(Input(name="x"), size), *nodes]
    table.append((Output(name="y", inputs=(last.name,), readout=readout), shape))
    values: dict[str, Value] = {}
    for node, sizes in table:
        facts: dict[str, Any] = {"code": (codes or {}).get(node.name, DENSE)}
        if node.name == "x":
            facts["interval"] = Interval(*reach, True)
        if bits and node.name in bits:
            facts["fixed"] = Fixed(bits[node.name], True, 1.0)
        values[node.name] = Value(Shape(ROLES[len(sizes)], sizes), **facts)
    graph = Graph({n.name: n for n, _ in table}, values, Header(level=level, timesteps=ticks))
    return intervals.propagate(graph) if level == "integer" else graph


def batch(*rows: Any) -> np.ndarray:
    """Samples as an int64 array."""
    return np.array(rows, dtype=np.int64)
