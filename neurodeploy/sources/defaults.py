"""What a build defaults to where its user said nothing, and what is worth a warning about its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import convert
from ..config import INTEGER, BuildConfig
from ..errors import ConvertError, Problem, UsageError
from ..ir.graph import Graph
from ..limits import MOST_TICKS
from . import resolve
from .cache import Source
from .resolve import Model

#: samples of a build on synthetic input, where the user chose none: noise has no classes to cover
FEW = {"calib": 32, "eval": 32, "verify": 16}
#: dense multiply-accumulates of all these samples and ticks; large networks run on fewer samples, at least one
BUDGET = {"calib": 1e11, "eval": 2e10, "verify": 2e10}  # the last two on simulated cores as well
#: the same for a network that is converted, which calibrates on no fewer than LEAST_CALIBRATED
CONVERTED = 3e11
LEAST_CALIBRATED = 16
MOST_TRIED = 4  # ticks of the longest candidate of --method auto


def completed(config: BuildConfig, source: Source) -> BuildConfig:
    """The config with the model's own method, ticks, data and conversion options where the user chose none.

    Whether a network spikes is asked of its graph: the name of a Python factory does not tell. Raises ConvertError
    ND308 for a method or options that a file of integers has no use for, UsageError ND904 for an impossible number of
    ticks.
    """
    model = source.model
    if model.kind == "format" or source.graph.header.level == "integer":
        return _completed(config, source.graph)
    method = config.method or model.method or convert.natural(source.graph).name
    if method == convert.AUTO:
        if not _converted(source.graph):
            return completed(config.model_copy(update={"method": convert.natural(source.graph).name}), source)
        return config.model_copy(
            update={**_data(config, model), **_calibrated(config, source.graph, MOST_TRIED)}
        )
    trained = convert.named(method).ticks(source.graph)
    own_ticks = (
        trained
        or _ticks_inside(config, source.graph)
        or (model.timesteps if model.timesteps > 1 or model.spiking else 0)
        or (source.graph.header.timesteps if source.graph.input.per_tick else 0)
    )
    own = dict(model.convert) if method == model.method else {}
    if config.convert.get("preset", own.get("preset")) != own.get("preset"):
        own = {}  # the model's options were chosen on top of its own preset
    ticks = config.timesteps or own_ticks or resolve.TICKS
    untrained = model.untrained and not config.data
    few = _few(config, source.graph, ticks) if untrained else _calibrated(config, source.graph, ticks)
    found: dict[str, Any] = {
        "method": method,
        "timesteps": ticks,
        "convert": {**own, **config.convert},
        "encoder": config.encoder or model.encoder,
        **few,
        **_data(config, model),
    }
    return config.model_copy(update=found)


def _converted(graph: Graph) -> bool:
    """Whether a network neither spikes nor was trained with quantisers: then a method has to be chosen for it."""
    return convert.natural(graph).suits(graph) <= 1


def _data(config: BuildConfig, model: Model) -> dict[str, Any]:
    """The model's own data where the user gave none."""
    if config.data:
        return {}
    return {"data": model.dataset, "loader": {**model.data_loader, **config.loader}}


