"""lava-dl's .net files, written so that netx 0.6.0 under Lava and this project's own reader yield the same integers.

A .net file holds a chain of layers: an input layer of neurons or none, then dense, recurrent dense and convolutional
layers of CUBA, sigma-delta or resonate-and-fire neurons. Whatever netx would compute differently is refused.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...array import Array
from ...files import write_bytes
from ...ir.graph import Graph
from ...ir.nodes import Delay, Input, Neuron, Node, Output, Sum, Synapse, View
from ...program import Program
from .._base import Refusals
from .blocks import Conv, Dense
from .layers import ARGUMENTS, Block, Entry, Layer, input_bits, input_range, phase
from .neurons import HOLDS, INPUT, SUMS, Cuba, NeuronGroup, Place
from .options import SPIKE_EXP

NAMED = re.compile(r"layer(\d+)")
MOST_FILLERS = 64  # groups that only keep the number in a layer's name


def write(program: Program, path: Path) -> tuple[Path, ...]:
    """Write the one file.

    Raises GraphError ND230 with every node that a .net file cannot hold, EnvironmentProblem ND90x.
    """
    chain = _Chain(program.graph)
    chain.refusals.check()
    write_bytes(Path(path), _content(chain))
    return (Path(path),)


# --- from layers to the file -----------------------------------------------------------------------------------------


def _content(chain: _Chain) -> bytes:
    """The bytes of the HDF5 file."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for number, fields in _numbered(chain.layers):
            group = file.create_group(f"layer/{number}")
            group.create_dataset("type", (1,), "S10", [fields.pop("type").encode("ascii")])
            _put(group, fields)
        _put(file.create_group("simulation"), {"Ts": 1, "tSample": chain.graph.header.timesteps})
        arguments = {k: v for k, v in chain.arguments.items() if (k, v) != ("spike_exp", SPIKE_EXP)}
        if arguments:
            _put(file.create_group(ARGUMENTS), arguments)
    return buffer.getvalue()


def _numbered(layers: Sequence[Layer]) -> Iterator[tuple[int, dict[str, Any]]]:
    """All layers by number: flattening ones in front of theirs, and input layers that fill what lies between."""
    number = 0
    for layer in layers:
        first = layer.index - layer.flatten
        for filler in range(number, first):
            yield filler, {"type": INPUT, "shape": np.array(layer.before)}
        if layer.flatten:
            yield first, {"type": "flatten", "shape": np.array([prod(layer.before), 1, 1])}
        yield layer.index, layer.fields()
        number = layer.index + 1


def _put(group: h5py.Group, fields: dict[str, Any]) -> None:
    for key, value in fields.items():
        if isinstance(value, dict):
            _put(group.create_group(key), value)
        else:
            group.create_dataset(key, data=value)


# --- from nodes to layers --------------------------------------------------------------------------------------------


