"""The forward walk of :func:`quantize`: one rule per node kind, integer nodes into a builder, scales beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..array import Array
from ..calibrate import Ranges
from ..convert._base import METHODS
from ..counted import counted
from ..errors import Problem, QuantizeError
from ..ir import codes, fixed, intervals, levels
from ..ir.graph import Builder, Graph
from ..ir.micro_op import MICROCODE
from ..ir.neuron_model import NEURONS, NeuronModel
from ..ir.nodes import Const, Delay, Input, Micro, Neuron, Node, Output, Product, Reduce, Sum, Synapse, View
from ..ir.types import Code, Fixed, Interval, Value
from ..ir.widths import MESSAGE_BITS, OPERATOR_BITS, REGISTER_BITS
from ..microcode.rescale import MEMBER as RESCALE
from . import units
from .grid import on_grid, signs
from .rounding import by_input, fed_forward, nearest
from .units import Scale, behind_views, bits_of, compact, input_limit, power_of_two_unit, readers

UNIFORM_BITS = 18  # width of a value that is rescaled to one unit before microcode
DIRECT_PAYLOAD_BITS = 9  # width of an operator's output that weights read without a neuron in between
FINEST_OUT = 2.0**-12  # an output unit is at most this much finer than the input unit
ROW_FLOOR = 2.0**-10  # a weight row far below the tensor's largest does not get a finer scale than this
BIAS_MAX = 2.0 ** (MESSAGE_BITS - 2)  # half of what a neuron's state or a message holds
SAME_UNIT = 0.25  # units that cancel but for thresholds of a few units, which one step for all rounds as much
ROUNDING_ROOM = 0.98  # rounding every weight up by half a unit must not break a bound


def quantize(
    graph: Graph,
    ranges: Ranges,
    weight_bits: Callable[[Node], int] = lambda node: 8,
    moments: Mapping[str, Array] | None = None,
) -> Graph:
    """The integer graph of a spiking one; same node names, rescales added as ``<name>.rescale``.

    ``weight_bits`` gives the width of each Synapse (2..8); by ``moments`` of what layers read
    (:func:`.rounding.moments`) their weights are rounded together. Raises QuantizeError with every node that cannot be
    represented, GraphError if the result breaks a rule of the integer level.
    """
    levels.require(graph, "spiking")
    wrong = {n.place: bits for n in graph.of(Synapse) if not 2 <= (bits := weight_bits(n)) <= 8}
    if wrong:
        cause, fixes = "weights of this width cannot be stored", ("choose --weight-bits between 2 and 8",)
        rows = wrong.items()
        raise QuantizeError([Problem("ND402", cause, p, f"{b} bits", "2 to 8 bits", fixes) for p, b in rows])
    walk = _Walk(graph, ranges, weight_bits, moments or {})
    for node in counted([*graph], "nodes"):
        walk.visit(node)
    if walk.problems:
        raise QuantizeError(walk.problems)
    graph = codes.infer(walk.builder.build())
    return levels.require(intervals.propagate(graph, walk.bounds), "integer")


def _remedies(graph: Graph, node: Node) -> tuple[str, ...]:
    """What helps where numbers of one place differ too much in size."""
    method = METHODS.get(graph.header.method)
    coded = getattr(graph.nodes[node.inputs[0]], "op", "") if isinstance(node, Neuron) else ""
    by_method = (method.remedies[coded],) if method is not None and coded in method.remedies else ()
    return (*by_method, "calibrate on more samples: --calib N", "bring the weights before it to a usual size")


@dataclass
class _Walk:
    graph: Graph
    ranges: Ranges
    weight_bits: Callable[[Node], int]
    moments: Mapping[str, Array]
    table: dict[str, str] = field(default_factory=dict)
    scales: dict[str, Scale] = field(default_factory=dict)  # by name in the new graph
    problems: list[Problem] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)  # nodes without integer form, and all that read them
    bounds: dict[str, intervals.Bounds] = field(default_factory=dict)  # by name in the new graph

    def __post_init__(self) -> None:
        self.builder = Builder(replace(self.graph.header, level="integer"))
        self.streams = units.streams(self.graph, self.ranges)
        self.joint = units.joint_sums(self.graph)
        self.ahead: dict[str, Code] = {}  # neurons that are read before they are visited, with what they send
        for synapse in self.graph.feedback:
            self._look_ahead(synapse.inputs[0])

    def _look_ahead(self, name: str) -> None:
        """What a recurrent neuron sends, where that is known before it is quantized: spikes of unit 1."""
        node: Any = self.graph.nodes[name]
        code = NEURONS[node.model].code(node.params)
        if code.kind in ("binary", "ternary"):
            self.ahead[name], self.table[name], self.scales[name] = code, name, 1.0
            low, high = code.interval
            shape = (1, *self.graph.shape(name))
            self.bounds[name] = intervals.Bounds(np.full(shape, float(low)), np.full(shape, float(high)))

    def code(self, name: str) -> Code:
        """What a new-graph value, or a neuron that comes later, may carry."""
        return self.builder.values[name].code if name in self.builder.values else self.ahead[name]

    def spikes(self, name: str) -> bool:
        """Whether a value is of spikes, and not of states that a neuron sends in all their width."""
        return self.code(name).spiking and self.code(name).limit < 1 << OPERATOR_BITS

    def visit(self, node: Node) -> None:
        """Quantize one node; a ValueError becomes a problem, and what reads the node is not judged."""
        try:
            if self.failed.isdisjoint(node.inputs):
                self.table[node.name] = RULES[type(node)](self, node)
                return
        except ValueError as error:
            cause, fixes = f"no integer form: {error}", _remedies(self.graph, node)
            self.problems.append(Problem("ND401", cause, node.place, fixes=fixes))
        self.failed.add(node.name)

    def add(
        self,
        node: Node,
        scale: Scale,
        bits: int = MESSAGE_BITS,
        inputs: tuple[str, ...] | None = None,
        interval: Interval | None = None,
        shape: Any = None,
    ) -> str:
        """Append an integer node with its representation; its inputs are taken from the table unless given."""
        value = self.graph.values.get(node.name) or Value(shape)
        spec = Fixed(bits, True, compact(scale))
        inputs = tuple(self.table[i] for i in node.inputs) if inputs is None else inputs
        fresh = replace(value, fixed=spec, interval=interval, activity=self.ranges.activity.get(node.name))
        name = self.builder.add(replace(node, inputs=inputs), fresh)
        self.scales[name] = compact(scale)
        made = self.builder.nodes[name]
        code = codes.RULES[type(node)](self.builder, made, [self.code(i) for i in inputs])
        self.builder.values[name] = replace(fresh, code=code)
        self.bounds[name] = intervals.step(made, [self.bounds[i] for i in inputs], self.builder)
        return name

    def scale(self, name: str) -> Scale:
        """Worth of a unit of an already quantized value, by its name in the old graph."""
        return self.scales[self.table[name]]

    def rescaled(self, source: str, unit: float, bits: int) -> str:
        """A rescale of a new-graph value to ``unit``, saturating at ``bits``; the value itself if it has that unit."""
        if isinstance(self.scales[source], float) and self.scales[source] == unit:
            return source
        factors = self._factors(source, unit)
        if (steepest := float(np.max(factors))) > fixed.STEEPEST:  # spikes that join a fine stream: two steps
            return self.rescaled(self.rescaled(source, steepest / fixed.STEEPEST * unit, bits), unit, bits)
        value, origin = self.builder.values[source], self.builder.nodes[source].origin
        node = Micro(name=f"{source}.rescale", inputs=(source,), origin=origin, op="rescale",
                     params=RESCALE.params(factors, bits), timing="instant")  # fmt: skip
        name = self.add(node, unit, bits, inputs=(source,), shape=value.shape)
        self.builder.values[name] = replace(self.builder.values[name], contract=value.contract)
        return name

    def _factors(self, source: str, unit: float) -> Array:
        """A new-graph value's units over ``unit``; 1 for channels that are always 0, whose worth means nothing."""
        scale, bounds = np.asarray(self.scales[source], dtype=np.float64), self.bounds[source]
        reach = np.maximum(np.abs(bounds.lo), np.abs(bounds.hi))[0]
        wide = scale.reshape((1,) * (reach.ndim - scale.ndim) + scale.shape)
        shared = tuple(a for a, size in enumerate(wide.shape) if size == 1)
        silent = reach.max(axis=shared, keepdims=True).reshape(scale.shape) == 0
        return np.where(silent, 1.0, scale / unit)

    def uniform(self, name: str) -> str:
        """The new-graph name of an old value in one unit for all its elements, rescaled where they differ."""
        source = self.table[name]
        if isinstance(self.scales[source], float):
            return source
        unit = power_of_two_unit(self.ranges.magnitude(name), UNIFORM_BITS)
        return self.rescaled(source, unit, UNIFORM_BITS)

    def limits(self, name: str) -> Interval:
        """Guaranteed bounds of a new-graph value: proven from what was built so far, else its declared width."""
        found = self.bounds[name].overall
        if found.proven:
            return found
        return Interval(*(self.builder.values[name].fixed or Fixed(MESSAGE_BITS, True, 1.0)).limits, True)


