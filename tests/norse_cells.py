"""Neurons that look and compute like Norse's, for where the library is not installed.

Written from its documentation: one Euler step of a leaky membrane, with or without a current before it, for one tick or
for T ticks of (T, B, ...). They return their state, a named tuple, and begin anew where they are given none. The
classes bear the library's qualified names, by which a front end knows them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class LIFParameters(NamedTuple):
    tau_syn_inv: Tensor = torch.tensor(200.0)
    tau_mem_inv: Tensor = torch.tensor(100.0)
    v_leak: Tensor = torch.tensor(0.0)
    v_th: Tensor = torch.tensor(1.0)
    v_reset: Tensor = torch.tensor(0.0)


class LIFFeedForwardState(NamedTuple):
    v: Tensor
    i: Tensor


class _Cell(nn.Module):
    spikes = True

    def __init__(self, p: LIFParameters | None = None, dt: float = 0.001) -> None:
        super().__init__()
        self.p, self.dt = p or LIFParameters(), dt

    def step(self, x: Tensor, state: LIFFeedForwardState | None) -> tuple[Tensor, LIFFeedForwardState]:
        v, i = state or (self.p.v_leak + 0 * x, 0 * x)
        i = i + x
        v = v + self.dt * self.p.tau_mem_inv * (self.p.v_leak - v + i)
        i = i - self.dt * self.p.tau_syn_inv * i
        if not self.spikes:
            return v, LIFFeedForwardState(v, i)
        z = (v > self.p.v_th).to(v.dtype)
        return z, LIFFeedForwardState((1 - z) * v + z * self.p.v_reset, i)

    def forward(
        self, x: Tensor, state: LIFFeedForwardState | None = None
    ) -> tuple[Tensor, LIFFeedForwardState]:
        return self.step(x, state)


class LIFCell(_Cell):
    pass


class LICell(_Cell):
    spikes = False


class LIF(_Cell):
    def forward(
        self, x: Tensor, state: LIFFeedForwardState | None = None
    ) -> tuple[Tensor, LIFFeedForwardState]:
        outs = []
        for frame in x:
            out, state = self.step(frame, state)
            outs.append(out)
        assert state is not None
        return torch.stack(outs), state


class LIFRecurrentCell(_Cell):
    pass


for _kind in (LIFCell, LIF, LIFRecurrentCell):
    _kind.__module__ = "norse.torch.module.lif"
LICell.__module__ = "norse.torch.module.leaky_integrator"
