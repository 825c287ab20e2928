"""The tables of a target file: every key, its unit and its meaning, and the rules one entry has to obey.

A violated rule is raised under its ND code; :mod:`neurodeploy.target` turns it into a problem with file and key.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from .evidence import SiliconGrade

# --- one number --------------------------------------------------------------------------------------------------


class Frozen(BaseModel):
    """A closed table that is never changed, without conversions between types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Sourced = Annotated[str, Field(min_length=1)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0)]
Place = Annotated[tuple[Natural, Natural], Field(strict=False)]


def _without_word(value: object) -> object:
    return None if value == "unlimited" else value


class Limit(Frozen):
    """The most a core, chip or message can hold; ``value`` is None where nothing is limited."""

    value: Annotated[Natural | None, BeforeValidator(_without_word)]
    unit: str
    source: Sourced
    note: str = ""
    assumed: bool = False

    def allows(self, amount: float) -> bool:
        """Whether this much fits."""
        return self.value is None or amount <= self.value


class Size(Frozen):
    """What an encoding spends on each entry; unlike a limit it is always a number."""

    value: Natural
    unit: str
    source: Sourced
    note: str = ""
    assumed: bool = False


class Choice(Frozen):
    """The values hardware can encode, ascending; empty where any value goes."""

    value: Annotated[tuple[Natural, ...], Field(strict=False)]
    unit: str
    source: Sourced
    note: str = ""

    @field_validator("value")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)):
            raise refusal("ND913", "codes are not in ascending order", "each code once, smallest first")
        return value

    def round_up(self, amount: int) -> int | None:
        """The smallest encodable value that holds this amount; None if no code is wide enough."""
        return amount if not self.value else next((v for v in self.value if v >= amount), None)


class Cost(Frozen):
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
            raise refusal("ND913", f"{info.field_name} is below {below}", f"at least {info.data[below]:g}")
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
            raise refusal("ND918", f"assumed range {low:g} .. {high:g} is too narrow", limit)
        return assumed


class Feature(Frozen):
    """Whether the chip can do something at all, and who says so."""

    allowed: bool
    source: Sourced
    note: str = ""


class Grade(Frozen):
    """How sure it is that a kind of work runs on silicon, and who says so."""

    grade: SiliconGrade
    source: Sourced
    note: str = ""


def refusal(code: str, cause: str, limit: str) -> PydanticCustomError:
    """A violated rule under its code; what was found and the limit travel along."""
    return PydanticCustomError(code, "{cause}", {"cause": cause, "limit": limit})


# --- the tables of a file ----------------------------------------------------------------------------------------


def unit_of(table: type[BaseModel], key: str) -> str:
    """The one unit a key may be given in; empty for flags, words and unknown keys."""
    if key not in table.model_fields:
        return ""
    extra = table.model_fields[key].json_schema_extra
    return str(extra["unit"]) if isinstance(extra, dict) else ""


class Check(NamedTuple):
    """What enforces a limit: the code of the problem, and the key under [limits] that the problem names."""

    code: str
    key: str


def check_of(key: str) -> Check:
    """The check of a key under [limits]; a size that an encoding spends is checked as the memory that it takes."""
    extra = Limits.model_fields[key].json_schema_extra
    known = extra if isinstance(extra, dict) else {}
    return Check(str(known.get("check")), str(known.get("taken_from") or key))


def _limit(unit: str, help: str, check: str, taken_from: str = "") -> Any:
    extra: dict[str, Any] = {"unit": unit, "check": check, "taken_from": taken_from}
    default = Limit(value=None, unit=unit, source="not given in the target file: unlimited")
    return Field(default, description=help, json_schema_extra=extra)


def _size(unit: str, help: str) -> Any:
    default = Size(value=0, unit=unit, source="not given in the target file: none")
    extra: dict[str, Any] = {"unit": unit, "check": "ND501", "taken_from": "synapse_words"}
    return Field(default, description=help, json_schema_extra=extra)


def _choice(unit: str, help: str, check: str) -> Any:
    default = Choice(value=(), unit=unit, source="not given in the target file: any value")
    return Field(default, description=help, json_schema_extra={"unit": unit, "check": check})


def _cost(unit: str, help: str) -> Any:
    return Field(description=help, json_schema_extra={"unit": unit})


def _grade(help: str) -> Any:
    return Field(Grade(grade="simulation-only", source="no public source given"), description=help)


