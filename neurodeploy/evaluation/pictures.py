"""Networks that answer with an image: in the units of the float model, and how near two images are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..array import Array
from ..ir.graph import Graph

if TYPE_CHECKING:
    from ..datasets import DataSet

#: channels of an image: grey or colours
CHANNELS = (1, 3)


def pictured(graph: Graph, data: DataSet | None) -> bool:
    """Whether a network answers with images that can be judged: beside a truth, or, of data without labels, alone."""
    shape = graph.shape(graph.output.name)
    image = len(shape) == 3 and shape[0] in CHANNELS
    return image and data is not None and (data.test.truth is not None or not data.labelled)


def real(graph: Graph, outputs: Array) -> Array:
    """Read-outs (T, B, *output) in the units of the float model, after each tick.

    What a network of rates has summed up by then is a mean over so many ticks.
    """
    value, readout = graph.values[graph.output.name], graph.output.readout
    whole = graph.header.level == "integer"
    scaled: Array = outputs * np.asarray(value.fixed.scale if whole and value.fixed is not None else 1.0)
    ticks = np.arange(1, len(outputs) + 1).reshape(-1, *(1,) * (outputs.ndim - 1))
    if readout == "sum" and value.contract == "rate":
        scaled = scaled / ticks
    return scaled * len(outputs) / ticks if readout == "mean" and whole else scaled


def squares(one: Array, other: Array) -> float:
    """Summed squared differences."""
    return float(((one.astype(np.float64) - other) ** 2).sum())


def psnr_db(squared: float, values: int, peak: float = 1.0) -> float | None:
    """Peak signal to noise ratio, 10 log10(peak^2 / mean squared difference); None of images that are equal."""
    return 10 * math.log10(peak**2 * values / squared) if squared > 0 else None
