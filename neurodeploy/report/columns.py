"""One entry per column of the layer, core and link tables; the CSV files, the page and the docs are made from these.

To add a column, add one entry: its name (the key in ``report.json`` and the CSV header), help, and a function of one
:class:`~neurodeploy.report.views.Layer`, ``CoreView`` or ``LinkView``. A getter returns None where there is nothing to
say, and ``missing`` says why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from typing import Any, Generic, TypeVar

from ..cost import dense_macs
from ..cost.types import UJ_PER_PJ
from ..ir.nodes import Micro, Neuron, Reduce, Synapse, View
from ..mapping.limits import fill
from .figure import Depends
from .views import CoreView, Layer, LinkView
from .words import Json

Row = TypeVar("Row", Layer, CoreView, LinkView)


@dataclass(frozen=True)
class Column(Generic[Row]):
    """A column: ``unit`` is empty for text and counts, ``%`` for fractions (0 .. 1 in the data), ``index`` for numbers
    that name something.

    ``depends`` as for a figure: on synthetic input such a column says nothing about a task. ``first`` ones are shown on
    the page without being asked for.
    """

    name: str
    help: str
    get: Callable[[Row], Any]
    unit: str = ""
    formula: str = ""
    missing: str = ""
    depends: Depends = ""
    first: bool = False

    def described(self) -> Json:
        """Itself as data, for whoever reads the report without this package."""
        said = {name: getattr(self, name) for name in ("name", "unit", "formula", "help")}
        return {**said, "measured": self.depends == "activity", "first": self.first}


def op(layer: Layer) -> str:
    """What a layer does, in a word or two."""
    node = layer.node
    if isinstance(node, Synapse):
        dense = "lookup" if node.hosted else "linear"
        return dense if node.op == "dense" else node.op
    if isinstance(node, Neuron):
        return node.model
    if isinstance(node, (Micro, View)):
        return node.op
    if isinstance(node, Reduce):
        return f"{node.op} {'pool' if node.window else 'over axes'}"
    return node.kind


def _parameters(layer: Layer) -> int:
    node = layer.node
    if not isinstance(node, Synapse):
        return 0
    return int(node.weight.size + (node.bias.size if node.bias is not None else 0))


def _activity(layer: Layer) -> float | None:
    spikes = layer.counted("spikes")
    possible = layer.value.shape.size * layer.inputs.timesteps
    return None if spikes is None or not isinstance(layer.node, Neuron) else spikes / possible


def _energy(level: str) -> Callable[[Any], float | None]:
    """Of a layer or a core."""
    return lambda row: None if row.energy is None else getattr(row.energy, level) * UJ_PER_PJ


def _part(name: str) -> Callable[[Layer], float | None]:
    return lambda layer: None if (pj := layer.part(name)) is None else pj * UJ_PER_PJ


def _share(layer: Layer) -> float | None:
    estimate, own = layer.inputs.assessment.estimate, layer.energy
    if estimate is None or own is None or not estimate.energy_pj.nominal:
        return None
    return own.nominal / estimate.energy_pj.nominal


#: events of one kind by :meth:`Layer.counted`
_counted = partial(methodcaller, "counted")


def _interval_bits(layer: Layer) -> int | None:
    interval = layer.value.interval
    return None if interval is None else interval.magnitude.bit_length() + int(interval.lo < 0)


def _saturations(layer: Layer) -> int | None:
    seen = layer.inputs.saturations
    return None if seen is None else seen.get(layer.node.name, 0)


def _measured_on(row: Any) -> str | None:
    stimulus, unchecked = row.inputs.stimulus, row.inputs.unchecked
    said = (stimulus.get("label") or stimulus.get("text")) if stimulus else None
    return "; ".join(filter(None, (said, unchecked))) or None


NOT_RUN = "the network did not run"
NOT_ON_CORES = "the network did not run on mapped cores"
NOT_MAPPED = "the network was not mapped"
NOT_PLACED = "not mapped, or nothing to place"
NO_ESTIMATE = "no estimate: " + NOT_ON_CORES
UNPRICED = "no estimate, or the target prices nothing"
NOT_QUANTISED = "no interval is known"
UNGRADED = "no grade was given"
UNLIMITED = "the target sets no limit"

MEASURED_ON: Column[Any] = Column(
    "measured_on",
    "what counts, energies and times of this row were measured on: a data set, or synthetic input",
    _measured_on,
    missing=NOT_ON_CORES,
)

LAYERS: tuple[Column[Layer], ...] = (
    Column("name", "node of the integer graph", lambda r: r.node.name, first=True),
    Column("origin", "where it comes from in the model", lambda r: str(r.node.origin[0]) if r.node.origin else ""),
    Column("op", "what it does", op, first=True),
    Column("group", "population group it lives in: nodes on the same indices of the same cores",
           lambda r: r.group.name if r.group else None, missing=NOT_PLACED),
    Column("layout", "how the mapper laid the group out over cores",
           lambda r: r.group.layout if r.group else None, missing=NOT_PLACED, depends="cut"),
    Column("input_code", "what its input edge may carry: binary, ternary, multi, graded or dense",
           lambda r: str(r.input_value.code) if r.input_value else None, missing="it has no input", first=True),
    Column("output_code", "what its output edge may carry", lambda r: str(r.value.code), first=True),
    Column("shape", "axes of its output: N token, H head, C channel, Y row, X column, K class",
           lambda r: str(r.value.shape), first=True),
    Column("parameters", "trained numbers it holds", _parameters, formula="weights + biases", first=True),
    Column("weight_bits", "width of its integer weights", lambda r: r.weight_bits, "bit",
           "bits of the largest |weight|, sign included, less a power of two that all weights share",
           "it has no weights"),
    Column("bits", "declared width of its output", lambda r: r.value.fixed.bits if r.value.fixed else None, "bit",
           missing="not quantised"),
    Column("range_bits", "how much of the width its output can need", _interval_bits, "bit",
           "bits of the interval's largest magnitude, sign included", NOT_QUANTISED),
    Column("range_proven", "whether the interval is proven from weights and payloads, or measured",
           lambda r: r.value.interval.proven if r.value.interval else None, missing=NOT_QUANTISED),
    Column("spikes", "non-zero outputs of a population of neurons", _counted("spikes"), formula="mean per inference",
           missing=NOT_RUN, depends="activity"),
    Column("messages", "non-zero values of its own that populations elsewhere read", _counted("messages"),
           formula="mean per inference", missing=NOT_RUN, depends="activity", first=True),
    Column("activity", "share of a population that spikes in a tick", _activity, "%", "spikes / (elements x T)",
           "not a population of neurons, or it did not run", "activity", first=True),
    Column("synaptic_ops", "messages meeting stored non-zero weights", _counted("synaptic_ops"),
           formula="mean per inference", missing=NOT_RUN, depends="activity", first=True),
    Column("product_ops", "pairs of non-zero operands of a product of two streams", _counted("product_ops"),
           formula="mean per inference", missing=NOT_RUN, depends="activity", first=True),
    Column("neuron_updates", "elements of populations evaluated", _counted("neuron_updates"), formula="elements x T",
           missing=NOT_RUN, first=True),
    Column("program_ops", "operations of the program of a neuron model that is not the chip's own",
           _counted("program_ops"), formula="elements x T x operations of its integer step", missing=NOT_RUN),
    Column("memory_reads", "64-bit words of synapse memory that messages make its cores read",
           _counted("memory_reads"), formula="mean per inference", missing=NOT_ON_CORES, depends="activity"),
    Column("microcode_ops", "adds, multiplies, shifts, compares and table reads of microcode",
           _counted("microcode_ops"), formula="mean per inference", missing=NOT_ON_CORES, depends="activity",
           first=True),
    Column("dense_macs", "multiply-accumulates an ANN would need", lambda r: dense_macs(r.graph, r.node),
           formula="one tick with every value non-zero"),
    Column("saturations", "values that hit the end of their width", _saturations,
           formula="sum over the samples of the accuracy", missing="the integer network did not run",
           depends="activity"),
    Column("sqnr_db", "signal to quantisation noise", lambda r: r.inputs.beside.sqnr_db.get(r.node.name), "dB",
           "10 log10(signal power / power of the difference to the float network)",
           "not compared: no stream of the same name in the float network, or no comparison was made", "activity",
           first=True),
    *(Column(f"energy_{level}_uj", f"energy of its own events, {level}", _energy(level), "uJ",
             f"sum of counts x {level} coefficients", NO_ESTIMATE, "activity", first=level == "nominal")
      for level in ("low", "nominal", "high")),
    *(Column(f"energy_{part}_uj", f"its {part} part, nominal", _part(part), "uJ", "counts x nominal coefficients",
             NO_ESTIMATE, "activity")
      for part in ("synapse", "neuron", "product", "microcode", "network")),
    Column("energy_share", "its share of all energy", _share, "%", "energy_nominal_uj / energy of the inference",
           UNPRICED, "activity", first=True),
    Column("cores", "cores that hold a part of it", lambda r: r.cores, missing=NOT_MAPPED, depends="cut", first=True),
    Column("lava", "process of Lava that does it, or own where Lava has none",
           lambda r: r.inputs.lava.get("nodes", {}).get(r.node.name),
           missing="it is no process of its own, or the network was not laid out for Lava"),
    Column("limiting", "resource that decided how its group was cut",
           lambda r: (r.group.limiting or None) if r.group else None,
           missing="nothing limited it, or it was not mapped"),
    Column("grade", "evidence that a chip can do this: documented, plausible, simulation-only, unsupported",
           lambda r: r.inputs.grades.get(r.node.name, (None,))[0], missing=UNGRADED, first=True),
    Column("grade_reason", "why that grade", lambda r: r.inputs.grades.get(r.node.name, (None, None))[1],
           missing=UNGRADED),
    MEASURED_ON,
)  # fmt: skip


def _limit(name: str) -> Callable[[CoreView], int | None]:
    return lambda view: getattr(view.inputs.target.limits, name).value


def _demand(name: str) -> Callable[[CoreView], int]:
    return lambda view: int(getattr(view.core.demand, name))


#: what a core did, by :func:`~neurodeploy.report.views.loads`
_load = partial(methodcaller, "load")


#: resource of the core table, a quantity of a demand -> key of the target's limits
RESOURCES = {"neurons": "neurons_per_core",
             **{x: x for x in ("synapse_words", "axon_in", "axon_out", "table_words", "total_words")}}  # fmt: skip
#: resources of which the page shows at first how much is in use
FIRST_RESOURCES = ("neurons", "synapse_words", "total_words")

CORES: tuple[Column[CoreView], ...] = (
    Column("core", "index of the core", lambda r: r.core.index, "index", first=True),
    Column("chip", "chip it is on", lambda r: r.core.chip, "index"),
    Column("x", "column of its router", lambda r: r.core.x, "index", first=True),
    Column("y", "row of its router", lambda r: r.core.y, "index", first=True),
    *(column for name, limit in RESOURCES.items() for column in (
        Column(f"{name}_used", f"{name.replace('_', ' ')} in use (64-bit words, neurons: count)", _demand(name),
               first=name in FIRST_RESOURCES),
        Column(f"{name}_limit", f"limit of the target: limits.{limit}", _limit(limit), missing=UNLIMITED),
    )),
    Column("held_words", "words of held operands", _demand("held_words")),
    Column("limiting", "its fullest resource", lambda r: r.core.limiting, first=True),
    Column("fill", "how full its fullest resource is", lambda r: fill(r.core.used)[0], "%",
           "largest used / limit of what is memory or neurons", first=True),
    *(column for way, did in (("in", "received"), ("out", "sent")) for column in (
        Column(f"packets_{way}_mean", f"packets {did} per step", _load(f"packets_{way}_mean"),
               formula="mean over samples and steps", missing=NOT_ON_CORES, depends="activity", first=True),
        Column(f"packets_{way}_p95", f"packets {did} per step", _load(f"packets_{way}_p95"),
               formula="95th percentile over samples and steps", missing=NOT_ON_CORES, depends="activity"),
    )),
    Column("busiest_step", "when it works hardest", _load("busiest_step"),
           formula="step with most operations, first = 1", missing=NOT_ON_CORES, depends="activity"),
    *(Column(f"energy_{level}_uj", f"energy per inference, {level}", _energy(level), "uJ",
             "events, barriers and share of static power", NO_ESTIMATE, "activity", first=level == "nominal")
      for level in ("low", "nominal", "high")),
    Column("layers", "population groups it hosts", lambda r: list(r.core.layers), first=True),
    MEASURED_ON,
)  # fmt: skip

LINKS: tuple[Column[LinkView], ...] = (
    Column("from", "sending router, or the host", lambda r: str(r.link.start), first=True),
    Column("to", "receiving router, or the host", lambda r: str(r.link.end), first=True),
    Column("class", "mesh, chip (between chips) or host", lambda r: r.link.kind, first=True),
    Column("packets", "packets it carried", lambda r: float(r.load.sum()), formula="mean per inference",
           depends="activity", first=True),
    Column("peak", "packets in its fullest step", lambda r: r.peak, formula="largest of any sample and step",
           depends="activity", first=True),
    Column("capacity_share", "how full it is", lambda r: r.capacity_share, "%",
           "largest over steps of bits x time per bit (of the host: packets) / time of the step, nominal",
           NO_ESTIMATE, "activity", first=True),
    MEASURED_ON,
)  # fmt: skip

#: every table with all its columns
TABLES: dict[str, tuple[Column[Any], ...]] = {"layers": LAYERS, "cores": CORES, "links": LINKS}
