"""The command ``report``, and the summary that ``build`` shows too."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated, Any

from .. import verbs
from .app import app
from .flags import Folder, Option, Shape
from .screen import Format, screen


@app.command()
def report(
    folder: Folder,
    show: Annotated[bool, Option("--open", help="open the page in a browser")] = False,
    form: Shape = Format.auto,
) -> None:
    """Render page, tables and summary of a build again from its data."""
    screen.configure(form)
    show_summary(verbs.report(folder), folder)
    if show:
        place = folder.parent if folder.is_file() else folder
        if not webbrowser.open((place / "report.html").resolve().as_uri()):
            screen.note("no browser could be started: open the page yourself")


def show_summary(report: dict[str, Any], folder: Path) -> None:
    """The summary of a report, or where it lies if there is none."""
    if screen.json:
        return screen.data(report or {"folder": str(folder)})
    if not report:
        return screen.out(str(folder))
    from ..report import console

    page = str(folder / "report.html")
    if not screen.rich:
        return screen.out(console.text(report, page))
    from rich.console import Console

    Console().print(console.summary(report, page))
