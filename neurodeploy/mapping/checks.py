"""What a target cannot do at all, whatever the cut: widths, delays, features. Every breach becomes a Problem."""

from __future__ import annotations

from collections.abc import Iterator

from .. import registry
from ..errors import Problem
from ..ir.fixed import bits_for
from ..ir.graph import Graph
from ..ir.nodes import Delay, Micro, Neuron, Node, Output, Product, Reduce, Synapse
from ..ir.types import Value
from ..passes.balance import CROSSING, constants, hurried, unbalanced
from ..target import Target
from ..target_schema import Feature
from .demand import Accounting, longest_wait

SMALLER = "use fewer timesteps or a narrower operand"


def check(graph: Graph, target: Target) -> Iterator[Problem]:
    """Everything in the graph that the target refuses, in node order; warnings included."""
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
        for rule in (_delay, _features, _orphan, _accumulator):
            yield from rule(graph, node, target)
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
    """What no cut can help: a neuron with more state than the chip gives one, weights too wide to store."""
    limits = accounting.target.limits
    words = accounting.words
    most = int(words) if isinstance(words, int) else int(words.max(initial=0))
    if not limits.state_words_per_neuron.allows(most):
        yield Problem(
            "ND509",
            "a neuron needs more state than the chip gives one",
            accounting.group.name,
            f"{most} words",
            f"{limits.state_words_per_neuron.value} words (limits.state_words_per_neuron)",
            ("split the layer's chain of operators", "shorten the branch that waits"),
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
                (f"--weight-bits {codes.value[-1]}",),
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
            ("balance with longest = the limit: delays in a chain", "use shorter synaptic delays"),
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
            "use --target loihi2",
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
            yield _refused(code, what, node, node.kind, key, feature, "use --target loihi2")
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


def _accumulator(graph: Graph, node: Node, target: Target) -> Iterator[Problem]:
    interval, limit = graph.values[node.name].interval, target.limits.accumulator_bits
    if isinstance(node, Synapse) and interval and not limit.allows(bits_for(interval.magnitude)):
        yield Problem(
            "ND513",
            "a synaptic sum could leave its register in the worst case",
            node.place,
            f"{bits_for(interval.magnitude)} bits",
            f"{limit.value} bits (limits.accumulator_bits)",
            ("--weight-bits 4", "use fewer levels"),
            severity="warning",
        )
