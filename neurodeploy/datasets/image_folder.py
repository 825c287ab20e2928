"""A folder with one subfolder of images per class, or ``train`` and ``test`` folders that each hold those.

A data set is grey where every image is, else RGB: grey images become three equal channels, those with a palette the
colours that it names. An alpha channel is left out where it hides nothing. What eight bits per channel cannot say is
refused: 16-bit and float images, CMYK, pixels that are partly transparent, and files of several frames.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import guarded
from ..errors import Problem, UsageError
from ..limits import most_unpacked
from . import _checks, _folders
from ._base import DataFormat
from ._types import DataSet, Facts, Images, Split, stratified_indices

FORMAT = "a folder of images in one subfolder per class, optionally below train and test"

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".webp")
#: What Pillow may open here: formats without external programs behind them.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "WEBP")
#: modes of Pillow, by what becomes of them
_GREY, _COLOUR, _ALPHA = ("L", "1"), ("RGB", "P"), ("LA", "RGBA", "PA")
#: bytes that are decoded in a second, at least
_RATE = 5e6


def accepts(spec: str) -> bool:
    """Any folder with an image two levels down, or three below train or test."""
    return _folders.accepts(spec, _SUFFIXES)


def facts(spec: str) -> Facts:
    """From the headers of all images."""
    _, shape, warnings = _survey(spec)
    return Facts(shape, 255, spec, warnings=warnings)


def load(spec: str) -> DataSet:
    """Classes are the sorted names of the subfolders; all images must have the size of the first one.

    Without ``train`` and ``test`` the images are split (stratified, fixed). Pixels are decoded when they are
    asked for. Raises UsageError: ND922 for a file that is no whole image, ND924 for one of another size or of a mode
    that is not read, ND925 for a test class that the training folder does not have.
    """
    held, shape, warnings = _survey(spec)
    labels, tested = np.array(held.labels, np.int64), np.array(held.test_labels, np.int64)
    if held.test_files:
        train, test = _split(held.files, labels, shape), _split(held.test_files, tested, shape)
    else:
        picks = stratified_indices(labels)
        train, test = (_split([held.files[i] for i in pick], labels[pick], shape) for pick in picks)
    digest = _folders.digest(Path(spec), held.every)
    return DataSet(Path(spec).name, train, test, held.classes, shape, 255, digest, spec, warnings=warnings)


def _survey(spec: str) -> tuple[_folders.Folders, tuple[int, int, int], tuple[Problem, ...]]:
    """What a folder holds, shape (C, H, W) and warnings, before any pixel is decoded."""
    held = _folders.survey(spec, _SUFFIXES, FORMAT)
    every = held.every
    size = sum(path.stat().st_size for path in every)
    headers = _guarded(spec, len(every), _headers, [str(path) for path in every])
    problems = list(_odd(every, headers))
    if problems:
        raise UsageError(problems)
    channels = 1 if all(mode in _GREY for mode, *_ in headers) else 3
    shape = (channels, *headers[0][1:3])
    if (whole := len(every) * int(np.prod(shape))) > most_unpacked(size):
        limit = f"at most {most_unpacked(size)} bytes"
        raise _checks.foreign(spec, f"{whole} bytes of pixels in {size} bytes of files", limit)
    return held, shape, tuple(_said(spec, headers, channels))


def _guarded(where: str, work: float, function: Any, *arguments: Any, memory: int = 0) -> Any:
    """The function in a copy of the process: decoders trust files. UsageError ND922 where it does not end well."""
    try:
        seconds = guarded.SECONDS + work / 100
        return guarded.call(function, *arguments, seconds=seconds, memory=guarded.MEMORY // 2 + memory)
    except guarded.Stopped as error:
        raise _checks.truncated(where, str(error), "whole image files") from error


def _split(files: list[Path], labels: NDArray[np.int64], shape: tuple[int, int, int]) -> Split:
    if not files:
        raise _checks.refuse("ND921", "a split holds no image", FORMAT, "0 images", "at least one image")
    return Split(labels, partial(_decoded, files, shape))


#: mode, rows, columns, and what is odd about a file, of which nothing but the header was read
Header = tuple[str, int, int, str]


def _headers(paths: list[str]) -> list[Header]:
    return [_header(path) for path in paths]


def _header(path: str) -> Header:
    from PIL import Image

    try:
        with Image.open(path, formats=_FORMATS) as image:
            mode = image.mode
            if mode in ("P", "RGB", "L") and "transparency" in image.info:
                mode = "RGBA"
            known = mode in _GREY + _COLOUR + _ALPHA
            odd = (
                "" if known and _levels(image, path) == 255 else f"mode {mode}, {_levels(image, path)} levels"
            )
            if getattr(image, "n_frames", 1) > 1:
                odd = f"{image.n_frames} frames"
            return mode, image.height, image.width, odd
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise _checks.truncated(path, str(error), "an image file") from error


def _levels(image: Any, path: str) -> int:
    """The largest level that the file can state: Pillow gives the upper eight bits of colours of 16 without a word."""
    if image.format == "PNG":
        with open(path, "rb") as file:
            return 65535 if file.read(25)[24] == 16 else 255
    if image.format == "PPM" and image.tile and image.tile[0][0] in ("ppm", "ppm_plain"):
        return next((int(n) for n in np.atleast_1d(image.tile[0][3]) if str(n).isdecimal()), 255)
    return 255


def _odd(files: list[Path], headers: list[Header]) -> Iterator[Problem]:
    """ND924 for every image that is not read, or of another size than the first."""
    rows, columns = headers[0][1:3]
    for path, (_, height, width, odd) in zip(files, headers, strict=True):
        if odd:
            cause, limit = (
                "an image cannot be read as eight bits per channel",
                "one frame of mode L, RGB or P, 255 levels",
            )
            fix = "convert it: image.convert('RGB'), or whole levels of 0 .. 255"
            yield Problem("ND924", cause, str(path), odd, limit, (fix,))
        elif (height, width) != (rows, columns):
            found, limit = f"{height} x {width}", f"{rows} x {columns}, as the first image"
            yield Problem("ND924", "an image has another size", str(path), found, limit)


def _said(where: str, headers: list[Header], channels: int) -> Iterator[Problem]:
    """A warning (ND926) where images of different modes become one."""
    modes = Counter(mode for mode, *_ in headers)
    chosen = "grey" if channels == 1 else "RGB"
    if not set(modes) <= ({"L"} if channels == 1 else {"RGB"}):
        found = ", ".join(f"{count} of mode {mode}" for mode, count in sorted(modes.items()))
        cause = f"the images are of other modes, or of several: all are read as {chosen}"
        yield Problem("ND926", cause, where, found, chosen, severity="warning")


def _decoded(files: list[Path], shape: tuple[int, int, int], indices: NDArray[np.int64]) -> Images:
    paths, size = [str(files[int(i)]) for i in indices], len(indices) * int(np.prod(shape))
    where = paths[0] if len(paths) == 1 else f"{len(paths)} images from {paths[0]}" if paths else ""
    found: Images = _guarded(where, 100 * size / _RATE, _pixels, paths, shape, memory=size)
    return found


def _pixels(paths: list[str], shape: tuple[int, int, int]) -> Images:
    out = np.empty((len(paths), *shape), np.uint8)
    for slot, path in enumerate(paths):
        out[slot] = _picture(path, shape)
    return out


def _picture(path: str, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The levels (C, H, W) of one image."""
    from PIL import Image

    mode, height, width, odd = _header(path)
    if (height, width) != shape[1:] or odd or (shape[0] == 1 and mode not in _GREY):
        raise _checks.truncated(path, "another image than before")
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if mode in _ALPHA:
                _require_opaque(image, path)
            pixels = np.asarray(image.convert("L" if shape[0] == 1 else "RGB"))
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise _checks.truncated(path, str(error), "a whole image file") from error
    return pixels[None] if shape[0] == 1 else np.moveaxis(pixels, -1, 0)


def _require_opaque(image: Any, path: str) -> None:
    alpha = np.asarray(image.convert("RGBA"))[..., 3]
    if (alpha < 255).any():
        cause, fix = "an image is transparent in places, which has no level", "put it on a background"
        found = f"{int((alpha < 255).sum())} of {alpha.size} pixels"
        raise _checks.refuse("ND924", cause, path, found, "opaque pixels", fix)


MEMBER = DataFormat("image_folder", FORMAT, accepts, load, facts)
