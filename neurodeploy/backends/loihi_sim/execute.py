"""What the instructions of an image do. Vectors are int64 (elements, samples); samples never meet.

Order of update, widths and rounding are those of semantics.md; registered neuron models and operators are called as
they are. Every function gets a :class:`Frame` and yields the instruction's vector.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ... import registry
from ...array import Array
from ...errors import Problem, SimulateError
from ...image import CoreImage, Instruction, weights_of
from ...ir import fixed
from ...ir.equation import Equation
from ...ir.micro_op import COMPENSATION_OPS, MICROCODE, RESCALE_OPS
from ...ir.neuron_model import NEURONS
from ...ir.widths import REGISTER_BITS
from .contract import Contraction

WORD = 64  # bits

Vector = Array
Tally = Callable[[str, str, Any], None]  # (node, kind, per-sample amounts)


@dataclass
class Frame:
    """All that instructions see: this tick's vectors and inbox, their state, and where events are counted.

    ``kept``: (ticks, slots, samples) of the ports that keep what arrives, by port.
    """

    image: CoreImage
    x: Vector
    t: int
    inbox: Vector
    vectors: list[Vector]
    state: list[Vector]
    tally: Tally
    saturations: Counter[str]
    delayed: dict[int, Vector] = field(default_factory=dict)
    turn: int = 0
    kept: Mapping[int, Vector] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """Samples that run in lockstep."""
        return self.x.shape[1]

    def count_clipped(self, step: Step, clipped: Any, own: Array | None) -> None:
        """Add clipped elements, those that count on this core, to the node's counter."""
        clipped = np.asarray(clipped)
        if own is not None and clipped.shape[:1] == own.shape:
            clipped = clipped[own]
        self.saturations[step.item.node] += int(clipped.sum())

    def saturate(self, step: Step, x: Vector, bits: int, own: Array | None) -> Vector:
        """Clip to a width and count."""
        y: Vector = fixed.saturate(x, bits)
        self.count_clipped(step, x != y, own)
        return y


@dataclass(frozen=True, eq=False)
class Step:
    """An instruction with its tables looked up.

    ``gathers``: per operand an index array or None (all in order); ``inbox``: addresses of its ports, ``pick``: which
    of them, or of a product's elements, become elements of the vector (None: all in order).
    """

    number: int
    item: Instruction
    gathers: tuple[Array | None, ...]
    inbox: tuple[slice, ...]
    pick: Array | None
    arrays: dict[str, Array]
    own: Array | None
    member: Any = None
    params: dict[str, Any] = field(default_factory=dict)
    contraction: Any = None
    kernel: Array | None = None
    keeps: dict[int, Array] = field(default_factory=dict)

    def operand(self, frame: Frame, which: int = 0) -> Vector:
        """An input's elements; -1 reads zero."""
        return take(frame.vectors[self.item.operands[which].source], self.gathers[which])

    def arrived(self, frame: Frame, port: int = 0) -> Vector:
        """What is in a port's inbox, or what it has kept for this tick."""
        if port not in self.keeps:
            return frame.inbox[self.inbox[port]]
        order = self.keeps[port]
        kept = frame.kept[self.item.ports[port]][frame.t - 1]
        return take(kept, order if order.ndim == 1 else order[frame.turn])

    def at(self, turn: int) -> Step:
        """The step with what is special about a turn."""
        special = {k[2:]: array[turn] for k, array in self.arrays.items() if k.startswith("t:")}
        if not special:
            return self
        arrays = self.arrays | special
        return replace(self, arrays=arrays, params=_params(self.item, arrays))


def take(vector: Vector, index: Array | None) -> Vector:
    """Elements by index, -1 for zero; None: all."""
    if index is None:
        return vector
    if index.size and index.min() < 0:
        vector = np.concatenate([vector, np.zeros((1, *vector.shape[1:]), dtype=vector.dtype)])
    found: Vector = vector[index]
    return found


def prepare(image: CoreImage, number: int, item: Instruction) -> Step:
    """An instruction ready to run; raises SimulateError ND612 for an unknown neuron model or operator."""
    arrays = {name: image.array(a) for name, a in item.arrays.items()}
    gathers = tuple(image.gather(o.start, item.size) for o in item.operands)
    pick = image.gather(item.numbers["from"], item.size * item.numbers.get("fan", 1)) if item.ports else None
    contraction = _contraction(item, arrays, pick) if item.op == "product" else None
    kernel = weights_of(image, item.numbers["kernel"])[:, 0] if "kernel" in item.numbers else None
    inbox, params = tuple(image.port(port) for port in item.ports), _params(item, arrays)
    own, member = image.own(item), _member(image, item)
    keeps = {n: arrays[f"keep_{n}"] for n in range(len(item.ports)) if f"keep_{n}" in arrays}
    return Step(number, item, gathers, inbox, pick, arrays, own, member, params, contraction, kernel, keeps)


