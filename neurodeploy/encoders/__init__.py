"""Encoders of still inputs: neurons between the input and a spiking network, one file each (see ``_base.py``)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import ConvertError, Problem
from ..ir import codes
from ..ir.graph import Builder, Graph, free_name, raw_range
from ..ir.nodes import Neuron
from ..ir.types import Interval
from ._base import ENCODERS, Encoder

__all__ = ["ENCODERS", "NONE", "Encoder", "encoded"]

NONE = "none"


def encoded(graph: Graph, name: str, levels: int, ticks: int) -> Graph:
    """The network behind neurons that encode a still input of 0 .. ``levels``; its largest input is their full scale.

    A network that takes a frame for each tick takes their spikes instead. Raises UsageError ND309 for an unknown
    encoder, ConvertError ND310 where there is nothing to encode for.
    """
    if name in ("", NONE):
        return graph
    encoder = ENCODERS.named(name, "ND309", "encoder", "--encoder", [*ENCODERS, NONE])
    source = graph.input
    if (reason := _unfit(graph)) is not None:
        fix = ("leave out --encoder",)
        raise ConvertError(Problem("ND310", "an encoder does not apply", source.place, *reason, fixes=fix))
    known = raw_range(graph)
    worth = np.asarray(source.scale, dtype=np.float64).reshape(-1) * (known[1] if known else levels)
    full = float(worth[0]) if np.all(worth == worth[0]) else worth.reshape(-1, 1, 1)
    model, params = encoder.neuron(full, levels, ticks)
    builder = Builder(graph.header)
    for node in graph:
        if node is not source:
            builder.copy(graph, node)
            continue
        value = replace(graph.values[node.name], interval=Interval(0, levels, True))
        scale = full / levels if isinstance(full, float) else (full / levels).reshape(-1)
        raw = builder.copy(graph, node, value=value, scale=scale, per_tick=False)
        spikes = Neuron(
            name=free_name("encoder", graph.nodes),
            inputs=(raw,),
            origin=node.origin,
            model=model,
            params=params,
        )
        builder.table[node.name] = builder.add(spikes, replace(value, interval=None))
    return codes.infer(builder.build())


def _unfit(graph: Graph) -> tuple[str, str] | None:
    """Why this network has no use for an encoder, and what would; None where it has."""
    source = graph.input
    if graph.header.level == "integer":
        return "a file of integers, whose input is part of it", "a network that is quantised here"
    if "tokens" in graph.header.notes:
        return "token ids", "images or vectors"
    if not graph.of(Neuron):
        return "a network without neurons", "a spiking network"
    if np.any(source.zero):
        return "an input with an offset, so that black is not 0", "offset = 0"
    return None
