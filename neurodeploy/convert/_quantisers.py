"""Steps and counts of quantisation layers, chosen from values of an ANN; :mod:`.pmsm` defines them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from ..array import Array
from ..ir.graph import Graph
from ..neurons import multi_spike
from ..neurons.multi_spike import COUNT_MAX
from ._base import MethodConfig
from ._sites import is_quantiser, see_sites, sites

VALUES = 1 << 16  # values of a site that choose its step
#: candidate steps, as fractions of the largest magnitude over ``levels``
GRID = np.geomspace(0.02, 2.0, 93)
SMALLEST = 1e-6  # step of a site that is always zero, times ``levels``


class QuantiserConfig(MethodConfig):
    """What the quantisation layers can vary."""

    levels: int = Field(15, ge=1, le=COUNT_MAX // 2, description="half the number of non-zero counts")
    init: Literal["mse", "entropy", "midway"] = Field(
        "mse", description="step of least squared error, of largest entropy, or between both"
    )
    step_scale: float = Field(1.0, gt=0.0, description="factor on every step")


def quantisers(graph: Graph, config: QuantiserConfig, samples: Array) -> dict[str, dict[str, Any]]:
    """Site without a quantiser -> step, positive, negative of its quantisation layer, from values of the ANN."""
    names = [name for name in sites(graph) if not is_quantiser(graph.nodes[name])]
    seen = {name: _Seen(len(samples) * graph.values[name].shape.size) for name in names}
    if names:
        see_sites(graph, names, samples, lambda name, x: seen[name].add(x.ravel()))
    return {name: layer(np.concatenate(s.parts), config, s.top) for name, s in seen.items()}


class _Seen:
    """Evenly spaced ones of ``count`` values that come in parts, and the largest magnitude of all."""

    def __init__(self, count: int) -> None:
        self.stride, self.offset, self.top = max(1, count // VALUES), 0, 0.0
        self.parts: list[Array] = []

    def add(self, x: Array) -> None:
        self.parts.append(x[-self.offset % self.stride :: self.stride].copy())
        self.offset += len(x)
        self.top = max(self.top, float(np.abs(x).max(initial=0.0)))


def layer(x: Array, config: QuantiserConfig, top: float = 0.0) -> dict[str, Any]:
    """Step and counts for values of one site, whose largest magnitude is ``top`` if it is not among them."""
    top = top or float(np.abs(x).max(initial=0.0)) or SMALLEST
    x = x[:: max(1, len(x) // VALUES)]
    steps = top / config.levels * GRID
    rules = RULES if config.init == "midway" else {config.init: RULES[config.init]}
    best = [
        steps[np.argmin([rule(x, s, *counts(x, s, config.levels)) for s in steps])] for rule in rules.values()
    ]
    step = float(np.exp(np.mean(np.log(best)))) * config.step_scale
    positive, negative = counts(x, step, config.levels)
    return {"step": step, "positive": positive, "negative": negative}


def counts(x: Array, step: float, levels: int) -> tuple[int, int]:
    """(P, N) with P + N = 2 ``levels``: N as many as the negative values need, at most ``levels``."""
    negative = min(levels, max(0, -int(np.floor(float(x.min()) / step + 0.5))))
    return 2 * levels - negative, negative


def quantised(x: Array, step: float, positive: int, negative: int) -> Array:
    """D k(x): the neuron's first tick from rest."""
    y: Array = multi_spike.MEMBER.float_step(x, 0.0, step, positive, negative)[0]
    return y


def entropy(x: Array, step: float, positive: int, negative: int) -> float:
    """Entropy of the counts in bits."""
    _, often = np.unique(quantised(x, step, positive, negative), return_counts=True)
    share = often / often.sum()
    return float(-(share * np.log2(share)).sum())


def _error(x: Array, step: float, positive: int, negative: int) -> float:
    return float(np.mean((x - quantised(x, step, positive, negative)) ** 2))


#: what a step is judged by; less is better
RULES = {"mse": _error, "entropy": lambda *args: -entropy(*args)}
