"""The architecture file of SANA-FE: tiles, cores and coefficients of a target, a comment at every coefficient.

Nominal coefficients, in joules and seconds. What the target has no number for is zero and says so. A core lists the
units that the network occupies, since in SANA-FE an input unit holds one spike train and other units 1024 neurons.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from ...target import Target
from .net import FREE, NEURON, SENDERS, UNIT, Network

LINK_BUFFER = 16  # messages; SANA-FE wants a number, the target has none, this is the one of its own Loihi
TITLE = """Architecture for SANA-FE, from the target {name} ({file}, sha256 {sha}).
Nominal coefficients in joules and seconds; each comment names the coefficient of the target.
Units named neuron, relay and free replay recorded spikes, accumulators take the currents."""

#: direction in SANA-FE -> coefficient of the target
HOPS = {"north": "packet_hop_y", "south": "packet_hop_y", "east": "packet_hop_x", "west": "packet_hop_x"}


@dataclass(frozen=True)
class _Core:
    """Units that a core needs: replaying neurons by kind, accumulators and arrivals; ``host``: nothing is priced."""

    senders: tuple[tuple[str, int], ...] = ()
    targets: int = 0
    host: bool = False

    @property
    def neurons(self) -> int:
        """All neurons of SANA-FE on this core."""
        return max(1, self.targets + sum(n for _, n in self.senders))


def synaptic_ns(target: Target, words: float) -> float:
    """Nanoseconds of a synaptic operation for which so many words of memory are read, one after the other."""
    time = target.costs.time_ns
    return time.synaptic_op.nominal + words * time.memory_read.nominal


def architecture(net: Network, target: Target) -> str:
    """The file's text."""
    page = _Page(target, net.words_per_operation)
    tree = _map(architecture=page.chip(_tiles(net, target)))
    tree.yaml_set_start_comment(TITLE.format(name=target.name, file=target.file.name, sha=target.sha256[:12]))
    writer = YAML()
    writer.width = 200
    writer.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    writer.dump(tree, text)
    return text.getvalue()


def _tiles(net: Network, target: Target) -> list[tuple[_Core, ...]]:
    """The cores of every tile."""
    chip = target.chip
    tiles = [[_Core() for _ in range(chip.cores_per_router)] for _ in range(chip.routers_x * chip.routers_y)]
    need: dict[tuple[int, int], Counter[str]] = {}
    for group in net.groups:
        role = group.role if group.role in SENDERS else "target"
        for place in zip(group.tile.tolist(), group.core.tolist(), strict=True):
            need.setdefault(place, Counter())[role] += 1
    for (tile, core), count in sorted(need.items()):
        senders = tuple((kind, count[kind]) for kind in SENDERS if count[kind])
        if core == chip.cores_per_router:
            tiles[tile].append(_Core(host=True))
        tiles[tile][core] = replace(tiles[tile][core], senders=senders, targets=count["target"])
    return [tuple(cores) for cores in tiles]


def runs(items: Sequence[Any]) -> Iterator[tuple[int, int, Any]]:
    """(first, last, item) of equal neighbours."""
    for item, same in groupby(enumerate(items), key=itemgetter(1)):
        first, *_ = numbers = [number for number, _ in same]
        yield first, numbers[-1], item


def _map(**entries: Any) -> CommentedMap:
    return CommentedMap(entries)


