"""Trains of a step in plain Python, with a list for each queue: what the compiled queues are held against."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

import numpy as np

from neurodeploy.array import Array


def served(
    trees: tuple[Array, ...], rows: Array, sizes: Array, room: Sequence[float], each: Array, transit: Array
) -> tuple[float, int, float]:
    """As :func:`neurodeploy.cost.queues.served`, of paths alone."""
    run = _Run(list(room), each.tolist(), transit.tolist())
    ways = [tuple(part.tolist()) for part in np.split(trees[0], trees[3][1:-1])]
    for row, size in zip(rows.tolist(), sizes.tolist(), strict=True):
        run.depart(ways[row], size)
    run.go()
    return run.end, *run.critical()


@dataclass(slots=True)
class _Train:
    """Packets on their way: the stage they are in, when the first and the last of them came there.

    ``service``: the number of its latest service.
    """

    path: tuple[int, ...]
    size: float
    at: int = 0
    head_ns: float = 0.0
    tail_ns: float = 0.0
    service: int = -1


@dataclass(slots=True)
class _Run:
    """Trains in the stages of a step: all lists by number of the stage, or of the service that it does.

    A service begins at ``begin`` because of ``cause``, the service without whose end it could not have begun.
    """

    room: list[float]
    each: list[float]
    transit: list[float]
    queue: defaultdict[int, deque[_Train]] = field(default_factory=lambda: defaultdict(deque))
    load: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    waiting: defaultdict[int, deque[int]] = field(default_factory=lambda: defaultdict(deque))
    latest: dict[int, int] = field(default_factory=dict)
    heap: list[tuple[float, int, int, bool]] = field(default_factory=list)
    stage: list[int] = field(default_factory=list)
    begin: list[float] = field(default_factory=list)
    cause: list[int] = field(default_factory=list)
    pushed: int = 0
    end: float = 0.0
    last: int = -1

    def depart(self, path: tuple[int, ...], size: float) -> None:
        """A train waits at its sender, which has room for all of its own."""
        self.queue[path[0]].append(_Train(path, size))

    def go(self) -> None:
        """Until every train has arrived."""
        for stage in list(self.queue):
            self._serve(stage, 0.0, -1)
        while self.heap:
            now, _, stage, whole = heappop(self.heap)
            if whole:
                self._leave(stage, now)
            else:
                self._first(stage, now)

    def _at(self, time: float, stage: int, whole: bool) -> None:
        self.pushed += 1  # equal times: first come, first served
        heappush(self.heap, (time, self.pushed, stage, whole))

    def _serve(self, stage: int, now: float, cause: int) -> None:
        """Service of the first train in the queue begins, once it is there; it has waited for ``cause``."""
        train = self.queue[stage][0]
        late = train.head_ns > now
        begin = train.head_ns if late else now
        self.cause.append(train.service if late else cause)
        self.begin.append(begin)
        self.stage.append(stage)
        train.service = self.latest[stage] = len(self.begin) - 1
        self._at(begin + min(train.size, 1.0) * self.each[stage], stage, False)

    def _first(self, stage: int, now: float) -> None:
        """The first packet of a train is served: it goes on, arrives, or waits for room."""
        train = self.queue[stage][0]
        if train.at + 1 == len(train.path):
            self._arrive(train, stage, now)
        elif self.load[train.path[train.at + 1]] >= self.room[train.path[train.at + 1]]:
            self.waiting[train.path[train.at + 1]].append(stage)
        else:
            self._advance(stage, now)

    def _arrive(self, train: _Train, stage: int, now: float) -> None:
        finish = self._rest(train, stage, now)
        if finish >= self.end:
            self.end, self.last = finish, train.service

    def _rest(self, train: _Train, stage: int, now: float) -> float:
        """The other packets follow; when the last of them is served."""
        head = min(train.size, 1.0)
        done = now + (train.size - head) * self.each[stage]
        if train.size > 1.0:
            self._at(done, stage, True)
        else:
            self._leave(stage, now)
        return max(done, train.tail_ns + head * self.each[stage])

    def _advance(self, stage: int, now: float) -> None:
        """A train enters its next stage, which has room."""
        train = self.queue[stage][0]
        head, train.at = now + self.transit[stage], train.at + 1
        following = train.path[train.at]
        queue = self.queue[following]
        queue.append(train)
        self.load[following] += train.size
        tail = self._rest(train, stage, now)
        train.head_ns, train.tail_ns = head, tail + self.transit[stage]
        if len(queue) == 1:
            self._serve(following, now, train.service)

    def _leave(self, stage: int, now: float) -> None:
        """All of a train has left a stage: the next one is served, and who waited for room comes in."""
        queue, waiting = self.queue[stage], self.waiting[stage]
        self.load[stage] -= queue.popleft().size
        if queue:
            self._serve(stage, now, self.latest[stage])
        else:
            self.load[stage] = 0.0  # without the rounding of many sums
        while waiting and self.load[stage] < self.room[stage]:
            blocked = waiting.popleft()
            # What this train and its stage do next has waited for this stage.
            self.latest[blocked] = self.queue[blocked][0].service = self.latest[stage]
            self._advance(blocked, now)

    def critical(self) -> tuple[int, float]:
        """The stage with most of the chain of services that ends last, and its share of the time."""
        spent: defaultdict[int, float] = defaultdict(float)
        now, service = self.end, self.last
        while service >= 0:
            spent[self.stage[service]] += now - self.begin[service]
            now, service = self.begin[service], self.cause[service]
        worst = max(spent, key=lambda stage: spent[stage], default=-1)
        return worst, spent[worst] / self.end if self.end > 0 else 0.0
