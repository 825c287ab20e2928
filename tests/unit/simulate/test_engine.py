"""The engine where it takes another path than the interpreter: number types, chunks, tables, kernels, saturations."""

from __future__ import annotations

import itertools
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from neurodeploy.errors import GraphError, SimulateError
from neurodeploy.ir import fixed, interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Const, Micro, Neuron, Product, Reduce, Sum, Synapse, View
from neurodeploy.ir.types import Code
from neurodeploy.microcode.rescale import MEMBER as RESCALE
from neurodeploy.simulate import Engine, arithmetic, fused, kernels, operators, pools
from neurodeploy.simulate import engine as engine_module
from tests.tiny import batch, chain

MULTI = {"base_p": 40, "base_n": 30, "unit_p": 4, "unit_n": 3, "levels": 5, "rule": 0}


def assert_same(graph: Graph, x: np.ndarray) -> None:
    """Every value of every node at every tick, the read-outs and all saturation counts."""
    names, engine = list(graph.nodes), Engine(graph)
    expected = interp.run(graph, x, names)
    for watched in (
        names,
        [],
        [],
    ):  # what is watched is not fused; the last run does again what the one before did
        found = engine.run(x, watched)
        for name in watched:
            assert np.array_equal(found.values[name], expected.values[name]), name
        assert np.array_equal(found.outputs, expected.outputs)
        assert found.outputs.dtype == np.int64
        assert found.saturations == expected.saturations


def draw(low: int, high: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, shape, endpoint=True)


@pytest.mark.parametrize(
    ("reach", "kind"),
    [((1 << 24) - 1, np.float32), (1 << 24, np.float64), ((1 << 53) - 1, np.float64), (1 << 53, np.int64)],
)
def test_number_type_changes_exactly_where_sums_stop_being_exact(reach: int, kind: type) -> None:
    assert arithmetic.exact_in(reach) is kind


@pytest.mark.parametrize("scale", [1, 1 << 9, 1 << 16])
def test_dense_is_exact_on_both_sides_of_the_float32_limit(scale: int) -> None:
    """Cancelling terms: the result is small, so only the sum of magnitudes tells that float32 would round."""
    weight = np.array([[127, -127, 1, 0], [127, 127, -127, -126]])
    layer = Synapse(name="w", inputs=("x",), weight=weight, bias=np.array([1, -1]))
    graph = chain((4,), (layer, (2,)), reach=(-64 * scale, 64 * scale))
    x = draw(-64 * scale, 64 * scale, 7, 4)
    x[:, 1] = x[:, 0] - 1
    assert_same(graph, x)


def test_grouped_strided_convolution_with_padding() -> None:
    layer = Synapse(name="c", inputs=("x",), weight=draw(-127, 127, 6, 2, 3, 2), bias=draw(-9, 9, 6), op="conv",
                    stride=(2, 1), padding=(1, 1), groups=2)  # fmt: skip
    assert_same(chain((4, 5, 4), (layer, (6, 3, 5)), ticks=2), draw(-100, 100, 3, 4, 5, 4))


@pytest.mark.parametrize("model", ["lif", "ternary_lif"])
def test_lif_at_the_ends_of_its_input_range_wraps_and_clips_alike(model: str) -> None:
    thresholds = {
        "lif": {"vth": (1 << 17) - 1},
        "ternary_lif": {"vth_hi": (1 << 17) - 1, "vth_lo": -(1 << 17) + 1},
    }
    params = {"du": 0, "dv": 0} | thresholds[model]
    graph = chain((5,), (Neuron(name="n", inputs=("x",), model=model, params=params), (5,)), ticks=5,
                  reach=(-(1 << 17) + 1, (1 << 17) - 1), codes={"n": Code("ternary", 1, True)})  # fmt: skip
    x = np.concatenate([draw(-(1 << 17) + 1, (1 << 17) - 1, 20, 5), np.full((1, 5), (1 << 17) - 1)])
    assert_same(graph, x)
    assert interp.run(graph, x).saturations["n"] > 0


def test_multi_threshold_state_saturates_alike() -> None:
    node = Neuron(name="n", inputs=("x",), model="multi_threshold", params=MULTI)
    graph = chain((3,), (node, (3,)), ticks=5, reach=(-(1 << 23) + 1, (1 << 23) - 1))
    x = draw(-(1 << 23) + 1, (1 << 23) - 1, 4, 3)
    x[0] = (1 << 23) - 1
    assert_same(graph, x)
    assert interp.run(graph, x).saturations["n"] > 0


