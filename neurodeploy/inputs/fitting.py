"""Whether data fit a network, and what a network is told of them."""

from __future__ import annotations

from dataclasses import replace

from ..datasets import DataSet, Facts, Split
from ..errors import Problem, UsageError
from ..ir.graph import Graph, raw_range
from ..ir.nodes import Neuron
from ..ir.types import Interval


def with_range(graph: Graph, levels: int) -> Graph:
    """The graph told that raw inputs are 0 .. ``levels``: widths and thresholds depend on it."""
    name = graph.input.name
    return graph.with_values({name: replace(graph.values[name], interval=Interval(0, levels, True))})


def ranged(graph: Graph, levels: int, kind: str) -> Graph:
    """As :func:`with_range`, but what integers, or a file of another tool, declare stays: they were made for it."""
    made = kind == "format" or graph.header.level == "integer"
    return graph if made and graph.values[graph.input.name].interval else with_range(graph, levels)


def require_fit(graph: Graph, data: DataSet) -> None:
    """Refuse a data set whose images or classes do not fit the network (ND933)."""
    problems = misfits(graph, data)
    classes = graph.values[graph.output.name].shape.size
    if data.class_count > classes:
        cause = "the data set has more classes than the network has outputs"
        from_one = data.class_count == classes + 1 and min(map(_least, (data.train, data.test))) == 1
        fixes = ("count labels from 0: y - 1",) * from_one + ("give other data with --data",)
        problems.append(Problem("ND933", cause, data.source, str(data.class_count), str(classes), fixes))
    if problems:
        raise UsageError(problems)


def _least(split: Split) -> int:
    return int(split.labels.min())


def misfits(graph: Graph, data: DataSet | Facts) -> list[Problem]:
    """ND933 if images have another shape, number of ticks or range than the network's input."""
    node = graph.input
    fixes: tuple[str, ...] = ("give other data with --data",)
    wanted, ticks = graph.shape(node.name), graph.header.timesteps
    problems = []
    if tuple(data.shape) != wanted:
        cause = "images of the data set do not fit the network's input"
        problems.append(Problem("ND933", cause, data.source, str(tuple(data.shape)), str(wanted), fixes))
    if data.ticks and not node.per_tick:
        cause = "the data hold a frame for each tick, and the network takes one image for all of them"
        problems.append(Problem("ND933", cause, data.source, f"{data.ticks} ticks", "one image", fixes))
    elif data.ticks and data.ticks != ticks:
        cause = "the data hold another number of ticks than the network runs"
        other = (f"--set loader.ticks={ticks}",) * bool(data.told) + (f"--timesteps {data.ticks}",)
        problems.append(Problem("ND933", cause, data.source, f"{data.ticks} ticks", f"{ticks} ticks", other))
    known = raw_range(graph)
    if known is not None and (known[0] > 0 or data.levels > known[1]):
        cause = "levels of the data leave the range that the network takes"
        shown = f"{known[0]} .. {known[1]}"
        fixes += (
            "of a .net or .nir file: declare the range with an option of its reader, see docs/formats.md",
        )
        if known == (0, 1) and graph.of(Neuron) and not data.ticks and graph.header.level != "integer":
            fixes = ("let neurons send the levels as spikes: --encoder rate", *fixes)
        problems.append(Problem("ND933", cause, data.source, f"0 .. {data.levels}", shown, fixes))
    return problems
