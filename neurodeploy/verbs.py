"""The verbs of the command line as functions that return what the command prints, found where they are at first use."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .builds.check import Check
    from .builds.log import Listener
    from .builds.pipeline import Build
    from .builds.reuse import crosscheck, described, evaluate, export, kernels, label, run, traced, verify
    from .builds.session import Session
    from .codes import explained as explain
    from .environment import public as machine
    from .environment import usable as doctor
    from .schemas import schema
    from .sources.zoo import ZooEntry
    from .starting import init
    from .support import Verdict
    from .target import Target

__all__ = [
    "Session", "build", "check", "crosscheck", "described", "doctor", "evaluate", "explain", "export", "init",
    "kernels", "label", "machine", "models", "ops", "report", "run", "schema", "targets", "traced", "verify",
]  # fmt: skip

#: verb -> module and name of what does it
PLACES = {
    "explain": ("codes", "explained"), "doctor": ("environment", "usable"), "machine": ("environment", "public"),
    "init": ("starting", "init"),
    "schema": ("schemas", "schema"), "Session": ("builds.session", "Session"),
    **{name: ("builds.reuse", name)
       for name in ("crosscheck", "described", "evaluate", "export", "kernels", "label", "run", "traced", "verify")},
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, verb = PLACES[name]
    return getattr(import_module(f"{__package__}.{module}"), verb)


def build(
    model: Any = None,
    target: str | None = None,
    *,
    data: Any = None,
    config_file: str | Path | None = None,
    settings: Sequence[str] = (),
    progress: Listener | None = None,
    **flags: object,
) -> Build:
    """Import, convert, quantize, map, evaluate, verify, price and report one network; returns the Build.

    ``model`` is a MODEL string or a torch module; ``data`` a name or path, arrays (x, y), a pair of training and test
    data, a data set or loader of torch, or texts (:func:`neurodeploy.live.named`). ``flags`` are fields of
    :class:`neurodeploy.config.BuildConfig`. Raises MappingError or VerifyError *after* the report is written if the
    network does not fit or two executions disagree; any other typed error stops earlier.
    """
    from . import live
    from .builds import pipeline

    given = live.named(model, data, settings, {"target": target, **flags})
    return pipeline.build(config_file=config_file, settings=settings, progress=progress, **given)


def check(
    model: Any = None,
    target: str | None = None,
    method: str | None = None,
    timesteps: int | None = None,
    *,
    data: Any = None,
    config_file: str | Path | None = None,
    settings: Sequence[str] = (),
    **flags: Any,
) -> Check:
    """Whether method and target can take this network, node by node; arguments as those of :func:`build`.

    Of data nothing but shape and levels is read.
    """
    from . import config, live
    from .builds import check as room

    said = {"target": target, "method": method or None, "timesteps": timesteps, **flags}
    given = live.named(model, data, settings, said)
    return room.check(config.resolve(given, config_file, settings))


def report(folder: str | Path) -> dict[str, Any]:
    """Re-render page and tables of a build folder from its ``report.json``; returns the data.

    UsageError ND963 where another part of the folder is of another build.
    """
    from . import report as room
    from .builds import parts
    from .files import typed, write_text
    from .publishing import locked
    from .report import html

    place = Path(folder).parent if Path(folder).is_file() else Path(folder)
    with typed(place), locked(place) if place.is_dir() else nullcontext():
        data = room.read(place)
        parts.require(place)
        with room.consistent(place):
            page = html.page(data)
            room.text(data)  # what the command line shows
            room.write(data, place)
        write_text(place / room.PAGE, page)
    return data


def targets() -> list[Target]:
    """Every target that can be found, loaded."""
    from . import target

    return [target.load(name) for name in target.names()]


def models() -> list[ZooEntry]:
    """The entries of the zoo."""
    from .sources import zoo

    return [zoo.entry(name) for name in zoo.names()]


def ops(target: str = "loihi-sim") -> list[Verdict]:
    """What a target can do with every node kind, neuron model and operator."""
    from . import support
    from .target import load

    return support.catalogue(load(target))
