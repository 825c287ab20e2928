"""The pipeline's own promises: folders whole or untouched, typed errors for bad models and data, seeded draws."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import cli, datasets, files, interrupts, sources
from neurodeploy.builds import check, folder, pipeline
from neurodeploy.config import resolve
from neurodeploy.errors import NeurodeployError, UsageError
from neurodeploy.inputs import samples
from tests.fast import fast, slowly
from tests.unprivileged import unprivileged

Captured = pytest.CaptureFixture[str]
QUICK = ["--calib", "32", "-q", "--to", "quantize"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield


def contents(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


# --- draws -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 10, 37, 100, 1000])
def test_draws_are_stratified_and_seeded(count: int) -> None:
    labels = np.repeat(np.arange(10), [5, 30, 20, 10, 10, 5, 5, 5, 5, 5])
    picked = samples.stratified(labels, count, seed=3)
    assert len(picked) == len(set(picked.tolist())) == min(count, len(labels))
    assert np.array_equal(picked, np.sort(picked))
    assert np.array_equal(picked, samples.stratified(labels, count, seed=3))
    per_class = np.bincount(labels[picked], minlength=10)
    room = np.bincount(labels)
    assert all(n == room[c] or n >= per_class.max() - 1 for c, n in enumerate(per_class))


def test_another_seed_draws_others() -> None:
    labels = np.repeat(np.arange(4), 50)
    assert not np.array_equal(samples.stratified(labels, 40, 0), samples.stratified(labels, 40, 1))


# --- folders -----------------------------------------------------------------------------------------------------


def test_a_stopped_build_holds_what_it_has(tmp_path: Path) -> None:
    assert cli.call(["build", "digits-vit", "--out", "x/y", *QUICK]) == 0
    assert {p.name for p in (tmp_path / "x/y").iterdir()} == {
        "program.h5",
        "build.toml",
        "build.log",
        "repro.json",
    }
    log = (tmp_path / "x/y/build.log").read_text()
    assert "simulated estimate, not hardware" in log and "[4/9] quantize" in log


def test_foreign_files_in_the_folder_stay(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / "report.json").write_text("of an earlier build")
    assert cli.call(["build", "digits-vit", "--out", str(out), *QUICK]) == 0
    assert (out / "notes.txt").read_text() == "mine"
    assert not (out / "report.json").exists(), "a report of another build would contradict the new artifact"


def test_a_file_in_the_way_is_typed(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "out").write_text("a file")
    assert cli.call(["build", "digits-vit", "--out", "out", *QUICK]) == 2
    assert "ND902" in capsys.readouterr().err


def test_a_folder_without_permission_is_typed(tmp_path: Path, capsys: Captured) -> None:
    tmp_path.chmod(0o500)
    with unprivileged():
        assert cli.call(["build", "digits-vit", "--out", str(tmp_path / "out"), *QUICK]) == 2
    assert "ND902" in capsys.readouterr().err


def test_scratch_folders_of_killed_builds_are_removed(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / f".out.partial-{dead.pid}-abc"
    running = tmp_path / f".out.partial-{os.getppid()}-abc"
    left.mkdir()
    running.mkdir()
    with folder.scratch(tmp_path / "out"):
        pass
    assert not left.exists() and running.exists()


def test_publishing_waits_with_an_interrupt(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), interrupts.uninterrupted():
        signal.raise_signal(signal.SIGINT)
        (tmp_path / "done").touch()
    assert (tmp_path / "done").exists()


def test_publishing_works_outside_the_main_thread() -> None:
    ran = []

    def work() -> None:
        with interrupts.uninterrupted():
            ran.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ran


def test_a_full_disk_leaves_the_good_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert cli.call(["build", "digits-vit", "--out", "out", *QUICK]) == 0
    before = contents(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    assert cli.call(["build", "digits-vit", "--out", "out", "--seed", "1", *QUICK]) == 2
    said = capsys.readouterr().err
    assert "ND901" in said and "Traceback" not in said
    assert contents(tmp_path) == before


def test_a_bug_leaves_a_log_beside_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def fail(*_: object) -> str:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(pipeline, "quantize", fail)
    assert cli.call(["build", "digits-vit", "--out", "out", *QUICK]) == 1
    said = capsys.readouterr().err
    assert "out.error.log" in said and "Traceback" not in said
    assert "ZeroDivisionError" in (tmp_path / "out.error.log").read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["out.error.log"]


@pytest.mark.parametrize("stage, sent", fast([
    ("[1/9]", signal.SIGTERM), ("[3/9]", signal.SIGINT), ("[3/9]", signal.SIGHUP),
], ("[3/9]", signal.SIGINT)))  # fmt: skip
def test_an_interrupt_leaves_nothing_half_written(tmp_path: Path, stage: str, sent: signal.Signals) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.json").write_text("a good build")
    command = [
        sys.executable,
        "-c",
        "from neurodeploy.cli import main; main()",
        "build",
        "digits-vit",
        "--out",
        str(out),
    ]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=tmp_path
    )
    stderr = process.stderr
    assert stderr is not None
    for line in stderr:
        if line.startswith(stage):
            process.send_signal(sent)
            break
    rest = stderr.read()
    assert process.wait(timeout=60) == 128 + sent
    assert "interrupted" in rest and "Traceback" not in rest
    assert contents(tmp_path) == {"out/report.json": hashlib.sha256(b"a good build").hexdigest()}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_continuing_another_build_is_refused(tmp_path: Path, capsys: Captured) -> None:
    base = ["build", "digits-vit", "--out", "out", "--calib", "32", "-q"]
    assert cli.call([*base, "--to", "quantize"]) == 0
    assert cli.call([*base, "--from", "map", "--to", "map"]) == 0
    assert cli.call([*base, "--from", "evaluate", "--seed", "5"]) == 2
    assert "ND949" in capsys.readouterr().err
    assert cli.call(["build", "digits-vit", "--out", "elsewhere", "-q", "--from", "map"]) == 2
    assert "ND940" in capsys.readouterr().err


# --- models and data that cannot be used -------------------------------------------------------------------------

MODULE = """
import torch

