"""Which Python runs Lava: the named one, this one, or an environment that `neurodeploy lava setup` makes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import cli
from neurodeploy.backends.lava import MEMBER, place
from neurodeploy.errors import BackendError
from neurodeploy.ir import interp
from neurodeploy.program import Program
from tests.unit.backends.small import INPUTS, TOKENS, attention

#: of a checkout with both environments: the Python that has Lava
FULL = Path(__file__).parents[4] / ".venv" / "bin" / "python"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(place.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    place.probed.cache_clear()


def script(path: Path, text: str) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has no Lava."""
    monkeypatch.setattr(place, "PYTHON", (3, 9))


def fake_uv(folder: Path, monkeypatch: pytest.MonkeyPatch, then: str = "") -> Path:
    """A uv that notes what it is asked, and makes an interpreter that passes the probe."""
    python = "printf '#!/bin/sh\\necho 3 9\\n' > $5/bin/python; chmod +x $5/bin/python"
    text = f'echo "$@" >> {folder}/asked\nif [ "$1" = venv ]; then mkdir -p $5/bin; {python}; fi\n{then}'
    script(folder / "bin" / "uv", text)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    return folder / "asked"


def test_the_named_python_comes_first_and_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, reason in (
        ("echo 3 11", "it is Python 3.11"),
        ("echo no lava >&2; exit 1", "no lava"),
        ("exit 3", "with 3"),
    ):
        named = script(tmp_path / "python", text)
        monkeypatch.setenv(place.VARIABLE, named)
        place.probed.cache_clear()
        assert (
            place.interpreter() == named
            and MEMBER.available() == f"{named} cannot run Lava: {place.probed(named)}"
        )
        assert reason in MEMBER.available()
    monkeypatch.setenv(place.VARIABLE, str(tmp_path / "none"))
    assert "No such file" in MEMBER.available()


def test_setup_makes_one_environment_from_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere(monkeypatch)
    assert "neurodeploy lava setup" in MEMBER.available()
    asked = fake_uv(tmp_path, monkeypatch)
    assert cli.call(["lava", "setup"]) == 0
    made = place.folder() / "bin" / "python"
    assert str(made) in capsys.readouterr().out
    first, second = asked.read_text().splitlines()
    assert first == f"venv --quiet --python 3.10 {place.folder()}"
    assert second == f"pip sync --quiet --python {made} --require-hashes {place.LOCK}"
    assert place.interpreter() == str(made) and MEMBER.available() == ""
    place.setup()
    assert len(asked.read_text().splitlines()) == 2  # it is there
    place.setup(force=True)
    assert len(asked.read_text().splitlines()) == 4


def test_a_setup_that_fails_leaves_nothing_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(monkeypatch)
    fake_uv(tmp_path, monkeypatch, "echo the network is down >&2; exit 2")
    with pytest.raises(BackendError, match=r"(?s)ND745.*the network is down.*NEURODEPLOY_LAVA_PYTHON"):
        place.setup()
    assert place.interpreter() == ""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(place, "find_spec", lambda name: None)
    monkeypatch.setattr(place, "CHECKOUT_UV", tmp_path / "no uv")
    with pytest.raises(BackendError, match=r"(?s)ND745.*pip install uv"):
        place.setup()


def test_the_uv_of_a_checkout_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(place, "find_spec", lambda name: None)
    monkeypatch.setattr(place, "CHECKOUT_UV", Path(script(tmp_path / "uv", "")))
    assert place._uv() == str(tmp_path / "uv")


def test_every_package_of_the_environment_is_pinned() -> None:
    lines = [line for line in place.LOCK.read_text().splitlines() if line and line[0] not in " #"]
    assert all("==" in line and line.endswith("\\") for line in lines)
    assert any(line.startswith("lava-nc==0.10.0 ") for line in lines) and "://" not in place.LOCK.read_text()


def equal_to_the_interpreter() -> None:
    graph = attention()
    x = np.random.default_rng(1).integers(-20, 20, (2, TOKENS, INPUTS))
    found, _ = MEMBER.run(Program(graph), x, ("q", "qk"))
    expected = interp.run(graph, x, ("q", "qk"))
    assert np.array_equal(found.outputs, expected.outputs) and expected.outputs.any()
    assert all(np.array_equal(found.values[name], expected.values[name]) for name in ("q", "qk"))


@pytest.mark.needs("lava.magma")
def test_a_named_python_reads_this_code_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = tmp_path / "said"
    named = script(tmp_path / "python", f'echo "$PYTHONPATH" >> {said}; exec {sys.executable} "$@"')
    monkeypatch.setenv(place.VARIABLE, named)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "something"))
    equal_to_the_interpreter()
    (path,) = said.read_text().splitlines()
    assert path.endswith("/code") and not Path(path).exists()


def test_any_python_runs_lava_by_one_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    if not place.here() or not FULL.is_file():
        pytest.skip("for a Python without Lava beside one that has it")
    monkeypatch.setenv(place.VARIABLE, str(FULL))
    equal_to_the_interpreter()
