"""Networks that answer with an image: how near spiking and integer images are to the float ones and to the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..array import Array
from ..evaluation import LEVELS
from ..evaluation.pictures import psnr_db, squares
from ..inputs.samples import Recorded
from ..report.inputs import Pictures

#: samples whose images are kept for the page
SHOWN = 6
WHITE = 255

#: raw inputs (B, *input) to images (B, C, H, W) in the units of the float model
Images = Callable[[Array], Array]


def judged(stimulus: Recorded, runs: Mapping[str, Images], count: int, size: int) -> Pictures:
    """The images of every level over ``count`` test samples (0: all), beside the float ones and the truth.

    The peak is 1, the range of a truth; without one it is the range of the float images.
    """
    whole = stimulus.truth(count)
    made: dict[str, list[Array]] = {level: [] for level in LEVELS}
    inputs = []
    for x in stimulus.batches(count, size):
        inputs.append(x[:SHOWN])
        for level in LEVELS:
            made[level].append(runs[level](x).astype(np.float32))
    images = {level: np.concatenate(parts) for level, parts in made.items()}
    images = {"float": images.pop("source")} | images
    floats, levels = images["float"], [level for level in images if level != "float"]
    low, peak = 0.0, 1.0
    if whole is None:
        low, peak = float(floats.min()), float(np.ptp(floats)) or 1.0
    rows = {"input": np.concatenate(inputs)[:SHOWN] / stimulus.data.levels}
    rows |= {} if whole is None else {"truth": whole}
    rows |= {level: (found - low) / peak for level, found in images.items()}
    return Pictures(
        samples=len(floats), peak=peak,
        near={level: psnr_db(squares(images[level], floats), floats.size, peak) for level in levels},
        true={} if whole is None else {k: psnr_db(squares(v, whole), whole.size) for k, v in images.items()},
        examples={name: _grey(row) for name, row in rows.items() if row.shape[-1] > 1},
    )  # fmt: skip


def _grey(images: Array) -> Array:
    """The first images 0 .. 1 in whole numbers 0 .. 255."""
    grey: Array = np.rint(np.clip(images[:SHOWN], 0, 1) * WHITE).astype(np.int64)
    return grey
