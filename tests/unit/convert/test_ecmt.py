"""The oracles of ECMT: what conversion must preserve, independent of any trained network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax

from neurodeploy import cost, target
from neurodeploy.convert import _search, ecmt
from neurodeploy.convert._sites import roles
from neurodeploy.errors import UsageError
from neurodeploy.ir import interp, levels
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.nodes import Input, Micro, Neuron, Output, Product
from neurodeploy.ir.types import Shape, Value
from tests.networks import images, mini_vit

METHOD = ecmt.MEMBER


def convert(graph: Graph, timesteps: int = 4, samples: np.ndarray | None = None, **options: object) -> Graph:
    _, config = METHOD.configure(options)
    return METHOD.rewrite(graph, config, images(graph, 64) if samples is None else samples, timesteps)


def source_logits(graph: Graph, x: np.ndarray) -> np.ndarray:
    return interp.run(graph, x, timesteps=1).outputs[0]


def test_conversion_puts_a_neuron_in_front_of_every_dense_layer_but_stem_and_head() -> None:
    graph = mini_vit(depth=2)
    spiking = convert(graph)
    neurons = spiking.of(Neuron)
    # per block: fc_qkv, q, k, v, softmax, fc_out, fc1, fc2
    assert len(neurons) == 8 * 2
    assert not levels.verify(spiking, "spiking")
    fed = {i for n in spiking if n.kind in ("synapse", "product") for i in n.inputs}
    dense = [name for name in fed if spiking.values[name].code.kind == "dense"]
    assert sorted(dense) == ["norm"]  # the head; the stem reads the graded image


def without_neurons(graph: Graph) -> Graph:
    """The converted graph with every neuron bypassed: what an infinitely fine neuron would give."""
    source = {n.name: n.inputs[0] for n in graph.of(Neuron)}
    nodes = {
        n.name: replace(n, inputs=tuple(source.get(i, i) for i in n.inputs))
        for n in graph
        if n.name not in source
    }
    return Graph(nodes, {name: graph.values[name] for name in nodes}, graph.header)


@pytest.mark.parametrize("timesteps", [1, 2, 5])
def test_compensation_alone_reproduces_the_ann_at_every_tick(timesteps: int) -> None:
    graph = mini_vit(seed=3)
    x = images(graph, 4, seed=9)
    outputs = interp.run(without_neurons(convert(graph, timesteps, correct="none")), x).outputs
    for t in range(1, timesteps + 1):
        np.testing.assert_allclose(outputs[t - 1] / t, source_logits(graph, x), atol=1e-9)


def test_error_falls_as_one_over_t_for_constant_input() -> None:
    graph = mini_vit(seed=5)
    x = images(graph, 16, seed=2)
    truth = source_logits(graph, x)
    spiking = convert(graph, 32, samples=x, preset="halved")
    outputs = interp.run(spiking, x).outputs
    errors = {t: np.abs(outputs[t - 1] / t - truth).mean() for t in (2, 8, 32)}
    assert errors[8] < errors[2] / 2
    assert errors[32] < errors[8] / 2


@pytest.mark.parametrize("op", ["layer_norm", "gelu", "softmax"])
def test_compensated_operator_telescopes_to_t_f_of_the_mean(op: str) -> None:
    params = {
        "layer_norm": {"gamma": np.linspace(0.5, 1.5, 6), "beta": np.zeros(6), "eps": 1e-6, "width": 6},
        "gelu": {"approximate": "none"},
        "softmax": {},
    }[op]
    shape = Value(Shape(("N", "C"), (3, 6)), contract="rate")
    b = Builder(Header(level="spiking", timesteps=5))
    b.add(Input(name="x", scale=0.25, zero=8), shape)
    # a neuron makes the operator's input vary in size and sign from tick to tick
    b.add(
        Neuron(
            name="s",
            inputs=("x",),
            model="multi_threshold",
            params={"base_p": 0.4, "base_n": 0.3, "levels": 4, "rule": 0},
        ),
        shape,
    )
    b.add(Micro(name="f", inputs=("s",), op=op, params=params, timing="cumulative"), shape)
    b.add(Output(name="out", inputs=("f",)), shape)
    x = np.random.default_rng(0).integers(0, 17, (7, 3, 6))
    trace = interp.run(b.build(), x, record=["s"])
    from neurodeploy.ir.micro_op import MICROCODE

    for t in range(1, 6):
        mean = trace.values["s"][:t].mean(axis=0)
        np.testing.assert_allclose(
            trace.outputs[t - 1], t * MICROCODE[op].float_apply(mean, params), atol=1e-9
        )


def test_two_product_form_equals_three_product_form_and_telescopes() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(6, 2, 3, 4)), rng.normal(size=(6, 2, 5, 4))
    shape_a, shape_b = Value(Shape(("N", "C"), (3, 4))), Value(Shape(("N", "C"), (5, 4)))
    builder = Builder(Header(level="spiking", timesteps=6))
    builder.add(Input(name="x"), Value(Shape(("N",), (1,))))
    node = Product(name="p", inputs=("a", "b"), equation="nc,mc->nm", timing="cumulative")
    builder.add(Input(name="a"), shape_a)
    builder.add(Input(name="b"), shape_b)
    builder.add(node, Value(Shape(("N", "N"), (3, 5))))
    builder.add(Output(name="out", inputs=("p",)), Value(Shape(("N", "N"), (3, 5))))
    graph, state = builder.build(), dict[str, Any]()
    two = [
        interp._product(node, [a[t], b[t]], interp._Tick(graph, state, t + 1, False, {})) for t in range(6)
    ]
    s_a, s_b, p = np.zeros_like(a[0]), np.zeros_like(b[0]), np.zeros((2, 3, 5))
    for t in range(1, 7):
        at, bt = a[t - 1], b[t - 1]
        # the released code: three products, then the difference of the two means
        ab = at @ bt.transpose(0, 2, 1)
        p = p + ab + at @ s_b.transpose(0, 2, 1) + s_a @ bt.transpose(0, 2, 1)
        s_a, s_b = s_a + at, s_b + bt
        if t == 1:
            out = ab
        else:
            out = (at @ s_b.transpose(0, 2, 1) + s_a @ bt.transpose(0, 2, 1) - ab) / (t - 1) - p / (
                t * (t - 1)
            )
        np.testing.assert_allclose(two[t - 1], out, atol=1e-12)
        np.testing.assert_allclose(np.sum(two[:t], axis=0), s_a @ s_b.transpose(0, 2, 1) / t, atol=1e-12)


def test_calibration_takes_the_order_statistics_of_the_released_code() -> None:
    graph = mini_vit(seed=7)
    x = images(graph, 128, seed=1)
    _, config = METHOD.configure({"preset": "released"})
    bases = ecmt.calibrate_bases(graph, config, x, {})["b0.norm1"]
    rows = []
    for batch in (x[:64], x[64:]):
        flat = np.sort(interp.run(graph, batch, record=["b0.norm1"], timesteps=1).values["b0.norm1"].ravel())
        rows.append((flat[int(0.99 * flat.size) - 1], -flat[int((1 - 0.99) * flat.size) - 1]))
    np.testing.assert_allclose(bases, np.mean(rows, axis=0))


def test_overrides_fix_the_bases_behind_softmax_and_gelu() -> None:
    spiking = convert(mini_vit(), preset="released")
    params = {n.name: n.params for n in spiking.of(Neuron)}
    assert params["b0.softmax.mt"]["base_p"] == params["b0.softmax.mt"]["base_n"] == 0.0125
    assert (params["b0.gelu.mt"]["base_p"], params["b0.gelu.mt"]["base_n"]) == (0.25, 0.08)


def test_a_network_that_spikes_or_has_nothing_to_convert_is_refused() -> None:
    assert [p.code for p in METHOD.accept(convert(mini_vit()))] == ["ND304"]
    b = Builder()
    shape = Value(Shape(("C",), (2,)))
    b.add(Input(name="x"), shape)
    b.add(Output(name="out", inputs=("x",)), shape)
    assert [p.code for p in METHOD.accept(b.build())] == ["ND305"]


@pytest.mark.parametrize(
    ("options", "code", "hint"),
    [
        ({"preset": "relased"}, "ND302", "released"),
        ({"levls": 4}, "ND303", "levels"),
        ({"levels": 99}, "ND303", ""),
    ],
)
def test_wrong_options_name_the_nearest_known_one(options: dict, code: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        METHOD.configure(options)
    assert caught.value.problems[0].code == code
    assert hint in " ".join(caught.value.problems[0].fixes)


def test_every_option_is_described() -> None:
    assert all(field.description for field in ecmt.EcmtConfig.model_fields.values())


def test_levels_by_role_and_by_glob() -> None:
    assert roles(mini_vit()) == {
        "b0.norm1": "linear", "b0.q": "q", "b0.k": "k", "b0.v": "v", "b0.softmax": "s", "b0.mix": "linear",
        "b0.norm2": "linear", "b0.gelu": "linear",
    }  # fmt: skip
    spiking = convert(mini_vit(), levels=5, levels_qk=4, levels_softmax=3, site_levels={"b0.norm*": 7})
    levels = {n.inputs[0]: n.params["levels"] for n in spiking.of(Neuron)}
    assert levels == {
        "b0.norm1": 7, "b0.q": 4, "b0.k": 4, "b0.v": 5, "b0.softmax": 3, "b0.mix": 5, "b0.norm2": 7, "b0.gelu": 5,
    }  # fmt: skip


def test_site_scales_multiply_the_bases() -> None:
    plain, scaled = (convert(mini_vit(), **o) for o in ({}, {"site_scales": {"*.gelu": 0.5}}))
    for a, b in zip(plain.of(Neuron), scaled.of(Neuron), strict=True):
        factor = 0.5 if a.name == "b0.gelu.mt" else 1.0
        assert b.params["base_p"] == factor * a.params["base_p"]


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"site_levels": {"b0.norn1": 4}}, "b0.norm1"),
        ({"site_levels": {"*": 99}}, "1 to 12"),
        ({"site_scales": {"*": -1.0}}, "above 0"),
    ],
)
def test_wrong_site_rules_are_refused(options: dict, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        convert(mini_vit(), **options)
    (problem,) = caught.value.problems
    assert problem.code == "ND303" and hint in " ".join((*problem.fixes, problem.limit))


def divergence_and_ratio(graph: Graph, spiking: Graph, x: np.ndarray) -> tuple[float, float]:
    """The search's two measures, the ratio by the account book of ``cost``."""
    trace = interp.run(spiking, x, record=cost.names_to_record(spiking))
    ratio = cost.paper.paper_energy(spiking, cost.count(spiking, trace), target.load("loihi-sim")).ratio
    p, q = (log_softmax(z, axis=1) for z in (source_logits(graph, x), trace.outputs[-1] / len(trace.outputs)))
    return float((np.exp(p) * (p - q)).sum(axis=1).mean()), float(ratio or 0.0)


