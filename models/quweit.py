"""Quasi-weightless transformer (Nag et al., arXiv 2411.01818): look-up tables take the place of the MLP.

    x = patches + position;   x = x + proj(softmax(q k^T / sqrt d) v),  q, k, v of LayerNorm(x);   x = x + mixer(x)
    mixer(x) = W LUT(.. LUT([LayerNorm(x) > t_1], .., [LayerNorm(x) > t_b]))

The tables' input is a thermometer of each channel. Behind the last tables stand sums of the weights whose bit is 1. The
inputs of the attention's layers and products are quantised, as in I-ViT, on which the authors build.
What its text leaves open is ours: thresholds, layers of tables, bits. The estimator is in ``lut.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .lut import MOST, LutLayer
from .spiking import Step
from .vit import EPSILON, Attention


class Thermometer(nn.Module):
    """(B, N, D) to bits (B, N, D b): whether a value lies above each threshold."""

    def __init__(self, thresholds: Sequence[float]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(Step(threshold) for threshold in thresholds)

    def forward(self, x: Tensor) -> Tensor:
        """One copy of the channels for each threshold."""
        return torch.cat([step(x) for step in self.steps], -1)


class Mixer(nn.Module):
    """(B, N, D) to the same by thermometer, tables and a sum of weights."""

    def __init__(self, dim: int, tables: Sequence[int], bits: int, thresholds: Sequence[float]) -> None:
        super().__init__()
        self.norm, self.code = nn.LayerNorm(dim, eps=EPSILON), Thermometer(thresholds)
        widths = [dim * len(thresholds), *tables]
        self.layers = nn.Sequential(*(LutLayer(a, b, bits) for a, b in zip(widths[:-1], tables, strict=True)))
        self.out = nn.Linear(tables[-1], dim)

    def forward(self, x: Tensor) -> Tensor:
        """No multiplication but the norm's."""
        return self.out(self.layers(self.code(self.norm(x))))


class QuWeiT(nn.Module):
    """Image (B, C, H, W) to logits (B, K); ``tables`` are the numbers of tables in each layer of a mixer.

    ``quantise``: quantisers at the inputs of the attention's layers and products.
    """

    def __init__(
        self,
        image_size: int = 224,
        patch: int = 16,
        channels: int = 3,
        classes: int = 1000,
        dim: int = 192,
        depth: int = 12,
        heads: int = 3,
        tables: Sequence[int] = (768,),
        bits: int = MOST,
        thresholds: Sequence[float] = (-1.0, -0.5, 0.0, 0.5, 1.0),
        quantise: bool = True,
    ) -> None:
        super().__init__()
        self.patch = nn.Conv2d(channels, dim, patch, stride=patch)
        self.position = nn.Parameter(torch.zeros(1, (image_size // patch) ** 2, dim))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.norms = nn.ModuleList(nn.LayerNorm(dim, eps=EPSILON) for _ in range(depth))
        self.attentions = nn.ModuleList(Attention(dim, heads, 0.0, False, quantise) for _ in range(depth))
        self.mixers = nn.ModuleList(Mixer(dim, tables, bits, thresholds) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(dim, eps=EPSILON), nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Patches, blocks, norm, mean, head."""
        x = self.patch(x).flatten(2).transpose(1, 2) + self.position
        for norm, attention, mixer in zip(self.norms, self.attentions, self.mixers, strict=True):
            x = x + attention(norm(x))
            x = x + mixer(x)
        return self.head(self.norm(x).mean(1))
