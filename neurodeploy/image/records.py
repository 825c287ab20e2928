"""Memory images as plain data and back: one array per table, and a JSON-able record of everything else.

An image from a file is hostile until every index in it is known to be in bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from ..array import Array
from ..errors import MappingError, Problem
from ..ir.graph import STORES
from . import arrivals, departures, programs, synapses
from .programs import LONGEST
from .tables import LARGEST, Found, Table
from .types import HOST, CoreImage, Instruction, Operand, TableArray, Unit

FORMAT = 3
PARTS = (synapses, arrivals, programs, departures)
TABLES: dict[str, Table] = {table.name: table for part in PARTS for table in part.TABLES}

T = TypeVar("T")


def checked(image: CoreImage) -> CoreImage:
    """The image itself; raises MappingError ND580 with every problem found."""
    # What a part checks presumes that all columns are as they were declared.
    sizes = {name: len(array) for name, array in image.tables.items()}
    found = [bad for name, table in TABLES.items() for bad in table.wrong(image.tables[name], sizes)]
    found = found or [bad for part in PARTS for bad in part.wrong(image)]
    if found:
        raise MappingError([_problem(image, bad) for bad in found])
    return image


def _problem(image: CoreImage, found: Found) -> Problem:
    table = image.tables.get(found.place)
    limit = "" if table is None else f"table of {len(table)} entries"
    cause = f"a memory image is inconsistent: {found.cause}"
    return Problem("ND580", cause, f"{image.name}: {found.place}", str(found.found), limit)


def to_arrays(image: CoreImage) -> dict[str, Any]:
    """The image as arrays (one per table) and ``record``, a JSON-able dictionary of everything else."""
    place = {"format": FORMAT, "index": image.index, "place": image.place}
    record = {**place, "header": image.header, "ports_of": image.ports_of, "units": image.units}
    return {"record": _plain(record), **image.tables}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, TableArray):
        return [value.start, *value.shape]
    if isinstance(value, Operand):
        return [value.source, value.start]
    if isinstance(value, (Unit, Instruction)):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return value


def from_arrays(data: Mapping[str, Any]) -> CoreImage:
    """The image of :func:`to_arrays`, every index checked.

    Raises MappingError (ND580 an index out of bounds, ND581 a malformed record or table, ND582 unreadable synapse
    memory), naming core and table.
    """
    try:
        return checked(_image(data))
    except _Bad as bad:
        where, found, limit = bad.args
        record = data.get("record")
        index = record.get("index") if isinstance(record, dict) else None
        name = "the host" if index == HOST else f"core {index if isinstance(index, int) else '?'}"
        cause = "a memory image is malformed"
        problem = Problem("ND581", cause, f"{name}: {where}", str(found)[:80], str(limit))
        raise MappingError(problem) from None


FARTHEST = 1 << 16  # chips and routers are below this: no way is longer than a run could follow


class _Bad(Exception):
    """A record that is not what it should be: (place, what was found, what is expected)."""


def _image(data: Mapping[str, Any]) -> CoreImage:
    """An image with the right types and shapes, its indices not yet checked."""
    tables = {name: _table(data.get(name), table) for name, table in TABLES.items()}
    record = data.get("record")
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise _Bad("record", "no record of this format", f"format {FORMAT}")
    chip, x, y, slot = _ints(record, "place", 4, low=HOST, high=FARTHEST)
    units = tuple(_unit(_is(u, dict, "units"), f"unit {n}") for n, u in enumerate(_list(record, "units")))
    ports_of = tuple(_is(name, str, "ports_of") for name in _list(record, "ports_of"))
    header = _header(_is(record.get("header"), dict, "header"))
    return CoreImage(_int(record, "index", HOST), chip, x, y, slot, header, units, ports_of, tables)


def _table(stored: Any, table: Table) -> Array:
    array = np.asarray(stored)
    if array.dtype != table.dtype or array.shape[1:] != table.shape[1:] or not array.ndim:
        wanted = f"{np.dtype(table.dtype)} (n, {', '.join(map(str, table.shape[1:]))})"
        raise _Bad(table.name, f"{array.dtype} {array.shape}", wanted)
    return np.ascontiguousarray(array)


def _is(value: Any, kind: type[T], where: str) -> T:
    if type(value) is not kind:
        raise _Bad(where, f"{type(value).__name__} {value!r}", kind.__name__)
    return value


def _list(record: dict[str, Any], key: str) -> list[Any]:
    return _is(record.get(key), list, key)


def _int(record: dict[str, Any], key: str, low: int = 0, high: int = LARGEST) -> int:
    value = _is(record.get(key), int, key)
    if not low <= value < high:
        raise _Bad(key, value, f"{low} .. {high - 1}")
    return value


def _ints(
    record: dict[str, Any], key: str, count: int | None = None, low: int = 0, high: int = LARGEST
) -> tuple[int, ...]:
    values = tuple(_int({key: v}, key, low, high) for v in _list(record, key))
    if count is not None and len(values) != count:
        raise _Bad(key, f"{len(values)} numbers", count)
    return values


def _header(raw: dict[str, Any]) -> dict[str, Any]:
    known = ("timesteps", "steps", "routers_x", "routers_y")
    header: dict[str, Any] = {key: _int(raw, key, 1) for key in known}
    if "stores" in raw:
        header["stores"] = _int(raw, "stores", 1, max(STORES) + 1)
    header |= {key: _ints(raw, key, low=1) for key in ("input", "output", "board") if key in raw}
    if "board" in header:
        header["ports"] = _ints(raw, "ports", 4 * len(header["board"]) + 4, high=FARTHEST)
    if "multicast" in raw:
        header["multicast"] = _int(raw, "multicast", 1, 2)
    if "shapes" in raw:
        shapes = _is(raw["shapes"], dict, "shapes")
        header["shapes"] = {_is(name, str, "shapes"): _ints(shapes, name, low=1) for name in shapes}
    return {key: header[key] for key in raw if key in header}  # in the order of the file


def _unit(raw: dict[str, Any], where: str) -> Unit:
    program = tuple(_instruction(_is(i, dict, where)) for i in _list(raw, "program"))
    depth, turns = _int(raw, "depth", 0, LONGEST), _int(raw, "turns", 1, LONGEST)
    return Unit(_is(raw.get("group"), str, where), depth, program, turns)


def _instruction(raw: dict[str, Any]) -> Instruction:
    numbers, texts, arrays = (_is(raw.get(key), dict, key) for key in ("numbers", "texts", "arrays"))
    op, node = (_is(raw.get(key), str, key) for key in ("op", "node"))
    operands = (_ints({"operands": pair}, "operands", 2, low=-1) for pair in _list(raw, "operands"))
    return Instruction(
        op, node, _int(raw, "size"), tuple(Operand(*pair) for pair in operands), _ints(raw, "ports"),
        {_is(k, str, "numbers"): _int(numbers, k, -1) for k in numbers},
        {_is(k, str, "texts"): _is(v, str, "texts") for k, v in texts.items()},
        {_is(k, str, "arrays"): _array(arrays, k) for k in arrays}, _array(raw, "state"), _array(raw, "probe"),
    )  # fmt: skip


def _array(record: dict[str, Any], key: str) -> TableArray:
    numbers = _ints(record, key)
    if not 1 <= len(numbers) <= 16:
        raise _Bad(key, f"{len(numbers)} numbers", "start and up to 15 axes")
    array = TableArray(numbers[0], numbers[1:])
    if array.size >= LARGEST:
        raise _Bad(key, array.shape, f"fewer than {LARGEST} entries")
    return array
