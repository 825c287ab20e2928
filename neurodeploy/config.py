"""What a build is asked to do: one closed schema, filled from a file, ``--set`` pairs and flags, and dumped again.

Later sources win: defaults of the model, ``--config FILE``, ``--set key=value``, flags. Importing this needs no numpy.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from . import handed
from .errors import Problem, UsageError, unknown_name
from .files import alike
from .limits import MOST_TICKS, MOST_TOML

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


#: stands for a method where a file already holds integers, so that nothing is converted or quantised
INTEGER = "integer file"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LayerRule(_Table):
    """What one glob over layer names changes; later rules win."""

    weight_bits: int | None = Field(None, ge=2, le=8, description="bits of each weight, sign included")


#: fields that say how a network is measured, and leave it as it is
MEASURED = ("eval", "verify", "estimate", "time_budget", "wanted")
MODEL = "zoo name, file (.pt2, .onnx, .net, .nir), py:package.module:factory, or timm:, hf:, torchvision:NAME"
SCALE = "a model sees pixel level * scale + offset; unset: the library's own with offset, else 1"
OFFSET = "what is added to a scaled pixel level; unset: the library's own with scale, else 0"
TIME_BUDGET = 300.0  # seconds
RATE = "probability of a spike of a synthetic binary input, where no data are given"


class BuildConfig(_Table):
    """Everything that decides the numbers of a build, and where they go."""

    model: str = Field("", description=MODEL)
    target: str = Field("loihi-sim", description="name of a target, or a .toml file")
    data: str = Field("", description="data set or file; empty: the model's own")
    method: str = Field("", description="conversion method, or auto; empty: the model's own")
    max_loss: float = Field(
        1.0, ge=0, le=100, description="share of answers that a method found by auto may change, percent"
    )
    timesteps: int | None = Field(
        None, ge=1, le=MOST_TICKS, description="ticks of one inference; unset: the model's own"
    )
    weight_bits: int = Field(8, ge=2, le=8, description="bits of each weight, sign included")
    rounding: Literal["nearest", "calibrated"] = Field(
        "nearest",
        description="weights each by itself, or so that sums change least on calibration samples: below 8 bits",
    )
    calib: int = Field(256, ge=1, description="training samples for calibration")
    eval: int = Field(0, ge=0, description="test samples for accuracy; 0: the whole test split")
    verify: int = Field(100, ge=0, description="test samples on which all backends must agree; 0: skip")
    estimate: int | None = Field(
        None, ge=1, description="test samples of energy and latency; unset: at most 32"
    )
    time_budget: float = Field(
        TIME_BUDGET,
        gt=0,
        allow_inf_nan=False,
        description="seconds of verify and of estimate, each: fewer samples",
    )
    chips: int | None = Field(None, ge=1, description="chips of the target; unset: the target's own")
    optimise: str = Field("energy", description="energy, latency, edp, throughput or cores")
    max_cores: int | None = Field(None, ge=1, description="cores that may be used; unset: all of the target")
    max_latency_ms: float | None = Field(
        None, gt=0, description="expected latency that is allowed; unset: any"
    )
    placement: str | None = Field(
        None, description="how cores get their places; unset: the mapper's usual way"
    )
    streams: int | None = Field(
        None,
        ge=0,
        description="copies of each layer that take the tokens in turn, 0: none; unset: where needed",
    )
    lookups: Literal["cores", "host"] = Field(
        "cores", description="where tables of token ids are: on cores, or looked up by the host"
    )
    mapping: str | None = Field(
        None, description="mapping file: layouts and cores of layers; unset: all are found"
    )
    encoder: str = Field(
        "",
        description="how a still input becomes spikes: rate, latency, delta or none; empty: the model's own",
    )
    seed: int = Field(0, ge=0, description="of the draw of calibration samples")
    jobs: int = Field(0, ge=0, description="threads; 0: as many as there are cores")
    out: str = Field("", description="output folder; empty: build/MODEL-TARGET")
    scale: float | None = Field(None, gt=0, description=SCALE)
    offset: float | None = Field(None, description=OFFSET)
    import_check: bool = Field(
        True,
        description="compare the imported network with the model itself; false: every number says it was not",
    )
    spike_rate: float = Field(0.1, gt=0, le=1, description=RATE)
    wanted: dict[Literal["verify", "estimate"], int] = Field(
        {}, description="samples there would have been, where the time budget of the build allowed fewer"
    )
    reader: dict[str, Any] = Field(
        {}, description="options of the reader of a .net or .nir file, or of a library"
    )
    loader: dict[str, Any] = Field(
        {}, description="options of the format of the data, such as frames of events"
    )
    convert: dict[str, Any] = Field({}, description="options of the conversion method")
    layers: dict[str, LayerRule] = Field({}, description="rules per layer, by glob over layer names")

    @property
    def folder(self) -> Path:
        """Where the files of the build go."""
        return Path(self.out) if self.out else Path("build") / f"{_slug(self.model)}-{_slug(self.target)}"

    def digest(self) -> str:
        """SHA-256 of everything that decides numbers: neither the folder nor the number of threads."""
        return hashlib.sha256(json.dumps(self.decisive(), sort_keys=True).encode()).hexdigest()

    def network_digest(self) -> str:
        """SHA-256 of what decides the network and how it is mapped, save what a mapping file says."""
        decisive = {k: v for k, v in self.decisive().items() if k not in MEASURED and k != "mapping"}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    def decisive(self) -> dict[str, Any]:
        """The fields that decide numbers, JSON-able."""
        return self.model_dump(mode="json", exclude={"out", "jobs"}, exclude_none=True)

    def weight_bits_of(self, names: Iterable[str]) -> int:
        """Weight bits of the layer known by any of these names: the last rule that matches, else the default."""
        names = tuple(names)
        bits = self.weight_bits
        for pattern, rule in self.layers.items():
            if rule.weight_bits is not None and any(fnmatch.fnmatchcase(name, pattern) for name in names):
                bits = rule.weight_bits
        return bits

    def unmatched(self, names: Iterable[str]) -> list[Problem]:
        """One problem (ND905) per rule that no layer matches, with the nearest layer names."""
        names = sorted(set(names))
        idle = [p for p in self.layers if not any(fnmatch.fnmatchcase(name, p) for name in names)]
        return [unknown_name("ND905", "layer", pattern, names, f"layers.{pattern!r}") for pattern in idle]


def _slug(text: str) -> str:
    """A model or target string as part of a folder name; of a hash as much as keeps folders apart."""
    if handed.named(text):
        name, _, found = Path(text.removeprefix(handed.PREFIX)).stem.rpartition("-")
        text = f"{name}-{found[:8]}"
    stem = Path(text).stem if text.endswith((".toml", ".pt2", ".onnx", ".nir", ".net", ".h5")) else text
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in stem) or "model"


def resolve(
    flags: Mapping[str, Any] | None = None, file: str | Path | None = None, settings: Sequence[str] = ()
) -> BuildConfig:
    """The config from a TOML file, ``key=value`` settings and flags; flags that are None do not count.

    Raises UsageError with every problem at once: ND904 unknown key or wrong value, ND906 unusable file.
    """
    merged: dict[str, Any] = read_toml(Path(file)) if file is not None else {}
    if file is not None:  # what a build was handed in memory lies beside its build.toml
        handed.take(Path(file).parent, (str(merged.get(key, "")) for key in ("model", "data")))
    for setting in settings:
        _set(merged, setting)
    given = {k: v for k, v in (flags or {}).items() if v is not None}
    merged.update(given)
    _forget_cuts(merged, {*given, *(setting.partition("=")[0].strip() for setting in settings)})
    return validate(merged, str(file or ""))


def _forget_cuts(merged: dict[str, Any], given: set[str]) -> None:
    """What a time budget left of a number of samples is no longer so where the user gives either anew."""
    cuts = merged.get("wanted")
    if not isinstance(cuts, dict):
        return
    for key in [key for key in cuts if given & {key, "time_budget"}]:
        del cuts[key]
        if key not in given:
            merged.pop(key, None)


def validate(data: Mapping[str, Any], where: str = "") -> BuildConfig:
    """The config of a nested table; UsageError as :func:`resolve`."""
    broken = [key for key, value in data.items() if _holds_nul(value) or "\0" in key]
    if broken:
        cause = "a value holds the character NUL, which no name can have"
        raise UsageError([Problem("ND904", cause, f"{where}: {key}" if where else key) for key in broken])
    try:
        return BuildConfig.model_validate(dict(data))
    except ValidationError as error:
        raise UsageError([_problem(detail, where) for detail in error.errors()]) from error


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    items = (
        [*value, *value.values()] if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    )
    return any(map(_holds_nul, items))


def read_toml(path: Path, code: str = "ND906", kind: str = "config") -> dict[str, Any]:
    """A TOML file as nested tables; UsageError ``code`` where it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_TOML + 1)
        if len(content) > MOST_TOML:
            raise ValueError(f"more than {MOST_TOML} bytes")
        return tomllib.loads(content.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        cause, fixes = f"the {kind} file cannot be used", alike(path) if not path.exists() else ()
        raise UsageError(Problem(code, cause, str(path), _unreadable(error), "a TOML file", fixes)) from error


def _unreadable(error: Exception) -> str:
    """Why a text is no TOML."""
    if isinstance(error, OSError):
        return error.strerror or "cannot be read"
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8 text (byte {error.start})"
    # too long, no TOML, or a number of thousands of digits
    return "is nested too deeply" if isinstance(error, RecursionError) else f"is not valid TOML: {error}"


def _set(table: dict[str, Any], setting: str) -> None:
    """Enter one ``dotted.key=value``; the value is TOML, or else plain text."""
    path, equals, text = setting.partition("=")
    keys = _split(path.strip())
    if not equals or not all(keys):
        cause = "a setting is not of the form key=value"
        raise UsageError(Problem("ND900", cause, "--set", setting, "key=value"))
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise UsageError(Problem("ND904", f"{key!r} is not a table", "--set", setting))
    table[keys[-1]] = _value(text.strip())


def _split(path: str) -> list[str]:
    """Dotted keys; a part in double quotes may hold dots, as layer globs do."""
    parts, quoted = [""], False
    for character in path:
        if character == '"':
            quoted = not quoted
        elif character == "." and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, KeyError, RecursionError):
        return text


