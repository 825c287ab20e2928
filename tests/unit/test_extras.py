"""The extras of pyproject.toml, and the one answer where one is missing."""

from __future__ import annotations

import getpass
import platform
import re
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from neurodeploy import cli, environment, extras
from neurodeploy.errors import EnvironmentProblem
from neurodeploy.frontends.libraries._base import LIBRARIES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: for developers
OTHERS = {"bench", "dev", "site"}
#: what the smallest environment must not need
HEAVY = {
    "torch",
    "numba",
    "scikit-learn",
    "timm",
    "transformers",
    "torchvision",
    "matplotlib",
    "pandas",
    "lava-nc",
}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\s<>=!;\[]", text)[0] for text in requirements}


def test_extras_are_those_of_the_project() -> None:
    assert set(extras.EXTRAS) == set(PROJECT["optional-dependencies"]) - OTHERS
    assert {library.extra for library in LIBRARIES.values()} <= set(extras.EXTRAS)


@pytest.mark.parametrize("name", extras.EXTRAS)
def test_an_extra_brings_its_packages(name: str) -> None:
    asked = PROJECT["optional-dependencies"][name]
    brought = names(asked) | ({"torch"} if any("neurodeploy[torch]" in text for text in asked) else set())
    for package in extras.EXTRAS[name].packages:
        assert package in {text.removesuffix("-nc") for text in brought}


def test_the_package_needs_nothing_heavy() -> None:
    assert not names(PROJECT["dependencies"]) & HEAVY


def test_an_absent_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(EnvironmentProblem) as found:
        extras.require("cluster", "schedulers", "leave out --scheduler")
    (problem,) = found.value.problems
    assert (problem.code, problem.where) == ("ND115", "distributed")
    assert problem.fixes == ("pip install 'neurodeploy[cluster]'", "leave out --scheduler")


def test_a_report_for_an_issue_holds_nothing_private(capsys: pytest.CaptureFixture[str]) -> None:
    private = [
        str(Path.home()),
        getpass.getuser(),
        platform.node(),
        str(ROOT),
        str(environment.cache_folder()),
    ]
    for form in ("plain", "json"):
        assert cli.call(["doctor", "--report", "--format", form]) == 0
        said = capsys.readouterr().out
        assert f"{platform.machine()}" in said and "numpy" in said and "extras" in said
        words = set(re.findall(r"[^\s,:]+", said))
        assert not [text for text in private if text and (text in words or ("/" in text and text in said))]
        assert "/" not in re.sub(r"\\[nt]", "", said)


def test_doctor_tells_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.usable()["extras"]["torch"] == "installed"
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install 'neurodeploy[torch]'" in environment.usable()["extras"]["torch"]


def test_issue_forms_ask_for_the_report() -> None:
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    assert {"bug.yml", "refused.yml", "measured.yml"} <= {form.name for form in forms}
    for form in forms:
        said = YAML(typ="safe").load(form.read_text(encoding="utf-8"))
        if form.name != "config.yml":
            assert any("doctor --report" in part["attributes"]["label"] for part in said["body"])


def test_the_citation_names_this_version() -> None:
    said = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (said["version"], said["title"]) == (PROJECT["version"], PROJECT["name"])
