"""A user's module as a guest: everything that a call may change is remembered, named where it changed, and put back.

Remembered is what the module reaches by its attributes: tensors, arrays, containers and plain objects, each in its
place, so that closures and aliases stay what they are. Parameters are remembered by reference: a conversion to another
precision replaces their data, and only a forward that writes to its parameters would go unnoticed.
"""

from __future__ import annotations

import inspect
import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..array import Array

#: how deep plain objects inside of attributes are looked into
DEPTH = 6
#: packages whose objects hold no state of a network
_FOREIGN = {"builtins", "logging", "threading", "_thread", "concurrent", "functools", "types", "typing", "re"}
#: dictionaries of a module whose entries are attributes of the module
_INLINE = {"_modules", "_parameters", "_buffers", "_memories"}

#: what libraries call the function that forgets a state
_RESETS = ("reset", "reset_mem")

Place = tuple[str, str]  # path of the module, and the attribute


@dataclass(frozen=True, eq=False)
class _Kept:
    """A tensor as it was: ``data`` shares its storage, ``copy`` (None for parameters) does not."""

    tensor: torch.Tensor
    data: torch.Tensor
    copy: torch.Tensor | None
    requires_grad: bool
    grad: torch.Tensor | None


class Snapshot:
    """What a module reaches, as it is now."""

    def __init__(self, module: torch.nn.Module, earlier: Snapshot | None = None) -> None:
        self.module, self.earlier = module, earlier
        self.containers: dict[int, tuple[Any, Any]] = {}  # id -> the container, and a copy of it
        self.tensors: dict[int, _Kept] = {}
        self.arrays: dict[int, tuple[Array, Array]] = {}
        self.places: dict[Place, Any] = {}
        self._look(module, "", "", 0)
        self.earlier = None

    def _look(self, item: Any, path: str, name: str, depth: int) -> None:
        """Remember one value and all that it holds."""
        if name:
            self.places.setdefault((path, name), item)
        if isinstance(item, torch.Tensor):
            self._keep(item)
        elif isinstance(item, np.ndarray):
            self.arrays.setdefault(id(item), (item, item.copy()))
        elif depth < DEPTH and (held := _held(item)) is not None and id(held) not in self.containers:
            self.containers[id(held)] = held, _copied(held)
            for key, part, where in _parts(item, held, path, name):
                self._look(part, where, key, 0 if isinstance(part, torch.nn.Module) else depth + 1)

    def _keep(self, tensor: torch.Tensor) -> None:
        if id(tensor) in self.tensors or tensor.is_inference():
            return
        copy = None if isinstance(tensor, torch.nn.Parameter) else self._copied(tensor)
        grad = tensor.grad if tensor.is_leaf else None
        self.tensors[id(tensor)] = _Kept(tensor, tensor.data, copy, tensor.requires_grad, grad)

    def _copied(self, tensor: torch.Tensor) -> torch.Tensor:
        """The numbers of a tensor: an earlier snapshot's where that has the same, for large ones take memory."""
        known = self.earlier.tensors.get(id(tensor)) if self.earlier else None
        if known is not None and known.copy is not None and _same(tensor, known.copy):
            return known.copy
        return tensor.detach().clone()

    def restore(self) -> None:
        """Put everything back in its place."""
        for held, was in self.containers.values():
            _refill(held, was)
        for array, was in self.arrays.values():
            if array.flags.writeable:
                array[...] = was
        with torch.no_grad():
            for kept in self.tensors.values():
                _put_back(kept)

    def changed(self, since: Snapshot) -> list[Place]:
        """Attributes that are not what they were in an earlier snapshot."""
        missing = object()
        return [place for place in {**since.places, **self.places}
                if self._differs(self.places.get(place, missing), since.places.get(place, missing), since)]  # fmt: skip

    def _differs(self, now: Any, was: Any, since: Snapshot) -> bool:
        if isinstance(now, torch.Tensor) and isinstance(was, torch.Tensor):
            return not _same(self._value(now), since._value(was))
        if isinstance(now, np.ndarray) and isinstance(was, np.ndarray):
            a, b = self.arrays[id(now)][1], since.arrays[id(was)][1]
            return a.shape != b.shape or not np.array_equal(a, b)
        plain = (int, float, str, bool, type(None))
        if isinstance(now, plain) or isinstance(was, plain):
            return type(now) is not type(was) or bool(now != was)
        return type(now) is not type(was)

    def _value(self, tensor: torch.Tensor) -> torch.Tensor:
        kept = self.tensors.get(id(tensor))
        return tensor if kept is None or kept.copy is None else kept.copy

    def to(self, dtype: torch.dtype) -> None:
        """All floating numbers of the module in another precision, for as long as nothing is restored."""
        for kept in self.tensors.values():
            if kept.tensor.is_floating_point() and kept.tensor.dtype != dtype:
                if kept.tensor.is_leaf:
                    kept.tensor.grad = None
                kept.tensor.data = kept.tensor.data.to(dtype)


