"""DCGS: differential coding with multi-threshold neurons, training-free.

Source: Huang et al., "Differential Coding for Training-Free ANN-to-SNN Conversion", ICML 2025, and its released code
(commit 5e0e4c73). With r(t) = r(t-1) + x(t)/t the encoded value, a neuron sends x(t), a layer sends
t (F(r(t)) - F(r(t-1))), a product A B/t + A R_B + R_A B. A tick without spike leaves the encoded value as it is.
Here the division by t happens where the spike is made (:mod:`neurodeploy.neurons.differential_threshold`), so layers
and products add plain changes (:mod:`._differential`); the encoded values are the same at every tick.
Thresholds: the largest level is ``top`` times the ``percent`` order statistic of the magnitude at the site, averaged
over batches; ``levels`` powers of two from it downwards. Levels at tick t are those over t; switch points are 3/4 of
a level. ``grain``: payload units of a base; 0 takes the least common multiple of 1 .. T, with which quotients are
exact, but at most 64 (from T = 7 on, small levels are then rounded).

Departures: the source's step 0, which carries the response to the biases, is part of tick 1; the positive and the
negative side share their levels.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from . import _differential
from ._base import Method, MethodConfig, Trial, option
from ._sites import Population, see_sites, sites

GRAIN_MAX = 64
SMALLEST = 1e-6  # largest level of a site that is always zero


class DcgsConfig(MethodConfig):
    """What calibration and the neurons can vary."""

    percent: float = option(0.999, "order statistic of magnitudes that scales the levels", gt=0.5, lt=1.0)
    top: float = option(8.0, "largest level over that order statistic", gt=0.0)
    levels: int = option(8, "levels per sign", ge=1, le=12)
    grain: int = option(0, "payload units of a base; 0: chosen for exact quotients", ge=0, le=GRAIN_MAX)


class Dcgs(Method):
    """Differential coding of softmax transformers."""

    name = "dcgs"
    title = "differential coding with multi-threshold neurons"
    Config = DcgsConfig
    presets: ClassVar = {"released": {}, "coarse": {"levels": 6}}
    trials = (Trial("released", 2, 0.27), Trial("released", 4, 0.42))

    def rewrite(self, graph: Graph, config: DcgsConfig, samples: Array, timesteps: int) -> Graph:
        """A differential neuron at every site, integrators behind layers and products, the last tick's logits."""
        tops = calibrate(graph, config, samples)
        grain = config.grain or min(math.lcm(*range(1, timesteps + 1)), GRAIN_MAX)
        common = {"levels": config.levels, "grain": grain}
        params = {site: {"base": top / 2 ** (config.levels - 1), **common} for site, top in tops.items()}
        populations = {site: Population("differential_threshold", own, "dt") for site, own in params.items()}
        return _differential.insert(graph, self.name, timesteps, populations)


def calibrate(graph: Graph, config: DcgsConfig, samples: Array) -> dict[str, float]:
    """Site -> largest level."""
    names = sites(graph)
    rows: dict[str, list[float]] = {name: [] for name in names}
    see = lambda name, x: rows[name].append(float(np.quantile(np.abs(x), config.percent)))
    see_sites(graph, names, samples, see)
    return {name: config.top * (float(np.mean(rows[name])) or SMALLEST) for name in names}


MEMBER = Dcgs()
