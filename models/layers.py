"""What the spiking transformers of the zoo share: one tick, images (B, C, H, W), tokens (B, D, N).

A linear layer on tokens and its batch norm are a 1x1 convolution and BatchNorm1d over (B, D, N): the arithmetic of
nn.Linear on (B, N, D), without transposes between the two.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from .spiking import Lif

#: threshold of the neuron behind a product of spikes, in Spikformer and all its relatives
ATTENTION_THRESHOLD = 0.5


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution, padded by half its kernel, and its batch norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def linear_bn(inputs: int, outputs: int) -> nn.Sequential:
    """A linear layer shared by all tokens of (B, D, N), and its batch norm."""
    return nn.Sequential(nn.Conv1d(inputs, outputs, 1, bias=False), nn.BatchNorm1d(outputs))


def halved(wanted: bool) -> nn.Module:
    """Maximum over 3x3 at every second place, or nothing; of spikes it is a spike again, an OR."""
    return nn.MaxPool2d(3, 2, 1) if wanted else nn.Identity()


def split(x: Tensor, heads: int) -> Tensor:
    """(B, D, N) to (B, heads, N, D/heads)."""
    return x.unflatten(1, (heads, -1)).transpose(-2, -1)


def merge(x: Tensor) -> Tensor:
    """(B, heads, N, D/heads) to (B, D, N)."""
    return x.transpose(-2, -1).flatten(1, 2)


def as_windows(x: Tensor, heads: int, side: int) -> Tensor:
    """(B, C, H, H) to (B, windows, heads, tokens of a window, C / heads), windows of ``side`` x ``side``."""
    count = x.shape[-1] // side
    x = x.reshape(-1, heads, x.shape[1] // heads, count, side, count, side)
    return x.permute(0, 3, 5, 1, 4, 6, 2).reshape(-1, count * count, heads, side * side, x.shape[2])


def from_windows(x: Tensor, size: int) -> Tensor:
    """What :func:`as_windows` took apart, of an image with ``size`` columns."""
    heads, side, width = x.shape[2], math.isqrt(x.shape[3]), x.shape[4]
    count = size // side
    x = x.reshape(-1, count, count, heads, side, side, width)
    return x.permute(0, 3, 6, 1, 4, 2, 5).reshape(-1, heads * width, size, size)


class SelfAttention(nn.Module):
    """Spiking self-attention (Spikformer, ICLR 2023): spikes (B, D, N) to membrane current (B, D, N).

    ``Q, K, V = LIF(BN(X W));  BN(LIF_0.5(scale Q K^T V) W)``; ``late`` multiplies Q (K^T V), which is the same.
    """

    def __init__(self, dim: int, heads: int, scale: float, late: bool = False) -> None:
        super().__init__()
        self.heads, self.scale, self.late = heads, scale, late
        self.q_proj, self.q_sn = linear_bn(dim, dim), Lif()
        self.k_proj, self.k_sn = linear_bn(dim, dim), Lif()
        self.v_proj, self.v_sn = linear_bn(dim, dim), Lif()
        self.attn_sn = Lif(v_threshold=ATTENTION_THRESHOLD)
        self.proj = linear_bn(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """No softmax: counts of coinciding spikes, scaled."""
        q = split(self.q_sn(self.q_proj(x)), self.heads)
        k = split(self.k_sn(self.k_proj(x)), self.heads)
        v = split(self.v_sn(self.v_proj(x)), self.heads)
        mixed = q @ (k.transpose(-2, -1) @ v) if self.late else (q @ k.transpose(-2, -1)) @ v
        return self.proj(self.attn_sn(merge(mixed * self.scale)))


class SpikeMlp(nn.Module):
    """``LIF(BN(LIF(BN(X W1)) W2))``: (B, D, N) to spikes, for shortcuts that carry spikes."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.sn1 = linear_bn(dim, hidden), Lif()
        self.fc2, self.sn2 = linear_bn(hidden, dim), Lif()

    def forward(self, x: Tensor) -> Tensor:
        """The first layer may be given small integers instead of spikes."""
        return self.sn2(self.fc2(self.sn1(self.fc1(x))))


class MembraneMlp(nn.Module):
    """``BN(LIF(BN(LIF(U) W1)) W2)``: (B, D, N) to membrane current, for shortcuts that carry membrane current."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.sn1, self.fc1 = Lif(), linear_bn(dim, hidden)
        self.sn2, self.fc2 = Lif(), linear_bn(hidden, dim)

    def forward(self, u: Tensor) -> Tensor:
        """Every layer is given spikes."""
        return self.fc2(self.sn2(self.fc1(self.sn1(u))))
