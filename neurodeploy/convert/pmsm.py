"""PMSM-compatible conversion: a quantised ANN at the first tick, its residue carried over ticks.

Source of the idea: "Polarity Multi-Spike Mapping" (Zhang, Li, Yu, arXiv 2508.14520), of which abstract and title are
public and whose equations, placement and tables are not. WHAT FOLLOWS IS OUR DEFINITION, after what the abstract says:
conversion from a quantised ANN, both polarities, several spikes a tick, first tick lossless, hyper-parameters of the
quantisation layer chosen by its entropy. It is not claimed to be the authors' algorithm.

Quantisation layer, one for each site (tensor), step D, counts -N .. P:
    k(x) = clip(floor(x / D + 1/2), -N, P),   a = D k(x)
Sites: every input of a dense layer or product but the stem's and the head's, as in ECMT. N + P = 2 ``levels``: N is
what the site's negative values need, at most ``levels``; a softmax output has N = 0, a GELU output a small N.
Step (``init``): ``mse`` minimises the mean squared error of D k(x), ``entropy`` maximises the entropy of k(x) in bits,
both over values of the ANN on calibration samples, on a geometric grid of steps; ``midway`` is the geometric mean of
both. Largest entropy clips long tails: it is a start for training, and a poor choice without (softmax outputs suffer
most). ``step_scale`` multiplies the result.
Neuron: :mod:`neurodeploy.neurons.multi_spike`; v(0) = 0, so k(1) IS the quantisation layer. At T = 1 all operators and
products are ``instant``: the network is the quantised ANN, bit for bit; openly said, that is an ANN with quantised
activations. At T > 1 they are expectation-compensated as in ECMT and logits are summed; the error inside the range
falls as 1/T, what lies beyond the largest count stays clipped, so little is gained after T = 2.

A network that was trained with quantisers (QAT) brings its own steps and counts, found at import
(:mod:`neurodeploy.frontends.ops.quantise`): they become the neurons as they are, and only sites without one are
initialised. ``models/train.py`` trains such networks, with a straight-through estimator inside the range and the step's
gradient of LSQ (Esser et al., ICLR 2020, arXiv 1902.08153), from steps that ``init`` chooses.

Limits: steps are per tensor, since products need one unit for all channels.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..neurons import multi_spike
from ..neurons.multi_spike import COUNT_MAX
from ._base import Method, MethodConfig, option
from ._sites import Population, insert, is_quantised, is_quantiser, see_sites, sites

VALUES = 1 << 16  # values of a site that choose its step
#: candidate steps, as fractions of the largest magnitude over ``levels``
GRID = np.geomspace(0.02, 2.0, 93)
SMALLEST = 1e-6  # step of a site that is always zero, times ``levels``


class PmsmConfig(MethodConfig):
    """What the quantisation layers can vary."""

    levels: int = option(15, "half the number of non-zero counts", ge=1, le=COUNT_MAX // 2)
    init: Literal["mse", "entropy", "midway"] = option(
        "mse", "step of least squared error, of largest entropy, or between both"
    )
    step_scale: float = option(1.0, "factor on every step", gt=0.0)


class Pmsm(Method):
    """Quantised ANN to signed multi-spike neurons."""

    name = "pmsm"
    title = "polarity multi-spike mapping (PMSM-compatible, our definition)"
    Config = PmsmConfig
    takes_quantisers = True
    presets: ClassVar = {
        "mse": {}, "entropy": {"init": "entropy"}, "midway": {"init": "midway"}, "four_bits": {"levels": 7},
    }  # fmt: skip

    def suits(self, graph: Graph) -> int:
        """Networks that were trained with quantisers."""
        return 3 if is_quantised(graph) else 0

    def ticks(self, graph: Graph) -> int:
        """The first tick of a network with quantisers is the network itself."""
        return 1 if is_quantised(graph) else 0

    def rewrite(self, graph: Graph, config: PmsmConfig, samples: Array, timesteps: int) -> Graph:
        """A multi-spike neuron at every site; instant at T = 1, else compensated."""
        layers = quantisers(graph, config, samples)
        populations = {site: Population("multi_spike", params, "ms") for site, params in layers.items()}
        timing = "instant" if timesteps == 1 else "cumulative"
        return insert(graph, self.name, timesteps, populations, "rate", timing)


def quantisers(graph: Graph, config: PmsmConfig, samples: Array) -> dict[str, dict[str, Any]]:
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


def layer(x: Array, config: PmsmConfig, top: float = 0.0) -> dict[str, Any]:
    """Step and counts for values of one site, whose largest magnitude is ``top`` if it is not among them."""
    top = top or float(np.abs(x).max(initial=0.0)) or SMALLEST
    x = x[:: max(1, len(x) // VALUES)]
    steps = top / config.levels * GRID
    rules = RULES if config.init == "midway" else {config.init: RULES[config.init]}
    tried = [(step, *counts(x, step, config.levels)) for step in steps]
    best = [steps[np.argmin([rule(x, *own) for own in tried])] for rule in rules.values()]
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

MEMBER = Pmsm()
