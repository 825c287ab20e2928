"""What is known of the whole network while its cores are encoded."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from math import prod

import numpy as np

from ..array import Array
from ..errors import Problem
from ..ir.graph import Graph
from ..ir.nodes import Const, Sum, Synapse, View
from ..ir.widths import REGISTER_BITS
from ..mapping.reads import channel_axes
from ..mapping.types import Mapping
from ..passes.balance import Turns, constants, depths, host, turns
from ..target import Target
from .words import stored


@dataclass(frozen=True, eq=False)
class Network:
    """A balanced graph and where its elements live.

    ``constants``: values of the nodes that are the same at every tick. ``axes``: channel axis of the values that do not
    use their last one. ``owner``: for each element of each node the first site that hosts it (the host is the last),
    -1: none. ``held`` is filled while cores are written: by product and operand the program that is the first
    to keep the running sum of each element, -1: none yet.
    """

    graph: Graph
    target: Target
    level: dict[str, int]
    outside: frozenset[str]
    constants: dict[str, Array]
    axes: dict[str, int]
    owner: dict[str, Array]
    held: dict[tuple[str, str], Array]
    turns: Turns
    models: dict[str, Array | None] = field(default_factory=dict)
    packing: dict[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Graph, mapping: Mapping, target: Target) -> Network:
        """All of it."""
        still, outside = _constants(graph), frozenset(host(graph))
        owner = _owners(graph, mapping, still, outside)
        level, axes = depths(graph), channel_axes(graph)
        return cls(graph, target, level, outside, still, axes, owner, {}, turns(graph))

    def shape(self, value: str) -> tuple[int, ...]:
        """Shape of a node's value."""
        return self.graph.shape(value)

    def axis(self, value: str) -> int:
        """Channel axis of a value."""
        return self.axes.get(value, max(len(self.shape(value)) - 1, 0))

    def bits(self, value: str) -> int:
        """Width of a value."""
        spec = self.graph.values[value].fixed
        return spec.bits if spec else REGISTER_BITS

    def model(self, value: str, flat: Array) -> Array:
        """The elements that stand for some in every turn: messages name what they say by those."""
        if value not in self.models:
            self.models[value] = self.turns.model(value)
        model = self.models[value]
        return flat if model is None else model[flat]

    def model_positions(self, value: str, axis: int, positions: Array) -> Array:
        """The positions of the models of positions whose channels all belong to one token."""
        if self.turns.turn(value) is None:
            return positions
        shape = self.shape(value)
        flat = np.moveaxis(np.arange(prod(shape)).reshape(shape), axis, -1).reshape(-1, shape[axis])[
            positions, 0
        ]
        return split(self.model(value, flat), shape, axis)[0]

    def first(self, operand: tuple[str, str], value: str, needed: Array, program: int) -> Array:
        """Which held elements no earlier program keeps: their saturations count here."""
        keeper = self.held.setdefault(operand, np.full(prod(self.shape(value)), -1))
        keeper[needed] = np.where(keeper[needed] < 0, program, keeper[needed])
        first: Array = keeper[needed] == program
        return first

    def stored(self, node: Synapse) -> tuple[int, int]:
        """As :func:`.words.stored`, of the weights of a layer."""
        if node.name not in self.packing:
            self.packing[node.name] = stored(node.weight)
        return self.packing[node.name]


def _constants(graph: Graph) -> dict[str, Array]:
    still = constants(graph)
    found: dict[str, Array] = {}
    for node in graph:
        if node.name not in still:
            continue
        args = [found[i][None] for i in node.inputs]
        if isinstance(node, Const):
            value = node.value  # broadcast and widened below
        elif isinstance(node, View):
            value = node.apply(args, lead=1)[0]
        else:
            signs = (isinstance(node, Sum) and node.signs) or (1,) * len(args)
            value = sum(sign * arg[0] for sign, arg in zip(signs, args, strict=True))
        found[node.name] = np.broadcast_to(value, graph.shape(node.name)).astype(np.int64)
    return found


def _owners(
    graph: Graph, mapping: Mapping, still: Container[str], outside: frozenset[str]
) -> dict[str, Array]:
    last, alive = len(mapping.cores), (n.name for n in graph if n.name not in still)
    table = {n: np.full(prod(graph.shape(n)), last if n in outside else -1) for n in alive}
    for number in reversed(range(last)):
        for piece in mapping.cores[number].pieces:
            for name, flat in piece.elements.items():
                if name in table and name not in outside:
                    table[name][flat] = number
    return table


def homeless(node: str, flat: Array, place: str) -> Problem:
    """ND583 for the first of the elements ``flat``."""
    cause = "an element that is read is not where it is needed"
    return Problem("ND583", cause, node, f"element {int(flat[0])}", place)


def split(flat: Array, shape: tuple[int, ...], axis: int) -> tuple[Array, Array]:
    """Position and channel of flat indices, the channel being one axis of the shape."""
    if not shape:
        return flat * 0, flat * 0
    coordinates = list(np.unravel_index(flat, shape))
    channel = coordinates.pop(axis)
    rest = tuple(n for i, n in enumerate(shape) if i != axis)
    return (np.ravel_multi_index(coordinates, rest) if rest else flat * 0), channel


def channels_of(shape: tuple[int, ...], axis: int) -> int:
    """How many channels a position has."""
    return shape[axis] if shape else 1
