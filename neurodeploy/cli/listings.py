"""The commands that say what there is: targets, models, operators, error codes, this machine."""

from __future__ import annotations

import textwrap
from typing import Annotated, Any

import typer

from .. import verbs
from .app import app
from .flags import Argument, Option, Shape, TargetName
from .screen import Format, screen

target_app = typer.Typer(help="Limits and coefficients of targets, with sources.", no_args_is_help=True)
app.add_typer(target_app, name="targets")


@target_app.command("list")
def targets_list(form: Shape = Format.auto) -> None:
    """Every target that can be found."""
    screen.configure(form)
    rows = [(t.name, t.kind, t.cores, t.title) for t in verbs.targets()]
    screen.table(("name", "kind", "cores", "title"), rows)


@target_app.command("show")
def targets_show(
    name: Annotated[str, Argument(help="target name or .toml file")], form: Shape = Format.auto
) -> None:
    """Every limit, coefficient, feature and grade of a target with its source."""
    screen.configure(form)
    from .. import target

    found = target.load(name)
    if not screen.json:
        screen.out(f"{found.name}: {found.title} ({found.kind})\n{found.file}")
    rows = [(r.section, r.key, _ranged(r), r.unit, r.source) for r in found.rows()]
    screen.table(("section", "key", "value", "unit", "source"), rows)


def _ranged(row: Any) -> str:
    return str(row.high) if row.nominal is None else f"{row.nominal:g} [{row.low:g} .. {row.high:g}]"


@target_app.command("validate")
def targets_validate(
    file: Annotated[str, Argument(help="target name or .toml file")], form: Shape = Format.auto
) -> None:
    """Read a target file and list everything that is wrong with it."""
    screen.configure(form)
    from .. import target

    found = target.load(file)
    if screen.json:
        entries = {"cores": found.cores, "entries": len(found.rows())}
        return screen.data({"target": found.name, "file": str(found.file), **entries})
    screen.out(f"{found.file} is a valid target: {found.cores} cores, {len(found.rows())} entries")


@app.command()
def models(form: Shape = Format.auto) -> None:
    """The networks that come with the package."""
    screen.configure(form)
    rows = []
    for e in verbs.models():
        weights = e.weights
        rows.append((e.name, e.title, e.dataset, weights.result, weights.parameters, e.method, e.timesteps))
    screen.table(("name", "system", "data", "correct test images", "parameters", "method", "T"), rows)


@app.command()
def ops(target: TargetName = "loihi-sim", form: Shape = Format.auto) -> None:
    """What a target can do with every node kind, neuron model and operator."""
    screen.configure(form)
    rows = [
        (v.kind, v.node, f"NO: needs {', '.join(v.missing)}" if v.blocked else v.grade, v.reason)
        for v in verbs.ops(target)
    ]
    screen.table(("kind", "name", "grade", "source"), rows)


@app.command()
def explain(
    code: Annotated[str, Argument(help="an error code such as ND910")], form: Shape = Format.auto
) -> None:
    """The long text behind an error code."""
    screen.configure(form)
    title, text = verbs.explain(code)
    if screen.json:
        screen.data({"code": code.upper(), "title": title, "text": text})
    else:
        screen.out(f"{code.upper()}  {title}\n\n{textwrap.fill(text, 100)}")


@app.command()
def doctor(
    report: Annotated[
        bool, Option("--report", help="what an issue should say: no path, nothing private")
    ] = False,
    form: Shape = Format.auto,
) -> None:
    """Versions, usable backends and why others are not, folders."""
    screen.configure(form)
    if report:
        _public(verbs.machine())
        return
    found = verbs.doctor()
    if screen.json:
        screen.data(found)
        return
    backends, formats, exporters = (found.pop(key) for key in ("backends", "formats", "exporters"))
    extra, networks, broken = (found.pop(key) for key in ("extras", "networks", "broken"))
    screen.table(("what", "value"), [(k, _joined(v)) for k, v in found.items()])
    screen.table(("extra", "state"), list(extra.items()))
    screen.table(("backend", "usable"), [(name, _usable(why)) for name, why in backends.items()])
    screen.table(("MODEL", "library"), [(f"{n}:NAME", text) for n, text in networks.items()])
    screen.table(("file read", "whose"), [(suffix, title) for suffix, title in formats.items()])
    screen.table(("export --to", "usable"), [(name, _usable(why)) for name, why in exporters.items()])
    if broken:
        screen.table(("broken member", "why"), [(p["where"], f"{p['cause']}: {p['found']}") for p in broken])


def _public(found: dict[str, str]) -> None:
    """As lines that may be pasted into an issue."""
    if screen.json:
        screen.data(found)
    else:
        screen.out("\n".join(f"{name}: {value}" for name, value in found.items()))


def _usable(why: str) -> str:
    return f"no: {why}" if why else "yes"


def _joined(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
