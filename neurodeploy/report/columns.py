"""One entry per column of the layer, core and link tables; the CSV files, the page and the docs are made from these.

To add a column, add one entry: its name (the key in ``report.json`` and the CSV header), unit, formula, help text, and
a function of one :class:`~neurodeploy.report.views.Layer`, ``CoreView`` or ``LinkView``. A getter returns None where
there is nothing to say, and ``missing`` says why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np

from ..cost import dense_macs
from ..ir.nodes import Micro, Neuron, Reduce, Synapse, View
from ..mapping.limits import fill
from .views import CoreView, Layer, LinkView

Row = TypeVar("Row", Layer, CoreView, LinkView)

UJ_PER_PJ = 1e-6


@dataclass(frozen=True)
class Column(Generic[Row]):
    """A column: ``unit`` is empty for text and counts, ``%`` for fractions (0 .. 1 in the data).

    ``measured`` columns depend on what the network ran on: on synthetic input they say nothing about a task.
    """

    name: str
    unit: str
    formula: str
    help: str
    get: Callable[[Row], Any]
    missing: str = ""
    measured: bool = False


def _op(layer: Layer) -> str:
    node = layer.node
    if isinstance(node, Synapse):
        return "linear" if node.op == "dense" else node.op
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


def _energy(level: str) -> Callable[[Layer | CoreView], float | None]:
    return lambda row: None if row.energy is None else getattr(row.energy, level) * UJ_PER_PJ


def _part(name: str) -> Callable[[Layer], float | None]:
    return lambda layer: None if (pj := layer.part(name)) is None else pj * UJ_PER_PJ


def _share(layer: Layer) -> float | None:
    estimate, own = layer.inputs.assessment.estimate, layer.energy
    if estimate is None or own is None or not estimate.energy_pj.nominal:
        return None
    return own.nominal / estimate.energy_pj.nominal


def _counted(kind: str) -> Callable[[Layer], float | None]:
    return lambda layer: layer.counted(kind)


def _interval_bits(layer: Layer) -> int | None:
    interval = layer.value.interval
    return None if interval is None else interval.magnitude.bit_length() + int(interval.lo < 0)


def _saturations(layer: Layer) -> int | None:
    seen = layer.inputs.saturations
    return None if seen is None else seen.get(layer.node.name, 0)


def _measured_on(row: Any) -> str | None:
    stimulus = row.inputs.stimulus
    return (stimulus.get("label") or stimulus.get("text")) if stimulus else None


NOT_RUN = "the network did not run on mapped cores"
NOT_MAPPED = "the network was not mapped"
NO_ESTIMATE = "no estimate: " + NOT_RUN
UNPRICED = "no estimate, or the target prices nothing"

MEASURED_ON: Column[Any] = Column(
    "measured_on",
    "",
    "",
    "what counts, energies and times of this row were measured on: a data set, or synthetic input",
    _measured_on,
    NOT_RUN,
)

#: columns of which every number depends on activity, by table
DEPENDENT = {
    "layers": (
        "spikes", "activity", "synaptic_ops", "product_ops", "microcode_ops", "saturations", "sqnr_db",
        "energy_low_uj", "energy_nominal_uj", "energy_high_uj", "energy_synapse_uj", "energy_neuron_uj",
        "energy_product_uj", "energy_microcode_uj", "energy_network_uj", "energy_share",
    ),
    "cores": (
        "packets_in_mean", "packets_in_p95", "packets_out_mean", "packets_out_p95", "busiest_step",
        "energy_low_uj", "energy_nominal_uj", "energy_high_uj",
    ),
    "links": ("packets", "peak", "capacity_share"),
}  # fmt: skip

LAYERS: tuple[Column[Layer], ...] = (
    Column("name", "", "", "node of the integer graph", lambda r: r.node.name),
    Column(
        "origin",
        "",
        "",
        "where it comes from in the model",
        lambda r: str(r.node.origin[0]) if r.node.origin else "",
    ),
    Column("op", "", "", "what it does", _op),
    Column(
        "group",
        "",
        "",
        "population group it lives in: nodes on the same indices of the same cores",
        lambda r: r.group.name if r.group else None,
        "not mapped, or nothing to place",
    ),
    Column(
        "layout",
        "",
        "",
        "how the mapper laid the group out over cores",
        lambda r: r.group.layout if r.group else None,
        "not mapped, or nothing to place",
    ),
    Column(
        "input_code",
        "",
        "",
        "what its input edge may carry: binary, ternary, multi, graded or dense",
        lambda r: str(r.input_value.code) if r.input_value else None,
        "it has no input",
    ),
    Column("output_code", "", "", "what its output edge may carry", lambda r: str(r.value.code)),
    Column(
        "shape",
        "",
        "",
        "axes of its output: N token, H head, C channel, Y row, X column, K class",
        lambda r: str(r.value.shape),
    ),
    Column("parameters", "", "weights + biases", "trained numbers it holds", _parameters),
    Column(
        "weight_bits",
        "bit",
        "bits of the largest |weight|, sign included, less a power of two that all weights share",
        "width of its integer weights",
        lambda r: r.weight_bits,
        "it has no weights",
    ),
    Column(
        "bits",
        "bit",
        "",
        "declared width of its output",
        lambda r: r.value.fixed.bits if r.value.fixed else None,
        "not quantised",
    ),
    Column(
        "range_bits",
        "bit",
        "bits of the interval's largest magnitude, sign included",
        "how much of the width its output can need",
        _interval_bits,
        "no interval is known",
    ),
    Column(
        "range_proven",
        "",
        "",
        "whether the interval is proven from weights and payloads, or measured",
        lambda r: r.value.interval.proven if r.value.interval else None,
        "no interval is known",
    ),
    Column("spikes", "", "mean per inference", "non-zero values it sends", _counted("spikes"), NOT_RUN),
    Column(
        "activity",
        "%",
        "spikes / (elements x T)",
        "share of a population that fires in a tick",
        _activity,
        "not a population of neurons, or it did not run",
    ),
    Column(
        "synaptic_ops",
        "",
        "mean per inference",
        "delivered spikes meeting stored non-zero weights",
        _counted("synaptic_ops"),
        NOT_RUN,
    ),
    Column(
        "product_ops",
        "",
        "mean per inference",
        "pairs of non-zero operands of a product of two streams",
        _counted("product_ops"),
        NOT_RUN,
    ),
    Column(
        "neuron_updates",
        "",
        "elements x T",
        "elements of populations evaluated",
        _counted("neuron_updates"),
        NOT_RUN,
    ),
    Column(
        "microcode_ops",
        "",
        "mean per inference",
        "adds, multiplies, shifts, compares and table reads of microcode",
        _counted("microcode_ops"),
        NOT_RUN,
    ),
    Column(
        "dense_macs",
        "",
        "one tick with every value non-zero",
        "multiply-accumulates an ANN would need",
        lambda r: dense_macs(r.graph, r.node),
    ),
    Column(
        "saturations",
        "",
        "sum over the samples of the accuracy",
        "values that hit the end of their width",
        _saturations,
        "the integer network did not run",
    ),
    Column(
        "sqnr_db",
        "dB",
        "10 log10(signal power / power of the difference to the float network)",
        "signal to quantisation noise",
        lambda r: r.inputs.sqnr_db.get(r.node.name),
        "not compared: no stream of the same name in the float network, or no comparison was made",
    ),
    Column(
        "energy_low_uj",
        "uJ",
        "sum of counts x low coefficients",
        "energy of its own events, low",
        _energy("low"),
        NO_ESTIMATE,
    ),
    Column(
        "energy_nominal_uj",
        "uJ",
        "sum of counts x nominal coefficients",
        "energy of its own events, nominal",
        _energy("nominal"),
        NO_ESTIMATE,
    ),
    Column(
        "energy_high_uj",
        "uJ",
        "sum of counts x high coefficients",
        "energy of its own events, high",
        _energy("high"),
        NO_ESTIMATE,
    ),
    *(
        Column(
            f"energy_{part}_uj",
            "uJ",
            "counts x nominal coefficients",
            f"its {part} part, nominal",
            _part(part),
            NO_ESTIMATE,
        )
        for part in ("synapse", "neuron", "product", "microcode", "network")
    ),
    Column(
        "energy_share",
        "%",
        "energy_nominal_uj / energy of the inference",
        "its share of all energy",
        _share,
        UNPRICED,
    ),
    Column("cores", "", "", "cores that hold a part of it", lambda r: r.cores, NOT_MAPPED),
    Column(
        "lava",
        "",
        "",
        "process of Lava that does it, or own where Lava has none",
        lambda r: r.inputs.lava.get("nodes", {}).get(r.node.name),
        "it is no process of its own, or the network was not laid out for Lava",
    ),
    Column(
        "limiting",
        "",
        "",
        "resource that decided how its group was cut",
        lambda r: (r.group.limiting or None) if r.group else None,
        "nothing limited it, or it was not mapped",
    ),
    Column(
        "grade",
        "",
        "",
        "evidence that a chip can do this: documented, plausible, simulation-only, unsupported",
        lambda r: r.inputs.grades.get(r.node.name, (None,))[0],
        "no grade was given",
    ),
    Column(
        "grade_reason",
        "",
        "",
        "why that grade",
        lambda r: r.inputs.grades.get(r.node.name, (None, None))[1],
        "no grade was given",
    ),
)


def _limit(name: str) -> Callable[[CoreView], int | None]:
    return lambda view: getattr(view.inputs.target.limits, name).value


def _demand(name: str) -> Callable[[CoreView], int]:
    return lambda view: int(getattr(view.core.demand, name))


def _step_mean(kind: str) -> Callable[[CoreView], float | None]:
    return lambda view: None if (x := view.per_step(kind)) is None else float(x.mean())


def _step_p95(kind: str) -> Callable[[CoreView], float | None]:
    return lambda view: None if (x := view.per_step(kind)) is None else float(np.percentile(x, 95))


def _busiest_step(view: CoreView) -> int | None:
    loads = [
        view.per_step(kind) for kind in ("synaptic_ops", "product_ops", "neuron_updates", "microcode_ops")
    ]
    if loads[0] is None:
        return None
    return int(np.sum([np.asarray(x).mean(axis=0) for x in loads], axis=0).argmax()) + 1


UNLIMITED = "the target sets no limit"

#: column of the core table -> (quantity of a demand, key of the target's limits)
RESOURCES = {
    "neurons": ("neurons", "neurons_per_core"),
    "synapse_words": ("synapse_words", "synapse_words"),
    "axon_in": ("axon_in", "axon_in"),
    "axon_out": ("axon_out", "axon_out"),
    "table_words": ("table_words", "table_words"),
    "total_words": ("total_words", "total_words"),
}

CORES: tuple[Column[CoreView], ...] = (
    Column("core", "", "", "index of the core", lambda r: r.core.index),
    Column("chip", "", "", "chip it is on", lambda r: r.core.chip),
    Column("x", "", "", "column of its router", lambda r: r.core.x),
    Column("y", "", "", "row of its router", lambda r: r.core.y),
    *(
        column
        for name, (used, limit) in RESOURCES.items()
        for column in (
            Column(
                f"{name}_used",
                "",
                "",
                f"{name.replace('_', ' ')} in use (64-bit words, neurons: count)",
                _demand(used),
            ),
            Column(f"{name}_limit", "", "", f"limit of the target: limits.{limit}", _limit(limit), UNLIMITED),
        )
    ),
    Column("held_words", "", "", "words of held operands", _demand("held_words")),
    Column("limiting", "", "", "its fullest resource", lambda r: r.core.limiting),
    Column(
        "fill",
        "%",
        "largest used / limit of what is memory or neurons",
        "how full its fullest resource is",
        lambda r: fill(r.core.used)[0],
    ),
    Column(
        "packets_in_mean",
        "",
        "mean over samples and steps",
        "packets received per step",
        _step_mean("packets_in"),
        NOT_RUN,
    ),
    Column(
        "packets_in_p95",
        "",
        "95th percentile over samples and steps",
        "packets received per step",
        _step_p95("packets_in"),
        NOT_RUN,
    ),
    Column(
        "packets_out_mean",
        "",
        "mean over samples and steps",
        "packets sent per step",
        _step_mean("packets_out"),
        NOT_RUN,
    ),
    Column(
        "packets_out_p95",
        "",
        "95th percentile over samples and steps",
        "packets sent per step",
        _step_p95("packets_out"),
        NOT_RUN,
    ),
    Column(
        "busiest_step",
        "",
        "step with most operations, first = 1",
        "when it works hardest",
        _busiest_step,
        NOT_RUN,
    ),
    Column(
        "energy_low_uj",
        "uJ",
        "events, barriers and share of static power, low",
        "energy per inference",
        _energy("low"),
        NO_ESTIMATE,
    ),
    Column(
        "energy_nominal_uj",
        "uJ",
        "events, barriers and share of static power",
        "energy per inference",
        _energy("nominal"),
        NO_ESTIMATE,
    ),
    Column(
        "energy_high_uj",
        "uJ",
        "events, barriers and share of static power, high",
        "energy per inference",
        _energy("high"),
        NO_ESTIMATE,
    ),
    Column("layers", "", "", "population groups it hosts", lambda r: list(r.core.layers)),
)

LINKS: tuple[Column[LinkView], ...] = (
    Column("from", "", "", "sending router, or the host", lambda r: str(r.link.start)),
    Column("to", "", "", "receiving router, or the host", lambda r: str(r.link.end)),
    Column("class", "", "", "mesh, chip (between chips) or host", lambda r: r.link.kind),
    Column("packets", "", "mean per inference", "packets it carried", lambda r: float(r.load.sum())),
    Column("peak", "", "largest of any sample and step", "packets in its fullest step", lambda r: r.peak),
    Column(
        "capacity_share",
        "%",
        "largest over steps of packets x time per packet / time of the step, nominal",
        "how full it is",
        lambda r: r.capacity_share,
        NO_ESTIMATE,
    ),
)

_OWN: dict[str, tuple[Column[Any], ...]] = {"layers": LAYERS, "cores": CORES, "links": LINKS}
#: every table with all its columns; those that depend on activity say so
TABLES: dict[str, tuple[Column[Any], ...]] = {
    table: (*(replace(c, measured=c.name in DEPENDENT[table]) for c in columns), MEASURED_ON)
    for table, columns in _OWN.items()
}
