"""Terms of products that a constant mask hides: found, left out, and nothing that is read out changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.cost.counts import count, names
from neurodeploy.ir import interp, shapes
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Product, Synapse
from neurodeploy.passes.leave_out import leave_out
from tests.unit.mapping.networks import Net, ecmt_block

TOKENS = 5
LATER = np.triu(np.ones((TOKENS, TOKENS), dtype=bool), 1)
NEAR = np.abs(np.subtract.outer(np.arange(TOKENS), np.arange(TOKENS))) > 1
WINDOWS = np.subtract.outer(np.arange(TOKENS) // 2, np.arange(TOKENS) // 2) != 0


def softmax(mask: np.ndarray | None) -> Graph:
    net = Net()
    x = ecmt_block(net, net.dense(net.input("NC", TOKENS, 3), 8, "embed"), "a", mask=mask)
    return net.output(net.dense(ecmt_block(net, x, "b", mask=mask), 3, "head"))


def multiplied(hidden: np.ndarray) -> Graph:
    """Scores of spikes times a mask of ones and zeros, a diagonal layer over all pairs of tokens."""
    net = Net()
    x = net.input("NC", TOKENS, 3)
    q, k, v = (net.lif(net.dense(x, 4, f"{n}_fc"), n) for n in "qkv")
    scores = net.product(q, k, "nd,md->nm", "NN", "qk", "instant")
    flat = net.view(scores, "reshape", (TOKENS**2, 1, 1), "CYX", "flat")
    weight = (~hidden).astype(np.int64).reshape(-1, 1, 1, 1)
    gated = net.put(Synapse(name="mask", inputs=(flat,), weight=weight, op="conv", groups=TOKENS**2),
                    "CYX", (TOKENS**2, 1, 1))  # fmt: skip
    back = net.view(gated, "reshape", (TOKENS, TOKENS), "NN", "back")
    return net.output(net.product(back, v, "nm,md->nd", "NC", "av", "instant"))


def drawn(graph: Graph) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 2, (4, *interp.input_shape(graph)))


def tables(graph: Graph) -> dict[str, np.ndarray]:
    found = {n.name: n.shown for n in graph.of(Product) if n.shown}
    assert all(sorted(letters) == ["m", "n"] for letters, _ in found.values())
    return {name: table if letters == "nm" else table.T for name, (letters, table) in found.items()}


@pytest.mark.parametrize("hidden", [LATER, NEAR, WINDOWS], ids=["causal", "near", "windows"])
@pytest.mark.parametrize("make", [softmax, multiplied])
def test_what_a_mask_hides_is_left_out_of_both_products(make: object, hidden: np.ndarray) -> None:
    graph = make(hidden)  # type: ignore[operator]
    less = leave_out(graph)
    found = tables(less)
    assert set(found) == {n.name for n in graph.of(Product)}
    assert all(np.array_equal(table, ~hidden) for table in found.values())
    x = drawn(graph)
    every = [n.name for n in graph]
    before, after = (interp.run(g, x, every) for g in (graph, less))
    assert np.array_equal(before.outputs, after.outputs)
    scores = {name for name in found if "qk" in name}
    for name in every:
        same = np.array_equal(before.values[name], after.values[name])
        assert same or name in scores or (make is multiplied and name == "flat")
    for name in scores:
        assert not after.values[name][..., hidden].any() and before.values[name][..., hidden].any()
        assert np.array_equal(before.values[name][..., ~hidden], after.values[name][..., ~hidden])


def test_hidden_pairs_are_not_counted_and_the_others_all_are() -> None:
    graph = softmax(LATER)
    less, x = leave_out(graph), drawn(graph)
    whole, part = (count(g, interp.run(g, x, names(g))) for g in (graph, less))
    values = interp.run(less, x, names(less)).values
    for node in less.of(Product):
        a, b = (values[name] for name in node.inputs)
        sums = [np.cumsum(v, axis=0) for v in (a, b)]
        before = np.concatenate([np.zeros_like(sums[0][:1]), sums[0][:-1]])
        letters, table = node.shown
        met = sum(
            np.einsum(
                f"TZ{node.einsum.left},TZ{node.einsum.right},{letters}->", *(p != 0 for p in pair), table * 1
            )
            for pair in ((a, sums[1]), (before, b))
        )
        assert part.nodes[node.name].product_ops * len(x) == met
        if "qk" in node.name:
            assert part.nodes[node.name].product_ops < whole.nodes[node.name].product_ops


def test_nothing_is_left_out_where_everything_matters() -> None:
    graph = softmax(None)
    assert leave_out(graph) is graph
    # Scores that are also read past the mask matter.
    net = Net()
    x = net.input("NC", TOKENS, 3)
    q, k = (net.lif(net.dense(x, 4, f"{n}_fc"), n) for n in "qk")
    scores = net.product(q, k, "nd,md->nm", "NN", "qk")
    weights = net.micro(scores, "softmax", mask=LATER)
    graph = net.output(net.total(scores, weights))
    assert leave_out(graph) is graph


def test_a_population_that_speaks_unasked_hides_nothing() -> None:
    net = Net()
    x = net.input("NC", TOKENS, 3)
    q, k, v = (net.lif(net.dense(x, 4, f"{n}_fc"), n) for n in "qkv")
    weights = net.micro(net.product(q, k, "nd,md->nm", "NN", "qk"), "softmax", mask=LATER)
    moved = net.multi(net.total(weights, net.const(np.full((TOKENS, TOKENS), 9), "NN")), "moved")
    graph = net.output(net.product(moved, v, "nm,md->nd", "NC", "av"))
    assert set(tables(leave_out(graph))) == {"qk"}


@pytest.mark.parametrize("shown", [
    ("nm", np.eye(4, dtype=bool)), ("nm", np.eye(TOKENS)), ("nx", np.eye(TOKENS, dtype=bool)),
    ("nm", np.zeros((TOKENS, TOKENS), dtype=bool)), ("nn", np.eye(TOKENS, dtype=bool)),
])  # fmt: skip
def test_terms_that_a_product_does_not_have_are_refused(shown: tuple[str, np.ndarray]) -> None:
    graph = softmax(LATER)
    node = graph.nodes["a_qk"]
    assert isinstance(node, Product)
    node = replace(node, shown=shown)
    broken = Graph({**graph.nodes, "a_qk": node}, graph.values, graph.header)
    assert [problem.where for problem in shapes.problems(broken)] == ["a_qk"]
    assert shapes.problems(leave_out(graph)) == []
