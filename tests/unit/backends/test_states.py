"""States of populations beside what they send: as the equations say, the same on every backend that shows them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import artifact, cli
from neurodeploy.backends.cpu import MEMBER as CPU
from neurodeploy.backends.lava import MEMBER as LAVA
from neurodeploy.errors import BackendError
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.neuron_model import state_names
from neurodeploy.ir.nodes import Neuron, Synapse
from neurodeploy.program import Program
from tests.netx_files import CUBA, dense, write_net
from tests.tiny import chain

TICKS = 9


def network(**more: object) -> Graph:
    weight = np.array([[9, -3, 4], [2, 8, -5]])
    params = {"du": 1023, "dv": 300, "vth": 12}
    return chain(
        (3,), (Synapse(name="w", inputs=("x",), weight=weight), (2,)),
        (Neuron(name="n", inputs=("w",), model="lif", params=params, **more), (2,)),
        (Synapse(name="out", inputs=("n",), weight=np.array([[1, 2]])), (1,)), ticks=TICKS,
    )  # fmt: skip


@pytest.mark.parametrize("reset", [None, (4, 2)], ids=["whole sample", "forgets"])
def test_states_are_those_of_the_equations(reset: tuple[int, int] | None) -> None:
    """Lava's LIF by hand: the current keeps 3/4, the voltage all but 300 of 4096, and 0 is left of it by a spike."""
    graph, x = network(reset=reset), np.array([[1, 2, 0], [3, 0, 1]])
    found = CPU.run(Program(graph), x, ("n", "n.u", "n.v"))[0].values
    drive = x @ graph.nodes["w"].weight.T << 6
    u = v = np.zeros_like(drive)
    for t in range(1, TICKS + 1):
        if reset and t > 1 and (t - reset[1]) % reset[0] == 0:
            u = v = np.zeros_like(drive)
        u = np.sign(u) * (np.abs(u) * (4096 - 1024) >> 12) + drive
        v = np.sign(v) * (np.abs(v) * (4096 - 300) >> 12) + u
        s = v > 12 << 6
        v = np.where(s, 0, v)
        np.testing.assert_array_equal(found["n.u"][t - 1], u)
        np.testing.assert_array_equal(found["n.v"][t - 1], v)
        np.testing.assert_array_equal(found["n"][t - 1], s)
    assert s.any() and v.any()


def test_a_node_of_the_name_of_a_state_comes_first() -> None:
    assert state_names(network()) == {"n.u": ("n", 0), "n.v": ("n", 1)}
    params = {"du": 1023, "dv": 300, "vth": 12}
    population = (Neuron(name="n", inputs=("x",), model="lif", params=params), (2,))
    clash = chain((2,), population, (Synapse(name="n.v", inputs=("n",), weight=np.array([[1, 2]])), (1,)))
    assert state_names(clash) == {"n.u": ("n", 0)}


@pytest.mark.needs("lava.magma")
def test_lava_says_that_it_keeps_states_to_itself() -> None:
    with pytest.raises(BackendError, match="ND172"):
        LAVA.run(Program(network()), np.array([[1, 2, 0]]), ("n.v",))


def test_run_writes_states_and_lists_them_for_a_wrong_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    weights = (rng.integers(-9, 30, shape) * 2.0 for shape in ((5, 8), (3, 5)))
    write_net(tmp_path / "net.net", [dense(weight, CUBA) for weight in weights])
    assert cli.call(["build", "net.net", "--timesteps", "8", "--out", "out", "-q"]) == 0
    x = rng.integers(0, 2, (2, 8, 8))
    np.save("x.npy", x)
    run = ["run", "out", "--input", "x.npy", "--output", "y.npy"]
    found = {}
    for backend in ("cpu", "loihi-sim"):
        names = ["--record", "layer1.v", "--record", "layer1.u", "--record", "layer1.synapse"]
        capsys.readouterr()
        assert cli.call([*run, "--backend", backend, *names, "--format", "json"]) == 0
        places = json.loads(capsys.readouterr().out)["recorded"]
        found[backend] = {name: np.load(place) for name, place in places.items()}
    graph = artifact.load(tmp_path / "out").program.graph
    wanted = interp.run(graph, x, ("layer1.v", "layer1.u", "layer1.synapse")).values
    for values in found.values():
        assert values.keys() == wanted.keys()
        for name, array in wanted.items():
            np.testing.assert_array_equal(values[name], array)
    assert wanted["layer1.v"].any()
    assert cli.call([*run, "--record", "layer1.w"]) == 2
    assert "layer1.v" in capsys.readouterr().err
    assert cli.call([*run, "--kernels", "--format", "json"]) == 0
    chosen = json.loads(capsys.readouterr().out)["kernels"]
    assert sorted(name for one in chosen for name in one["nodes"]) == sorted(graph.nodes)
    assert all(one["name"] for one in chosen)
    assert cli.call([*run, "--kernels"]) == 0
    assert "own step" in capsys.readouterr().out
