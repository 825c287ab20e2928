"""The images behind every data set that is made of scikit-learn's digits."""

from __future__ import annotations

import numpy as np

from ..errors import EnvironmentProblem, Problem
from ._types import Images, Labels, stratified_indices


def images() -> tuple[Images, Labels, Images, Labels]:
    """1437 training and 360 test images (N, 1, 8, 8) of 0 .. 16 with their labels; the split is stratified and fixed.

    Raises EnvironmentProblem ND927 where scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        cause = "the digits data set comes with scikit-learn, which cannot be imported"
        problem = Problem("ND927", cause, found=str(error), fixes=("pip install scikit-learn",))
        raise EnvironmentProblem(problem) from error
    raw = load_digits()
    levels, labels = raw.images.astype(np.uint8)[:, None], raw.target.astype(np.int64)
    train, test = stratified_indices(labels)
    return levels[train], labels[train], levels[test], labels[test]