def _input(walk: _Walk, node: Input) -> str:
    interval = walk.graph.values[node.name].interval or Interval(0, 255, True)
    zero = np.asarray(node.zero, dtype=np.int64)
    low, high = interval.lo - int(zero.max()), interval.hi - int(zero.min())
    bits = fixed.bits_for(max(abs(low), abs(high)))
    clean = replace(node, zero=int(zero) if zero.ndim == 0 else zero)
    return walk.add(clean, np.asarray(node.scale), bits, interval=Interval(low, high, True))


def _output(walk: _Walk, node: Output) -> str:
    source = walk.uniform(node.inputs[0])
    ticks = walk.graph.header.timesteps if node.readout == "mean" else 1
    return walk.add(node, walk.scales[source] / ticks, REGISTER_BITS, inputs=(source,))


def _const(walk: _Walk, node: Const) -> str:
    """Constants wait for the unit of the sum or view that reads them; until then they are integers of a fine unit."""
    unit = power_of_two_unit(float(np.abs(node.value).max()), UNIFORM_BITS)
    for reader in readers(walk.graph, node.name):
        if reader.name in walk.streams:
            unit = walk.streams[reader.name].unit
    return walk.add(replace(node, value=np.floor(node.value / unit + 0.5).astype(np.int64)), unit)


