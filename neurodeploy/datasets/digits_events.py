"""The digits as an event camera would see them whose eye moves: simulated here, seeded, no download.

An eye of 8 x 8 pixels looks at the image of a digit (8 x 8 levels 0 .. 16, black around it) and makes four saccades of
16 ms: it goes around a square of 1.5 pixels, along one side in each saccade, in steps of 1 ms. Where it begins is
drawn for each recording, up to 3/16 pixel to each side. The intensity I of a pixel is interpolated between the four
levels around its place, in sixteenths of a pixel, so I is a whole number of 0 .. 4096. A pixel compares

    L = round(4096 * ln(I / 256 + 2))

with the level that it remembers from its last event. While L is above that by the pixel's threshold, or below, the
pixel sends an ON (OFF) event and moves what it remembers by the threshold. Thresholds are 0.6 with a deviation of 5
percent, drawn once for each pixel and polarity. In a fraction of 0.001 of all steps a pixel sends an event of noise.
Every test image gives one recording, every training image four.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from . import _events
from ._base import DataFormat
from ._digits import images
from ._types import DataSet, Facts, Images, Labels, array_split, content_hash

FORMAT = "the name digits-events: digits seen by a simulated event camera"
NAMES = ("digits-events",)
SIZE = (8, 8)
SEED = 0
COPIES = 4  # recordings of a training image
STEP_US, STEPS = 1000, 16  # of a saccade
GRID, PATH, JITTER = 16, 24, 3  # parts of a pixel; side of the square and reach of its begin, in these parts
MARGIN = 2  # black pixels around an image, as far as the eye comes
UNIT, DARK = 4096, 2.0
THRESHOLD, MISMATCH, NOISE = 0.6, 0.05, 0.001
#: directions (rows, columns) of the four saccades
SIDES = ((0, 1), (1, 0), (0, -1), (-1, 0))


def accepts(spec: str) -> bool:
    """Only the name itself."""
    return spec in NAMES


def facts(spec: str, options: _events.EventOptions) -> Facts:
    """Known without the digits."""
    shape = _events.frame_shape(SIZE, options, spec)
    return Facts(
        shape, options.levels, "simulated from digits", options.ticks, told=_events.told(options, SIZE)
    )


def load(spec: str, options: _events.EventOptions) -> DataSet:
    """5748 training and 360 test recordings, as frames. Raises as the digits do, and UsageError ND904, ND924."""
    found = facts(spec, options)
    train, train_y, test, test_y = _frames(options)
    digest = content_hash(train, train_y, test, test_y)
    splits = array_split(train, train_y), array_split(test, test_y)
    classes = tuple(str(digit) for digit in range(10))
    return DataSet(
        spec, *splits, classes, found.shape, found.levels, digest, found.source, found.ticks, told=found.told
    )


@lru_cache(maxsize=1)
def _frames(options: _events.EventOptions) -> tuple[Images, Labels, Images, Labels]:
    """Frames and labels of both splits."""
    train, train_y, test, test_y = images()
    train, train_y = np.repeat(train, COPIES, axis=0), np.repeat(train_y, COPIES)
    return _binned(train, 0, options), train_y, _binned(test, 1, options), test_y


def _binned(pictures: Images, stream: int, options: _events.EventOptions) -> Images:
    events = recordings(pictures, stream)
    return np.stack([_events.binned(each, SIZE, options, NAMES[0]) for each in events])


def recordings(pictures: Images, stream: int) -> list[_events.Events]:
    """What the camera sends of every image (N, 1, 8, 8); ``stream`` 0 is the training split, 1 the test split."""
    generator = np.random.Generator(np.random.PCG64([SEED, stream]))
    starts = generator.integers(-JITTER, JITTER + 1, (len(pictures), 2))
    on, off = _thresholds()
    padded = np.pad(pictures[:, 0].astype(np.int32), ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))
    remembered, found = None, []
    for step, place in enumerate(_path()):
        level = _log_intensity(padded, starts + place)
        remembered = level.copy() if remembered is None else remembered
        change = level - remembered
        ups, downs = np.maximum(change, 0) // on, np.maximum(-change, 0) // off
        remembered += ups * on - downs * off
        noise = generator.random((2, *level.shape)) < NOISE / 2
        for p, counts in enumerate((downs + noise[0], ups + noise[1])):
            which = np.repeat(np.arange(counts.size), counts.ravel())
            found.append(np.stack((which, np.full_like(which, step * STEP_US), np.full_like(which, p))))
    return _each(np.concatenate(found, axis=1), len(pictures))


def _each(found: NDArray[np.int64], count: int) -> list[_events.Events]:
    """The events (place among all pixels of all images, t, p) of each image."""
    place, t, p = found[:, np.argsort(found[0] // (SIZE[0] * SIZE[1]), kind="stable")]
    image, y, x = np.unravel_index(place, (count, *SIZE))
    ends = np.searchsorted(image, np.arange(1, count))
    columns = (np.split(column, ends) for column in (t, x, y, p))
    return [_events.made(each, NAMES[0]) for each in zip(*columns, strict=True)]


def _path() -> NDArray[np.int64]:
    """Places (rows, columns) of the eye at every step, in parts of a pixel, around the middle of the square."""
    steps = [
        np.array(side) * (PATH * i // STEPS - PATH * (i - 1) // STEPS)
        for side in SIDES
        for i in range(1, STEPS + 1)
    ]
    return np.cumsum([np.array((-PATH // 2, -PATH // 2)), *steps], axis=0)


def _log_intensity(padded: NDArray[np.int32], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """L of every pixel (N, 8, 8) where the eye is at ``places`` (N, 2), in parts of a pixel, over padded images."""
    whole, part = np.divmod(places.astype(np.int32), GRID)
    rows, columns = (np.arange(SIZE[i]) + MARGIN + whole[:, i, None] for i in (0, 1))
    image = np.arange(len(padded))[:, None, None]
    intensity = np.zeros((len(padded), *SIZE), np.int32)
    for down in (0, 1):
        for right in (0, 1):
            weight = np.abs(GRID * (1 - down) - part[:, 0]) * np.abs(GRID * (1 - right) - part[:, 1])
            seen = padded[image, rows[:, :, None] + down, columns[:, None, :] + right]
            intensity += weight[:, None, None] * seen
    level: NDArray[np.int64] = _TABLE[intensity]
    return level


_TABLE = np.round(UNIT * np.log(np.arange(16 * GRID * GRID + 1) / (GRID * GRID) + DARK)).astype(np.int64)


def _thresholds() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of ON and of OFF events, (8, 8) each, in units of L."""
    drawn = np.random.Generator(np.random.PCG64(SEED)).normal(1.0, MISMATCH, (2, *SIZE))
    on, off = np.round(UNIT * THRESHOLD * drawn).astype(np.int64)
    return on, off


MEMBER = DataFormat("digits_events", FORMAT, accepts, load, facts, NAMES, (), _events.EventOptions)
