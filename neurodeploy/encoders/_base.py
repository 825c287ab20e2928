"""What an encoder is: a neuron for each element of a still input, which sends it to the network over the ticks.

A file of this room binds ``MEMBER`` to an :class:`Encoder`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..array import Array
from ..ir.neuron_model import Params
from ..registry import Member, Room

Full = float | Array


@dataclass(frozen=True)
class Encoder(Member):
    """A way to encode: ``title`` is one line for people.

    ``neuron(full, levels, ticks)`` is a registered neuron model with its float parameters, for inputs of 0 .. ``full``
    in so many levels, over so many ticks.
    """

    name: str
    title: str
    neuron: Callable[[Full, int, int], tuple[str, Params]]
    distributions: tuple[str, ...] = ()


ENCODERS = Room("encoders", Encoder)
