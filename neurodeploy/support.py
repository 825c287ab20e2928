"""What a target can do with each node, as rows for ``check`` and ``ops``; the rules are the mapper's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .errors import Problem
from .evidence import Evidence, worst
from .ir.graph import Graph
from .ir.micro_op import MICROCODE
from .ir.neuron_model import NEURONS
from .ir.nodes import Micro, Neuron, Node, Product, Reduce, Synapse, View
from .ir.types import Fixed, Interval
from .mapping.grades import grades
from .target import Target

FREE = "free"  # a view or a constant does no work of its own, and what the host looks up none on the chip


@dataclass(frozen=True)
class Verdict:
    """One node or kind of work on one target: the worst grade of what it needs, the source of that grade."""

    node: str
    kind: str
    detail: str
    grade: str
    reason: str
    missing: tuple[str, ...] = ()

    @property
    def blocked(self) -> bool:
        """True where the target lacks something that nothing can stand in for."""
        return bool(self.missing)


def verdicts(graph: Graph, target: Target, problems: Sequence[Problem]) -> list[Verdict]:
    """One verdict per node, in order of the graph; a node that an error names is blocked."""
    graded = grades(graph, target)
    wrong = [p for p in problems if p.severity == "error"]
    blocked = {name: p.cause for name in graph.nodes for p in wrong if f"{p.where} ".startswith(f"{name} ")}
    rows = []
    for node in graph:
        hosted = isinstance(node, Synapse) and node.hosted
        grade, reason = graded.get(node.name, (FREE, "the host looks it up" if hosted else ""))
        missing = (blocked[node.name],) if node.name in blocked else ()
        rows.append(Verdict(node.name, node.kind, detail(node), grade, reason, missing))
    return rows


def detail(node: Node) -> str:
    """The kind with what tells it apart: model, operator, timing."""
    extra = {Synapse: "op", Neuron: "model", Micro: "op", Reduce: "op", View: "op", Product: "timing"}.get(
        type(node)
    )
    text = str(getattr(node, extra) or "") if extra else ""
    return f"{text} {node.kind}".strip()


# --- what a target can do in general -----------------------------------------------------------------------------

#: rows of ``ops`` that are no members of a room: kind, name, features, keys of [silicon]
GENERAL: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("synapse", "dense", (), ("dense_synapse",)),
    ("synapse", "dense over tokens", (), ("token_shared_synapse",)),
    ("synapse", "conv", (), ("conv_synapse",)),
    ("synapse", "with graded spikes", ("graded_payload",), ("graded_payload",)),
    ("product", "of two streams, instant", ("products",), ("stream_product",)),
    ("product", "of two streams, held", ("products",), ("stream_product", "held_operand")),
    ("product", "of two streams, cumulative", ("products",), ("stream_product", "wide_multiply")),
    ("product", "element by element", ("products",), ("elementwise_product",)),
    ("sum", "of streams", (), ("residual_sum",)),
    ("reduce", "sum", (), ("dense_synapse",)),
    ("reduce", "max", ("microcode",), ("elementwise_microcode",)),
    ("delay", "of a stream", (), ("synaptic_delay",)),
)  # fmt: skip


def catalogue(target: Target) -> list[Verdict]:
    """Every kind of work, neuron model and operator with its grade on a target."""
    rows = [_rated(name, kind, "", features, keys, None, target) for kind, name, features, keys in GENERAL]
    for name, model in NEURONS.items():
        needs: tuple[str, ...] = () if model.stock else ("microcode",)
        keys = ("stock_neuron" if model.stock else "microcode_neuron",)
        rows.append(_rated(name, "neuron", "", needs, keys, model.grade, target))
    for name, operator in MICROCODE.items():
        rows.append(_operator(name, operator, target))
    return rows


def _operator(name: str, operator: Any, target: Target) -> Verdict:
    needs = ("microcode", "row_reads") if operator.row else ("microcode",)
    keys: tuple[str, ...] = ("row_microcode",) if operator.row else ("elementwise_microcode",)
    fixed, interval = Fixed(16, True, 2.0**-8), Interval(-(2**15) + 1, 2**15 - 1, True)
    made = operator.quantize(operator.example(8), fixed, interval, {})
    if operator.reads_table(made.params):
        needs, keys = (*needs, "lookup_tables"), (*keys, "lookup_table")
    return _rated(name, "micro", "", needs, keys, operator.grade, target)


def _rated(
    name: str,
    kind: str,
    text: str,
    features: tuple[str, ...],
    keys: tuple[str, ...],
    own: Evidence | None,
    target: Target,
) -> Verdict:
    missing = tuple(f for f in features if not getattr(target.features, f).allowed)
    evidence = [(getattr(target.silicon, k).grade, getattr(target.silicon, k).source) for k in keys]
    grade, reason = worst([*evidence, own] if own else evidence)
    return Verdict(name, kind, text, grade, reason, missing)