@dataclass(frozen=True, eq=False)
class _Layer:
    """A synapse with its input in the new graph, what a unit of that is worth, and its weights times that."""

    node: Synapse
    source: str
    worth: Array
    weight: Array
    bits: int


def _synapse(walk: _Walk, node: Synapse) -> str:
    if node.name in walk.joint:
        return node.name  # added with the sum that reads it, in the units of all its parts
    layer = _layer(walk, node)
    return _stored(walk, layer, _row_units(walk, [layer]))


def _layer(walk: _Walk, node: Synapse) -> _Layer:
    source, bits = node.inputs[0], walk.weight_bits(node)
    if source not in walk.table:
        raise ValueError(f"{node.name} reads {source}, which comes later and sends more than spikes")
    per_input = _contracted_scale(walk, node)
    name = walk.uniform(source) if per_input is None else walk.table[source]
    per_input = np.asarray(walk.scales[name]) if per_input is None else per_input
    narrow = _narrowed(walk, node, name, _worth(node, per_input), bits)
    if narrow != name:
        name, per_input = narrow, np.asarray(walk.scales[narrow])
    return _Layer(node, name, per_input, _worth(node, per_input), bits)


def _stored(walk: _Walk, layer: _Layer, unit: Array) -> str:
    """The synapse with integer weights, one unit for each output channel."""
    node, weight, limit = layer.node, layer.weight, 2 ** (layer.bits - 1) - 1
    rows = unit.reshape((-1,) + (1,) * (weight.ndim - 1))
    moment = walk.moments.get(node.name)
    if moment is None:
        ints = nearest(weight / rows, limit)
    else:
        worth = by_input(layer.worth, node)
        ints = fed_forward(weight / rows, moment / (worth[:, :, None] * worth[:, None]), limit)
    bias = None if node.bias is None else np.floor(node.bias / unit + 0.5).astype(np.int64)
    out_scale = unit if node.op == "dense" else unit.reshape(-1, 1, 1)
    return walk.add(replace(node, weight=ints, bias=bias), out_scale, inputs=(layer.source,))


