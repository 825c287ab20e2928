"""Typed access to the datasets of one group of a .net file; what is wrong becomes a problem of the tree."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...array import Array
from .._hdf5.tree import Tree

MISSING = object()


class Fields:
    """The datasets below one group, such as ``layer/3``; every getter returns None after noting a problem."""

    def __init__(self, tree: Tree, place: str) -> None:
        self.tree = tree
        self.place = place

    def at(self, key: str) -> str:
        """Path of a field in the file."""
        return f"{self.place}/{key}"

    def has(self, key: str) -> bool:
        """Whether the field or group is in the file."""
        return self.at(key) in self.tree

    def problem(
        self, code: str, cause: str, key: str = "", found: Any = "", limit: Any = "", *fixes: str
    ) -> None:
        """Note a problem at a field, or at the layer itself."""
        self.tree.problem(code, cause, self.at(key) if key else self.place, found, limit, *fixes)

    def text(self, key: str, default: str | None = None) -> str | None:
        """A text field."""
        place = self.at(key)
        if place in self.tree.texts:
            return self.tree.texts[place]
        if place not in self.tree.refused:
            if not self.has(key):
                if default is None:
                    self.problem("ND122", "a dataset is missing", key, "nothing", "a text")
                return default
            self.problem("ND124", "not a text", key, "numbers", "a text")
        return None

    def array(self, key: str, default: Any = MISSING) -> Array | None:
        """A numeric field as it is stored, all of it finite."""
        place = self.at(key)
        if place in self.tree.refused:
            return None  # already a problem
        if place not in self.tree.arrays:
            if self.has(key):
                self.problem("ND122", "a group or a text stands where numbers belong", key, "", "a dataset")
            elif default is MISSING:
                self.problem("ND122", "a dataset is missing", key, "nothing", "numbers")
            else:
                return np.asarray(default)
            return None
        value = self.tree.arrays[place]
        if value.size == 0:
            self.problem("ND126", "a dataset without elements", key, f"shape {value.shape}")
            return None
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            bad = int((~np.isfinite(value)).sum())
            self.problem("ND124", "NaN or infinity", key, f"{bad} of {value.size} values", "finite numbers")
            return None
        return value

    def whole(
        self, key: str, low: int, high: int, default: Any = MISSING, truncate: bool = False
    ) -> Array | None:
        """A numeric field as int64, whole numbers in low .. high; ``truncate`` rounds toward zero instead."""
        value = self.array(key, default)
        if value is None:
            return None
        fraction = value.dtype.kind == "f" and value != np.trunc(value)
        if np.any(fraction) and not truncate:
            found = f"{value[fraction].ravel()[0]} and {int(np.sum(fraction)) - 1} more"
            fix = "quantise before the export; --set reader.truncate=true rounds toward zero, as netx does"
            self.problem("ND124", "numbers that are not whole", key, found, "whole numbers", fix)
            return None
        whole = np.trunc(value) if value.dtype.kind == "f" else value
        outside = (whole < low) | (whole > high)
        if outside.any():
            found = f"{whole[outside].ravel()[0]} and {int(outside.sum()) - 1} more"
            self.problem("ND124", "values outside their range", key, found, f"{low} .. {high}")
            return None
        return whole.astype(np.int64)

    def scalar(self, key: str, low: int, high: int, default: Any = MISSING) -> int | None:
        """One whole number, stored as a scalar or as the only element."""
        value = self.whole(key, low, high, default)
        if value is None:
            return None
        if value.size != 1:
            found = f"shape {value.shape}"
            self.problem("ND126", "several values where one belongs", key, found, "one value")
            return None
        return int(value.ravel()[0])

    def pair(self, key: str, low: int, high: int) -> tuple[int, int] | None:
        """(vertical, horizontal): two whole numbers, or one for both."""
        value = self.whole(key, low, high)
        if value is None:
            return None
        if value.size > 2 or value.ndim > 1:
            self.problem("ND126", "not one or two numbers", key, f"shape {value.shape}", "(rows, columns)")
            return None
        first, last = value.ravel()[0], value.ravel()[-1]
        return int(first), int(last)

    def per_channel(self, key: str, low: int, high: int, channels: int) -> Array | None:
        """One whole number, or one for each channel, as an int64 array of no or one axis."""
        value = self.whole(key, low, high)
        if value is None or value.size == 1:
            return None if value is None else value.reshape(())
        if value.shape != (channels,):
            cause = "neither one value nor one per channel"
            self.problem("ND126", cause, key, f"shape {value.shape}", f"({channels},)")
            return None
        return value


def flat(value: Any) -> Any:
    """What is written of a number for all or one for each channel: a plain integer, or one axis of int64."""
    array = np.asarray(value)
    return int(array.ravel()[0]) if array.size == 1 else array.ravel().astype(np.int64)