class _Chain:
    """The layers of a graph, what netx has to be told beside them, and what is in the way."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.refusals = Refusals("a .net file")
        self.refuse = self.refusals.add
        self.layers: list[Layer] = []
        self.arguments: dict[str, Any] = {}
        self.process = 0
        self.never_reset = False
        self.seen: set[str] = {graph.input.name, graph.output.name}
        if graph.header.level == "integer":
            self._walk()
        else:
            self.refuse(graph.header.name, f"level {graph.header.level}", "level integer")

    def _walk(self) -> None:
        graph = self.graph
        if not graph.input.per_tick or np.any(graph.input.zero):
            self.refuse(graph.input.name, "one frame for all ticks, or a zero point", "a frame for each tick")
        before: str = graph.input.name
        for neuron in graph.of(Neuron):
            self._layer(neuron, before)
            before = neuron.name
        if graph.output.inputs != (before,):
            self.refuse(graph.output.name, f"reads {graph.output.inputs[0]}", f"the last neurons, {before}")
        self._readout(graph.output)
        for node in graph:
            if node.name not in self.seen:
                self.refuse(node.name, _describe(node), "a chain of synapses and neurons")

    def _layer(self, neuron: Neuron, before: str) -> None:
        """One neuron population and what feeds it."""
        self.seen.add(neuron.name)
        sources, back = self._sources(neuron)
        parts = [s for s in sources if isinstance(s, Synapse)]
        block: Block | None = None
        flatten = False
        if before == self.graph.input.name and all(isinstance(s, Input) for s in sources):
            block = Entry()
        elif len(parts) == len(sources):
            flatten = self._joined(parts, back, before)
            block = self._block(neuron, parts, back)
        else:
            self.refuse(neuron.name, f"fed by {', '.join(map(_describe, sources))}", "synapses")
        group, reset = self._group(neuron, block), self._reset(neuron)
        bias = self._bias(neuron, group, block)
        if block is not None and group is not None:
            if not self.process:
                self._input(block, group)
            index = self._number(neuron.name, flatten)
            sizes, entering = self.graph.shape(neuron.name), self.graph.shape(before)
            self.layers.append(Layer(index, block, sizes, entering, group, bias, reset, flatten))
        self.process += 1

    def _source(self, name: str) -> Node:
        """The node that a name stands for; a Delay is the identity per tick."""
        *delays, node = self.graph.upwards(name, lambda n: isinstance(n, Delay))
        self.seen.update(delay.name for delay in delays)
        return node

    def _sources(self, neuron: Neuron) -> tuple[list[Node], Synapse | None]:
        """What feeds a population from before it, and the synapse by which it feeds itself."""
        sources = [self._source(i) for i in neuron.inputs]
        both = sources[0]
        if len(sources) > 1 or not isinstance(both, Sum) or any(sign < 0 for sign in both.signs):
            return sources, None
        parts = [self.graph.nodes[i] for i in both.inputs]
        loops = [p for p in parts if isinstance(p, Synapse) and p.inputs == (neuron.name,)]
        if len(parts) != 2 or len(loops) != 1:
            return sources, None
        self.seen.add(both.name)
        return [p for p in parts if p is not loops[0]], loops[0]

    def _joined(self, parts: Sequence[Synapse], back: Synapse | None, before: str) -> bool:
        """Whether a view flattens what synapses read from the layer before."""
        for part in (*parts, *([back] if back else [])):
            self.seen.add(part.name)
            if part.bias is not None and part.bias.any():
                self.refuse(part.name, "a bias that enters through the current", "a bias of the neuron")
            if part.delays[0] < 1:
                limit = "a delay of at least one tick: netx sends what it summed a step before"
                self.refuse(part.name, "delay 0", limit)
        flatten = False
        for part in parts:
            source = self._source(part.inputs[0])
            if isinstance(source, View) and source.op == "reshape" and len(source.args) == 1:
                if isinstance(behind := self._source(source.inputs[0]), Neuron):
                    self.seen.add(source.name)
                    flatten, source = True, behind
            if source.name != before:
                self.refuse(part.name, f"reads {source.name}", f"the layer before, {before}")
        return flatten

    def _block(self, neuron: Neuron, parts: Sequence[Synapse], back: Synapse | None) -> Block:
        kinds = {part.op for part in parts}
        if len(kinds) > 1:
            self.refuse(neuron.name, "dense and convolutional inputs", "one kind")
        if "conv" in kinds:
            return Conv.of(parts, self.refusals)
        return Dense.of(parts, back, len(self.graph.shape(parts[0].inputs[0])), self.refusals)

    def _number(self, name: str, flatten: bool) -> int:
        """The number in a layer's name where that leaves room, else the next."""
        least = (self.layers[-1].index + 1 if self.layers else 0) + flatten
        found = NAMED.fullmatch(name)
        number = int(found[1]) if found else least
        return number if least <= number <= least + MOST_FILLERS else least

    def _group(self, neuron: Neuron, block: Block | None) -> NeuronGroup | None:
        """The neuron group of a population behind a block, if a file can hold it there."""
        kind, layer = HOLDS.get(neuron.model), "" if block is None else block.kind
        if kind is None:
            self.refuse(neuron.name, f"neuron model {neuron.model}", ", ".join(HOLDS))
            return None
        if block is not None and kind.streams != block.streams:
            self.refuse(neuron.name, f"{neuron.model} behind {layer}", "RF behind two dense synapses")
            return None
        group = kind.of(neuron, Place(layer), self.refusals)
        if group is None or block is None:
            return group
        self._refuse_at(neuron, group, layer)
        if "spike_exp" in neuron.params:  # one for the whole network
            exponent = int(neuron.params["spike_exp"])
            known = self.arguments.setdefault("spike_exp", exponent)
            if known != exponent:
                self.refuse(neuron.name, f"spike_exp {exponent}", f"{known}, as before it")
        return group

    def _refuse_at(self, neuron: Neuron, group: NeuronGroup, layer: str) -> None:
        """Refuse a neuron that may not stand where it stands."""
        last = self.graph.output.inputs == (neuron.name,)
        if neuron.model == "cuba_voltage" and not last:
            self.refuse(neuron.name, "a voltage that is sent on", "a voltage as the read-out")
        if neuron.model == "cuba_lif" and last and group.silent:
            self.arguments["readout"] = "spikes"
        if group.graded and (layer == INPUT) != (neuron.model == "delta"):
            self.refuse(neuron.name, f"{neuron.model} behind {layer}", "delta as the input layer alone")

    def _bias(self, neuron: Neuron, group: NeuronGroup | None, block: Block | None) -> Array | None:
        """In steps of 2^bias_exp; None where there is none."""
        bias = np.asarray(neuron.params.get("bias", 0))
        if group is None or (not bias.any() and bias.ndim == 0):
            return None
        if isinstance(block, Entry):
            self.refuse(neuron.name, "a bias of an input layer", "none: its bias is its input")
        mantissa: Array = bias >> group.bias_exp
        if (mantissa << group.bias_exp != bias).any() or np.abs(mantissa).max() > group.bias_max:
            limit = f"{group.bias_max} times 2^{group.bias_exp}"
            self.refuse(neuron.name, "a bias that the file cannot hold", limit)
        return mantissa

    def _reset(self, neuron: Neuron) -> tuple[int, int] | None:
        """Resets are arguments of netx: one interval, phases one step apart, CUBA neurons alone."""
        can, process = neuron.model in Cuba.models, self.process
        if neuron.reset is None:
            if can and "reset_interval" in self.arguments:
                self.refuse(neuron.name, "no reset", "the reset of the layers before")
            self.never_reset = self.never_reset or can
            return None
        interval, first = neuron.reset
        offset = self.arguments.setdefault("reset_offset", first - phase(0, process))
        same = self.arguments.setdefault("reset_interval", interval) == interval
        if not can or not same or (first - phase(offset, process)) % interval or self.never_reset:
            self.refuse(neuron.name, f"a reset of {neuron.reset}", "one interval, layers one step apart")
        return neuron.reset

    def _input(self, block: Block, group: NeuronGroup) -> None:
        """Arguments that tell netx about the input."""
        interval = self.graph.values[self.graph.input.name].interval
        given = None if interval is None else (interval.lo, interval.hi)
        natural = group.entering
        if not isinstance(block, Entry):
            bits = 0 if given is None else input_bits(*given)
            natural = input_range(bits)
            if bits:
                self.arguments["input_message_bits"] = bits
            if isinstance(block, Conv):
                self.arguments["input_shape"] = np.array(self.graph.shape(self.graph.input.name)[::-1])
        if given is not None and given != natural:
            self.arguments["input_range"] = np.array(given)

    def _readout(self, output: Output) -> None:
        source = self.graph.nodes[output.inputs[0]]
        natural = "last" if isinstance(source, Neuron) and source.model in SUMS else "sum"
        if output.readout != natural:
            self.refuse(output.name, f"readout {output.readout}", natural)


def _describe(node: Node) -> str:
    extra = getattr(node, "model", "") or getattr(node, "op", "")
    return f"{node.kind} {extra}".strip()
