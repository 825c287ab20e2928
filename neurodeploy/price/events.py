"""The price of every kind of event, and of what flows whether or not anything happens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..array import Array
from ..target import Target
from .ranges import Range


class Price(NamedTuple):
    """What an event of one kind costs: the coefficient under [costs.energy_pj] and [costs.time_ns].

    ``part`` of the energy breakdown ("own": that of the node it belongs to, "": its energy is in another price);
    ``stage`` of its core that it occupies (empty: none of a core).
    """

    key: str
    part: str
    stage: str


#: event kind -> price. Neuron updates as such have none: stock_updates and program_ops are what they cost. The energy
#: of reading synapses is in that of their operations, since all measurements are of both together.
PRICED: dict[str, Price] = {
    "synaptic_ops": Price("synaptic_op", "synapse", "synapses"),
    "memory_reads": Price("memory_read", "", "memory"),
    "product_ops": Price("product_op", "product", "programs"),
    "stock_updates": Price("neuron_update", "neuron", "programs"),
    "program_ops": Price("microcode_op", "neuron", "programs"),
    "spikes": Price("neuron_spike", "neuron", "programs"),
    "packets_out": Price("axon_out", "network", "programs"),
    "packets_in": Price("axon_in", "network", "memory"),
    "hops_x": Price("packet_hop_x", "network", ""),
    "hops_y": Price("packet_hop_y", "network", ""),
    "microcode_ops": Price("microcode_op", "microcode", "programs"),
    "state_accesses": Price("state_access", "own", "programs"),
    "reset_words": Price("state_access", "own", "programs"),
}
#: terms that flow whether or not anything happens, and their part
OVERHEAD = {
    "energy_pj.barrier_per_core": "network",
    "energy_pj.barrier_per_chip": "network",
    "power_w.static_per_chip": "static",
}
PJ_PER_W_NS = 1000.0  # 1 W for 1 ns


def by_part(counts: Array, kinds: Iterable[str], target: Target, own: str) -> dict[str, Range]:
    """Energy in pJ by part of one vector of counts; ``own``: the part of state accesses."""
    parts: dict[str, Range] = {}
    for count, kind in zip(counts, kinds, strict=True):
        price = PRICED.get(kind)
        if price and price.part:
            part = own if price.part == "own" else price.part
            each = Range.of(getattr(target.costs.energy_pj, price.key))
            parts[part] = parts.get(part, Range()) + each * float(count)
    return parts


def overhead(
    cores: int, chips: int, steps: int, time_ns: Range, target: Target
) -> dict[str, tuple[float, Range]]:
    """(Count, energy in pJ) by the keys of :data:`OVERHEAD`: barriers of the used cores and chips, static power."""
    costs = target.costs
    core, chip = Range.of(costs.energy_pj.barrier_per_core), Range.of(costs.energy_pj.barrier_per_chip)
    static = Range.of(costs.power_w.static_per_chip) * time_ns * PJ_PER_W_NS
    found = (
        (cores * steps, core * (cores * steps)),
        (chips * steps, chip * (chips * steps)),
        (chips, static * chips),
    )
    return dict(zip(OVERHEAD, found, strict=True))
