"""What torch itself computes while a module runs: random numbers, numbers that follow the size of the batch, and races.

A trace keeps a number as it was. Where torch drew it, or where it is the size of the example's batch, the network would
compute something else than its graph; so it would where a write reads what it writes. All are seen beneath whatever
Python a module is written in, at the operators that torch dispatches; Python's and numpy's own generators are compared
before and after.
"""

from __future__ import annotations

import copy
import pickle
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ..errors import Problem
from . import _torch, guest, written

#: of indices, the start and the end of a slice follow the batch where all samples are taken
_INDICES = {"select": ("index",), "narrow": ("start", "length")}
#: functions that jump
_STEPS = ("gt", "ge", "lt", "le", "heaviside", "sign")
_SIZES = ("arange",)  # a number for each sample is found where it meets the samples


@dataclass(frozen=True)
class Seen:
    """One operator that torch dispatched, the numbers among its operands, and the user's line that asked for it."""

    op: str
    numbers: tuple[Any, ...]
    place: tuple[str, int]


@dataclass
class Recorder(TorchDispatchMode):  # type: ignore[misc]
    """All operators of a run, those of them that drew random numbers, and those that raced with themselves."""

    calls: list[Seen] = field(default_factory=list)
    random: list[Seen] = field(default_factory=list)
    racing: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        if not name.startswith("prim::"):
            values = _operands(func._schema, args, kwargs or {})
            seen = Seen(name, tuple(_numbers(func._schema, name, values)), _torch.running_place())
            self.calls.append(seen)
            if is_random(func, args, kwargs or {}):
                self.random.append(seen)
            if races(func, args, kwargs or {}):
                self.racing.append(seen)
        return func(*args, **(kwargs or {}))


