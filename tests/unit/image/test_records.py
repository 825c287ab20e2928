"""Images as plain data: they are read back as they were, and what a hostile image meets."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.backends.loihi_sim.machine import Machine
from neurodeploy.codes import CODES
from neurodeploy.errors import MappingError, NeurodeployError, Problem
from neurodeploy.image import TABLES, encode, from_arrays, to_arrays
from neurodeploy.image.programs import NUMBERS, OPERATIONS, WORDS
from neurodeploy.image.tables import Column, Table
from neurodeploy.ir.graph import Graph
from neurodeploy.mapping.hosting import hosted
from neurodeploy.passes.balance import balance
from neurodeploy.target import load
from tests.mappings import one_core_per_group
from tests.unit.backends.small import attention, ones
from tests.unit.mapping.test_hosting import text

TARGET = load("loihi-sim")


def test_images_are_plain_data() -> None:
    graph = balance(attention())
    for image in encode(graph, one_core_per_group(graph, TARGET), TARGET).images:
        data = to_arrays(image)
        assert set(data) == {"record", *TABLES}
        again = from_arrays({**data, "record": json.loads(json.dumps(data["record"]))})
        assert to_arrays(again)["record"] == data["record"]


NONSENSE: tuple[Any, ...] = (0, -1, 1, 2, 1 << 31, 1 << 70, "x", None, [], {}, 1.5, True, [0], [-1, 5])
DATA: list[dict[str, Any]] = []


def arrays(graph: Graph) -> list[dict[str, Any]]:
    return [to_arrays(i) for i in encode(graph, one_core_per_group(graph, TARGET), TARGET).images]


def sound() -> list[dict[str, Any]]:
    if not DATA:
        for copies in ((), (1,)):
            graph = balance(replace(graph := attention(), header=replace(graph.header, copies=copies)))
            DATA.extend(arrays(graph))
        DATA.extend(arrays(balance(hosted(text(), ("word",)))))
    return copy.deepcopy(DATA)


def places(record: Any, path: tuple = ()) -> list[tuple]:
    """Every place in a JSON-able record."""
    inner = (
        record.items() if isinstance(record, dict) else enumerate(record) if isinstance(record, list) else ()
    )
    return [path][: len(path)] + [p for key, part in inner for p in places(part, (*path, key))]


@given(st.data())
def test_damaged_table_never_escapes(data: st.DataObject) -> None:
    images = sound()
    image = data.draw(st.sampled_from(images))
    table = image[data.draw(st.sampled_from(sorted(n for n in TABLES if image[n].size)))]
    bits = np.iinfo(table.dtype)
    entry = data.draw(st.integers(0, table.size - 1))
    value = int(table.flat[entry])
    new = data.draw(st.sampled_from((value + 1, value - 1, -1, 0, bits.max, bits.min, value ^ 64)))
    table.flat[entry] = np.array(min(max(new, bits.min), bits.max), dtype=table.dtype)
    survives(images)


@given(st.data())
def test_damaged_record_never_escapes(data: st.DataObject) -> None:
    images = sound()
    record = data.draw(st.sampled_from(images))["record"]
    *path, last = data.draw(st.sampled_from(places(record)))
    for key in path:
        record = record[key]
    record[last] = data.draw(
        st.sampled_from((0, -1, 1, 2, 1 << 31, 1 << 70, "x", None, [], {}, 1.5, True, [0], [-1, 5]))
    )
    survives(images)


def survives(images: list[dict[str, Any]]) -> None:
    """Reading and running either works or ends in a typed error that names a known code and a place."""
    try:
        Machine([from_arrays(data) for data in images]).run(ones())
    except NeurodeployError as error:
        assert all(p.code in CODES and p.where for p in error.problems)


@pytest.mark.parametrize("table", TABLES)
def test_missing_or_mistyped_table_is_refused(table: str) -> None:
    for wrong in (None, sound()[0][table].astype(np.float32), sound()[0][table][None]):
        with pytest.raises(MappingError) as caught:
            from_arrays({**sound()[0], table: wrong})
        (problem,) = caught.value.problems
        assert problem.code == "ND581" and table in problem.where and "core 0" in problem.where


def test_format_version_is_checked() -> None:
    data = sound()[0]
    data["record"]["format"] = 99
    with pytest.raises(MappingError):
        from_arrays(data)


@pytest.mark.parametrize(
    "change",
    [
        {"header": {"ports": [0] * 8}}, {"header": {"ports": [0] * 11 + [1 << 16]}}, {"header": {"ports": None}},
        {"header": {"multicast": 2}}, {"header": {"multicast": "yes"}},
        {"header": {"board": [0, 2]}}, {"header": {"board": [4]}}, {"place": [1 << 16, 0, 0, 0]},
    ],
    ids=str,
)  # fmt: skip
def test_ways_that_no_run_could_follow_are_refused(change: dict[str, Any]) -> None:
    """Ports of all six directions, chips and routers in reach: whatever counts packets walks from one to the next."""
    image = sound()[-1]
    assert image["record"]["header"]["board"] == [4, 2] and len(image["record"]["header"]["ports"]) == 12
    image["record"]["header"] |= change.get("header", {})
    image["record"] |= {k: v for k, v in change.items() if k != "header"}
    with pytest.raises(MappingError):
        from_arrays(image)


# --- what is declared is checked -------------------------------------------------------------------------------------

COLUMNS = [(table, column) for table in TABLES.values() for column in table.columns]


def refused(image: dict[str, Any]) -> tuple[Problem, ...]:
    with pytest.raises(MappingError) as caught:
        from_arrays(image)
    assert {p.code for p in caught.value.problems} == {"ND580"}
    return caught.value.problems


def wrong_entries(column: Column, sizes: dict[str, int]) -> Iterator[int]:
    """Entries that the declaration forbids, as far as 32 bits hold them."""
    limits = np.iinfo(np.int32)
    yield column.low - 1
    yield from (n for n in (column.high,) if n <= limits.max)
    if column.of:
        yield sizes[column.of] + bool(column.count)


@pytest.mark.parametrize("table, column", COLUMNS, ids=lambda part: part.name)
def test_entry_outside_its_declaration_is_refused(table: Table, column: Column) -> None:
    place = [c.name for c in table.columns].index(column.name)
    seen = 0
    for image in sound():
        sizes = {name: len(image[name]) for name in TABLES}
        for wrong in wrong_entries(column, sizes) if sizes[table.name] else ():
            broken = copy.deepcopy(image)
            broken[table.name][-1, place] = wrong
            assert any(p.where.endswith(f": {table.name}") for p in refused(broken))
            seen += 1
    assert seen


def instructions(images: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every instruction's record, with its image."""
    for image in images:
        for unit in image["record"]["units"]:
            yield from ((image, item) for item in unit["program"])


