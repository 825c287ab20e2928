"""Which cases of a test everybody runs, and which are among the long proofs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def fast(cases: Iterable[Any], *chosen: Any, by: int | None = None) -> list[Any]:
    """The cases as parameters of a test: those of ``chosen`` in `make test`, all others in `make test-slow`.

    ``by``: the position in a case, a tuple, of what ``chosen`` names. A name that is no case is an error.
    """
    cases = list(cases)
    names = cases if by is None else [case[by] for case in cases]
    if missing := [name for name in chosen if name not in names]:
        raise ValueError(f"no such case: {missing}")
    return [case if name in chosen else slowly(case) for case, name in zip(cases, names, strict=True)]


def slowly(case: Any) -> Any:
    """One case as a long proof."""
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.slow)
