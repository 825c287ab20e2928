"""A sample of cores runs as the whole does, finds what is wrong with the image of any of them, and says what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy import cli, sampled
from neurodeploy.backends.loihi_sim import MEMBER
from neurodeploy.builds.mapped import imaged, laid_out
from neurodeploy.compare import Divergence
from neurodeploy.config import TIME_BUDGET
from neurodeploy.cost import booked, counts
from neurodeploy.image import Alone, encode, lone
from neurodeploy.image.arrivals import KEPT
from neurodeploy.image.single import Lone
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.trace import EVENT_KINDS, Trace
from neurodeploy.mapping.mapper import map_graph, prepared
from neurodeploy.mapping.types import Mapping
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.target import load
from tests.mappings import one_core_per_group, random_mapping
from tests.netx_files import dense, weights, write_net
from tests.unit.backends.small import attention, broken, find, flip, ones
from tests.unit.image.test_encoder import NETWORKS
from tests.unit.mapping import test_streams
from tests.unit.mapping.networks import spiking_transformer

TARGET = load("loihi-sim")
#: networks whose tokens take turns, on so many copies by segment
TURNS = {f"{name} on {copies}": (name, copies) for name, copies in [
    ("perceptron", (2,)), ("attention", (1,)), ("attention", (2, 3)), ("linear attention", (3, 1))
]}  # fmt: skip
ALONE = [i for i, kind in enumerate(EVENT_KINDS) if kind not in sampled.ELSEWHERE]


SMALL = balance(attention())


@cache
def network(name: str) -> tuple[Graph, Mapping, np.ndarray]:
    """A network cut by the mapper, with tokens in space or in turn, or, by the seed that is its name, at random."""
    if name in TURNS:
        made, copies = TURNS[name]
        graph = prepared(test_streams.NETWORKS[made](), TARGET, *copies)
        return graph, map_graph(graph, TARGET), test_streams.inputs(graph)
    if name not in NETWORKS:
        return SMALL, random_mapping(SMALL, TARGET, int(name), copies=True), ones()
    graph = balance(NETWORKS[name]())
    x = np.random.default_rng(0).integers(0, 2, (2, *interp.input_shape(graph)))
    return graph, map_graph(graph, TARGET), x


class Interpreter:
    """In the place of a backend."""

    @staticmethod
    def run(program: Program, x: np.ndarray, names: list[str]) -> tuple[Trace, None]:
        return interp.run(program.graph, x, names), None


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values from the interpreter: the engine refuses these networks, whose neurons could leave their range."""
    monkeypatch.setattr(sampled, "usable", lambda _: Interpreter)


@pytest.mark.parametrize("name", [*NETWORKS, "0", "3", *TURNS])
def test_a_core_alone_does_what_it_does_among_all(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sampled, "usable", lambda _: Interpreter
    )  # the engine refuses thresholds out of range
    graph, mapping, x = network(name)
    trace = interp.run(graph, x, list(graph.nodes))
    _, whole = MEMBER.run(Program(graph, encode(graph, mapping, TARGET)), x)
    encoded = lone(graph, mapping, TARGET)
    for position, core in enumerate(mapping.cores):
        _, events = sampled.run(encoded.core(position), core, trace)
        assert np.array_equal(events.core_counts[:, 0, :, ALONE], whole.core_counts[:, position, :, ALONE])
    found = sampled.verify(Program(graph, mapping), TARGET, x, cores=range(len(mapping.cores)))
    assert found.divergence is None and len(found.cores) == found.total == len(mapping.cores)


def test_every_kind_of_layer_is_in_the_sample() -> None:
    graph = balance(attention())
    mapping = random_mapping(graph, TARGET, 5)
    positions = sampled.chosen(graph, mapping, TARGET)
    assert positions == sampled.chosen(graph, mapping, TARGET) and set(positions) <= set(
        range(len(mapping.cores))
    )
    layers = {name for position in positions for name in mapping.cores[position].layers}
    assert layers == {group.name for group in mapping.groups} - {"x"}  # no two of them are alike


