"""The images of a network as a few long arrays: every table of all images one after the other, and where each begins.

An image is taken out when it is asked for, and checked then; none is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..array import Array, narrow
from ..errors import MappingError, Problem
from .records import TABLES, from_arrays, to_arrays
from .types import CoreImage, Images

RECORDS, SIZES = "records", "sizes"
PARTS = (RECORDS, *TABLES)


def pack(images: Iterable[CoreImage]) -> dict[str, Array]:
    """By table the entries of all images; ``records``: their JSON texts; ``sizes`` (images, parts): entries of each."""
    held: dict[str, list[Array]] = {name: [np.zeros((0, *_width(name)), _type(name))] for name in PARTS}
    sizes = []
    for image in images:
        data = to_arrays(image)
        text = json.dumps(data.pop("record"), separators=(",", ":")).encode("utf-8")
        data[RECORDS] = np.frombuffer(text, dtype=np.uint8)
        sizes.append([len(data[name]) for name in PARTS])
        for name in PARTS:
            held[name].append(data[name] if data[name].dtype == np.uint64 else narrow(data[name]))
    return {SIZES: np.array(sizes, dtype=np.int64).reshape(-1, len(PARTS)), **_joined(held)}


def _joined(held: dict[str, list[Array]]) -> dict[str, Array]:
    """Each table whole, in the narrowest type of all its parts; parts are let go as soon as they are in it."""
    found = {}
    for name in PARTS:
        first, *parts = held.pop(name)
        parts = [part for part in parts if part.size]  # what is empty is of any type
        kind = np.result_type(*parts) if parts else first.dtype
        found[name] = np.concatenate([first.astype(kind), *parts])
    return found


def _type(name: str) -> Any:
    return np.uint8 if name == RECORDS else TABLES[name].dtype


def _width(name: str) -> tuple[int, ...]:
    return () if name == RECORDS else TABLES[name].shape[1:]


def unpack(data: Any) -> Images:
    """The images of :func:`pack`.

    Raises MappingError ND581 for parts that do not fit each other; each image raises what :func:`.from_arrays` does.
    """
    if not isinstance(data, Mapping) or set(data) != {SIZES, *PARTS}:
        raise _malformed("", type(data).__name__, "a table for each part")
    for name, part in data.items():
        width = (len(PARTS),) if name == SIZES else _width(name)
        if not isinstance(part, np.ndarray) or part.dtype.kind not in "iu" or part.shape[1:] != width:
            raise _malformed(
                name, str(getattr(part, "shape", type(part).__name__)), f"integers (n, *{width})"
            )
    sizes = data[SIZES].astype(np.int64)
    total = sizes.sum(axis=0, dtype=object).tolist()
    lengths = [len(data[name]) for name in PARTS]
    if (sizes < 0).any() or (total or [0] * len(PARTS)) != lengths:
        raise _malformed(SIZES, str(total), str(lengths))
    ends = np.concatenate([np.zeros((1, len(PARTS)), np.int64), np.cumsum(sizes, axis=0)])
    return Images(len(sizes), partial(_image, data, ends))


def _image(data: Mapping[str, Array], ends: Array, number: int) -> CoreImage:
    first, last = ends[number], ends[number + 1]
    parts = {name: data[name][a:b] for name, a, b in zip(PARTS, first, last, strict=True)}
    try:
        record = json.loads(parts.pop(RECORDS).tobytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _malformed(f"{RECORDS} {number}", str(error)[:80], "a JSON text") from error
    return from_arrays({"record": record} | {name: _wide(name, part) for name, part in parts.items()})


def _wide(name: str, part: Array) -> Array:
    """A table in its own type; one with numbers beyond it stays as it is, and is refused for that."""
    whole = part.astype(TABLES[name].dtype, copy=False)
    return whole if whole.dtype == part.dtype or np.array_equal(whole, part) else part


def _malformed(where: str, found: str, limit: str) -> MappingError:
    cause = "the memory images are malformed"
    return MappingError(Problem("ND581", cause, f"images {where}".rstrip(), found[:80], limit[:80]))
