"""What arrives at a core: ports, the axons that messages name, and what each of them feeds.

An incoming message names an axon and a channel of it. Ports are accumulators and operand inboxes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..array import Array
from .synapses import CONNECTIONS, connection_of, row_words
from .tables import LARGEST, Column, Found, Table, Tables, beyond, outside, runs
from .types import CoreImage

ROW, OPERAND = 0, 1  # kinds of items

PORTS = Table("ports", np.int32, (Column("first", of="port_init", count="size"), Column("size")))
#: what ports hold before messages arrive: biases, constant operands, else zero
PORT_INIT = Table("port_init", np.int64)
_FED = Column("first", of="items", count="items")
AXONS = Table("axons", np.int32, (_FED, Column("items"), Column("channels", 1, LARGEST)))
#: what an axon feeds. ROW: connection ``id``, its row a + channel goes to the port's slots b + column.
#: OPERAND: port ``id``, its slot a + channels[b + channel]
ITEMS = Table("items", np.int32, (Column("kind", high=2), Column("id"), Column("a"), Column("b")))
#: offsets of channels inside an operand, -1: not held here
CHANNELS = Table("channels", np.int32)
#: ports that keep what arrives, by tick: ``apart`` slots for each of the tokens ``first``, ``first`` + ``every``, .. of
#: what a unit of so many ``turns`` sends that starts after step ``since``, one of ``copies``
KEPT = Table("kept", np.int32, (
    Column("port", of="ports"), Column("since"), Column("turns", 1, LARGEST), Column("apart", 1, LARGEST),
    Column("first"), Column("every", 1, LARGEST), Column("copies", 1, LARGEST)
))  # fmt: skip
TABLES = (AXONS, ITEMS, CHANNELS, PORTS, PORT_INIT, KEPT)

#: items that belong to the axon of that rank, before axons have numbers
FEEDS = Table("", np.int64, (Column("rank"), *ITEMS.columns))


def add_port(tables: Tables, node: str, init: Array) -> int:
    """A new port that starts every step at ``init``."""
    tables.ports_of.append(node)
    return tables.add(PORTS, PORTS.rows(first=tables.add(PORT_INIT, init), size=len(init)))


def add_axons(tables: Tables, count: int, channels: int, feeds: Array) -> int:
    """``count`` axons with what they feed; returns the first."""
    feeds = feeds[np.argsort(feeds["rank"], kind="stable")]
    items = np.bincount(feeds["rank"], minlength=count)
    first = tables.add(ITEMS, feeds) + np.cumsum(items) - items
    return tables.add(AXONS, AXONS.rows(first=first, items=items, channels=channels))


def spread_axons(tables: Tables, count: int, channels: int, feeds: Array) -> int:
    """An axon for each of ``channels`` instead, one after the other: an item's offsets move to the channel."""
    every = np.repeat(feeds[np.argsort(feeds["rank"], kind="stable")], channels)
    channel = np.tile(np.arange(channels), len(feeds))
    every["a"] += channel * (every["kind"] == ROW)
    every["b"] += channel * (every["kind"] == OPERAND)
    every["rank"] = every["rank"] * channels + channel
    return add_axons(tables, count * channels, 1, every)


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
class Keep:
    """Kept[port][tick][address of the turn] = messages[slots], for what a unit sends that starts after ``since``.

    ``address`` (turns, slots), -1: of no token that the port keeps.
    """

    port: int
    size: int
    slots: Array
    since: int
    address: Array


@dataclass(frozen=True, eq=False)
class Receiver:
    """The receiving half of a core: ``slots`` incoming (axon, channel) pairs, inbox memory, what goes where.

    ``first_slot`` per axon. ``fan_out`` (nodes, slots): stored non-zero weights that a message meets, by the node that
    owns them; ``words`` (nodes, slots): 64-bit words of synapse memory that are read for it; ``reader``: per slot the
    index in ``nodes`` of the first node that reads it.
    """

    first_slot: Array
    slots: int
    inbox: Array
    deliveries: tuple[Delivery, ...]
    operands: Scatter
    keeps: tuple[Keep, ...]
    nodes: tuple[str, ...]
    fan_out: Array
    words: Array
    reader: Array


