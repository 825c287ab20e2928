"""Small integer graphs to map: perceptrons, convolutions and transformer blocks with random weights."""

from __future__ import annotations

import numpy as np

from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.micro_op import MICROCODE
from neurodeploy.ir.nodes import (
    Const,
    Input,
    Micro,
    Neuron,
    Node,
    Output,
    Product,
    Reduce,
    Sum,
    Synapse,
    View,
)
from neurodeploy.ir.types import BINARY, DENSE, Code, Fixed, Interval, Shape, Value, graded

LIF = {"du": 4095, "dv": 2048, "vth": 100}
MULTI = {"base_p": 2, "base_n": 2, "unit_p": 1, "unit_n": 1, "levels": 4, "rule": 0}


class Net(Builder):
    """A builder with one method per kind; every method returns the new node's name."""

    def __init__(self, seed: int = 0, timesteps: int = 4) -> None:
        super().__init__(Header(level="integer", timesteps=timesteps))
        self.random = np.random.default_rng(seed)

    def put(
        self, node: Node, roles: str, sizes: tuple[int, ...], code: Code = DENSE, bits: int = 24, top: int = 0
    ) -> str:
        top = top or (1 if code == BINARY else 2 ** (bits - 1) - 1)
        low = 0 if code == BINARY else -top
        shape = Shape(tuple(roles), tuple(sizes))
        return self.add(
            node, Value(shape, code, "instant", Fixed(bits, True, 2.0**-16), Interval(low, top, True))
        )

    def roles(self, x: str) -> str:
        return "".join(self.values[x].shape.roles)

    def sizes(self, x: str) -> tuple[int, ...]:
        return self.values[x].shape.sizes

    def input(self, roles: str, *sizes: int, code: Code = BINARY) -> str:
        return self.put(Input(name="x"), roles, sizes, code, 8)

    def dense(self, x: str, width: int, name: str = "fc", top: int = 127) -> str:
        weight = self.random.integers(-top, top + 1, (width, self.sizes(x)[-1]))
        node = Synapse(name=name, inputs=(x,), weight=weight)
        return self.put(node, self.roles(x), (*self.sizes(x)[:-1], width))

    def conv(
        self,
        x: str,
        width: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        name: str = "conv",
        top: int = 127,
        groups: int = 1,
    ) -> str:
        channels, height, length = self.sizes(x)
        weight = self.random.integers(-top, top + 1, (width, channels // groups, kernel, kernel))
        node = Synapse(
            name=name,
            inputs=(x,),
            weight=weight,
            op="conv",
            stride=(stride, stride),
            padding=(padding, padding),
            groups=groups,
        )
        sizes = [(n + 2 * padding - kernel) // stride + 1 for n in (height, length)]
        return self.put(node, "CYX", (width, *sizes))

    def lif(self, x: str, name: str = "lif") -> str:
        return self.put(
            Neuron(name=name, inputs=(x,), model="lif", params=LIF), self.roles(x), self.sizes(x), BINARY, 2
        )

    def multi(self, x: str, name: str = "mt") -> str:
        node = Neuron(name=name, inputs=(x,), model="multi_threshold", params=MULTI)
        return self.put(node, self.roles(x), self.sizes(x), graded(16), 16)

    def total(self, *inputs: str, name: str = "add") -> str:
        widest = max(inputs, key=lambda i: self.values[i].shape.size)
        return self.put(Sum(name=name, inputs=inputs), self.roles(widest), self.sizes(widest))

    def micro(self, x: str, op: str, name: str = "", timing: str = "cumulative", **params: object) -> str:
        member, value = MICROCODE[op], self.values[x]
        given = {**member.example(self.sizes(x)[-1]), **params}
        ints = member.quantize(given, value.fixed, value.interval, {}).params
        node = Micro(name=name or op, inputs=(x,), op=op, timing=timing, params=ints)
        return self.put(node, self.roles(x), self.sizes(x))

    def product(
        self, a: str, b: str, equation: str, roles: str, name: str = "product", timing: str = "cumulative"
    ) -> str:
        size = dict(zip(equation.split(",")[0], self.sizes(a), strict=True))
        size |= dict(zip(equation.split(",")[1].split("->")[0], self.sizes(b), strict=True))
        node = Product(name=name, inputs=(a, b), equation=equation, timing=timing)
        return self.put(node, roles, tuple(size[c] for c in equation.split("->")[1]))

    def view(
        self, inputs: str | tuple[str, ...], op: str, args: tuple[int, ...], roles: str, name: str = "view"
    ) -> str:
        inputs = (inputs,) if isinstance(inputs, str) else inputs
        node = View(name=name, inputs=inputs, op=op, args=args)
        sizes = node.apply([np.zeros(self.sizes(i)) for i in inputs]).shape
        value = self.values[inputs[0]]
        return self.put(node, roles, sizes, value.code, value.fixed.bits)

    def const(self, value: np.ndarray, roles: str, name: str = "const") -> str:
        return self.put(Const(name=name, value=value), roles, value.shape)

    def reduce(self, x: str, op: str, axes: tuple[int, ...], roles: str, name: str = "reduce") -> str:
        sizes = tuple(n for a, n in enumerate(self.sizes(x)) if a not in axes)
        return self.put(Reduce(name=name, inputs=(x,), op=op, axes=axes), roles, sizes)

    def pool(self, x: str, op: str, window: int, name: str = "pool") -> str:
        *lead, height, width = self.sizes(x)
        node = Reduce(name=name, inputs=(x,), op=op, window=(window, window), stride=(window, window))
        return self.put(
            node, self.roles(x), (*lead, height // window, width // window), self.values[x].code, 2
        )

    def output(self, x: str) -> Graph:
        self.put(Output(name="out", inputs=(x,)), self.roles(x), self.sizes(x), bits=32)
        return self.build()


def mlp(sizes: tuple[int, ...], top: int = 127) -> Graph:
    """Dense layers of binary LIF neurons."""
    net = Net()
    x = net.input("C", sizes[0])
    for i, width in enumerate(sizes[1:], 1):
        x = net.lif(net.dense(x, width, f"fc{i}", top), f"lif{i}")
    return net.output(x)


def heads(net: Net, x: str, count: int, order: tuple[int, ...], name: str) -> str:
    """(N, C) to (H, N, d) or another order."""
    tokens, width = net.sizes(x)
    split = net.view(x, "reshape", (tokens, count, width // count), "NHC", f"{name}_split")
    return net.view(split, "permute", order, "".join("NHC"[a] for a in order), f"{name}_heads")


def spiking_block(net: Net, x: str, name: str, count: int = 2, ratio: int = 2) -> str:
    """Membrane-shortcut block without softmax: Q (K^T V), products of the same tick."""
    tokens, width = net.sizes(x)
    s = net.lif(x, f"{name}_s")
    q, k, v = (
        heads(
            net,
            net.lif(net.dense(s, width, f"{name}_{p}"), f"{name}_{p}_lif"),
            count,
            (1, 0, 2),
            f"{name}_{p}",
        )
        for p in "qkv"
    )
    kv = net.product(k, v, "hnd,hne->hde", "HCC", f"{name}_kv", "instant")
    mix = net.product(q, kv, "hnd,hde->hne", "HNC", f"{name}_qkv", "instant")
    spikes = net.lif(mix, f"{name}_mix")
    joined = net.view(
        net.view(spikes, "permute", (1, 0, 2), "NHC", f"{name}_back"),
        "reshape",
        (tokens, width),
        "NC",
        f"{name}_join",
    )
    x = net.total(x, net.dense(joined, width, f"{name}_proj"), name=f"{name}_add1")
    hidden = net.lif(net.dense(net.lif(x, f"{name}_s2"), ratio * width, f"{name}_fc1"), f"{name}_h")
    return net.total(x, net.dense(hidden, width, f"{name}_fc2"), name=f"{name}_add2")


def spiking_transformer(depth: int = 2, tokens: int = 4, width: int = 16, classes: int = 10) -> Graph:
    """Patches of an image through convolution, blocks, token sum and classifier."""
    net = Net()
    side = int(tokens**0.5)
    x = net.conv(net.input("CYX", 3, 2 * side, 2 * side), width, 2, 2, name="patch")
    x = net.view(net.view(x, "reshape", (width, tokens), "CN", "flat"), "permute", (1, 0), "NC", "tokens")
    for i in range(depth):
        x = spiking_block(net, x, f"block{i}")
    return net.output(net.dense(net.reduce(net.lif(x, "last"), "sum", (0,), "C", "mean"), classes, "head"))


def ecmt_block(
    net: Net, x: str, name: str, count: int = 2, ratio: int = 2, mask: np.ndarray | None = None
) -> str:
    """Converted block: norm, fused qkv, softmax between cumulative products, GELU; multi-threshold neurons.

    ``mask``: (tokens, tokens), True where a score is hidden.
    """
    tokens, width = net.sizes(x)
    each = width // count
    s = net.multi(net.micro(x, "layer_norm", f"{name}_norm1"), f"{name}_n1")
    fused = net.multi(net.dense(s, 3 * width, f"{name}_qkv"), f"{name}_qkv_mt")
    parts = net.view(
        net.view(fused, "reshape", (tokens, 3, count, each), "NGHC", f"{name}_parts"),
        "permute",
        (1, 2, 0, 3),
        "GHNC",
        f"{name}_order",
    )
    q, k, v = (
        net.view(
            net.view(parts, "slice", (0, i, i + 1, 1), "GHNC", f"{name}_{p}1"),
            "reshape",
            (count, tokens, each),
            "HNC",
            f"{name}_{p}",
        )
        for i, p in enumerate("qkv")
    )
    masked = {} if mask is None else {"mask": mask}
    scores = net.product(q, k, "hnd,hmd->hnm", "HNN", f"{name}_qk")
    weights = net.micro(scores, "softmax", f"{name}_softmax", **masked)
    mix = net.multi(
        net.product(net.multi(weights, f"{name}_a"), v, "hnm,hmd->hnd", "HNC", f"{name}_av"), f"{name}_av_mt"
    )
    joined = net.view(
        net.view(mix, "permute", (1, 0, 2), "NHC", f"{name}_back"),
        "reshape",
        (tokens, width),
        "NC",
        f"{name}_join",
    )
    x = net.total(x, net.dense(joined, width, f"{name}_proj"), name=f"{name}_add1")
    s = net.multi(net.micro(x, "layer_norm", f"{name}_norm2"), f"{name}_n2")
    hidden = net.multi(
        net.micro(net.dense(s, ratio * width, f"{name}_fc1"), "gelu", f"{name}_gelu"), f"{name}_h"
    )
    return net.total(x, net.dense(hidden, width, f"{name}_fc2"), name=f"{name}_add2")


def ecmt_transformer(depth: int = 2, side: int = 4, width: int = 16, classes: int = 10) -> Graph:
    """A vision transformer with class token, as conversion leaves it."""
    net = Net()
    tokens = side * side
    x = net.conv(net.input("CYX", 1, 2 * side, 2 * side, code=graded(16)), width, 2, 2, name="patch")
    x = net.view(net.view(x, "reshape", (width, tokens), "CN", "flat"), "permute", (1, 0), "NC", "tokens")
    x = net.view(
        (net.const(np.ones((1, width), dtype=np.int64), "NC", "cls"), x), "concat", (0,), "NC", "with_cls"
    )
    x = net.total(x, net.const(np.ones((tokens + 1, width), dtype=np.int64), "NC", "position"), name="embed")
    for i in range(depth):
        x = ecmt_block(net, x, f"block{i}")
    x = net.multi(net.micro(x, "layer_norm", "norm"), "norm_mt")
    x = net.view(net.view(x, "slice", (0, 0, 1, 1), "NC", "pick"), "reshape", (width,), "C", "class_token")
    return net.output(net.dense(x, classes, "head"))
