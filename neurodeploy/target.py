"""What a chip or board can hold and what its work costs, read from ``hw_targets/*.toml``.

Every number carries a unit and a source; a cost also carries a range. A file may extend another one. All errors
of a file are reported at once. Nothing here prints, and importing it needs neither numpy nor torch.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from pydantic import BaseModel, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from . import bundled
from .errors import Problem, UsageError, nearest, unknown_name
from .target_schema import (
    Board,
    Chip,
    Costs,
    Features,
    Frozen,
    Limits,
    Positive,
    Silicon,
    Sourced,
    refusal,
    unit_of,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ENVIRONMENT = "NEURODEPLOY_TARGETS"
FOLDER = "hw_targets"
MOST_LETTERS = 200  # of a name, which is that of a file
PORTS = ("east", "west", "south", "north", "up", "down")  # of a board, each beside its opposite

# Tables merged key by key when one file extends another, and how deep. Whatever lies below is replaced as a whole,
# so that a number never keeps the source of the number it replaces.
_MERGED = {"limits": 1, "features": 1, "silicon": 1, "costs": 2}

# How pydantic's own complaints are filed; our validators raise with an ND code as the type.
_CODE_OF = {"extra_forbidden": "ND911", "missing": "ND914", "string_too_short": "ND914"}


class Row(NamedTuple):
    """One line of ``targets show``: a limit has no low and nominal, its value stands under ``high``."""

    section: str
    key: str
    low: float | None
    nominal: float | None
    high: float | str
    unit: str
    source: str


class Target(Frozen):
    """A chip, a board or a simulator: what fits, what it can do and what work costs."""

    name: Sourced
    title: Sourced
    kind: Literal["simulated", "hardware-description", "software"]
    description: str = ""
    extends: str = ""
    chip: Chip
    board: Board = Board(
        chips_x=0, source="not given in the target file: one crossing from any chip to any other"
    )
    limits: Limits = Limits()
    chips: Positive = 1
    features: Features
    silicon: Silicon = Silicon()
    costs: Costs
    file: Path
    sha256: str

    @field_validator("board")
    @classmethod
    def _ports_exist(cls, board: Board, info: ValidationInfo) -> Board:
        chip = info.data.get("chip")
        if not isinstance(chip, Chip):
            return board
        for key in PORTS:
            x, y = getattr(board, key) or (0, 0)
            if x >= chip.routers_x or y >= chip.routers_y:
                limit = f"a router of {chip.routers_x} x {chip.routers_y}"
                raise refusal("ND919", f"the port {key} is at no router: [{x}, {y}]", limit)
        return board

    @field_validator("chips")
    @classmethod
    def _chips_exist(cls, chips: int, info: ValidationInfo) -> int:
        limits = info.data.get("limits", Limits())
        if not limits.chips.allows(chips):
            raise refusal("ND919", f"{chips} chips", f"limits.chips = {limits.chips.value}")
        return chips

    @property
    def cores(self) -> int:
        """Usable cores of all chips together."""
        return self.chips * self.chip.cores_per_chip

    @property
    def priced(self) -> bool:
        """Whether any energy is known here; where not, all coefficients read as zero."""
        return any(cost.priced for _, cost in _entries(self.costs.energy_pj))

    def with_chips(self, n: int) -> Target:
        """The same target with n chips; more than ``limits.chips`` is a UsageError."""
        if n < 1 or not self.limits.chips.allows(n):
            most = self.limits.chips.value
            limit = "at least 1" if most is None else f"1 .. {most} (limits.chips)"
            cause = f"{self.name} cannot have {n} chips"
            raise UsageError(Problem("ND919", cause, str(self.file), str(n), limit))
        return self.model_copy(update={"chips": n})

    def rows(self) -> list[Row]:
        """Every number, feature and grade with unit and source, in the order of the schema."""
        return list(_rows(self))


def _entries(table: BaseModel) -> Iterator[tuple[str, Any]]:
    return ((key, getattr(table, key)) for key in type(table).model_fields)


def _rows(target: Target) -> Iterator[Row]:
    yield Row("chip", "chips", None, None, target.chips, "chips", target.chip.source)
    chip = target.chip
    if chip.model:
        yield Row("chip", "model", None, None, chip.model, "", chip.source)
    for key in (
        "cores_per_chip",
        "routers_x",
        "routers_y",
        "cores_per_router",
        "routing",
        "packet_header_bits",
        "link_buffer_packets",
    ):
        given = {"routing": "", "packet_header_bits": "bits", "link_buffer_packets": "packets"}
        unit = given.get(key, key.split("_")[0])  # else the word it begins with
        yield Row("chip", key, None, None, getattr(chip, key), unit, chip.source)
    yield Row("chip", "multicast", None, None, "yes" if chip.multicast else "no", "", chip.source)
    board = target.board
    amounts = {key: getattr(board, key) for key in ("chips_x", "chips_y")}
    ports = {key: _shown(getattr(board, key) or "middle") for key in PORTS}
    for key, value in (amounts | ports).items():
        yield Row("board", key, None, None, value, "router" if key in PORTS else "chips", board.source)
    for key, limit in _entries(target.limits):
        yield Row("limits", key, None, None, _shown(limit.value), limit.unit, limit.source)
    for section in _PRICED:
        for key, cost in _entries(getattr(target.costs, section)):
            yield Row(f"costs.{section}", key, cost.low, cost.nominal, cost.high, cost.unit, cost.source)
    for key, feature in _entries(target.features):
        yield Row("features", key, None, None, "yes" if feature.allowed else "no", "", feature.source)
    for key, grade in _entries(target.silicon):
        yield Row("silicon", key, None, None, grade.grade, "", grade.source)


def _shown(value: int | str | tuple[int, ...] | None) -> float | str:
    if value is None or value == ():
        return "unlimited"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value


class Key(NamedTuple):
    """One key a target file may hold."""

    section: str
    key: str
    unit: str
    help: str


def _table_at(loc: Sequence[int | str]) -> type[BaseModel]:
    table: type[BaseModel] = Target
    for key in loc:
        table = cast(type[BaseModel], table.model_fields[str(key)].annotation)
    return table


_PRICED = [key for key in Costs.model_fields if key != "unpriced"]  # the tables under [costs]
_TABLES: dict[str, type[BaseModel]] = {
    "chip": Chip, "board": Board, "limits": Limits, **{f"costs.{key}": _table_at(("costs", key)) for key in _PRICED},
    "features": Features, "silicon": Silicon,
}  # fmt: skip


def keys() -> list[Key]:
    """Every key of the schema with its unit and meaning; what the reference page of the targets is made from."""
    found = []
    for section, table in _TABLES.items():
        known = {key: field.description for key, field in table.model_fields.items() if field.description}
        found += [Key(section, key, unit_of(table, key), text) for key, text in known.items()]
    return found


# --- finding and reading files -----------------------------------------------------------------------------------


def load(name_or_path: str | Path, search: Sequence[Path] = ()) -> Target:
    """The target of this name, or in this ``.toml`` file.

    Folders are searched in this order: ``search``, ``./hw_targets``, the folders in NEURODEPLOY_TARGETS, the copy
    that comes with the package. UsageError lists everything that is wrong with the file at once.
    """
    chain = _read_chain(_find(str(name_or_path), search, where=""), search)
    merged: dict[str, Any] = {}
    model = _model(chain)
    for depth, source in reversed([*enumerate(chain)]):
        theirs = _model(chain[depth:])
        merged = _merge(merged, source.data if theirs == model else _of_another(source.data, theirs, model))
    own, digest = chain[0].path, hashlib.sha256(b"".join(source.raw for source in chain)).hexdigest()
    computed = {"name": own.stem, "file": own, "sha256": digest}
    return _validated(merged, computed, chain)


def names(search: Sequence[Path] = ()) -> list[str]:
    """The names of all targets that :func:`load` would find, sorted."""
    return sorted({file.stem for folder in _folders(search) for file in folder.glob("*.toml")})


def installed(search: Sequence[Path] = ()) -> list[Target]:
    """Every target that :func:`load` finds by name; files that cannot be used are left out."""
    found = []
    for name in names(search):
        with suppress(UsageError):
            found.append(load(name, search))
    return found


class _Source(NamedTuple):
    path: Path
    raw: bytes
    data: Mapping[str, Any]


def _folders(search: Sequence[Path]) -> list[Path]:
    absent = [str(folder) for folder in search if not Path(folder).is_dir()]
    if absent:
        cause, found = "target folder cannot be used", "nothing or a file"
        raise UsageError([Problem("ND916", cause, folder, found, "a folder") for folder in absent])
    variable = [Path(p) for p in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if p]
    candidates = [*map(Path, search), Path(FOLDER), *variable, bundled.path(FOLDER)]
    return [folder for folder in candidates if folder.is_dir()]


def _find(name: str, search: Sequence[Path], where: str) -> Path:
    if name.endswith(".toml") or os.sep in name or "/" in name:
        return Path(name)
    for folder in _folders(search):
        with suppress(OSError):  # a name that no file can have
            if (folder / f"{name}.toml").is_file():
                return folder / f"{name}.toml"
    raise UsageError(unknown_name("ND910", "target", name, names(search), where))


def _read_chain(path: Path, search: Sequence[Path]) -> list[_Source]:
    chain = [_read(path)]
    while (parent := chain[-1].data.get("extends", "")) and isinstance(parent, str):
        child = chain[-1].path
        if not parent.isprintable() or Path(parent).name != parent or len(parent) > MOST_LETTERS:
            raise UsageError(unknown_name("ND910", "target", parent, names(search), f"{child}: extends"))
        # A parent may lie beside its child even when that folder is not searched.
        beside = child.with_name(f"{parent}.toml")
        found = beside if beside.is_file() else _find(parent, search, where=f"{child}: extends")
        if any(found.resolve() == source.path.resolve() for source in chain):
            raise UsageError(_cycle([*(source.path for source in chain), found]))
        chain.append(_read(found))
    return chain


def _read(path: Path) -> _Source:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(_unreadable(path, error.strerror or "cannot be read")) from error
    try:
        data = _parsed(raw)
    except UnicodeDecodeError as error:
        raise UsageError(_unreadable(path, f"is not UTF-8 text (byte {error.start})")) from error
    except ValueError as error:  # no TOML, or a number of thousands of digits
        raise UsageError(_unreadable(path, f"is not valid TOML: {error}")) from error
    except RecursionError as error:
        raise UsageError(_unreadable(path, "is nested too deeply")) from error
    if not data:
        raise UsageError(_unreadable(path, "is empty"))
    return _Source(path, raw, data)


@lru_cache(maxsize=64)
def _parsed(raw: bytes) -> Mapping[str, Any]:
    """Once for each text: a command asks for its targets and their parents many times."""
    return tomllib.loads(raw.decode("utf-8"))


def _unreadable(path: Path, why: str) -> Problem:
    cause = f"target file cannot be used: {path.name} {why}"
    fix = "start from a copy of a target that works: neurodeploy targets list"
    return Problem("ND916", cause, str(path), why, "a TOML file", (fix,))


def _cycle(paths: Sequence[Path]) -> Problem:
    cause, trail = "targets extend each other in a circle", " -> ".join(path.stem for path in paths)
    fix = f"remove 'extends' from {paths[-2]}"
    return Problem("ND915", cause, str(paths[0]), trail, "a chain that ends", (fix,))


def _merge(
    parent: Mapping[str, Any], child: Mapping[str, Any], depths: Mapping[str, int] = _MERGED
) -> dict[str, Any]:
    merged = dict(parent)
    for key, value in child.items():
        depth = depths.get(key, depths.get("*", 0))
        below = merged.get(key)
        if depth and isinstance(value, dict) and isinstance(below, dict):
            value = _merge(below, value, {"*": depth - 1})
        merged[key] = value
    return merged


def _model(chain: Sequence[_Source]) -> str:
    """Which chip a file describes: the model that its own [chip] names, else that file's title.

    So a file that describes [chip] anew is another chip, unless it says that it is not.
    """
    for source in chain:
        chip, title = source.data.get("chip"), source.data.get("title")
        if isinstance(chip, dict):
            return str(chip.get("model") or title or source.path.stem)
    return ""


def _of_another(data: Mapping[str, Any], theirs: str, own: str) -> dict[str, Any]:
    """What another chip's file says, as an assumption: nothing is shown on silicon, ranges span a factor of three."""
    made = dict(data)
    for table in ("limits", "features", "silicon"):
        if isinstance(entries := data.get(table), dict):
            made[table] = {key: _assumed(entry, theirs, own) for key, entry in entries.items()}
    if "board" in data:
        made["board"] = _assumed(data["board"], theirs, own)
    if isinstance(costs := data.get("costs"), dict):
        made["costs"] = {
            section: {key: _assumed(entry, theirs, own) for key, entry in entries.items()}
            if isinstance(entries, dict)
            and section != "paper_metric"  # the convention of papers is of no chip
            else entries
            for section, entries in costs.items()
        }
    return made


