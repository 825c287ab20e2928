"""A written NIR file run as its reader runs it, beside the integers that it stands for.

Floats leave out what integers round: a change of unit, states that are truncated toward zero, messages that saturate.
How much that matters is not known from the file, so both are run on the same inputs and every value is compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...array import Array
from ...backends import usable
from ...calibrate import batch_size, batches
from ...ir import interp
from ...ir.graph import Graph
from ...ir.nodes import Neuron
from ...program import Program
from .._base import Difference, Replay
from .._hdf5.read import read_tree
from .options import NirOptions
from .read import imported
from .write import Composed

HALF = 0.5  # of a unit: floats that round to another integer differ,
FINE = 0.01  # unless by no more than this part of the largest value, as voltages do, whose units are small


def replayed(program: Program, written: Composed, x: Array) -> Replay:
    """Differences of what every population and the read-out send at every tick, on raw inputs ``x`` (B, *input)."""
    graph, floats = program.graph, _floats(program.graph, written.content)
    pairs = dict(_pairs(graph, floats, written.ports))
    found = {name: np.zeros(2, np.int64) for name in pairs}
    first, farthest = "", 0.0
    for start, batch in _parts(graph, x):
        ours, _ = usable("cpu").run(program, batch, tuple(pairs))
        theirs = interp.run(floats, batch, tuple(pairs.values()))
        for name, other in pairs.items():
            wrong = _wrong(graph, name, ours.values[name], theirs.values[other])
            found[name] += np.count_nonzero(wrong), wrong.size
            first = first or _place(name, wrong, start)
        unit = _unit(graph, graph.output.name)
        apart = np.abs(theirs.outputs[-1].reshape(ours.outputs[-1].shape) / unit - ours.outputs[-1])
        farthest = max(farthest, float(apart.max(initial=0.0)))
    nodes = tuple(Difference(name, int(differ), int(values)) for name, (differ, values) in found.items())
    return Replay("NIR", len(x), graph.header.timesteps, nodes, farthest, first)


def _floats(graph: Graph, content: bytes) -> Graph:
    """The float network of a file, with the input of the integer one."""
    options = NirOptions(
        tool="none", integers="never", reset="value", reset_delay=False, start="zero", fires="above",
        synapse="euler", decay="euler", integrator_dt=1.0, readout=graph.output.readout, per_tick=graph.input.per_tick,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.nir"
        path.write_bytes(content)
        found = imported(read_tree(path, trial=False), options, graph.header.timesteps)
    entry = replace(found.input, scale=graph.input.scale, zero=graph.input.zero)
    return replace(found, nodes={**found.nodes, entry.name: entry})


def _pairs(graph: Graph, floats: Graph, ports: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    """Values of the integer network and of the float one that mean the same: populations, and what is read out."""
    for node in graph.of(Neuron):
        if len(ports[node.name]) == 1 and ports[node.name][0] in floats.nodes:
            yield node.name, ports[node.name][0]
    yield graph.output.inputs[0], floats.output.inputs[0]


def _parts(graph: Graph, x: Array) -> Iterator[tuple[int, Array]]:
    """Batches, each with the number of its first sample."""
    start = 0
    for batch in batches(x, batch_size(graph, graph.nodes)):
        yield start, batch
        start += len(batch)


def _unit(graph: Graph, name: str) -> Array:
    spec = graph.values[name].fixed
    return np.asarray(spec.scale if spec is not None else 1.0, dtype=np.float64)


def _wrong(graph: Graph, name: str, ours: Array, theirs: Array) -> Array:
    """Where the floats stand for another integer."""
    allowed = max(HALF, FINE * float(np.abs(ours).max(initial=0)))
    wrong: Array = np.abs(theirs.reshape(ours.shape) / _unit(graph, name) - ours) > allowed
    return wrong


def _place(name: str, wrong: Array, start: int) -> str:
    """The first difference in time, in words; empty where there is none."""
    if not wrong.any():
        return ""
    tick, sample, *index = (int(i) for i in np.argwhere(wrong)[0])
    return f"{name}, tick {tick + 1}, sample {start + sample}, index {tuple(index)}"
