"""How often a traced tick calls each of its neurons: one module is one population, and one call is one tick of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import fx

from ..errors import ImportModelError, Problem
from ..ir.neuron_model import NEURONS
from .leaves._base import Leaf


def repeated(graph: fx.Graph) -> Iterator[Problem]:
    """ND159 for each neuron with a state that is called in two places."""
    calls = _calls(graph)
    if _turns(calls) is not None:
        return
    for name, nodes in calls.items():
        if len(nodes) == 1:
            continue
        cause = "one neuron module is called more than once in a tick"
        found = f"{len(nodes)} calls: {', '.join(map(_read, nodes))}"
        fixes = [
            "give each place a neuron module of its own: here its state would carry over from one to the other"
        ]
        if len({_place(node) for node in nodes}) == 1:
            fixes.insert(0, "in a loop over ticks let every turn call the same modules, norms included")
        where = f"{name} ({_place(nodes[0])})"
        yield Problem("ND159", cause, where, found, "one call of each neuron", tuple(fixes))


def _calls(graph: fx.Graph) -> dict[str, list[fx.Node]]:
    """The calls of each neuron with a state."""
    calls: dict[str, list[fx.Node]] = {}
    for node in graph.nodes:
        if node.op == "call_module" and _remembers(node.meta["leaf"]):
            calls.setdefault(str(node.target).removeprefix("network."), []).append(node)
    return calls


def _turns(calls: Mapping[str, list[fx.Node]]) -> int | None:
    """How often a loop over ticks was run, where all neurons are called so often, each in one line; else None.

    Neurons that are given all ticks in one call may stand beside the loop.
    """
    single = [nodes for nodes in calls.values() if len(nodes) > 1 or not nodes[0].meta["leaf"].whole_sample]
    counts = set(map(len, single))
    (count,) = counts if len(counts) == 1 else (1,)
    return count if count > 1 and all(map(_loops, single)) else None


def runs_all(graph: fx.Graph) -> bool:
    """Whether one call runs all ticks, as its neurons say it."""
    return _turns(_calls(graph)) is not None or any(_whole_samples(graph))


def begins_anew(graph: fx.Graph) -> bool:
    """Whether each neuron with a state is handed one: where no call keeps any, a call is a whole sample."""
    calls = [node for nodes in _calls(graph).values() for node in nodes]
    return bool(calls) and all(
        len(node.all_input_nodes) > 1 and not node.meta["leaf"].forgets for node in calls
    )


def ticks_inside(
    graph: fx.Graph, other: fx.Graph | None, batch: int, spelled: int | None = None
) -> int | None:
    """How many ticks one call runs, in a loop or as neurons are given them in their first axis; None for one tick.

    ``spelled`` is how many the loops run that spell out neurons of their own, None where there are none.
    ``other`` is the same trace with a ``batch`` larger by one, None where the model takes no other: time has the same
    length in both, ticks and samples in one axis grow with the samples. ImportModelError ND161 where it is neither, or
    where neurons do not agree.
    """
    found = [(node, len(node.args[0].meta["val"])) for node in _whole_samples(graph)]
    again = [len(node.args[0].meta["val"]) for node in _whole_samples(other or graph)]
    problems, ticks = [], spelled or _turns(_calls(graph))
    one = any(length == 1 for _, length in found)  # else samples alone are not one tick of them
    for (node, length), longer in zip(found, again, strict=True):
        merged = length * (batch + 1) == longer * batch and (length > batch or one)
        own = length if length == longer else length // batch if merged else None
        if own is None or ticks not in (None, own):
            problems.append(_no_time(node, ticks))
        ticks = own or ticks
    if problems:
        raise ImportModelError(problems)
    return ticks


def _whole_samples(graph: fx.Graph) -> Iterator[fx.Node]:
    return (node for node in graph.nodes if node.op == "call_module" and node.meta["leaf"].whole_sample)


def _no_time(node: fx.Node, ticks: int | None) -> Problem:
    """ND161."""
    cause = "a neuron that runs over its first axis, which is not known to be time"
    where = f"{str(node.target).removeprefix('network.')} ({_place(node)})"
    found = str(tuple(node.args[0].meta["val"].shape))
    limit = (
        "(T, batch, ...)" if ticks is None else f"(T, batch, ...) with T = {ticks}, as other neurons have it"
    )
    fixes = (
        "repeat the image in a new first axis, which all neurons get",
        "or set step_mode 's' in all modules, and let one call of the model be one tick",
    )
    return Problem("ND161", cause, where, found, limit, fixes)


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
