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
from ..routes import PORT
from ..traffic import Traffic
from ._base import Placement, in_order, routers, snake


class Greedy(Placement):
    """Never moves what it has placed."""

    name = "greedy"
    title = "data order, each core beside those that it talks to, for comparison"

    def place(self, cores: Sequence[Sequence[int]], flows: Traffic, target: Target) -> list[Router]:
        """Chips one after the other, each on its own."""
        (ends, messages), chip = flows.between(cores), target.chip
        count, each = len(cores), chip.cores_per_chip
        ends = np.where(ends < 0, count, ends)
        both = csr_array((messages, (ends[0], ends[1])), shape=(count + 1, count + 1))
        both = both + both.T
        talk = np.asarray(both.sum(axis=1)).ravel()
        chips = [slice(s, min(s + each, count)) for s in range(0, count, each)]
        places = [_placed(both[c, c].toarray(), talk[c], snake(chip)) for c in chips]
        return routers(in_order(count, chip), np.concatenate([np.zeros(0, np.int64), *places]), chip)


def _placed(messages: Array, talk: Array, slots: Array) -> Array:
    """The place of each core of a chip; what ``messages`` to others leave of its ``talk`` passes the port."""
    far = np.abs(slots[:, None] - slots[None]).sum(axis=2)
    outside = talk - messages.sum(axis=1)
    hops, known = np.outer(outside, np.abs(slots - PORT).sum(axis=1)), outside
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
