"""Every row operator in parts: the same integers as of the whole row; an operator is tested by declaring levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from neurodeploy.ir.micro_op import MICROCODE, MicroOp
from neurodeploy.ir.rows import MOST, divides, held, parted
from tests.conformance.test_microcode import PRODUCT, REGISTER, quantized, rows, watched

ROWS = {name: op for name, op in MICROCODE.items() if op.row}


@pytest.fixture(params=sorted(ROWS), name="op")
def _op(request: pytest.FixtureRequest) -> MicroOp:
    return ROWS[request.param]


def cut(x: np.ndarray, parts: int) -> np.ndarray:
    """(rows, length) -> (rows, parts, elements), zeros at the end."""
    wide = -(-x.shape[-1] // parts)
    return np.pad(x, [(0, 0), (0, parts * wide - x.shape[-1])]).reshape(len(x), parts, wide)


def in_parts(
    op: MicroOp, params: Any, x: np.ndarray, parts: int, reach: int = MOST, apply: Any = None
) -> np.ndarray:
    """The result by levels, without any graph: every number that is said or told has to fit a message."""
    length, own, apply = x.shape[-1], cut(x, parts), apply or op.int_apply

    def told(known: np.ndarray) -> np.ndarray:
        everywhere = np.broadcast_to(known[:, None], (len(x), parts, known.shape[-1]))
        return np.concatenate([everywhere, own], axis=-1)

    def pieces(piece: Any, level: int) -> Any:
        return parted(op, params, reach, length, parts, piece, level)

    levels = op.levels(params, reach)
    known = np.zeros((len(x), 0), dtype=np.int64)
    for i, level in enumerate(levels):
        terms, clipped = apply(told(known), pieces("terms", i))
        assert not np.any(clipped) and not terms[..., level.messages :].any()
        said = terms[..., : level.messages]
        assert np.abs(said).max() <= MOST
        maxima, sums = said[..., : level.maxima].max(axis=1), said[..., level.maxima :].sum(axis=1)
        heard = np.concatenate([known, maxima, sums], axis=-1)
        assert np.abs(heard).max() < REGISTER
        found, _ = apply(heard, pieces("scalars", i))
        known = found[:, : held(levels, i + 1)]
        assert np.abs(known).max() <= MOST and not found[:, known.shape[-1] :].any()
    y, clipped = apply(told(known), pieces("result", len(levels)))
    before = known.shape[-1]
    assert not y[..., :before].any() and not clipped[..., :before].any()
    return y[..., before:].reshape(len(x), -1)[:, :length]


def test_row_operators_declare_their_levels(op: MicroOp) -> None:
    params = quantized(op, 64).params
    for reach in (1, 2**17, MOST):
        levels = op.levels(params, reach)
        assert levels and all(level.tells <= level.messages for level in levels)


@pytest.mark.parametrize(("length", "parts"), [(8, 2), (17, 3), (64, 7), (768, 2), (1000, 16), (1024, 256)])
def test_parts_make_the_integers_of_the_whole_row(op: MicroOp, length: int, parts: int) -> None:
    x = rows(length, 3)
    params = quantized(op, length, 3e-3).params
    for bits in (0, 4):
        small = x >> bits
        reach = MOST if bits == 0 else int(np.abs(small).max())
        if divides(op.levels(params, reach), length, parts):
            assert np.array_equal(in_parts(op, params, small, parts, reach), op.int_apply(small, params)[0])


@settings(deadline=None, max_examples=20)
@given(st.data(), st.integers(4, 90), st.integers(2, 12), st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("name", sorted(ROWS))
def test_any_row_in_any_parts(name: str, data: st.DataObject, length: int, parts: int, seed: int) -> None:
    op, rng = ROWS[name], np.random.default_rng(seed)
    scale = data.draw(st.sampled_from((2.0**-24, 2.0**-12, 1.37e-5, 1.0)))
    size = data.draw(st.sampled_from((0, 1, 2**8, 2**17, MOST)))
    x = np.clip(rng.integers(-size, size + 1, (4, length)) + data.draw(st.integers(-MOST, MOST)), -MOST, MOST)
    x[0, rng.integers(0, length)] = data.draw(st.sampled_from((-MOST, MOST)))
    x = x >> data.draw(st.integers(0, 24))
    params = quantized(op, length, scale).params
    for reach in (int(np.abs(x).max()), MOST):
        assume(divides(op.levels(params, reach), length, parts))
        assert np.array_equal(in_parts(op, params, x, parts, reach), op.int_apply(x, params)[0])


@pytest.mark.parametrize("parts", [2, 5])
def test_masked_elements_say_nothing(parts: int) -> None:
    """A mask for each row, parts that are masked everywhere among them."""
    op, x = ROWS["softmax"], rows(23, 2)
    mask = np.random.default_rng(3).random((len(x), 23)) < 0.5
    mask[0, :12], mask[1, 12:], mask[:, 11] = True, True, False
    whole = {**quantized(op, 23).params, "mask": mask.astype(np.int64)}
    expected = op.int_apply(x, whole)[0]
    assert np.array_equal(in_parts(op, whole, x, parts), expected) and not expected[mask].any()


def test_pieces_stay_in_registers(op: MicroOp) -> None:
    """On each part; sums over all parts stand in two registers where scalars are made of them."""
    x, params = rows(1024, 2), quantized(op, 1024, 3e-3).params
    peaks = {"register": 0.0, "product": 0.0}

    def watching(row: np.ndarray, piece: Any) -> Any:
        if piece["piece"] == "scalars":
            return op.int_apply(row, piece)
        arrays = {k: watched(v, peaks) if isinstance(v, np.ndarray) else v for k, v in piece.items()}
        return tuple(np.asarray(y) for y in op.int_apply(watched(row, peaks), arrays))

    assert np.array_equal(in_parts(op, params, x, 4, apply=watching), op.int_apply(x, params)[0])
    assert 0 < peaks["register"] <= REGISTER and peaks["product"] < PRODUCT


@pytest.mark.parametrize("reach", [1, MOST])
def test_pieces_cost_more_for_more_elements(op: MicroOp, reach: int) -> None:
    params = quantized(op, 64).params
    levels = op.levels(params, reach)
    pieces: tuple[tuple[Any, int], ...] = (
        *(("terms", i) for i in range(len(levels))),
        ("result", len(levels)),
    )
    for piece, i in pieces:
        told = held(levels, i)
        costs = [op.operations(parted(op, params, reach, 64, p, piece, i), 64 // p + told) for p in (4, 2)]
        assert 0 < costs[0] < costs[1]
    for i, level in enumerate(levels):
        scalars = parted(op, params, reach, 64, 2, "scalars", i)
        assert op.operations(scalars, held(levels, i) + level.messages) >= 0
