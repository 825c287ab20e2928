"""What a target cannot do at all, whatever the cut: widths, delays, features. Every breach becomes a Problem.

Fixes that depend on what else is installed are added in :mod:`.advice`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from ..calibrate import Ranges
from ..errors import Problem
from ..ir.fixed import bits_for
from ..ir.graph import Graph
from ..ir.micro_op import MICROCODE
from ..ir.neuron_model import NEURONS
from ..ir.nodes import Delay, Micro, Neuron, Node, Output, Product, Reduce, Synapse
from ..ir.types import Value
from ..ir.widths import MULTIPLY_BITS, REGISTER_BITS
from ..passes.balance import constants, crosses, host, hurried, turns, unbalanced
from ..target import Target
from .advice import lighter, narrower
from .demand import Accounting, longest_wait

SMALLER, SHORTER = "use fewer timesteps or a narrower operand", "shorten the branch that waits"


def check(graph: Graph, target: Target, seen: Mapping[str, int] = MappingProxyType({})) -> Iterator[Problem]:
    """Everything in the graph that the target refuses, in node order; warnings included.

    ``seen``: largest synaptic sums that occurred, as :func:`overflows` takes them.
    """
    for source, consumer, steps in unbalanced(graph):
        where, found, limit = f"{source} -> {consumer}", f"{steps} steps early", "all inputs at the same step"
        fix = "run the pass 'balance' first"
        yield Problem("ND510", "a value arrives early", where, found, limit, (fix,))
    yield from (too_fast(*edge) for edge in hurried(graph))
    yield from turns(graph).problems
    still, outside = constants(graph), host(graph)
    sent = {i for n in graph if crosses(n) for i in n.inputs if i not in still}
    for node in graph:
        for rule in (_delay, _features, _state, _program, _orphan) if node.name not in outside else ():
            yield from rule(graph, node, target)
        yield from _accumulator(graph, node, target, seen.get(node.name, 0))
        if node.name in sent or isinstance(node, Output):
            yield from _message(graph, node, target)


def too_fast(source: str, synapse: str, ticks: int) -> Problem:
    """A recurrent connection whose messages are on the way for longer than its delay."""
    cause = "a recurrent loop takes more steps than its delay allows"
    limit = "as many ticks of delay as the loop has further connections"
    fixes = (f"raise the delay of {synapse} by {ticks} ticks", "take layers out of the loop")
    return Problem("ND515", cause, f"{source} -> {synapse}", f"{ticks} ticks too few", limit, fixes)


def _beyond(
    code: str, cause: str, where: str, amount: int, target: Target, key: str, *fixes: str
) -> Iterator[Problem]:
    """The problem of an amount that exceeds a limit of the target, named by its ``key`` under [limits]."""
    limit = getattr(target.limits, key)
    if not limit.allows(amount):
        most = f"{limit.value} {limit.unit} (limits.{key})"
        yield Problem(code, cause, where, f"{amount} {limit.unit}", most, fixes)


def check_group(accounting: Accounting) -> Iterator[Problem]:
    """What no cut can help: neurons with too much state or too many synapses, weights too wide to store."""
    target, name = accounting.target, accounting.group.name
    yield from _turns(accounting)
    most, fixes = int(np.max(accounting.words, initial=0)), ("split the layer's chain of operators", SHORTER)
    cause = "a neuron needs more state than the chip gives one"
    yield from _beyond("ND509", cause, name, most, target, "state_words_per_neuron", *fixes)
    if target.limits.fan_out.value is not None:
        widest, fix = int(np.max(accounting.fan_out, initial=0)), "shrink the layers that read this one"
        cause = "a neuron has more synapses than the chip gives one"
        yield from _beyond("ND517", cause, name, widest, target, "fan_out", fix)
    codes, cause = target.limits.weight_bits, "weights need more bits than a synapse stores"
    for synapse, bits in accounting.needed_bits.items():
        if codes.round_up(bits) is None:
            where = accounting.graph.nodes[synapse].place
            limit = f"{codes.value[-1]} bits (limits.weight_bits)"
            fewer = narrower(accounting.graph, codes, codes.value[-1])
            yield Problem("ND503", cause, where, f"{bits} bits", limit, fewer)


def _turns(accounting: Accounting) -> Iterator[Problem]:
    """Tokens of a layer can take turns if its anchor counts them, and one of them has something of every node."""
    group, taken = accounting.group, accounting.taken
    if group.turns == 1:
        return
    if accounting.token_axis is None:
        cause, found = "tokens of a layer cannot take turns", "no axis that counts them"
        yield Problem("ND527", cause, group.name, found, "a token axis", ("lay the tokens out in space",))
    present = [
        (taken.slots(n.name)[1] >= 0).any(axis=1) for n in group.nodes if taken.turn(n.name) is not None
    ]
    if not np.all(present, axis=0).any():
        cause, found = "tokens of a layer cannot take turns", "no token has a part in all of its nodes"
        yield Problem("ND527", cause, group.name, found, "one that has", ("lay the tokens out in space",))


def _delay(graph: Graph, node: Node, target: Target) -> Iterator[Problem]:
    if isinstance(node, Delay):
        fix = "run the pass 'balance' with longest = the limit: delays in a chain"
        steps = 0 if node.keeps else node.steps
    elif isinstance(node, Synapse):
        steps, fix = longest_wait(graph, node), "use shorter synaptic delays"
    else:
        return
    cause = "a branch has to wait longer than a delay lasts"
    yield from _beyond("ND508", cause, node.place, steps, target, "delay_steps", fix)


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
        what, fix = "spikes that carry a value", "use a network of binary spikes"
        if isinstance(node, Synapse) and node.hosted:
            fix = "keep the table of token ids on cores"
        yield _refused("ND505", what, node, f"{bits} bits", target, "graded_payload", fix)
        return
    cause = "a message is wider than a spike carries"
    fixes = ("insert a neuron or a rescale before the connection", SMALLER)
    for key in ("payload_bits", "message_bits"):
        found = [*_beyond("ND504", cause, node.place, bits, target, key, *fixes)]
        if found:
            yield from found
            return


def _features(graph: Graph, node: Node, target: Target) -> Iterator[Problem]:
    for needed, key, what in _needs(node):
        if needed and not getattr(target.features, key).allowed:
            code = {"products": "ND507", "microcode": "ND506"}.get(key, "ND511")
            yield _refused(code, what, node, node.kind, target, key)
            return


def _needs(node: Node) -> Iterator[tuple[bool, str, str]]:
    """(needed, feature, what for) of a node, the most telling first."""
    if isinstance(node, Product):
        yield True, "products", "a product of two streams"
    elif isinstance(node, Neuron):
        yield not NEURONS[node.model].stock, "microcode", f"the neuron model {node.model}"
    elif isinstance(node, Micro):
        op = MICROCODE[node.op]
        yield True, "microcode", f"the operator {node.op}"
        yield op.row, "row_reads", f"the operator {node.op}, which reads a row of neurons"
        yield op.reads_table(node.params), "lookup_tables", f"the operator {node.op}, which reads a table"
    elif isinstance(node, Reduce) and node.op == "max":
        yield True, "microcode", "a maximum over several streams"


def _refused(code: str, what: str, node: Node, found: str, target: Target, key: str, *fixes: str) -> Problem:
    limit = f"features.{key} = false: {getattr(target.features, key).source}"
    return Problem(code, f"the chip cannot run {what}", node.place, found, limit, fixes)


def _orphan(graph: Graph, node: Node, target: Target) -> Iterator[Problem]:
    if crosses(node) and constants(graph).issuperset(node.inputs):
        cause, fix = "a connection has no sender, only constants", "fold the constant before mapping"
        yield Problem("ND512", cause, node.place, ", ".join(node.inputs), "at least one stream", (fix,))


def _state(graph: Graph, node: Node, target: Target) -> Iterator[Problem]:
    kept = [v for v in NEURONS[node.model].state if not v.clock] if isinstance(node, Neuron) else []
    if kept:
        widest = max(kept, key=lambda v: v.kept)
        cause = f"the state {widest.name!r} of a neuron is wider than the chip keeps"
        yield from _beyond("ND518", cause, node.place, widest.kept, target, "state_bits")


def _program(graph: Graph, node: Node, target: Target) -> Iterator[Problem]:
    cause = "a program is written for wider registers than the chip has"
    for key, bits in zip(("register_bits", "multiply_bits"), _widths(graph, node, target), strict=True):
        yield from _beyond("ND519", cause, node.place, bits, target, key)


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
    program = isinstance(node, Micro) or (isinstance(node, Neuron) and not NEURONS[node.model].stock)
    return (REGISTER_BITS, MULTIPLY_BITS) if program else (0, 0)


def _bits(graph: Graph, name: str) -> int:
    """Signed bits of a value, by its bounds, or as declared where there are none."""
    value = graph.values[name]
    if value.interval is not None:
        return bits_for(value.interval.magnitude)
    return value.fixed.bits if value.fixed else REGISTER_BITS


def doubtful(graph: Graph, target: Target) -> tuple[str, ...]:
    """Synapses whose sums could leave the accumulator of the target: those worth watching in a run."""
    limit = target.limits.accumulator_bits
    spans = {n.name: graph.values[n.name].interval for n in graph.of(Synapse)}
    return tuple(name for name, span in spans.items() if span and not limit.allows(bits_for(span.magnitude)))


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
    if not isinstance(node, Synapse) or node.hosted or limit.value is None:
        return
    bound, code, cause = seen, "ND520", "a synaptic sum left its register"
    if limit.allows(bits_for(seen)):  # it did not happen, but is it certain?
        bound, code = interval.magnitude if interval else 0, "ND513"
        cause = "a synaptic sum could leave its register in the worst case"
    if not limit.allows(bits_for(bound)):
        fixes = (*lighter(graph, node, target, bound), "use fewer levels")
        for problem in _beyond(code, cause, node.place, bits_for(bound), target, "accumulator_bits", *fixes):
            yield replace(problem, severity="error" if code == "ND520" else "warning")
