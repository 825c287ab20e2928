"""The interpreter against networks small enough to compute by hand, and against formulas written independently."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from neurodeploy.convert import ecmt
from neurodeploy.errors import GraphError, SimulateError
from neurodeploy.ir import fixed, interp
from neurodeploy.ir.equation import Equation
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Const, Delay, Micro, Neuron, Product, Reduce, Sum, Synapse, View
from neurodeploy.ir.types import BINARY
from neurodeploy.microcode.rescale import MEMBER as RESCALE
from tests.networks import mini_vit
from tests.tiny import batch, chain

LIF = {"du": 4095, "dv": 2048, "vth": 10}


def dense(weight: list, bias: list | None = None, name: str = "w", source: str = "x") -> Synapse:
    bias_array = None if bias is None else np.array(bias)
    return Synapse(name=name, inputs=(source,), weight=np.array(weight), bias=bias_array)


def test_dense_is_weights_times_input_plus_bias_at_every_tick() -> None:
    graph = chain((2,), (dense([[1, 2], [3, -4]], [5, 6]), (2,)), ticks=2)
    trace = interp.run(graph, batch([1, 10]), ["w"])
    assert trace.values["w"].tolist() == [[[26, -31]], [[26, -31]]]
    assert trace.outputs.tolist() == [[[26, -31]], [[52, -62]]]


def test_input_is_centred_before_anything_else() -> None:
    graph = chain((1,), (dense([[2]]), (1,)))
    nodes = dict(graph.nodes) | {"x": type(graph.input)(name="x", zero=3)}
    shifted = type(graph)(nodes, graph.values, graph.header)
    assert interp.run(shifted, batch([5])).outputs.tolist() == [[[4]]]


def test_convolution_is_torchs_cross_correlation() -> None:
    weight = np.arange(9).reshape(1, 1, 3, 3)
    node = Synapse(name="c", inputs=("x",), weight=weight, op="conv", padding=(1, 1))
    graph = chain((1, 3, 3), (node, (1, 3, 3)))
    x = np.zeros((1, 1, 3, 3), dtype=np.int64)
    x[0, 0, 1, 1] = 1
    assert interp.run(graph, x).outputs[0, 0, 0].tolist() == [[8, 7, 6], [5, 4, 3], [2, 1, 0]]


def test_strided_grouped_convolution_equals_a_written_out_loop() -> None:
    rng = np.random.default_rng(0)
    weight, x = rng.integers(-9, 9, (4, 1, 2, 3)), rng.integers(-9, 9, (2, 2, 5, 6))
    node = Synapse(name="c", inputs=("x",), weight=weight, op="conv", stride=(2, 1), padding=(1, 0), groups=2)
    out = interp.run(chain((2, 5, 6), (node, (4, 3, 4))), x).outputs[0]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))
    for b, o, i, j in np.ndindex(out.shape):
        window = padded[b, o // 2, 2 * i : 2 * i + 2, j : j + 3]
        assert out[b, o, i, j] == (window * weight[o, 0]).sum()


def test_lif_leaks_fires_above_threshold_and_resets() -> None:
    # state in 1/64: 6, then 3 + 6 = 9, then 4.5 + 6 = 10.5 > 10 fires, then 6 again
    graph = chain(
        (1,), (Neuron(name="n", inputs=("x",), model="lif", params=LIF), (1,)), ticks=4, codes={"n": BINARY}
    )
    assert interp.run(graph, batch([6]), ["n"]).values["n"].ravel().tolist() == [0, 0, 1, 0]


def test_lif_does_not_fire_at_equality_of_whole_units() -> None:
    graph = chain((2,), (Neuron(name="n", inputs=("x",), model="lif", params=LIF), (2,)), codes={"n": BINARY})
    assert interp.run(graph, batch([10, 11])).outputs.tolist() == [[[0, 1]]]


def test_multi_threshold_conserves_what_it_is_given() -> None:
    params = {"base_p": 4, "base_n": 6, "unit_p": 2, "unit_n": 3, "levels": 3, "rule": 0}
    graph = chain(
        (1,), (Neuron(name="n", inputs=("x",), model="multi_threshold", params=params), (1,)), ticks=40
    )
    out = interp.run(graph, batch([7]), ["n"]).values["n"].ravel()
    assert abs(int(out.sum()) * 2 - 40 * 7) <= 4 * 2**2  # one payload unit is worth 2 state units


def test_sum_aligns_streams_of_lower_rank_behind_the_batch() -> None:
    # two samples and two tokens: broadcasting by numpy alone would mistake one for the other
    token_mean = Reduce(name="m", inputs=("x",), op="sum", axes=(0,))
    total = Sum(name="s", inputs=("x", "m"), signs=(1, -1))
    graph = chain((2, 1), (token_mean, (1,)), (total, (2, 1)))
    assert interp.run(graph, batch([[1], [2]], [[10], [20]])).outputs[0].tolist() == [
        [[-2], [-1]],
        [[-20], [-10]],
    ]


def test_broadcast_inserts_axes_behind_the_batch() -> None:
    node = View(name="b", inputs=("x",), op="broadcast", args=(2, 1))
    out = interp.run(chain((1,), (node, (2, 1))), batch([1], [2])).outputs[0]
    assert out.tolist() == [[[1], [1]], [[2], [2]]]


def test_views_and_delay_only_rearrange() -> None:
    constant = Const(name="k", value=np.array([[7, 8]]))
    joined = View(name="v", inputs=("k", "x"), op="concat", args=(0,))
    turned = View(name="p", inputs=("v",), op="permute", args=(1, 0))
    padded = View(name="q", inputs=("p",), op="pad", args=(1, 1, 0))
    waits = Delay(name="d", inputs=("q",), steps=3)
    graph = chain(
        (1, 2), (constant, (1, 2)), (joined, (2, 2)), (turned, (2, 2)), (padded, (2, 3)), (waits, (2, 3))
    )
    assert interp.run(graph, batch([[1, 2]])).outputs[0, 0].tolist() == [[0, 7, 1], [0, 8, 2]]


def test_pooling_counts_windows_and_pads_with_zero() -> None:
    node = Reduce(name="r", inputs=("x",), op="max", window=(2, 2), stride=(1, 2), padding=(0, 1))
    out = interp.run(chain((1, 2, 2), (node, (1, 1, 2))), batch([[[-1, -2], [-3, -4]]])).outputs
    assert out[0, 0].tolist() == [[[0, 0]]]


@pytest.mark.parametrize(
    ("readout", "expected"), [("sum", [3, 6, 9]), ("mean", [3, 6, 9]), ("last", [3, 3, 3])]
)
def test_integer_readout_accumulates_or_keeps_the_last(readout: str, expected: list[int]) -> None:
    graph = chain((1,), (dense([[1]]), (1,)), ticks=3, readout=readout)
    assert interp.run(graph, batch([3])).outputs.ravel().tolist() == expected


def product(timing: str, factor: float | None, ticks: int, equation: str = "nd,md->nm") -> Product:
    per_tick = [factor / (t if timing == "cumulative" else 1) for t in range(1, ticks + 1)] if factor else []
    table = fixed.multipliers_of(np.array(per_tick)) if factor else None
    return Product(name="p", inputs=("a", "b"), equation=equation, timing=timing, rescale=table)


EQUATIONS = ("hnd,hmd->hnm", "hnm,hmd->hnd", "nd,md->nm", "hnd,hmd->nhm", "nd,nd->nd", "nd,md->n", "abc,cbd->bad",
             "nd,nd->", "ab,cd->dbca")  # fmt: skip


@pytest.mark.parametrize("equation", EQUATIONS)
@pytest.mark.parametrize("batches", [(3, 3), (1, 3), (3, 1)])
def test_contract_is_an_einsum(equation: str, batches: tuple[int, int]) -> None:
    size = dict(zip("abcdhmn", (2, 3, 4, 5, 6, 7, 8), strict=True))
    rng = np.random.default_rng(0)
    left, right, out = equation.replace("->", ",").split(",")
    a, b = (
        rng.integers(-(10**6), 10**6, (count, *(size[c] for c in letters)))
        for letters, count in zip((left, right), batches, strict=True)
    )
    found = interp.contract(Equation.parse(equation), a, b)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, np.einsum(f"Z{left},Z{right}->Z{out}", a, b))


@pytest.mark.parametrize("still", [True, False])
def test_what_no_tick_changes_is_computed_once_and_equal(still: bool) -> None:
    source = mini_vit()
    x = np.random.default_rng(0).integers(0, 16, (3, *source.shape("image")))
    graph = ecmt.MEMBER.rewrite(source, ecmt.EcmtConfig(), x, 4)
    if not still:
        nodes = {**graph.nodes, "image": replace(graph.input, per_tick=True)}
        graph, x = replace(graph, nodes=nodes), np.random.default_rng(0).integers(0, 16, (3, 4, *x.shape[1:]))
    names = [node.name for node in graph]
    constants = {node.name for node in graph.of(Const)}
    unchanging, first = interp.unchanging(graph), source.of(Synapse)[0].name
    assert unchanging > {"image", first} | constants if still else unchanging == constants
    trace, state = interp.run(graph, x, names), dict[str, Any]()
    for t in range(1, 5):
        fresh = dict(interp.evaluate_tick(interp._Tick(graph, state, t, False, {}, len(x)), x))
        for name in names:
            np.testing.assert_array_equal(
                trace.values[name][t - 1], np.broadcast_to(fresh[name], trace.values[name][0].shape)
            )


def spiking_product(timing: str, factor: float | None, ticks: int, bits: int = 32) -> tuple:
    params = {"base_p": 8, "base_n": 8, "unit_p": 1, "unit_n": 1, "levels": 4, "rule": 0}
    a = Neuron(name="a", inputs=("x",), model="multi_threshold", params=params)
    b = Neuron(name="b", inputs=("w",), model="multi_threshold", params=params | {"base_p": 6})
    weights = dense([[1, -2, 1], [0, 3, 1], [2, 1, 0]])
    nodes = ((a, (2, 3)), (weights, (2, 3)), (b, (2, 3)), (product(timing, factor, ticks), (2, 2)))
    graph = chain((2, 3), *nodes, ticks=ticks, bits={"p": bits})
    x = np.random.default_rng(1).integers(-90, 90, (3, 2, 3))
    return graph, x, interp.run(graph, x, ["a", "b", "p"])


@pytest.mark.parametrize("ticks", [1, 2, 3, 5])
def test_compensated_product_telescopes_to_the_product_of_sums(ticks: int) -> None:
    _, _, trace = spiking_product("cumulative", 1.0, ticks)
    s_a, s_b = (trace.values[name].sum(axis=0) for name in "ab")
    whole = np.einsum("Bnd,Bmd->Bnm", s_a, s_b)
    assert (trace.values["p"].sum(axis=0) == fixed.rescale(whole, *fixed.reciprocal(ticks))).all()
    assert not trace.saturations["p"]


def test_product_of_two_adds_per_tick_equals_the_form_with_three_in_exact_rationals() -> None:
    _, _, trace = spiking_product("cumulative", None, 4)
    a, b = (trace.values[name].astype(object) for name in "ab")
    multiply = lambda u, v: np.einsum("Bnd,Bmd->Bnm", u, v)
    p2 = p3 = 0 * multiply(a[0], b[0])
    s_a, s_b = 0 * a[0], 0 * b[0]
    for t in range(4):
        p2 = p2 + multiply(a[t], s_b + b[t]) + multiply(s_a, b[t])
        p3 = p3 + multiply(a[t], s_b) + multiply(s_a, b[t]) + multiply(a[t], b[t])
        s_a, s_b = s_a + a[t], s_b + b[t]
        exact = np.vectorize(lambda v, t=t: Fraction(int(v), t + 1))
        assert (exact(p2) == exact(p3)).all()
        assert (p2 == multiply(s_a, s_b)).all()
        assert (trace.values["p"][: t + 1].sum(axis=0) == p2).all()


def test_instant_product_uses_both_operands_of_the_tick() -> None:
    _, _, trace = spiking_product("instant", 0.25, 3)
    raw = np.einsum("TBnd,TBmd->TBnm", trace.values["a"], trace.values["b"])
    assert (trace.values["p"] == fixed.rescale(raw, *fixed.multiplier_of(0.25))).all()


def test_held_product_keeps_the_last_operand_that_spoke() -> None:
    _, _, trace = spiking_product("held", None, 5)
    a, b = trace.values["a"], trace.values["b"].copy()
    for t in range(1, 5):
        silent = ~(b[t] != 0).any(axis=(1, 2))
        b[t][silent] = b[t - 1][silent]
    assert (trace.values["p"] == np.einsum("TBnd,TBmd->TBnm", a, b)).all()


def test_product_saturates_at_its_declared_width_and_counts() -> None:
    _, _, wide = spiking_product("instant", None, 3)
    _, _, narrow = spiking_product("instant", None, 3, bits=5)
    assert (narrow.values["p"] == np.clip(wide.values["p"], -15, 15)).all()
    assert narrow.saturations["p"] == (np.abs(wide.values["p"]) > 15).sum() > 0


def test_running_product_saturates_at_32_bits_and_counts() -> None:
    top = (1 << 31) - 1
    nodes = (
        (dense([[1 << 8]], name="a"), (1, 1)),
        (dense([[1 << 7]], name="b"), (1, 1)),
        (product("cumulative", None, 4), (1, 1)),
    )
    graph = chain((1, 1), *nodes, ticks=4, reach=(-200, 200), bits={"p": 32})
    trace = interp.run(graph, batch([[200]]), ["p"])
    exact = [200 * 256 * 200 * 128 * t * t for t in (1, 2, 3, 4)]  # 1.3e9 * t^2
    assert exact[0] <= top < exact[1]
    assert trace.values["p"].cumsum(axis=0).ravel().tolist() == [exact[0], top, top, top]
    assert trace.saturations["p"] == 3


@pytest.mark.parametrize("ticks", [1, 2, 3, 4, 7])
def test_compensated_operator_telescopes_exactly(ticks: int) -> None:
    params = RESCALE.params(0.3, 20)
    node = Micro(name="m", inputs=("n",), op="rescale", params=params, timing="cumulative")
    sends = Neuron(name="n", inputs=("x",), model="multi_threshold",
                   params={"base_p": 6, "base_n": 4, "unit_p": 3, "unit_n": 2, "levels": 4, "rule": 1})  # fmt: skip
    graph = chain((4,), (sends, (4,)), (node, (4,)), ticks=ticks, bits={"m": 24})
    trace = interp.run(graph, np.random.default_rng(2).integers(-99, 99, (5, 4)), ["n", "m"])
    mean = fixed.rescale(trace.values["n"].sum(axis=0), *fixed.reciprocal(ticks))
    assert (trace.values["m"].sum(axis=0) == ticks * RESCALE.int_apply(mean, params)[0]).all()


def test_compensated_softmax_in_floats_is_the_softmax_of_the_mean() -> None:
    node = Micro(name="m", inputs=("x",), op="softmax", timing="cumulative")
    graph = chain((3,), (node, (3,)), ticks=4, level="spiking")
    x = batch([1, 2, 3])
    expected = np.exp(x) / np.exp(x).sum()
    assert np.allclose(interp.run(graph, x, ["m"]).values["m"].mean(axis=0), expected)


def test_input_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(SimulateError, match="ND601"):
        interp.run(chain((2,), (dense([[1, 2]]), (1,))), batch([1, 2, 3]))


# --- time inside a sample: frames, delays, recurrence, resets --------------------------------------------------------


def streamed(graph: Graph) -> Graph:
    """The graph with a frame for each tick."""
    return Graph({**graph.nodes, "x": replace(graph.input, per_tick=True)}, graph.values, graph.header)


def test_a_frame_for_each_tick() -> None:
    graph = streamed(chain((2,), (dense([[1, 10]]), (1,)), ticks=3))
    x = np.array([[[1, 0], [0, 1], [2, 3]]])
    assert interp.run(graph, x, ["w"]).values["w"].ravel().tolist() == [1, 10, 32]
    with pytest.raises(SimulateError) as refused:
        interp.run(graph, x[:, :2])
    assert refused.value.problems[0].limit == "(batch, 3, 2)"


def test_delays_of_single_connections_and_a_bias_that_waits_for_nobody() -> None:
    node = replace(dense([[1, 10]], [100]), delay=np.array([[0, 2]]))
    graph = streamed(chain((2,), (node, (1,)), ticks=4))
    x = np.array([[[1, 1], [2, 2], [3, 3], [4, 4]]])
    assert interp.run(graph, x, ["w"]).values["w"].ravel().tolist() == [101, 102, 113, 124]


def test_a_delayed_convolution() -> None:
    weight = np.array([[[[2]]]])
    node = Synapse(name="c", inputs=("x",), weight=weight, op="conv", delay=1)
    graph = streamed(chain((1, 1, 2), (node, (1, 1, 2)), ticks=2))
    out = interp.run(graph, np.array([[[[[1, 2]]], [[[3, 4]]]]]), ["c"]).values["c"]
    assert out.reshape(2, 2).tolist() == [[0, 0], [2, 4]]


def recurrent(weight: int, ticks: int, delay: int = 1) -> Graph:
    """x plus ``weight`` times the population's own spikes of ``delay`` ticks ago, into a LIF without memory."""
    own = Synapse(name="own", inputs=("n",), weight=np.array([[weight]]), delay=delay)
    total = Sum(name="sum", inputs=("x", "own"))
    lif = Neuron(name="n", inputs=("sum",), model="lif", params={**LIF, "dv": 4096})
    return streamed(chain((1,), (own, (1,)), (total, (1,)), (lif, (1,)), ticks=ticks))


