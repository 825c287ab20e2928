"""``--method auto``: the settings that methods name, cheapest first, until one keeps the answers of the network.

Half of the samples calibrates a candidate, on the other half its read-out in floats is held against the ANN's:
    changed  answers (largest output of each sample) that are not the ANN's, percent: no more points of accuracy can
             be lost, on these samples; of networks without classes ``turned`` of :mod:`._search`
Candidates stand in the order of the ratio that they have on networks of the zoo (docs/methods.md), so that the first
one that is good enough is the cheapest one or near it, and those behind it are never made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..array import Array
from ..errors import ConvertError, Problem
from ..ir.graph import Graph
from ._base import METHODS, Method, Trial
from ._search import judge, read_out

#: the name that stands for the choice
AUTO = "auto"


@dataclass(frozen=True)
class Tried:
    """One candidate and what it came to on samples that did not calibrate it."""

    method: str
    trial: Trial
    changed: float

    def __str__(self) -> str:
        return f"{self.method} {self.trial.preset} at T = {self.trial.ticks} changes {self.changed:.1f} %"


@dataclass(frozen=True)
class Chosen:
    """The first candidate that held, or the one that changes least; those before it, and how many samples judged."""

    best: Tried
    tried: tuple[Tried, ...]
    samples: int
    holds: bool

    def __str__(self) -> str:
        return f"{'; '.join(map(str, self.tried))} of the answers to {self.samples} training samples"


def cheapest(
    graph: Graph, whole: Graph, samples: Array, most: float, ticks: int | None = None, classes: bool = True
) -> Chosen:
    """The cheapest setting that changes at most ``most`` percent, at so many ``ticks`` if any are asked for.

    Raises ConvertError with what methods say where none applies, ND311 where none has the ticks or there are too few
    samples.
    """
    problems: list[Problem] = []
    candidates = _candidates(graph, ticks, problems)
    if not candidates:
        raise ConvertError(problems or [_none(graph, f"{ticks} ticks", "leave out --timesteps")])
    calibrates, judges = samples[0::2], samples[1::2]
    if not len(judges):
        raise ConvertError(_none(graph, f"{len(samples)} samples", "calibrate on more samples: --calib N"))
    truth = read_out(graph, judges, 1)
    tried: list[Tried] = []
    for method, trial in candidates:
        _, options = method.configure({"preset": trial.preset})
        spiking = method.convert(graph, whole, options, calibrates, trial.ticks)
        score = judge(spiking, judges, truth)
        tried.append(Tried(method.name, trial, score.changed if classes else score.turned))
        if tried[-1].changed <= most:
            return Chosen(tried[-1], tuple(tried), len(judges), True)
    least = min(tried, key=lambda found: found.changed)
    return Chosen(least, tuple(tried), len(judges), False)


def _candidates(graph: Graph, ticks: int | None, problems: list[Problem]) -> Sequence[tuple[Method, Trial]]:
    """What may be tried, cheapest first; what speaks against a method goes to ``problems``."""
    found = []
    for method in METHODS.values():
        against = [p for p in method.accept(graph) if p.severity == "error"] if method.trials else []
        problems += against
        if not against:
            found += [(method, t) for t in method.trials if ticks in (None, t.ticks)]
    return sorted(found, key=lambda pair: (pair[1].ratio, pair[0].name))


def _none(graph: Graph, found: str, fix: str) -> Problem:
    cause = "no setting of a conversion method can be tried"
    offered = sorted({t.ticks for method in METHODS.values() for t in method.trials})
    limit = f"{' or '.join(map(str, offered))} ticks, at least 2 samples"
    return Problem("ND311", cause, graph.header.name, found, limit, (fix,))
