"""A network that was trained as a spiking one: its neurons stay, its products use both operands of the same tick."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..array import Array
from ..errors import Problem
from ..ir import codes
from ..ir.graph import Builder, Graph
from ..ir.nodes import Micro, Neuron, Product
from ._base import Method


class Native(Method):
    """Keeps the network as it is and states the timing of its products: instant."""

    name = "native"
    title = "natively trained"
    metric = "trained"
    fidelity = ()

    def accept(self, graph: Graph) -> list[Problem]:
        """A network without neurons is an ANN; dense operators between neurons are listed, not refused."""
        if graph.of(Neuron):
            return []
        cause = "the network holds no spiking neuron, so there is nothing native to keep"
        fixes = ("use --method ecmt",)
        return [Problem("ND301", cause, graph.header.name, "0 neurons", "at least 1", fixes)]

    def suits(self, graph: Graph) -> int:
        """Whatever holds neurons."""
        return 2 if graph.of(Neuron) else 0

    def rewrite(self, graph: Graph, config: Any, samples: Array, timesteps: int) -> Graph:
        """Timing instant on products and dense operators, contract instant, T in the header."""
        header = replace(graph.header, level="spiking", timesteps=timesteps, method=self.name)
        builder = Builder(header)
        for node in graph:
            value = replace(graph.values[node.name], contract="instant")
            timed = {"timing": "instant"} if isinstance(node, (Product, Micro)) else {}
            builder.copy(graph, node, value=value, **timed)
        return codes.infer(builder.build())


MEMBER = Native()
