"""What a network is run on: seeded draws from a data set, or synthetic input where no data are given.

Draws from a data set are stratified by class, in ascending order of position. Synthetic input lies in the range that
the network declares for its input: spikes with a stated probability where that is 0 .. 1, else uniform integers.
Calibration and measurement never see the same samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ..array import Array
from ..errors import Problem, UsageError
from ..ir.graph import Graph, raw_range

if TYPE_CHECKING:
    from ..datasets import DataSet
    from ..datasets._types import Split

SplitName = Literal["train", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)

#: what every number that depends on activity is called where no data were given
SYNTHETIC = "synthetic input"
DRAWN = 32  # synthetic samples of a measurement that names no number
SPIKE_RATE = 0.1  # probability of a synthetic spike, in each element and tick
WIDEST = (1 << 31) - 1  # of a raw input: a register

#: what keeps the draws of calibration and of measurement apart
CALIBRATION, MEASUREMENT = 0, 1


def stratified(labels: Array, count: int, seed: int) -> Array:
    """Positions of ``count`` samples (all, if there are no more), spread over the classes as evenly as they allow.

    Classes take turns in ascending order; within a class the order is a permutation drawn with ``seed``.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    queues = [generator.permutation(np.flatnonzero(labels == c)) for c in np.unique(labels)]
    rounds = [(turn, i, position) for i, queue in enumerate(queues) for turn, position in enumerate(queue)]
    picked = [position for _, _, position in sorted(rounds)[:count]]
    return np.sort(np.array(picked, dtype=np.int64))


def tokens(graph: Graph) -> tuple[int, int] | None:
    """(tokens of a text, token ids there are) of a network that takes texts, None for any other."""
    found = graph.header.notes.get("tokens")
    return (int(found["length"]), int(found["vocabulary"])) if isinstance(found, Mapping) else None


def hidden(graph: Graph) -> tuple[int, ...]:
    """The ids that a network of texts hides from attention: what texts shorter than the network are filled up with."""
    found = graph.header.notes.get("tokens")
    return tuple(int(i) for i in found.get("hidden", ())) if isinstance(found, Mapping) else ()


def one_hot(graph: Graph, ids: Array) -> Array:
    """Raw inputs (B, N, V) of token ids (B, N): one spike per token on the line of its id.

    Raises SimulateError ND603 for an id that the network has no line for.
    """
    from ..errors import SimulateError

    _, vocabulary = tokens(graph) or (0, 0)
    found = (int(ids.min(initial=0)), int(ids.max(initial=0)))
    if found[0] < 0 or found[1] >= vocabulary:
        cause = "a token id leaves the table of embeddings"
        shown, limit = f"{found[0]} .. {found[1]}", f"0 .. {vocabulary - 1}"
        fix = "use the tokenizer that the model was trained with"
        raise SimulateError(Problem("ND603", cause, graph.input.name, shown, limit, (fix,)))
    # int64 would be 8 times 30,522 bytes for a token
    raw = np.zeros((*ids.shape, vocabulary), dtype=np.uint8)
    np.put_along_axis(raw, ids[..., None].astype(np.int64), 1, axis=-1)
    return raw


