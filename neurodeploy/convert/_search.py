"""Search of bases and level counts by site, under a budget of energy or of accuracy, on training images without labels.

A candidate gives every site a factor on its calibrated base and a number of levels. It is judged on images by
    divergence  mean KL divergence of the ANN's class probabilities and those of the spiking network's read-out at T
    changed     share of images whose predicted class differs from the ANN's, in percent
    turned      100 (1 - cosine), mean over images, of read-out and ANN
    ratio       0.9/4.6 x operations / dense MACs, over dense layers and products: the energy ratio of the papers
``energy``: least divergence with ratio <= budget. ``accuracy``: least ratio with changed <= budget, and no more
divergence than CLOSE nats (which alone would decide where a few images are not enough to change a class).
Coordinate descent: moves that multiply the bases of all sites or of one role, then those of one site, then those that
change one level count, each kind in random order (seeded), until a round changes nothing. A move stays if it improves
the score. Half of the images choose moves, the other half decide
at the end whether the result beats the start; if not, the start stays. Bounded by a number of evaluations; ``seconds``
stops earlier on slow machines, and only then does the result depend on the machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..array import Array
from ..calibrate import batch_size, batches
from ..counted import tell
from ..ir import interp
from ..ir.graph import Graph
from ..ir.nodes import Neuron, Product, Synapse

AC_OVER_MAC = 0.9 / 4.6  # picojoules of an addition and of a multiply-accumulate at 45 nm, Horowitz 2014
CLOSE = 0.05
FACTORS = (0.7, 0.84, 1.2, 1.43)
FEWEST_SAMPLES = 16
LEVELS_MAX = 12

Setting = Mapping[str, tuple[float, int]]  # site -> factor on the base, levels


@dataclass(frozen=True)
class Score:
    """What a candidate was judged by."""

    divergence: float
    changed: float
    turned: float
    ratio: float

    def __str__(self) -> str:
        return f"divergence {self.divergence:.4f}, changed {self.changed:.2f} %, ratio {self.ratio:.3f}"


@dataclass(frozen=True)
class Plan:
    """The goal and the bounds of a search."""

    goal: str
    budget: float
    evaluations: int
    seconds: float
    seed: int

    def loss(self, score: Score) -> tuple[float, float]:
        """Breach of the budget first, then what is to be small."""
        if self.goal == "energy":
            return max(0.0, score.ratio - self.budget), score.divergence
        return max(0.0, score.changed - self.budget) + max(0.0, score.divergence - CLOSE), score.ratio


@dataclass(frozen=True)
class Found:
    """The setting that won, its score and the start's on images that chose no move, and how many candidates ran."""

    setting: Setting
    score: Score
    start: Score
    evaluations: int
    improved: bool

    def __str__(self) -> str:
        kept = "" if self.improved else " (the start stays: nothing beat it)"
        return f"{self.evaluations} candidates: {self.start} -> {self.score}{kept}"


Build = Callable[[Setting], Graph]


def search(
    graph: Graph, build: Build, start: Setting, roles: Mapping[str, str], samples: Array, plan: Plan
) -> Found:
    """The best setting found; ``build`` makes the spiking graph of one, ``samples`` are training images."""
    begin, rng = time.monotonic(), np.random.default_rng(plan.seed)
    chooses, decides = samples[0::2], samples[1::2]
    truth, kept_truth = (read_out(graph, x, 1) for x in (chooses, decides))
    best, ran = dict(start), 1
    score = judge(build(best), chooses, truth)
    moves = _moves(best, roles)
    while ran < plan.evaluations and time.monotonic() - begin < plan.seconds:
        before = score
        for move in (kind[i] for kind in moves for i in rng.permutation(len(kind))):
            if ran >= plan.evaluations or time.monotonic() - begin >= plan.seconds:
                break
            candidate = move(best)
            if candidate == best:
                continue
            found, ran = judge(build(candidate), chooses, truth), ran + 1
            tell(ran, plan.evaluations, "candidates")
            if plan.loss(found) < plan.loss(score):
                best, score = candidate, found
        if score == before:
            break
    first, last = (judge(build(s), decides, kept_truth) for s in (start, best))
    improved = plan.loss(last) < plan.loss(first)
    return Found(best if improved else dict(start), last if improved else first, first, ran, improved)


Changed = dict[str, tuple[float, int]]
Move = Callable[[Setting], Changed]


