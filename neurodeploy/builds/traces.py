"""What a layer of a finished build says at every level, tick by tick, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .. import artifact, beside
from ..array import Array
from ..errors import UsageError, unknown_name
from ..inputs.recorded import Record
from ..ir.graph import Graph
from ..ir.nodes import Const, View
from .parts import opened

SAMPLES = 8  # of the build's data, where no input is given


@dataclass(frozen=True, eq=False, repr=False)
class LayerTrace:
    """Values (T, B, *shape) of one node as float source, as spiking network and as integers.

    All are in the units of the float model; None for a level that lacks the node. The source of a network that was
    converted has one tick. ``nodes`` are all nodes of the module that was asked for, of which this is the last that
    all levels have, if any has.
    """

    name: str
    nodes: tuple[str, ...]
    source: Array | None
    spiking: Array | None
    integer: Array

    def __repr__(self) -> str:
        shapes = {level: getattr(self, level) for level in beside.LEVELS}
        told = ", ".join(f"{level} {found.shape}" for level, found in shapes.items() if found is not None)
        return f"<LayerTrace {self.name}: {told}>"


def trace(
    folder: str | Path, name: str, x: Array | str | Path | None = None, samples: int = SAMPLES
) -> LayerTrace:
    """The values of a node, or of the last node of a module, on raw inputs ``x``.

    ``x`` is as :func:`neurodeploy.run` takes it; without it ``samples`` of what the build was measured on are run.
    Raises UsageError ND905 for an unknown name, and what :func:`neurodeploy.run` and :func:`neurodeploy.verify` raise.
    """
    program = opened(folder).program
    saved = artifact.load(folder)
    inputs, nodes = Record(saved, folder), under(program.graph, name)
    raw = inputs.measured_on(samples) if x is None else inputs.given(x)
    everywhere = beside.comparable(saved.spiking, program.graph) if saved.spiking is not None else ()
    last = next((node for node in reversed(nodes) if node in everywhere), nodes[-1])
    found = beside.recorded(saved.source, saved.spiking, program, raw, last)
    levels = {level: found.get(level) for level in ("source", "spiking")}
    return LayerTrace(last, nodes, **levels, integer=found["integer"])


def under(graph: Graph, name: str) -> tuple[str, ...]:
    """The node of a name, or those of a module that do something, in the order of the graph; UsageError ND905."""
    if name in graph.nodes:
        return (name,)
    found = tuple(
        node.name for node in graph
        if node.name.startswith(f"{name}.") and not isinstance(node, (Const, View)) and node.kind != "delay"
    )  # fmt: skip
    if not found:
        modules = {
            node.name.rsplit(".", depth)[0] for node in graph for depth in range(node.name.count(".") + 1)
        }
        raise UsageError(unknown_name("ND905", "layer", name, sorted({*graph.nodes, *modules}), "trace"))
    return found
