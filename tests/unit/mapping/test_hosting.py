"""Which layers a host can look up, how a user says so, what is refused, and what the other way would cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.backends.lava import lowered
from neurodeploy.errors import BackendError, SimulateError, UsageError
from neurodeploy.image import encode
from neurodeploy.image.programs import wrong
from neurodeploy.inputs.arrays import checked_input
from neurodeploy.ir import levels
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Delay, Node, Synapse
from neurodeploy.mapping.given import Given
from neurodeploy.mapping.hosting import hosted, on_cores, searched, tables
from neurodeploy.mapping.mapper import map_graph, placed, prepared
from neurodeploy.mapping.outcome import ON_CORES, ON_HOST, TAKEN
from neurodeploy.mapping.spread import FREE
from neurodeploy.mapping.types import Mapping
from neurodeploy.mapping.written import written
from neurodeploy.program import Program
from neurodeploy.report import words
from neurodeploy.target import Target, load
from tests.unit.mapping.networks import Net, mlp
from tests.unit.mapping.test_given import few, said

TARGET = load("loihi-sim")
TOKENS, WORDS, WIDTH = 4, 60, 8


def text(words: int = WORDS, wide: int = WORDS) -> Graph:
    """A table of words and one of a mask, behind them two layers: the last reads as many inputs as there are words."""
    net = Net()
    x = net.input("NK", TOKENS, words)
    net.header = replace(net.header, notes={"tokens": {"length": TOKENS, "vocabulary": words}})
    shown = net.view(x, "slice", (0, 0, TOKENS, 1), "NK", "shown")
    x = net.total(net.dense(x, WIDTH, "word"), net.dense(shown, 1, "mask"), name="both")
    x = net.lif(net.dense(net.lif(x, "seen"), wide, "wide"), "spikes")
    return net.output(net.dense(x, 2, "head"))


GRAPH, NOTHING = text(), Given()


def laid(
    given: Given = NOTHING, lookups: str = "cores", graph: Graph = GRAPH, target: Target = TARGET
) -> Mapping:
    return placed(searched(graph, target, "cores", given, FREE, 0, lookups), "snake")


def on_host(mapping: Mapping) -> list[str]:
    return list(mapping.notes.get("hosted", ()))


def test_tables_are_what_ids_alone_spike_into() -> None:
    assert tables(GRAPH) == ("word", "mask")
    assert tables(mlp((8, 4))) == ()


def test_a_line_receives_what_a_sum_reads_and_layers_read_the_host_themselves() -> None:
    graph = hosted(GRAPH, ("word", "mask"))
    assert graph.nodes["both"].inputs == ("word_received", "mask_received")
    assert [n.steps for n in graph.of(Delay)] == [1, 1]
    net = Net()
    x = net.dense(net.input("NK", 2, 5), 3, "word")
    direct = hosted(net.output(net.dense(net.view(x, "permute", (1, 0), "CN"), 4)), ("word",))
    assert not direct.of(Delay)


def test_no_message_is_wider_than_a_row() -> None:
    node = GRAPH.nodes["word"]
    assert isinstance(node, Synapse)
    node = replace(node, bias=np.full(WIDTH, 200))
    graph = hosted(replace(GRAPH, nodes={**GRAPH.nodes, "word": node}), ("word",))
    value = graph.values["word"]
    assert value.interval is not None and value.fixed is not None
    assert (value.interval.lo, value.interval.hi) == tuple(
        200 + int(w) for w in (node.weight.min(), node.weight.max())
    )
    assert value.fixed.limits[1] >= value.interval.hi > value.fixed.limits[1] // 2


def test_the_graph_on_cores_computes_the_same_nodes() -> None:
    graph = hosted(GRAPH, tables(GRAPH))
    assert [n.name for n in graph.of(Synapse) if n.hosted] == ["word", "mask"]
    assert not any(n.hosted for n in on_cores(graph).of(Synapse))
    assert [*on_cores(graph).nodes] == [*graph.nodes]


@pytest.mark.parametrize(
    ("rules", "lookups", "names"),
    [
        ("", "cores", []),
        ("", "host", ["word", "mask"]),
        ('[layer.mask]\nlayout = "host"\n', "cores", ["mask"]),
        ('[layer."*"]\nlayout = "host"\n', "cores", ["word", "mask"]),
        ("[layer.word]\nlayout = { tokens = 2 }\n", "host", ["mask"]),
        ('[layer."w*"]\nlayout = { tokens = 2 }\n[layer.word]\nlayout = "host"\n', "cores", ["word"]),
        ('[layer.word]\nlayout = "host"\n[layer."w*"]\nlayout = { tokens = 2 }\n', "cores", []),
    ],
)
def test_a_file_says_it_of_single_tables_and_a_flag_of_all_others(
    tmp_path: Path, rules: str, lookups: str, names: list[str]
) -> None:
    mapping = laid(said(tmp_path, rules), lookups)
    assert on_host(mapping) == names and mapping.fits
    again = laid(said(tmp_path, text := written(mapping, TARGET)))
    assert written(again, TARGET) == text and on_host(again) == names


@pytest.mark.parametrize(
    ("graph", "rules", "lookups", "code", "where"),
    [
        (GRAPH, '[layer.wide]\nlayout = "host"\n', "cores", "ND529", "layer.'wide'.layout"),
        (GRAPH, '[layer."h*"]\nlayout = "host"\n', "cores", "ND529", "layer.'h*'.layout"),
        (GRAPH, '[layer.wrod]\nlayout = "host"\n', "cores", "ND522", "word"),
        (GRAPH, '[layer.word]\nlayout = "host"\ncores = ["0:1"]\n', "cores", "ND524", "layer.'word'.cores"),
        (mlp((8, 4)), "", "host", "ND529", "--lookups host"),
        (mlp((8, 4)), '[layer.fc1]\nlayout = "host"\n', "cores", "ND529", "takes no texts"),
    ],
)
def test_what_no_host_looks_up_is_refused(
    tmp_path: Path, graph: Graph, rules: str, lookups: str, code: str, where: str
) -> None:
    with pytest.raises(UsageError) as caught:
        laid(said(tmp_path, rules), lookups, graph)
    (problem,) = caught.value.problems
    assert problem.code == code and where in f"{problem}{problem.fixes}"


def test_a_chip_of_binary_spikes_takes_no_rows() -> None:
    problems = [p for p in laid(lookups="host", target=load("loihi1")).problems if p.code == "ND505"]
    assert {p.where for p in problems} >= {"word", "mask"}
    assert all("on cores" in p.fixes[0] for p in problems if p.where in ("word", "mask"))


@pytest.mark.parametrize("change", [{"op": "conv"}, {"delay": 1}, {"inputs": ("seen",)}])
def test_a_host_that_computes_more_breaks_a_rule(change: dict[str, object]) -> None:
    graph = prepared(GRAPH, TARGET)
    wide: Any = graph.nodes["wide"]
    named = replace(wide, hosted=True, inputs=("shown",))
    assert "ND228" not in {p.code for p in levels.verify(with_node(graph, named), "integer")}
    problems = levels.verify(with_node(graph, replace(named, **change)), "integer")
    assert "ND228" in {p.code for p in problems}


def with_node(graph: Graph, node: Node) -> Graph:
    return replace(graph, nodes={**graph.nodes, "wide": node})


def test_both_ways_are_told_with_what_they_cost() -> None:
    """Each is what the other would be."""
    rows = {
        lookups: {r["plan"]: r for r in laid(lookups=lookups).notes["search"]["plans"]}
        for lookups in ("cores", "host")
    }
    for key in ("cores", "energy_uj", "latency_ms", "period_ms"):
        assert rows["cores"][ON_HOST][key] == pytest.approx(rows["host"][TAKEN][key])
        assert rows["host"][ON_CORES][key] == pytest.approx(rows["cores"][TAKEN][key])
    assert not {ON_HOST, ON_CORES} & {r["plan"] for r in laid(graph=mlp((8, 4))).notes["search"]["plans"]}


def test_a_table_that_does_not_fit_may_go_to_the_host() -> None:
    big, target = text(20_000), few(2, TARGET)
    (problem,) = (p for p in laid(graph=big, target=target).problems if p.code == "ND502")
    assert "--lookups host" in problem.fixes
    assert laid(lookups="host", graph=big, target=target).fits


def test_a_lookup_in_the_image_of_a_core_is_refused() -> None:
    graph = prepared(hosted(GRAPH, tables(GRAPH)), TARGET)
    *_, image = encode(graph, map_graph(graph, TARGET), TARGET).images
    assert list(wrong(image)) == []
    assert any("only the host" in found.cause for found in wrong(replace(image, chip=0)))
    unit = image.units[0]
    lookup = next(item for item in unit.program if item.op == "lookup")
    damaged = [replace(i, numbers={"rows": 7}) if i is lookup else i for i in unit.program]
    broken = replace(image, units=(replace(unit, program=tuple(damaged)), *image.units[1:]))
    assert any("table" in found.cause for found in wrong(broken))


def test_lava_computes_the_tables_itself_layer_by_layer() -> None:
    graph = prepared(hosted(GRAPH, tables(GRAPH)), TARGET)
    program = Program(graph, map_graph(graph, TARGET))
    assert not any(n.hosted for n in lowered(program).graph.of(Synapse))
    with pytest.raises(BackendError, match="ND742"):
        lowered(program, "core")


def test_a_token_has_one_id_or_none() -> None:
    x = np.zeros((1, TOKENS, WORDS), dtype=np.int64)
    x[0, 1:, 5] = 1
    assert np.array_equal(checked_input(GRAPH, x), x)
    x[0, 2, 6] = 1
    with pytest.raises(SimulateError, match="ND603"):
        checked_input(GRAPH, x)


def test_a_report_says_what_the_host_does() -> None:
    rows = [
        {"layer": "word", "reads": 8192, "messages": 4000.0},
        {"layer": "mask", "reads": 32, "messages": None},
    ]
    first, second, uncounted = words.lookups({"mapping": {"lookups": rows}})
    assert "word" in first and "8,192" in first and "messages" in first and "mask" in second
    assert "not counted" in uncounted
    assert words.lookups({"mapping": {"lookups": []}}) == ()
