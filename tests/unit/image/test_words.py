"""Synapse memory, bit by bit: what is packed is read back, and the words are those of the published layers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.image.words import WORD, Layout, pack, stored, unpack
from neurodeploy.mapping.demand import weight_bits

LAYOUTS = st.builds(
    Layout,
    st.integers(1, 12),
    st.sampled_from((0, 12)),
    st.sampled_from((0, 10, 16, 40)),
    st.sampled_from((0, 3, 64)),
)


@given(LAYOUTS, st.integers(1, 4), st.integers(0, 150), st.integers(0, 2**32 - 1))
def test_words_hold_every_weight(layout: Layout, rows: int, entries: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-(1 << (layout.bits - 1)), 1 << (layout.bits - 1), (rows, entries))
    if layout.bits == 1:
        weights = 1 + 2 * weights  # a sign
    columns = rng.permutation(4096)[:entries]
    words = pack(weights, columns, layout)
    assert words.shape == (rows, layout.row_words(entries)) and words.dtype == np.uint64
    again, index, _, right = unpack(words, entries, layout)
    assert np.array_equal(again, weights) and right.all()
    assert not layout.index_bits or np.array_equal(index, np.tile(columns, (rows, 1)))


def test_words_follow_the_published_layers() -> None:
    """MNIST 784-128-64-10 at 8 bits: 50 targets take 16 words, 64 take 21, 10 take 4; 256 take 81."""
    dense = Layout(8, 12, 16)
    assert [dense.row_words(n) for n in (50, 64, 10, 256)] == [16, 21, 4, 81]
    kernel = Layout(5, 0, 40)  # YOLO-KP: printed words per (kx, ky, cin) entry
    assert [kernel.row_words(n) for n in (16, 32, 64, 128, 256)] == [2, 4, 6, 11, 21]


def test_word_is_header_then_index_then_weight() -> None:
    (word,) = pack(np.array([[-2, 3]]), np.array([5, 9]), Layout(4, 6, 8))[0].tolist()
    assert [word & 255, word >> 8 & 63, word >> 14 & 15, word >> 18 & 63, word >> 24 & 15] == [2, 5, 14, 9, 3]
    assert word >> 28 == 0


@given(st.lists(st.integers(-300, 300), min_size=1, max_size=8), st.integers(0, 5))
def test_common_power_of_two_is_divided_out(weights: list[int], shift: int) -> None:
    array = np.array(weights) << shift
    exponent, bits = stored(array)
    mantissa = array >> exponent
    assert np.array_equal(mantissa << exponent, array)
    assert (bits == 1) == (set(np.abs(mantissa)) == {1})
    assert bits == 1 or (-(1 << (bits - 1)) <= mantissa.min() and mantissa.max() < 1 << (bits - 1))
    assert bits == weight_bits(array)


def test_one_bit_is_a_sign() -> None:
    weights = np.array([[64, -64, -64, 64]])
    assert stored(weights) == (6, 1)
    mantissa = weights >> 6
    ((word,),) = pack(mantissa, np.arange(4), Layout(1, 0, 8)).tolist()
    assert word == 4 | 0b0110 << 8
    assert [stored(np.array(w))[1] for w in ([4, 0], [0, -4], [0, 0], [-4, 12])] == [2, 2, 2, 3]


def test_layout_of_blocks_covers_a_row() -> None:
    assert list(Layout(8, 0, 10, 64).blocks(130)) == [(0, 64), (64, 64), (128, 2)]
    assert Layout(8, 0, 10, 64).row_words(130) == 9 + 9 + 1
    assert WORD == 64