def _problem(detail: Any, where: str) -> Problem:
    keys = [str(part) for part in detail["loc"]] or ["a key"]  # of a name that is not UTF-8 nothing is said
    place = f"{where}: {'.'.join(keys)}" if where else ".".join(keys)
    if detail["type"] == "extra_forbidden":
        known = LayerRule.model_fields if keys[0] == "layers" and len(keys) > 1 else BuildConfig.model_fields
        return unknown_name("ND904", "key", keys[-1], known, place)
    found, field = repr(detail["input"]), BuildConfig.model_fields.get(keys[0])
    if detail["type"] in _OUTSIDE and field is not None and len(keys) == 1:
        return Problem("ND904", f"{keys[0]!r} is outside its range", place, found, _range(field.metadata))
    return Problem("ND904", f"{keys[-1]!r} is not usable: {detail['msg']}", place, found)


_OUTSIDE = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}
_ENDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def _range(rules: Iterable[Any]) -> str:
    """The range of a field in words."""
    ends = {name: getattr(rule, name) for rule in rules for name in _ENDS if hasattr(rule, name)}
    return ", ".join(f"{words} {ends[name]}" for name, words in _ENDS.items() if name in ends)


def dump(config: BuildConfig) -> str:
    """``build.toml``: the resolved config with a comment per key; ``build --config`` replays it."""
    import tomlkit

    document = tomlkit.document()
    document.add(tomlkit.comment("Replay this build: neurodeploy build --config build.toml"))
    plain = config.decisive()
    for key, field in BuildConfig.model_fields.items():
        if key in plain and not isinstance(plain[key], dict):
            item = tomlkit.item(plain[key])
            item.comment(field.description or "")
            document.add(key, item)
    for key in ("wanted", "reader", "loader", "convert", "layers"):
        if plain.get(key):
            document.add(key, tomlkit.item(_without_none(plain[key])))
    return tomlkit.dumps(document)


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    """TOML has no null: a key without a value is left out."""
    pairs = ((k, _without_none(v) if isinstance(v, Mapping) else v) for k, v in table.items())
    return {k: v for k, v in pairs if v is not None}
