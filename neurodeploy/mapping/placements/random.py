"""Cores at random on as few chips as hold them, always the same: what any method has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...ir.trace import Router
from ...target import Target
from ..traffic import Traffic
from ._base import Placement, in_line, in_order, routers


class Random(Placement):
    """The snake of shuffled cores."""

    name = "random"
    title = "at random, for comparison"

    def place(self, cores: Sequence[Sequence[int]], flows: Traffic, target: Target) -> list[Router]:
        """Shuffled by a fixed seed."""
        on = in_order(len(cores), target.chip)
        shuffled = np.random.default_rng(0).permutation(len(cores))
        return routers(on[shuffled], in_line(on)[shuffled], target.chip)


MEMBER = Random()
