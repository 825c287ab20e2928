"""NIR: the integer network as floats that other tools run, with its integers beside them for this program.

Every integer times the worth of its unit is a float of the source network, so weights, thresholds and leaks go out as
NIR nodes under the same discretisation that the reader uses (:mod:`neurodeploy.formats.nir.read`): dt 1e-4, IF and
I one unit of r per tick, current before voltage. What only changes a unit or waits for other branches (rescale, Delay)
is an edge. The metadata of the root hold the integer graph itself, so that reading the file gives it back exactly, and
a digest of the floats, so that a changed file is noticed.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ...array import Array
from ...files import write_bytes
from ...ir.graph import Graph, free_name
from ...ir.nodes import Delay, Input, Micro, Neuron, Node, Output, Reduce, Sum, Synapse, View
from ...program import Program
from .._base import Refusals
from . import integers, neurons
from .neurons import DT

Sizes = tuple[int, ...]
#: name, NIR kind and fields of a node
Part = tuple[str, str, dict[str, Any]]
#: what the weights of a synapse become, and the shape in NIR of what they send
Weights = tuple[list[Part], Sizes]


@dataclass(frozen=True, eq=False)
class Composed:
    """The bytes of a file, and the NIR nodes whose sum each value of the graph is."""

    content: bytes
    ports: Mapping[str, tuple[str, ...]]


def write(program: Program, path: Path) -> tuple[Path, ...]:
    """One file. Raises GraphError ND230 with every node that NIR has no counterpart for, EnvironmentProblem ND90x."""
    write_bytes(Path(path), composed(program).content)
    return (Path(path),)


def composed(program: Program) -> Composed:
    """What is written; GraphError ND230 with every node that NIR has no counterpart for."""
    import nir

    walk = _Export(program.graph)
    made, edges = walk.network()
    nodes = {name: getattr(nir, kind)(**fields) for name, (kind, fields) in made.items()}
    graph = nir.NIRGraph(nodes, edges, type_check=False)
    floats = integers.digest(integers.entries_of(graph.to_dict()))
    graph.metadata = {integers.KEY: integers.pack(program.graph, floats), "dt": DT}
    buffer = io.BytesIO()
    nir.write(buffer, graph)
    return Composed(buffer.getvalue(), walk.ports)


class _Export:
    """Walks the graph once; edges are drawn at the end, when also neurons that feed back have their nodes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.refusals = Refusals("NIR")
        self.nodes: dict[str, tuple[str, dict[str, Any]]] = {}
        self.ports: dict[str, tuple[str, ...]] = {}  # value -> the nodes whose sum it is
        # value -> its shape in NIR, which has no axes of size 1 put in
        self.shapes: dict[str, Sizes] = {}
        self.wires: list[tuple[str, str]] = []  # (value, node that reads it)
        self.worth: dict[str, Array] = {}  # of a unit, where it is chosen anew
        self.thresholds: dict[str, float] = {}  # of neurons whose input is in units that make them all alike
        for node in graph.of(Neuron):
            self._even_out(node)

    def network(self) -> tuple[dict[str, tuple[str, dict[str, Any]]], list[tuple[str, str]]]:
        """Nodes and edges; GraphError with everything that cannot be expressed."""
        for node in self.graph:
            rule = RULES.get(type(node))
            if rule is None:
                self.refuse(node, f"a node {node.kind}", "weights, neurons, sums of pools and streams")
                self.ports[node.name], self.shapes[node.name] = (), self.graph.shape(node.name)
            else:
                rule(self, node)
        for name in {s.inputs[0] for s in self.graph.feedback}:
            if self.shapes[name] != self.graph.shape(name):
                cause = "feedback of another shape than its population's"
                self.refuse(self.graph.nodes[name], cause, "equal shapes")
        self.refusals.check()
        edges: list[tuple[str, str]] = []
        for value, reader in self.wires:
            for source in self.ports[value]:
                while (source, reader) in edges:  # NIR has no second edge between the same nodes
                    again = self.put(f"{source}.again", "Scale", scale=np.ones(self.shapes[value]))
                    edges.append((source, again))
                    source = again
                edges.append((source, reader))
        return self.nodes, edges

    def _even_out(self, node: Neuron) -> None:
        """Worths of a LIF's inputs such that all its thresholds are the same, as tools want that have one per layer.

        A float network stays what it is when the weights of a neuron and all its voltages are scaled alike.
        """
        if node.model not in neurons.LIFS or not np.all(np.asarray(node.params["vth"]) > 0):
            return
        limits = neurons.limits(node, self.scale(node.inputs[0]))
        thresholds = np.broadcast_to(limits, self.graph.shape(node.name))
        even = float(np.mean(thresholds))
        names, leaves = self._feeding(node)
        if not leaves or any(_channels(even / thresholds, leaf.op) is None for leaf in leaves):
            return
        self.worth |= {name: self.scale(name) * (even / thresholds) for name in names}
        self.thresholds[node.name] = even

    def _feeding(self, node: Neuron) -> tuple[list[str], list[Synapse]]:
        """Values between synapses and a neuron that nothing else reads; none if anything else takes part."""
        consumers = self.graph.consumers
        names, leaves, open_names = [], [], [node.inputs[0]]
        while open_names:
            name = open_names.pop()
            part = self.graph.nodes[name]
            if len(consumers[name]) != 1 or self.graph.shape(name) != self.graph.shape(node.name):
                return [], []
            names.append(name)
            if isinstance(part, Synapse):
                leaves.append(part)
            elif isinstance(part, (Sum, Delay)):
                open_names += part.inputs
            else:
                return [], []
        return names, leaves

    def refuse(self, node: Node, found: str, limit: str = "", *fixes: str) -> None:
        """Note a node that has no counterpart."""
        self.refusals.add(node.place, found, limit, *fixes)

    def put(self, name: str, kind: str, **fields: Any) -> str:
        """Add a NIR node under a name that HDF5 takes and that is free."""
        free = free_name(name.replace("/", "_").strip(".") or "node", self.nodes)
        self.nodes[free] = kind, fields
        return free

    def chain(self, value: str, *parts: Part) -> str:
        """Nodes one behind the other, the first reading a value; the name of the last."""
        last = ""
        for name, kind, fields in parts:
            placed = self.put(name, kind, **fields)
            if last:
                self.ports[f"\0{last}"], self.shapes[f"\0{last}"] = (last,), self.shapes.get(value, ())
            self.wires.append((f"\0{last}" if last else value, placed))
            last = placed
        return last

    def give(self, node: Node, last: str, shape: Sizes) -> None:
        """The value of a node is what one NIR node sends."""
        self.ports[node.name], self.shapes[node.name] = (last,), shape

    def same(self, node: Node, source: str) -> None:
        """The value of a node is that of another."""
        self.ports[node.name], self.shapes[node.name] = self.ports[source], self.shapes[source]

    def scale(self, name: str) -> Array:
        """Worth of a unit of each element of a value."""
        if name in self.worth:
            return self.worth[name]
        spec = self.graph.values[name].fixed
        return np.broadcast_to(np.asarray(spec.scale if spec else 1.0, np.float64), self.graph.shape(name))

    def shape_of(self, name: str) -> Sizes:
        """Shape in NIR of a value, or of a neuron that comes later."""
        return self.shapes.get(name, self.graph.shape(name))


