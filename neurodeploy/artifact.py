"""``program.h5``: everything a build learned that a later stage can start from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from collections.abc import Mapping as MappingABC
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .calibrate import Ranges
from .errors import MappingError, Problem, UsageError
from .ir import levels, shapes, store
from .ir.graph import STORES, Graph, Header
from .ir.nodes import KINDS
from .ir.types import Activity, Code, Fixed, Interval, Origin, Shape, Value
from .limits import MOST_TICKS
from .mapping.types import Core, Demand, Group, Mapping, Piece
from .program import Program
from .publishing import settle

if TYPE_CHECKING:
    from .image import CoreImage

FILE = "program.h5"

#: every dataclass an artifact may hold, by name; a file that names another one is refused
CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        *KINDS.values(), Graph, Header, Value, Shape, Code, Fixed, Interval, Activity, Origin,
        Mapping, Group, Core, Piece, Demand, Problem, Ranges,
    )
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Artifact:
    """Graphs at their levels, the mapping, calibration, results of later stages, and JSON-able provenance.

    What is None was not found yet, or not asked for. ``hash`` is the content hash of the file it was read from, empty
    before it is written.
    """

    integer: Graph | None = None
    mapping: Mapping | None = None
    spiking: Graph | None = None
    source: Graph | None = None
    ranges: Ranges | None = None
    provenance: MappingABC[str, Any] = field(default_factory=dict)
    hash: str = ""

    @property
    def program(self) -> Program:
        """What backends run; UsageError ND949 for an artifact that stops before the integer graph."""
        if self.integer is None:
            cause, fixes = "the artifact holds no integer graph", ("build again without --to",)
            raise UsageError(Problem("ND949", cause, fixes=fixes))
        return Program(self.integer, self.mapping, self.provenance)


#: what each section holds; the images of the mapping have a section of their own
WANTED: dict[str, type] = {
    "integer": Graph, "mapping": Mapping, "spiking": Graph, "source": Graph, "ranges": Ranges, "provenance": dict,
}  # fmt: skip
SECTIONS = tuple(WANTED)
#: what it takes to run a built network
PROGRAM = ("integer", "mapping", "provenance")


def place(path: str | Path) -> Path:
    """The file meant by a build folder or by a path to the file itself; the folder is settled first."""
    path = Path(path)
    file = path / FILE if path.is_dir() else path
    settle(file.parent)
    return file


def save(path: Path, artifact: Artifact) -> str:
    """Write the artifact atomically; returns its content hash."""
    from .image import pack

    sections: dict[str, Any] = {name: getattr(artifact, name) for name in SECTIONS}
    mapping = artifact.mapping
    if mapping is not None and mapping.images:
        sections["mapping"] = replace(mapping, images=())
        sections["images"] = pack(mapping.images)
    return store.write(path, {name: value for name, value in sections.items() if value is not None})


def load(path: str | Path, sections: Collection[str] = SECTIONS) -> Artifact:
    """Read a build folder's artifact, or the file itself; every graph is checked against its level's rules.

    Other sections than those asked for are not read. Memory images come with the mapping; each is checked when it is
    asked for. Raises UsageError ND940 to ND948 naming section and dataset.
    """
    file, everything = place(path), set(sections) == set(SECTIONS)
    also = ("images",) if "mapping" in sections else ()
    found, digest = store.read(file, CLASSES, None if everything else (*sections, *also))
    images = found.pop("images", None)
    unknown = sorted(set(found) - set(SECTIONS))
    if unknown:
        raise UsageError(Problem("ND942", "an artifact with an unknown section", f"{file} /{unknown[0]}"))
    for name, item in found.items():
        _check(file, name, item, WANTED[name])
    if images is not None and "mapping" in found:
        found["mapping"] = replace(found["mapping"], images=_images(file, images))
    return Artifact(**found, hash=digest)


def _images(file: Path, packed: Any) -> Sequence[CoreImage]:
    """Memory images, every index checked when one is taken out; what is wrong with them as UsageError."""
    from .image import Images, unpack

    with _named(file):
        found = unpack(packed)

    def make(number: int) -> CoreImage:
        with _named(file):
            return found[number]

    return Images(len(found), make)


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Inside, what is wrong with images is a UsageError that names the file."""
    try:
        yield
    except MappingError as error:
        raise UsageError([replace(p, where=f"{file} /images: {p.where}") for p in error.problems]) from error


def _check(file: Path, name: str, item: Any, wanted: type) -> None:
    if not isinstance(item, wanted):
        cause, found = "a section holds something unexpected", type(item).__name__
        raise UsageError(Problem("ND947", cause, f"{file} /{name}", found, wanted.__name__))
    if isinstance(item, Graph):
        check_graph(file, name, item)


def check_graph(file: Path, name: str, graph: Graph) -> None:
    """Refuse a graph without one input and output, of inconsistent shapes, or against the rules of its level."""
    problems = list(_ends(graph)) or shapes.problems(graph) or levels.verify(graph, graph.header.level)
    where = f"{file} /{name}: "
    if problems:
        raise UsageError([replace(p, code="ND948", where=where + p.where, fixes=()) for p in problems[:20]])


def _ends(graph: Graph) -> Iterator[Problem]:
    kinds = [node.kind for node in graph]
    for kind in ("input", "output"):
        if kinds.count(kind) != 1:
            cause = f"a graph needs exactly one {kind}"
            yield Problem("ND948", cause, found=str(kinds.count(kind)), limit="1")
    level, ticks = graph.header.level, graph.header.timesteps
    if level not in levels.LEVELS:
        yield Problem("ND948", "unknown level of a graph", found=level, limit=", ".join(levels.LEVELS))
    if not 1 <= ticks <= MOST_TICKS:
        yield Problem("ND948", "impossible number of ticks", found=str(ticks), limit=f"1 .. {MOST_TICKS}")
    if (stores := graph.header.stores) not in STORES:
        limit = " or ".join(map(str, STORES))
        yield Problem("ND948", "impossible number of places for what is kept", found=str(stores), limit=limit)
