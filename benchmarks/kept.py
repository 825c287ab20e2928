"""What streams that wait for others cost: the most that computing them again, instead of keeping them, could save.

    .venv/bin/python benchmarks/kept.py [NAME or build folder ...]

Prints, for networks of the zoo, or what was built of any: cores of populations that hold nothing but Delays, of all
cores, and the share of the expected energy of an inference that their work, their messages and their barriers take. As
the default objective lays networks out, under `cores` (tiles, before any share a core), and with tokens on one copy.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("digits-a2os2a", "digits-vit", "digits-spikformer", "digits-qkformer", "digits-saformer")
TARGET = "loihi-sim"


def rows(graph: Any) -> Iterator[tuple[str, int, int, float]]:
    """Layout, cores that keep, all cores, share of the energy."""
    from neurodeploy.mapping import mapper
    from neurodeploy.target import load

    for label, objective, copies in (
        ("energy, in space", "energy", 0), ("cores, in space", "cores", 0), ("energy, one copy", "energy", 1)
    ):  # fmt: skip
        target = load(TARGET)
        found = mapper.planned(mapper.prepared(graph, target, copies), target, objective)
        yield label, *_bound(found.plan)


def _bound(plan: Any) -> tuple[int, int, float]:
    from neurodeploy.ir.nodes import Delay, View
    from neurodeploy.ir.trace import EVENT_KINDS
    from neurodeploy.price import by_part, total

    keeping = [g.name for g in plan.groups if g.name in plan.tilings and _only(g.nodes, Delay, View)]
    tiles = np.repeat(
        [name in keeping for name in plan.tilings], [t.cut.cores for t in plan.tilings.values()]
    )
    kept, flows = np.append(tiles, False), plan.flows  # the host, -1, keeps nothing
    counts = np.sum([np.zeros(len(EVENT_KINDS)), *(plan.counts[name] for name in keeping)], axis=0)
    sent = float(flows.messages[kept[flows.source]].sum())
    taken = float(flows.messages[kept[flows.target]].sum())
    for kind, amount in {"packets_in": taken, "packets_out": sent, "hops_x": sent, "hops_y": sent}.items():
        counts[EVENT_KINDS.index(kind)] = amount
    each = total(by_part(counts, EVENT_KINDS, plan.target, "neuron").values()).nominal
    barriers = tiles.sum() * plan.steps * plan.target.costs.energy_pj.barrier_per_core.nominal
    energy = each * plan.graph.header.timesteps + barriers
    return int(tiles.sum()), plan.cores, energy / plan.energy_pj


def _only(nodes: Any, *kinds: type) -> bool:
    return all(isinstance(node, kinds) for node in nodes)


def main() -> None:
    """Print the table."""
    import neurodeploy
    from neurodeploy import artifact

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=NAMES)
    print("| Network | Layout | cores that keep, of all | most of the energy |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in parser.parse_args().networks:
            place = Path(name)
            if not place.is_dir():
                place = Path(folder) / name
                neurodeploy.build(name, TARGET, out=str(place), verify=0, eval=1)
            for label, cores, every, share in rows(artifact.load(place).integer):
                print(f"| `{place.name}` | {label} | {cores} of {every} | {share:.1%} |", flush=True)


if __name__ == "__main__":
    main()
