"""All rooms whose members are found by themselves, for those who ask every one of them."""

from __future__ import annotations

from typing import Any

from .backends._base import BACKENDS
from .convert._base import METHODS
from .datasets._base import DATASETS
from .datasets.recordings._base import RECORDINGS
from .encoders._base import ENCODERS
from .errors import Problem
from .formats._base import FORMATS
from .frontends.leaves._base import LEAVES
from .frontends.libraries._base import LIBRARIES
from .frontends.ops._base import OPERATORS
from .ir.micro_op import MICROCODE
from .ir.neuron_model import NEURONS
from .mapping.layouts._base import LAYOUTS
from .mapping.objectives._base import OBJECTIVES
from .mapping.placements._base import PLACEMENTS
from .registry import Room

ROOMS: tuple[Room[Any], ...] = (
    NEURONS, MICROCODE, ENCODERS, METHODS, BACKENDS, FORMATS, LIBRARIES, OPERATORS, LEAVES, DATASETS, RECORDINGS,
    OBJECTIVES, LAYOUTS, PLACEMENTS,
)  # fmt: skip

#: what every number passes through
BASIS = ("numpy", "scipy", "h5py", "torch")


def distributions() -> tuple[str, ...]:
    """Names of the installed packages whose version can change a number: those of the package and of its members."""
    members = (member for room in ROOMS for member in room.values())
    return tuple(dict.fromkeys([*BASIS, *(name for member in members for name in member.distributions)]))


def broken() -> list[Problem]:
    """What is wrong with members of all rooms."""
    return [problem for room in ROOMS for problem in room.problems]
