"""Spike-driven Transformer v3, E-SpikeFormer (Yao et al., TPAMI 2025, arXiv 2411.16061), the base networks.

The skeleton is that of :mod:`metaformer`, without time: SN counts, ``round(clip(x, 0, 4)) / 4`` in one tick, and a
chip sends the count as one graded spike::

    separable:            S(u) = BN(Conv1x1(SN(BN(DWConv(SN(BN(Conv1x1(SN(u)))))))))
    convolutional block:  u = u + S(u)    u = u + BN(Conv3x3(SN(BN(Conv3x3(SN(u))))))
    attention block:      u = u + S(u)    u = u + BN(Conv1x1(SN(2 d^-1/2 Q K^T V)))    u = u + MLP(u)
                          Q, K, V = SN(BN(Conv1x1(SN(u)))), V four times as wide
    logits = Linear(round(clip(mean over the image of u, 0, 4)))
"""

from __future__ import annotations

from torch import Tensor, nn

from .layers import conv_bn, merge, split
from .metaformer import Pyramid
from .spiking import Count

#: V has this many times the width of Q and K
VALUES = 4


class Separable(nn.Sequential):
    """S: membrane current to membrane current."""

    def __init__(self, width: int, kernel: int, ratio: int = 2) -> None:
        hidden = width * ratio
        super().__init__(
            Count(), conv_bn(width, hidden, 1),
            Count(), conv_bn(hidden, hidden, kernel, groups=hidden),
            Count(), conv_bn(hidden, width, 1),
        )  # fmt: skip


def feed(width: int, ratio: int, kernel: int) -> nn.Sequential:
    """Two convolutions with norms, each behind counts: membrane current to membrane current."""
    return nn.Sequential(
        Count(), conv_bn(width, width * ratio, kernel), Count(), conv_bn(width * ratio, width, kernel)
    )


class ConvBlock(nn.Module):
    """A block of the first three stages."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mixer, self.feed = Separable(width, 7), feed(width, 4, 3)

    def forward(self, u: Tensor) -> Tensor:
        """The shortcut passes no neuron."""
        u = u + self.mixer(u)
        return u + self.feed(u)


class Attention(nn.Module):
    """Membrane current (B, D, H, W) to membrane current: (Q K^T) V of counts."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, 2 * (width // heads) ** -0.5
        self.sn = Count()
        self.q_proj, self.q_sn = conv_bn(width, width, 1), Count()
        self.k_proj, self.k_sn = conv_bn(width, width, 1), Count()
        self.v_proj, self.v_sn = conv_bn(width, VALUES * width, 1), Count()
        self.attn_sn, self.proj = Count(), conv_bn(VALUES * width, width, 1)

    def forward(self, u: Tensor) -> Tensor:
        """Heads split the channels, pixels are tokens."""
        x, side = self.sn(u), u.shape[-1]
        q = split(self.q_sn(self.q_proj(x)).flatten(2), self.heads)
        k = split(self.k_sn(self.k_proj(x)).flatten(2), self.heads)
        v = split(self.v_sn(self.v_proj(x)).flatten(2), self.heads)
        mixed = merge((q @ k.transpose(-2, -1)) @ v * self.scale)
        return self.proj(self.attn_sn(mixed).unflatten(-1, (-1, side)))


class AttentionBlock(nn.Module):
    """A block of the last two stages."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.mixer, self.attn = Separable(width, 3), Attention(width, heads)
        self.feed = feed(width, mlp_ratio, 1)

    def forward(self, u: Tensor) -> Tensor:
        """The shortcut passes no neuron."""
        u = u + self.mixer(u)
        u = u + self.attn(u)
        return u + self.feed(u)


class ESpikeformer(Pyramid):
    """Image (B, C, H, W) to logits (B, K) in one tick."""

    def __init__(
        self,
        channels: int = 3,
        classes: int = 1000,
        widths: tuple[int, ...] = (32, 64, 128, 256, 360),
        strides: tuple[int, ...] = (2, 2, 2, 2, 1),
        depths: tuple[int, ...] = (1, 1, 2, 6, 2),
        first_kernel: int = 7,
        heads: int = 8,
        mlp_ratio: int = 4,
    ) -> None:
        attend = lambda width: AttentionBlock(width, heads, mlp_ratio)
        last = lambda: Count(norm=1)
        super().__init__(
            channels, classes, widths, strides, depths, first_kernel, Count, last, ConvBlock, attend
        )
