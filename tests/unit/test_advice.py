"""Texts of the package that name a command, an option or a key of the config: there is one, and it takes the value."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import typer.main
from pydantic import BaseModel

import neurodeploy
from neurodeploy import target
from neurodeploy.backends._base import BACKENDS
from neurodeploy.cli import app
from neurodeploy.config import BuildConfig
from neurodeploy.convert._base import METHODS
from neurodeploy.datasets._base import DATASETS
from neurodeploy.formats._base import FORMATS
from neurodeploy.frontends.libraries._base import LIBRARIES, ExportOptions, PythonOptions
from neurodeploy.mapping.objectives._base import OBJECTIVES

ROOT = Path(neurodeploy.__file__).parent
COMMANDS = typer.main.get_command(app).commands
EVERY = [c for top in COMMANDS.values() for c in (top, *getattr(top, "commands", {}).values())]
OPTIONS = {option for command in EVERY for p in command.params for option in (*p.opts, *p.secondary_opts)}
OPTIONS |= {"--help", "--version", "--require-hashes"}  # the last is uv's
#: options that name one of several things
NAMES = {
    "method": {*METHODS},
    "backend": {*BACKENDS},
    "optimise": {*OBJECTIVES},
    "target": {*target.names()},
}
READERS: list[type[BaseModel]] = [
    *(r.Options for f in FORMATS.values() if (r := f.reader)),
    *(library.Options for library in LIBRARIES.values()),
    ExportOptions,
    PythonOptions,
]
KEYS = {*BuildConfig.model_fields} | {f"reader.{key}" for options in READERS for key in options.model_fields}
LOADERS = [options for data in DATASETS.values() if (options := data.Options)]
KEYS |= {f"loader.{key}" for options in LOADERS for key in options.model_fields}


def texts() -> dict[str, set[str]]:
    """String constants of the package by file, pieces of f-strings among them, docstrings not."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        spoken = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        found[str(path.relative_to(ROOT))] = {
            n.value
            for n in ast.walk(tree)
            if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in spoken
        }
    return found


@pytest.mark.parametrize("file, strings", texts().items(), ids=lambda v: v if isinstance(v, str) else "")
def test_every_option_and_command_that_is_advised_exists(file: str, strings: set[str]) -> None:
    options = {o for s in strings for o in re.findall(r"(?<![\w-])--[a-z][a-z-]+", s)}
    assert sorted(options - OPTIONS) == []
    commands = {c for s in strings for c in re.findall(r"(?:^|['`(;]|: )neurodeploy ([a-z]+)", s)}
    assert sorted(commands - set(COMMANDS)) == []
    for option, known in NAMES.items():
        named = {n for s in strings for n in re.findall(rf"use --{option} ([a-z][a-z0-9-]*)", s)}
        assert sorted(named - known) == [], option
    keys = {key for s in strings for key in re.findall(r"--set ([a-z_.]+)=", s)}
    assert sorted(key for key in keys - KEYS if key.split(".")[0] not in ("convert", "layers")) == []
