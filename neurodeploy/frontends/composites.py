"""Functions of one variable that a model spells out in simple operators, found again: GELU in its forms, SiLU.

``0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3)))`` is one operator with an integer program, and not seven
without. There are as many spellings as libraries, so that none is matched as text: a group of elementwise calls with
constants whose result is used, and nothing else of it, is evaluated and compared with the functions that are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import special

from .. import registry
from .traced import Call, Ref, Traced, references

#: canonical operator -> its value on arrays
POINTWISE: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("add", "iadd", "__add__", "__radd__"), lambda a, b, alpha=1: a + alpha * b),
    **dict.fromkeys(("sub", "isub", "__sub__"), lambda a, b, alpha=1: a - alpha * b),
    **dict.fromkeys(("rsub", "__rsub__"), lambda a, b, alpha=1: b - alpha * a),
    **dict.fromkeys(("mul", "imul", "__mul__", "__rmul__"), lambda a, b: a * b),
    **dict.fromkeys(("div", "truediv", "__truediv__"), lambda a, b: a / b),
    **dict.fromkeys(("pow", "__pow__"), lambda a, b: a**b),
    **dict.fromkeys(("neg", "__neg__"), lambda a: -a),
    "square": lambda a: a * a,
    "reciprocal": lambda a: 1 / a,
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "erf": special.erf,
    "exp": np.exp,
    **dict.fromkeys(("_to_copy", "to", "float", "type_as"), lambda a, *_, **__: a),
}
#: no group is a function worth a look without one of these
SEEDS = {"tanh", "sigmoid", "erf", "exp"}
#: operator of the graph with keywords, compared in this order
KNOWN: tuple[tuple[str, dict[str, Any]], ...] = (
    ("gelu", {"approximate": "none"}),
    ("gelu", {"approximate": "tanh"}),
    ("quick_gelu", {}),
    ("silu", {}),
    ("tanh", {}),
)
LARGEST = 24  # calls in a group
POINTS = np.linspace(-9.0, 9.0, 721)
TOLERANCE = 2e-6  # constants are often written with seven digits


def fused(traced: Traced) -> list[Call]:
    """The calls with every spelled-out function replaced by one call, which has the origin of the last it replaces."""
    calls = list(traced.calls)
    if not any(call.op in SEEDS for call in calls):
        return calls
    table = {call.name: call for call in calls}
    live = _depending(traced)
    users = _users(traced)
    gone: set[str] = set()
    made: dict[str, Call] = {}
    for call in reversed(calls):
        if call.op not in POINTWISE or call.name in gone or call.name not in live:
            continue
        group = _group(call, table, users, live)
        if not any(name in group and table[name].op in SEEDS for name in group):
            continue
        found = _recognised(call, group, table, users, live, traced.constants)
        if found is not None:
            made[call.name], dropped = found
            gone |= dropped
    return [made.get(call.name, call) for call in calls if call.name not in gone]


def _depending(traced: Traced) -> set[str]:
    """Names of everything that depends on the input."""
    live = {traced.input}
    for call in traced.calls:
        if any(ref.name in live for ref in references((call.args, call.kwargs))):
            live.add(call.name)
    return live


def _users(traced: Traced) -> dict[str, set[str]]:
    users: dict[str, set[str]] = {}
    for call in traced.calls:
        for ref in references((call.args, call.kwargs)):
            users.setdefault(ref.name, set()).add(call.name)
    for ref in references(traced.output):
        users.setdefault(ref.name, set()).add("")
    return users


def _group(root: Call, table: Mapping[str, Call], users: Mapping[str, set[str]], live: set[str]) -> list[str]:
    """The root and the elementwise calls before it that serve nothing else."""
    group = [root.name]
    while len(group) < LARGEST:
        more = [
            ref.name
            for name in group
            for ref in references((table[name].args, table[name].kwargs))
            if ref.name not in group and ref.name in table and ref.name in live
            if table[ref.name].op in POINTWISE and users[ref.name] <= set(group)
        ]
        if not more:
            break
        group += list(dict.fromkeys(more))
    return group


def _recognised(
    root: Call,
    group: Sequence[str],
    table: Mapping[str, Call],
    users: Mapping[str, set[str]],
    live: set[str],
    constants: Mapping[str, Any],
) -> tuple[Call, set[str]] | None:
    """(the call that replaces the root, names of the calls it makes idle) where the root is a known function."""
    for leaf in _leaves(group, table, live):
        used: set[str] = set()
        try:
            with np.errstate(all="ignore"):
                y = _value(Ref(root.name), leaf, group, table, constants, used)
        except _NoFunctionError:
            continue
        idle = used - {root.name}
        if not any(table[name].op in SEEDS for name in used) or any(not users[n] <= used for n in idle):
            continue
        for op, keywords in KNOWN:
            if np.allclose(y, registry.microcode(op).float_apply(POINTS, keywords), rtol=0, atol=TOLERANCE):
                origin = replace(root.origin, op=op)
                new = replace(root, op=op, args=(Ref(leaf),), kwargs=keywords, origin=origin, leaf=False)
                return new, idle
    return None


class _NoFunctionError(Exception):
    """The root depends on more than the leaf and single constants."""


def _leaves(group: Sequence[str], table: Mapping[str, Call], live: set[str]) -> Iterator[str]:
    """What the root may be a function of: everything read inside the group, nearest to the root first."""
    seen: dict[str, None] = {}
    for name in group:
        for ref in references((table[name].args, table[name].kwargs)):
            if ref.name in live:
                seen.setdefault(ref.name)
    yield from seen


def _value(
    item: Any,
    leaf: str,
    group: Sequence[str],
    table: Mapping[str, Call],
    constants: Mapping[str, Any],
    used: set[str],
) -> Any:
    """The expression on :data:`POINTS` in place of the leaf; raises _NoFunctionError."""
    if isinstance(item, (bool, str)) or item is None:
        return item
    if isinstance(item, (int, float)):
        return item
    if not isinstance(item, Ref):
        raise _NoFunctionError
    if item.name == leaf:
        return POINTS
    if item.name in group:
        call = table[item.name]
        used.add(item.name)
        parts = [_value(part, leaf, group, table, constants, used) for part in _numbers(call)]
        keywords = {k: v for k, v in call.kwargs.items() if isinstance(v, (int, float))}
        try:
            return POINTWISE[call.op](*parts, **keywords)
        except TypeError as error:
            raise _NoFunctionError from error
    constant = constants.get(item.name)
    if constant is None or getattr(constant, "numel", lambda: 0)() != 1:
        raise _NoFunctionError
    return float(constant)


def _numbers(call: Call) -> Sequence[Any]:
    """The operands: of a change of type the tensor alone."""
    return call.args[:1] if call.op in ("_to_copy", "to", "float", "type_as") else call.args
