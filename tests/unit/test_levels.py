"""Every rule of the levels, broken once; a legal graph breaks none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.errors import GraphError
from neurodeploy.ir import levels
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Micro, Neuron, Product, Reduce, Sum, Synapse
from neurodeploy.ir.types import Fixed, Interval
from tests.tiny import chain

LIF = {"du": 4095, "dv": 2048, "vth": 10}


def network() -> Graph:
    """One node of each kind that a rule speaks about."""
    return chain(
        (2, 2),
        (Synapse(name="w", inputs=("x",), weight=np.array([[1, 2], [3, 4]])), (2, 2)),
        (Neuron(name="n", inputs=("w",), model="lif", params=LIF), (2, 2)),
        (Product(name="p", inputs=("n", "w"), equation="ab,cb->ac", timing="instant"), (2, 2)),
        (Micro(name="m", inputs=("p",), op="rescale", params={"multiplier": 1, "shift": 1, "bits": 8},
               timing="instant"), (2, 2)),
        (Sum(name="s", inputs=("m", "w")), (2, 2)),
        (Reduce(name="r", inputs=("s",), op="sum", axes=(0,)), (2,)),
        ticks=2,
    )  # fmt: skip


def node(name: str, **changes: object) -> Callable[[Graph], Graph]:
    """The graph with fields of one node changed."""
    return lambda g: replace(g, nodes={**g.nodes, name: replace(g.nodes[name], **changes)})


def value(name: str, **changes: object) -> Callable[[Graph], Graph]:
    """The graph with facts of one value changed."""
    return lambda g: g.with_values({name: replace(g.values[name], **changes)})


#: one row more than there are ticks
ROWS = {
    "multiplier": np.ones(3, np.int64),
    "shift": np.zeros(3, np.int64),
    "offset": np.zeros(3, np.int64),
    "bits": 8,
}

BREACHES = [
    ("integer", "ND210", "n", node("n", model="perceptron")),
    ("integer", "ND210", "m", node("m", op="cosine")),
    ("spiking", "ND210", "m", node("m", op="cosine")),
    ("source", "ND210", "n", node("n", model="perceptron")),
    ("integer", "ND211", "s", value("m", contract="rate")),
    ("spiking", "ND211", "p", value("n", contract="difference")),
    ("source", "ND212", "p", lambda g: g),
    ("source", "ND212", "m", lambda g: g),
    ("spiking", "ND213", "p", node("p", timing=None)),
    ("integer", "ND213", "m", node("m", timing=None)),
    ("integer", "ND220", "w", node("w", weight=np.eye(2))),
    ("integer", "ND220", "w", node("w", bias=np.array([0.5, 1.0]))),
    ("integer", "ND220", "n", node("n", params=LIF | {"vth": 10.5})),
    ("integer", "ND220", "p", node("p", rescale=(np.array([0.5]), np.array([1])))),
    ("integer", "ND221", "r", node("r", op="mean")),
    ("integer", "ND222", "s", value("s", fixed=None)),
    ("integer", "ND222", "s", value("s", interval=None)),
    ("integer", "ND223", "s", value("s", fixed=Fixed(4, True, 1.0))),
    ("integer", "ND223", "s", value("s", fixed=Fixed(24, False, 1.0), interval=Interval(-1, 1, True))),
    ("integer", "ND224", "n", value("w", fixed=Fixed(24, True, 1.0), interval=Interval(0, 1 << 17, True))),
    ("integer", "ND227", "m", node("m", op="affine_by_tick", params=ROWS)),
    (
        "spiking",
        "ND227",
        "m",
        node(
            "m",
            op="affine_by_tick",
            timing="cumulative",
            params={name: np.ones(2) for name in ("gain", "offset")},
        ),
    ),
    ("integer", "ND225", "w", value("w", fixed=Fixed(40, True, 1.0), interval=Interval(0, 1 << 31, True))),
]


def test_legal_graph_breaks_no_rule() -> None:
    assert levels.verify(network(), "integer") == []
    assert levels.verify(network(), "spiking") == []
    assert levels.require(network(), "integer") is not None


@pytest.mark.parametrize(("level", "code", "where", "breach"), BREACHES)
def test_breach_is_found_where_it_is(
    level: str, code: str, where: str, breach: Callable[[Graph], Graph]
) -> None:
    problems = levels.verify(breach(network()), level)
    assert (code, where) in [(p.code, p.where) for p in problems]


def test_all_breaches_are_reported_at_once() -> None:
    broken = node("r", op="mean")(node("w", weight=np.eye(2))(network()))
    with pytest.raises(GraphError) as caught:
        levels.require(broken, "integer")
    assert {p.code for p in caught.value.problems} == {"ND220", "ND221"}


def test_unsigned_width_just_holds_its_interval() -> None:
    held = value("n", fixed=Fixed(1, False, 1.0), interval=Interval(0, 1, True))
    assert levels.verify(held(network()), "integer") == []
