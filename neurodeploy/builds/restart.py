"""What the stages before the first one that runs left in the artifact of a build folder."""

from __future__ import annotations

from dataclasses import dataclass

from .. import artifact
from ..artifact import Artifact
from ..errors import Problem, UsageError
from .calibrated import Calibrated
from .converted import Converted
from .imported import Imported
from .integer import Integer
from .log import STAGE_NAMES
from .mapped import Mapped
from .result import Results

#: stages that a build can start from, given the artifact of an earlier one
RESTARTS = STAGE_NAMES[:6]
#: section of an artifact -> the first of the stages that can start from it
SECTIONS = {"spiking": "calibrate", "ranges": "quantize", "integer": "map", "mapping": "evaluate"}


@dataclass(frozen=True, eq=False)
class Kept:
    """Results that need not be found again; None for those that do."""

    converted: Converted | None = None
    calibrated: Calibrated | None = None
    integer: Integer | None = None
    mapped: Mapped | None = None


def restored(found: Imported, start: str) -> Kept:
    """The results of all stages before ``start``.

    UsageError ND949 if the artifact ends too early, belongs to another config, or its source differs; ND940 to ND948
    where it cannot be read.
    """
    last = STAGE_NAMES.index(start)
    needed = [name for name, stage in SECTIONS.items() if STAGE_NAMES.index(stage) <= last]
    if not needed:
        return Kept()
    saved = artifact.load(found.config.folder)
    _require_same(found, saved, [name for name in needed if not (found.holds_integers and name == "spiking")])
    preset = str(saved.provenance.get("preset", ""))
    whole = "mapping" in needed and saved.integer is not None and saved.mapping is not None
    return Kept(
        Converted(graph=saved.spiking, preset=preset),
        Calibrated(ranges=saved.ranges) if "ranges" in needed and saved.ranges is not None else None,
        Integer(graph=saved.integer) if "integer" in needed and saved.integer is not None else None,
        Mapped(graph=saved.integer, mapping=saved.mapping) if whole else None,  # type: ignore[arg-type]
    )


def _require_same(found: Imported, saved: Artifact, needed: list[str]) -> None:
    source = saved.source.content_hash() if saved.source is not None else ""
    same = saved.provenance.get("network_sha256") == found.config.network_digest()
    same &= "mapping" not in needed or saved.provenance.get("mapping_sha256") == found.given.sha256
    missing = [name for name in needed if getattr(saved, name) is None]
    if missing or not same or source != found.graph.content_hash():
        reason = f"it holds no {missing[0]}" if missing else "it was built from another model or config"
        where, fixes = str(found.config.folder), ("build again without --from",)
        raise UsageError(Problem("ND949", "the artifact cannot be continued", where, reason, fixes=fixes))


def artifact_of(results: Results) -> Artifact:
    """What goes into ``program.h5``: the graphs, the mapping and the ranges, as far as the results go."""
    converted, calibrated = results.get(Converted), results.get(Calibrated)
    integer, mapped = results.get(Integer), results.get(Mapped)
    graph = mapped.graph if mapped else integer.graph if integer else None
    return Artifact(
        integer=graph,
        mapping=mapped.mapping if mapped else None,
        spiking=converted.graph if converted else None,
        source=results[Imported].graph,
        ranges=calibrated.ranges if calibrated else None,
    )
