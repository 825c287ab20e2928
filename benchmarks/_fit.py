"""The four time coefficients that nobody has published, fitted to the measured steps that determine them.

Free are the time of a synaptic operation, of a word of synapse memory, of an operation of a program, and the share of
a step's terms that does not overlap. All other times are tied to Loihi 1 by the vendor's ratios, and the barrier is
measured by itself. Least squares of logarithms, nominal; every figure is also predicted by a fit without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import _counted
import numpy as np

from neurodeploy import target
from neurodeploy.price import lasting
from neurodeploy.target import Target

#: the free coefficients: table and key, and where the search begins
FREE = (
    ("time_ns", "synaptic_op"),
    ("time_ns", "memory_read"),
    ("time_ns", "microcode_op"),
    ("step", "serial_share"),
)
START = (0.3, 5.0, 1.0, 0.5)
BOUNDS = ((0.05, 0.5, 0.1, 0.0), (2.0, 20.0, 10.0, 1.0))
#: rows of the validation that determine them, with the quantity
ROWS = ("matmul-free-prefill", "acoustic-autoencoder-preloaded", "wta-izhikevich-200", "wta-izhikevich-1200")
#: words of synapse memory for each synaptic operation of a convolution's busiest core, and its measured nanoseconds:
#: the ends of what layers of one network show, taken for kernels of 5 bits onto 128 and onto 16 channels
CONVOLUTION = ((11 / 128, 0.70), (2 / 16, 1.03))


@dataclass(frozen=True)
class Point:
    """One figure of the fit: what was measured, and its prediction under a target; ``key`` of its row, if any."""

    key: str
    name: str
    measured: float
    predict: Callable[[Target], float]


def points(rows: Mapping[str, Any]) -> list[Point]:
    """All figures of the fit, from the counts of the validation's rows."""
    found = []
    for key in ROWS:
        (measured,) = (q for q in rows[key]["quantities"] if q["quantity"] == "time_us")
        middle = float(np.sqrt(measured["low"] * measured["high"]))
        found.append(Point(key, f"{rows[key]['title']}, us", middle, partial(_step_us, rows[key])))
    for words, ns in CONVOLUTION:
        found.append(
            Point("", f"convolution, {words:.3f} words read per operation, ns", ns, partial(_each_ns, words))
        )
    return found


def _step_us(row: Mapping[str, Any], place: Target) -> float:
    return _counted.predicted(row["record"], row["scale"], place)["time_us"].nominal


def _each_ns(words: float, place: Target) -> float:
    time = place.costs.time_ns
    return float(lasting([time.synaptic_op.nominal, words * time.memory_read.nominal], place, "nominal"))


def changed(place: Target, values: Sequence[float]) -> Target:
    """The target with these nominal coefficients."""
    costs = place.costs
    for (table, key), value in zip(FREE, values, strict=True):
        entry = getattr(getattr(costs, table), key)
        new = getattr(costs, table).model_copy(
            update={key: entry.model_copy(update={"nominal": float(value)})}
        )
        costs = costs.model_copy(update={table: new})
    return place.model_copy(update={"costs": costs})


def fitted(found: Sequence[Point], place: Target) -> Any:
    """The coefficients, in the order of :data:`FREE`."""
    from scipy.optimize import least_squares

    def errors(values: Any) -> list[float]:
        there = changed(place, values)
        return [float(np.log(point.predict(there) / point.measured)) for point in found]

    return least_squares(errors, START, bounds=BOUNDS, x_scale=START).x


def summary(rows: Mapping[str, Any]) -> dict[str, Any]:
    """Coefficients, and for every figure the error of the fit and of the fit without it."""
    place, found = target.load("loihi-sim"), points(rows)
    values = fitted(found, place)
    lines = []
    for i, point in enumerate(found):
        without = fitted([*found[:i], *found[i + 1 :]], place)
        error, left_out = (point.predict(changed(place, v)) / point.measured - 1 for v in (values, without))
        lines.append({"key": point.key, "figure": point.name, "measured": point.measured, "error": error,
                      "left_out": left_out})  # fmt: skip
    return {
        "coefficients": {".".join(key): float(v) for key, v in zip(FREE, values, strict=True)},
        "figures": lines,
    }
