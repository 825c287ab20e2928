"""Fixes that are commands: computed from what the command line takes and from the targets that are installed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from .. import target as targets
from ..array import wide
from ..config import INTEGER
from ..errors import Problem
from ..ir.graph import Graph
from ..ir.nodes import Synapse
from ..ir.widths import WEIGHT_BITS
from ..target import Target
from ..target_schema import Choice

MARGIN = 1.05  # coarser weights are rounded: a bound may shrink by that much less than their largest does


def advised(
    problems: Sequence[Problem], target: Target, again: Callable[[Target], Iterable[Problem]]
) -> list[Problem]:
    """The problems, errors with the nearest installed target on which ``again`` does not find them."""
    if all(p.severity != "error" for p in problems):
        return list(problems)
    left = {other.name: {(p.code, p.where) for p in again(other)} for other in _others(target)}
    advice = []
    for problem in problems:
        free = [name for name, found in left.items() if (problem.code, problem.where) not in found]
        fixes = (f"use --target {name}" for name in free[:1] if problem.severity == "error")
        advice.append(replace(problem, fixes=(*problem.fixes, *fixes)))
    return advice


def _others(target: Target) -> list[Target]:
    """Installed targets, those of the same kind first, what is no chip last; small ones before large ones."""
    found = [other for other in targets.installed() if other.name != target.name]
    return sorted(found, key=lambda o: (o.kind != target.kind, o.kind == "software", o.cores, o.name))


def narrower(graph: Graph, codes: Choice, most: int) -> tuple[str, ...]:
    """``--weight-bits`` with the most bits up to ``most`` that the target stores as they are."""
    return _weight_bits(graph, max((b for b in range(most + 1) if codes.round_up(b) == b), default=0))


def lighter(graph: Graph, node: Synapse, target: Target, bound: int) -> tuple[str, ...]:
    """``--weight-bits`` with so few bits that a sum of ``bound`` fits the accumulator."""
    room = (1 << ((target.limits.accumulator_bits.value or 1) - 1)) - 1
    largest = int(np.abs(wide(node.weight)).max(initial=1))
    allowed = int(largest * room / (bound * MARGIN))  # what the largest weight may be
    return _weight_bits(graph, (allowed + 1).bit_length() if allowed else 0)


def _weight_bits(graph: Graph, most: int) -> tuple[str, ...]:
    """The option, where a build can quantize to so few bits: not where the weights came as integers."""
    least, widest = WEIGHT_BITS
    possible = most >= least and graph.header.method != INTEGER
    return (f"--weight-bits {min(most, widest)}",) if possible else ()