def _input(to: _Export, node: Input) -> None:
    shape = to.graph.shape(node.name)
    to.give(node, to.put(node.name, "Input", input_type=np.array(shape)), shape)


def _output(to: _Export, node: Output) -> None:
    source = node.inputs[0]
    made = to.put(node.name, "Output", output_type=np.array(to.shapes[source]))
    to.wires.append((source, made))
    to.same(node, source)


def _micro(to: _Export, node: Micro) -> None:
    if node.op != "rescale":  # that is the same float in another unit
        to.refuse(node, f"operator {node.op}", "no operators but weights and pools")
    to.same(node, node.inputs[0])


def _synapse(to: _Export, node: Synapse) -> None:
    source, out = node.inputs[0], to.scale(node.name)
    rows, columns = _channels(out, node.op), _channels(to.scale(source), node.op)
    to.give(node, "", to.graph.shape(node.name))
    if rows is None or columns is None:
        to.refuse(node, "units that differ inside a channel", "one unit for each channel")
        return
    delays = _delays(to, node)
    if delays is None:
        return
    weight = node.weight.astype(np.float64) * rows.reshape(-1, *(1,) * (node.weight.ndim - 1))
    bias = None if node.bias is None else node.bias * rows
    made = (_dense if node.op == "dense" else _conv)(to, node, weight, bias, columns)
    if made is not None:
        to.give(node, to.chain(source, *delays, *made[0]), made[1])