class Limits(Frozen):
    """What fits; a key that a file leaves out is unlimited. Words are 64-bit words of core memory.

    Each key names the problem by which the mapper refuses what exceeds it.
    """

    chips: Limit = _limit("chips", "chips in the largest system", "ND919")
    neurons_per_core: Limit = _limit("neurons", "neurons one core can hold", "ND501")
    neuron_groups: Limit = _limit("groups", "differently configured neuron groups per core", "ND501")
    state_words_per_neuron: Limit = _limit("words", "state words one neuron may own", "ND509")
    distinct_thresholds_per_core: Limit = _limit(
        "thresholds", "different threshold values on one core", "ND501"
    )
    total_words: Limit = _limit("words", "all tables, state and synapses of a core together", "ND501")
    synapse_words: Limit = _limit("words", "synapse memory of a core", "ND501")
    table_words: Limit = _limit("words", "lookup tables of a core, inside total_words", "ND501")
    axon_in: Limit = _limit("words", "input axon table of a core", "ND501")
    axon_out: Limit = _limit("words", "output axon table of a core", "ND501")
    fan_in: Limit = _limit("synapses", "synapses onto one neuron", "ND501")
    fan_out: Limit = _limit("synapses", "synapses from one neuron", "ND517")
    weight_bits: Choice = _choice("bits", "weight widths that can be encoded, sign included", "ND503")
    index_bits: Size = _size("bits", "target index stored with each synapse of a dense list")
    sparse_index_bits: Size = _size("bits", "target index stored with each synapse of a sparse list")
    synapses_per_block: Limit = _limit(
        "synapses", "synapses before a list needs another header", "ND501", taken_from="synapse_words"
    )
    synapse_header_bits_dense: Size = _size("bits", "header of one dense or sparse synapse list or block")
    synapse_header_bits_conv: Size = _size("bits", "header of one kernel entry (kx, ky, input channel)")
    payload_bits: Limit = _limit("bits", "signed payload of a spike on the wire; 1 is a plain spike", "ND504")
    message_bits: Limit = _limit("bits", "signed value one neuron may send to another", "ND504")
    accumulator_bits: Limit = _limit("bits", "signed sum of a neuron's synaptic input in one step", "ND520")
    state_bits: Limit = _limit("bits", "signed width of a neuron's state variable", "ND518")
    register_bits: Limit = _limit("bits", "microcode register and product sum", "ND519")
    multiply_bits: Limit = _limit("bits", "product of a microcode multiply before its shift", "ND519")
    delay_steps: Limit = _limit("steps", "longest synaptic delay", "ND508")


class EnergyPj(Frozen):
    """Dynamic energy per event."""

    synaptic_op: Cost = _cost("pJ", "one delivered spike meeting one stored non-zero weight")
    product_op: Cost = _cost("pJ", "one coincidence or add in a product of two streams")
    neuron_update: Cost = _cost(
        "pJ", "one neuron of the chip's own models evaluated in one tick, its first state word included"
    )
    neuron_spike: Cost = _cost("pJ", "extra energy of a neuron that fires")
    microcode_op: Cost = _cost(
        "pJ", "one add, multiply, shift or compare of a microcode program, that of a neuron included"
    )
    state_access: Cost = _cost("pJ", "reading and writing one further 64-bit state word")
    axon_out: Cost = _cost("pJ", "sending one packet: one spike to one destination core")
    axon_in: Cost = _cost("pJ", "receiving one packet")
    packet_hop_x: Cost = _cost("pJ", "one packet crossing one link east or west")
    packet_hop_y: Cost = _cost("pJ", "one packet crossing one link north or south")
    packet_chip_hop: Cost = _cost("pJ", "one packet crossing one link from chip to chip")
    host_packet: Cost = _cost("pJ", "one packet between host and chip")
    barrier_per_core: Cost = _cost("pJ", "one used core in one barrier-synchronised step")
    barrier_per_chip: Cost = _cost("pJ", "one chip in use in one step: its management and its idle cores")


class TimeNs(Frozen):
    """Time per event: events add up in a stage of their core, bits on their link, the barrier once per step."""

    synaptic_op: Cost = _cost("ns", "one delivered spike meeting one stored non-zero weight")
    memory_read: Cost = _cost("ns", "reading one 64-bit word of synapse memory")
    product_op: Cost = _cost("ns", "one coincidence or add in a product of two streams")
    neuron_update: Cost = _cost(
        "ns", "one neuron of the chip's own models evaluated in one tick, its first state word included"
    )
    neuron_spike: Cost = _cost("ns", "extra time of a neuron that fires")
    microcode_op: Cost = _cost(
        "ns", "one add, multiply, shift or compare of a microcode program, that of a neuron included"
    )
    state_access: Cost = _cost("ns", "reading and writing one further 64-bit state word")
    axon_out: Cost = _cost("ns", "sending one packet: one spike to one destination core")
    axon_in: Cost = _cost("ns", "receiving one packet")
    packet_hop_x: Cost = _cost("ns", "latency of one packet over one link east or west")
    packet_hop_y: Cost = _cost("ns", "latency of one packet over one link north or south")
    mesh_bit: Cost = _cost("ns", "serial time of one bit on one link of the mesh")
    chip_bit: Cost = _cost("ns", "serial time of one bit on a link between chips")
    host_packet: Cost = _cost("ns", "serial time of one packet between host and chip")
    barrier: Cost = _cost("ns", "floor of one step on one chip: management and barrier, without any work")
    barrier_doubling: Cost = _cost("ns", "what every doubling of the chips adds to that floor")


class Step(Frozen):
    """How the terms of a step overlap: it lasts largest + serial_share x (sum - largest)."""

    serial_share: Cost = _cost("1", "share of the smaller terms of a step that do not overlap the largest")


