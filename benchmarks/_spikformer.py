"""The workload of the engine's benchmark: a membrane-shortcut Spikformer with random integer weights.

Every linear layer but the first has binary input, as the residual is added to membranes and not to spikes: with
thresholds that give 15 % spikes everywhere the load is that of Spikformer at any depth. Attention is Q (K^T V), the
cheaper of the two orders, which the importer would choose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neurodeploy.array import Array
from neurodeploy.ir import intervals
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.neuron_model import NEURONS
from neurodeploy.ir.nodes import Input, Micro, Neuron, Output, Product, Reduce, Sum, Synapse, View
from neurodeploy.ir.types import BINARY, DENSE, Code, Fixed, Interval, Shape, Value
from neurodeploy.simulate import Engine

TICKS, DENSITY, CLASSES, PIXEL = 4, 0.15, 10, 15
#: dv and du of every neuron: half of the voltage stays, nothing of the current
DV, DU = 2048, 4095
#: width of what a branch adds to the residual stream
BRANCH_BITS = 13


@dataclass(frozen=True)
class Size:
    """Blocks, channels, tokens, heads, and inputs of a patch."""

    depth: int
    dim: int
    tokens: int
    heads: int
    patch: int


SIZES = {"S": Size(2, 64, 16, 4, 4), "M": Size(4, 384, 64, 12, 48)}


class _Sketch:
    """A graph in the making, with one generator for all weights."""

    def __init__(self, size: Size, thresholds: dict[str, int]) -> None:
        self.size, self.thresholds = size, thresholds
        self.rng = np.random.default_rng(0)
        self.build = Builder(Header("spikformer", "integer", TICKS))

    def add(
        self, node: Any, sizes: tuple[int, ...], roles: str = "NC", bits: int = 32, code: Code = DENSE
    ) -> str:
        """A node whose value has these axes and so many bits."""
        value = Value(Shape(tuple(roles), sizes), code, fixed=Fixed(bits, True, 1.0))
        return self.build.add(node, value)

    def linear(self, name: str, source: str, outputs: int) -> str:
        """8-bit weights, as a quantizer would leave them: the largest of each row is near 127."""
        rows, inputs = self.build.shape(source)
        weight = np.clip(np.rint(self.rng.normal(0, 42, (outputs, inputs))), -127, 127).astype(np.int64)
        bias = self.rng.integers(-40, 41, outputs)
        return self.add(Synapse(name=name, inputs=(source,), weight=weight, bias=bias), (rows, outputs))

    def branch(self, name: str, source: str, outputs: int) -> str:
        """A layer whose sums enter the residual stream, scaled by channel."""
        scaled = self.linear(name, source, outputs)
        multiplier = self.rng.integers(1 << 14, 1 << 15, outputs)
        params = {"multiplier": multiplier, "shift": np.full(outputs, 16), "bits": BRANCH_BITS}
        node = Micro(name=f"{name}.rescale", inputs=(scaled,), op="rescale", params=params, timing="instant")
        return self.add(node, self.build.shape(scaled), bits=BRANCH_BITS)

    def lif(self, name: str, source: str) -> str:
        """Leaky integrate-and-fire."""
        params = {"du": DU, "dv": DV, "vth": self.thresholds.get(name, 100)}
        node = Neuron(name=name, inputs=(source,), model="lif", params=params)
        return self.add(node, self.build.shape(source), bits=1, code=BINARY)

    def heads(self, name: str, source: str) -> str:
        """(N, C) as (H, N, C / H)."""
        rows, dim = self.build.shape(source)
        count = self.size.heads
        split = View(name=f"{name}.split", inputs=(source,), op="reshape", args=(rows, count, dim // count))
        cut = self.add(split, split.args, "NHC", 1, BINARY)
        turned = View(name=f"{name}.heads", inputs=(cut,), op="permute", args=(1, 0, 2))
        return self.add(turned, (count, rows, dim // count), "HNC", 1, BINARY)

    def attention(self, name: str, source: str) -> str:
        """Q (K^T V) of every head, back as (N, C)."""
        spikes = (
            self.lif(f"{name}.{p}.lif", self.linear(f"{name}.{p}", source, self.size.dim)) for p in "qkv"
        )
        q, k, v = (self.heads(f"{name}.{p}", x) for p, x in zip("qkv", spikes, strict=True))
        heads, rows, width = self.build.shape(q)
        pairs = Product(name=f"{name}.kv", inputs=(k, v), equation="hnc,hnd->hcd", timing="instant")
        kv = self.add(pairs, (heads, width, width), "HCC")
        mixed = Product(name=f"{name}.mix", inputs=(q, kv), equation="hnc,hcd->hnd", timing="instant")
        mix = self.add(mixed, (heads, rows, width), "HNC")
        turned = View(name=f"{name}.turned", inputs=(mix,), op="permute", args=(1, 0, 2))
        joined = View(name=f"{name}.joined", inputs=(self.add(turned, (rows, heads, width), "NHC"),), op="reshape",
                      args=(rows, heads * width))  # fmt: skip
        return self.lif(f"{name}.lif", self.add(joined, (rows, heads * width)))

    def residual(self, name: str, stream: str, branch: str) -> str:
        """The stream with a branch added."""
        return self.add(
            Sum(name=name, inputs=(stream, branch), signs=(1, 1)), self.build.shape(stream), bits=20
        )

    def graph(self) -> Graph:
        """The whole network with proven intervals."""
        size = self.size
        sizes = (size.tokens, size.patch)
        image = Value(Shape(("N", "C"), sizes), fixed=Fixed(4, False, 1.0), interval=Interval(0, PIXEL, True))
        self.build.add(Input(name="image"), image)
        stream = self.branch(
            "embed", self.lif("patch.lif", self.linear("patch", "image", size.dim)), size.dim
        )
        for i in range(size.depth):
            spikes = self.attention(f"{i}.attention", self.lif(f"{i}.lif1", stream))
            stream = self.residual(f"{i}.sum1", stream, self.branch(f"{i}.out", spikes, size.dim))
            hidden = self.lif(
                f"{i}.hidden", self.linear(f"{i}.up", self.lif(f"{i}.lif2", stream), 4 * size.dim)
            )
            stream = self.residual(f"{i}.sum2", stream, self.branch(f"{i}.down", hidden, size.dim))
        counts = Reduce(name="pool", inputs=(self.lif("lif", stream),), op="sum", axes=(0,), keepdims=True)
        logits = self.linear("head", self.add(counts, (1, size.dim), "NC"), CLASSES)
        flat = View(name="logits", inputs=(logits,), op="reshape", args=(CLASSES,))
        self.add(Output(name="out", inputs=(self.add(flat, (CLASSES,), "K"),)), (CLASSES,), "K")
        return intervals.propagate(self.build.build())


def graph(size: Size, thresholds: dict[str, int]) -> Graph:
    """The network with these thresholds; 100 where none is given."""
    return _Sketch(size, thresholds).graph()


def inputs(size: Size, count: int, seed: int = 1) -> Array:
    """Noise as raw inputs."""
    return np.random.default_rng(seed).integers(0, PIXEL + 1, (count, size.tokens, size.patch))


#: the smallest and largest value of what comes into a block, by its kind; others in between are as likely
STREAMS = {"binary": (0, 1), "ternary": (-1, 1), "multi": (-7, 7), "graded": (0, 127)}


def block(size: Size, thresholds: dict[str, int], stream: str = "binary") -> Graph:
    """The MLP of one block, two layers with LIF, on a stream of this kind that differs from tick to tick."""
    sketch = _Sketch(size, thresholds)
    lo, hi = STREAMS[stream]
    fixed = Fixed(8, lo < 0, 1.0)
    shape = Shape(("N", "C"), (size.tokens, size.dim))
    sketch.build.add(
        Input(name="image", per_tick=True), Value(shape, fixed=fixed, interval=Interval(lo, hi, True))
    )
    # sums of wide numbers are scaled to the range of a LIF
    layer = sketch.branch if stream == "graded" else sketch.linear
    hidden = sketch.lif("hidden", layer("up", "image", 4 * size.dim))
    out = sketch.lif("lif", sketch.linear("down", hidden, size.dim))
    sketch.add(Output(name="out", inputs=(out,)), (size.tokens, size.dim), bits=8)
    return intervals.propagate(sketch.build.build())


def events(size: Size, count: int, stream: str, density: float, seed: int = 1) -> Array:
    """Raw inputs of a block (B, T, N, C): this share of them is not zero."""
    rng, (lo, hi) = np.random.default_rng(seed), STREAMS[stream]
    values = np.setdiff1d(np.arange(lo, hi + 1), 0)
    shape = (count, TICKS, size.tokens, size.dim)
    return np.where(rng.random(shape) < density, rng.choice(values, shape), 0)


def tuned(make: Callable[[dict[str, int]], Graph], x: Array, density: float = DENSITY) -> dict[str, int]:
    """Thresholds by name at which this share of every population's elements spikes, found one after the other."""
    found: dict[str, int] = {}
    for node in make({}).of(Neuron):
        (source,) = node.inputs
        trace = Engine(_until(make(found), node.name)).run(x, [source])
        found[node.name] = _threshold(trace.values[source], density)
    return found


def _until(whole: Graph, name: str) -> Graph:
    """The graph up to a population, which is read out."""
    names = list(whole.nodes)
    nodes = {n: whole.nodes[n] for n in names[: names.index(name) + 1]}
    out = replace(whole.output, inputs=(name,))
    values = {n: whole.values[n] for n in nodes}
    values[out.name] = replace(whole.values[name], fixed=Fixed(8, True, 1.0))
    return intervals.propagate(Graph({**nodes, out.name: out}, values, whole.header))


def _threshold(x: Array, density: float) -> int:
    """The smallest threshold at which at most this share of the updates spikes, for inputs (T, B, ...)."""
    step = NEURONS["lif"].int_step
    low, high = 0, (1 << 17) - 1
    while low < high:
        middle = (low + high) // 2
        u = v = np.zeros(x.shape[1:], np.int64)
        spikes = 0
        for now in x:
            s, u, v, _ = step(now, u, v, DU, DV, middle)
            spikes += int(s.sum())
        low, high = (low, middle) if spikes <= density * x.size else (middle + 1, high)
    return low
