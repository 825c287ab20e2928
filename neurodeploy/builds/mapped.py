"""Stage 5, map: the balanced graph, its place on cores, the memory images."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, replace
from types import MappingProxyType

from .. import sampled
from ..calibrate import Ranges
from ..cost import booked
from ..errors import Problem
from ..image import encode
from ..inputs.samples import SYNTHETIC
from ..ir.graph import Graph
from ..ir.trace import EVENT_KINDS
from ..mapping.checks import calibrated
from ..mapping.given import Given
from ..mapping.hosting import searched
from ..mapping.mapper import PLACEMENT, placed
from ..mapping.objectives._base import OBJECTIVES
from ..mapping.spread import FREE, Budget
from ..mapping.types import Mapping
from ..program import Program
from ..target import Target
from .imported import Imported
from .result import Result


@dataclass(frozen=True, eq=False, kw_only=True)
class Mapped(Result):
    """The integer graph as it is mapped, and its mapping, which holds memory images if it fits and is run whole."""

    graph: Graph
    mapping: Mapping

    @property
    def program(self) -> Program:
        """What backends run."""
        return Program(self.graph, self.mapping)


def map_to_cores(found: Imported, graph: Graph, target: Target, ranges: Ranges) -> Mapped:
    """The network on the cores of the target; what does not fit stands in the mapping's ``problems``."""
    config, sums = found.config, calibrated(graph, ranges)
    latency_ns = config.max_latency_ms and config.max_latency_ms * 1e6
    most = Budget(config.max_cores, latency_ns)
    placement = config.placement or PLACEMENT
    mapped = laid_out(
        graph, target, config.optimise, placement, sums, found.given, most, config.streams, config.lookups
    )
    mapping = mapped.mapping
    if not mapping.fits:
        return mapped
    # Where the objective prices messages, their activity decides the cut.
    weighed = found.synthetic and OBJECTIVES[config.optimise].weighs_activity
    label = f", cut for {SYNTHETIC}" if weighed else ""
    label += f", as {found.given.file} says" if found.given.file else ""
    if streams := mapping.notes.get("streams"):
        shown = " to ".join(map(str, sorted({min(streams), max(streams)})))
        label += f", tokens in turn on {shown} cop{'y' if shown == '1' else 'ies'} of each layer"
        label += ", two places for what is kept" if mapping.notes.get("stores", 1) > 1 else ""
    if hosted := mapping.notes.get("hosted"):
        label += f", {' and '.join(hosted)} looked up by the host"
    fact = f"{len(mapping.cores)}/{mapping.cores_total} cores, depth {mapping.depth} steps{label}"
    return replace(imaged(mapped, target, found.config.time_budget), fact=fact)


def imaged(mapped: Mapped, target: Target, seconds: float) -> Mapped:
    """With the memory images of all cores, where so many seconds are enough to run them."""
    graph, mapping = mapped.graph, mapped.mapping
    if not mapping.fits:
        return mapped
    if not sampled.whole(graph, mapping, seconds):
        return replace(mapped, warnings=(*mapped.warnings, *_uncounted(mapped)))
    return replace(mapped, mapping=encode(graph, mapping, target))


def _uncounted(mapped: Mapped) -> Iterator[Problem]:
    graph, mapping = mapped.graph, mapped.mapping
    if not sampled.counted(graph, mapping):
        cause = "what all cores do in all steps is more than memory holds, so that nothing is priced"
        found = f"{len(mapping.cores)} cores x {graph.header.timesteps + mapping.depth} steps"
        limit = f"{booked.MOST_COUNTED} counts of {len(EVENT_KINDS)} kinds"
        fixes = ("--streams 0: tokens in space take fewer steps",) if graph.header.copies else ()
        yield Problem("ND528", cause, mapping.target, found, limit, fixes, "warning")


def laid_out(
    graph: Graph,
    target: Target,
    optimise: str,
    placement: str = PLACEMENT,
    sums: MappingABC[str, int] = MappingProxyType({}),
    given: Given | None = None,
    most: Budget = FREE,
    streams: int | None = None,
    lookups: str = "cores",
) -> Mapped:
    """The mapping without memory images; ``sums`` are the largest synaptic sums that calibration has seen,
    ``most`` what the user allows.

    ``streams``: copies of each layer that take the tokens in turn, 0: none. Where neither this nor what is ``given``
    says, tokens are in space or take turns as the objective prefers (:mod:`..mapping.segments`). ``lookups``: where
    tables of token ids are of which nothing is ``given``, on cores or on the host (:mod:`..mapping.hosting`).
    UsageError ND522 to ND524 and ND529 for what is asked for and cannot be.
    """
    found = searched(graph, target, optimise, given or Given(), most, streams, lookups)
    balanced, mapping = found.plan.graph, placed(found, placement, sums)
    wrong = sum(p.severity == "error" for p in mapping.problems)
    used = f"{len(mapping.cores)}/{mapping.cores_total} cores"
    fact = f"{used}: does NOT fit, {wrong} problem{'s' * (wrong > 1)}"
    warnings = tuple(p for p in mapping.problems if p.severity != "error")
    return Mapped(graph=balanced, mapping=mapping, warnings=warnings, fact="" if mapping.fits else fact)
