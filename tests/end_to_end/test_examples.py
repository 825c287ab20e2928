"""The notebooks and scripts of ``examples/``: committed without outputs, and run from end to end."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import neurodeploy

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
#: notebook -> what its outputs have to say, and the least share of right answers of the build that it ends with
SAID = {
    "convert_your_own_vit": ("by ecmt: can run", "Import        equal to the model", "8 ticks:"),
    "spiking_transformer_from_spikingjelly": ("Import        equal to the model", "interp = cpu = loihi-sim"),
    "write_a_target": ("what-if: 32 cores", "tokens/1 x channels/4"),
}
RIGHT = {"own-vit": 0.8, "own-vit-8": 0.8, "jelly": 0.8, "energy": 0.9, "mine": 0.9}


def cells(notebook: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


def test_there_are_examples_for_what_the_readme_says() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(SAID)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs(notebook: Path) -> None:
    for cell in cells(notebook):
        assert not cell["outputs"] and cell["execution_count"] is None
        ast.parse("".join(cell["source"]))


@pytest.mark.slow
@pytest.mark.needs("nbclient", "ipykernel", "matplotlib", "spikingjelly")
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    book = nbformat.read(notebook, as_version=4)
    NotebookClient(book, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    said = "".join(o.get("text", "") + o.get("data", {}).get("text/plain", "") for o in outputs)
    assert not [text for text in SAID[notebook.stem] if text not in said]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("<iframe" in output.get("data", {}).get("text/html", "") for output in outputs)
    for folder in (tmp_path / "build").iterdir():
        report = json.loads((folder / "report.json").read_text())
        assert report["accuracy"]["integer"] >= RIGHT.get(folder.name, 0.0) and report["bit_true"]["equal"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("examples") / "digits"
    neurodeploy.build("digits-a2os2a", eval=40, verify=2, calib=32, out=str(out))
    return out


def run(script: str, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(EXAMPLES / script), str(folder)]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment, timeout=600
    ).stdout


@pytest.mark.slow
def test_the_evaluation_loop_counts_as_evaluate_does(digits: Path) -> None:
    said = run("evaluation_loop.py", digits).splitlines()
    counted = neurodeploy.evaluate(digits).found
    assert said[-1] == f"all test images: {counted.correct[-1]} of {counted.samples}"
    assert [line.split(":")[0] for line in said[:4]] == [f"tick {t}" for t in (1, 2, 3, 4)]


@pytest.mark.slow
@pytest.mark.needs("lava.magma")
def test_the_lava_program_answers_as_the_backend_does(digits: Path) -> None:
    assert "the same integers:   True" in run("lava_program.py", digits)
