"""MODEL -> source graph with what is known about it; graphs of zoo models and files are cached and hash-checked.

The cache lies in ``$XDG_CACHE_HOME/neurodeploy`` (or ``~/.cache/neurodeploy``) and is safe to delete. The key is the
front end's fingerprint of weights, model code and its own code, with this package's version: nothing stale is found.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__, convert
from ..config import INTEGER, BuildConfig
from ..errors import ConvertError, NeurodeployError, Problem, UsageError
from ..ir.graph import Graph
from . import resolve
from .resolve import Model

CACHED = 32  # graphs that are kept; the oldest go first

#: samples of a build on synthetic input, where the user chose none: noise has no classes to cover
FEW = {"calib": 32, "eval": 32, "verify": 16}
#: dense multiply-accumulates of all these samples and ticks; large networks run on fewer samples, at least one
BUDGET = {"calib": 1e11, "eval": 2e10, "verify": 2e10}  # the last two on simulated cores as well
#: the same for a network that is converted, which calibrates on no fewer than LEAST_CALIBRATED
CONVERTED = 3e11
LEAST_CALIBRATED = 16
MOST_TICKS = 4096


@dataclass(frozen=True, eq=False)
class Source:
    """A model with its source graph; ``cached`` if the graph was not imported anew."""

    model: Model
    graph: Graph
    cached: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)


def load(config: BuildConfig, shape: tuple[int, ...] | None = None) -> Source:
    """The simplified source graph behind ``config.model``; typed errors of the front ends pass through."""
    model = resolve.resolve(config.model, shape, config.timesteps, config.scale, config.offset, config.reader)
    key = model.fingerprint and _key(model.fingerprint)
    graph = _read(key) if key else None
    if graph is not None:
        return Source(model, graph, cached=True)
    graph = resolve.source_graph(model)
    # An integer graph is exactly what its file says; floats are simplified before they are converted.
    graph = graph if graph.header.level == "integer" else simplified(graph)
    if key:
        _write(key, graph)
    return Source(model, graph)


def simplified(graph: Graph) -> Graph:
    """The graph after all passes that keep its meaning."""
    from ..passes import simplify

    return simplify(graph)


def completed(config: BuildConfig, source: Source) -> BuildConfig:
    """The config with the model's own method, ticks, data and conversion options where the user chose none.

    Whether a network spikes is asked of its graph: the name of a Python factory does not tell. Raises ConvertError
    ND308 for a method or options that a file of integers has no use for, UsageError ND904 for an impossible number of
    ticks.
    """
    model = source.model
    if model.kind == "format":
        return _completed(config, source.graph)
    method = config.method or model.method or convert.natural(source.graph).name
    trained = convert.named(method).ticks(source.graph)
    own_ticks = trained or (model.timesteps if model.timesteps > 1 or model.spiking else 0)
    own = dict(model.convert) if method == model.method else {}
    if config.convert.get("preset", own.get("preset")) != own.get("preset"):
        own = {}  # the model's options were chosen on top of its own preset
    ticks = config.timesteps or own_ticks or resolve.TICKS
    calib = config.calib
    if "calib" not in config.model_fields_set:
        affordable = int(CONVERTED // (ticks * _macs(source.graph)))
        calib = min(calib, max(LEAST_CALIBRATED, affordable))
    return config.model_copy(
        update={
            "method": method,
            "timesteps": ticks,
            "calib": calib,
            "data": config.data or model.dataset,
            "convert": {**own, **config.convert},
        }
    )


def _completed(config: BuildConfig, graph: Graph) -> BuildConfig:
    """As :func:`completed`, for a file of another tool: its graph knows the ticks, and no data are needed."""
    integer = graph.header.level == "integer"
    if integer:
        _require_no_conversion(config)
    ticks = graph.header.timesteps
    if not 1 <= ticks <= MOST_TICKS:
        cause = "the file asks for an impossible number of ticks"
        limit, fix = f"1 .. {MOST_TICKS}", ("choose another with --timesteps",)
        raise UsageError(Problem("ND904", cause, config.model, str(ticks), limit, fix))
    method = INTEGER if integer else config.method or convert.natural(graph).name
    few = {} if config.data else {k: v for k, v in _few(graph).items() if k not in config.model_fields_set}
    return config.model_copy(update={"method": method, "timesteps": ticks, **few})


def _few(graph: Graph) -> dict[str, int]:
    """Samples of a build on synthetic input, by key of the config."""
    sample = graph.header.timesteps * _macs(graph)
    return {key: max(1, min(most, int(BUDGET[key] // sample))) for key, most in FEW.items()}


def _macs(graph: Graph) -> float:
    """Dense multiply-accumulates of one pass, at least one."""
    from ..cost import dense_macs

    return max(1, sum(dense_macs(graph, node) for node in graph))


def _require_no_conversion(config: BuildConfig) -> None:
    """Refuse what would change numbers that the file has fixed."""
    cause = "the file holds integers: nothing is converted or quantised"
    wrong = []
    if config.method not in ("", INTEGER):
        wrong.append(("--method", config.method))
    if config.convert:
        wrong.append(("convert", ", ".join(config.convert)))
    if config.weight_bits != BuildConfig.model_fields["weight_bits"].default:
        wrong.append(("--weight-bits", str(config.weight_bits)))
    if config.layers:
        wrong.append(("layers", ", ".join(config.layers)))
    if wrong:
        raise ConvertError(
            [Problem("ND308", cause, place, found, fixes=(f"leave out {place}",)) for place, found in wrong]
        )


def raw_levels(config: BuildConfig, model: Model, levels: int) -> list[Problem]:
    """A warning (ND114) where pixels of more than one level reach a model of the user's own and nobody gave a scale."""
    if model.kind not in ("python", "export") or config.scale is not None or levels <= 1:
        return []
    return [
        Problem(
            "ND114",
            "the model is fed raw pixel levels: no scale was given",
            config.model,
            f"0 .. {levels}",
            "what the model was trained on",
            (
                f"--set scale={1 / levels!r} if it was trained on 0 .. 1",
                "--set scale=1.0 if it was trained on raw levels or scales them itself",
            ),
            severity="warning",
        )
    ]