def compensated(reach: int, bits: int, rescaled: bool) -> Graph:
    table = fixed.multipliers_of(1 / np.arange(1, 5)) if rescaled else None
    weight = np.array([[1, 0], [1, -1]])
    return chain(
        (3, 2),
        (Synapse(name="a", inputs=("x",), weight=weight), (3, 2)),
        (Synapse(name="b", inputs=("x",), weight=weight.T), (3, 2)),
        (Product(name="p", inputs=("a", "b"), equation="nd,md->nm", timing="cumulative", rescale=table), (3, 3)),
        ticks=4, reach=(-reach, reach), bits={"p": bits},
    )  # fmt: skip


@pytest.mark.parametrize("reach", [3, 700, 30_000, 8_000_000])
@pytest.mark.parametrize("bits", [8, 24, 32])
@pytest.mark.parametrize("rescaled", [False, True])
def test_compensated_product_below_and_beyond_its_registers(reach: int, bits: int, rescaled: bool) -> None:
    assert_same(compensated(reach, bits, rescaled), draw(-reach, reach, 5, 3, 2))


def test_unproven_range_runs_tick_by_tick_only_where_the_data_saturate() -> None:
    graph = compensated(30_000, 32, rescaled=False)
    quiet, loud = draw(-100, 100, 2, 3, 2), np.full((2, 3, 2), 30_000)
    for x in (quiet, loud, np.concatenate([quiet, loud])):
        assert_same(graph, x)
    assert interp.run(graph, loud).saturations["p"] > interp.run(graph, quiet).saturations["p"] == 0


@pytest.mark.parametrize(
    "equation", ["ab,ab->ab", "ab,cb->ac", "ab,cb->ca", "ab,cb->a", "ab,ab->a", "ab,cd->acd"]
)
@pytest.mark.parametrize("timing", ["instant", "held", "cumulative"])
def test_any_einsum_of_two_streams(equation: str, timing: str) -> None:
    size = {"a": 3, "b": 2, "c": 3, "d": 2}
    shape = tuple(size[letter] for letter in equation.partition("->")[2])
    node = Product(name="p", inputs=("n", "x"), equation=equation, timing=timing)
    spikes = Neuron(name="n", inputs=("x",), model="multi_threshold", params=MULTI)
    flat = Reduce(name="r", inputs=("p",), op="sum", axes=tuple(range(len(shape))))
    assert_same(chain((3, 2), (spikes, (3, 2)), (node, shape), (flat, ()), ticks=3), draw(-100, 100, 4, 3, 2))


