"""lava-dl's .net files (HDF5), with the integer semantics of its runner netx 0.6.0 under Lava 0.10.0.

The file holds integers, so the graph enters at level ``integer``. One tick is one Lava step: every connection sends
what it summed in the step before, so every Synapse has delay 1 plus its axonal delay, and every population, its bias
included, is live from tick 1 on. Resets happen at exactly the steps of Lava's LIFReset.

Nodes carry the number of their layer: neurons ``layer2``, synapses ``layer2.synapse``, recurrent ones
``layer2.recurrent``. Shapes are (C, Y, X) or (N,): those of netx with the axes reversed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from ...errors import GraphError, Problem, UsageError
from ...ir import codes, intervals, shapes
from ...ir.graph import Builder, Graph, Header
from ...ir.levels import verify
from ...ir.nodes import Input, Neuron, Node, Output, View
from ...ir.types import Interval, Origin, Shape, Value
from .._hdf5.read import read_tree
from .._hdf5.tree import Tree
from . import blocks
from .blocks import Conv
from .fields import Fields
from .layers import ARGUMENTS, Concat, Entry, Layer, Sizes, Walk, input_bits, input_range
from .neurons import LARGEST, NEVER, SUMS, Cuba
from .options import NetxOptions

#: ticks where neither the caller nor the file says
TICKS = 16
MAX_TICKS = 1 << 20
MAX_LAYERS = 1000
CONV_LIMIT = 1 << 23

#: kinds of layers that are never imported, and why
UNKNOWN = {
    "convT": "transposed convolutions have no node in the graph",
    "unpool": "unpooling has no node in the graph",
    "average": "the file does not say whether it averages over neurons or over time",
    "dense_comp": "netx has no reader for it; complex layers are of type dense",
    "kwta": "winner-take-all layers have no node in the graph",
}


def load(path: Path, options: NetxOptions, timesteps: int | None = None) -> Graph:
    """The integer graph of a .net file.

    Raises ImportModelError ND121 to ND126 with every problem of the file, GraphError if the network breaks a rule
    of the integer level, UsageError ND120 if options contradict the file.
    """
    tree = read_tree(path)
    options = _with_arguments(tree, options)
    walk = _walked(tree, options)
    ticks = timesteps or _ticks(tree)
    tree.check()
    return _Assembly(walk, Path(path), ticks).graph()


def _with_arguments(tree: Tree, options: NetxOptions) -> NetxOptions:
    """The options, and where none were given the arguments that stand in the file."""
    group = Fields(tree, ARGUMENTS)
    stored: dict[str, Any] = {}
    for key in tree.children(ARGUMENTS):
        if key not in NetxOptions.model_fields:
            known = ", ".join(NetxOptions.model_fields)
            group.problem("ND124", "no argument of netx or of this reader", key, "", known)
        elif key == "readout":
            stored[key] = group.text(key)
        else:
            value = group.whole(key, -(1 << 31), (1 << 31) - 1)
            if value is not None and value.size <= 3:
                stored[key] = value.tolist()
    try:
        return NetxOptions(**{**stored, **options.model_dump(include=options.model_fields_set)})
    except ValidationError as error:
        for detail in error.errors():
            key = ".".join(str(part) for part in detail["loc"])
            group.problem("ND124", f"a wrong argument: {detail['msg']}", key, repr(detail["input"]))
        return options


def _ticks(tree: Tree) -> int:
    """simulation/tSample over simulation/Ts, else TICKS."""
    simulation = Fields(tree, "simulation")
    if not simulation.has("tSample"):
        return TICKS
    length, step = simulation.array("tSample"), simulation.array("Ts", 1)
    if length is None or step is None:
        return TICKS
    ratio = float(length.ravel()[0]) / float(step.ravel()[0] or np.nan)
    if length.size != 1 or step.size != 1 or not 1 <= ratio <= MAX_TICKS:
        limit = f"1 .. {MAX_TICKS} times Ts"
        simulation.problem("ND124", "no usable number of ticks", "tSample", ratio, limit)
        return TICKS
    return int(ratio)


def _walked(tree: Tree, options: NetxOptions) -> Walk:
    """All layers that the options ask for; problems are in the tree."""
    walk = Walk(tree, options, message_bits=options.input_message_bits)
    if options.input_shape:
        walk.shape = tuple(reversed(options.input_shape))
    for index in range(_count(tree, options)):
        fields = Fields(tree, f"layer/{index}")
        kind = fields.text("type")
        if rule := READERS.get(kind or ""):
            if (layer := rule(walk, fields, index)) is not None:
                walk.take(layer)
            continue
        walk.shape = None
        if kind is not None:
            found = f"{kind[:40]}: {UNKNOWN.get(kind, 'no such kind of layer')}"
            fields.problem("ND125", "a layer that cannot be imported", "type", found, ", ".join(READERS))
    if not tree.problems and not walk.layers:
        found = f"skip_layers {options.skip_layers}"
        tree.problem("ND126", "no layer is left", "layer", found, "at least one")
    return walk


def _count(tree: Tree, options: NetxOptions) -> int:
    """How many layers are read; their groups must be called 0, 1, 2, ..."""
    if "layer" not in tree.groups:
        if "layer" not in tree.refused:
            cause = "an HDF5 file that is no .net file"
            tree.problem("ND121", cause, "layer", "no such group", "a group of layers")
        return 0
    names = tree.children("layer")
    missing = next((index for index in range(len(names)) if str(index) not in names), None)
    if missing is not None:
        tree.problem("ND122", "a layer is missing", f"layer/{missing}", ", ".join(names)[:100])
        return 0
    if not names or len(names) > MAX_LAYERS:
        tree.problem("ND126", "the number of layers", "layer", len(names), f"1 .. {MAX_LAYERS}")
        return 0
    return min(len(names), options.num_layers or len(names))


def _entry(walk: Walk, layer: Fields, index: int) -> Layer | None:
    """An input layer: the shape of the input, and neurons that take it where there are any."""
    shape = walk.declared(layer)
    if walk.layers:  # netx would leave its neurons unconnected; without neurons it means nothing
        if layer.has("neuron"):
            cause = "an input layer behind other layers"
            layer.problem("ND125", cause, "neuron", f"layer {index}", "the first layer")
        return None
    walk.shape = shape
    neuron = walk.neuron(layer, Entry.kind, shape) if layer.has("neuron") else None
    if shape is None or neuron is None:
        return None
    said = "of the input layer scales images before they are sent; netx does not apply it"
    for key in filter(layer.has, ("weight", "bias")):
        walk.remark(index, f"{key} {said}")
    return Layer(index, Entry(), shape, shape, neuron)


def _flatten(walk: Walk, layer: Fields, index: int) -> None:
    """The next dense layer takes a vector; what this one passes on is the layer before."""
    walk.flatten = True
    if walk.made:
        walk.made[index] = walk.made[max(walk.made)]


def _concat(walk: Walk, layer: Fields, index: int) -> None:
    """The channels of the layer before, then those of the listed ones, in their order."""
    listed = layer.whole("layers", 0, MAX_LAYERS)
    if listed is None or walk.shape is None or not walk.made:
        if not walk.tree.problems:
            layer.problem("ND126", "nothing to concatenate", "type", "no layer before", "a layer")
        walk.shape = None
        return
    sources = _sources(walk, layer, (max(walk.made), *(int(i) for i in listed.ravel())))
    if not sources:
        return
    shape = (sum(source.shape[0] for source in sources), *sources[0].shape[1:])
    declared = walk.declared(layer)
    if declared is not None and prod(declared) != prod(shape):
        layer.problem("ND126", "the concatenated layers have another size", "shape", declared, shape)
    walk.shape, walk.made[index] = shape, Concat(index, shape, tuple(source.index for source in sources))
    walk.layers.append(walk.made[index])


def _sources(walk: Walk, layer: Fields, asked: Sequence[int]) -> list[Layer | Concat]:
    """The layers of these numbers; none, and a problem, where they cannot stand beside each other."""
    missing = [i for i in asked if i not in walk.made]
    if missing:
        cause = "a layer to concatenate that comes later or is skipped"
        layer.problem("ND125", cause, "layers", f"layer {missing[0]}", "earlier layers")
        return []
    found = [walk.made[i] for i in asked]
    sizes = [source.shape for source in found]
    if len({s[1:] for s in sizes}) > 1:
        cause = "layers of different rows or columns"
        layer.problem("ND126", cause, "layers", sizes, "the same but for channels")
        return []
    return found


READERS: Mapping[str, Callable[[Walk, Fields, int], Layer | None]] = {
    "input": _entry, "dense": blocks.dense, "dense_rec": blocks.dense, "conv": blocks.conv, "pool": blocks.conv,
    "flatten": _flatten, "concat": _concat,
}  # fmt: skip


class _Assembly:
    """Turns checked layers into nodes."""

    def __init__(self, walk: Walk, path: Path, ticks: int) -> None:
        self.walk, self.options, self.path = walk, walk.options, path
        self.remarks = list(walk.remarks)
        self.builder = Builder(Header(path.stem, "integer", ticks))
        self.outputs: dict[int, str] = {}

    def graph(self) -> Graph:
        """All nodes, then intervals; every breach of the integer level is raised."""
        name = self._input(self.walk.layers[0])
        for layer in self.walk.layers:
            name = self.outputs[layer.index] = self._layer(layer, name)
        shape = self.builder.shape(name)
        roles = ("K",) if len(shape) == 1 else ("C", "Y", "X")
        readout = Output(name="output", inputs=(name,), readout=self._readout(self.walk.layers[-1]))
        self._add(readout, shape, "output", "output", roles)
        notes = {"file": self.path.name, "format": "netx", "remarks": tuple(self.remarks)}
        graph = self.builder.build().with_header(notes=notes)
        if problems := shapes.problems(graph):
            raise GraphError(problems)
        graph = intervals.propagate(codes.infer(graph))
        if problems := [*verify(graph, "integer"), *self._wide_convolutions(graph)]:
            raise GraphError(problems)
        return graph

    def _wide_convolutions(self, graph: Graph) -> list[Problem]:
        """Sums of convolutions that Lava would wrap at 24 bits in front of a CUBA neuron, which wraps at 32."""
        fix = "--set reader.input_range='[LOW, HIGH]' if the input is smaller than its messages allow"
        text, limit = "the sum of a convolution can leave the 24 bits that Lava keeps", f"below {CONV_LIMIT}"
        found = []
        for layer in self.walk.layers:
            if isinstance(layer, Layer) and isinstance(layer.block, Conv) and isinstance(layer.neuron, Cuba):
                interval = graph.values[f"layer{layer.index}.synapse"].interval
                if interval is not None and interval.magnitude >= CONV_LIMIT:
                    where = f"layer{layer.index}.synapse from layer/{layer.index}"
                    found.append(Problem("ND224", text, where, str(interval.magnitude), limit, (fix,)))
        return found

    def _input(self, first: Layer | Concat) -> str:
        lo, hi = self._range(first)
        before = first.shape if isinstance(first, Concat) else first.before
        name = self._add(Input(name="input", per_tick=True), before, "", "input")
        self.builder.values[name] = replace(self.builder.values[name], interval=Interval(lo, hi, True))
        return name

    def _range(self, first: Layer | Concat) -> tuple[int, int]:
        """Declared range of the raw input."""
        given, bits, where = self.options.input_range, self.walk.entry_bits, "reader.input_range"
        if given is not None and given[0] > given[1]:
            raise UsageError(Problem("ND120", "an empty range", where, str(given), "[low, high]"))
        if isinstance(first, Layer) and isinstance(first.block, Entry):
            return given or first.neuron.entering
        if bits == 0 and given is not None and not 0 <= given[0] <= given[1] <= 1:
            cause, limit = "netx takes this input as bits", "0 .. 1 while input_message_bits is 0"
            fix = f"--set reader.input_message_bits={input_bits(*given)}"
            raise UsageError(Problem("ND120", cause, where, str(given), limit, (fix,)))
        return given or input_range(bits)

    def _readout(self, last: Layer | Concat) -> Literal["sum", "last"]:
        """Spikes and changes are summed up; a voltage or a Sigma is a sum already."""
        return "last" if isinstance(last, Layer) and self._model(last) in SUMS else "sum"

    def _model(self, layer: Layer) -> str:
        """The neuron model of a layer: a last one that is not meant to fire is read by its voltage."""
        last, asked = layer is self.walk.layers[-1], self.options.readout
        read_out = last and (asked == "voltage" or (asked == "auto" and layer.neuron.silent))
        if read_out and not isinstance(layer.neuron, Cuba):
            cause, limit = "no voltage to read: the last layer has no CUBA neurons", "auto or spikes"
            raise UsageError(Problem("ND120", cause, "reader.readout", layer.neuron.model, limit))
        return "cuba_voltage" if read_out else layer.neuron.model

    def _layer(self, layer: Layer | Concat, before: str) -> str:
        name, path = f"layer{layer.index}", f"layer/{layer.index}"
        if isinstance(layer, Concat):
            sources = tuple(self.outputs[i] for i in layer.sources)
            channels = View(name=name, inputs=sources, op="concat", args=(0,))
            return self._add(channels, layer.shape, path, "concat")
        if layer.flatten:
            sizes = (prod(layer.before),)
            flat = View(name=f"{name}.flatten", inputs=(before,), op="reshape", args=sizes)
            before = self._add(flat, sizes, path, "flatten")
        nodes, ends = layer.block.nodes(name, before)
        for node, op in nodes:
            self._add(node, layer.shape, path, op)
        model, params = self._model(layer), layer.neuron.params()
        if layer.bias is not None:
            params["bias"] = layer.bias << layer.neuron.bias_exp
        if model == "cuba_voltage":
            threshold = int(np.min(params.pop("vth")))
            self.remarks.append(f"{path}: {_read_by_voltage(threshold)}")
        params = {key: parameter(value, layer.shape) for key, value in params.items()}
        neuron = Neuron(name=name, inputs=ends, model=model, params=params, reset=layer.reset)
        return self._add(neuron, layer.shape, path, model)

    def _add(self, node: Node, shape: Sizes, path: str, op: str, roles: tuple[str, ...] | None = None) -> str:
        roles = roles or (("C",) if len(shape) == 1 else ("C", "Y", "X"))
        origin = (Origin(path, op, self.path.name),)
        return self.builder.add(replace(node, origin=origin), Value(Shape(roles, shape)))


def _read_by_voltage(threshold: int) -> str:
    """What a read-out by voltage departs from."""
    sends = "the graph sends its voltage, which netx leaves in v (reader.readout)"
    if threshold >= NEVER:
        return f"never fires; {sends}"
    if threshold == LARGEST:
        return f"its threshold is the largest of a chip; {sends} and no spikes at saturation"
    return f"{sends}; spikes at its threshold of {threshold}, and the resets that follow, are left out"


def parameter(value: Any, shape: Sizes) -> Any:
    """A Python integer, or an int64 array that broadcasts to the population."""
    array = np.asarray(value).astype(np.int64)
    if array.size == 1:
        return int(array.flat[0])
    return array.reshape(-1, *(1,) * (len(shape) - 1)) if array.ndim == 1 else array