def _held(item: Any) -> Any:
    """What holds the parts of a value; None where it has none that could change."""
    if isinstance(item, (dict, list, set, deque, tuple)):
        return item
    package = type(item).__module__.partition(".")[0]
    if isinstance(item, torch.nn.Module):
        return vars(item)
    if isinstance(item, type) or package in _FOREIGN or callable(item) or package == "torch":
        return None
    return getattr(item, "__dict__", None)


def _copied(held: Any) -> Any:
    return dict(held) if isinstance(held, dict) else set(held) if isinstance(held, set) else list(held)


def _parts(item: Any, held: Any, path: str, name: str) -> Iterator[tuple[str, Any, str]]:
    """(attribute, value, path of the module) of everything inside."""
    if isinstance(item, torch.nn.Module):
        own = f"{path}.{name}" if path and name else name or path
        for key, part in held.items():
            if key in _INLINE:
                yield from ((str(inner), value, own) for inner, value in part.items())
            yield key, part, own
    elif isinstance(held, dict):
        inline = name in _INLINE
        yield from (
            (str(key) if inline else f"{name}[{key!r}]", part, path) for key, part in list(held.items())
        )
    else:
        yield from ((f"{name}[{i}]", part, path) for i, part in enumerate(list(held)))


def _refill(held: Any, was: Any) -> None:
    """A container as it was; one that did not change is not touched."""
    if isinstance(held, tuple) or _alike(held, was):
        return
    held.clear()
    held.extend(was) if isinstance(held, (list, deque)) else held.update(was)


def _alike(held: Any, was: Any) -> bool:
    if len(held) != len(was):
        return False
    if isinstance(held, dict):
        return all(a is b and held[a] is was[b] for a, b in zip(held, was, strict=True))
    return all(a is b for a, b in zip(held, was, strict=True))


def _put_back(kept: _Kept) -> None:
    tensor = kept.tensor
    if tensor.is_leaf:
        tensor.grad = None
    tensor.data = kept.data
    if kept.copy is not None and not _same(kept.data, kept.copy):
        kept.data.copy_(kept.copy)
    if tensor.is_leaf:
        tensor.requires_grad_(kept.requires_grad)
        tensor.grad = kept.grad


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors hold the same numbers; NaN equals itself."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(((a == b) | ((a != a) & (b != b))).all())


@contextmanager
def generators() -> Iterator[None]:
    """The random numbers of torch, numpy and Python go on afterwards as if nothing had drawn any."""
    own, numpys, pythons = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(own)
        np.random.set_state(numpys)
        random.setstate(pythons)


@contextmanager
def kept(module: torch.nn.Module) -> Iterator[Snapshot]:
    """Whatever happens to the module inside is undone: state, training flags, gradients, hooks, precision."""
    before = Snapshot(module)
    try:
        with generators():
            yield before
    finally:
        before.restore()


def resets(module: torch.nn.Module) -> list[Callable[[], Any]]:
    """What brings the parts of a module to rest: their ``reset()``, and ``reset_mem()`` of snnTorch.

    What takes arguments is another function of that name. None where parameters of theirs change: no state does.
    """
    named = ((part, getattr(part, name, None)) for part in module.modules() for name in _RESETS)
    own = [(part, function) for part, function in named if callable(function) and not _arguments(function)]
    found = [function for _, function in own]
    reached = {id(p): p for part, _ in own for p in part.parameters()}
    before = [(p, p.detach().clone()) for p in reached.values()]
    for function in found:
        function()
    if all(_same(p, was) for p, was in before):
        return found
    with torch.no_grad():
        for p, was in before:
            p.copy_(was)
    return []


def _arguments(function: Any) -> bool:
    """Whether a function has to be given something."""
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        return True
    return False