def receiver(image: CoreImage) -> Receiver:
    """The receiving half of an image; raises MappingError ND582 for synapse memory that cannot be read."""
    channels = image.rows(AXONS)["channels"]
    first_slot, slots = np.cumsum(channels) - channels, int(channels.sum())
    slot, items = _met(image, first_slot)
    nodes = tuple(dict.fromkeys(image.ports_of)) or ("",)
    rank = np.array([nodes.index(name) for name in image.ports_of], dtype=np.int64)
    fan_out, words = np.zeros((2, len(nodes), slots))
    reader = np.zeros(slots, dtype=np.int64)
    deliveries: list[Delivery] = []
    live, links = addresses_read(image), image.rows(CONNECTIONS)
    for number in np.unique(items["id"][items["kind"] == ROW]).tolist():
        mine = (items["kind"] == ROW) & (items["id"] == number)
        owner = rank[links["port"][number]]
        for part in _deliveries(image, number, slot[mine], items[mine]):
            deliveries.append(part)
            met = (part.weights != 0).astype(np.float64) @ live[part.address].T.astype(np.float64)
            np.add.at(fan_out[owner], part.slots, met.T)
        np.add.at(words[owner], slot[mine], row_words(image, number)[items["a"][mine]])
        reader[slot[mine]] = owner
    operand = items["kind"] == OPERAND
    slot, items = slot[operand], items[operand]
    reader[slot[::-1]] = rank[items["id"][::-1]]
    offset = image.tables["channels"][items["b"]].astype(np.int64)
    held, address = offset >= 0, image.rows(PORTS)["first"][items["id"]] + items["a"] + offset
    np.add.at(words, (rank[items["id"][held]], slot[held]), _unit_words(image)[address[held]])
    keeps = tuple(_keeps(image, slot[held], items["id"][held], address[held]))
    held &= ~np.isin(items["id"], image.rows(KEPT)["port"])
    scatter = Scatter(slot[held], address[held], len(np.unique(address[held])) == int(held.sum()))
    inbox = image.tables["port_init"]
    return Receiver(
        first_slot, slots, inbox, tuple(deliveries), scatter, keeps, nodes, fan_out, words, reader
    )


def _keeps(image: CoreImage, slot: Array, port: Array, address: Array) -> Iterator[Keep]:
    """What goes into the ports that keep it."""
    for row in image.rows(KEPT):
        mine, place = port == row["port"], image.port(row["port"])
        size, into = place.stop - place.start, _by_turn(row, address[mine] - place.start)
        into = np.where(into < size, into, -1)
        yield Keep(int(row["port"]), size, slot[mine], int(row["since"]), into)


def _by_turn(row: Array, address: Array) -> Array:
    """Where what is kept goes in each turn of its sender, from where any of its tokens does; negative: nowhere."""
    turns, apart, first, every, copies = (int(row[k]) for k in ("turns", "apart", "first", "every", "copies"))
    number, rank = np.divmod(address, apart)
    token = np.arange(turns)[:, None] * copies + (first + every * number) % copies
    number, other = np.divmod(token - first, every)
    found: Array = np.where(other == 0, number * apart + rank, -1)
    return found


def _unit_words(image: CoreImage) -> Array:
    """By inbox address the words read for what arrives at a sum or a delay: one for each of its connections there."""
    words = np.zeros(len(image.tables["port_init"]), dtype=np.int64)
    for item in (i for unit in image.units for i in unit.program if "kernel" in i.numbers):
        size = image.port_size(item.ports[0])
        index = image.gather(item.numbers["from"], item.size * item.numbers.get("fan", 1))
        kept = image.array(item.arrays["keep_0"]) if "keep_0" in item.arrays else None
        if kept is not None and kept.ndim == 1 and index is not None:
            index = kept[index[index >= 0]]
        words[image.port(item.ports[0])] += (
            1 if index is None else np.bincount(index[index >= 0], minlength=size)
        )
    return words


