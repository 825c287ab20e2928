"""lava-dl's .net files (HDF5), with the integer semantics of its runner netx 0.6.0 under Lava 0.10.0.

The file holds integers, so the graph enters at level ``integer``. One tick is one Lava step: every connection sends
what it summed in the step before, so every Synapse has delay 1 plus its axonal delay, and every population, its bias
included, is live from tick 1 on. Resets happen at exactly the steps of Lava's LIFReset.

Nodes carry the number of their layer: neurons ``layer2``, synapses ``layer2.synapse``, recurrent ones
``layer2.recurrent``. Shapes are (C, Y, X) or (N,): those of netx with the axes reversed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from ...array import Array
from ...errors import GraphError, Problem, UsageError
from ...ir import codes, intervals, shapes
from ...ir.graph import Builder, Graph, Header
from ...ir.levels import verify
from ...ir.nodes import Input, Neuron, Node, Output, Sum, Synapse, View
from ...ir.types import Interval, Origin, Shape, Value
from .._base import FormatOptions, Reader
from .._hdf5.read import Tree, read_tree
from .blocks import Block, Sizes, Walk, read_blocks
from .fields import Fields

#: ticks where neither the caller nor the file says
TICKS = 16
MAX_TICKS = 1 << 20
#: what an input layer of CUBA neurons takes: a bias mantissa of 13 bits
BIAS_RANGE = (-4096, 4095)
CONVOLUTIONS, CUBA_MODELS = ("conv", "pool"), ("cuba_lif", "cuba_voltage")
CONV_LIMIT = 1 << 23


class NetxOptions(FormatOptions):
    """Options of netx's ``Network``, under its names, and three of this reader."""

    skip_layers: int = Field(0, ge=0)
    num_layers: int | None = Field(None, ge=1)
    input_message_bits: int = Field(0, ge=0, le=24)
    #: (x, y, channels) or (n,), netx's order, for files without input layer
    input_shape: tuple[int, ...] | None = Field(None, min_length=1, max_length=3)
    reset_interval: int | None = Field(None, ge=1)
    reset_offset: int = 0
    spike_exp: int = Field(6, ge=0, le=12)
    #: smallest and largest raw input; default: what the width of the input messages allows
    input_range: tuple[int, int] | None = None
    #: what a last layer that never fires sends: its voltage, or the spikes that netx would send (none)
    readout: Literal["voltage", "spikes"] = "voltage"
    #: round fractional weights toward zero, as netx does, instead of refusing them
    truncate: bool = False


class NetxReader(Reader):
    """The .net format of lava-dl."""

    Options = NetxOptions

    def load(self, path: Path, options: NetxOptions, timesteps: int | None = None) -> Graph:
        """The integer graph of a .net file.

        Raises ImportModelError ND121 to ND126 with every problem of the file, GraphError if the network breaks a rule
        of the integer level, UsageError ND120 if options contradict the file.
        """
        tree = read_tree(path)
        options = _with_arguments(tree, options)
        walk = read_blocks(tree, options)
        ticks = timesteps or _ticks(tree)
        tree.check()
        return _Assembly(walk, options, Path(path), ticks).graph()


def _with_arguments(tree: Tree, options: NetxOptions) -> NetxOptions:
    """The options, with arguments that this project's exporter put into the file where none were given."""
    group = Fields(tree, "arguments")
    stored: dict[str, Any] = {}
    for key in tree.children("arguments"):
        if key not in NetxOptions.model_fields:
            group.problem(
                "ND124", "no argument of netx or of this reader", key, "", ", ".join(NetxOptions.model_fields)
            )
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
        simulation.problem(
            "ND124", "no usable number of ticks", "tSample", ratio, f"1 .. {MAX_TICKS} times Ts"
        )
        return TICKS
    return int(ratio)