class PowerW(Frozen):
    """Power that flows whether or not anything happens."""

    static_per_chip: Cost = _cost("W", "static power of one chip")


class AnnBaseline(Frozen):
    """The same network as int8 multiply-accumulates: 45 nm figures times ``node_scale``."""

    int8_mac_pj: Cost = _cost("pJ", "one 8-bit multiply and its accumulation, at 45 nm")
    sram_byte_pj: Cost = _cost("pJ", "one byte read from or written to on-chip memory, at 45 nm")
    node_scale: Cost = _cost("1", "energy at the target's process node divided by energy at 45 nm")


class PaperMetric(Frozen):
    """The constants of the spiking-network literature; for comparison with published tables only."""

    mac_pj: Cost = _cost("pJ", "32-bit floating-point multiply-accumulate at 45 nm")
    ac_pj: Cost = _cost("pJ", "32-bit floating-point accumulate at 45 nm")


class Costs(Frozen):
    """All coefficients; ``unpriced`` is the reason why keys left out of the file have no number (they read as zero)."""

    unpriced: str = ""
    energy_pj: EnergyPj
    time_ns: TimeNs
    step: Step
    power_w: PowerW
    ann_baseline: AnnBaseline
    paper_metric: PaperMetric

    @model_validator(mode="before")
    @classmethod
    def _fill_unpriced(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("unpriced"), str) or not given["unpriced"]:
            return given
        priced = {key: field.annotation for key, field in cls.model_fields.items() if key != "unpriced"}
        reason = given["unpriced"]
        return given | {key: _filled(table, given.get(key, {}), reason) for key, table in priced.items()}


def _filled(table: Any, given: Any, reason: str) -> Any:
    if not isinstance(given, dict):
        return given
    zero = {"low": 0.0, "nominal": 0.0, "high": 0.0, "source": f"not priced: {reason}", "priced": False}
    return {**{key: {**zero, "unit": unit_of(table, key)} for key in table.model_fields}, **given}


class Features(Frozen):
    """What the chip can do at all: a network that needs more is refused, with the source as the reason."""

    graded_payload: Feature = Field(description="spikes carry a signed integer")
    microcode: Feature = Field(description="neurons run programs of their own")
    products: Feature = Field(description="two spike streams can be multiplied")
    row_reads: Feature = Field(description="a program may read the state of other neurons of its core")
    lookup_tables: Feature = Field(description="a program may read a table in core memory")
    shared_kernels: Feature = Field(description="positions or tokens on a core share one copy of the weights")
    soft_reset: Feature = Field(description="a neuron may subtract its threshold instead of going to zero")


class Silicon(Frozen):
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


class Chip(Frozen):
    """The cores of one chip and the mesh between them; ``model`` says which chip it is."""

    model: str = Field("", description="which chip it is: what a file inherits of another counts as assumed")
    cores_per_chip: Positive = Field(description="cores a network may use")
    routers_x: Positive = Field(description="routers from west to east")
    routers_y: Positive = Field(description="routers from north to south")
    cores_per_router: Positive = Field(description="cores that share one router")
    routing: Literal["xy"] = Field("xy", description="x first, then y")
    multicast: bool = Field(
        False, description="a message to several cores is one packet, copied where their ways part"
    )
    packet_header_bits: Natural = Field(
        0, description="bits of a packet's address; the payload of a graded spike is added to it"
    )
    link_buffer_packets: Natural = Field(
        0, description="packets that wait at a link or a core before others are held up; 0: any number"
    )
    source: Sourced
    note: str = ""

    @field_validator("cores_per_router")
    @classmethod
    def _cores_fit(cls, value: int, info: ValidationInfo) -> int:
        cores, x, y = (info.data.get(k, 1) for k in ("cores_per_chip", "routers_x", "routers_y"))
        if cores > x * y * value:
            limit = "cores_per_chip <= routers_x * routers_y * cores_per_router"
            raise refusal("ND919", f"{cores} cores on a mesh with room for {x * y * value}", limit)
        return value

    def router(self, core: int) -> tuple[int, int]:
        """The (x, y) of the router that serves core 0, 1, ... of this chip: neighbours first along x."""
        index = core // self.cores_per_router
        return index % self.routers_x, index // self.routers_x


class Board(Frozen):
    """How chips lie on their board: a mesh of chips, or 0 along x where nothing is known of one."""

    chips_x: Natural = Field(description="chips in a row of the board; 0: no arrangement is known")
    chips_y: Natural = Field(0, description="rows in a layer; 0: one layer, of as many rows as it takes")
    east: Place | None = Field(None, description="x and y of the router at the port to the next chip along x")
    west: Place | None = Field(None, description="that of the port to the chip before it along x")
    south: Place | None = Field(None, description="that of the port to the next chip along y")
    north: Place | None = Field(None, description="that of the port to the chip before it along y")
    up: Place | None = Field(None, description="that of the port to the next layer")
    down: Place | None = Field(None, description="that of the port to the layer before it")
    source: Sourced
    note: str = ""