def _calibrated(config: BuildConfig, graph: Graph, ticks: int) -> dict[str, int]:
    """Fewer samples of calibration for large networks, where the user chose none."""
    if "calib" in config.model_fields_set:
        return {}
    affordable = int(CONVERTED // (ticks * _macs(graph)))
    return {"calib": min(config.calib, max(LEAST_CALIBRATED, affordable))}


def _ticks_inside(config: BuildConfig, graph: Graph) -> int:
    """The ticks that a model runs in one call, 0 where one call is one tick; UsageError ND904 for other ones."""
    ticks = graph.header.notes.get("whole_sample", {}).get("ticks", 0)
    given = graph.header.notes.get("whole_sample", {}).get("given")
    if ticks and config.timesteps not in (None, ticks) and given is None:
        cause, fix = (
            "the model runs its ticks in one call",
            f"leave out --timesteps, or build the model for {config.timesteps}",
        )
        raise UsageError(Problem("ND904", cause, config.model, str(config.timesteps), f"{ticks}", (fix,)))
    return int(ticks)


def _completed(config: BuildConfig, graph: Graph) -> BuildConfig:
    """As :func:`completed`, for a file of another tool: its graph knows the ticks, and no data are needed."""
    integer = graph.header.level == "integer"
    if integer:
        _require_no_conversion(config)
    ticks = graph.header.timesteps
    if not 1 <= ticks <= MOST_TICKS:
        cause = "the file asks for an impossible number of ticks"
        limit, fix = f"1 .. {MOST_TICKS}", ("choose another with --timesteps",)
        raise UsageError(Problem("ND904", cause, config.model, str(ticks), limit, fix))
    method = INTEGER if integer else config.method or convert.natural(graph).name
    few = {} if config.data else _few(config, graph, ticks)
    return config.model_copy(update={"method": method, "timesteps": ticks, **few})


def _few(config: BuildConfig, graph: Graph, ticks: int) -> dict[str, int]:
    """Samples of a build on synthetic input, by key of the config, where the user chose none."""
    sample = ticks * _macs(graph)
    affordable = {key: max(1, min(most, int(BUDGET[key] // sample))) for key, most in FEW.items()}
    return {key: count for key, count in affordable.items() if key not in config.model_fields_set}


def _macs(graph: Graph) -> float:
    """Dense multiply-accumulates of one pass, at least one."""
    from ..cost import dense_macs

    return max(1, sum(dense_macs(graph, node) for node in graph))


def _require_no_conversion(config: BuildConfig) -> None:
    """Refuse what would change numbers that the file has fixed."""
    cause = "the model holds integers: nothing is converted or quantised"
    bits, rounding = (
        "" if (said := getattr(config, key)) == BuildConfig.model_fields[key].default else str(said)
        for key in ("weight_bits", "rounding")
    )
    given = {"--method": "" if config.method == INTEGER else config.method, "convert": ", ".join(config.convert),
             "--weight-bits": bits, "rounding": rounding, "layers": ", ".join(config.layers)}  # fmt: skip
    wrong = [Problem("ND308", cause, k, v, fixes=(f"leave out {k}",)) for k, v in given.items() if v]
    if wrong:
        raise ConvertError(wrong)


def raw_levels(config: BuildConfig, model: Model, levels: int) -> list[Problem]:
    """A warning (ND114) where pixels of more than one level reach a model of the user's own and nobody gave a scale."""
    if model.kind not in ("python", "export") or config.scale is not None or levels <= 1:
        return []
    cause, limit = "the model is fed raw pixel levels: no scale was given", "what the model was trained on"
    fixes = (f"--set scale={1 / levels!r} if it was trained on 0 .. 1",
             "--set scale=1.0 if it was trained on raw levels or scales them itself")  # fmt: skip
    return [Problem("ND114", cause, config.model, f"0 .. {levels}", limit, fixes, severity="warning")]


def preparation(config: BuildConfig, graph: Graph, shape: tuple[int, ...]) -> list[Problem]:
    """A warning (ND176) where a library would change rows and columns of the images that a network is given."""
    said = graph.header.notes.get("preparation")
    if not said:
        return []
    cause = "images are taken as they are, which the library would not do"
    sides = " x ".join(map(str, shape[-2:]))
    fixes = ("prepare the images of the data set in the same way, from larger ones",)
    return [
        Problem(
            "ND176", cause, config.data or config.model, f"images of {sides}", str(said), fixes, "warning"
        )
    ]


def remarks(config: BuildConfig, graph: Graph) -> list[Problem]:
    """Warnings of what the reader of a file noted in ``header.notes["remarks"]``.

    Each is a problem's fields, or ``place: text`` (ND127).
    """
    found = []
    for remark in graph.header.notes.get("remarks", ()):
        if isinstance(remark, Mapping):
            found.append(Problem(**{**remark, "fixes": tuple(remark["fixes"])}))
            continue
        place, _, text = str(remark).partition(": ")
        where = f"{config.model} {place}" if text else config.model
        found.append(Problem("ND127", text or place, where, severity="warning"))
    return found
