"""Files for SANA-FE: what they say is the mapping, the target and the recorded spikes; and they are refused whole."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from neurodeploy import verbs
from neurodeploy.errors import GraphError, NeurodeployError, SimulateError, UsageError
from neurodeploy.formats.sanafe import WRITER, crosscheck
from neurodeploy.formats.sanafe import net as _sanafe_net
from neurodeploy.formats.sanafe.write import export
from neurodeploy.image import encode
from neurodeploy.ir import interp, intervals
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Neuron, Synapse
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.target import Target, load
from tests.fast import fast
from tests.mappings import one_core_per_group
from tests.unit.backends.small import attention, ones
from tests.unit.formats.sanafe.second_reader import Chip, Net, simulate
from tests.unit.mapping.networks import Net as Sketch
from tests.unit.mapping.networks import mlp

TARGETS = ("loihi1", "loihi2")


def spread(graph: Graph, target: Target) -> Program:
    """Mapped onto many cores, so that there are tiles to cross."""
    mapping = map_graph(graph, target, optimise="latency")
    assert mapping.fits
    return Program(graph, encode(graph, mapping, target))


@cache
def dense(name: str) -> tuple[Program, Target, np.ndarray]:
    """A perceptron of LIF neurons, three random inputs."""
    target = load(name)
    x = np.random.default_rng(5).integers(0, 2, (3, 16))
    return spread(balance(intervals.propagate(mlp((16, 24, 16, 8)))), target), target, x


@cache
def mixed() -> tuple[Program, Target, np.ndarray]:
    """Products, microcode, delays, reductions and graded values."""
    target = load("loihi-sim")
    graph = balance(attention())
    return Program(graph, encode(graph, one_core_per_group(graph, target), target)), target, ones()


CASES: dict[str, Callable[[], tuple[Program, Target, np.ndarray]]] = {
    **{name: partial(dense, name) for name in TARGETS},
    "mixed": mixed,
}


@pytest.fixture(params=fast(CASES, "mixed"))
def case(request: pytest.FixtureRequest) -> tuple[Program, Target, np.ndarray]:
    return CASES[request.param]()


def written(case: tuple[Program, Target, np.ndarray], folder: Path) -> tuple[Path, Path, dict]:
    program, target, x = case
    (network, architecture, description), _ = export(program, folder / "net.yaml", x, target=target)
    assert sorted(p.name for p in folder.iterdir()) == ["net.arch.yaml", "net.json", "net.yaml"]
    return network, architecture, json.loads(description.read_text())


# --- architecture ------------------------------------------------------------------------------------------------


def test_every_coefficient_is_the_targets_and_says_so(
    case: tuple[Program, Target, np.ndarray], tmp_path: Path
) -> None:
    _, target, _ = case
    _, architecture, _ = written(case, tmp_path)
    lines = [line for line in architecture.read_text().splitlines() if re.match(r" +(energy|latency)_", line)]
    assert lines
    seen = set()
    for line in lines:
        found = re.fullmatch(r" +(\w+): (\S+) +# (.+)", line)
        assert found, line
        key, number, comment = found.groups()
        if comment.startswith("zero"):
            assert float(number) == 0
            continue
        if "words x" in comment:  # reading is part of what SANA-FE calls a synaptic event
            time = target.costs.time_ns
            read_ns = float(comment.split(" words x ")[0].split()[-1]) * time.memory_read.nominal
            assert key == "latency_process_spike"
            assert float(number) == pytest.approx((time.synaptic_op.nominal + read_ns) * 1e-9, rel=1e-3)
            seen.add("time_ns.synaptic_op")
            continue
        section, coefficient, shown = re.match(r"costs\.(\w+)\.(\w+) (\S+) ", comment).groups()
        cost = getattr(getattr(target.costs, section), coefficient)
        scale = 1e-9 if section == "time_ns" else 1e-12
        assert key.startswith("latency") == (section == "time_ns")
        assert float(number) == pytest.approx(cost.nominal * scale, rel=1e-12, abs=0)
        assert float(shown) == cost.nominal
        seen.add(f"{section}.{coefficient}")
    wanted = (
        "synaptic_op",
        "neuron_update",
        "neuron_spike",
        "axon_out",
        "axon_in",
        "packet_hop_x",
        "packet_hop_y",
    )
    assert seen == {f"{s}.{k}" for s in ("energy_pj", "time_ns") for k in wanted} | {"time_ns.barrier"}


def test_the_mesh_is_the_targets(case: tuple[Program, Target, np.ndarray], tmp_path: Path) -> None:
    _, target, _ = case
    _, architecture, _ = written(case, tmp_path)
    chip = Chip(architecture)
    assert (chip.attributes["width"], chip.attributes["height"]) == (
        target.chip.routers_x,
        target.chip.routers_y,
    )
    assert len(chip.tiles) == target.chip.routers_x * target.chip.routers_y
    own = [core for core in chip.cores if int(core.split(".")[1]) < target.chip.cores_per_router]
    assert len(own) == len(chip.tiles) * target.chip.cores_per_router


# --- network -----------------------------------------------------------------------------------------------------


def place_of(case: tuple[Program, Target, np.ndarray], node: str) -> dict[int, tuple[int, int, int]]:
    """(x, y, slot) of each element of a node, by the mapping's images."""
    program, found = case[0], {}
    for image in program.mapping.images:
        for unit in image.units:
            for item in unit.program:
                if item.node == node and image.chip >= 0:
                    flat = image.elements(item)
                    found.update(dict.fromkeys(flat.tolist(), (image.x, image.y, image.slot)))
    return found


