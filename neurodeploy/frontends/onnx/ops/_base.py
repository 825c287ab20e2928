"""What an operator of ONNX is here: its name, and the torch function that computes the same.

Every file of this room declares its own with :func:`onnx`. A function is called twice: on tensors without
numbers, which tells sizes and what is constant, and while torch.export reads the network. These files import torch:
nothing asks this room but a file that is read.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeVar

from ....registry import Member, Room

Function = Callable[..., Any]
Declared = TypeVar("Declared", bound=Function)

#: of a value that is computed
MOST_ELEMENTS = 1 << 26


class Refused(Exception):
    """A form of an operator that is not read: what was found, and what can be done instead."""

    def __init__(self, found: str, *fixes: str) -> None:
        super().__init__(found)
        self.fixes = fixes


class TooLarge(Exception):
    """A value of more than :data:`MOST_ELEMENTS` elements; the text is its shape."""


@dataclass(frozen=True)
class Node:
    """One operator of a file.

    ``inputs`` are names of values, empty where an optional one is left out. ``place`` is where in the network it
    stands, for people. ``opset`` is the version of ONNX's operators by which it is read.
    """

    op: str
    domain: str
    place: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    opset: int = 0

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.attributes.get(name, default)


@dataclass(frozen=True)
class Known:
    """A constant operand, of which the numbers are asked for beside the tensor."""

    tensor: Any
    numbers: Any


@dataclass(frozen=True)
class OnnxOperator(Member):
    """One operator of ONNX's own domain.

    ``build`` (node, *operands) -> a tensor, or a tuple of them; raises :class:`Refused`. Operands that were left out
    are None. A constant at one of the places ``known`` comes as :class:`Known`. ``moves``: it changes no number, so
    that integers of a quantiser pass. ``family`` is the file that declares it.
    """

    name: str
    family: str
    build: Function
    known: tuple[int, ...] = ()
    moves: bool = False


def onnx(*names: str, known: Sequence[int] = (), moves: bool = False) -> Callable[[Declared], Declared]:
    """Declare a function under ONNX's names for the operator; see :class:`OnnxOperator`."""

    def declare(build: Declared) -> Declared:
        members: list[OnnxOperator] = vars(sys.modules[build.__module__]).setdefault("MEMBERS", [])
        family = build.__module__.rpartition(".")[2]
        members += [OnnxOperator(name, family, build, tuple(known), moves) for name in names]
        return build

    return declare


def numbers(operand: Any, what: str) -> list[Any]:
    """The numbers of a constant operand, flat; none where it is left out. Refused where it depends on the input."""
    if operand is None:
        return []
    if not isinstance(operand, Known):
        raise Refused(f"{what} that depend on the input", "make them constants, such as a fixed size")
    found = operand.numbers
    return found if isinstance(found, list) else [found]


def tensor(operand: Any) -> Any:
    """The operand as a tensor, whether its numbers are known or not."""
    return operand.tensor if isinstance(operand, Known) else operand


def scalar(operand: Any) -> Any:
    """A number where a constant is a single one, so that it stands in the graph as it is; else the tensor."""
    if isinstance(operand, Known) and operand.tensor.numel() == 1 and operand.tensor.dim() <= 1:
        return numbers(operand, "values")[0]
    return tensor(operand)


def room_for(sizes: Sequence[int]) -> Sequence[int]:
    """These sizes; TooLarge where a value of them would be."""
    if any(n < 0 for n in sizes) or prod(sizes) > MOST_ELEMENTS:
        raise TooLarge(str(tuple(sizes))[:200])
    return sizes


ONNX = Room("frontends.onnx.ops", OnnxOperator)
