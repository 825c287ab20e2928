"""What leaves a core: which elements of which vector are sent, where their messages go, and what can be recorded.

Elements of a value that share a position share their routes; the channel is what a message says beside its payload.
Messages leave in the order in which the elements of an export are listed, and they are listed mixed (:func:`mixed`):
cores that send to the same receivers would otherwise all visit them in the same order, one receiver busy and the others
idle, since buffers hold a few packets only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..array import Array
from ..errors import MappingError, Problem
from .arrivals import Receiver
from .tables import LARGEST, Column, Found, Table, Tables, beyond, outside, runs
from .types import HOST, CoreImage, Place, TableArray

EVERY = -1  # a turn
#: vectors that leave; ``bits``: of one message on the wire, address and payload; ``turn``: in which alone, -1: in all
EXPORTS = Table("exports", np.int32, (
    Column("unit"), Column("instruction"), Column("first", of="sends", count="elements"), Column("elements"),
    Column("channels", 1, LARGEST), Column("bits"), Column("turn", EVERY),
))  # fmt: skip
#: elements of an export, in the order in which their messages leave
SENDS = Table("sends", np.int32, (Column("element"), Column("position"), Column("channel")))
#: where the messages of a position go: channels with ``masks[mask + channel]`` set, to ``axon`` with the channel in the
#: message, or (spread) to axon + channel with channel 0; chip -1 is the host
ROUTES = Table("routes", np.int32, (
    Column("export", of="exports"), Column("position"),
    Column("chip", HOST), Column("x", HOST), Column("y", HOST), Column("slot"),
    Column("axon"), Column("mask", of="masks"), Column("spread", high=2),
))  # fmt: skip
MASKS = Table("masks", np.uint8)
#: probes: flat index in the whole value of each local element
ELEMENTS = Table("elements", np.int32)
TABLES = (EXPORTS, SENDS, ROUTES, MASKS, ELEMENTS)
GOLDEN_RATIO = (5**0.5 - 1) / 2
PLACE = ("chip", "x", "y", "slot")  # columns of a route that name an image


def add_probe(tables: Tables, flat: Array) -> TableArray:
    """Where the local elements of an instruction, which are recorded, lie in the whole value."""
    return TableArray(tables.share(ELEMENTS, flat), flat.shape)


def mixed(count: int) -> Array:
    """0 .. count - 1 in an order any stretch of which is spread evenly over all of them."""
    order: Array = np.argsort(np.arange(count) * GOLDEN_RATIO % 1.0, kind="stable")
    return order


@dataclass(frozen=True, eq=False)
class Bundle:
    """What one export sends to one core: its elements and the receiver's slots, in parallel."""

    target: int
    elements: Array
    slots: Array
    distinct: bool


@dataclass(frozen=True, eq=False)
class Export:
    """A vector that leaves its core, by destination; ``bits``: of a message, ``when``: in which turn, -1: in all.

    ``elements``: those that leave, in the order in which their messages do.
    """

    unit: int
    instruction: int
    bits: int
    when: int
    elements: Array
    bundles: tuple[Bundle, ...]

    def turn(self, elements: Array) -> Array:
        """The places of some of its elements in that order."""
        by_element = np.argsort(self.elements)
        found: Array = by_element[np.searchsorted(self.elements[by_element], elements)]
        return found


def places(images: Iterable[CoreImage]) -> dict[Place, int]:
    """The number of each image by its place."""
    return {image.place: number for number, image in enumerate(images)}


def exports(image: CoreImage, places: Mapping[Place, int], receivers: Sequence[Receiver]) -> list[Export]:
    """All sends of a core, routes resolved; raises MappingError ND586 for a route that leads nowhere."""
    routes, sends = image.rows(ROUTES), image.rows(SENDS)
    target = np.array([places.get(place, -1) for place in routes[[*PLACE]].tolist()], dtype=np.int64)
    if (target < 0).any():
        lost = int(np.argmax(target < 0))
        chip, x, y, slot = (routes[name][lost] for name in PLACE)
        raise _lost(image, lost, f"chip {chip} ({x},{y}) slot {slot}", "a core that has an image")
    made = []
    for index, export in enumerate(image.rows(EXPORTS)):
        mine = np.flatnonzero(routes["export"] == index)
        sent = sends[export["first"] : export["first"] + export["elements"]]
        bundles = []
        for other in np.unique(target[mine]).tolist():
            number = mine[target[mine] == other]
            bundles.append(_bundle(image, number, routes[number], sent, other, receivers[other]))
        unit, instruction, bits, when = (int(export[key]) for key in ("unit", "instruction", "bits", "turn"))
        made.append(Export(unit, instruction, bits, when, sent["element"], tuple(bundles)))
    return made


