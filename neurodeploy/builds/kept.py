"""Results of the finished stages of a build that did not come to its end: the same command goes on where it was.

They lie in ``stages`` in the cache folder, which is safe to delete, until a build of the same key is published. The key
covers all that a stage after the import can depend on: the source graph, the data, the config but for folder and
threads, the target, all code of this package and of packages that add members to its rooms, and the versions of the
libraries. A file that is not whole, by its hash, counts as none. What takes a moment is not kept.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

import numpy as np

from .. import artifact
from ..array import Array
from ..datasets import DataSet
from ..errors import NeurodeployError
from ..files import cache_folder
from ..inputs.texts import OneHot
from ..ir import store
from ..ir.codec import CodecError
from ..report.inputs import Accuracy, Answers, Beside, BitTrue, Layer, Wrong
from ..rooms import ROOMS
from ..sources import cache as sources
from ..target import Target
from .calibrated import Calibrated
from .converted import Converted
from .evaluated import Evaluated
from .imported import Imported
from .integer import Integer
from .mapped import Mapped, imaged
from .provenance import versions
from .result import Result
from .verified import Verified

WORTH = 2.0  # seconds that a stage must take to be kept
MOST, MOST_BYTES = 32, 4 << 30  # of all that is kept; the oldest go first

KINDS: tuple[type[Result], ...] = (Converted, Calibrated, Integer, Mapped, Evaluated, Verified)
CLASSES = {
    **artifact.CLASSES,
    **{kind.__name__: kind for kind in (*KINDS, Accuracy, Answers, Wrong, BitTrue, Beside, Layer)},
}

R = TypeVar("R", bound=Result)


class Keeper:
    """Keeps the results of one build; of none before :meth:`begin`."""

    def __init__(self, target: Target) -> None:
        self.target, self.key, self.seconds = target, "", 0.0

    def begin(self, found: Imported) -> None:
        """What the build is, once its source graph is known."""
        self.key, self.seconds = _key(found, self.target), found.config.time_budget

    def get(self, kind: type[R], make: Callable[[], R]) -> R:
        """The result of a stage: kept, or else made, and kept if that took long."""
        found = self._read(kind)
        if found is not None:
            return replace(found, kept=True)
        began = time.perf_counter()
        result = make()
        if self.key and time.perf_counter() - began >= WORTH and _comes_back(result):
            _write(self._file(kind), result)
        return result

    def forget(self) -> None:
        """The build is done: nothing of it need be kept."""
        place = cache_folder() / "stages"
        for file in (*place.glob(f"{self.key}-*.h5"), *place.glob(f".{self.key}-*.tmp")) if self.key else ():
            with suppress(OSError):
                file.unlink(missing_ok=True)

    def _file(self, kind: type[Result]) -> Path:
        return cache_folder() / "stages" / f"{self.key}-{kind.__name__.lower()}.h5"

    def _read(self, kind: type[R]) -> R | None:
        """What was kept, or None where there is nothing that is whole."""
        file = self._file(kind)
        try:
            if not self.key or not file.is_file():
                return None
            result = store.read(file, CLASSES).sections["result"]
            if isinstance(result, Mapped):  # its images are sooner made than read
                result = imaged(result, self.target, self.seconds)
        except (NeurodeployError, OSError, KeyError):
            return None
        return result if isinstance(result, kind) else None


def _write(file: Path, result: Result) -> None:
    """Keep a result; a cache that cannot be written is no reason to fail."""
    if isinstance(result, Mapped):
        result = replace(result, mapping=replace(result.mapping, images=()))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        store.write(file, {"result": result})
        sources.trim(file.parent, MOST, MOST_BYTES)
    except (NeurodeployError, OSError, CodecError):
        return


def _comes_back(result: Result) -> bool:
    """Whether floats come back in the order in which they lie in memory, in which they are also summed."""
    return all(array.dtype.kind != "f" or array.flags.c_contiguous for array in _arrays(result))


def _arrays(item: object) -> Iterator[Array]:
    if isinstance(item, np.ndarray):
        yield item
    elif is_dataclass(item):
        for field in fields(item):
            yield from _arrays(getattr(item, field.name))
    elif isinstance(item, (dict, tuple, list)):
        for part in item.values() if isinstance(item, dict) else item:
            yield from _arrays(part)


# --- the key -----------------------------------------------------------------------------------------------------


def _key(found: Imported, target: Target) -> str:
    graphs = [graph.content_hash() for graph in (found.graph, found.whole) if graph is not None]
    data = (found.data.hash, *_ids(found.data)) if found.data else ()
    decisive = {
        "graphs": graphs, "data": data, "input": dict(found.stimulus.facts()), "config": found.config.digest(),
        "mapping": found.given.sha256, "target": target.sha256, "code": _code(),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:40]


def _ids(data: DataSet) -> list[str]:
    """Digests of the token ids that a tokenizer made of the data."""
    reads = [split.read for split in (data.train, data.test)]
    return [hashlib.sha256(read.ids.tobytes()).hexdigest() for read in reads if isinstance(read, OneHot)]


@cache
def _code() -> list[str]:
    """All code that a stage can run, and the libraries below it."""
    package = Path(__file__).parent.parent
    places = [package, *_extensions()]
    digests = [sources.makers(place, [p.name for p in sorted(place.iterdir())]) for place in places]
    return [*digests, *(f"{name} {version}" for name, version in versions().items())]


def _extensions() -> list[Path]:
    """Folders of the packages that add members to rooms of this one."""
    package = __name__.partition(".")[0]
    points = [point for room in ROOMS for point in entry_points(group=f"{package}.{room.path}")]
    names = sorted({point.module.partition(".")[0] for point in points} - {package})
    specs = [importlib.util.find_spec(name) for name in names]
    return [Path(spec.origin).parent for spec in specs if spec is not None and spec.origin]
