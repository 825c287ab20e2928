"""A user's module is a guest: whatever running or tracing it changes is put back."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, MutableSequence
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def guest(model: torch.nn.Module) -> Iterator[None]:
    """Attributes, buffers and containers of every module, and the states of torch's random numbers, as they were."""
    kept = [_Kept(holder) for module in model.modules() for holder in _holders(vars(module))]
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            for one in kept:
                one.restore()


class _Kept:
    """What a dict or list held, with copies of its tensors that are no parameters."""

    def __init__(self, holder: Any) -> None:
        self.holder = holder
        self.items = dict(holder) if isinstance(holder, MutableMapping) else list(holder)
        values = self.items.values() if isinstance(self.items, dict) else self.items
        own = [v for v in values if isinstance(v, torch.Tensor) and not isinstance(v, torch.nn.Parameter)]
        self.tensors = [(tensor, tensor._version, tensor.detach().clone()) for tensor in own]

    def restore(self) -> None:
        """The same objects, with the same numbers."""
        self.holder.clear()
        self.holder.update(self.items) if isinstance(self.items, dict) else self.holder.extend(self.items)
        for tensor, version, copy in self.tensors:
            if tensor._version != version:
                with torch.no_grad():
                    tensor.copy_(copy)


def _holders(holder: Any) -> list[Any]:
    """A dict or list and all those inside of it."""
    found, new = [], [holder]
    while new:
        holder = new.pop()
        if not any(holder is other for other in found):
            found.append(holder)
            values = holder.values() if isinstance(holder, MutableMapping) else holder
            new += [v for v in values if isinstance(v, (MutableMapping, MutableSequence))]
    return found


def rest(model: torch.nn.Module) -> None:
    """Every module that has a ``reset`` without arguments forgets what it holds."""
    for module in model.modules():
        reset = getattr(module, "reset", None)
        if callable(reset):
            try:
                reset()
            except Exception:  # it wants arguments, so it is something else, or it is the user's own
                continue
