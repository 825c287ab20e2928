"""Stage 5, map: the balanced graph, its place on cores, the memory images."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, replace
from types import MappingProxyType

from .. import sampled
from ..calibrate import Ranges
from ..image import encode
from ..inputs.samples import SYNTHETIC
from ..ir.graph import Graph
from ..mapping.checks import calibrated
from ..mapping.given import Given
from ..mapping.mapper import PLACEMENT, map_graph, prepared
from ..mapping.objectives._base import OBJECTIVES
from ..mapping.spread import FREE, Budget
from ..mapping.types import Mapping
from ..passes.balance import turns
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
    mapped = laid_out(graph, target, config.optimise, placement, sums, found.given, most, config.streams)
    mapping = mapped.mapping
    if not mapping.fits:
        return mapped
    # Where the objective prices messages, their activity decides the cut.
    weighed = found.synthetic and OBJECTIVES[config.optimise].weighs_activity
    label = f", cut for {SYNTHETIC}" if weighed else ""
    label += f", as {found.given.file} says" if found.given.file else ""
    streams = mapping.notes.get("streams")
    label += (
        f", tokens in turn on {streams} cop{'y' if streams == 1 else 'ies'} of each layer" if streams else ""
    )
    fact = f"{len(mapping.cores)}/{mapping.cores_total} cores, depth {mapping.depth} steps{label}"
    return replace(imaged(mapped, target, found.config.time_budget), fact=fact)


def imaged(mapped: Mapped, target: Target, seconds: float) -> Mapped:
    """With the memory images of all cores, where so many seconds are enough to run them."""
    graph, mapping = mapped.graph, mapped.mapping
    if not mapping.fits or not sampled.whole(graph, mapping, seconds):
        return mapped
    return replace(mapped, mapping=encode(graph, mapping, target))


def laid_out(
    graph: Graph,
    target: Target,
    optimise: str,
    placement: str = PLACEMENT,
    sums: MappingABC[str, int] = MappingProxyType({}),
    given: Given | None = None,
    most: Budget = FREE,
    streams: int | None = None,
) -> Mapped:
    """The mapping without memory images; ``sums`` are the largest synaptic sums that calibration has seen,
    ``most`` what the user allows.

    ``streams``: copies of each layer that take the tokens in turn, 0: none. Where nobody says, tokens are in space or,
    if that does not fit, on as many copies as do (1, 2, 4, ...), on one to use the fewest cores. UsageError ND522 to
    ND524 for what is ``given`` and cannot be.
    """
    said = given.streams if streams is None and given is not None else streams

    def mapped(copies: int) -> Mapped:
        return _mapped(prepared(graph, target, copies), target, optimise, placement, sums, given, most)

    found = mapped(said or 0)
    if said is not None or found.mapping.fits or not _full(found.mapping):
        return found
    copies, tokens = 1, turns(prepared(graph, target, 1)).tokens
    while copies < tokens and (streamed := mapped(copies)).mapping.fits:
        found, copies = streamed, 2 * copies
        if optimise == "cores":
            break
    return found


def _full(mapping: Mapping) -> bool:
    """Whether nothing but the room on cores is missing."""
    return {p.code for p in mapping.problems if p.severity == "error"} <= {"ND501", "ND502"}


def _mapped(
    balanced: Graph,
    target: Target,
    optimise: str,
    placement: str,
    sums: MappingABC[str, int],
    given: Given | None,
    most: Budget,
) -> Mapped:
    mapping = map_graph(balanced, target, target.chips, optimise, placement, sums, given, most)
    wrong = sum(p.severity == "error" for p in mapping.problems)
    used = f"{len(mapping.cores)}/{mapping.cores_total} cores"
    fact = f"{used}: does NOT fit, {wrong} problem{'s' * (wrong > 1)}"
    warnings = tuple(p for p in mapping.problems if p.severity != "error")
    return Mapped(graph=balanced, mapping=mapping, warnings=warnings, fact="" if mapping.fits else fact)
