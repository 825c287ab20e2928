"""Delays and loops of a NIR network: which connections wait, and an order in which all others can be evaluated.

A delay in front of weights becomes theirs. A loop is broken where a neuron feeds back: the connection that leaves it
waits one tick, as recurrent layers of snnTorch and Norse do, or as long as a delay that the file states.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .file import Network

WEIGHTS = ("Linear", "Affine", "Conv1d", "Conv2d")
NEURONS = ("IF", "LIF", "CubaLIF", "LI", "CubaLI", "I", "Threshold")


@dataclass
class Order:
    """Items in the order of evaluation, and the edges (neuron, reader) that wait for the tick before."""

    keys: list[str] = field(default_factory=list)
    feedback: set[tuple[str, str]] = field(default_factory=set)
    #: items in loops without a neuron, and items that nothing drives
    loops: list[str] = field(default_factory=list)
    idle: list[str] = field(default_factory=list)


def arrange(network: Network) -> Order:
    """An order for everything that the inputs reach."""
    before = {key: network.sources(key) for key in network.items}
    after: dict[str, list[str]] = {key: [] for key in network.items}
    for key, sources in before.items():
        for source in sources:
            after[source].append(key)
    group = _components(after)
    distance = _distances(network, after)
    order = Order()
    done: set[str] = set()
    waiting = sorted(network.items)
    while waiting:
        ready = [
            k for k in waiting
            if (before[k] or network.items[k].kind == "Input")
            and all(s in done or (s, k) in order.feedback for s in before[k])
        ]  # fmt: skip
        if ready:
            order.keys += ready
            done |= set(ready)
            waiting = [k for k in waiting if k not in done]
            continue
        found = _break_loop(network, before, group, distance, done, order)
        if not found:
            break
    order.idle = [k for k in waiting if k not in distance]
    order.loops = [k for k in waiting if k in distance]
    return order


def _break_loop(
    network: Network,
    before: dict[str, list[str]],
    group: dict[str, int],
    distance: dict[str, int],
    done: set[str],
    order: Order,
) -> bool:
    """Let the loop nearest to the input wait; False where none can.

    Of a loop, the first item that something outside reaches is evaluated first, so what feeds back into it waits.
    """
    frontier = [
        k for k in network.items
        if k not in done and k in distance
        and any(s in done for s in before[k])
        and any(s not in done and group[s] == group[k] for s in before[k])
    ]  # fmt: skip
    frontier += [k for k in network.items if k not in done and k in distance and k in before[k]]
    for key in sorted(frontier, key=lambda k: (distance[k], k)):
        edges = _feeding(network, before, group, done, key)
        if edges and edges - order.feedback:
            order.feedback |= edges
            return True
    return False


def _feeding(
    network: Network, before: dict[str, list[str]], group: dict[str, int], done: set[str], key: str
) -> set[tuple[str, str]]:
    """The edges by which neurons of the same loop reach ``key``; none if a way around holds no neuron."""
    edges: set[tuple[str, str]] = set()
    seen, open_keys = {key}, [key]
    while open_keys:
        reader = open_keys.pop()
        for source in before[reader]:
            if source in done or group[source] != group[key]:
                continue
            if network.items[source].kind in NEURONS:
                edges.add((source, reader))
            elif source in seen:
                return set()
            else:
                seen.add(source)
                open_keys.append(source)
    return edges


def _distances(network: Network, after: dict[str, list[str]]) -> dict[str, int]:
    """Edges from the nearest Input to each item that one reaches."""
    found = dict.fromkeys(network.of("Input"), 0)
    level = list(found)
    away = 0
    while level:
        away += 1
        level = sorted({k for key in level for k in after[key] if k not in found})
        found |= dict.fromkeys(level, away)
    return found


def _components(after: dict[str, list[str]]) -> dict[str, int]:
    """Number of the strongly connected component of each item (Tarjan, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    component: dict[str, int] = {}
    stack: list[str] = []
    for root in after:
        if root in index:
            continue
        work: list[tuple[str, int]] = [(root, 0)]
        while work:
            key, place = work.pop()
            if place == 0:
                index[key] = low[key] = len(index)
                stack.append(key)
            for position in range(place, len(after[key])):
                reader = after[key][position]
                if reader not in index:
                    work += [(key, position + 1), (reader, 0)]
                    break
                if reader not in component:
                    low[key] = min(low[key], index[reader])
            else:
                if low[key] == index[key]:
                    while stack:
                        member = stack.pop()
                        component[member] = index[key]
                        if member == key:
                            break
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[key])
    return component