@pytest.mark.parametrize("timing", ["instant", "cumulative"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_tabulated_operator_equals_its_program(
    timing: str, per_channel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "LOOKED_AT", -1)
    monkeypatch.setattr(fused, "WORTH", -1)
    from neurodeploy.ir.micro_op import MICROCODE
    from neurodeploy.ir.types import Fixed, Interval

    scale = 2.0 ** -draw(6, 9, 4).astype(float) if per_channel else 2.0**-7
    made = MICROCODE["gelu"].quantize({}, Fixed(12, True, scale), Interval(-900, 900, True), {"out_bits": 9})
    node = Micro(name="m", inputs=("x",), op="gelu", params=made.params, timing=timing)
    graph = chain((4,), (node, (4,)), ticks=3, reach=(-900, 900), bits={"m": 9})
    x = draw(-900, 900, 600, 4)
    assert_same(graph, x)


def test_machine_code_is_made_only_once_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count()  # every look at the clock a second later
    monkeypatch.setattr(fused, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    monkeypatch.setattr(fused, "WORTH", 1.5)
    monkeypatch.setattr(fused, "SPENT", defaultdict(float))
    monkeypatch.setattr(kernels, "is_kept", lambda name, text: False)
    node = Micro(name="m", inputs=("x",), op="relu", params=RESCALE.params(0.5, 8), timing="instant")
    step, x = operators.program(node, chain((1,), (node, (1,)))), np.full((1, 100, 1), 99)
    for machine, kernel in ((False, False), (True, False), (True, True)):
        y, clipped = step([x], 1)
        assert (step.machine is not None) == machine
        assert (step.machine is not None and step.machine.kernel is not None) == kernel
        assert np.array_equal(y, np.full((1, 100, 1), 50)) and clipped == 0
    twin = operators.program(
        node, chain((1,), (node, (1,)))
    )  # shares its text: what the first has spent counts
    for _ in range(2):
        twin([x], 1)
    assert twin.machine is not None and twin.machine.kernel is not None


def test_an_operator_that_symbols_cannot_run_stays_with_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "LOOKED_AT", -1)
    node = Micro(name="m", inputs=("x",), op="relu", params=RESCALE.params(0.5, 8), timing="instant")
    step = operators.program(node, chain((2,), (node, (2,))))
    step.step = lambda inputs, states, params: (inputs[0] if inputs[0].max() > 0 else -inputs[0], (), 0)
    step.compiled, x = None, batch([3, -4])[None]
    assert np.array_equal(step([x], 1)[0], x) and step.machine is None and not step.traceable


def test_operator_of_a_constant_input_counts_saturations_of_every_tick() -> None:
    node = Micro(name="m", inputs=("x",), op="rescale", params=RESCALE.params(1.0, 4), timing="instant")
    graph = chain((2,), (node, (2,)), ticks=3)
    assert_same(graph, batch([100, 1], [-100, 7]))
    assert Engine(graph).run(batch([100, 1])).saturations == {"m": 3}


def test_readout_of_a_constant_alone_has_one_sample_as_in_the_interpreter() -> None:
    constant = Const(name="k", value=np.array([3, 4]))
    assert_same(chain((2,), (constant, (2,)), ticks=2), batch([1, 2], [3, 4]))


def test_sum_aligns_ranks_and_signs() -> None:
    mean = Reduce(name="m", inputs=("x",), op="sum", axes=(0,))
    graph = chain(
        (3, 2), (mean, (2,)), (Sum(name="s", inputs=("m", "x", "x"), signs=(-1, 1, -1)), (3, 2)), ticks=2
    )
    assert_same(graph, draw(-100, 100, 4, 3, 2))


@pytest.mark.parametrize("samples", [1, 2, 3, 7])
def test_chunks_join_to_the_whole(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "CHUNK", 2)
    graph = compensated(700, 8, rescaled=True)
    x = draw(-700, 700, samples, 3, 2)
    assert Engine(graph).chunk == 2
    assert_same(graph, x)


def test_pieces_on_threads_count_a_saturated_constant_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "threads", lambda: 2)
    clip = Micro(name="m", inputs=("k",), op="rescale", params=RESCALE.params(1.0, 4), timing="instant")
    graph = chain(
        (2,), (Const(name="k", value=np.array([100, 4])), (2,)), (clip, (2,)), (Sum(name="s", inputs=("m", "x")), (2,)),
        ticks=2,
    )  # fmt: skip
    assert_same(graph, draw(-9, 9, 6, 2))
    assert Engine(graph).run(draw(-9, 9, 6, 2)).saturations["m"] == 2


def test_empty_batch_yields_empty_read_outs() -> None:
    trace = Engine(compensated(700, 8, rescaled=True)).run(np.zeros((0, 3, 2), dtype=np.int64), ["p"])
    assert trace.outputs.shape == (4, 0, 3, 3) and trace.values["p"].shape == (4, 0, 3, 3)


def test_threads_do_not_change_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "threads", lambda: 2)
    node = Neuron(name="n", inputs=("x",), model="ternary_lif",
                  params={"du": 4095, "dv": 1024, "vth_hi": 50, "vth_lo": -70})  # fmt: skip
    graph = chain((9,), (node, (9,)), ticks=4, codes={"n": Code("ternary", 1, True)})
    assert_same(graph, draw(-100, 100, 5, 9))


def test_kernels_compile_where_nothing_can_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setattr(kernels, "cache_folder", lambda: blocked)
    text = "from numba import njit\n@njit(cache={})\ndef kernel(x):\n    return x + 1\n"
    assert kernels.compiled("small", text.format)(2) == 3


def test_input_outside_the_proven_range_is_refused() -> None:
    graph = chain((1,), (Synapse(name="w", inputs=("x",), weight=np.array([[1]])), (1,)), reach=(0, 16))
    with pytest.raises(SimulateError, match="ND603"):
        Engine(graph).run(batch([17]))
    with pytest.raises(SimulateError, match="ND601"):
        Engine(graph).run(batch([1, 2]))


