"""Conversion in differences: neurons send changes, layers are linear in them, and everything else sees values.

Shared by :mod:`.spikezip` and :mod:`.dcgs`. Sum semantics: what was sent up to tick t adds up to the encoded value, so
the read-out is the last tick's logits and no mean over ticks is taken.
    site    a neuron reads the current value and sends a change a(t); A(t) = sum of a up to t is what receivers know
    layer   W a(t), then an :mod:`~neurodeploy.neurons.integrator`: W A(t) + bias. The bias enters once, as a constant
    product P(t) = A(t) B(t) as P(t-1) + a(t) B(t) + A(t-1) b(t): two sparse products; P(t) - P(t-1), then an integrator
    norm, softmax, GELU, sums: instant, on current values
The sources send f(S(t)) - f(S(t-1)) from each operator and add it up again in the next one; here the value f(S(t))
itself stands between two operators that live at the same index: the same number without the difference and its sum.
A quantiser that the network was trained with becomes a tracer of its step and counts; all else reads its sum.
The image and added constants are values from tick 1 on (the sources feed them at the first step and nothing after).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..array import Array
from ..ir import codes
from ..ir.graph import Builder, Graph, prune
from ..ir.nodes import Micro, Neuron, Node, Output, Product, Synapse
from ..ir.types import Value
from ._sites import Populations, add_population, is_quantiser, twin_view


def insert(graph: Graph, method: str, timesteps: int, populations: Populations) -> Graph:
    """The spiking graph with a population at every site and an integrator behind all that reads one."""
    header = replace(graph.header, level="spiking", timesteps=timesteps, method=method)
    builder = Builder(header)
    spiking: dict[str, str] = {}  # source value -> its neuron
    for node in graph:
        value = replace(graph.values[node.name], contract="instant")
        changes: dict[str, Any] = {}
        if isinstance(node, (Product, Micro)):
            changes["timing"] = "instant"
        if isinstance(node, Output):
            changes["readout"] = "last"
        driven = isinstance(node, (Product, Synapse)) and all(i in spiking for i in node.inputs)
        if driven:
            changes["inputs"] = tuple(spiking[i] for i in node.inputs)
            layer = isinstance(node, Synapse)
            changes |= {"bias": None} if layer else {"timing": "cumulative", "mean": False}
            value = replace(value, contract="difference")
        if is_quantiser(node):
            changes["model"] = "signed_tracer"
            value = replace(value, contract="difference")
        sent = builder.copy(graph, node, value=value, **changes)
        if is_quantiser(node):
            spiking[node.name] = sent
        if driven or is_quantiser(node):
            builder.table[node.name] = _integrate(builder, sent, node, value)
        if node.name in populations:
            own = populations[node.name]
            spiking[node.name] = add_population(builder, builder.table[node.name], node, own, "difference")
        else:
            twin_view(builder, spiking, node)
    return codes.infer(prune(builder.build()))


def _integrate(builder: Builder, source: str, node: Node, value: Value) -> str:
    bias: float | Array = 0.0
    if isinstance(node, Synapse) and node.bias is not None:
        bias = node.bias if node.op == "dense" else node.bias[:, None, None]
    made = Neuron(name=f"{source}.value", inputs=(source,), origin=node.origin, model="integrator",
                  params={"bias": bias})  # fmt: skip
    return builder.add(made, replace(value, contract="instant"))
