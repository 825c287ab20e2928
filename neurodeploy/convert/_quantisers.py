"""Steps and counts of quantisation layers, chosen from values of an ANN; :mod:`.pmsm` defines them."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from ..array import Array
from ..ir.graph import Graph
from ..neurons import multi_spike
from ..neurons.multi_spike import COUNT_MAX
from ._base import MethodConfig
from ._channels import FINEST, Channels, channels
from ._fit import CORRECT, Correct
from ._operands import OPERANDS, Operands, evened
from ._sites import is_quantiser, see_sites, sites

VALUES = 1 << 16  # values of a site that choose its step
ROWS = 128  # values of each channel of a site that choose its own, at least
#: candidate steps, as fractions of the largest magnitude over ``levels``
GRID = np.geomspace(0.02, 2.0, 93)
CHANNEL_GRID = np.geomspace(0.1, 1.5, 28)  # likewise, of a channel's own
GAIN = 0.25  # steps of their own send more and clip sooner, which later ticks cannot mend: not for less
SMALLEST = 1e-6  # step of a site that is always zero, times ``levels``


class QuantiserConfig(MethodConfig):
    """What the quantisation layers can vary."""

    levels: int = Field(15, ge=1, le=COUNT_MAX // 2, description="half the number of non-zero counts")
    init: Literal["mse", "entropy", "midway"] = Field(
        "mse", description="step of least squared error, of largest entropy, or between both"
    )
    step_scale: float = Field(1.0, gt=0.0, description="factor on every step")
    steps: Literal["tensor", "channel"] = Field(
        "tensor", description="one step for a site, or one for each channel where layers alone read it"
    )
    operands: Operands = Field("tensor", description=OPERANDS)
    correct: Correct = Field("none", description=CORRECT)

    @model_validator(mode="after")
    def _has_rule(self) -> QuantiserConfig:
        """Steps for each channel are those of least error."""
        if self.steps == "channel" and self.init != "mse":
            raise ValueError("steps for each channel need init = mse")
        return self


def quantisers(graph: Graph, config: QuantiserConfig, samples: Array) -> dict[str, dict[str, Any]]:
    """Site without a quantiser -> step, positive, negative of its quantisation layer, from values of the ANN."""
    names = [name for name in sites(graph) if not is_quantiser(graph.nodes[name])]
    own = {name: channels(graph, name) if config.steps == "channel" else None for name in names}
    seen = {name: _Seen(own[name], len(samples) * graph.values[name].shape.size) for name in names}
    even = evened(graph, names, samples) if config.operands == "channel" else {}
    if names:
        see_sites(graph, names, samples, lambda name, x: seen[name].add(x * even.get(name, 1.0)))
    made = {name: seen[name].layer(config) for name in names}
    return {name: {**own, "step": own["step"] / even.get(name, 1.0)} for name, own in made.items()}


class _Seen:
    """Evenly spaced ones of ``count`` values that come in parts, by channel or all alike, and largest magnitudes."""

    def __init__(self, own: Channels | None, count: int) -> None:
        self.channels, width = own, own.count if own else 1
        self.stride, self.offset = spaced(count, max(VALUES, ROWS * width if own else 0)), 0
        self.top = np.zeros(width)
        self.parts: list[Array] = []

    def add(self, x: Array) -> None:
        rows = self.channels.rows(x) if self.channels else x.reshape(-1, 1)
        self.parts.append(rows[-self.offset % self.stride :: self.stride].copy())
        self.offset += len(rows)
        self.top = np.maximum(self.top, np.abs(rows).max(axis=0, initial=0.0))

    def layer(self, config: QuantiserConfig) -> dict[str, Any]:
        """Step and counts of the site."""
        x = np.concatenate(self.parts)
        if self.channels is None:
            return layer(x.ravel(), config, float(self.top[0]))
        return by_channel(x, config, self.top, self.channels)


def spaced(count: int, wanted: int) -> int:
    """Every how manieth of ``count`` values to take for about ``wanted``, whatever sizes of axes divide the count."""
    stride = max(1, count // wanted)
    while (
        math.gcd(stride, count) > 1
    ):  # else it would meet the same channels, or the same tokens, again and again
        stride += 1
    return stride


def layer(x: Array, config: QuantiserConfig, top: float = 0.0) -> dict[str, Any]:
    """Step and counts for values of one site, whose largest magnitude is ``top`` if it is not among them."""
    top = top or float(np.abs(x).max(initial=0.0)) or SMALLEST
    x = x[:: spaced(len(x), VALUES)]
    steps = top / config.levels * GRID
    rules = RULES if config.init == "midway" else {config.init: RULES[config.init]}
    best = [
        steps[np.argmin([rule(x, s, *counts(x, s, config.levels)) for s in steps])] for rule in rules.values()
    ]
    step = float(np.exp(np.mean(np.log(best)))) * config.step_scale
    positive, negative = counts(x, step, config.levels)
    return {"step": step, "positive": positive, "negative": negative}


def by_channel(x: Array, config: QuantiserConfig, top: Array, own: Channels) -> dict[str, Any]:
    """Steps (like the site's elements) and counts for values (rows, channels) whose largest magnitudes are ``top``.

    Each channel takes the step of least squared error for given counts, which are the site's. Their error is judged
    behind the layers, where channels that err together weigh more, and has to be less than :data:`GAIN` of that of one
    step for all.
    """
    finest = max(float(top.max()), SMALLEST) / config.levels * FINEST
    steps, places = np.maximum(top / config.levels * CHANNEL_GRID[:, None], finest), np.arange(x.shape[1])
    shared = layer(x.ravel(), config, float(top.max()))
    found = {GAIN * own.cost(x - quantised(x, *shared.values())): shared}
    for negative in {0} if x.min() >= 0 else {config.levels // 4, config.levels // 2, config.levels}:
        split = 2 * config.levels - negative, negative
        errors = np.stack([np.square(x - quantised(x, s, *split)).mean(axis=0) for s in steps])
        best = steps[errors.argmin(axis=0), places] * config.step_scale
        made = {"step": own.spread(best), "positive": split[0], "negative": negative}
        found.setdefault(own.cost(x - quantised(x, best, *split)), made)
    return found[min(found)]


def counts(x: Array, step: float, levels: int) -> tuple[int, int]:
    """(P, N) with P + N = 2 ``levels``: N as many as the negative values need, at most ``levels``."""
    negative = min(levels, max(0, -int(np.floor(float(x.min()) / step + 0.5))))
    return 2 * levels - negative, negative


def quantised(x: Array, step: float, positive: int, negative: int) -> Array:
    """D k(x): the neuron's first tick from rest."""
    y: Array = multi_spike.MEMBER.float_step(x, 0.0, step, positive, negative)[0]
    return y


def entropy(x: Array, step: float, positive: int, negative: int) -> float:
    """Entropy of the counts in bits."""
    _, often = np.unique(quantised(x, step, positive, negative), return_counts=True)
    share = often / often.sum()
    return float(-(share * np.log2(share)).sum())


def _error(x: Array, step: float, positive: int, negative: int) -> float:
    return float(np.mean((x - quantised(x, step, positive, negative)) ** 2))


#: what a step is judged by; less is better
RULES = {"mse": _error, "entropy": lambda *args: -entropy(*args)}
