"""How sure it is that each node runs on silicon: the worst grade of everything it needs, with the reason.

Grades come from the target file, by kind of work, and from the neuron models and operators themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..evidence import Evidence, worst
from ..ir.graph import Graph
from ..ir.micro_op import MICROCODE
from ..ir.neuron_model import NEURONS
from ..ir.nodes import Delay, Micro, Neuron, Node, Product, Reduce, Sum, Synapse
from ..passes.balance import constants, crosses, host, turns
from ..target import Target
from .checks import wire_bits
from .demand import longest_wait


def grades(graph: Graph, target: Target) -> dict[str, Evidence]:
    """Node -> (grade, reason) for every node that works: constants, Views and what lives on the host have none."""
    idle = constants(graph) | host(graph)
    found = {n.name: [*_evidence(graph, n, target)] for n in graph if n.name not in idle}
    return {name: worst(evidence) for name, evidence in found.items() if evidence}


def _evidence(graph: Graph, node: Node, target: Target) -> Iterator[Evidence]:
    for key in _kinds(graph, node):
        entry = getattr(target.silicon, key)
        yield entry.grade, entry.source
    if isinstance(node, Neuron):
        yield NEURONS[node.model].grade
    elif isinstance(node, Micro):
        yield MICROCODE[node.op].grade


def _kinds(graph: Graph, node: Node) -> Iterator[str]:
    """Keys under [silicon] of what a node needs."""
    if type(node) in KINDS:
        yield from KINDS[type(node)](graph, node)
    if any(turns(graph).kept(node, operand) for operand in range(len(node.inputs))):
        yield "held_operand"  # and written by token and tick
    streams = set(node.inputs) - constants(graph)
    if crosses(node) and any(wire_bits(graph.values[i]) > 1 for i in streams):
        yield "graded_payload"


def _synapse(graph: Graph, node: Synapse) -> Iterator[str]:
    shared = graph.values[node.name].shape.size > node.weight.shape[0]
    if longest_wait(graph, node):
        yield "synaptic_delay"
    yield "conv_synapse" if node.op == "conv" else "token_shared_synapse" if shared else "dense_synapse"


def _product(graph: Graph, node: Product) -> Iterator[str]:
    yield "elementwise_product" if node.einsum.elementwise else "stream_product"
    if node.timing != "instant":
        yield "held_operand" if node.timing == "held" else "wide_multiply"


def _micro(graph: Graph, node: Micro) -> Iterator[str]:
    op = MICROCODE[node.op]
    yield "row_microcode" if op.row else "elementwise_microcode"
    if op.reads_table(node.params):
        yield "lookup_table"


#: keys under [silicon] by the kind of a node; others need nothing
KINDS: Mapping[type[Node], Callable[[Graph, Any], Iterable[str]]] = {
    Synapse: _synapse,
    Neuron: lambda graph, node: ("stock_neuron" if NEURONS[node.model].stock else "microcode_neuron",),
    Product: _product,
    Micro: _micro,
    Sum: lambda graph, node: ("residual_sum",),
    Reduce: lambda graph, node: ("elementwise_microcode" if node.op == "max" else "dense_synapse",),
    Delay: lambda graph, node: ("synaptic_delay",),
}
