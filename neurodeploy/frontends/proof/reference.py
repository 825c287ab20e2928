"""What an imported graph has to equal: the user's own module, called as its user calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from ...array import Array
from .. import _torch, doors, guest
from ..input_spec import InputSpec
from ..leaves import leaf_of
from ..values import WholeSample

#: parameters above which a copy in double precision is not worth its memory
LARGE = 100_000_000


#: what a neuron was given and has said at one call
Heard = tuple[Array, Array]


@dataclass
class Answers:
    """Of one batch from rest: ``outputs`` (calls, B, ...), and by path what each known neuron says, (T, B, ...).

    ``currents`` yield what the neurons were given: few ask, so the module runs once more for them. ``calls`` counts how
    often each was called in the last call of the module.
    """

    outputs: Array
    spikes: dict[str, Array] = field(default_factory=dict)
    currents: Mapping[str, Callable[[], Array]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)


class Reference:
    """A module that maps inputs as ``spec`` says to one tensor (B, ...), a tick at each call.

    With ``whole`` one call runs all ticks. ``batch`` is the only number of samples that it takes, as it was exported;
    None for any. ``call``, where given, is how its user calls it: a traced wrapper is not believed.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        spec: InputSpec,
        batch: int | None = None,
        whole: WholeSample | None = None,
        call: Callable[[torch.Tensor], Any] | None = None,
    ) -> None:
        self.module, self.spec, self.whole = module, spec, whole
        self.batch = 1 if whole and whole.mixed else batch
        self.call = call or module
        self.dtype = torch.float64
        self.rest: guest.Snapshot | None = None
        self.resets: list[Callable[[], Any]] = []
        self.leaves = {path: part for path, part in module.named_modules() if _known_neuron(part)}
        self.heard = dict(self.leaves)

    @property
    def precision(self) -> str:
        """The numbers in which it is computed, as the tolerances of :mod:`.compare` call them."""
        return "float64" if self.dtype.itemsize == 8 else "float32"

    @contextmanager
    def visiting(self, precise: bool = True) -> Iterator[None]:
        """The module in evaluation mode, in double precision if ``precise`` and not large, else in single."""
        large = sum(p.numel() for p in self.module.parameters()) > LARGE
        self.dtype = torch.float64 if precise and not large else torch.float32
        default = torch.get_default_dtype()
        with guest.kept(self.module) as before, _torch.inference():
            guest.Snapshot(self.module.eval(), before).to(self.dtype)
            self.rest, self.resets = guest.Snapshot(self.module, before), guest.resets(self.module)
            torch.set_default_dtype(self.dtype)
            try:
                yield
            finally:
                torch.set_default_dtype(default)

    def hear(self, paths: Iterable[str]) -> None:
        """Listen to these modules as well: what a user wrote may be a neuron that no library knows."""
        parts = dict(self.module.named_modules())
        self.heard = {**{path: parts[path] for path in paths if path in parts}, **self.leaves}

    def from_rest(self) -> None:
        """As before the first tick."""
        if self.rest is not None:
            self.rest.restore()
        for function in self.resets:
            function()

    def seen(self, raw: Array) -> torch.Tensor:
        """Raw inputs, or token ids, as the module is given them."""
        if self.spec.tokens:
            return torch.as_tensor(raw, dtype=torch.int64)
        channels = (-1,) + (1,) * (min(len(self.spec.shape) or raw.ndim - 1, 3) - 1)
        levels = (np.asarray(number, np.float64) for number in (self.spec.scale, self.spec.offset))
        scale, offset = (a.reshape(channels) if a.size > 1 else a for a in levels)
        return torch.as_tensor(np.asarray(raw * scale + offset), dtype=self.dtype)

    def run(self, raw: Array, ticks: int, per_tick: bool = False) -> Answers:
        """What the module says to raw inputs (B, *shape), or (B, T, *shape) with ``per_tick``, from rest."""
        if self.batch is not None:
            parts = _portions(raw, self.batch)
            return _joined([self._batch(part, ticks, per_tick, count) for part, count in parts])
        return self._batch(raw, ticks, per_tick, len(raw))

    def one(self, raw: Array, ticks: int, per_tick: bool) -> torch.Tensor:
        """What the first call is given for the first sample alone, or for as many of it as the module takes."""
        copies = np.repeat(raw[:1], self.batch or 1, axis=0)
        return next(self.frames(self.seen(copies), ticks, per_tick))

    def _batch(self, raw: Array, ticks: int, per_tick: bool, count: int) -> Answers:
        outputs, heard, calls = self._called(raw, ticks, per_tick, _said)
        told = {path: values for path, values in heard.items() if values and self._in_ticks(values)}
        spikes = {path: self._by_tick([y for _, y in values], count) for path, values in told.items()}
        again = cache(lambda: self._called(raw, ticks, per_tick, _given)[1])

        def current(path: str) -> Array:
            return self._by_tick([x for x, _ in again()[path]], count)

        currents = {path: partial(current, path) for path in told}
        return Answers(np.stack(outputs)[:, :count], spikes, currents, calls)

    def _called(
        self, raw: Array, ticks: int, per_tick: bool, keep: Callable[[Any, Any], Heard]
    ) -> tuple[list[Array], dict[str, list[Heard]], dict[str, int]]:
        """From rest: what the module returns, what is kept of each neuron, and its calls in the last one."""
        self.from_rest()
        heard: dict[str, list[Heard]] = {path: [] for path in self.heard}
        outputs, calls = list[Array](), dict.fromkeys(self.heard, 0)
        with self._listening(heard, keep):
            for frame in self.frames(self.seen(raw), ticks, per_tick):
                before = {path: len(values) for path, values in heard.items()}
                outputs += self._answers(array(self.call(frame)))
                calls = {path: len(values) - before[path] for path, values in heard.items()}
        return outputs, heard, calls

    def _answers(self, output: Array) -> list[Array]:
        """What one call returns: (B, ...), for one tick or for all, or for each."""
        axis = self.whole.returned if self.whole else None
        return [output] if axis is None else [*np.moveaxis(output, axis, 0)]

    def _in_ticks(self, values: list[Heard]) -> bool:
        """Whether what was heard is of single ticks, or has them in its first axis; not where sizes differ by place."""
        if self.whole is not None and len(values) == 1:
            return all(len(part) % self.whole.ticks == 0 for part in values[0])
        return len({(given.shape, said.shape) for given, said in values}) == 1

    def _by_tick(self, values: list[Array], count: int) -> Array:
        """What a neuron was given or has said at each of its calls, or at the one of all ticks: (T, B, ...)."""
        if self.whole and len(values) == 1:
            (value,) = values
            return value.reshape(self.whole.ticks, -1, *value.shape[1 if self.whole.mixed else 2 :])
        return np.stack(values)[:, :count]

    def frames(self, x: torch.Tensor, ticks: int, per_tick: bool) -> Iterator[torch.Tensor]:
        """What each call is given."""
        if self.whole is not None:
            axis = self.whole.given
            frames = x if per_tick or axis is None else x.unsqueeze(1).expand(-1, ticks, *x.shape[1:])
            yield frames.transpose(0, 1) if axis == 0 else frames.clone()
            return
        for t in range(ticks):
            # a copy for each call: a module may write to its input
            yield (x[:, t] if per_tick else x).clone()

    @contextmanager
    def _listening(self, heard: dict[str, list[Heard]], keep: Callable[[Any, Any], Heard]) -> Iterator[None]:
        def listen(path: str) -> Callable[..., None]:
            def hook(module: torch.nn.Module, given: Any, result: Any) -> None:
                if _tensor(given) is not None and _tensor(result) is not None:
                    heard[path].append(keep(given, result))

            return hook

        heard_parts = self.heard.items()
        hooks = [part.register_forward_hook(listen(path), prepend=True) for path, part in heard_parts]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _said(given: Any, result: Any) -> Heard:
    """The shape of what a neuron was given, and what it said."""
    shape = tuple(_tensor(given).shape)  # type: ignore[union-attr]
    return np.broadcast_to(np.float64(0), shape), compact(array(result))


