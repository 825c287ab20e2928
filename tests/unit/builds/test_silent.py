"""Read-outs that cannot speak: found by bounds, by what was seen, and marked wherever the accuracy is shown."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import cli
from neurodeploy.builds import silent
from neurodeploy.builds.silent import Spoken
from neurodeploy.ir import codes, interp, intervals
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.nodes import Input, Neuron, Output, Synapse, View
from neurodeploy.ir.types import Activity, Interval, Shape, Value
from tests.netx_files import CUBA, dense, write_net

INPUTS, TICKS = 2, 3
#: every sequence of spikes that three ticks of two inputs can have
ALL = np.array(list(product((0, 1), repeat=INPUTS * TICKS))).reshape(-1, TICKS, INPUTS)


def network(model: str, weight: np.ndarray, **params: int) -> Graph:
    """Spikes through weights into one population that is read, behind a view."""
    size = len(weight)
    vector = lambda role, n, **more: Value(Shape((role,), (n,)), **more)
    b = Builder(Header("net", "integer", TICKS))
    b.add(Input(name="x", per_tick=True), vector("C", INPUTS, interval=Interval(0, 1, True)))
    b.add(Synapse(name="w", inputs=("x",), weight=weight), vector("C", size))
    b.add(Neuron(name="n", inputs=("w",), model=model, params=params), vector("C", size))
    b.add(View(name="v", inputs=("n",), op="reshape", args=(size,)), vector("C", size))
    b.add(Output(name="y", inputs=("v",)), vector("K", size))
    return intervals.propagate(codes.infer(b.build()))


def models(rng: np.random.Generator) -> dict[str, dict[str, int]]:
    """Neurons with thresholds around what can be reached."""
    leaks = {"du": int(rng.choice([4095, 2048, 0])), "dv": int(rng.choice([0, 512, 4096]))}
    vth = int(rng.integers(1, 40))
    return {
        "lif": {**leaks, "vth": vth},
        "cuba_lif": {**leaks, "vth": vth, "bias": int(rng.integers(-9, 10)) << 6},
        "threshold": {"vth": vth},
        "ternary_lif": {**leaks, "vth_hi": vth, "vth_lo": -int(rng.integers(1, 40))},
    }


@pytest.mark.parametrize("model", ["lif", "cuba_lif", "threshold", "ternary_lif"])
def test_a_population_that_no_input_makes_fire_is_found_and_no_other(model: str) -> None:
    """Against all inputs there are: what is called unreachable never fires; what fires is never called so."""
    rng, seen = np.random.default_rng(4), {True: 0, False: 0}
    for _ in range(60):
        graph = network(model, rng.integers(-6, 12, (2, INPUTS)), **models(rng)[model])
        fires = bool(interp.run(graph, ALL, ("n",)).values["n"].any())
        unreachable = silent.unreached(graph, "n") is not None
        assert not (unreachable and fires)
        # every weight has its own largest input: with weights of one sign bounds are met, and nothing is missed
        if (graph.nodes["w"].weight >= 0).all():
            assert unreachable == (not fires)
        seen[unreachable] += 1
    assert min(seen.values()) >= 5


def heard(outputs: np.ndarray, **values: np.ndarray) -> Spoken:
    found = Spoken()
    found.hear(outputs, values)
    return found


def test_what_never_fired_in_calibration_and_evaluation_is_a_warning() -> None:
    graph = network("threshold", np.array([[3, 1], [2, 2]]), vth=2)
    assert silent.populations(graph) == ("n",)
    quiet, loud = (heard(np.zeros((TICKS, 4, 2)), n=np.full((TICKS, 4, 2), v)) for v in (0, 1))
    assert [p.code for p in silent.silent(graph, quiet)] == ["ND168"] and not silent.silent(graph, loud)
    active = Activity(0.1, 0.2, (0.1,), samples=4, seed=0)
    calibrated = graph.with_values({"n": Value(**{**vars(graph.values["n"]), "activity": active})})
    assert not silent.silent(calibrated, quiet)  # it fired in calibration
    never = network("threshold", np.array([[3, 1], [2, 2]]), vth=4)
    assert [p.code for p in silent.silent(never, quiet)] == ["ND167"]


def test_an_accuracy_of_one_label_or_of_equal_outputs_is_meaningless() -> None:
    labels, rng = np.arange(6) % 3, np.random.default_rng(0)
    differ = rng.integers(0, 9, (TICKS, 6, 3))
    assert not silent.meaningless(heard(differ), labels)
    assert "labels are 2" in silent.meaningless(heard(differ), np.full(6, 2))
    assert "equal" in silent.meaningless(heard(np.ones((TICKS, 6, 3))), labels)
    flat = np.broadcast_to(np.arange(6)[None, :, None], (TICKS, 6, 3))
    assert "equal" in silent.meaningless(heard(flat), labels)
    same = np.broadcast_to(np.arange(3), (TICKS, 6, 3))
    assert "same" in silent.meaningless(heard(same), labels)
    assert not silent.meaningless(heard(same[:, :1]), np.arange(2))  # one sample says nothing about that


def test_a_silent_read_out_is_marked_on_console_page_and_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    last = {**CUBA, "vThMant": 131070}  # one below the largest: a threshold, out of reach
    write_net(
        tmp_path / "net.net",
        [dense(rng.integers(-9, 10, (5, 8)) * 2.0), dense(rng.integers(-9, 10, (3, 5)) * 2.0, last)],
    )
    images, labels = rng.integers(0, 2, (24, 16, 8), dtype=np.uint8), np.arange(24) % 3
    np.savez(
        tmp_path / "d.npz", x_train=images, y_train=labels, x_test=images, y_test=labels, levels=1, ticks=16
    )
    code = cli.call(["build", "net.net", "--data", "d.npz", "--timesteps", "16", "--out", "out"])
    said = capsys.readouterr()
    assert code == 0, said.err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    codes_found = {w["code"] for w in report["warnings"]}
    assert {"ND167", "ND169"} <= codes_found and "equal" in report["accuracy"]["meaningless"]
    assert "MEANINGLESS" in said.out and "ND167" in said.out + said.err
    assert "meaningless" in (tmp_path / "out" / "report.html").read_text()
