"""SANA-FE beside us: the other process is bounded, its word is checked, and where it is installed it agrees."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import artifact, cli, verbs
from neurodeploy.artifact import Artifact
from neurodeploy.errors import BackendError, NeurodeployError, SimulateError, UsageError, VerifyError
from neurodeploy.formats.sanafe import crosscheck
from neurodeploy.formats.sanafe import net as _sanafe_net
from neurodeploy.formats.sanafe.write import export
from neurodeploy.ir import interp
from neurodeploy.program import Program
from neurodeploy.target import Target
from tests.fast import fast
from tests.unit.formats.sanafe.second_reader import simulate
from tests.unit.formats.sanafe.test_sanafe import addresses, dense, mixed

ROOT = Path(__file__).parents[4]
GOOD = """
from pathlib import Path
from tests.unit.formats.sanafe.second_reader import simulate
runs = simulate(Path(job["architecture"]), Path(job["network"]), job["steps"])
"""
Case = tuple[Program, Target, np.ndarray]


@pytest.fixture(autouse=True)
def own_screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(crosscheck.PYTHON, raising=False)
    yield


def fake(folder: Path, does: str, version: str = "version 9.9") -> str:
    """An interpreter that has "SANA-FE": asked for the version it says ``version``, given a job it runs ``does``."""
    script = folder / "fake.py"
    script.write_text(
        f"import json, sys, time\nsys.path.insert(0, {str(ROOT)!r})\n"
        f"if len(sys.argv) == 3:\n    print({version!r})\n    sys.exit()\n"
        f"job = json.load(open(sys.argv[3]))\nruns = None\n{does}\n"
        "if runs is not None:\n    json.dump(runs, open(job['result'], 'w'))\n"
    )
    shell = folder / "python"
    shell.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    shell.chmod(shell.stat().st_mode | stat.S_IXUSR)
    return str(shell)


def check(case: Case, python: str, **options: object) -> crosscheck.Crosscheck:
    program, target, x = case
    return crosscheck.crosscheck(program, target, x, python=python, timing="simple", **options)


def code(error: NeurodeployError) -> str:
    (problem,) = error.problems
    return problem.code


# --- the comparison ----------------------------------------------------------------------------------------------


def test_both_accounts_stand_side_by_side(tmp_path: Path) -> None:
    found = check(mixed(), fake(tmp_path, GOOD))
    assert found.version == "9.9" and found.whole and not found.problems
    assert [c.kind for c in found.counts] == ["spikes", "synaptic events", "packets", "hops"]
    names = [f.name for f in found.energy]
    assert (
        names[:5] == ["synapse", "dendrite", "soma", "network", "shared terms"] and names[-1] == "all terms"
    )
    only_ours = [f for f in found.energy if f.sanafe is None]
    assert {"product_op", "microcode_op", "state_access", "static_per_chip"} <= {f.name for f in only_ours}
    shared, every = (next(f for f in found.energy if f.name == n) for n in ("shared terms", "all terms"))
    assert every.ours == pytest.approx(shared.ours + sum(f.ours for f in only_ours))
    assert every.sanafe == shared.sanafe
    assert {node for node, _ in found.not_carried} >= {"qk", "scaled", "late", "columns", "rows", "total"}
    names = ["pipelined", "one frame", "pipelined, by events", "one frame, by events"]
    assert [f.name for f in found.time] == names and all(f.ratio > 0 for f in found.time)
    assert json.loads(json.dumps(found.as_dict()))["agrees"] is True


CHANGES = ("runs[0]['spikes'] += 1", "runs[0]['hops'] += 1", "runs[0]['energy']['soma'] *= 1.01")


@pytest.mark.parametrize("change", fast(CHANGES, CHANGES[0]))
def test_a_difference_that_is_not_explained_is_an_error(change: str, tmp_path: Path) -> None:
    found = check(dense("loihi2"), fake(tmp_path, GOOD + change))
    with pytest.raises(VerifyError) as raised:
        found.require()
    assert code(raised.value) == "ND652" and found.as_dict()["agrees"] is False


# --- the other process -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A network and an architecture, exported once."""
    program, target, x = dense("loihi2")
    place = tmp_path_factory.mktemp("sanafe") / "net.yaml"
    (network, architecture, _), _ = export(program, place, x[:1], target=target, layers=("fc3",))
    return network, architecture


