"""Builds of networks in files of other tools: no data set, integers kept, T, run, verify, export, check, restarts.

The format is the tests' own (:mod:`tests.fake_format`), so that this says what every reader can rely on.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy import artifact, cli, compare, sources, verbs
from neurodeploy.builds import pipeline
from neurodeploy.cli import run
from neurodeploy.config import resolve
from neurodeploy.errors import BackendError, SimulateError
from neurodeploy.formats._base import FORMATS, Format, Refusals, Writer
from neurodeploy.inputs import samples
from neurodeploy.ir import interp
from neurodeploy.program import Program
from neurodeploy.report import data as report_data
from neurodeploy.sources import defaults
from tests import fake_format

ROOT = Path(__file__).parents[3]
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The reader is there, and commands run in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    fake_format.install(monkeypatch)
    yield


@pytest.fixture(scope="module")
def integers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build of a file of integers without data; tests copy it before they change it."""
    return built(tmp_path_factory.mktemp("integers"))


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build of a file of floats with live neurons, without data."""
    return built(tmp_path_factory.mktemp("floats"), level="source")


def built(folder: Path, *more: str, **asked: Any) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        fake_format.install(patch)
        network = fake_format.write(folder / "net.toy", **asked)
        assert cli.call(["build", network, "--out", str(folder / "out"), "-q", *more]) == 0
    return folder / "out"


def report_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())


def refused(capsys: Captured, *arguments: str, code: int) -> str:
    capsys.readouterr()
    assert cli.call(list(arguments)) == code
    said = capsys.readouterr()
    assert "Traceback" not in said.err + said.out
    return said.err + said.out


# --- build -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["integers", "floats"])
def test_no_data_are_needed(which: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(which)
    report = report_of(folder)
    assert {p.name for p in folder.iterdir()} == set(pipeline.FILES)
    assert (report["timesteps"], report["mapping"]["fits"], report["bit_true"]["equal"]) == (5, True, True)
    assert set(report["bit_true"]["backends"]) == {"interp", "cpu", "loihi-sim"}
    assert report["energy_uj"]["nominal"] > 0 and report["counts"]["spikes"] > 0
    assert report["accuracy"]["integer"] is None and "no labels" in report["reasons"]["accuracy.integer"]
    missing = set(report_data.nulls({k: v for k, v in report.items() if k != "reasons"}))
    assert missing == set(report["reasons"]) and all(report["reasons"].values())


@pytest.mark.parametrize("which", ["integers", "floats"])
def test_synthetic_input_is_labelled_everywhere(which: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(which)
    found = report_of(folder)["input"]
    assert (found["kind"], found["label"], found["spike_rate"]) == ("synthetic", "synthetic input", 0.1)
    for table in ("layers", "cores", "links"):
        rows = list(csv.DictReader((folder / f"{table}.csv").open()))
        assert rows and {row["measured_on"] for row in rows} == {"synthetic input"}
    page = (folder / "report.html").read_text()
    for heading in (
        "Energy",
        "Latency",
        "Spikes in each tick",
        "Operations per inference",
        "Spikes of one sample",
    ):
        assert f'>{heading} <span class="tag synthetic">synthetic input</span>' in page
    for card in ("Energy per inference", "Latency", "Paper metric", "Throughput, pipelined"):
        assert f"{card} (synthetic input)</div>" in page
    log = (folder / "build.log").read_text()
    assert "none: synthetic input, spikes with probability 0.1" in log
    for stage in ("calibrate", "map", "evaluate", "estimate"):
        (line,) = (line for line in log.splitlines() if f"] {stage}" in line)
        assert "synthetic input" in line


def test_integers_are_kept_as_they_are(integers: Path) -> None:
    graph, mine = artifact.load(integers).program.graph, fake_format.integers("net", 5, {})
    assert report_of(integers)["method"] == "integer file"
    for name in ("conv", "dense"):
        assert np.array_equal(graph.nodes[name].weight, mine.nodes[name].weight)
    for name in ("conv.lif", "dense.lif"):
        assert dict(graph.nodes[name].params) == dict(mine.nodes[name].params)
    assert {row["sqnr_db"] for row in report_of(integers)["layers"]} == {None}
    assert artifact.load(integers).spiking is None


def test_activity_is_measured_for_the_mapper(integers: Path) -> None:
    saved, mine = artifact.load(integers), fake_format.integers("net", 5, {})
    drawn = samples.Synthetic(mine, 0).calibration(32)
    trace = interp.run(mine, drawn, ("conv.lif", "dense.lif"))
    for name, value in trace.values.items():
        activity = saved.program.graph.values[name].activity
        assert activity is not None and activity.samples == 32
        assert activity.mean == pytest.approx((value != 0).mean())
        assert activity.by_tick == pytest.approx([(v != 0).mean() for v in value])


def test_paper_metric_is_that_of_native_networks_and_counts_spikes_as_spikes(integers: Path) -> None:
    report = report_of(integers)
    assert report["definitions"]["energy_paper_uj"]["title"].endswith("(natively trained networks)")
    mine = fake_format.integers("net", 5, {})
    drawn, _ = samples.Synthetic(mine, 0).measurement(report["counts"]["samples"])
    layers = [mine.nodes[name] for name in ("conv", "dense")]
    trace = interp.run(mine, drawn, [layer.inputs[0] for layer in layers])
    rates = [(trace.values[layer.inputs[0]] != 0).mean() for layer in layers]
    dense = [5 * mine.values[layer.name].shape.size * layer.weight[0].size for layer in layers]
    assert report["paper_macs"] == 0
    assert report["paper_acs"] == pytest.approx(sum(r * macs for r, macs in zip(rates, dense, strict=True)))
    assert report["energy_paper_uj"] == pytest.approx(0.9e-6 * report["paper_acs"])


@pytest.mark.parametrize(
    "flags, asked, ticks", [([], {}, 5), ([], {"ticks": 3}, 3), (["-T", "7"], {"ticks": 3}, 7)]
)
def test_ticks_come_from_the_command_else_from_the_file(flags: list[str], asked: dict, ticks: int) -> None:
    folder = built(Path.cwd(), *flags, "--to", "quantize", **asked)
    assert artifact.load(folder).program.graph.header.timesteps == ticks
    assert f"timesteps = {ticks}" in (folder / "build.toml").read_text()


def test_an_impossible_number_of_ticks(capsys: Captured) -> None:
    fake_format.write(Path("net.toy"), ticks=5000)
    assert "--timesteps" in refused(capsys, "build", "net.toy", "--out", "out", code=2)


def test_another_seed_and_rate_draw_other_input(integers: Path) -> None:
    report = report_of(built(Path.cwd(), "--set", "spike_rate=0.5", "--seed", "1"))
    assert (report["input"]["spike_rate"], report["input"]["seed"]) == (0.5, 1)
    assert report["counts"]["synaptic_ops"] > 1.1 * report_of(integers)["counts"]["synaptic_ops"]


def test_fewer_samples_where_nobody_asked(integers: Path) -> None:
    config = (integers / "build.toml").read_text()
    assert all(f"{key} = {count} " in config for key, count in (("calib", 32), ("eval", 32), ("verify", 16)))
    folder = built(Path.cwd(), "--calib", "7", "--eval", "3", "--verify", "2")
    report = report_of(folder)
    assert (report["counts"]["samples"], report["bit_true"]["samples"]) == (3, 2)
    assert artifact.load(folder).ranges.samples == 7


def test_large_networks_run_on_fewer_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    macs = 5 * (9 * 3 * 2 * 4 + 27 * 4)  # of one sample: five ticks of a convolution and a dense layer
    monkeypatch.setattr(defaults, "BUDGET", {"calib": 9 * macs, "eval": macs - 1, "verify": 2 * macs + 1})
    folder = built(Path.cwd(), "--to", "map")
    config = (folder / "build.toml").read_text()
    assert all(f"{key} = {count} " in config for key, count in (("calib", 9), ("eval", 1), ("verify", 2)))


@pytest.mark.parametrize("flags, place", [
    (["--method", "ecmt"], "--method"), (["--method", "native"], "--method"), (["--weight-bits", "4"], "--weight-bits"),
    (["--set", "convert.preset=halved"], "convert"), (["--set", 'layers."conv".weight_bits=3'], "layers"),
    (["--set", "rounding=calibrated"], "rounding"),
])  # fmt: skip
def test_integers_are_not_converted(flags: list[str], place: str, capsys: Captured) -> None:
    fake_format.write(Path("net.toy"))
    for command in ("build", "check"):
        said = refused(capsys, command, "net.toy", *flags, code=3)
        assert "ND308" in said and f"leave out {place}" in said
    assert [p.name for p in Path.cwd().iterdir()] == ["net.toy"]


def test_all_that_would_change_integers_is_listed_at_once(capsys: Captured) -> None:
    fake_format.write(Path("net.toy"))
    said = refused(
        capsys, "build", "net.toy", "--method", "ecmt", "--weight-bits", "4", "--format", "json", code=3
    )
    assert [p["where"] for p in json.loads(said)["problems"]] == ["--method", "--weight-bits"]


def test_no_range_and_no_data(capsys: Captured) -> None:
    fake_format.write(Path("net.toy"), level="source", range=None)
    said = refused(capsys, "build", "net.toy", code=2)
    assert "ND932" in said and "--data" in said


def test_every_problem_of_a_file_is_shown(capsys: Captured) -> None:
    Path("net.toy").write_text("cut o")
    for command in ("build", "check"):
        said = refused(capsys, command, "net.toy", code=3)
        assert "ND121" in said and "ND122" in said


def test_what_a_reader_notes_is_a_warning(capsys: Captured) -> None:
    remarks = ["layer/1: netx ignores this: so do we", "a remark of no place"]
    report = report_of(built(Path.cwd(), remarks=remarks))
    assert [(w["code"], w["where"].rpartition(" ")[2], w["cause"]) for w in report["warnings"]] == [
        ("ND127", "layer/1", "netx ignores this: so do we"),
        ("ND127", report["model_info"]["source"], "a remark of no place"),
    ]
    capsys.readouterr()
    assert cli.call(["check", "net.toy"]) == 0
    assert "netx ignores this: so do we" in capsys.readouterr().err


@pytest.mark.parametrize("which, stages", [
    ("integers", ["convert", "calibrate", "quantize", "map", "evaluate"]),
    ("floats", ["calibrate", "map", "evaluate"]),
])  # fmt: skip
def test_a_build_goes_on_from_its_artifact(
    which: str, stages: list[str], request: pytest.FixtureRequest
) -> None:
    first = request.getfixturevalue(which)
    for stage in stages:
        shutil.copytree(first, stage)
        replay = ["build", "--config", str(first / "build.toml"), "--out", stage, "-q", "--from", stage]
        assert cli.call(replay) == 0
        mine, theirs = report_of(Path(stage)), report_of(first)
        for report in (mine, theirs):
            del report["stages"]  # fewer ran
            del report["reproducibility"][
                "program_sha256"
            ]  # the same content, tables of images in another order
        assert mine == theirs


@pytest.mark.parametrize("which", ["integers", "floats"])
def test_replay_is_the_same_to_the_byte(which: str, request: pytest.FixtureRequest) -> None:
    first = request.getfixturevalue(which)
    assert cli.call(["build", "--config", str(first / "build.toml"), "--out", "again", "-q"]) == 0
    for name in ("program.h5", "build.toml", "layers.csv", "repro.json"):
        assert (Path("again") / name).read_bytes() == (first / name).read_bytes()


def test_reader_options_are_replayed() -> None:
    folder = built(Path.cwd(), "--set", "reader.gain=2", "--to", "quantize")
    assert "[reader]\ngain = 2" in (folder / "build.toml").read_text()
    again = ["build", "--config", str(folder / "build.toml"), "--out", "again", "-q", "--to", "quantize"]
    assert cli.call(again) == 0
    assert (folder / "program.h5").read_bytes() == Path("again/program.h5").read_bytes()
    mine = fake_format.integers("net", 5, {}, gain=2).nodes["conv"].weight
    assert np.array_equal(artifact.load("again").program.graph.nodes["conv"].weight, mine)


def test_graphs_of_files_are_cached_until_they_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config = resolve({"model": fake_format.write(Path("net.toy"))})
    first, second = sources.load(config), sources.load(config)
    assert (first.cached, second.cached) == (False, True)
    assert first.graph.content_hash() == second.graph.content_hash()
    fake_format.write(Path("net.toy"), vth=41)
    assert not sources.load(config).cached
    assert not sources.load(resolve({"model": "net.toy", "timesteps": 9})).cached


# --- with data ---------------------------------------------------------------------------------------------------


def labelled(path: str = "own.npz", count: int = 60, ticks: int = 5, classes: int = 4) -> str:
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2, (count, ticks, *fake_format.SHAPE)).astype(np.uint8)
    np.savez(path, x=x, y=np.arange(count) % classes, levels=1, ticks=ticks)
    return path


def test_data_give_an_accuracy_of_the_integers_alone(capsys: Captured) -> None:
    from neurodeploy import datasets

    folder = built(Path.cwd(), "--data", labelled(), "--format", "plain")
    said, report = capsys.readouterr().out, report_of(folder)
    found = datasets.load("own.npz").test
    trace = interp.run(fake_format.integers("net", 5, {}), found.images)
    correct = (trace.outputs.argmax(axis=-1) == found.labels).mean(axis=1)
    assert report["accuracy"]["by_timestep"] == pytest.approx(correct)
    assert report["accuracy"]["samples"] == len(found.labels) == 12
    assert report["accuracy"]["float"] is None and "holds integers" in report["reasons"]["accuracy.float"]
    assert report["input"]["kind"] == "data" and "synthetic" not in said.replace("synthetic_", "")
    assert f"Accuracy      integer {100 * correct[-1]:.1f} %   (n = 12)" in said
    assert '"tag synthetic"' not in (folder / "report.html").read_text()
    assert cli.call(["verify", str(folder), "--samples", "4"]) == 0


@pytest.mark.parametrize("change, hint", [
    ({"ticks": 3}, "--timesteps 3"), ({"classes": 6}, "more classes"),
])  # fmt: skip
def test_data_that_do_not_fit(change: dict, hint: str, capsys: Captured) -> None:
    fake_format.write(Path("net.toy"))
    assert hint in refused(capsys, "build", "net.toy", "--data", labelled(**change), code=2)
    if "ticks" in change:
        assert hint in refused(capsys, "check", "net.toy", "--data", "own.npz", code=2)


# --- run ---------------------------------------------------------------------------------------------------------


def spikes(count: int = 3, ticks: int = 5) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 2, (count, ticks, *fake_format.SHAPE), dtype=np.uint8)


@pytest.mark.parametrize("backend", ["cpu", "loihi-sim"])
def test_run_takes_a_frame_for_each_tick_and_records_layers(
    integers: Path, backend: str, capsys: Captured
) -> None:
    np.save("x.npy", spikes())
    command = ["run", str(integers), "--backend", backend, "--input", "x.npy", "--output", "y.npy"]
    assert cli.call([*command, "--record", "conv.lif", "--record", "dense"]) == 0
    said = capsys.readouterr().out
    expected = interp.run(fake_format.integers("net", 5, {}), spikes(), ("conv.lif", "dense"))
    assert np.array_equal(np.load("y.npy"), expected.outputs) and expected.outputs.any()
    for name in ("conv.lif", "dense"):
        recorded = np.load(f"y.{name}.npy")
        assert recorded.shape[:2] == (5, 3) and np.array_equal(recorded, expected.values[name])
        assert f"y.{name}.npy" in said
    assert "3 samples, 5 ticks" in said


def test_one_sample_needs_no_batch_axis(integers: Path) -> None:
    one, _ = verbs.run(integers, spikes()[1])
    whole, _ = verbs.run(integers, spikes())
    assert np.array_equal(one[:, 0], whole[:, 1])


def test_files_of_recorded_layers_never_collide() -> None:
    places = run._places(Path("y.npy"), ["a/b", "a_b", "c"])
    assert [p.name for p in places.values()] == ["y.a_b.npy", "y.a_b_2.npy", "y.c.npy"]


@pytest.mark.parametrize("change, code, hint", [
    (lambda x: x[:, :4], "ND607", "build again with --timesteps 4"),
    (lambda x: np.concatenate([x, x], axis=1), "ND607", "build again with --timesteps 10"),
    (lambda x: x[0, :2], "ND607", "build again with --timesteps 2"),
    (lambda x: x[:, 0], "ND607", "--timesteps 3"),  # three frames are one sample of three ticks
    (lambda x: x[..., :3], "ND601", "(batch, 5, 2, 4, 4)"), (lambda x: x[:0], "ND601", "1 sample"),
    (lambda x: x.astype(float), "ND606", "numpy.rint(x)"), (lambda x: 2 * x, "ND603", "0 .. 1"),
    (lambda x: -x.astype(int), "ND603", "-1 .. 0"), (lambda x: x.astype(bool), "ND606", "bool"),
])  # fmt: skip
def test_wrong_input_is_typed(integers: Path, change: Any, code: str, hint: str) -> None:
    with pytest.raises(SimulateError) as caught:
        verbs.run(integers, change(spikes()))
    assert code in str(caught.value) and hint in str(caught.value)


def test_values_that_are_clipped_are_counted_and_warned_of(capsys: Captured) -> None:
    """With a decay of nothing and a threshold out of reach, a voltage climbs to the end of its 24 bits."""
    folder = built(Path.cwd(), "-T", "60", range=[0, 255], vth=131071)
    np.save("x.npy", np.full((1, 60, *fake_format.SHAPE), 255))
    command = ["run", str(folder), "--input", "x.npy", "--output", "y.npy", "--backend"]
    for backend in ("cpu", "loihi-sim"):
        capsys.readouterr()
        assert cli.call([*command, backend]) == 0
        assert "ND602 values were clipped to their width" in capsys.readouterr().err
        assert cli.call([*command, backend, "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["saturations"]["conv.lif"] > 0


@pytest.mark.parametrize("level, places", [("integer", "0"), ("source", "1")])
def test_sums_that_leave_the_accumulator_are_errors(level: str, places: str, capsys: Captured) -> None:
    """Of floats calibration sees them, of a file of integers only the evaluation; a bound alone is a warning."""
    text = 'extends = "loihi-sim"\ntitle = "narrow"\n[limits.accumulator_bits]\nvalue = {}\nunit = "bits"\n'
    for bits, name in ((3, "narrow"), (12, "enough")):
        Path(f"{name}.toml").write_text(text.format(bits) + 'source = "what-if"\n')
    network = fake_format.write(Path("net.toy"), level=level)
    command = ["build", network, "-q", "--target"]
    said = refused(capsys, *command, "narrow.toml", "--out", "narrow", code=3)
    report = report_of(Path("narrow"))
    assert "ND520 a synaptic sum left its register" in said and report["mapping"]["fits"] == (places == "0")
    assert cli.call([*command, "enough.toml", "--out", "enough"]) == 0
    assert "ND520" not in json.dumps(report_of(Path("enough"))["warnings"])


def test_unknown_layers_come_with_the_nearest(integers: Path, capsys: Captured) -> None:
    np.save("x.npy", spikes())
    command = ["run", str(integers), "--input", "x.npy", "--output", "y.npy"]
    said = refused(capsys, *command, "--record", "conv.lfi", "--record", "dens", code=2)
    assert "ND905" in said and "use layer 'conv.lif'" in said and "use layer 'dense'" in said
    assert not Path("y.npy").exists()


# --- verify ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["integers", "floats"])
def test_verify_needs_no_data(which: str, request: pytest.FixtureRequest, capsys: Captured) -> None:
    folder = request.getfixturevalue(which)
    capsys.readouterr()  # what the build said, if it is made for this test
    assert cli.call(["verify", str(folder), "--samples", "6", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["equal"] and found["samples"] == 6 and found["backends"] == ["interp", "cpu", "loihi-sim"]
    assert cli.call(["verify", str(folder), "--samples", "4", "--data", labelled()]) == 0
    assert "ND933" in refused(capsys, "verify", str(folder), "--data", labelled(ticks=4), code=2)


@pytest.mark.parametrize(
    "change", [{"seed": "x"}, {"seed": -1}, {"spike_rate": "much"}, {"spike_rate": 7}, {"seed": 0.5}]
)
def test_a_strange_record_of_the_input_is_typed(integers: Path, change: dict, capsys: Captured) -> None:
    saved = artifact.load(integers)
    record = {**saved.provenance["input"], **change}
    artifact.save(
        Path("program.h5"), replace(saved, provenance={**saved.provenance, "input": record}, hash="")
    )
    assert "ND947" in refused(capsys, "verify", "program.h5", "--samples", "2", code=2)


# --- export ------------------------------------------------------------------------------------------------------


class Names(Writer):
    """Writes names of nodes; refuses networks with a view in them if told so."""

    def __init__(self, reason: str = "", views: bool = True, takes_samples: bool = False) -> None:
        self.reason, self.views, self.takes_samples = reason, views, takes_samples

    def available(self) -> str:
        return self.reason

    def write(self, program: Program, path: Path, x: np.ndarray | None = None) -> tuple[Path, ...]:
        refusals = Refusals("names of nodes")
        for node in program.graph:
            if node.kind in ("view", "neuron") and not self.views:
                refusals.add(node.name, node.kind)
        refusals.check()
        path.write_text(" ".join(program.graph.nodes) + ("" if x is None else f" {x.shape}"))
        return (path,)


def give(monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    names = Format("names", ".names", "names of nodes", writer=Names(**options))
    monkeypatch.setitem(FORMATS.members, "names", names)


def test_export_writes_what_the_exporter_writes(
    integers: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    give(monkeypatch)
    command = ["export", str(integers), "--to", "names", "--out", "net.names"]
    assert cli.call(command) == 0
    assert capsys.readouterr().out == "net.names\n"
    assert Path("net.names").read_text().split() == list(artifact.load(integers).program.graph.nodes)
    assert cli.call([*command, "--format", "json"]) == 0
    written = {"format": "names", "files": ["net.names"], "replay": None}
    assert json.loads(capsys.readouterr().out) == written


def test_samples_go_to_the_formats_that_carry_them(
    integers: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    np.save("x.npy", spikes())
    command = ["export", str(integers), "--to", "names", "--out", "net.names", "--input", "x.npy"]
    give(monkeypatch)
    assert "leave out --input" in refused(capsys, *command, code=2)
    give(monkeypatch, takes_samples=True)
    assert cli.call(command) == 0 and Path("net.names").read_text().endswith("(3, 5, 2, 4, 4)")
    np.save("x.npy", spikes(ticks=4))
    assert "ND607" in refused(capsys, *command, code=3)


@pytest.mark.parametrize("to, options, code, exit_code, hint", [
    ("nmes", {}, "ND704", 2, "names"), ("names", {"reason": "needs a pen"}, "ND705", 6, "needs a pen"),
    ("names", {"views": False}, "ND230", 3, "conv.lif;  flat;  dense.lif"),
])  # fmt: skip
def test_exports_that_are_refused(
    to: str, options: dict, code: str, exit_code: int, hint: str, integers: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:  # fmt: skip
    give(monkeypatch, **options)
    said = refused(capsys, "export", str(integers), "--to", to, "--out", "net.names", code=exit_code)
    assert code in said and hint.replace(";  flat", "") in said.replace(";  flat", "")
    assert not list(Path.cwd().iterdir())


def test_nothing_is_exported_from_nothing(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    give(monkeypatch)
    assert "ND940" in refused(capsys, "export", "nowhere", "--to", "names", "--out", "x", code=2)


def test_a_format_is_no_backend(integers: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    give(monkeypatch)
    with pytest.raises(BackendError, match="ND703"):
        compare.usable("names")
    said = refused(capsys, "verify", str(integers), "--backend", "names", code=6)
    assert "neurodeploy export DIR --to names --out NETWORK.names" in said


def test_doctor_lists_formats_and_exporters(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    give(monkeypatch, reason="needs a pen")
    found = verbs.doctor()
    assert (
        found["formats"][".toy"] == fake_format.MEMBER.title and found["exporters"]["names"] == "needs a pen"
    )
    assert cli.call(["doctor", "--format", "plain"]) == 0
    said = capsys.readouterr().out
    assert ".toy" in said and "no: needs a pen" in said


# --- check -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["integer", "source"])
def test_check_says_node_by_node(level: str, capsys: Captured) -> None:
    fake_format.write(Path("net.toy"), level=level)
    assert cli.call(["check", "net.toy", "--format", "plain"]) == 0
    said = capsys.readouterr().out
    assert "can run, at least about 1 of 128 cores" in said and "lif neuron" in said
    assert ("by integer file on" if level == "integer" else "by native on") in said


def test_check_lists_every_obstacle(capsys: Captured) -> None:
    fake_format.write(Path("net.toy"), range=[-8, 7])
    said = refused(capsys, "check", "net.toy", "--target", "loihi1", "--format", "json", code=3)
    found = json.loads(said)
    assert found["blocked"] and {p["where"] for p in found["problems"] if p["severity"] == "error"}


def test_check_of_a_file_needs_no_torch() -> None:
    fake_format.write(Path("net.toy"))
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from neurodeploy import cli; from neurodeploy.formats._base import FORMATS; from tests import fake_format\n"
        "FORMATS.members['toy'] = fake_format.MEMBER\n"
        "cli.call(['check', 'net.toy'])\n"
        "print([m for m in ('torch', 'sklearn', 'numba', 'lava') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "can run" in result.stdout and result.stdout.splitlines()[-1] == "[]"
