"""lava-dl's .net files, written so that netx 0.6.0 under Lava and this project's own reader yield the same integers.

A .net file holds a chain of layers: an input layer of neurons or none, then dense, recurrent dense and convolutional
layers of CUBA, sigma-delta or resonate-and-fire neurons. What netx takes as arguments of its ``Network`` instead of
from the file (resets, widths of input messages, spike_exp) is put beside the layers under ``arguments``: netx does not
look there, this project's reader does. Whatever netx would compute differently is refused.
"""

from __future__ import annotations

import io
import re
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
from .._base import Refusals, Writer
from . import neurons as rules
from .weights import HIGH, LOW, LossyWeights, in_lava

INT8 = 127  # netx keeps kernel, stride, padding and groups of a convolution in int8
MAX_DELAY = 62
SPIKE_EXP = 6  # netx's default
NAMED = re.compile(r"layer(\d+)")


class NetxWriter(Writer):
    """Writer of .net files."""

    def write(self, program: Program, path: Path, x: Array | None = None) -> tuple[Path, ...]:
        """Write the one file.

        Raises GraphError ND230 with every node that a .net file cannot hold, EnvironmentProblem ND90x.
        """
        export = _Export(program.graph)
        export.refusals.check()
        write_bytes(Path(path), export.content())
        return (Path(path),)


