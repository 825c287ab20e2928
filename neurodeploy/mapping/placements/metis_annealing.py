"""Chips by METIS, annealed on their board, in each the snake, annealed; data order where that makes anything worse.

Both together: what crosses between chips is METIS's, how far it goes and what travels in a chip is the annealing's.
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
    title = "chips by METIS, annealed on their board and in each"
    distributions = ("pymetis", "numba")

    def place(self, cores: Sequence[Sequence[int]], flows: Traffic, target: Target) -> list[Router]:
        """As METIS parts the cores, unless that is worse than data order in anything."""
        from ._annealing import annealed, on_board  # numba takes its time

        sent, chip = flows.between(cores), target.chip
        plain = in_order(len(cores), chip)
        parted = on_board(partitioned(sent, len(cores), chip), sent, target)
        if not np.array_equal(parted, plain):
            spots = routers(parted, annealed(parted, sent, target), chip)
            ours, snakes = (loads(s, sent, target) for s in (spots, data_order(len(cores), chip)))
            worse = (getattr(ours, key) > getattr(snakes, key) for key in ("hops", "peak", "crossings"))
            if not any(worse):
                return spots
        return routers(plain, annealed(plain, sent, target), chip)


MEMBER = MetisAnnealing()