def is_random(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether one of torch's basic operators draws random numbers; with a dropout of 0 it does not."""
    if torch.Tag.nondeterministic_seeded not in getattr(target, "tags", ()):
        return False
    values = {a.name: a.default_value for a in target._schema.arguments} | _operands(
        target._schema, args, kwargs
    )
    return (
        values.get("dropout_p") != 0
        and values.get("train") is not False
        and values.get("training") is not False
    )


def races(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether one of torch's basic operators writes to elements that it reads for others, as ``x += x[:, :1]`` does.

    Which comes first is open. Torch itself refuses only tensors that lie in one piece (at::assert_no_partial_overlap).
    """
    if not target._schema.is_mutable:
        return False
    values = _operands(target._schema, args, kwargs)
    changed = [a.name for a in target._schema.arguments if a.alias_info and a.alias_info.is_write]
    targets = written.tensors([values.get(name) for name in changed])
    operands = list(written.tensors(list(values.values())))
    return any(written.crosses(a, b) for a in targets for b in operands)


def _operands(schema: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {**dict(zip((a.name for a in schema.arguments), args, strict=False)), **kwargs}


def _numbers(schema: Any, name: str, values: Mapping[str, Any]) -> Iterator[Any]:
    """The operands that are numbers of arithmetic, not sizes, axes or settings."""
    if name in _SIZES:
        return
    for argument in schema.arguments:
        value = values.get(argument.name)
        kind = str(argument.type).removeprefix("Optional[").removesuffix("]")
        arithmetic = kind in ("number", "float", "Tensor") or argument.name in _INDICES.get(name, ())
        if arithmetic and isinstance(value, (int, float)):
            yield value


@contextmanager
def foreign_draws(found: list[Problem]) -> Iterator[None]:
    """Adds ND151 to ``found`` where Python's or numpy's own generator has moved, and puts it back."""
    before, states = _generators(), (random.getstate(), np.random.get_state(legacy=True))
    try:
        yield
    finally:
        after = _generators()
        random.setstate(states[0])
        np.random.set_state(states[1])
    for name, state in after.items():
        if state != before[name]:
            found.append(random_numbers(name, "forward"))


def _generators() -> dict[str, bytes]:
    return {
        "random": pickle.dumps(random.getstate()),
        "numpy.random": pickle.dumps(np.random.get_state(legacy=True)),
    }


def draws(recorder: Recorder) -> list[Problem]:
    """ND151 for every line that drew random numbers."""
    places = {seen.place: seen for seen in recorder.random}
    return [random_numbers(seen.op, _where(seen.place)) for seen in places.values()]


def racing(recorder: Recorder) -> list[Problem]:
    """ND108 for every line that wrote to elements that it read for others."""
    places = {seen.place: seen for seen in recorder.racing}
    return [race(seen.op, _where(seen.place)) for seen in places.values()]


def race(what: str, where: str) -> Problem:
    """ND108."""
    cause = "a write in place reads elements that it writes, and torch leaves open which comes first"
    limit, fix = "a write reads other memory, or each element for itself", "clone() what it reads"
    return Problem("ND108", cause, where, what, limit, (fix,))


def random_numbers(what: str, where: str) -> Problem:
    """ND151."""
    cause, limit = "the network draws random numbers when it is called", "the same answer at every call"
    fixes = (
        "draw them once, and keep them as a buffer",
        "of a dropout: torch.nn.Dropout, which eval() turns off",
    )
    return Problem("ND151", cause, where, what, limit, fixes)


def lasting_write(name: str, where: str) -> Problem:
    """ND154."""
    cause, limit = (
        "the network changes one of its own tensors when it is called",
        "the same answer at every call",
    )
    return Problem("ND154", cause, where, name, limit, ("keep what changes in a neuron",))


def _where(place: tuple[str, int]) -> str:
    return f"{place[0]}:{place[1]}" if place[0] else "forward"


def follows_batch(one: Recorder, other: Recorder) -> list[Problem]:
    """ND152 for every line whose numbers differ between two runs of the same operators, with batches of two sizes.

    Nothing where the operators differ: then the runs cannot be compared.
    """
    if [seen.op for seen in one.calls] != [seen.op for seen in other.calls]:
        return []
    different = {
        a.place: (a, b) for a, b in zip(one.calls, other.calls, strict=True) if a.numbers != b.numbers
    }
    return [_batch_number(a, b) for a, b in different.values()]


def _batch_number(a: Seen, b: Seen) -> Problem:
    x, y = next((x, y) for x, y in zip(a.numbers, b.numbers, strict=True) if x != y)
    cause = "the number of samples in a batch enters the arithmetic"
    found = f"{x:g} in a batch of {_torch.BATCH}, {y:g} in one of {_torch.BATCH + 1}"
    limit, fix = "samples do not influence each other", "write the number itself"
    return Problem("ND152", cause, f"{_where(a.place)} [{a.op}]", found, limit, (fix,))


def unsteady(model: Any, example: Any) -> list[Problem]:
    """ND108, ND151 and ND152 of a module without state, run on shapes alone; nothing where it cannot be run so."""
    recorders: list[Recorder] = []
    foreign: list[Problem] = []
    for samples in (_torch.BATCH, _torch.BATCH + 1):
        recorder = _watched(model, (samples, *example.shape[1:]), example.dtype, foreign)
        if recorder is None:
            return []
        recorders.append(recorder)
    return foreign[:1] or racing(recorders[0]) or follows_batch(*recorders)


def asks_for_values(model: Any, example: Any) -> bool:
    """Whether a module cannot be run on shapes alone."""
    return _watched(model, tuple(example.shape), example.dtype, []) is None


def asks_for_input(model: Any, example: Any) -> bool:
    """Whether a call, on numbers, asks for values that depend on its input; also where it does not run."""
    model.eval()
    depending = _Depending(example.clone())
    try:
        with guest.kept(model), _torch.inference(), _Asked(depending), depending:
            model(depending.given)
    except Exception:  # whatever the user's own code raises
        return True
    return False


class _Depending(TorchDispatchMode):  # type: ignore[misc]
    """Which memory holds what depends on ``given``; an operator that tells Python a value of it raises."""

    def __init__(self, given: torch.Tensor) -> None:
        super().__init__()
        self.given = given
        self.held: list[Any] = [given]  # so that no memory is taken for another that was let go
        self.places = written.memory(given)

    def on(self, value: Any) -> bool:
        """Whether any tensor inside depends on the input."""
        return bool(written.memory(value) & self.places)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        operands = (*args, *(kwargs or {}).values())
        depends = self.on(operands)
        if depends and _TELLING & set(func.tags):
            raise ValueError("a value of the input is asked for")
        result = func(*args, **(kwargs or {}))
        if depends:
            changed = [a for a in operands if func._schema.is_mutable and isinstance(a, torch.Tensor)]
            self.held += [result, changed]
            self.places |= written.memory((result, *changed))
        return result


class _Asked(TorchFunctionMode):  # type: ignore[misc]
    """Raises where Python is told a value of the input without an operator."""

    def __init__(self, depending: _Depending) -> None:
        super().__init__()
        self.depending = depending

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in _READING and self.depending.on(args):
            raise ValueError("a value of the input is asked for")
        return func(*args, **(kwargs or {}))


#: what tells Python a value: operators by their tags, and methods that read memory
_TELLING = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
_READING = ("tolist", "numpy", "__array__", "__dlpack__", "data_ptr", "untyped_storage", "storage")


def steps(model: Any, example: Any) -> int | None:
    """How often one line of a module compares numbers, as a neuron that fires does; None where it cannot be run."""
    recorder = _watched(model, tuple(example.shape), example.dtype, [])
    if recorder is None:
        return None
    places = Counter(seen.place for seen in recorder.calls if seen.op in _STEPS)
    return max(places.values(), default=0)


def reads(model: Any, examples: Iterable[Any]) -> set[str] | None:
    """The parameters and buffers that a call reads, on the first example on which it runs; None where there is none."""
    names: dict[int, list[str]] = {}
    for name, tensor in _torch.tensors_of(model).items():
        names.setdefault(tensor.untyped_storage().data_ptr(), []).append(name)
    for example in examples:
        touched = _Touched()
        try:
            with guest.kept(model), _torch.inference():
                guest.resets(model.eval())
                with touched:
                    model(example)
        except Exception:  # whatever the user's own code raises
            continue
        return {name for place in touched.places for name in names.get(place, ())}
    return None


class _Touched(TorchDispatchMode):  # type: ignore[misc]
    """The memory of all operands."""

    def __init__(self) -> None:
        super().__init__()
        self.places: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        operands = written.tensors((*args, *(kwargs or {}).values()))
        self.places.update(tensor.untyped_storage().data_ptr() for tensor in operands)
        return func(*args, **(kwargs or {}))


def _watched(model: Any, sizes: tuple[int, ...], dtype: Any, foreign: list[Problem]) -> Recorder | None:
    """One call on shapes alone; None where a module asks for values, or raises whatever a user's own code does."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    recorder = Recorder()
    try:
        guest = _shadow(model)
        with (
            foreign_draws(foreign),
            FakeTensorMode(allow_non_fake_inputs=True),
            _torch.inference(),
            recorder,
        ):
            guest(torch.zeros(sizes, dtype=dtype))
    except Exception:
        return None
    return recorder


def _shadow(model: Any) -> Any:
    """A copy of a module that shares its parameters."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in model.parameters()})
