"""What an operator of torch is: its name, what it may be given, and the function that builds its nodes.

Every file of this room declares its own, with :func:`operator`, beside the function. What a call may be given is said
there and nowhere else: :mod:`neurodeploy.frontends.lower` asks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ...registry import Member, Room

Builder = Callable[..., Any]
Declared = TypeVar("Declared", bound=Builder)


@dataclass(frozen=True)
class Operator(Member):
    """One of torch's names for an operator, without overload and without leading namespace.

    ``build`` (lowering, *args, **kwargs) -> Stream, a tuple of them, or a constant; None where nobody has declared it.
    Beside streams the builder ``reads`` the kinds of values named there; those that it ``keeps`` it is given as
    streams, and what it makes of such a first operand is of that kind again.
    ``elementwise``: each element of the result depends on the same element of the operands alone, so that of functions
    of token ids it makes one. ``retypes``: what the type of torch's result does to the numbers is the builder's affair.
    ``by_tick``: beside a stream of all ticks it takes a constant that differs from tick to tick.
    ``family`` is the file that declares it.
    """

    name: str
    family: str
    build: Builder | None = None
    reads: frozenset[type] = frozenset()
    keeps: frozenset[type] = frozenset()
    elementwise: bool = False
    retypes: bool = False
    by_tick: bool = False


def operator(
    *names: str,
    reads: tuple[type, ...] = (),
    keeps: tuple[type, ...] = (),
    elementwise: bool = False,
    retypes: bool = False,
    by_tick: bool = False,
) -> Callable[[Declared], Declared]:
    """Declare a builder under torch's names for the operator; see :class:`Operator`."""

    def declare(build: Declared) -> Declared:
        kinds = frozenset(reads), frozenset(keeps)
        _declare(build.__module__, names, build, *kinds, elementwise, retypes, by_tick)
        return build

    return declare


def _declare(module: str, names: tuple[str, ...], *rest: Any) -> None:
    """Add to the ``MEMBERS`` of a file, which the registry looks for."""
    members: list[Operator] = vars(sys.modules[module]).setdefault("MEMBERS", [])
    members += [Operator(name, module.rpartition(".")[2], *rest) for name in names]


OPERATORS = Room("frontends.ops", Operator)
