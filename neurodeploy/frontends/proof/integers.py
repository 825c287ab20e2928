"""An integer graph beside the module that it was read from: every block, at every tick, to the last bit."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch

from ...array import Array
from ...errors import ImportModelError, Problem, first_line
from ...ir import interp
from ...ir.graph import Graph
from ...ir.neuron_model import state_names
from ...ir.nodes import Neuron
from ...ir.trace import Trace
from ...ir.widths import STATE_BITS
from ..blocks import Live
from . import admissible
from .causes import RAISED
from .types import ImportCheck

#: models whose first state is a current, in 1/64 of the unit of sums
CURRENTS, FRACTION_BITS = ("cuba_lif", "cuba_voltage"), 6
SWITCH = "--no-import-check imports it all the same, and labels every number"


def prove(live: Live, graph: Graph, bounds: tuple[int, int], given: Array | None, few: bool) -> ImportCheck:
    """What was compared, if the graph equals the module; raises as :func:`.prove.prove`.

    States of the graph have widths, those of the module have none: samples on which one does not fit are left out.
    """
    start, declared = time.perf_counter(), graph.values[graph.input.name].interval
    if declared is not None:  # more than that is refused with the data that hold it
        bounds = max(bounds[0], declared.lo), min(bounds[1], declared.hi)
    populations = {f"layer{i}": i for i, link in enumerate(live.links) if link.block.takes}
    raw, wanted = _unsaturated(graph, admissible.samples(graph, bounds, given, few), list(populations))
    problem, precision = None, ""
    for dtype in (torch.float64, torch.float32):  # a module that casts to one does not run in the other
        precision = str(dtype).removeprefix("torch.")
        try:
            with live.visiting(dtype):
                problem = next(_differences(live, graph, raw, wanted, populations), None)
            break
        except RAISED as error:
            problem = problem or _fails(error)
    if problem is not None:
        raise ImportModelError(problem)
    last = wanted[list(populations)[-1]]
    return ImportCheck(
        samples=len(raw), ticks=graph.header.timesteps, outputs_compared=last.size,
        neurons_compared=sum(values.size for values in wanted.values()), largest_difference=0.0, ties=0, tolerance=0.0,
        precision=precision, low=bounds[0], high=bounds[1], seconds=time.perf_counter() - start,
    )  # fmt: skip


def _unsaturated(graph: Graph, raw: Array, names: list[str]) -> tuple[Array, dict[str, Array]]:
    """The samples on which every state fits, and what populations send, (T, B, *shape); ImportModelError ND140."""
    fits, kept = [], []
    heard = [*names, *state_names(graph), *(node.inputs[0] for node in graph.of(Neuron))]
    outside: list[str] = []
    for i in range(len(raw)):
        trace = interp.run(graph, raw[i : i + 1], record=heard)
        outside = [*(name for name, count in trace.saturations.items() if count), *_wrapping(graph, trace)]
        if not outside:
            fits.append(i)
            kept.append({name: trace.values[name] for name in names})
    if not fits:
        cause = "a state leaves its bits on every sample, which the model's floats do not"
        where, fix = graph.nodes[outside[0]].place, "train with smaller weights, or faster decays"
        raise ImportModelError(Problem("ND140", cause, where, ", ".join(outside), "", (fix, SWITCH)))
    return raw[fits], {name: np.concatenate([values[name] for values in kept], axis=1) for name in names}


def _wrapping(graph: Graph, trace: Trace) -> Iterator[str]:
    """Populations whose currents or sums leave their bits at some tick; these wrap, and nobody counts it."""
    places = {place: name for name, place in state_names(graph).items()}
    for node in graph.of(Neuron):
        sums, bits = np.abs(trace.values[node.inputs[0]]), int(node.params.get("input_bits", STATE_BITS))
        if node.model in CURRENTS:
            before = np.abs(trace.values[places[node.name, 0]])
            sums = (sums << FRACTION_BITS) + np.concatenate([np.zeros_like(before[:1]), before[:-1]])
        elif "input_bits" not in node.params:
            continue
        if (sums >= 1 << (bits - 1)).any():
            yield node.name


def _differences(
    live: Live, graph: Graph, raw: Array, wanted: dict[str, Array], populations: dict[str, int]
) -> Iterator[Problem]:
    """ND140 where they differ: three samples together, then each alone."""
    parts = [slice(i, i + 3) for i in range(0, len(raw), 3)] + [slice(i, i + 1) for i in range(len(raw))]
    for rows in parts:
        told = live.run(raw[rows])
        # what the model itself returns is what its last block does
        for name, i in (*populations.items(), (list(populations)[-1], -1)):
            values = told[i]
            found = _later(wanted[name][:, rows], live.links[i].early).reshape(values.shape)
            if (found != values).any():
                tick, sample, *index = (int(i) for i in np.argwhere(found != values)[0])
                at = (tick, sample, *index)
                shown = f"{found[at]:g} instead of {values[at]:g} at tick {tick + 1}, index {tuple(index)}"
                cause = "the imported network does not compute what the model computes"
                yield Problem("ND140", cause, graph.nodes[name].place, shown, "equal integers", (SWITCH,))


def _later(values: Array, ticks: int) -> Array:
    """What was sent so many ticks before."""
    return np.concatenate([np.zeros_like(values[:ticks]), values[: len(values) - ticks]])


def _fails(error: Exception) -> Problem:
    cause = "the model cannot be compared with what was imported: it fails on inputs that it has to take"
    return Problem(
        "ND141", cause, "forward", first_line(error), "batches of 3 and of 1, from rest", (SWITCH,)
    )
