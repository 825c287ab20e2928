"""A traced torch program with the differences between torch.export and torch.fx already removed.

A front end turns its own graph into calls of canonical operators; :mod:`.lower` turns these into nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..array import Array
from ..errors import Problem, first_line
from ..ir.types import Origin
from .values import Refusal


@dataclass(frozen=True)
class Ref:
    """The result of an earlier call, a constant or the input, by name."""

    name: str


@dataclass(frozen=True)
class Call:
    """One operator application.

    ``op`` is the canonical name (torch's own, without overload and without leading namespace). ``leaf``: the module at
    the origin's path is this one operator, whose node may bear the path as its name. ``evaluate`` is what torch itself
    computes, used where every operand is constant. ``sizes`` and ``dtype`` are those of its result in torch, None where
    it is no single tensor of known size.
    """

    name: str
    op: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    origin: Origin
    leaf: bool
    evaluate: Callable[..., Any]
    sizes: tuple[int, ...] | None = None
    dtype: Any = None


@dataclass(frozen=True)
class Traced:
    """Calls in order; ``sizes`` of the input include the batch axis of size ``batch``, the first that is not time.

    ``ticks``: how many of them run in one call, None where one call is one tick; ``time_axis`` is where the input has a
    frame for each, None where it has one for all. ``tokens``: the input is token ids, not numbers; ``dtype`` is its
    type in torch. ``names`` are those that constants have in the user's module. ``unheld`` are values that a loop hands
    on and no neuron holds, which may be why a program cannot be lowered.
    """

    calls: Sequence[Call]
    constants: Mapping[str, Any]
    input: str
    output: Any
    sizes: tuple[int, ...]
    batch: int
    to_array: Callable[[Any], Array]
    ticks: int | None = None
    time_axis: int | None = None
    tokens: bool = False
    dtype: Any = None
    names: Mapping[str, str] = field(default_factory=dict)
    unheld: tuple[Problem, ...] = ()


def references(item: Any) -> list[Ref]:
    """All references inside nested tuples, lists and dicts."""
    if isinstance(item, Ref):
        return [item]
    if isinstance(item, Mapping):
        return [r for part in item.values() for r in references(part)]
    if isinstance(item, (tuple, list)):
        return [r for part in item for r in references(part)]
    return []


def needed(calls: Sequence[Call], output: Any) -> list[Call]:
    """The calls that an output depends on: what a program computes and leaves, it need not be able to compute here."""
    names = {ref.name for ref in references(output)}
    for call in reversed(calls):
        if call.name in names:
            names |= {ref.name for ref in references((call.args, call.kwargs))}
    return [call for call in calls if call.name in names]


def evaluated(call: Call, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What torch itself makes of constants, in double precision if it can; Refusal ND101 with what it says if not.

    So does the module when it is compared, and two ways to compute one number are then seen to be one.
    """
    if call.op == "_assert_tensor_metadata":  # of types as torch.export saw them: they are others here
        return None
    with suppress(Exception):  # an operator of single precision, or of what was made in it
        return call.evaluate(*_doubled(args), **_doubled(kwargs))
    try:
        return call.evaluate(*args, **kwargs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        cause = f"operator '{call.op}' cannot be computed on its constants"
        raise Refusal("ND101", cause, first_line(error)) from error


def _doubled(item: Any) -> Any:
    """The same nesting with tensors of single precision in double."""
    if isinstance(item, Mapping):
        return {k: _doubled(v) for k, v in item.items()}
    if type(item) in (tuple, list):
        return type(item)(map(_doubled, item))
    single = getattr(getattr(item, "dtype", None), "is_floating_point", False) and item.dtype.itemsize == 4
    return item.double() if single else item


def substitute(item: Any, table: Callable[[Ref], Any]) -> Any:
    """The same nesting with every reference replaced."""
    if isinstance(item, Ref):
        return table(item)
    if isinstance(item, Mapping):
        return {k: substitute(v, table) for k, v in item.items()}
    if isinstance(item, (tuple, list)):
        kind = type(item) if type(item) in (tuple, list) else list
        return kind(substitute(part, table) for part in item)
    return item
