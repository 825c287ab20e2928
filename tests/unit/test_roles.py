"""Axis roles through reshapes."""

from __future__ import annotations

import pytest

from neurodeploy.ir.roles import reshaped_roles
from neurodeploy.ir.types import Shape

#: roles and sizes before, sizes after, roles after
CASES = [
    ("CYX", (8, 4, 4), (8, 4, 4), "CYX"),
    ("CYX", (1, 8, 8), (1, 8, 8), "CYX"),
    ("CYX", (8, 4, 4), (8, 16), "CN"),
    ("NC", (16, 64), (16, 4, 16), "NHC"),
    ("NC", (17, 192), (17, 3, 4, 16), "NGHC"),
    ("NHC", (17, 4, 16), (17, 64), "NC"),
    ("CN", (64, 16), (64, 4, 4), "CYX"),
    ("NC", (1, 64), (64,), "C"),
    ("C", (64,), (1, 64, 1), "GCG"),
    ("CYX", (8, 4, 4), (128,), "C"),
    ("HNC", (4, 6, 10), (8, 30), "GG"),
    ("", (), (1,), "G"),
]


@pytest.mark.parametrize(("roles", "sizes", "after", "expected"), CASES)
def test_roles_follow_a_reshape(roles: str, sizes: tuple, after: tuple, expected: str) -> None:
    assert reshaped_roles(Shape(tuple(roles), sizes), after) == tuple(expected)
