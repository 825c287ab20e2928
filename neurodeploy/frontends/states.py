"""What a module remembers from one call to the next beside its known neurons: found by calling it.

An attribute, a buffer, or an entry of a dict that holds another object or another number after the second call than
after the first is a :class:`Slot`. Tracing puts a proxy in its place, so that what is read of it and what it becomes
are parts of the traced program; :mod:`.recurrences` says which neuron that is.
"""

from __future__ import annotations

import copy
import dis
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import CodeType, FunctionType
from typing import Any

import numpy as np
import torch

from ..errors import Problem
from . import _torch, cells, guest
from .cells import Cell
from .leaves import derives, leaf_of
from .leaves._base import Leaf

#: stands for an attribute that is not there before the first call
_ABSENT = None, "absent"

#: methods that run before the first call, or between samples
_SETTING = frozenset({"__init__", "reset", "reset_parameters", "_reset_parameters", "_load_from_state_dict"})
#: methods of containers that change them
_CHANGING = frozenset({"append", "extend", "insert", "pop", "popleft", "update", "setdefault"})

#: attributes that every module has
_FRAMEWORK = frozenset(vars(torch.nn.Module()))


@dataclass
class Slot:
    """One remembered value: in the module at ``path``, behind the keys ``where`` of its ``__dict__``.

    ``begin`` is what is there before the first call, ``value`` after the second.
    """

    module: torch.nn.Module
    path: str
    where: tuple[str, ...]
    begin: Any
    value: Any

    @property
    def name(self) -> str:
        """The attribute as its user writes it."""
        return ".".join(filter(None, (self.path, self.where[-1])))

    def holder(self, module: torch.nn.Module | None = None) -> dict[str, Any]:
        """The dict that holds the value, in the module or in a copy of it."""
        found: Any = vars(module or self.module)
        for key in self.where[:-1]:
            found = found[key]
        return found  # type: ignore[no-any-return]

    @property
    def now(self) -> Any:
        """What is there."""
        return self.holder()[self.where[-1]]

    def put(self, value: Any) -> None:
        """Place a proxy: a buffer becomes a plain attribute, since torch lets nothing but tensors be buffers."""
        if self.where[0] == "_buffers":
            del self.module._buffers[self.where[1]]
            self.where = self.where[1:]
        self.holder()[self.where[-1]] = value


@dataclass
class Memory:
    """Known neurons by the identity of their modules, and the slots of all others."""

    leaves: dict[int, Leaf] = field(default_factory=dict)
    slots: list[Slot] = field(default_factory=list)


def memory(model: torch.nn.Module, example: torch.Tensor, leaves: Mapping[int, Leaf] | None = None) -> Memory:
    """What a module remembers; call it with a guest, which is left as it is after a few calls from rest.

    ``leaves`` are neurons found before, at the same model: without them, modules that are neurons are looked for.
    """
    known = {id(m): leaf for m in model.modules() if (leaf := leaf_of(m)) is not None}
    found = Memory(dict(leaves or known))
    inside = {id(part) for m in model.modules() if id(m) in found.leaves for part in m.modules()}
    own = [(path, m) for path, m in model.named_modules() if id(m) not in inside]
    try:
        found.slots = _changing(model, own, example)
        changed = {id(slot.module): slot.module for slot in found.slots}
        shapes = _shapes(model, changed, example) if changed else {}
    except Exception:  # a module that does not run says so when it is traced
        return found
    if leaves is None:
        for _, module in own:
            if slots := [slot for slot in found.slots if slot.module is module]:
                _known(found, module, slots, shapes[id(module)])
    return found


@cache
def _writes(cls: type) -> bool:
    """Whether a class of a user's own has a method, but for its making and its reset, that writes to an attribute."""
    return any(map(_stores, _methods(cls)))


@cache
def _repeats(cls: type) -> bool:
    """Whether such a method has a loop."""
    return any(map(_jumps, _methods(cls)))


def _methods(cls: type) -> Iterator[CodeType]:
    """The code of what a user's own class does when it is called."""
    own = (base for base in cls.__mro__ if not base.__module__.startswith(("torch.", "builtins")))
    functions = (part for base in own for name, part in vars(base).items() if name not in _SETTING)
    return (part.__code__ for part in functions if isinstance(part, FunctionType))


def _jumps(code: CodeType) -> bool:
    """Whether code goes back to where it was, or holds a comprehension that does."""
    inner = any(_jumps(part) for part in code.co_consts if isinstance(part, CodeType))
    return inner or any(i.opname == "FOR_ITER" or "BACKWARD" in i.opname for i in dis.get_instructions(code))


