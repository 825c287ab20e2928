"""Spikingformer (Zhou et al., 2023, arXiv 2304.11954): Spikformer with a shortcut that carries membrane current.

One tick, with SN a LIF neuron::

    u = BN(Conv3x3(image));   u = BN(Conv3x3(MaxPool(SN(u))))  four times, widths D/8 to D/4, D/2, D, D
    u = u + Attention(SN(u));   u = u + BN(SN(BN(SN(u) W1)) W2)    each block
    logits = Linear(mean over tokens of u)

Every layer but the first convolution and the head is given bits.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from .layers import MembraneMlp, SelfAttention, conv_bn, halved
from .spiking import Lif


class Tokenizer(nn.Module):
    """Image (B, C, H, W) to membrane current (B, D, h, w); ``pools``: which of the four stages halve the image."""

    def __init__(self, channels: int, dim: int, pools: tuple[bool, ...]) -> None:
        super().__init__()
        widths = (dim // 8, dim // 4, dim // 2, dim, dim)
        self.first = conv_bn(channels, widths[0])
        self.stages = nn.Sequential(
            *(
                nn.Sequential(Lif(), halved(p), conv_bn(a, b))
                for (a, b), p in zip(pairwise(widths), pools, strict=True)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maxima are taken of spikes."""
        return self.stages(self.first(x))


class Block(nn.Module):
    """Membrane current (B, D, N) to membrane current: attention, then MLP, each read through a neuron."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float, scale: float) -> None:
        super().__init__()
        self.attn_sn, self.attn = Lif(), SelfAttention(dim, heads, scale, late=True)
        self.mlp = MembraneMlp(dim, int(dim * mlp_ratio))

    def forward(self, u: Tensor) -> Tensor:
        """The shortcut passes no neuron."""
        u = u + self.attn(self.attn_sn(u))
        return u + self.mlp(u)


class Spikingformer(nn.Module):
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
        self.tokenizer = Tokenizer(channels, dim, pools)
        self.blocks = nn.Sequential(*(Block(dim, heads, mlp_ratio, scale) for _ in range(depth)))
        self.head = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of this tick, or of all ticks when the neurons run in multi-step mode."""
        return self.head(self.blocks(self.tokenizer(x).flatten(2)).mean(-1))