def test_illegal_graph_is_refused() -> None:
    graph = chain((1,), (Synapse(name="w", inputs=("x",), weight=np.array([[0.5]])), (1,)))
    with pytest.raises(GraphError, match="ND220"):
        Engine(graph)


def test_what_a_view_turns_is_taken_anew_from_every_piece() -> None:
    """A view of spikes that do not lie side by side: what a layer reads of it is copied, and copied again."""
    lif, rng = {"vth": 9, "du": 4095, "dv": 2048}, np.random.default_rng(0)
    nodes = [
        (Neuron(name="n", inputs=("x",), model="lif", params=lif), (4, 3)),
        (View(name="v", inputs=("n",), op="permute", args=(1, 0)), (3, 4)),
        (Synapse(name="w", inputs=("v",), weight=rng.integers(-9, 9, (5, 4))), (3, 5)),
        (Neuron(name="m", inputs=("w",), model="lif", params=lif), (3, 5)),
    ]
    graph = chain((4, 3), *nodes, ticks=3, reach=(-20, 20))
    engine = Engine(graph)
    for _ in range(3):
        x = rng.integers(-20, 21, (6, 4, 3))
        assert np.array_equal(engine.run(x).outputs, interp.run(graph, x).outputs)


def test_spikes_that_a_layer_adds_up_and_adds_to_its_sums() -> None:
    """One layer reads them as lists, for its synapse, and as an array, for its sum."""
    rng = np.random.default_rng(0)
    nodes = [
        (Neuron(name="n", inputs=("x",), model="lif", params={"vth": 3, "du": 4095, "dv": 0}), (4, 3)),
        (Synapse(name="w", inputs=("n",), weight=rng.integers(-9, 9, (3, 3))), (4, 3)),
        (Sum(name="s", inputs=("n", "w"), signs=(1, 1)), (4, 3)),
    ]
    graph = chain((4, 3), *nodes, ticks=2, reach=(0, 9))
    engine = Engine(graph)
    for _ in range(2):
        x = rng.integers(0, 10, (5, 4, 3))
        assert np.array_equal(engine.run(x).outputs, interp.run(graph, x).outputs)


@pytest.mark.parametrize("limit", [8, 13, 17])
@pytest.mark.parametrize("shift", [0, 3, 16, 31, 40])
@pytest.mark.parametrize("largest", [1, (1 << 15) - 1, (1 << 30) - 1])
def test_rescale_of_a_layer_in_every_width(limit: int, shift: int, largest: int) -> None:
    """In 32 bits where products fit, without clips where none is possible; every multiplier has both signs."""
    rng = np.random.default_rng(0)
    multiplier = np.array([largest, -largest, largest // 2, 1, -1])
    params = {"multiplier": multiplier, "shift": np.full(5, shift), "bits": limit}
    nodes = [
        (Neuron(name="n", inputs=("x",), model="lif", params={"vth": 3, "du": 4095, "dv": 0}), (2, 6)),
        (Synapse(name="w", inputs=("n",), weight=rng.integers(-128, 128, (5, 6))), (2, 5)),
        (Micro(name="m", inputs=("w",), op="rescale", params=params, timing="instant"), (2, 5)),
        (Neuron(name="o", inputs=("m",), model="lif", params={"vth": 3, "du": 4095, "dv": 2048}), (2, 5)),
    ]
    graph = chain((2, 6), *nodes, ticks=3, reach=(0, 9), bits={"m": limit})
    assert_same(graph, rng.integers(0, 10, (5, 2, 6)))


@pytest.mark.parametrize("readout", ["sum", "last"])
@pytest.mark.parametrize(("axes", "shape"), [((0,), (3,)), ((1,), (5,)), ((0, 1), ())])
def test_narrow_sums_over_axes_and_ticks(axes: tuple[int, ...], shape: tuple[int, ...], readout: str) -> None:
    """Sums that need more bits than what they add up; ticks that differ, and ticks that are alike."""
    neuron = Neuron(name="n", inputs=("x",), model="lif", params={"vth": 60, "du": 4095, "dv": 1024})
    for nodes in ([(neuron, (5, 3))], []):
        name = "n" if nodes else "x"
        total = Reduce(name="r", inputs=(name,), op="sum", axes=axes)
        graph = chain((5, 3), *nodes, (total, shape), ticks=4, reach=(-100, 127), readout=readout)
        assert_same(graph, draw(-100, 127, 4, 5, 3))
