"""What the mapper makes of networks of many sizes: under every objective, by every placement, and how it scales.

    .venv/bin/python benchmarks/mapping.py [--names NAME ...] [--blocks 16] [--mapping FILE] [--json FILE]

Five tables, all seconds of which are CPU time, so that other work on the machine hardly counts. *objectives*: five
networks of the zoo and stacks of spiking attention blocks with random integers, under each objective: cores and chips;
energy, latency and period that the mapper expects; hops, messages on the fullest link of a chip, and messages that go
from chip to chip, all per tick; balance, the time that all work would take if the cores shared it evenly over the
expected latency; seconds and largest memory of the search and of the placement, each row in a process of its own.
*placements*: the same cores by every member of the room. *published*: networks of the zoo at their published sizes,
random weights, ranges from noise, on hala-point under the default objective: seconds and memory of their integers as
``check`` makes them, and of the map stage from these. *before*: the cuts and places that the mapper chose before it
priced events (``benchmarks/before``), at the present prices, and the present ones: expected, and counted on one sample.
*scale*: one block's traffic repeated, placed by the default method: seconds and bytes per core of partition, annealing
and routes.

``--mapping FILE`` adds a row for the network that the mapping file is of, priced beside the search; name one network.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import pickle
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _bench import RESULTS, machine

ROOT = Path(__file__).resolve().parent.parent
ZOO = ("digits-a2os2a", "digits-vit", "digits-spikformer", "digits-sdt2", "digits-qkformer")
OBJECTIVES = ("cores", "energy", "latency", "throughput", "edp")
#: placements in the order of their means
PLACEMENTS = ("snake", "random", "greedy", "metis", "annealing", "metis-annealing")
#: blocks of the random networks, and the chips of hala-point that they are given: about 10,000 and 100,000 cores, of
#: which the fewest that will do leave the search a quarter
BLOCKS = {16: 82, 160: 820}
#: mapping files of an earlier mapper, by network
BEFORE = ROOT / "benchmarks" / "before"
TOKENS, WIDTH, HEADS = 196, 768, 12
SIZES = (1_000, 10_000, 50_000, 140_544)
PUBLISHED = ("vit-b-16", "vit-l-16", "spikformer-8-768", "a2os2a-10-512")
MIB = 2**20


@dataclass(frozen=True)
class Network:
    """The folder of a build, or a number of random blocks, and what it is mapped to; ``chips`` None: all there are."""

    name: str
    source: Path | int
    target: str
    chips: int | None
    objectives: tuple[str, ...] = OBJECTIVES

    def graph(self) -> Any:
        """The integer graph."""
        from neurodeploy import artifact

        return stack(self.source) if isinstance(self.source, int) else artifact.load(self.source).integer


# --- networks ----------------------------------------------------------------------------------------------------


def built(name: str, folder: Path) -> Network:
    """A network of the zoo as a build makes it, with measured activity."""
    import neurodeploy

    neurodeploy.build(name, "loihi-sim", out=str(folder / name), verify=0, eval=1)
    return Network(name, folder / name, "loihi-sim", 2)


def random(blocks: int) -> Network:
    """So many blocks, on all chips where nobody says on how many."""
    return Network(f"random, {blocks} blocks", blocks, "hala-point", BLOCKS.get(blocks))


def stack(blocks: int) -> Any:
    """Blocks of spiking attention and a perceptron, 8-bit weights of random integers, one matrix for each shape."""
    sys.path.insert(0, str(ROOT))  # before whatever else is called tests
    from neurodeploy.ir.nodes import Synapse
    from tests.unit.mapping.networks import Net, spiking_block

    class Sharing(Net):
        """Without it a hundred blocks would take gigabytes for weights alone."""

        def dense(self, x: str, width: int, name: str = "fc", top: int = 127) -> str:
            shape = width, self.sizes(x)[-1]
            if shape not in weights:
                weights[shape] = self.random.integers(-top, top + 1, shape).astype(np.int8)
            node = Synapse(name=name, inputs=(x,), weight=weights[shape])
            return self.put(node, self.roles(x), (*self.sizes(x)[:-1], width))

    weights: dict[tuple[int, int], Any] = {}
    net = Sharing()
    x = net.lif(net.dense(net.input("NC", TOKENS, WIDTH), WIDTH, "embed"), "embed_lif")
    for i in range(blocks):
        x = spiking_block(net, x, f"block{i}", HEADS, 4)
    return net.output(net.dense(net.reduce(net.lif(x, "last"), "sum", (0,), "C", "mean"), 10, "head"))


# --- rows --------------------------------------------------------------------------------------------------------


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a fresh process, whose memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


@dataclass(eq=False)
class Search:
    """What a mapping did: the plan that was chosen, the cores that were placed, seconds and MiB of both parts."""

    target: Any
    made: Any = None
    plan: Any = None
    cores: Any = None
    search_s: float = 0.0
    search_mib: float = 0.0
    place_s: float = 0.0


def mapped(network: Network, objective: str, file: str | None = None) -> Search:
    """A mapping as a build makes it, and watched."""
    from neurodeploy.mapping import mapper, spread
    from neurodeploy.mapping.given import read
    from neurodeploy.mapping.placements._base import PLACEMENTS as ROOM
    from neurodeploy.target import load

    search, found, usual = Search(load(network.target)), spread.cheapest, ROOM[mapper.PLACEMENT]

    def cheapest(*arguments: Any) -> Any:
        start = time.process_time()
        search.plan = found(*arguments)
        search.search_s, search.search_mib = time.process_time() - start, _peak()
        return search.plan

    class Watched(type(usual)):  # type: ignore[misc]
        """The usual placement."""

        def around(self, cores: Any, *asked: Any) -> Any:
            search.cores, start = cores, time.process_time()
            spots = super().around(cores, *asked)
            search.place_s = time.process_time() - start
            return spots

    ROOM.members["watched"] = Watched()
    vars(mapper)["cheapest"] = cheapest
    graph = mapper.prepared(network.graph(), search.target)
    search.made = mapper.map_graph(
        graph, search.target, network.chips, objective, "watched", given=read(file)
    )
    return search


def objective_row(network: Network, objective: str, file: str | None = None) -> dict[str, Any]:
    """What one objective makes of a network; ``file``: of what it leaves open."""
    search = mapped(network, objective, file)
    plan, made, travel = search.plan, search.made, search.made.notes
    if not made.fits:
        raise SystemExit(f"{network.name} does not fit {network.target}: {made.problems[0]}")
    work = sum(_work_ns(plan, name) for name in plan.tilings) * plan.graph.header.timesteps
    return {
        "network": network.name, "objective": objective + (f", as {Path(file).name} says" if file else ""),
        "cores": len(made.cores), "chips": len({core.chip for core in made.cores}),
        "energy_uj": plan.energy_pj * 1e-6, "latency_ms": plan.latency_ns * 1e-6, "period_ms": plan.period_ns * 1e-6,
        "hops": travel["hops"]["placed"], "peak_link": travel["peak"]["placed"],
        "crossings": travel["crossings"]["placed"], "balance": work / len(made.cores) / plan.latency_ns,
        "search_s": search.search_s, "place_s": search.place_s, "search_mib": search.search_mib, "map_mib": _peak(),
    }  # fmt: skip


def _work_ns(plan: Any, name: str) -> float:
    """Time of a tick if one core did all that a group does, whatever the cut."""
    from neurodeploy.ir.trace import EVENT_KINDS
    from neurodeploy.price import lasting, stages

    return float(
        lasting([*stages(plan.counts[name], EVENT_KINDS, plan.target, "nominal")], plan.target, "nominal")
    )


def placement_rows(network: Network, objective: str) -> list[dict[str, Any]]:
    """The cores that an objective asks for, placed by every method."""
    from neurodeploy.mapping.placements._base import PLACEMENTS as ROOM

    search = mapped(network, objective)
    flows, asked = search.plan.flows, (search.cores, search.plan.flows, search.target)
    sizes = {"network": network.name, "objective": objective, "cores": len(search.cores)}
    found = [_travelled(ROOM[name].place, asked, flows.between(search.cores)) for name in PLACEMENTS]
    return [sizes | {"placement": name} | row for name, row in zip(PLACEMENTS, found, strict=True)]


def _travelled(place: Any, asked: Any, sent: Any) -> dict[str, Any]:
    from neurodeploy.mapping.routes import loads

    place(*asked)  # compiled code is loaded, or made
    start = time.process_time()
    spots = place(*asked)
    seconds = time.process_time() - start
    load = loads(spots, sent, asked[2])
    return {
        "chips": len({spot.chip for spot in spots}), "hops": load.hops, "peak_link": load.peak,
        "crossings": load.crossings, "peak_crossing": load.crossing_peak, "seconds": seconds,
    }  # fmt: skip


def before_rows(name: str, folder: Path, data: str = "") -> Iterator[dict[str, Any]]:
    """A network of the zoo as it was cut and placed before, and as it is now: expected, and counted on one sample."""
    import neurodeploy

    for mapper, file in (("before", str(BEFORE / f"{name}.toml")), ("now", None)):
        out = folder / f"{name}-{mapper}"
        neurodeploy.build(name, "loihi-sim", data=data, out=str(out), mapping=file, verify=0, eval=1)
        network = Network(name, out, "loihi-sim", None)
        row = alone(objective_row, network, "energy", file)
        counted = json.loads((out / "report.json").read_text())
        kept = ("cores", "energy_uj", "latency_ms", "period_ms", "hops", "peak_link", "crossings", "balance")
        yield {"network": name, "mapper": mapper} | {key: row[key] for key in kept} | {
            "counted_energy_uj": counted["energy_uj"]["nominal"],
            "counted_latency_ms": counted["latency_ms"]["nominal"],
        }  # fmt: skip


# --- scale -------------------------------------------------------------------------------------------------------


def repeated(network: Network, folder: Path) -> Path:
    """(period, flows into the tiles of one block): sender relative to the block's first tile, receiver, messages."""
    search = mapped(network, "cores")
    names, flows = [*search.plan.tilings], search.plan.flows
    first = np.cumsum([0, *(len(search.plan.tilings[name].tiles) for name in names)])
    start, end = (
        int(first[next(i for i, name in enumerate(names) if name.startswith(f"block{block}_"))])
        for block in (1, 2)
    )
    inside = (flows.target >= start) & (flows.target < end) & (flows.source >= 0)
    path = folder / "block.pickle"
    block = end - start, flows.source[inside] - start, flows.target[inside] - start, flows.messages[inside]
    path.write_bytes(pickle.dumps(block))
    return path


