"""The site of the docs: every page has its place, and the interface of Python is there as it is."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

import neurodeploy

ROOT = Path(__file__).resolve().parents[2]
MADE = {"api.md", "examples.md"}


def constants() -> dict[str, Any]:
    """The tables of docs/site.py, which is not imported: mkdocs is not here."""
    tree = ast.parse((ROOT / "docs" / "site.py").read_text(encoding="utf-8"))
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and node.targets[0].id in ("OUTSIDE", "INTERFACE"):
            found[node.targets[0].id] = eval(compile(ast.Expression(node.value), "site", "eval"), {})
    return found


def placed() -> list[str]:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    nav = YAML(typ="safe").load(text)["nav"]
    return re.findall(r"[\w-]+\.md", str(nav))


def test_every_page_has_one_place() -> None:
    outside = constants()["OUTSIDE"]
    pages = {file.name for file in (ROOT / "docs").glob("*.md")} | set(outside) | MADE
    assert sorted(placed()) == sorted(pages)
    assert all((ROOT / place).is_file() for place in outside.values())


def test_the_interface_is_there_and_every_verb_is_in_it() -> None:
    names = [name for group in constants()["INTERFACE"].values() for name in group]
    for name in names:
        module, _, attribute = name.rpartition(".")
        found = getattr(importlib.import_module(module), attribute, None) or importlib.import_module(name)
        assert found.__doc__, name
    shown = {
        getattr(importlib.import_module(name.rpartition(".")[0]), name.rpartition(".")[2], None)
        for name in names
    }
    assert {verb for verb in neurodeploy.VERBS if getattr(neurodeploy, verb) not in shown} == set()