def _given(given: Any, result: Any) -> Heard:
    """What a neuron was given, and the shape of what it said."""
    shape = tuple(_tensor(result).shape)  # type: ignore[union-attr]
    return array(given), np.broadcast_to(np.float64(0), shape)


def compact(values: Array) -> Array:
    """Small whole numbers, such as spikes and counts of them, as bytes; anything else as it is."""
    with np.errstate(invalid="ignore"):
        small = values.astype(np.int8)
    return small if np.array_equal(small, values) else values


def _known_neuron(module: torch.nn.Module) -> bool:
    leaf = leaf_of(module)
    return leaf is not None and not leaf.problem


def _tensor(result: Any) -> torch.Tensor | None:
    """The tensor that a module returns or is given, or the first of several."""
    first = result[0] if isinstance(result, (tuple, list)) and result else result
    return first if isinstance(first, torch.Tensor) else None


def array(result: Any) -> Array:
    """The tensor that a module returns, or the first of several, as float64."""
    first = _tensor(result)
    if first is None:
        raise TypeError(f"the model returns {type(result).__name__}, and no tensor")
    copied: Array = first.detach().cpu().to(torch.float64).numpy().copy()
    return copied


def _portions(raw: Array, batch: int) -> Iterator[tuple[Array, int]]:
    """Batches of exactly this many samples, the last one filled up, with the number of those that count."""
    for start in range(0, len(raw), batch):
        part = raw[start : start + batch]
        yield np.resize(part, (batch, *raw.shape[1:])), len(part)


