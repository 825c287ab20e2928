"""Stage 4, quantize: the integer graph, unless the model holds integers already."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..calibrate import Ranges
from ..config import INTEGER
from ..errors import UsageError
from ..ir.graph import Graph
from ..ir.nodes import Node, Synapse
from ..passes.leave_out import leave_out
from ..quantize import moments
from ..quantize import quantize as to_integers
from .imported import Imported
from .result import Result


@dataclass(frozen=True, eq=False, kw_only=True)
class Integer(Result):
    """The integer graph."""

    graph: Graph


def quantize(found: Imported, spiking: Graph | None, ranges: Ranges) -> Integer:
    """The integer graph; rules per layer choose weight bits.

    Raises QuantizeError and GraphError where integers cannot hold the network, UsageError ND905 for a rule without a
    layer.
    """
    config = found.config
    if spiking is None:
        graph = leave_out(_with_activity(found.graph, ranges))
        fact = f"nothing to quantize: the model holds integers, {len(graph.of(Synapse))} layers"
        return Integer(graph=graph, fact=fact)
    graph = leave_out(_with_weight_bits(found, spiking, ranges))
    rules = ", rules per layer" if config.layers else ""
    rounded = ", rounded on calibration samples" if config.rounding == "calibrated" else ""
    fact = f"{len(graph.of(Synapse))} layers, {config.weight_bits}-bit weights{rules}{rounded}"
    return Integer(graph=graph, fact=fact)


def _with_activity(graph: Graph, ranges: Ranges) -> Graph:
    """A graph that came as integers, with its measured activity, by which the mapper prices messages.

    What was once converted keeps the name of the method, which decides how papers count it.
    """
    values = {n: replace(graph.values[n], activity=a) for n, a in ranges.activity.items()}
    return graph.with_values(values).with_header(method=graph.header.method or INTEGER)


def _with_weight_bits(found: Imported, spiking: Graph, ranges: Ranges) -> Graph:
    config = found.config
    unmatched = config.unmatched(name for node in spiking.of(Synapse) for name in _names(node))
    if unmatched:
        raise UsageError(unmatched)
    calibrated = config.rounding == "calibrated"
    seen = moments(spiking, found.stimulus.calibration(config.calib)) if calibrated else None
    return to_integers(spiking, ranges, lambda node: config.weight_bits_of(_names(node)), seen)


def _names(node: Node) -> list[str]:
    """Names under which a config may know a layer: the node's and those of the modules it came from."""
    return [node.name, *(o.path for o in node.origin if o.path)]