def _channels(scale: Array, op: str) -> Array | None:
    """One worth for each channel, or None where it varies along other axes."""
    rows = np.moveaxis(scale, -1 if op == "dense" else 0, 0)
    flat = rows.reshape(len(rows), -1)
    return flat[:, 0] if bool((flat == flat[:, :1]).all()) else None


def _delays(to: _Export, node: Synapse) -> list[Part] | None:
    """The Delay in front of weights, if any; a loop waits one tick without one."""
    delay = np.asarray(node.delay)
    if delay.ndim and not (delay == delay[:1]).all():
        to.refuse(node, "delays that differ by connection", "a delay for each input")
        return None
    ticks = delay[0] if delay.ndim else delay
    if not ticks.any() or (node in to.graph.feedback and bool((ticks == 1).all())):
        return []
    each = np.broadcast_to(ticks, to.shape_of(node.inputs[0])).astype(np.float64) * DT
    return [(f"{node.name}.delay", "Delay", {"delay": each})]


def _dense(to: _Export, node: Synapse, weight: Array, bias: Array | None, columns: Array) -> Weights | None:
    shape, made = to.shape_of(node.inputs[0]), to.graph.shape(node.name)
    if len(made) != 1:
        to.refuse(node, f"weights shared over {made[:-1]}", "one vector")
        return None
    axes = {"input_type": np.array(shape), "start_dim": 0, "end_dim": -1}
    parts: list[Part] = [] if len(shape) == 1 else [(f"{node.name}.flat", "Flatten", axes)]
    fields = {"weight": weight / columns} | ({} if bias is None else {"bias": bias})
    return [*parts, (node.name, "Linear" if bias is None else "Affine", fields)], made


