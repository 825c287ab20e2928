"""Networks at the sizes of their papers: what they count by the metric of the papers, and that `check` takes them."""

from __future__ import annotations

from dataclasses import replace

import pytest

import neurodeploy
from neurodeploy import cost, passes
from neurodeploy.convert._base import METHODS
from neurodeploy.ir import codes
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Product, Synapse
from neurodeploy.sources import zoo
from neurodeploy.target import load
from tests.later import torch_fx

pytestmark = pytest.mark.slow

TICKS, DIM, HEADS, TOKENS = 4, 512, 8, 196
#: MACs of the released operation counter: of four ticks of the first convolution, and of the head with its bias
MACS = 4 * 86_704_128 + 513_000


def spikingformer(depth: int) -> Graph:
    """Of the size of ``spikingformer-8-512``, but for its depth, which the MACs do not depend on."""
    entry = zoo.entry("spikingformer-8-512")
    model = entry.model.model_copy(update={"arguments": {**entry.model.arguments, "depth": depth}})
    network = zoo.build(entry.model_copy(update={"model": model})).eval()
    source = passes.simplify(torch_fx.import_module(network, entry.spec))
    native = METHODS["native"]
    _, config = native.configure({})
    return codes.infer(native.rewrite(source, config, None, TICKS))


def test_spikingformer_has_the_operations_of_its_paper() -> None:
    """ACs by the rates that layers see, and T h N d d (min(f_K, f_V) + f_Q) of attention."""
    graph = spikingformer(depth=1)
    rates = {name: 0.05 + 0.4 * i / len(graph.nodes) for i, name in enumerate(graph.nodes)}

    def row(node: Synapse | Product) -> cost.counts.NodeCounts:
        sizes = [graph.values[name].shape.size * TICKS for name in node.inputs]
        active = [rates[name] * size for name, size in zip(node.inputs, sizes, strict=True)]
        both = cost.counts.NodeCounts(inputs=sum(sizes), active=sum(active))
        return replace(both, left=sizes[0], left_active=active[0]) if isinstance(node, Product) else both

    layers = graph.of(Synapse, Product)
    counts = cost.Counts(1, TICKS, {node.name: row(node) for node in layers}, {})
    found = cost.paper_energy(graph, counts, load("loihi-sim"))
    assert found.macs == MACS == 347_329_512
    first, last = graph.of(Product)
    (k, v), (q, _) = first.inputs, last.inputs
    attention = TICKS * HEADS * TOKENS * (DIM // HEADS) ** 2 * (min(rates[k], rates[v]) + rates[q])
    dense = [node for node in graph.of(Synapse) if found.layers[node.name] and node.name not in _macs(graph)]
    ac = TICKS * sum(cost.dense_macs(graph, node) * rates[node.inputs[0]] for node in dense)
    assert found.operations == pytest.approx(attention + ac)


def _macs(graph: Graph) -> set[str]:
    return {graph.of(Synapse)[0].name, graph.of(Synapse)[-1].name}


def test_check_says_what_spikformer_needs() -> None:
    """No core is too small for a part of it but for one sum, and it needs dozens of chips."""
    found = neurodeploy.check("spikformer-8-512", target="loihi-sim")
    assert found.import_check is not None and found.import_check.neurons_compared > 100_000_000
    assert {"ND196", "ND502"} <= {p.code for p in found.problems} and found.cores[0] > 20 * 128
