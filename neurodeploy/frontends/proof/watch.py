"""One call of a module, watched operator by operator: what it yields where, and what no graph would see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ...array import Array
from .. import _torch
from .reference import Reference, array

Where = tuple[str, int]  # file and line
#: operators that take a value out of a tensor, for Python to look at
_LOOKS = ("_local_scalar_dense", "equal", "is_nonzero")


@dataclass(frozen=True)
class Event:
    """Something of a ``kind`` (in place, random, cast, branch) that an operator did in the module at ``path``."""

    kind: str
    op: str
    path: str
    where: Where

    @property
    def place(self) -> str:
        """Where it is, for people."""
        file, line = self.where
        return f"{file}:{line}" if file else self.path or "forward"


@dataclass
class Call:
    """What one call did: ``values`` by module path and by line, flat and sorted, and events in order."""

    values: dict[str | Where, list[Array]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


class _Watch(TorchDispatchMode):  # type: ignore[misc]
    """Sees every operator below autograd, in whatever module it runs; ``stack`` holds the paths of these."""

    def __init__(self, call: Call, stack: list[str], quiet: set[str], keep: bool) -> None:
        super().__init__()
        self.call, self.stack, self.quiet, self.keep = call, stack, quiet, keep

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        path, where = self.stack[-1] if self.stack else "", _torch.running_place()
        if not any(path == own or path.startswith(f"{own}.") for own in self.quiet):
            kinds = _kinds(func, args, kwargs or {}, result)
            self.call.events += [
                Event(kind, func._schema.name.partition("::")[2], path, where) for kind in kinds
            ]
        for tensor in (result if isinstance(result, (tuple, list)) else (result,)) if self.keep else ():
            if isinstance(tensor, torch.Tensor) and not tensor.is_complex():
                flat = array(tensor).ravel()
                for key in (path, where):
                    self.call.values.setdefault(key, []).append(flat)
        return result


def _kinds(func: Any, args: Any, kwargs: Any, result: Any) -> Iterator[str]:
    """What an operator does beside computing."""
    name = func._schema.name.partition("::")[2]
    if func._schema.is_mutable and name.endswith("_"):
        yield "in place"
    if torch.Tag.nondeterministic_seeded in func.tags:
        yield "random"
    if name in _LOOKS:
        yield "branch"
    if name == "_to_copy" and args[0].is_floating_point() and args[0].ndim and result.dtype != args[0].dtype:
        yield "single" if result.dtype == torch.float32 else "cast"


def watched(reference: Reference, x: torch.Tensor, keep: bool = False) -> Call:
    """One call of the module on ``x``; with ``keep`` the results of all operators."""
    call, stack = Call(), [""]
    with _inside(reference.module, stack), _Watch(call, stack, set(reference.leaves), keep):
        reference.module(x)
    return call


@contextmanager
def _inside(module: torch.nn.Module, stack: list[str]) -> Iterator[None]:
    """The path of the module that runs is the last of the stack."""
    hooks = []
    for path, part in module.named_modules():
        hooks.append(
            part.register_forward_pre_hook(lambda m, given, path=path: stack.append(path), prepend=True)
        )
        hooks.append(part.register_forward_hook(lambda m, given, result: stack.pop() and None))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def sorted_like(values: list[Array], wanted: Array, tolerance: float) -> bool:
    """Whether any of the results holds the same numbers, in whatever order."""
    flat = np.sort(wanted, axis=None)
    scale = max(float(np.abs(flat[np.isfinite(flat)]).max(initial=0.0)), 1e-300)
    return any(np.allclose(np.sort(v), flat, rtol=0.0, atol=tolerance * scale, equal_nan=True)
               for v in values if v.size == flat.size)  # fmt: skip