def test_neurons_are_where_the_mapping_has_them(
    case: tuple[Program, Target, np.ndarray], tmp_path: Path
) -> None:
    program, target, x = case
    network, architecture, description = written(case, tmp_path)
    net, chip = Net(network), Chip(architecture)
    exported = _sanafe_net.network(program, target, x)
    label = {row["node"]: row["group"] for row in description["groups"] if row["role"] == "neuron"}
    groups = {g.label: g for g in exported.groups}
    assert set(label) == {node.name for node in program.graph.of(Neuron)}
    for node, name in label.items():
        places = place_of(case, node)
        assert net.groups[name] == len(places) == program.graph.values[node].shape.size
        for number, flat in enumerate(groups[name].index.tolist()):
            core = net.place[f"{name}.{number}"]["core"]
            assert (*chip.place(core), int(core.split(".")[1])) == places[flat]
    cores = {(core.x, core.y) for core in program.mapping.cores}
    assert len(cores) > 1


def addresses(program: Program, node: str) -> dict[tuple[int, int], int]:
    """(site, inbox address) -> flat element of a Synapse node."""
    found = {}
    for site, image in enumerate(program.mapping.images):
        for item in (i for unit in image.units for i in unit.program):
            if item.node == node and item.op == "synapse":
                start, gather = item.numbers["from"], image.tables["gather"]
                first = int(image.tables["ports"][item.ports[0], 0])
                slots = range(item.size) if start < 0 else gather[start : start + item.size].tolist()
                flat = image.elements(item).tolist()
                found.update({(site, first + s): f for s, f in zip(slots, flat, strict=True)})
    return found


@pytest.mark.parametrize("name", TARGETS)
def test_connections_are_the_weights_of_the_graph(name: str, tmp_path: Path) -> None:
    program, target, x = dense(name)
    network, _, description = written((program, target, x), tmp_path)
    net, exported = Net(network), _sanafe_net.network(program, target, x)
    groups = {g.label: g for g in exported.groups}
    site = {(i.x, i.y, i.slot): n for n, i in enumerate(program.mapping.images) if i.chip >= 0}
    height = target.chip.routers_y
    for node in program.graph.of(Synapse):
        (label,) = [
            r["group"] for r in description["groups"] if (r["node"], r["role"]) == (node.name, "currents")
        ]
        into, element = groups[label], addresses(program, node.name)
        found = np.zeros_like(node.weight)
        for source, edges in net.edges.items():
            group, number = source.rsplit(".", 1)
            for target_neuron, weight in edges:
                if target_neuron.rpartition(".")[0] != label:
                    continue
                at = int(target_neuron.rpartition(".")[2])
                place = (*divmod(int(into.tile[at]), height), int(into.core[at]))
                row = element[site[place], int(into.index[at])]
                column = groups[group].index[int(number)]
                assert weight != 0
                found[row, column] += weight
        assert np.array_equal(found, node.weight)


def test_spike_trains_are_the_interpreters(case: tuple[Program, Target, np.ndarray]) -> None:
    program, target, x = case
    net = _sanafe_net.network(program, target, x)
    trace = interp.run(program.graph, x, [g.node for g in net.groups[: len(net.trains)]])
    ticks, samples = trace.outputs.shape[:2]
    depth = program.mapping.depth
    assert (net.pipelined, net.framed) == (samples * ticks, samples * (ticks + depth))
    for group, train in zip(net.groups, net.trains, strict=False):
        values = np.broadcast_to(
            trace.values[group.node], (ticks, samples, *trace.values[group.node].shape[2:])
        )
        values = values.reshape(ticks, samples, -1)[:, :, group.index] != 0
        late = group.depth
        for sample in range(samples):
            for tick in range(ticks):
                wrapped = (sample * ticks + tick + late) % net.pipelined
                row = np.arange(group.size)
                assert np.array_equal(train[row, wrapped], values[tick, sample])
                framed = net.pipelined + sample * (ticks + depth) + tick + late
                assert np.array_equal(train[row, framed], values[tick, sample])
        assert train.sum() == 2 * values.sum()


