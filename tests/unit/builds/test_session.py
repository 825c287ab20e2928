"""A stream in pieces is one long run, on either backend, through files and on the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import neurodeploy
from neurodeploy import artifact, cli
from neurodeploy.artifact import Artifact
from neurodeploy.errors import BackendError, SimulateError, UsageError
from neurodeploy.image import encode
from neurodeploy.ir import interp
from neurodeploy.ir.nodes import Output
from neurodeploy.ir.trace import Trace
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.passes.balance import balance
from tests.unit.test_running_state import TARGET, TICKS, frames, network

LONG = 3 * TICKS - 2  # no whole number of runs


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    graph = balance(network()[0])
    mapping = encode(graph, map_graph(graph, TARGET), TARGET)
    artifact.save(tmp_path / artifact.FILE, Artifact(integer=graph, mapping=mapping))
    return tmp_path


def wanted(folder: Path, x: np.ndarray) -> Trace:
    return interp.run(artifact.load(folder).program.graph, x, ("S", "S.v"), timesteps=x.shape[1])


@pytest.mark.parametrize("backend", ["cpu", "loihi-sim"])
@pytest.mark.parametrize("cuts", [(), (1,), (TICKS, 2 * TICKS), (4, 5, 13)])
def test_pieces_of_any_length_are_one_run(folder: Path, backend: str, cuts: tuple[int, ...]) -> None:
    x = frames(2, LONG)
    session = neurodeploy.Session(folder, backend)
    found = [session.run(piece, ("S", "S.v")) for piece in np.split(x, cuts, axis=1)]
    trace = wanted(folder, x)
    assert session.ticks == LONG
    assert np.array_equal(np.concatenate([outputs for outputs, _ in found]), trace.outputs)
    for name in ("S", "S.v"):
        assert np.array_equal(np.concatenate([values[name] for _, values in found]), trace.values[name])


def test_a_file_goes_from_one_backend_to_the_other(folder: Path, tmp_path: Path) -> None:
    x, place = frames(1, LONG)[0], tmp_path / "state.h5"
    first = neurodeploy.Session(folder, "loihi-sim")
    before, _ = first.run(x[:7])
    first.save(place)
    second = neurodeploy.Session(folder, "cpu", place)
    after, _ = second.run(x[7:])
    assert second.ticks == LONG
    assert np.array_equal(np.concatenate([before, after]), wanted(folder, x[None]).outputs)


def test_a_sum_that_is_read_out_goes_on_too(folder: Path) -> None:
    graph = artifact.load(folder).program.graph
    summed = replace(
        graph, nodes={**graph.nodes, "y": Output(name="y", inputs=graph.output.inputs, readout="sum")}
    )
    artifact.save(folder / artifact.FILE, Artifact(integer=summed))
    x, session = frames(2, LONG), neurodeploy.Session(folder)
    found = [session.run(piece)[0] for piece in np.split(x, (5,), axis=1)]
    assert np.array_equal(np.concatenate(found), wanted(folder, x).outputs)


def test_the_command_line_keeps_it_in_a_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, state, found = frames(2, LONG), tmp_path / "state.h5", []
    for number, piece in enumerate(np.split(x, (9,), axis=1)):
        raw, out = tmp_path / f"x{number}.npy", tmp_path / f"y{number}.npy"
        np.save(raw, piece)
        assert (
            cli.call(["run", str(folder), "--input", str(raw), "--output", str(out), "--state", str(state)])
            == 0
        )
        found.append(np.load(out))
    assert np.array_equal(np.concatenate(found), wanted(folder, x).outputs)


def test_what_is_no_state_of_this_network_is_refused(folder: Path, tmp_path: Path) -> None:
    session, place = neurodeploy.Session(folder), tmp_path / "state.h5"
    session.run(frames(2))
    session.save(place)
    with pytest.raises(SimulateError, match="ND601"):  # two streams, then three
        neurodeploy.Session(folder, state=place).run(frames(3))
    with pytest.raises(SimulateError, match="ND601"):
        session.run(frames(2)[..., :3])
    with pytest.raises(UsageError, match="ND905"):
        session.run(frames(2), ("nothing",))
    with pytest.raises(UsageError, match="ND947"):
        neurodeploy.Session(folder, state=folder / artifact.FILE)
    with pytest.raises(UsageError, match="ND940"):
        neurodeploy.Session(folder, state=tmp_path / "nothing.h5")
    other = tmp_path / "other"
    other.mkdir()
    artifact.save(other / artifact.FILE, Artifact(integer=balance(network(gain=3)[0])))
    with pytest.raises(UsageError, match="ND609"):
        neurodeploy.Session(other, state=place)
    place.write_bytes(place.read_bytes()[:-40])
    with pytest.raises(UsageError, match="ND94"):
        neurodeploy.Session(folder, state=place)


def test_an_edited_state_is_refused(folder: Path, tmp_path: Path) -> None:
    session, place = neurodeploy.Session(folder), tmp_path / "state.h5"
    session.run(frames(40))
    session.save(place)
    with h5py.File(place, "r+") as file:
        (name,) = list(file["arrays"])
        file["arrays"][name][...] = 1
    with pytest.raises(UsageError, match="ND944"):
        neurodeploy.Session(folder, state=place)


def test_networks_and_backends_that_cannot_go_on_say_so(folder: Path) -> None:
    graph = artifact.load(folder).program.graph
    layer: Any = graph.nodes["k"]
    late = replace(graph, nodes={**graph.nodes, "k": replace(layer, delay=1)})
    artifact.save(folder / artifact.FILE, Artifact(integer=late))
    with pytest.raises(SimulateError, match="ND608"):
        neurodeploy.Session(folder)


@pytest.mark.needs("lava.magma")
def test_lava_is_refused_at_once(folder: Path) -> None:
    with pytest.raises(BackendError, match="ND746"):
        neurodeploy.Session(folder, "lava")
