"""Read-outs that cannot speak: populations that never fire, outputs that are all equal, labels that are all one.

An accuracy of such a run is the share of a class in the data, and says nothing about the network.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from ..array import Array
from ..errors import Problem
from ..ir import interp, intervals
from ..ir.graph import Builder, Graph, Header
from ..ir.neuron_model import NEURONS
from ..ir.nodes import Delay, Input, Micro, Neuron, Output, Reduce, Sum, View
from ..ir.types import Value

#: ticks that are tried of a population; one that needs more is left to what was seen
MOST_TRIED = 4096
#: sums over all ticks that the currents of chips hold without a wrap: below, a larger input never means a later spike
WITHOUT_WRAP = 1 << 17
#: what may stand between a population and the read-out
BETWEEN = (View, Delay, Sum, Reduce)


def populations(graph: Graph) -> tuple[str, ...]:
    """The neurons that the read-out reads, with nothing but rearrangements, sums and changes of unit between."""
    found: list[str] = []
    waiting = list(graph.output.inputs)
    while waiting:
        node = graph.nodes[waiting.pop()]
        if isinstance(node, Neuron):
            found.append(node.name)
        elif isinstance(node, BETWEEN) or (isinstance(node, Micro) and node.op == "rescale"):
            waiting += node.inputs
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, eq=False)
class Spoken:
    """What the read-out of a run said: messages of each population that it reads, and whether outputs differ."""

    sent: Counter[str] = field(default_factory=Counter)
    #: the last read-outs that differ, one of each until there are two
    answers: list[Array] = field(default_factory=list)
    samples: Counter[str] = field(default_factory=Counter)

    def hear(self, outputs: Array, values: dict[str, Array]) -> None:
        """Read-outs (T, B, *output) of a batch, and (T, B, *shape) of what it reads."""
        self.samples["run"] += outputs.shape[1]
        for name, value in values.items():
            self.sent[name] += int(np.count_nonzero(value))
        for answer in outputs[-1]:
            if len(self.answers) < 2 and not any(np.array_equal(answer, known) for known in self.answers):
                self.answers.append(answer)
        flat = outputs[-1].reshape(outputs.shape[1], -1)
        self.samples["undecided"] += int((flat == flat[:, :1]).all(axis=1).sum())


def silent(graph: Graph, spoken: Spoken) -> tuple[Problem, ...]:
    """A warning for each population of the read-out that cannot fire (ND167), or that never did (ND168)."""
    found = []
    for name in populations(graph):
        most, node = unreached(graph, name), graph.nodes[name]
        active = graph.values[name].activity
        ticks = graph.header.timesteps
        fixes = (
            "--timesteps with more ticks",
            "read voltages instead of spikes: reader.readout of .net files",
        )
        if most is not None:
            cause, limit = "an output population cannot reach its threshold", f"a spike within {ticks} ticks"
            shown = f"inputs of at most {most:g} at every tick make none"
            found.append(Problem("ND167", cause, node.place, shown, limit, fixes, "warning"))
        elif not spoken.sent[name] and (active is None or active.mean == 0):
            cause = "an output population never fired in calibration and evaluation"
            shown = f"{spoken.samples['run']} samples of {ticks} ticks"
            found.append(Problem("ND168", cause, node.place, shown, "some spike", fixes, "warning"))
    return tuple(found)


def unreached(graph: Graph, name: str) -> float | None:
    """The largest input that a population can get, by proven bounds, if even that at every tick makes no spike.

    None where it does, where bounds are measured only, or where a larger input may mean a later spike.
    """
    node, ticks = graph.nodes[name], graph.header.timesteps
    if not isinstance(node, Neuron) or not NEURONS[node.model].monotone or ticks > MOST_TRIED:
        return None
    entering = _entering(graph, node.inputs[0])
    most = float(np.abs([entering.lo, entering.hi]).max())
    if not entering.proven or most * ticks >= WITHOUT_WRAP:
        return None
    alone, shape = Builder(Header(name, "integer", ticks)), graph.values[name].shape
    alone.add(Input(name="input"), Value(shape))
    alone.add(replace(node, inputs=("input",)), graph.values[name])
    alone.add(Output(name="output", inputs=(name,)), Value(shape))
    ends = np.concatenate([entering.lo, entering.hi]).astype(np.int64)
    sent = interp.run(alone.build(), np.broadcast_to(ends, (2, *shape.sizes)), (name,)).values[name]
    return None if sent.any() else float(entering.hi.max())


def _entering(graph: Graph, name: str) -> intervals.Bounds:
    """Bounds per element of a value, from the intervals of what it is made of."""
    node = graph.nodes[name]
    args = []
    for source in node.inputs:
        value = graph.values[source]
        if value.interval is None:
            return intervals.Bounds(np.zeros(1), np.zeros(1), proven=False)
        args.append(intervals.of_interval(value.interval, value.shape.sizes))
    return intervals.step(node, args, graph)


def meaningless(spoken: Spoken, labels: Array) -> str:
    """Why an accuracy on these labels says nothing; empty where it says something."""
    if np.unique(labels).size == 1:
        return f"all {len(labels)} labels are {labels.flat[0]}"
    if spoken.samples["run"] and spoken.samples["undecided"] == spoken.samples["run"]:
        return "the outputs of every sample are all equal"
    if spoken.samples["run"] > 1 and len(spoken.answers) == 1:
        return "the outputs are the same for all samples"
    return ""


def says_nothing(reason: str) -> tuple[Problem, ...]:
    """A warning ND169 for an accuracy that is meaningless for this reason."""
    if not reason:
        return ()
    fixes = ("give data with several classes: --data SPEC", "look at ND167 and ND168 beside it")
    return (Problem("ND169", "the accuracy is meaningless", "accuracy", reason, "", fixes, "warning"),)
