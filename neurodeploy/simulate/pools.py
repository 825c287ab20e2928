"""Threads: pieces of a batch side by side, and a BLAS that does not compete with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def threads() -> int:
    """Cores this process may use, at most what OMP_NUM_THREADS or NUMBA_NUM_THREADS allow."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = (os.environ.get(key, "") for key in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"))
    return max(1, min([allowed, *(int(count) for count in asked if count.isdigit())]))


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="neurodeploy")


def side_by_side(work: Callable[[Piece], Result], pieces: Sequence[Piece]) -> list[Result]:
    """``work`` of every piece, on as many threads as there are."""
    count = threads() if len(pieces) > 1 else 1
    if count == 1:
        return [work(piece) for piece in pieces]
    if len(pieces) > count:
        return list(_pool(count).map(work, pieces))
    others = [_pool(count).submit(work, piece) for piece in pieces[1:]]
    return [work(pieces[0]), *(one.result() for one in others)]


def parts(extent: int, unit: int) -> list[tuple[int, int]]:
    """0 .. extent in as many parts as there are threads; bounds are multiples of ``unit``."""
    count = threads()
    size = max(-(-extent // (count * unit)) * unit, unit)
    return [(lo, min(lo + size, extent)) for lo in range(0, extent, size)]


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def blas_threads(count: int) -> AbstractContextManager[Any]:
    """BLAS on at most that many threads while the context lasts."""
    limited: AbstractContextManager[Any] = _libraries().limit(limits=count, user_api="blas")
    return limited