def _joined(parts: list[Answers]) -> Answers:
    def given(path: str) -> Array:
        return _together(part.currents[path]() for part in parts)

    first = parts[0]
    spikes = {path: _together(part.spikes[path] for part in parts) for path in first.spikes}
    currents = {path: partial(given, path) for path in first.currents}
    return Answers(_together(part.outputs for part in parts), spikes, currents, first.calls)


def _together(parts: Iterable[Array]) -> Array:
    """One batch of several (T, B, ...)."""
    return np.concatenate(list(parts), axis=1)


def of_program(program: Any, spec: InputSpec, door: doors.Door = doors.PLAIN) -> Reference:
    """What an exported program says: to as many samples as it was exported for, where that number is fixed.

    ``door`` says what inputs beside token ids are, and which of its results are read.
    """
    name, *_ = program.graph_signature.user_inputs
    value = next(node.meta["val"] for node in program.graph.nodes if node.name == name)
    batch = value.shape[0] if isinstance(value.shape[0], int) else None
    return Reference(
        _Program(program, door),
        replace(spec, tokens=not value.dtype.is_floating_point),
        batch,
    )


class _Program(torch.nn.Module):  # type: ignore[misc]
    """An exported program as a module: its graph is interpreted call by call, and no code is made of it."""

    def __init__(self, program: Any, door: doors.Door) -> None:
        super().__init__()
        self.door, self.roles = door, door.roles(list(program.graph_signature.user_inputs))
        signature = program.graph_signature
        named = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        named.update(signature.inputs_to_lifted_tensor_constants)
        self.known = {**program.constants, **program.state_dict}
        self.names = [named.get(node.name) for node in program.graph.nodes if node.op == "placeholder"]
        self.written = len(signature.buffers_to_mutate)
        self.inner = program.graph_module

    def forward(self, x: torch.Tensor) -> Any:
        """The user's output for the one input of the user."""
        own = iter([x, *(doors.MADE[role](x, self.door.padding) for role in self.roles[1:])])
        given = [next(own) if name is None else self.known[name] for name in self.names]
        results = torch.fx.Interpreter(self.inner, garbage_collect_values=False).run(
            *given, enable_io_processing=False
        )
        found = tuple(results[self.written :])
        return doors.chosen(found, self.door.wanted, "return value") if self.door.wanted else found[0]