def scale_row(path: Path, cores: int) -> dict[str, Any]:
    """One block after the other until there are so many cores, one tile each."""
    from neurodeploy.mapping.bundles import Bundles
    from neurodeploy.mapping.placements._annealing import annealed, on_board
    from neurodeploy.mapping.placements._base import routers
    from neurodeploy.mapping.placements._partition import partitioned
    from neurodeploy.mapping.routes import loads
    from neurodeploy.mapping.traffic import Traffic
    from neurodeploy.target import load

    period, source, target, messages = pickle.loads(path.read_bytes())
    offset = np.repeat(np.arange(0, cores, period), len(source))
    ends = np.stack([np.tile(end, len(offset) // len(end)) + offset for end in (source, target)])
    inside = ((ends >= 0) & (ends < cores)).all(axis=0)
    source, target = ends[:, inside]
    amounts = np.tile(messages, len(offset) // len(messages))[inside]
    flows = Traffic(source, target, np.ones(len(source), np.int64), amounts, cores)
    board, tiles = load("hala-point"), [[i] for i in range(cores)]
    chip = board.chip
    annealed(
        np.zeros(2, np.int64), Bundles.apart(np.array([[0], [1]]), np.ones(1)), board
    )  # compiled code is loaded
    row: dict[str, Any] = {"cores": cores, "chips": -(-cores // chip.cores_per_chip), "flows": len(source)}

    def stage(name: str, function: Callable[[], Any]) -> Any:
        before, start = _peak(), time.process_time()
        found = function()
        row[f"{name}_s"] = time.process_time() - start
        row[f"{name}_us_per_core"] = row[f"{name}_s"] / cores * 1e6
        row[f"{name}_bytes_per_core"] = (_peak() - before) * MIB / cores
        return found

    sent = stage("between", lambda: flows.between(tiles))
    on = stage("partition", lambda: partitioned(sent, cores, chip))
    on = stage("board", lambda: on_board(on, sent, board))
    place = stage("annealing", lambda: annealed(on, sent, board))
    spots = stage("routers", lambda: routers(on, place, chip))
    stage("routes", lambda: loads(spots, sent, board))
    row["seconds"] = sum(
        row[f"{name}_s"] for name in ("between", "partition", "board", "annealing", "routers", "routes")
    )
    return row


# --- published sizes ---------------------------------------------------------------------------------------------


def published_row(name: str, folder: Path) -> dict[str, Any]:
    """A network of published size, random weights: its integers by ``check``'s ranges, and the map stage."""
    made = alone(_integers, name, folder / f"{name}.h5")
    return {"network": name} | made | alone(_map_stage, folder / f"{name}.h5")


def _integers(name: str, path: Path) -> dict[str, Any]:
    from neurodeploy import artifact
    from neurodeploy.builds import check
    from neurodeploy.config import BuildConfig

    start = time.process_time()
    graph = check._integers(check._imported(BuildConfig(model=name, target="hala-point")))
    row = {"integers_s": time.process_time() - start, "integers_mib": _peak()}
    artifact.save(path, artifact.Artifact(integer=graph))
    return row


def _map_stage(path: Path) -> dict[str, Any]:
    from neurodeploy import artifact
    from neurodeploy.builds.mapped import laid_out
    from neurodeploy.config import BuildConfig
    from neurodeploy.target import load

    graph, objective = artifact.load(path).integer, BuildConfig.model_fields["optimise"].default
    assert graph is not None
    start = time.process_time()
    made = laid_out(graph, load("hala-point"), objective).mapping
    if not made.fits:
        raise SystemExit(f"{path.stem} does not fit hala-point: {made.problems[0]}")
    taken = made.notes["search"]["plans"][0]
    return {
        "cores": len(made.cores), "chips": taken["chips"], "copies": max(made.notes.get("streams", [0])),
        "energy_mj": taken["energy_uj"] * 1e-3, "latency_ms": taken["latency_ms"],
        "map_s": time.process_time() - start, "map_mib": _peak(),
    }  # fmt: skip


def _peak() -> float:
    """Largest resident set of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# --- all ---------------------------------------------------------------------------------------------------------


def rows(chosen: argparse.Namespace, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(table, row) as they are done."""
    networks = [built(name, folder) for name in chosen.names]
    networks += [random(blocks) for blocks in chosen.blocks]
    for network in networks:
        for objective in network.objectives:
            yield "objectives", alone(objective_row, network, objective)
        if chosen.mapping:
            yield "objectives", alone(objective_row, network, network.objectives[0], chosen.mapping)
        for row in alone(placement_rows, network, "latency" if "latency" in network.objectives else "cores"):
            yield "placements", row
    for name in chosen.before:
        for row in before_rows(name, folder, chosen.data if name.startswith("cifar10") else ""):
            yield "before", row
    for name in chosen.published:
        yield "published", published_row(name, folder)
    block = alone(repeated, random(3), folder) if chosen.sizes else Path()
    for size in chosen.sizes:
        yield "scale", alone(scale_row, block, size)


#: what tells the rows of a table apart: a new one takes the place of the old
TABLES = {
    "objectives": ("network", "objective"), "placements": ("network", "objective", "placement"),
    "published": ("network",), "before": ("network", "mapper"), "scale": ("cores",),
}  # fmt: skip


def main() -> None:
    """Print every row when it is done, and keep them beside those of earlier runs."""
    before = sorted(file.stem for file in BEFORE.glob("*.toml"))
    parser = argparse.ArgumentParser(description=__doc__)
    add = partial(parser.add_argument, nargs="*")
    add("--names", default=ZOO, help="models of the zoo (default: five of digits)")
    add("--blocks", type=int, default=BLOCKS, help="blocks of the random networks")
    add("--sizes", type=int, default=SIZES, help="cores of the table scale")
    add("--published", default=PUBLISHED, help="networks of the table published")
    add("--before", default=before, help="networks of the table before")
    parser.add_argument("--data", default="", help="the data of cifar10-vit, where they do not lie here")
    parser.add_argument("--mapping", help="a mapping file, priced beside the search")
    parser.add_argument("--json", type=Path, default=RESULTS / "mapping.json", help="where the rows go")
    chosen = parser.parse_args()
    known = json.loads(chosen.json.read_text()) if chosen.json.exists() else {}
    found: dict[str, list[dict[str, Any]]] = {table: known.get(table, []) for table in TABLES}
    with tempfile.TemporaryDirectory() as folder:
        for table, row in rows(chosen, Path(folder)):
            found[table] = [old for old in found[table] if any(old[k] != row[k] for k in TABLES[table])]
            found[table].append(row)
            print(table, row, flush=True)
            chosen.json.write_text(json.dumps({"machine": machine(), **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