def _reading(walk: _Walk, node: Synapse) -> list[Node]:
    """What reads a synapse, or the sum that it is a part of."""
    return readers(walk.graph, walk.joint.get(node.name, node.name))


def _one_unit(walk: _Walk, reading: list[Node]) -> bool:
    """Whether all channels need the same unit: in front of the read-out, also behind a neuron that sends its state."""
    kept = [r.name for r in reading if isinstance(r, Neuron) and NEURONS[r.model].keeps_unit]
    behind = (after for name in kept for after in readers(walk.graph, name))
    return any(isinstance(reader, Output) for reader in (*reading, *behind))


def _worth(node: Synapse, per_input: Array) -> Array:
    """Float weights times what a unit of their input is worth."""
    if node.op == "conv" and per_input.ndim:
        per_input = per_input.reshape(-1, 1, 1)
    worth: Array = node.weight * per_input
    return worth


def _narrowed(walk: _Walk, node: Synapse, name: str, weight: Array, bits: int) -> str:
    """The input in fewer bits where weights of full width would overflow what the sum feeds; else as it is.

    Sums, operators and neurons that send their state send wide values. Beside them weights would have to shrink, in the
    worst case to zero. Spikes stay as they are: their payloads were chosen by their neuron.
    """
    if walk.spikes(name):
        return name
    rows = np.abs(weight).reshape(len(weight), -1)
    reading = _reading(walk, node)
    step = _finest_steps(rows, bits, _one_unit(walk, reading))
    total = max(1.0, float((rows.sum(axis=1) / step).max()))
    limit = (input_limit(reading) or 1 << (MESSAGE_BITS - 1)) * ROUNDING_ROOM
    largest, room = walk.limits(name).magnitude, max(DIRECT_PAYLOAD_BITS, bits_of(int(limit / total)))
    if total * largest <= limit or largest < 1 << (room - 1):
        return name
    return walk.rescaled(name, power_of_two_unit(walk.ranges.magnitude(node.inputs[0]), room), room)


def _finest_steps(rows: Array, bits: int, shared: bool) -> Array:
    """What a weight unit of each row is worth if only the width limits it; ``shared``: one worth for all rows."""
    peak = rows.max() if rows.max() > 0 else 1.0
    finest = np.maximum(rows.max(axis=1), peak * (1.0 if shared else ROW_FLOOR))
    steps: Array = finest / (2 ** (bits - 1) - 1)
    return steps


def _contracted_scale(walk: _Walk, node: Synapse) -> Array | None:
    """The input's scale as a number or one per contracted channel; None if it varies along shared axes too."""
    scale = np.asarray(walk.scale(node.inputs[0]))
    if scale.ndim == 0:
        return scale
    full = np.broadcast_to(scale, walk.graph.shape(node.inputs[0]))
    axis = full.ndim - 1 if node.op == "dense" else 0
    channels = np.moveaxis(full, axis, 0).reshape(full.shape[axis], -1)
    if node.op == "conv" and node.groups > 1:
        return None
    return channels[:, 0] if np.all(channels == channels[:, :1]) else None


