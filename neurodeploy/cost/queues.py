"""The trains of a step on their way through their stages, service by service, compiled: what :mod:`.contention` says.

Every train passes a tree of stages, a path where it has one receiver. What is kept of it is kept by *entry*, a stage of
its tree: a train that goes on while its last packets still leave is in the queues of several stages at once, and so are
its copies. Queues are linked lists of entries. A blocked stage waits for one other, so who waits is linked by stage.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

import numpy as np

from ..jit import kept


@kept
def served(trees: Any, rows: Any, sizes: Any, room: Any, each: Any, transit: Any) -> tuple[float, int, float]:
    """When the last packet of a step has arrived, and of the chain of services that ends then the stage that takes
    most, with its share of the time; 0, -1 and 0 without trains.

    ``trees``: the stages of all rows, one row after the other, each behind what leads to it; how many places further
    its first copy's next stage stands, and the next one that comes from the same stage, 0: none; and where each row
    begins (rows + 1,). ``rows`` and ``sizes``, in packets, of the trains in the order in which their senders give them
    off. By stage: ``room`` in packets, ``each`` nanoseconds per packet and ``transit`` behind it.
    """
    first, count = _first(trees[3], rows), len(room)
    stages, child, sibling, parent, size = _entries(trees, rows, sizes, first)
    times = np.zeros((2, len(stages)))  # when the first and the last packet of a train came into the stage
    service = np.full(len(stages), -1)  # the latest one of the train, there or before
    behind = np.full(len(stages), -1)  # the next one in the queue
    chain = np.empty((2, len(stages)), np.int64)  # stage and cause of every service; each entry has one
    begin = np.empty(len(stages))
    # First and last entry in the queue, first and last stage that waits for room, the next that waits, latest service.
    marks, load = np.full((6, count), -1), np.zeros(count)
    state = stages, child, sibling, parent, size, times, service, behind, marks, load, room, each, transit
    log, events = (chain, begin, np.zeros(2, np.int64)), [(0.0, 0, 0, False)]
    events.pop()
    _depart(state, log, events, first)
    end, last = _go(state, log, events, np.empty((2, count), np.int64))
    found: tuple[float, int, float] = _critical(chain, begin, end, last, np.zeros(count))
    return found


@kept
def _first(starts: Any, rows: Any) -> Any:
    """The first entry of every train, and behind them the number of all."""
    first = np.zeros(len(rows) + 1, np.int64)
    for train in range(len(rows)):
        first[train + 1] = first[train] + starts[rows[train] + 1] - starts[rows[train]]
    return first


@kept
def _entries(trees: Any, rows: Any, sizes: Any, first: Any) -> Any:
    """Of every entry its stage, the first one that it leads to, the next one beside it, and the one that leads to it,
    -1 where there is none, and the packets of its train."""
    stages, down, beside, starts = trees
    found, size = np.full((4, first[-1]), -1), np.empty(first[-1])
    for train in range(len(rows)):
        for entry in range(first[train], first[train + 1]):
            at = starts[rows[train]] + entry - first[train]
            found[0, entry], size[entry] = stages[at], sizes[train]
            if down[at]:
                found[1, entry], found[3, entry + down[at]] = entry + down[at], entry
            if beside[at]:
                found[2, entry], found[3, entry + beside[at]] = entry + beside[at], found[3, entry]
    return found[0], found[1], found[2], found[3], size


@kept
def _depart(state: Any, log: Any, events: Any, first: Any) -> None:
    """Every train waits at its sender, which has room for all of its own and begins with the first."""
    stages, marks = state[0], state[8]
    for train in range(len(first) - 1):
        _append(state, first[train])
    for train in range(len(first) - 1):
        if marks[0, stages[first[train]]] == first[train]:
            _serve(state, log, events, stages[first[train]], 0.0, -1)


@kept
def _go(state: Any, log: Any, events: Any, leaving: Any) -> tuple[float, int]:
    """Until every train has arrived: when the last one has, and its last service."""
    child, service, marks = state[1], state[6], state[8]
    end, last = 0.0, -1
    while events:
        now, _, stage, whole = heappop(events)
        if whole:
            _leave(state, log, events, leaving, stage, -1, now)
            continue
        entry = marks[0, stage]
        if child[entry] < 0:
            finish = _rest(state, log, events, stage, entry, now)
            if state[4][entry] <= 1.0:
                _leave(state, log, events, leaving, stage, -1, now)
            if finish >= end:
                end, last = finish, service[entry]
            continue
        moved = _copy(state, log, events, stage, now)
        if moved >= 0:
            _leave(state, log, events, leaving, stage, moved, now)
    return end, last


@kept
def _copy(state: Any, log: Any, events: Any, stage: int, now: float) -> int:
    """The first packet of a train has been served and goes on, or one copy of it after the other, or waits for room.

    The entry of the last copy if all packets have left with it; -1 where some are still there.
    """
    stages, child, sibling, _, size, _, _, _, marks, load, room, _, _ = state
    entry = marks[0, stage]
    while True:
        following: int = child[entry]
        if load[stages[following]] >= room[stages[following]]:
            _wait(marks, stage, stages[following])
            return -1
        _append(state, following)
        load[stages[following]] += size[entry]
        if sibling[following] < 0:
            break
        child[entry] = sibling[following]
        _settle(state, log, events, stage, following, _done(state, stage, entry, now), now)
    if size[entry] <= 1.0:
        return following
    _settle(state, log, events, stage, following, _rest(state, log, events, stage, entry, now), now)
    return -1


@kept
def _append(state: Any, entry: int) -> None:
    stages, behind, marks = state[0], state[7], state[8]
    stage = stages[entry]
    if marks[0, stage] < 0:
        marks[0, stage] = entry
    else:
        behind[marks[1, stage]] = entry
    marks[1, stage] = entry


@kept
def _wait(marks: Any, stage: int, following: int) -> None:
    """A stage waits for room in the following one."""
    if marks[2, following] < 0:
        marks[2, following] = stage
    else:
        marks[4, marks[3, following]] = stage
    marks[3, following], marks[4, stage] = stage, -1


@kept
def _push(log: Any, events: Any, time: float, stage: int, whole: bool) -> None:
    log[2][1] += 1  # equal times: first come, first served
    heappush(events, (time, log[2][1], stage, whole))


@kept
def _serve(state: Any, log: Any, events: Any, stage: int, now: float, cause: int) -> None:
    """Service of the first train in the queue begins, once it is there; it has waited for ``cause``."""
    size, times, service, marks, each = state[4], state[5], state[6], state[8], state[11]
    chain, begin, count = log
    entry, number = marks[0, stage], count[0]
    late = times[0, entry] > now
    chain[0, number], chain[1, number] = stage, service[entry] if late else cause
    begin[number] = times[0, entry] if late else now
    service[entry] = marks[5, stage] = number
    count[0] += 1
    _push(log, events, begin[number] + min(size[entry], 1.0) * each[stage], stage, False)


@kept
def _done(state: Any, stage: int, entry: int, now: float) -> float:
    """When the last packet of a train has been served, of which the first one has been now."""
    size, times, each = state[4], state[5], state[11]
    head = min(size[entry], 1.0)
    found: float = max(now + (size[entry] - head) * each[stage], times[1, entry] + head * each[stage])
    return found


@kept
def _rest(state: Any, log: Any, events: Any, stage: int, entry: int, now: float) -> float:
    """As :func:`_done`; the other packets follow."""
    size, each = state[4], state[11]
    if size[entry] > 1.0:
        _push(log, events, now + (size[entry] - 1.0) * each[stage], stage, True)
    found: float = _done(state, stage, entry, now)
    return found


@kept
def _settle(state: Any, log: Any, events: Any, stage: int, entry: int, done: float, now: float) -> None:
    """What has entered its next stage knows when its packets are there, and is served if it is first."""
    stages, parent, times, service, marks, transit = (
        state[0],
        state[3],
        state[5],
        state[6],
        state[8],
        state[12],
    )
    times[0, entry], times[1, entry] = now + transit[stage], done + transit[stage]
    service[entry] = service[parent[entry]]
    if marks[0, stages[entry]] == entry:
        _serve(state, log, events, stages[entry], now, service[entry])


@kept
def _leave(state: Any, log: Any, events: Any, leaving: Any, stage: int, moved: int, now: float) -> None:
    """All of a train has left a stage: the next one is served, and who waited for room comes in.

    Who comes in leaves room behind itself. ``moved``: the entry that it has just come to, if any, or -1.
    """
    parent, service, marks, load, room = state[3], state[6], state[8], state[9], state[10]
    depth, leaving[0, 0], leaving[1, 0] = 0, stage, moved
    _pop(state, log, events, stage, now)
    while depth >= 0:
        here, entry = leaving[0, depth], leaving[1, depth]
        blocked = marks[2, here]
        if blocked < 0 or load[here] >= room[here]:
            if entry >= 0:
                _settle(state, log, events, here, entry, _done(state, here, parent[entry], now), now)
            depth -= 1
            continue
        marks[2, here] = marks[4, blocked]
        # What this train and its stage do next has waited for this stage.
        marks[5, blocked] = service[marks[0, blocked]] = marks[5, here]
        copied = _copy(state, log, events, blocked, now)
        if copied >= 0:
            depth += 1
            leaving[0, depth], leaving[1, depth] = blocked, copied
            _pop(state, log, events, blocked, now)


@kept
def _pop(state: Any, log: Any, events: Any, stage: int, now: float) -> None:
    size, behind, marks, load = state[4], state[7], state[8], state[9]
    entry = marks[0, stage]
    load[stage] -= size[entry]
    marks[0, stage] = behind[entry]
    if marks[0, stage] >= 0:
        _serve(state, log, events, stage, now, marks[5, stage])
    else:
        load[stage] = 0.0  # without the rounding of many sums


@kept
def _critical(chain: Any, begin: Any, end: float, last: int, spent: Any) -> tuple[float, int, float]:
    """The end, the stage with most of the chain of services that ends last, and its share of the time."""
    now, service = end, last
    while service >= 0:
        stage = chain[0, service]
        spent[stage] += now - begin[service]
        now, service = begin[service], chain[1, service]
    worst, service = -1, last
    while service >= 0:
        stage = chain[0, service]
        if worst < 0 or spent[stage] > spent[worst]:
            worst = stage
        service = chain[1, service]
    return end, worst, spent[worst] / end if end > 0 else 0.0
