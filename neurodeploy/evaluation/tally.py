"""What a network answered on a batch, and what all batches come to: right answers, or how far images are off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import compare
from ..array import Array
from ..artifact import Artifact
from ..errors import Problem, UsageError
from ..ir import interp
from ..ir.graph import Graph
from . import pictures

#: levels at which a network can be run, in the order in which one becomes the next
LEVELS = ("source", "spiking", "integer")


@dataclass(frozen=True)
class Tally:
    """Correct answers after each tick among so many samples, and values that were clipped, by node.

    Of images instead: the summed ``squares`` of differences from the truth, 0 .. 1, of so many ``values``.
    """

    samples: int = 0
    correct: tuple[int, ...] = ()
    clipped: Mapping[str, int] = field(default_factory=dict)
    squares: tuple[float, ...] = ()
    values: int = 0

    def __add__(self, other: Tally) -> Tally:
        if not self.samples:
            return other
        correct = tuple(a + b for a, b in zip(self.correct, other.correct, strict=True))
        clipped = dict(Counter(self.clipped) + Counter(other.clipped))
        squares = tuple(a + b for a, b in zip(self.squares, other.squares, strict=True))
        return Tally(self.samples + other.samples, correct, clipped, squares, self.values + other.values)

    @property
    def accuracy(self) -> float:
        """Share of samples that are answered right after the last tick."""
        return self.correct[-1] / self.samples

    @property
    def psnr_db(self) -> tuple[float | None, ...]:
        """How near images are to the truth after each tick; empty where answers are classes."""
        return tuple(pictures.psnr_db(squared, self.values) for squared in self.squares)

    @property
    def by_timestep(self) -> tuple[float, ...]:
        """The same after each tick."""
        return tuple(count / self.samples for count in self.correct)


def answers(artifact: Artifact, level: str, backend: str, x: Array, labels: Array) -> Tally:
    """Raw inputs ``x`` (B, *input) through the network of a level: integers by a backend, floats by the interpreter.

    ``labels`` are classes (B,), or the images (B, *output) that it should answer with.
    """
    graph: Graph | None
    if level == "integer":
        graph = artifact.program.graph
        trace, _ = compare.usable(backend).run(artifact.program, x, ())
    else:
        graph = artifact.source if level == "source" else artifact.spiking
        if graph is None:
            cause, fix = f"the artifact holds no {level} network", "use --level integer"
            raise UsageError(Problem("ND949", cause, "--level", level, fixes=(fix,)))
        trace = interp.run(graph, x)
    clipped = {name: int(count) for name, count in trace.saturations.items() if count}
    if labels.ndim > 1:
        squares = tuple(pictures.squares(tick, labels) for tick in pictures.real(graph, trace.outputs))
        return Tally(len(labels), (), clipped, squares, labels.size)
    right = (predictions(trace.outputs) == labels).sum(axis=1)
    return Tally(len(labels), tuple(int(count) for count in right), clipped)


def predictions(outputs: Array) -> Array:
    """(T, B, *classes) read-outs to (T, B) classes; ties go to the lowest index."""
    classes: Array = outputs.reshape(*outputs.shape[:2], -1).argmax(axis=-1)
    return classes