def _row_units(walk: _Walk, layers: list[_Layer]) -> Array:
    """One worth per output channel: largest weight / (2^(bits-1) - 1), not below what the readers can take.

    Layers that are summed share theirs. Weights that lie on a grid of no more steps stay exact. A channel of tiny
    weights beside a large bias (a batch norm that has switched it off) would otherwise leave the range in which a LIF
    is exact.
    """
    reading = _reading(walk, layers[0].node)
    neurons = [r for r in reading if isinstance(r, Neuron)]
    finest = max((NEURONS[n.model].finest_unit(n.params) for n in neurons), default=0.0)
    exact, shared = input_limit(reading), _one_unit(walk, reading)
    steps, reach, bias = [], np.zeros(len(layers[0].weight)), np.zeros(len(layers[0].weight))
    for layer in layers:
        rows = np.abs(layer.weight).reshape(len(layer.weight), -1)
        steps.append(_finest_steps(rows, layer.bits, shared))
        reach = reach + rows.sum(axis=1) * walk.limits(layer.source).magnitude
        bias = bias + (0.0 if layer.node.bias is None else np.abs(layer.node.bias))
    # a large bias beside tiny weights must fit the accumulator also where no neuron asks for exactness
    bound = (reach + bias) / (exact * ROUNDING_ROOM) if exact else bias / BIAS_MAX
    floor = np.maximum(bound, finest * 1.001)
    units = np.maximum(np.maximum.reduce(steps), floor)
    rows = np.concatenate([layer.weight.reshape(len(layer.weight), -1) for layer in layers], axis=1)
    if shared:
        return np.full_like(units, on_grid(rows.reshape(1, -1), units.max(keepdims=True))[0])
    alike = signs(rows, units)
    return on_grid(rows, units) if alike is None else alike


def _neuron(walk: _Walk, node: Neuron) -> str:
    model = NEURONS[node.model]
    source = _in_reach(walk, node)
    made = model.quantize(node.params, walk.scales[source], walk.ranges.magnitude(node.name))
    bits = fixed.bits_for(made.code.limit)
    inputs = (source, *(_beside(walk, model, name) for name in node.inputs[1:]))
    name = walk.add(replace(node, params=dict(made.params)), made.scale, bits, inputs)
    if node.name in walk.ahead and (name != node.name or walk.scales[name] != 1.0):
        raise ValueError(f"what it feeds back was taken to be spikes of unit 1, not {made.scale}")
    return name


def _beside(walk: _Walk, model: NeuronModel, name: str) -> str:
    """A further input of a neuron, in the unit in which its model takes it."""
    if model.factor_unit is None:
        return walk.table[name]
    bits = fixed.bits_for(math.ceil(walk.ranges.magnitude(name) / model.factor_unit))
    return walk.rescaled(walk.table[name], model.factor_unit, bits + 1)


def _in_reach(walk: _Walk, node: Neuron) -> str:
    """The input of a neuron in a unit in which it is exact, its threshold fits, and so does the state that it sends.

    Weights have been given such a unit; a mean over many tokens, or another sum of what no neuron has sent, has not.
    """
    model, source = NEURONS[node.model], walk.table[node.inputs[0]]
    limit, finest = model.quantized_limit(node.params), model.finest_unit(node.params)
    largest, worth = walk.ranges.magnitude(node.inputs[0]), float(np.min(walk.scales[source]))
    near = limit is None or walk.limits(source).magnitude < limit
    if model.keeps_unit:  # a state that is added up over ticks outgrows what is added
        sent = walk.ranges.magnitude(node.name)
        largest = max(largest, sent)
        near = near and sent * units.HEADROOM < (limit or 1 << (MESSAGE_BITS - 1)) * worth
    if near and worth >= finest:
        return source
    bits = bits_of(limit)
    unit = power_of_two_unit(largest, bits)
    coarse = 2.0 ** math.ceil(math.log2(finest * 1.001)) if finest else 0.0
    return walk.rescaled(source, max(unit, coarse), bits)


