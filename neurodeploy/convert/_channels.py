"""Which channel of the layers that read a site each of its elements is of: where spikes may have a unit per channel.

A layer takes any factors of its input's channels into its weights, W diag(s). So a site that nothing but dense layers
and ungrouped convolutions read, all along the same axes, may send each channel in a unit of its own, at no cost to
whoever receives it. A product contracts channels or hands them on, and takes one unit for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.nodes import Product, Synapse, View
from ..passes._diagonal import channel_axis

FINEST = 2.0**-10  # of a site's largest unit: a channel's is not finer, which an integer state could not hold


@dataclass(frozen=True, eq=False)
class Channels:
    """``of``: the channel of each element of a site, with axes of size 1 where it does not matter.

    ``gram``: sum of W^T W over the layers that read the site, which says what an error in it costs behind them.
    """

    of: Array
    gram: Array

    @property
    def count(self) -> int:
        """How many channels there are."""
        return len(self.gram)

    def cost(self, errors: Array) -> float:
        """Mean square of what errors (rows, channels) make of all outputs of the layers, their means apart."""
        errors = errors - errors.mean(axis=0)
        return float(np.sum((errors @ self.gram) * errors) / len(errors))

    def rows(self, x: Array) -> Array:
        """Values (B, *shape) as (rows, channels)."""
        of = np.broadcast_to(self.of, x.shape[1:]).ravel()
        order = np.argsort(of, kind="stable")
        by_channel = x.reshape(len(x), -1)[:, order].reshape(len(x), self.count, -1)
        return np.moveaxis(by_channel, 1, -1).reshape(-1, self.count)

    def spread(self, numbers: Array) -> Array:
        """A number for each channel as one for each element."""
        return np.asarray(numbers[self.of])


def channels(graph: Graph, site: str) -> Channels | None:
    """The channels of a site as its readers see them; None where one of them does not see any."""
    shape = graph.shape(site)
    found = np.full(int(np.prod(shape)), -1)
    readers = _readers(graph, site, np.arange(found.size).reshape(shape), found)
    if not readers:
        return None
    of = found.reshape(shape)
    for axis in range(of.ndim):  # elements that nobody reads are of any channel
        most = of.max(axis=axis, keepdims=True)
        of = most if ((of < 0) | (of == most)).all() else of
    if (of < 0).any():
        return None
    columns = [np.moveaxis(node.weight, 1, -1).reshape(-1, node.weight.shape[1]) for node in readers]
    gram, each = sum(rows.T @ rows for rows in columns), np.bincount(np.broadcast_to(of, shape).ravel())
    alike = len(each) == len(gram) and (each == each[0]).all()
    return Channels(np.ascontiguousarray(of), gram) if alike else None


def _readers(graph: Graph, name: str, place: Array, found: Array) -> list[Synapse] | None:
    """The layers that read a value, whose channels are entered in ``found``; None where they do not agree on them."""
    layers: list[Synapse] = []
    for reader in (graph.nodes[consumer] for consumer in graph.consumers[name]):
        match reader:
            case Synapse():
                if not _entered(reader, place, found):
                    return None
                layers.append(reader)
            case View():
                if reader.op == "pad" or len(reader.inputs) > 1:
                    return None
                more = _readers(graph, reader.name, reader.apply([place]), found)
                if more is None:
                    return None
                layers += more
            case Product():
                return None
            case _:  # reads what the neuron reads
                continue
    return layers


def _entered(node: Synapse, place: Array, found: Array) -> bool:
    axis = channel_axis(node) % place.ndim
    line = np.arange(place.shape[axis]).reshape([-1 if a == axis else 1 for a in range(place.ndim)])
    line, known = np.broadcast_to(line, place.shape), found[place]
    if node.groups > 1 or ((known >= 0) & (known != line)).any():
        return False
    found[place] = line
    return True
