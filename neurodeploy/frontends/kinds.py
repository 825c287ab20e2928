"""Sizes and number types as torch has them, held against what the graph makes of each call.

A graph computes with real numbers. A type that cannot hold what it is given changes the numbers: a float cast to whole
numbers or to truth, a cast to a float of fewer bits than the network's own. Wherever torch's result has such a type, by
a cast or by an argument of any operator, the call is refused. The float types that the network's own tensors have are
the precision in which it was written down, and no operator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .traced import Call, Traced, references
from .values import VALUES, Refusal, Stream, depends

#: floats of at least this many bytes hold what a network computes to seven digits
WHOLE = 4


class Kinds:
    """The types of all results so far, and those of the network's own floats."""

    def __init__(self, traced: Traced) -> None:
        constants = {name: getattr(value, "dtype", None) for name, value in traced.constants.items()}
        self.types: dict[str, Any] = {**constants, traced.input: traced.dtype}
        self.own = {kind for kind in self.types.values() if getattr(kind, "is_floating_point", False)}

    def note(self, call: Call) -> None:
        """Remember the type of a call's result."""
        self.types[call.name] = call.dtype

    def check(self, call: Call, values: Mapping[str, Any], result: Stream, binary: bool = False) -> None:
        """Refusal ND150 where the type changes numbers, ND101 where the graph's sizes are not torch's.

        Every type holds the zeros and ones of a ``binary`` result.
        """
        if call.sizes is not None and call.sizes != result.sizes:
            cause = f"operator '{call.op}' is used in a form that is not supported"
            raise Refusal("ND101", cause, f"{call.sizes} in torch", f"{result.sizes} in the graph")
        given = {
            self.types.get(r.name)
            for r in references((call.args, call.kwargs))
            if depends(values[r.name], VALUES)
        }
        known = call.dtype is not None and None not in given
        if known and not binary and not self._holds(call, given):
            cause, fix = (
                "a change of type changes the numbers",
                "leave the numbers as they are, or round them by a quantiser",
            )
            limit = "float32 or wider, or the type of the network's own weights"
            raise Refusal("ND150", cause, _text(call.dtype), limit, fix)

    def _holds(self, call: Call, given: Iterable[Any]) -> bool:
        """Whether the type of a result holds what it is computed from."""
        import torch

        kind, given = call.dtype, set(given)
        if any(g.is_complex for g in given):
            return False
        if kind.is_complex:
            return call.op in ("to", "_to_copy")  # what reads it has to understand it
        if kind.is_floating_point:
            return kind.itemsize >= WHOLE or kind in self.own or given <= {kind, torch.bool}
        if any(g.is_floating_point for g in given):
            return False
        if kind == torch.bool:
            return given <= {torch.bool} and call.op in _LOGICAL
        return all(g == torch.bool or g.itemsize <= kind.itemsize for g in given)


#: of truth values a product is what torch computes, and so is whatever moves them; a sum is not
_MOVES = (
    *(
        "view",
        "reshape",
        "flatten",
        "unflatten",
        "unsqueeze",
        "squeeze",
        "permute",
        "transpose",
        "expand",
        "slice",
    ),
    *(
        "select",
        "getitem",
        "clone",
        "contiguous",
        "detach",
        "to",
        "_to_copy",
        "bool",
        "cat",
        "alias",
        "repeat",
    ),
)
_LOGICAL = frozenset((*_MOVES, "mul", "__mul__", "_unsafe_view"))


def _text(kind: Any) -> str:
    return str(kind).removeprefix("torch.")
