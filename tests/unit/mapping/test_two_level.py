"""Rows that exceed a core: computed in parts they fit, and mean the same to the last bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy import sampled
from neurodeploy.backends._base import BACKENDS
from neurodeploy.cost import booked
from neurodeploy.image import encode
from neurodeploy.ir import interp, intervals, levels
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.micro_op import MICROCODE
from neurodeploy.ir.nodes import Micro, Neuron
from neurodeploy.ir.rows import MOST
from neurodeploy.ir.types import Interval
from neurodeploy.mapping.layouts.two_level import MEMBER as TWO_LEVEL
from neurodeploy.mapping.mapper import map_graph, prepared
from neurodeploy.passes.balance import depths
from neurodeploy.passes.balance import turns as turns_of
from neurodeploy.program import Program
from neurodeploy.target import Target, load
from tests.fast import fast
from tests.mappings import random_mapping
from tests.unit.mapping.networks import Net, ecmt_transformer
from tests.unit.mapping.test_fan_in import assert_fits_only_in_parts, spikes
from tests.unit.mapping.test_map_graph import assert_sound, limited

SIM = load("loihi-sim")
SMALL = limited(SIM, neurons_per_core=20)
ROWS = [(op, timing) for op in ("softmax", "layer_norm", "rms_norm") for timing in ("instant", "cumulative")]
#: where the elements are proven to be small, and where they may be anything
STEPS = {"softmax": (4, 4), "rms_norm": (2, 4), "layer_norm": (2, 6)}


def row(op: str, timing: str, width: int = 23, tokens: int = 3, ticks: int = 3, **params: Any) -> Graph:
    """Scores of a dense layer through one row operator."""
    net = Net(timesteps=ticks)
    scores = net.dense(net.input("NC", tokens, 7), width)
    out = net.micro(scores, op, "row", timing)
    node = net.nodes[out]
    assert isinstance(node, Micro)
    net.nodes[out] = replace(node, params={**node.params, **params})
    return intervals.propagate(net.output(out))


def attention(tokens: int, width: int, timing: str) -> Graph:
    """One query of a class token over the keys of all tokens."""
    net = Net(timesteps=2)
    x = net.input("NC", tokens, width)
    k, v = (net.lif(net.dense(x, width, name), f"{name}_lif") for name in "kv")
    q = net.lif(net.dense(net.view(x, "slice", (0, 0, 1, 1), "NC", "cls"), width, "q"), "q_lif")
    scores = net.micro(net.product(q, k, "nc,mc->nm", "NN", "scores", timing), "softmax", timing=timing)
    return intervals.propagate(net.output(net.product(scores, v, "nm,mc->nc", "NC", "mix", timing)))


def anything(graph: Graph, reach: int = 1 << 22) -> Graph:
    """The same graph, with scores of which less is known."""
    value = replace(graph.values["fc"], interval=Interval(-reach, reach, True))
    return graph.with_values({"fc": replace(value, fixed=replace(value.fixed, bits=24))})


def pieces(graph: Graph, name: str) -> list[Micro]:
    return [n for n in graph.of(Micro) if n.name.startswith(f"{name}_")]


def assert_books_agree(graph: Graph, target: Target, x: np.ndarray) -> None:
    """Cores count what mapping and values say, and each of them alone is as it is among the others."""
    mapping = map_graph(graph, target)
    _, events = BACKENDS["loihi-sim"].run(Program(graph, encode(graph, mapping, target)), x)
    found = booked.booked(graph, mapping, interp.run(graph, x, booked.names(graph)), target)
    assert events is not None and not [*booked.disagreements(found, events)]
    alone = sampled.verify(Program(graph, mapping), target, x, cores=range(len(mapping.cores)))
    assert alone.divergence is None


# --- what fits in parts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("op", "timing"), fast(ROWS, ("softmax", "instant"), ("layer_norm", "cumulative")))
@pytest.mark.parametrize("wide", [False, True])
def test_a_row_of_more_neurons_than_a_core_has(op: str, timing: str, wide: bool) -> None:
    graph = anything(row(op, timing)) if wide else row(op, timing)
    made = assert_fits_only_in_parts(graph, SMALL, spikes(graph))
    assert made.values["row"] is graph.values["row"]
    steps = STEPS[op][wide]
    assert depths(made)["row"] - depths(graph)["row"] == steps
    assert len(pieces(made, "row")) == steps + 1
    assert all(n.timing == "instant" for n in pieces(made, "row"))
    assert [n.model for n in made.of(Neuron)] == ["running_mean", "mean_coder"] * (timing == "cumulative")


@pytest.mark.parametrize(("op", "timing"), fast(ROWS, ("softmax", "cumulative")))
def test_both_books_and_every_core_alone(op: str, timing: str) -> None:
    graph = row(op, timing, ticks=2)
    assert_books_agree(prepared(graph, SMALL), SMALL, spikes(graph, 2))


def test_parts_are_as_few_as_fit() -> None:
    sizes = [prepared(row("softmax", "instant", width), SMALL) for width in (20, 21, 32, 33, 48)]
    counts = [{made.shape(n.name)[1] for n in pieces(made, "row") if "absent" in n.params or n.params["level"] == 2}
              for made in sizes]  # fmt: skip
    assert counts == [set(), {2}, {2}, {3}, {3}]


def test_alike_rows_of_other_bounds_have_other_levels() -> None:
    net = Net(timesteps=2)
    x = net.lif(net.dense(net.input("NC", 2, 7), 23, "a"))
    for name in ("first", "second"):
        x = net.micro(net.dense(x, 23, f"{name}_in", 3), "layer_norm", name, "instant")
    graph = intervals.propagate(net.output(net.dense(x, 3, "head")))
    made = prepared(graph, SMALL)
    steps = [depths(made)[name] - depths(made)[f"{name}_in"] for name in ("first", "second")]
    assert steps == [2, 6]
    assert np.array_equal(*(interp.run(g, spikes(graph)).outputs for g in (graph, made)))


def test_a_mask_goes_with_its_part() -> None:
    """Of each row other elements are masked, all of a part among them."""
    mask = np.random.default_rng(0).random((3, 23)) < 0.4
    mask[0, :12], mask[1, 12:], mask[:, 3], mask[:, 15] = True, True, False, False
    graph = row("softmax", "instant", mask=mask.astype(np.int64))
    made = assert_fits_only_in_parts(graph, SMALL, spikes(graph))
    y = interp.run(made, spikes(graph), ["row"]).values["row"]
    assert not y[..., mask].any() and (y.sum(axis=-1) > 2**15 - 25).all()


def test_what_saturates_is_counted_as_often() -> None:
    graph = row("rms_norm", "instant", bits=9)
    x, made = spikes(graph), prepared(graph, SMALL)
    runs = [interp.run(g, x) for g in (graph, made)]
    assert np.array_equal(*(run.outputs for run in runs))
    counts = [sum(run.saturations.values()) for run in runs]
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("timing", fast(("cumulative", "instant"), "cumulative"))
def test_keys_of_a_query_on_the_target_as_it_is(timing: str) -> None:
    """Operands and running sums of a row of 2,000 are more than a core holds, and so are 5,000 neurons."""
    graph = attention({"cumulative": 2000, "instant": 5000}[timing], 16, timing)
    assert_fits_only_in_parts(graph, SIM, spikes(graph, 1))


def test_rows_of_a_transformer() -> None:
    """Blocks with norms, softmax and residual streams; alike rows are cut alike."""
    graph = intervals.propagate(ecmt_transformer(1, 2, 24))
    small = limited(SIM, neurons_per_core=20)
    made = prepared(graph, small)
    whole = {n.name for n in graph.of(Micro) if MICROCODE[n.op].row}
    cut = {name for name in whole if pieces(made, name)}
    assert cut == {n for n in whole if "norm" in n}
    mapping = map_graph(made, small.with_chips(4))
    assert not [p for p in mapping.problems if p.code == "ND501"] and not levels.verify(made, "integer")
    assert_sound(made, mapping, small.with_chips(4))
    x = np.random.default_rng(0).integers(0, 17, (2, *graph.shape("x")))
    names = [n.name for n in graph]
    truth, found = (interp.run(g, x, names) for g in (graph, made))
    assert [n for n in names if not np.array_equal(truth.values[n], found.values[n])] == []


@pytest.mark.needs("lava.magma")
@pytest.mark.parametrize(("op", "timing"), fast(ROWS, ("softmax", "cumulative")))
def test_lava_computes_the_same_in_parts(op: str, timing: str) -> None:
    graph = row(op, timing, tokens=2, ticks=2)
    made = prepared(graph, SMALL)
    names = [n.name for n in made]
    assert pieces(made, "row")
    x = spikes(graph, 2)
    truth, whole = interp.run(made, x, names), interp.run(graph, x, ["row"])
    found, _ = BACKENDS["lava"].run(Program(made), x, names)
    assert [n for n in names if not np.array_equal(truth.values[n], found.values[n])] == []
    assert np.array_equal(found.values["row"], whole.values["row"])


@settings(max_examples=5, deadline=None)
@given(st.sampled_from(ROWS), st.integers(9, 40), st.integers(0, 2**31))
def test_any_row_however_its_parts_are_cut(case: tuple[str, str], width: int, seed: int) -> None:
    op, timing = case
    graph = row(op, timing, width, tokens=2, ticks=2)
    graph = anything(graph) if seed % 2 else graph
    made = prepared(graph, limited(SIM, neurons_per_core=max(width - 1 - seed % (width // 4), 9)))
    mapping = encode(made, random_mapping(made, SIM, seed), SIM)
    x, names = spikes(graph, 2), [n.name for n in made]
    truth = interp.run(made, x, names)
    assert np.array_equal(truth.outputs, interp.run(graph, x).outputs)
    found, _ = BACKENDS["loihi-sim"].run(Program(made, mapping), x, names)
    assert [n for n in names if not np.array_equal(truth.values[n], found.values[n])] == []


# --- what stays as it is -----------------------------------------------------------------------------------------


def test_rows_that_fit_stay_whole() -> None:
    for op, timing in ROWS:
        graph = row(op, timing)
        assert TWO_LEVEL.rewrite(graph, SIM) is graph


def test_operators_without_levels_are_refused_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MICROCODE["softmax"], "levels", lambda params, reach: ())
    graph = row("softmax", "instant")
    assert TWO_LEVEL.rewrite(graph, SMALL) is graph
    assert "ND501" in {p.code for p in map_graph(prepared(graph, SMALL), SMALL).problems}


def test_no_number_of_parts_helps_where_something_else_is_short() -> None:
    graph = row("softmax", "instant")
    tiny = limited(SIM, table_words=8)
    assert TWO_LEVEL.rewrite(graph, tiny) is graph


def test_elements_have_to_fit_a_message() -> None:
    graph = row("softmax", "instant")
    for interval in (Interval(-MOST - 1, 0, True), Interval(-5, 5, False)):
        value = replace(
            graph.values["fc"], interval=interval, fixed=replace(graph.values["fc"].fixed, bits=26)
        )
        wide = graph.with_values({"fc": value})
        assert TWO_LEVEL.rewrite(wide, SMALL) is wide


def test_tokens_in_turn_and_binary_targets_keep_whole_rows() -> None:
    graph = row("layer_norm", "instant")
    streamed = graph.with_header(copies=(1,))
    assert TWO_LEVEL.rewrite(streamed, SMALL) is streamed and turns_of(streamed).any
    features = SIM.features.model_copy(
        update={"graded_payload": SIM.features.graded_payload.model_copy(update={"allowed": False})}
    )
    binary = SMALL.model_copy(update={"features": features})
    assert not binary.features.graded_payload.allowed and TWO_LEVEL.rewrite(graph, binary) is graph
