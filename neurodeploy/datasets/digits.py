"""The handwritten digits that come with scikit-learn: 1797 images of 8 x 8, 0 .. 16, no download."""

from __future__ import annotations

import numpy as np

from ..errors import EnvironmentProblem, Problem
from ._base import DataFormat
from ._types import DataSet, Facts, content_hash, split_once

FORMAT = "the name digits: scikit-learn's 8 x 8 digits"
NAMES = ("digits",)
_SHAPE, _LEVELS = (1, 8, 8), 16


def accepts(spec: str) -> bool:
    """Only the name itself."""
    return spec in NAMES


def facts(spec: str) -> Facts:
    """Known without the library."""
    return Facts(_SHAPE, _LEVELS, "sklearn.datasets.load_digits")


def load(spec: str) -> DataSet:
    """1437 training and 360 test images; the split is stratified and fixed (see ``stratified_indices``).

    Raises EnvironmentProblem where scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        cause = "the digits data set comes with scikit-learn, which cannot be imported"
        problem = Problem("ND927", cause, found=str(error), fixes=("pip install scikit-learn",))
        raise EnvironmentProblem(problem) from error
    raw = load_digits()
    train, test = split_once(raw.images.astype(np.uint8)[:, None], raw.target.astype(np.int64))
    digest = content_hash(train.images, train.labels, test.images, test.labels)
    classes = tuple(str(digit) for digit in range(10))
    return DataSet(spec, train, test, classes, _SHAPE, _LEVELS, digest, "sklearn.datasets.load_digits")


MEMBER = DataFormat("digits", FORMAT, accepts, load, facts, names=NAMES, distributions=("scikit-learn",))
