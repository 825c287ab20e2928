"""What the instructions of images do, of all cores at once whose units are alike.

Vectors are int64 (cores * elements, samples), core after core; neither samples nor cores ever meet. Order of update,
widths and rounding are those of semantics.md; registered neuron models and operators are called as they are. Every
function gets a :class:`Frame` and yields the instruction's vector.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from ... import registry
from ...array import Array
from ...errors import Problem, SimulateError
from ...image import CoreImage, Instruction, Unit, unpacked, weights_of
from ...ir import fixed
from ...ir.equation import Equation
from ...ir.micro_op import COMPENSATION_OPS, MICROCODE, RESCALE_OPS
from ...ir.neuron_model import NEURONS
from ...ir.widths import REGISTER_BITS
from .contract import Contraction
from .gather import Gather

WORD = 64  # bits

Vector = Array
State = Sequence[Vector]  # of one instruction: a vector for each thing it remembers
Tally = Callable[[str, str, Any], None]  # (node, kind, amounts: one for each core, or (cores, samples))


@dataclass
class Frame:
    """All that instructions see: this tick's vectors and inbox, their state, and where events are counted.

    ``kept``: (ticks, slots, samples) of the ports that keep what arrives, by port; ``name``: of the cores, for errors.
    """

    name: str
    x: Vector
    t: int
    inbox: Vector
    vectors: list[Vector]
    state: list[State]
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
        """Add clipped elements, those that count on these cores, to the node's counter."""
        clipped = np.asarray(clipped)
        if own is not None and clipped.shape[:1] == own.shape:
            clipped = clipped[own]
        self.saturations[step.item.node] += int(np.count_nonzero(clipped))

    def saturate(self, step: Step, x: Vector, bits: int, own: Array | None) -> Vector:
        """Clip to a width and count."""
        y: Vector = fixed.saturate(x, bits)
        self.count_clipped(step, x != y, own)
        return y


@dataclass(frozen=True, eq=False)
class Step:
    """An instruction of several cores with its tables looked up; ``item`` is the first core's, for sizes and names.

    ``gathers``: of each operand; ``inbox``: where its ports lie, ``pick``: which elements of them, or of a product,
    become elements of the vector; ``start``: its state at tick 1; ``keeps``: by port, what is read of what it has kept,
    in each turn if these differ; ``sees``: by port, which elements a product uses in each turn, (turns, elements, 1).
    """

    number: int
    item: Instruction
    cores: int
    gathers: tuple[Gather, ...]
    ports: tuple[int, ...]
    inbox: tuple[slice, ...]
    pick: Gather | None
    start: tuple[Array, ...]
    arrays: dict[str, Array]
    own: Array | None
    member: Any = None
    params: dict[str, Any] = field(default_factory=dict)
    contraction: Any = None
    kernel: Array | None = None
    keeps: dict[int, tuple[Gather, ...]] = field(default_factory=dict)
    sees: dict[int, Array] = field(default_factory=dict)

    def operand(self, frame: Frame, which: int = 0) -> Vector:
        """An input's elements."""
        return self.gathers[which](frame.vectors[self.item.operands[which].source])

    def arrived(self, frame: Frame, port: int = 0) -> Vector:
        """What is in a port's inbox, or what it has kept for this tick."""
        if port not in self.keeps:
            return np.asarray(frame.inbox[self.inbox[port]])
        order, kept = self.keeps[port], frame.kept[self.ports[port]][frame.t - 1]
        found = order[frame.turn if len(order) > 1 else 0](kept)
        return found if port not in self.sees else np.asarray(found * self.sees[port][frame.turn])

    def used(self, port: int, arrived: Vector, turn: int) -> Vector:
        """Elements of an operand of a product, 0 where no term with them is shown."""
        terms = self.arrays.get(f"terms_{'ab'[port]}")
        if terms is not None:
            return np.asarray(arrived * terms[:, None])
        masked = port in self.sees and port not in self.keeps
        return np.asarray(arrived * self.sees[port][turn]) if masked else arrived

    def fresh(self, port: int, turn: int) -> Array | None:
        """Which elements that an operand keeps are used for the first time; None where it keeps nothing."""
        if port not in self.keeps:
            return None
        if port not in self.sees:
            return np.full(1, not turn)
        sees = self.sees[port]
        found: Array = (sees[turn] & ~sees[:turn].any(axis=0))[:, 0]
        return found

    def by_core(self, vector: Vector) -> Vector:
        """The vector (cores, elements, samples)."""
        return vector.reshape(self.cores, -1, vector.shape[-1])

    def active(self, vector: Vector) -> Vector:
        """How many elements are not zero, (cores, samples)."""
        return np.asarray(np.count_nonzero(self.by_core(vector), axis=1))

    def at(self, turn: int) -> Step:
        """The step with what is special about a turn."""
        special = {k[2:]: array[turn] for k, array in self.arrays.items() if k.startswith("t:")}
        if not special:
            return self
        arrays = self.arrays | special
        return replace(self, arrays=arrays, params=_params(self.item, arrays))