class _Export:
    """Layers of a graph, and what is in the way."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.refusals = Refusals("a .net file")
        self.layers: list[tuple[int, dict[str, Any]]] = []
        self.arguments: dict[str, Any] = {}
        self.process = 0
        self.never_reset = False
        self.seen: set[str] = {graph.input.name, graph.output.name}
        self.sizes = graph.shape(graph.input.name)
        self._chain()

    # --- walking the chain --------------------------------------------------------------------------------------

    def _chain(self) -> None:
        graph = self.graph
        if graph.header.level != "integer":
            self.refusals.add(graph.header.name, f"level {graph.header.level}", "level integer")
            return
        if not graph.input.per_tick or np.any(graph.input.zero):
            self.refusals.add(
                graph.input.name, "one frame for all ticks, or a zero point", "a frame for each tick"
            )
        before: str = graph.input.name
        for neuron in graph.of(Neuron):
            self._layer(neuron, before)
            before = neuron.name
        if graph.output.inputs != (before,):
            self.refusals.add(
                graph.output.name, f"reads {graph.output.inputs[0]}", f"the last neurons, {before}"
            )
        self._readout(graph.output)
        for node in graph:
            if node.name not in self.seen:
                self.refusals.add(node.name, _describe(node), "a chain of synapses and neurons")

    def _layer(self, neuron: Neuron, before: str) -> None:
        """One neuron population and what feeds it."""
        self.seen.add(neuron.name)
        sources = [self._source(i) for i in neuron.inputs]
        back = None
        if len(sources) == 1 and isinstance(sources[0], Sum) and not any(s < 0 for s in sources[0].signs):
            parts = [self.graph.nodes[i] for i in sources[0].inputs]
            loops = [p for p in parts if isinstance(p, Synapse) and p.inputs == (neuron.name,)]
            if len(parts) == 2 and len(loops) == 1:
                self.seen.add(sources[0].name)
                back, sources = loops[0], [p for p in parts if p is not loops[0]]
        layer: dict[str, Any] = {}
        if all(isinstance(s, Input) for s in sources) and before == self.graph.input.name:
            layer = {"type": "input", "shape": np.array(self.graph.shape(neuron.name))}
        elif all(isinstance(s, Synapse) for s in sources):
            layer = self._synapses(neuron, sources, back, before)  # type: ignore[arg-type]
        else:
            self.refusals.add(neuron.name, f"fed by {', '.join(_describe(s) for s in sources)}", "synapses")
        self._model(neuron, layer)
        self._reset(neuron)
        self._number(neuron.name, layer)
        self.sizes = self.graph.shape(neuron.name)
        self.process += 1

    def _source(self, name: str) -> Node:
        """The node that a name stands for; a Delay is the identity per tick."""
        *delays, node = self.graph.upwards(name, lambda n: isinstance(n, Delay))
        self.seen.update(delay.name for delay in delays)
        return node

    def _number(self, name: str, layer: dict[str, Any]) -> None:
        """Give the layer the number in its name where that leaves room, else the next; fill what lies between."""
        flat = layer.pop("flatten", False)
        least = (self.layers[-1][0] + 1 if self.layers else 0) + int(flat)
        found = NAMED.fullmatch(name)
        number = max(least, int(found[1])) if found and int(found[1]) <= least + 64 else least
        first = number - int(flat)
        for filler in range(self.layers[-1][0] + 1 if self.layers else 0, first):
            self.layers.append((filler, {"type": "input", "shape": np.array(self.sizes)}))
        if flat:
            self.layers.append((first, {"type": "flatten", "shape": np.array([prod(self.sizes), 1, 1])}))
        self.layers.append((number, layer))

    # --- synapses -----------------------------------------------------------------------------------------------

    def _synapses(
        self, neuron: Neuron, parts: list[Synapse], back: Synapse | None, before: str
    ) -> dict[str, Any]:
        flat = False
        for part in (*parts, *([back] if back else ())):
            self.seen.add(part.name)
            if part.bias is not None and part.bias.any():
                self.refusals.add(part.name, "a bias that enters through the current", "a bias of the neuron")
            if part.delays[0] < 1:
                limit = "a delay of at least one tick: netx sends what it summed a step before"
                self.refusals.add(part.name, "delay 0", limit)
        for part in parts:
            source = self._source(part.inputs[0])
            if _flattens(source) and self._source(source.inputs[0]).kind == "neuron":
                self.seen.add(source.name)
                flat, source = True, self._source(source.inputs[0])
            if source.name != before:
                self.refusals.add(part.name, f"reads {source.name}", f"the layer before, {before}")
        kinds = {part.op for part in parts}
        if len(kinds) > 1:
            self.refusals.add(neuron.name, "dense and convolutional inputs", "one kind")
        if not self.process:
            self._entry(parts[0])
        return self._conv(parts) if "conv" in kinds else {**self._dense(parts, back), "flatten": flat}

    def _entry(self, first: Synapse) -> None:
        """Arguments that tell netx about the input of a network without an input layer."""
        value = self.graph.values[self.graph.input.name]
        if value.interval is not None and (value.interval.lo, value.interval.hi) != (0, 1):
            bits = max(2, value.interval.magnitude.bit_length() + 1)
            self.arguments["input_message_bits"] = bits
            limit = (1 << (bits - 1)) - 1
            if (value.interval.lo, value.interval.hi) != (-limit, limit):
                self.arguments["input_range"] = np.array([value.interval.lo, value.interval.hi])
        if first.op == "conv":
            self.arguments["input_shape"] = np.array(self.sizes[::-1])

    def _conv(self, parts: list[Synapse]) -> dict[str, Any]:
        first = parts[0]
        for part in parts:
            if part.delays != (1,):
                self.refusals.add(part.name, f"delays {part.delays}", "netx ignores delays of convolutions")
            numbers = (*part.weight.shape[2:], *part.stride, *part.padding, part.groups)
            if max(numbers) > INT8:
                self.refusals.add(
                    part.name, f"kernel, stride, padding or groups {max(numbers)}", f"netx: up to {INT8}"
                )
            if (part.stride, part.padding, part.groups) != (first.stride, first.padding, first.groups):
                self.refusals.add(part.name, "another geometry than its partner", "one geometry")
            self._in_range(part)
        layer = {
            "type": "conv",
            "shape": np.array(self.graph.shape(first.name)),
            "inChannels": first.weight.shape[1] * first.groups,
            "outChannels": first.weight.shape[0],
            "kernelSize": np.array(first.weight.shape[2:]),
            "stride": np.array(first.stride),
            "padding": np.array(first.padding),
            "dilation": np.array([1, 1]),
            "groups": first.groups,
        }
        if len(parts) == 2:
            self.refusals.add(first.name, "a complex convolution", "netx reads real ones")
        return {**layer, "weight": first.weight.astype(np.float32)}

    def _dense(self, parts: list[Synapse], back: Synapse | None) -> dict[str, Any]:
        first = parts[0]
        out, into = first.weight.shape
        layer: dict[str, Any] = {
            "type": "dense_rec" if back else "dense",
            "shape": np.array([out, 1, 1]),
            "inFeatures": into,
            "outFeatures": out,
        }
        delays = {part.name: part.delay for part in (*parts, *([back] if back else ()))}
        extra = np.broadcast_to(np.asarray(first.delay) - 1, first.weight.shape)
        if len(self.graph.shape(first.inputs[0])) != 1:
            self.refusals.add(first.name, "weights shared over positions", "one vector of inputs")
        if extra.max() > MAX_DELAY:
            self.refusals.add(first.name, f"a delay of {extra.max() + 1} ticks", f"up to {MAX_DELAY + 1}")
        if any(not np.array_equal(d, first.delay) for d in delays.values()):
            self.refusals.add(first.name, "delays of its own", "those of its partner")
        delayed = bool(extra.any())
        if delayed:
            layer["delay"] = extra.astype(np.int64)
        if len(parts) == 2:
            if delayed:
                self.refusals.add(
                    first.name, "delayed complex weights", "netx ignores delays of complex layers"
                )
            names = ("weight/real", "weight/imag")
            return layer | {n: self._stored([p], False)[0] for n, p in zip(names, parts, strict=True)}
        stored = self._stored([first, *([back] if back else ())], delayed and back is not None)
        return layer | dict(zip(("weight", "weight_rec"), stored, strict=False))

    def _stored(self, parts: list[Synapse], scaled: bool) -> list[Array]:
        """The weights for the file: those from which netx arrives at the graph's."""
        wanted = [p.weight.astype(np.int64) for p in parts]
        for part in parts:
            self._in_range(part)
        for shift in range(9 if scaled else 1):
            file = [w >> shift for w in wanted]
            try:
                found = in_lava(file, shifted_down=not scaled)
            except (LossyWeights, ValueError):
                continue
            if all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True)) and all(
                w.any() for w in file
            ):
                return [w.astype(np.float32) for w in file]
        found_range = f"{min(int(w.min()) for w in wanted)} .. {max(int(w.max()) for w in wanted)}"
        self.refusals.add(
            parts[0].name, f"weights {found_range} that netx would change", "8 bits, a positive weight"
        )
        return [w.astype(np.float32) for w in wanted]

    def _in_range(self, part: Synapse) -> None:
        low, high = int(part.weight.min()), int(part.weight.max())
        if not LOW <= low <= high <= HIGH:
            self.refusals.add(part.name, f"weights {low} .. {high}", f"{LOW} .. {HIGH}")

    # --- neurons ------------------------------------------------------------------------------------------------

    def _model(self, neuron: Neuron, layer: dict[str, Any]) -> None:
        writer = MODELS.get(neuron.model)
        if writer is None:
            self.refusals.add(neuron.name, f"neuron model {neuron.model}", ", ".join(MODELS))
            return
        complex_weights = "weight/imag" in layer
        if layer and complex_weights != (neuron.model in ("rf", "rf_iz")):
            self.refusals.add(
                neuron.name, f"{neuron.model} behind {layer['type']}", "RF behind two dense synapses"
            )
            return
        writer(self, neuron, layer)

    def _cuba(self, neuron: Neuron, layer: dict[str, Any]) -> None:
        params, is_input = neuron.params, layer.get("type") == "input"
        last = self.graph.output.inputs == (neuron.name,)
        if neuron.model == "cuba_voltage" and not last:
            self.refusals.add(neuron.name, "a voltage that is sent on", "a voltage as the read-out")
        vth = params.get("vth", rules.VTH_MAX)
        du, dv = np.asarray(params["du"]), np.asarray(params["dv"])
        ok = -1 <= du.min() <= du.max() <= 4095 and 0 <= dv.min() <= dv.max() <= 4096
        if (
            not ok
            or not 0 <= np.min(vth) <= np.max(vth) <= rules.VTH_MAX
            or (is_input and (du != rules.FORGET).any())
        ):
            self.refusals.add(
                neuron.name, "decays or threshold outside what the file holds", "12 and 18 bits"
            )
        if neuron.model == "cuba_lif" and last and np.min(vth) >= rules.NEVER:
            self.arguments["readout"] = "spikes"
        group = {"type": "CUBA", "iDecay": _flat(du + 1), "vDecay": _flat(dv), "vThMant": _flat(vth)}
        layer["neuron"] = {**group, "refDelay": 1, "gradedSpike": False}
        self._bias(neuron, layer, rules.STATE_EXP, rules.BIAS_MAX)

    def _sdnn(self, neuron: Neuron, layer: dict[str, Any]) -> None:
        params = neuron.params
        kind = layer.get("type", "")
        wanted: dict[str, Any] = {"message_bits": rules.SDNN_MESSAGE_BITS}
        if neuron.model != "delta":
            wanted["input_bits"] = 24 if kind == "conv" else 32
        if neuron.model == "sigma":
            wanted["message_bits"] = rules.MESSAGE_MAX
        else:
            wanted |= {"state_exp": rules.STATE_EXP, "cum_error": 0}
        if neuron.model == "sigma_delta":
            wanted["relu"] = 1
        wrong = {k: params[k] for k, v in wanted.items() if np.any(np.asarray(params[k]) != v)}
        if wrong:
            self.refusals.add(neuron.name, str(wrong), str({k: wanted[k] for k in wrong}))
        if (kind == "input") != (neuron.model == "delta"):
            self.refusals.add(
                neuron.name, f"{neuron.model} behind {kind or 'this'}", "delta as the input layer alone"
            )
        if neuron.model == "sigma":
            layer["neuron"] = {"type": "SDNN", "activation": "relu", "vThMant": 0, "sigma_output": True}
            return
        spike_exp = int(params.get("spike_exp", SPIKE_EXP))
        shift, vth = spike_exp + rules.STATE_EXP, np.asarray(params["vth"])
        if self.arguments.setdefault("spike_exp", spike_exp) != spike_exp:
            self.refusals.add(
                neuron.name, f"spike_exp {spike_exp}", f"{self.arguments['spike_exp']}, as before it"
            )
        if vth.size != 1 or (vth & ((1 << shift) - 1)).any() or not 0 <= vth.min() >> shift <= rules.SDNN_MAX:
            self.refusals.add(neuron.name, f"threshold {vth.min()}", f"one whole multiple of 2^{shift}")
        mantissa = int(vth.ravel()[0]) >> shift
        layer["neuron"] = {"type": "SDNN", "activation": "relu", "vThMant": mantissa}
        if neuron.model == "sigma_delta":
            self._bias(neuron, layer, shift, rules.SDNN_MAX)

    def _rf(self, neuron: Neuron, layer: dict[str, Any]) -> None:
        params = neuron.params
        sin, cos, vth = (np.asarray(params[n]) for n in ("sin_decay", "cos_decay", "vth"))
        stored = [_before_netx(int(s), int(c)) for s, c in np.broadcast(sin, cos)]
        if any(pair is None for pair in stored) or vth.size != 1 or (vth % (1 << rules.STATE_EXP)).any():
            self.refusals.add(
                neuron.name, "decays or a threshold that netx does not arrive at", "12-bit decays"
            )
            return
        pairs = np.array(stored)
        kind = "RF_PHASE" if neuron.model == "rf" else "RF"
        decays = {n: _flat(pairs[:, i]) for i, n in enumerate(("sinDecay", "cosDecay"))}
        layer["neuron"] = {"type": kind, **decays, "vThMant": int(vth.ravel()[0]) >> rules.STATE_EXP}

    def _bias(self, neuron: Neuron, layer: dict[str, Any], shift: int, limit: int) -> None:
        bias = np.asarray(neuron.params["bias"])
        if not bias.any() and bias.ndim == 0:
            return
        if layer.get("type") == "input":
            self.refusals.add(neuron.name, "a bias of an input layer", "none: its bias is its input")
        mantissa = bias >> shift
        if (mantissa << shift != bias).any() or np.abs(mantissa).max() > limit:
            self.refusals.add(neuron.name, "a bias that the file cannot hold", f"{limit} times 2^{shift}")
        channels = self.graph.shape(neuron.name)[0]
        if mantissa.ndim == 3 and mantissa.shape[1:] != (1, 1):
            mantissa = np.broadcast_to(mantissa, self.graph.shape(neuron.name)).transpose(2, 1, 0)
        else:
            mantissa = np.broadcast_to(mantissa.ravel(), (channels,))
        layer["bias"] = mantissa.astype(np.int64)

    def _reset(self, neuron: Neuron) -> None:
        """Resets are arguments of netx: one interval, phases one step apart, CUBA neurons alone."""
        can = neuron.model in ("cuba_lif", "cuba_voltage")
        if neuron.reset is None:
            if can and "reset_interval" in self.arguments:
                self.refusals.add(neuron.name, "no reset", "the reset of the layers before")
            self.never_reset = self.never_reset or can
            return
        interval, phase = neuron.reset
        offset = phase - 1 - self.process
        first = self.arguments.setdefault("reset_offset", offset)
        same = (
            self.arguments.setdefault("reset_interval", interval) == interval
            and (first - offset) % interval == 0
        )
        if not can or not same or self.never_reset:
            self.refusals.add(
                neuron.name, f"a reset of {neuron.reset}", "one interval, layers one step apart"
            )

    def _readout(self, output: Output) -> None:
        source = self.graph.nodes[output.inputs[0]]
        model = source.model if isinstance(source, Neuron) else ""
        natural = "last" if model in ("cuba_voltage", "sigma") else "sum"
        if output.readout != natural:
            self.refusals.add(output.name, f"readout {output.readout}", natural)

    # --- the file -----------------------------------------------------------------------------------------------

    def content(self) -> bytes:
        """The bytes of the HDF5 file."""
        if self.arguments.get("spike_exp") == SPIKE_EXP:
            del self.arguments["spike_exp"]
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            for number, layer in self.layers:
                group = file.create_group(f"layer/{number}")
                group.create_dataset("type", (1,), "S10", [layer.pop("type").encode("ascii")])
                _write(group, layer)
            _write(file.create_group("simulation"), {"Ts": 1, "tSample": self.graph.header.timesteps})
            if self.arguments:
                _write(file.create_group("arguments"), self.arguments)
        return buffer.getvalue()