def _fed(image: CoreImage) -> tuple[Array, Array]:
    """Every (axon, item of it): number of the axon, and the item."""
    axons = image.rows(AXONS)
    axon = np.repeat(np.arange(len(axons)), axons["items"])
    return axon, image.rows(ITEMS)[runs(axons["first"], axons["items"])]


def _met(image: CoreImage, first_slot: Array) -> tuple[Array, Array]:
    """Everything that a message causes: its slot, and the item with the channel added to its offset."""
    axon, items = _fed(image)
    reach = image.rows(AXONS)["channels"][axon]
    channel = runs(np.zeros_like(reach), reach)
    items = np.repeat(items, reach)
    items["a"] += channel * (items["kind"] == ROW)
    items["b"] += channel * (items["kind"] == OPERAND)
    return np.repeat(first_slot[axon], reach) + channel, items


def _deliveries(image: CoreImage, number: int, slot: Array, items: Array) -> list[Delivery]:
    """Targets of one connection, those reached through the same rows with the same delay together."""
    link, (weights, delays) = image.rows(CONNECTIONS)[number], connection_of(image, number)
    base, columns = image.rows(PORTS)["first"][link["port"]], link["columns"]
    order = np.lexsort((slot, items["a"], items["b"]))
    slot, row, target = slot[order], items["a"][order], items["b"][order]
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


def addresses_read(image: CoreImage) -> Array:
    """Inbox addresses that some instruction reads; the others are holes of irregular pieces."""
    live = np.zeros(len(image.tables["port_init"]), dtype=bool)
    for item in (i for unit in image.units for i in unit.program if i.op == "synapse"):
        (port,), index = item.ports, image.gather(item.numbers["from"], item.size)
        live[image.port(port)] |= True if index is None else np.isin(np.arange(image.port_size(port)), index)
    return live


def wrong(image: CoreImage) -> Iterator[Found]:
    """Items that lead beyond what they feed; columns are as declared."""
    if len(image.ports_of) != len(image.tables["ports"]):
        yield Found("ports", len(image.ports_of), "not every port has an owner")
    axon, items = _fed(image)
    channels = image.rows(AXONS)["channels"]
    widest = max(len(image.tables["rows"]), len(image.tables["channels"]), 1)
    yield from outside("axons", channels, 1, widest + 1, "an axon has more channels than anything reads")
    row, reach = items["kind"] == ROW, channels[axon]
    yield from _wrong_rows(image, items[row], reach[row])
    yield from _wrong_operands(image, items[~row], reach[~row])


def _wrong_rows(image: CoreImage, items: Array, reach: Array) -> Iterator[Found]:
    links = image.rows(CONNECTIONS)
    unknown = list(outside("items", items["id"], 0, len(links), "an item names no connection"))
    yield from unknown
    if not unknown:
        link = links[items["id"]]
        room, cause = image.rows(PORTS)["size"][link["port"]], "an item reads rows beyond its connection"
        yield from beyond("items", items["a"], reach, link["rows"], cause)
        yield from beyond("items", items["b"], link["columns"], room, "an item writes beyond its port")


def _wrong_operands(image: CoreImage, items: Array, reach: Array) -> Iterator[Found]:
    ports, channels = image.rows(PORTS), image.tables["channels"]
    unknown = list(outside("items", items["id"], 0, len(ports), "an item names no port"))
    unknown += beyond("items", items["b"], reach, len(channels), "an item reads channels beyond their table")
    yield from unknown
    if not unknown:
        offset = channels[runs(items["b"], reach)].astype(np.int64)
        slot = np.where(offset < 0, 0, np.repeat(items["a"], reach) + offset)
        room = np.repeat(ports["size"][items["id"]], reach)
        yield from outside("channels", slot, 0, room, "a channel leaves its port")
