"""The source graphs of zoo models and files, kept between runs and hash-checked.

They lie in ``$XDG_CACHE_HOME/neurodeploy`` (or ``~/.cache/neurodeploy``), which is safe to delete. A key covers the
model (weights, files, options), every room of this package that takes part in making a graph, and the versions of the
libraries that do: nothing stale is found.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..config import BuildConfig
from ..errors import NeurodeployError
from ..ir.graph import Graph
from ..registry import version
from . import resolve
from .resolve import Model

CACHED = 32  # graphs that are kept; the oldest go first
ABANDONED = 3600.0  # seconds after which nobody writes a file any more

#: rooms and files of the package that the making of a source graph can reach
REACHED = ("array.py", "bundled.py", "datasets", "errors.py", "files.py", "formats", "frontends", "ir", "limits.py",
           "microcode", "neurons", "passes", "registry.py", "sources")  # fmt: skip
#: distributions that take part in it
LIBRARIES = ("neurodeploy", "numpy", "scipy", "torch", "h5py", "nir")


@dataclass(frozen=True, eq=False)
class Source:
    """A model with its source graph; ``cached`` if the graph was not imported anew.

    ``whole`` is the same network with the rows that nobody reads, as its author's code computes it.
    """

    model: Model
    graph: Graph
    cached: bool = False
    whole: Graph | None = None


def load(config: BuildConfig, shape: tuple[int, ...] | None = None) -> Source:
    """The simplified source graph behind ``config.model``; typed errors of the front ends pass through."""
    model = resolve.resolve(config.model, shape, config.timesteps, config.scale, config.offset, config.reader)
    key = model.fingerprint and _key(model.fingerprint)
    whole = _read(key) if key else None
    cached = whole is not None
    if whole is None:
        whole = simplified(resolve.source_graph(model), without=("push_slices",))
        if key:
            _write(key, whole)
    return Source(model, simplified(whole), cached, whole)


def simplified(graph: Graph, without: Collection[str] = ()) -> Graph:
    """The graph after passes that keep its meaning, but for some; an integer graph stays what its file says."""
    from ..passes import simplify

    return graph if graph.header.level == "integer" else simplify(graph, without)


def folder() -> Path:
    """Where source graphs are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "neurodeploy"


def makers(package: Path, names: Iterable[str] = REACHED) -> str:
    """Digest of all code in these rooms and files of a package folder: those that a source graph can depend on."""
    digest = hashlib.sha256()
    for name in names:
        place = package / name
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(f"{file.relative_to(package)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def _made_by() -> str:
    """The code here, and the libraries installed here."""
    versions = [f"{name} {found}" for name in LIBRARIES if (found := version(name))]
    return "\0".join([makers(Path(__file__).parent.parent), *versions])


def _key(fingerprint: str) -> str:
    return hashlib.sha256(f"{fingerprint}\0{_made_by()}".encode()).hexdigest()


def _read(key: str) -> Graph | None:
    """The cached graph, or None where there is none that is whole."""
    from .. import artifact

    file = folder() / f"{key}.h5"
    try:
        return artifact.load(file).source if file.is_file() else None
    except (NeurodeployError, OSError):
        return None


def _write(key: str, graph: Graph) -> None:
    """Keep a graph; a cache that cannot be written is no reason to fail."""
    from .. import artifact

    try:
        folder().mkdir(parents=True, exist_ok=True)
        artifact.save(folder() / f"{key}.h5", artifact.Artifact(source=graph))
        trim(folder(), CACHED)
    except (NeurodeployError, OSError):
        return


def trim(place: Path, most: int, most_bytes: float = math.inf) -> None:
    """Remove the oldest entries of a cache, so that the others are within both limits, and what killed writers left."""
    by_age = sorted(place.glob("*.h5"), key=lambda file: file.stat().st_mtime, reverse=True)
    sizes = itertools.accumulate(file.stat().st_size for file in by_age)
    old = [
        file
        for n, (file, size) in enumerate(zip(by_age, sizes, strict=True))
        if n >= most or size > most_bytes
    ]
    left = [file for file in place.glob(".*.tmp") if time.time() - file.stat().st_mtime > ABANDONED]
    for file in (*old, *left):
        file.unlink(missing_ok=True)
