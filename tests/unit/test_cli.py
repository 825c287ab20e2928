"""The command line: exit codes, typed problems without tracebacks, formats, and a fast --help."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import neurodeploy
from neurodeploy import cli, codes, verbs
from neurodeploy.builds.log import Event
from neurodeploy.cli import bar
from neurodeploy.cli.screen import Format, screen
from neurodeploy.errors import NeurodeployError, Problem, SimulateError, UsageError, grouped
from neurodeploy.inputs import arrays
from neurodeploy.report import data
from neurodeploy.report.files import write
from neurodeploy.sources import factories, resolve
from tests import fake_build
from tests.later import torch_export
from tests.networks import mini_snn

PACKAGE = Path(neurodeploy.__file__).parent
GOLDEN = Path(__file__).parents[1] / "golden"

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in a folder of its own, so that a default output folder cannot touch the checkout."""
    monkeypatch.chdir(tmp_path)
    yield


def refused(capsys: Captured, *arguments: str, code: int) -> str:
    """Run a command that must fail; returns what it said."""
    assert cli.call(list(arguments)) == code
    said = capsys.readouterr()
    assert "Traceback" not in said.err + said.out
    return said.err + said.out


# --- fast, lazy, complete ----------------------------------------------------------------------------------------


def test_help_is_light() -> None:
    heavy = "numpy pydantic h5py torch numba scipy matplotlib"
    script = (
        "import sys; from neurodeploy import cli; cli.call(['--help']);"
        f"print([m for m in '{heavy}'.split() if m in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stderr.strip() == "[]" and "build" in result.stdout


def test_version(capsys: Captured) -> None:
    assert cli.call(["--version"]) == 0
    assert capsys.readouterr().out == f"neurodeploy {neurodeploy.__version__}\n"


def test_no_arguments_show_the_help(capsys: Captured) -> None:
    assert cli.call([]) == 2
    assert "Commands" in capsys.readouterr().out


@pytest.mark.parametrize("verb", neurodeploy.VERBS)
def test_every_verb_is_a_function(verb: str) -> None:
    assert getattr(neurodeploy, verb) is getattr(verbs, verb)


def test_unknown_attribute_of_the_package() -> None:
    with pytest.raises(AttributeError, match="bulid"):
        _ = neurodeploy.bulid


def test_every_code_is_explained_and_every_explanation_used() -> None:
    sources = [p for p in PACKAGE.rglob("*.py") if p.name != "codes.py"]
    used = {code for p in sources for code in re.findall(r'"(ND\d{3})"', p.read_text(encoding="utf-8"))}
    assert used - set(codes.CODES) == set(), "codes without an explanation"
    assert set(codes.CODES) - used == set(), "explanations of codes that nothing raises"
    assert re.findall(r"^ND\w*", codes.CATALOGUE, re.MULTILINE) == list(codes.CODES), (
        "read twice, or not at all"
    )


# --- what there is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["models"], ["targets", "list"], ["ops"], ["doctor"], ["targets", "show", "loihi1"]]
)
def test_listings_in_every_format(capsys: Captured, arguments: list[str]) -> None:
    for form in ("plain", "rich"):
        assert cli.call([*arguments, "--format", form]) == 0
        assert capsys.readouterr().out.strip()
    assert cli.call([*arguments, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_doctor_says_what_is_here() -> None:
    found = verbs.doctor()
    assert "installed" in found["lava"]
    assert {"cpu", "loihi-sim"} <= set(found["backends"]) and "sanafe" in found["exporters"]
    assert {".net", ".nir"} <= set(found["formats"])


def test_explain(capsys: Captured) -> None:
    assert cli.call(["explain", "nd910", "--format", "plain"]) == 0
    assert "ND910  unknown target" in capsys.readouterr().out


def test_targets_validate(capsys: Captured, tmp_path: Path) -> None:
    assert cli.call(["targets", "validate", "loihi-sim"]) == 0
    (tmp_path / "own.toml").write_text("title = 3")
    refused(capsys, "targets", "validate", str(tmp_path / "own.toml"), code=2)


# --- mistakes on the command line --------------------------------------------------------------------------------

MISTAKES: dict[str, tuple[list[str], int, str, str]] = {
    "verb": (["buld", "x"], 2, "ND900", "build"),
    "flag": (["build", "digits-vit", "--timestep", "4"], 2, "ND900", "--timesteps"),
    "flag value": (["build", "digits-vit", "--timesteps", "four"], 2, "ND900", "integer"),
    "missing value": (["build", "--target"], 2, "ND900", "--target"),
    "no model": (["build"], 2, "ND900", "neurodeploy models"),
    "model": (["build", "digits-vt"], 2, "ND110", "digits-vit"),
    "model path": (["build", "nets/none.pt2"], 2, "ND110", "check the path"),
    "weights only": (["build", "net.pth"], 2, "ND106", "py:"),
    "target": (["build", "digits-vit", "--target", "loihi-simm"], 2, "ND910", "loihi-sim"),
    "data": (["build", "digits-vit", "--data", "digit"], 2, "ND907", "digits"),
    "data path": (["build", "digits-vit", "--data", "no/such.npz"], 2, "ND920", "check the path"),
    "method": (["build", "digits-vit", "--method", "ecm"], 2, "ND307", "ecmt"),
    "key": (["build", "digits-vit", "--set", "wieght_bits=4"], 2, "ND904", "weight_bits"),
    "method key": (["build", "digits-vit", "--set", "convert.levles=4"], 2, "ND303", "levels"),
    "preset": (["build", "digits-vit", "--set", "convert.preset=halve"], 2, "ND302", "halved"),
    "bits": (["build", "digits-vit", "--weight-bits", "9"], 2, "ND904", "8"),
    "chips": (["build", "digits-vit", "--chips", "99999"], 2, "ND919", "chips"),
    "objective": (["build", "digits-vit", "--optimise", "speed"], 2, "ND904", "energy"),
    "stage": (["build", "digits-vit", "--to", "quantise"], 2, "ND900", "quantize"),
    "config": (["build", "--config", "none.toml"], 2, "ND906", "none.toml"),
    "code": (["explain", "ND91"], 2, "ND900", "ND91"),
    "artifact": (["run", "nowhere", "--input", "x.npy", "--output", "y.npy"], 2, "ND940", "nowhere"),
    "report": (["report", "nowhere"], 3, "ND810", "nowhere"),
    "check method": (["check", "digits-vit", "--method", "native"], 3, "ND301", "ecmt"),
    "check again": (["check", "digits-a2os2a", "--method", "ecmt"], 3, "ND304", "native"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_typed(case: str, capsys: Captured, tmp_path: Path) -> None:
    arguments, exit_code, code, hint = MISTAKES[case]
    said = refused(capsys, *arguments, code=exit_code)
    assert code in said and hint in said
    assert not list(tmp_path.iterdir()), "nothing may be left behind"


def test_error_texts_stay_as_they_are(capsys: Captured) -> None:
    texts = []
    for case in ("verb", "flag", "flag value", "no model", "weights only", "artifact", "stage", "config"):
        arguments, exit_code, _, _ = MISTAKES[case]
        texts.append(f"$ neurodeploy {' '.join(arguments)}\n{refused(capsys, *arguments, code=exit_code)}")
    assert "\n".join(texts) == (GOLDEN / "errors.txt").read_text(encoding="utf-8")


def test_json_errors_are_data(capsys: Captured) -> None:
    assert cli.call(["build", "digits-vt", "--format", "json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["exit_code"] == 2 and found["problems"][0]["code"] == "ND110"


def test_rich_errors_are_panels(capsys: Captured) -> None:
    said = refused(capsys, "build", "digits-vt", "--format", "rich", code=2)
    assert "ND110" in said and "╭" in said


def test_problems_of_one_cause_are_shown_together() -> None:
    many = [Problem("ND506", "cannot run", f"node{i}", limit="none") for i in range(20)]
    (joined,) = grouped([*many])
    assert joined.where.endswith("and 17 more") and joined.where.startswith("node0")


# --- unforeseen --------------------------------------------------------------------------------------------------


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(verbs, "models", fail)


def test_a_bug_is_one_line_and_exit_1(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, ZeroDivisionError("oops"))
    said = refused(capsys, "models", code=1)
    assert "ZeroDivisionError: oops" in said and len(said.splitlines()) == 2


WRAPPED = RuntimeError("Error calling __set_name__ on 'Field' instance 'flows' in 'Events'")
WRAPPED.__cause__ = KeyboardInterrupt()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), WRAPPED])
def test_an_interrupt_is_one_line_and_exit_130(
    error: BaseException, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, error)
    assert "interrupted" in refused(capsys, "models", code=130)


@pytest.mark.parametrize("error, code", [(OSError(28, "No space left on device", "x"), "ND901"),
                                         (PermissionError(13, "Permission denied", "x"), "ND902"),
                                         (MemoryError(), "ND934")])  # fmt: skip
def test_what_the_system_refuses_is_typed(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: str
) -> None:
    fail_with(monkeypatch, error)
    assert code in refused(capsys, "models", code=2)


# --- check -------------------------------------------------------------------------------------------------------


def test_check_says_yes(capsys: Captured) -> None:
    assert cli.call(["check", "digits-a2os2a", "--format", "plain"]) == 0
    said = capsys.readouterr().out
    assert "can run" in said and "ternary_lif neuron" in said


def test_check_of_a_zoo_model_needs_neither_torch_nor_its_data() -> None:
    script = (
        "import sys; from neurodeploy import cli; cli.call(['check', 'digits-a2os2a']);"
        "print([m for m in ('torch', 'sklearn', 'numba', 'lava') if m in sys.modules])"
    )
    runs = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        for _ in range(2)  # the first one fills the cache of source graphs
    ]
    assert runs[1].stdout.splitlines()[-1] == "[]"


def test_check_goes_without_the_data_that_a_model_names(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where no cifar10_jpeg.h5 lies
    command = ["check", "cifar10-vit", "--target", "loihi2", "--format", "json"]
    assert cli.call(command) == 0
    found = json.loads(capsys.readouterr().out)
    (warning,) = (p for p in found["problems"] if p["code"] == "ND939")
    assert warning["severity"] == "warning" and warning["found"] == "0 .. 255" and len(found["nodes"]) > 80
    assert "ND920" in refused(
        capsys, *command, "--data", "nowhere.h5", code=2
    )  # what the user names must be there


def test_check_says_no_with_every_reason(capsys: Captured) -> None:
    assert cli.call(["check", "digits-vit", "--target", "loihi1", "--format", "json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["blocked"] and {"ND505", "ND506", "ND507"} <= {p["code"] for p in found["problems"]}
    assert any(node["missing"] for node in found["nodes"])


NO_SHAPE = """
import torch

def net():
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 16), torch.nn.ReLU(),
        torch.nn.Linear(16, 10))
"""


def test_check_knows_the_shape_of_given_data(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shapeless.py").write_text(NO_SHAPE)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = ["check", "py:shapeless:net"]
    assert "--data" in refused(capsys, *own, code=3)
    assert cli.call([*own, "--data", "digits"]) == 0
    assert "ND114" in capsys.readouterr().err
    assert cli.call([*own, "--data", "digits", "--set", "scale=0.0625"]) == 0
    assert "ND114" not in capsys.readouterr().err


def test_check_takes_the_options_of_build(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('model = "digits-vit"\ntarget = "loihi1"\n')
    assert "ND507" in refused(capsys, "check", "--config", "c.toml", code=3)
    assert "ND900" in refused(capsys, "check", code=2)
    assert "ND919" in refused(capsys, "check", "digits-vit", "--chips", "99999", code=2)
    assert "ND904" in refused(capsys, "check", "digits-vit", "--weight-bits", "9", code=2)
    rule = 'layers."blocks.*.fc9".weight_bits=4'
    assert "ND905" in refused(capsys, "check", "digits-vit", "--set", rule, code=2)
    np.savez("big.npz", x=np.zeros((9, 12, 12), np.uint8), y=np.arange(9))
    assert "ND933" in refused(capsys, "check", "digits-vit", "--data", "big.npz", code=2)


def test_narrower_weights_are_checked_as_they_are_built() -> None:
    few, many = (verbs.check("digits-vit", weight_bits=bits).cores for bits in (2, 8))
    assert few is not None and many is not None and few[0] <= many[0]
    assert (
        verbs.check("digits-vit", "loihi2", chips=2).cores[1]
        == 2 * verbs.check("digits-vit", "loihi2").cores[1]
    )


# --- input of run ------------------------------------------------------------------------------------------------


def test_input_gets_a_batch_axis() -> None:
    graph = mini_snn()
    shape = graph.shape(graph.input.name)
    assert arrays.checked_input(graph, np.zeros(shape, np.uint8)).shape == (1, *shape)


@pytest.mark.parametrize("change, code", [
    (lambda x: x[..., :-1], "ND601"), (lambda x: x[:0], "ND601"), (lambda x: x.astype(float), "ND606"),
    (lambda x: x.astype(bool), "ND606"), (lambda x: x.ravel(), "ND601"),
])  # fmt: skip
def test_wrong_input_is_typed(change: object, code: str) -> None:
    graph = mini_snn()
    x = np.zeros((2, *graph.shape(graph.input.name)), np.uint8)
    with pytest.raises(SimulateError, match=code):
        arrays.checked_input(graph, change(x))  # type: ignore[operator]


@pytest.mark.parametrize("write", [
    lambda p: None, lambda p: p.write_bytes(b""), lambda p: p.write_bytes(b"\x93NUMPY\x01\x00"),
    lambda p: np.save(p, np.array([{}], dtype=object), allow_pickle=True), lambda p: p.write_text("hello"),
    lambda p: p.mkdir(), lambda p: np.savez(p.open("wb"), x=np.zeros(3)),
])  # fmt: skip
def test_unusable_input_files_are_typed(write: object, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    write(path)  # type: ignore[operator]
    with pytest.raises(UsageError, match="ND931"):
        arrays.read_array(path)


def test_every_error_class_has_its_exit_code() -> None:
    found = {cls.exit_code for cls in NeurodeployError.__subclasses__()}
    assert found == {2, 3, 4, 6}


def test_a_check_says_the_verdict_first_and_every_reason_once(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.call(["check", "digits-a2os2a", "--target", "loihi1", "--format", "plain"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("digits-a2os2a by native on loihi1: BLOCKED")
    heads = [line for line in lines if re.match(r"(BLOCKED|\w+): \d+ x ", line)]
    first = [line.startswith("BLOCKED") for line in heads]
    assert first == sorted(first, reverse=True) and any(first) and not all(first)
    assert max(map(len, lines)) <= 80 and len(lines) < 60
    assert "  patch.stages.0.2, patch.last.0.rescale, rpe.0.rescale and 12 more" in lines
    assert cli.call(["check", "digits-a2os2a", "--target", "loihi1", "--format", "plain", "-v"]) == 3
    assert "blocks.0.attn.k_relu.permute_2" in capsys.readouterr().out


def test_a_name_is_never_cut(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = [("blocks.11.attention.output.dense.0", "x" * 90, "a reason"), ("short", "y" * 30, "z" * 20)]
    screen.configure(Format.rich)
    for names in (rows, [("a" * 100, *row[1:]) for row in rows]):
        screen.table(("name", "what", "because"), names)
        said = capsys.readouterr().out
        assert max(map(len, said.splitlines())) == 80 and "…" not in said
        for row in names:
            assert row[0] in said or said.count("a") > 200
        assert [said.count(letter) for letter in "xyz"] == [90, 30 * len(rows) // 2, 20]


def test_help_is_short_and_the_page_opens(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert cli.call(["build", "-h"]) == 0
    assert "--target" in capsys.readouterr().out
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda place: opened.append(place) or True)
    found = data.build(fake_build.inputs("native"))
    write(found, tmp_path)
    assert cli.call(["report", str(tmp_path), "--open"]) == 0
    assert opened == [(tmp_path / "report.html").resolve().as_uri()] and (tmp_path / "report.html").is_file()


@pytest.mark.parametrize(
    ("done", "of", "seconds", "said"),
    [(20, 100, 2.0, "20 of 100 samples, 10/s, 8 s left"), (1, 4, 4.0, "1 of 4 samples, 0.2/s, 12 s left"),
     (4, 4, 1.0, "4 of 4 samples, 4.0/s"), (0, 4, 0.0, "0 of 4 samples, 0.0/s")],
)  # fmt: skip
def test_progress_says_how_far_how_fast_and_how_long_yet(
    done: int, of: int, seconds: float, said: str
) -> None:
    assert bar.told(done, of, seconds) == said


def test_a_build_and_a_verification_tell_how_far_they_are(tmp_path: Path) -> None:
    heard: dict[str, list[tuple[int, int]]] = {}
    units: dict[str, list[str]] = {}

    def listen(event: Event) -> None:
        if event.kind == "progress":
            heard.setdefault(event.stage, []).append((event.done, event.of))
            units.setdefault(event.stage, []).append(event.unit)

    built = neurodeploy.build(
        "digits-vit", timesteps=1, calib=70, eval=130, verify=6, out=str(tmp_path / "b"), progress=listen
    )
    assert heard["calibrate"] == [(64, 70), (70, 70)] and heard["evaluate"][-1] == (130, 130)
    assert units["convert"][0] == "samples" and set(units["quantize"]) == {"nodes"}
    assert list(dict.fromkeys(units["map"])) == ["groups cut", "sizes of plan", "cores filled"]
    assert heard["verify"] == [(6, 6)] and heard["estimate"][-1] == (32, 32)
    seen: list[tuple[int, int]] = []
    verbs.verify(built, ("cpu",), 3, heard=lambda *done: seen.append(done))
    assert seen == [(3, 3)]


# --- early -------------------------------------------------------------------------------------------------------

OWN = """
import torch
if True:
    from json import loads as network
def helper():
    return {}["missing"]
def module():
    return helper()
"""
EARLY = {
    "method": (["build", "digits-vit", "--method", "ecm"], "ND307", "'ecmt'"),
    "any method": (["build", "digits-vit", "--method", "atuo"], "ND307", "'auto'"),
    "preset": (["build", "digits-vit", "--set", "convert.preset=halve"], "ND302", "'halved'"),
    "option": (["build", "digits-vit", "--set", "convert.levles=3"], "ND303", "levels"),
    "module": (["build", "py:owm:module", "--data", "digits"], "ND111", "use py:own:module"),
    "inner module": (["check", "py:own.parts:module", "--data", "digits"], "ND111", "no module 'own.parts'"),
    "factory": (["check", "py:own:modle", "--data", "digits"], "ND111", "use py:own:module"),
    "data": (["build", "digits-vit", "--data", "none.npz"], "ND920", "check the path"),
    "target": (["build", "digits-vit", "--target", "loihi-simm"], "ND910", "'loihi-sim'"),
}


@pytest.mark.parametrize("name", EARLY)
def test_a_misspelt_name_is_told_before_torch_is_imported(
    name: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("own.py").write_text(OWN)
    monkeypatch.setattr(torch_export, "import_module", None)  # nothing is imported
    monkeypatch.setattr(resolve, "_built", None)
    arguments, code, said = EARLY[name]
    found = refused(capsys, *arguments, code=3 if code == "ND111" else 2)
    assert code in found and said in found


def test_none_of_that_needs_torch() -> None:
    Path("own.py").write_text(OWN)
    commands = [arguments for arguments, _, _ in EARLY.values()]
    script = (
        f"import sys; from neurodeploy import cli\nfor c in {commands!r}: cli.call(c)\n"
        "print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "False"


def test_an_exception_in_a_factory_shows_the_user_s_line(capsys: Captured) -> None:
    Path("own.py").write_text(OWN)
    found = refused(capsys, "check", "py:own:module", "--data", "digits", code=3)
    assert "own.py:6" in found and "KeyError: 'missing'" in found
    Path("wrong.py").write_text("x = 1\ndef network(:\n")
    assert "wrong.py:2" in refused(capsys, "check", "py:wrong:network", "--data", "digits", code=3)
    for name in ("own", "wrong"):
        sys.modules.pop(name, None)


def test_what_a_file_may_define_otherwise_is_not_judged(tmp_path: Path) -> None:
    for text, names in (
        ("from json import *", None), ("def __getattr__(name): ...", None), ("globals()['x'] = 1", None),
        ("def (", None),
        ("a = b = 1\nfor c in []: d = 2\nimport os.path as e, json.decoder", {"a", "b", "c", "d", "e", "json"}),
    ):  # fmt: skip
        (tmp_path / "m.py").write_text(text)
        assert factories.defined(tmp_path / "m.py") == names