def _assumed(entry: Any, theirs: str, own: str) -> Any:
    """One entry of another chip's file; what is no entry is left to the checks."""
    if not isinstance(entry, dict) or not isinstance(entry.get("source"), str) or not entry["source"]:
        return entry
    made = {**entry, "source": f"assumed: as {theirs}: {entry['source']}"}
    if "grade" in entry:
        made |= {
            "grade": "simulation-only",
            "source": f"assumed: shown of {theirs}, not of {own}: {entry['source']}",
        }
    numbers = [n for level in ("low", "nominal", "high") if isinstance(n := entry.get(level), (int, float))]
    if len(numbers) == 3:
        low, nominal, high = numbers
        made |= {"low": min(low, nominal / 3), "high": max(high, nominal * 3.0), "assumed": True}
    return made


# --- turning what pydantic found into problems -------------------------------------------------------------------


def _validated(merged: dict[str, Any], computed: dict[str, Any], chain: Sequence[_Source]) -> Target:
    problems = [_own_key(key, chain) for key in computed if key in merged]
    problems += _unit_problems(merged, chain)
    try:
        target = Target.model_validate({**merged, **computed})
    except ValidationError as error:
        problems += [_problem(detail, chain) for detail in error.errors(include_url=False)]
    if problems:
        raise UsageError(problems)
    return target