def _moves(start: Setting, roles: Mapping[str, str]) -> tuple[list[Move], ...]:
    """Moves on groups of sites, on single sites, on level counts."""
    groups = [set(start), *({s for s in start if roles[s] == role} for role in sorted(set(roles.values())))]
    return (
        [partial(_scaled, group, factor) for group in groups for factor in FACTORS],
        [partial(_scaled, {site}, factor) for site in start for factor in FACTORS],
        [partial(_counted, site, step) for site in start for step in (-1, 1)],
    )


def _scaled(group: set[str], factor: float, setting: Setting) -> Changed:
    return {k: (b * factor, n) if k in group else (b, n) for k, (b, n) in setting.items()}


def _counted(site: str, step: int, setting: Setting) -> Changed:
    base, levels = setting[site]
    return {**setting, site: (base, int(np.clip(levels + step, 1, LEVELS_MAX)))}


def judge(spiking: Graph, x: Array, truth: Array) -> Score:
    """Score of a spiking graph on images of which the ANN makes ``truth`` (B, *output)."""
    layers = monitored(spiking)
    names = tuple(dict.fromkeys(i for node in layers for i in node.inputs))
    outputs, operations = [], 0.0
    for batch in batches(x, batch_size(spiking, names)):
        trace = interp.run(spiking, batch, record=names)
        scale = 1.0 if spiking.output.readout == "last" else 1.0 / len(trace.outputs)
        outputs.append(trace.outputs[-1] * scale)
        operations += sum(_operations(node, [trace.values[i] for i in node.inputs]) for node in layers)
    found = np.concatenate(outputs)
    target, got = _log_probabilities(truth), _log_probabilities(found)
    divergence = float((np.exp(target) * (target - got)).sum(axis=1).mean())
    changed = 100.0 * float((target.argmax(axis=1) != got.argmax(axis=1)).mean())
    dense = len(x) * sum(_dense(spiking, node) for node in layers)
    turned = 100.0 * float(1.0 - _cosines(truth, found).mean())
    return Score(divergence, changed, turned, AC_OVER_MAC * operations / max(dense, 1.0))


def monitored(graph: Graph) -> list[Synapse | Product]:
    """The layers whose operations count: dense ones and products, as in ECMT's code."""
    layers: list[Synapse | Product] = graph.of(Synapse, Product)
    return [n for n in layers if isinstance(n, Product) or n.op == "dense"]


def _dense(graph: Graph, node: Synapse | Product) -> float:
    if isinstance(node, Synapse):
        return float(graph.values[node.name].shape.size * node.weight.shape[1])
    a, b = node.inputs
    return float(node.einsum.macs(graph.shape(a), graph.shape(b)))


def _operations(node: Synapse | Product, streams: list[Array]) -> float:
    if isinstance(node, Synapse):
        return float(np.count_nonzero(streams[0])) * len(node.weight)
    a, b = streams
    if node.timing != "cumulative":
        return float(node.einsum.pairs(a, b).sum())
    sum_a, sum_b = np.cumsum(a, axis=0), np.cumsum(b, axis=0)
    return float(node.einsum.pairs(a, sum_b).sum() + node.einsum.pairs(sum_a[:-1], b[1:]).sum())


def read_out(graph: Graph, x: Array, ticks: int) -> Array:
    """What the graph answers in the last of ``ticks`` ticks to images (B, *input): (B, *output)."""
    parts = batches(x, batch_size(graph))
    return np.concatenate([interp.run(graph, batch, timesteps=ticks).outputs[-1] for batch in parts])


def _cosines(a: Array, b: Array) -> Array:
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    sizes = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / np.maximum(sizes, 1e-30))


def _log_probabilities(logits: Array) -> Array:
    flat = logits.reshape(len(logits), -1)
    flat = flat - flat.max(axis=1, keepdims=True)
    return np.asarray(flat - np.log(np.exp(flat).sum(axis=1, keepdims=True)))


def with_params(graph: Graph, changes: Mapping[str, Mapping[str, object]]) -> Graph:
    """The graph with some parameters of some neurons replaced."""
    changed = [n for n in graph.of(Neuron) if n.name in changes]
    nodes = {n.name: replace(n, params={**n.params, **changes[n.name]}) for n in changed}
    return replace(graph, nodes={**graph.nodes, **nodes})
