"""The program: its name, its options, and the commands that its files add."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import __version__
from .flags import Option
from .screen import screen

app = typer.Typer(
    name="neurodeploy",
    help="Put spiking transformers onto neuromorphic cores, bit for bit, with every number traceable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
target_app = typer.Typer(help="Limits and coefficients of targets, with sources.", no_args_is_help=True)
app.add_typer(target_app, name="targets")


def _show_version(value: bool) -> None:
    if value:
        screen.out(f"neurodeploy {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, Option("--version", callback=_show_version, is_eager=True, help="version")
    ] = False,
) -> None:
    """Options of the program itself."""
