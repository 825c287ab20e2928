"""Square patches of images, one of each in place of the whole: what networks of images learn from.

Where a patch lies is drawn uniformly from a fixed seed, for each split anew, so that it is the same on every machine.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import Problem, UsageError
from . import _formats
from ._base import DataFormat
from ._types import DataSet, Facts, Images, Split

PREFIX, SEED = "crop:", 0
FORMAT = "crop:SIDE:SPEC: of each image of SPEC a square of SIDE pixels, at a seeded place"
_SPEC = re.compile(r"crop:([0-9]{1,4}):(.+)", re.DOTALL)


def accepts(spec: str) -> bool:
    """A prefix before a number and the spec of another data set."""
    return spec.startswith(PREFIX)


def facts(spec: str) -> Facts:
    """Those of the whole images, at the size of a patch. UsageError ND923 where none can be cut out of them."""
    side, inner = _parts(spec)
    whole = _formats.facts(inner)
    return replace(whole, shape=_cut(spec, side, whole.shape))


def load(spec: str) -> DataSet:
    """Patches with the labels of their images; errors of the reader of SPEC, and ND923 as :func:`facts`."""
    side, inner = _parts(spec)
    whole = _formats.load(inner)
    shape = _cut(spec, side, () if whole.texts or whole.ticks else whole.shape)
    train, test = (_split(part, side, whole.shape[-2:]) for part in (whole.train, whole.test))
    return replace(whole, name=f"{PREFIX}{side}:{whole.name}", shape=shape, train=train, test=test)


def _split(split: Split, side: int, size: tuple[int, ...]) -> Split:
    generator = np.random.Generator(np.random.PCG64(SEED))
    corners = generator.integers(0, np.array(size) - side + 1, (len(split), 2))

    def read(chosen: NDArray[np.int64]) -> Images:
        images = split.read(chosen)
        rows, columns = (corners[chosen, axis, None] + np.arange(side) for axis in (0, 1))
        found: Images = images[np.arange(len(images))[:, None, None], :, rows[:, :, None], columns[:, None]]
        return np.ascontiguousarray(np.moveaxis(found, -1, 1))

    return Split(split.labels, read)


def _parts(spec: str) -> tuple[int, str]:
    found = _SPEC.fullmatch(spec)
    if found is None or not int(found[1]):
        cause, limit = "the size of the patches or the data behind it is missing", "crop:SIDE:SPEC"
        raise UsageError(Problem("ND923", cause, spec[:200], limit=limit))
    return int(found[1]), found[2]


def _cut(spec: str, side: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 3 or side > min(shape[1:]):
        cause, limit = "patches of this size cannot be cut out of samples", f"images of {side} pixels or more"
        raise UsageError(Problem("ND923", cause, spec[:200], str(shape), limit))
    return shape[0], side, side


MEMBER = DataFormat("cropped", FORMAT, accepts, load, facts)