@pytest.mark.slow
@pytest.mark.usefixtures("interpreted")
def test_a_transformer_in_turns_that_is_too_large_to_simulate_is_sampled_and_counted() -> None:
    target = TARGET.with_chips(8)
    made = imaged(laid_out(spiking_transformer(9, 196, 384), target, "cores", streams=1), target, TIME_BUDGET)
    graph, mapping, x = made.graph, made.mapping, np.ones((1, 3, 28, 28), dtype=np.int64)
    assert made.program.unimaged and not made.warnings and mapping.depth > 7000
    found = sampled.verify(made.program, target, x)
    assert found.divergence is None and 20 < len(found.cores) < 50 < found.total
    trace = interp.run(graph, x, [*booked.names(graph), *counts.names(graph)])
    events = booked.booked(graph, mapping, trace, target)
    assert counts.disagreements(graph, counts.count(graph, trace), events) == []


# --- faults ------------------------------------------------------------------------------------------------------


def wrong_weight(image: Mapping) -> Mapping:
    number, item = find(image, "q_fc")
    (link,) = np.flatnonzero(image.images[number].tables["connections"][:, 0] == item.ports[0])
    _, _, _, header, _, _, first_row, *_ = image.images[number].tables["connections"][link].tolist()
    word = int(image.images[number].tables["rows"][first_row + 2, 0])
    return flip(image, number, "synapses", word + header // 64, header % 64)


def wrong_axon(image: Mapping) -> Mapping:
    return flip(image, 0, "items", (0, 3), 2)


def wrong_state(image: Mapping) -> Mapping:
    number, item = find(image, "q")
    return flip(image, number, "state", item.state.start + item.size, 14)


def wrong_send(image: Mapping) -> Mapping:
    return flip(image, 0, "sends", (0, 0), 0)


FAULTS = {f.__name__: f for f in (wrong_weight, wrong_axon, wrong_state, wrong_send)}


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(("name", "node"), [*((name, "q_fc") for name in FAULTS), ("wrong_send", "read-out")])
def test_a_fault_in_the_image_of_a_sampled_core_is_found(
    name: str, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = balance(attention())
    mapping, node = one_core_per_group(graph, TARGET), graph.output.name if node == "read-out" else node
    faulty = next(i for i, core in enumerate(mapping.cores) if node in core.pieces[0].elements)
    own = Lone.core

    def core(self: Lone, position: int) -> Alone:
        alone = own(self, position)
        if position != faulty:
            return alone
        return replace(alone, images=FAULTS[name](replace(mapping, images=alone.images)).images)

    monkeypatch.setattr(Lone, "core", core)
    program, others = Program(graph, mapping), [i for i in range(len(mapping.cores)) if i != faulty]
    found = sampled.verify(program, TARGET, ones(), cores=range(len(mapping.cores)))
    assert found.divergence is not None and found.divergence.backend == f"core {mapping.cores[faulty].index}"
    assert found.divergence.node in mapping.cores[faulty].pieces[0].elements
    assert sampled.verify(program, TARGET, ones(), cores=others).divergence is None


@pytest.mark.parametrize("column", ["since", "apart", "first", "every", "copies"])
def test_a_fault_in_what_is_kept_from_turn_to_turn_is_found(
    column: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, mapping, x = network("attention on (2, 3)")
    trace = interp.run(graph, x, list(graph.nodes))
    every = range(len(mapping.cores))
    position = next(i for i in every if any("block0_av" in p.elements for p in mapping.cores[i].pieces))
    alone = lone(graph, mapping, TARGET).core(position)
    (row, *_) = [
        i for i, port in enumerate(alone.images[0].rows(KEPT)["port"].tolist())
        if alone.images[0].ports_of[port] == "block0_av"
    ]  # fmt: skip
    place = [c.name for c in KEPT.columns].index(column)

    def more(kept: np.ndarray) -> None:
        kept[row, place] += 1

    images = broken(replace(mapping, images=alone.images), 0, "kept", more).images
    monkeypatch.setattr(Lone, "core", lambda *_: replace(alone, images=tuple(images)))
    found = sampled.difference(graph, mapping, TARGET, trace, [position])
    assert found is not None and "block0_av" in found.node


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("kind", [EVENT_KINDS[i] for i in ALONE])
def test_a_count_that_the_second_book_has_wrong_is_found(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, own = balance(attention()), booked.alone

    def wrong(*args: Any) -> dict[int, np.ndarray]:
        counts = own(*args)
        counts[2][1, 3, EVENT_KINDS.index(kind)] += 1
        return counts

    monkeypatch.setattr(booked, "alone", wrong)
    found = sampled.verify(
        Program(graph, one_core_per_group(graph, TARGET)), TARGET, ones(), cores=(2,)
    ).divergence
    assert found is not None and (found.tick, found.sample) == (4, 1) and found.node.startswith(f"{kind} of ")
    assert int(found.expected) == int(found.found) + 1


# --- a build -----------------------------------------------------------------------------------------------------


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict]:
    """A build of a small network, which is taken to be too large to simulate whole where it is said to."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    write_net(tmp_path / "net.net", [dense(weights(rng, 6, 4)), dense(weights(rng, 3, 6))])

    def build(out: str, large: bool, *flags: str, fails: int = 0) -> dict:
        with monkeypatch.context() as patch:
            if large:
                patch.setattr(sampled, "whole", lambda *_: False)
            few = ["--timesteps", "3", "--calib", "2", "--eval", "4", "--set", "estimate=4"]
            assert cli.call(["build", "net.net", *few, "--out", out, "-q", *flags]) == fails
        return json.loads(Path(out, "report.json").read_text())

    return build


def test_a_sampled_build_says_so_and_has_the_numbers_of_a_whole_one(
    built: Callable[..., dict], capsys: pytest.CaptureFixture[str]
) -> None:
    large, small = built("large", True), built("small", False)
    said = capsys.readouterr().out
    assert large["sampled"] == "sampled: 2 of 2 cores executed, the other counts from values and mapping"
    assert small["sampled"] == "" and said.count("cores executed") == 1
    assert said.count("counted from values and mapping") == 1
    assert large["sampled"] in Path("large/report.html").read_text()
    assert (large["bit_true"]["equal"], large["bit_true"]["backends"]) == (True, ["interp", "cpu"])
    for key in ("energy_uj", "latency_ms", "counts", "cores", "layers", "links", "steps"):
        assert large[key] == small[key], key


def test_a_build_fails_by_a_core_that_differs(
    built: Callable[..., dict], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    differs = Divergence("n", 2, 0, (1,), 3, 4, backend="core 7")
    monkeypatch.setattr(sampled, "verify", lambda *_: sampled.Sampled((0,), 2, divergence=differs))
    large = built("large", True, fails=4)
    assert large["bit_true"]["equal"] is False and "core 7 3, interp 4" in large["bit_true"]["divergence"]
    assert "ND650" in capsys.readouterr().err


def test_what_is_sampled_is_verified_again_and_not_run(
    built: Callable[..., dict], capsys: pytest.CaptureFixture[str]
) -> None:
    built("large", True, "--verify", "0")
    assert json.loads(Path("large/report.json").read_text())["sampled"].startswith(
        "sampled: 0 of 2 cores executed"
    )
    capsys.readouterr()
    assert cli.call(["verify", "large", "--samples", "2"]) == 0
    assert (
        "interp = cpu on 2 samples" in (said := capsys.readouterr().out) and "sampled: 2 of 2 cores" in said
    )
    assert cli.call(["verify", "large", "--backend", "loihi-sim"]) == 3
    assert "no memory images" in capsys.readouterr().err


def test_a_network_is_whole_by_its_size_and_the_budget() -> None:
    mapping = map_graph(SMALL, TARGET)
    words = sum(core.demand.total_words for core in mapping.cores)

    def many(most: float) -> Mapping:
        return replace(mapping, cores=mapping.cores * int(most / words))

    assert sampled.whole(SMALL, many(sampled.MOST_BYTES / sampled.WORD_BYTES), TIME_BUDGET)
    assert not sampled.whole(SMALL, many(1.1 * sampled.MOST_BYTES / sampled.WORD_BYTES), TIME_BUDGET)
    assert not sampled.whole(SMALL, many(1.1 / sampled.WORD_S), 1.0)
    assert sampled.whole(SMALL, many(0.9 / sampled.WORD_S), 1.0)
