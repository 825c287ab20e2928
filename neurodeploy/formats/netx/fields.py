"""Typed access to the datasets of one group of a .net file; what is wrong becomes a problem of the tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...array import Array
from .._hdf5.tree import Tree


@dataclass(frozen=True)
class Fields:
    """The datasets below one group, such as ``layer/3``; every getter returns None after noting a problem."""

    tree: Tree
    place: str

    def at(self, key: str) -> str:
        """Path of a field in the file."""
        return f"{self.place}/{key}"

    def has(self, key: str) -> bool:
        """Whether the field or group is in the file."""
        return self.at(key) in self.tree

    def problem(self, code: str, cause: str, key: str = "", *more: Any) -> None:
        """Note a problem at a field, or at the layer itself: what was found, what may be, what helps."""
        self.tree.problem(code, cause, self.at(key) if key else self.place, *more)

    def text(self, key: str) -> str | None:
        """A text field."""
        place = self.at(key)
        if place in self.tree.texts:
            return self.tree.texts[place]
        if not self.has(key):
            self.problem("ND122", "a dataset is missing", key, "nothing", "a text")
        elif place not in self.tree.refused:
            self.problem("ND124", "not a text", key, "numbers", "a text")
        return None

    def array(self, key: str, default: int | None = None) -> Array | None:
        """A numeric field as it is stored, all of it finite."""
        place = self.at(key)
        if place not in self.tree.arrays:
            if not self.has(key):
                if default is not None:
                    return np.asarray(default)
                self.problem("ND122", "a dataset is missing", key, "nothing", "numbers")
            elif place not in self.tree.refused:
                self.problem("ND122", "a group or a text stands where numbers belong", key, "", "a dataset")
            return None
        value = self.tree.arrays[place]
        bad = int((~np.isfinite(value)).sum())
        if value.size == 0:
            self.problem("ND126", "a dataset without elements", key, f"shape {value.shape}")
        elif bad:
            self.problem("ND124", "NaN or infinity", key, f"{bad} of {value.size} values", "finite numbers")
        return value if value.size and not bad else None

    def whole(self, key: str, low: int, high: int, truncate: bool = False) -> Array | None:
        """A numeric field as int64, whole numbers in low .. high; ``truncate`` rounds toward zero instead."""
        value = self.array(key)
        if value is None:
            return None
        whole = np.trunc(value) if value.dtype.kind == "f" else value
        odd, outside = value != whole, (whole < low) | (whole > high)
        if odd.any() and not truncate:
            found = f"{value[odd].flat[0]} and {int(odd.sum()) - 1} more"
            fix = "quantise before the export; --set reader.truncate=true rounds toward zero, as netx does"
            self.problem("ND124", "numbers that are not whole", key, found, "whole numbers", fix)
        elif outside.any():
            found = f"{whole[outside].flat[0]} and {int(outside.sum()) - 1} more"
            self.problem("ND124", "values outside their range", key, found, f"{low} .. {high}")
        else:
            return whole.astype(np.int64)
        return None

    def scalar(self, key: str, low: int, high: int, default: int | None = None) -> int | None:
        """One whole number, stored as a scalar or as the only element."""
        if default is not None and not self.has(key):
            return default
        value = self.whole(key, low, high)
        if value is not None and value.size != 1:
            found = f"shape {value.shape}"
            self.problem("ND126", "several values where one belongs", key, found, "one value")
            return None
        return None if value is None else int(value.flat[0])

    def pair(self, key: str, low: int, high: int) -> tuple[int, int] | None:
        """(vertical, horizontal): two whole numbers, or one for both."""
        value = self.whole(key, low, high)
        if value is not None and (value.size > 2 or value.ndim > 1):
            self.problem("ND126", "not one or two numbers", key, f"shape {value.shape}", "(rows, columns)")
            return None
        return None if value is None else (int(value.flat[0]), int(value.flat[-1]))

    def per_channel(self, key: str, low: int, high: int, channels: int) -> Array | None:
        """One whole number, or one for each channel, as an int64 array of no or one axis."""
        value = self.whole(key, low, high)
        if value is None or value.size == 1:
            return None if value is None else value.reshape(())
        if value.shape == (channels,):
            return value
        cause = "neither one value nor one per channel"
        self.problem("ND126", cause, key, f"shape {value.shape}", f"({channels},)")
        return None


def flat(value: Any) -> Any:
    """What is written of a number for all or one for each channel: a plain integer, or one axis of int64."""
    array = np.asarray(value)
    return int(array.ravel()[0]) if array.size == 1 else array.ravel().astype(np.int64)
