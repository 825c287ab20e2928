"""What the pipeline hands over for a report. Everything but the model and the target may be missing, with a reason."""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..array import Array
from ..cost import Assessment
from ..errors import Problem
from ..evidence import Evidence
from ..ir.graph import Graph
from ..ir.nodes import Neuron
from ..ir.trace import Trace
from ..mapping.types import Mapping
from ..target import Target


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """The network and its data as the user named them."""

    name: str
    system: str
    source: str = ""
    title: str = ""
    parameters: int | None = None
    dataset: str = ""
    dataset_sha256: str = ""
    reading: str = ""
    encoder: str = ""


#: values of graded spikes beside the largest: below zero from small to large, then above
SHADES = "abcd1234"


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """A sample that the integers get wrong, or answer as another level does not.

    ``sample`` is its place among those of the accuracy, ``said`` the answer of every level.
    """

    sample: int
    label: int
    said: MappingABC[str, int]
    picture: MappingABC[str, Any] | None = None
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """How often each level gave an answer to samples of a label: (label, answer, level -> count)."""

    pairs: tuple[tuple[int, int, MappingABC[str, int]], ...] = ()
    wrong: tuple[Wrong, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Fractions of ``samples`` test samples, by level; ``by_level`` those of each after tick 1 .. T.

    Of sequences a sample is a token, and ``bits`` are those per token by level: the mean of -log2 of the probability
    that a network gives to the token that follows, by the softmax of its read-out. ``meaningless`` says why they tell
    nothing about the network, where they do not.
    """

    samples: int
    source: float | None = None
    spiking: float | None = None
    integer: float | None = None
    by_level: MappingABC[str, tuple[float, ...]] = field(default_factory=dict)
    answers: Answers = field(default_factory=Answers)
    meaningless: str = ""
    bits: MappingABC[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The images that a network answers with, over ``samples`` test samples: PSNR in dB by level, None where equal.

    ``near``: beside those of the float network; ``true``: beside the truth, empty where there is none. ``peak`` is the
    range that both refer to. ``examples`` are a few, each level's (N, C, H, W) in whole numbers 0 .. 255.
    """

    samples: int
    peak: float
    near: MappingABC[str, float | None]
    true: MappingABC[str, float | None]
    examples: MappingABC[str, Array]


@dataclass(frozen=True, kw_only=True)
class BitTrue:
    """Whether all ``backends`` gave the same integers at every (node, tick); else where they first differ."""

    equal: bool
    samples: int
    backends: tuple[str, ...]
    divergence: str = ""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What one layer says at each level, in short, on a few samples.

    ``counts`` are histograms over equal bins from ``low`` to ``high``, by level; ``points`` the values of
    seeded elements, by level, in one order. ``noise_db`` is the signal to noise of the spiking network against the
    source, None where the source lacks the layer, ``quantised_db`` of the integers against the spiking network.
    ``tick`` is the first one at which a population sends something else as integers, by more than half a step, 0 where
    none is; ``parted`` the share of what it sends over all ticks. Both are None of what is no population.
    """

    name: str
    kind: str
    low: float
    high: float
    counts: MappingABC[str, tuple[int, ...]]
    points: MappingABC[str, tuple[float, ...]]
    noise_db: float | None
    quantised_db: float
    tick: int | None = None
    parted: float | None = None


@dataclass(frozen=True, kw_only=True)
class Beside:
    """Signal to quantization noise of all layers in dB, and those of which ``samples`` were kept."""

    sqnr_db: MappingABC[str, float] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()
    samples: int = 0


@dataclass(frozen=True, eq=False)
class RasterRow:
    """Spikes of one population for one sample: per tick the flat indices of its non-zero elements.

    ``group`` is the module that they are shown with. Where they are not all of one value, ``shades`` has a letter of
    :data:`SHADES` for each: how large it is, beside the largest of the population.
    """

    name: str
    size: int
    ticks: tuple[Array, ...]
    group: str = ""
    shades: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The sample of a raster: its label and the answer of the integers, where it has them, and what it looks like."""

    label: int | None = None
    said: int | None = None
    picture: MappingABC[str, Any] | None = None
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One finished stage of the build: its time and headline fact."""

    name: str
    seconds: float
    fact: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportInputs:
    """All that a report reads.

    ``beside`` are the levels layer by layer, ``saturations`` (None: nothing ran) by node of the integer graph;
    ``classes`` the names of the labels; ``grades`` node -> (grade,
    reason); ``provenance`` is JSON-able (versions, seeds, hashes, command); ``images`` how near images that the
    network answers with are to others, and a few of them; ``reasons`` dotted key of the report -> why
    its value is missing; ``uncounted`` further things that no number covers; ``stimulus`` what the network ran on, as
    :mod:`neurodeploy.inputs.samples` tells it; ``import_check`` what of the import was compared with the model, and
    ``unchecked`` what every number is called if nothing was, though it could have been; ``lava`` what its layers become
    in Lava: ``layers`` row by row, and ``nodes``, node -> process; ``sampled`` which cores ran, and where all other
    counts are from, of a network that was not simulated whole.
    """

    model: ModelInfo
    target: Target
    method: str
    timesteps: int
    config: MappingABC[str, Any] = field(default_factory=dict)
    source: Graph | None = None
    spiking: Graph | None = None
    integer: Graph | None = None
    mapping: Mapping | None = None
    assessment: Assessment = field(default_factory=Assessment)
    accuracy: Accuracy | None = None
    agreement: MappingABC[str, Any] = field(default_factory=dict)
    images: Pictures | None = None
    bit_true: BitTrue | None = None
    sampled: str = ""
    beside: Beside = field(default_factory=Beside)
    classes: tuple[str, ...] = ()
    saturations: MappingABC[str, int] | None = None
    grades: MappingABC[str, Evidence] = field(default_factory=dict)
    raster: tuple[RasterRow, ...] = ()
    raster_sample: str = ""
    raster_seen: Seen | None = None
    stimulus: MappingABC[str, Any] = field(default_factory=dict)
    import_check: MappingABC[str, Any] = field(default_factory=dict)
    unchecked: str = ""
    lava: MappingABC[str, Any] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    stages: tuple[Stage, ...] = ()
    provenance: MappingABC[str, Any] = field(default_factory=dict)
    reasons: MappingABC[str, str] = field(default_factory=dict)
    uncounted: tuple[str, ...] = ()


def synthetic(inputs: ReportInputs) -> bool:
    """Whether every number that depends on activity comes from synthetic input."""
    return inputs.stimulus.get("kind") == "synthetic"


def raster(graph: Graph, trace: Trace, sample: int = 0) -> tuple[RasterRow, ...]:
    """The spikes of one sample in every recorded neuron population, in the order of the graph."""
    rows = []
    for node in graph.of(Neuron):
        if node.name in trace.values:
            ticks = trace.values[node.name][:, sample].reshape(len(trace.values[node.name]), -1)
            spikes = tuple(np.flatnonzero(tick) for tick in ticks)
            size, shades = graph.values[node.name].shape.size, _shades(ticks, spikes)
            rows.append(RasterRow(node.name, size, spikes, _group(node.name), shades))
    return tuple(rows)


def _group(name: str) -> str:
    """The module of a population's name, down to its first number, as of a block: else its first word."""
    found = re.match(r"(.+?\.\d+)\.", name)
    return found[1] if found else name.partition(".")[0]


def _shades(ticks: Array, spikes: Sequence[Array]) -> tuple[str, ...]:
    """Letters of the values of spikes, tick by tick; none where all are the same."""
    if np.unique(ticks[ticks != 0]).size < 2:
        return ()
    half, sizes = len(SHADES) // 2, np.abs(ticks) / np.abs(ticks).max()
    place = np.ceil(sizes * half).astype(int) - 1 + half * (ticks > 0)
    return tuple("".join(SHADES[i] for i in row[at]) for row, at in zip(place, spikes, strict=True))
