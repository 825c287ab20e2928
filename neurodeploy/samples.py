"""Which images of a data set are used: seeded draws, stratified by class, in ascending order of position."""

from __future__ import annotations

import numpy as np


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Positions of ``count`` samples (all, if there are no more), spread over the classes as evenly as they allow.

    Classes take turns in ascending order; within a class the order is a permutation drawn with ``seed``.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    queues = [generator.permutation(np.flatnonzero(labels == c)) for c in np.unique(labels)]
    rounds = [
        (turn, index, position) for index, queue in enumerate(queues) for turn, position in enumerate(queue)
    ]
    picked = [position for _, _, position in sorted(rounds)[: min(count, len(labels))]]
    return np.sort(np.array(picked, dtype=np.int64))
