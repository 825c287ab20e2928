"""Checks of memory images: an image from a file is hostile until every index in it is known to be in bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from .. import registry
from ..array import Array
from ..errors import MappingError, Problem
from ..ir.equation import Equation
from .types import IDENTITY, OPERAND, ROWS, CoreImage, Instruction
from .words import Layout

LARGEST = 1 << 31  # no index, size or depth of an image exceeds 31 bits
LONGEST = 1 << 16  # no run of an image takes more steps
WIDEST = 64
DELAY_BITS = 16  # no message waits longer than a run lasts


# --- operations ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spec:
    """What an instruction of one operation must hold; ``state`` gives its words of initial state."""

    operands: tuple[int, int] = (0, 0)
    ports: int = 0
    numbers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    arrays: tuple[str, ...] = ()
    state: Callable[[CoreImage, Instruction], int] = lambda image, item: 0


def _neuron_state(image: CoreImage, item: Instruction) -> int:
    model = registry.NEURONS.get(item.texts["model"])
    return item.size * len(model.state) if model else -1


def _streams(item: Instruction) -> int:
    model = registry.NEURONS.get(item.texts["model"])
    return model.inputs if model else len(item.operands)


def _product_state(image: CoreImage, item: Instruction) -> int:
    sizes = [int(image.tables["ports"][p, 1]) for p in item.ports if p < len(image.tables["ports"])]
    if len(sizes) < 2:
        return -1
    words = {"instant": 0, "held": sizes[1], "cumulative": sizes[0] + sizes[1] + 2 * item.size}
    return words.get(item.texts["timing"], -1)


ANY = (1, 1 << 16)
#: every operation an image may name
OPS: dict[str, Spec] = {
    "const": Spec(arrays=("value",)),
    "input": Spec(arrays=("zero",)),
    "output": Spec(ports=1, numbers=("from",), texts=("readout",)),
    "synapse": Spec(ports=1, numbers=("from",)),
    "delay": Spec(
        ports=1,
        numbers=("from", "steps", "kernel"),
        state=lambda image, item: item.size * (item.numbers["steps"] - 1),
    ),
    "reduce": Spec(ports=1, numbers=("from", "fan", "kernel"), texts=("kind",)),
    "product": Spec(
        ports=2,
        numbers=("from", "bits"),
        texts=("equation", "timing"),
        arrays=("a_sizes", "b_sizes"),
        state=_product_state,
    ),
    "neuron": Spec((1, 2), texts=("model",), state=_neuron_state),
    "micro": Spec(
        (1, 1),
        numbers=("width", "cumulative", "bits"),
        texts=("op",),
        state=lambda image, item: 2 * item.size * item.numbers["cumulative"],
    ),
    "sum": Spec(ANY, arrays=("signs",)),
    "view": Spec(ANY),
}
#: texts that must come from a closed list
WORDS = {
    "kind": ("sum", "max"),
    "timing": ("instant", "held", "cumulative"),
    "readout": ("sum", "last", "mean"),
}


def checked(image: CoreImage) -> CoreImage:
    """The image itself; raises MappingError with every problem found."""
    problems = list(_problems(image))
    if problems:
        raise MappingError(problems)
    return image


def _problems(image: CoreImage) -> Iterator[Problem]:
    found = [*_synapse_memory(image), *_axons(image), *_exports(image)]
    for unit, piece in enumerate(image.units):
        for number in range(len(piece.program)):
            found += _program(image, unit, number)
    for table, index, cause in found:
        size = len(image.tables.get(table, ()))
        yield Problem(
            "ND580",
            f"a memory image is inconsistent: {cause}",
            f"{image.name}: {table}",
            str(index),
            f"table of {size} entries" if table in image.tables else "",
        )


Found = tuple[str, Any, str]


def _outside(table: str, index: Array, low: Any, high: Any, cause: str) -> Iterator[Found]:
    """One finding if any index is not in low .. high - 1."""
    bad = np.flatnonzero((index < low) | (index >= high))
    if len(bad):
        yield table, f"entry {bad[0]}: {int(np.asarray(index).ravel()[bad[0]])}", cause


def _slices(table: str, first: Array, count: Array, size: Any, cause: str) -> Iterator[Found]:
    """One finding unless all first .. first + count - 1 lie below size."""
    first, count = first.astype(np.int64), count.astype(np.int64)
    yield from _outside(
        table, np.where((first < 0) | (count < 0), -1, first + count), 0, np.asarray(size) + 1, cause
    )


def _synapse_memory(image: CoreImage) -> Iterator[Found]:
    rows, links, ports = (image.tables[t] for t in ("rows", "connections", "ports"))
    yield from _slices(
        "ports", ports[:, 0], ports[:, 1], len(image.tables["port_init"]), "initial values are missing"
    )
    if len(image.ports_of) != len(ports):
        yield "ports", len(image.ports_of), "not every port has an owner"
    for number, link in enumerate(links.tolist()):
        port, bits, exponent, header, index, block, first, count, columns, delay = link
        known = 0 <= port < len(ports)
        widths = 1 <= bits <= 32 and 0 <= index <= 31 and 0 <= header <= 62 and 0 <= exponent <= 31
        widths = widths and 0 <= delay <= DELAY_BITS
        narrow = known and columns <= max(int(ports[port, 1]), 1)
        if not narrow or not widths or block < 0 or columns < 1:
            yield "connections", f"entry {number}", "an unknown port, or a width that cannot be"
        elif not 0 <= first <= first + count <= len(rows):
            yield "connections", f"entry {number}: rows {first} .. {first + count - 1}", "rows do not exist"
        else:
            layout = Layout(bits, index, header, block, delay)
            yield from _rows(image, rows[first : first + count], layout, columns)


def _rows(image: CoreImage, rows: Array, layout: Layout, columns: int) -> Iterator[Found]:
    lengths = np.unique(rows[:, 1])
    if lengths.size and not 0 <= lengths[0] <= lengths[-1] <= columns:
        yield "rows", int(lengths[-1]), "a row is longer than its target"
        return
    words = np.array([layout.row_words(int(n)) for n in lengths], dtype=np.int64)
    size = words[np.searchsorted(lengths, rows[:, 1])]
    yield from _slices("rows", rows[:, 0], size, len(image.tables["synapses"]), "a row leaves synapse memory")
    reach = rows[:, 1] if not layout.index_bits else np.zeros(len(rows), dtype=np.int64)
    yield from _slices("rows", rows[:, 2], reach, columns, "a row leaves its target")


def _axons(image: CoreImage) -> Iterator[Found]:
    axons, items = image.tables["axons"], image.tables["items"]
    yield from _slices("axons", axons[:, 0], axons[:, 1], len(items), "items do not exist")
    widest = max(len(image.tables["rows"]), len(image.tables["channels"]), 1)
    yield from _outside(
        "axons", axons[:, 2], 1, widest + 1, "an axon has no channels, or more than anything reads"
    )
    if not np.isin(items[:, 0], (ROWS, OPERAND)).all():
        yield "items", "", "an item of unknown kind"
        return
    if any(True for _ in _slices("axons", axons[:, 0], axons[:, 1], len(items), "")):
        return
    # Every (axon, item) pair: the axon's number of channels decides how far the item reaches.
    counts = np.maximum(axons[:, 1], 0)
    which = np.repeat(axons[:, 0].astype(np.int64) - np.cumsum(counts) + counts, counts) + np.arange(
        counts.sum()
    )
    used, reach = items[which].astype(np.int64), np.repeat(axons[:, 2], counts).astype(np.int64)
    yield from _row_items(image, used[used[:, 0] == ROWS], reach[used[:, 0] == ROWS])
    yield from _operand_items(image, used[used[:, 0] == OPERAND], reach[used[:, 0] == OPERAND])


def _row_items(image: CoreImage, items: Array, reach: Array) -> Iterator[Found]:
    links, ports = image.tables["connections"].astype(np.int64), image.tables["ports"]
    outside = list(_outside("items", items[:, 1], 0, len(links), "an item names no connection"))
    yield from outside
    if outside or not ((links[:, 0] >= 0) & (links[:, 0] < len(ports))).all():
        return
    link = links[items[:, 1]]
    yield from _slices("items", items[:, 2], reach, link[:, 7], "an item reads rows beyond its connection")
    yield from _slices(
        "items", items[:, 3], link[:, 8], ports[link[:, 0], 1], "an item writes beyond its port"
    )


def _operand_items(image: CoreImage, items: Array, reach: Array) -> Iterator[Found]:
    ports, channels = image.tables["ports"], image.tables["channels"]
    outside = list(_outside("items", items[:, 1], 0, len(ports), "an item names no port"))
    outside += list(
        _slices("items", items[:, 3], reach, len(channels), "an item reads channels beyond their table")
    )
    outside += list(_outside("items", items[:, 2], 0, LARGEST, "a negative slot"))
    yield from outside
    if outside or not len(items):
        return
    pairs = np.repeat(items, reach, axis=0)
    within = np.arange(len(pairs)) - np.repeat(np.cumsum(reach) - reach, reach)
    offset = channels[pairs[:, 3] + within].astype(np.int64)
    slot = np.where(offset < 0, 0, pairs[:, 2] + offset)
    yield from _outside(
        "channels", np.where(slot < ports[pairs[:, 1], 1], 0, -1), 0, 1, "a channel leaves its port"
    )


def _exports(image: CoreImage) -> Iterator[Found]:
    exports, sends, routes, masks = (image.tables[t] for t in ("exports", "sends", "routes", "masks"))
    yield from _slices("exports", exports[:, 2], exports[:, 3], len(sends), "elements do not exist")
    yield from _outside("routes", routes[:, 0], 0, len(exports), "a route of no export")
    yield from _outside("routes", routes[:, 6], 0, LARGEST, "a negative axon")
    yield from _outside("routes", routes[:, 8], 0, 2, "an unknown flag")
    yield from _outside("sends", sends[:, 1], 0, LARGEST, "a negative position")
    for number, (unit, item, first, count, channels) in enumerate(exports.tolist()):
        program = image.units[unit].program if 0 <= unit < len(image.units) else ()
        if not 0 <= item < len(program) or not 1 <= channels < LARGEST:
            yield "exports", f"entry {number}", "an export of no instruction"
            continue
        part = sends[max(first, 0) : max(first, 0) + max(count, 0)]
        yield from _outside(
            "sends", part[:, 0], 0, program[item].size, "an element that is not there is sent"
        )
        yield from _outside("sends", part[:, 2], 0, channels, "a channel that is not there is sent")
        own = routes[routes[:, 0] == number]
        yield from _slices(
            "routes", own[:, 7], np.full(len(own), channels), len(masks), "a mask does not exist"
        )


def _program(image: CoreImage, unit: int, number: int) -> Iterator[Found]:
    item, tables = image.units[unit].program[number], image.tables
    where = f"unit {unit} instruction {number} ({item.op})"
    spec = OPS.get(item.op)
    if spec is None:
        yield where, item.op, "an unknown operation"
        return
    missing = [
        *(set(spec.numbers) - set(item.numbers)),
        *(set(spec.texts) - set(item.texts)),
        *(set(spec.arrays) - set(item.arrays)),
    ]
    wrong = [f"{k} {v}" for k, v in item.texts.items() if k in WORDS and v not in WORDS[k]]
    low, high = spec.operands
    if missing or wrong or not low <= len(item.operands) <= high or len(item.ports) != spec.ports:
        yield where, ", ".join(missing + wrong), "an instruction lacks a part or names an unknown choice"
        return
    yield from _references(image, unit, number)
    for name, array in (*item.arrays.items(), ("state", item.state), ("probe", item.probe)):
        table = {"state": "state", "probe": "elements"}.get(name, "values")
        if array.start + array.size > len(tables[table]):
            yield where, name, f"{name} lies outside its table"
    if item.state.size != spec.state(image, item):
        yield where, item.state.size, "the initial state has another size than the operation needs"
    yield from ((where, found, cause) for found, cause in _shapes(image, item))


def _references(image: CoreImage, unit: int, number: int) -> Iterator[Found]:
    program, gather, ports = image.units[unit].program, image.tables["gather"], image.tables["ports"]
    item = program[number]
    for operand in item.operands:
        if not 0 <= operand.source < number:
            yield f"unit {unit}", operand.source, "an instruction reads one that has not run"
            continue
        yield from _gather(gather, operand.start, item.size, program[operand.source].size)
    for port in item.ports:
        if not 0 <= port < len(ports):
            yield "ports", port, "an instruction reads no port"
    if "from" in item.numbers and item.ports and item.ports[0] < len(ports):
        reach = contraction_size(image, item) if item.op == "product" else int(ports[item.ports[0], 1])
        yield from _gather(gather, item.numbers["from"], item.size * item.numbers.get("fan", 1), reach)


def _gather(gather: Array, start: int, count: int, size: int) -> Iterator[Found]:
    if start == IDENTITY:
        if count != size:
            yield "gather", f"{count} of {size}", "elements in order, but their numbers differ"
    elif start + count > len(gather):
        yield "gather", start + count, "indices do not exist"
    else:
        yield from _outside(
            "gather", gather[start : start + count], -1, size, "an element that is not there is read"
        )


def contraction_size(image: CoreImage, item: Instruction) -> int:
    """Elements of a product before some are picked; 0 where equation and sizes do not fit (reported elsewhere)."""
    letters = letter_sizes(image, item)
    return 0 if letters is None else prod(letters[c] for c in Equation.parse(item.texts["equation"]).out)


def letter_sizes(image: CoreImage, item: Instruction) -> dict[str, int] | None:
    """Sizes of the letters of a product's equation; None if equation, sizes and ports disagree."""
    known, sizes = len(image.tables["values"]), []
    for array in (item.arrays["a_sizes"], item.arrays["b_sizes"]):
        if array.start + array.size > known:
            return None
        sizes.append(tuple(image.array(array).ravel().tolist()))
    held = [int(image.tables["ports"][p, 1]) for p in item.ports if p < len(image.tables["ports"])]
    try:
        equation = Equation.parse(item.texts["equation"])
        table = equation.sizes(*sizes)
    except ValueError:
        return None
    fits = held == [prod(part) for part in sizes] and all(1 <= n < LARGEST for n in table.values())
    return table if fits and not equation.repeats else None


