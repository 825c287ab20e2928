"""Which process of Lava stands for which node, and why not where none does. Needs no Lava."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from neurodeploy import backends, compare, lava
from neurodeploy.backends.lava import MEMBER, lowered, place
from neurodeploy.backends.lava.cell import Clock
from neurodeploy.backends.lava.plan import Plan, plan
from neurodeploy.backends.lava.stock import loaded
from neurodeploy.backends.lava.wiring import arranged, simplified
from neurodeploy.errors import BackendError, UsageError
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Delay, Neuron, Product, Sum, Synapse
from neurodeploy.ir.types import BINARY, TERNARY
from neurodeploy.program import Program
from tests.tiny import chain

LIF = {"du": 4095, "dv": 2048, "vth": 5}
TERNARY_LIF = {"du": 4095, "dv": 0, "vth_hi": 5, "vth_lo": -5}


def dense(name: str, source: str, weight: Any, bias: Any = None, **more: Any) -> Synapse:
    bias = None if bias is None else np.array(bias)
    return Synapse(name=name, inputs=(source,), weight=np.array(weight), bias=bias, **more)


def lif(name: str, source: str, model: str = "lif", **params: Any) -> Neuron:
    return Neuron(
        name=name, inputs=(source,), model=model, params={**LIF, **params} if model == "lif" else params
    )


def places(graph: Graph) -> dict[str, str]:
    return dict(lava.describe(Program(graph)).nodes)


def planned(graph: Graph) -> Plan:
    return plan(lowered(Program(graph)).graph)


def stock(found: Plan, name: str) -> Any:
    return next(u for u in found.units if u.name == name).stock


@pytest.mark.parametrize(
    ("weights", "mode", "exponent"),
    [
        ([[127, -127, 1]], "MIXED", -1),
        ([[-128, 0, 3]], "MIXED", -1),
        ([[-256, 254, 2]], "MIXED", 0),
        ([[-4, 8, 124]], "MIXED", 1),
        ([[255, 0, 3]], "EXCITATORY", 0),
        ([[-255, 0, -3]], "INHIBITORY", 0),
        ([[0, 0, 0]], "MIXED", -1),
        ([[-1, -2, -128]], "MIXED", -1),
    ],
)
def test_weights_are_loaded_so_that_dense_computes_with_them(weights: Any, mode: str, exponent: int) -> None:
    found = loaded(np.array(weights))
    assert found is not None and (found["sign_mode"], found["weight_exp"]) == (mode, exponent)
    kept = found["weights"] & ~1 if mode == "MIXED" else found["weights"]  # what Lava leaves of nine bits
    assert ((kept * 2.0**exponent) == np.array(weights)).all()


def test_weights_of_nine_and_of_more_bits() -> None:
    found = loaded(np.array([[-256, 255]]))
    assert found is not None and found["num_weight_bits"] == 9
    assert loaded(np.array([[-257, 1]])) is None and loaded(np.array([[256, 1]])) is None


def test_dense_conv_and_lif_layers_are_stock() -> None:
    kernel = np.ones((2, 3, 3, 3), dtype=np.int64)
    graph = chain(
        (3, 6, 6),
        (Synapse(name="conv", inputs=("x",), weight=kernel, bias=np.array([4, -4]), op="conv"), (2, 4, 4)),
        (lif("a", "conv"), (2, 4, 4)),
        (Synapse(name="conv2", inputs=("a",), weight=kernel[:, :2], op="conv"), (2, 2, 2)),
        (lif("b", "conv2"), (2, 2, 2)),
        codes={"a": BINARY, "b": BINARY},
        ticks=3,
    )
    found = planned(graph)
    assert places(graph) == {"conv": "Conv", "a": "LIFReset", "conv2": "Conv", "b": "LIFReset", "y": "own"}
    assert stock(found, "a").arguments["bias_mant"].shape == (2, 4, 4)
    assert [stock(found, n).arguments["reset_offset"] for n in ("a", "b")] == [2, 3]  # 1 + depth: staggered
    assert stock(found, "conv").arguments["num_message_bits"] > 0  # pixels
    assert stock(found, "conv2").arguments["num_message_bits"] == 0  # binary spikes
    assert lava.describe(Program(graph)).share == 1.0


def test_a_layer_shared_by_tokens_and_sums_beyond_conv_are_sparse() -> None:
    big = np.full((1, 1, 3, 3), 127)
    graph = chain((4, 3), (dense("d", "x", np.ones((2, 3), int)), (4, 2)))
    assert places(graph)["d"] == "Sparse"
    wide = chain(
        (1, 4, 4), (Synapse(name="c", inputs=("x",), weight=big, op="conv"), (1, 2, 2)), reach=(0, 1 << 13)
    )
    assert places(wide)["c"] == "Sparse"


def test_a_sum_before_a_neuron_is_its_in_port_and_elsewhere_a_cell() -> None:
    nodes = (
        (dense("a", "x", np.eye(3, dtype=int), [1, 2, 3]), (3,)),
        (dense("b", "x", np.eye(3, dtype=int), [0, 5, 0]), (3,)),
        (Sum(name="s", inputs=("a", "b")), (3,)),
        (lif("n", "s"), (3,)),
    )
    found = planned(chain((3,), *nodes))
    neuron = next(u for u in found.units if u.name == "n")
    assert [w.unit for w in neuron.ins[0]] == ["a", "b"] and stock(found, "n").arguments[
        "bias_mant"
    ].tolist() == [1, 7, 3]
    minus = (*nodes[:2], (Sum(name="s", inputs=("a", "b"), signs=(1, -1)), (3,)), nodes[3])
    assert places(chain((3,), *minus))["s"] == "own" and places(chain((3,), *minus))["n"] == "LIFReset"


@pytest.mark.parametrize(
    ("params", "bias", "cell"),
    [
        ({}, 4095, False),
        ({}, -4096, False),
        ({}, 4096, True),
        ({"du": 4000}, 1, True),
        ({"du": 4000}, 0, False),
    ],
)
def test_a_bias_is_lifs_own_where_it_fits_and_else_sent(
    params: dict[str, int], bias: int, cell: bool
) -> None:
    graph = chain((2,), (dense("d", "x", [[1, 1]], [bias]), (1,)), (lif("n", "d", **params), (1,)))
    found = planned(graph)
    assert stock(found, "n").process == "LIFReset"
    assert any(u.name == "d.bias" for u in found.units) == cell
    assert ("bias_mant" in stock(found, "n").arguments) == (not cell and bias != 0)


def test_ternary_lif_is_stock_only_where_nothing_has_to_be_reset() -> None:
    def graph(delay: int) -> Graph:
        return chain((2,), (dense("d", "x", [[1, 1]], delay=delay), (1,)),
                     (lif("n", "d", "ternary_lif", **TERNARY_LIF), (1,)), codes={"n": TERNARY})  # fmt: skip

    assert places(graph(0))["n"] == "own" and places(graph(1))["n"] == "TernaryLIF"


def test_delays_are_dense_delaydense_or_own() -> None:
    def place(delay: Any, kind: str = "dense") -> str:
        weight = np.ones((2, 3), int)
        return places(chain((3,) if kind == "dense" else (2, 3), (dense("d", "x", weight, delay=delay),
                            (2,) if kind == "dense" else (2, 2))))["d"]  # fmt: skip

    assert [place(d) for d in (0, 1, 2, 64)] == ["Dense", "Dense", "DelayDense", "DelayDense"]
    assert place(np.array([[1, 2, 3], [1, 1, 1]])) == "DelayDense"
    assert place(65) == "own" and place(2, "tokens") == "own"


def test_a_graph_with_delays_needs_a_network_for_each_sample() -> None:
    plain = planned(chain((2,), (dense("d", "x", [[1, 1]]), (1,)), ticks=4))
    late = planned(chain((2,), (dense("d", "x", [[1, 1]], delay=1), (1,)), ticks=4))
    assert (plain.clock.period, plain.depth) == (4, 1) and (late.clock.period, late.depth) == (None, 0)


def test_cells_follow_a_neuron_within_the_step() -> None:
    """A sum before, and a neuron of ours behind, a LIF of one population group: two cells, none waits for itself."""
    multi = {"base_p": 2, "base_n": 2, "unit_p": 1, "unit_n": 1, "levels": 2, "rule": 0}
    graph = chain(
        (3,),
        (Delay(name="p", inputs=("x",), steps=1), (3,)),
        (Sum(name="s", inputs=("p", "p")), (3,)),
        (lif("n", "s"), (3,)),
        (Neuron(name="m", inputs=("n",), model="multi_threshold", params=multi), (3,)),
    )
    found = planned(graph)
    cells = {u.name: u.nodes for u in found.units if u.spec}
    assert cells == {"p.cell": ("p", "s"), "p+1.cell": ("m", "y")} and stock(found, "n").process == "LIFReset"


def test_products_and_their_reasons() -> None:
    graph = chain(
        (2, 3),
        (dense("a", "x", np.ones((3, 3), int)), (2, 3)),
        (dense("b", "x", np.ones((3, 3), int)), (2, 3)),
        (Product(name="p", inputs=("a", "b"), equation="nd,md->nm", timing="instant"), (2, 2)),
    )
    row = next(r for r in lava.describe(Program(graph)).rows if r.layer == "p")
    assert not row.stock and "instant product" in row.reason and "read-out" in row.reason


def test_clock() -> None:
    clock = Clock(3, 3, 2)
    assert [clock.tick(s, 2) for s in range(1, 11)] == [None, None, 1, 2, 3, 1, 2, 3, None, None]
    assert [Clock(2, None, 1).tick(s, 1) for s in (1, 2, 3, 4)] == [None, 1, 2, None]
    assert Clock(2).tick(9, 1) == 8


def test_rearrangements_that_undo_each_other_vanish() -> None:
    ops = (("permute", (2, 1, 0)), ("reshape", (4, 6)), ("reshape", (4, 3, 2)), ("permute", (2, 1, 0)))
    x = np.arange(24).reshape(2, 3, 4)
    found = simplified(x.shape, ops)
    assert found == () and (arranged(x, ops) == x).all()
    kept = simplified(x.shape, (*ops, ("permute", (0, 2, 1))))
    assert kept == (("permute", (0, 2, 1)),)


def test_granularity_is_refused_by_name() -> None:
    graph = chain((2,), (dense("d", "x", [[1, 1]]), (1,)))
    with pytest.raises(BackendError, match="ND742"):
        lava.describe(Program(graph), "core")
    with pytest.raises(UsageError, match="ND743"):
        compare.usable("cpu", "core")
    assert backends.granular(MEMBER, "core").at("layer").granularity == "layer"


def test_other_pythons_are_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurodeploy.backends.lava.place.PYTHON", (3, 9))
    monkeypatch.setattr("neurodeploy.backends.lava.place.interpreter", lambda: "")
    with pytest.raises(BackendError, match=r"ND701(.|\n)*Python 3.10(.|\n)*neurodeploy lava setup"):
        compare.usable("lava")
    with pytest.raises(BackendError, match="ND701"):
        lava.network(chain((2,), (dense("d", "x", [[1, 1]]), (1,))))


def test_a_loop_that_is_too_short_is_refused() -> None:
    graph = chain(
        (1,),
        (dense("a", "x", [[1]]), (1,)),
        (dense("back", "m", [[1]], delay=1), (1,)),
        (Sum(name="s", inputs=("a", "back")), (1,)),
        (lif("n", "s"), (1,)),
        (dense("c", "n", [[1]]), (1,)),
        (lif("m", "c"), (1,)),
    )
    with pytest.raises(BackendError, match="ND515"):
        lava.describe(Program(graph))


def test_a_right_python_without_lava_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurodeploy.backends.lava.place.PYTHON", sys.version_info[:2])
    monkeypatch.setattr("neurodeploy.backends.lava.place.find_spec", lambda name: None)
    assert "lava-nc 0.10.0 is not installed" in place.here()
