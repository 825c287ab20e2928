"""Stage 3, calibrate: ranges and activity on training samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .. import calibrate as calibration
from .. import compare
from ..array import Array
from ..calibrate import Ranges, unheard
from ..inputs.samples import SYNTHETIC
from ..ir.graph import Graph
from ..ir.nodes import Neuron
from ..ir.trace import Trace
from ..program import Program
from .imported import Imported
from .result import Progress, Result


@dataclass(frozen=True, eq=False, kw_only=True)
class Calibrated(Result):
    """What was seen on the edges; of a file that holds integers the activity alone, since its bounds are proven."""

    ranges: Ranges


def calibrate(found: Imported, spiking: Graph | None, progress: Progress = unheard) -> Calibrated:
    """Ranges and activity of the spiking graph, or the activity of a source that holds integers.

    Raises ConvertError ND306 naming each node that first makes NaN or infinity.
    """
    images = found.stimulus.calibration(found.config.calib)
    if spiking is None:
        ranges = calibration.measure_activity(
            found.graph, images, _on_cpu(found.graph), found.config.seed, progress
        )
    else:
        ranges = calibration.measure(spiking, images, found.config.seed, progress)
    populations = (spiking or found.graph).of(Neuron)
    rates = [ranges.activity[node.name].mean for node in populations]
    activity = f", mean activity {100 * float(np.mean(rates)):.1f} %" if rates else ""
    drawn = f"samples of {SYNTHETIC}" if found.synthetic else "training samples"
    return Calibrated(ranges=ranges, fact=f"{len(images)} {drawn}{activity}")


def _on_cpu(graph: Graph) -> Callable[[Array, Sequence[str]], Trace]:
    cpu = compare.usable("cpu")

    def run(x: Array, record: Sequence[str]) -> Trace:
        return cpu.run(Program(graph), x, record)[0]

    return run
