"""Spike-driven Transformer v2, Meta-SpikeFormer (Yao et al., ICLR 2024, arXiv 2404.03663).

The skeleton is that of :mod:`metaformer`. With SN a LIF neuron, all of it on images::

    convolutional block:  u = u + BN(Conv1x1(DWConv7x7(SN(BN(Conv1x1(SN(u)))))))
                          u = u + BN(Conv3x3(SN(BN(Conv3x3(SN(u))))))
    attention block:      u = u + R(SN_0.5(scale Q (K^T V)))    Q, K, V = SN(R(SN(u)))
                          u = u + BN(Conv1x1(SN(BN(Conv1x1(SN(u))))))

R is a chain of convolutions that is one 3x3 convolution once trained. Between DWConv7x7 and Conv1x1 stands no neuron.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from .layers import ATTENTION_THRESHOLD, conv_bn, merge, split
from .metaformer import Pyramid
from .spiking import Lif


class PaddedNorm(nn.BatchNorm2d):
    """Batch norm and a border of one pixel that holds what the norm makes of zero."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H + 2, W + 2): as if the input had been padded with zeros."""
        y = super().forward(x)
        zero = self.bias - self.running_mean * self.weight / (self.running_var + self.eps).sqrt()
        zero = zero.view(1, -1, 1, 1)
        return functional.pad(y - zero, (1, 1, 1, 1)) + zero


def rep_conv(width: int) -> nn.Sequential:
    """1x1, norm with its border, depthwise 3x3, 1x1, norm: a 3x3 convolution and its batch norm in the end."""
    return nn.Sequential(
        nn.Conv2d(width, width, 1, bias=False),
        PaddedNorm(width),
        nn.Conv2d(width, width, 3, groups=width, bias=False),
        nn.Conv2d(width, width, 1, bias=False),
        nn.BatchNorm2d(width),
    )


class SeparableConv(nn.Module):
    """``BN(Conv1x1(DWConv7x7(SN(BN(Conv1x1(SN(u)))))))``: membrane current to membrane current."""

    def __init__(self, width: int, kernel: int = 7, ratio: int = 2) -> None:
        super().__init__()
        hidden = width * ratio
        self.sn1, self.wide = Lif(), conv_bn(width, hidden, 1)
        self.sn2 = Lif()
        self.depthwise = nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden, bias=False)
        self.narrow = conv_bn(hidden, width, 1)

    def forward(self, u: Tensor) -> Tensor:
        """The last layer is given real numbers: no neuron stands before it."""
        return self.narrow(self.depthwise(self.sn2(self.wide(self.sn1(u)))))


def feed(width: int, ratio: int, kernel: int) -> nn.Sequential:
    """Two convolutions with norms, each behind a neuron: membrane current to membrane current."""
    return nn.Sequential(
        Lif(), conv_bn(width, width * ratio, kernel), Lif(), conv_bn(width * ratio, width, kernel)
    )


class ConvBlock(nn.Module):
    """A block of the first three stages."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mixer, self.feed = SeparableConv(width), feed(width, 4, 3)

    def forward(self, u: Tensor) -> Tensor:
        """The shortcut passes no neuron."""
        u = u + self.mixer(u)
        return u + self.feed(u)


class Attention(nn.Module):
    """Membrane current (B, D, H, W) to membrane current: Q (K^T V) of spikes."""

    def __init__(self, width: int, heads: int, scale: float) -> None:
        super().__init__()
        self.heads, self.scale = heads, scale
        self.sn = Lif()
        self.q_proj, self.q_sn = rep_conv(width), Lif()
        self.k_proj, self.k_sn = rep_conv(width), Lif()
        self.v_proj, self.v_sn = rep_conv(width), Lif()
        self.attn_sn, self.proj = Lif(v_threshold=ATTENTION_THRESHOLD), rep_conv(width)

    def forward(self, u: Tensor) -> Tensor:
        """Heads split the channels, pixels are tokens."""
        x, side = self.sn(u), u.shape[-1]
        q = split(self.q_sn(self.q_proj(x)).flatten(2), self.heads)
        k = split(self.k_sn(self.k_proj(x)).flatten(2), self.heads)
        v = split(self.v_sn(self.v_proj(x)).flatten(2), self.heads)
        mixed = merge(q @ (k.transpose(-2, -1) @ v) * self.scale)
        return self.proj(self.attn_sn(mixed).unflatten(-1, (-1, side)))


class AttentionBlock(nn.Module):
    """A block of the last two stages."""

    def __init__(self, width: int, heads: int, scale: float, mlp_ratio: int) -> None:
        super().__init__()
        self.attn, self.feed = Attention(width, heads, scale), feed(width, mlp_ratio, 1)

    def forward(self, u: Tensor) -> Tensor:
        """The shortcut passes no neuron."""
        u = u + self.attn(u)
        return u + self.feed(u)


class MetaSpikeformer(Pyramid):
    """One tick: image (B, C, H, W) to logits (B, K); their mean over T ticks is the answer."""

    def __init__(
        self,
        channels: int = 3,
        classes: int = 1000,
        widths: tuple[int, ...] = (64, 128, 256, 512, 640),
        strides: tuple[int, ...] = (2, 2, 2, 2, 1),
        depths: tuple[int, ...] = (1, 1, 2, 6, 2),
        first_kernel: int = 7,
        heads: int = 8,
        mlp_ratio: int = 4,
        scale: float = 0.125,
    ) -> None:
        attend = lambda width: AttentionBlock(width, heads, scale, mlp_ratio)
        super().__init__(
            channels, classes, widths, strides, depths, first_kernel, Lif, Lif, ConvBlock, attend
        )
