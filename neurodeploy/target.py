"""What a chip or board can hold and what its work costs: the schema and loader of ``hw_targets/*.toml``.

Every number carries a unit and a source; a cost also carries a range. A file may extend another one. All errors
of a file are reported at once. Nothing here prints, and importing it needs neither numpy nor torch.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from neurodeploy import bundled
from neurodeploy.errors import Problem, UsageError, nearest, unknown_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ENVIRONMENT = "NEURODEPLOY_TARGETS"
FOLDER = "hw_targets"

# Tables merged key by key when one file extends another, and how deep. Whatever lies below is replaced as a whole,
# so that a number never keeps the source of the number it replaces.
_MERGED = {"limits": 1, "features": 1, "silicon": 1, "costs": 2}

# How pydantic's own complaints are filed; our validators raise with an ND code as the type.
_CODE_OF = {"extra_forbidden": "ND911", "missing": "ND914", "string_too_short": "ND914"}


# --- one number --------------------------------------------------------------------------------------------------


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Sourced = Annotated[str, Field(min_length=1)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0)]


def _without_word(value: object) -> object:
    return None if value == "unlimited" else value


class Limit(_Frozen):
    """The most a core, chip or message can hold; ``value`` is None where nothing is limited."""

    value: Annotated[Natural | None, BeforeValidator(_without_word)]
    unit: str
    source: Sourced
    note: str = ""
    assumed: bool = False

    def allows(self, amount: float) -> bool:
        """Whether this much fits."""
        return self.value is None or amount <= self.value


class Choice(_Frozen):
    """The values hardware can encode, ascending; empty where any value goes."""

    value: Annotated[tuple[Natural, ...], Field(strict=False)]
    unit: str
    source: Sourced
    note: str = ""

    @field_validator("value")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)):
            raise _complaint("ND913", "codes are not in ascending order", "each code once, smallest first")
        return value

    def round_up(self, amount: int) -> int | None:
        """The smallest encodable value that holds this amount; None if no code is wide enough."""
        return amount if not self.value else next((v for v in self.value if v >= amount), None)


class Cost(_Frozen):
    """A coefficient as a range; ``assumed`` marks one that nobody has published, ``priced=False`` an unknown one."""

    low: Amount
    nominal: Amount
    high: Amount
    unit: str
    source: Sourced
    note: str = ""
    assumed: bool = False
    priced: bool = True

    @field_validator("nominal", "high")
    @classmethod
    def _ordered(cls, value: float, info: ValidationInfo) -> float:
        below = "low" if info.field_name == "nominal" else "nominal"
        if value < info.data.get(below, 0):
            raise _complaint("ND913", f"{info.field_name} is below {below}", f"at least {info.data[below]:g}")
        return value

    @field_validator("assumed")
    @classmethod
    def _wide(cls, assumed: bool, info: ValidationInfo) -> bool:
        # An assumption must look like one: semantics ask for a factor of three either way.
        low, nominal, high = (info.data.get(k) for k in ("low", "nominal", "high"))
        if not assumed or low is None or nominal is None or high is None:
            return assumed
        slack = 1 + 1e-9
        if low * 3 > nominal * slack or high * slack < nominal * 3:
            limit = f"low <= {nominal / 3:.4g} and high >= {nominal * 3:.4g}"
            raise _complaint("ND918", f"assumed range {low:g} .. {high:g} is too narrow", limit)
        return assumed


class Feature(_Frozen):
    """Whether the chip can do something at all, and who says so."""

    allowed: bool
    source: Sourced
    note: str = ""


class Grade(_Frozen):
    """How sure it is that a kind of work runs on silicon.

    *documented*: a public source shows it on the chip; *plausible*: public facts about microcode and memory suffice;
    *simulation-only*: neither; *unsupported*: public sources say the chip cannot.
    """

    grade: Literal["documented", "plausible", "simulation-only", "unsupported"]
    source: Sourced
    note: str = ""


def _complaint(code: str, cause: str, limit: str) -> PydanticCustomError:
    return PydanticCustomError(code, "{cause}", {"cause": cause, "limit": limit})  # type: ignore[arg-type]


# --- the tables of a file ----------------------------------------------------------------------------------------


class _Table(_Frozen):
    @field_validator("*")
    @classmethod
    def _unit_agrees(cls, entry: Any, info: ValidationInfo) -> Any:
        wanted = _unit(cls, info.field_name or "")
        if wanted and entry.unit != wanted:
            raise _complaint("ND912", f"unit is {entry.unit!r}", f"unit {wanted!r}")
        return entry


def _unit(table: type[BaseModel], key: str) -> str:
    extra = table.model_fields[key].json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) else ""


def _limit(unit: str, help: str) -> Any:
    return Field(_open_limit(unit), description=help, json_schema_extra={"unit": unit})


def _open_limit(unit: str) -> Limit:
    return Limit(value=None, unit=unit, source="not given in the target file: unlimited")


def _cost(unit: str, help: str) -> Any:
    return Field(description=help, json_schema_extra={"unit": unit})


def _grade(help: str) -> Any:
    return Field(Grade(grade="simulation-only", source="no public source given"), description=help)


class Limits(_Table):
    """What fits; a key that a file leaves out is unlimited. Words are 64-bit words of core memory."""

    chips: Limit = _limit("chips", "chips in the largest system")
    neurons_per_core: Limit = _limit("neurons", "neurons one core can hold")
    neuron_groups: Limit = _limit("groups", "differently configured neuron groups per core")
    state_words_per_neuron: Limit = _limit("words", "state words one neuron may own")
    distinct_thresholds_per_core: Limit = _limit("thresholds", "different threshold values on one core")
    total_words: Limit = _limit("words", "all tables, state and synapses of a core together")
    synapse_words: Limit = _limit("words", "synapse memory of a core")
    table_words: Limit = _limit("words", "lookup tables of a core, inside total_words")
    axon_in: Limit = _limit("words", "input axon table of a core")
    axon_out: Limit = _limit("words", "output axon table of a core")
    fan_in: Limit = _limit("synapses", "synapses onto one neuron")
    fan_out: Limit = _limit("synapses", "synapses from one neuron")
    weight_bits: Choice = Field(
        Choice(value=(), unit="bits", source="not given in the target file: any width"),
        description="weight widths that can be encoded, sign included",
        json_schema_extra={"unit": "bits"},
    )
    index_bits: Limit = _limit("bits", "target index stored with each synapse of a dense list")
    sparse_index_bits: Limit = _limit("bits", "target index stored with each synapse of a sparse list")
    synapses_per_block: Limit = _limit("synapses", "synapses before a list needs another header")
    synapse_header_bits_dense: Limit = _limit("bits", "header of one dense or sparse synapse list or block")
    synapse_header_bits_conv: Limit = _limit("bits", "header of one kernel entry (kx, ky, input channel)")
    payload_bits: Limit = _limit("bits", "signed payload of a spike on the wire; 1 is a plain spike")
    message_bits: Limit = _limit("bits", "signed value one neuron may send to another")
    accumulator_bits: Limit = _limit("bits", "signed sum of a neuron's synaptic input in one step")
    state_bits: Limit = _limit("bits", "signed width of a neuron's state variable")
    register_bits: Limit = _limit("bits", "microcode register and product sum")
    multiply_bits: Limit = _limit("bits", "product of a microcode multiply before its shift")
    delay_steps: Limit = _limit("steps", "longest synaptic delay")


class EnergyPj(_Table):
    """Dynamic energy per event."""

    synaptic_op: Cost = _cost("pJ", "one delivered spike meeting one stored non-zero weight")
    product_op: Cost = _cost("pJ", "one coincidence or add in a product of two streams")
    neuron_update: Cost = _cost("pJ", "one neuron evaluated in one tick, its first state word included")
    neuron_spike: Cost = _cost("pJ", "extra energy of a neuron that fires")
    microcode_op: Cost = _cost("pJ", "one add, multiply, shift or compare of a microcode program")
    table_read: Cost = _cost("pJ", "one lookup, counted instead of a microcode operation")
    state_access: Cost = _cost("pJ", "reading and writing one further 64-bit state word")
    axon_out: Cost = _cost("pJ", "sending one packet: one spike to one destination core")
    axon_in: Cost = _cost("pJ", "receiving one packet")
    packet_hop_x: Cost = _cost("pJ", "one packet crossing one link east or west")
    packet_hop_y: Cost = _cost("pJ", "one packet crossing one link north or south")
    packet_chip_hop: Cost = _cost("pJ", "one packet crossing from one chip to the next")
    host_packet: Cost = _cost("pJ", "one packet between host and chip")
    barrier_per_core: Cost = _cost("pJ", "one used core in one barrier-synchronised step")


class TimeNs(_Table):
    """Time per event: core events add up on their core, packets on their link, the barrier once per step."""

    synaptic_op: Cost = _cost("ns", "one delivered spike meeting one stored non-zero weight")
    product_op: Cost = _cost("ns", "one coincidence or add in a product of two streams")
    neuron_update: Cost = _cost("ns", "one neuron evaluated in one tick, its first state word included")
    neuron_spike: Cost = _cost("ns", "extra time of a neuron that fires")
    microcode_op: Cost = _cost("ns", "one add, multiply, shift or compare of a microcode program")
    table_read: Cost = _cost("ns", "one lookup, counted instead of a microcode operation")
    state_access: Cost = _cost("ns", "reading and writing one further 64-bit state word")
    axon_out: Cost = _cost("ns", "sending one packet: one spike to one destination core")
    axon_in: Cost = _cost("ns", "receiving one packet")
    packet_hop_x: Cost = _cost("ns", "latency of one packet over one link east or west")
    packet_hop_y: Cost = _cost("ns", "latency of one packet over one link north or south")
    packet_chip_hop: Cost = _cost("ns", "serial time of one packet on a link between chips")
    link_packet: Cost = _cost("ns", "serial time of one packet on one link of the mesh")
    host_packet: Cost = _cost("ns", "serial time of one packet between host and chip")
    barrier: Cost = _cost("ns", "floor of one step: management and barrier, without any work")


class PowerW(_Table):
    """Power that flows whether or not anything happens."""

    static_per_chip: Cost = _cost("W", "static power of one chip")


class AnnBaseline(_Table):
    """The same network as int8 multiply-accumulates: 45 nm figures times ``node_scale``."""

    int8_mac_pj: Cost = _cost("pJ", "one 8-bit multiply and its accumulation, at 45 nm")
    sram_byte_pj: Cost = _cost("pJ", "one byte read from or written to on-chip memory, at 45 nm")
    node_scale: Cost = _cost("1", "energy at the target's process node divided by energy at 45 nm")


class PaperMetric(_Table):
    """The constants of the spiking-network literature; for comparison with published tables only."""

    mac_pj: Cost = _cost("pJ", "32-bit floating-point multiply-accumulate at 45 nm")
    ac_pj: Cost = _cost("pJ", "32-bit floating-point accumulate at 45 nm")


class Costs(_Frozen):
    """All coefficients; ``unpriced`` is the reason why keys left out of the file have no number (they read as zero)."""

    unpriced: str = ""
    energy_pj: EnergyPj
    time_ns: TimeNs
    power_w: PowerW
    ann_baseline: AnnBaseline
    paper_metric: PaperMetric

    @model_validator(mode="before")
    @classmethod
    def _fill_unpriced(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("unpriced"), str) or not given["unpriced"]:
            return given
        tables = {key: _filled(field.annotation, given.get(key, {}), given["unpriced"])
                  for key, field in cls.model_fields.items() if key != "unpriced"}
        return {**given, **tables}


def _filled(table: Any, given: Any, reason: str) -> Any:
    if not isinstance(given, dict):
        return given
    zero = {"low": 0.0, "nominal": 0.0, "high": 0.0, "source": f"not priced: {reason}", "priced": False}
    return {**{key: {**zero, "unit": _unit(table, key)} for key in table.model_fields}, **given}


class Features(_Frozen):
    """What the chip can do at all: a network that needs more is refused, with the source as the reason."""

    graded_payload: Feature = Field(description="spikes carry a signed integer")
    microcode: Feature = Field(description="neurons run programs of their own")
    products: Feature = Field(description="two spike streams can be multiplied")
    row_reads: Feature = Field(description="a program may read the state of other neurons of its core")
    lookup_tables: Feature = Field(description="a program may read a table in core memory")
    shared_kernels: Feature = Field(description="positions or tokens on a core share one copy of the weights")
    soft_reset: Feature = Field(description="a neuron may subtract its threshold instead of going to zero")


class Silicon(_Frozen):
    """The grade of each kind of work; a key that a file leaves out is simulation-only."""

    dense_synapse: Grade = _grade("dense synapse lists")
    sparse_synapse: Grade = _grade("sparse synapse lists")
    conv_synapse: Grade = _grade("convolution with a kernel shared over positions")
    token_shared_synapse: Grade = _grade("linear layer over tokens: a 1x1 convolution over positions")
    synaptic_delay: Grade = _grade("delay stored with a synapse")
    stock_neuron: Grade = _grade("LIF as the chip's software ships it")
    sigma_delta_neuron: Grade = _grade("sigma-delta neuron")
    microcode_neuron: Grade = _grade("neuron model of our own")
    graded_payload: Grade = _grade("spikes that carry a signed integer")
    residual_sum: Grade = _grade("sum of several streams in one population")
    elementwise_product: Grade = _grade("product of two streams, element by element")
    stream_product: Grade = _grade("matrix product of two spike streams")
    held_operand: Grade = _grade("one operand of a product kept in core memory")
    elementwise_microcode: Grade = _grade("non-spiking operator on one value at a time")
    row_microcode: Grade = _grade("operator that reads a whole row: norms, softmax")
    lookup_table: Grade = _grade("table read by a program")
    wide_multiply: Grade = _grade("64-bit product before the shift")


class Chip(_Frozen):
    """The cores of one chip and the mesh between them."""

    cores_per_chip: Positive = Field(description="cores a network may use")
    routers_x: Positive = Field(description="routers from west to east")
    routers_y: Positive = Field(description="routers from north to south")
    cores_per_router: Positive = Field(description="cores that share one router")
    routing: Literal["xy"] = Field("xy", description="x first, then y")
    source: Sourced
    note: str = ""

    @field_validator("cores_per_router")
    @classmethod
    def _cores_fit(cls, value: int, info: ValidationInfo) -> int:
        cores, x, y = (info.data.get(k, 1) for k in ("cores_per_chip", "routers_x", "routers_y"))
        if cores > x * y * value:
            raise _complaint("ND919", f"{cores} cores on a mesh with room for {x * y * value}",
                             "cores_per_chip <= routers_x * routers_y * cores_per_router")
        return value

    def router(self, core: int) -> tuple[int, int]:
        """The (x, y) of the router that serves core 0, 1, ... of this chip: neighbours first along x."""
        index = core // self.cores_per_router
        return index % self.routers_x, index // self.routers_x


class Row(NamedTuple):
    """One line of ``targets show``: a limit has no low and nominal, its value stands under ``high``."""

    section: str
    key: str
    low: float | None
    nominal: float | None
    high: float | str
    unit: str
    source: str


class Target(_Frozen):
    """A chip, a board or a simulator: what fits, what it can do and what work costs."""

    name: Sourced
    title: Sourced
    kind: Literal["simulated", "hardware-description", "software"]
    description: str = ""
    extends: str = ""
    chips: Positive = 1
    chip: Chip
    limits: Limits = Limits()
    features: Features
    silicon: Silicon = Silicon()
    costs: Costs
    file: Path
    sha256: str

    @field_validator("limits")
    @classmethod
    def _chips_exist(cls, limits: Limits, info: ValidationInfo) -> Limits:
        if not limits.chips.allows(info.data.get("chips", 1)):
            raise _complaint("ND919", f"{info.data['chips']} chips", f"limits.chips = {limits.chips.value}")
        return limits

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
            raise UsageError([Problem("ND919", f"{self.name} cannot have {n} chips", str(self.file), str(n), limit)])
        return self.model_copy(update={"chips": n})

    def rows(self) -> list[Row]:
        """Every number, feature and grade with unit and source, in the order of the schema."""
        return list(_rows(self))


def _entries(table: BaseModel) -> Iterator[tuple[str, Any]]:
    return ((key, getattr(table, key)) for key in type(table).model_fields)


def _rows(target: Target) -> Iterator[Row]:
    yield Row("chip", "chips", None, None, target.chips, "chips", target.chip.source)
    units = {"cores_per_chip": "cores", "routers_x": "routers", "routers_y": "routers", "cores_per_router": "cores"}
    for key in (*units, "routing"):
        yield Row("chip", key, None, None, getattr(target.chip, key), units.get(key, ""), target.chip.source)
    for key, limit in _entries(target.limits):
        yield Row("limits", key, None, None, _shown(limit.value), limit.unit, limit.source)
    for section in ("energy_pj", "time_ns", "power_w", "ann_baseline", "paper_metric"):
        for key, cost in _entries(getattr(target.costs, section)):
            yield Row(f"costs.{section}", key, cost.low, cost.nominal, cost.high, cost.unit, cost.source)
    for key, feature in _entries(target.features):
        yield Row("features", key, None, None, "yes" if feature.allowed else "no", "", feature.source)
    for key, grade in _entries(target.silicon):
        yield Row("silicon", key, None, None, grade.grade, "", grade.source)


def _shown(value: int | tuple[int, ...] | None) -> float | str:
    if value is None or value == ():
        return "unlimited"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value


class Key(NamedTuple):
    """One key a target file may hold."""

    section: str
    key: str
    unit: str
    help: str


def keys() -> list[Key]:
    """Every key of the schema with its unit and meaning; what the reference page of the targets is made from."""
    tables: dict[str, type[BaseModel]] = {"chip": Chip, "limits": Limits, "features": Features, "silicon": Silicon}
    tables |= {f"costs.{k}": t for k, t in (("energy_pj", EnergyPj), ("time_ns", TimeNs), ("power_w", PowerW),
                                            ("ann_baseline", AnnBaseline), ("paper_metric", PaperMetric))}
    return [Key(section, key, _unit(table, key), field.description)
            for section, table in tables.items() for key, field in table.model_fields.items() if field.description]


# --- finding and reading files -----------------------------------------------------------------------------------


def load(name_or_path: str | Path, search: Sequence[Path] = ()) -> Target:
    """The target of this name, or in this ``.toml`` file.

    Folders are searched in this order: ``search``, ``./hw_targets``, the folders in NEURODEPLOY_TARGETS, the copy
    that comes with the package. UsageError lists everything that is wrong with the file at once.
    """
    chain = _read_chain(_find(str(name_or_path), search, where=""), search)
    merged: dict[str, Any] = {}
    for source in reversed(chain):
        merged = _merge(merged, source.data)
    computed = {
        "name": chain[0].path.stem,
        "file": chain[0].path,
        "sha256": hashlib.sha256(b"".join(source.raw for source in chain)).hexdigest(),
    }
    return _validated(merged, computed, chain)


def names(search: Sequence[Path] = ()) -> list[str]:
    """The names of all targets that :func:`load` would find, sorted."""
    return sorted({file.stem for folder in _folders(search) for file in folder.glob("*.toml")})


class _Source(NamedTuple):
    path: Path
    raw: bytes
    data: dict[str, Any]


def _folders(search: Sequence[Path]) -> list[Path]:
    absent = [folder for folder in search if not Path(folder).is_dir()]
    if absent:
        raise UsageError([_unreadable(Path(folder), "is not a folder") for folder in absent])
    variable = [Path(p) for p in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if p]
    candidates = [*map(Path, search), Path(FOLDER), *variable, bundled.path(FOLDER)]
    return [folder for folder in candidates if folder.is_dir()]


def _find(name: str, search: Sequence[Path], where: str) -> Path:
    if name.endswith(".toml") or os.sep in name or "/" in name:
        return Path(name)
    for folder in _folders(search):
        if (folder / f"{name}.toml").is_file():
            return folder / f"{name}.toml"
    raise UsageError([unknown_name("ND910", "target", name, names(search), where)])


def _read_chain(path: Path, search: Sequence[Path]) -> list[_Source]:
    chain = [_read(path)]
    while (parent := chain[-1].data.get("extends", "")) and isinstance(parent, str):
        child = chain[-1].path
        # A parent may lie beside its child even when that folder is not searched.
        beside = child.with_name(f"{parent}.toml")
        found = beside if beside.is_file() else _find(parent, search, where=f"{child}: extends")
        if any(found.resolve() == source.path.resolve() for source in chain):
            raise UsageError([_cycle([*(source.path for source in chain), found])])
        chain.append(_read(found))
    return chain


def _read(path: Path) -> _Source:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError([_unreadable(path, error.strerror or "cannot be read")]) from error
    try:
        data = tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UsageError([_unreadable(path, f"is not UTF-8 text (byte {error.start})")]) from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError([_unreadable(path, f"is not valid TOML: {error}")]) from error
    except RecursionError as error:
        raise UsageError([_unreadable(path, "is nested too deeply")]) from error
    if not data:
        raise UsageError([_unreadable(path, "is empty")])
    return _Source(path, raw, data)


def _unreadable(path: Path, why: str) -> Problem:
    fix = "compare it with a bundled target: neurodeploy targets show loihi2"
    return Problem("ND916", f"target file cannot be used: {path.name} {why}", str(path), why, "a TOML file", (fix,))


def _cycle(paths: Sequence[Path]) -> Problem:
    trail = " -> ".join(path.stem for path in paths)
    fix = f"remove 'extends' from {paths[-2]}"
    return Problem("ND915", "targets extend each other in a circle", str(paths[0]), trail, "a chain that ends", (fix,))


def _merge(parent: Mapping[str, Any], child: Mapping[str, Any], depths: Mapping[str, int] = _MERGED) -> dict[str, Any]:
    merged = dict(parent)
    for key, value in child.items():
        depth = depths.get(key, depths.get("*", 0))
        below = merged.get(key)
        if depth and isinstance(value, dict) and isinstance(below, dict):
            value = _merge(below, value, {"*": depth - 1})
        merged[key] = value
    return merged


# --- turning what pydantic found into problems -------------------------------------------------------------------


def _validated(merged: dict[str, Any], computed: dict[str, Any], chain: Sequence[_Source]) -> Target:
    own = [key for key in computed if key in merged]
    problems = [_own_key(key, chain) for key in own]
    try:
        target = Target.model_validate({**merged, **computed})
    except ValidationError as error:
        problems += [_problem(detail, chain) for detail in error.errors(include_url=False)]
    if problems:
        raise UsageError(problems)
    return target


def _own_key(key: str, chain: Sequence[_Source]) -> Problem:
    where = f"{_holder((key,), chain)}: {key}"
    fix = "rename the file to rename the target" if key == "name" else f"remove the line {key!r}"
    return Problem("ND911", f"{key!r} comes from the file itself and cannot be set", where, key, "no such key", (fix,))


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
    context = detail.get("ctx", {})
    code = kind if kind.startswith("ND") else _CODE_OF.get(kind, "ND917")
    where = f"{_holder(loc, chain)}: {'.'.join(map(str, loc))}"
    if code == "ND911":
        return _unknown_key(loc, where)
    missing = code == "ND914"
    cause = f"{loc[-1]!r} is missing" if missing else str(context.get("cause", f"{loc[-1]!r} is not usable"))
    limit = "every number has one" if loc[-1] == "source" else str(context.get("limit", detail["msg"]))
    return Problem(code, cause, where, "nothing" if missing else _found(detail["input"]), limit, _fixes(loc, detail))


def _found(value: object) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_defaults=True)
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _unknown_key(loc: Sequence[int | str], where: str) -> Problem:
    known = sorted(set(_table_at(loc[:-1])) - {"name", "file", "sha256"})
    fixes = tuple(f"write {key!r}" for key in nearest(str(loc[-1]), known)) or ("remove the key",)
    return Problem("ND911", f"unknown key {loc[-1]!r}", where, str(loc[-1]), f"one of {', '.join(known)}", fixes)


def _table_at(loc: Sequence[int | str]) -> Mapping[str, Any]:
    table: Any = Target
    for key in loc:
        table = table.model_fields[str(key)].annotation
    return table.model_fields


def _fixes(loc: Sequence[int | str], detail: ErrorDetails) -> tuple[str, ...]:
    context = detail.get("ctx", {})
    if detail["type"] == "literal_error":
        options = str(context["expected"]).replace(" or ", ", ").replace("'", "").split(", ")
        close = difflib.get_close_matches(str(detail["input"]), options, n=1, cutoff=0)
        return tuple(f"write {'.'.join(map(str, loc))} = {option!r}" for option in close)
    if detail["type"] in ("missing", "string_too_short"):
        return (f"add {'.'.join(map(str, loc))}",)
    return (f"set {'.'.join(map(str, loc))} to {context['limit']}",) if "limit" in context else ()
