"""ECMT: training-free conversion of softmax transformers with multi-threshold neurons and expectation compensation.

Source: Huang et al., "Towards High-performance Spiking Transformers from ANN to SNN Conversion", ACM MM 2024, arXiv
2502.21193, and its released code (commit e449e919). Per tick t, in one block (the residual stream x carries no neuron):
    a = MT(EC_LN1(x));  q, k, v = MT(a W + b) each;  p = MT(EC_softmax(EC_mm(q, k^T) / sqrt d));  o = EC_mm(p, v)
    x = x + MT(o) W_o + b_o;   x = x + MT(EC_GELU(MT(EC_LN2(x)) W_1 + b_1)) W_2 + b_2
The image is the same at every tick, the bias is added at every tick, logits are summed. No neuron stands before the
stem convolution nor before the head.
    EC_f:  y(t) = t f(S(t)/t) - (t-1) f(S(t-1)/(t-1)),  S the running sum of the input
    EC_mm: O(t) = P(t)/t - P(t-1)/(t-1),  P(t) = P(t-1) + A(t) S_B(t) + S_A(t-1) B(t): two sparse products per tick,
           equal to the released code's three.
Neurons: :mod:`neurodeploy.neurons.multi_threshold`. Calibration (mode ``for_v`` of the released code): per site one
base_p and one base_n, the ``percent`` and 1 - ``percent`` order statistics of the site's values in the ANN, averaged
over batches; the base is the SMALLEST level. Preset ``released`` also overrides softmax outputs (0.0125) and GELU
outputs (0.25, 0.08). Limits: every dense layer needs an operator, product or synapse in front of it that yields reals.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..calibrate import batches
from ..errors import ConvertError, Problem
from ..ir import codes, interp
from ..ir.graph import Builder, Graph, copy_node, rewrite
from ..ir.nodes import Const, Delay, Input, Micro, Neuron, Node, Output, Product, Sum, Synapse, View
from ..neurons.multi_threshold import RULES
from ..passes._diagonal import factors
from ._base import Method, MethodConfig

FALLBACK_BASE = 1e-3  # for a side a site never takes, such as negatives after a ReLU


class EcmtConfig(MethodConfig):
    """What calibration and the neurons of ECMT can vary."""

    rule: Literal["ecmt_code", "nearest", "dcgs"] = Field(
        "ecmt_code", description="which level a value becomes: as in ECMT's code, the nearest, or as in DCGS"
    )
    percent: float = Field(
        0.99, gt=0.5, lt=1.0, description="order statistic that becomes the smallest level"
    )
    base_scale: float = Field(1.0, gt=0.0, description="factor on every base")
    levels: int = Field(8, ge=1, le=12, description="levels per sign")
    softmax_base: float | None = Field(0.0125, description="fixed base at softmax outputs; null: calibrated")
    gelu_base: tuple[float, float] | None = Field(
        (0.25, 0.08), description="fixed bases at GELU outputs; null: calibrated"
    )


class Ecmt(Method):
    """Training-free conversion of softmax transformers."""

    name = "ecmt"
    title = "expectation-compensated multi-threshold conversion"
    Config = EcmtConfig
    presets: ClassVar = {
        "released": {},
        "halved": {"base_scale": 0.5},
        "nearest": {"base_scale": 0.5, "rule": "nearest"},
    }

    def accept(self, graph: Graph) -> list[Problem]:
        """A network that already spikes, or that has no dense layer to drive by spikes, is refused."""
        if graph.of(Neuron):
            return [
                Problem(
                    "ND304",
                    "the network already holds spiking neurons",
                    where=graph.header.name,
                    found=f"{len(graph.of(Neuron))} neurons",
                    limit="0",
                    fixes=("use --method native",),
                )
            ]
        if not _sites(graph):
            return [
                Problem(
                    "ND305",
                    "no layer of the network would be driven by spikes: conversion would change nothing",
                    where=graph.header.name,
                    found="0 sites",
                    limit="at least 1",
                )
            ]
        return []

    def rewrite(self, graph: Graph, config: EcmtConfig, samples: np.ndarray, timesteps: int) -> Graph:
        """Neurons at every site, cumulative timing on operators and products, rate contract everywhere."""
        sites = _sites(graph)
        bases = calibrate_bases(graph, list(sites), config, samples)
        header = replace(graph.header, level="spiking", timesteps=timesteps, method=self.name)
        builder, table = rewrite(graph, header)
        spiking: dict[str, str] = {}  # source value -> its neuron
        for node in graph:
            _convert(builder, table, spiking, graph, node)
            if node.name in sites:
                spiking[node.name] = _add_neuron(builder, table[node.name], node, bases[node.name], config)
        return codes.infer(builder.build())


def _convert(
    builder: Builder, table: dict[str, str], spiking: dict[str, str], graph: Graph, node: Node
) -> None:
    """Copy one node; views are copied once per flavour, the spiking one after the raw one."""
    value = replace(graph.values[node.name], contract="rate")
    if isinstance(node, Output):
        value = replace(value, contract="rate")
        node = replace(node, readout="sum")
    timed: dict[str, Any] = {"timing": "cumulative"} if isinstance(node, (Product, Micro)) else {}
    reads_spikes = isinstance(node, (Product, Synapse))
    inputs = tuple(spiking.get(i, table[i]) if reads_spikes else table[i] for i in node.inputs)
    copy_node(builder, table, graph, node, inputs=inputs, value=value, **timed)
    if isinstance(node, View) and any(i in spiking for i in node.inputs):
        twin = replace(
            node, name=f"{node.name}.spikes", inputs=tuple(spiking.get(i, table[i]) for i in node.inputs)
        )
        spiking[node.name] = builder.add(twin, value)


def _add_neuron(
    builder: Builder, source: str, node: Node, bases: tuple[float, float], config: EcmtConfig
) -> str:
    params = {
        "base_p": bases[0],
        "base_n": bases[1],
        "levels": config.levels,
        "rule": RULES.index(config.rule),
    }
    neuron = Neuron(
        name=f"{source}.mt", inputs=(source,), origin=node.origin, model="multi_threshold", params=params
    )
    return builder.add(neuron, builder.values[source])


def _sites(graph: Graph) -> dict[str, str]:
    """Values that get a neuron, each with its kind: softmax, gelu, or the kind of the node that yields it."""
    sites: dict[str, str] = {}
    consumers = graph.consumers
    for node in graph.of(Synapse, Product):
        if isinstance(node, Synapse) and _feeds_output(graph, consumers, node.name):
            continue
        for source in node.inputs:
            origin = _behind_views(graph, source)
            if origin is not None and not _is_image(graph, origin):
                sites[origin.name] = origin.op if isinstance(origin, Micro) else origin.kind
    return sites


def _behind_views(graph: Graph, name: str) -> Node | None:
    """The arithmetic node behind a chain of views; None for the image and constants."""
    node = graph.nodes[name]
    while isinstance(node, (View, Delay)):
        node = graph.nodes[node.inputs[0]]
    return None if isinstance(node, (Input, Const)) else node


def _is_image(graph: Graph, node: Node) -> bool:
    """Whether a value is the image itself, shifted and scaled pixel by pixel: it needs no neuron either."""
    if not (isinstance(node, Sum) or factors(node) is not None):
        return False
    behind = [_behind_views(graph, source) for source in node.inputs]
    return all(source is None or _is_image(graph, source) for source in behind)


def _feeds_output(graph: Graph, consumers: dict[str, list[str]], name: str) -> bool:
    readers = consumers[name]
    while len(readers) == 1 and isinstance(graph.nodes[readers[0]], View):
        readers = consumers[readers[0]]
    return len(readers) == 1 and isinstance(graph.nodes[readers[0]], Output)


def calibrate_bases(
    graph: Graph, sites: list[str], config: EcmtConfig, samples: np.ndarray
) -> dict[str, tuple[float, float]]:
    """(base_p, base_n) per site: order statistics per batch of 64, averaged over batches, then overrides and scale."""
    kinds = _sites(graph)
    rows: dict[str, list[tuple[float, float]]] = {site: [] for site in sites}
    for batch in batches(samples):
        trace = interp.run(graph, batch, record=sites, timesteps=1)
        for site in sites:
            rows[site].append(_order_statistics(trace.values[site], config.percent))
    bases = {site: tuple(np.mean(rows[site], axis=0)) for site in sites}
    broken = [site for site, pair in bases.items() if not np.isfinite(pair).all()]
    if broken:
        raise ConvertError(
            [Problem("ND306", "calibration met NaN or infinite activations", where=site) for site in broken]
        )
    return {site: _final_bases(pair, kinds[site], config) for site, pair in bases.items()}


def _order_statistics(values: np.ndarray, percent: float) -> tuple[float, float]:
    flat = values.ravel()
    upper = max(int(percent * flat.size), 1) - 1  # the released code's kthvalue counts from 1
    lower = max(int((1 - percent) * flat.size), 1) - 1
    ordered = np.partition(flat, (lower, upper))
    return float(ordered[upper]), float(-ordered[lower])


def _final_bases(pair: tuple[float, ...], kind: str, config: EcmtConfig) -> tuple[float, float]:
    positive, negative = pair
    if kind == "softmax" and config.softmax_base is not None:
        positive = negative = config.softmax_base
    if kind == "gelu" and config.gelu_base is not None:
        positive, negative = config.gelu_base
    top = max(positive, negative, FALLBACK_BASE)
    # a side that is (nearly) never taken keeps the other side's base: its wire ratio must stay small
    positive, negative = (side if side > top / 16 else top for side in (positive, negative))
    return positive * config.base_scale, negative * config.base_scale


MEMBER = Ecmt()
