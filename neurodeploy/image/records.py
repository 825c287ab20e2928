"""Memory images as plain data and back: one array per table, and a JSON-able record of everything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from ..array import Array
from ..errors import MappingError, Problem
from .format import FORMAT, TABLES, checked
from .programs import LONGEST
from .tables import LARGEST, Table
from .types import HOST, CoreImage, Instruction, Operand, TableArray, Unit

T = TypeVar("T")


def to_arrays(image: CoreImage) -> dict[str, Any]:
    """The image as arrays (one per table) and ``record``, a JSON-able dictionary of everything else."""
    record = {
        "format": FORMAT,
        "index": image.index,
        "place": list(image.place),
        "header": _plain(image.header),
        "ports_of": list(image.ports_of),
        "units": [_unit_record(unit) for unit in image.units],
    }
    return {"record": record, **image.tables}


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON has them."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _unit_record(unit: Unit) -> dict[str, Any]:
    return {
        "group": unit.group,
        "depth": unit.depth,
        "program": [_instruction_record(i) for i in unit.program],
    }


def _instruction_record(item: Instruction) -> dict[str, Any]:
    return {
        "op": item.op,
        "node": item.node,
        "size": item.size,
        "operands": [[o.source, o.start] for o in item.operands],
        "ports": list(item.ports),
        "numbers": dict(item.numbers),
        "texts": dict(item.texts),
        "arrays": {name: [a.start, *a.shape] for name, a in item.arrays.items()},
        "state": [item.state.start, *item.state.shape],
        "probe": [item.probe.start, *item.probe.shape],
    }


def from_arrays(data: Mapping[str, Any]) -> CoreImage:
    """The image of :func:`to_arrays`, every index checked.

    Raises MappingError (ND580 an index out of bounds, ND581 a malformed record or table, ND582 unreadable synapse
    memory), naming core and table.
    """
    return checked(read_record(data))


class _Bad(Exception):
    """A record that is not what it should be: (place, what was found, what is expected)."""


def read_record(data: Mapping[str, Any]) -> CoreImage:
    """An image with the right types and shapes, its indices not yet checked; raises MappingError ND581."""
    record = data.get("record")
    index = record.get("index") if isinstance(record, dict) else None
    try:
        tables = {name: _table(data.get(name), table) for name, table in TABLES.items()}
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise _Bad("record", "no record of this format", f"format {FORMAT}")
        place = _ints(record, "place", 4, low=HOST)
        units = tuple(_unit(_dict(u, "units"), f"unit {n}") for n, u in enumerate(_list(record, "units")))
        ports_of = tuple(_is(name, str, "ports_of") for name in _list(record, "ports_of"))
        chip, x, y, slot = place
        header = _header(_dict(record.get("header"), "header"))
        return CoreImage(_int(record, "index", HOST), chip, x, y, slot, header, units, ports_of, tables)
    except _Bad as bad:
        where, found, limit = bad.args
        name = "the host" if index == HOST else f"core {index if isinstance(index, int) else '?'}"
        problem = Problem(
            "ND581", "a memory image is malformed", f"{name}: {where}", str(found)[:80], str(limit)
        )
        raise MappingError([problem]) from None


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


def _dict(value: Any, where: str) -> dict[str, Any]:
    return _is(value, dict, where)


def _list(record: dict[str, Any], key: str) -> list[Any]:
    return _is(record.get(key), list, key)


def _int(record: dict[str, Any], key: str, low: int = 0, high: int = LARGEST) -> int:
    value = _is(record.get(key), int, key)
    if not low <= value < high:
        raise _Bad(key, value, f"{low} .. {high - 1}")
    return value


def _ints(record: dict[str, Any], key: str, count: int | None = None, low: int = 0) -> tuple[int, ...]:
    values = tuple(_int({key: v}, key, low) for v in _list(record, key))
    if count is not None and len(values) != count:
        raise _Bad(key, f"{len(values)} numbers", count)
    return values


def _header(raw: dict[str, Any]) -> dict[str, Any]:
    header: dict[str, Any] = {
        key: _int(raw, key, 1) for key in ("timesteps", "steps", "routers_x", "routers_y")
    }
    for key in ("input", "output"):
        if key in raw:
            header[key] = _ints(raw, key, low=1)
    if "shapes" in raw:
        shapes = _dict(raw["shapes"], "shapes")
        header["shapes"] = {_is(name, str, "shapes"): _ints(shapes, name, low=1) for name in shapes}
    return header


def _unit(raw: dict[str, Any], where: str) -> Unit:
    program = tuple(_instruction(_dict(i, where)) for i in _list(raw, "program"))
    return Unit(_is(raw.get("group"), str, where), _int(raw, "depth", 0, LONGEST), program)


def _instruction(raw: dict[str, Any]) -> Instruction:
    numbers = _dict(raw.get("numbers"), "numbers")
    texts = _dict(raw.get("texts"), "texts")
    arrays = _dict(raw.get("arrays"), "arrays")
    operands = [_ints({"operands": pair}, "operands", 2, low=-1) for pair in _list(raw, "operands")]
    return Instruction(
        op=_is(raw.get("op"), str, "op"),
        node=_is(raw.get("node"), str, "node"),
        size=_int(raw, "size"),
        operands=tuple(Operand(*pair) for pair in operands),
        ports=_ints(raw, "ports"),
        numbers={_is(k, str, "numbers"): _int(numbers, k, -1) for k in numbers},
        texts={_is(k, str, "texts"): _is(v, str, "texts") for k, v in texts.items()},
        arrays={_is(k, str, "arrays"): _array(arrays, k) for k in arrays},
        state=_array(raw, "state"),
        probe=_array(raw, "probe"),
    )


def _array(record: dict[str, Any], key: str) -> TableArray:
    numbers = _ints(record, key)
    if not 1 <= len(numbers) <= 16:
        raise _Bad(key, f"{len(numbers)} numbers", "start and up to 15 axes")
    array = TableArray(numbers[0], numbers[1:])
    if array.size >= LARGEST:
        raise _Bad(key, array.shape, f"fewer than {LARGEST} entries")
    return array
