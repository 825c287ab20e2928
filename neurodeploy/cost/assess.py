"""Everything cost can say about one build, in one call: estimate, baseline, paper metric, purity, silicon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..evidence import Evidence
from ..ir.graph import Graph
from ..ir.trace import Events
from ..price import Range
from ..program import Program
from ..target import Target
from .ann import BASELINE, RATIO, AnnBaseline, ann_baseline
from .audit import PURITY, SILICON, Purity, operations, purity, silicon
from .counts import COUNTS, DENSE, Counts, dense_macs
from .estimate import estimate
from .paper import PaperEnergy, paper_energy
from .types import Definition, Estimate


@dataclass(frozen=True, eq=False)
class Assessment:
    """All costs of a build; a part that could not be computed is None and ``reasons`` says why, by its name."""

    counts: Counts | None = None
    events: Events | None = None
    estimate: Estimate | None = None
    baseline: AnnBaseline | None = None
    paper: PaperEnergy | None = None
    purity: Purity | None = None
    silicon: Mapping[str, float] | None = None
    dense_macs: int | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def baseline_ratio(self) -> Range | None:
        """Energy of the events over that of the ANN baseline, by :data:`~neurodeploy.cost.ann.RATIO`."""
        if self.estimate is None or self.baseline is None:
            return None
        return self.estimate.events_pj * self.baseline.energy_pj.inverse(1.0)

    @property
    def definitions(self) -> tuple[Definition, ...]:
        """The formula of every figure that was computed."""
        paper = (self.paper.definition,) if self.paper else ()
        own = self.estimate.definitions if self.estimate else ()
        return (COUNTS, DENSE, *own, *paper, BASELINE, RATIO, PURITY, SILICON)


def assess(
    program: Program,
    target: Target,
    source: Graph | None = None,
    events: Events | None = None,
    counts: Counts | None = None,
    grades: Mapping[str, Evidence] | None = None,
) -> Assessment:
    """The costs of a program on a target.

    ``source`` is the source graph (ANN baseline), ``events`` what mapped cores counted, ``counts`` what
    :func:`neurodeploy.cost.count` counted in a trace, ``grades`` node -> (grade, reason) from the mapping. What is
    not given leaves its figures out, with a reason.
    """
    reasons: dict[str, str] = {}
    mapping = program.mapping
    work = operations(counts, events)
    reference = source or program.graph
    if events is None:
        fits, apart = (
            mapping is None or mapping.fits,
            f"does not fit {target.name} and did not run on its cores",
        )
        why = "did not run on mapped cores" if fits else apart
        reasons["estimate"] = reasons["silicon"] = f"the network {why}, so no events were counted"
    elif grades is None:
        reasons["silicon"] = "no graded mapping with counted events"
    if counts is None:
        reasons["paper"] = "no recorded run of the network"
    if not work:
        reasons["purity"] = "the network did not run"
    if not target.priced:
        reasons["price"] = f"{target.name} prices nothing: {target.costs.unpriced}"
    return Assessment(
        counts=counts,
        events=events,
        estimate=estimate(program, events, target) if events is not None else None,
        baseline=ann_baseline(reference, target),
        paper=paper_energy(program.graph, counts, target) if counts is not None else None,
        purity=purity(program.graph, work) if work else None,
        silicon=silicon(events, grades) if events is not None and grades is not None else None,
        dense_macs=sum(dense_macs(reference, node) for node in reference),
        reasons=reasons,
    )
