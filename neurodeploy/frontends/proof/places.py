"""Which node of a graph is the first that does not say what its module says."""

from __future__ import annotations

import numpy as np

from ...array import Array
from ...ir.graph import Graph
from ...ir.interp import run
from ...ir.nodes import Const, Input, Node
from .compare import TOLERANCE
from .reference import Reference
from .watch import Call, sorted_like, watched


def first(graph: Graph, reference: Reference, raw: Array, x: Array, ticks: int) -> tuple[Node, int] | None:
    """The node and the tick of one sample, ``raw`` (1, ...) as the module and ``x`` as the graph takes it.

    None where no node stands out. A node is held against everything that the module computes at its line or in its
    module; one that nothing equals is wrong if nothing that reads it is right either.
    """
    names = [node.name for node in graph if not isinstance(node, (Const, Input))]
    trace = run(graph, x, record=names)
    tolerance = TOLERANCE[reference.precision]
    reference.from_rest()
    copies = reference.batch or 1
    frames = reference.frames(reference.seen(np.repeat(raw, copies, axis=0)), ticks, graph.input.per_tick)
    for t, frame in enumerate(frames):
        call = watched(reference, frame, keep=True)
        ticks_of = slice(None) if reference.whole else slice(t, t + 1)
        values = {name: np.repeat(trace.values[name][ticks_of], copies, axis=1) for name in names}
        wrong = _wrong(graph, values, call, tolerance)
        if wrong is not None:
            return wrong, t + 1
    return None


def _wrong(graph: Graph, values: dict[str, Array], call: Call, tolerance: float) -> Node | None:
    """The first node that is wrong, and all that reads it."""
    bad: dict[str, bool] = {}
    for node in reversed(list(graph)):
        if node.name not in values:
            continue
        readers = [bad[name] for name in graph.consumers[node.name] if name in bad]
        bad[node.name] = all(readers) and not _known(node, values[node.name], call, tolerance)
    name = next((node.name for node in graph if bad.get(node.name)), None)
    return None if name is None or name == graph.output.name else graph.nodes[name]


def _known(node: Node, value: Array, call: Call, tolerance: float) -> bool:
    """Whether the module computes these numbers where the node comes from."""
    keys = [key for origin in node.origin for key in (origin.path, (origin.file, origin.line))]
    return any(sorted_like(call.values.get(key, []), np.asarray(value), tolerance) for key in keys)