ROOMS: dict[str, tuple[registry.Room[Any], str]] = {
    "neuron": (NEURONS, "model"), "micro": (MICROCODE, "op")
}  # fmt: skip


def _member(image: CoreImage, item: Instruction) -> Any:
    """The neuron model or operator that an instruction names; None for others."""
    if item.op not in ROOMS:
        return None
    room, key = ROOMS[item.op]
    name = item.texts[key]
    if name not in room:
        cause, where = f"unknown member of {room.path}", f"{image.name}: {item.node}"
        raise SimulateError(Problem("ND612", cause, where, name, ", ".join(room)))
    return room[name]


def _params(item: Instruction, arrays: dict[str, Array]) -> dict[str, Any]:
    """Parameters by name: scalars as ints, one value per element as a column, behind the ticks if it has them."""
    params: dict[str, Any] = {k[2:]: v for k, v in item.texts.items() if k.startswith("p:")}
    for name, array in arrays.items():
        if name.startswith("e:"):
            params[name[2:]] = array[..., None]
        elif name.startswith("p:"):
            params[name[2:]] = int(array) if array.ndim == 0 else array
    return params


def _contraction(item: Instruction, arrays: dict[str, Array], pick: Array | None) -> Contraction:
    a, b = (tuple(arrays[f"{name}_sizes"].tolist()) for name in "ab")
    return Contraction.of(Equation.parse(item.texts["equation"]), a, b, pick)


def load(step: Step, image: CoreImage, samples: int, tally: Tally) -> Vector:
    """The state in which an instruction starts a sample; its words are written, and counted."""
    if words := _state_words(step):
        tally(step.item.node, "reset_words", words)
    return image.initial(step.item, samples)


def _state_words(step: Step) -> int:
    """64-bit words of state that start anew with every sample; a delay line only ever moves on."""
    item = step.item
    if item.op == "neuron":
        return item.size * _words(step)
    # Two registers share a word: P and Y of a product, running sum and last value of an operator.
    cumulative = item.numbers.get("cumulative") or item.texts.get("timing") == "cumulative"
    return 0 if item.op == "delay" else item.state.size - (item.size if cumulative else 0)


