"""The drawing of a network by modules: every node in one of them, every line between boxes, each place taken once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from neurodeploy.report import data, html
from neurodeploy.report.dataflow import DEEPEST, MOST_NODES, Module, dataflow, grouped, places, ranked, stops
from tests import fake_build

Nodes = dict[str, dict[str, Any]]


def node(name: str, *reads: str) -> dict[str, Any]:
    return {
        "name": name,
        "op": "linear",
        "kind": "synapse",
        "code": "binary",
        "rank": 0,
        "reads": list(reads),
    }


#: a residual block in a block, read from outside, and a name that is a module and a node
NETWORK = [
    node("input"), node("stem", "input"), node("blocks.0.norm", "stem"), node("blocks.0.norm.mt", "blocks.0.norm"),
    node("blocks.0.attn.q", "blocks.0.norm.mt"), node("blocks.0.attn.k", "blocks.0.norm.mt"),
    node("blocks.0.attn.product", "blocks.0.attn.q", "blocks.0.attn.k"),
    node("blocks.0.add", "stem", "blocks.0.attn.product"),
    node("blocks.1.fc", "blocks.0.add", "head"), node("head", "blocks.1.fc"),
]  # fmt: skip


def by_name(network: list[dict[str, Any]]) -> Nodes:
    return {found["name"]: found for found in network}


def modules(found: Module) -> Iterator[Module]:
    yield found
    for inner in found.modules:
        yield from modules(inner)


def test_modules_hold_their_nodes_and_show_what_they_read_from_outside() -> None:
    nodes = by_name(NETWORK)
    top = grouped("", tuple(nodes), nodes)
    assert list(top) == ["input", "stem", "blocks", "head"]
    assert (
        top["blocks"].reads == ("stem", "head")
        and top["blocks"].op == "7 nodes"
        and top["head"].reads == ("blocks",)
    )
    blocks = grouped("blocks", top["blocks"].nodes, nodes)
    assert list(blocks) == ["stem", "head", "blocks.0", "blocks.1.fc"]
    assert blocks["stem"].outside and not blocks["blocks.0"].outside and not blocks["blocks.1.fc"].module
    inner = grouped("blocks.0", blocks["blocks.0"].nodes, nodes)
    assert list(inner) == ["stem", "blocks.0.norm", "blocks.0.attn", "blocks.0.add"]
    assert inner["blocks.0.add"].reads == ("stem", "blocks.0.attn") and inner["blocks.0.norm"].module
    assert list(grouped("blocks.0.norm", inner["blocks.0.norm"].nodes, nodes)) == [
        "stem", "blocks.0.norm", "blocks.0.norm.mt"]  # fmt: skip


def test_a_network_that_is_one_module_is_shown_as_what_that_holds() -> None:
    network = [
        {**found, "name": f"net.{found['name']}", "reads": [f"net.{r}" for r in found["reads"]]}
        for found in NETWORK
    ]
    nodes = by_name(network)
    assert list(grouped("", tuple(nodes), nodes)) == ["net.input", "net.stem", "net.blocks", "net.head"]


def test_every_node_stands_in_one_drawing_and_what_feeds_back_pushes_nothing_down() -> None:
    nodes = by_name(NETWORK)
    found = dataflow({"network": NETWORK})
    assert found is not None
    assert [inner.name for inner in modules(found)] == [
        "",
        "blocks",
        "blocks.0",
        "blocks.0.norm",
        "blocks.0.attn",
    ]
    assert len({inner.number for inner in modules(found)}) == 5
    top = grouped("", tuple(nodes), nodes)
    assert ranked(top) == {"input": 0, "stem": 1, "blocks": 2, "head": 3}
    drawn = "".join(inner.drawing for inner in modules(found))
    assert (
        drawn.count('class="node leaf') == len(NETWORK) - 1 + 1
    )  # all; blocks.1 holds one node, which is its own box


@pytest.mark.parametrize("method", ["native", "ecmt"])
def test_lines_have_places_of_their_own(method: str) -> None:
    nodes = by_name(data.build(fake_build.inputs(method))["network"])
    boxes = grouped("", tuple(nodes), nodes)
    ranks = ranked(boxes)
    at = places(boxes, ranks)
    assert len(set(at.values())) == len(at) == len(stops(boxes, ranks))
    assert all(ranks[source] < ranks[box.name] for box in boxes.values() for source in box.reads)


def test_links_lead_to_the_modules() -> None:
    found = data.build(fake_build.inputs("native"))
    page = html.page({**found, "network": NETWORK})
    for number in range(1, 5):
        assert page.count(f'id="net-{number}"') == page.count(f'href="#net-{number}"') == 1
    assert page.count('class="scroll zoom"') == 5


def test_large_and_deep_networks_are_drawn_as_far_as_there_is_room() -> None:
    wide = [
        node(f"blocks.{block}.{n}", *([f"blocks.{block}.{n - 1}"] if n else []))
        for block in range(90)
        for n in range(30)
    ]
    found = dataflow({"network": wide})
    assert found is not None and found.nodes == 2700
    assert sum(inner.drawing.count("node-back") for inner in modules(found)) <= MOST_NODES
    deep = ["a" + ".a" * depth for depth in range(3000)]
    found = dataflow({"network": [node(name, *deep[max(i - 1, 0) : i]) for i, name in enumerate(deep)]})
    assert found is not None and max(inner.name.count(".") for inner in modules(found)) <= DEEPEST + 1
    assert dataflow({"network": []}) is None
