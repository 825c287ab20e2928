"""ECMT: training-free conversion of softmax transformers with multi-threshold neurons and expectation compensation.

Source: Huang et al., "Towards High-performance Spiking Transformers from ANN to SNN Conversion", ACM MM 2024, arXiv
2502.21193, and its released code (commit e449e919). Per tick t, in one block (the residual stream x carries no neuron):
    a = MT(EC_LN1(x));  q, k, v = MT(a W + b) each;  p = MT(EC_softmax(EC_mm(q, k^T) / sqrt d));  o = EC_mm(p, v)
    x = x + MT(o) W_o + b_o;   x = x + MT(EC_GELU(MT(EC_LN2(x)) W_1 + b_1)) W_2 + b_2
The image is the same at every tick, the bias is added at every tick, logits are summed. No neuron stands before the
stem convolution nor before the head.
    EC_f:  y(t) = t f(S(t)/t) - (t-1) f(S(t-1)/(t-1)),  S the running sum of the input
    EC_mm: O(t) = P(t)/t - P(t-1)/(t-1),  P(t) = P(t-1) + A(t) S_B(t) + S_A(t-1) B(t): two sparse products per tick,
           equal to the released code's three.
Neurons: :mod:`neurodeploy.neurons.multi_threshold`. Calibration (mode ``for_v`` of the released code): per site one
base_p and one base_n, the ``percent`` and 1 - ``percent`` order statistics of the site's values in the ANN, averaged
over batches; the base is the SMALLEST level. Preset ``released`` also overrides softmax outputs (0.0125) and GELU
outputs (0.25, 0.08), and sees all tokens of the last block as that code does (``rows``), though nobody reads but the
class token's.

Levels per site: ``levels`` unless the role of the site (``levels_linear``: inputs of dense layers, and v as in the
released code; ``levels_qk``; ``levels_softmax``) or a glob over site names and module paths in ``site_levels`` says
otherwise. ``site_scales`` multiplies bases by such globs. ``search`` finds both by site on the training images that
calibrate (:mod:`._search`), starting from the fixed setting, which stays unless it is beaten; fewer than 16 images are
too few and are not searched on.
``bases`` = ``channel``: base_j = |x_j| mean_i (x_i / |x_i|), of ``percent`` order statistics of channels, so that
either side is in the same proportion to the magnitudes of a channel; layers take the units of their input's channels
into their weights (:mod:`._channels`). ``correct``: :mod:`._fit`. Preset ``faithful``: half the bases of ``headline``,
and corrected.
Preset ``headline`` is meant for T = 2: smaller bases, all calibrated, and the nearest level. It was chosen on training
images of the digits.

Limits: every dense layer needs an operator, product or synapse in front of it that yields reals.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from ..array import Array
from ..errors import Problem, UsageError, unknown_name
from ..ir.graph import Graph
from ..neurons.multi_threshold import RULES
from . import _search
from ._base import Method, MethodConfig, Trial, option
from ._channels import FINEST, Channels, channels
from ._fit import CORRECT, Correct, corrected
from ._operands import OPERANDS, Operands, evened
from ._sites import Population, insert, roles, see_sites, sites

FALLBACK_BASE = 1e-3  # for a side a site never takes, such as negatives after a ReLU
LEVELS_MAX = _search.LEVELS_MAX
#: role of a site -> the option that holds its number of levels
LEVELS_OF = {
    "linear": "levels_linear", "v": "levels_linear",  # as the released code has it
    "q": "levels_qk", "k": "levels_qk", "s": "levels_softmax",
}  # fmt: skip


#: smaller bases, all calibrated, and the nearest level
HEADLINE: Mapping[str, Any] = {
    "base_scale": 0.25,
    "rule": "nearest",
    "softmax_base": None,
    "gelu_base": None,
    "rows": "read",
}


class EcmtConfig(MethodConfig):
    """What calibration and the neurons of ECMT can vary."""

    rule: Literal["ecmt_code", "nearest", "dcgs"] = option(
        "ecmt_code", "which level a value becomes: as in ECMT's code, the nearest, or as in DCGS"
    )
    percent: float = option(0.99, "order statistic that becomes the smallest level", gt=0.5, lt=1.0)
    base_scale: float = option(1.0, "factor on every base", gt=0.0)
    levels: int = option(8, "levels per sign", ge=1, le=LEVELS_MAX)
    levels_linear: int | None = option(
        None, "levels at inputs of dense layers and at v; null: levels", ge=1, le=LEVELS_MAX
    )
    levels_qk: int | None = option(None, "levels at q and k; null: levels", ge=1, le=LEVELS_MAX)
    levels_softmax: int | None = option(None, "levels at softmax outputs; null: levels", ge=1, le=LEVELS_MAX)
    softmax_base: float | None = option(0.0125, "fixed base at softmax outputs; null: calibrated", gt=0.0)
    gelu_base: tuple[float, float] | None = option(
        (0.25, 0.08), "fixed bases at GELU outputs; null: calibrated"
    )
    rows: Literal["all", "read"] = option(
        "all", "what calibration sees of each site: all its rows, or only those that anything reads"
    )
    bases: Literal["tensor", "channel"] = option(
        "tensor", "bases for a site, or for each of its channels where layers alone read it"
    )
    operands: Operands = option("tensor", OPERANDS)
    correct: Correct = option("none", CORRECT)
    site_levels: dict[str, int] = option({}, "levels by glob over site names and module paths")
    site_scales: dict[str, float] = option({}, "factor on bases by glob over sites")
    search: Literal["none", "energy", "accuracy"] = option(
        "none", "find bases and levels by site: best under an energy, or cheapest under an accuracy budget"
    )
    search_budget: float = option(
        0.35,
        "energy: largest ratio of the paper metric; accuracy: largest share of changed answers in percent",
        ge=0.0,
    )
    search_evaluations: int = option(150, "how many candidates a search runs", ge=1, le=10000)
    search_seconds: float = option(300.0, "time after which a search stops", gt=0.0)
    search_seed: int = option(0, "order in which a search tries its moves", ge=0)


class Ecmt(Method):
    """Training-free conversion of softmax transformers."""

    name = "ecmt"
    title = "expectation-compensated multi-threshold conversion"
    Config = EcmtConfig
    presets: ClassVar = {
        "faithful": {**HEADLINE, "base_scale": 0.125, "correct": "weights"},
        "headline": HEADLINE,
        "nearest": {"base_scale": 0.5, "rule": "nearest", "rows": "read"},
        "halved": {"base_scale": 0.5, "rows": "read"},
        "released": {},
    }
    closest = "faithful"
    trials = (Trial("faithful", 1, 0.145), Trial("faithful", 2, 0.30), Trial("faithful", 4, 0.60))
    remedies: ClassVar = {
        "gelu": "calibrate the bases: --set convert.gelu_base=null",
        "softmax": "calibrate the base: --set convert.softmax_base=null",
    }

    def suits(self, graph: Graph) -> int:
        """Any network, for want of a better method."""
        return 1

    def rewrite(self, graph: Graph, config: EcmtConfig, samples: Array, timesteps: int) -> Graph:
        """Neurons at every site, cumulative timing on operators and products, rate contract everywhere.

        Raises UsageError for a glob that no site matches and ConvertError for activations that are not finite.
        """
        return self.convert(graph, graph, config, samples, timesteps)

    def convert(
        self, graph: Graph, whole: Graph, config: EcmtConfig, samples: Array, timesteps: int
    ) -> Graph:
        """As :meth:`rewrite`, with the bases of the whole graph where all its rows count."""
        even = evened(graph, sites(graph), samples) if config.operands == "channel" else {}
        bases = calibrate_bases(whole if config.rows == "all" else graph, config, samples, even)
        if not sites(graph).keys() <= bases.keys():  # a site may have another name among all rows
            bases = {**calibrate_bases(graph, config, samples, even), **bases}
        if config.bases == "channel":
            bases |= by_channel(graph, config, samples)
        start = fixed_setting(graph, config)
        fixed = _spiking(graph, config, bases, start, timesteps)
        if config.search == "none" or len(samples) < _search.FEWEST_SAMPLES:
            return corrected(graph, fixed, samples, config.correct)
        plan = _search.Plan(config.search, config.search_budget, config.search_evaluations,
                            config.search_seconds, config.search_seed)  # fmt: skip

        def build(setting: _search.Setting) -> Graph:
            params = {f"{site}.mt": _params(bases[site], own, config) for site, own in setting.items()}
            return _search.with_params(fixed, params)

        found = _search.search(graph, build, start, roles(graph), samples, plan)
        made = _spiking(graph, config, bases, found.setting, timesteps)
        made = corrected(graph, made, samples, config.correct)
        return made.with_header(notes={**made.header.notes, "search": str(found)})


def fixed_setting(graph: Graph, config: EcmtConfig) -> dict[str, tuple[float, int]]:
    """Site -> (factor on its base, levels) as the options say; UsageError for globs that no site matches."""
    names = {site: (site, *(o.path for o in graph.nodes[site].origin if o.path)) for site in sites(graph)}
    tables: dict[str, dict[str, Any]]
    tables = {"site_scales": config.site_scales, "site_levels": config.site_levels}
    every = [name for group in names.values() for name in group]
    problems = [
        unknown_name("ND303", "site", glob, sorted(set(every)), f"convert.{key}")
        for key, table in tables.items()
        for glob in table
        if not fnmatch.filter(every, glob)
    ]
    problems += [
        Problem("ND303", cause, f"convert.{key}", repr(value), limit)
        for key, cause, limit, wrong in (
            ("site_scales", "a factor on bases must be positive", "above 0", lambda v: v <= 0),
            ("site_levels", "levels per sign", f"1 to {LEVELS_MAX}", lambda v: not 1 <= v <= LEVELS_MAX),
        )
        for value in tables[key].values()
        if wrong(value)
    ]
    if problems:
        raise UsageError(problems)
    return {
        site: (
            _matching(names[site], config.site_scales, 1.0),
            _matching(names[site], config.site_levels, getattr(config, LEVELS_OF[role]) or config.levels),
        )
        for site, role in roles(graph).items()
    }


def _matching(names: Iterable[str], table: Mapping[str, Any], default: Any) -> Any:
    """The entry of the last glob that matches one of the names."""
    hits = [value for glob, value in table.items() if fnmatch.filter(list(names), glob)]
    return hits[-1] if hits else default


Bases = dict[str, tuple[Any, Any]]  # site -> of positive and negative levels, numbers or one for each element


def _spiking(
    graph: Graph, config: EcmtConfig, bases: Bases, setting: _search.Setting, timesteps: int
) -> Graph:
    params = {site: _params(bases[site], own, config) for site, own in setting.items()}
    populations = {site: Population("multi_threshold", own, "mt") for site, own in params.items()}
    return insert(graph, Ecmt.name, timesteps, populations, "rate", "cumulative")


def _params(bases: tuple[Any, Any], own: tuple[float, int], config: EcmtConfig) -> dict[str, Any]:
    (base_p, base_n), (scale, levels), rule = bases, own, RULES.index(config.rule)
    return {"base_p": base_p * scale, "base_n": base_n * scale, "levels": levels, "rule": rule}


def calibrate_bases(graph: Graph, config: EcmtConfig, samples: Array, even: Mapping[str, Array]) -> Bases:
    """(base_p, base_n) per site: order statistics per batch of 64, averaged over batches, then overrides and scale.

    Those of sites in ``even`` are of values times its factors, over these.
    """
    kinds = sites(graph)
    rows: dict[str, list[tuple[float, float]]] = {site: [] for site in kinds}

    def see(site: str, x: Array) -> None:
        rows[site].append(_order_statistics(x * even.get(site, 1.0), config.percent))

    see_sites(graph, kinds, samples, see)
    found = {site: _final_bases(tuple(np.mean(rows[site], axis=0)), kinds[site], config) for site in kinds}
    return {site: (p / even.get(site, 1.0), n / even.get(site, 1.0)) for site, (p, n) in found.items()}


def by_channel(graph: Graph, config: EcmtConfig, samples: Array) -> Bases:
    """Bases for each channel of the sites that layers alone read, where they are calibrated."""
    kinds = sites(graph)
    fixed = {"gelu": config.gelu_base, "softmax": config.softmax_base}
    found = {site: channels(graph, site) for site in kinds if fixed.get(kinds[site]) is None}
    own = {site: own for site, own in found.items() if own is not None}
    parts: dict[str, list[Array]] = {site: [] for site in own}

    def see(site: str, x: Array) -> None:
        rows = own[site].rows(x)
        low, high = np.quantile(rows, (1 - config.percent, config.percent), axis=0)
        parts[site].append(np.stack((np.quantile(np.abs(rows), config.percent, axis=0), high, -low)))

    see_sites(graph, own, samples, see)
    return {site: _spread(own[site], np.mean(parts[site], axis=0), kinds[site], config) for site in own}


def _spread(own: Channels, seen: Array, kind: str, config: EcmtConfig) -> tuple[Array, Array]:
    """Bases from order statistics of magnitudes, positive and negative values (3, channels)."""
    sizes = np.maximum(seen[0], max(float(seen[0].max()), FALLBACK_BASE) * FINEST)
    positive, negative = _final_bases(tuple((seen[1:] / sizes).mean(axis=1)), kind, config)
    return own.spread(sizes) * positive, own.spread(sizes) * negative


def _order_statistics(values: Array, percent: float) -> tuple[float, float]:
    flat = values.ravel()
    upper = max(int(percent * flat.size), 1) - 1  # the released code's kthvalue counts from 1
    lower = max(int((1 - percent) * flat.size), 1) - 1
    ordered = np.partition(flat, (lower, upper))
    return float(ordered[upper]), float(-ordered[lower])


def _final_bases(pair: tuple[float, ...], kind: str, config: EcmtConfig) -> tuple[float, float]:
    positive, negative = pair
    if kind == "softmax" and config.softmax_base is not None:
        positive = negative = config.softmax_base
    if kind == "gelu" and config.gelu_base is not None:
        positive, negative = config.gelu_base
    top = max(positive, negative, FALLBACK_BASE)
    # a side that is (nearly) never taken keeps the other side's base: its wire ratio must stay small
    positive, negative = (side if side > top / 16 else top for side in (positive, negative))
    return positive * config.base_scale, negative * config.base_scale


MEMBER = Ecmt()
