"""A folder with one subfolder of images per class, or ``train`` and ``test`` folders that each hold those."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import _checks
from ._base import DataFormat
from ._types import DataSet, Facts, Images, Split, stratified_indices

FORMAT = "a folder of images in one subfolder per class, optionally below train and test"

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".webp")
#: What Pillow may open here: formats without external programs behind them.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "WEBP")
_GREY = ("L", "1")


def accepts(spec: str) -> bool:
    """Any folder with an image two levels down, or three below train or test."""
    folder = Path(spec)
    return folder.is_dir() and any(_classes(root) for root in (folder / "train", folder / "test", folder))


def facts(spec: str) -> Facts:
    """From the header of the first image."""
    folder = Path(spec)
    root = folder / "train" if _classes(folder / "train") else folder
    classes = _classes(root)
    if not classes:
        raise _checks.foreign(spec, "only one of train and test", FORMAT, "add the other folder")
    return Facts(_shape(_images(root / classes[0])[0]), 255, spec)


def load(spec: str) -> DataSet:
    """Classes are the sorted names of the subfolders; all images must have the size of the first one.

    Without ``train`` and ``test`` the images are split (stratified, fixed). Pixels are decoded when they are
    asked for. Raises UsageError: ND922 for a file that is no whole image, ND924 for one of another size, ND925
    for a test class that the training folder does not have.
    """
    folder = Path(spec)
    parts = [folder / part for part in ("train", "test")]
    split = all(_classes(part) for part in parts)
    root = parts[0] if split else folder
    classes = _classes(root)
    if not classes:
        raise _checks.foreign(spec, "only one of train and test", FORMAT, "add the other folder")
    files, labels = _files(root, classes)
    shape = _shape(files[0])
    test_files: list[Path] = []
    if split:
        test_files, test_labels = _files(parts[1], classes)
        train, test = _split(files, labels, shape), _split(test_files, test_labels, shape)
    else:
        picks = stratified_indices(labels)
        train, test = (_split([files[i] for i in pick], labels[pick], shape) for pick in picks)
    digest = _hash(folder, files + test_files)
    return DataSet(folder.name, train, test, classes, shape, 255, digest, spec)


def _images(folder: Path) -> list[Path]:
    """Image files of one folder by name; none where there is no such folder."""
    inside = folder.iterdir() if folder.is_dir() else ()
    return sorted(p for p in inside if p.suffix.lower() in _SUFFIXES and p.is_file())


def _classes(root: Path) -> tuple[str, ...]:
    """Names of the subfolders that hold images."""
    if not root.is_dir():
        return ()
    return tuple(sorted(p.name for p in root.iterdir() if p.is_dir() and _images(p)))


def _files(root: Path, classes: tuple[str, ...]) -> tuple[list[Path], NDArray[np.int64]]:
    extra = set(_classes(root)) - set(classes)
    if extra:
        found, limit = sorted(extra)[0], ", ".join(classes)
        cause = "a test class is not among the training classes"
        raise _checks.refuse("ND925", cause, str(root), found, limit)
    files = [(path, label) for label, name in enumerate(classes) for path in _images(root / name)]
    return [path for path, _ in files], np.array([label for _, label in files], np.int64)


def _split(files: list[Path], labels: NDArray[np.int64], shape: tuple[int, int, int]) -> Split:
    if not files:
        raise _checks.refuse("ND921", "a split holds no image", FORMAT, "0 images", "at least one image")
    return Split(labels, partial(_decoded, files, shape))


def _decoded(files: list[Path], shape: tuple[int, int, int], indices: NDArray[np.int64]) -> Images:
    out = np.empty((len(indices), *shape), np.uint8)
    for slot, index in enumerate(indices):
        out[slot] = _pixels(files[int(index)], shape)
    return out


def _shape(path: Path) -> tuple[int, int, int]:
    """(C, H, W) of one file, from its header."""
    from PIL import Image

    try:
        with Image.open(path, formats=_FORMATS) as image:
            return 1 if image.mode in _GREY else 3, image.height, image.width
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _checks.truncated(str(path), str(error), "an image file") from error


def _pixels(path: Path, shape: tuple[int, int, int]) -> Images:
    from PIL import Image

    _, height, width = _shape(path)
    if (height, width) != shape[1:]:
        found, limit = f"{height} x {width}", f"{shape[1]} x {shape[2]}, as the first image"
        raise _checks.refuse("ND924", "an image has another size", str(path), found, limit)
    try:
        with Image.open(path, formats=_FORMATS) as image:
            pixels = np.asarray(image.convert("L" if shape[0] == 1 else "RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise _checks.truncated(str(path), str(error), "a whole image file") from error
    return pixels[None] if shape[0] == 1 else np.moveaxis(pixels, -1, 0)


def _hash(folder: Path, paths: list[Path]) -> str:
    """Over relative names and bytes."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


MEMBER = DataFormat("image_folder", FORMAT, accepts, load, facts)
