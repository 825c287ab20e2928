"""Reads one core's tables into what a run needs: weight matrices by target, scatter lists, routes between cores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..array import Array
from ..errors import MappingError, Problem
from .types import OPERAND, ROWS, CoreImage
from .words import Layout, unpack


@dataclass(frozen=True, eq=False)
class Delivery:
    """Inbox[address] += weights.T @ messages[slots]: targets that are reached through the same rows.

    ``slots`` (targets, rows), ``weights`` (rows, columns), ``address`` (targets, columns). ``reach``: the largest sum
    of weight magnitudes onto one target; ``distinct``: no address occurs twice; ``wait``: steps after the arrival of
    the messages in which their sums enter the inbox.
    """

    slots: Array
    weights: Array
    address: Array
    reach: float
    distinct: bool
    wait: int = 0


@dataclass(frozen=True, eq=False)
class Scatter:
    """Inbox[address] += messages[slots]."""

    slots: Array
    address: Array
    distinct: bool


@dataclass(frozen=True, eq=False)
class Receiver:
    """The receiving half of a core: ``slots`` incoming (axon, channel) pairs, inbox memory, what goes where.

    ``first_slot`` per axon. ``fan_out`` (nodes, slots): stored non-zero weights that a message meets, by the node that
    owns them; ``reader``: per slot the index in ``nodes`` of the first node that reads it.
    """

    first_slot: Array
    slots: int
    inbox: Array
    deliveries: tuple[Delivery, ...]
    operands: Scatter
    nodes: tuple[str, ...]
    fan_out: Array
    reader: Array


def receiver(image: CoreImage) -> Receiver:
    """The receiving half of an image; raises MappingError ND582 for synapse memory that cannot be read."""
    axons = image.tables["axons"].astype(np.int64)
    first_slot = np.cumsum(axons[:, 2]) - axons[:, 2]
    slots = int(axons[:, 2].sum())
    pairs = _pairs(image, axons, first_slot)
    nodes = tuple(dict.fromkeys(image.ports_of)) or ("",)
    rank = np.array([nodes.index(name) for name in image.ports_of], dtype=np.int64)
    fan_out, reader = np.zeros((len(nodes), slots)), np.zeros(slots, dtype=np.int64)
    deliveries: list[Delivery] = []
    live = addresses_read(image)
    links = image.tables["connections"].astype(np.int64)
    for link in np.unique(pairs[pairs[:, 1] == ROWS][:, 2]):
        used = pairs[(pairs[:, 1] == ROWS) & (pairs[:, 2] == link)]
        for part in _deliveries(image, links[link], *connection_of(image, int(link)), used):
            deliveries.append(part)
            met = (part.weights != 0).astype(np.float64) @ live[part.address].T.astype(np.float64)
            np.add.at(fan_out[rank[links[link, 0]]], part.slots, met.T)
        reader[used[::-1, 0]] = rank[links[link, 0]]
    operands = pairs[pairs[:, 1] == OPERAND]
    reader[operands[::-1, 0]] = rank[operands[::-1, 2]]
    inbox = image.tables["port_init"]
    return Receiver(
        first_slot, slots, inbox, tuple(deliveries), _scatter(image, operands), nodes, fan_out, reader
    )


def _pairs(image: CoreImage, axons: Array, first_slot: Array) -> Array:
    """Everything that a message causes, one row each: (slot, kind, id, a + channel or slot's offset, b)."""
    items = image.tables["items"].astype(np.int64)
    axon = np.repeat(np.arange(len(axons)), axons[:, 1])
    item = items[_runs(axons[:, 0], axons[:, 1])]
    reach = axons[axon, 2]
    channel = _runs(np.zeros_like(reach), reach)
    slot = np.repeat(first_slot[axon], reach) + channel
    item = np.repeat(item, reach, axis=0)
    row = item[:, 0] == ROWS
    a = item[:, 2] + channel * row
    b = item[:, 3] + channel * ~row
    return np.stack([slot, item[:, 0], item[:, 1], a, b], axis=1)


def _runs(first: Array, count: Array) -> Array:
    """first[0] .. first[0] + count[0] - 1, first[1] .., one after the other."""
    return np.repeat(first - np.cumsum(count) + count, count) + np.arange(int(count.sum()))


def _scatter(image: CoreImage, pairs: Array) -> Scatter:
    offset = image.tables["channels"].astype(np.int64)[pairs[:, 4]] if len(pairs) else pairs[:, 4]
    kept = pairs[offset >= 0]
    address = image.tables["ports"].astype(np.int64)[kept[:, 2], 0] + kept[:, 3] + offset[offset >= 0]
    return Scatter(kept[:, 0], address, len(np.unique(address)) == len(address))


def _deliveries(image: CoreImage, link: Array, weights: Array, delays: Array, pairs: Array) -> list[Delivery]:
    """Targets of one connection, those reached through the same rows with the same delay together."""
    port, columns = int(link[0]), int(link[8])
    base = int(image.tables["ports"][port, 0])
    order = np.lexsort((pairs[:, 0], pairs[:, 3], pairs[:, 4]))
    slot, row, target = pairs[order, 0], pairs[order, 3], pairs[order, 4]
    cuts = np.flatnonzero(np.diff(target, prepend=-1))
    groups: dict[bytes, list[int]] = {}
    bounds = [*cuts.tolist(), len(target)]
    for i, start in enumerate(cuts.tolist()):
        groups.setdefault(row[start : bounds[i + 1]].tobytes(), []).append(i)
    found = []
    for members in groups.values():
        size = bounds[members[0] + 1] - bounds[members[0]]
        at = cuts[members]
        rows = row[at[0] : at[0] + size]
        address = base + target[at][:, None] + np.arange(columns)
        distinct = len(np.unique(address)) == address.size
        for wait in np.unique(delays[rows]).tolist():
            part = np.where(delays[rows] == wait, weights[rows], 0).astype(np.float64)
            reach = float(np.abs(part).sum(axis=0).max(initial=0))
            found.append(Delivery(slot[at[:, None] + np.arange(size)], part, address, reach, distinct, wait))
    return found


def weights_of(image: CoreImage, link: int) -> Array:
    """The weight matrix (rows, columns) of a connection, as :func:`connection_of`."""
    return connection_of(image, link)[0]


def connection_of(image: CoreImage, link: int) -> tuple[Array, Array]:
    """Weights and delays in steps (rows, columns) of a connection.

    Raises MappingError ND582 where they cannot be decoded.
    """
    record = image.tables["connections"][link].tolist()
    _, bits, exponent, header, index_bits, block, first, count, columns, delay_bits = record
    rows = image.tables["rows"][first : first + count].astype(np.int64)
    layout = Layout(bits, index_bits, header, block, delay_bits)
    weights, delays = (np.zeros((count, columns), dtype=np.int64) for _ in range(2))
    for entries in np.unique(rows[:, 1]):
        which = np.flatnonzero(rows[:, 1] == entries)
        memory = image.tables["synapses"][rows[which, 0][:, None] + np.arange(layout.row_words(int(entries)))]
        values, index, waits, right = unpack(memory, int(entries), layout)
        column = index if index_bits else rows[which, 2][:, None] + np.arange(entries)
        if not right.all() or (column >= columns).any():
            bad = which[~(right & (column < columns).all(axis=1))][0]
            raise MappingError(
                [
                    Problem(
                        "ND582",
                        "a row of synapse memory cannot be decoded",
                        f"{image.name}: synapses",
                        f"connection {link} row {bad}",
                        f"header {layout.header(int(entries))}, targets below {columns}",
                    )
                ]
            )
        np.add.at(weights, (which[:, None], column), values << exponent)
        delays[which[:, None], column] = waits
    return weights, delays


def addresses_read(image: CoreImage) -> Array:
    """Inbox addresses that some instruction reads; the others are holes of irregular pieces."""
    live = np.zeros(len(image.tables["port_init"]), dtype=bool)
    for unit in image.units:
        for item in unit.program:
            if item.op == "synapse":
                first, size = image.tables["ports"][item.ports[0]].tolist()
                start = item.numbers["from"]
                index = np.arange(size) if start < 0 else image.tables["gather"][start : start + item.size]
                live[first + index[index >= 0]] = True
    return live


# --- routes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Bundle:
    """What one export sends to one core: its elements and the receiver's slots, in parallel."""

    target: int
    elements: Array
    slots: Array
    distinct: bool


@dataclass(frozen=True, eq=False)
class Export:
    """A vector that leaves its core, by destination."""

    unit: int
    instruction: int
    bundles: tuple[Bundle, ...]


def exports(image: CoreImage, images: Sequence[CoreImage], receivers: Sequence[Receiver]) -> list[Export]:
    """All sends of a core, routes resolved; raises MappingError ND586 for a route that leads nowhere."""
    places = {other.place: number for number, other in enumerate(images)}
    routes = image.tables["routes"].astype(np.int64)
    target = np.array([places.get(tuple(r), -1) for r in routes[:, 2:6].tolist()], dtype=np.int64)
    if (target < 0).any():
        bad = int(np.flatnonzero(target < 0)[0])
        raise _lost(
            image,
            bad,
            f"chip {routes[bad, 2]} ({routes[bad, 3]},{routes[bad, 4]}) slot {routes[bad, 5]}",
            "a core that has an image",
        )
    found = []
    for number, (unit, item, first, count, channels) in enumerate(image.tables["exports"].tolist()):
        mine = np.flatnonzero(routes[:, 0] == number)
        sends = image.tables["sends"][first : first + count].astype(np.int64)
        bundles = [
            _bundle(image, routes, mine[target[mine] == other], sends, channels, other, receivers[other])
            for other in np.unique(target[mine]).tolist()
        ]
        found.append(Export(unit, item, tuple(bundles)))
    return found


def _bundle(
    image: CoreImage,
    routes: Array,
    mine: Array,
    sends: Array,
    channels: int,
    target: int,
    other: Receiver,
) -> Bundle:
    """Joins an export's elements with its routes to one core by position."""
    order = np.argsort(sends[:, 1], kind="stable")
    sends = sends[order]
    low, high = (np.searchsorted(sends[:, 1], routes[mine, 1], side) for side in ("left", "right"))
    which, route = sends[_runs(low, high - low)], np.repeat(mine, high - low)
    kept = image.tables["masks"][routes[route, 7] + which[:, 2]] != 0
    which, route = which[kept], route[kept]
    spread = routes[route, 8] != 0
    axon, channel = routes[route, 6] + which[:, 2] * spread, which[:, 2] * ~spread
    widths = np.diff(other.first_slot, append=other.slots)
    known = axon < len(widths)
    known[known] = channel[known] < widths[axon[known]]
    if not known.all():
        bad = int(np.flatnonzero(~known)[0])
        raise _lost(
            image,
            int(route[bad]),
            f"axon {axon[bad]} channel {channel[bad]}",
            f"{len(widths)} axons at the destination",
        )
    slots = other.first_slot[axon] + channel
    return Bundle(target, which[:, 0], slots, len(np.unique(slots)) == len(slots))


def _lost(image: CoreImage, route: int, found: Any, limit: str) -> MappingError:
    return MappingError(
        [Problem("ND586", "a route leads nowhere", f"{image.name}: routes entry {route}", str(found), limit)]
    )