def _unit_problems(merged: dict[str, Any], chain: Sequence[_Source]) -> Iterator[Problem]:
    # On the raw tables, because pydantic skips checks of a whole entry when one of its numbers is wrong.
    for section, key, wanted, _ in keys():
        loc = (*section.split("."), key, "unit")
        unit = _at(loc, merged)
        if wanted and isinstance(unit, str) and unit != wanted:
            where = f"{_holder(loc, chain)}: {'.'.join(loc)}"
            fix = f"convert the number and write unit = {wanted!r}"
            yield Problem("ND912", f"{key!r} has the wrong unit", where, unit, wanted, (fix,))


def _at(loc: Sequence[str], data: Any) -> Any:
    for key in loc:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _own_key(key: str, chain: Sequence[_Source]) -> Problem:
    cause, where = f"{key!r} comes from the file itself and cannot be set", f"{_holder((key,), chain)}: {key}"
    fix = "rename the file to rename the target" if key == "name" else f"remove the line {key!r}"
    return Problem("ND911", cause, where, key, "no such key", (fix,))


def _holder(loc: Sequence[int | str], chain: Sequence[_Source]) -> Path:
    """The file of the chain that wins at this place: the first that holds as much of it as any does."""
    return max(chain, key=lambda source: _depth(loc, source.data)).path