MODELS = {
    "cuba_lif": _Export._cuba,
    "cuba_voltage": _Export._cuba,
    "delta": _Export._sdnn,
    "sigma_delta": _Export._sdnn,
    "sigma": _Export._sdnn,
    "rf": _Export._rf,
    "rf_iz": _Export._rf,
}


def _write(group: h5py.Group, fields: dict[str, Any]) -> None:
    for key, value in fields.items():
        if isinstance(value, dict):
            _write(group.create_group(key), value)
        else:
            group.create_dataset(key, data=value)


def _flat(value: Any) -> Any:
    """A plain integer, or one value for each channel."""
    array = np.asarray(value)
    return int(array.ravel()[0]) if array.size == 1 else array.ravel().astype(np.int64)


def _flattens(node: Node) -> bool:
    return isinstance(node, View) and node.op == "reshape" and len(node.args) == 1


def _before_netx(sin: int, cos: int) -> tuple[int, int] | None:
    """Decays for the file from which netx arrives at these: the same ones, or neighbours."""
    steps = sorted(((a, b) for a in range(-2, 3) for b in range(-2, 3)), key=lambda p: abs(p[0]) + abs(p[1]))
    for a, b in steps:
        s, c = sin + a, cos + b
        if max(abs(s), abs(c)) > rules.DECAY_ONE:
            continue
        found = rules.recomputed_decays(np.asarray(s), np.asarray(c))
        if (int(found[0]), int(found[1])) == (sin, cos):
            return s, c
    return None


def _describe(node: Node) -> str:
    extra = getattr(node, "model", "") or getattr(node, "op", "")
    return f"{node.kind} {extra}".strip()


WRITER = NetxWriter()