def _stores(code: CodeType) -> bool:
    """Whether code sets an attribute or an item, or calls what changes a tensor or a container in place."""
    inner = any(_stores(part) for part in code.co_consts if isinstance(part, CodeType))
    stored = any(i.opname in ("STORE_ATTR", "STORE_SUBSCR") for i in dis.get_instructions(code))
    changing = any(n in _CHANGING or (n.endswith("_") and not n.startswith("_")) for n in code.co_names)
    return inner or stored or changing


def may_remember(model: torch.nn.Module) -> bool:
    """Whether the code of a module writes to what outlives a call: a quick look that saves most models the calls."""
    kinds: set[Any] = {type(module) for module in model.modules()}
    return any(map(_writes, kinds))


def may_loop(model: torch.nn.Module) -> bool:
    """Whether the code of a module has a loop, which may be one over ticks."""
    kinds: set[Any] = {type(module) for module in model.modules()}
    return any(map(_repeats, kinds))


def _known(found: Memory, module: torch.nn.Module, slots: list[Slot], shape: tuple[int, ...] | None) -> None:
    """Take a module that is one neuron, whatever its class, as a leaf; refuse a neuron of a library that is none."""
    leaf = _as_neuron(module, slots, shape)
    base = derives(module)
    if leaf is None and base:
        kind = f"{type(module).__module__}.{type(module).__qualname__}"
        fixes = (f"use {base.rpartition('.')[2]} itself", "write frontends/leaves/<library>.py for the class")
        leaf = Leaf(problem=f"{kind} derives from {base} and fires differently", fixes=fixes)
    if leaf is not None:
        found.leaves[id(module)] = leaf
        found.slots = [slot for slot in found.slots if slot.module is not module]


def _changing(
    model: torch.nn.Module, own: list[tuple[str, torch.nn.Module]], example: torch.Tensor
) -> list[Slot]:
    """The values that differ after the second call from those after the first."""
    guest.resets(model)
    before = {key: _frozen(value) for key, value in _held(own)}
    seen = []
    for _ in range(2):
        with torch.no_grad():
            model(torch.rand_like(example))
        seen.append({key: (value, _print(value)) for key, value in _held(own)})
    modules = dict(own)
    return [
        Slot(modules[path], path, where, before.get((path, where), _ABSENT), value)
        for (path, where), (value, mark) in seen[1].items()
        if (path, where) not in seen[0] or seen[0][path, where][1] != mark
    ]


def _held(own: list[tuple[str, torch.nn.Module]]) -> Iterator[tuple[tuple[str, tuple[str, ...]], Any]]:
    """All that modules hold in attributes, buffers and dicts, by the path of the module and the keys."""
    for path, module in own:
        attributes = vars(module)
        for key, value in attributes.items():
            if key not in _FRAMEWORK and not isinstance(value, dict):
                yield (path, (key,)), value
        dicts = {k: v for k, v in attributes.items() if isinstance(v, dict) and k not in _FRAMEWORK}
        for key, entries in {**dicts, "_buffers": module._buffers}.items():
            for name, value in entries.items():
                yield (path, (key, name)), value


