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
from neurodeploy.cli import check
from neurodeploy.errors import NeurodeployError, Problem, SimulateError, UsageError, grouped
from neurodeploy.inputs import arrays
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


def test_an_interrupt_is_one_line_and_exit_130(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
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


def test_a_check_of_many_nodes_names_alike_ones_once() -> None:
    few = [(f"n{i}", "lif neuron", "documented", "why") for i in range(check.MOST_NODES)]
    assert check._alike(few) == few
    many = [("odd", "sum", "BLOCKED", ""), *((f"n{i}", *few[0][1:]) for i in range(5000))]
    assert check._alike(many) == [many[0], ("n0 and 4999 more", "lif neuron", "documented", "why")]
