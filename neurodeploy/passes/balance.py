"""Makes all branches of a graph meet at the same hardware step.

Every Synapse, Product and Reduce takes one step on pipelined hardware, a Delay as many as it says, and what the host
computes none. Node n does tick t of a sample at step t + depth(n). Where values of different depth meet, a Delay brings
the earlier ones level. A Delay is the identity per tick, so the meaning of the graph does not change; it is mapped,
counted and priced.

A Synapse whose delays are all at least m ticks needs what was sent m ticks ago: it may run m steps earlier, and makes
up for any waiting by keeping its sums longer. In a network whose synapses all have a delay of one tick, as Lava's
own, every population runs at step t.

In a pipeline each sample does the same :func:`period` steps after the one before. Each population starts every sample
from its initial state, and lines of Delays carry no more than what is sent; what is late are delayed connections.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import count

import numpy as np

from ..ir.graph import Builder, Graph
from ..ir.nodes import Const, Delay, Input, Keeps, Node, Product, Reduce, Sum, Synapse, View
from . import _turns
from ._turns import Turns as Turns

#: kinds whose inputs travel between populations; what the host computes reads nothing that travels
CROSSING = (Synapse, Product, Reduce, Delay)


def constants(graph: Graph) -> frozenset[str]:
    """Names of the nodes that are the same at every tick: Const, and Views and Sums of nothing else."""
    found: set[str] = set()
    for node in graph:
        if isinstance(node, Const) or (isinstance(node, (View, Sum)) and found.issuperset(node.inputs)):
            found.add(node.name)
    return frozenset(found)


def host(graph: Graph) -> frozenset[str]:
    """Names of the nodes that live off the chip: Input, lookups of the host, Views (constants may be mixed in)."""
    still = constants(graph)
    found: set[str] = set()
    for node in graph:
        streams = [i for i in node.inputs if i not in still]
        hosted = isinstance(node, Input) or (isinstance(node, Synapse) and node.hosted)
        if hosted or (isinstance(node, View) and streams and found.issuperset(streams)):
            found.add(node.name)
    return frozenset(found)


def crosses(node: Node) -> bool:
    """Whether the inputs of a node travel between populations."""
    return isinstance(node, CROSSING) and not (isinstance(node, Synapse) and node.hosted)


def turns(graph: Graph) -> Turns:
    """Which tokens of a graph take turns (:mod:`._turns`); none where its header does not ask for it."""
    return _taken(graph) if graph.header.copies else Turns(graph.header.timesteps)


@lru_cache(maxsize=2)  # graphs are compared by identity
def _taken(graph: Graph) -> Turns:
    return _turns.turns(graph, constants(graph), host(graph))


def depths(graph: Graph) -> dict[str, int]:
    """Steps by which each node lags behind the input; constants have no depth and no entry.

    A population that reads the input without a synapse lags one step too: it needs a connection to the host.
    """
    first = _depths(graph, {})
    if not graph.feedback:
        return first
    # A recurrent connection has nothing before it to wait for: it runs with what it feeds.
    readers = graph.consumers
    late = {
        node.name: min((first[r] - _steps(graph.nodes[r]) for r in readers[node.name]), default=0)
        for node in graph.feedback
    }
    return _depths(graph, late)


def lag(graph: Graph) -> int:
    """Steps by which the last tick of an inference, in the last turn of any population, lags behind the input."""
    taken, ticks = turns(graph), graph.header.timesteps
    ends = [depth + taken.last(name) * ticks for name, depth in depths(graph).items()]
    return int(max(ends, default=0))


def _depths(graph: Graph, least: Mapping[str, int]) -> dict[str, int]:
    still, outside, taken = constants(graph), host(graph), turns(graph)
    found: dict[str, int] = {}
    for node in graph:
        if node.name not in still:
            inputs = [(i, taken.wait(node, n)) for n, i in enumerate(node.inputs) if i in found]
            ready = [_arrival(node, i, found, outside) + wait for i, wait in inputs]
            found[node.name] = max(max(ready, default=0) + _steps(node), least.get(node.name, 0), 0)
    return found


def line(graph: Graph, node: Synapse, level: Mapping[str, int]) -> int:
    """Steps that a connection of no delay keeps its sums, given the :func:`depths`; negative: as many too few.

    A connection of d ticks keeps them d steps more.
    """
    return level[node.name] - level.get(node.inputs[0], level[node.name]) - 1


def hurried(graph: Graph) -> list[tuple[str, str, int]]:
    """Recurrent connections (source, synapse, missing ticks of delay) that would arrive too late."""
    level = depths(graph)
    waits = ((n.inputs[0], n.name, -line(graph, n, level) - n.delays[0]) for n in graph.feedback)
    return [edge for edge in waits if edge[2] > 0]


def period(graph: Graph) -> int:
    """Fewest steps, T or more, after which the next sample may follow on the same cores.

    What a connection of d ticks brings after the last tick of a sample must not fall into the ticks of another.
    """
    ticks, late = graph.header.timesteps, _ticks_of_delay(graph)
    least: int = max(
        [ticks, *(_turns.waits(graph, turns(graph), depths(graph)) if graph.header.copies else ())]
    )
    # Behind the longest delay nothing is under way any more.
    return next(steps for steps in count(least) if not any(_mixes(ticks, delay, steps) for delay in late))


def _ticks_of_delay(graph: Graph) -> set[int]:
    """Delays in ticks of all connections that carry anything."""
    found: set[int] = set()
    for node in graph.delayed:
        found.update(np.broadcast_to(node.delay, node.weight.shape)[node.weight != 0].tolist())
    return found


def _mixes(ticks: int, delay: int, steps: int) -> bool:
    """Whether what is ``delay`` ticks late reaches a tick of a sample that is any multiple of ``steps`` behind."""
    # It does where such a multiple lies among delay - (ticks - 1) .. delay + (ticks - 1).
    return (delay + ticks - 1) // steps > max(delay - ticks, 0) // steps


def balance(graph: Graph, longest: int | None = None) -> Graph:
    """The same graph with Delays on every edge that would arrive early; depths stay as they were.

    One Delay serves all consumers of a value that need the same number of steps. Delays of more than ``longest``
    steps are made as a chain. What a layer fans out to more elements waits in front of it. A balanced graph is
    returned unchanged.
    """
    level, still, taken = depths(graph), constants(graph), turns(graph)
    early = {}
    if not graph.header.copies:
        outside = host(graph)
        early = {_narrowest(graph, i, n, outside): steps for i, n, steps in unbalanced(graph)}
    builder = Builder(graph.header)
    made: dict[tuple[str, int, Keeps, int], str] = {}
    for node in graph:
        inputs = []
        for operand, source in enumerate(node.inputs):
            wait = early.get((source, node.name), 0)
            if graph.header.copies and source not in still:
                wait = _wait(node, operand, level, taken)
            keeps: Keeps = ""
            if taken.mixed(node, operand) or taken.handed(node, operand):
                keeps = "tokens" if node.name in taken.token else "all"
            name, copies = builder.table.get(source, source), taken.of(node.name)
            inputs.append(_delayed(builder, graph, name, wait, made, longest, keeps, copies))
        builder.copy(graph, node, inputs=tuple(inputs))
    return builder.build() if made else graph


def _narrowest(graph: Graph, source: str, reader: str, outside: frozenset[str]) -> tuple[str, str]:
    """The edge (source, reader) where a wait holds up the fewest values: this one, or that into a layer before it."""
    last = graph.upwards(source, lambda n: isinstance(n, View) and n.op != "concat" and _lonely(graph, n))[-1]
    if not isinstance(last, Synapse) or last.delays != (0,) or not _lonely(graph, last):
        return source, reader
    before = last.inputs[0]
    fans_out = graph.values[before].shape.size < graph.values[last.name].shape.size
    return (before, last.name) if fans_out and before not in outside else (source, reader)


def _lonely(graph: Graph, node: Node) -> bool:
    return len(graph.consumers[node.name]) == 1


def unbalanced(graph: Graph) -> list[tuple[str, str, int]]:
    """Edges (source, consumer, missing steps) that arrive early."""
    level, still, taken = depths(graph), constants(graph), turns(graph)
    edges = ((node, n, i) for node in graph for n, i in enumerate(node.inputs) if i not in still)
    waits = ((i, node.name, _wait(node, n, level, taken)) for node, n, i in edges)
    return [edge for edge in waits if edge[2] > 0]


def _wait(node: Node, operand: int, level: Mapping[str, int], taken: Turns) -> int:
    """Steps by which an input is early; a Synapse, which reads only one, keeps what it needs itself."""
    source = node.inputs[operand]
    keeping = _turns.KEEPING if taken.mixed(node, operand) else Synapse
    if isinstance(node, Delay) or (isinstance(node, keeping) and not taken.handed(node, operand)):
        return 0
    return level[node.name] - _steps(node) - level[source]


def _steps(node: Node) -> int:
    if isinstance(node, Delay):
        return node.steps
    if isinstance(node, Synapse) and not node.hosted:
        return 1 - node.delays[0]
    return int(crosses(node))


def _arrival(node: Node, source: str, found: dict[str, int], outside: frozenset[str]) -> int:
    direct = source in outside and node.name not in outside and not isinstance(node, CROSSING)
    return found[source] + int(direct)


def _delayed(
    builder: Builder,
    graph: Graph,
    source: str,
    steps: int,
    made: dict[tuple[str, int, Keeps, int], str],
    longest: int | None,
    keeps: Keeps,
    copies: int,
) -> str:
    """The name of ``source`` delayed by ``steps``, made once for readers of so many ``copies``.

    Kept for so long, or by a chain of lines.
    """
    kept: Keeps = "own" if graph.header.copies and longest and steps > longest and not keeps else keeps
    while steps > 0:
        part = steps if kept else min(steps, longest or steps)
        if kept in ("own", "tokens") and steps > 1:
            part -= (
                1  # it may be more than a row operator's core has room for: a line of one step hands it over
            )
        key = source, part, kept, copies
        if key not in made:
            name, origin = _free(f"{source}_delay{part}", graph), builder.nodes[source].origin
            delay = Delay(name=name, inputs=(source,), origin=origin, steps=part, keeps=kept)
            made[key] = builder.add(delay, builder.values[source])
        source, steps, kept = made[key], steps - part, ""
    return source


def _free(name: str, graph: Graph) -> str:
    """``name``, or a variant that no node of the graph has: original nodes keep their names."""
    while name in graph.nodes:
        name += "_"
    return name