class Net(torch.nn.Module):
    input_shape = (1, 8, 8)
    def __init__(self, classes=10):
        super().__init__()
        self.body = torch.nn.Linear(64, 32)
        self.middle = torch.nn.Linear(32, 32)
        self.head = torch.nn.Linear(32, classes)
    def forward(self, x):
        return self.head(torch.relu(self.middle(torch.relu(self.body(x.flatten(1))))))

def good():
    torch.manual_seed(0)
    return Net()

def nan():
    net = Net()
    net.body.weight.data[0, 0] = float("nan")
    return net

def few():
    return Net(4)

def odd():
    class Odd(Net):
        def forward(self, x):
            return torch.lgamma(super().forward(x))
    return Odd()

def broken():
    raise RuntimeError("no weights here")

number = lambda: 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"own_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


@pytest.mark.parametrize("factory, code, exit_code", [
    ("nan", "ND102", 3), ("few", "ND933", 2), ("odd", "ND101", 3), ("broken", "ND111", 3), ("number", "ND111", 3),
    ("none", "ND111", 3),
])  # fmt: skip
def test_unusable_models_are_typed(
    module: str, factory: str, code: str, exit_code: int, capsys: Captured
) -> None:
    arguments = ["build", f"py:{module}:{factory}", "--data", "digits", "--out", "out", *QUICK]
    assert cli.call(arguments) == exit_code
    said = capsys.readouterr().err
    assert code in said and "Traceback" not in said
    assert not Path("out").exists()


def test_own_model_is_built(module: str) -> None:
    arguments = [
        "build",
        f"py:{module}:good",
        "--data",
        "digits",
        "--set",
        "scale=0.0625",
        "--out",
        "out",
        *QUICK,
    ]
    assert cli.call(arguments) == 0


@pytest.mark.parametrize("scale, warned", [([], True), (["--set", "scale=1.0"], False)])
def test_raw_pixel_levels_are_warned_of(
    module: str, scale: list[str], warned: bool, capsys: Captured
) -> None:
    arguments = ["build", f"py:{module}:good", "--data", "digits", *scale, "--out", "out", *QUICK]
    assert cli.call(arguments) == 0
    said = capsys.readouterr().err
    assert ("ND114" in said) == warned == ("--set scale=0.0625" in said)
    assert cli.call([*arguments, "--strict"]) == (3 if warned else 0)


def test_a_replay_warns_again(module: str, capsys: Captured) -> None:
    assert cli.call(["build", f"py:{module}:good", "--data", "digits", "--out", "out", *QUICK]) == 0
    assert cli.call(["build", "--config", "out/build.toml", "--out", "again", *QUICK]) == 0
    assert capsys.readouterr().err.count("ND114") == 4  # twice with its explanation


def write_digits(path: str, order: slice = slice(None)) -> None:
    found = datasets.load("digits").train
    np.savez(path, x=found.images[:200, 0], y=found.labels[:200][order], levels=16)


