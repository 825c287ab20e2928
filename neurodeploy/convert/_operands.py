"""Units for each channel of what is multiplied in attention, such that products still have one unit, or pass theirs on.

q_j k_j is what it was where channel j of queries is counted in units of D_q / s_j and that of keys in units of D_k s_j.
Steps of one size for s_j q_j and k_j / s_j make an error in the scores of 2 D_q D_k sum_j g_j / 12 at the least, with
g_j = |q_j| |k_j|, where both are as large, s_j = sqrt(|k_j| / |q_j|): that is cross-layer equalisation (Nagel et al.
2019, arXiv:1906.04721, eq. 11) of activations in place of weights, as SmoothQuant scales them (Xiao et al. 2023,
arXiv:2211.10438, eq. 4 with alpha = 1/2). What is mixed of values keeps channels apart: they take s_j = 1 / |v_j|, and
the neuron behind has a threshold for each of them. Sizes |.| are the :data:`PERCENT` order statistics of magnitudes.
Nothing else changes: no weight, and no number of the spiking network but what steps round. Who may take which factors
is what :mod:`..passes.equalise` finds; rotated queries and keys are sums, which it does not follow.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.nodes import Synapse
from ..passes._diagonal import channel_axis
from ..passes.equalise import followers
from ._channels import FINEST
from ._sites import see_sites

Operands = Literal["tensor", "channel"]
#: for configs
OPERANDS = "one unit for all of q, of k and of v, or units by channel that cancel in scores and pass through mixtures"
PERCENT = 0.999

#: site -> which of the group's channels each of its own is, from 0; the first site has them all
Group = dict[str, Array]


def evened(graph: Graph, names: Collection[str], samples: Array) -> dict[str, Array]:
    """Site of ``names`` -> factors, like its elements, that make its channels alike; of sites that may have some."""
    groups = _groups(graph, names)
    seen: dict[str, list[Array]] = {name: [] for group in groups for name in group}
    axes = {name: _axis(graph, name) for name in seen}

    def see(name: str, x: Array) -> None:
        rows = np.moveaxis(np.abs(x), axes[name] or 1, 0)
        seen[name].append(np.quantile(rows.reshape(len(rows), -1), PERCENT, axis=1))

    if groups:
        see_sites(graph, seen, samples, see)
    found: dict[str, Array] = {}
    for group in groups:
        sizes = {name: np.mean(seen[name], axis=0) for name in group}
        factors = _factors(group, {name: np.maximum(own, own.max() * FINEST) for name, own in sizes.items()})
        for name, own in factors.items():
            rank = len(graph.shape(name))
            found[name] = own.reshape(-1, *(1,) * (rank - 1 if axes[name] == 0 else 0))
    return found


def _groups(graph: Graph, names: Collection[str]) -> list[Group]:
    """Sites whose factors hang together, each site in one group."""
    groups: list[Group] = []
    for node in graph:
        found = followers(graph, node) if node.name in names else None
        if found is None or not found.products or any(node.name in group for group in groups):
            continue
        count = graph.shape(node.name)[_axis(graph, node.name)]
        group = {node.name: np.arange(count), **{m.name: met - 1 for m, met in found.rows.items()}}
        if all(name in names for name in group):
            groups.append(group)
    return groups


def _axis(graph: Graph, name: str) -> int:
    """The axis of a site's channels, the first or the last."""
    node = graph.nodes[name]
    return channel_axis(node) if isinstance(node, Synapse) else -1


def _factors(group: Group, sizes: dict[str, Array]) -> dict[str, Array]:
    """Factors of each site's own channels, from the sizes of these; a site that is always 0 keeps what it has."""
    if not all(own.all() for own in sizes.values()):
        return {}
    own, *others = group
    if not others:
        return {own: float(np.exp(np.log(sizes[own]).mean())) / sizes[own]}
    met = np.zeros(len(group[own]))
    for name in others:
        np.maximum.at(met, group[name], sizes[name])
    factors = np.sqrt(met / sizes[own])
    return {own: factors, **{name: 1.0 / factors[group[name]] for name in others}}