@pytest.mark.parametrize(
    ("does", "said"),
    fast(
        [
            ("sys.exit(3)", "ended with 3"),
            ("print('RuntimeError: no such core'); sys.exit(1)", "no such core"),
            ("raise MemoryError('bad alloc')", "bad alloc"),
            ("import os; os.abort()", "ended with -6"),
            ("pass", "no result file"),
            ("open(job['result'], 'w').write('{')", "cannot be read"),
            ("open(job['result'], 'wb').write(bytes([255, 254]))", "cannot be read"),
            ("open(job['result'], 'w').write('[' * 100000)", "cannot be read"),
            ("open(job['result'], 'w').write(' ' * 2000000)", "2000000 bytes"),
            ("runs = {}", "not a list of 2 runs"),
            (GOOD + "runs.pop()", "not a list of 2 runs"),
            (GOOD + "runs[1] = 7", "without energy"),
            (GOOD + "runs[1]['energy'] = None", "without energy"),
            (GOOD + "del runs[0]['energy']['dendrite']", "dendrite is None"),
            (GOOD + "runs[0]['energy']['soma'] = float('nan')", "soma is nan"),
            (GOOD + "runs[0]['energy']['soma'] = '1'", "soma is '1'"),
            (GOOD + "runs[0]['sim_time'] = -1.0", "sim_time is -1.0"),
            (GOOD + "runs[0]['packets_sent'] = True", "packets_sent is True"),
            (GOOD + "runs[0]['hops'] = 0.5", "hops is 0.5"),
            (GOOD + "runs[0]['timesteps_executed'] = 1", "1 steps instead of"),
        ],
        "ended with 3",
        "no result file",
        "cannot be read",
        "not a list of 2 runs",
        "soma is nan",
        by=1,
    ),
)
def test_a_failing_run_is_a_typed_error(
    does: str, said: str, files: tuple[Path, Path], tmp_path: Path
) -> None:
    python, (network, architecture) = fake(tmp_path, does), files
    with pytest.raises(BackendError) as raised:
        crosscheck.simulate(python, architecture, network, (4, 7))
    assert code(raised.value) == "ND721" and said in raised.value.problems[0].found


def test_a_run_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    does = (
        f"import subprocess\np = subprocess.Popen(['sleep', '60'])\nopen({str(child)!r}, 'w').write(str(p.pid))\n"
        "print('x' * 5000, flush=True)\ntime.sleep(60)"
    )
    python = fake(tmp_path, does)
    start = time.monotonic()
    with pytest.raises(BackendError) as raised:
        crosscheck.simulate(python, tmp_path, tmp_path, (1,), time_limit_s=2.0)
    assert code(raised.value) == "ND721" and "--time-limit" in raised.value.problems[0].fixes[0]
    assert time.monotonic() - start < 30
    assert ended(int(child.read_text()))


def ended(pid: int) -> bool:
    """Gone, or dead and only waiting to be buried by init."""
    for _ in range(50):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat")
            if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("version", ["", "hello", "version"])
def test_an_interpreter_without_it_is_refused(version: str, tmp_path: Path) -> None:
    with pytest.raises(BackendError) as raised:
        crosscheck.find(fake(tmp_path, "", version))
    assert code(raised.value) == "ND720" and "pip install sanafe" in raised.value.problems[0].fixes[0]


