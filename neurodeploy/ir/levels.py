"""What is legal at each level (source, spiking, integer), as rule tables; verify() lists every breach."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import GraphError, Problem
from .graph import Graph
from .micro_op import MICROCODE
from .neuron_model import NEURONS
from .nodes import Const, Input, Micro, Neuron, Node, Product, Reduce, Sum, Synapse, View
from .types import Interval
from .widths import REGISTER_BITS

LEVELS = ("source", "spiking", "integer")

Rule = Callable[[Graph, Node], Iterator[Problem]]


def verify(graph: Graph, level: str) -> list[Problem]:
    """Every breach of the level's rules, in node order; an empty list means legal."""
    return [p for node in graph for rule in RULES[level] for p in rule(graph, node)]


def require(graph: Graph, level: str) -> Graph:
    """The graph itself if it is legal at ``level``; else GraphError with all problems."""
    problems = verify(graph, level)
    if problems:
        raise GraphError(problems)
    return graph


def _problem(code: str, cause: str, node: Node, found: Any = "", limit: Any = "", *fixes: str) -> Problem:
    return Problem(code, cause, node.place, str(found), str(limit), fixes)


def _known_members(graph: Graph, node: Node) -> Iterator[Problem]:
    for kind, attribute, room in ((Neuron, "model", NEURONS), (Micro, "op", MICROCODE)):
        if isinstance(node, kind) and (name := getattr(node, attribute)) not in room:
            cause = f"unknown member of {room.path}"
            yield from room.broken(name) or [_problem("ND210", cause, node, name, ", ".join(room))]


def _one_contract(graph: Graph, node: Node) -> Iterator[Problem]:
    contracts = {graph.values[i].contract for i in node.inputs if not isinstance(graph.nodes[i], Const)}
    if isinstance(node, (Sum, Product)) and len(contracts) > 1:
        cause, found = "operands with different temporal contracts meet", ", ".join(sorted(contracts))
        fix = "let neurons of the same kind send both operands"
        yield _problem("ND211", cause, node, found, "one contract", fix)


def _no_timing(graph: Graph, node: Node) -> Iterator[Problem]:
    if isinstance(node, (Product, Micro)) and node.timing is not None:
        yield _problem("ND212", "a source graph has no ticks, yet this node is timed", node, node.timing)


def _timed(graph: Graph, node: Node) -> Iterator[Problem]:
    if isinstance(node, (Product, Micro)) and node.timing is None:
        cause, limit = "the timing of this operator was never chosen", "instant, held or cumulative"
        yield _problem("ND213", cause, node, "none", limit, "convert with --method ecmt")


def _ticks(graph: Graph, node: Node) -> Iterator[Problem]:
    if not isinstance(node, Micro) or node.op not in MICROCODE:
        return
    known, ticks = MICROCODE[node.op].ticks(node.params), graph.header.timesteps
    if known and (known != {ticks} or node.timing == "cumulative"):
        cause = "parameters that differ from tick to tick do not fit the ticks"
        found = f"{' and '.join(map(str, sorted(known)))}, {node.timing}"
        yield _problem(
            "ND227", cause, node, found, f"{ticks}, instant", "run as many ticks as it was trained with"
        )


def _loop(graph: Graph, node: Node) -> Iterator[Problem]:
    if not isinstance(node, (Product, Micro)) or node.timing not in ("held", "cumulative"):
        return
    if node.name in graph.loops:
        cause = "an operator that sums over ticks lies inside a recurrent loop"
        yield _problem("ND226", cause, node, node.timing, "instant", "take the operator out of the loop")


def _hosted(graph: Graph, node: Node) -> Iterator[Problem]:
    if not isinstance(node, Synapse) or not node.hosted:
        return
    source = graph.upwards(node.inputs[0], lambda n: isinstance(n, View))[-1]
    if node.op != "dense" or node.delays != (0,) or not isinstance(source, Input):
        cause, limit = "the host computes more than a lookup", "a dense layer without delays behind the input"
        yield _problem("ND228", cause, node, f"{node.op} behind {source.name}", limit, "compute it on cores")


def _integer_arrays(graph: Graph, node: Node) -> Iterator[Problem]:
    for name, array in _numbers(node):
        if (dtype := np.asarray(array).dtype).kind not in "iub":
            cause = "a float remains at the integer level"
            yield _problem("ND220", cause, node, f"{name}: {dtype}", "integers only")


def _numbers(node: Node) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Synapse):
        yield "weight", node.weight
        yield "delay", node.delay
        if node.bias is not None:
            yield "bias", node.bias
    elif isinstance(node, Const):
        yield "value", node.value
    elif isinstance(node, Product) and node.rescale is not None:
        yield from zip(("multiplier", "shift"), node.rescale, strict=True)
    elif isinstance(node, (Neuron, Micro)):
        yield from ((k, v) for k, v in node.params.items() if not isinstance(v, str) and v is not None)


def _no_mean(graph: Graph, node: Node) -> Iterator[Problem]:
    if isinstance(node, Reduce) and node.op == "mean":
        yield _problem("ND221", "a mean divides", node, "mean", "sum, with the divisor in the scale")


def _representation(graph: Graph, node: Node) -> Iterator[Problem]:
    value = graph.values[node.name]
    if value.fixed is None or value.interval is None:
        yield _problem("ND222", "an edge has no integer representation or no interval", node)
    elif not _inside(value.interval, value.fixed.limits):
        found, limit = f"[{value.interval.lo}, {value.interval.hi}]", f"{value.fixed.bits} bits"
        yield _problem("ND223", "an interval exceeds the declared width", node, found, limit)


def _inside(interval: Interval, limits: tuple[int, int]) -> bool:
    return limits[0] <= interval.lo <= interval.hi <= limits[1]


def _neuron_range(graph: Graph, node: Node) -> Iterator[Problem]:
    if not isinstance(node, Neuron) or node.model not in NEURONS:
        return
    limit = NEURONS[node.model].input_limit
    for interval in (graph.values[name].interval for name in node.inputs):
        if limit is None or interval is None or interval.magnitude < limit:
            continue
        cause = f"the input of a {node.model} can leave the range in which its process is exact"
        fix = "use a coarser scale on the stream that feeds it"
        yield _problem("ND224", cause, node, interval.magnitude, f"below {limit}", fix)


def _accumulator(graph: Graph, node: Node) -> Iterator[Problem]:
    interval = graph.values[node.name].interval
    if not isinstance(node, Synapse) or interval is None:
        return
    if interval.magnitude >= 1 << (REGISTER_BITS - 1) and not _wraps(graph, node.name):
        cause, limit = "a synaptic sum does not fit its register", f"{REGISTER_BITS} bits"
        fixes = ("use fewer weight bits", "use fewer levels")
        yield _problem("ND225", cause, node, interval.magnitude, limit, *fixes)


def _wraps(graph: Graph, name: str) -> bool:
    """Whether only the low 32 bits of a sum matter to everything that reads it, so that a register may wrap."""
    for reader in (graph.nodes[n] for n in graph.consumers[name]):
        if isinstance(reader, Sum) and _wraps(graph, reader.name):
            continue
        model = NEURONS.get(reader.model) if isinstance(reader, Neuron) else None
        if model is None or not model.modular:
            return False
    return True


_SPIKING: tuple[Rule, ...] = (_known_members, _timed, _ticks, _one_contract, _loop)
RULES: Mapping[str, tuple[Rule, ...]] = {
    "source": (_known_members, _no_timing),
    "spiking": _SPIKING,
    "integer": (*_SPIKING, _hosted, _integer_arrays, _no_mean, _representation, _neuron_range, _accumulator),
}
