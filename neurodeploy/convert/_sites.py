"""Where conversion puts neurons: the values that dense layers and products read. Shared by all conversion methods."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ..array import Array
from ..calibrate import batch_size, batches
from ..counted import tell
from ..errors import ConvertError, Problem
from ..ir import codes, interp
from ..ir.graph import Builder, Graph, prune
from ..ir.neuron_model import NEURONS
from ..ir.nodes import Const, Delay, Input, Micro, Neuron, Node, Output, Product, Sum, Synapse, View
from ..ir.types import Contract
from ..passes._diagonal import factors


def refusals(graph: Graph, quantised: bool) -> list[Problem]:
    """Why a graph cannot be converted: it already spikes (ND304), or no layer would be driven by spikes (ND305).

    ``quantised``: the method takes over the quantisers of a network that was trained with them.
    """
    quantised = quantised and graph.header.level == "source"  # later, such neurons have begun to spike
    if neurons := [n for n in graph.of(Neuron) if not (quantised and is_quantiser(n))]:
        quantisers = all(map(is_quantiser, neurons))
        what, method = ("quantisers", "pmsm") if quantisers else ("spiking neurons", "native")
        cause, fixes = f"the network already holds {what}", (f"use --method {method}",)
        return [Problem("ND304", cause, graph.header.name, f"{len(neurons)} neurons", "0", fixes)]
    if not sites(graph):
        cause = "no layer of the network would be driven by spikes: conversion would change nothing"
        limit = "a layer or product of activations, besides the read-out"
        advice = ("add a layer between the first one, which reads the input, and the read-out",
                 "put neurons into the network, and use --method native")  # fmt: skip
        return [Problem("ND305", cause, graph.header.name, "none", limit, advice)]
    return []


def is_quantiser(node: Node) -> bool:
    """Whether a neuron of a source graph is a quantiser of activations, which its first tick is."""
    return isinstance(node, Neuron) and NEURONS[node.model].quantises


def is_quantised(graph: Graph) -> bool:
    """Whether the network was trained with quantisers, and with no neurons besides."""
    neurons = graph.of(Neuron)
    return bool(neurons) and all(map(is_quantiser, neurons))


def sites(graph: Graph) -> dict[str, str]:
    """Values that get a neuron, each with its kind: softmax, gelu, or the kind of the node that yields it."""
    found: dict[str, str] = {}
    for node in graph.of(Synapse, Product):
        if isinstance(node, Synapse) and _feeds_output(graph, node.name):
            continue
        for source in node.inputs:
            origin = behind_views(graph, source)
            if origin is not None and not is_image(graph, origin):
                found[origin.name] = origin.op if isinstance(origin, Micro) else origin.kind
    return found


def roles(graph: Graph) -> dict[str, str]:
    """Site -> what its neuron feeds: ``s`` (softmax output), ``q`` and ``k`` (operands of a product that a softmax
    reads), ``v`` (operand of another product), else ``linear``."""
    kinds, found = sites(graph), dict.fromkeys(sites(graph), "linear")
    softmaxes = (node for node in graph.of(Micro) if node.op == "softmax")
    scores = {origin.name for node in softmaxes if (origin := _product_behind(graph, node.inputs[0]))}
    for node in graph.of(Product):
        for source, role in zip(node.inputs, "qk" if node.name in scores else "vv", strict=True):
            site = behind_views(graph, source)
            if site is not None and site.name in found:
                found[site.name] = "s" if kinds[site.name] == "softmax" else role
    return found


def _product_behind(graph: Graph, name: str) -> Product | None:
    """The product whose values a softmax reads, through views and added constants."""
    node = behind_views(graph, name)
    while isinstance(node, Sum):
        streams = [origin for i in node.inputs if (origin := behind_views(graph, i)) is not None]
        node = streams[0] if len(streams) == 1 else None
    return node if isinstance(node, Product) else None


def behind_views(graph: Graph, name: str) -> Node | None:
    """The arithmetic node behind a chain of views, or the view that joins several; None for the image and constants.

    Neurons of their own would send the parts in different units. Quantisers have chosen theirs: the first counts.
    """
    node = graph.nodes[name]
    if not isinstance(node, (View, Delay)):
        return None if isinstance(node, (Input, Const)) else node
    parts = {part.name if part else "": part for part in (behind_views(graph, i) for i in node.inputs)}
    alike = len(parts) == 1 or all(part is not None and is_quantiser(part) for part in parts.values())
    return next(iter(parts.values())) if alike else node


def is_image(graph: Graph, node: Node) -> bool:
    """Whether a value is the image itself, shifted and scaled pixel by pixel: it needs no neuron either."""
    if not (isinstance(node, Sum) or factors(node) is not None):
        return False
    behind = [behind_views(graph, source) for source in node.inputs]
    return all(source is None or is_image(graph, source) for source in behind)


def _feeds_output(graph: Graph, name: str) -> bool:
    """Whether a layer is the read-out, alone or summed with other layers of the same."""
    readers = graph.readers(name, lambda node: isinstance(node, View))
    if len(readers) != 1:
        return False
    (reader,) = readers
    if isinstance(reader, Sum):
        summed = [behind_views(graph, source) for source in reader.inputs]
        return all(isinstance(part, Synapse | None) for part in summed) and _feeds_output(graph, reader.name)
    return isinstance(reader, Output)


@dataclass(frozen=True)
class Population:
    """The neuron of one site: a registered model and its float parameters; ``suffix`` names it after its source."""

    model: str
    params: dict[str, Any]
    suffix: str


Populations = dict[str, Population]  # by site


def insert(
    graph: Graph, method: str, timesteps: int, populations: Populations, contract: Contract, timing: str
) -> Graph:
    """The spiking graph with a population at every site, which dense layers and products then read.

    ``timing`` goes to every operator and product, ``contract`` to every value; logits are summed over ticks.
    """
    header = replace(graph.header, level="spiking", timesteps=timesteps, method=method)
    builder = Builder(header)
    spiking: dict[str, str] = {}  # source value -> its neuron
    for node in graph:
        value = replace(graph.values[node.name], contract=contract)
        changes: dict[str, Any] = {"timing": timing} if isinstance(node, (Product, Micro)) else {}
        if isinstance(node, Output):
            changes["readout"] = "sum"
        reads_spikes = isinstance(node, (Product, Synapse))
        inputs = tuple(
            spiking.get(i, builder.table[i]) if reads_spikes else builder.table[i] for i in node.inputs
        )
        builder.copy(graph, node, inputs=inputs, value=value, **changes)
        if node.name in populations:
            spiking[node.name] = add_population(
                builder, builder.table[node.name], node, populations[node.name]
            )
        else:
            twin_view(builder, spiking, node)
    return codes.infer(prune(builder.build()))


def twin_view(builder: Builder, spiking: dict[str, str], node: Node) -> None:
    """Views are copied once per flavour: beside the raw one, one that shows the spikes."""
    if isinstance(node, View) and any(i in spiking for i in node.inputs):
        inputs = tuple(spiking.get(i, builder.table[i]) for i in node.inputs)
        twin = replace(node, name=f"{node.name}.spikes", inputs=inputs)
        contract = builder.values[inputs[0]].contract
        spiking[node.name] = builder.add(
            twin, replace(builder.values[builder.table[node.name]], contract=contract)
        )


def add_population(
    builder: Builder, source: str, node: Node, population: Population, contract: Contract | None = None
) -> str:
    """Append the neuron of a site; returns its name."""
    value = builder.values[source]
    neuron = Neuron(name=f"{source}.{population.suffix}", inputs=(source,), origin=node.origin,
                    model=population.model, params=population.params)  # fmt: skip
    return builder.add(neuron, replace(value, contract=contract or value.contract))


def see_sites(
    graph: Graph, names: Collection[str], samples: Array, see: Callable[[str, Array], None]
) -> None:
    """Call ``see`` with each site and its values in the ANN, (samples, *shape), 64 samples at a time.

    Where a sample is large there are fewer, as many as :func:`~neurodeploy.calibrate.batch_size` says of the graph.
    Raises ConvertError ND306, after each batch, for sites whose values are not finite; ``see`` does not see these.
    """
    for batch in batches(samples, batch_size(graph), partial(tell, unit="samples")):
        broken: list[str] = []

        def observe(name: str, value: Array, broken: list[str] = broken, batch: Array = batch) -> None:
            if name not in names:
                return
            if np.isfinite(value).all():
                see(name, np.broadcast_to(value, (len(batch), *value.shape[1:])))
            else:
                broken.append(name)

        interp.run(graph, batch, timesteps=1, observe=observe)
        if broken:
            cause = "calibration met NaN or infinite activations"
            raise ConvertError([Problem("ND306", cause, where=name) for name in broken])
