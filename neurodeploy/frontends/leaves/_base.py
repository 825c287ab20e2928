"""What a source library is: which module classes of a library are neurons, and which registered model each one is.

A file of this room binds ``MEMBER`` to a :class:`SourceLibrary`. The library itself is never imported for this: a
module of it can only be met when its user has imported it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...array import Array
from ...registry import Member, Room


@dataclass(frozen=True)
class Leaf:
    """A neuron module as a registered model with its float parameters, or the ``problem`` that prevents it.

    ``whole_sample``: one call of the module is all ticks, in the first axis of what it is given. ``states`` names
    those of its states that the module returns behind its spikes, for its caller to hand back to it at the next tick;
    where each is a named tuple, ``parts`` are its names. One that ``forgets`` begins anew where it is handed none.
    """

    model: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    whole_sample: bool = False
    states: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    forgets: bool = False
    problem: str = ""
    fixes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Block:
    """A layer and its neurons in one module that runs over its last axis, or the ``problem`` that prevents it.

    ``write`` puts its integers into an HDF5 group, as a layer of a ``.net`` file; ``rest`` makes it forget its states.
    1.0 of what it is given counts ``takes`` integers, of what it returns ``sends``; both are 0 where it passes on what
    it gets. ``entering`` is the range of these integers where they are the input of a network. What it returns comes
    ``late`` ticks after the sums that led to it, and ``delay`` more, a number for each of its channels. ``biased``: its
    neurons have a bias, so that they may not wait for their sums instead. ``params`` are those of its neurons to which
    the file would not lead, ``summed`` says that the network reads its running sum.
    """

    write: Callable[[Any], None] = lambda group: None
    rest: Callable[[], None] = lambda: None
    takes: int = 0
    sends: int = 0
    entering: tuple[int, int] = (0, 1)
    late: int = 0
    delay: Array | None = None
    biased: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)
    summed: bool = False
    problem: str = ""
    fixes: tuple[str, ...] = ()

    @property
    def voltage(self) -> bool:
        """Whether it takes spikes and returns no spikes, but the state of its neurons."""
        return self.takes == 1 < self.sends


@dataclass(frozen=True)
class SourceLibrary(Member):
    """A library by name; ``classes`` says by qualified class name how a module of the class becomes a Leaf.

    None of one that never fires for its reader, which is found by running it as any other module.

    ``blocks`` says it of layers that hold their neurons, once they have been called: networks of these are
    :mod:`neurodeploy.frontends.blocks`.

    A reset or surrogate that no model reproduces exactly is a problem, not an approximation. ``refused``: the Leaf with
    the problem for classes of which every module has it. A library whose modules have a ``backend`` names the one that
    runs on ``every_machine``, and in ``backend_checks`` its functions that refuse those a machine lacks.
    """

    name: str
    classes: Mapping[str, Callable[[Any], Leaf | None]]
    refused: Mapping[str, Leaf] = field(default_factory=dict)
    blocks: Mapping[str, Callable[[Any], Block]] = field(default_factory=dict)
    every_machine: str = ""
    backend_checks: tuple[str, ...] = ()


LEAVES = Room("frontends.leaves", SourceLibrary)


def array_of(value: Any) -> Array:
    """A tensor or number as float64, with at least one axis."""
    array: Array = np.atleast_1d(
        value.detach().double().numpy() if hasattr(value, "detach") else np.float64(value)
    )
    return array


def compact(value: Any) -> Any:
    """One number where all elements are the same, else the array."""
    array = np.asarray(value, np.float64)
    return float(array.flat[0]) if np.all(array == array.flat[0]) else array