def test_search_counts_as_the_paper_metric_does() -> None:
    graph = mini_vit(seed=1)
    spiking, x = convert(graph, 3), images(graph, 20, seed=4)
    score = _search.judge(spiking, x, log_softmax(source_logits(graph, x), axis=1))
    divergence, ratio = divergence_and_ratio(graph, spiking, x)
    assert score.divergence == pytest.approx(divergence) and score.ratio == pytest.approx(ratio)


@pytest.mark.parametrize(("goal", "budget"), [("energy", 0.3), ("accuracy", 10.0)])
def test_search_beats_the_fixed_setting_on_training_images(goal: str, budget: float) -> None:
    graph = mini_vit(seed=6)
    x = images(graph, 64)
    options = {"preset": "headline", "search": goal, "search_budget": budget, "search_evaluations": 50}
    fixed, found = convert(graph, 2, x, preset="headline"), convert(graph, 2, x, **options)
    (d0, r0), (d1, r1) = (divergence_and_ratio(graph, g, x) for g in (fixed, found))
    if goal == "energy":
        assert r1 <= budget + 0.02 and (d1 < d0 or r0 > budget)
    else:
        assert r1 < r0
    assert "candidates" in found.header.notes["search"]
    assert convert(graph, 2, x, **options).content_hash() == found.content_hash()


def test_search_keeps_the_start_where_nothing_beats_it() -> None:
    graph = mini_vit(seed=6)
    found = convert(graph, 2, search="energy", search_evaluations=1)
    assert "the start stays" in found.header.notes["search"]
    fixed = convert(graph, 2)
    assert [n.params for n in found.of(Neuron)] == [n.params for n in fixed.of(Neuron)]


def test_too_few_images_are_not_searched_on() -> None:
    graph = mini_vit()
    assert "search" not in convert(graph, 2, images(graph, 8), search="energy").header.notes