def _product(walk: _Walk, node: Product) -> str:
    inputs, worth = tuple(walk.table[i] for i in node.inputs), _worth_of_product(walk, node)
    if worth is None:
        if node.timing == "cumulative" and all(
            map(walk.spikes, inputs)
        ):  # running sums have no room for more
            raise ValueError(
                "units of channels do not cancel in it: thresholds in front of it are too coarse"
            )
        inputs = tuple(walk.uniform(i) for i in node.inputs)
        worth = np.asarray(walk.scales[inputs[0]] * walk.scales[inputs[1]])
    a, b = (walk.limits(i).magnitude for i in inputs)
    terms, ticks = codes.contracted(walk.graph, node), walk.graph.header.timesteps
    unit = float(worth.min()) * node.scale
    room = bits_of(input_limit(readers(walk.graph, node.name)))
    # over ticks a mean of products grows as t, a product of sums as t squared
    grown = 1 if node.timing != "cumulative" else ticks if node.mean else ticks**2
    bound = terms * a * b * grown
    shift = max(0, fixed.bits_for(bound) - room)
    if shift and (node.timing == "cumulative" or not all(walk.spikes(name) for name in inputs)):
        # the proven bound is far from what occurs: take the unit from the measured range and let the node saturate
        # every tick's output is a difference of Y; their sum bounds Y itself
        seen = walk.ranges.magnitude(node.name) * (ticks if node.timing == "cumulative" else 1)
        shift = min(shift, max(0, math.ceil(math.log2(max(power_of_two_unit(seen, room) / unit, 1.0)))))
    rescale = None
    if node.timing == "cumulative":
        divisors = np.arange(1, ticks + 1) if node.mean else np.ones(ticks)
        rescale = fixed.multipliers_of(2.0**-shift / divisors)
    elif shift:
        rescale = (np.array([1], dtype=np.int64), np.array([shift], dtype=np.int64))
    return walk.add(
        replace(node, scale=1.0, rescale=rescale), worth * node.scale * 2.0**shift, room, inputs=inputs
    )


def _worth_of_product(walk: _Walk, node: Product) -> Array | None:
    """What a unit of the product is worth, like its elements; None where terms of one element differ in it.

    Units of channels may pass on, as those of values do, or cancel, as those of queries and keys do: but for the
    rounding of thresholds, which tell what they are worth.
    """
    equation, scales = node.einsum, [np.asarray(walk.scale(name)) for name in node.inputs]
    if not any(scale.ndim for scale in scales):
        return np.asarray(scales[0] * scales[1])
    if not all(walk.spikes(walk.table[name]) for name in node.inputs):
        return None
    small = [
        _without_repeats(np.broadcast_to(scale, walk.graph.shape(name)))
        for scale, name in zip(scales, node.inputs, strict=True)
    ]
    added = "".join(c for c in dict.fromkeys(equation.left + equation.right) if c not in equation.out)
    worth = np.einsum(f"{equation.left},{equation.right}->{equation.out}{added}", *small)
    worth = worth.reshape(*worth.shape[: len(equation.out)], -1)
    if worth.shape[-1] == 1:
        return np.asarray(worth[..., 0])
    mean = worth.mean()
    return np.asarray(mean) if np.abs(worth - mean).max() <= SAME_UNIT * mean else None


def _without_repeats(scale: Array) -> Array:
    """Units with an axis 1 long wherever they are the same along it."""
    for axis in range(scale.ndim):
        first = scale.take([0], axis)
        scale = first if (scale == first).all() else scale
    return scale


