"""Stage 6, evaluate: accuracy as float source, as spiking network and as integers, after each tick.

Networks of texts, which may have no labels, are compared with their float model instead, and so are those that answer
with images, which may have a truth. Without any of these only saturations are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .. import compare
from ..array import Array
from ..calibrate import batch_size, batches
from ..cost.paper import trained
from ..datasets import following
from ..errors import Problem
from ..evaluation import LEVELS, pictured, predictions
from ..evaluation.pictures import real
from ..inputs.samples import SYNTHETIC, Recorded, tokens
from ..inputs.texts import spelling
from ..ir import interp
from ..ir.graph import Graph
from ..mapping.checks import doubtful, overflows
from ..program import Program
from ..report.inputs import Accuracy, Pictures
from ..target import Target
from . import pictured as images_of
from . import quality
from .answered import Collected
from .imported import Imported
from .result import Progress, Result
from .silent import Spoken, meaningless, populations, says_nothing, silent

NO_FLOATS = "the model holds integers: there is no float network"

#: raw inputs (B, *input) to predictions (T, B)
Answers = Callable[[Array], Array]


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluated(Result):
    """What was measured: ``counts`` of correct answers and ``agreement`` are JSON-able, ``saturations`` by node."""

    accuracy: Accuracy | None = None
    agreement: Mapping[str, Any] = field(default_factory=dict)
    images: Pictures | None = None
    counts: Mapping[str, Any] = field(default_factory=dict)
    saturations: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What runs of the program met.

    Clipped values by node, the largest sums of the nodes that are ``watched``, and what the read-out said.
    """

    watched: tuple[str, ...]
    read: tuple[str, ...] = ()  # populations of the read-out
    spoken: Spoken = field(default_factory=Spoken)
    clipped: Counter[str] = field(default_factory=Counter)
    sums: dict[str, int] = field(default_factory=dict)

    def outputs(self, program: Program, x: Array) -> Array:
        """Read-outs (T, B, *output) of a run on raw inputs."""
        trace, _ = compare.usable("cpu").run(program, x, (*self.watched, *self.read))
        self.spoken.hear(trace.outputs, {name: trace.values[name] for name in self.read})
        self.clipped.update({name: count for name, count in trace.saturations.items() if count})
        for name in self.watched:
            most = int(np.abs(trace.values[name]).max(initial=0))
            self.sums[name] = max(most, self.sums.get(name, 0))
        return trace.outputs


def evaluate(
    found: Imported, spiking: Graph | None, program: Program, target: Target, progress: Progress
) -> Evaluated:
    """The program, and the float networks it was made from, on the samples of the test split.

    A synaptic sum that leaves the target's accumulator is an error among the ``warnings``.
    """
    seen = _Seen(doubtful(program.graph, target), populations(program.graph))
    result = _evaluated(found, spiking, program, seen, progress)
    nothing = result.accuracy.meaningless if result.accuracy is not None else ""
    more = (
        *overflows(program.graph, target, seen.sums),
        *silent(program.graph, seen.spoken),
        *says_nothing(nothing),
    )
    return replace(result, warnings=(*result.warnings, *more, *compare.usable("cpu").remarks()))


