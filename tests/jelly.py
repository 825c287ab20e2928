"""Neurons that look and compute like SpikingJelly's (activation_based), for where the library is not installed.

Written from its documentation: charge, fire at ``v >= v_threshold``, reset, for one tick or for T ticks of (T, B, ...).
The classes bear the library's qualified names, by which a front end knows them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

NEURONS, LAYERS = "spikingjelly.activation_based.neuron", "spikingjelly.activation_based.layer"


class _Node(nn.Module):
    """State ``v``, 0 or ``v_reset`` at rest; ``reset`` forgets it."""

    def __init__(
        self,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        step_mode: str = "s",
        decay_input: bool = True,
    ) -> None:
        super().__init__()
        self.v_threshold, self.v_reset, self.step_mode, self.decay_input = (
            v_threshold,
            v_reset,
            step_mode,
            decay_input,
        )
        self.v: Tensor | float = v_reset or 0.0

    def reset(self) -> None:
        self.v = self.v_reset or 0.0

    def charged(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def single_step(self, x: Tensor) -> Tensor:
        h = self.charged(x)
        spikes = (h >= self.v_threshold).to(h.dtype)
        self.v = (
            h - spikes * self.v_threshold
            if self.v_reset is None
            else torch.where(spikes > 0, self.v_reset, h)
        )
        return spikes

    def forward(self, x: Tensor) -> Tensor:
        if self.step_mode == "s":
            return self.single_step(x)
        return torch.stack([self.single_step(frame) for frame in x])

    def leaked(self, x: Tensor, rate: Tensor | float) -> Tensor:
        rest = self.v_reset or 0.0
        if self.decay_input:
            return self.v + (x - (self.v - rest)) * rate
        return self.v - (self.v - rest) * rate + x


class LIFNode(_Node):
    def __init__(self, tau: float = 2.0, **more: object) -> None:
        super().__init__(**more)
        self.tau = tau

    def charged(self, x: Tensor) -> Tensor:
        return self.leaked(x, 1.0 / self.tau)


class ParametricLIFNode(_Node):
    def __init__(self, init_tau: float = 2.0, **more: object) -> None:
        super().__init__(**more)
        self.w = nn.Parameter(-torch.tensor(init_tau - 1.0).log())

    def charged(self, x: Tensor) -> Tensor:
        return self.leaked(x, self.w.sigmoid())


class IFNode(_Node):
    def charged(self, x: Tensor) -> Tensor:
        return self.v + x


class LinearRecurrentContainer(nn.Module):
    """``sub_module`` fed a linear layer of its input and of its own last output, which is 0 at rest."""

    def __init__(self, sub_module: nn.Module, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.sub_module, self.step_mode = sub_module, "s"
        self.sub_module_out_features = out_features
        self.rc = nn.Linear(in_features + out_features, in_features, bias)
        self.y: Tensor | None = None

    def reset(self) -> None:
        self.y = None

    def forward(self, x: Tensor) -> Tensor:
        if self.y is None:
            self.y = torch.zeros(*x.shape[:-1], self.sub_module_out_features, dtype=x.dtype)
        self.y = self.sub_module(self.rc(torch.cat((x, self.y), dim=-1)))
        return self.y


for _kind in (LIFNode, ParametricLIFNode, IFNode):
    _kind.__module__ = NEURONS
LinearRecurrentContainer.__module__ = LAYERS
