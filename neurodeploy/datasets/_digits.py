"""The images behind every data set that is made of scikit-learn's digits, which ship as ``models/data/digits.npz``."""

from __future__ import annotations

import hashlib
import io

import numpy as np

from .. import bundled
from ..errors import EnvironmentProblem, Problem
from ._types import Images, Labels, stratified_indices

SHA256 = "78a85852f7f6b2b5d209ab9b246a3f6783ba99bf264099704d8725980b7e0b97"


def images() -> tuple[Images, Labels, Images, Labels]:
    """1437 training and 360 test images (N, 1, 8, 8) of 0 .. 16 with their labels; the split is stratified and fixed.

    Raises EnvironmentProblem ND927 where the file is missing or another.
    """
    file = bundled.path("models") / "data" / "digits.npz"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _refuse(str(file), str(error)) from error
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        raise _refuse(str(file), found)
    with np.load(io.BytesIO(content)) as held:
        levels, labels = held["images"][:, None], held["labels"].astype(np.int64)
    train, test = stratified_indices(labels)
    return levels[train], labels[train], levels[test], labels[test]


def _refuse(where: str, found: str) -> EnvironmentProblem:
    cause, fix = "the images of the digits are missing or damaged", "install neurodeploy again"
    return EnvironmentProblem(Problem("ND927", cause, where, found, SHA256, (fix,)))
