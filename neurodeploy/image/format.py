"""All tables of an image, and the check of one: an image from a file is hostile until every index is in bounds."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import MappingError, Problem
from . import arrivals, departures, programs, synapses
from .tables import Found, Table
from .types import CoreImage

FORMAT = 2
PARTS = (synapses, arrivals, departures, programs)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        synapses.SYNAPSES,
        synapses.ROWS,
        synapses.CONNECTIONS,
        arrivals.AXONS,
        arrivals.ITEMS,
        arrivals.CHANNELS,
        arrivals.PORTS,
        arrivals.PORT_INIT,
        programs.GATHER,
        programs.VALUES,
        programs.STATE,
        departures.EXPORTS,
        departures.SENDS,
        departures.ROUTES,
        departures.MASKS,
        programs.ELEMENTS,
    )
}


def checked(image: CoreImage) -> CoreImage:
    """The image itself; raises MappingError ND580 with every problem found."""
    # What a part checks presumes that all columns are as they were declared.
    found = list(_declared(image)) or [finding for part in PARTS for finding in part.wrong(image)]
    if found:
        raise MappingError([_problem(image, finding) for finding in found])
    return image


def _declared(image: CoreImage) -> Iterator[Found]:
    sizes = {name: len(array) for name, array in image.tables.items()}
    for name, table in TABLES.items():
        yield from table.wrong(image.tables[name], sizes)


def _problem(image: CoreImage, found: Found) -> Problem:
    known = found.place in image.tables
    limit = f"table of {len(image.tables[found.place])} entries" if known else ""
    cause = f"a memory image is inconsistent: {found.cause}"
    return Problem("ND580", cause, f"{image.name}: {found.place}", str(found.found), limit)
