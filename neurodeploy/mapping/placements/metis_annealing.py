"""Chips by METIS, in each the snake, annealed; data order where that makes hops or the fullest link worse.

Both together: what crosses between chips is METIS's, what travels in a chip is the annealing's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...ir.trace import Router
from ...target import Target
from ..routes import loads
from ..traffic import Traffic
from ._base import Placement, data_order, in_order, routers
from ._partition import partitioned


class MetisAnnealing(Placement):
    """Neither hops, nor the fullest link, nor what crosses between chips are more than those of the snake."""

    name = "metis-annealing"
    title = "chips by METIS, annealed in each"
    distributions = ("pymetis", "numba")

    def place(self, cores: Sequence[Sequence[int]], flows: Traffic, target: Target) -> list[Router]:
        """As METIS parts the cores, unless that is worse than data order in anything."""
        from ._annealing import annealed  # numba takes its time

        (ends, messages), chip = flows.between(cores), target.chip
        plain, parted = in_order(len(cores), chip), partitioned(ends, messages, len(cores), chip)
        if not np.array_equal(parted, plain):
            spots = routers(parted, annealed(parted, ends, messages, chip), chip)
            ours, snakes = (loads(s, ends, messages, chip) for s in (spots, data_order(len(cores), chip)))
            if ours.hops <= snakes.hops and ours.peak <= snakes.peak:
                return spots
        return routers(plain, annealed(plain, ends, messages, chip), chip)


MEMBER = MetisAnnealing()