ROOMS: dict[str, tuple[registry.Room[Any], str]] = {
    "neuron": (NEURONS, "model"), "micro": (MICROCODE, "op")
}  # fmt: skip


def prepare(
    images: Sequence[CoreImage],
    units: Sequence[Unit],
    number: int,
    ports: tuple[int, ...],
    inbox: tuple[slice, ...],
) -> Step:
    """The same instruction of several cores, ready to run; ``inbox``: where its ``ports`` lie, core after core.

    Raises SimulateError ND612 for an unknown neuron model or operator.
    """
    items = [unit.program[number] for unit in units]
    cores, first, item = list(zip(images, items, strict=True)), units[0].program, items[0]
    arrays, member = _side_by_side(cores), _member(images[0], item)
    gathers = tuple(
        Gather.side_by_side(
            [image.gather(i.operands[n].start, i.size) for image, i in cores], first[o.source].size
        )
        for n, o in enumerate(item.operands)
    )
    picks = [
        image.gather(i.numbers["from"], i.size * i.numbers.get("fan", 1)) for image, i in cores if i.ports
    ]
    contraction = _contraction(item, arrays, picks) if item.op == "product" else None
    pick = Gather.side_by_side(picks, _reach(images[0], item, contraction)) if picks else None
    keeps = {
        n: _kept(images[0], item, n, arrays.pop(f"keep_{n}"))
        for n in range(len(item.ports))
        if f"keep_{n}" in arrays
    }
    sees = {
        n: _sees(images[0], item, n, arrays.pop(f"see_{n}"), len(units))
        for n in range(len(item.ports))
        if f"see_{n}" in arrays
    }
    own = arrays["own"].astype(bool) if "own" in arrays else None
    start, kernel = _start(cores, member), _kernel(cores)
    params = _params(item, arrays)
    return Step(
        number,
        item,
        len(units),
        gathers,
        ports,
        inbox,
        pick,
        start,
        arrays,
        own,
        member,
        params,
        contraction,
        kernel,
        keeps,
        sees,
    )


def local(name: str, shape: tuple[int, ...], size: int) -> bool:
    """Whether an array of an instruction has an entry for each of its core's elements, along its last axis."""
    if name.startswith(("own", "keep_", "see_", "terms_")):
        return True
    return name.removeprefix("t:").startswith(("value", "zero", "e:")) and shape[-1:] == (size,)


def _side_by_side(cores: Sequence[tuple[CoreImage, Instruction]]) -> dict[str, Array]:
    """Arrays of all cores, local ones core after core; ones where a core lacks what others have: all are its own."""
    found = [{name: image.array(array) for name, array in item.arrays.items()} for image, item in cores]
    every = {name: array for arrays in reversed(found) for name, array in arrays.items()}
    return {
        name: np.concatenate([arrays.get(name, np.ones_like(array)) for arrays in found], axis=-1)
        if local(name, array.shape, cores[0][1].size) else array
        for name, array in every.items()
    }  # fmt: skip


