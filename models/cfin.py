"""Super-resolution after CFIN (Li et al., arXiv 2207.02796), of which text and figures in words are public.

Everything below the outline is our definition. Images are 0 .. 1, r the factor::

    f = Conv3x3(image);   x = f;   x = Window(Cross(x)) for each block;   image' = shuffle_r(Conv3x3(x + f))
    Cross: a = DW_3(x), b = nearest_2(DW_3, stride 2, (x));   x + W [a, b] * sigmoid(W [a, b])
    Window: x = x + W softmax(q.k / sqrt d) M(v),  q, k, v of LN(x) in windows;   x = x + MLP(LN(x))
    M(v) = sigmoid(W mean(x)) * DW_3(v): a depthwise kernel whose weights are scaled by what is in the image
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .layers import as_windows, from_windows
from .vit import EPSILON, Mlp


class Cross(nn.Module):
    """Two scales side by side: (B, D, H, W) to the same."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.coarse = nn.Conv2d(dim, dim, 3, 2, 1, groups=dim)
        self.fuse, self.gate = nn.Conv2d(2 * dim, dim, 1), nn.Conv2d(2 * dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """A gate for each place and channel."""
        coarse = functional.interpolate(self.coarse(x), scale_factor=2, mode="nearest")
        both = torch.cat((self.fine(x), coarse), 1)
        return x + self.fuse(both) * torch.sigmoid(self.gate(both))


class Window(nn.Module):
    """Attention inside windows, and an MLP: (B, D, H, W) to the same."""

    def __init__(self, dim: int, heads: int, window: int, mlp_ratio: float) -> None:
        super().__init__()
        self.heads, self.window, self.scale = heads, window, (dim // heads) ** -0.5
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=EPSILON), nn.LayerNorm(dim, eps=EPSILON)
        self.qk, self.value = nn.Conv2d(dim, 2 * dim, 1), nn.Conv2d(dim, dim, 1)
        self.gate, self.kernel = nn.Linear(dim, dim), nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.proj, self.mlp = nn.Conv2d(dim, dim, 1), Mlp(dim, int(dim * mlp_ratio), 0.0, False)

    def forward(self, x: Tensor) -> Tensor:
        """Windows are cut of queries, keys and values; the kernel sees across their edges."""
        size = x.shape[-1]
        normed = self.norm1(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        q, k = self.qk(normed).chunk(2, 1)
        gate = torch.sigmoid(self.gate(normed.mean((2, 3))))
        v = gate[:, :, None, None] * self.kernel(self.value(normed))
        q, k, v = (as_windows(part, self.heads, self.window) for part in (q, k, v))
        mixed = (q @ k.transpose(-2, -1) * self.scale).softmax(-1) @ v
        x = x + self.proj(from_windows(mixed, size))
        rows = x.permute(0, 2, 3, 1)
        return x + self.mlp(self.norm2(rows)).permute(0, 3, 1, 2)


class Cfin(nn.Module):
    """Image (B, C, H, W) to (B, C, r H, r W)."""

    def __init__(
        self,
        channels: int = 3,
        dim: int = 48,
        depth: int = 10,
        heads: int = 8,
        window: int = 8,
        mlp_ratio: float = 2.0,
        factor: int = 2,
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, dim, 3, padding=1)
        blocks = (nn.Sequential(Cross(dim), Window(dim, heads, window, mlp_ratio)) for _ in range(depth))
        self.blocks, self.factor = nn.Sequential(*blocks), factor
        self.last = nn.Conv2d(dim, channels * factor**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Shallow features, blocks beside a shortcut, and r x r pixels of each place."""
        features = self.first(x)
        return functional.pixel_shuffle(self.last(self.blocks(features) + features), self.factor)