@dataclass
class _Page:
    """Makes commented mappings from a target; SANA-FE has no memory, so ``words`` are read for each synaptic event."""

    target: Target
    words: float

    def price(self, table: CommentedMap, key: str, coefficient: str, why: str = "") -> None:
        """One number and where it comes from; ``why``: it is zero for this reason."""
        latency = key.startswith("latency")
        section, unit, exponent = ("time_ns", "ns", -9) if latency else ("energy_pj", "pJ", -12)
        cost = getattr(getattr(self.target.costs, section), coefficient) if coefficient else None
        if cost is None or why:
            table[key] = 0.0
            table.yaml_add_eol_comment(why or "zero: no counterpart in the target", key)
            return
        table[key] = float(Decimal(repr(cost.nominal)).scaleb(exponent))
        noted = "" if cost.priced else ", no price known"
        table.yaml_add_eol_comment(f"costs.{section}.{coefficient} {cost.nominal:g} {unit}{noted}", key)

    def read(self, synapse: CommentedMap) -> None:
        """The time of a synaptic event, with what is read for it."""
        ns = synaptic_ns(self.target, self.words)
        synapse["latency_process_spike"] = float(Decimal(repr(ns)).scaleb(-9))
        note = f"costs.time_ns.synaptic_op + {self.words:.3f} words x costs.time_ns.memory_read: {ns:.3f} ns"
        synapse.yaml_add_eol_comment(note, "latency_process_spike")

    def both(self, table: CommentedMap, parts: Iterable[tuple[str, str]], why: str = "") -> CommentedMap:
        """Energy and latency of each (suffix of the key, coefficient)."""
        for suffix, coefficient in parts:
            for kind in ("energy", "latency"):
                self.price(table, f"{kind}_{suffix}", coefficient, why)
        return table

    def chip(self, tiles: Sequence[tuple[_Core, ...]]) -> CommentedMap:
        """The whole mesh."""
        chip = self.target.chip
        mesh = _map(topology="mesh", width=chip.routers_x, height=chip.routers_y)
        mesh["link_buffer_size"] = LINK_BUFFER
        mesh.yaml_add_eol_comment("SANA-FE's own, no counterpart in the target", "link_buffer_size")
        mesh["sync_model"] = "fixed"
        self.price(mesh, "latency_sync", "barrier")
        entries = [self.tile(first, last, cores) for first, last, cores in runs(tiles)]
        return _map(name=self.target.name, attributes=mesh, tile=entries)

    def tile(self, first: int, last: int, cores: tuple[_Core, ...]) -> CommentedMap:
        """Equal tiles, a router each."""
        hops = self.both(_map(), [(f"{side}_hop", coefficient) for side, coefficient in HOPS.items()])
        entries = [self.core(a, b, core) for a, b, core in runs(cores)]
        return _map(name=f"tile[{first}..{last}]", attributes=hops, core=entries)

    def core(self, first: int, last: int, core: _Core) -> CommentedMap:
        """Equal cores of a tile."""
        why = "zero: the host is not priced here" if core.host else ""
        attributes = _map(buffer_position="soma", max_neurons_supported=core.neurons)
        note = "neurons of this file, not a limit of the target"
        attributes.yaml_add_eol_comment(note, "max_neurons_supported")
        unit: Callable[..., CommentedMap] = lambda name, table: _map(name=name, attributes=table)
        model: Callable[[str], CommentedMap] = lambda name: _map(model=name)
        some = f"[0..{max(0, -(-core.targets // UNIT) - 1)}]"
        free = "zero: currents and arrivals are costed at synapse and sender"
        synapse = self.both(model("current_based"), [("process_spike", "synaptic_op")], why)
        if not why:
            self.read(synapse)
        bare = self.both(model("current_based"), [("process_spike", "")], "zero: meets no weight")
        dendrite, idle = (self.both(model("accumulator"), [("update", "")]) for _ in range(2))
        neuron = (("access_neuron", ""), ("update_neuron", ""), ("spike_out", ""))
        somas = [unit(f"accumulator{some}", self.both(model("leaky_integrate_fire"), neuron, free))]
        somas += [unit(f"{kind}[0..{n - 1}]", self.soma(kind, model("input"))) for kind, n in core.senders]
        arrive = self.both(_map(), [("message_in", "axon_in")], why)
        leave = self.both(_map(), [("message_out", "axon_out")], why)
        return _map(
            name="host" if core.host else f"core[{first}..{last}]", attributes=attributes,
            axon_in=[unit("axon_in", arrive)], synapse=[unit("synapse", synapse), unit("delivery", bare)],
            dendrite=[unit(f"dendrite{some}", dendrite), unit("idle", idle)], soma=somas,
            axon_out=[unit("axon_out", leave)],
        )  # fmt: skip

    def soma(self, kind: str, table: CommentedMap) -> CommentedMap:
        """A replaying unit: SANA-FE accesses it in every step, and lets it update and spike where it fires."""
        update = ("access_neuron", "neuron_update" if kind == NEURON else "")
        spike = ("spike_out", "neuron_spike" if kind != FREE else "")
        self.both(table, [update])
        self.both(table, [("update_neuron", "")], "zero: the update is paid as access, in every step")
        return self.both(table, [spike])