def _evaluated(
    found: Imported, spiking: Graph | None, program: Program, seen: _Seen, progress: Progress
) -> Evaluated:
    stimulus, count = found.stimulus, found.config.eval
    labels = stimulus.labels(count)
    if tokens(found.graph) is not None and spiking is not None:
        return _compared(found, spiking, program, labels, seen)
    if (
        labels is not None
        and isinstance(stimulus, Recorded)
        and stimulus.data.sequence
        and spiking is not None
    ):
        return _predicted(found, stimulus, labels, spiking, program, seen)
    if pictured(found.graph, found.data) and spiking is not None and isinstance(stimulus, Recorded):
        return _images(found, stimulus, spiking, program, seen)
    clipped = seen.clipped
    runs = _runs(found, spiking, program, seen)
    if labels is not None and isinstance(stimulus, Recorded):
        accuracy, counts = judged(stimulus, runs, labels, progress)
        shown = " -> ".join(f"{n} {100 * getattr(accuracy, n):.1f} %" for n in LEVELS if n in runs)
        accuracy = replace(accuracy, meaningless=meaningless(seen.spoken, labels))
        floats = ("accuracy.float", "accuracy.spiking") if found.holds_integers else ()
        return Evaluated(
            accuracy=accuracy, counts=counts, saturations=dict(clipped), reasons=dict.fromkeys(floats, NO_FLOATS),
            warnings=(*quality.drops(accuracy, found.config), *_clipped(found, clipped)),
            fact=f"{shown} (n = {len(labels)})",
        )  # fmt: skip
    size = batch_size(found.graph)
    samples = sum(runs["integer"](x).shape[1] for x in stimulus.batches(count, size))
    fact = f"no accuracy: {SYNTHETIC}, {samples} samples, {clipped.total()} saturations"
    return Evaluated(
        counts={SYNTHETIC: {"samples": samples}}, saturations=dict(clipped), warnings=_clipped(found, clipped),
        reasons={"accuracy": f"{SYNTHETIC} has no labels: give labelled data with --data"}, fact=fact,
    )  # fmt: skip


# --- accuracy ----------------------------------------------------------------------------------------------------


def _runs(found: Imported, spiking: Graph | None, program: Program, seen: _Seen) -> dict[str, Answers]:
    """Level -> predictions of raw inputs, in the order in which they are asked for."""
    source = found.graph
    runs: dict[str, Answers] = {}
    if spiking is not None:
        runs["spiking"] = lambda x: predictions(interp.run(spiking, x).outputs)
    runs["integer"] = lambda x: predictions(seen.outputs(program, x))
    if spiking is not None:
        runs["source"] = lambda x: predictions(interp.run(source, x).outputs)
        if trained(found.config.method) and source.header.timesteps == spiking.header.timesteps:
            # The same network: its neurons and its number of ticks were kept.
            runs["source"] = runs["spiking"]
    return runs


def judged(
    stimulus: Recorded, runs: Mapping[str, Answers], labels: Array, progress: Progress
) -> tuple[Accuracy, dict[str, object]]:
    """Accuracy of every level on as many test samples as there are ``labels``, and counts of correct answers.

    Samples are read and run a few batches at a time: memory does not grow with the data.
    """
    from ..simulate import pools

    size, done, heard = batch_size(stimulus.graph), 0, Collected(stimulus.data.levels)
    correct = dict.fromkeys(runs, np.zeros(1, np.int64))
    for images in stimulus.batches(len(labels), size * pools.threads()):
        here = labels[done : done + len(images)]
        answers: dict[str, Array] = {}
        for name, run in runs.items():
            kept = next((answers[other] for other in answers if runs[other] is run), None)
            answers[name] = _in_batches(size, run, images, name != "integer") if kept is None else kept
            correct[name] = correct[name] + (answers[name] == here).sum(axis=1)
        heard.hear(images, here, answers, done)
        done += len(images)
        progress(done, len(labels))
    last = {name: int(right[-1]) for name, right in correct.items()}
    return _accuracy(correct, len(labels), heard), {"test": {"samples": len(labels), **last}}


def _accuracy(correct: Mapping[str, Array], samples: int, heard: Collected) -> Accuracy:
    """From correct answers after each tick, by level."""
    by_level = {level: tuple(float(count) / samples for count in found) for level, found in correct.items()}
    source, spiking, integer = (
        float(correct[name][-1]) / samples if name in correct else None for name in LEVELS
    )
    return Accuracy(
        samples=samples, source=source, spiking=spiking, integer=integer, by_level=by_level, answers=heard.told()
    )  # fmt: skip


def _in_batches(size: int, run: Answers, images: Array, side_by_side: bool = False) -> Array:
    """Predictions of all images; ``side_by_side`` for a run that does not use the threads itself."""
    from ..simulate import pools

    parts = list(batches(images, size))
    if not side_by_side:
        return np.concatenate([run(batch) for batch in parts], axis=1)
    with pools.blas_threads(1):
        return np.concatenate(pools.side_by_side(run, parts), axis=1)


# --- sequences -----------------------------------------------------------------------------------------------------


