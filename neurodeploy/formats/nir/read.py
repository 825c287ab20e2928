"""NIR, the exchange format of spiking networks: a ``.nir`` file becomes a float graph with live neurons.

NIR describes neurons by differential equations; what a tick does is decided here and stands in the header's notes:
forward Euler with the step ``dt``, current before voltage, a strict threshold, then the reset. snnTorch (dt 1e-4) and
Norse run their networks like that, up to options of the reader; docs/formats.md has the table.

Loops wait one tick where a neuron feeds back, or as long as a Delay in the loop says. Weights keep their floats: the
build calibrates and quantises them. A file that this program exported carries its integers, and reading it gives the
integer graph back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from ...array import Array
from ...ir.graph import Builder, Graph, Header, free_name, prune
from ...ir.nodes import Input, Neuron, Node, Output, Sum, Synapse
from ...ir.types import Interval, Origin, Shape, Value
from .._hdf5.read import read_tree
from .._hdf5.tree import Tree
from . import integers, tools
from .file import ENDS, STREAM, Item, Made, Network, Sizes, flatten, value
from .neurons import KINDS
from .nodes import make, ticks, waiting
from .options import ORDER, NirOptions
from .order import MATRICES, WEIGHTS, Order, arrange

DEFAULT_TICKS = 16
MAX_AXES, MAX_ELEMENTS = 6, 1 << 24
#: neuron models whose output is no spike
VOLTAGES = ("leaky_integrator",)


def load(path: Path, options: NirOptions, timesteps: int | None = None) -> Graph:
    """The graph of a file: floats at level ``source``, or the integers of our own export.

    Raises ImportModelError ND121 to ND126 with every problem of the file.
    """
    tree = read_tree(Path(path))
    if options.integers == "auto" and integers.PLACE in tree.groups:
        whole = integers.read(tree, timesteps)
        tree.check()
        if whole is not None:
            return whole
    return imported(tree, options, timesteps or DEFAULT_TICKS)


def imported(tree: Tree, options: NirOptions, timesteps: int) -> Graph:
    """The float graph of a file, whatever integers stand beside it."""
    network = flatten(tree)
    tree.check()
    _choose_ends(tree, network, options.output)
    options, assumed = tools.settled(network, options)
    graph = _Import(tree, network, options, timesteps).graph()
    return graph.with_header(
        notes={**graph.header.notes, "remarks": [asdict(problem) for problem in assumed]}
    )


def _choose_ends(tree: Tree, network: Network, chosen: str) -> None:
    """One Input, and one Output or the one that is chosen; the others go."""
    for kind in ENDS:
        if not network.of(kind):
            cause, limit = f"a network without a node {kind}", f"a node of type {kind}"
            tree.problem("ND122", cause, "node/nodes", "none", limit)
    inputs, outputs = ({network.items[key].name: key for key in network.of(kind)} for kind in ENDS)
    if len(inputs) > 1:
        cause = "several inputs: the graph takes one stream"
        tree.problem("ND125", cause, "node/nodes", ", ".join(inputs), "one node Input")
    if chosen and chosen not in outputs:
        cause = "no Output of the name that was asked for"
        tree.problem("ND125", cause, "node/nodes", chosen, ", ".join(outputs))
    elif len(outputs) > 1 and not chosen:
        fixes = [f"--set reader.output={name}" for name in list(outputs)[:3]]
        cause = "several outputs: one is read out"
        tree.problem("ND125", cause, "node/nodes", ", ".join(outputs), "one", *fixes)
    tree.check()
    for name, key in outputs.items():
        if chosen and name != chosen:
            network.drop(key)


class _Import:
    """Shapes first, since loops need them ahead; then nodes in order."""

    def __init__(self, tree: Tree, network: Network, options: NirOptions, timesteps: int) -> None:
        self.tree, self.network, self.options = tree, network, options
        said = {k: v for k, v in options.model_dump().items() if v is not None}
        said = {"discretisation": ORDER, "version": tree.texts.get("version", ""), **said}
        self.builder = Builder(Header(tree.path.stem, "source", timesteps, notes={"nir": said}))
        self.delays: dict[str, Array] = {}
        self.made: dict[str, Made] = {}
        self.sizes: dict[str, Sizes] = {}
        self.names: dict[str, str] = {}  # item -> node that carries its value
        self.reserved = {item.name for item in network.items.values()}

    def graph(self) -> Graph:
        """The graph, or ImportModelError with every problem of every node."""
        self._move_delays()
        order = arrange(self.network)
        for key in order.loops:
            cause = "part of, or behind, a loop in which no neuron holds state"
            self.network.items[key].problem("ND126", cause)
        for key in order.idle:
            self.network.items[key].problem("ND126", "nothing that the input drives reaches this node")
        self._infer(order)
        self._check()
        for key in order.keys:
            self._add(key, order)
        self._check()
        return prune(self.builder.build())

    def _check(self) -> None:
        for item in self.network.items.values():
            self.tree.problems += item.problems
        self.tree.check()

    def _move_delays(self) -> None:
        """A Delay whose stream feeds weights alone becomes their delay."""
        for key in [k for kind in WEIGHTS for k in self.network.of(kind)]:
            while self._move_delay(key):
                pass
        for key in self.network.of("Delay"):
            if not any(source == key for source, _ in self.network.edges):
                self.network.drop(key)  # all of it has moved

    def _move_delay(self, key: str) -> bool:
        """Let weights take over the Delay that alone feeds them; False where there is none that they can take."""
        sources, items = self.network.sources(key), self.network.items
        if len(sources) != 1 or items[sources[0]].kind != "Delay":
            return False
        found = ticks(items[sources[0]], self.options)
        if found is None:
            return False
        one = np.unique(found).size == 1
        before = self.delays.get(key, np.zeros((), np.int64))
        if not one and (items[key].kind not in MATRICES or (before.size > 1 and found.shape != before.shape)):
            return False
        self.delays[key] = before + (found.flat[0] if one else found.reshape(-1))
        edges = [edge for edge in self.network.edges if edge != (sources[0], key)]
        self.network.edges = edges + [(source, key) for source in self.network.sources(sources[0])]
        return True

    def _infer(self, order: Order) -> None:
        """Shapes of all items, from the Input on; a leading 1 of its shape is a batch if the network takes none."""
        (source,) = self.network.of("Input")
        item = self.network.items[source]
        declared = item.whole("shape", 1, MAX_ELEMENTS)
        if declared is None:
            return
        if len(declared) > MAX_AXES or int(np.prod(declared, dtype=object)) > MAX_ELEMENTS:
            cause = "an input of more elements than any network has"
            item.problem("ND123", cause, "shape", declared, MAX_ELEMENTS)
            return
        candidates = [declared]
        while candidates[-1][0] == 1 and len(candidates[-1]) > 1:
            candidates.append(candidates[-1][1:])
        kept = {key: len(item.problems) for key, item in self.network.items.items()}
        tries: list[tuple[int, int, Sizes]] = []
        for sizes in candidates:
            found = self._spread(order, source, sizes, kept)
            if not found:
                return
            tries.append((-len(self.sizes), found, sizes))
        # the reading that got furthest, with the fewest problems
        *_, furthest = min(tries, key=lambda t: t[:2])
        self._spread(order, source, furthest, kept)

    def _spread(self, order: Order, source: str, sizes: Sizes, kept: Mapping[str, int]) -> int:
        """Make every item as soon as the shape of one that it reads is known; how many problems this adds."""
        items = self.network.items
        for key, count in kept.items():
            del items[key].problems[count:]
        self.made, self.sizes = {}, {source: sizes}
        before = {key: self.network.sources(key) for key in order.keys}
        waiting_keys = [k for k in order.keys if k != source]
        while waiting_keys:
            left = []
            for key in waiting_keys:
                known = [self.sizes[s] for s in before[key] if s in self.sizes]
                if not known:
                    left.append(key)
                    continue
                if len(set(known)) > 1:
                    names = (f"{items[s].name} {self.sizes.get(s)}" for s in before[key])
                    cause = "streams of different shapes meet"
                    items[key].problem("ND126", cause, "", ", ".join(names), "equal shapes")
                self._make(key, items[key], known[0])
            if len(left) == len(waiting_keys):
                break  # what is left reads only nodes that could not be made
            waiting_keys = left
        return sum(len(items[key].problems) - count for key, count in kept.items())

    def _make(self, key: str, item: Item, sizes: Sizes) -> None:
        """The nodes of one item behind a stream, and the shape of what it sends."""
        if item.kind == "Output":
            self.sizes[key] = sizes
            self._check_output(item, sizes)
        elif (made := make(item, sizes, self.options)) is not None:
            self.made[key] = [(self._delayed(key, node), facts) for node, facts in made]
            self.sizes[key] = made[-1][1].shape.sizes if made else sizes
        elif (likely := self._likely(item, sizes)) is not None:
            self.sizes[key] = likely  # so that what reads it is judged as well

    def _likely(self, item: Item, sizes: Sizes) -> Sizes | None:
        """The shape that a node of wrong parameters would have had."""
        weight = self.tree.arrays.get(f"{item.place}/weight")
        if item.kind in MATRICES:
            return weight.shape[:1] if weight is not None and weight.ndim == 2 and len(weight) else None
        return sizes if item.kind in (*KINDS, "Scale", "Delay") else None

    def _check_output(self, item: Item, sizes: Sizes) -> None:
        declared = item.numbers("shape") if item.has("shape") else None
        if declared is None:
            return
        shape = tuple(declared.ravel().tolist())
        while len(shape) > len(sizes) and shape[0] == 1:
            shape = shape[1:]
        if shape and shape != sizes and int(np.prod(shape)) != 1:
            item.problem("ND126", "the output declares another shape than it gets", "shape", shape, sizes)

    def _delayed(self, key: str, node: Node) -> Node:
        """Weights with the delay that stood before them; other nodes as they are."""
        delay = self.delays.get(key)
        if delay is None or not delay.any() or not isinstance(node, Synapse):
            return node
        columns = node.weight.shape[1:]
        if np.unique(delay).size == 1:
            return replace(node, delay=int(delay.flat[0]))
        if delay.shape != columns:
            cause = "delays do not fit the weights behind them"
            self.network.items[key].problem("ND126", cause, "", delay.shape, columns)
            return node
        return replace(node, delay=np.broadcast_to(delay, node.weight.shape).copy())

    def _add(self, key: str, order: Order) -> None:
        """Append the nodes of one item, in front of them what its edges ask for."""
        item = self.network.items[key]
        if item.kind == "Input":
            self.names[key] = self.builder.add(*self._input(item, self.sizes[key]))
            return
        made = self.made.get(key, [])
        sources = self.network.sources(key)
        late = [s for s in sources if (s, key) in order.feedback]
        if late and item.kind == "Delay":
            made = self._waiting_delay(item, self.sizes[late[0]], len(sources)) or made
        first = made[0][0] if made else None
        if late and len(sources) == 1 and isinstance(first, Synapse):
            # weights that alone read the neuron wait themselves, a tick at least
            made = [(_waiting(first), made[0][1]), *made[1:]]
            stream = self.network.items[late[0]].name
        else:
            stream = self._stream(item, sources, late)
        if item.kind == "Output":
            self.names[key] = self.builder.add(*self._output(item, stream))
            return
        known, origin = {STREAM: stream}, (Origin(item.name, f"nir.{item.kind}"),)
        for node, facts in made:
            name = item.name if node.name == item.name else self._free(node.name)
            inputs = tuple(known[i] for i in node.inputs)
            placed = replace(node, name=name, inputs=inputs, origin=origin)
            known[node.name] = stream = self.builder.add(placed, facts)
        self.names[key] = stream

    def _stream(self, item: Item, sources: list[str], late: list[str]) -> str:
        """What an item reads: the sum of its sources, of which late ones wait a tick."""
        streams = [self._identity(item, s) if s in late else self.names[s] for s in sources]
        if len(streams) == 1:
            return streams[0]
        name = self._free(f"{item.name}.sum")
        node = Sum(name=name, inputs=tuple(streams), signs=(1,) * len(streams))
        return self.builder.add(node, value(self.sizes[sources[0]]))

    def _free(self, name: str) -> str:
        """A name that no node of the file has and that was not given yet."""
        free = free_name(name, self.reserved)
        self.reserved.add(free)
        return free

    def _waiting_delay(self, item: Item, sizes: Sizes, sources: int) -> Made | None:
        """A Delay of a loop that no weights took over: it reads the neuron, and the loop waits its ticks alone."""
        found = ticks(item, self.options)
        if sources > 1:
            cause = "a Delay that joins a loop and other streams"
            fix = "give the neuron that feeds back a Delay of its own"
            item.problem("ND125", cause, "", f"{sources} streams", "one", fix)
        if found is None or sources > 1:
            return None
        full = item.spread("delay", np.maximum(found, 1), sizes)
        return None if full is None else waiting(item, item.name, sizes, full, feedback=True)

    def _identity(self, item: Item, source: str) -> str:
        """A feedback without weights of its own: an identity that waits one tick."""
        neuron, name = self.network.items[source], self._free(f"{item.name}.feedback")
        made = waiting(item, name, self.sizes[source], np.ones((), np.int64), feedback=True)
        if made is None:
            return neuron.name  # refused; the problem is noted
        ((node, facts),) = made
        return self.builder.add(replace(node, inputs=(neuron.name,)), facts)

    def _input(self, item: Item, sizes: Sizes) -> tuple[Input, Value]:
        options = self.options
        range_ = Interval(-options.input_max if options.input_signed else 0, options.input_max, True)
        node = Input(name=item.name, scale=options.input_scale, per_tick=options.per_tick)
        return node, replace(value(sizes), interval=range_)

    def _output(self, item: Item, stream: str) -> tuple[Output, Value]:
        found, readout = value(self.builder.shape(stream)), self.options.readout
        if len(found.shape.sizes) == 1:
            found = Value(Shape(("K",), found.shape.sizes))
        if readout == "auto":
            behind = self.builder.nodes[stream]
            while behind.inputs and not isinstance(behind, Neuron):
                behind = self.builder.nodes.get(behind.inputs[0], Neuron(name="", model=""))
            readout = "last" if isinstance(behind, Neuron) and behind.model in VOLTAGES else "sum"
        return Output(name=item.name, inputs=(stream,), readout=readout), found


def _waiting(node: Synapse) -> Synapse:
    """The same weights, a tick later at least."""
    delay = np.maximum(node.delay, 1)
    return replace(node, delay=delay if delay.ndim else int(delay))
