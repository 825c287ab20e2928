"""Memory that is used again: fresh pages of large arrays cost more than what is written to them."""

from __future__ import annotations

import sys
import threading
from math import prod
from typing import Any

import numpy as np

from ..array import Array

#: bytes by which memory is larger than its room, so that an array in it can start at a multiple of as many
SPARE = 64
#: references to memory that no array views: its pair, the loop variable and the argument of getrefcount
_FREE = 3


def room(size: int) -> int:
    """Bytes set aside for ``size`` of them."""
    return 1 << max(size - 1, SPARE - 1).bit_length()


def start_of(memory: Array) -> int:
    """Where in memory an array may start."""
    return -int(memory.__array_interface__["data"][0]) % SPARE


def owner(x: Any) -> Any:
    """The array whose memory an array shows, through all views between."""
    while getattr(x, "base", None) is not None:
        x = x.base
    return x


class Buffers(threading.local):
    """Arrays in memory that each thread keeps; some is free again once no array views it."""

    def __init__(self) -> None:
        self.kept: dict[int, list[tuple[Array, int]]] = {}
        self.ids: set[int] = set()

    def owns(self, memory: Array) -> bool:
        """Whether this memory was made here."""
        return id(memory) in self.ids

    def take(self, shape: tuple[int, ...], kind: Any) -> Array:
        """An array of undefined content, aligned to 64 bytes."""
        size = room(prod(shape) * np.dtype(kind).itemsize)
        pool = self.kept.setdefault(size, [])
        for (
            memory,
            start,
        ) in pool:  # a view of a view refers to the owner of the memory, so views of it are counted
            if sys.getrefcount(memory) == _FREE:
                return np.ndarray(shape, kind, memory, start)
        fresh = np.empty(size + SPARE, np.uint8)
        pool.append((fresh, start_of(fresh)))
        self.ids.add(id(fresh))
        return np.ndarray(shape, kind, *pool[-1])


BUFFERS = Buffers()
