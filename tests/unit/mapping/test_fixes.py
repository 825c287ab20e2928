"""Fixes that are commands: every one is taken by the command line, and does away with the problem it stands beside."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from neurodeploy import target as targets
from neurodeploy.config import INTEGER, resolve
from neurodeploy.errors import Problem
from neurodeploy.ir import intervals
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Synapse
from neurodeploy.mapping.advice import advised
from neurodeploy.mapping.mapper import map_graph, prepared
from neurodeploy.passes.balance import balance
from neurodeploy.target import Target, load
from tests.fast import fast
from tests.tiny import chain
from tests.unit.mapping.networks import Net, ecmt_transformer, mlp, spiking_transformer
from tests.unit.mapping.test_map_graph import limited

LOIHI1, LOIHI2 = load("loihi1"), load("loihi2")


def few_cores(count: int, **limits: int) -> Target:
    chip = LOIHI2.chip.model_copy(update={"cores_per_chip": count})
    return limited(**limits).model_copy(update={"chip": chip})


REFUSED: dict[str, tuple[Callable[[], Graph], Target, str]] = {
    "chips": (lambda: spiking_transformer(2, 16, 32), few_cores(2, neuron_groups=1), "cores"),
    "features": (lambda: ecmt_transformer(1, 2, 16), LOIHI1, "cores"),
    "words": (lambda: ecmt_transformer(1, 4, 64), limited(synapse_words=1100), "cores"),
    "nothing helps": (lambda: ecmt_transformer(1, 4, 64), limited(synapse_words=10), "cores"),
    "weights": (lambda: mlp((8, 4), top=1000), LOIHI2, "cores"),
    "weights of one bit": (lambda: mlp((8, 4)), load("loihi1"), "cores"),
    **{
        key: (lambda: spiking_transformer(1, 4, 16), limited(**{key: n}), "cores")
        for key, n in {
            "payload_bits": 2,
            "message_bits": 2,
            "delay_steps": 1,
            "fan_out": 1,
            "state_bits": 4,
        }.items()
    },
    **{
        key: (lambda: ecmt_transformer(1, 2, 16), limited(**{key: n}), "cores")
        for key, n in {
            "register_bits": 8,
            "multiply_bits": 8,
            "state_words_per_neuron": 1,
            "fan_in": 3,
        }.items()
    },
}


def options(fix: str) -> list[tuple[str, str]]:
    """``--name value`` pairs of a fix."""
    return re.findall(r"--([a-z][a-z-]*)[ =]('[^']*'|\S+)", fix)


def test_some_fixes_are_options() -> None:
    found = {
        name
        for make, place, objective in REFUSED.values()
        for p in map_graph(balance(make()), place, optimise=objective).problems
        for fix in p.fixes
        for name, _ in options(fix)
    }
    assert found == {"chips", "target", "weight-bits"}


@pytest.mark.parametrize("case", fast(REFUSED, "chips", "words", "nothing helps", "weights", "message_bits"))
def test_every_fix_that_is_an_option_is_taken_and_helps(case: str) -> None:
    make, place, objective = REFUSED[case]
    graph = balance(make())
    problems = [p for p in map_graph(graph, place, optimise=objective).problems if p.severity == "error"]
    assert problems or case == "weights of one bit"
    for problem in problems:
        for fix in problem.fixes:
            for name, value in options(fix):
                HELPS[name](graph, place, objective, problem, value)


def still_there(problem: Problem, problems: tuple[Problem, ...]) -> bool:
    return any((p.code, p.where) == (problem.code, problem.where) for p in problems)


def _chips(graph: Graph, place: Target, objective: str, problem: Problem, value: str) -> None:
    chips = resolve({"chips": value}).chips
    assert not still_there(problem, map_graph(graph, place, chips, objective).problems)


def _target(graph: Graph, place: Target, objective: str, problem: Problem, value: str) -> None:
    other = load(resolve({"target": value}).target)
    assert other.name != place.name
    assert not still_there(problem, map_graph(prepared(graph, other), other, optimise=objective).problems)


def _weight_bits(graph: Graph, place: Target, objective: str, problem: Problem, value: str) -> None:
    bits = resolve({"weight_bits": value}).weight_bits
    coarse = quantized(graph, bits)
    assert not still_there(problem, map_graph(coarse, place, optimise=objective).problems)


HELPS = {"chips": _chips, "target": _target, "weight-bits": _weight_bits}


def quantized(graph: Graph, bits: int) -> Graph:
    """The graph with weights of so many bits: what a build with ``--weight-bits`` would make of it."""
    top = (1 << (bits - 1)) - 1
    nodes = dict(graph.nodes)
    for node in graph.of(Synapse):
        factor = top / max(int(np.abs(node.weight).max()), top)
        nodes[node.name] = replace(node, weight=np.rint(node.weight * factor).astype(np.int64))
    return Graph(nodes, graph.values, graph.header)


def test_fewer_weight_bits_bring_a_sum_back_into_its_register() -> None:
    weight = np.full((3, 100), 127)
    graph = chain((100,), (Synapse(name="fc", inputs=("x",), weight=weight), (3,)))
    advised_bits = []
    for accumulator in range(21, 14, -1):
        place = limited(accumulator_bits=accumulator)
        (problem,) = map_graph(graph, place).problems
        (value,) = [v for fix in problem.fixes for name, v in options(fix) if name == "weight-bits"]
        coarse = intervals.propagate(quantized(graph, int(value)))
        assert problem.code == "ND513" and not map_graph(coarse, place).problems
        advised_bits.append(int(value))
    assert (
        advised_bits[0] == 7 and advised_bits[-1] == 2 and sorted(advised_bits, reverse=True) == advised_bits
    )
    (problem,) = map_graph(graph, limited(accumulator_bits=13)).problems
    assert problem.fixes == ("use fewer levels",)


def test_fewer_weight_bits_are_no_fix_where_the_axons_are_too_many() -> None:
    net = Net()
    graph = balance(net.output(net.multi(net.micro(net.dense(net.input("C", 50), 16), "layer_norm"))))

    def fixes(**limits: int) -> dict[str, set[str]]:
        problems = map_graph(graph, limited(synapse_words=250, **limits)).problems
        return {
            p.limit.split(".")[-1].rstrip(")"): {n for f in p.fixes for n, _ in options(f)} for p in problems
        }

    assert fixes() == {"synapse_words": {"weight-bits"}}
    assert fixes(axon_in=40) == {"synapse_words": set(), "axon_in": set()}


def test_weights_that_came_as_integers_are_not_to_be_quantized_again() -> None:
    graph = balance(mlp((8, 4), top=1000)).with_header(method=INTEGER)
    (problem,) = map_graph(graph, LOIHI2).problems
    assert problem.code == "ND503" and "--weight-bits" not in " ".join(problem.fixes)


def test_a_target_is_named_only_if_one_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem("ND506", "no program", "node")
    found = lambda *names: [problem.code] and (lambda place: [] if place.name in names else [problem])
    advice = lambda *names: advised([problem], LOIHI1, found(*names))[0].fixes
    assert advice("loihi2", "hala-point", "cpu-sim") == ("use --target loihi2",)
    assert advice("cpu-sim") == ("use --target cpu-sim",)
    assert advice() == ()
    monkeypatch.setattr(targets, "installed", lambda: [LOIHI1])
    assert advice("loihi2") == ()
