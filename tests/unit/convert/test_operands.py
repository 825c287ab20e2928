"""Units by channel of queries, keys and values: they cancel in scores and pass through mixtures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurodeploy import calibrate, quantize
from neurodeploy.backends.cpu import MEMBER as CPU
from neurodeploy.convert._base import METHODS
from neurodeploy.convert._operands import PERCENT, evened
from neurodeploy.convert._sites import sites
from neurodeploy.errors import QuantizeError
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Micro, Product
from neurodeploy.program import Program
from neurodeploy.quantize import walk
from tests.networks import images, mini_vit

#: method, ticks, options that give what is mixed units by channel too
METHODS_OF_IT = [
    ("pmsm", 1, {"steps": "channel"}), ("pmsm", 3, {"steps": "channel"}), ("spikezip", 8, {"steps": "channel"}),
    ("ecmt", 2, {"preset": "headline", "bases": "channel"}),
]  # fmt: skip


def stretched(graph: Graph, *, values: bool = True) -> Graph:
    """The same function with channels of q and k, and of v and the layer behind, over a factor of 64."""
    factors = np.exp2(np.linspace(-3, 3, 8).round())
    nodes: dict[str, Any] = dict(graph.nodes)
    mixed = factors[::-1] if values else np.ones(8)
    for name, own in (("b0.q", factors), ("b0.k", 1 / factors), ("b0.v", mixed)):
        node = nodes[name]
        nodes[name] = replace(node, weight=node.weight * own[:, None], bias=node.bias * own)
    nodes["b0.proj"] = replace(nodes["b0.proj"], weight=nodes["b0.proj"].weight / mixed)
    return Graph(nodes, graph.values, graph.header)


def convert(graph: Graph, method: str, timesteps: int, **options: Any) -> Graph:
    member = METHODS[method]
    return member.rewrite(graph, member.configure(options)[1], images(graph, 64), timesteps)


def test_queries_and_keys_become_alike_and_values_of_one_size() -> None:
    graph = stretched(mini_vit())
    x = images(graph, 32)
    even = evened(graph, sites(graph), x)
    assert even.keys() == {"b0.q", "b0.k", "b0.v"}
    seen = interp.run(graph, x, record=list(even)).values
    sizes = {name: np.quantile(np.abs(seen[name][0] * even[name]), PERCENT, axis=(0, 1)) for name in even}
    np.testing.assert_allclose(sizes["b0.q"], sizes["b0.k"])
    np.testing.assert_allclose(sizes["b0.v"], sizes["b0.v"][0])
    np.testing.assert_allclose(even["b0.q"] * even["b0.k"], 1.0)


@pytest.mark.parametrize(("method", "timesteps", "options"), METHODS_OF_IT)
def test_they_undo_how_queries_and_keys_are_scaled(
    method: str, timesteps: int, options: dict[str, str]
) -> None:
    plain, wide = mini_vit(), stretched(mini_vit(), values=False)
    x = images(plain, 16, seed=4)
    found = [
        interp.run(convert(g, method, timesteps, operands="channel", **options), x).outputs
        for g in (plain, wide)
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)


@pytest.mark.parametrize(("method", "timesteps", "options"), METHODS_OF_IT)
def test_integers_need_no_rescale_before_products_and_follow_the_floats(
    method: str, timesteps: int, options: dict[str, str]
) -> None:
    graph = stretched(mini_vit())
    x = images(graph, 32)
    spiking = convert(graph, method, timesteps, operands="channel", **options)
    integer = quantize.quantize(spiking, calibrate.measure(spiking, x))
    scores, mix = integer.of(Product)[0], next(n for n in integer.of(Product) if n.name.startswith("b0.mix"))
    units = [np.asarray(integer.values[node.name].fixed.scale) for node in (scores, mix)]
    assert units[0].ndim == 0 and units[1].shape == (2, 1, 4)
    assert not any(
        isinstance(integer.nodes[i], Micro) for p in (scores, mix) for i in p.inputs if "rescale" in i
    )
    np.testing.assert_array_equal(CPU.run(Program(integer), x, ())[0].outputs, interp.run(integer, x).outputs)
    seen, truth = (interp.run(g, x).outputs[-1] for g in (integer, spiking))
    scale = float(integer.values[integer.output.name].fixed.scale)
    assert np.abs(seen * scale - truth).mean() < 0.2 * np.abs(truth).mean()


def test_units_cancel_where_thresholds_are_a_few_units_and_are_refused_where_they_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = stretched(mini_vit())
    x = images(graph, 32)
    spiking = convert(graph, "pmsm", 2, operands="channel", steps="channel")
    ranges = calibrate.measure(spiking, x)
    integer = quantize.quantize(spiking, ranges, lambda node: 3)
    thresholds = integer.nodes["b0.k.ms"].params["theta"]
    assert thresholds.min() < 64 and np.ndim(integer.values["b0.scores"].fixed.scale) == 0
    assert not sum(CPU.run(Program(integer), x, ())[0].saturations.values())
    monkeypatch.setattr(walk, "SAME_UNIT", 1e-9)
    with pytest.raises(QuantizeError, match="do not cancel"):
        quantize.quantize(spiking, ranges, lambda node: 3)


def test_what_another_node_reads_keeps_one_unit() -> None:
    """The keys are added to a residual as well: their factors would be seen."""
    graph = mini_vit()
    nodes: dict[str, Any] = dict(graph.nodes)
    nodes["b0.u1"] = replace(nodes["b0.u1"], inputs=(*nodes["b0.u1"].inputs, "b0.k"), signs=(1, 1, 1))
    read = Graph(nodes, graph.values, graph.header)
    assert evened(read, sites(read), images(read, 8)).keys() == {"b0.v"}
