"""A small integer network with every kind of table in its images, and how to break one entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from neurodeploy.image import CoreImage, Instruction
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.nodes import Delay, Input, Micro, Neuron, Output, Product, Reduce, Sum, Synapse
from neurodeploy.ir.types import Fixed, Interval, Shape, Value
from neurodeploy.mapping.types import Mapping

TICKS, TOKENS, INPUTS, WIDTH = 4, 3, 6, 4


def value(roles: str, *sizes: int, bits: int = 24) -> Value:
    """A signed integer edge."""
    limit = (1 << (bits - 1)) - 1
    return Value(
        Shape(tuple(roles), sizes), fixed=Fixed(bits, True, 1.0), interval=Interval(-limit, limit, True)
    )


def attention(seed: int = 0) -> Graph:
    """Tokens -> q and k (LIF) -> compensated product -> rescale; q also through a delay and a sum over tokens."""
    rng = np.random.default_rng(seed)
    b = Builder(Header("attention", "integer", TICKS))
    b.add(Input(name="x"), value("NC", TOKENS, INPUTS, bits=8))
    for name in ("q", "k"):
        weight = rng.integers(-60, 100, (WIDTH, INPUTS))
        bias = rng.integers(1, 50, WIDTH)
        b.add(Synapse(name=f"{name}_fc", inputs=("x",), weight=weight, bias=bias), value("NC", TOKENS, WIDTH))
        params = {"du": 4095, "dv": 1024, "vth": rng.integers(30, 90, WIDTH)}
        b.add(
            Neuron(name=name, inputs=(f"{name}_fc",), model="lif", params=params),
            value("NC", TOKENS, WIDTH, bits=2),
        )
    table = (np.array([1, 1, 21845, 1]), np.array([0, 1, 16, 2]))
    b.add(
        Product(name="qk", inputs=("q", "k"), equation="nd,md->nm", timing="cumulative", rescale=table),
        value("NN", TOKENS, TOKENS),
    )
    params = {"multiplier": 3, "shift": 1, "bits": 24}
    b.add(
        Micro(name="scaled", inputs=("qk",), op="rescale", timing="instant", params=params),
        value("NN", TOKENS, TOKENS),
    )
    b.add(Delay(name="late", inputs=("q",), steps=2), value("NC", TOKENS, WIDTH, bits=2))
    b.add(
        Reduce(name="columns", inputs=("scaled",), op="sum", axes=(0,), keepdims=True), value("NN", 1, TOKENS)
    )
    b.add(Reduce(name="rows", inputs=("late",), op="max", axes=(1,), keepdims=True), value("NN", TOKENS, 1))
    b.add(Sum(name="total", inputs=("columns", "rows"), signs=(1, -1)), value("NN", TOKENS, TOKENS))
    b.add(Output(name="out", inputs=("total",)), value("NN", TOKENS, TOKENS, bits=32))
    return b.build()


def ones() -> np.ndarray:
    """Two samples: every input active, and a random half of them."""
    rng = np.random.default_rng(1)
    return np.stack([np.ones((TOKENS, INPUTS), dtype=np.int64), rng.integers(0, 2, (TOKENS, INPUTS))])


def find(mapping: Mapping, node: str) -> tuple[int, Instruction]:
    """Number of the image that computes a node (the first one), and the instruction."""
    for number, image in enumerate(mapping.images):
        for unit in image.units:
            for item in unit.program:
                if item.node == node:
                    return number, item
    raise KeyError(node)


def broken(mapping: Mapping, number: int, table: str, change: Callable[[np.ndarray], None]) -> Mapping:
    """The mapping with one table of one image changed in place."""
    image: CoreImage = mapping.images[number]
    copy = image.tables[table].copy()
    change(copy)
    images = list(mapping.images)
    images[number] = replace(image, tables={**image.tables, table: copy})
    return replace(mapping, images=tuple(images))


def flip(mapping: Mapping, number: int, table: str, index: int | tuple[int, int], bit: int) -> Mapping:
    """One bit of one entry inverted."""

    def change(entries: np.ndarray) -> None:
        entries[index] ^= np.array(1, dtype=entries.dtype) << np.array(bit, dtype=entries.dtype)

    return broken(mapping, number, table, change)