def _words(step: Step) -> int:
    """64-bit words of state of one neuron."""
    bits: int = sum(variable.bits for variable in step.member.state)
    return -(-bits // WORD)


def run(step: Step, frame: Frame) -> Vector:
    """The instruction's vector at this tick; raises SimulateError ND613 where a program of the image cannot be run."""
    try:
        vector = OPERATIONS[step.item.op](step, frame)
        if vector.shape != (step.item.size, frame.samples) or vector.dtype != np.int64:
            raise ValueError(f"it yields {vector.dtype} {vector.shape}")
        return vector
    except (LookupError, ValueError, TypeError, ArithmeticError, MemoryError) as error:
        cause = "an instruction of a memory image cannot be carried out"
        where = f"{frame.image.name}: {step.item.node or step.item.op} at tick {frame.t}"
        found = f"{type(error).__name__}: {error}"[:120]
        raise SimulateError(Problem("ND613", cause, where, found)) from error


def _const(step: Step, frame: Frame) -> Vector:
    return np.repeat(step.arrays["value"].reshape(-1, 1), frame.samples, axis=1)


def _input(step: Step, frame: Frame) -> Vector:
    numbers = step.item.numbers
    frames = (frame.t - 1) * numbers.get("per_tick", 0) + frame.turn * numbers.get("per_turn", 0)
    first = frames * step.item.size
    return np.asarray(frame.x[first : first + step.item.size] - step.arrays["zero"].reshape(-1, 1))


def _lookup(step: Step, frame: Frame) -> Vector:
    table, bias = step.arrays["table"], step.arrays["bias"]
    spikes = step.operand(frame).reshape(-1, len(table), frame.samples)
    position, row, sample = np.nonzero(spikes)
    found = np.zeros((len(spikes), frame.samples, len(bias)), dtype=np.int64) + bias
    np.add.at(found, (position, sample), table[row] * spikes[position, row, sample][:, None])
    return np.ascontiguousarray(found.swapaxes(1, 2)).reshape(-1, frame.samples)


def _received(step: Step, frame: Frame) -> Vector:
    return take(step.arrived(frame), step.pick)


def _delay(step: Step, frame: Frame) -> Vector:
    steps, size = step.item.numbers["steps"], step.item.size
    frame.tally(step.item.node, "microcode_ops", size)
    frame.tally(step.item.node, "state_accesses", size if steps > 1 or step.keeps else 0)
    if step.keeps:
        return take(step.arrived(frame), step.pick) * (1 if step.kernel is None else step.kernel[0])
    return frame.delayed[step.number]


def entering(step: Step, inbox: Vector) -> Vector:
    """What enters a delay line in this step."""
    kernel = 1 if step.kernel is None else step.kernel[0]
    return take(inbox[step.inbox[0]], step.pick) * kernel


def _reduce(step: Step, frame: Frame) -> Vector:
    fan = step.item.numbers["fan"]
    arrived = take(step.arrived(frame), step.pick).reshape(step.item.size, fan, frame.samples)
    weighted = arrived * (1 if step.kernel is None else step.kernel.reshape(1, -1, 1))
    if step.item.texts["kind"] == "max":
        frame.tally(step.item.node, "microcode_ops", step.item.size * (fan - 1))
        return np.asarray(weighted.max(axis=1))
    frame.tally(step.item.node, "microcode_ops", np.count_nonzero(arrived, axis=(0, 1)))
    return np.asarray(weighted.sum(axis=1))


def _neuron(step: Step, frame: Frame) -> Vector:
    item, model = step.item, step.member
    state = frame.state[step.number].reshape(len(model.state), item.size, frame.samples)
    interval = item.numbers.get("reset_interval", 0)
    if frame.t > 1 and interval > 0 and (frame.t - item.numbers["reset_phase"]) % interval == 0:
        state = np.zeros_like(state)
        frame.tally(item.node, "reset_words", _state_words(step))
    inputs = (step.operand(frame, i) for i in range(model.inputs))
    out: Vector
    out, *after, clipped = model.int_step(*inputs, *state, *(step.params[n] for n in model.int_params))
    frame.count_clipped(step, clipped, step.own)
    if after:
        frame.state[step.number] = np.stack(after).reshape(-1, frame.samples)
    frame.tally(item.node, "neuron_updates", item.size)
    if model.stock:
        frame.tally(item.node, "stock_updates", item.size)
    else:
        frame.tally(item.node, "program_ops", item.size * model.operations(step.params))
    frame.tally(item.node, "spikes", np.count_nonzero(out if step.own is None else out[step.own], axis=0))
    frame.tally(item.node, "state_accesses", item.size * max(_words(step) - 1, 0))
    return out


def _micro(step: Step, frame: Frame) -> Vector:
    item, x = step.item, step.operand(frame)
    rows = item.size // item.numbers["width"]
    operations = rows * step.member.operations(step.params, item.numbers["width"])
    if not item.numbers["cumulative"]:
        frame.tally(item.node, "microcode_ops", operations)
        return _apply(step, frame, x)
    total, last = frame.state[step.number].reshape(2, item.size, frame.samples)
    total = frame.saturate(step, total + x, REGISTER_BITS, step.own)
    now = frame.t * _apply(step, frame, fixed.rescale(total, *fixed.reciprocal(frame.t)))
    frame.state[step.number] = np.concatenate([total, now])
    frame.tally(item.node, "microcode_ops", operations + item.size * COMPENSATION_OPS)
    frame.tally(item.node, "state_accesses", item.size)
    return frame.saturate(step, now - last, item.numbers["bits"], step.own)


def _apply(step: Step, frame: Frame, x: Vector) -> Vector:
    """The operator itself; row operators see (samples, rows, width)."""
    width, params = step.item.numbers["width"], step.member.at(step.params, frame.t)
    if not step.member.row:
        y: Vector
        y, clipped = step.member.int_apply(x, params)
        frame.count_clipped(step, np.broadcast_to(clipped, y.shape), step.own)
        return y
    rows = np.ascontiguousarray(np.moveaxis(x.reshape(-1, width, frame.samples), 2, 0))
    y, clipped = step.member.int_apply(rows, params)
    back = [np.moveaxis(np.broadcast_to(part, y.shape), 0, 2).reshape(x.shape) for part in (y, clipped)]
    # A row operator may report one clip per row; it then counts once, as the operator says.
    per_row = np.ndim(clipped) > 0 and np.shape(clipped) != y.shape
    frame.count_clipped(step, clipped if per_row else (back[1] if np.ndim(clipped) else 0), step.own)
    return back[0]


def _sum(step: Step, frame: Frame) -> Vector:
    signs = step.arrays["signs"].tolist()
    total = sum(sign * step.operand(frame, i) for i, sign in enumerate(signs))
    frame.tally(step.item.node, "microcode_ops", step.item.size * (len(signs) - 1))
    return np.asarray(total)


def _view(step: Step, frame: Frame) -> Vector:
    total = step.operand(frame)
    for i in range(1, len(step.gathers)):
        total = total + step.operand(frame, i)  # every element comes from one operand, the others read zero
    return total


def _product(step: Step, frame: Frame) -> Vector:
    a, b = step.arrived(frame, 0), step.arrived(frame, 1)
    return PRODUCTS[step.item.texts["timing"]](step, frame, a, b)


def _instant(step: Step, frame: Frame, a: Vector, b: Vector) -> Vector:
    item = step.item
    p, pairs = _contract(step, a, b)
    frame.tally(item.node, "product_ops", pairs)
    frame.tally(item.node, "microcode_ops", item.size * RESCALE_OPS * ("multiplier" in step.arrays))
    return frame.saturate(step, _scaled(step, frame, p), item.numbers["bits"], step.own)


def _held(step: Step, frame: Frame, a: Vector, b: Vector) -> Vector:
    spoke = (b != 0).any(axis=0)
    b = np.where(spoke, b, frame.state[step.number])
    frame.state[step.number] = b
    frame.tally(step.item.node, "state_accesses", len(b) * spoke)
    return _instant(step, frame, a, b)


def _cumulative(step: Step, frame: Frame, a: Vector, b: Vector) -> Vector:
    item, size = step.item, step.item.size
    cuts = np.cumsum([len(a), len(b), size])
    s_a, s_b, p, y = np.split(frame.state[step.number], cuts)
    own = {key: array.astype(bool) for key, array in step.arrays.items() if key.startswith("own_")}
    if 1 in step.keeps and frame.turn:  # what is kept was summed up, and its clips counted, in the first turn
        own["own_b"] = np.zeros(len(b), dtype=bool)
    if 0 in step.keeps and frame.turn:
        own["own_a"] = np.zeros(len(a), dtype=bool)
    s_b = frame.saturate(step, s_b + b, REGISTER_BITS, own.get("own_b"))
    new, pairs = _contract(step, a, s_b)
    old, more = _contract(step, s_a, b)
    p = frame.saturate(step, p + new + old, REGISTER_BITS, step.own)
    s_a = frame.saturate(step, s_a + a, REGISTER_BITS, own.get("own_a"))
    y_now = _scaled(step, frame, p)
    frame.state[step.number] = np.concatenate([s_a, s_b, p, y_now])
    arrivals = np.count_nonzero(a, axis=0) + np.count_nonzero(b, axis=0)
    frame.tally(item.node, "product_ops", pairs + more)
    adds = 1 + RESCALE_OPS * ("multiplier" in step.arrays)
    frame.tally(item.node, "microcode_ops", arrivals + size * adds)
    frame.tally(item.node, "state_accesses", arrivals + size)
    return frame.saturate(step, y_now - y, item.numbers["bits"], step.own)


def _contract(step: Step, a: Vector, b: Vector) -> tuple[Vector, Vector]:
    """The product's elements and the pairs of non-zero operands met for them, per sample."""
    return step.contraction.apply(a, b), step.contraction.pairs(a, b)


def _scaled(step: Step, frame: Frame, p: Vector) -> Vector:
    if "multiplier" not in step.arrays:
        return p
    multiplier, shift = step.arrays["multiplier"].ravel(), step.arrays["shift"].ravel()
    index = min(frame.t, len(multiplier)) - 1
    scaled: Vector = fixed.rescale(p, multiplier[index], shift[index])
    return scaled


PRODUCTS: dict[str, Callable[..., Vector]] = {"instant": _instant, "held": _held, "cumulative": _cumulative}
OPERATIONS: dict[str, Callable[[Step, Frame], Vector]] = {
    "const": _const, "input": _input, "lookup": _lookup, "output": _received, "synapse": _received, "delay": _delay,
    "reduce": _reduce, "neuron": _neuron, "micro": _micro, "sum": _sum, "view": _view, "product": _product,
}  # fmt: skip
