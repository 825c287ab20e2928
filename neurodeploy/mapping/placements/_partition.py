"""Which cores share a chip: METIS's partition of the messages between cores, repaired to what a chip holds."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from ...array import Array
from ...target_schema import Chip
from ..bundles import Bundles
from ._base import in_order

UNITS = 2**29  # of all messages together: METIS takes whole numbers, and adds them up in 32 bits
TRIES = 10  # partitions that METIS makes and chooses from
MANY = 1 << 14  # cores from which on it makes one


def partitioned(sent: Bundles, cores: int, chip: Chip) -> Array:
    """The chip of each core, with the fewest messages between chips that is found; as few chips as hold all.

    Data order, METIS's partition into chips that are about equally full, and into full ones and a rest compete.
    """
    plain = in_order(cores, chip)
    if cores <= chip.cores_per_chip:
        return plain
    graph, sizes = _undirected(sent, cores), np.bincount(plain)
    loose = sizes.max() * len(sizes) / cores - 1
    wishes = [(np.full(len(sizes), 1 / len(sizes)), loose)]
    if loose > 0.01:  # otherwise both are the same
        wishes.append((sizes / cores, 0.0))
    found = [plain]
    for shares, excess in wishes:
        found.append(_numbered(_repaired(_metis(graph, shares, excess), graph, chip.cores_per_chip)))
    return min(found, key=lambda on: _crossing(on, graph, sent))


def _undirected(sent: Bundles, cores: int) -> csr_array:
    """(cores, cores) symmetric: what two cores send each other, in whole units, at least one.

    Of what is copied, each receiver has its part: METIS knows edges, and all together cross as one.
    """
    ends, messages = sent.ends, sent.copies / np.bincount(sent.row)[sent.row]
    inside = (ends >= 0).all(axis=0) & (ends[0] != ends[1])
    units = np.rint(messages[inside] * (UNITS / (messages[inside].sum() or 1.0))).clip(1)
    source, target = ends[:, inside]
    both = np.r_[units, units].astype(np.int64), (np.r_[source, target], np.r_[target, source])
    graph = csr_array(both, shape=(cores, cores))
    graph.sum_duplicates()
    return graph


def _metis(graph: csr_array, shares: Array, excess: float) -> Array:
    """Parts of about these shares of the cores, the largest beyond its share by at most ``excess`` or a little more."""
    import pymetis

    tries = TRIES if graph.shape[0] < MANY else 1
    options = pymetis.Options(seed=0, ncuts=tries, ufactor=max(int(1000 * excess), 1))
    adjacency = pymetis.CSRAdjacency(graph.indptr, graph.indices)
    weights = graph.data if len(graph.data) else None
    return np.array(
        pymetis.part_graph(
            len(shares), adjacency, eweights=weights, tpwgts=shares.tolist(), recursive=False, options=options
        )[1]
    )


def _repaired(on: Array, graph: csr_array, most: int) -> Array:
    """No part with more than ``most`` cores: of one that has more, those go that lose least by it."""
    parts = max(int(on.max()) + 1, -(-len(on) // most))
    sizes = np.bincount(on, minlength=parts)
    for full in np.flatnonzero(sizes > most).tolist():
        mine = np.flatnonzero(on == full)
        part = csr_array(
            (np.ones(len(on), dtype=np.int64), on, np.arange(len(on) + 1)), shape=(len(on), parts)
        )
        near = (graph[mine] @ part).toarray()  # what each sends to and takes from every part
        loss = near[:, [full]] - near
        while sizes[full] > most:
            loss[:, sizes >= most] = np.iinfo(np.int64).max
            core, to = np.unravel_index(loss.argmin(), loss.shape)
            on[mine[core]] = to
            sizes[[full, to]] += -1, 1
            loss[core] = np.iinfo(np.int64).max
    return on


def _numbered(on: Array) -> Array:
    """The parts, numbered in the order in which cores first meet them."""
    _, first, part = np.unique(on, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[part]


def _crossing(on: Array, graph: csr_array, sent: Bundles) -> float:
    if sent.shared:
        between = sent.gathered(np.append(on, -1))
        return float(between.copies[(between.ends >= 0).all(axis=0)].sum())
    rows = np.repeat(on, np.diff(graph.indptr))
    return float(graph.data[rows != on[graph.indices]].sum())
