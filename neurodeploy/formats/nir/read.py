"""NIR, the exchange format of spiking networks: a ``.nir`` file becomes a float graph with live neurons.

NIR describes neurons by differential equations; what a tick does is decided here and stands in the header's notes:
forward Euler with the step ``dt``, current before voltage, a strict threshold, then the reset. snnTorch (dt 1e-4) and
Norse run their networks like that, up to options of the reader; docs/formats.md has the table.

Loops wait one tick where a neuron feeds back, or as long as a Delay in the loop says. Weights keep their floats: the
build calibrates and quantises them. A file that this program exported carries its integers, and reading it gives the
integer graph back.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...array import Array
from ...errors import Problem
from ...ir.graph import Builder, Graph, Header, free_name, prune
from ...ir.nodes import Input, Neuron, Output, Sum, Synapse
from ...ir.types import Interval, Origin, Shape, Value
from .._base import Reader
from .._hdf5.read import Tree, read_tree
from . import integers as _nir_integers
from .file import Item, Network, flatten
from .nodes import DISCRETISATION, STREAM, Made, NirOptions, Sizes, make, ticks, value, waiting
from .order import NEURONS, WEIGHTS, Order, arrange

DEFAULT_TICKS = 16
MAX_AXES, MAX_ELEMENTS = 6, 1 << 24
#: neuron models whose output is no spike
VOLTAGES = ("leaky_integrator",)


class NirReader(Reader):
    """Reader of NIR files."""

    Options = NirOptions

    def load(self, path: Path, options: Any, timesteps: int | None) -> Graph:
        """The graph of a file: floats at level ``source``, or the integers of our own export."""
        tree = read_tree(Path(path))
        if options.integers == "auto" and _nir_integers.PLACE in tree.groups:
            whole = _nir_integers.read(tree, timesteps)
            tree.check()
            if whole is not None:
                return whole
        network = flatten(tree)
        tree.check()
        _check_ends(tree, network, options)
        return _Import(tree, network, options).graph(timesteps or DEFAULT_TICKS)


def _check_ends(tree: Tree, network: Network, options: NirOptions) -> None:
    """One Input, and one Output or one that is chosen; the others go."""
    inputs, outputs = network.of("Input"), network.of("Output")
    for kind, found in (("Input", inputs), ("Output", outputs)):
        if not found:
            tree.problem(
                "ND122", f"a network without a node {kind}", "node/nodes", "none", f"a node of type {kind}"
            )
    if len(inputs) > 1:
        shown = ", ".join(network.items[k].name for k in inputs)
        tree.problem(
            "ND125", "several inputs: the graph takes one stream", "node/nodes", shown, "one node Input"
        )
    names = {network.items[k].name: k for k in outputs}
    if options.output and options.output not in names:
        tree.problem(
            "ND125",
            "no Output of the name that was asked for",
            "node/nodes",
            options.output,
            ", ".join(names),
        )
    elif len(outputs) > 1 and not options.output:
        fixes = [f"--set reader.output={name}" for name in list(names)[:3]]
        tree.problem(
            "ND125", "several outputs: one is read out", "node/nodes", ", ".join(names), "one", *fixes
        )
    tree.check()
    for name, key in names.items():
        if options.output and name != options.output:
            del network.items[key]
            network.edges = [edge for edge in network.edges if key not in edge]


class _Import:
    """Shapes first, since loops need them ahead; then nodes in order."""

    def __init__(self, tree: Tree, network: Network, options: NirOptions) -> None:
        self.tree, self.network, self.options = tree, network, options
        self.delays: dict[str, Array] = {}
        self.made: dict[str, Made] = {}
        self.sizes: dict[str, Sizes] = {}
        self.names: dict[str, str] = {}  # item -> node that carries its value

    def graph(self, timesteps: int) -> Graph:
        """The graph, or ImportModelError with every problem of every node."""
        self._move_delays()
        order = arrange(self.network)
        self._note_loops(order)
        self._infer(order)
        self._check()
        builder = Builder(Header(self.tree.path.stem, "source", timesteps, notes={"nir": self._notes()}))
        reserved = {item.name for item in self.network.items.values()}
        for key in order.keys:
            self._add(builder, key, order, reserved)
        self._check()
        return prune(builder.build())

    def _check(self) -> None:
        for item in self.network.items.values():
            self.tree.problems += item.problems
        self.tree.check()

    def _notes(self) -> dict[str, Any]:
        options = {k: v for k, v in self.options.model_dump().items() if v is not None}
        return {"discretisation": DISCRETISATION, "version": self.tree.texts.get("version", ""), **options}

    # --- structure ---

    def _move_delays(self) -> None:
        """A Delay whose stream feeds weights alone becomes their delay."""
        for key, item in self.network.items.items():
            sources = self.network.sources(key)
            while (
                item.kind in WEIGHTS and len(sources) == 1 and self.network.items[sources[0]].kind == "Delay"
            ):
                delay = self.network.items[sources[0]]
                found = ticks(delay, self.options)
                if found is None or (item.kind not in ("Linear", "Affine") and np.unique(found).size != 1):
                    break
                before = self.delays.get(key, np.zeros((), np.int64))
                if found.size > 1 and before.size > 1 and found.shape != before.shape:
                    break
                feeding = self.network.sources(sources[0])
                self.delays[key] = before + (
                    found.flat[0] if np.unique(found).size == 1 else found.reshape(-1)
                )
                self.network.edges = [e for e in self.network.edges if e != (sources[0], key)]
                self.network.edges += [(source, key) for source in feeding]
                sources = feeding
        for key in self.network.of("Delay"):
            if not any(source == key for source, _ in self.network.edges):
                del self.network.items[key]  # all of it has moved
                self.network.edges = [e for e in self.network.edges if e[1] != key]

    def _note_loops(self, order: Order) -> None:
        for key in order.loops:
            self.network.items[key].problem(
                "ND126", "part of, or behind, a loop in which no neuron holds state"
            )
        for key in order.idle:
            self.network.items[key].problem("ND126", "nothing that the input drives reaches this node")

    def _infer(self, order: Order) -> None:
        """Shapes of all items, from the Input on; a leading 1 of its shape is a batch if the network takes none."""
        (source,) = self.network.of("Input")
        item = self.network.items[source]
        declared = item.whole("shape", 1, MAX_ELEMENTS, _length(self.tree, item, "shape"))
        if declared is None:
            return
        if len(declared) > MAX_AXES or int(np.prod(declared, dtype=object)) > MAX_ELEMENTS:
            item.problem(
                "ND123", "an input of more elements than any network has", "shape", declared, MAX_ELEMENTS
            )
            return
        candidates = [declared]
        while candidates[-1][0] == 1 and len(candidates[-1]) > 1:
            candidates.append(candidates[-1][1:])
        kept = {k: list(i.problems) for k, i in self.network.items.items()}
        tries: list[tuple[int, int, dict[str, list[Problem]]]] = []
        for sizes in candidates:
            self.made, self.sizes = {}, {source: sizes}
            self._spread(order)
            found = {k: list(i.problems) for k, i in self.network.items.items()}
            if found == kept:
                return
            tries.append((-len(self.sizes), sum(map(len, found.values())), found))
            for k, i in self.network.items.items():
                i.problems = list(kept[k])
        *_, furthest = min(
            tries, key=lambda t: t[:2]
        )  # the reading that got furthest, with the fewest problems
        for k, i in self.network.items.items():
            i.problems = furthest[k]

    def _spread(self, order: Order) -> None:
        """Make every item as soon as the shape of one of its sources is known."""
        before = {key: self.network.sources(key) for key in order.keys}
        waiting_keys = [k for k in order.keys if k not in self.sizes]
        while waiting_keys:
            left = []
            for key in waiting_keys:
                known = [self.sizes[s] for s in before[key] if s in self.sizes]
                if not known:
                    left.append(key)
                    continue
                item = self.network.items[key]
                if len(set(known)) > 1:
                    shown = ", ".join(
                        f"{self.network.items[s].name} {self.sizes.get(s)}" for s in before[key]
                    )
                    item.problem("ND126", "streams of different shapes meet", "", shown, "equal shapes")
                if item.kind == "Output":
                    self.sizes[key] = known[0]
                    self._check_output(item, known[0])
                    continue
                made = make(item, known[0], self.options)
                if made is not None:
                    self.made[key] = self._with_delay(item, key, made)
                    self.sizes[key] = made[-1][1].shape.sizes if made else known[0]
                elif (likely := self._likely(item, known[0])) is not None:
                    self.sizes[key] = likely  # so that what reads it is judged as well
            if len(left) == len(waiting_keys):
                return  # what is left reads only nodes that could not be made
            waiting_keys = left

    def _likely(self, item: Item, sizes: Sizes) -> Sizes | None:
        """The shape that a node of wrong parameters would have had."""
        weight = self.tree.arrays.get(f"{item.place}/weight")
        if item.kind in ("Linear", "Affine"):
            return weight.shape[:1] if weight is not None and weight.ndim == 2 and len(weight) else None
        return sizes if item.kind in (*NEURONS, "Scale", "Delay") else None

    def _check_output(self, item: Item, sizes: Sizes) -> None:
        if not item.has("shape"):
            return
        declared = item.numbers("shape")
        if declared is None:
            return
        shape = declared.ravel().tolist()
        while len(shape) > len(sizes) and shape[0] == 1:
            shape = shape[1:]
        if shape and tuple(shape) != sizes and int(np.prod(shape)) != 1:
            item.problem(
                "ND126", "the output declares another shape than it gets", "shape", tuple(shape), sizes
            )

    def _with_delay(self, item: Item, key: str, made: Made) -> Made:
        """Weights with the delay that stood before them."""
        found = self.delays.get(key)
        if found is None or not found.any():
            return made
        return [(self._delayed(item, n, found) if isinstance(n, Synapse) else n, v) for n, v in made]

    def _delayed(self, item: Item, node: Synapse, delay: Array) -> Synapse:
        if np.unique(delay).size == 1:
            return replace(node, delay=int(delay.flat[0]))
        if delay.shape != node.weight.shape[1:]:
            item.problem(
                "ND126", "delays do not fit the weights behind them", "", delay.shape, node.weight.shape[1:]
            )
            return node
        return replace(node, delay=np.broadcast_to(delay, node.weight.shape).copy())

    # --- nodes ---

    def _add(self, builder: Builder, key: str, order: Order, reserved: set[str]) -> None:
        """Append the nodes of one item, in front of them what its edges ask for."""
        item = self.network.items[key]
        if item.kind == "Input":
            self.names[key] = builder.add(*self._input(item, self.sizes[key]))
            return
        made = self.made.get(key, [])
        sources = self.network.sources(key)
        late = [s for s in sources if (s, key) in order.feedback]
        if late and item.kind == "Delay":
            made = self._waiting_delay(item, self.sizes[late[0]], len(sources)) or made
        if late and len(sources) == 1 and made and isinstance(made[0][0], Synapse):
            # weights that alone read the neuron wait themselves
            made = [(self._waiting(made[0][0]), made[0][1]), *made[1:]]
            stream = self.network.items[late[0]].name
        else:
            streams = [
                self._identity(builder, item, s, reserved) if s in late else self.names[s] for s in sources
            ]
            stream = streams[0]
            if len(streams) > 1:
                name = _free(f"{item.name}.sum", reserved)
                sizes = self.sizes[sources[0]]
                stream = builder.add(
                    Sum(name=name, inputs=tuple(streams), signs=(1,) * len(streams)), value(sizes)
                )
        if item.kind == "Output":
            self.names[key] = builder.add(*self._output(builder, item, stream))
            return
        known = {STREAM: stream}
        for node, facts in made:
            name = item.name if node.name == item.name else _free(node.name, reserved)
            inputs = tuple(known[i] for i in node.inputs)
            made_here = replace(
                node, name=name, inputs=inputs, origin=(Origin(item.name, f"nir.{item.kind}"),)
            )
            known[node.name] = stream = builder.add(made_here, facts)
        self.names[key] = stream

    def _waiting_delay(self, item: Item, sizes: Sizes, sources: int) -> Made | None:
        """A Delay of a loop that no weights took over: it reads the neuron, and the loop waits its ticks alone."""
        found = ticks(item, self.options)
        if sources > 1:
            fix = "give the neuron that feeds back a Delay of its own"
            item.problem(
                "ND125", "a Delay that joins a loop and other streams", "", f"{sources} streams", "one", fix
            )
        if found is None or sources > 1:
            return None
        return waiting(item, item.name, sizes, np.maximum(found, 1), feedback=True)

    def _waiting(self, node: Any) -> Synapse:
        delay = np.maximum(node.delay, 1)
        return replace(node, delay=int(delay) if delay.ndim == 0 else delay)

    def _identity(self, builder: Builder, item: Item, source: str, reserved: set[str]) -> str:
        """A feedback without weights of its own: an identity that waits one tick."""
        neuron, sizes = self.network.items[source], self.sizes[source]
        name = _free(f"{item.name}.feedback", reserved)
        made = waiting(item, name, sizes, np.ones((), np.int64), feedback=True)
        if made is None:
            return neuron.name  # refused; the problem is noted
        ((node, facts),) = made
        return builder.add(replace(node, inputs=(neuron.name,)), facts)

    def _input(self, item: Item, sizes: Sizes) -> tuple[Input, Value]:
        options = self.options
        range_ = Interval(-options.input_max if options.input_signed else 0, options.input_max, True)
        node = Input(name=item.name, scale=options.input_scale, per_tick=options.per_tick)
        return node, replace(value(sizes), interval=range_)

    def _output(self, builder: Builder, item: Item, stream: str) -> tuple[Output, Value]:
        found, readout = value(builder.shape(stream)), self.options.readout
        if len(found.shape.sizes) == 1:
            found = Value(Shape(("K",), found.shape.sizes))
        if readout == "auto":
            behind = builder.nodes[stream]
            while behind.inputs and not isinstance(behind, Neuron):
                behind = builder.nodes.get(behind.inputs[0], Neuron(name="", model=""))
            readout = "last" if isinstance(behind, Neuron) and behind.model in VOLTAGES else "sum"
        return Output(name=item.name, inputs=(stream,), readout=readout), found


def _length(tree: Tree, item: Item, key: str) -> int:
    found = tree.arrays.get(f"{item.place}/{key}")
    return 1 if found is None else max(found.size, 1)


def _free(name: str, reserved: set[str]) -> str:
    """A name that no node of the file has and that was not given yet."""
    free = free_name(name, reserved)
    reserved.add(free)
    return free


READER = NirReader()