def _predicted(
    found: Imported, stimulus: Recorded, labels: Array, spiking: Graph, program: Program, seen: _Seen
) -> Evaluated:
    """How well networks foretell the next token: how often the likeliest is right, and bits per token."""
    size = batch_size(spiking)
    integers, done = program.graph.values[program.graph.output.name].fixed, 0
    unit = np.asarray(integers.scale if integers is not None else 1.0)
    right, cost, tokens = dict.fromkeys(LEVELS, np.zeros(1, np.int64)), dict.fromkeys(LEVELS, 0.0), 0
    for x in stimulus.batches(found.config.eval, size):
        wanted = following(x, labels[done : done + len(x)]).T
        done, tokens = done + len(x), tokens + wanted.size
        # The same network, its neurons and its ticks were kept: what floats say is computed once.
        floats = interp.run(spiking, x).outputs
        outputs = {"source": floats, "spiking": floats, "integer": seen.outputs(program, x) * unit}
        for level, logits in outputs.items():
            right[level] = right[level] + (logits.argmax(axis=-1) == wanted).sum(axis=1)
            cost[level] += float(surprise(logits, wanted).sum())
    bits = {level: cost[level] / tokens for level in LEVELS}
    shares = {level: int(count.sum()) / tokens for level, count in right.items()}
    by_tick = {level: tuple(float(each) / len(labels) for each in count) for level, count in right.items()}
    nothing = meaningless(seen.spoken, labels)
    accuracy = Accuracy(
        samples=tokens,
        source=shares["source"],
        spiking=shares["spiking"],
        integer=shares["integer"],
        by_level=by_tick,
        bits=bits,
        meaningless=nothing,
    )
    counts = {"test": {"samples": tokens, **{level: int(count.sum()) for level, count in right.items()}}}
    shown = " -> ".join(f"{level} {bits[level]:.3f}" for level in ("source", "integer"))
    return Evaluated(
        accuracy=accuracy, counts=counts, saturations=dict(seen.clipped),
        warnings=(*quality.drops(accuracy, found.config), *_clipped(found, seen.clipped)),
        fact=f"bits per token {shown} (n = {tokens})",
    )  # fmt: skip


