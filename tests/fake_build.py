"""A plausible build without a mapper or a simulator of cores: a small real network, and invented places for it.

Operations are counted from a real run of the spiking graph; only where they happen is made up (one group per node,
cut over the cores of a mesh in order), so that every table and drawing of a report has something to show.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import cycle
from typing import Any

import numpy as np

from neurodeploy import cost
from neurodeploy.config import INTEGER
from neurodeploy.convert._base import METHODS
from neurodeploy.cost.counts import SHARED_KINDS
from neurodeploy.errors import Problem
from neurodeploy.evidence import Evidence
from neurodeploy.frontends.proof.types import ImportCheck
from neurodeploy.inputs.samples import SYNTHETIC
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.levels import LEVELS
from neurodeploy.ir.nodes import (
    Const,
    Delay,
    Input,
    Micro,
    Neuron,
    Output,
    Product,
    Reduce,
    Sum,
    Synapse,
    View,
)
from neurodeploy.ir.trace import EVENT_KINDS, HOST, Events, Link, Router, Trace
from neurodeploy.ir.types import Fixed, Interval
from neurodeploy.mapping.types import Core, Demand, Group, Mapping, Piece
from neurodeploy.passes.balance import balance, depths
from neurodeploy.program import Program
from neurodeploy.report.inputs import (
    Accuracy,
    Answers,
    Beside,
    BitTrue,
    Layer,
    ModelInfo,
    Pictures,
    ReportInputs,
    Stage,
    Wrong,
    raster,
)
from neurodeploy.target import Target, load
from tests.networks import images, mini_snn, mini_vit

COLUMN = {kind: index for index, kind in enumerate(EVENT_KINDS)}
CORES_PER_NODE = {Synapse: 3, Product: 4, Neuron: 1, Micro: 2, Sum: 1, Delay: 1, Reduce: 1}


def checked(ticks: int = 4, ties: int = 0) -> ImportCheck:
    """What the comparison of an import with its model may have found."""
    return ImportCheck(
        samples=10, ticks=ticks, outputs_compared=800, neurons_compared=52_480, largest_difference=3.1e-15, ties=ties,
        tolerance=1e-6, precision="float64", low=0, high=16, seconds=0.25,
    )  # fmt: skip


def spiking(method: str = "ecmt", samples: int = 6, **sizes: int) -> tuple[Graph, Graph, np.ndarray]:
    """(source, balanced spiking graph with widths, raw images)."""
    source = mini_vit(**sizes) if method == "ecmt" else mini_snn(**sizes)
    x = images(source, samples)
    member = METHODS[method]
    _, config = member.configure({})
    graph = balance(member.rewrite(source, config, x, 4))
    rng = np.random.default_rng(1)
    for name, value in graph.values.items():
        top = 2 ** int(rng.integers(4, 22))
        graph = graph.with_values({name: _ranged(value, top)})
    return source, graph, x


def _ranged(value: Any, top: int) -> Any:
    return replace(value, fixed=Fixed(24, True, 1.0), interval=Interval(-top, top, bool(top % 3)))


def run(graph: Graph, x: np.ndarray) -> Trace:
    """The trace that counting needs."""
    return interp.run(graph, x, record=cost.names_to_record(graph))


def place(graph: Graph, target: Target) -> Mapping:
    """One group per node that does something, cut over the next few cores."""
    pool = cycle(range(target.chip.cores_per_chip // 2))
    groups: list[Group] = []
    pieces: dict[int, list[Piece]] = {}
    for node in graph:
        if isinstance(node, (Const, View, Input, Output)):
            continue
        groups.append(
            Group(
                f"g.{node.name}",
                (node.name,),
                depths(graph)[node.name],
                "tokens in space",
                ({"layout": "tokens in time", "cores": 1, "energy_uj": 0.5},),
                "synapse_words",
            )
        )
        taken = [next(pool) for _ in range(CORES_PER_NODE[type(node)])]
        parts = np.array_split(np.arange(graph.values[node.name].shape.size), len(taken))
        for core, part in zip(taken, parts, strict=True):
            demand = Demand(
                neurons=part.size,
                neuron_words=part.size,
                neuron_groups=1,
                axon_in=40,
                axon_out=part.size,
                synapse_words=_words(node, part.size),
            )
            pieces.setdefault(core, []).append(Piece(groups[-1].name, {node.name: part}, demand))
    cores = tuple(_core(index, tuple(found), target) for index, found in sorted(pieces.items()))
    depth = max(d for d in depths(graph).values())
    notes = {"optimise": "energy", "search": _search([g.name for g in groups], len(cores))}
    return Mapping(target.name, 1, target.cores, tuple(groups), cores, depth, notes=notes)


def _search(groups: list[str], cores: int) -> dict[str, Any]:
    """What a search may have said: three plans, and layers of which the last one holds up most."""
    costs = (("taken", cores, 8.7), ("next best", cores + 12, 8.9), ("fewest", 30, 9.4))
    plans = [{"plan": plan, "tiles": n, "cores": n, "chips": 1, "energy_uj": uj, "latency_ms": 0.026, "period_ms": 0.01}
             for plan, n, uj in costs]  # fmt: skip
    layers = [{"layer": name, "layout": "tokens in space", "cores": 1, "tick_ns": 900.0 + i, "bound": "memory",
               "share": 2 * (i + 1) / len(groups) / (len(groups) + 1), "next_layout": "tokens/2", "next_cores": 2,
               "next_fill": 0.4, "next_tick_ns": 500.0} for i, name in enumerate(groups)]  # fmt: skip
    return {"plans": plans, "layers": layers}


def _words(node: Any, elements: int) -> int:
    return int(node.weight.size * elements / 40) + 60 if isinstance(node, Synapse) else 0


def _core(index: int, pieces: tuple[Piece, ...], target: Target) -> Core:
    demand = sum((piece.demand for piece in pieces), Demand())
    limits = target.limits
    used = {
        "neurons": (demand.neurons, limits.neurons_per_core.value or np.inf),
        "synapse_words": (demand.synapse_words, limits.synapse_words.value or np.inf),
    }
    limiting = max(used, key=lambda name: used[name][0] / used[name][1])
    return Core(index, 0, *target.chip.router(index), pieces, demand, used, limiting)


def count_on_cores(
    graph: Graph, mapping: Mapping, trace: Trace, counts: cost.Counts, seed: int = 0
) -> Events:
    """Events that agree with ``counts``, spread evenly over the cores of a node and over its ticks."""
    samples, ticks = trace.outputs.shape[1], trace.outputs.shape[0]
    steps, rng = ticks + mapping.depth, np.random.default_rng(seed)
    position = {core.index: i for i, core in enumerate(mapping.cores)}
    hosts = {n: [c for c in mapping.cores if any(n in p.elements for p in c.pieces)] for n in graph.nodes}
    core_counts = np.zeros((samples, len(mapping.cores), steps, len(EVENT_KINDS)))
    wobble = rng.uniform(0.7, 1.3, (samples, 1))
    wobble *= samples / wobble.sum()
    nodes, both = {}, {}
    for node in graph:
        row = _row(graph, node, counts)
        if not row.any() or not hosts[node.name]:
            continue
        nodes[node.name] = row
        first = depths(graph)[node.name]
        for core in hosts[node.name]:
            both[node.name, core.index] = row / len(hosts[node.name])
            for tick in range(ticks):
                core_counts[:, position[core.index], first + tick] += (
                    wobble * both[node.name, core.index] / ticks
                )
    links, peak = _links(mapping, core_counts)
    bits = {ends: 40 * packets for ends, packets in links.items()}
    return Events(samples, steps, core_counts, nodes, both, links, bits, peak)


def _row(graph: Graph, node: Any, counts: cost.Counts) -> np.ndarray:
    row = np.zeros(len(EVENT_KINDS))
    found = counts.nodes.get(node.name)
    for kind in (*SHARED_KINDS, "spikes") if found else ():
        row[COLUMN[kind]] = getattr(found, kind)
    if found and not isinstance(node, (Neuron, Input)):
        row[COLUMN["spikes"]] = found.messages
    size = graph.values[node.name].shape.size * counts.ticks
    if isinstance(node, (Micro, Sum, Delay)):
        row[COLUMN["microcode_ops"]] = size * (24 if isinstance(node, Micro) else 1)
    if isinstance(node, (Product, Micro, Delay)):
        row[COLUMN["state_accesses"]] = size
    spikes = row[COLUMN["spikes"]]
    row[COLUMN["packets_out"]] = row[COLUMN["packets_in"]] = 3 * spikes
    row[COLUMN["hops_x"]], row[COLUMN["hops_y"]] = 4 * spikes, 2 * spikes
    row[COLUMN["memory_reads"]], row[COLUMN["message_bits"]] = row[COLUMN["synaptic_ops"]] / 4, 120 * spikes
    return row


def _links(mapping: Mapping, counts: np.ndarray) -> tuple[dict, dict]:
    """All of a core's packets go to the router east of it; the first core hears from the host."""
    sent = counts[..., COLUMN["packets_out"]].mean(axis=0)
    links: dict[Link, np.ndarray] = {Link(HOST, Router(0, 0, 0)): np.full(sent.shape[1], 12.0)}
    for core, packets in zip(mapping.cores, sent, strict=True):
        ends = Link(Router(core.chip, core.x, core.y), Router(core.chip, (core.x + 1) % 8, core.y))
        links[ends] = links.get(ends, 0) + packets
    return links, {ends: int(np.ceil(packets.max() * 1.3)) for ends, packets in links.items()}