def remarks(config: BuildConfig, graph: Graph) -> list[Problem]:
    """Warnings (ND127) of what the reader of a file noted in ``header.notes["remarks"]``, as ``place: text``."""
    found = []
    for remark in graph.header.notes.get("remarks", ()):
        place, _, text = str(remark).partition(": ")
        where = f"{config.model} {place}" if text else config.model
        found.append(Problem("ND127", text or place, where, severity="warning"))
    return found


# --- cache -------------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where source graphs are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "neurodeploy"


def _key(fingerprint: str) -> str:
    from ..ir import store

    passes = sorted((Path(__file__).parent.parent / "passes").glob("*.py"))
    parts = [fingerprint, __version__, str(store.SCHEMA), *(p.read_text(encoding="utf-8") for p in passes)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _read(key: str) -> Graph | None:
    """The cached graph, or None where there is none that is whole."""
    from .. import artifact

    file = cache_folder() / f"{key}.h5"
    try:
        return artifact.load(file).source if file.is_file() else None
    except (NeurodeployError, OSError):
        return None


def _write(key: str, graph: Graph) -> None:
    """Keep a graph; a cache that cannot be written is no reason to fail."""
    from .. import artifact

    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        artifact.save(cache_folder() / f"{key}.h5", artifact.Artifact(source=graph))
        by_age = sorted(cache_folder().glob("*.h5"), key=lambda file: file.stat().st_mtime)
        for old in by_age[:-CACHED]:
            old.unlink(missing_ok=True)
    except (NeurodeployError, OSError):
        return