def _shapes(image: CoreImage, item: Instruction) -> Iterator[tuple[Any, str]]:
    """Sizes that an operation needs to agree."""
    numbers, arrays, links = item.numbers, item.arrays, image.tables["connections"]
    if item.probe.size != item.size and item.node:
        yield item.probe.size, "not every element has a probe entry"
    frames = image.header["timesteps"] if item.numbers.get("per_tick") else 1
    if item.op in ("input", "output") and item.size * frames != prod(image.header.get(item.op, (0,))):
        yield item.size, f"the {item.op} has another size than the header says"
    if item.op == "neuron" and len(item.operands) != _streams(item):
        yield len(item.operands), "a neuron reads another number of streams than its model"
    if numbers.get("reset_interval", 1) < 1:
        yield numbers["reset_interval"], "a reset needs an interval"
    if (
        item.op == "output"
        and (image.tables["elements"][item.probe.start :][: item.size] != np.arange(item.size)).any()
    ):
        yield "probe", "the read-out is not in order"
    if item.op == "product" and letter_sizes(image, item) is None:
        yield item.texts["equation"], "equation, sizes and ports of a product disagree"
    if item.op == "micro" and (
        numbers["width"] < 1 or item.size % numbers["width"] or numbers["cumulative"] not in (0, 1)
    ):
        yield numbers["width"], "elements are not whole rows"
    if item.op == "delay" and not 1 <= numbers["steps"] <= LONGEST:
        yield numbers["steps"], "a delay needs at least one step"
    if "fan" in numbers and numbers["fan"] < 1:
        yield numbers["fan"], "a reduction over nothing"
    if "bits" in numbers and not 2 <= numbers["bits"] <= WIDEST:
        yield numbers["bits"], f"a width must lie in 2 .. {WIDEST}"
    if "kernel" in numbers:
        rows = int(links[numbers["kernel"], 7]) if 0 <= numbers["kernel"] < len(links) else -1
        if rows != numbers.get("fan", 1):
            yield rows, "the kernel has not one row per element of a window"
    sized = {
        "const": ("value", item.size),
        "input": ("zero", item.size),
        "sum": ("signs", len(item.operands)),
    }
    if item.op in sized and arrays[sized[item.op][0]].size != sized[item.op][1]:
        yield sized[item.op][0], "a table has the wrong size"
