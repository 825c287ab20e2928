"""A bidirectional transformer over characters, as BERT (Devlin et al., arXiv 1810.04805) without its segments.

x   = E[character] + position embedding            characters come as one spike on the line of each
x   = blocks of vit.py: attention and MLP, each behind its layer norm and beside its shortcut
out = head(mean over characters of LayerNorm(x))
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .vit import EPSILON, Block


class TextTransformer(nn.Module):
    """Characters (B, N, V), one line for each of the alphabet, to logits (B, K)."""

    def __init__(
        self,
        vocabulary: int = 96,
        tokens: int = 64,
        classes: int = 2,
        dim: int = 64,
        depth: int = 2,
        heads: int = 4,
        mlp_ratio: float = 4.0,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(vocabulary, dim, bias=False)
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, dim))
        self.drop = nn.Dropout(drop)
        self.blocks = nn.Sequential(*(Block(dim, heads, mlp_ratio, drop, False, False) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=EPSILON)
        self.head = nn.Linear(dim, classes)
        nn.init.normal_(self.embed.weight, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """The mean over characters goes to the head."""
        x = self.blocks(self.drop(self.embed(x) + self.pos_embed))
        return self.head(self.norm(x).mean(dim=1))
