"""Spikformer (Zhou et al., ICLR 2023, arXiv 2209.15425): spiking self-attention with a shortcut that carries spikes.

One tick, with SN a LIF neuron::

    x = SN(BN(Conv3x3(x)))  four times, widths D/8, D/4, D/2, D, a maximum over spikes behind some of them
    x = x + SN(BN(Conv3x3(x)))                                     relative position
    x = x + SN(Attention(x));   x = x + SN(BN(SN(BN(x W1)) W2))    each block
    logits = Linear(mean over tokens of x)

The shortcut adds spikes to spikes: behind block l it carries whole numbers up to 2 l + 2, so the layers that read it
are given small integers, not bits.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from .layers import SelfAttention, SpikeMlp, conv_bn, halved
from .spiking import Lif


class Patches(nn.Sequential):
    """Image (B, C, H, W) to spikes (B, D, h, w); ``pools`` says behind which convolution the image is halved."""

    def __init__(self, channels: int, dim: int, pools: tuple[bool, ...]) -> None:
        widths = (channels, dim // 8, dim // 4, dim // 2, dim)
        super().__init__(
            *(
                nn.Sequential(conv_bn(a, b), Lif(), halved(p))
                for (a, b), p in zip(pairwise(widths), pools, strict=True)
            )
        )


class Block(nn.Module):
    """Small integers (B, D, N) to larger ones: what each branch adds is a spike."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float, scale: float) -> None:
        super().__init__()
        self.attn, self.attn_sn = SelfAttention(dim, heads, scale), Lif()
        self.mlp = SpikeMlp(dim, int(dim * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        """Attention, then MLP."""
        x = x + self.attn_sn(self.attn(x))
        return x + self.mlp(x)


class Spikformer(nn.Module):
    """One tick: image (B, C, H, W) to logits (B, K); their mean over T ticks is the answer."""

    def __init__(
        self,
        channels: int = 3,
        classes: int = 10,
        dim: int = 384,
        depth: int = 4,
        heads: int = 12,
        mlp_ratio: float = 4.0,
        pools: tuple[bool, ...] = (False, False, True, True),
        scale: float = 0.125,
    ) -> None:
        super().__init__()
        self.patches = Patches(channels, dim, pools)
        self.rpe, self.rpe_sn = conv_bn(dim, dim), Lif()
        self.blocks = nn.Sequential(*(Block(dim, heads, mlp_ratio, scale) for _ in range(depth)))
        self.head = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of this tick, or of all ticks when the neurons run in multi-step mode."""
        x = self.patches(x)
        x = x + self.rpe_sn(self.rpe(x))
        return self.head(self.blocks(x.flatten(2)).mean(-1))
