"""Small hand-made source graphs with random weights, for tests of conversion, quantization and everything after."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.nodes import Const, Input, Micro, Neuron, Output, Product, Reduce, Sum, Synapse, View
from neurodeploy.ir.types import Interval, Shape, Value


def value(roles: str, *sizes: int) -> Value:
    return Value(Shape(tuple(roles), tuple(sizes)))


def mini_vit(
    seed: int = 0, tokens: int = 4, dim: int = 8, heads: int = 2, hidden: int = 16, depth: int = 1
) -> Graph:
    """A pre-norm transformer on a (1, 2*side, 2*side) image of 0..16, with a class token in front of its tokens."""
    rng = np.random.default_rng(seed)
    side, width, total = int(np.sqrt(tokens)), dim // heads, tokens + 1
    b = Builder(Header(name="mini-vit"))

    def linear(
        name: str, source: str, outputs: int, inputs: int, roles: str = "NC", rows: int = total
    ) -> str:
        weight = rng.normal(0, 1 / np.sqrt(inputs), (outputs, inputs))
        node = Synapse(name=name, inputs=(source,), weight=weight, bias=rng.normal(0, 0.1, outputs))
        return b.add(node, value(roles, rows, outputs))

    def norm(name: str, source: str, rows: int = total) -> str:
        params = {
            "gamma": rng.uniform(0.5, 1.5, dim),
            "beta": rng.normal(0, 0.1, dim),
            "eps": 1e-6,
            "width": dim,
        }
        return b.add(
            Micro(name=name, inputs=(source,), op="layer_norm", params=params), value("NC", rows, dim)
        )

    image = value("CYX", 1, 2 * side, 2 * side)
    b.add(Input(name="image", scale=1 / 16), replace(image, interval=Interval(0, 16, True)))
    b.add(
        Synapse(
            name="patch",
            inputs=("image",),
            weight=rng.normal(0, 0.7, (dim, 1, 2, 2)),
            bias=rng.normal(0, 0.1, dim),
            op="conv",
            stride=(2, 2),
        ),
        value("CYX", dim, side, side),
    )
    b.add(View(name="flat", inputs=("patch",), op="reshape", args=(dim, tokens)), value("CN", dim, tokens))
    b.add(View(name="tokens", inputs=("flat",), op="permute", args=(1, 0)), value("NC", tokens, dim))
    b.add(View(name="padded", inputs=("tokens",), op="pad", args=(0, 1, 0)), value("NC", total, dim))
    b.add(Const(name="pos", value=rng.normal(0, 0.5, (total, dim))), value("NC", total, dim))
    stream = b.add(Sum(name="u0", inputs=("padded", "pos"), signs=(1, 1)), value("NC", total, dim))
    for i in range(depth):
        p = f"b{i}."
        normed = norm(p + "norm1", stream)
        split = {}
        for part in "qkv":
            name = linear(p + part, normed, dim, dim)
            b.add(
                View(name=name + ".r", inputs=(name,), op="reshape", args=(total, heads, width)),
                value("NHC", total, heads, width),
            )
            split[part] = b.add(
                View(name=name + ".h", inputs=(name + ".r",), op="permute", args=(1, 0, 2)),
                value("HNC", heads, total, width),
            )
        b.add(
            Product(
                name=p + "scores", inputs=(split["q"], split["k"]), equation="hnc,hmc->hnm", scale=width**-0.5
            ),
            value("HNN", heads, total, total),
        )
        b.add(
            Micro(name=p + "softmax", inputs=(p + "scores",), op="softmax"), value("HNN", heads, total, total)
        )
        b.add(
            Product(name=p + "mix", inputs=(p + "softmax", split["v"]), equation="hnm,hmc->hnc"),
            value("HNC", heads, total, width),
        )
        b.add(
            View(name=p + "mix.p", inputs=(p + "mix",), op="permute", args=(1, 0, 2)),
            value("NHC", total, heads, width),
        )
        b.add(
            View(name=p + "mix.r", inputs=(p + "mix.p",), op="reshape", args=(total, dim)),
            value("NC", total, dim),
        )
        out = linear(p + "proj", p + "mix.r", dim, dim)
        stream = b.add(Sum(name=p + "u1", inputs=(stream, out), signs=(1, 1)), value("NC", total, dim))
        fc1 = linear(p + "fc1", norm(p + "norm2", stream), hidden, dim)
        b.add(
            Micro(name=p + "gelu", inputs=(fc1,), op="gelu", params={"approximate": "none"}),
            value("NC", total, hidden),
        )
        out = linear(p + "fc2", p + "gelu", dim, hidden)
        stream = b.add(Sum(name=p + "u2", inputs=(stream, out), signs=(1, 1)), value("NC", total, dim))
    b.add(View(name="cls", inputs=(stream,), op="slice", args=(0, 0, 1, 1)), value("NC", 1, dim))
    linear("head", norm("norm", "cls", 1), 3, dim, "NK", 1)
    b.add(View(name="logits", inputs=("head",), op="reshape", args=(3,)), value("K", 3))
    b.add(Output(name="out", inputs=("logits",), readout="sum"), value("K", 3))
    return b.build()


def mini_snn(seed: int = 0, dim: int = 6, heads: int = 2, timesteps: int = 4) -> Graph:
    """A natively spiking attention network in the manner of A2OS2A on a (1, 4, 4) image of 0..16."""
    rng = np.random.default_rng(seed)
    width, tokens = dim // heads, 4
    b = Builder(Header(name="mini-snn", timesteps=timesteps))
    lif = {"beta": 0.25, "gain": 1.0, "threshold": 0.5}
    shape = value("NC", tokens, dim)

    def neuron(name: str, source: str, model: str = "lif") -> str:
        params = {} if model == "graded_relu" else lif
        return b.add(Neuron(name=name, inputs=(source,), model=model, params=params), b.values[source])

    def linear(name: str, source: str) -> str:
        node = Synapse(
            name=name, inputs=(source,), weight=rng.normal(0, 0.8, (dim, dim)), bias=rng.normal(0, 0.1, dim)
        )
        return b.add(node, shape)

    b.add(Input(name="image", scale=1 / 16), replace(value("CYX", 1, 4, 4), interval=Interval(0, 16, True)))
    b.add(
        Synapse(
            name="stem",
            inputs=("image",),
            weight=rng.normal(0, 0.5, (dim, 1, 3, 3)),
            bias=rng.normal(0, 0.1, dim),
            op="conv",
            padding=(1, 1),
        ),
        value("CYX", dim, 4, 4),
    )
    b.add(
        Reduce(name="pool", inputs=(neuron("stem.sn", "stem"),), op="max", window=(2, 2), stride=(2, 2)),
        value("CYX", dim, 2, 2),
    )
    b.add(
        Synapse(
            name="embed",
            inputs=("pool",),
            weight=rng.normal(0, 0.5, (dim, dim, 3, 3)),
            bias=None,
            op="conv",
            padding=(1, 1),
        ),
        value("CYX", dim, 2, 2),
    )
    b.add(View(name="embed.r", inputs=("embed",), op="reshape", args=(dim, tokens)), value("CN", dim, tokens))
    b.add(View(name="u0", inputs=("embed.r",), op="permute", args=(1, 0)), shape)
    spikes = neuron("s0", "u0")
    heads_of = {}
    for part, model in (("q", "lif"), ("k", "graded_relu"), ("v", "ternary_lif")):
        name = neuron(part + ".sn", linear(part, spikes), model)
        b.add(
            View(name=part + ".r", inputs=(name,), op="reshape", args=(tokens, heads, width)),
            value("NHC", tokens, heads, width),
        )
        heads_of[part] = b.add(
            View(name=part + ".h", inputs=(part + ".r",), op="permute", args=(1, 0, 2)),
            value("HNC", heads, tokens, width),
        )
    b.add(
        Product(name="scores", inputs=(heads_of["q"], heads_of["k"]), equation="hnc,hmc->hnm"),
        value("HNN", heads, tokens, tokens),
    )
    b.add(
        Product(name="mix", inputs=("scores", heads_of["v"]), equation="hnm,hmc->hnc"),
        value("HNC", heads, tokens, width),
    )
    b.add(
        View(name="mix.p", inputs=("mix",), op="permute", args=(1, 0, 2)), value("NHC", tokens, heads, width)
    )
    b.add(View(name="mix.r", inputs=("mix.p",), op="reshape", args=(tokens, dim)), shape)
    b.add(Sum(name="u1", inputs=("u0", linear("proj", neuron("attn.sn", "mix.r"))), signs=(1, 1)), shape)
    b.add(Reduce(name="gap", inputs=(neuron("s1", "u1"),), op="mean", axes=(0,)), value("C", dim))
    b.add(
        Synapse(name="head", inputs=("gap",), weight=rng.normal(0, 1, (3, dim)), bias=rng.normal(0, 0.1, 3)),
        value("K", 3),
    )
    b.add(Output(name="out", inputs=("head",), readout="mean"), value("K", 3))
    return b.build()


def images(graph: Graph, count: int, seed: int = 0) -> np.ndarray:
    """Random raw images in the input's declared range."""
    interval = graph.values[graph.input.name].interval or Interval(0, 255, True)
    rng = np.random.default_rng(seed)
    return rng.integers(interval.lo, interval.hi + 1, (count, *graph.shape(graph.input.name)), dtype=np.int64)
