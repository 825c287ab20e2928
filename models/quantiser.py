"""Quantisers of activations for training: straight through inside the range, the step learned as in LSQ.

    k = clip(floor(x / step + 1/2), -N, P);   y = step k
    dy/dx = 1 inside the range, else 0;   dy/dstep = k - x / step inside, k outside, times 1 / sqrt(elements P)
Esser et al., "Learned Step Size Quantization", ICLR 2020, arXiv 1902.08153, equations 1 to 5. A network with these at
the places where conversion puts neurons is the quantised ANN that ``--method pmsm`` takes over step by step.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from neurodeploy.convert._quantisers import QuantiserConfig, layer

#: below it no step goes in training: a step of another sign would turn the values around
SMALLEST = 1e-3


class Quantiser(nn.Module):
    """Keeps the shape of its input. Does nothing until :func:`initialise` has chosen its step and counts."""

    step: Tensor
    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.tensor(1.0))
        self.register_buffer("low", torch.tensor(0.0))
        self.register_buffer("high", torch.tensor(0.0))

    def forward(self, x: Tensor) -> Tensor:
        """Plain arithmetic at inference; with gradients while training."""
        if not self.training:
            return self.step * torch.clamp(torch.floor(x / self.step + 0.5), self.low, self.high)
        self.step.data.clamp_(min=SMALLEST)
        share = 1 / math.sqrt(max(1, x[0].numel() * float(self.high)))
        step = self.step * share + (self.step * (1 - share)).detach()
        inside = torch.clamp(x / step, self.low, self.high)
        return step * (inside + (torch.floor(inside + 0.5) - inside).detach())


def maybe(wanted: bool) -> nn.Module:
    """A quantiser, or nothing."""
    return Quantiser() if wanted else nn.Identity()


@torch.no_grad()
def initialise(network: nn.Module, run: Callable[[], object], levels: int, init: str) -> None:
    """Steps and counts of all quantisers from the values that ``run`` sends through the network without them.

    The rule is that of ``--method pmsm`` with ``levels`` and ``init``.
    """
    quantisers = [module for module in network.modules() if isinstance(module, Quantiser)]
    seen: dict[Quantiser, list[np.ndarray]] = {q: [] for q in quantisers}

    def note(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        seen[module].append(args[0].detach().cpu().numpy().astype(np.float64).ravel())
        return args[0]

    hooks = [q.register_forward_hook(note) for q in quantisers]
    was_training = network.training
    network.eval()
    run()
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    config = QuantiserConfig(levels=levels, init=init)
    for quantiser, parts in seen.items():
        chosen = layer(np.concatenate(parts), config)
        quantiser.step.fill_(chosen["step"])
        quantiser.low.fill_(-chosen["negative"])
        quantiser.high.fill_(chosen["positive"])