def surprise(logits: Array, wanted: Array) -> Array:
    """-log2 of the softmax of ``logits`` (..., K) at the ``wanted`` classes (...)."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    chosen = np.take_along_axis(shifted, wanted[..., None], axis=-1)[..., 0]
    found: Array = (np.log(np.exp(shifted).sum(axis=-1)) - chosen) / np.log(2)
    return found


# --- images -------------------------------------------------------------------------------------------------------


def _images(found: Imported, stimulus: Recorded, spiking: Graph, program: Program, seen: _Seen) -> Evaluated:
    """How near images are to those of the float model, and to the truth where there is one."""
    source, integer = found.graph, program.graph
    runs: dict[str, Callable[[Array], Array]] = {
        "source": lambda x: real(source, interp.run(source, x).outputs)[-1],
        "spiking": lambda x: real(spiking, interp.run(spiking, x).outputs)[-1],
        "integer": lambda x: real(integer, seen.outputs(program, x))[-1],
    }
    images = images_of.judged(stimulus, runs, found.config.eval, batch_size(spiking))
    shown = "; ".join(quality.pictured(images))
    reason = "the network answers with images: see images.psnr_float_db"
    return Evaluated(
        images=images, counts={"test": {"samples": images.samples}}, saturations=dict(seen.clipped),
        reasons={"accuracy": reason}, fact=f"{shown} (n = {images.samples})",
        warnings=(*quality.unlike(images, found.config), *_clipped(found, seen.clipped)),
    )  # fmt: skip


# --- agreement ---------------------------------------------------------------------------------------------------


def _compared(
    found: Imported, spiking: Graph, program: Program, labels: Array | None, seen: _Seen
) -> Evaluated:
    """How near the embeddings or logits of texts are to those of the float model; accuracy where there are labels."""
    outputs = _outputs(found, spiking, program, seen)
    samples = outputs["integer"].shape[1]
    levels = {level: compare.agreement(outputs["source"][-1], outputs[level][-1]) for level in LEVELS[1:]}
    agreement = {"samples": samples, **levels}
    cosines = {level: near["cosine"] for level, near in levels.items()}
    counts: dict[str, Any] = {"samples": samples, "agreement": agreement}
    without, fact = _no_labels(found, labels)
    accuracy = None
    if labels is not None and not without:
        said = {level: predictions(y) for level, y in outputs.items()}
        right = {level: (y == labels).sum(axis=1) for level, y in said.items()}
        heard = Collected(1, spelling(found.tokenizer))
        size = batch_size(spiking)
        for done, raw in zip(
            range(0, samples, size), found.stimulus.batches(found.config.eval, size), strict=True
        ):
            batch = slice(done, done + len(raw))
            heard.hear(raw, labels[batch], {level: y[:, batch] for level, y in said.items()}, done)
        accuracy = replace(_accuracy(right, len(labels), heard), meaningless=meaningless(seen.spoken, labels))
        counts |= {level: int(count[-1]) for level, count in right.items()}
        fact = " -> ".join(f"{level} {100 * getattr(accuracy, level):.1f} %" for level in LEVELS)
    lost = (
        *(quality.drops(accuracy, found.config) if accuracy else ()),
        *quality.apart(cosines, found.config),
    )
    near = "; ".join(f"{k} cosine {v['cosine']:.4f}, rank {v['rank']:.4f}" for k, v in levels.items())
    return Evaluated(
        accuracy=accuracy, agreement=agreement, counts={SYNTHETIC if found.synthetic else "test": counts},
        saturations=dict(seen.clipped),
        warnings=(*lost, *_clipped(found, seen.clipped)),
        reasons={"accuracy": without} if without else {},
        fact=f"{fact}; agreement with the float model: {near} (n = {samples})",
    )  # fmt: skip


def _outputs(found: Imported, spiking: Graph, program: Program, seen: _Seen) -> dict[str, Array]:
    """Accumulated read-outs (T, B, *output) of every level, in the units of the float model."""
    graph = program.graph
    fixed = graph.values[graph.output.name].fixed
    scale = np.asarray(fixed.scale if fixed is not None else 1.0)
    parts: dict[str, list[Array]] = {level: [] for level in LEVELS}
    for batch in found.stimulus.batches(found.config.eval, batch_size(spiking)):
        parts["source"].append(interp.run(found.graph, batch, timesteps=1).outputs)
        parts["spiking"].append(interp.run(spiking, batch).outputs)
        parts["integer"].append(seen.outputs(program, batch) * scale)
    return {level: np.concatenate(outputs, axis=1) for level, outputs in parts.items()}


def _no_labels(found: Imported, labels: Array | None) -> tuple[str, str]:
    """(why texts have no accuracy, the same in short); both empty where they have one."""
    instead = "the agreement with the float model is given instead"
    if labels is None:
        without = f"{SYNTHETIC} has no labels" if found.synthetic else "the texts have no labels"
        return f"{without}: {instead}", f"no accuracy: {without}"
    size = found.graph.values[found.graph.output.name].shape.size
    if found.data is not None and found.data.class_count != size:
        classes = found.data.class_count
        why = f"labels 0 .. {classes - 1} are no classes of a network with {size} outputs: {instead}"
        return why, f"no accuracy: {classes} classes and {size} outputs"
    return "", ""


# --- saturations -------------------------------------------------------------------------------------------------


def _clipped(found: Imported, clipped: Mapping[str, int]) -> tuple[Problem, ...]:
    return saturated(clipped, remedies(found.synthetic, found.holds_integers))


def saturated(saturations: Mapping[str, int], fixes: tuple[str, ...]) -> tuple[Problem, ...]:
    """A warning ND602 if anything was clipped."""
    whole = sum(saturations.values())
    if not whole:
        return ()
    worst, cause = max(saturations, key=lambda name: saturations[name]), "values were clipped to their width"
    return (Problem("ND602", cause, worst, f"{whole} values", "0", fixes, "warning"),)


def remedies(synthetic: bool, integers: bool) -> tuple[str, ...]:
    """What helps against clipped values: nothing where a file fixed the widths."""
    data = ("calibrate on data like those that run: --data SPEC",) if synthetic else ()
    return () if integers else (*data, "calibrate on more samples: --calib N")
