"""The operators of torch that have a counterpart, each declared beside the function that builds its nodes.

Every file of ``ops/`` declares its own, and members of ``microcode`` name torch's. What a call may be given is said
there and nowhere else: :mod:`.lower` asks.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar

from ..errors import EnvironmentProblem, Problem, first_line
from ..ir.nodes import Micro
from ..registry import MICROCODE

Builder = Callable[..., Any]
Declared = TypeVar("Declared", bound=Builder)


@dataclass(frozen=True)
class Operator:
    """One of torch's names for an operator, without overload and without leading namespace.

    ``build`` (lowering, *args, **kwargs) -> Stream, a tuple of them, or a constant; None where only functions of token
    ids can be had, which torch computes. Beside streams the builder ``reads`` the kinds of values named there; those
    that it ``keeps`` it is given as streams, and what it makes of such a first operand is of that kind again.
    ``elementwise``: each element of the result depends on the same element of the operands alone, so that of functions
    of token ids it makes one.
    """

    name: str
    module: str
    build: Builder | None
    reads: frozenset[type] = frozenset()
    keeps: frozenset[type] = frozenset()
    elementwise: bool = False


#: what each module has declared, by name
_DECLARED: dict[str, dict[str, Operator]] = {}


def operator(
    *names: str, reads: tuple[type, ...] = (), keeps: tuple[type, ...] = (), elementwise: bool = False
) -> Callable[[Declared], Declared]:
    """Declare a builder under torch's names for the operator; see :class:`Operator`."""

    def declare(build: Declared) -> Declared:
        module = build.__module__
        for name in names:
            _DECLARED.setdefault(module, {})[name] = Operator(
                name, module, build, frozenset(reads), frozenset(keeps), elementwise
            )
        return build

    return declare


def of_ids(module: str, *names: str) -> None:
    """Declare elementwise operators that have no node of their own, but that torch can compute for each token id."""
    for name in names:
        _DECLARED.setdefault(module, {})[name] = Operator(name, module, None, elementwise=True)


@cache
def operators() -> dict[str, Operator]:
    """All operators by name; EnvironmentProblem ND930 for a file that fails, or that declares a name of another."""
    table: dict[str, Operator] = {}
    problems: list[Problem] = []
    package = importlib.import_module(".ops", __package__)
    for info in pkgutil.iter_modules(package.__path__):
        module = f"{package.__name__}.{info.name}"
        try:
            importlib.import_module(module)
        except Exception as error:  # a file of somebody else's may raise anything
            problems.append(_problem("cannot be imported", module, first_line(error)))
            continue
        for name, declared in _DECLARED.get(module, {}).items():
            first = table.setdefault(name, declared)
            if first is not declared:
                problems.append(_problem(f"has an operator of {first.module}", module, name))
    if problems:
        raise EnvironmentProblem(problems)
    functions = {name: op for op, member in MICROCODE.items() for name in member.torch}
    for name, op in functions.items():
        table.setdefault(name, Operator(name, MICROCODE.path, partial(_function, op)))
    return dict(sorted(table.items()))


def _function(op: str, lowering: Any, x: Any, inplace: bool = False) -> Any:
    """An elementwise function without parameters."""
    return lowering.like(x, Micro, op=op)


def _problem(cause: str, module: str, found: str) -> Problem:
    return Problem("ND930", f"a file of frontends.ops {cause}", module, found, "operators of its own")
