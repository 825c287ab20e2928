"""SANA-FE: an architecture from the target and the mapped network with its recorded activity, as files.

``PATH`` is the mapped network: groups, connections, spike trains, and the core of every neuron. Beside it lie
``STEM.arch.yaml``, the architecture, and ``STEM.json``, which says what the groups are, how long to run and what to
expect. The network file is JSON, which every YAML reader takes and which stays quick for millions of synapses.

What is carried and what is not is said in docs/formats.md. The simulator itself is never imported.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ... import target as targets
from ...array import Array
from ...files import write_text
from ...inputs.samples import Synthetic
from ...program import Program
from ...target import Target
from .arch import architecture, runs
from .net import MEMORY_GB, SENDERS, Connections, Group, Network, network

CHUNK = 200_000  # connections per entry: bounds what a reader holds at once
NEVER = 1e300  # a threshold that no current reaches
SAMPLES = 1  # synthetic ones, where none are given


def export(
    program: Program,
    path: Path,
    x: Array | None = None,
    *,
    target: Target | None = None,
    layers: Sequence[str] = (),
    memory_gb: float = MEMORY_GB,
) -> tuple[tuple[Path, ...], Network]:
    """Network, architecture and description, for raw inputs ``x`` (default: a synthetic sample); files and network.

    ``target`` is the mapping's own unless given. Raises what :func:`.net.network` raises, and UsageError ND910 where
    the target is not found.
    """
    target = target or targets.load(program.mapping.target if program.mapping is not None else "loihi-sim")
    if x is None:
        x = Synthetic(program.graph).measurement(SAMPLES)[0]
    net = network(program, target, x, layers, memory_gb)
    files = {
        path: network_text(net, program.graph.header.name),
        path.with_name(f"{path.stem}.arch.yaml"): architecture(net, target),
        path.with_name(f"{path.stem}.json"): json.dumps(description(net, target), indent=1) + "\n",
    }
    for place, text in files.items():
        write_text(place, text)
    return tuple(files), net


def description(net: Network, target: Target) -> dict[str, Any]:
    """What the other files hold: target, runs, groups, expected counts, and what is not carried."""
    return {
        "target": target.name,
        "target_sha256": target.sha256,
        "samples": net.samples,
        "runs": [{"name": "pipelined", "steps": net.pipelined}, {"name": "frames", "steps": net.framed}],
        "synapses": net.synapses,
        "whole_network": net.whole,
        "expected_pipelined": {**asdict(net.expected), "updates": net.expected.updates},
        "groups": [{"group": g.label, "node": g.node, "role": g.role, "neurons": g.size} for g in net.groups],
        "not_carried": [{"node": node, "what": what} for node, what in net.not_carried],
    }


def network_text(net: Network, name: str) -> str:
    """The mapped network, an entry a line."""
    title = "".join(c if c.isalnum() or c in "_-" else "_" for c in name) or "network"
    groups = _lines(_group(net, number) for number in range(len(net.groups)))
    edges = _lines(entry for part in net.connections for entry in _edges(net, part))
    mappings = _lines(entry for group in net.groups for entry in _mapping(group))
    head = f'{{"network": {{"name": {json.dumps(title)},\n"groups": [\n'
    return f'{head}{groups}],\n"edges": [\n{edges}]}},\n"mappings": [\n{mappings}]}}\n'


def _lines(entries: Iterable[Any]) -> str:
    return ",\n".join(map(json.dumps, entries)) + "\n"


def _group(net: Network, number: int) -> dict[str, Any]:
    group = net.groups[number]
    if group.role in SENDERS:
        trains = net.trains[number].astype(int).tolist()
        neurons = [{str(i): {"soma": {"spikes": t}} if any(t) else {}} for i, t in enumerate(trains)]
        return {"name": group.label, "attributes": {"log_spikes": False}, "neurons": neurons}
    # Without memory and out of reach of the threshold, the potential is the sum that arrived one step before.
    soma = {"threshold": NEVER, "leak_decay": 0.0}
    return {"name": group.label, "attributes": {"soma": soma}, "neurons": [{f"0..{group.size - 1}": {}}]}


def _edges(net: Network, part: Connections) -> Iterator[dict[str, Any]]:
    source, target = (net.groups[number].label for number in (part.source, part.target))
    for rows in (slice(start, start + CHUNK) for start in range(0, len(part.weights), CHUNK)):
        lists = {"source_target_pairs": part.pairs[rows].tolist(), "weight": part.weights[rows].tolist()}
        yield {f"{source} -> {target}": {"type": "sparse", **lists}}


def _mapping(group: Group) -> Iterator[dict[str, Any]]:
    """One entry per sender, one per run of receiving neurons that share core and unit."""
    places = list(zip(group.tile.tolist(), group.core.tolist(), group.unit.tolist(), strict=True))
    if group.role in SENDERS:
        for i, (tile, core, unit) in enumerate(places):
            soma = f"{group.role}[{unit}]"
            yield {f"{group.label}.{i}": {"core": f"{tile}.{core}", "soma": soma, "dendrite": "idle"}}
        return
    synapse = "synapse" if group.role == "currents" else "delivery"
    for first, last, (tile, core, unit) in runs(places):
        hardware = {"soma": f"accumulator[{unit}]", "dendrite": f"dendrite[{unit}]", "synapse": synapse}
        yield {f"{group.label}.{first}..{last}": {"core": f"{tile}.{core}", **hardware}}