def with_padding(graph: Graph, raw: Array) -> Array:
    """Texts (B, N, V) for calibration, half of the first one's tokens ids that the network hides, if it hides any.

    What a mask adds to scores is then within the ranges that are measured, whatever the lengths of the others are.
    """
    ids = hidden(graph)
    if not ids or not len(raw):
        return raw
    raw = raw.copy()
    half = raw[0, raw.shape[1] // 2 :]
    half[:] = 0
    half[np.arange(len(half)), np.resize(ids, len(half))] = 1
    return raw


@dataclass(frozen=True, eq=False)
class Recorded:
    """Samples of a data set, as the network of ``graph`` takes them."""

    graph: Graph
    data: DataSet
    seed: int = 0

    def calibration(self, count: int) -> Array:
        """Raw training inputs (B, *input): seeded, stratified."""
        train = self.data.train
        frames = self.frames(train.take(stratified(train.labels, count, self.seed))[0])
        return with_padding(self.graph, frames)

    def measurement(self, count: int) -> tuple[Array, Array | None]:
        """Raw test inputs (B, *input), seeded and stratified, with labels if there are any; 0: the whole test split."""
        images, labels = self.data.test.take(self._chosen(self.data.test, count))
        return self.frames(images), labels if self.data.labelled else None

    def labels(self, count: int, split: SplitName = "test") -> Array | None:
        """Those of a measurement, or of as many samples of the training split, without an image being read."""
        part: Split = getattr(self.data, split)
        return part.labels[self._chosen(part, count)] if self.data.labelled else None

    def truth(self, count: int, split: SplitName = "test") -> Array | None:
        """The images that belong to :meth:`labels`, 0 .. 1, of data that hold what a network should make of them."""
        part: Split = getattr(self.data, split)
        if part.truth is None:
            return None
        images: Array = part.truth(self._chosen(part, count)) / self.data.levels
        return images

    def batches(self, count: int, size: int, split: SplitName = "test") -> Iterator[Array]:
        """The raw inputs that belong to :meth:`labels`, at most ``size`` at a time, read as they are asked for."""
        part: Split = getattr(self.data, split)
        chosen = self._chosen(part, count)
        for start in range(0, len(chosen), size):
            yield self.frames(part.take(chosen[start : start + size])[0])

    def _chosen(self, part: Split, count: int) -> Array:
        return stratified(part.labels, count or len(part), self.seed)

    def draw(self, count: int) -> Array:
        """The inputs of a measurement without their labels."""
        return self.measurement(count)[0]

    def frames(self, images: Array) -> Array:
        """Images as raw inputs: a network that takes a frame for each tick sees the same one at all of them."""
        if not self.graph.input.per_tick or self.data.ticks:
            return images
        ticks = self.graph.header.timesteps
        return np.broadcast_to(images[:, None], (len(images), ticks, *images.shape[1:]))

    def facts(self) -> dict[str, Any]:
        """What a report says about it."""
        return {"kind": "data", "label": "", "text": self.data.name, "seed": self.seed}


@dataclass(frozen=True, eq=False)
class Synthetic:
    """Seeded noise in the declared range of the network's input; sample i is the same in every draw."""

    graph: Graph
    seed: int = 0
    rate: float = SPIKE_RATE

    def calibration(self, count: int) -> Array:
        """Raw inputs (B, *input)."""
        return with_padding(self.graph, self._draw(range(count), CALIBRATION))

    def measurement(self, count: int) -> tuple[Array, None]:
        """Other raw inputs (B, *input); they have no labels. 0: as many as are drawn without being asked for."""
        return self._draw(range(count or DRAWN), MEASUREMENT), None

    def labels(self, count: int) -> None:
        """Those of a measurement: there are none."""

    def batches(self, count: int, size: int) -> Iterator[Array]:
        """The inputs of a measurement, at most ``size`` at a time, drawn as they are asked for."""
        for start in range(0, count or DRAWN, size):
            yield self._draw(range(start, min(start + size, count or DRAWN)), MEASUREMENT)

    def draw(self, count: int) -> Array:
        """The inputs of a measurement."""
        return self.measurement(count)[0]

    @property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest raw value; UsageError ND932 if none are declared, or more than numbers can hold."""
        found = raw_range(self.graph)
        if found is None or not -WIDEST <= found[0] <= found[1] <= WIDEST:
            cause = "the range of the input is not known, so no synthetic input can be drawn"
            shown, limit = (f"{found[0]} .. {found[1]}", f"{-WIDEST} .. {WIDEST}") if found else ("", "")
            fixes = ("give a data set or file with --data",)
            raise UsageError(Problem("ND932", cause, self.graph.input.name, shown, limit, fixes))
        return found

    @property
    def spikes(self) -> bool:
        """Whether the input is binary."""
        return self.bounds == (0, 1) and tokens(self.graph) is None

    def facts(self) -> dict[str, Any]:
        """What a report says about it."""
        lo, hi = self.bounds
        drawn = f"spikes with probability {self.rate:g}" if self.spikes else f"uniform integers {lo} .. {hi}"
        when = (
            "each element and tick" if self.graph.input.per_tick else "each element, the same at every tick"
        )
        if (text := tokens(self.graph)) is not None:
            drawn, when = f"{text[0]} uniform token ids 0 .. {text[1] - 1}", "each text"
        told, rate = f"{drawn} in {when}, seed {self.seed}", self.rate if self.spikes else None
        return {"kind": "synthetic", "label": SYNTHETIC, "text": told, "seed": self.seed, "low": lo, "high": hi,
                "spike_rate": rate}  # fmt: skip

    def _draw(self, indices: Iterable[int], stream: int) -> Array:
        from ..ir.interp import input_shape

        text = tokens(self.graph)
        if text is not None:
            streams = (np.random.Generator(np.random.PCG64([self.seed, stream, i])) for i in indices)
            ids = [generator.integers(0, text[1], text[0]) for generator in streams]
            return one_hot(self.graph, np.array(ids, dtype=np.int64).reshape(-1, text[0]))
        shape, (lo, hi), indices = input_shape(self.graph), self.bounds, list(indices)
        raw, spikes = np.empty((len(indices), *shape), dtype=np.int64), self.spikes
        for slot, index in enumerate(indices):
            generator = np.random.Generator(np.random.PCG64([self.seed, stream, index]))
            raw[slot] = (
                generator.random(shape) < self.rate if spikes else generator.integers(lo, hi + 1, shape)
            )
        return raw


Stimulus = Recorded | Synthetic