def test_verify_finds_the_data_of_a_build_from_a_file(capsys: Captured) -> None:
    write_digits("own.npz")
    assert cli.call(["build", "digits-vit", "--data", "own.npz", "--out", "out", *QUICK]) == 0
    verify = ["verify", "out", "--samples", "2"]
    assert cli.call(verify) == 0
    os.rename("own.npz", "moved.npz")
    assert cli.call(verify) == 2
    said = capsys.readouterr().err
    assert "ND935" in said and "neurodeploy verify out --data SPEC" in said
    assert cli.call([*verify, "--data", "moved.npz"]) == 0
    write_digits("own.npz", slice(None, None, -1))
    assert cli.call(verify) == 2
    assert "ND936" in capsys.readouterr().err


def test_a_model_without_data_is_typed(module: str, capsys: Captured) -> None:
    assert cli.call(["build", f"py:{module}:good", "--out", "out", *QUICK]) == 2
    assert "ND932" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"hello"])
def test_damaged_model_files_are_typed(content: bytes, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "net.pt2").write_bytes(content)
    assert cli.call(["build", "net.pt2", "--data", "digits", "--out", "out", *QUICK]) in (2, 3)
    said = capsys.readouterr().err
    assert "ND1" in said and "Traceback" not in said


def test_images_of_another_shape_are_typed(tmp_path: Path, capsys: Captured) -> None:
    images, labels = np.zeros((40, 12, 12), np.uint8), np.arange(40) % 10
    np.savez(tmp_path / "big.npz", x=images, y=labels)
    assert cli.call(["build", "digits-vit", "--data", "big.npz", "--out", "out", *QUICK]) == 2
    assert "ND933" in capsys.readouterr().err


def test_a_rule_for_no_layer_is_typed(capsys: Captured) -> None:
    rule = 'layers."blocks.*.fc9".weight_bits=4'
    assert cli.call(["build", "digits-vit", "--set", rule, "--out", "out", *QUICK]) == 2
    assert "ND905" in capsys.readouterr().err


def test_rules_change_layers() -> None:
    from neurodeploy import artifact

    rule = 'layers."blocks.0.mlp.fc1".weight_bits=3'
    assert cli.call(["build", "digits-vit", "--set", rule, "--out", "out", *QUICK]) == 0
    graph = artifact.load("out").program.graph
    peak = {n.name: int(np.abs(n.weight).max()) for n in graph if n.kind == "synapse"}
    assert peak["blocks.0.mlp.fc1"] <= 3 and max(peak.values()) > 63


# --- events and cache --------------------------------------------------------------------------------------------


def test_listeners_hear_every_stage() -> None:
    heard: list[pipeline.Event] = []
    pipeline.run(resolve({"model": "digits-vit", "calib": 32, "out": "out"}), heard.append, to="calibrate")
    finished = [e.stage for e in heard if e.kind == "finish"]
    assert finished == ["import", "convert", "calibrate", "report"]
    begin = next(e for e in heard if e.kind == "begin")
    assert [label for label, _ in begin.facts] == ["model", "target", "data", "method", "output"]


def test_unknown_stage() -> None:
    with pytest.raises(UsageError, match="quantize"):
        pipeline.run(resolve({"model": "digits-vit"}), to="quantise")
    with pytest.raises(NeurodeployError, match="--from"):
        pipeline.run(resolve({"model": "digits-vit"}), start="report")


@pytest.mark.parametrize("key", ["optimise", "placement"])
@pytest.mark.parametrize("start", [pipeline.run, check.check])
def test_names_of_members_are_checked_before_anything_else(start: Callable[..., object], key: str) -> None:
    with pytest.raises(UsageError, match=rf"ND904 unknown \w+ 'money'[\s\S]*where: {key}"):
        start(resolve({"model": "digits-vit", key: "money"}))


@pytest.mark.parametrize(
    "damage", [slowly(lambda p: p.write_bytes(b"")), lambda p: p.write_bytes(p.read_bytes()[:-100])]
)
def test_a_damaged_cache_is_not_trusted(
    damage: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config = resolve({"model": "digits-vit"})
    first = sources.load(config)
    assert not first.cached and sources.load(config).cached
    for file in files.cache_folder().glob("*.h5"):
        damage(file)
    again = sources.load(config)
    assert not again.cached and again.graph.content_hash() == first.graph.content_hash()


def test_an_unwritable_cache_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert sources.load(resolve({"model": "digits-vit"})).graph.nodes