def _frozen(value: Any) -> Any:
    """A value that later writes do not reach."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return _rebuilt(value, map(_frozen, value)) if _is_sequence(value) else value


def _is_sequence(value: Any) -> bool:
    """Whether a value is a list, a tuple, or a named one."""
    return type(value) in (tuple, list) or (isinstance(value, tuple) and hasattr(value, "_fields"))


def _rebuilt(value: Any, parts: Iterable[Any]) -> Any:
    """A sequence of the kind of another."""
    make = getattr(type(value), "_make", type(value))
    return make(parts)


def _print(value: Any) -> Any:
    """Equal marks where a value is the same object, not written to, or the same number."""
    if isinstance(value, torch.Tensor):
        return (id(value), value._version)
    if isinstance(value, (tuple, list)):
        return (type(value), *map(_print, value))
    if isinstance(value, Mapping):
        return {key: _print(part) for key, part in value.items()}
    plain = value is None or isinstance(value, (bool, int, float, str))
    return (type(value), value) if plain else id(value)


def begins(slot: Slot) -> float | None:
    """The number at which every element of a slot begins; None where there is no single one."""
    if (
        slot.begin is None
        or slot.begin is _ABSENT
        or (isinstance(slot.begin, (list, tuple)) and not slot.begin)
    ):
        return 0.0
    return _torch.one_number(slot.begin)


def _as_neuron(module: torch.nn.Module, slots: list[Slot], shape: tuple[int, ...] | None) -> Leaf | None:
    """The neuron that a module is which maps one tensor to one of the same shape, in each element by itself."""
    rests = [begins(slot) for slot in slots]
    same = all(isinstance(s.value, torch.Tensor) and tuple(s.value.shape) == shape for s in slots)
    if shape is None or not same or None in rests or module._forward_hooks or module._forward_pre_hooks:
        return None
    try:
        twin = copy.deepcopy(module).double()
    except (RuntimeError, TypeError):
        return None
    for first in range(len(slots)):
        order = [first, *(k for k in range(len(slots)) if k != first)]
        step = _stepping(twin, [slots[k] for k in order])
        cell = Cell(step, shape, (shape,), tuple(float(rests[k] or 0.0) for k in order))
        try:
            made = cells.linear(cell) or cells.firing(cell)
            if made is not None and _begins_so(twin, slots, made, shape):
                return Leaf(made.model, made.params)
        except Exception:  # the user's own code, on numbers that it may not expect
            return None
    return None


def _begins_so(
    module: torch.nn.Module, slots: list[Slot], made: cells.Population, shape: tuple[int, ...]
) -> bool:
    """Whether a module's first calls, from what it holds before them, are those of a neuron at rest."""
    for slot in slots:
        if slot.begin is _ABSENT:
            slot.holder(module).pop(slot.where[-1], None)
        else:
            slot.holder(module)[slot.where[-1]] = copy.deepcopy(slot.begin)
    module.double()
    random = np.random.default_rng(0)
    inputs = [random.standard_normal(shape) for _ in range(3)]
    with torch.no_grad():
        outs = [module(torch.from_numpy(x)).numpy() for x in inputs]
    return bool(
        np.allclose(np.stack(outs), cells.played(made, shape, [[x] for x in inputs]), rtol=1e-9, atol=1e-12)
    )


def _stepping(module: torch.nn.Module, slots: list[Slot]) -> cells.Step:
    """The module as a function of its drive and its states."""

    def step(drives: Any, states: Any) -> tuple[Any, list[Any]]:
        for slot, state in zip(slots, states, strict=True):
            slot.holder(module)[slot.where[-1]] = state
        with torch.no_grad():
            out = module(*drives)
        return out, [slot.holder(module)[slot.where[-1]] for slot in slots]

    return step


def _shapes(
    model: torch.nn.Module, modules: Mapping[int, torch.nn.Module], example: torch.Tensor
) -> dict[int, tuple[int, ...] | None]:
    """The shape that each module is given and yields, where it is called once with one tensor; None otherwise."""
    seen: dict[int, list[Any]] = {key: [] for key in modules}

    def note(module: Any, args: Any, kwargs: Any, out: Any) -> None:
        tensors = len(args) == 1 and not kwargs and all(isinstance(t, torch.Tensor) for t in (*args, out))
        same = tensors and args[0].shape == out.shape
        seen[id(module)].append(tuple(out.shape) if same else None)

    hooks: list[Any] = [m.register_forward_hook(note, with_kwargs=True) for m in modules.values()]
    try:
        with torch.no_grad():
            model(torch.rand_like(example))
    finally:
        for hook in hooks:
            hook.remove()
    return {key: calls[0] if len(calls) == 1 else None for key, calls in seen.items()}


Enter = Callable[[torch.Tensor], Any]


def entered(value: Any, enter: Enter) -> Any:
    """A slot's value with a proxy, made by ``enter``, for each number and tensor; ValueError where it holds others."""
    if isinstance(value, torch.Tensor):
        return enter(value.detach())
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return enter(torch.as_tensor(value))
    if _is_sequence(value):
        return _rebuilt(value, (entered(part, enter) for part in value))
    raise ValueError(type(value).__name__)


def flat(value: Any) -> list[Any]:
    """The parts of a slot's value in order."""
    return [leaf for part in value for leaf in flat(part)] if _is_sequence(value) else [value]


def unreadable(slot: Slot, found: str) -> Problem:
    """ND157: what a module remembers is no tensor or number."""
    cause = "the model remembers something that no neuron holds"
    fixes = ("keep tensors, or numbers", "keep a record outside of the model: a hook of yours, or its output")
    return Problem("ND157", cause, slot.name, found, "a tensor, a number, or a fixed number of them", fixes)
