"""The handwritten digits of scikit-learn, which ship with the package: 1797 images of 8 x 8, 0 .. 16, no download."""

from __future__ import annotations

from ._base import DataFormat
from ._digits import images
from ._types import DataSet, Facts, array_split, content_hash

FORMAT = "the name digits: scikit-learn's 8 x 8 digits"
NAMES = ("digits",)
_SHAPE, _LEVELS = (1, 8, 8), 16


def accepts(spec: str) -> bool:
    """Only the name itself."""
    return spec in NAMES


def facts(spec: str) -> Facts:
    """The same on every machine."""
    return Facts(_SHAPE, _LEVELS, "sklearn.datasets.load_digits")


def load(spec: str) -> DataSet:
    """1437 training and 360 test images; raises EnvironmentProblem ND927 where their file is missing."""
    train, train_y, test, test_y = images()
    digest = content_hash(train, train_y, test, test_y)
    splits = array_split(train, train_y), array_split(test, test_y)
    classes = tuple(str(digit) for digit in range(10))
    return DataSet(spec, *splits, classes, _SHAPE, _LEVELS, digest, "sklearn.datasets.load_digits")


MEMBER = DataFormat("digits", FORMAT, accepts, load, facts, names=NAMES)
