"""Axis roles through a reshape. Roles are for readers and reports: nothing is computed from them."""

from __future__ import annotations

from .types import Shape


def reshaped_roles(shape: Shape, sizes: tuple[int, ...]) -> tuple[str, ...]:
    """Roles after a reshape: Y X join to N, C splits into H C and H C join to C, one to one keeps, the rest is G."""
    if sizes == shape.sizes:
        return shape.roles
    roles: list[str] = []
    for old, new in _groups(shape.sizes, sizes):
        roles += _group_roles([shape.roles[a] for a in old if shape.sizes[a] > 1], [sizes[a] for a in new])
    return tuple(roles)


def _group_roles(old: list[str], new: list[int]) -> list[str]:
    """Roles of one group of axes with the same product; axes of size 1 are G."""
    real = [i for i, size in enumerate(new) if size > 1]
    table = dict(zip(real, _real_roles(old, len(real)), strict=True))
    return [table.get(i, "G") for i in range(len(new))]


def _real_roles(old: list[str], count: int) -> list[str]:
    if len(old) == count:
        return old
    if count == 1:
        return ["C" if "C" in old else "N" if set(old) <= {"N", "Y", "X"} else "G"]
    if old == ["C"]:
        return ["G"] * (count - 2) + ["H", "C"]
    if old == ["N"] and count == 2:
        return ["Y", "X"]
    return ["G"] * count


def _groups(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Smallest runs of axes, old and new, whose products agree."""
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        left: list[int] = []
        right: list[int] = []
        a = b = 1
        while not (left or right) or a != b:
            if i < len(old) and (a <= b or j == len(new)):
                left.append(i)
                a, i = a * old[i], i + 1
            else:
                right.append(j)
                b, j = b * new[j], j + 1
        groups.append((left, right))
    return groups