WARNINGS = (
    Problem(
        "ND214",
        "an interval was measured, not proven",
        "b0.mix from blocks.0.attn [matmul]",
        "27 bits",
        "24 bits",
        ("calibrate with more samples: --calib 512", "use fewer levels: --set convert.levels=5"),
        "warning",
    ),
    Problem("ND431", "values saturated in calibration", "b1.fc2.mt", "3 of 1,048,576", "0", (), "warning"),
)


@cache
def inputs(method: str = "ecmt", target_name: str = "loihi-sim", **sizes: int) -> ReportInputs:
    """Everything a report reads."""
    sizes = sizes or (
        {"tokens": 16, "dim": 32, "heads": 4, "hidden": 64, "depth": 2} if method == "ecmt" else {}
    )
    target = load(target_name)
    source, graph, x = spiking(method, **sizes)
    trace = run(graph, x)
    counts = cost.count(graph, trace)
    mapping = place(graph, target)
    events = count_on_cores(graph, mapping, trace, counts)
    grades = {n.name: _grade(n) for n in graph if not isinstance(n, (View, Const))}
    program = Program(graph, mapping)
    ticks = trace.outputs.shape[0]
    return ReportInputs(
        model=ModelInfo(
            name=f"mini-{'vit' if method == 'ecmt' else 'snn'}",
            system="vit",
            title="a small transformer",
            source="tests",
            parameters=25_000,
            dataset="digits",
            dataset_sha256="ab" * 32,
        ),
        target=target,
        method=method,
        timesteps=ticks,
        config={"model": "mini", "target": target_name, "weight_bits": 8},
        source=source,
        spiking=graph,
        integer=graph,
        mapping=mapping,
        assessment=cost.assess(program, target, source, events, counts, grades),
        accuracy=Accuracy(
            samples=360,
            source=0.9833,
            spiking=0.975,
            integer=0.9722,
            by_level={
                "source": (0.9833,),
                "spiking": (0.64, 0.91, 0.9639, 0.975)[:ticks],
                "integer": (0.61, 0.9, 0.9611, 0.9722)[:ticks],
            },
            answers=answers(),
        ),
        images=PICTURES if method == "ecmt" else None,
        import_check=checked(ticks).as_dict(),
        bit_true=BitTrue(equal=True, samples=100, backends=("cpu", "loihi-sim", "interp")),
        beside=beside(graph),
        classes=("zero", "one", "two"),
        saturations={"b0.fc1": 2},
        grades=grades,
        raster=raster(graph, trace),
        raster_sample="test image 0",
        warnings=WARNINGS,
        stages=(
            Stage(name="import", seconds=0.4, fact="61 nodes"),
            Stage(name="quantize", seconds=0.7, fact="26 layers, int8, 0 saturations"),
            Stage(name="map", seconds=1.9, fact="46 cores"),
        ),
        provenance={
            "version": "0.1.0",
            "python": "3.10",
            "numpy": "1.26.4",
            "seed": 0,
            "command": "build mini",
        },
    )


