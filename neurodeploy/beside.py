"""A network beside itself, layer by layer: the float source, the spiking network and the integers on the same samples.

A layer is a node of one name at all levels. A neuron that a conversion put in codes what it reads: it stands beside the
source's value of that. Values are in the units of the float model; those of spiking networks are means over ticks, what
a rate or a compensated stream stands for, unless a tick is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from . import compare
from .array import Array
from .calibrate import batch_size
from .ir import interp
from .ir.graph import Graph
from .ir.levels import LEVELS
from .ir.nodes import Const, Delay, Neuron, View
from .program import Program
from .report.inputs import Beside, Layer

__all__ = ["LEVELS", "SQNR_MAX_DB", "comparable", "compared", "recorded"]

CHUNK = 64  # samples at a time, fewer where their recorded values would not fit memory
SQNR_MAX_DB = 200.0  # stands for "no difference at all"
SHOWN = 8  # samples whose values are kept of each layer
BINS, POINTS = 24, 96  # of the histogram and the scatter of a layer
DIGITS = 4  # of the numbers that are kept
MOST_LAYERS = 96  # layers whose values are kept: those of the most noise

Levels = dict[str, Array]


def compared(source: Graph, spiking: Graph, program: Program, x: Array) -> Beside:
    """The levels on raw inputs ``x`` (B, *input shape); the integers run on the cpu backend."""
    names = comparable(spiking, program.graph)
    power, chunk = {name: np.zeros(2) for name in names}, min(CHUNK, batch_size(program.graph, names))
    kept: dict[str, Levels] = {}
    for start in range(0, len(x), chunk):
        found = dict(_both(spiking, program, x[start : start + chunk], names))
        for name, levels in found.items():
            power[name] += _powers(levels["spiking"], levels["integer"])
        kept = kept or _kept(source, program.graph, x[: min(SHOWN, chunk)], found)
    sqnr = {name: _decibels(*pair) for name, pair in power.items() if pair[0] > 0}
    worst = sorted((name for name in kept if name in sqnr), key=lambda name: sqnr[name])[:MOST_LAYERS]
    rows = tuple(_layer(program.graph, name, kept[name], sqnr[name]) for name in kept if name in worst)
    return Beside(sqnr_db=sqnr, layers=rows, samples=min(SHOWN, len(x), chunk))


def recorded(source: Graph | None, spiking: Graph | None, program: Program, x: Array, name: str) -> Levels:
    """Values (T, B, *shape) of one node at every level that has it, in the units of the float model."""
    graph = program.graph
    if spiking is not None and name in comparable(spiking, graph):
        ((_, levels),) = _both(spiking, program, x, (name,))
    else:
        levels = {
            "integer": compare.usable("cpu").run(program, x, (name,))[0].values[name] * _scale(graph, name)
        }
    found = _sources(source, graph, (name,)) if source is not None else {}
    if source is not None and found:
        levels = {"source": interp.run(source, x, found.values()).values[found[name]], **levels}
    return levels


def comparable(spiking: Graph, integer: Graph) -> tuple[str, ...]:
    """Nodes that compute the same stream at both levels: same name, same kind, same shape."""
    return tuple(
        node.name
        for node in integer
        if node.name in spiking.nodes
        and type(node) is type(spiking.nodes[node.name])
        and node.kind not in ("input", "output", "const")
        and integer.shape(node.name) == spiking.shape(node.name)
        and integer.values[node.name].fixed is not None
    )


def _both(spiking: Graph, program: Program, x: Array, names: Iterable[str]) -> Iterator[tuple[str, Levels]]:
    """Values (T, B, *shape) of the spiking network and of the integers."""
    names = tuple(names)
    floats, integers = (
        interp.run(spiking, x, names).values,
        compare.usable("cpu").run(program, x, names)[0].values,
    )
    for name in names:
        yield name, {"spiking": floats[name], "integer": integers[name] * _scale(program.graph, name)}


def _scale(graph: Graph, name: str) -> Array:
    spec = graph.values[name].fixed
    return np.asarray(spec.scale if spec is not None else 1.0)


def _sources(source: Graph, integer: Graph, names: Iterable[str]) -> dict[str, str]:
    """Node -> the node of the source that stands beside it."""
    found = {}
    for name in names:
        read = integer.nodes[name].inputs[:1] if isinstance(integer.nodes[name], Neuron) else ()
        beside = next((n for n in (name, *read) if n in source.nodes), "")
        if beside and source.shape(beside) == integer.shape(name):
            found[name] = beside
    return found


def _kept(source: Graph, integer: Graph, x: Array, found: Mapping[str, Levels]) -> dict[str, Levels]:
    """Values of the first samples at all levels, of the nodes that do something."""
    names = [name for name in found if not isinstance(integer.nodes[name], (View, Delay, Const))]
    beside = _sources(source, integer, names)
    floats = interp.run(source, x, tuple(dict.fromkeys(beside.values()))).values
    kept = {name: {level: v[:, : len(x)] for level, v in found[name].items()} for name in names}
    return {
        name: {**({"source": floats[beside[name]]} if name in beside else {}), **kept[name]} for name in names
    }


# --- a layer in short --------------------------------------------------------------------------------------------


def _layer(graph: Graph, name: str, levels: Levels, quantised_db: float) -> Layer:
    means = {level: values.mean(axis=0).ravel() for level, values in levels.items()}
    low, high = (float(end(list(map(end, means.values())))) for end in (np.min, np.max))
    ends = (low, high if high > low else low + 1.0)
    chosen = np.random.Generator(np.random.PCG64(0)).permutation(means["integer"].size)[:POINTS]
    tick, parted = (
        _parts(levels, _scale(graph, name)) if isinstance(graph.nodes[name], Neuron) else (None, None)
    )
    return Layer(
        name=name, kind=graph.nodes[name].kind, low=ends[0], high=ends[1],
        counts={level: tuple(np.histogram(v, BINS, ends)[0].tolist()) for level, v in means.items()},
        points={level: tuple(float(f"{v:.{DIGITS}g}") for v in found[chosen]) for level, found in means.items()},
        noise_db=_noise(levels["source"], levels["spiking"]) if "source" in levels else None,
        quantised_db=quantised_db, tick=tick, parted=parted,
    )  # fmt: skip


def _parts(levels: Levels, step: Array) -> tuple[int, float]:
    """(first tick at which integers are not those that the floats round to, from 1; 0: none; share that is not)."""
    differ = np.abs(levels["integer"] - levels["spiking"]) > step / 2
    ticks = np.flatnonzero(differ.reshape(len(differ), -1).any(axis=1))
    return (int(ticks[0]) + 1 if len(ticks) else 0), float(differ.mean())


def _noise(expected: Array, found: Array) -> float | None:
    power = _powers(expected, found)
    return _decibels(*power) if power[0] > 0 else None


def _powers(expected: Array, found: Array) -> Array:
    """Power of the signal and of its error, of means over ticks."""
    signal = expected.mean(axis=0)
    error = found.mean(axis=0) - signal
    return np.array([float((signal**2).sum()), float((error**2).sum())])


def _decibels(signal: float, noise: float) -> float:
    return SQNR_MAX_DB if noise == 0 else min(SQNR_MAX_DB, float(10 * np.log10(signal / noise)))