def example(op: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A sound image and an instruction of one operation in it; what is input may as well be constant."""
    images = sound()
    for image, item in instructions(images):
        if item["op"] == "input" and op == "const":
            item |= {"op": "const", "arrays": {"value": item["arrays"]["zero"]}}
            from_arrays(image)
        if item["op"] == op:
            return image, item
    raise KeyError(op)


@pytest.mark.parametrize("op", OPERATIONS)
def test_instruction_that_lacks_a_part_is_refused(op: str) -> None:
    spec = OPERATIONS[op]
    parts = [("numbers", n) for n in spec.numbers] + [("texts", n) for n in spec.texts]
    for kind, name in [*parts, *(("arrays", n) for n in spec.arrays)]:
        image, item = example(op)
        del item[kind][name]
        assert all(f"({op})" in p.where for p in refused(image)) and name in refused(image)[0].found
    image, item = example(op)
    item["ports"].append(0)
    refused(image)


@pytest.mark.parametrize("name", [*NUMBERS, *WORDS])
def test_number_or_text_out_of_range_is_refused(name: str) -> None:
    """Also where the operation does not need it."""
    values: list[Any] = ["nothing"] if name in WORDS else [NUMBERS[name][0] - 1, NUMBERS[name][1]]
    for value in values:
        image, item = next(instructions(sound()))
        item["texts" if name in WORDS else "numbers"][name] = value
        with pytest.raises(MappingError) as caught:
            from_arrays(image)
        assert caught.value.problems[0].code in ("ND580", "ND581")


PRODUCTS = ("nd,md->n", "nd,mdz->nm", "nn,md->nm", "nd,md->nz", "nd->nm", "nd,mD->nm", "")


@pytest.mark.parametrize("equation", PRODUCTS)
def test_product_whose_parts_disagree_is_refused(equation: str) -> None:
    image, item = example("product")
    assert item["texts"]["equation"] == "nd,md->nm"
    item["texts"]["equation"] = equation
    refused(image)
