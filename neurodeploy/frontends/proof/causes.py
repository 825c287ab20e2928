"""Why a graph and its module differ: what is found when one looks, the likeliest first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from ...array import Array
from .. import guest
from .compare import apart
from .reference import Reference
from .watch import Event, watched

#: what a run of a user's module may raise, such as a mix of precisions
RAISED = (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError, AssertionError)

#: events of a call, and what they mean
_MEANING = {
    "random": "'{op}' draws random numbers in every call ({place})",
    "branch": "Python looks at a value and goes on by it, with '{op}' ({place})",
    "cast": "'{op}' casts to numbers of another kind, which rounds ({place})",
    "in place": "'{op}' writes to a tensor in place ({place}), which other names of it see",
}
_MOST = 5  # causes that are named


def likely(reference: Reference, raw: Array, ticks: int, per_tick: bool) -> list[str]:
    """Causes of a difference, in order of likelihood; empty where nothing is unusual."""
    found: list[str] = []
    for look in (_neurons, _state, _hooks, _batch, _told):
        with suppress(*RAISED):  # the module may fail for the very reason that is looked for
            found += look(reference, raw, ticks, per_tick)
    return list(dict.fromkeys(found))[:_MOST]


def _neurons(reference: Reference, raw: Array, ticks: int, per_tick: bool) -> Iterator[str]:
    """Neurons that are called more than once, or that take an axis for time."""
    answers = reference.run(raw[:1], ticks, per_tick)
    for path in reference.leaves:
        if (calls := answers.calls[path]) != 1:
            yield f"the neuron '{path}' is called {calls} times in one call of the model, and keeps one state"
    for path, leaf in reference.leaves.items():
        multi = getattr(leaf, "step_mode", "s") == "m" or type(leaf).__name__.startswith("MultiStep")
        if multi and reference.whole is None:
            yield f"the neuron '{path}' takes its first axis for time (step mode 'm')"


def _state(reference: Reference, raw: Array, ticks: int, per_tick: bool) -> Iterator[str]:
    """Attributes and buffers that one call changes, beside those of known neurons."""
    reference.from_rest()
    before = guest.Snapshot(reference.module)
    reference.module(reference.one(raw, ticks, per_tick))
    modules = dict(reference.module.named_modules())
    for path, name in guest.Snapshot(reference.module).changed(before):
        if not any(path == leaf or path.startswith(f"{leaf}.") for leaf in reference.leaves):
            kind = f" [{type(modules[path]).__name__}]" if path in modules else ""
            owner = f"'{path}'{kind}" if path else f"the model{kind}"
            yield f"a call changes the attribute '{name}' of {owner}: state that the graph does not have"


def _hooks(reference: Reference, raw: Array, ticks: int, per_tick: bool) -> Iterator[str]:
    """Hooks, and a ``forward`` that is not the one of its class."""
    for path, part in reference.module.named_modules():
        place = f"'{path}'" if path else "the model"
        if "forward" in vars(part):
            yield f"'forward' of {place} was replaced on the instance"
        if part._forward_hooks or part._forward_pre_hooks:
            yield f"{place} has hooks, which change what goes in or comes out"


def _batch(reference: Reference, raw: Array, ticks: int, per_tick: bool) -> Iterator[str]:
    """Answers that depend on the number of samples."""
    if reference.batch is not None:
        return
    try:
        one, two, again = (
            reference.run(raw[rows], ticks, per_tick).outputs[:, 0] for rows in ([0], [0, -1, -1], [0])
        )
    except RAISED:
        yield "the model does not run on every number of samples"
        return
    if not _close(one, again):
        yield "two calls from rest give different answers: random numbers, or a state that no reset() forgets"
    elif not _close(one, two):
        yield "the answer to a sample depends on the number of samples in the batch, or on the others"


def _close(a: Array, b: Array) -> bool:
    off, scale = apart(a, b)
    return bool(np.all(off <= 1e-6 * scale))


def events(reference: Reference, raw: Array, ticks: int, per_tick: bool) -> list[Event]:
    """What the operators of one call do beside computing."""
    reference.from_rest()
    return watched(reference, reference.one(raw, ticks, per_tick)).events


def _told(reference: Reference, raw: Array, ticks: int, per_tick: bool) -> Iterator[str]:
    """Operators that do more than compute."""
    by_kind: dict[str, list[Event]] = {}
    for event in events(reference, raw, ticks, per_tick):
        by_kind.setdefault(event.kind, []).append(event)
    for kind, text in _MEANING.items():
        for event in by_kind.get(kind, ())[:2]:
            yield text.format(op=event.op, place=event.place)
