"""Reads the files for SANA-FE without it, and counts what they say: replayed spikes, connections, units, prices.

Covers what our files use: units that replay spikes, accumulators that never fire, SANA-FE's "simple" timing. That it
counts as the simulator does is itself a test, which runs where the simulator is installed.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML


def names(name: str) -> list[str]:
    """``unit[0..2]`` as unit[0], unit[1], unit[2]."""
    found = re.fullmatch(r"(.*)\[(\d+)\.\.(\d+)\]", name)
    return [f"{found[1]}[{i}]" for i in range(int(found[2]), int(found[3]) + 1)] if found else [name]


class Chip:
    """Tiles and cores by their numbers."""

    def __init__(self, path: Path) -> None:
        tree = YAML(typ="safe").load(path.read_text())["architecture"]
        self.attributes = tree["attributes"]
        self.tiles: list[dict[str, Any]] = []
        self.cores: dict[str, dict[str, Any]] = {}
        for tile in tree["tile"]:
            for _ in names(tile["name"]):
                number = 0
                for core in tile["core"]:
                    for _ in names(core["name"]):
                        self.cores[f"{len(self.tiles)}.{number}"] = self._units(core)
                        number += 1
                self.tiles.append(tile["attributes"])

    @staticmethod
    def _units(core: dict[str, Any]) -> dict[str, Any]:
        units: dict[str, Any] = {"max_neurons": core["attributes"]["max_neurons_supported"]}
        for section in ("axon_in", "synapse", "dendrite", "soma", "axon_out"):
            for unit in core[section]:
                for name in names(unit["name"]):
                    assert name not in units
                    units[name] = unit["attributes"]
        return units

    def place(self, core: str) -> tuple[int, int]:
        """Coordinates: SANA-FE numbers tiles column by column."""
        return divmod(int(core.split(".")[0]), self.attributes["height"])


class Net:
    """Neurons by their address ``group.number``: spikes, place, units; edges by sender."""

    def __init__(self, path: Path) -> None:
        tree = json.loads(path.read_text())
        self.spikes: dict[str, list[int]] = {}
        self.groups: dict[str, int] = {}
        self.attributes: dict[str, Any] = {}
        for group in tree["network"]["groups"]:
            assert "." not in group["name"] and group["name"] not in self.groups
            self.attributes[group["name"]] = group["attributes"]
            self.groups[group["name"]] = 0
            for entry in group["neurons"]:
                ((ids, attributes),) = entry.items()
                first, _, last = ids.partition("..")
                for number in range(int(first), int(last or first) + 1):
                    assert number == self.groups[group["name"]]
                    self.groups[group["name"]] += 1
                    self.spikes[f"{group['name']}.{number}"] = attributes.get("soma", {}).get("spikes", [])
        self.edges: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for entry in tree["network"]["edges"]:
            ((ends, attributes),) = entry.items()
            source, target = ends.split(" -> ")
            assert attributes["type"] == "sparse"
            pairs = zip(attributes["source_target_pairs"], attributes["weight"], strict=True)
            for (a, b), weight in pairs:
                assert f"{target}.{b}" in self.spikes
                self.edges[f"{source}.{a}"].append((f"{target}.{b}", weight))
        self.place: dict[str, dict[str, str]] = {}
        for entry in tree["mappings"]:
            ((ids, hardware),) = entry.items()
            group, _, numbers = ids.partition(".")
            first, _, last = numbers.partition("..")
            for number in range(int(first), int(last or first) + 1):
                self.place[f"{group}.{number}"] = hardware
        assert set(self.place) == set(self.spikes)


def simulate(arch: Path, network: Path, runs: list[int]) -> list[dict[str, Any]]:
    """Runs one after the other, in the form that SANA-FE reports them, plus hops."""
    chip, net = Chip(arch), Net(network)
    units: dict[tuple[str, str], int] = defaultdict(int)
    crowd: dict[str, int] = defaultdict(int)
    for place in net.place.values():
        crowd[place["core"]] += 1
        for unit in (place["soma"], place["dendrite"], place.get("synapse", "synapse")):
            assert unit in chip.cores[place["core"]]
        if "[" in place["soma"]:
            units[place["core"], place["soma"]] += 1
    for (core, unit), count in units.items():
        # An input unit replays one train; the others hold 1024 neurons.
        assert count <= (1024 if unit.startswith("accumulator") else 1), (core, unit)
    assert all(count <= chip.cores[core]["max_neurons"] for core, count in crowd.items())
    start, found = 0, []
    for steps in runs:
        found.append(_run(chip, net, start, steps))
        start += steps
    return found


def _run(chip: Chip, net: Net, start: int, steps: int) -> dict[str, Any]:
    energy = dict.fromkeys(("synapse", "dendrite", "soma", "network"), 0.0)
    total: dict[str, int] = defaultdict(int)
    seconds = 0.0
    for step in range(start, start + steps):
        sending: dict[str, float] = defaultdict(float)
        receiving: dict[str, float] = defaultdict(float)
        for neuron, spikes in net.spikes.items():
            core = net.place[neuron]["core"]
            units = chip.cores[core]
            soma = units[net.place[neuron]["soma"]]
            energy["soma"] += soma["energy_access_neuron"]
            sending[core] += soma["latency_access_neuron"]
            if step >= len(spikes) or not spikes[step]:
                continue
            total["neurons_fired"] += 1
            energy["soma"] += soma["energy_update_neuron"] + soma["energy_spike_out"]
            sending[core] += soma["latency_update_neuron"] + soma["latency_spike_out"]
            reached: dict[str, list[str]] = defaultdict(list)
            for target, _ in net.edges.get(neuron, ()):
                reached[net.place[target]["core"]].append(target)
            for other, targets in reached.items():
                arrive, leave = chip.cores[other]["axon_in"], units["axon_out"]
                (x, y), (u, v) = chip.place(core), chip.place(other)
                tile = chip.tiles[int(other.split(".")[0])]
                across = tile["energy_east_hop"] if x < u else tile["energy_west_hop"]
                along = tile["energy_north_hop"] if y < v else tile["energy_south_hop"]
                total["packets_sent"] += 1
                total["hops"] += abs(x - u) + abs(y - v)
                energy["network"] += leave["energy_message_out"] + arrive["energy_message_in"]
                energy["network"] += abs(x - u) * across + abs(y - v) * along
                sending[core] += leave["latency_message_out"]
                receiving[other] += arrive["latency_message_in"]
                for target in targets:
                    synapse = chip.cores[other][net.place[target]["synapse"]]
                    total["spikes"] += 1
                    energy["synapse"] += synapse["energy_process_spike"]
                    receiving[other] += synapse["latency_process_spike"]
        seconds += max(*sending.values(), *receiving.values(), 0.0) + chip.attributes["latency_sync"]
    counts = {key: total[key] for key in ("neurons_fired", "spikes", "packets_sent", "hops")}
    energy["total"] = sum(energy.values())
    return {"timesteps_executed": steps, "energy": energy, "sim_time": seconds, **counts}