def _sum(walk: _Walk, node: Sum) -> str:
    if walk.joint.get(node.inputs[0]) == node.name:
        layers = [_layer(walk, walk.graph.nodes[i]) for i in node.inputs]  # type: ignore[arg-type]
        units = _row_units(walk, layers)
        inputs = tuple(_stored(walk, layer, units) for layer in layers)
        return walk.add(node, walk.scales[inputs[0]], inputs=inputs)
    plain = [walk.scale(i) for i in node.inputs]
    spiking = all(walk.builder.values[walk.table[i]].code.spiking for i in node.inputs)
    if spiking and all(isinstance(s, float) and s == plain[0] for s in plain):
        return walk.add(node, plain[0])
    stream, branches = walk.streams[node.name], []
    for source in node.inputs:
        branch, same = walk.table[source], isinstance(behind_views(walk.graph, source), (Sum, Const))
        branches.append(branch if same else walk.rescaled(branch, stream.unit, stream.branch_bits))
    return walk.add(node, stream.unit, inputs=tuple(branches))


def _reduce(walk: _Walk, node: Reduce) -> str:
    source = walk.uniform(node.inputs[0])
    unit = float(walk.scales[source])
    if node.op == "mean":
        before, after = walk.graph.values[node.inputs[0]].shape.size, walk.graph.values[node.name].shape.size
        unit /= math.prod(node.window) if node.window else before // after
    return walk.add(replace(node, op="sum" if node.op == "mean" else node.op), unit, inputs=(source,))


def _micro(walk: _Walk, node: Micro) -> str:
    op = MICROCODE[node.op]
    source = walk.uniform(node.inputs[0])
    spec = walk.builder.values[source].fixed or Fixed(MESSAGE_BITS, True, walk.scales[source])
    # read by weights with no neuron between (a head): a narrow payload, or the synaptic sum outgrows its register
    direct = any(isinstance(r, Synapse) for r in readers(walk.graph, node.name))
    bits = MESSAGE_BITS if op.spans else DIRECT_PAYLOAD_BITS if direct else OPERATOR_BITS
    # these take their output unit from what was seen; elsewhere a norm or softmax knows its own bounds
    finest = float(np.max(spec.scale)) * FINEST_OUT  # a coarse input does not deserve a fine output
    if op.spans:  # unless it is a large one that makes a small output
        default = op.quantize(node.params, spec, walk.limits(source), {"out_bits": bits})
        finest = min(finest, float(np.max(default.fixed.scale)))
    unit = max(power_of_two_unit(walk.ranges.magnitude(node.name), bits), finest)
    options = {"out_bits": bits, "out_scale": unit} if direct or not op.row else {}
    made = op.quantize(node.params, spec, walk.limits(source), options)
    own = made.fixed.bits + (not made.fixed.signed)  # edges count their sign, also where it is never used
    width = MESSAGE_BITS if node.timing == "cumulative" else own
    fresh = replace(node, params=dict(made.params))
    return walk.add(fresh, made.fixed.scale, width, inputs=(source,), interval=made.interval)


def _view(walk: _Walk, node: View) -> str:
    scales = [walk.scale(i) for i in node.inputs]
    if all(isinstance(s, float) and s == scales[0] for s in scales):
        return walk.add(node, scales[0])
    if len(scales) > 1:
        unit = power_of_two_unit(max(walk.ranges.magnitude(i) for i in node.inputs), UNIFORM_BITS)
        inputs = tuple(walk.rescaled(walk.table[i], unit, UNIFORM_BITS) for i in node.inputs)
        return walk.add(node, unit, inputs=inputs)
    full = np.broadcast_to(np.asarray(scales[0]), walk.graph.shape(node.inputs[0]))
    moved = node.apply([full])  # a padded zero is worth nothing in any unit
    return walk.add(node, np.where(moved == 0, full.max(), moved))


RULES: dict[type[Node], Callable[..., str]] = {
    Input: _input, Output: _output, Const: _const, Synapse: _synapse, Neuron: _neuron, Product: _product, Sum: _sum,
    Reduce: _reduce, Micro: _micro, View: _view, Delay: lambda walk, node: walk.add(node, walk.scale(node.inputs[0])),
}  # fmt: skip