def _conv(to: _Export, node: Synapse, weight: Array, bias: Array | None, columns: Array) -> Weights | None:
    """Conv2d; Conv1d where rows were only put in; Scale for factors by element."""
    shape, grid, made = to.shape_of(node.inputs[0]), to.graph.shape(node.inputs[0]), to.graph.shape(node.name)
    per_input = columns.reshape(node.groups, -1)[np.arange(len(weight)) // (len(weight) // node.groups)]
    weight = weight / per_input[:, :, None, None]
    plain = weight.shape[2:] == (1, 1) and node.stride == (1, 1) and node.padding == (0, 0)
    if plain and bias is None and node.groups == len(weight) == weight.shape[1] * node.groups:
        factors = np.broadcast_to(weight.reshape(-1, 1, 1), grid)
        return [(node.name, "Scale", {"scale": np.array(factors).reshape(shape)})], shape
    fields: dict[str, Any] = {"groups": node.groups, "bias": np.zeros(len(weight)) if bias is None else bias}
    if shape == grid:
        fields |= {"input_shape": shape[1:], "weight": weight, "dilation": (1, 1)}
        return [(node.name, "Conv2d", {**fields, "stride": node.stride, "padding": node.padding})], made
    if len(shape) == 2 and grid == (shape[0], 1, shape[1]) and weight.shape[2] == 1 and node.padding[0] == 0:
        fields |= {"input_shape": shape[1], "weight": weight[:, :, 0], "dilation": 1}
        fields |= {"stride": node.stride[1], "padding": node.padding[1]}
        return [(node.name, "Conv1d", fields)], (made[0], made[2])
    to.refuse(node, f"a convolution over a rearranged {shape}", "an input of shape (C, Y, X)")
    return None


def _sum(to: _Export, node: Sum) -> None:
    """All edges that end in the same reader add up; a minus is a Scale."""
    ports: tuple[str, ...] = ()
    wanted = to.graph.shape(node.name)
    shapes = {to.shape_of(source) for source in node.inputs}
    if len(shapes) > 1 or any(to.graph.shape(source) != wanted for source in node.inputs):
        to.refuse(node, f"streams of shapes {', '.join(map(str, sorted(shapes)))}", "equal shapes")
    for sign, source in zip(node.every_sign, node.inputs, strict=True):
        if sign > 0:
            ports += to.ports[source]
        else:
            minus = {"scale": np.full(to.shape_of(source), -1.0)}
            ports += (to.chain(source, (f"{node.name}.minus", "Scale", minus)),)
    to.ports[node.name], to.shapes[node.name] = ports, to.shape_of(node.inputs[0])


def _reduce(to: _Export, node: Reduce) -> None:
    source, (shape, unit) = node.inputs[0], (to.shape_of(node.inputs[0]), to.scale(node.inputs[0]))
    to.give(node, "", to.graph.shape(node.name))
    if node.op != "sum" or node.window is None or len(shape) != 3 or np.unique(unit).size != 1:
        found = f"{node.op} over {'axes' if node.window is None else 'windows'}"
        to.refuse(node, found, "sums over windows of (C, Y, X)")
        return
    window, stride = np.array(node.window), np.array(node.stride or node.window)
    factor, mean = float(to.scale(node.name).flat[0] / unit.flat[0]), 1.0 / int(np.prod(node.window))
    kind = "AvgPool2d" if np.isclose(factor, mean, rtol=1e-9) else "SumPool2d"
    pool = {"kernel_size": window, "stride": stride, "padding": np.array(node.padding)}
    parts: list[Part] = [(node.name, kind, pool)]
    if kind == "SumPool2d" and not np.isclose(factor, 1.0, rtol=1e-9):
        scale = {"scale": np.full(to.graph.shape(node.name), factor)}
        parts.append((f"{node.name}.scale", "Scale", scale))
    to.give(node, to.chain(source, *parts), to.graph.shape(node.name))


def _view(to: _Export, node: View) -> None:
    """Axes of size 1 come and go unseen; neighbouring axes may become one."""
    source = node.inputs[0]
    before, after = to.shape_of(source), to.graph.shape(node.name)
    to.same(node, source)
    if node.op != "reshape":
        return to.refuse(node, f"{node.op} {node.args}", "reshape that joins axes")
    if [s for s in before if s != 1] == [s for s in after if s != 1]:
        return None
    for start, end in combinations(range(len(before)), 2):
        joined = (*before[:start], int(np.prod(before[start : end + 1])), *before[end + 1 :])
        if [s for s in joined if s != 1] == [s for s in after if s != 1]:
            axes = {"input_type": np.array(before), "start_dim": start, "end_dim": end}
            return to.give(node, to.chain(source, (node.name, "Flatten", axes)), joined)
    return to.refuse(node, f"reshape from {before} to {after}", "reshape that joins axes")


def _neuron(to: _Export, node: Neuron) -> None:
    source, population, even = node.inputs[0], to.graph.shape(node.name), to.thresholds.get(node.name)
    shape = to.shape_of(source)
    to.give(node, "", shape)
    made = neurons.write(node, to.scale(source), to.scale(node.name), even, partial(to.refuse, node))
    if made is not None:
        whole = {k: np.broadcast_to(np.asarray(v, np.float64), population) for k, v in made[1].items()}
        fields = {key: np.array(array).reshape(shape) for key, array in whole.items()}
        to.give(node, to.chain(source, (node.name, made[0], fields)), shape)


RULES: dict[type[Node], Callable[..., None]] = {
    Input: _input, Output: _output, Synapse: _synapse, Neuron: _neuron, Sum: _sum, Reduce: _reduce, Micro: _micro,
    View: _view, Delay: lambda to, node: to.same(node, node.inputs[0]),
}  # fmt: skip
