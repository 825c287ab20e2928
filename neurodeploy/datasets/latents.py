"""Random vectors, from which generators make images: no files, and nothing that an answer could be compared with.

Elements are those of a normal distribution with its middle at level 8 and a standard deviation of 8 / 3 levels, in
whole levels 0 .. 16. Vectors are drawn from a fixed seed: 2048 for training, 360 for the test.
"""

from __future__ import annotations

import re

import numpy as np

from ..errors import Problem, UsageError
from ._base import DataFormat
from ._types import DataSet, Facts, array_split, content_hash

FORMAT = "latents:N: seeded random vectors of N elements, the input of a generator"
LEVELS, SEED = 16, 0
TRAIN, TEST = 2048, 360
WIDEST = 4096
_SPEC = re.compile(r"latents:([0-9]{1,4})")


def accepts(spec: str) -> bool:
    """``latents:`` and a length."""
    return spec.startswith("latents:")


def facts(spec: str) -> Facts:
    """Known from the name. Raises UsageError ND923 for a length that is none."""
    found = _SPEC.fullmatch(spec)
    length = int(found[1]) if found else 0
    if not 1 <= length <= WIDEST:
        cause, limit = "random vectors of this length are not made", f"latents:1 to latents:{WIDEST}"
        raise UsageError(Problem("ND923", cause, spec, spec.removeprefix("latents:"), limit))
    return Facts((length, 1, 1), LEVELS, spec)


def load(spec: str) -> DataSet:
    """Vectors as images of one pixel, without labels."""
    shape = facts(spec).shape
    normal = np.random.Generator(np.random.PCG64(SEED)).standard_normal((TRAIN + TEST, *shape))
    levels = np.clip(np.rint(normal * LEVELS / 6 + LEVELS / 2), 0, LEVELS).astype(np.uint8)
    labels = np.zeros(len(levels), np.int64)
    train, test = (array_split(levels[part], labels[part]) for part in (slice(TRAIN), slice(TRAIN, None)))
    digest = content_hash(train.images, test.images)
    return DataSet(spec, train, test, (), shape, LEVELS, digest, spec, labelled=False)


MEMBER = DataFormat("latents", FORMAT, accepts, load, facts, names=("latents:32",))