def beside(graph: Graph) -> Beside:
    noise = {n.name: 18.0 + 3 * i % 17 for i, n in enumerate(graph.of(Synapse, Product))}
    rows = [
        Layer(name=name, kind="synapse", low=-1.0, high=2.0, noise_db=None if i == 1 else 12.5, quantised_db=found,
              counts={level: tuple(range(4)) for level in LEVELS}, tick=i % 2 if i < 3 else None,
              points=dict.fromkeys(LEVELS, (0.0, 1.5)), parted=0.25 if i < 3 else None)
        for i, (name, found) in enumerate(noise.items())
    ]  # fmt: skip
    return Beside(sqnr_db=noise, layers=tuple(rows), samples=8)


def answers() -> Answers:
    pairs = (
        (0, 0, {"source": 8, "spiking": 8, "integer": 7}),
        (0, 2, {"integer": 1}),
        (1, 1, {"integer": 3}),
    )
    shown = {"width": 3, "height": 2, "palette": ["#000000", "#ff8800"], "codes": "010011"}
    said = {"source": 0, "spiking": 0, "integer": 2}
    return Answers(pairs=pairs, wrong=(Wrong(sample=5, label=0, said=said, picture=shown),
                                       Wrong(sample=7, label=1, said=said, text="a text")))  # fmt: skip


