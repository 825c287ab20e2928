"""Tables of token ids that the host looks up: the graph that says so, and what it would cost the other way.

An embedding is a layer that a text's ids spike into; on cores a table of many words takes most of them. The host can
look the row of an id up instead and send what is in it, a graded message for each number that is not zero, at every
tick. The integers are the same (:mod:`..passes.balance` knows what lives off the chip); what differs is who computes.

The host's own time and energy have no price here. So nothing is left to it unless a user says so; but what the network
would cost then is weighed and told, as is the other way where the user has said so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import Problem, UsageError, unknown_name
from ..ir import intervals
from ..ir.graph import Builder, Graph, free_name
from ..ir.nodes import Delay, Synapse, View
from ..ir.types import Interval, Value
from ..passes.balance import crosses
from ..target import Target
from .given import Given, matching, of_layers
from .groups import HOST, populations
from .mapper import Planned, planned, prepared
from .outcome import ON_CORES, ON_HOST
from .segments import segmented
from .spread import Budget


def tables(graph: Graph) -> tuple[str, ...]:
    """Names of the layers that a host can compute: of a network of texts those that ids alone spike into."""
    text = graph.header.notes.get("tokens")
    if not isinstance(text, Mapping):
        return ()
    layers = (n for n in graph.of(Synapse) if n.op == "dense" and n.delays == (0,))
    rows = int(text["vocabulary"])
    return tuple(
        n.name for n in layers if n.weight.shape[1] == rows and _behind(graph, n) == graph.input.name
    )


def _behind(graph: Graph, node: Synapse) -> str:
    return graph.upwards(node.inputs[0], _shows)[-1].name


def _shows(node: Any) -> bool:
    return isinstance(node, View)


def hosted(graph: Graph, names: tuple[str, ...]) -> Graph:
    """The graph in which the host looks these tables up; what is sent, a line of one step receives if need be."""
    if not names:
        return graph
    builder = Builder(graph.header)
    for node in graph:
        if not isinstance(node, Synapse) or node.name not in names:
            builder.copy(graph, node)
            continue
        value = _one_row(node, graph.values[node.name])
        name = builder.copy(graph, node, hosted=True, value=value)
        if not all(map(crosses, graph.readers(node.name, _shows))):
            line = Delay(
                name=free_name(f"{name}_received", graph.nodes), inputs=(name,), origin=node.origin, steps=1
            )
            builder.table[node.name] = builder.add(line, value)
    return builder.build()


def on_cores(graph: Graph) -> Graph:
    """The graph without a host that looks anything up: every table is a layer like others."""
    nodes = {n.name: replace(n, hosted=False) if isinstance(n, Synapse) else n for n in graph}
    return replace(graph, nodes=nodes)


def _one_row(node: Synapse, value: Value) -> Value:
    """The value of a table of which one row at most is named for each token: no sum is wider than a row."""
    bias = np.zeros(len(node.weight), dtype=np.int64) if node.bias is None else np.asarray(node.bias)
    rows = np.concatenate([node.weight.astype(np.int64), np.zeros((len(node.weight), 1), np.int64)], axis=1)
    rows += bias[:, None]
    span = Interval(int(rows.min()), int(rows.max()), True)
    bounds = intervals.of_interval(span, value.shape.sizes)
    return intervals.describe(replace(value, activity=None), node, bounds)


def wanted(given: Given, graph: Graph, lookups: str) -> tuple[str, ...]:
    """The tables that the host looks up: as a mapping file says of each, else all or none (``lookups``).

    UsageError ND529 where the host is to compute something else, ND522 for names that are none, ND524 for cores of a
    table on the host.
    """
    known = tables(graph)
    problems = [*_misplaced(given, graph, known)]
    if lookups == HOST and not known:
        cause, fix = "no table of token ids that the host could look up", "leave out --lookups host"
        where = graph.header.name
        problems.append(Problem("ND529", cause, where, "none", "a network that takes texts", (fix,)))
    if problems:
        raise UsageError(problems)
    said = of_layers(given, known)
    return tuple(name for name in known if (said[name].layout or lookups) == HOST)


def _misplaced(given: Given, graph: Graph, known: tuple[str, ...]) -> Iterator[Problem]:
    """Rules that leave to the host what it cannot compute, and cores of what it can."""
    layers = {*graph.nodes, *(group.name for group in populations(graph))}
    for pattern, rule in given.rules.items():
        where = given.where(pattern, "layout")
        if rule.layout != HOST:
            continue
        if not matching(pattern, known) and matching(pattern, layers):
            limit = ", ".join(known) or "none of this network: it takes no texts"
            cause, fix = (
                "the host looks up tables of token ids, and computes nothing else",
                "leave it on cores",
            )
            yield Problem("ND529", cause, where, HOST, limit, (fix,))
        elif not matching(pattern, known):
            yield unknown_name("ND522", "layer", pattern, known or layers, where)
        elif rule.cores is not None:
            cause, fix = "cores are given for a table that the host looks up", "leave the cores out"
            found = f"{len(rule.cores)} cores"
            yield Problem("ND524", cause, given.where(pattern, "cores"), found, "none", (fix,))


def searched(
    graph: Graph,
    target: Target,
    optimise: str,
    given: Given,
    most: Budget,
    streams: int | None = None,
    lookups: str = "cores",
) -> Planned:
    """The plan of an integer graph (:func:`.segments.segmented`), with the tables on the host that are wanted there.

    Told beside it: what the best plan would cost the other way, all tables on the host or none.
    """
    names = wanted(given, graph, lookups)
    rest = replace(given, rules={name: rule for name, rule in given.rules.items() if rule.layout != HOST})
    found = segmented(hosted(graph, names), target, optimise, rest, most, streams)
    every = tables(graph)
    if not every or not target.priced or not target.features.graded_payload.allowed or not found.possible:
        return found
    copies = found.plan.graph.header.copies
    other = prepared(hosted(graph, () if names else every), target, *copies)
    apart = planned(other, target, optimise, Given(), most)
    if not (apart.fits and apart.possible):
        return found
    cost = apart.plan.cost._replace(cores=len(apart.hosted))
    instead = {**found.plan.instead, ON_CORES if names else ON_HOST: cost}
    return replace(found, plan=replace(found.plan, instead=instead))