def test_no_interpreter_at_all(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(BackendError) as raised:
            crosscheck.find(str(path))
        assert code(raised.value) == "ND720"


def test_the_interpreter_is_named_by_flag_variable_or_is_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert crosscheck.interpreter_of() == sys.executable
    monkeypatch.setenv(crosscheck.PYTHON, "there")
    assert (crosscheck.interpreter_of(), crosscheck.interpreter_of("here")) == ("there", "here")


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A folder with a program that was measured on synthetic input."""
    program, _, _ = dense("loihi2")
    provenance = {"input": {"kind": "synthetic", "seed": 3, "spike_rate": 0.5}}
    folder = tmp_path / "build"
    folder.mkdir()
    artifact.save(folder / artifact.FILE, Artifact(program.graph, program.mapping, provenance=provenance))
    return folder


def test_the_command_prints_both_sides(
    build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(crosscheck.PYTHON, fake(tmp_path, GOOD))
    assert cli.call(["crosscheck", str(build), "--samples", "2", "--format", "plain"]) == 0
    said = capsys.readouterr().out
    for text in (
        "loihi2, 2 samples of synthetic input, SANA-FE 9.9",
        "synaptic events",
        "shared terms [uJ]",
        "pipelined [ms]",
        "only ours",
    ):
        assert text in said
    assert cli.call(["crosscheck", str(build), "--samples", "1", "--layers", "fc2", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["samples"] == 1 and found["whole"] is False and found["agrees"] is True


def test_the_command_says_when_the_two_disagree(
    build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = fake(tmp_path, GOOD + "runs[0]['neurons_fired'] -= 1")
    arguments = ["crosscheck", str(build), "--samples", "1", "--python", python]
    assert cli.call([*arguments, "--format", "plain"]) == 4
    said = capsys.readouterr()
    assert "NO" in said.out and "ND652" in said.err
    assert cli.call([*arguments, "--format", "json"]) == 4
    assert json.loads(capsys.readouterr().out)["agrees"] is False


@pytest.mark.parametrize(
    ("more", "exit_code", "said"),
    [
        (["--python", "/nowhere/python"], 6, "ND720"),
        (["--timing", "slow"], 2, "ND900"),
        (["--layers", "nothing"], 2, "ND905"),
        (["--memory", "0.0001"], 3, "ND620"),
        (["--target", "nowhere"], 2, "ND910"),
    ],
)
def test_the_command_refuses(
    more: list[str], exit_code: int, said: str, build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv(crosscheck.PYTHON, fake(tmp_path, GOOD))
    assert cli.call(["crosscheck", str(build), *more]) == exit_code
    out = capsys.readouterr()
    assert said in out.err and "Traceback" not in out.err + out.out


def test_export_writes_the_samples_of_the_build_and_says_what_it_replaces(
    build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out" / "net.yaml"
    path.parent.mkdir()
    arguments = ["export", str(build), "--to", "sanafe", "--out", str(path)]
    assert cli.call([*arguments, "--samples", "3", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"][0] == str(path)
    first = json.loads(path.with_name("net.json").read_text())
    assert first["samples"] == 3 and "replaced" not in capsys.readouterr().err
    x = tmp_path / "x.npy"
    np.save(x, np.ones((2, 16), int))
    assert cli.call([*arguments, "--input", str(x)]) == 0
    assert f"replaced {path}" in capsys.readouterr().err
    assert json.loads(path.with_name("net.json").read_text())["samples"] == 2


def test_nothing_is_exported_where_there_is_no_folder(build: Path, tmp_path: Path) -> None:
    with pytest.raises(NeurodeployError):
        verbs.export(build, "sanafe", tmp_path / "absent" / "net.yaml")
    assert not (tmp_path / "absent").exists()


def test_the_verb_needs_memory_images(build: Path, tmp_path: Path) -> None:
    saved = artifact.load(build)
    artifact.save(build / artifact.FILE, Artifact(saved.integer, provenance=saved.provenance))
    with pytest.raises((SimulateError, UsageError)) as raised:
        verbs.crosscheck(build, 1, fake(tmp_path, GOOD))
    assert code(raised.value) == "ND610"


# --- where SANA-FE is installed ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sanafe() -> str:
    python = crosscheck.interpreter_of()
    try:
        crosscheck.find(python)
    except BackendError as error:
        pytest.skip(
            f"SANA-FE is not installed: {error.problems[0].found}; {crosscheck.PYTHON} may name where it is"
        )
    return python


@pytest.mark.parametrize("name", ["loihi1", "loihi2", "mixed"])
def test_sanafe_counts_as_we_do(name: str, sanafe: str, tmp_path: Path) -> None:
    case = mixed() if name == "mixed" else dense(name)
    found = check(case, sanafe)
    assert not found.problems and all(c.agrees for c in found.counts)
    net = _sanafe_net.network(case[0], case[1], case[2])
    events = {k: int(net.events.core_counts[..., i].sum()) for i, k in enumerate(net.events.kinds)}
    theirs, prices = {f.name: f.sanafe for f in found.energy}, case[1].costs.energy_pj
    by_hand = {
        "synapse": events["synaptic_ops"] * prices.synaptic_op.nominal,
        "soma": events["stock_updates"] * prices.neuron_update.nominal
        + events["spikes"] * prices.neuron_spike.nominal,
        "network": events["packets_out"] * prices.axon_out.nominal
        + (net.expected.packets - net.expected.to_host) * prices.axon_in.nominal
        + events["hops_x"] * prices.packet_hop_x.nominal
        + events["hops_y"] * prices.packet_hop_y.nominal,
    }
    for part, energy in by_hand.items():
        assert theirs[part] == pytest.approx(energy * 1e-6 / net.samples, rel=1e-9)


def test_sanafe_reads_the_files_as_the_second_reader(sanafe: str, tmp_path: Path) -> None:
    for name, (program, target, x) in {"dense": dense("loihi1"), "mixed": mixed()}.items():
        folder = tmp_path / name
        folder.mkdir()
        files, net = export(program, folder / "net.yaml", x, target=target)
        steps = [net.pipelined, net.framed]
        ours = simulate(files[1], files[0], steps)
        theirs = crosscheck.simulate(sanafe, files[1], files[0], steps, "simple")
        for mine, run in zip(ours, theirs, strict=True):
            assert (mine["neurons_fired"], mine["spikes"], mine["packets_sent"], mine["hops"]) == (
                run.fired, run.synaptic_events, run.packets, run.hops,
            )  # fmt: skip
            assert run.time_s == pytest.approx(mine["sim_time"], rel=1e-9)
            for part in crosscheck.PARTS:
                assert run.energy_j[part] == pytest.approx(mine["energy"][part], rel=1e-9, abs=1e-20)


POTENTIALS = """
import json, sys, sanafe
arch = sanafe.load_arch(sys.argv[1])
chip = sanafe.SpikingChip(arch)
chip.load(sanafe.load_net(sys.argv[2], arch))
run = chip.sim(int(sys.argv[4]), timing_model="simple", potential_trace=True)
json.dump(run["potential_trace"], open(sys.argv[3], "w"))
"""


@pytest.mark.parametrize("name", ["loihi1", "loihi2"])
def test_currents_in_sanafe_are_our_synaptic_sums(name: str, sanafe: str, tmp_path: Path) -> None:
    """Every connection goes where ours goes, with our weight: the sums of every layer at every tick are equal."""
    program, target, x = dense(name)
    files, net = export(program, tmp_path / "net.yaml", x, target=target)
    ticks, depth = program.graph.header.timesteps, program.mapping.depth
    sites = {(i.x, i.y, i.slot): n for n, i in enumerate(program.mapping.images) if i.chip >= 0}
    trace = interp.run(program.graph, x, ["fc1", "fc2", "fc3"])
    for node in ("fc1", "fc2", "fc3"):
        (group,) = [g for g in net.groups if (g.node, g.role) == (node, "currents")]
        tree = json.loads(files[0].read_text())
        next(g for g in tree["network"]["groups"] if g["name"] == group.label)["attributes"][
            "log_potential"
        ] = True
        (tmp_path / "probed.yaml").write_text(json.dumps(tree))
        arguments = [files[1], tmp_path / "probed.yaml", tmp_path / "v.json", net.pipelined + net.framed]
        command = [sanafe, "-c", POTENTIALS, *map(str, arguments)]
        subprocess.run(command, check=True, timeout=120, capture_output=True)
        potentials = np.array(json.loads((tmp_path / "v.json").read_text()))
        assert potentials.shape == (net.pipelined + net.framed, group.size)
        element = addresses(program, node)
        places = zip(*divmod(group.tile, target.chip.routers_y), group.core, strict=True)
        flat = [
            element[sites[int(x), int(y), int(c)], int(a)]
            for (x, y, c), a in zip(places, group.index, strict=True)
        ]
        late = next(g.depth for g in program.mapping.groups if node in g.nodes)
        sums = trace.values[node].reshape(ticks, len(x), -1)[:, :, flat]
        for sample in range(len(x)):
            for tick in range(ticks):
                step = net.pipelined + sample * (ticks + depth) + tick + late
                assert np.array_equal(potentials[step], sums[tick, sample])
        assert sums.any()
