"""Which tiles share a core, where there are more tiles than cores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..target import Target
from .limits import RESOURCES, usage
from .types import Demand


def pack(demands: Sequence[Demand], target: Target) -> list[list[int]]:
    """Tiles per core, first fit in order of falling demand; cores in order of their first tile.

    What does not fit a core of its own stays alone on one.
    """
    limits = [limit for _, limit in usage(Demand(), target).values()]
    need = np.array([[getattr(d, r) for r in RESOURCES] for d in demands], dtype=np.float64)
    share = (need / np.maximum(limits, 1)).max(axis=1, initial=0.0)
    need[:, [not r.adds for r in RESOURCES.values()]] = 0.0
    used = np.zeros((len(demands), len(RESOURCES)))
    cores: list[list[int]] = []
    for tile in np.argsort(-share, kind="stable"):
        fits = (used[: len(cores)] + need[tile] <= limits).all(axis=1)
        core = int(np.argmax(fits)) if fits.any() else len(cores)
        if core == len(cores):
            cores.append([])
        used[core] += need[tile]
        cores[core].append(int(tile))
    return sorted(sorted(tiles) for tiles in cores)
