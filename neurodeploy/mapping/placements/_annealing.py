"""Simulated annealing in every chip over swaps of two places, with the exact load of every link, compiled.

Cost: hops + SHARE x the fullest link. Messages are whole units, so that what is kept from swap to swap stays exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from scipy.sparse import csr_array

from ...array import Array
from ...target_schema import Chip
from ..routes import PORT
from ._base import in_line, snake

UNITS = 2**40  # of all messages together
SHARE = 8.0  # hops that one message less on the fullest link is worth
NEAR = 0.5  # share of the tries that move a core beside one that it talks to
WARM = 1.0  # first temperature, in mean hops of a core's messages
COLD = 1e-2  # last temperature, as a share of the first
TRIES = 16  # per core and core of its chip: few flows take long to order
MOST = 20_000_000  # tries per core x flows, some seconds' worth: many flows are ordered soon
FEWEST = 30  # tries per core all the same


def annealed(on: Array, ends: Array, messages: Array, chip: Chip) -> Array:
    """The place of each core along the snake of its chip ``on``; ``ends`` (2, flows), -1 is the host.

    No chip has more hops or a fuller link than with its cores in order. Always the same for the same messages.
    """
    return annealing(on, ends, messages, chip)[0]


def annealing(on: Array, ends: Array, messages: Array, chip: Chip) -> tuple[Array, Array, Array]:
    """As :func:`annealed`, with the load of every link (chips, 4, y, x), and the units of each flow that it is in."""
    slots = snake(chip).astype(np.int64)
    units = np.rint(messages * (UNITS / max(messages.sum(), 1e-300))).astype(np.int64)
    first = np.full((chip.routers_y, chip.routers_x), -1)  # place along the snake of a router's first core
    first[slots[::-1, 1], slots[::-1, 0]] = np.arange(len(slots))[::-1]
    order = np.argsort(on, kind="stable")
    members = order, np.searchsorted(on[order], np.arange(int(on.max(initial=-1)) + 2))
    tries = max(FEWEST, MOST // max(len(messages), 1))
    mesh = slots, first, chip.cores_per_router, np.array(PORT)
    place = in_line(on)
    loads = _anneal(place, members, _partners(on, ends, units), mesh, tries)
    return place, loads, units


def _partners(on: Array, ends: Array, units: Array) -> tuple[Array, ...]:
    """CSR of the partners of every core on its chip, what it sends to and takes from each; the same from and to ports.

    What goes to another chip or to the host passes the port.
    """
    cores = len(on)
    source, target = ends
    local = (ends >= 0).all(axis=0)
    local[local] = on[source[local]] == on[target[local]]
    out, into = ~local & (source >= 0), ~local & (target >= 0)
    away = np.bincount(source[out], units[out], cores).astype(np.int64)
    home = np.bincount(target[into], units[into], cores).astype(np.int64)
    pairs = source[local], target[local]
    # Both have an entry wherever either does.
    none = np.zeros_like(units[local])
    shape = cores, cores
    sent = csr_array((np.r_[units[local], none], (np.r_[pairs], np.r_[pairs[::-1]])), shape=shape)
    taken = csr_array((np.r_[none, units[local]], (np.r_[pairs], np.r_[pairs[::-1]])), shape=shape)
    for matrix in (sent, taken):
        matrix.sum_duplicates()
    return sent.indptr.astype(np.int64), sent.indices.astype(np.int64), sent.data, taken.data, away, home


def _kept(function: Any) -> Any:
    """njit, with the machine code kept on disk where numba finds a place for it."""
    try:
        return njit(function, nogil=True, error_model="numpy", cache=True)
    except RuntimeError:
        return njit(function, nogil=True, error_model="numpy")


@_kept
def _walk(loads: Any, x: int, y: int, to_x: int, to_y: int, amount: int) -> None:
    """Adds a flow to the links of its way, x first, as :func:`..routes.route`."""
    while x < to_x:
        loads[0, y, x] += amount
        x += 1
    while x > to_x:
        loads[1, y, x] += amount
        x -= 1
    while y < to_y:
        loads[2, y, x] += amount
        y += 1
    while y > to_y:
        loads[3, y, x] += amount
        y -= 1


@_kept
def _move(loads: Any, place: Any, flows: Any, mesh: Any, core: int, other: int, sign: int) -> None:
    """Adds all flows of a core, or takes them away; those with the core ``other`` are left out."""
    first, partner, sent, taken, away, home = flows
    slots, port = mesh[0], mesh[3]
    x, y = slots[place[core], 0], slots[place[core], 1]
    for i in range(first[core], first[core + 1]):
        if partner[i] != other:
            at_x, at_y = slots[place[partner[i]], 0], slots[place[partner[i]], 1]
            if sent[i]:
                _walk(loads, x, y, at_x, at_y, sign * sent[i])
            if taken[i]:
                _walk(loads, at_x, at_y, x, y, sign * taken[i])
    if away[core]:
        _walk(loads, x, y, port[0], port[1], sign * away[core])
    if home[core]:
        _walk(loads, port[0], port[1], x, y, sign * home[core])


@_kept
def _longer(place: Any, flows: Any, mesh: Any, core: int, other: int, to: int) -> int:
    """By how many hops the ways of a core grow at the place ``to``; those with the core ``other`` stay as long."""
    first, partner, sent, taken, away, home = flows
    slots, port = mesh[0], mesh[3]
    x, y, to_x, to_y = slots[place[core], 0], slots[place[core], 1], slots[to, 0], slots[to, 1]
    before, after = abs(x - port[0]) + abs(y - port[1]), abs(to_x - port[0]) + abs(to_y - port[1])
    found: int = (after - before) * (away[core] + home[core])
    for i in range(first[core], first[core + 1]):
        if partner[i] != other:
            at_x, at_y = slots[place[partner[i]], 0], slots[place[partner[i]], 1]
            before, after = abs(x - at_x) + abs(y - at_y), abs(to_x - at_x) + abs(to_y - at_y)
            found += (after - before) * (sent[i] + taken[i])
    return found


@_kept
def _aim(place: Any, flows: Any, mesh: Any, core: int) -> int:
    """A place for a core to try: any, or one on or beside the router of a partner; -1 where that is none."""
    first, partner = flows[0], flows[1]
    slots, index, each = mesh[0], mesh[1], mesh[2]
    count = first[core + 1] - first[core]
    if count == 0 or np.random.random() >= NEAR:
        return int(np.random.randint(len(slots)))
    there = place[partner[first[core] + np.random.randint(count)]]
    x, y = slots[there, 0] + np.random.randint(3) - 1, slots[there, 1] + np.random.randint(3) - 1
    if not (0 <= x < index.shape[1] and 0 <= y < index.shape[0]) or index[y, x] < 0:
        return -1
    to: int = index[y, x] + np.random.randint(each)
    return to if to < len(slots) else -1


@_kept
def _anneal(place: Any, members: Any, flows: Any, mesh: Any, tries: int) -> Any:
    """Gives ``place`` the best places found, chip by chip, and returns the loads of the links (chips, 4, y, x)."""
    order, start = members
    high, wide = mesh[1].shape
    found = np.zeros((len(start) - 1, 4, high, wide), np.int64)
    for chip in range(len(start) - 1):
        np.random.seed(chip)
        _anneal_chip(place, order[start[chip] : start[chip + 1]], flows, mesh, tries, found[chip])
    return found


@_kept
def _copy(loads: Any, to: Any) -> None:
    """Element by element: an assignment to a slice takes numba two seconds to compile."""
    for side in range(loads.shape[0]):
        for y in range(loads.shape[1]):
            for x in range(loads.shape[2]):
                to[side, y, x] = loads[side, y, x]


@_kept
def _count(loads: Any, place: Any, cores: Any, flows: Any, mesh: Any) -> None:
    """Adds all flows of a chip, each once."""
    first, partner, sent, _, away, home = flows
    slots, port = mesh[0], mesh[3]
    for core in cores:
        x, y = slots[place[core], 0], slots[place[core], 1]
        for i in range(first[core], first[core + 1]):
            _walk(loads, x, y, slots[place[partner[i]], 0], slots[place[partner[i]], 1], sent[i])
        _walk(loads, x, y, port[0], port[1], away[core])
        _walk(loads, port[0], port[1], x, y, home[core])


@_kept
def _exchange(loads: Any, place: Any, flows: Any, mesh: Any, core: int, other: int, to: int) -> None:
    """Puts a core at the place ``to``, and the core that is there, if any, at the place of the first."""
    here = place[core]
    for sign in (-1, 1):  # first what goes is taken away, then added where it comes
        if sign > 0:
            place[core] = to
            if other >= 0:
                place[other] = here
        _move(loads, place, flows, mesh, core, -1, sign)
        if other >= 0:
            _move(loads, place, flows, mesh, other, core, sign)


@_kept
def _grown(place: Any, flows: Any, mesh: Any, core: int, other: int, to: int) -> int:
    """By how many hops all ways grow if a core and the one at the place ``to``, if any, change places."""
    found: int = _longer(place, flows, mesh, core, other, to)
    return found + _longer(place, flows, mesh, other, core, place[core]) if other >= 0 else found


@_kept
def _remember(place: Any, cores: Any, kept: Any) -> None:
    for i in range(len(cores)):
        kept[i] = place[cores[i]]


@_kept
def _anneal_chip(place: Any, cores: Any, flows: Any, mesh: Any, tries: int, found: Any) -> None:
    """One chip; ``found``, which is empty, is given the loads of its links at the best places."""
    slots = mesh[0]
    holder, kept = np.full(len(slots), -1), np.zeros(len(cores), np.int64)
    for core in cores:
        holder[place[core]] = core
    _count(found, place, cores, flows, mesh)
    _remember(place, cores, kept)
    loads, trial, hops, peak = found.copy(), found.copy(), found.sum(), found.max()
    most_hops, most_peak = hops, peak
    cost = best = hops + SHARE * peak
    warm, total = WARM * hops / max(len(cores), 1), min(tries, TRIES * len(cores)) * len(cores)
    for step in range(total if hops else 0):
        core = cores[np.random.randint(len(cores))]
        to, here = _aim(place, flows, mesh, core), place[core]
        if to < 0 or (slots[here, 0] == slots[to, 0] and slots[here, 1] == slots[to, 1]):
            continue
        allowed = -warm * COLD ** (step / total) * np.log(1.0 - np.random.random())
        other = holder[to]
        change = _grown(place, flows, mesh, core, other, to)
        if change - SHARE * peak > allowed:
            continue  # whatever becomes of the fullest link
        _copy(loads, trial)
        _exchange(trial, place, flows, mesh, core, other, to)
        fullest = trial.max()
        if hops + change + SHARE * fullest - cost > allowed:
            place[core] = here
            if other >= 0:
                place[other] = to
            continue
        hops, peak, cost = hops + change, fullest, hops + change + SHARE * fullest
        holder[here], holder[to] = other, core
        loads, trial = trial, loads
        if cost < best and hops <= most_hops and peak <= most_peak:
            best = cost
            _copy(loads, found)
            _remember(place, cores, kept)
    for i in range(len(cores)):
        place[cores[i]] = kept[i]
