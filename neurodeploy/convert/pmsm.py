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
initialised; its weights fit its steps, so ``correct`` leaves them. ``models/train.py`` trains such networks, with a
straight-through estimator inside the range and the step's gradient of LSQ (Esser et al., ICLR 2020, arXiv 1902.08153),
from steps that ``init`` chooses.

``steps`` = ``channel``: sites that layers alone read (norms, GELU, what attention mixed) take a step for each channel,
of least error at the site's counts, where that makes less error behind the layers than one step for all. Layers take
it into their weights (:mod:`._channels`). ``correct``: :mod:`._fit`. Preset ``faithful`` is both.

Limits: products need one unit for all channels, so q, k, v and softmax outputs have one step.
"""

from __future__ import annotations

from typing import ClassVar

from ..array import Array
from ..ir.graph import Graph
from ._base import Method, Trial
from ._fit import corrected
from ._quantisers import QuantiserConfig, quantisers
from ._sites import Population, insert, is_quantised


class Pmsm(Method):
    """Quantised ANN to signed multi-spike neurons."""

    name = "pmsm"
    title = "polarity multi-spike mapping (PMSM-compatible, our definition)"
    Config = QuantiserConfig
    takes_quantisers = True
    presets: ClassVar = {
        "faithful": {"steps": "channel", "correct": "weights"},
        "mse": {}, "entropy": {"init": "entropy"}, "midway": {"init": "midway"}, "four_bits": {"levels": 7},
    }  # fmt: skip
    closest = "faithful"
    trials = (Trial("four_bits", 1, 0.14), Trial("faithful", 1, 0.17), Trial("faithful", 2, 0.35))

    def suits(self, graph: Graph) -> int:
        """Networks that were trained with quantisers."""
        return 3 if is_quantised(graph) else 0

    def ticks(self, graph: Graph) -> int:
        """The first tick of a network with quantisers is the network itself."""
        return 1 if is_quantised(graph) else 0

    def rewrite(self, graph: Graph, config: QuantiserConfig, samples: Array, timesteps: int) -> Graph:
        """A multi-spike neuron at every site; instant at T = 1, else compensated."""
        layers = quantisers(graph, config, samples)
        populations = {site: Population("multi_spike", params, "ms") for site, params in layers.items()}
        timing = "instant" if timesteps == 1 else "cumulative"
        spiking = insert(graph, self.name, timesteps, populations, "rate", timing)
        return spiking if is_quantised(graph) else corrected(graph, spiking, samples, config.correct)


MEMBER = Pmsm()