def _depth(loc: Sequence[int | str], data: Any) -> int:
    for depth, key in enumerate(loc):
        if not isinstance(data, dict) or key not in data:
            return depth
        data = data[key]
    return len(loc)


def _problem(detail: ErrorDetails, chain: Sequence[_Source]) -> Problem:
    loc, kind = detail["loc"], detail["type"]
    context, name = detail.get("ctx", {}), repr(loc[-1])
    code = kind if kind.startswith("ND") else _CODE_OF.get(kind, "ND917")
    missing = code == "ND914"
    # What is missing is looked for where its table stands, not where a parent happens to have it.
    where = f"{_holder(loc[:-1] if missing else loc, chain)}: {'.'.join(map(str, loc))}"
    if code == "ND911":
        return _unknown_key(loc, where)
    if missing:
        limit = f"{'.'.join(map(str, loc[:-1])) or 'a target'} needs one"
        return Problem(code, f"{name} is missing", where, "nothing", limit, _fixes(loc, detail))
    cause, limit = context.get("cause", f"{name} is not usable"), str(context.get("limit", detail["msg"]))
    return Problem(code, str(cause), where, _found(detail["input"]), limit, _fixes(loc, detail))


def _found(value: object) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_defaults=True)
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _unknown_key(loc: Sequence[int | str], where: str) -> Problem:
    known = sorted(set(_table_at(loc[:-1]).model_fields) - {"name", "file", "sha256"})
    fixes = tuple(f"write {key!r}" for key in nearest(str(loc[-1]), known)) or ("remove the key",)
    limit = f"one of {', '.join(known)}"
    return Problem("ND911", f"unknown key {loc[-1]!r}", where, str(loc[-1]), limit, fixes)


def _fixes(loc: Sequence[int | str], detail: ErrorDetails) -> tuple[str, ...]:
    context = detail.get("ctx", {})
    if detail["type"] == "literal_error":
        options = str(context["expected"]).replace(" or ", ", ").replace("'", "").split(", ")
        close = difflib.get_close_matches(str(detail["input"]), options, n=1, cutoff=0)
        return tuple(f"write {'.'.join(map(str, loc))} = {option!r}" for option in close)
    if detail["type"] in ("missing", "string_too_short"):
        return (f"add {'.'.join(map(str, loc))}",)
    return (f"set {'.'.join(map(str, loc))} to {context['limit']}",) if "limit" in context else ()