def _reach(image: CoreImage, item: Instruction, contraction: Contraction | None) -> int:
    """Elements of a core from which an instruction with ports picks its own."""
    if contraction is not None:
        return prod(contraction.sizes[c] for c in contraction.equation.out)
    return item.arrays["keep_0"].shape[-1] if "keep_0" in item.arrays else image.port_size(item.ports[0])


def _kept(image: CoreImage, item: Instruction, which: int, order: Array) -> tuple[Gather, ...]:
    """What is read of what a port has kept, in each turn if these differ; ``order``: slots, core after core."""
    size = image.port_size(item.ports[which])
    rows = order.reshape(-1, order.shape[-1])
    each = rows.shape[1] // item.arrays[f"keep_{which}"].shape[-1]
    return tuple(Gather.side_by_side(np.split(row, each), size) for row in rows)


def _sees(image: CoreImage, item: Instruction, which: int, words: Array, cores: int) -> Array:
    """Which elements of an operand a product uses, (turns, elements, 1), core after core."""
    sizes, axis = image.array(item.arrays[f"{'ab'[which]}_sizes"]), item.numbers[f"see_{which}"]
    before, size, after = prod(sizes[:axis]), int(sizes[axis]), prod(sizes[axis + 1 :])
    seen = unpacked(words.reshape(len(words), cores, -1), size)[:, :, None, :, None]
    found: Array = np.broadcast_to(seen, (len(words), cores, before, size, after)).reshape(len(words), -1, 1)
    return found


def _start(cores: Sequence[tuple[CoreImage, Instruction]], member: Any) -> tuple[Array, ...]:
    """What the instruction of each core remembers at first, thing by thing, core after core."""
    image, item = cores[0]
    sizes = _remembers(image, item, member)
    words = [np.split(image.initial(item), np.cumsum(sizes)[:-1]) for image, item in cores]
    return tuple(np.concatenate(parts) for parts in zip(*words, strict=True)) if sizes else ()


def _remembers(image: CoreImage, item: Instruction, member: Any) -> list[int]:
    """Words of each thing that an instruction remembers."""
    if item.op == "product":
        a, b = (image.port_size(port) for port in item.ports)
        return {"instant": [], "held": [b], "cumulative": [a, b, item.size, item.size]}[item.texts["timing"]]
    things = {"neuron": len(member.state) if item.op == "neuron" else 0, "micro": 2 * item.numbers.get("cumulative", 0),
              "delay": item.numbers.get("steps", 1) - 1}  # fmt: skip
    return [item.size] * things.get(item.op, 0)


def _kernel(cores: Sequence[tuple[CoreImage, Instruction]]) -> Array | None:
    """Weights by core and element of a window; None where all are 1."""
    if "kernel" not in cores[0][1].numbers:
        return None
    kernel = np.stack([weights_of(image, item.numbers["kernel"])[:, 0] for image, item in cores])
    return None if (kernel == 1).all() else kernel


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


def _contraction(item: Instruction, arrays: dict[str, Array], picks: list[Array | None]) -> Contraction:
    a, b = (tuple(arrays[f"{name}_sizes"].tolist()) for name in "ab")
    return Contraction.of(Equation.parse(item.texts["equation"]), a, b, picks)


def load(step: Step, samples: int, tally: Tally) -> State:
    """The state in which an instruction starts a sample; its words are written, and counted."""
    if words := _state_words(step):
        tally(step.item.node, "reset_words", words)
    return initial(step, samples)


def initial(step: Step, samples: int) -> State:
    """The same, not counted; nobody writes into it."""
    return [np.broadcast_to(words[:, None], (len(words), samples)) for words in step.start]


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
    """The instruction's vector at this tick; raises SimulateError ND613 where a program of an image cannot be run."""
    try:
        vector = OPERATIONS[step.item.op](step, frame)
        if vector.shape != (step.cores * step.item.size, frame.samples) or vector.dtype != np.int64:
            raise ValueError(f"it yields {vector.dtype} {vector.shape}")
        return vector
    except (LookupError, ValueError, TypeError, ArithmeticError, MemoryError) as error:
        cause = "an instruction of a memory image cannot be carried out"
        where = f"{frame.name}: {step.item.node or step.item.op} at tick {frame.t}"
        found = f"{type(error).__name__}: {error}"[:120]
        raise SimulateError(Problem("ND613", cause, where, found)) from error


