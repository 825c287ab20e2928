"""A generator after STrans-G (Xu et al., arXiv 2110.13107), of which text and figures in words are public.

Everything below the outline is our definition. A latent z becomes tokens of 4 x 4 places, stages of blocks with
attention in windows grow the image, each twice as large as the one before::

    x = W z + position;   x = x + s softmax(q.k / sqrt d) V,  x = x + s MLP(LN(x)),  q, k, V of LN(x), in windows
    between stages x = W nearest_2(x) + position;   image = tanh(Conv1x1(x)), -1 .. 1

s is a learned factor by channel on every branch, small at first: what the authors find of shortcuts in generators.
``Critic`` is the other side in training, of convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from .layers import as_windows, from_windows
from .vit import EPSILON, Mlp

FIRST = 4
BRANCH = 0.5


class Block(nn.Module):
    """(B, D, H, W) to the same."""

    def __init__(self, dim: int, heads: int, window: int, mlp_ratio: float) -> None:
        super().__init__()
        self.heads, self.window, self.scale = heads, window, (dim // heads) ** -0.5
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=EPSILON), nn.LayerNorm(dim, eps=EPSILON)
        self.qkv, self.proj = nn.Conv2d(dim, 3 * dim, 1), nn.Conv2d(dim, dim, 1)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), 0.0, False)
        self.factors = nn.ParameterList(torch.full((dim, 1, 1), BRANCH) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Attention, then MLP."""
        normed = self.norm1(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        q, k, v = (as_windows(part, self.heads, self.window) for part in self.qkv(normed).chunk(3, 1))
        mixed = (q @ k.transpose(-2, -1) * self.scale).softmax(-1) @ v
        x = x + self.factors[0] * self.proj(from_windows(mixed, x.shape[-1]))
        rows = self.mlp(self.norm2(x.permute(0, 2, 3, 1)))
        return x + self.factors[1] * rows.permute(0, 3, 1, 2)


class Generator(nn.Module):
    """Latent (B, Z, 1, 1) to image (B, C, H, H); a stage has ``dims`` channels and ``depths`` blocks."""

    def __init__(
        self,
        latent: int = 128,
        channels: int = 3,
        dims: Sequence[int] = (256, 128, 64),
        depths: Sequence[int] = (2, 2, 2),
        heads: int = 4,
        window: int = 4,
        mlp_ratio: float = 2.0,
    ) -> None:
        super().__init__()
        self.first = nn.Linear(latent, dims[0] * FIRST**2)
        sizes = [FIRST * 2**stage for stage in range(len(dims))]
        self.positions = nn.ParameterList(
            nn.init.trunc_normal_(torch.zeros(1, dim, size, size), std=0.02)
            for dim, size in zip(dims, sizes, strict=True)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(dim, heads, window, mlp_ratio) for _ in range(depth)))
            for dim, depth in zip(dims, depths, strict=True)
        )
        self.widen = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(dims))
        self.last = nn.Conv2d(dims[-1], channels, 1)

    def forward(self, z: Tensor) -> Tensor:
        """Tokens, stages, image."""
        x = self.first(z.flatten(1)).unflatten(1, (-1, FIRST, FIRST)) + self.positions[0]
        x = self.stages[0](x)
        for widen, position, stage in zip(self.widen, self.positions[1:], self.stages[1:], strict=True):
            x = stage(widen(functional.interpolate(x, scale_factor=2, mode="nearest")) + position)
        return torch.tanh(self.last(x))


class Critic(nn.Sequential):
    """Image (B, C, H, H) to a number (B, 1): how real it looks."""

    def __init__(self, channels: int, size: int, width: int = 32) -> None:
        parts: list[nn.Module] = []
        inputs, outputs = channels, width
        while size > FIRST:
            conv = nn.Conv2d(inputs, outputs, 4, 2, 1)
            parts += [nn.utils.spectral_norm(conv), nn.LeakyReLU(0.2)]
            inputs, outputs, size = outputs, 2 * outputs, size // 2
        super().__init__(*parts, nn.Flatten(), nn.utils.spectral_norm(nn.Linear(inputs * size**2, 1)))
