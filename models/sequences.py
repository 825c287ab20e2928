"""What the sequence models of the zoo share: tokens are ticks, and what lasts from one to the next is a state.

A network is written as what happens to one token, (B, V) to (B, V), with its states in modules. :func:`run` gives it
whole sequences in one call, (T, B, V): everything but the states sees a large batch, and they loop over T from rest.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Memory(nn.Module):
    """A state; ``step(state, *given)`` is what a token makes of it. With ``whole`` a call is a sequence from rest."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = False
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.state: Any = 0.0

    def step(self, state: Any, *given: Tensor) -> Tensor:
        """The state after one token, from that before and what the token gives."""
        raise TypeError(f"{type(self).__name__} has no step of one token")

    def forward(self, *given: Tensor) -> Tensor:
        """The state after this token (B, ...), or after each of (T, B, ...) from rest."""
        if not self.whole:
            self.state = self.step(self.state, *given)
            return self.state
        states = [torch.zeros_like(given[0][0])]
        for parts in zip(*given, strict=True):
            states.append(self.step(states[-1], *parts))
        return torch.stack(states[1:])


class GatedMemory(Memory):
    """``h(t) = f(t) h(t-1) + i(t)``, elementwise."""

    def step(self, state: Any, keep: Tensor, new: Tensor) -> Tensor:
        """What is kept, and what comes."""
        return keep * state + new


class Decayed(Memory):
    """``s(t) = d s(t-1) + x(t)`` with a constant d for each channel; what is read is the state before the token."""

    def step(self, state: Any, new: Tensor, decay: Tensor) -> Tensor:
        """A part is kept."""
        return decay * state + new

    def forward(self, new: Tensor, decay: Tensor) -> Tensor:
        """s(t-1) of this token, or of each."""
        if not self.whole:
            before, self.state = self.state, self.step(self.state, new, decay)
            return before + torch.zeros_like(new)
        states = [torch.zeros_like(new[0])]
        for part in new[:-1]:
            states.append(self.step(states[-1], part, decay))
        return torch.stack(states)


class Shift(Memory):
    """What the token before gave."""

    def forward(self, x: Tensor) -> Tensor:
        """x(t-1), 0 of the first."""
        if not self.whole:
            before, self.state = self.state, x
            return before + torch.zeros_like(x)
        return torch.cat((torch.zeros_like(x[:1]), x[:-1]))


class Fire(torch.autograd.Function):
    """1 from 0 on, else 0; backward the derivative of an arctangent, as SpikingJelly's ATan."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Spikes."""
        ctx.save_for_backward(x)
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """2 / (2 (1 + (pi x)^2))."""
        (x,) = ctx.saved_tensors
        return gradients[0] / (1 + (torch.pi * x).square())


class Lif(Memory):
    """SpikingJelly's LIF, one tick a token: ``h = v + (x - v) / 2;  s = h >= 1;  v = 0 where s, else h``."""

    def fired(self, state: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes and the state after them."""
        charged = state + (x - state) / 2
        spikes = Fire.apply(charged - 1.0)
        return spikes, charged * (1.0 - spikes)

    def forward(self, x: Tensor) -> Tensor:
        """Spikes of one token, or of all."""
        if not self.whole:
            spikes, self.state = self.fired(self.state, x)
            return spikes
        state, sent = torch.zeros_like(x[0]), []
        for part in x:
            spikes, state = self.fired(state, part)
            sent.append(spikes)
        return torch.stack(sent)


def run(network: nn.Module, x: Tensor) -> Tensor:
    """What a network makes of each token of sequences (T, B, V), from rest."""
    states = [module for module in network.modules() if isinstance(module, Memory)]
    for state in states:
        state.whole = True
    try:
        return network(x)
    finally:
        for state in states:
            state.whole = False
