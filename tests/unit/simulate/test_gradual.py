"""Numpy at first, machine code once it pays: the same numbers, and a difference is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from neurodeploy.errors import SimulateError
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Neuron, Synapse
from neurodeploy.ir.trace import Trace
from neurodeploy.simulate import Engine, Gradual, gradual
from tests.tiny import chain

pytest.importorskip("numba")


def network(tokens: int = 5) -> Graph:
    weight = np.random.default_rng(0).integers(-128, 127, (9, 7), endpoint=True)
    return chain(
        (tokens, 7),
        (Synapse(name="sums", inputs=("x",), weight=weight), (tokens, 9)),
        (
            Neuron(name="s", inputs=("sums",), model="lif", params={"du": 4095, "dv": 1024, "vth": 700}),
            (tokens, 9),
        ),
        ticks=3,
        reach=(-12, 12),
    )


@pytest.fixture(name="graph")
def _graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    return network()


def images(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(-12, 12, (count, 5, 7), endpoint=True)


def test_machine_code_takes_over_where_it_pays_and_is_there_the_next_time(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, x = Gradual(graph), images(3)
    monkeypatch.setattr(gradual, "WORTH", 4 * gradual.ELEMENT * engine.engine.elements)  # then time is seen
    expected = interp.run(graph, x)
    for compiled in (False, True, True):
        found = engine.run(x)
        assert engine.engine.compiled is compiled
        assert np.array_equal(found.outputs, expected.outputs)
        assert found.saturations == expected.saturations
    assert Gradual(graph).engine.compiled
    assert not Gradual(network(tokens=4)).engine.compiled


def test_a_difference_between_both_is_told(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, run = Gradual(graph), Engine.run
    monkeypatch.setattr(gradual, "WORTH", 0)

    def wrong(self: Engine, x: np.ndarray, *others: object) -> Trace:
        found = run(self, x, *others)
        return replace(found, outputs=found.outputs + self.compiled)

    monkeypatch.setattr(Engine, "run", wrong)
    with pytest.raises(SimulateError, match="ND650"):
        engine.run(images(1))
    assert not engine.engine.compiled and not Gradual(graph).engine.compiled


def test_where_nothing_can_be_written_machine_code_is_made_anew(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradual, "WORTH", 0)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    engine = Gradual(graph)
    assert np.array_equal(engine.run(images(1)).outputs, interp.run(graph, images(1)).outputs)
    assert engine.engine.compiled and not Gradual(graph).engine.compiled


def test_a_slow_network_is_compiled_early_and_a_large_call_at_once(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the time that numpy has taken for its samples, not by what was guessed."""
    clock = iter(range(0, 1000, 4))  # four seconds between any two looks
    monkeypatch.setattr(gradual, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    engine = Gradual(graph)
    for compiled in (False, False, True):
        engine.run(images(1))
        assert engine.engine.compiled is compiled
    monkeypatch.setattr(gradual, "ELEMENT", 1.0)
    large = Gradual(network(tokens=4))
    large.run(images(1)[:, :4])
    assert large.engine.compiled


def test_what_is_no_batch_is_refused_as_the_engine_does(graph: Graph) -> None:
    with pytest.raises(SimulateError, match="ND601"):
        Gradual(graph).run(np.array(1))
