"""The commands ``init`` and ``schema``: a first config, and what lets an editor complete it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from .. import verbs
from .app import app
from .flags import Argument, Option, Shape
from .screen import Format, screen


@app.command()
def init(
    model: Annotated[str, Argument(help="MODEL of build (default: found in this folder)")] = "",
    data: Annotated[str, Option("--data", help="data set name, file or folder (default: found here)")] = "",
    target: Annotated[str, Option("--target", help="target name or .toml file")] = "loihi-sim",
    out: Annotated[str, Option("--out", help="config file to write")] = "neurodeploy.toml",
    force: Annotated[bool, Option("--force", help="overwrite it")] = False,
    form: Shape = Format.auto,
) -> None:
    """Write a commented config for a model found in the working folder; no code of it is run."""
    screen.configure(form)
    found = verbs.init(model, data, target, out, force)
    if screen.json:
        return screen.data({"file": str(found.file), "models": found.models, "data": found.data})
    named = [f"{found.file}: {found.models[0]}" + (f", data {found.data[0]}" if found.data else "")]
    others = [f"also found: {', '.join(names)}" for names in (found.models[1:], found.data[1:]) if names]
    screen.out("\n".join([*named, *others, f"next: neurodeploy check --config {found.file}"]))


@app.command()
def schema(
    kind: Annotated[str, Argument(help="config or target")],
    out: Annotated[str, Option("--out", help="file to write (default: print it)")] = "",
    form: Shape = Format.auto,
) -> None:
    """The JSON Schema of a config or target file, with which editors complete and check it."""
    screen.configure(form)
    found = verbs.schema(kind)
    if screen.json and not out:
        return screen.data(found)
    text = json.dumps(found, indent=1)
    if not out:
        return screen.out(text)
    from ..files import typed, write_text

    with typed(Path(out)):
        write_text(Path(out), text + "\n")
    if screen.json:
        return screen.data({"file": out})
    screen.out(out)
