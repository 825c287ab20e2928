"""What of a graph is computed together: a loop, or a node alone, by their own steps; more where it is compiled.

Segments hand each other arrays and, where a synapse reads them, lists of the spikes of each row.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.nodes import Const, Input, Node, View
from . import arithmetic, loops
from .run import Run, Step
from .values import Values


class Segment(ABC):
    """Nodes that are computed together."""

    nodes: tuple[Node, ...]
    #: names of its nodes whose values it does not leave behind
    hidden: frozenset[str] = frozenset()
    #: values that it reads as lists
    reads_lists: tuple[str, ...] = ()

    @cached_property
    def reads_arrays(self) -> frozenset[str]:
        """Values from outside that it reads as arrays; one of these may be read as lists as well."""
        own = {node.name for node in self.nodes}
        return frozenset(i for n in self.nodes if n.inputs != self.reads_lists for i in n.inputs) - own

    #: whether its multiplications can be shared out by rows
    by_rows = False
    #: how it is computed, and why so, for people
    choice: tuple[str, str]

    @abstractmethod
    def run(self, values: Values) -> None:
        """Compute its values from those of others."""


class Alone(Segment):
    """One node, by its own step over all ticks."""

    def __init__(self, node: Node, step: Callable[[], Step]) -> None:
        self.nodes = (node,)
        self.choice = "own step", ""
        self._plan = step

    @cached_property
    def step(self) -> Step:
        """Planned when it is first needed: it may hold weights of its own."""
        return self._plan()

    def run(self, values: Values) -> None:
        """Its step; what only shows its input in another way is no action, and waits for none."""
        (node,) = self.nodes
        args = [values.arrays[i] for i in node.inputs]
        if isinstance(node, View):
            found = self.step(args, values.run)
            if any(np.may_share_memory(found, x) for x in args):
                values.arrays[node.name] = found
                return
        values.settle()
        found = self.step(args or [values.x], values.run)
        moved = any(np.may_share_memory(found, x) for x in args) or isinstance(node, Const)
        if values.tape is not None and not moved:
            found = found if found.flags.writeable else found.copy()
            values.tape.append(lambda x, run: np.copyto(found, self.step(args or [x], run)))
        values.arrays[node.name] = found


class Entry(Segment):
    """The input, less its zero."""

    def __init__(self, node: Input, graph: Graph) -> None:
        self.node, self.nodes = node, (node,)
        self.choice = "copy", ""
        self._kind = arithmetic.integer_for(graph, node.name)

    def run(self, values: Values) -> None:
        """Of every piece of raw inputs."""
        found = np.empty(self._frames(values.x).shape, self._kind)

        def action(x: Array, run: Run) -> None:
            np.subtract(self._frames(x), self.node.zero, found, dtype=np.int64, casting="unsafe")

        values.do(action)
        values.arrays[self.node.name] = found

    def _frames(self, x: Array) -> Array:
        return x.swapaxes(0, 1) if self.node.per_tick else x[None]


class Loop(Segment):
    """Nodes that depend on themselves, tick by tick."""

    def __init__(self, unit: loops.Unit, graph: Graph, plans: Any) -> None:
        self.nodes = unit.nodes
        self.choice = "own steps", "a loop, tick by tick"
        self._all_ticks = loops.loop(unit, graph, plans)

    def run(self, values: Values) -> None:
        """All ticks of all nodes."""
        values.settle()
        read = dict(values.arrays)
        self._all_ticks(values.arrays, values.run, len(values.x))
        made = {node.name: values.arrays[node.name] for node in self.nodes}

        def again(x: Array, run: Run) -> None:
            found = dict(read)
            self._all_ticks(found, run, len(x))
            for name, array in made.items():
                np.copyto(array, found[name])

        if values.tape is not None:
            values.tape.append(again)


def alone(node: Node, graph: Graph, plans: Any) -> Alone:
    """A node by its own step."""
    return Alone(node, lambda: plans[type(node)](node, graph))
