"""What is read without the HDF5 library, which trusts what a file says of itself.

Texts of variable length, since a damaged heap makes the library loop for ever: such a dataset holds references of 16
bytes, (length, address of a heap, index), and a heap holds objects of (index, references, reserved, size) and their
bytes, padded to 8: HDF5 file format, "Global Heap". Only contiguous datasets in files with 8-byte addresses and no user
block are read, which is what every tool writes.

Compressed datasets, since the library's inflate grows as far as the stream asks: each chunk is taken from where the
file says it lies and may unpack to the size of a chunk and no more. Known filters: deflate, shuffle, and the checksum,
which is not checked; a wrong byte gives a wrong number, as in a file without one.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from ...array import Array

REFERENCE = struct.Struct("<IQI")
HEAP = struct.Struct("<4sB3xQ")
OBJECT = struct.Struct("<HH4xQ")
MAX_HEAP = 1 << 26
DEFLATE, SHUFFLE, FLETCHER32 = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32
FILTERS = {DEFLATE, SHUFFLE, FLETCHER32}
MOST_CHUNKS = 1 << 17
CHECKSUM_BYTES = 4


Heap = dict[int, bytes]


def texts(path: Path, dataset: h5py.Dataset, most: int) -> Array:
    """All texts as an object array of bytes, each cut at ``most``; ValueError for anything that is not whole."""
    plist = dataset.file.id.get_create_plist()
    if plist.get_sizes() != (8, 8) or plist.get_userblock():
        raise ValueError("addresses of other than 8 bytes, or a user block")
    if dataset.chunks is not None:
        raise ValueError("texts in chunks")
    found = np.full(dataset.shape, b"", dtype=object)
    start = dataset.id.get_offset()
    if start is None:
        return found  # never written: every text is empty
    heaps: dict[int, Heap] = {}
    with open(path, "rb") as stream:
        raw = _exactly(stream, start, REFERENCE.size * found.size)
        for place, (length, address, index) in enumerate(REFERENCE.iter_unpack(raw)):
            found.ravel()[place] = _text(stream, heaps, length, address, index)[:most]
    return found


def _text(stream: BinaryIO, heaps: dict[int, Heap], length: int, address: int, index: int) -> bytes:
    if not length or not address:
        return b""
    if address not in heaps:
        heaps[address] = _heap(stream, address)
    item = heaps[address].get(index)
    if item is None or len(item) < length:
        raise ValueError(f"no text of {length} bytes at heap {address}, object {index}")
    return item[:length]


def _heap(stream: BinaryIO, address: int) -> Heap:
    """The objects of one heap; each takes at least its header, so this ends."""
    magic, version, size = HEAP.unpack(_exactly(stream, address, HEAP.size))
    if magic != b"GCOL" or version != 1 or not HEAP.size <= size <= MAX_HEAP:
        raise ValueError(f"no heap at {address}")
    body = _exactly(stream, address + HEAP.size, size - HEAP.size)
    objects: Heap = {}
    place = 0
    while place + OBJECT.size <= len(body):
        index, _, length = OBJECT.unpack_from(body, place)
        if index == 0:  # free space up to the end
            break
        place += OBJECT.size
        if length > len(body) - place:
            raise ValueError(f"object {index} of heap {address} ends outside it")
        objects[index] = body[place : place + length]
        place += -(-length // 8) * 8
    return objects


def _exactly(stream: BinaryIO, start: int, count: int) -> bytes:
    """``count`` bytes from ``start``; ValueError where the file ends before."""
    end = stream.seek(0, 2)
    if start > end or count > end - start:
        raise ValueError("a part that lies behind the end of the file")
    stream.seek(start)
    return stream.read(count)


def chunks(path: Path, dataset: h5py.Dataset) -> Array:
    """The whole dataset; ValueError for a chunk that is not whole or does not unpack to its size."""
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if not set(filters) <= FILTERS or plist.get_layout() != h5py.h5d.CHUNKED:
        raise ValueError("a filter or a layout that is not known")
    found = np.full(dataset.shape, dataset.fillvalue, dtype=dataset.dtype)
    shape = dataset.chunks
    with open(path, "rb") as stream:
        for info in _chunks(dataset):
            raw = _exactly(stream, info.byte_offset, info.size)
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
