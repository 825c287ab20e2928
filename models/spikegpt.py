"""SpikeGPT (Zhu et al., TMLR 2024, arXiv 2302.13939): RWKV's mixes, of which spikes alone reach the residual stream.

    x = [E >= 0] token    x = x + LIF(TimeMix(N(x)))    x = x + LIF(ChannelMix(N(x)))    logits = Linear(N(x))

The mixes are those of :mod:`rwkv`. A token is one tick of the LIFs: they know no other time. The stream holds counts of
spikes on top of a binary embedding: of one-hot tokens [E >= 0] token and [E token >= 0] are the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .rwkv import Block
from .sequences import Fire, Lif


class SpikeGPT(nn.Module):
    """One-hot tokens (B, V) to logits (B, V) of the token that follows."""

    def __init__(self, vocabulary: int = 96, width: int = 64, depth: int = 2, hidden: int = 192) -> None:
        super().__init__()
        self.embed, self.norm0 = nn.Parameter(0.1 * torch.randn(width, vocabulary)), nn.LayerNorm(width)
        self.blocks = nn.Sequential(*(Block(width, hidden, Lif) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Spikes from the embedding on."""
        spikes = functional.linear(x, Fire.apply(self.embed))
        return self.head(self.norm(self.blocks(self.norm0(spikes))))
