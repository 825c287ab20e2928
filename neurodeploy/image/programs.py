"""Programs: the operations that an instruction may name, the tables its numbers point into, and their checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np

from ..array import Array
from ..ir.equation import Equation
from ..ir.neuron_model import NEURONS
from .synapses import CONNECTIONS
from .tables import LARGEST, Found, Table, Tables, outside
from .types import HOST, IDENTITY, CoreImage, Instruction, TableArray
from .words import WORD

LONGEST = 1 << 16  # no run of an image takes more steps
WIDEST = 64

#: element indices of instructions, -1 reads zero
GATHER = Table("gather", np.int32)
#: parameters, constants, lookup tables
VALUES = Table("values", np.int64)
#: initial state, loaded at tick 1 of every sample (delay lines: at reset)
STATE = Table("state", np.int64)
TABLES = (GATHER, VALUES, STATE)


def add_values(tables: Tables, array: Array) -> TableArray:
    """A parameter array; equal ones share their words."""
    array = np.asarray(array, dtype=np.int64)
    return TableArray(tables.share(VALUES, array.ravel()), array.shape)


def add_state(tables: Tables, count: int) -> TableArray:
    """Initial state of ``count`` words."""
    return TableArray(tables.add(STATE, np.zeros(count, dtype=np.int64)), (count,))


def add_gather(tables: Tables, index: Array, size: int) -> int:
    """Element indices into a vector of ``size``; :data:`IDENTITY` where they are all of it in order."""
    if len(index) == size and np.array_equal(index, np.arange(size)):
        return IDENTITY
    return tables.share(GATHER, index)


Wrong = Iterator[tuple[object, str]]  # what is found and why it cannot be
Size = Callable[[CoreImage, Instruction], int]


@dataclass(frozen=True)
class Operation:
    """What an instruction must hold: how many operands and ports, which numbers and texts, arrays of which sizes.

    ``arrays``: size of each, or None for any. ``state``: words of initial state. ``reads``: elements of each operand.
    ``wrong``: what else breaks it.
    """

    operands: tuple[int, int] = (0, 0)
    ports: int = 0
    numbers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    arrays: Mapping[str, Size | None] = field(default_factory=dict)
    state: Size = lambda image, item: 0
    reads: Size = lambda image, item: item.size
    wrong: Callable[[CoreImage, Instruction], Wrong] = lambda image, item: iter(())


def _size(image: CoreImage, item: Instruction) -> int:
    return item.size


def _wrong_input(image: CoreImage, item: Instruction) -> Wrong:
    frames = image.header["timesteps"] if item.numbers.get("per_tick") else 1
    frames *= max(unit.turns for unit in image.units) if item.numbers.get("per_turn") else 1
    if item.size * frames != prod(image.header.get(item.op, (0,))):
        yield item.size, f"the {item.op} has another size than the header says"


def _looked_up(image: CoreImage, item: Instruction) -> int:
    """Elements that a lookup reads: as many rows for each of its positions."""
    return item.size // max(item.arrays["bias"].size, 1) * item.numbers["rows"]


def _wrong_lookup(image: CoreImage, item: Instruction) -> Wrong:
    outputs = item.arrays["bias"].size
    if item.arrays["table"].shape != (item.numbers["rows"], outputs) or not outputs or item.size % outputs:
        yield item.size, "table and elements of a lookup disagree"
    if image.chip != HOST or any(operand.start != IDENTITY for operand in item.operands):
        yield image.name, "only the host looks up, whatever it reads in its order"


def _wrong_output(image: CoreImage, item: Instruction) -> Wrong:
    yield from _wrong_input(image, item)
    if not np.array_equal(image.elements(item), np.arange(item.size)):
        yield "probe", "the read-out is not in order"


def _neuron_state(image: CoreImage, item: Instruction) -> int:
    model = NEURONS.get(item.texts["model"])
    return item.size * len(model.state) if model else -1


def _wrong_neuron(image: CoreImage, item: Instruction) -> Wrong:
    model = NEURONS.get(item.texts["model"])
    if model and len(item.operands) != model.inputs:
        yield len(item.operands), "a neuron reads another number of streams than its model"


def _wrong_micro(image: CoreImage, item: Instruction) -> Wrong:
    if item.size % item.numbers["width"]:
        yield item.numbers["width"], "elements are not whole rows"


def _wrong_kernel(image: CoreImage, item: Instruction) -> Wrong:
    """The kernel has one row for each element that is added up."""
    links, kernel = image.rows(CONNECTIONS), item.numbers["kernel"]
    rows = int(links["rows"][kernel]) if kernel < len(links) else -1
    if rows != item.numbers.get("fan", 1):
        yield rows, "the kernel has not one row per element of a window"


def _product_state(image: CoreImage, item: Instruction) -> int:
    a, b = (image.port_size(port) for port in item.ports)
    words = {"instant": 0, "held": b, "cumulative": a + b + 2 * item.size}
    return words[item.texts["timing"]]


def _wrong_product(image: CoreImage, item: Instruction) -> Wrong:
    if _letter_sizes(image, item) is None:
        yield item.texts["equation"], "equation, sizes and ports of a product disagree"
        return
    for which, name in enumerate("ab"):
        sizes = image.array(item.arrays[f"{name}_sizes"]).ravel()
        if (terms := item.arrays.get(f"terms_{name}")) and terms.size != image.port_size(item.ports[which]):
            yield terms.size, "not every element of an operand has a mark whether its terms are shown"
        if sees := item.arrays.get(f"see_{which}"):
            axis = item.numbers.get(f"see_{which}", -1)
            words = -(-int(sizes[axis]) // WORD) if 0 <= axis < len(sizes) else -1
            if len(sees.shape) != 2 or sees.shape[1] != words:
                yield sees.size, "what the turns of a product use has other words than its axis has indices"


def packed(sees: Array) -> Array:
    """Booleans (turns, indices) as whole words (turns, words)."""
    words = np.zeros((len(sees), -(-sees.shape[1] // WORD) * WORD), dtype=bool)
    words[:, : sees.shape[1]] = sees
    found: Array = np.packbits(words, axis=1, bitorder="little").view("<i8").astype(np.int64)
    return found


def unpacked(words: Array, size: int) -> Array:
    """The booleans (.., indices) that were packed."""
    whole = np.ascontiguousarray(words, dtype="<i8").view(np.uint8)
    return np.unpackbits(whole, axis=-1, bitorder="little")[..., :size].astype(bool)


ANY = (1, 1 << 16)
OPERATIONS: dict[str, Operation] = {
    "const": Operation(arrays={"value": _size}),
    "input": Operation(arrays={"zero": _size}, wrong=_wrong_input),
    "output": Operation(ports=1, numbers=("from",), texts=("readout",), wrong=_wrong_output),
    "synapse": Operation(ports=1, numbers=("from",)),
    "lookup": Operation(
        (1, 1), numbers=("rows",), arrays={"table": None, "bias": None}, reads=_looked_up, wrong=_wrong_lookup
    ),
    "delay": Operation(
        ports=1, numbers=("from", "steps", "kernel"), wrong=_wrong_kernel,
        state=lambda image, item: item.size * (item.numbers["steps"] - 1),
    ),
    "reduce": Operation(ports=1, numbers=("from", "fan", "kernel"), texts=("kind",), wrong=_wrong_kernel),
    "product": Operation(
        ports=2, numbers=("from", "bits"), texts=("equation", "timing"), arrays={"a_sizes": None, "b_sizes": None},
        state=_product_state, wrong=_wrong_product,
    ),
    "neuron": Operation((1, 2), texts=("model",), state=_neuron_state, wrong=_wrong_neuron),
    "micro": Operation(
        (1, 1), numbers=("width", "cumulative", "bits"), texts=("op",), wrong=_wrong_micro,
        state=lambda image, item: 2 * item.size * item.numbers["cumulative"],
    ),
    "sum": Operation(ANY, arrays={"signs": lambda image, item: len(item.operands)}),
    "view": Operation(ANY),
}  # fmt: skip
#: numbers of any operation: from (first) to (second) - 1
NUMBERS = {
    "from": (IDENTITY, LARGEST), "kernel": (0, LARGEST), "fan": (1, LARGEST), "width": (1, LARGEST),
    "rows": (1, LARGEST), "per_tick": (0, 2), "per_turn": (0, LONGEST), "cumulative": (0, 2),
    "steps": (1, LONGEST + 1), "bits": (2, WIDEST + 1), "reset_interval": (1, LARGEST),
}  # fmt: skip
#: texts that must come from a closed list
WORDS = {
    "kind": ("sum", "max"), "timing": ("instant", "held", "cumulative"), "readout": ("sum", "last", "mean")
}  # fmt: skip


def wrong(image: CoreImage) -> Iterator[Found]:
    """Instructions that lack a part, read what is not there, or whose sizes disagree."""
    for number, unit in enumerate(image.units):
        for index, item in enumerate(unit.program):
            place = f"unit {number} instruction {index} ({item.op})"
            # Each finds faults that would mislead the next.
            for check in (_parts, _references, _arrays, _sizes):
                found = list(check(image, unit.program[:index], item))
                yield from (Found(place, *pair) for pair in found)
                if found:
                    break


def _parts(image: CoreImage, before: tuple[Instruction, ...], item: Instruction) -> Wrong:
    spec = OPERATIONS.get(item.op)
    if spec is None:
        yield item.op, "an unknown operation"
        return
    parts = (spec.numbers, item.numbers), (spec.texts, item.texts), (spec.arrays, item.arrays)
    lacking = [name for wanted, held in parts for name in wanted if name not in held]
    low, high = spec.operands
    if lacking or not low <= len(item.operands) <= high or len(item.ports) != spec.ports:
        yield ", ".join(lacking), "an instruction lacks a part, or has too many"
    for name, text in item.texts.items():
        if text not in WORDS.get(name, (text,)):
            yield f"{name} {text}", f"not one of {', '.join(WORDS[name])}"
    for name, number in item.numbers.items():
        low, high = NUMBERS.get(name, (-LARGEST, LARGEST))
        if not low <= number < high:
            yield number, f"{name} must lie in {low} .. {high - 1}"


def _references(image: CoreImage, before: tuple[Instruction, ...], item: Instruction) -> Wrong:
    """Operands, ports and arrays that are not there."""
    for operand in item.operands:
        if operand.source >= len(before):
            yield operand.source, "an instruction reads one that has not run"
    for port in item.ports:
        if port >= len(image.tables["ports"]):
            yield port, "an instruction reads no port"
    tables = {"values": item.arrays.values(), "state": (item.state,), "elements": (item.probe,)}
    for table, arrays in tables.items():
        for array in arrays:
            if array.start + array.size > len(image.tables[table]):
                yield array.start + array.size, f"an array lies outside {table}"


def _arrays(image: CoreImage, before: tuple[Instruction, ...], item: Instruction) -> Wrong:
    """Arrays of the wrong size."""
    spec = OPERATIONS[item.op]
    for name, size in spec.arrays.items():
        if size is not None and item.arrays[name].size != size(image, item):
            yield name, "a table has the wrong size"
    if item.state.size != spec.state(image, item):
        yield item.state.size, "the initial state has another size than the operation needs"
    if item.node and (item.probe.shape[-1:] != (item.size,) or len(item.probe.shape) > 2):
        yield item.probe.size, "not every element has a probe entry"
    for name, array in item.arrays.items():
        base = item.arrays.get(name[2:]) if name.startswith("t:") else None
        if name.startswith("t:") and (base is None or array.shape[1:] != base.shape):
            yield name, "a table of turns has other rows than what they stand for"
    yield from spec.wrong(image, item)


def _sizes(image: CoreImage, before: tuple[Instruction, ...], item: Instruction) -> Wrong:
    """Gathers that read beyond a vector."""
    for operand in item.operands:
        count = OPERATIONS[item.op].reads(image, item)
        yield from _gathered(image, operand.start, count, before[operand.source].size)
    for which, port in enumerate(item.ports):
        if (name := f"keep_{which}") in item.arrays:
            kept, cause = image.array(item.arrays[name]).ravel(), "what is kept is read beyond its port"
            found = outside("", kept, -1, image.port_size(port), cause)
            yield from ((entry, cause) for _, entry, cause in found)
    if item.ports:
        own = item.arrays["keep_0"].shape[-1] if "keep_0" in item.arrays else image.port_size(item.ports[0])
        reach = _product_size(image, item) if item.op == "product" else own
        yield from _gathered(image, item.numbers["from"], item.size * item.numbers.get("fan", 1), reach)


def _gathered(image: CoreImage, start: int, count: int, size: int) -> Wrong:
    gather = image.tables["gather"]
    if start == IDENTITY:
        if count != size:
            yield f"{count} of {size}", "elements in order, but their numbers differ"
    elif start + count > len(gather):
        yield start + count, "gather indices do not exist"
    else:
        found = outside("", gather[start : start + count], -1, size, "an element that is not there is read")
        yield from ((entry, cause) for _, entry, cause in found)


def _product_size(image: CoreImage, item: Instruction) -> int:
    """Elements of a product before some are picked."""
    letters = _letter_sizes(image, item) or {}
    return prod(letters[c] for c in Equation.parse(item.texts["equation"]).out)


def _letter_sizes(image: CoreImage, item: Instruction) -> dict[str, int] | None:
    """Sizes of the letters of a product's equation; None if equation, sizes and ports disagree."""
    a, b = (tuple(image.array(item.arrays[name]).ravel().tolist()) for name in ("a_sizes", "b_sizes"))
    try:
        equation = Equation.parse(item.texts["equation"])
        table = equation.sizes(a, b)
    except ValueError:
        return None
    fits = [prod(a), prod(b)] == [image.port_size(port) for port in item.ports]
    fits = fits and not equation.repeats and all(1 <= n < LARGEST for n in table.values())
    return table if fits else None
