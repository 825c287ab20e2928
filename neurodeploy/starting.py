"""A first config for a model found in a folder, with every key that a build has, commented."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import BuildConfig
from .errors import Problem, UsageError
from .files import typed, write_text
from .sources.factories import MOST_FILES, candidates
from .sources.resolve import formats

FILE = "neurodeploy.toml"
#: suffixes of files that may hold data, in the order in which they are proposed
DATA = (".npz", ".csv", ".jsonl")
#: what a folder holds that a build wrote, whatever its name: nothing in it is a user's
MADE = ("build.toml", "program.h5")
#: keys that a first config says; all others stand below, commented out, as they are without a word
SAID = ("model", "target", "data")


@dataclass(frozen=True)
class Start:
    """A config that was written, and what was found: models and data, those that it names first."""

    file: Path
    models: tuple[str, ...]
    data: tuple[str, ...]


def init(
    model: str = "", data: str = "", target: str = "loihi-sim", out: str = FILE, force: bool = False
) -> Start:
    """Write a commented config for ``model``, or for the first one found in the working folder.

    Files that hold networks are found by their suffixes, factories and modules in Python by reading the source: nothing
    is run. Raises UsageError ND900 where there is no model, or where ``out`` exists and not ``force``.
    """
    place, folder = Path(out), Path(".")
    if place.exists() and not force:
        fixes = ("--force overwrites it", "--out OTHER.toml")
        raise UsageError(Problem("ND900", "there is a config already", str(place), fixes=fixes))
    models = (model,) if model else tuple(found_models(folder))
    if not models:
        cause, limit = (
            "no model was found in this folder",
            f"files that end in {', '.join(_suffixes())}, or a factory in .py",
        )
        fixes = ("neurodeploy init digits-vit", "neurodeploy init py:package.module:factory")
        raise UsageError(Problem("ND900", cause, "MODEL", "nothing", limit, fixes))
    found = (data,) if data else tuple(found_data(folder))
    with typed(place):
        write_text(place, text(models, found, target))
    return Start(place, models, found)


def _suffixes() -> tuple[str, ...]:
    return (".pt2", ".onnx", *formats())


def found_models(folder: Path) -> Iterator[str]:
    """MODEL strings of what a folder holds: files of networks, then what builds one in Python."""
    files = _files(folder)
    yield from (str(file) for suffix in _suffixes() for file in files if file.suffix == suffix)
    for file in files:
        if file.suffix == ".py" and file.parent == folder:
            yield from (f"py:{file.stem}:{name}" for name in candidates(file))


def found_data(folder: Path) -> Iterator[str]:
    """Files of a folder that may be data of a build."""
    files = _files(folder)
    yield from (str(file) for suffix in DATA for file in files if file.suffix == suffix)


def _files(folder: Path) -> list[Path]:
    """Files of a folder and of the folders in it, in the order of their names; none of what a build wrote."""
    found = [path for level in ("*", "*/*") for path in sorted(folder.glob(level))]
    built = {path.parent for path in found if path.name in MADE}
    own = (path for path in found if path.parent not in built and not any(map(_hidden, path.parts)))
    return [path for path in own if path.is_file()][:MOST_FILES]


def _hidden(part: str) -> bool:
    """Whether a folder or file of this name is none of a user's."""
    return part.startswith((".", "_", "build"))


def text(models: tuple[str, ...], data: tuple[str, ...], target: str) -> str:
    """The config: what is said, what else was found, and every other key as it is without a word."""
    lines = [
        "# A build of neurodeploy: change what you like, then",
        f"#   neurodeploy check --config {FILE}     can it run there?",
        f"#   neurodeploy build --config {FILE}     all stages, and a report",
        "# Editors complete this file with the schema that `neurodeploy schema config` prints.",
        "",
        *_line("model", models[0], models[1:]),
        *_line("target", target, ()),
        *(_line("data", data[0], data[1:]) if data else _unsaid("data")),
        "",
        "# All other keys, as they are where nothing is said:",
    ]
    return (
        "\n".join(
            [*lines, *(line for key in BuildConfig.model_fields if key not in SAID for line in _unsaid(key))]
        )
        + "\n"
    )


def _line(key: str, value: str, others: tuple[str, ...]) -> Iterator[str]:
    yield f"{key} = {json.dumps(value)}  # {BuildConfig.model_fields[key].description}"
    yield from (f"# {key} = {json.dumps(other)}" for other in others[:8])


def _unsaid(key: str) -> Iterator[str]:
    field = BuildConfig.model_fields[key]
    value: Any = field.default
    if isinstance(value, dict):
        if key != "wanted":
            yield f"# [{key}]  # {field.description}"
        return
    shown = "..." if value is None else json.dumps(value)
    yield f"# {key} = {shown}  # {field.description}"
