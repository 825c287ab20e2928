"""Whether a traced program with states is the model: both are called a few times from rest.

A trace follows one path through the code, that of a call which finds its states in place. What the first call does
instead, and what asks whether a state is a tensor, shows here. Known neurons are replaced by a function on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import fx

from ..errors import Problem
from . import _torch, guest
from .recurrences import Remembered, sine, stand_in

TICKS = 3


def differing(
    model: torch.nn.Module,
    graph: fx.Graph,
    states: Sequence[Remembered],
    neurons: Mapping[int, Any],
    example: torch.Tensor,
) -> Iterator[Problem]:
    """ND158 where the first calls of the model yield something else than the traced program."""
    if not states:
        return
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.rand(example.shape, generator=generator).to(example.dtype) for _ in range(TICKS)]
    found = _traced(graph, states, inputs)
    with guest.kept(model), _torch.inference():
        guest.resets(model)
        for module in model.modules():
            if id(module) in neurons:
                module.forward = sine(len(neurons[id(module)].states))
        for tick, x in enumerate(inputs):
            if not _alike(model(x), next(found)):
                names = ", ".join(dict.fromkeys(state.name for state in states))
                cause = "the first calls of the model are not what was traced"
                fixes = (
                    "begin every state at 0, or at a number, and update it in every call in the same way",
                    "read a state without asking what type it has: 'is None' will do",
                )
                yield Problem("ND158", cause, names, f"call {tick + 1} yields other values", "", fixes)
                return


def _traced(graph: fx.Graph, states: Sequence[Remembered], inputs: Sequence[torch.Tensor]) -> Iterator[Any]:
    """What the traced program returns at each call."""
    _, *befores = (node for node in graph.nodes if node.op == "placeholder")
    now: list[Any] = [
        torch.full_like(n.meta["val"], s.rest or 0.0) for n, s in zip(befores, states, strict=True)
    ]
    for x in inputs:
        known: dict[fx.Node, Any] = {}
        held = dict(zip(befores, now, strict=True))
        for node in graph.nodes:
            known[node] = _value(node, known, held, x.clone())
        out, now = known[next(iter(reversed(graph.nodes)))]
        yield out


def _value(
    node: fx.Node, known: Mapping[fx.Node, Any], states: Mapping[fx.Node, Any], x: torch.Tensor
) -> Any:
    args, kwargs = (fx.node.map_arg(part, known.__getitem__) for part in (node.args, node.kwargs))
    match node.op:
        case "placeholder":
            return states.get(node, x)
        case "get_attr":
            return node.meta["val"]
        case "call_module":
            return stand_in(node)(*args, **kwargs)
        case "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        case "output":
            return args[0]
    return node.target(*args, **kwargs)


def _alike(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.shape == b.shape and bool(torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-5))
    return type(a) is type(b) and all(map(_alike, a, b)) if isinstance(a, (tuple, list)) else a is b
