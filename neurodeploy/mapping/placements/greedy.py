"""Chips filled in data order; in each, core after core beside those that it talks to: the usual quick method.

Next comes the core with most messages from and to those that are placed, and takes the place with the fewest hops.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from ...array import Array
from ...ir.trace import Router
from ...target import Target
from ..routes import outside
from ..topology import Topology
from ..traffic import Traffic
from ._base import Placement, in_order, routers, snake


class Greedy(Placement):
    """Never moves what it has placed."""

    name = "greedy"
    title = "data order, each core beside those that it talks to, for comparison"

    def place(self, cores: Sequence[Sequence[int]], flows: Traffic, target: Target) -> list[Router]:
        """Chips one after the other, each on its own."""
        sent, chip = flows.between(cores), target.chip
        ends, messages = sent.ends, sent.copies
        count, each = len(cores), chip.cores_per_chip
        on = in_order(count, chip)
        abroad = outside(on, ends, messages, Topology.of(target))
        talk = abroad.away + abroad.home
        inside = (ends >= 0).all(axis=0)
        both = csr_array((messages[inside], ends[:, inside]), shape=(count, count))
        both = both + both.T
        chips = [slice(s, min(s + each, count)) for s in range(0, count, each)]
        places = [_placed(both[c, c].toarray(), talk[c], snake(chip), abroad.ports) for c in chips]
        return routers(on, np.concatenate([np.zeros(0, np.int64), *places]), chip)


def _placed(messages: Array, talk: Array, slots: Array, ports: Array) -> Array:
    """The place of each core of a chip, given ``messages`` (cores, cores) to others and ``talk`` (cores, ports)."""
    far, out = (np.abs(slots[:, None] - spots[None]).sum(axis=2) for spots in (slots, ports))
    hops, known = talk @ out.T, talk.sum(axis=1)
    found = np.full(len(messages), -1)
    free, left = np.ones(len(slots), dtype=bool), np.ones(len(messages), dtype=bool)
    for _ in range(len(messages)):
        core = int(np.where(left, known, -1.0).argmax())
        place = int(np.where(free, hops[core], np.inf).argmin())
        found[core], free[place], left[core] = place, False, False
        hops += np.outer(messages[:, core], far[place])
        known = known + messages[:, core]
    return found


MEMBER = Greedy()
