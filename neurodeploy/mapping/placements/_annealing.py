"""Simulated annealing over swaps of two places, with the exact load of every link, compiled: cores in every chip, and
chips on their board.

Cost: hops + SHARE x the fullest link. Messages are whole units, so that what is kept from swap to swap stays exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array

from ...array import Array
from ...jit import SLOWER, kept
from ...target import Target
from ..bundles import Bundles
from ..routes import legs, outside
from ..topology import Topology
from ._base import in_line, snake

UNITS = 2**40  # of all messages together
SHARE = 8.0  # hops that one message less on the fullest link is worth
NEAR = 0.5  # share of the tries that move a core beside one that it talks to
WARM = 1.0  # first temperature, in mean hops of a core's messages
COLD = 1e-2  # last temperature, as a share of the first
TRIES = 16  # per core and core of its chip: few flows take long to order
MOST = 20_000_000  # tries per core x flows, some seconds' worth: many flows are ordered soon
WIDEST = 2_000_000  # tries per chip x links of its board, which every try looks at
FEWEST = 30  # tries per core all the same


def annealed(on: Array, sent: Bundles, target: Target) -> Array:
    """The place of each core along the snake of its chip ``on``; ends of ``sent`` are cores, -1 is the host.

    No chip has more hops or a fuller link than with its cores in order. Always the same for the same messages.
    """
    return annealing(on, sent, target)[0]


def annealing(on: Array, sent: Bundles, target: Target) -> tuple[Array, Array, Array]:
    """As :func:`annealed`, with the load of every link (chips, 4, y, x), and the units of each bundle that it is in."""
    chip, units = target.chip, _units(sent.messages)
    slots = _spots(snake(chip).T)
    first = np.full((1, chip.routers_y, chip.routers_x), -1)  # place along the snake of a router's first core
    first[0, slots[::-1, 1], slots[::-1, 0]] = np.arange(len(slots))[::-1]
    ports, flows, bunches, through = _inside(on, sent, units, Topology.of(target))
    order, chips = np.argsort(on, kind="stable"), len(through)
    members = order, np.searchsorted(on[order], np.arange(chips + 1)), bunches[0]
    mesh = np.concatenate([slots, _spots(ports.T)]), len(slots), first, chip.cores_per_router
    place, tries = in_line(on), max(FEWEST, MOST // SLOWER // max(len(sent.row), 1))
    found = _anneal(place, members, flows, bunches[1:], mesh, through, tries)
    return place, found[:, :, 0], units


def _inside(on: Array, sent: Bundles, units: Array, topology: Topology) -> tuple[Array, Any, Any, Array]:
    """Ports, flows and bunches of every chip, and what passes it from port to port."""
    if not sent.shared:
        abroad = outside(on, sent.ends, units, topology)
        local = (sent.ends >= 0).all(axis=0)
        local[local] = on[sent.ends[0, local]] == on[sent.ends[1, local]]
        away, home, through = map(_whole, (abroad.away, abroad.home, abroad.through))
        flows = *_partners(sent.ends[:, local], units[local], len(on)), away, home
        none = np.zeros((4, 0), np.int64)
        return abroad.ports, flows, _bunches(none, units, len(on), len(through)), through
    ways = legs(on, sent, topology)
    ports, chips = len(ways.ports), int(max(ways.chip.max(initial=-1), on.max(initial=-1))) + 1
    every = np.stack([ways.row, ways.chip, ways.start, ways.end])
    alone = _alone(every)
    row, at, start, end = every[:, alone]
    amount, away, home = units[row], *np.zeros((2, len(on), ports), np.int64)
    inside, leaves, enters = (start >= 0) & (end >= 0), (start >= 0) & (end < 0), (start < 0) & (end >= 0)
    np.add.at(away, (start[leaves], -1 - end[leaves]), amount[leaves])
    np.add.at(home, (end[enters], -1 - start[enters]), amount[enters])
    through, passes = np.zeros((chips, ports, ports), np.int64), (start < 0) & (end < 0)
    np.add.at(through, (at[passes], -1 - start[passes], -1 - end[passes]), amount[passes])
    flows = *_partners(np.stack([start, end])[:, inside], amount[inside], len(on)), away, home
    return ways.ports, flows, _bunches(every[:, ~alone], units, len(on), chips), through


def _alone(legs: Array) -> Array:
    """Whether each of some legs (row, chip, start, end) is the only one of its bundle on its chip."""
    new = (np.diff(legs[:2], axis=1, prepend=-1) != 0).any(axis=0)
    alone: Array = new & np.append(new[1:], True)[: len(new)]
    return alone


def _bunches(legs: Array, units: Array, cores: int, chips: int) -> tuple[Array, ...]:
    """Ways of one packet to several places of a chip, of legs (row, chip, start, end) in order.

    Where those of each chip begin, among all; of every core where its own begin, and their numbers; where the places of
    each begin, the places, its start first; its units.
    """
    legs = legs[:, np.argsort(legs[1], kind="stable")]
    new = np.flatnonzero((np.diff(legs[:2], axis=1, prepend=-1) != 0).any(axis=0))
    row, chip, start, end = legs
    pins, starts = np.insert(end, new, start[new]), np.append(new, len(end))
    starts = starts + np.arange(len(starts))
    bunch = np.repeat(np.arange(len(new)), np.diff(starts))
    core = pins >= 0
    held = csr_array((np.ones(core.sum()), (pins[core], bunch[core])), shape=(cores, len(new)))
    held.sum_duplicates()
    first, numbers = held.indptr.astype(np.int64), held.indices.astype(np.int64)
    return np.searchsorted(chip[new], np.arange(chips + 1)), first, numbers, starts, pins, units[row[new]]


def on_board(on: Array, sent: Bundles, target: Target) -> Array:
    """The chip of each core once chips have places on their board, given which cores share one.

    Neither crossings nor the fullest link between chips are more than with the chips in order.
    """
    topology, count = Topology.of(target), int(on.max(initial=-1)) + 1
    if not topology.sides or count < 2:
        return on
    slots = _spots(topology.spots(np.arange(max(target.chips, count))))
    places = np.full(slots.max(axis=0)[::-1] + 1, -1)
    places[tuple(slots.T[::-1])] = np.arange(len(slots))
    between = sent.gathered(np.append(on, -1)).without_host().merged(count)
    units, none = _units(between.messages), np.zeros((count, 0), np.int64)
    every = np.stack([between.row, np.zeros_like(between.row), *between.ends])
    alone = _alone(every)
    flows = *_partners(between.ends[:, alone], units[between.row[alone]], count), none, none
    bunches = _bunches(every[:, ~alone], units, count, 1)
    members, place = (np.arange(count), np.array([0, count]), bunches[0]), np.arange(count)
    mesh = slots, len(slots), places, 1
    tries = max(FEWEST, min(MOST // max(len(between.row), 1), WIDEST // (6 * places.size)) // SLOWER)
    _anneal(place, members, flows, bunches[1:], mesh, np.zeros((1, 0, 0), np.int64), tries)
    return place[on]


def _units(messages: Array) -> Array:
    return _whole(messages * (UNITS / (messages.sum() or 1.0)))


def _whole(amounts: Array) -> Array:
    return np.rint(amounts).astype(np.int64)


def _spots(axes: Array) -> Array:
    """(places, 3) x, y and z, from the axes that there are."""
    found = np.zeros((len(axes[0]), 3), dtype=np.int64)
    found[:, : len(axes)] = np.stack([*axes], axis=1)
    return found


def _partners(ends: Array, units: Array, count: int) -> tuple[Array, ...]:
    """CSR of the partners of every core on its chip, what it sends to and takes from each."""
    # Both have an entry wherever either does.
    none, pairs, shape = np.zeros_like(units), (ends[0], ends[1]), (count, count)
    sent = csr_array((np.r_[units, none], (np.r_[pairs], np.r_[pairs[::-1]])), shape=shape)
    taken = csr_array((np.r_[none, units], (np.r_[pairs], np.r_[pairs[::-1]])), shape=shape)
    for matrix in (sent, taken):
        matrix.sum_duplicates()
    return sent.indptr.astype(np.int64), sent.indices.astype(np.int64), sent.data, taken.data


@kept
def _walk(loads: Any, spots: Any, start: int, end: int, amount: int) -> None:
    """Adds a flow to the links of its way, x first, then y, then z, as :func:`..routes.route`."""
    x, y, z = spots[start, 0], spots[start, 1], spots[start, 2]
    to_x, to_y, to_z = spots[end, 0], spots[end, 1], spots[end, 2]
    while x < to_x:
        loads[0, z, y, x] += amount
        x += 1
    while x > to_x:
        loads[1, z, y, x] += amount
        x -= 1
    while y < to_y:
        loads[2, z, y, x] += amount
        y += 1
    while y > to_y:
        loads[3, z, y, x] += amount
        y -= 1
    while z < to_z:
        loads[4, z, y, x] += amount
        z += 1
    while z > to_z:
        loads[5, z, y, x] += amount
        z -= 1


@kept
def _at(place: Any, pin: int, places: int) -> int:
    """The spot of a core, or of a port, -1 less its number."""
    return int(place[pin]) if pin >= 0 else places - 1 - pin


@kept
def _tree(loads: Any, seen: Any, place: Any, bunches: Any, mesh: Any, bunch: int, amount: int) -> int:
    """Adds a packet to the links of its ways to several places, each once, and returns how many links these are."""
    starts, pins = bunches[2], bunches[3]
    spots, places = mesh[0], mesh[1]
    seen[0, 0, 0, 0] += 1
    number, count = seen[0, 0, 0, 0], 0
    origin = _at(place, pins[starts[bunch]], places)
    for i in range(starts[bunch] + 1, starts[bunch + 1]):
        here, goal = spots[origin].copy(), spots[_at(place, pins[i], places)]
        for axis in range(3):
            while here[axis] != goal[axis]:
                down = here[axis] > goal[axis]
                side = 2 * axis + down
                if seen[side + 1, here[2], here[1], here[0]] != number:
                    seen[side + 1, here[2], here[1], here[0]] = number
                    loads[side, here[2], here[1], here[0]] += amount
                    count += 1
                here[axis] += -1 if down else 1
    return count


@kept
def _trees(
    loads: Any, seen: Any, place: Any, bunches: Any, mesh: Any, core: int, other: int, sign: int
) -> int:
    """Adds all bunches of a core, or takes them away, or neither; those with the core ``other`` are left out.

    Returns their hops.
    """
    first, numbers, starts, pins, units = bunches
    hops = 0
    for i in range(first[core], first[core + 1]):
        bunch, both = numbers[i], False
        for j in range(starts[bunch], starts[bunch + 1]):
            both = both or (pins[j] == other and other >= 0)
        if not both:
            hops += units[bunch] * _tree(loads, seen, place, bunches, mesh, bunch, sign * units[bunch])
    return hops


@kept
def _far(spots: Any, a: int, b: int) -> int:
    """Hops between two spots."""
    apart: int = (
        abs(spots[a, 0] - spots[b, 0]) + abs(spots[a, 1] - spots[b, 1]) + abs(spots[a, 2] - spots[b, 2])
    )
    return apart


@kept
def _move(loads: Any, place: Any, flows: Any, mesh: Any, core: int, other: int, sign: int) -> None:
    """Adds all flows of a core, or takes them away; those with the core ``other`` are left out."""
    first, partner, sent, taken, away, home = flows
    spots, places = mesh[0], mesh[1]
    here = place[core]
    for i in range(first[core], first[core + 1]):
        if partner[i] != other:
            there = place[partner[i]]
            if sent[i]:
                _walk(loads, spots, here, there, sign * sent[i])
            if taken[i]:
                _walk(loads, spots, there, here, sign * taken[i])
    for p in range(away.shape[1]):
        if away[core, p]:
            _walk(loads, spots, here, places + p, sign * away[core, p])
        if home[core, p]:
            _walk(loads, spots, places + p, here, sign * home[core, p])


@kept
def _longer(place: Any, flows: Any, mesh: Any, core: int, other: int, to: int) -> int:
    """By how many hops the ways of a core grow at the place ``to``; those with the core ``other`` stay as long."""
    first, partner, sent, taken, away, home = flows
    spots, places = mesh[0], mesh[1]
    here, found = place[core], 0
    for p in range(away.shape[1]):
        amount = away[core, p] + home[core, p]
        if amount:
            found += (_far(spots, to, places + p) - _far(spots, here, places + p)) * amount
    for i in range(first[core], first[core + 1]):
        if partner[i] != other:
            there = place[partner[i]]
            found += (_far(spots, to, there) - _far(spots, here, there)) * (sent[i] + taken[i])
    return found


@kept
def _aim(place: Any, flows: Any, mesh: Any, core: int) -> int:
    """A place for a core to try: any, or one on or beside the router of a partner; -1 where that is none."""
    first, partner = flows[0], flows[1]
    spots, places, index, each = mesh
    count = first[core + 1] - first[core]
    if count == 0 or np.random.random() >= NEAR:
        return int(np.random.randint(places))
    there = place[partner[first[core] + np.random.randint(count)]]
    x, y, z = (
        spots[there, 0] + np.random.randint(3) - 1,
        spots[there, 1] + np.random.randint(3) - 1,
        spots[there, 2],
    )
    if index.shape[0] > 1:
        z += np.random.randint(3) - 1
    if (
        not (0 <= x < index.shape[2] and 0 <= y < index.shape[1] and 0 <= z < index.shape[0])
        or index[z, y, x] < 0
    ):
        return -1
    to: int = index[z, y, x] + np.random.randint(each)
    return to if to < places else -1


@kept
def _anneal(place: Any, members: Any, flows: Any, bunches: Any, mesh: Any, through: Any, tries: int) -> Any:
    """Gives ``place`` the best places found, chip by chip, and returns the loads of the links (chips, sides, z, y, x).

    ``through`` (chips, ports, ports): what passes a chip, wherever its cores lie.
    """
    order, start, bunched = members
    deep, high, wide = mesh[2].shape
    found = np.zeros((len(start) - 1, 6 if deep > 1 else 4, deep, high, wide), np.int64)
    for chip in range(len(start) - 1):
        np.random.seed(chip)
        for a in range(through.shape[1]):
            for b in range(through.shape[2]):
                _walk(found[chip], mesh[0], mesh[1] + a, mesh[1] + b, through[chip, a, b])
        cores = order[start[chip] : start[chip + 1]]
        seen = np.zeros((found.shape[1] + 1, deep, high, wide), np.int64)
        for bunch in range(bunched[chip], bunched[chip + 1]):
            _tree(found[chip], seen, place, bunches, mesh, bunch, bunches[4][bunch])
        _anneal_chip(place, cores, flows, bunches, mesh, tries, found[chip], seen)
    return found


@kept
def _copy(loads: Any, to: Any) -> None:
    """Element by element: an assignment to a slice takes numba two seconds to compile."""
    for side in range(loads.shape[0]):
        for z in range(loads.shape[1]):
            for y in range(loads.shape[2]):
                for x in range(loads.shape[3]):
                    to[side, z, y, x] = loads[side, z, y, x]


@kept
def _count(loads: Any, place: Any, cores: Any, flows: Any, mesh: Any) -> None:
    """Adds all flows of a chip, each once."""
    first, partner, sent, _, away, home = flows
    spots, places = mesh[0], mesh[1]
    for core in cores:
        here = place[core]
        for i in range(first[core], first[core + 1]):
            _walk(loads, spots, here, place[partner[i]], sent[i])
        for p in range(away.shape[1]):
            _walk(loads, spots, here, places + p, away[core, p])
            _walk(loads, spots, places + p, here, home[core, p])


@kept
def _exchange(
    loads: Any, seen: Any, place: Any, flows: Any, bunches: Any, mesh: Any, core: int, other: int, to: int
) -> None:
    """Puts a core at the place ``to``, and the core that is there, if any, at the place of the first."""
    here = place[core]
    for sign in (-1, 1):  # first what goes is taken away, then added where it comes
        if sign > 0:
            place[core] = to
            if other >= 0:
                place[other] = here
        _move(loads, place, flows, mesh, core, -1, sign)
        _trees(loads, seen, place, bunches, mesh, core, -1, sign)
        if other >= 0:
            _move(loads, place, flows, mesh, other, core, sign)
            _trees(loads, seen, place, bunches, mesh, other, core, sign)


@kept
def _grown(place: Any, flows: Any, mesh: Any, core: int, other: int, to: int) -> int:
    """By how many hops all ways grow if a core and the one at the place ``to``, if any, change places."""
    found: int = _longer(place, flows, mesh, core, other, to)
    return found + _longer(place, flows, mesh, other, core, place[core]) if other >= 0 else found


@kept
def _branched(
    loads: Any, seen: Any, place: Any, bunches: Any, mesh: Any, core: int, other: int, to: int
) -> int:
    """By how many hops ways to several places grow if a core and the one at the place ``to``, if any, change places."""
    here, found = place[core], 0
    for sign in (-1, 1):
        if sign > 0:
            place[core] = to
            if other >= 0:
                place[other] = here
        found += sign * _trees(loads, seen, place, bunches, mesh, core, -1, 0)
        if other >= 0:
            found += sign * _trees(loads, seen, place, bunches, mesh, other, core, 0)
    place[core] = here
    if other >= 0:
        place[other] = to
    return int(found)


@kept
def _remember(place: Any, cores: Any, kept: Any) -> None:
    for i in range(len(cores)):
        kept[i] = place[cores[i]]


@kept
def _anneal_chip(
    place: Any, cores: Any, flows: Any, bunches: Any, mesh: Any, tries: int, found: Any, seen: Any
) -> None:
    """One chip; ``found``, which holds what passes it and its bunches, is given the loads at the best places.

    ``seen`` is for :func:`_tree`.
    """
    spots = mesh[0]
    holder, kept = np.full(mesh[1], -1), np.zeros(len(cores), np.int64)
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
        if to < 0 or _far(spots, here, to) == 0:
            continue
        allowed = -warm * COLD ** (step / total) * np.log(1.0 - np.random.random())
        other = holder[to]
        change = _grown(place, flows, mesh, core, other, to)
        if bunches[4].size:
            change += _branched(loads, seen, place, bunches, mesh, core, other, to)
        if change - SHARE * peak > allowed:
            continue  # whatever becomes of the fullest link
        _copy(loads, trial)
        _exchange(trial, seen, place, flows, bunches, mesh, core, other, to)
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