def test_a_second_reader_counts_what_the_cores_counted(
    case: tuple[Program, Target, np.ndarray], tmp_path: Path
) -> None:
    program, target, x = case
    network, architecture, description = written(case, tmp_path)
    runs = [run["steps"] for run in description["runs"]]
    reports = simulate(architecture, network, runs)
    (tmp_path / "result.json").write_text(json.dumps(reports))
    found = crosscheck.read(tmp_path / "result.json", runs)
    net = _sanafe_net.network(program, target, x)
    compared = crosscheck.compare(program, target, net, found, "-", "simple")
    assert not compared.problems and all(count.agrees for count in compared.counts)
    events = {k: int(net.events.core_counts[..., i].sum()) for i, k in enumerate(net.events.kinds)}
    assert min(events[k] for k in ("synaptic_ops", "spikes", "packets_out", "hops_x")) > 0
    expected = net.expected
    assert found[0].synaptic_events - expected.deliveries == events["synaptic_ops"]
    assert found[0].packets - expected.from_host == events["packets_out"]
    assert found[0].hops == events["hops_x"] + events["hops_y"]
    assert expected.spikes == events["spikes"] and expected.updates == events["stock_updates"]
    energy = {f.name: f for f in compared.energy}
    for part in ("synapse", "soma", "network", "shared terms"):
        assert energy[part].ratio == pytest.approx(1, rel=1e-9) and energy[part].ours > 0
    # The same events in frames of their own, apart from the updates of idle neurons.
    assert (found[1].synaptic_events, found[1].packets, found[1].hops) == (
        found[0].synaptic_events, found[0].packets, found[0].hops,
    )  # fmt: skip
    assert found[1].energy_j["soma"] > found[0].energy_j["soma"]


def test_messages_of_one_spike_to_one_core_are_merged_and_counted(tmp_path: Path) -> None:
    """A core that reads a population as it is and transposed gets two messages of a spike from us, one from SANA-FE."""
    target, net = load("loihi-sim"), Sketch()
    first = net.lif(net.dense(net.input("NC", 4, 4), 4, "fc1"), "lif1")
    turned = net.view(first, "permute", (1, 0), "CN", "turned")
    both = net.total(net.dense(turned, 4, "fc2"), net.dense(first, 4, "fc3"))
    graph = balance(net.output(net.lif(both, "lif2")))
    program = Program(graph, encode(graph, one_core_per_group(graph, target), target))
    x = np.random.default_rng(0).integers(0, 2, (2, 4, 4))
    exported = _sanafe_net.network(program, target, x)
    events, expected = exported.events, exported.expected
    sent = int(events.core_counts[..., events.kinds.index("packets_out")].sum())
    assert expected.packets - expected.from_host + expected.merged == sent
    assert expected.merged == int(interp.run(graph, x, ["lif1"]).values["lif1"].sum()) > 0
    network, architecture, _ = written((program, target, x), tmp_path)
    reports = simulate(architecture, network, [exported.pipelined, exported.framed])
    assert reports[0]["packets_sent"] == expected.packets


def test_the_network_file_is_yaml(tmp_path: Path) -> None:
    network, _, _ = written(mixed(), tmp_path)
    assert YAML(typ="safe").load(network.read_text()) == json.loads(network.read_text())


def test_layers_keep_their_populations_and_what_feeds_them(tmp_path: Path) -> None:
    program, target, x = dense("loihi2")
    whole = _sanafe_net.network(program, target, x)
    part = _sanafe_net.network(program, target, x, layers=("fc2",))
    roles = {(g.node, g.role) for g in part.groups}
    assert roles - {("fc2", "arrivals")} == {("lif1", "free"), ("lif2", "neuron"), ("fc2", "currents")}
    trace = interp.run(program.graph, x, ["lif1", "lif2"])
    met = (trace.values["lif1"] != 0) @ (program.graph.nodes["fc2"].weight != 0).T.astype(int)
    assert part.expected.synaptic_events - part.expected.deliveries == met.sum() > 0
    assert part.expected.spikes == trace.values["lif2"].sum() and not part.whole
    assert part.expected.fired == part.expected.spikes + trace.values["lif1"].sum()
    assert part.synapses < whole.synapses
    export(program, tmp_path / "net.yaml", x, target=target, layers=("fc2",))
    reports = simulate(tmp_path / "net.arch.yaml", tmp_path / "net.yaml", [part.pipelined, part.framed])
    (tmp_path / "result.json").write_text(json.dumps(reports))
    runs = crosscheck.read(tmp_path / "result.json", [part.pipelined, part.framed])
    compared = crosscheck.compare(program, target, part, runs, "-", "simple")
    assert not compared.problems and [f.name for f in compared.energy][-1] == "shared terms"


