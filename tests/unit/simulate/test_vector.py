"""Vector code against numpy, at the ends of its ranges, every form in turn; and layers whose kernel is forced."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Micro, Neuron, Product, Sum, Synapse
from neurodeploy.ir.types import BINARY
from neurodeploy.simulate import Engine, chains, compiled, engine, pools, vector
from tests.fast import fast
from tests.tiny import chain

#: what every form needs of a processor
NEEDS = {
    "positions_compress": "avx512vbmi2",
    "dot_8": "avx512vnni",
    "dot_16": "avx512bw",
    "dot_16_narrow": "avx2",
}
PLAIN = {"dot_of_2": "dot_16_narrow", "dot_of_4": "", "gather": "gather_plain", "positions": "positions_plain",
         "row_to_bits": "row_to_bits_plain", "rows_of_bits": "rows_of_bits_plain"}  # fmt: skip


def form(name: str) -> Callable:
    if name in NEEDS and not vector.has(NEEDS[name]):
        pytest.skip(f"no {NEEDS[name]} here")
    return getattr(vector, name)


@pytest.mark.parametrize("name", ["gather", "gather_plain"])
@pytest.mark.parametrize("tile", [64, 128])
def test_rows_of_weights_are_summed(name: str, tile: int) -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(-128, 127, (700, tile), endpoint=True).astype(np.int8)
    weight[:300] = np.where(np.arange(tile) % 2, -128, 127)
    bias, weights = (
        rng.integers(-(1 << 30), 1 << 30, tile).astype(np.int32),
        vector.packed(weight, tile).ravel(),
    )
    for count in (0, 1, 2, 3, 4, 255, 256, 257, 300, 700):
        index = np.full(count + 4, 700, np.uint16)
        index[:count] = rng.permutation(700)[:count] if count < 300 else np.arange(count)
        out = np.full(tile, -7, np.int32)
        form(name)(index, count, weights, bias, out)
        assert np.array_equal(out, bias + weight[index[:count]].sum(axis=0, dtype=np.int64)), count


@pytest.mark.parametrize("name", ["positions_compress", "positions_table", "positions_plain"])
@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 1.0])
def test_positions_of_spikes(name: str, density: float) -> None:
    rng = np.random.default_rng(0)
    for size in (1, 7, 31, 32, 33, 128, 200):
        spikes = np.where(rng.random(size) < density, rng.choice([1, -1, -128], size), 0).astype(np.int8)
        out = np.zeros(size + vector.SPILL + 3, np.uint16)
        count = form(name)(spikes, 65535 - size, out, 3)
        assert np.array_equal(out[3:count], np.flatnonzero(spikes) + 65535 - size)


@pytest.mark.parametrize("name", ["rows_of_bits", "row_to_bits", "rows_of_bits_plain", "row_to_bits_plain"])
@pytest.mark.parametrize("columns", [1, 16, 45, 240])
def test_rows_are_added_for_the_bits_of_a_mask(name: str, columns: int) -> None:
    for few, many in ((np.int8, np.int16), (np.int16, np.int16), (np.int16, np.int32), (np.int32, np.int32)):
        ends, rng = np.iinfo(few), np.random.default_rng(columns)
        for mask in (0, 1, -1 << 63, -1, 0b10110, int(rng.integers(-(1 << 63), 1 << 63))):
            hit = [k for k in range(64) if mask >> k & 1]
            rows = rng.choice([ends.min // 64, 0, ends.max // 64, 1], (64, columns)).astype(few)
            out, many_rows = np.ones((64, columns), many), name.startswith("rows")
            step = columns * (rows if many_rows else out).itemsize
            form(name)(
                mask, rows.ctypes.data, out.ctypes.data, step, np.zeros(32, many), rows[0], out[0], columns
            )
            expected = np.ones((64, columns), np.int64)
            if many_rows:
                expected[0] += rows[hit].sum(axis=0, dtype=np.int64)
            else:
                expected[hit] += rows[0]
            assert np.array_equal(out, expected), mask


@pytest.mark.parametrize("name", ["dot_8", "dot_16", "dot_16_narrow", "dot_plain"])
def test_dense_products_at_the_ends_of_their_ranges(name: str) -> None:
    group = 4 if name == "dot_8" else 2
    ends = np.iinfo(np.int8 if group == 4 else np.int16)
    rng = np.random.default_rng(0)
    for rows, size in ((1, 4), (3, 12), (16, 388)):
        for x in (
            rng.integers(ends.min, ends.max, (rows, size), endpoint=True),
            np.full((rows, size), ends.min),
        ):
            weight = rng.choice([-128, 127, 0, 5], (size, 128))
            out, bias = np.zeros((rows, 128), np.int32), rng.integers(-99, 99, 128).astype(np.int32)
            weights = vector.packed_dense(weight, group).ravel()
            form(name)(x.astype(ends.dtype).ravel(), size, weights, 2, bias, out.ravel())
            assert np.array_equal(out, x @ weight + bias)


def test_a_form_that_fails_its_test_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for check in ("_gathers", "_places", "_adds", "_dots"):
        monkeypatch.setattr(vector, check, lambda *function: False)
    assert vector.chosen.__wrapped__() == PLAIN | {"dot_of_2": "dot_plain"}


def network(tokens: int = 5, inputs: int = 70, outputs: int = 130, ticks: int = 3, reach: int = 12) -> Graph:
    """Layers that start from graded rows, from lists and from sums, products of spikes, a residual."""
    rng = np.random.default_rng(3)
    weight = lambda rows, columns: rng.integers(-128, 127, (rows, columns), endpoint=True)
    lif = lambda name, source, vth: Neuron(
        name=name, inputs=(source,), model="lif", params={"du": 4095, "dv": 1024, "vth": vth}
    )
    scale = {"multiplier": rng.integers(1 << 14, 1 << 15, outputs), "shift": np.full(outputs, 17), "bits": 9}
    rows, wide = (tokens, inputs), (tokens, outputs)
    return chain(
        rows,
        (Synapse(name="first", inputs=("x",), weight=weight(inputs, inputs), bias=weight(1, inputs)[0]), rows),
        (lif("s", "first", rng.integers(0, 4000, inputs)), rows),
        (Synapse(name="up", inputs=("s",), weight=weight(outputs, inputs), bias=weight(1, outputs)[0]), wide),
        (Micro(name="scaled", inputs=("up",), op="rescale", params=scale, timing="instant"), wide),
        (lif("t", "scaled", 30), wide),
        (Product(name="kv", inputs=("t", "s"), equation="nc,nd->cd", timing="instant"), (outputs, inputs)),
        (Product(name="mix", inputs=("t", "kv"), equation="nc,cd->nd", timing="instant"), rows),
        (lif("w", "mix", 40), rows),
        (Synapse(name="down", inputs=("t",), weight=weight(inputs, outputs)), rows),
        (Sum(name="sum", inputs=("mix", "down"), signs=(1, -1)), rows),
        (lif("u", "sum", 900), rows),
        (Synapse(name="last", inputs=("sum",), weight=weight(3, inputs)), (tokens, 3)),
        ticks=ticks, reach=(-reach, reach), codes=dict.fromkeys("stuw", BINARY), bits={"scaled": 9},
    )  # fmt: skip


def assert_same(graph: Graph, batch: int = 7) -> None:
    reach = graph.values["x"].interval.hi
    x = np.random.default_rng(1).integers(-reach, reach, (batch, *graph.shape("x")), endpoint=True)
    names = [*graph.of(Neuron), graph.nodes["sum"], graph.nodes["mix"]]
    watched = [node.name for node in names]
    expected, made = interp.run(graph, x, watched), Engine(graph)
    for names_ in ([], watched, watched):
        found = made.run(x, names_)
        assert np.array_equal(found.outputs, expected.outputs)
        assert found.saturations == expected.saturations
        for name in names_:
            assert np.array_equal(found.values[name], expected.values[name]), name
    assert expected.saturations["scaled"] > 0


def test_layers_of_every_start_equal_the_interpreter() -> None:
    graph = network()
    starts = {s.start for s in Engine(graph).segments if isinstance(s, compiled.Layer)}
    assert starts == {"lists", "rows", "sums"} or not vector.has("avx2")
    assert_same(graph)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_any_share_of_spikes_may_go_the_dense_way(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "crossover", lambda inputs, tiles: share)
    assert_same(network())


def test_the_more_a_dense_product_has_to_do_besides_the_later_it_is_chosen() -> None:
    assert chains.crossover(64, 1) == 1.0
    assert chains.crossover(384, 12) <= chains.crossover(384, 3) <= chains.crossover(64, 3) <= 1.0


@pytest.mark.parametrize("threads", fast([2, 3], 3))
def test_rows_shared_out_over_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "threads", lambda: threads)
    monkeypatch.setattr(engine, "SPLIT_MACS", 0)
    assert_same(network(tokens=40), batch=1)


def test_a_run_that_is_not_kept_equals_one_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "TAPE_BYTES", 0)
    assert_same(network())


@pytest.mark.slow
def test_plain_forms_make_equal_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector, "chosen", lambda: PLAIN)
    assert_same(network())


@pytest.mark.slow
@pytest.mark.parametrize("features", ["+avx2,+avx,+fma,+bmi,+bmi2,+popcnt,+sse4.2", "+sse4.2,+popcnt"])
def test_processors_with_fewer_features(features: str) -> None:
    code = (
        "from tests.unit.simulate.test_vector import *\n"
        "assert not vector.chosen()['dot_of_4'] and vector.chosen()['positions'] == 'positions_table'\n"
        "assert_same(network())\n"
        "from tests.unit.simulate import test_convolutions\n"
        "test_convolutions.assert_same(test_convolutions.network())"
    )
    restricted = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": features}
    subprocess.run([sys.executable, "-c", code], env=os.environ | restricted, check=True)
