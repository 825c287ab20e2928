"""Walks over a graph: past what only rearranges, upwards and downwards; and names that are free."""

from __future__ import annotations

import numpy as np

from neurodeploy.ir.graph import Builder, Graph, free_name
from neurodeploy.ir.nodes import Input, Node, Output, Product, Sum, Synapse, View
from neurodeploy.ir.types import Origin, Shape, Value


def graph() -> Graph:
    """x -> turned -> flat -> (w, and twice a product); w -> out."""
    b = Builder()
    square, flat = Value(Shape(("N", "C"), (2, 2))), Value(Shape(("C",), (4,)))
    b.add(Input(name="x"), square)
    b.add(View(name="turned", inputs=("x",), op="permute", args=(1, 0)), square)
    b.add(View(name="flat", inputs=("turned",), op="reshape", args=(4,)), flat)
    b.add(Synapse(name="w", inputs=("flat",), weight=np.eye(4)), flat)
    b.add(Product(name="p", inputs=("flat", "flat"), equation="a,a->a"), flat)
    b.add(Sum(name="s", inputs=("w", "p")), flat)
    b.add(Output(name="out", inputs=("s",)), flat)
    return b.build()


def is_view(node: Node) -> bool:
    return isinstance(node, View)


def test_a_walk_upwards_ends_at_the_first_node_that_does_not_pass() -> None:
    names = [node.name for node in graph().upwards("flat", is_view)]
    assert names == ["flat", "turned", "x"]
    assert [node.name for node in graph().upwards("w", is_view)] == ["w"]


def test_readers_behind_views_come_once_per_operand() -> None:
    assert [node.name for node in graph().readers("x", is_view)] == ["w", "p", "p"]
    assert [node.name for node in graph().readers("x", lambda node: False)] == ["turned"]


def test_a_free_name_is_the_first_that_nobody_has() -> None:
    taken = {"a", "a_2", "b"}
    assert [free_name(name, taken) for name in ("a", "b", "c")] == ["a_3", "b_2", "c"]
    assert free_name("a", taken, ["a_3"]) == "a_4" and free_name("a", taken, mark="~") == "a~2"


def test_a_builder_gives_every_node_a_name_of_its_own() -> None:
    b = Builder()
    assert [b.add(Input(name="x"), Value(Shape((), ()))) for _ in range(3)] == ["x", "x_2", "x_3"]


def test_the_place_of_a_node_is_its_name_and_first_origin() -> None:
    origins = (Origin("block.0", "linear", "net.py", 7), Origin("block.1", "norm"))
    assert Input(name="x").place == "x"
    assert Input(name="x", origin=origins).place == "x from block.0 [linear] (net.py:7)"