def test_a_synthetic_sample_where_none_is_given(tmp_path: Path) -> None:
    program = dense("loihi2")[0]
    WRITER.write(program, tmp_path / "net.yaml")
    assert json.loads((tmp_path / "net.json").read_text())["samples"] == 1


def test_group_names_are_addresses_that_sanafe_takes() -> None:
    program, target, x = dense("loihi2")
    renamed = {"lif1": "a.b", "lif2": "a/b", "fc1": "x -> y"}
    graph = program.graph
    nodes = {
        renamed.get(n.name, n.name): replace(
            n, name=renamed.get(n.name, n.name), inputs=tuple(renamed.get(i, i) for i in n.inputs)
        )
        for n in graph
    }
    other = Graph(nodes, {renamed.get(k, k): v for k, v in graph.values.items()}, graph.header)
    labels = [g.label for g in _sanafe_net.network(spread(other, target), target, x).groups]
    assert len(set(labels)) == len(labels) and not any(set(".>[ ") & set(label) for label in labels)


# --- refusals ----------------------------------------------------------------------------------------------------


def codes(error: NeurodeployError) -> set[str]:
    return {p.code for p in error.problems}


def test_a_network_without_memory_images_is_refused() -> None:
    program, target, x = dense("loihi2")
    for bare in (
        replace(program, mapping=None),
        replace(program, mapping=replace(program.mapping, images=())),
    ):
        with pytest.raises(SimulateError) as raised:
            _sanafe_net.network(bare, target, x)
        assert codes(raised.value) == {"ND610"}


def test_several_chips_and_another_mesh_are_refused_together() -> None:
    program, target, x = dense("loihi2")
    images = list(program.mapping.images)
    images[0] = replace(images[0], chip=1)
    other = target.model_copy(update={"chip": target.chip.model_copy(update={"routers_x": 4})})
    with pytest.raises(GraphError) as raised:
        _sanafe_net.network(
            replace(program, mapping=replace(program.mapping, images=tuple(images))), other, x
        )
    assert codes(raised.value) == {"ND230"} and len(raised.value.problems) == 2


@pytest.mark.parametrize("built", [False, True])
def test_packets_that_are_copied_are_refused(built: bool) -> None:
    """By the target that prices them, and by that of the build, which the header of the host's image tells."""
    program, target, x = dense("loihi2")
    copied = target.model_copy(update={"chip": target.chip.model_copy(update={"multicast": True})})
    if built:
        program = replace(program, mapping=encode(program.graph, program.mapping, copied))
    with pytest.raises(GraphError) as raised:
        _sanafe_net.network(program, target if built else copied, x)
    (problem,) = raised.value.problems
    assert problem.code == "ND230" and "copied" in problem.found


def test_a_network_without_synapses_is_refused_node_by_node() -> None:
    target = load("loihi-sim")
    net = Sketch()
    x = net.input("NC", 3, 4)
    product = net.product(net.lif(x, "a"), net.lif(x, "b"), "nc,mc->nm", "NN", "scores")
    graph = balance(net.output(net.total(product, product, name="twice")))
    program = Program(graph, encode(graph, one_core_per_group(graph, target), target))
    with pytest.raises(GraphError) as raised:
        _sanafe_net.network(program, target, np.ones((1, 3, 4), int))
    assert {"scores", "twice"} <= {p.where for p in raised.value.problems}


def test_a_network_too_large_names_the_largest_layers() -> None:
    program, target, x = dense("loihi2")
    with pytest.raises(SimulateError) as raised:
        _sanafe_net.network(program, target, x, memory_gb=0.0001)
    (problem,) = raised.value.problems
    assert problem.code == "ND620" and "fc1 (" in problem.fixes[0] and "--memory" in problem.fixes[1]


def test_layers_that_no_node_matches_are_refused() -> None:
    program, target, x = dense("loihi2")
    with pytest.raises(UsageError) as raised:
        _sanafe_net.network(program, target, x, layers=("fc2", "fx2"))
    assert [p.found for p in raised.value.problems] == ["fx2"]


def test_the_verb_finds_the_exporter() -> None:
    with pytest.raises(UsageError) as raised:
        verbs.export("nowhere", "sanfe", "x.yaml")
    assert "use export format 'sanafe'" in raised.value.problems[0].fixes
