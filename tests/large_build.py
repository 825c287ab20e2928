"""Inputs of a report of many chips, made up: cores of a whole system, with a run on them or without one.

The network and its costs are those of :mod:`tests.fake_build`; only the cores, what they did and the links between
them are others, so that the page and its tables have as much to show as those of a large build.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from neurodeploy.ir.trace import EVENT_KINDS, Events, Link, Router
from neurodeploy.mapping.limits import fill, usage
from neurodeploy.mapping.types import Core, Demand, Group, Piece
from neurodeploy.price import Range
from neurodeploy.report import data
from neurodeploy.report.inputs import ReportInputs
from neurodeploy.target import Target, load
from tests import fake_build

LAYERS = 400


def inputs(chips: int, per_chip: int = 122, ran: bool = True) -> ReportInputs:
    """A build on ``chips`` of Hala Point, ``per_chip`` cores of each in use; ``ran``: packets and energy are known."""
    base, rng = fake_build.inputs("native"), np.random.default_rng(0)
    target = load("hala-point").with_chips(chips)
    groups = tuple(Group(f"blocks.{i // 16}.layer{i % 16}", (), i, "channels/7") for i in range(LAYERS))
    cores = tuple(_cores(target, groups, chips, per_chip, rng))
    assert base.mapping is not None
    mapping = replace(base.mapping, chips=chips, cores_total=target.cores, groups=groups, cores=cores)
    assessment = replace(base.assessment, events=None, estimate=None)
    if ran:
        estimate = base.assessment.estimate
        assert estimate is not None
        priced = {
            core.index: Range(0.5 * pj, pj, 3 * pj)
            for core, pj in zip(cores, rng.gamma(3, 3e5, len(cores)), strict=True)
        }
        assessment = replace(
            base.assessment, events=_events(cores, target, rng), estimate=replace(estimate, core_pj=priced)
        )
    return replace(base, target=target, mapping=mapping, assessment=assessment)


def report(chips: int, per_chip: int = 122) -> dict[str, Any]:
    """The report of such a build in a second: its rows are those of two chips with numbers drawn anew."""
    found, rng = data.build(inputs(2, per_chip)), np.random.default_rng(1)
    count = chips * per_chip
    drawn = {name: rng.integers(1, 4097, count).tolist() for name in ("neurons_used", "synapse_words_used")}
    drawn |= {name: rng.gamma(2, 300, count).tolist() for name in ("packets_in_mean", "packets_out_mean")}
    drawn |= {"energy_nominal_uj": rng.gamma(3, 0.3, count).tolist(), "fill": rng.random(count).tolist()}
    drawn["core"], drawn["chip"] = list(range(count)), [i // per_chip for i in range(count)]
    kinds, names = found["cores"], list(drawn)
    rows = zip(*drawn.values(), strict=True)
    found["cores"] = [
        {**kinds[i % len(kinds)], **dict(zip(names, row, strict=True))} for i, row in enumerate(rows)
    ]
    links = found["links"]
    found["links"] = [row for _ in range(chips) for row in links[: len(links) // 2]]
    found["mapping"] |= {"cores_used": count, "cores_total": count, "chips": chips}
    found["target"]["chips"] = chips
    return found


def _cores(
    target: Target, groups: tuple[Group, ...], chips: int, per_chip: int, rng: np.random.Generator
) -> Iterator[Core]:
    count = chips * per_chip
    neurons, words = rng.integers(1, 4097, count).tolist(), rng.integers(50, 12000, count).tolist()
    for i in range(count):
        group = groups[i * len(groups) // count].name
        demand = Demand(neurons[i], neurons[i], 1, words[i], 40 + i % 97, neurons[i] % 513)
        used = usage(demand, target)
        chip, place = divmod(i, per_chip)
        at = target.chip.router(place)
        yield Core(i, chip, *at, (Piece(group, {}, demand),), demand, used, fill(used)[1])


def _events(cores: tuple[Core, ...], target: Target, rng: np.random.Generator) -> Events:
    base = fake_build.inputs("native").assessment.events
    assert base is not None
    counts = np.zeros((1, len(cores), base.steps, len(EVENT_KINDS)))
    for kind in ("packets_in", "packets_out", "synaptic_ops", "memory_reads"):
        counts[..., EVENT_KINDS.index(kind)] = rng.gamma(2, 300, counts.shape[:3]).round()
    chip, links = target.chip, {}
    for number in sorted({core.chip for core in cores}):
        for y in range(chip.routers_y):
            for x in range(chip.routers_x):
                for x1, y1 in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
                    if 0 <= x1 < chip.routers_x and 0 <= y1 < chip.routers_y:
                        links[Link(Router(number, x, y), Router(number, x1, y1))] = rng.integers(
                            0, 900, base.steps
                        )
    bits, peak = {k: 40 * v for k, v in links.items()}, {k: int(v.max()) for k, v in links.items()}
    return replace(base, samples=1, core_counts=counts, links=links, link_bits=bits, link_peak=peak)
