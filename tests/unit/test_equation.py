"""Equations against numpy: what einsum makes of arrays of ones and of masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.ir.equation import Equation

SIZES = {"a": 2, "b": 3, "c": 4, "d": 5}
letters = st.lists(st.sampled_from(sorted(SIZES)), max_size=4, unique=True).map("".join)


@st.composite
def equations(draw: st.DrawFn) -> Equation:
    left, right = draw(letters), draw(letters)
    read = sorted({*left, *right})
    out = draw(st.lists(st.sampled_from(read), unique=True)) if read else []
    return Equation(left, right, "".join(out))


def shape(part: str) -> tuple[int, ...]:
    return tuple(SIZES[letter] for letter in part)


@given(equations())
def test_an_equation_is_what_its_text_says(equation: Equation) -> None:
    assert Equation.parse(str(equation)) == equation


@given(equations())
def test_letters_of_the_result_are_sorted_by_who_has_them(equation: Equation) -> None:
    assert sorted(equation.shared + equation.rows + equation.columns) == sorted(equation.out)
    assert not set(equation.summed) & set(equation.out)
    matrix = {*equation.shared, *equation.rows, *equation.columns, *equation.summed}
    assert equation.lone == (matrix != {*equation.left, *equation.right})


@given(equations())
def test_shape_and_counts_are_those_of_an_einsum_of_ones(equation: Equation) -> None:
    operands = shape(equation.left), shape(equation.right)
    made = np.einsum(str(equation), *(np.ones(sizes) for sizes in operands))
    assert equation.shape(*operands) == made.shape
    assert (made == equation.terms(*operands)).all() and made.sum() == equation.macs(*operands)


@given(st.integers(0, 2**32 - 1), equations())
def test_pairs_equal_an_einsum_of_masks(seed: int, equation: Equation) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(-1, 2, (3, 2, *shape(part))) for part in (equation.left, equation.right))
    masks = (a != 0).astype(int), (b != 0).astype(int)
    assert (equation.pairs(a, b) == np.einsum(f"YZ{equation.left},YZ{equation.right}->Y", *masks)).all()


@pytest.mark.parametrize(
    "text", ["", "ab", "ab,bc", "ab->ab", "ab,bc,cd->ad", "aB,Bc->ac", "ab, bc->ac", "ab,bc->ad"]
)
def test_a_text_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="equation"):
        Equation.parse(text)


@pytest.mark.parametrize(("a", "b"), [((2,), (3, 4)), ((2, 3), (4, 4)), ((2, 3), (3, 4, 1))])
def test_operands_that_do_not_fit_are_refused(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"ab,bc->ac for inputs"):
        Equation.parse("ab,bc->ac").shape(a, b)


def test_a_diagonal_repeats_a_letter() -> None:
    assert Equation("aab", "b", "a").repeats and not Equation("ab", "ab", "ab").repeats
    assert Equation("ab", "ab", "ab").elementwise and not Equation("ab", "ab", "ba").elementwise
