"""Vector code: LLVM IR written out where loops of numba would leave vectors half empty or sums in memory.

Generic vectors (32 lanes of 16 bits are one AVX-512 register or two AVX2 registers) serve both instruction sets; no
compiler is needed. Every function has a twin of plain loops. :func:`chosen` is the vector form where a self-test at the
ends of all ranges finds both equal, else the twin. Memory is passed as addresses: buffers belong to whoever calls.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .bits import row_to_bits, row_to_bits_plain, rows_of_bits, rows_of_bits_plain
from .dense import dot_8, dot_16, dot_16_narrow, dot_plain, packed_dense
from .elements import lanes
from .emit import array_at, emitted, has, part, row_at
from .spikes import (
    SPILL,
    mask_8,
    mask_16,
    mask_32,
    mask_64,
    mask_plain,
    positions_compress,
    positions_plain,
    positions_table,
)
from .sums import LANES, PAD, gather, gather_plain, packed

__all__ = [
    "LANES", "PAD", "SPILL", "array_at", "chosen", "dot_8", "dot_16", "dot_16_narrow", "dot_plain", "emitted", "gather",
    "gather_plain", "has", "lanes", "mask_8", "mask_16", "mask_32", "mask_64", "mask_plain", "packed", "packed_dense",
    "part", "positions_compress", "positions_plain", "positions_table", "row_at", "row_to_bits", "row_to_bits_plain",
    "rows_of_bits", "rows_of_bits_plain", "text",
]  # fmt: skip


@cache
def text() -> str:
    """The text of these files, on which machine code that calls them depends."""
    return "".join(path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py")))


@cache
def chosen() -> dict[str, str]:
    """Name of each function here that kernels call -> name of the form that was found equal to its twin."""
    places = "positions_compress" if has("avx512vbmi2") else "positions_table"
    wide = {"dot_16": has("avx512bw"), "dot_16_narrow": has("avx2")}
    dot = next((name for name, there in wide.items() if there and _dots(globals()[name])), "dot_plain")
    of_four = "dot_8" if has("avx512vnni") and _dots(dot_8) else ""
    return {
        "dot_of_2": dot,
        "dot_of_4": of_four,
        "gather": "gather" if _gathers() else "gather_plain",
        "row_to_bits": "row_to_bits" if _adds(row_to_bits, False) else "row_to_bits_plain",
        "rows_of_bits": "rows_of_bits" if _adds(rows_of_bits, True) else "rows_of_bits_plain",
        "positions": places if _places(globals()[places]) else "positions_plain",
    }


def _gathers() -> bool:
    """Empty, short and long lists of extreme weights, both widths."""
    for tile in (64, 128):
        weight = np.where(np.arange(600)[:, None] % 3 == 0, -128, 127).astype(np.int8) * np.ones(
            (1, tile), np.int8
        )
        weight[::7] = -np.arange(tile) % 251 - 125
        weights = packed(weight, tile)
        for count in (0, 1, 4, 255, 256, 257, 600):
            index = np.full(count + PAD, 600, np.uint16)
            index[:count] = np.arange(count)
            out, bias = np.full(tile, -1, np.int32), np.arange(-5, tile - 5, dtype=np.int32)
            gather(index, count, weights.ravel(), bias, out)
            if not np.array_equal(out - bias, weight[:count].astype(np.int64).sum(axis=0)):
                return False
    return True


def _places(function: Any) -> bool:
    """Rows of every length around the width of a vector; none, all and some elements set; the largest position."""
    for size in (0, 1, 31, 32, 33, 64, 100):
        for step in (1, 2, 7, 1000):
            row = np.zeros(size, np.int8)
            row[::step] = -1
            out, base = np.zeros(size + SPILL, np.uint16), 65535 - size
            count = function(row, base, out, 0)
            if not np.array_equal(out[:count], np.flatnonzero(row) + base):
                return False
    return True


def _adds(function: Any, gathers: bool) -> bool:
    """Odd sizes, two pairs of widths, at the ends of the narrower one, masks with both ends set."""
    for few, many in ((np.int8, np.int16), (np.int16, np.int32)):
        ends = np.iinfo(few)
        for size in (1, 16, 135):
            rows = np.resize(np.array([ends.min, ends.max, 1], few), (64, size))
            out = np.zeros((64, size), many)
            mask, step = 0b1011 - (1 << 63), size * (rows if gathers else out).itemsize
            function(mask, rows.ctypes.data, out.ctypes.data, step, np.zeros(32, many), rows[0], out[0], size)
            hit, expected = [0, 1, 3, 63], np.zeros((64, size), np.int64)
            if gathers:
                expected[0] = rows[hit].sum(axis=0, dtype=np.int64)
            else:
                expected[hit] = rows[0]
            if not np.array_equal(out, expected.astype(many)):
                return False
    return True


def _dots(function: Any) -> bool:
    """All ends of the ranges in every pairing, rows left over, sizes that are no whole vector."""
    group = 4 if function is dot_8 else 2
    kind = np.iinfo(np.int8 if group == 4 else np.int16)
    for rows, size in ((1, 4), (4, 8), (7, 260)):
        x = np.resize(np.array([kind.min, kind.max, kind.max, 0, kind.min], kind.dtype), (rows, size))
        weight = np.resize(np.array([-128, 127, 127, 0, -128, 127, -1]), (size, 128))
        out, bias = np.empty((rows, 128), np.int32), np.arange(128, dtype=np.int32)
        function(x.ravel(), size, packed_dense(weight, group).ravel(), 2, bias, out.ravel())
        if not np.array_equal(out, x.astype(np.int64) @ weight + bias):
            return False
    return True