def _const(step: Step, frame: Frame) -> Vector:
    value = step.arrays["value"].reshape(-1, 1)
    return np.broadcast_to(value, (len(value), frame.samples))


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
    return _picked(step, step.arrived(frame))


def _picked(step: Step, arrived: Vector) -> Vector:
    """Elements of what arrived, times the weights with which they are added up."""
    found = arrived if step.pick is None else step.pick(arrived)
    if step.kernel is None:
        return found
    fan = step.by_core(found).reshape(step.cores, -1, step.kernel.shape[1], found.shape[-1])
    return np.asarray(fan * step.kernel[:, None, :, None]).reshape(found.shape)


def _delay(step: Step, frame: Frame) -> Vector:
    steps, size = step.item.numbers["steps"], step.item.size
    frame.tally(step.item.node, "microcode_ops", size)
    frame.tally(step.item.node, "state_accesses", size if steps > 1 or step.keeps else 0)
    return _picked(step, step.arrived(frame)) if step.keeps else frame.delayed[step.number]


def entering(step: Step, inbox: Vector) -> Vector:
    """What enters a delay line in this step."""
    return _picked(step, inbox[step.inbox[0]])


def _reduce(step: Step, frame: Frame) -> Vector:
    item, fan = step.item, step.item.numbers["fan"]
    weighted = _picked(step, step.arrived(frame))
    windows = weighted.reshape(-1, fan, frame.samples)
    if item.texts["kind"] == "max":
        frame.tally(item.node, "microcode_ops", item.size * (fan - 1))
        return np.asarray(windows.max(axis=1))
    frame.tally(item.node, "microcode_ops", step.active(weighted))
    return np.asarray(windows.sum(axis=1))


def _neuron(step: Step, frame: Frame) -> Vector:
    item, model = step.item, step.member
    state = frame.state[step.number]
    interval = item.numbers.get("reset_interval", 0)
    if frame.t > 1 and interval > 0 and (frame.t - item.numbers["reset_phase"]) % interval == 0:
        state = [np.zeros_like(part) for part in state]
        frame.tally(item.node, "reset_words", _state_words(step))
    inputs = (step.operand(frame, i) for i in range(model.inputs))
    out: Vector
    out, *after, clipped = model.int_step(*inputs, *state, *(step.params[n] for n in model.int_params))
    frame.count_clipped(step, clipped, step.own)
    frame.state[step.number] = after
    frame.tally(item.node, "neuron_updates", item.size)
    if model.stock:
        frame.tally(item.node, "stock_updates", item.size)
    else:
        frame.tally(item.node, "program_ops", item.size * model.operations(step.params))
    frame.tally(item.node, "spikes", step.active(out if step.own is None else out * step.own[:, None]))
    frame.tally(item.node, "state_accesses", item.size * max(_words(step) - 1, 0))
    return out


def _micro(step: Step, frame: Frame) -> Vector:
    item, x = step.item, step.operand(frame)
    rows = item.size // item.numbers["width"]
    operations = rows * step.member.operations(step.params, item.numbers["width"])
    if not item.numbers["cumulative"]:
        frame.tally(item.node, "microcode_ops", operations)
        return _apply(step, frame, x)
    total, last = frame.state[step.number]
    total = frame.saturate(step, total + x, REGISTER_BITS, step.own)
    now = frame.t * _apply(step, frame, fixed.rescale(total, *fixed.reciprocal(frame.t)))
    frame.state[step.number] = total, now
    frame.tally(item.node, "microcode_ops", operations + item.size * COMPENSATION_OPS)
    frame.tally(item.node, "state_accesses", item.size)
    return frame.saturate(step, now - last, item.numbers["bits"], step.own)


