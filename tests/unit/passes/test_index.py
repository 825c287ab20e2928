"""Views as index arrays, and back to the shortest chain."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.passes._index import index_of, steps_for

#: source sizes, chain, shortest chain
CASES = [
    ((4, 6), [], []),
    ((4, 6), [("permute", (1, 0)), ("permute", (1, 0))], []),
    ((4, 6), [("reshape", (24,)), ("reshape", (2, 12)), ("reshape", (4, 6))], []),
    ((4, 6), [("reshape", (24,)), ("reshape", (8, 3))], [("reshape", (8, 3))]),
    (
        (5, 12),
        [("reshape", (5, 3, 4)), ("permute", (1, 0, 2))],
        [("reshape", (5, 3, 4)), ("permute", (1, 0, 2))],
    ),
    (
        (5, 12),
        [("permute", (1, 0)), ("reshape", (3, 4, 5))],
        [("reshape", (5, 3, 4)), ("permute", (1, 2, 0))],
    ),
    (
        (3, 5, 4),
        [("permute", (0, 2, 1)), ("reshape", (12, 5)), ("permute", (1, 0))],
        [("permute", (1, 0, 2)), ("reshape", (5, 12))],
    ),
    ((2, 3, 5, 7), [("permute", (2, 3, 0, 1))], [("permute", (2, 3, 0, 1))]),
    ((1, 6), [("permute", (1, 0)), ("reshape", (6,))], [("reshape", (6,))]),
]


@pytest.mark.parametrize(("sizes", "chain", "expected"), CASES)
def test_chain_becomes_the_shortest(sizes: tuple, chain: list, expected: list) -> None:
    assert steps_for(index_of(chain, sizes), sizes) == expected


def test_what_no_chain_can_do_is_none() -> None:
    assert steps_for(np.array([0, 2, 1]), (3,)) is None
    assert steps_for(np.array([1, 2, 0]), (3,)) is None
    assert steps_for(np.array([0, 1]), (3,)) is None


@given(st.data())
def test_any_chain_of_reshape_and_permute_is_found_again(data: st.DataObject) -> None:
    factors = data.draw(st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=5))
    sizes, chain = tuple(factors), list[tuple[Any, tuple[int, ...]]]()
    for _ in range(data.draw(st.integers(1, 4))):
        current = index_of(chain, sizes).shape
        if data.draw(st.booleans()):
            chain.append(("permute", tuple(data.draw(st.permutations(range(len(current)))))))
        else:
            cut = data.draw(st.integers(0, len(current) - 1))
            chain.append(("reshape", (*current[:cut], prod(current[cut:]))))
    index = index_of(chain, sizes)
    found = steps_for(index, sizes)
    assert found is not None
    assert len(found) <= 3
    np.testing.assert_array_equal(index_of(found, sizes), index)
