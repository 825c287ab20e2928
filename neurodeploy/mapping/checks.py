"""What a target cannot do at all, whatever the cut: widths, delays, features. Every breach becomes a Problem.

Fixes that depend on what else is installed are added in :mod:`.advice`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np

from .. import registry
from ..calibrate import Ranges
from ..errors import Problem
from ..ir.fixed import bits_for
from ..ir.graph import Graph
from ..ir.nodes import Delay, Micro, Neuron, Node, Output, Product, Reduce, Synapse
from ..ir.types import Value
from ..ir.widths import MULTIPLY_BITS, REGISTER_BITS
from ..passes.balance import CROSSING, constants, hurried, unbalanced
from ..target import Target
from ..target_schema import Feature
from .advice import lighter, narrower
from .demand import Accounting, longest_wait

SMALLER = "use fewer timesteps or a narrower operand"


def check(graph: Graph, target: Target, seen: Mapping[str, int] = MappingProxyType({})) -> Iterator[Problem]:
    """Everything in the graph that the target refuses, in node order; warnings included.

    ``seen``: largest synaptic sums that occurred, as :func:`overflows` takes them.
    """
    for source, consumer, steps in unbalanced(graph):
        yield Problem(
            "ND510",
            "a value arrives early",
            f"{source} -> {consumer}",
            f"{steps} steps early",
            "all inputs at the same step",
            ("run the pass 'balance' first",),
        )
    yield from (too_fast(*edge) for edge in hurried(graph))
    still = constants(graph)
    sent = {i for n in graph if isinstance(n, CROSSING) for i in n.inputs if i not in still}
    for node in graph:
        for rule in (_delay, _features, _state, _program, _orphan):
            yield from rule(graph, node, target)
        yield from _accumulator(graph, node, target, seen.get(node.name, 0))
        if node.name in sent or isinstance(node, Output):
            yield from _message(graph, node, target)


def too_fast(source: str, synapse: str, ticks: int) -> Problem:
    """A recurrent connection whose messages are on the way for longer than its delay."""
    return Problem(
        "ND515",
        "a recurrent loop takes more steps than its delay allows",
        f"{source} -> {synapse}",
        f"{ticks} ticks too few",
        "as many ticks of delay as the loop has further connections",
        (f"raise the delay of {synapse} by {ticks} ticks", "take layers out of the loop"),
    )


def check_group(accounting: Accounting) -> Iterator[Problem]:
    """What no cut can help: neurons with too much state or too many synapses, weights too wide to store."""
    limits = accounting.target.limits
    most = int(np.max(accounting.words, initial=0))
    if not limits.state_words_per_neuron.allows(most):
        yield Problem(
            "ND509",
            "a neuron needs more state than the chip gives one",
            accounting.group.name,
            f"{most} words",
            f"{limits.state_words_per_neuron.value} words (limits.state_words_per_neuron)",
            ("split the layer's chain of operators", "shorten the branch that waits"),
        )
    widest = int(np.max(accounting.fan_out, initial=0)) if limits.fan_out.value is not None else 0
    if not limits.fan_out.allows(widest):
        yield Problem(
            "ND517",
            "a neuron has more synapses than the chip gives one",
            accounting.group.name,
            f"{widest} synapses",
            f"{limits.fan_out.value} synapses (limits.fan_out)",
            ("shrink the layers that read this one",),
        )
    codes = limits.weight_bits
    for name, bits in accounting.needed_bits.items():
        if codes.round_up(bits) is None:
            yield Problem(
                "ND503",
                "weights need more bits than a synapse stores",
                accounting.graph.nodes[name].place,
                f"{bits} bits",
                f"{codes.value[-1]} bits (limits.weight_bits)",
                narrower(accounting.graph, codes, codes.value[-1]),
            )


def _delay(graph: Graph, node: Node, target: Target) -> Iterator[Problem]:
    limit = target.limits.delay_steps
    if not isinstance(node, (Delay, Synapse)):
        return
    steps = node.steps if isinstance(node, Delay) else longest_wait(graph, node)
    if steps and not limit.allows(steps):
        yield Problem(
            "ND508",
            "a branch has to wait longer than a delay lasts",
            node.place,
            f"{steps} steps",
            f"{limit.value} steps (limits.delay_steps)",
            (
                "run the pass 'balance' with longest = the limit: delays in a chain"
                if isinstance(node, Delay)
                else "use shorter synaptic delays",
            ),
        )


def wire_bits(value: Value) -> int:
    """Bits of a message: 1 for a plain spike, else the signed payload that holds every value."""
    if value.interval is not None:
        low, high = value.interval.lo, value.interval.hi
        return 1 if low >= 0 and high <= 1 else bits_for(value.interval.magnitude)
    if value.code.kind == "binary":
        return 1
    return value.fixed.bits + int(not value.fixed.signed) if value.fixed else bits_for(value.code.limit)


def _message(graph: Graph, node: Node, target: Target) -> Iterator[Problem]:
    bits = wire_bits(graph.values[node.name])
    # The read-out goes to the host through its own probe or counter, not as a spike.
    if bits == 1 or isinstance(node, Output):
        return
    if not target.features.graded_payload.allowed:
        yield _refused(
            "ND505",
            "spikes that carry a value",
            node,
            f"{bits} bits",
            "graded_payload",
            target.features.graded_payload,
            "use a network of binary spikes",
        )
        return
    for key in ("payload_bits", "message_bits"):
        limit = getattr(target.limits, key)
        if not limit.allows(bits):
            yield Problem(
                "ND504",
                "a message is wider than a spike carries",
                node.place,
                f"{bits} bits",
                f"{limit.value} bits (limits.{key})",
                ("insert a neuron or a rescale before the connection", SMALLER),
            )
            return


def _features(graph: Graph, node: Node, target: Target) -> Iterator[Problem]:
    for needed, key, what in _needs(node):
        feature: Feature = getattr(target.features, key)
        if needed and not feature.allowed:
            code = {"products": "ND507", "microcode": "ND506"}.get(key, "ND511")
            yield _refused(code, what, node, node.kind, key, feature)
            return


def _needs(node: Node) -> Iterator[tuple[bool, str, str]]:
    """(needed, feature, what for) of a node, the most telling first."""
    if isinstance(node, Product):
        yield True, "products", "a product of two streams"
    elif isinstance(node, Neuron):
        yield not registry.NEURONS[node.model].stock, "microcode", f"the neuron model {node.model}"
    elif isinstance(node, Micro):
        op = registry.MICROCODE[node.op]
        yield True, "microcode", f"the operator {node.op}"
        yield op.row, "row_reads", f"the operator {node.op}, which reads a row of neurons"
        yield op.table_bits(node.params) > 0, "lookup_tables", f"the operator {node.op}, which reads a table"
    elif isinstance(node, Reduce) and node.op == "max":
        yield True, "microcode", "a maximum over several streams"


def _refused(
    code: str, what: str, node: Node, found: str, key: str, feature: Feature, *fixes: str
) -> Problem:
    limit = f"features.{key} = false: {feature.source}"
    return Problem(code, f"the chip cannot run {what}", node.place, found, limit, fixes)


def _orphan(graph: Graph, node: Node, target: Target) -> Iterator[Problem]:
    if isinstance(node, CROSSING) and constants(graph).issuperset(node.inputs):
        yield Problem(
            "ND512",
            "a connection has no sender, only constants",
            node.place,
            ", ".join(node.inputs),
            "at least one stream",
            ("fold the constant before mapping",),
        )


def _state(graph: Graph, node: Node, target: Target) -> Iterator[Problem]:
    limit = target.limits.state_bits
    kept = [v for v in registry.NEURONS[node.model].state if not v.clock] if isinstance(node, Neuron) else []
    widest = max(kept, key=lambda v: v.kept, default=None)
    if widest is not None and not limit.allows(widest.kept):
        yield Problem(
            "ND518",
            f"the state {widest.name!r} of a neuron is wider than the chip keeps",
            node.place,
            f"{widest.kept} bits",
            f"{limit.value} bits (limits.state_bits)",
        )


def _program(graph: Graph, node: Node, target: Target) -> Iterator[Problem]:
    widths = _widths(graph, node, target)
    for key, bits in zip(("register_bits", "multiply_bits"), widths, strict=True):
        limit = getattr(target.limits, key)
        if not limit.allows(bits):
            yield Problem(
                "ND519",
                "a program is written for wider registers than the chip has",
                node.place,
                f"{bits} bits",
                f"{limit.value} bits (limits.{key})",
            )


def _widths(graph: Graph, node: Node, target: Target) -> tuple[int, int]:
    """Bits of registers and of a multiply before its shift; 0 where nothing is needed, or refused for other reasons."""
    if isinstance(node, Product):
        if not target.features.products.allowed:
            return 0, 0
        if node.timing == "cumulative":
            return REGISTER_BITS, MULTIPLY_BITS
        return _bits(graph, node.name), sum(_bits(graph, i) for i in node.inputs)
    if not target.features.microcode.allowed:
        return 0, 0
    if isinstance(node, Reduce):
        return (_bits(graph, node.name) if node.op == "max" else 0), 0
    program = isinstance(node, Micro) or (isinstance(node, Neuron) and not registry.NEURONS[node.model].stock)
    return (REGISTER_BITS, MULTIPLY_BITS) if program else (0, 0)


def _bits(graph: Graph, name: str) -> int:
    """Signed bits of a value, by its bounds, or as declared where there are none."""
    value = graph.values[name]
    if value.interval is not None:
        return bits_for(value.interval.magnitude)
    return value.fixed.bits if value.fixed else REGISTER_BITS


# --- synaptic sums -----------------------------------------------------------------------------------------------


def doubtful(graph: Graph, target: Target) -> tuple[str, ...]:
    """Synapses whose sums could leave the accumulator of the target: those worth watching in a run."""
    limit = target.limits.accumulator_bits
    return tuple(
        n.name
        for n in graph.of(Synapse)
        if (interval := graph.values[n.name].interval) and not limit.allows(bits_for(interval.magnitude))
    )


def calibrated(graph: Graph, ranges: Ranges) -> dict[str, int]:
    """Largest synaptic sums of an integer graph that calibration has seen, in units of the coarsest channel."""
    found = {}
    for node in graph.of(Synapse):
        spec = graph.values[node.name].fixed
        if spec is not None and node.name in ranges.bounds:
            found[node.name] = int(ranges.magnitude(node.name) / float(np.max(spec.scale)))
    return found


def overflows(graph: Graph, target: Target, seen: Mapping[str, int]) -> list[Problem]:
    """ND520 for every synapse whose sum left the accumulator; ``seen``: largest magnitude that occurred, by node."""
    found = (p for name, most in seen.items() for p in _accumulator(graph, graph.nodes[name], target, most))
    return [p for p in found if p.severity == "error"]


def _accumulator(graph: Graph, node: Node, target: Target, seen: int) -> Iterator[Problem]:
    interval, limit = graph.values[node.name].interval, target.limits.accumulator_bits
    if not isinstance(node, Synapse) or limit.value is None:
        return
    occurred = not limit.allows(bits_for(seen))
    bound = seen if occurred else interval.magnitude if interval else 0
    if not limit.allows(bits_for(bound)):
        yield Problem(
            "ND520" if occurred else "ND513",
            "a synaptic sum left its register"
            if occurred
            else "a synaptic sum could leave its register in the worst case",
            node.place,
            f"{bits_for(bound)} bits",
            f"{limit.value} bits (limits.accumulator_bits)",
            (*lighter(graph, node, target, bound), "use fewer levels"),
            severity="error" if occurred else "warning",
        )