def _apply(step: Step, frame: Frame, x: Vector) -> Vector:
    """The operator itself; row operators see (samples, cores, rows, width)."""
    width, params = step.item.numbers["width"], step.member.at(step.params, frame.t)
    if not step.member.row:
        y: Vector
        y, clipped = step.member.int_apply(x, params)
        frame.count_clipped(step, np.broadcast_to(clipped, y.shape), step.own)
        return y
    rows = np.ascontiguousarray(np.moveaxis(x.reshape(step.cores, -1, width, frame.samples), 3, 0))
    y, clipped = step.member.int_apply(rows, params)
    back = [np.moveaxis(np.broadcast_to(part, y.shape), 0, 3).reshape(x.shape) for part in (y, clipped)]
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
    arrived = step.arrived(frame, 0), step.arrived(frame, 1)
    a, b = (step.used(port, vector, frame.turn) for port, vector in enumerate(arrived))
    arrivals = sum(map(step.active, arrived))
    return PRODUCTS[step.item.texts["timing"]](step, frame, a, b, arrivals)


def _instant(step: Step, frame: Frame, a: Vector, b: Vector, arrivals: Vector) -> Vector:
    item = step.item
    p, pairs = _contract(step, a, b)
    frame.tally(item.node, "product_ops", pairs)
    frame.tally(item.node, "microcode_ops", item.size * RESCALE_OPS * ("multiplier" in step.arrays))
    return frame.saturate(step, _scaled(step, frame, p), item.numbers["bits"], step.own)


def _held(step: Step, frame: Frame, a: Vector, b: Vector, arrivals: Vector) -> Vector:
    spoke, (before,) = (step.by_core(b) != 0).any(axis=1), frame.state[step.number]
    held = np.where(spoke[:, None], step.by_core(b), step.by_core(before)).reshape(b.shape)
    frame.state[step.number] = (held,)
    frame.tally(step.item.node, "state_accesses", len(b) // step.cores * spoke)
    return _instant(step, frame, a, held, arrivals)


def _cumulative(step: Step, frame: Frame, a: Vector, b: Vector, arrivals: Vector) -> Vector:
    item, size = step.item, step.item.size
    s_a, s_b, p, y = frame.state[step.number]
    own = {key: array.astype(bool) for key, array in step.arrays.items() if key.startswith("own_")}
    for port, (name, vector) in enumerate((("own_a", a), ("own_b", b))):
        # What is kept is summed up anew in every turn: its clips count in the first that uses it.
        if (fresh := step.fresh(port, frame.turn)) is not None:
            own[name] = own.get(name, True) & np.broadcast_to(fresh, len(vector))
    s_b = frame.saturate(step, s_b + b, REGISTER_BITS, own.get("own_b"))
    new, pairs = _contract(step, a, s_b)
    old, more = _contract(step, s_a, b)
    p = frame.saturate(step, p + new + old, REGISTER_BITS, step.own)
    s_a = frame.saturate(step, s_a + a, REGISTER_BITS, own.get("own_a"))
    y_now = _scaled(step, frame, p)
    frame.state[step.number] = s_a, s_b, p, y_now
    frame.tally(item.node, "product_ops", pairs + more)
    adds = 1 + RESCALE_OPS * ("multiplier" in step.arrays)
    frame.tally(item.node, "microcode_ops", arrivals + size * adds)
    frame.tally(item.node, "state_accesses", arrivals + size)
    return frame.saturate(step, y_now - y, item.numbers["bits"], step.own)


def _contract(step: Step, a: Vector, b: Vector) -> tuple[Vector, Vector]:
    """The product's elements and the pairs of non-zero operands met for them, by core and sample."""
    contraction, (x, y) = step.contraction, (step.by_core(a), step.by_core(b))
    found = _picked(step, contraction.apply(x, y))
    if contraction.whole:
        return found, contraction.pairs(x, y)
    met = contraction.apply((x != 0).astype(np.int64), (y != 0).astype(np.int64))
    return found, step.by_core(_picked(step, met)).sum(axis=1)


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
