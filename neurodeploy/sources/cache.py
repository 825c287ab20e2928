"""The source graphs of zoo models and files, kept between runs and hash-checked.

They lie in ``$XDG_CACHE_HOME/neurodeploy`` (or ``~/.cache/neurodeploy``), which is safe to delete. A key covers the
model (weights, files, options), every room of this package that takes part in making a graph, and the versions of the
libraries that do: nothing stale is found.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from .. import datasets
from ..array import Array
from ..config import BuildConfig
from ..datasets import DataSet, Facts
from ..errors import NeurodeployError
from ..files import cache_folder, write_text
from ..freed import give_back
from ..frontends._torch import let_go
from ..frontends.proof.types import UNCHECKED, ImportCheck
from ..inputs import masks
from ..inputs.samples import hidden, one_hot, tokens
from ..ir.graph import Graph
from ..ir.interp import input_shape
from ..ir.nodes import Synapse
from ..registry import version
from . import resolve
from .resolve import Loaded, Model

SOME = 3  # samples of the user's data on which a graph is compared with its module
PIXELS = 255  # the largest level of a pixel that a library prepares
CACHED = 32  # graphs that are kept; the oldest go first
ABANDONED = 3600.0  # seconds after which nobody writes a file any more

#: rooms and files of the package that the making of a source graph can reach
REACHED = ("archives.py", "array.py", "bundled.py", "datasets", "errors.py", "extras.py", "files.py", "formats",
           "frontends", "guarded.py", "handed.py", "inputs", "ir", "limits.py", "microcode", "npy.py", "neurons",
           "passes", "registry.py", "sources")  # fmt: skip
#: distributions that take part in it
LIBRARIES = ("neurodeploy", "numpy", "scipy", "torch", "h5py", "nir")


@dataclass(frozen=True, eq=False)
class Source:
    """A model with its source graph; ``cached`` if the graph was not imported anew.

    ``whole`` is the same network with the rows that nobody reads, as its author's code computes it. ``check`` is what
    was compared with the model itself; None, with the reason in ``unchecked``, where nothing was.
    """

    model: Model
    graph: Graph
    cached: bool = False
    whole: Graph | None = None
    check: ImportCheck | None = None
    unchecked: str = ""

    @property
    def label(self) -> str:
        """What every number is called that follows from an import that could have been compared, and was not."""
        return "" if self.check is not None or _no_reference(self.model) else UNCHECKED


def load(config: BuildConfig, data: DataSet | Facts | None = None) -> Source:
    """The simplified source graph behind ``config.model``, compared with the model itself on some of the ``data``.

    Typed errors of the front ends pass through, and ND140 and ND141 of the comparison.
    """
    shape = data.shape if data else None
    frames = data.ticks if data else 0
    model = resolve.resolve(
        config.model, shape, config.timesteps, config.scale, config.offset, config.reader, frames
    )
    key = model.fingerprint and _key(model.fingerprint)
    kept = _read(key) if key else None
    if kept is not None and (kept[1] or not config.import_check or _no_reference(model)):
        whole, check = kept[0], kept[1] if config.import_check else None
        graph = simplified(whole)
        if check is None or data is None or check.covers(*_bounds(model, graph, data)):
            return Source(model, graph, True, whole, check, _unchecked(model, check))
    whole, graph, check = imported(model, data, config.import_check)
    if key:
        _write(key, whole, check)
    give_back(_weights(graph))
    return Source(model, graph, False, whole, check, _unchecked(model, check))


def imported(
    model: Model, data: DataSet | Facts | None, compare: bool, loaded: Loaded | None = None
) -> tuple[Graph, Graph, ImportCheck | None]:
    """The whole source graph, the simplified one, and what was compared; the module is let go."""
    loaded = loaded or model.loader()
    let_go()
    give_back(_weights(loaded.graph))
    whole = _deepened(simplified(loaded.graph, without=("push_slices",)))
    graph = simplified(whole)
    give_back(_weights(graph))
    return whole, graph, _compared(model, loaded, graph, data or _facts(model)) if compare else None


def _weights(graph: Graph) -> int:
    return sum(node.weight.size for node in graph.of(Synapse))


def _no_reference(model: Model) -> bool:
    """Whether a file is all that there is of a model."""
    return model.kind == "format"


def _unchecked(model: Model, check: ImportCheck | None) -> str:
    """Why nothing was compared; empty where something was."""
    if check is not None:
        return ""
    if _no_reference(model):
        return "the file is all that there is of the network: there is nothing to compare its graph with"
    if model.kind == "handed":
        return "the module was not compared when it was handed over, or not at the levels of these data"
    return "it was turned off by --no-import-check"


def _compared(model: Model, loaded: Loaded, graph: Graph, data: DataSet | Facts | None) -> ImportCheck | None:
    """What was compared with the module, if there is one; ImportModelError ND140, ND141."""
    if loaded.reference is None:
        covered = loaded.check is not None and loaded.check.covers(*_bounds(model, graph, data))
        return loaded.check if covered else None
    from ..frontends.proof import prove

    return prove.prove(loaded.reference, loaded.graph, graph, _bounds(model, graph, data), _some(graph, data))


def _deepened(whole: Graph) -> Graph:
    """The graph with hidden tokens deep enough for random texts, some of them filled up; data may ask for more."""
    if not hidden(whole):
        return whole
    from ..frontends.proof import admissible

    texts = admissible.samples(whole, (0, 1), None, few=False)
    return masks.deepened(whole, one_hot(whole, texts))


def _facts(model: Model) -> Facts | None:
    """What is known of the data that the model names, where they are here."""
    try:
        return datasets.facts(model.dataset, model.data_loader) if model.dataset else None
    except NeurodeployError:
        return None


def _bounds(model: Model, graph: Graph, data: DataSet | Facts | None) -> tuple[int, int]:
    """Smallest and largest raw input of a source graph: those of the data, else what its scale makes 0 .. 1 of.

    A library prepares pixels of 0 .. 255.
    """
    if data is not None and data.levels:
        return 0, data.levels
    return 0, PIXELS if model.kind == "library" and tokens(graph) is None else assumed_levels(graph)


def assumed_levels(graph: Graph) -> int:
    """Largest raw input of a network that sees 0 .. 1 behind its scale."""
    return min(255, max(1, round(1 / float(np.min(graph.input.scale)))))


def _some(graph: Graph, data: DataSet | Facts | None) -> Array | None:
    """A few training samples, as the module takes them; None where there are none that fit without a tokenizer."""
    if not isinstance(data, DataSet) or data.texts or graph.input.per_tick != bool(data.ticks):
        return None
    images = data.train.take(range(min(SOME, len(data.train))))[0]
    return np.asarray(images) if images.shape[1:] == input_shape(graph) else None


def simplified(graph: Graph, without: Collection[str] = ()) -> Graph:
    """The graph after passes that keep its meaning, but for some; an integer graph stays what its file says."""
    from ..passes import simplify

    return graph if graph.header.level == "integer" else simplify(graph, without)


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


def _read(key: str) -> tuple[Graph, ImportCheck | None] | None:
    """The cached graph with what was compared, or None where there is none that is whole."""
    from .. import artifact

    file = cache_folder() / f"{key}.h5"
    try:
        graph = artifact.load(file, ("source",)).source if file.is_file() else None
    except (NeurodeployError, OSError):
        return None
    return None if graph is None else (graph, _read_check(file.with_suffix(".json")))


def _read_check(file: Path) -> ImportCheck | None:
    """What was compared of the graph beside the file; None where nothing was."""
    try:
        return ImportCheck.parse(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _write(key: str, graph: Graph, check: ImportCheck | None) -> None:
    """Keep a graph and its check; a cache that cannot be written is no reason to fail."""
    from .. import artifact

    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        file = cache_folder() / f"{key}.h5"
        artifact.save(file, artifact.Artifact(source=graph))
        if check is not None:
            write_text(file.with_suffix(".json"), json.dumps(check.as_dict()))
        trim(cache_folder(), CACHED)
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
    for file in (*old, *(entry.with_suffix(".json") for entry in old), *left):
        file.unlink(missing_ok=True)
