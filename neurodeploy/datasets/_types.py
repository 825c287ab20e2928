"""What a data set is once it is loaded, whatever file it came from (numpy only)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Problem

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Integers = NDArray[np.integer[Any]]

#: Share of the images that becomes the test split of a data set that has none, and the seed of that split.
TEST_SHARE, SPLIT_SEED = 0.2, 0


@dataclass(frozen=True, eq=False)
class Split:
    """Labels (N,) and a way to read chosen images as uint8 (n, C, H, W): what is not asked for is not decoded.

    ``truth`` reads the images that a network of images should answer with, where there are any.
    """

    labels: Labels
    read: Callable[[NDArray[np.int64]], Images]
    truth: Callable[[NDArray[np.int64]], Images] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Iterable[int] | NDArray[np.int64]) -> tuple[Images, Labels]:
        """Images and labels at these positions; IndexError outside the split."""
        picked = np.asarray(list(indices), dtype=np.int64)
        return self.read(picked), self.labels[picked]

    @cached_property
    def images(self) -> Images:
        """All images, decoded once."""
        return self.read(np.arange(len(self.labels)))


@dataclass(frozen=True, eq=False)
class DataSet:
    """A training and a test split of integer images.

    ``shape`` is (C, H, W), or whatever the network takes; pixels are integers in 0 .. ``levels``; labels are integers
    below ``len(classes)``. With ``ticks`` samples are (ticks, *shape), a frame for each tick; 0: one image for all.
    ``sequence``: these are tokens, one line for each, and what is asked for is the one that follows: the next frame's,
    behind the last frame the label. ``texts``: samples are strings that a tokenizer has yet to make ids of, and
    ``shape`` is empty. Without ``labelled`` the labels are all 0 and there are no classes. ``hash`` is the sha256 of
    the stored content, ``source`` the file, folder or library it was read from, ``warnings`` what its reader had to
    decide, ``told`` what it was asked to do.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    levels: int
    hash: str
    source: str
    ticks: int = 0
    texts: bool = False
    labelled: bool = True
    sequence: bool = False
    warnings: tuple[Problem, ...] = ()
    told: str = ""

    @property
    def train_x(self) -> Images:
        """Training images, uint8 (N, C, H, W)."""
        return self.train.images

    @property
    def train_y(self) -> Labels:
        """Training labels, (N,)."""
        return self.train.labels

    @property
    def test_x(self) -> Images:
        """Test images, uint8 (N, C, H, W)."""
        return self.test.images

    @property
    def test_y(self) -> Labels:
        """Test labels, (N,)."""
        return self.test.labels

    @property
    def class_count(self) -> int:
        """How many classes there are."""
        return len(self.classes)


@dataclass(frozen=True)
class Facts:
    """What a network needs to know of a data set before any image is read."""

    shape: tuple[int, ...]
    levels: int
    source: str
    ticks: int = 0
    texts: bool = False
    warnings: tuple[Problem, ...] = ()
    told: str = ""


def following(frames: Integers, labels: Integers) -> Labels:
    """The token behind each of the frames (n, T, V) of sequences, (n, T)."""
    found: Labels = np.concatenate((frames[:, 1:].argmax(axis=-1), np.asarray(labels)[:, None]), axis=1)
    return found


def array_split(images: Images, labels: Integers) -> Split:
    """A split over arrays in memory, in C order so that its hash does not depend on strides."""
    return Split(np.ascontiguousarray(labels, dtype=np.int64), np.ascontiguousarray(images).__getitem__)


def stratified_indices(labels: Integers) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions (train, test), both ascending: ``TEST_SHARE`` of the images of each class go to the test split.

    Class sizes rarely divide, so each class gets the floor of its share and the classes with the largest
    remainders (ties: lowest class) one more, until the test split holds ``ceil(TEST_SHARE * N)`` images. Which
    images of a class go is the head of a permutation drawn with ``SPLIT_SEED``, classes in ascending order.
    """
    classes, counts = np.unique(labels, return_counts=True)
    quota = TEST_SHARE * counts
    take = np.floor(quota).astype(np.int64)
    missing = math.ceil(TEST_SHARE * len(labels)) - int(take.sum())
    take[np.argsort(take - quota, kind="stable")[:missing]] += 1
    generator = np.random.Generator(np.random.PCG64(SPLIT_SEED))
    picked = [
        generator.permutation(np.flatnonzero(labels == c))[:n] for c, n in zip(classes, take, strict=True)
    ]
    test = np.sort(np.concatenate(picked)) if picked else np.zeros(0, np.int64)
    return np.setdiff1d(np.arange(len(labels)), test), test


def split_once(images: Images, labels: Integers) -> tuple[Split, Split]:
    """Training and test split of a data set that comes without one: see :func:`stratified_indices`."""
    train, test = stratified_indices(labels)
    return array_split(images[train], labels[train]), array_split(images[test], labels[test])


def content_hash(*arrays: NDArray[np.generic]) -> str:
    """The sha256 over dtype, shape and bytes of each array in turn."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
