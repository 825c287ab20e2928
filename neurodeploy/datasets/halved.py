"""Images of half the size beside the whole ones: what networks that double the size of images learn from.

A pixel of the half is the mean of 2 x 2, halves rounded up to whole levels; the truth is the image itself.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import Problem, UsageError
from . import _formats
from ._base import DataFormat
from ._types import DataSet, Facts, Images, Split

PREFIX = "x2:"
FORMAT = "x2:SPEC: images of half the size, and those of SPEC as what a network should make of them"


def accepts(spec: str) -> bool:
    """A prefix before the spec of another data set."""
    return spec.startswith(PREFIX)


def halved(images: Images) -> Images:
    """Means over 2 x 2 pixels (N, C, H, W)."""
    count, channels, height, width = images.shape
    blocks = images.reshape(count, channels, height // 2, 2, width // 2, 2).astype(np.uint16)
    means: Images = ((blocks.sum((3, 5)) + 2) >> 2).astype(np.uint8)
    return means


def facts(spec: str) -> Facts:
    """Those of the whole images, at half their size."""
    whole = _formats.facts(spec.removeprefix(PREFIX))
    return replace(whole, shape=_half(spec, whole.shape))


def load(spec: str) -> DataSet:
    """Both sizes; errors of the reader of SPEC, and ND923 where its images cannot be halved."""
    whole = _formats.load(spec.removeprefix(PREFIX))
    shape = _half(spec, () if whole.texts or whole.ticks else whole.shape)
    train, test = _part(whole.train), _part(whole.test)
    return replace(whole, name=f"{PREFIX}{whole.name}", shape=shape, train=train, test=test)


def _part(split: Split) -> Split:
    return Split(split.labels, lambda chosen: halved(split.read(chosen)), split.read)


def _half(spec: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 3 or shape[1] % 2 or shape[2] % 2:
        cause, limit = "samples cannot be halved", "images of even height and width"
        raise UsageError(Problem("ND923", cause, spec, str(shape), limit))
    return shape[0], shape[1] // 2, shape[2] // 2


MEMBER = DataFormat("halved", FORMAT, accepts, load, facts, names=("x2:digits",))
