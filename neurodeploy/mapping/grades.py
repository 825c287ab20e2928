"""How sure it is that each node runs on silicon: the worst grade of everything it needs, with the reason.

Grades come from the target file, by kind of work, and from the neuron models and operators themselves.
"""

from __future__ import annotations

from collections.abc import Iterator

from .. import registry
from ..evidence import Evidence, worst
from ..ir.graph import Graph
from ..ir.nodes import Delay, Micro, Neuron, Node, Product, Reduce, Sum, Synapse
from ..microcode._base import MicroOp
from ..neurons._base import NeuronModel
from ..passes.balance import CROSSING, constants
from ..target import Target
from .checks import wire_bits
from .demand import longest_wait


def grades(graph: Graph, target: Target) -> dict[str, Evidence]:
    """Node -> (grade, reason) for every node that works: constants, inputs and Views have none."""
    found = {n.name: [*_evidence(graph, n, target)] for n in graph if n.name not in constants(graph)}
    return {name: worst(evidence) for name, evidence in found.items() if evidence}


def _evidence(graph: Graph, node: Node, target: Target) -> Iterator[Evidence]:
    for key in _kinds(graph, node):
        entry = getattr(target.silicon, key)
        yield entry.grade, entry.source
    member: NeuronModel | MicroOp | None = None
    if isinstance(node, Neuron):
        member = registry.NEURONS[node.model]
    elif isinstance(node, Micro):
        member = registry.MICROCODE[node.op]
    if member is not None:
        yield member.grade


def _kinds(graph: Graph, node: Node) -> Iterator[str]:
    """Keys under [silicon] of what a node needs."""
    still = constants(graph)
    streams = [i for i in node.inputs if i not in still]
    if isinstance(node, Synapse):
        shared = graph.values[node.name].shape.size > node.weight.shape[0]
        if longest_wait(graph, node):
            yield "synaptic_delay"
        yield "conv_synapse" if node.op == "conv" else "token_shared_synapse" if shared else "dense_synapse"
    elif isinstance(node, Neuron):
        yield "stock_neuron" if registry.NEURONS[node.model].stock else "microcode_neuron"
    elif isinstance(node, Product):
        yield "elementwise_product" if node.einsum.elementwise else "stream_product"
        if node.timing != "instant":
            yield "held_operand" if node.timing == "held" else "wide_multiply"
    elif isinstance(node, Micro):
        op = registry.MICROCODE[node.op]
        yield "row_microcode" if op.row else "elementwise_microcode"
        if op.table_bits(node.params):
            yield "lookup_table"
    elif isinstance(node, Sum):
        yield "residual_sum"
    elif isinstance(node, Reduce):
        yield "elementwise_microcode" if node.op == "max" else "dense_synapse"
    elif isinstance(node, Delay):
        yield "synaptic_delay"
    if isinstance(node, CROSSING) and any(wire_bits(graph.values[i]) > 1 for i in streams):
        yield "graded_payload"
