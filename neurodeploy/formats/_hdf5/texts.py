"""Texts of variable length, read without the HDF5 library: a damaged heap makes it loop for ever.

Such a dataset holds references of 16 bytes, (length, address of a heap, index), and a heap holds objects of (index,
references, reserved, size) and their bytes, padded to 8: HDF5 file format, "Global Heap". Only contiguous datasets in
files with 8-byte addresses and no user block are read, which is what every tool writes.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from ...array import Array

REFERENCE = struct.Struct("<IQI")
HEAP = struct.Struct("<4sB3xQ")
OBJECT = struct.Struct("<HH4xQ")
MAX_HEAP = 1 << 26

Heap = dict[int, bytes]


def read(path: Path, dataset: h5py.Dataset, most: int) -> Array:
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
        raw = exactly(stream, start, REFERENCE.size * found.size)
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
    magic, version, size = HEAP.unpack(exactly(stream, address, HEAP.size))
    if magic != b"GCOL" or version != 1 or not HEAP.size <= size <= MAX_HEAP:
        raise ValueError(f"no heap at {address}")
    body = exactly(stream, address + HEAP.size, size - HEAP.size)
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


def exactly(stream: BinaryIO, start: int, count: int) -> bytes:
    """``count`` bytes from ``start``; ValueError where the file ends before."""
    end = stream.seek(0, 2)
    if start > end or count > end - start:
        raise ValueError("a part that lies behind the end of the file")
    stream.seek(start)
    return stream.read(count)
