"""Which cases of a test everybody runs, and which are among the long proofs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

#: the variable, and how many shares there are
TURN, TURNS = "SLOW_TURN", 3


def fast(cases: Iterable[Any], *chosen: Any, by: int | None = None) -> list[Any]:
    """The cases as parameters of a test: those of ``chosen`` in `make test`, all others in `make test-slow`.

    ``by``: the position in a case, a tuple, of what ``chosen`` names. A name that is no case is an error. Long proofs
    are run :func:`in_turn`.
    """
    cases = list(cases)
    names = cases if by is None else [case[by] for case in cases]
    if missing := [name for name in chosen if name not in names]:
        raise ValueError(f"no such case: {missing}")
    named = enumerate(zip(cases, names, strict=True))
    return [c if name in chosen else slowly(c) for i, (c, name) in named if name in chosen or _today(i)]


def in_turn(cases: Iterable[Any], *always: Any) -> list[Any]:
    """The cases; where :data:`TURN` holds a number, those of ``always`` and one of :data:`TURNS` shares.

    CI sets the day's number: every third day all have been run.
    """
    return [case for i, case in enumerate(cases) if case in always or _today(i)]


def at_length(examples: int) -> int:
    """So many random examples of a long proof; of a share of them, the first, where :data:`TURN` is set."""
    return examples // TURNS if TURN in os.environ else examples


def _today(position: int) -> bool:
    return TURN not in os.environ or position % TURNS == int(os.environ[TURN]) % TURNS


def slowly(case: Any) -> Any:
    """One case as a long proof."""
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.slow)
