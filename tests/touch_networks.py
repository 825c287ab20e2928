"""Networks with something in the middle that only a toy member knows; for conformance/test_touch_counts.py."""

from __future__ import annotations

from typing import Any

import torch


class Network(torch.nn.Module):
    """Digits to classes, with something in the middle."""

    def __init__(self, middle: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = (torch.nn.Linear(*s) for s in ((64, 6), (6, 6), (6, 10)))
        self.middle = middle

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.second(self.middle(self.first(x.flatten(1)))))


class Pulse(torch.nn.Module):
    """A neuron of a library that nobody knows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x > 1.0).float()


def plain() -> torch.nn.Module:
    """An ANN."""
    return Network(torch.nn.ReLU())


def degrees() -> torch.nn.Module:
    """An ANN with an operator that only the toy knows."""
    return Network(torch.deg2rad)


def pulsing() -> torch.nn.Module:
    """A network with neurons that only the toy knows."""
    return Network(Pulse())
