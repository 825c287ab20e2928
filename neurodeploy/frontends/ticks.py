"""How often a traced tick calls each of its neurons: one module is one population, and one call is one tick of it."""

from __future__ import annotations

from collections.abc import Iterator

from torch import fx

from ..errors import Problem
from ..ir.neuron_model import NEURONS
from .leaves._base import Leaf


def repeated(graph: fx.Graph) -> Iterator[Problem]:
    """ND160 for a loop over ticks, ND159 for each neuron with a state that is called in two places."""
    calls: dict[str, list[fx.Node]] = {}
    for node in graph.nodes:
        if node.op == "call_module" and _remembers(node.meta["leaf"]):
            path = str(node.target).removeprefix("network.")
            calls.setdefault(path, []).append(node)
    several = {name: nodes for name, nodes in calls.items() if len(nodes) > 1}
    if (
        len(several) == len(calls)
        and len(set(map(len, several.values()))) == 1
        and all(map(_loops, several.values()))
    ):
        yield _loop(several)
        return
    for name, nodes in several.items():
        cause = "one neuron module is called more than once in a tick"
        found = f"{len(nodes)} calls: {', '.join(map(_read, nodes))}"
        fix = "give each place a neuron module of its own: here its state would carry over from one to the other"
        yield Problem(
            "ND159", cause, f"{name} ({_place(nodes[0])})", found, "one call of each neuron", (fix,)
        )


def whole_samples(graph: fx.Graph) -> Iterator[Problem]:
    """ND161 for each neuron that takes all ticks at once, in a model whose first axis is the batch."""
    for node in graph.nodes:
        if node.op == "call_module" and node.meta["leaf"].whole_sample:
            cause = "a neuron that runs over its first axis, which is not known to be time"
            shape = tuple(node.args[0].meta["val"].shape)
            where = f"{str(node.target).removeprefix('network.')} ({_place(node)})"
            fix = "set step_mode 's' in all modules, and let one call of the model be one tick"
            yield Problem(
                "ND161", cause, where, f"{shape}, the batch of which is {shape[0]}", "one tick", (fix,)
            )


def _remembers(leaf: Leaf) -> bool:
    return not leaf.problem and bool(NEURONS[leaf.model].state)


def _loops(nodes: list[fx.Node]) -> bool:
    """Whether all calls stand in one line and read what one module computes, or one value."""
    return len({_place(node) for node in nodes}) == 1 and len({_read(node) for node in nodes}) == 1


def _read(node: fx.Node) -> str:
    """Line of a call, and the module whose result it reads."""
    source = node.args[0]
    module = source.meta["module"][0] if isinstance(source, fx.Node) and "module" in source.meta else ""
    return f"{_place(node)} behind '{module}'" if module else _place(node)


def _place(node: fx.Node) -> str:
    file, line = node.meta["place"]
    return f"{file}:{line}" if file else str(node.target)


def _loop(several: dict[str, list[fx.Node]]) -> Problem:
    name, nodes = next(iter(several.items()))
    cause = "the model runs its ticks in a loop of its own"
    found = f"{len(nodes)} calls of each neuron, such as {name} in {_place(nodes[0])}"
    limit = "a forward that is one tick: neurons keep their state, and the build says how many ticks"
    fixes = (
        "move the body of the loop into the forward, and give --timesteps",
        "reset the neurons between samples outside",
    )
    return Problem("ND160", cause, _place(nodes[0]), found, limit, fixes)
