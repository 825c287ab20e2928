"""Declared tables: what is written by the names of columns is read back by them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.image import TABLES
from neurodeploy.image.tables import Table, Tables, distinct_rows, runs

WIDE = [table for table in TABLES.values() if table.columns]


@given(st.sampled_from(WIDE), st.data())
def test_rows_are_read_as_they_were_written(table: Table, data: st.DataObject) -> None:
    numbers = st.integers(-(1 << 31), (1 << 31) - 1)
    count = data.draw(st.integers(0, 4))
    each = data.draw(st.lists(st.lists(numbers, min_size=count, max_size=count), min_size=2, max_size=2))
    one = data.draw(numbers)
    columns = {c.name: np.array(each[i % 2]) if i % 3 else one for i, c in enumerate(table.columns)}
    rows = table.rows(**columns)
    stored = table.stored(rows)
    assert stored.dtype == table.dtype and stored.shape == (count, len(table.columns))
    for place, column in enumerate(table.columns):
        wanted = np.broadcast_to(columns[column.name], count).tolist()
        assert rows[column.name].tolist() == wanted == stored[:, place].tolist()
    assert np.array_equal(table.read(stored), rows)


def test_column_without_entries_is_an_error() -> None:
    table = WIDE[0]
    with pytest.raises(KeyError):
        table.rows(**{c.name: 0 for c in table.columns[1:]})


def test_tables_grow_and_equal_entries_are_shared() -> None:
    tables, flat = Tables(), TABLES["values"]
    assert [tables.share(flat, np.array(x)) for x in ([1, 2], [3], [1, 2], [2])] == [0, 2, 0, 3]
    assert tables.add(flat, np.array([1, 2])) == 4
    made = tables.finish(TABLES.values())
    assert made["values"].tolist() == [1, 2, 3, 2, 1, 2]
    assert {name: (a.dtype, a.shape[1:]) for name, a in made.items()} == {
        name: (np.dtype(t.dtype), t.shape[1:]) for name, t in TABLES.items()
    }


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1))
def test_runs_are_ranges_in_a_row(pairs: list[tuple[int, int]]) -> None:
    first, count = np.array(pairs).T
    assert runs(first, count).tolist() == [i for a, n in pairs for i in range(a, a + n)]


@given(st.lists(st.lists(st.integers(-1, 1), min_size=2, max_size=2), min_size=1))
def test_distinct_rows_give_the_matrix_back(rows: list[list[int]]) -> None:
    kinds, which = distinct_rows(np.array(rows))
    assert kinds[which].tolist() == rows and len({tuple(k) for k in kinds.tolist()}) == len(kinds)
