"""HDF5 files that keep each image as a JPEG stream; the file's own attributes say how it is laid out.

Root attributes: ``layout`` (the sentence that names the data sets: *JPEG stream [header +]
payload[offsets[i]:offsets[i+1]]*), ``shape`` (height, width, channels), ``classes`` (names), ``title``. Groups
``train`` and ``test`` hold ``labels`` and the data sets that the sentence names; the header, if any, lies at the
root and is shared by all images.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from .. import guarded
from ..limits import most_unpacked
from . import _checks
from ._base import DataFormat
from ._types import DataSet, Facts, Images, Split

if TYPE_CHECKING:
    import h5py

FORMAT = "an HDF5 file of JPEG streams with groups train and test (.h5, .hdf5)"

#: bytes that are read or decoded in a second, at least
_RATE = 5e6
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LAYOUT = re.compile(r"JPEG stream (?:(\w+) \+ )?(\w+)\[(\w+)\[i\]:\3\[i\+1\]\]")
_LIMIT = "attributes classes, layout, shape; groups train and test"


@dataclass(frozen=True)
class Layout:
    """What the attributes say: names of the data sets, image shape (H, W, C), classes."""

    header: str
    payload: str
    offsets: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class JpegReader:
    """Decodes chosen images of one split; the streams stay in memory, the pixels do not."""

    where: str
    header: bytes
    payload: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    shape: tuple[int, int, int]

    def __call__(self, indices: NDArray[np.int64]) -> Images:
        """The images at these positions of the split, decoded in a copy of the process."""
        size = len(indices) * int(np.prod(self.shape))
        try:
            seconds, memory = guarded.SECONDS + size / _RATE, guarded.MEMORY // 2 + size
            return guarded.call(self._images, indices, seconds=seconds, memory=memory)
        except guarded.Stopped as error:
            raise _checks.truncated(self.where, str(error), "whole JPEG streams") from error

    def _images(self, indices: NDArray[np.int64]) -> Images:
        height, width, channels = self.shape
        out = np.empty((len(indices), channels, height, width), np.uint8)
        for slot, index in enumerate(indices):
            out[slot] = np.moveaxis(self._decode(int(index)), -1, 0)
        return out

    def _decode(self, index: int) -> NDArray[np.uint8]:
        from PIL import Image

        index = range(len(self.offsets) - 1)[index]
        stream = self.header + self.payload[self.offsets[index] : self.offsets[index + 1]].tobytes()
        place, wanted = f"{self.where}: image {index}", ("L",) if self.shape[2] == 1 else ("RGB", "L")
        try:
            image = Image.open(io.BytesIO(stream), formats=("JPEG",))
            # Size and mode stand in the stream's first bytes: wrong ones are refused before it is decoded.
            if image.size != (self.shape[1], self.shape[0]):
                limit = f"{self.shape[1]} x {self.shape[0]}"
                raise _checks.refuse("ND924", "an image has another size", place, str(image.size), limit)
            if image.mode not in wanted:
                raise _checks.refuse(
                    "ND924", "an image has another mode", place, image.mode, " or ".join(wanted)
                )
            pixels = np.asarray(image.convert(wanted[0]))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise _checks.truncated(place, str(error), "a whole JPEG stream") from error
        return pixels.reshape(self.shape)


def accepts(spec: str) -> bool:
    """By suffix, or by the signature of the file."""
    return spec.lower().endswith((".h5", ".hdf5")) or _checks.begins(Path(spec), _SIGNATURE)


def facts(spec: str) -> Facts:
    """From the attributes."""
    height, width, channels = _opened(spec, _layout)["shape"]
    return Facts((channels, height, width), 255, spec)


def load(spec: str) -> DataSet:
    """Labels and streams at once, pixels (uint8, 0 .. 255) when they are asked for.

    Raises UsageError ND920 to ND925; a stream that is not a whole JPEG raises ND922 when it is decoded.
    """
    parts = _opened(spec, _parts)
    layout, header = Layout(**parts["layout"]), parts["header"]
    _require_bounded(spec, sum(len(labels) for labels, *_ in parts["splits"]) * prod(layout.shape))
    digest = hashlib.sha256(f"{layout}".encode() + header)
    splits = []
    for name, (labels, offsets, payload) in zip(("train", "test"), parts["splits"], strict=True):
        for part in (labels, offsets, payload):
            digest.update(np.ascontiguousarray(part).tobytes())
        splits.append(Split(labels, JpegReader(f"{spec}: {name}", header, payload, offsets, layout.shape)))
    height, width, channels = layout.shape
    title, shape = Path(spec).stem, (channels, height, width)
    return DataSet(title, splits[0], splits[1], layout.classes, shape, 255, digest.hexdigest(), spec)


def _require_bounded(spec: str, pixels: int) -> None:
    """Refuse streams that claim far more pixels than a file of this size holds."""
    most = most_unpacked(Path(spec).stat().st_size)
    if pixels > most:
        raise _checks.foreign(spec, f"{pixels} bytes of pixels", f"at most {most} bytes")


def _opened(spec: str, read: Callable[[h5py.File, str], dict[str, Any]]) -> dict[str, Any]:
    """What ``read`` makes of the file in a copy of the process; whatever a damaged one provokes as UsageError."""
    path = Path(spec)
    _checks.require_content(path)
    if not _checks.begins(path, _SIGNATURE):
        raise _checks.foreign(spec, "no HDF5 signature", FORMAT)
    size = path.stat().st_size
    try:
        seconds, memory = guarded.SECONDS + size / _RATE, guarded.MEMORY // 2 + most_unpacked(size)
        return guarded.call(_read, spec, read, seconds=seconds, memory=memory)
    except guarded.Stopped as error:
        raise _checks.truncated(spec, str(error)) from error


def _read(spec: str, read: Callable[[h5py.File, str], dict[str, Any]]) -> dict[str, Any]:
    import h5py

    try:
        with h5py.File(spec, "r") as file:
            return read(file, spec)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, MemoryError) as error:
        # h5py reports a damaged file with any of these, depending on which block is hit.
        raise _checks.truncated(spec, str(error)) from error


def _parts(file: h5py.File, where: str) -> dict[str, Any]:
    layout = _layout(file, where)
    header = _bytes(file, layout["header"], where).tobytes() if layout["header"] else b""
    splits = [_split(file, name, layout, where) for name in ("train", "test")]
    return {"layout": layout, "header": header, "splits": splits}


def _layout(file: h5py.File, where: str) -> dict[str, Any]:
    """The fields of a :class:`Layout`."""
    missing = [key for key in ("layout", "shape", "classes") if key not in file.attrs]
    if missing:
        raise _checks.foreign(where, f"no attribute {', '.join(missing)}", _LIMIT)
    sentence = _LAYOUT.search(_text(file.attrs["layout"]))
    if sentence is None:
        limit = "JPEG stream [header +] payload[offsets[i]:offsets[i+1]]"
        raise _checks.foreign(where, _text(file.attrs["layout"]), limit)
    header, payload, offsets = sentence.groups(default="")
    classes = tuple(_text(name) for name in np.atleast_1d(file.attrs["classes"]))
    shape = _checks.parsed_shape(np.atleast_1d(file.attrs["shape"]), where)
    for name in classes:
        _checks.require_text(name, f"{where}: classes")
    fields = ("header", "payload", "offsets", "shape", "classes")
    return dict(zip(fields, (header, payload, offsets, shape, classes), strict=True))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _array(parent: Any, name: str, where: str) -> NDArray[np.generic]:
    """A data set of numbers that lies in the file itself and is no larger than a file of its size may unpack to."""
    import h5py

    member = parent.get(name) if isinstance(parent.get(name, getlink=True), h5py.HardLink) else None
    if not isinstance(member, h5py.Dataset) or member.is_virtual or member.external:
        raise _checks.foreign(where, f"no data set {name!r} in {parent.name}", _LIMIT)
    most = min(_checks.MAX_BYTES, most_unpacked(Path(parent.file.filename).stat().st_size))
    if member.nbytes > most or member.dtype.kind not in "iuf":
        found = f"{member.nbytes} bytes of type {member.dtype} in {member.name}"
        raise _checks.foreign(where, found, f"numbers, at most {most} bytes")
    return np.asarray(member[...])


def _bytes(parent: Any, name: str, where: str) -> NDArray[np.uint8]:
    array = _array(parent, name, where)
    if array.dtype != np.uint8 or array.ndim != 1:
        found = f"{name!r} is {array.dtype} of shape {array.shape}"
        raise _checks.foreign(where, found, "bytes: uint8 of shape (n,)")
    return cast("NDArray[np.uint8]", array)


def _split(
    file: h5py.File, name: str, layout: dict[str, Any], where: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Labels, offsets and payload."""
    import h5py

    place, group = f"{where}: {name}", file.get(name)
    if not isinstance(group, h5py.Group):
        raise _checks.foreign(where, f"no group {name!r}", _LIMIT)
    labels = _checks.checked_labels(_array(group, "labels", place), len(layout["classes"]), place)
    payload = _bytes(group, layout["payload"], place)
    raw = _array(group, layout["offsets"], place)
    if raw.dtype.kind not in "iu" or raw.ndim != 1:
        raise _checks.foreign(place, f"offsets are {raw.dtype} of shape {raw.shape}", "integers (N+1,)")
    _checks.same_count(len(raw) - 1, len(labels), place)
    offsets = raw.astype(np.int64)
    if offsets[0] < 0 or np.any(np.diff(offsets) <= 0) or offsets[-1] > len(payload):
        limit = f"ascending, up to {len(payload)} bytes"
        raise _checks.truncated(place, f"offsets up to {offsets.max()}", limit)
    return labels, offsets, payload


MEMBER = DataFormat("hdf5_jpeg", FORMAT, accepts, load, facts)
