"""Typing rules of the code lattice: what each edge may carry ("is it really spike-driven?")."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce

import numpy as np

from .graph import Graph
from .neuron_model import NEURONS
from .nodes import Const, Delay, Input, Micro, Neuron, Node, Output, Product, Reduce, Sum, Synapse, View
from .types import BINARY, DENSE, Code, graded, multi

Codes = dict[str, Code]


def infer(graph: Graph) -> Graph:
    """The graph with every value's code set by the rules below."""
    codes: Codes = {}
    for node in graph:
        # a recurrent input is not known yet, and not asked for
        known = [codes.get(i, DENSE) for i in node.inputs]
        codes[node.name] = RULES[type(node)](graph, node, known)
    return graph.with_values({n: replace(v, code=codes[n]) for n, v in graph.values.items()})


def _input(graph: Graph, node: Input, codes: list[Code]) -> Code:
    interval = graph.values[node.name].interval
    if interval is not None and (interval.lo, interval.hi) == (0, 1):
        return BINARY
    return graded(interval.magnitude, signed=interval.lo < 0) if interval else graded(255, signed=False)


def _neuron(graph: Graph, node: Neuron, codes: list[Code]) -> Code:
    return NEURONS[node.model].code(node.params)


def _product(graph: Graph, node: Product, codes: list[Code]) -> Code:
    if node.timing == "cumulative" or not all(c.spiking for c in codes):
        return DENSE
    a, b = codes
    make = graded if "graded" in (a.kind, b.kind) else multi
    return make(a.limit * b.limit * contracted(graph, node), a.signed or b.signed)


def contracted(graph: Graph, node: Product) -> int:
    """Number of terms in each sum of a product."""
    a, b = node.inputs
    return node.einsum.terms(graph.shape(a), graph.shape(b))


def _sum(graph: Graph, node: Sum, codes: list[Code]) -> Code:
    if not all(c.spiking for c in codes):
        return DENSE
    signed = any(c.signed for c in codes) or any(s < 0 for s in node.signs)
    kind = graded if any(c.kind == "graded" for c in codes) else multi
    return kind(sum(c.limit for c in codes), signed)


def _reduce(graph: Graph, node: Reduce, codes: list[Code]) -> Code:
    code = codes[0]
    if node.op == "max" or not code.spiking:
        return code
    before, after = graph.values[node.inputs[0]].shape.size, graph.values[node.name].shape.size
    count = int(np.prod(node.window)) if node.window else before // after
    return replace(code, kind="graded" if code.kind == "graded" else "multi", limit=code.limit * count)


def _view(graph: Graph, node: View | Delay, codes: list[Code]) -> Code:
    return reduce(Code.join, codes)


def _dense(graph: Graph, node: Node, codes: list[Code]) -> Code:
    return DENSE


RULES: dict[type[Node], Callable[..., Code]] = {
    Input: _input, Output: _dense, Const: _dense, Synapse: _dense, Neuron: _neuron, Product: _product, Sum: _sum,
    Reduce: _reduce, Micro: _dense, View: _view, Delay: _view,
}  # fmt: skip