class _Assembly:
    """Turns checked blocks into nodes."""

    def __init__(self, walk: Walk, options: NetxOptions, path: Path, ticks: int) -> None:
        self.walk = walk
        self.options = options
        self.path = path
        self.remarks = list(walk.remarks)
        self.builder = Builder(Header(path.stem, "integer", ticks))
        self.outputs: dict[int, str] = {}

    def graph(self) -> Graph:
        """All nodes, then intervals; every breach of the integer level is raised."""
        name = self._input(self.walk.blocks[0])
        for block in self.walk.blocks:
            name = self.outputs[block.index] = self._block(block, name)
        readout = self._readout(self.walk.blocks[-1])
        shape = self.builder.shape(name)
        roles = ("K",) if len(shape) == 1 else ("C", "Y", "X")
        self._add(Output(name="output", inputs=(name,), readout=readout), shape, "output", "output", roles)
        notes = {"file": self.path.name, "format": "netx", "remarks": tuple(self.remarks)}
        graph = self.builder.build().with_header(notes=notes)
        problems = shapes.problems(graph)
        if problems:
            raise GraphError(problems)
        graph = intervals.propagate(codes.infer(graph))
        problems = [*verify(graph, "integer"), *self._wide_convolutions(graph)]
        if problems:
            raise GraphError(problems)
        return graph

    def _wide_convolutions(self, graph: Graph) -> list[Problem]:
        """Sums of convolutions that Lava would wrap at 24 bits in front of a CUBA neuron, which wraps at 32."""
        found = []
        for block in self.walk.blocks:
            if block.kind not in CONVOLUTIONS or self._model(block) not in CUBA_MODELS:
                continue
            interval = graph.values[f"layer{block.index}.synapse"].interval
            if interval is None or interval.magnitude < CONV_LIMIT:
                continue
            fix = "--set reader.input_range='[LOW, HIGH]' if the input is smaller than its messages allow"
            where = f"layer{block.index}.synapse from layer/{block.index}"
            text = "the sum of a convolution can leave the 24 bits that Lava keeps"
            found.append(
                Problem("ND224", text, where, str(interval.magnitude), f"below {CONV_LIMIT}", (fix,))
            )
        return found

    def _input(self, first: Block) -> str:
        lo, hi = self._range(first)
        name = self._add(Input(name="input", per_tick=True), first.before, "", "input")
        self.builder.values[name] = replace(self.builder.values[name], interval=Interval(lo, hi, True))
        return name

    def _range(self, first: Block) -> tuple[int, int]:
        """Declared range of the raw input."""
        given, bits = self.options.input_range, self.walk.entry_bits
        if given is not None and given[0] > given[1]:
            raise UsageError(
                Problem("ND120", "an empty range", "reader.input_range", str(given), "[low, high]")
            )
        if first.kind == "input":
            if first.neuron is not None and first.neuron.model == "delta":
                limit = ((1 << (first.neuron.params["message_bits"] - 1)) - 1) >> self.options.spike_exp
                return given or (-limit, limit)
            return given or BIAS_RANGE
        if bits == 0:
            if given is not None and not 0 <= given[0] <= given[1] <= 1:
                fix = f"--set reader.input_message_bits={max(2, max(map(abs, given)).bit_length() + 1)}"
                where, limit = "reader.input_range", "0 .. 1 while input_message_bits is 0"
                raise UsageError(
                    Problem("ND120", "netx takes this input as bits", where, str(given), limit, (fix,))
                )
            return given or (0, 1)
        limit = (1 << (bits - 1)) - 1
        return given or (-limit, limit)

    def _readout(self, last: Block) -> Literal["sum", "last"]:
        """Spikes and changes are summed up; a voltage or a Sigma is a sum already."""
        return "last" if last.neuron and self._model(last) in ("cuba_voltage", "sigma") else "sum"

    def _model(self, block: Block) -> str:
        """The neuron model of a block: a last layer that never fires is read by its voltage."""
        if block.neuron is None:
            return ""
        is_last = block is self.walk.blocks[-1]
        return "cuba_voltage" if is_last and self._reads_voltage(block) else block.neuron.model

    def _reads_voltage(self, block: Block) -> bool:
        return self.options.readout == "voltage" and block.neuron is not None and block.neuron.silent

    def _block(self, block: Block, before: str) -> str:
        layer, path = f"layer{block.index}", f"layer/{block.index}"
        if block.kind == "concat":
            names = tuple(self.outputs[i] for i in block.sources)
            return self._add(
                View(name=layer, inputs=names, op="concat", args=(0,)), block.shape, path, "concat"
            )
        if block.flatten:
            flat = View(name=f"{layer}.flatten", inputs=(before,), op="reshape", args=block.before)
            before = self._add(flat, block.before, path, "flatten")
        sums = tuple(self._synapses(block, before, layer, path)) or (before,)
        spec, model = block.neuron, self._model(block)
        params = {} if spec is None else dict(spec.params)
        if block.bias is not None:
            params["bias"] = block.bias
        if model == "cuba_voltage":
            params.pop("vth")
            self.remarks.append(f"{path}: never fires; the graph sends its voltage, which netx leaves in v")
        params = {name: _parameter(value, block.shape) for name, value in params.items()}
        neuron = Neuron(name=layer, inputs=sums, model=model, params=params, reset=block.reset)
        return self._add(neuron, block.shape, path, model)

    def _synapses(self, block: Block, before: str, layer: str, path: str) -> list[str]:
        """The sums that the neuron of a block receives."""
        labels = ("synapse",) if len(block.streams) == 1 else ("real", "imag")
        shared = {
            "op": "dense" if block.kind == "dense" else "conv",
            "stride": block.stride,
            "padding": block.padding,
            "groups": block.groups,
            "delay": _uniform(1 + block.delay),
        }
        names = [
            self._add(
                Synapse(name=f"{layer}.{label}", inputs=(before,), weight=weight, **shared),  # type: ignore[arg-type]
                block.shape,
                path,
                block.kind,
            )
            for label, weight in zip(labels, block.streams, strict=False)
        ]
        if block.recurrent is None:
            return names
        back = Synapse(
            name=f"{layer}.recurrent",
            inputs=(layer,),
            weight=block.recurrent,
            delay=_uniform(1 + block.delay),
        )
        names.append(self._add(back, block.shape, path, "dense_rec"))
        return [self._add(Sum(name=f"{layer}.sum", inputs=tuple(names)), block.shape, path, "dense_rec")]

    def _add(self, node: Node, shape: Sizes, path: str, op: str, roles: tuple[str, ...] | None = None) -> str:
        roles = roles or (("C",) if len(shape) == 1 else ("C", "Y", "X"))
        origin = (Origin(path, op, self.path.name),)
        return self.builder.add(replace(node, origin=origin), Value(Shape(roles, shape)))


def _uniform(delay: int | Array) -> int | Array:
    """One number where all connections wait equally long."""
    array = np.asarray(delay)
    return int(array.flat[0]) if (array == array.flat[0]).all() else array.astype(np.int64)


def _parameter(value: Any, shape: Sizes) -> Any:
    """A Python integer, or an int64 array that broadcasts to the population."""
    array = np.asarray(value)
    if array.size == 1:
        return int(array.ravel()[0])
    array = array.astype(np.int64)
    return array.reshape(-1, *(1,) * (len(shape) - 1)) if array.ndim == 1 else array


READER = NetxReader()
