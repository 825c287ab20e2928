"""What the names of routers say: on which chip they are, and whether a packet leaves the chip or reaches the host."""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from ..array import Array
from ..ir.trace import Events

HOST = "host"
#: classes a link can belong to; each has its own cost
CLASSES = ("mesh", "chip", "host")


@cache
def place(router: str) -> tuple[int, int, int] | None:
    """(chip, x, y) of a router by the numbers in its name, the chip being 0 where only two are given; None: host."""
    numbers = [int(n) for n in re.findall(r"\d+", router)]
    if router.startswith(HOST) or len(numbers) < 2:
        return None
    return (*([0, *numbers] if len(numbers) == 2 else numbers)[:3],)  # type: ignore[return-value]


def link_class(link: tuple[str, str]) -> str:
    """``host`` if either end is the host, ``chip`` between two chips, else ``mesh``."""
    ends = [place(end) for end in link]
    if None in ends:
        return "host"
    return "mesh" if ends[0][0] == ends[1][0] else "chip"  # type: ignore[index]


def packets(events: Events, kind: str) -> Array:
    """Packets per step over all links of one class, (steps,), mean per inference."""
    chosen = [np.asarray(load) for link, load in events.links.items() if link_class(link) == kind]
    return np.sum(chosen, axis=0) if chosen else np.zeros(events.steps)


def busiest(events: Events, kind: str) -> Array:
    """Packets per step on the fullest link of one class, (steps,), mean per inference."""
    chosen = [np.asarray(load) for link, load in events.links.items() if link_class(link) == kind]
    return np.max(chosen, axis=0) if chosen else np.zeros(events.steps)
