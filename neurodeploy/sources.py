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

from . import __version__
from .config import BuildConfig
from .errors import NeurodeployError, Problem
from .frontends import resolve
from .frontends.resolve import Model
from .ir.graph import Graph
from .ir.nodes import Neuron

CACHED = 32  # graphs that are kept; the oldest go first


@dataclass(frozen=True, eq=False)
class Source:
    """A model with its source graph; ``cached`` if the graph was not imported anew."""

    model: Model
    graph: Graph
    cached: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)


def load(config: BuildConfig, shape: tuple[int, ...] | None = None) -> Source:
    """The simplified source graph behind ``config.model``; typed errors of the front ends pass through."""
    scale = 1.0 if config.scale is None else config.scale
    model = resolve.resolve(config.model, shape, config.timesteps, scale, config.offset)
    key = model.fingerprint and _key(model.fingerprint)
    graph = _read(key) if key else None
    if graph is not None:
        return Source(model, graph, cached=True)
    graph = simplified(resolve.source_graph(model))
    if key:
        _write(key, graph)
    return Source(model, graph)


def simplified(graph: Graph) -> Graph:
    """The graph after all passes that keep its meaning."""
    from .passes import simplify

    return simplify(graph)


def completed(config: BuildConfig, source: Source) -> BuildConfig:
    """The config with the model's own method, ticks, data and conversion options where the user chose none.

    Whether a network spikes is asked of its graph: the name of a Python factory does not tell.
    """
    model = source.model
    method = config.method or model.method or ("native" if source.graph.of(Neuron) else "ecmt")
    own_ticks = model.timesteps if model.timesteps > 1 or model.spiking else 0
    own = dict(model.convert) if method == model.method else {}
    return config.model_copy(
        update={
            "method": method,
            "timesteps": config.timesteps or own_ticks or resolve.TICKS,
            "data": config.data or model.dataset,
            "convert": {**own, **config.convert},
        }
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


# --- cache -------------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where source graphs are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "neurodeploy"


def _key(fingerprint: str) -> str:
    from .ir import store

    passes = sorted((Path(__file__).parent / "passes").glob("*.py"))
    parts = [fingerprint, __version__, str(store.SCHEMA), *(p.read_text(encoding="utf-8") for p in passes)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _read(key: str) -> Graph | None:
    """The cached graph, or None where there is none that is whole."""
    from . import artifact

    file = cache_folder() / f"{key}.h5"
    try:
        return artifact.load(file).source if file.is_file() else None
    except (NeurodeployError, OSError):
        return None


def _write(key: str, graph: Graph) -> None:
    """Keep a graph; a cache that cannot be written is no reason to fail."""
    from . import artifact

    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        artifact.save(cache_folder() / f"{key}.h5", artifact.Artifact(source=graph))
        by_age = sorted(cache_folder().glob("*.h5"), key=lambda file: file.stat().st_mtime)
        for old in by_age[:-CACHED]:
            old.unlink(missing_ok=True)
    except (NeurodeployError, OSError):
        return
