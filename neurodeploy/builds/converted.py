"""Stage 2, convert: the spiking graph by the chosen method; a file that holds integers needs none."""

from __future__ import annotations

from dataclasses import dataclass

from ..convert import named
from ..convert._sites import is_quantiser
from ..errors import ConvertError
from ..ir import levels
from ..ir.graph import Graph
from ..ir.nodes import Neuron
from .imported import Imported
from .result import Result


@dataclass(frozen=True, eq=False, kw_only=True)
class Converted(Result):
    """The spiking graph and the preset it was made with; None where the model holds integers."""

    graph: Graph | None = None
    preset: str = ""


def convert(found: Imported) -> Converted:
    """The spiking graph; ConvertError with every reason why the method does not apply, UsageError ND307."""
    graph, config = found.graph, found.config
    ticks = config.timesteps or graph.header.timesteps
    if found.holds_integers:
        fact = f"nothing to convert: the model holds integers, T={ticks}, {populations(graph)} populations"
        return Converted(fact=fact)
    method = named(config.method)
    remarks = method.accept(graph)
    obstacles = [p for p in remarks if p.severity == "error"]
    if obstacles:
        raise ConvertError(obstacles)
    preset, options = method.configure({k: None if v == "null" else v for k, v in config.convert.items()})
    samples = found.stimulus.calibration(config.calib)
    spiking = method.convert(graph, found.whole or graph, options, samples, ticks)
    levels.require(spiking, "spiking")
    trained = sum(map(is_quantiser, graph))
    kept = f", {trained} with steps as trained" if trained else ""
    chosen = ", ".join([preset, *(f"{k}={v}" for k, v in config.convert.items() if k != "preset")])
    fact = f"{config.method} ({chosen}), T={ticks}, {populations(spiking)} populations{kept}"
    return Converted(graph=spiking, preset=preset, warnings=tuple(remarks), fact=fact)


def populations(graph: Graph) -> int:
    """How many neuron populations there are."""
    return len(graph.of(Neuron))
