"""SpikeZIP-TF: bounded signed spikes that walk to the activations of a quantised ANN, exact once converged.

Source: You et al., "SpikeZIP-TF: Conversion is All You Need for Transformer-based SNN", ICML 2024, and its released
code (commit 8effa72a). Every site has a quantiser D clip(floor(x / D + 1/2), -N, P); its neuron (ST-BIF+,
:mod:`neurodeploy.neurons.signed_tracer`) sends at most one spike in {-1, 0, 1} per tick towards that value. Sum
semantics (:mod:`._differential`): no number is divided by t, so the integer network is exact too.
    S_a(t) = D acc(t);   layer: W D acc(t) + b;   product: acc_A(t) acc_B(t);   operators: f of current values
Convergence: the first site reaches its quantiser after as many ticks as its largest count, later ones after those in
front of them. From then on the read-out IS the quantised ANN's, bit for bit, and every neuron is silent. Before, it may
be wrong: with L counts a side allow T = L at the least, 2 L to be safe. The source uses T = 32 .. 64.

Departures: a network that was trained with quantisers, as the source's are, brings its steps and counts; any other gets
them from calibration (least squared error, as in :mod:`.pmsm`; N + P = 2 ``levels``), which is post-training
quantisation, at the sites of ECMT (the source also quantises after the residual branches and before the head) and with
GELU where the source trains with ReLU.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from ..array import Array
from ..ir.graph import Graph
from ..neurons.signed_tracer import ACC_MAX
from . import _differential
from ._base import Method, MethodConfig, option
from ._operands import OPERANDS, Operands
from ._quantisers import QuantiserConfig, quantisers
from ._sites import Population


class SpikezipConfig(MethodConfig):
    """What the quantisers can vary."""

    levels: int = option(4, "half the number of non-zero counts of a quantiser", ge=1, le=ACC_MAX // 2)
    step_scale: float = option(1.0, "factor on every step", gt=0.0)
    steps: Literal["tensor", "channel"] = option(
        "tensor", "one step for a site, or one for each channel where layers alone read it"
    )
    operands: Operands = option("tensor", OPERANDS)


class Spikezip(Method):
    """Quantised ANN to bounded signed tracers."""

    name = "spikezip"
    title = "SpikeZIP-TF, bounded signed spikes with sum semantics"
    Config = SpikezipConfig
    takes_quantisers = True
    presets: ClassVar = {"default": {}, "five_bits": {"levels": 15}}

    def rewrite(self, graph: Graph, config: SpikezipConfig, samples: Array, timesteps: int) -> Graph:
        """A tracer at every site, integrators behind layers and products, the last tick's logits."""
        layers = quantisers(graph, QuantiserConfig(**config.model_dump()), samples)
        populations = {site: Population("signed_tracer", params, "st") for site, params in layers.items()}
        return _differential.insert(graph, self.name, timesteps, populations)


MEMBER = Spikezip()
