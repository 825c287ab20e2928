"""Time of the steps that SANA-FE replays, by our event-driven form, on the terms that both sides have.

These are updates and spikes of the chip's own neurons and axons out on the sending side, axons in and synaptic
operations on the receiving side, hops and the barrier. Messages are those of the files: one per spike and core. The
serial time of a link is ours alone, and the host is not priced on either side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from ...array import Array
from ...cost.contention import BUDGET, Contention, Wires, step_times
from ...ir.trace import Flows, Router
from ...target import Target
from .arch import LINK_BUFFER, synaptic_ns
from .net import FREE, NEURON, SENDERS, Network

RUNS = 2  # every sample is in both


@dataclass(frozen=True, eq=False)
class Replayed:
    """Nanoseconds of all steps of each run together, barriers included, and how they came about."""

    pipelined_ns: float
    framed_ns: float
    steps: Contention


@dataclass(frozen=True, eq=False)
class _Messages:
    """One row for each (sending neuron, core) that are connected; ``met``: weights that the message meets there.

    Cores are numbered; ``home`` is the core of every sending neuron.
    """

    sender: Array
    core: Array
    met: Array
    home: Array


def replayed(net: Network, target: Target) -> Replayed:
    """Both runs of SANA-FE, step by step."""
    places = _places(net)
    messages, trains = _messages(net, places), np.concatenate(net.trains).astype(np.float64)
    wires = Wires.of(target, target.chip.packet_header_bits, buffer=LINK_BUFFER)
    host = places[:, 1] == target.chip.cores_per_router
    flows = _flows(messages, trains)
    sending = _sending(net, messages, trains, target, host)
    receiving = _receiving(messages, trains, target, host, synaptic_ns(target, net.words_per_operation))
    routers = [Router(0, *divmod(tile, target.chip.routers_y)) for tile in places[:, 0].tolist()]
    steps = step_times(flows, routers, sending, receiving, wires, budget=RUNS * net.samples * BUDGET)
    times = steps.step_ns + target.costs.time_ns.barrier.nominal
    return Replayed(float(times[: net.pipelined].sum()), float(times[net.pipelined :].sum()), steps)


def _places(net: Network) -> Array:
    """(tile, core) of every core that holds a neuron."""
    every = np.concatenate([np.column_stack([g.tile, g.core]) for g in net.groups])
    found: Array = np.unique(every, axis=0)
    return found


def _numbers(tile: Array, core: Array, places: Array) -> Array:
    """Positions of places in their sorted table."""
    width = int(places[:, 1].max()) + 1
    found: Array = np.searchsorted(places[:, 0] * width + places[:, 1], tile * width + core)
    return found


def _messages(net: Network, places: Array) -> _Messages:
    cores = [_numbers(g.tile, g.core, places) for g in net.groups]
    senders = [number for number, group in enumerate(net.groups) if group.role in SENDERS]
    first = np.cumsum([0, *(net.groups[number].size for number in senders)])
    ways = [first[c.source] + c.pairs[:, 0] for c in net.connections]
    ends = [cores[c.target][c.pairs[:, 1]] for c in net.connections]
    weighted = [np.full(len(c.weights), net.groups[c.target].role == "currents") for c in net.connections]
    key = np.concatenate(ways) * len(places) + np.concatenate(ends)
    found, place = np.unique(key, return_inverse=True)
    met = np.bincount(place.reshape(-1), np.concatenate(weighted), len(found))
    home = np.concatenate([cores[number] for number in senders])
    return _Messages(found // len(places), found % len(places), met, home)


def _flows(messages: _Messages, trains: Array) -> Flows:
    """Messages between cores in every step."""
    ends = np.column_stack([messages.home[messages.sender], messages.core])
    pairs, place = np.unique(ends, axis=0, return_inverse=True)
    place = place.reshape(-1)
    # SANA-FE goes through the neurons of a core in the order of the files.
    spans = np.tile([np.inf, -np.inf], (len(pairs), 1))
    np.minimum.at(spans[:, 0], place, messages.sender)
    np.maximum.at(spans[:, 1], place, messages.sender)
    return Flows(pairs, _summed(place, messages.sender, np.ones(len(place)), len(pairs), trains), spans)


def _receiving(messages: _Messages, trains: Array, target: Target, host: Array, met_ns: float) -> Array:
    """Nanoseconds of the receiving halves, (cores, steps)."""
    arrives = target.costs.time_ns.axon_in.nominal
    each = np.where(host[messages.core], 0.0, arrives + messages.met * met_ns)
    return _summed(messages.core, messages.sender, each, len(host), trains)


def _sending(net: Network, messages: _Messages, trains: Array, target: Target, host: Array) -> Array:
    """Nanoseconds of the sending halves, (cores, steps): all neurons in every step, as SANA-FE has it."""
    times = target.costs.time_ns
    roles = _each(net, [g.role for g in net.groups])
    axons = np.bincount(messages.sender, minlength=len(messages.home)) * times.axon_out.nominal
    spike = np.where(roles == FREE, 0.0, times.neuron_spike.nominal) + np.where(
        host[messages.home], 0.0, axons
    )
    number = np.arange(len(messages.home))
    updated = np.bincount(messages.home, roles == NEURON, len(host)) * times.neuron_update.nominal
    found: Array = _summed(messages.home, number, spike, len(host), trains) + updated[:, None]
    return found


def _each(net: Network, values: Sequence[str]) -> Array:
    """A value of each sending group, repeated for its neurons."""
    senders = [(value, g.size) for value, g in zip(values, net.groups, strict=True) if g.role in SENDERS]
    return np.repeat([value for value, _ in senders], [size for _, size in senders])


def _summed(row: Array, sender: Array, amount: Array, rows: int, trains: Array) -> Array:
    """Amounts by row and step of the senders that are active."""
    found: Array = csr_array((amount, (row, sender)), shape=(rows, len(trains))) @ trains
    return found
