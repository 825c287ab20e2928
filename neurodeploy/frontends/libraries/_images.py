"""How a library prepares images: what it makes of raw levels, and what else it does to an image, found by asking it.

A function of the library's own is run on a few images. What it makes of levels has to be scale and offset for each
channel, else a network that is given raw levels would see something else. What it does to rows and columns is told to
the user, since the images of a data set are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...array import Array
from ...errors import ImportModelError, Problem, first_line
from ..input_spec import InputSpec

#: raw levels are 0 .. TOP
TOP = 255
#: levels of even images that tell scale and offset; 0 and 1 look as if they were prepared already
ASKED = (5, TOP)
#: rows and columns of an image that is larger than most networks take
PROBED = 640
#: largest difference from scale and offset, of values of order 1: libraries compute in float32
NEAR = 1e-4

#: raw levels (C, H, W), unsigned bytes, to what the network is given, (C, H', W')
Prepare = Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Levels:
    """A raw level r of channel c becomes ``r * scale[c] + offset[c]``."""

    scale: Array
    offset: Array

    def __call__(self, raw: Array) -> Array:
        """Raw levels (C, H, W) as the network is given them."""
        made: Array = raw * self.scale[:, None, None] + self.offset[:, None, None]
        return made

    def spec(self, size: tuple[int, ...]) -> InputSpec:
        """What a network that takes images of these rows and columns is fed."""
        alike = all((n == n[0]).all() for n in (self.scale, self.offset))
        scale, offset = (float(n[0]) if alike else n for n in (self.scale, self.offset))
        return InputSpec((len(self.scale), *size), scale, offset)


def levels(rescale: float, mean: object, deviation: object, channels: int) -> Levels:
    """What becomes of levels that are multiplied by ``rescale``, then normalised; ValueError for impossible numbers."""
    centre, spread = (np.asarray(n, dtype=np.float64).reshape(-1) for n in (mean, deviation))
    if any(n.size not in (1, channels) or not np.isfinite(n).all() for n in (centre, spread)):
        raise ValueError(f"mean {centre.tolist()} and deviation {spread.tolist()} of {channels} channels")
    if not (spread > 0).all() or not 0 < rescale < np.inf:
        raise ValueError(f"deviation {spread.tolist()}, factor {rescale}")
    scale, offset = (np.broadcast_to(n, channels).copy() for n in (rescale / spread, -centre / spread))
    return Levels(scale, offset)


def settled(prepare: Prepare, found: Levels, shape: tuple[int, ...], where: str) -> Levels:
    """``found``, or what ``prepare`` itself says of even images, whichever it does to noise.

    ``prepare`` is told to keep rows and columns. ImportModelError ND177 where it does neither.
    """
    raw = noise(shape)
    cause = "the library prepares images in a way that no scale and offset for each channel says"
    try:
        made = prepare(raw)
        off = distance(made, found(raw))
        if off > NEAR:
            found = _asked(prepare, shape)
    except Exception as error:  # whatever the library says to its own settings
        raise ImportModelError(unsaid(cause, where, first_line(error))) from error
    usable = bool(found.scale.all()) and distance(made, found(raw)) <= NEAR
    if not usable:
        raise ImportModelError(unsaid(cause, where, f"off by {off:.3g} of the range of values"))
    return found


def _asked(prepare: Prepare, shape: tuple[int, ...]) -> Levels:
    """Scale and offset by two images, each of one level."""
    low, high = (prepare(np.full(shape, level, np.uint8)).mean(axis=(1, 2)) for level in ASKED)
    scale = (high - low) / (ASKED[1] - ASKED[0])
    return Levels(scale, low - ASKED[0] * scale)


def cropped(whole: int, size: tuple[int, ...], way: str) -> str:
    """What is done to rows and columns of an image of the network's ``size`` whose shorter side becomes ``whole``."""
    if (whole, whole) == size:
        return ""
    return f"resize to shortest edge {whole} ({way}), centre crop of {' x '.join(map(str, size))}"


def unsaid(cause: str, where: str, found: str) -> Problem:
    """ND177."""
    fixes = (
        "leave preprocessor_config.json out and give what the network was trained on: --set scale=S --set offset=O",
        "build the network with its preparation in Python and give py:package.module:factory",
    )
    return Problem("ND177", cause, where, found, "level * scale + offset", fixes)


def distance(made: Array, wanted: Array) -> float:
    """Largest difference as a share of the largest value; infinite where the shapes differ."""
    if made.shape != wanted.shape:
        return float(np.inf)
    return float(np.abs(made - wanted).max() / max(1.0, float(np.abs(wanted).max())))


def noise(shape: tuple[int, ...]) -> Array:
    """An image of uniform random levels, always the same."""
    drawn: Array = np.random.Generator(np.random.PCG64(0)).integers(0, TOP + 1, shape).astype(np.uint8)
    return drawn