def _bundle(
    image: CoreImage, number: Array, routes: Array, sends: Array, target: int, other: Receiver
) -> Bundle:
    """Joins an export's elements with its routes to one core (and their numbers) by position."""
    sends = sends[np.argsort(sends["position"], kind="stable")]
    low, high = (np.searchsorted(sends["position"], routes["position"], side) for side in ("left", "right"))
    sends = sends[runs(low, high - low)]
    number, routes = (np.repeat(part, high - low) for part in (number, routes))
    kept = image.tables["masks"][routes["mask"] + sends["channel"]] != 0
    sends, number, routes = sends[kept], number[kept], routes[kept]
    spread, channel = routes["spread"] != 0, sends["channel"]
    axon, channel = routes["axon"] + channel * spread, channel * ~spread
    widths = np.diff(other.first_slot, append=other.slots)
    known = axon < len(widths)
    known[known] = channel[known] < widths[axon[known]]
    if not known.all():
        bad = int(np.argmin(known))
        found = f"axon {axon[bad]} channel {channel[bad]}"
        raise _lost(image, int(number[bad]), found, f"{len(widths)} axons at the destination")
    slots = other.first_slot[axon] + channel
    return Bundle(target, sends["element"], slots, len(np.unique(slots)) == len(slots))


def _lost(image: CoreImage, route: int, found: str, limit: str) -> MappingError:
    where = f"{image.name}: routes entry {route}"
    return MappingError(Problem("ND586", "a route leads nowhere", where, found, limit))


def origins(image: CoreImage, unit: int) -> list[tuple[Array, Array]]:
    """For each instruction of a unit the (instruction, element) its elements are copies of: Views are looked through.

    Padding, and what a View copies from a constant, has the View itself as its origin.
    """
    program = image.units[unit].program
    table: list[tuple[Array, Array]] = []
    for number, item in enumerate(program):
        origin, element = np.full(item.size, number), np.arange(item.size)
        for operand in item.operands if item.op == "view" else ():
            index = image.gather(operand.start, item.size)
            index = np.arange(item.size) if index is None else index
            shown = np.flatnonzero(index >= 0)
            if program[operand.source].op != "const":
                origin[shown] = table[operand.source][0][index[shown]]
                element[shown] = table[operand.source][1][index[shown]]
        table.append((origin, element))
    return table


def wrong(image: CoreImage) -> Iterator[Found]:
    """Exports of what is not there, and routes without a mask; columns are as declared."""
    exports, sends, routes = (image.rows(table) for table in (EXPORTS, SENDS, ROUTES))
    sent_by = exports[["unit", "instruction"]].tolist()
    sizes = np.array([_size(image, *pair) for pair in sent_by], dtype=np.int64)
    yield from outside("exports", sizes, 0, LARGEST, "an export of no instruction")
    sent, own = sends[runs(exports["first"], exports["elements"])], exports["elements"]
    element, channels = sent["element"], np.repeat(exports["channels"], own)
    yield from outside("sends", element, 0, np.repeat(sizes, own), "an element that is not there is sent")
    yield from outside("sends", sent["channel"], 0, channels, "a channel that is not there is sent")
    wanted = exports["channels"][routes["export"]]
    yield from beyond("routes", routes["mask"], wanted, len(image.tables["masks"]), "a mask does not exist")


def _size(image: CoreImage, unit: int, instruction: int) -> int:
    """Size of an instruction's vector; -1 where there is no such instruction."""
    program = image.units[unit].program if unit < len(image.units) else ()
    return program[instruction].size if instruction < len(program) else -1
