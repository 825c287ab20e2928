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
from ._sites import is_quantised, is_quantiser, sites


class Native(Method):
    """Keeps the network as it is and states the timing of its products: instant."""

    name = "native"
    title = "natively trained"
    metric = "trained"

    def accept(self, graph: Graph) -> list[Problem]:
        """A network without neurons is an ANN; dense operators between neurons are listed, not refused."""
        if graph.of(Neuron):
            return []
        cause = "the network holds no spiking neuron, so there is nothing native to keep"
        fixes = ("use --method ecmt",)
        return [Problem("ND301", cause, graph.header.name, "0 neurons", "at least 1", fixes)]

    def suits(self, graph: Graph) -> int:
        """Whatever holds neurons; most of all a network whose layers are all driven by counts, as it was trained."""
        return 4 if _counts_alone(graph) else 2 if graph.of(Neuron) else 0

    def ticks(self, graph: Graph) -> int:
        """A network of counts was trained at one tick."""
        return 1 if _counts_alone(graph) else 0

    def nearer(self, preset: str, timesteps: int) -> tuple[str, ...]:
        """Nothing: it is the source already."""
        return ()

    def rewrite(self, graph: Graph, config: Any, samples: Array, timesteps: int) -> Graph:
        """Timing instant on products and dense operators, contract instant, T in the header."""
        header = replace(graph.header, level="spiking", timesteps=timesteps, method=self.name)
        builder = Builder(header)
        for node in graph:
            value = replace(graph.values[node.name], contract="instant")
            timed = {"timing": "instant"} if isinstance(node, (Product, Micro)) else {}
            builder.copy(graph, node, value=value, **timed)
        return codes.infer(builder.build())


def _counts_alone(graph: Graph) -> bool:
    """Whether all neurons are quantisers and nothing but they, and products of what they send, drives a layer."""
    return (
        is_quantised(graph)
        and not graph.of(Micro)
        and all(
            is_quantiser(graph.nodes[name]) or isinstance(graph.nodes[name], Product) for name in sites(graph)
        )
    )


MEMBER = Native()
