"""Compressed datasets, unpacked here and not by the HDF5 library: its inflate grows as far as the stream asks.

Each chunk is taken from where the file says it lies and may unpack to the size of a chunk and no more. Known filters:
deflate, shuffle, and the checksum, which is not checked; a wrong byte gives a wrong number, as in a file without one.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ...array import Array
from .texts import exactly

DEFLATE, SHUFFLE, FLETCHER32 = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32
FILTERS = {DEFLATE, SHUFFLE, FLETCHER32}
MOST_CHUNKS = 1 << 17
CHECKSUM_BYTES = 4


def read(path: Path, dataset: h5py.Dataset) -> Array:
    """The whole dataset; ValueError for a chunk that is not whole or does not unpack to its size."""
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if not set(filters) <= FILTERS or plist.get_layout() != h5py.h5d.CHUNKED:
        raise ValueError("a filter or a layout that is not known")
    found = np.full(dataset.shape, dataset.fillvalue, dtype=dataset.dtype)
    shape = dataset.chunks
    with open(path, "rb") as stream:
        for info in _chunks(dataset):
            raw = exactly(stream, info.byte_offset, info.size)
            block = _unpacked(raw, filters, info.filter_mask, dataset.dtype, int(np.prod(shape)))
            corner = tuple(slice(o, o + c) for o, c in zip(info.chunk_offset, shape, strict=True))
            part = found[corner]
            part[...] = block.reshape(shape)[tuple(slice(0, s) for s in part.shape)]
    return found


def _chunks(dataset: h5py.Dataset) -> list[Any]:
    """Where each stored chunk lies."""
    count = dataset.id.get_num_chunks()
    if count > MOST_CHUNKS:
        raise ValueError(f"{count} chunks, more than {MOST_CHUNKS}")
    if not hasattr(dataset.id, "chunk_iter"):
        return [dataset.id.get_chunk_info(i) for i in range(count)]
    found: list[Any] = []
    dataset.id.chunk_iter(found.append)
    return found


def _unpacked(raw: bytes, filters: list[int], skipped: int, dtype: np.dtype[Any], count: int) -> Array:
    """The elements of one chunk: its filters undone, last first, but for those that were skipped."""
    size = count * dtype.itemsize
    for place in reversed(range(len(filters))):
        if skipped >> place & 1:
            continue
        if filters[place] == FLETCHER32:
            raw = raw[:-CHECKSUM_BYTES]
        elif filters[place] == DEFLATE:
            raw = _inflated(raw, size + CHECKSUM_BYTES)
        else:
            whole = len(raw) // dtype.itemsize
            planes = np.frombuffer(raw[: whole * dtype.itemsize], np.uint8).reshape(dtype.itemsize, whole)
            raw = planes.T.tobytes() + raw[whole * dtype.itemsize :]
    if len(raw) != size:
        raise ValueError(f"a chunk of {len(raw)} bytes instead of {size}")
    return np.frombuffer(raw, dtype)


def _inflated(raw: bytes, most: int) -> bytes:
    machine = zlib.decompressobj()
    try:
        found = machine.decompress(raw, most)
    except zlib.error as error:
        raise ValueError(f"a chunk that does not unpack: {error}") from error
    if not machine.eof:
        raise ValueError(f"a chunk that unpacks to more than {most} bytes, or is cut off")
    return found
