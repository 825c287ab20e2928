"""Arrays of a user: read from a file, checked against the network that is to take them, written."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from ..array import Array
from ..errors import Problem, SimulateError, UsageError
from ..files import write_bytes
from ..ir.graph import Graph, raw_range
from ..ir.interp import check_input, input_shape
from ..npy import declared
from .samples import one_hot, tokens


def read_array(path: Path) -> Array:
    """An array from a ``.npy`` file, never unpickled; UsageError ND931 where that fails."""
    try:
        if not path.is_file() or path.stat().st_size == 0:
            raise _bad_input(path, "nothing" if not path.exists() else "0 bytes")
        with path.open("rb") as file:
            dtype, _, size = declared(file)
            stored = path.stat().st_size - file.tell()
        if dtype.kind not in "biufc" or size != stored:
            raise _bad_input(path, f"{dtype}, {size} bytes declared, {stored} stored")
        loaded: Array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError) as error:
        raise _bad_input(path, str(error)[:200]) from error
    return loaded


def _bad_input(path: Path, found: str) -> UsageError:
    fix = "numpy.save('x.npy', x) with x (samples, *input) or, for a frame at each tick, (samples, T, *input)"
    cause, limit = "the input file cannot be used", "one plain array (.npy)"
    return UsageError(Problem("ND931", cause, str(path), found, limit, (fix,)))


def checked_input(graph: Graph, x: Array) -> Array:
    """Raw inputs (B, *input), or (B, T, *input); a single sample gets a batch axis. SimulateError ND601 .. ND607.

    A network that takes texts takes token ids (B, N) as well.
    """
    text, shape = tokens(graph), input_shape(graph)
    if text is not None and x.ndim in (1, 2) and x.shape[-1] == text[0] and x.dtype.kind in "iu":
        return one_hot(graph, np.atleast_2d(x))
    x = x[None] if x.ndim == len(shape) else x
    _require_ticks(graph, x, shape)
    check_input(graph, x)
    problem = _unusable(graph, x)
    if problem is not None:
        raise SimulateError(problem)
    return x.astype(np.int64)


def _require_ticks(graph: Graph, x: Array, shape: tuple[int, ...]) -> None:
    """ND607 for frames that fit in everything but their number."""
    framed = graph.input.per_tick and x.ndim == len(shape) + 1 and x.shape[2:] == shape[1:]
    if framed and x.shape[1] != shape[0]:
        cause = "the input has another number of ticks than the network was built for"
        found, fix = f"{x.shape[1]} ticks", f"build again with --timesteps {x.shape[1]}"
        raise SimulateError(Problem("ND607", cause, graph.input.name, found, f"{shape[0]} ticks", (fix,)))


def _unusable(graph: Graph, x: Array) -> Problem | None:
    """What is wrong with values of the right shape: none at all, no whole numbers, or out of range."""
    name, known = graph.input.name, raw_range(graph)
    if not len(x):
        return Problem("ND601", "the input holds no sample", name, str(x.shape), "1 sample")
    if x.dtype.kind not in "iu":
        return Problem("ND606", "the input is not made of whole numbers", name, *_no_integers(x, known))
    low, high = int(x.min()), int(x.max())
    if known is not None and not known[0] <= low <= high <= known[1]:
        cause = "the input leaves the range that the network was built for"
        fix = "give the levels that the data of the build have, or build again with data of this range"
        return Problem("ND603", cause, name, f"{low} .. {high}", f"{known[0]} .. {known[1]}", (fix,))
    if tokens(graph) is not None and (most := int(x.sum(axis=-1).max())) > 1:
        return Problem("ND603", "a token of the input has several ids", name, f"{most} ids", "one")
    return None


def _no_integers(x: Array, known: tuple[int, int] | None) -> tuple[str, str, tuple[str, ...]]:
    """What was found, the limit and the fix for numbers that are not integers."""
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).sum())
        return (
            f"{x.dtype}, {bad} of {x.size} NaN or infinite",
            "integers",
            ("leave out the samples that hold them",),
        )
    unit = x.dtype.kind == "f" and -1 <= float(x.min()) <= float(x.max()) <= 1
    scaled = f"x * {known[1]}" if unit and known is not None and known[0] == 0 and known[1] > 1 else "x"
    found = f"{x.dtype}, {x.min():.4g} .. {x.max():.4g}" if x.dtype.kind == "f" else str(x.dtype)
    limit = f"integers {known[0]} .. {known[1]}" if known is not None else "integers"
    return found, limit, (f"numpy.rint({scaled}).astype(numpy.int32)",)


def save_array(path: Path, array: Array) -> None:
    """Write a ``.npy`` file whole or not at all."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())
