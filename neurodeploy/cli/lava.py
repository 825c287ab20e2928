"""The commands of ``lava``: the environment in which that backend runs."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import app
from .flags import Option, Shape
from .screen import Format, screen

lava_app = typer.Typer(help="The environment in which the backend lava runs.", no_args_is_help=True)
app.add_typer(lava_app, name="lava")


@lava_app.command("setup")
def lava_setup(
    force: Annotated[bool, Option("--force", help="make it anew where it is there")] = False,
    form: Shape = Format.auto,
) -> None:
    """Make an environment of Python 3.10 with lava-nc beside the cache, by uv; any Python then runs --backend lava."""
    screen.configure(form)
    from ..backends.lava import place

    screen.note(f"Lava 0.10.0 for Python 3.10 in {place.folder()}")
    python = str(place.setup(force))
    if screen.json:
        return screen.data({"python": python})
    screen.out(f"{python}\n--backend lava uses it")
