"""A plain pre-norm vision transformer in timm's layout, the source of training-free conversions.

x   = [class token, patches] + position embedding
x   = x + proj(softmax(q k^T / sqrt(d)) v)       q, k, v from LayerNorm(x)
x   = x + fc2(GELU(fc1(LayerNorm(x))))
out = head(LayerNorm(x)[class token])            or of the mean over patches

The patches come from one strided convolution, or from a stem of small ones with batch norm (Xiao et al., "Early
Convolutions Help Transformers See Better", NeurIPS 2021, arXiv 2106.14881), which learns from far fewer images.
With ``quantise`` the inputs of dense layers and products go through quantisers, but for the image and the head's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .quantiser import maybe

EPSILON = 1e-6


class Attention(nn.Module):
    """Softmax attention over (B, N, D) with one fused projection to queries, keys and values."""

    def __init__(self, dim: int, heads: int, drop: float, fused: bool, quantise: bool) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused and not quantise
        self.in_q, self.out_q = maybe(quantise), maybe(quantise)
        self.q_q, self.k_q, self.v_q, self.mix_q = (maybe(quantise) for _ in range(4))
        self.scale = (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        """The explicit form and the fused one compute the same function."""
        batch, tokens, dim = x.shape
        qkv = (
            self.qkv(self.in_q(x))
            .reshape(batch, tokens, 3, self.heads, dim // self.heads)
            .permute(2, 0, 3, 1, 4)
        )
        q, k, v = qkv.unbind(0)
        mix = functional.scaled_dot_product_attention(q, k, v) if self.fused else self._explicit(q, k, v)
        return self.drop(self.proj(self.out_q(mix.transpose(1, 2).reshape(batch, tokens, dim))))

    def _explicit(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = self.q_q(q * self.scale) @ self.k_q(k).transpose(-2, -1)
        return self.mix_q(scores.softmax(dim=-1)) @ self.v_q(v)


class Mlp(nn.Module):
    """Two linear layers with an exact (erf) GELU between them."""

    def __init__(self, dim: int, hidden: int, drop: float, quantise: bool) -> None:
        super().__init__()
        self.in_q, self.hidden_q = maybe(quantise), maybe(quantise)
        self.fc1, self.act, self.fc2 = nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        return self.drop(self.fc2(self.hidden_q(self.act(self.fc1(self.in_q(x))))))


class Block(nn.Module):
    """Attention and MLP, each behind its norm and beside its shortcut."""

    def __init__(
        self, dim: int, heads: int, mlp_ratio: float, drop: float, fused: bool, quantise: bool
    ) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(dim, eps=EPSILON), Attention(dim, heads, drop, fused, quantise)
        self.norm2, self.mlp = nn.LayerNorm(dim, eps=EPSILON), Mlp(dim, int(dim * mlp_ratio), drop, quantise)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ConvStem(nn.Sequential):
    """3 x 3 convolutions with batch norm, ReLU between them: image (B, C, H, W) to features (B, D, H / s, W / s).

    ``layers`` gives (channels, stride) of each; s is the product of the strides. The last one has no ReLU: its output
    joins the residual stream.
    """

    def __init__(self, channels: int, layers: Sequence[tuple[int, int]], quantise: bool) -> None:
        parts: list[nn.Module] = []
        for width, stride in layers:
            relu = nn.Sequential(nn.ReLU(), maybe(True)) if quantise else nn.ReLU()
            parts += [nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), relu]
            channels = width
        super().__init__(*parts[:-1])


class VisionTransformer(nn.Module):
    """Image (B, C, H, W) to logits (B, K).

    ``patch`` is the side of a patch in pixels. ``stem`` gives (channels, stride) of each convolution of a stem that
    takes the place of the one that cuts patches; its strides multiply to ``patch``, its last width is ``dim``.

    ``pool`` is ``"token"`` (the class token's row) or ``"mean"`` (no class token, mean over patches after the
    final norm). ``fused`` takes torch's scaled dot product attention instead of the explicit softmax; with ``quantise``
    attention is always explicit.
    Raises ValueError for sizes that do not divide and for another pool.
    """

    def __init__(
        self,
        image_size: int = 8,
        patch: int = 2,
        channels: int = 1,
        classes: int = 10,
        dim: int = 64,
        depth: int = 2,
        heads: int = 4,
        mlp_ratio: float = 4.0,
        pool: str = "token",
        fused: bool = False,
        drop: float = 0.0,
        stem: Sequence[tuple[int, int]] = (),
        quantise: bool = False,
    ) -> None:
        super().__init__()
        if image_size % patch or dim % heads or pool not in ("token", "mean"):
            raise ValueError(
                f"image {image_size}/{patch}, dim {dim}/{heads} must divide; pool {pool!r}: token or mean"
            )
        if stem and (math.prod(stride for _, stride in stem) != patch or stem[-1][0] != dim):
            raise ValueError(
                f"stem {stem}: strides must multiply to patch {patch}, its last width must be {dim}"
            )
        self.pool = pool
        extra = 1 if pool == "token" else 0
        self.patch = (
            ConvStem(channels, stem, quantise) if stem else nn.Conv2d(channels, dim, patch, stride=patch)
        )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim)) if extra else None
        self.pos_embed = nn.Parameter(torch.zeros(1, (image_size // patch) ** 2 + extra, dim))
        self.drop = nn.Dropout(drop)
        self.blocks = nn.ModuleList(Block(dim, heads, mlp_ratio, drop, fused, quantise) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=EPSILON)
        self.head = nn.Linear(dim, classes)
        self._initialise()

    def _initialise(self) -> None:
        for parameter in (self.pos_embed, self.cls_token):
            if parameter is not None:
                nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def embed(self, x: Tensor) -> Tensor:
        """Image to tokens (B, N, D) with their positions added."""
        x = self.patch(x).flatten(2).transpose(1, 2)
        if self.cls_token is not None:
            x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1)
        return self.drop(x + self.pos_embed)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens, blocks, norm, pooling, head."""
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        x = x[:, 0] if self.pool == "token" else x.mean(dim=1)
        return self.head(x)