def test_recurrence_sees_the_spikes_of_the_tick_before() -> None:
    x = np.array([11, 0, 0, 0, 5]).reshape(1, 5, 1)
    assert interp.run(recurrent(11, 5), x, ["n"]).values["n"].ravel().tolist() == [1, 1, 1, 1, 1]
    assert interp.run(recurrent(6, 5), x, ["n"]).values["n"].ravel().tolist() == [1, 0, 0, 0, 0]
    assert interp.run(recurrent(11, 5, 3), x, ["n"]).values["n"].ravel().tolist() == [1, 0, 0, 1, 0]
    assert [node.name for node in recurrent(6, 1).feedback] == ["own"]


def test_only_a_delayed_synapse_may_look_ahead_and_only_at_a_neuron() -> None:
    for delay, source in ((0, "n"), (1, "sum")):
        with pytest.raises(GraphError) as refused:
            graph = recurrent(1, 1)
            own: Any = graph.nodes["own"]
            own = replace(own, delay=delay, inputs=(source,))
            Graph({**graph.nodes, "own": own}, graph.values, graph.header)
        assert [p.code for p in refused.value.problems] == ["ND202"]


def test_a_reset_forgets_before_it_integrates() -> None:
    lif = Neuron(name="n", inputs=("x",), model="lif", params={**LIF, "dv": 0}, reset=(3, 2))
    graph = streamed(chain((1,), (lif, (1,)), ticks=6))
    x = np.array([6, 0, 6, 6, 0, 6]).reshape(1, 6, 1)
    # reset before ticks 2 and 5: the 6 of tick 1 is lost; 6 + 6 of ticks 3 and 4 fire; the 6 of tick 6 is alone
    assert interp.run(graph, x, ["n"]).values["n"].ravel().tolist() == [0, 0, 0, 1, 0, 0]


def test_bounds_of_delayed_and_recurrent_sums_hold() -> None:
    graph = recurrent(7, 4)
    assert (graph.values["own"].interval.lo, graph.values["own"].interval.hi) == (0, 7)
    late = chain((1,), (replace(dense([[1]]), delay=1), (1,)), reach=(3, 5))
    assert (late.values["w"].interval.lo, late.values["w"].interval.hi) == (0, 5)