#: what a network that answers with images would say
PICTURES = Pictures(
    samples=360, peak=1.0, near={"spiking": 43.9, "integer": None},
    true={"float": 17.8, "spiking": 17.75, "integer": 17.8},
    examples={
        "input": np.arange(8).reshape(2, 1, 2, 2) * 36, "integer": np.arange(96).reshape(2, 3, 4, 4) * 2
    },
)  # fmt: skip


def _grade(node: Any) -> Evidence:
    if isinstance(node, (Synapse, Sum)):
        return ("documented", "public compiler print-outs show it")
    if isinstance(node, Micro):
        return ("simulation-only", "reads a row of neurons of its core")
    return ("plausible", "add, compare and multiply with shift are public")


def synthetic() -> ReportInputs:
    """A build of a file that holds integers, on synthetic input: no floats, no labels."""
    base = inputs("native")
    graph = base.integer.with_header(method=INTEGER, level="integer")
    drawn = "uniform integers 0 .. 15 in each element and tick, seed 0"
    facts = {
        "kind": "synthetic",
        "label": SYNTHETIC,
        "text": drawn,
        "seed": 0,
        "low": 0,
        "high": 15,
        "spike_rate": None,
    }
    return replace(
        base,
        method=INTEGER,
        spiking=None,
        integer=graph,
        accuracy=None,
        beside=Beside(),
        stimulus=facts,
        config={**base.config, "optimise": "energy"},
        import_check={},
        reasons={
            "accuracy": f"{SYNTHETIC} has no labels: give labelled data with --data",
            "import_check": "the file is all that there is of the network",
        },
        raster_sample="first synthetic sample of the estimate",
        lava={
            "processes": 3,
            "share": 0.75,
            "layers": [
                {
                    "layer": "stem",
                    "processes": "Conv + LIF",
                    "events": 300.0,
                    "stock_events": 300.0,
                    "own": "",
                },
                {
                    "layer": "mix",
                    "processes": "own",
                    "events": 100.0,
                    "stock_events": 0.0,
                    "own": "a spike product",
                },
            ],
            "nodes": {"stem": "Conv", "s0": "LIF", "mix": "own"},
        },
    )
