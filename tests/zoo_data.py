"""Data sets of the zoo's models: those that ship, and those that a tester has on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neurodeploy import datasets
from neurodeploy.sources import zoo

#: Folder with the data sets that do not ship with the project, such as cifar10_jpeg.h5.
VARIABLE = "NEURODEPLOY_DATA"


def shipped() -> tuple[str, ...]:
    """Models of the zoo whose data set needs no file."""
    return tuple(name for name in zoo.names() if zoo.entry(name).dataset in datasets.names())


def classifiers() -> tuple[str, ...]:
    """Those of them that answer with a class for each image."""
    return tuple(
        name
        for name in shipped()
        if zoo.entry(name).weights.correct and len(zoo.entry(name).input.shape) == 3
    )


def readers() -> tuple[str, ...]:
    """Those of them that answer with a class for each text, whose characters are there all at once."""
    return tuple(name for name in shipped() if len(zoo.entry(name).input.shape) == 2)


def sequences() -> tuple[str, ...]:
    """Those of them that answer with the token that follows, at every tick."""
    return tuple(name for name in shipped() if zoo.entry(name).kind == "sequence")


def trained() -> tuple[str, ...]:
    """Models of the zoo that come with weights."""
    return tuple(name for name in zoo.names() if zoo.entry(name).trained)


def data_spec(name: str) -> str:
    """Name or path of a model's data set; the test is skipped where its file is absent."""
    spec = zoo.entry(name).dataset
    if spec in datasets.names():
        return spec
    *before, file = spec.split(":")  # such as x2:
    path = Path(os.environ.get(VARIABLE, ""), file)
    if not path.is_file():
        pytest.skip(f"{file} is not here: put the folder that holds it into {VARIABLE}")
    return ":".join((*before, str(path)))


def model_data(name: str) -> datasets.DataSet:
    """A model's data set; skips as :func:`data_spec`."""
    return datasets.load(data_spec(name))
