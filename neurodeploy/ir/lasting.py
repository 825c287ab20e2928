"""What of a network lasts from one tick to the next, as a value: where a stream is, to go on from it later.

The states of its populations are all that lasts, and a sum or mean that is read out. Anything else that remembers, or
counts ticks, is in the way: running sums of compensation and products, held operands, delayed connections, parameters
for each tick, populations that forget at chosen ticks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..array import Array
from ..errors import Problem
from .graph import Graph
from .micro_op import MICROCODE
from .neuron_model import NEURONS, state_names
from .nodes import Micro, Neuron, Node, Product, Synapse


@dataclass(frozen=True, eq=False)
class Standing:
    """Where streams are behind ``ticks`` ticks: states (B, *shape) by name, and what was read out, (B, *output).

    ``graph`` is the content hash of the integer graph that they belong to.
    """

    graph: str
    ticks: int = 0
    states: Mapping[str, Array] = field(default_factory=dict)
    total: Array | None = None


def hindrances(graph: Graph) -> list[Problem]:
    """Why a network cannot go on where it was, node by node (ND608); empty where it can."""
    cause, limit = "what a node remembers is no state of a population", "states of populations"
    fix = "give all ticks in one run: build with --timesteps"
    return [
        Problem("ND608", cause, node.place, found, limit, (fix,))
        for node in graph
        for found in _remembers(node)
    ]


def _remembers(node: Node) -> Iterator[str]:
    if isinstance(node, (Product, Micro)) and node.timing in ("held", "cumulative"):
        yield f"timing {node.timing}"
    if isinstance(node, Micro) and any(name in node.params for name in MICROCODE[node.op].by_tick):
        yield "parameters for each tick"
    if isinstance(node, Synapse) and node.delays != (0,):
        yield f"delays of up to {node.delays[-1]} ticks"
    if isinstance(node, Neuron) and node.reset is not None:
        yield f"a reset every {node.reset[0]} ticks"


def misfits(graph: Graph, standing: Standing) -> list[Problem]:
    """Why states are none of this network (ND609); empty where they are."""
    if standing.graph != graph.content_hash():
        cause, fix = "the state is of another network", "begin a new stream: another file"
        ours, limit = standing.graph[:12], graph.content_hash()[:12]
        return [Problem("ND609", cause, "state", ours, limit, (fix,))]
    wanted, counts = state_names(graph), {len(part) for part in standing.states.values() if part.ndim}
    if standing.states.keys() != wanted.keys() or len(counts) > 1:
        cause, held = "the state does not hold what this network remembers", f"{len(standing.states)} states"
        return [Problem("ND609", cause, "state", held, f"{len(wanted)} states of as many streams")]
    found = [
        problem
        for name, part in standing.states.items()
        for problem in _misfit(graph, wanted[name], name, part)
    ]
    total, batch = standing.total, counts.pop() if counts else None
    shape = graph.shape(graph.output.name)
    if total is not None and (total.dtype.kind != "i" or total.shape != (batch or len(total), *shape)):
        found.append(_wrong("output", f"{total.dtype} {total.shape}", f"integers {shape}"))
    return found


def _misfit(graph: Graph, place: tuple[str, int], name: str, part: Array) -> Iterator[Problem]:
    node, number = place
    shape = graph.shape(node)
    if part.dtype.kind != "i" or part.shape[1:] != shape or part.ndim != len(shape) + 1:
        yield _wrong(name, f"{part.dtype} {part.shape}", f"integers (streams, {', '.join(map(str, shape))})")
        return
    bits = NEURONS[graph.nodes[node].model].state[number].bits  # type: ignore[attr-defined]
    low, high = int(part.min(initial=0)), int(part.max(initial=0))
    if max(-low, high) > 1 << (bits - 1):
        yield _wrong(name, f"{low} .. {high}", f"{bits} bits")


def _wrong(name: str, found: str, limit: str) -> Problem:
    return Problem("ND609", "a part of the state is none of this network", name, found, limit)


def after(graph: Graph, before: Standing, states: Mapping[str, Array], outputs: Array) -> Standing:
    """Where streams are behind accumulated read-outs (T, B, *output) and the states of the last of these ticks."""
    total = None if graph.output.readout == "last" else np.asarray(outputs[-1])
    return Standing(before.graph, before.ticks + len(outputs), dict(states), total)
