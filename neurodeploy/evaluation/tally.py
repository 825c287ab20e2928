"""What a network answered on a batch, and what all batches come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import compare
from ..array import Array
from ..artifact import Artifact
from ..errors import Problem, UsageError
from ..ir import interp

#: levels at which a network can be run, in the order in which one becomes the next
LEVELS = ("source", "spiking", "integer")


@dataclass(frozen=True)
class Tally:
    """Correct answers after each tick among so many samples, and values that were clipped, by node."""

    samples: int = 0
    correct: tuple[int, ...] = ()
    clipped: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        if not self.samples:
            return other
        correct = tuple(a + b for a, b in zip(self.correct, other.correct, strict=True))
        clipped = dict(Counter(self.clipped) + Counter(other.clipped))
        return Tally(self.samples + other.samples, correct, clipped)

    @property
    def accuracy(self) -> float:
        """Share of samples that are answered right after the last tick."""
        return self.correct[-1] / self.samples

    @property
    def by_timestep(self) -> tuple[float, ...]:
        """The same after each tick."""
        return tuple(count / self.samples for count in self.correct)


def answers(artifact: Artifact, level: str, backend: str, x: Array, labels: Array) -> Tally:
    """Raw inputs ``x`` (B, *input) through the network of a level: integers by a backend, floats by the interpreter."""
    if level == "integer":
        trace, _ = compare.usable(backend).run(artifact.program, x, ())
    else:
        graph = artifact.source if level == "source" else artifact.spiking
        if graph is None:
            cause, fix = f"the artifact holds no {level} network", "use --level integer"
            raise UsageError(Problem("ND949", cause, "--level", level, fixes=(fix,)))
        trace = interp.run(graph, x)
    right = (predictions(trace.outputs) == labels).sum(axis=1)
    clipped = {name: int(count) for name, count in trace.saturations.items() if count}
    return Tally(len(labels), tuple(int(count) for count in right), clipped)


def predictions(outputs: Array) -> Array:
    """(T, B, *classes) read-outs to (T, B) classes; ties go to the lowest index."""
    classes: Array = outputs.reshape(*outputs.shape[:2], -1).argmax(axis=-1)
    return classes
