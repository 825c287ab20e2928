"""Brings what many rows share to each of them by a synapse, so that it holds none of them together.

A mask of padding is one number for each key, added to the scores of every head and query; a value that a Sum or a View
broadcasts lives with all elements that read it, on one core. So it is sent to them instead: a dense Synapse of unit
weights, shared over what the value and its readers have in common, with an output for each of the others. Every core
then takes in what its own elements need, and they can be cut along all axes. One times a value is the value, at every
tick; the Synapse takes a step, for which masks, made long before scores, mostly wait anyway.

Left alone are values of the whole row of a softmax or norm, which lives on one core as it is, loops, where a further
step would come too late, and targets of one core.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from ...ir.graph import Graph, free_name
from ...ir.micro_op import MICROCODE
from ...ir.nodes import Micro, Node, Sum, Synapse, View, ViewOp
from ...ir.types import Shape, Value
from ...passes._edit import Fresh, edit
from ...passes.balance import CROSSING, constants
from ...target import Target
from ..groups import owners, populations
from ._base import Layout
from ._views import shown

Axes = tuple[int, ...]


class Broadcast(Layout):
    """A Synapse of unit weights in front of each Sum, or in the place of each View, that broadcasts a stream."""

    name = "broadcast"
    title = "what many rows share comes to each by a synapse, so that rows can be cut apart"

    def rewrite(self, graph: Graph, target: Target) -> Graph:
        """The same graph, with broadcast values sent to where they are needed."""
        if target.cores == 1:
            return graph
        owner, still = owners(populations(graph)), constants(graph)
        changed: dict[str, Fresh] = {}
        for node in graph:
            group = owner.get(node.name)
            if group is None or group.on_host or node.name in graph.loops or not _broadcasts(graph, node):
                continue
            row = any(isinstance(n, Micro) and MICROCODE[n.op].row for n in group.nodes)
            streams = [
                i for i in dict.fromkeys(node.inputs) if i not in still and _repeated(graph, node, i, row)
            ]
            sent = {i: _sent(graph, i, node, f"{node.name}_{k}") for k, i in enumerate(streams)}
            if sent and isinstance(node, View):
                *fresh, (last, value) = next(iter(sent.values()))
                changed[node.name] = [*fresh, (replace(last, name=node.name), value)]
            elif sent:
                inputs = tuple(sent[i][-1][0].name if i in sent else i for i in node.inputs)
                whole = replace(node, inputs=inputs), graph.values[node.name]
                changed[node.name] = [*(made for part in sent.values() for made in part), whole]
        return edit(graph, changed, {}) if changed else graph


def _broadcasts(graph: Graph, node: Node) -> bool:
    """Whether a node may repeat what it reads, in neurons: a View that is only sent serves readers anywhere."""
    if isinstance(node, View) and node.op == "broadcast":
        readers = graph.readers(node.name, lambda n: isinstance(n, View))
        return any(not isinstance(reader, CROSSING) for reader in readers)
    return isinstance(node, Sum)


def _repeated(graph: Graph, node: Node, source: str, rows: bool) -> Axes:
    """The axes of a node along which an input is repeated: none where that is within a row."""
    sizes, own = graph.shape(node.name), graph.shape(source)
    padded = (1,) * (len(sizes) - len(own)) + own
    axes = tuple(a for a, (size, seen) in enumerate(zip(sizes, padded, strict=True)) if seen < size)
    return () if rows and axes == (len(sizes) - 1,) else axes


def _sent(graph: Graph, source: str, node: Node, name: str) -> Fresh:
    """What makes a value as large as a node: an output for each repetition of its elements, put in their places."""
    shape = graph.values[node.name].shape
    spread = _repeated(graph, node, source, False)
    kept = tuple(a for a in range(len(shape.sizes)) if a not in spread)
    both = shape.permuted((*kept, *spread))
    one, each = (Shape((*both.roles[: len(kept)], "C"), (*both.sizes[: len(kept)], n))
                 for n in (1, prod(both.sizes[len(kept) :])))  # fmt: skip
    back = tuple(int(a) for a in np.argsort((*kept, *spread)))
    line, fan, grid, rows = (free_name(f"{name}_{k}", graph.nodes) for k in ("line", "each", "grid", "rows"))
    made = [_viewed(line, source, "reshape", one, graph.values[source], node)]
    weight = np.ones((each.sizes[-1], 1), dtype=np.int64)
    made.append(
        (Synapse(name=fan, inputs=(line,), weight=weight, origin=node.origin), _fanned(made[-1][1], each))
    )
    made.append(_viewed(grid, fan, "reshape", both, made[-1][1], node))
    made.append(_viewed(rows, grid, "permute", shape, made[-1][1], node, back))
    return made


def _viewed(
    name: str, source: str, op: ViewOp, shape: Shape, value: Value, like: Node, args: Axes | None = None
) -> tuple[Node, Value]:
    view = View(name=name, inputs=(source,), op=op, args=args or shape.sizes, origin=like.origin)
    return view, shown(view, value, shape)


def _fanned(value: Value, shape: Shape) -> Value:
    """A value of one channel in many."""
    spec = value.fixed
    if spec is not None and np.ndim(spec.scale):
        spec = replace(spec, scale=np.broadcast_to(spec.scale, shape.sizes))
    return replace(value, shape=shape, fixed=spec, activity=None)  # it is found from what is read


MEMBER = Broadcast()
