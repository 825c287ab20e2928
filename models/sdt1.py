"""Spike-driven Transformer v1 (Yao et al., NeurIPS 2023, arXiv 2307.01694): attention by masks, without products.

One tick, with SN a LIF neuron::

    x = MaxPool(SN(BN(Conv3x3(x))))  three times, widths D/8, D/4, D/2;   u = MaxPool(BN(Conv3x3(x)))
    u = u + BN(Conv3x3(SN(u)))                                            relative position
    u = u + Attention(SN(u));   u = u + BN(SN(BN(SN(u) W1)) W2)           each block
    logits = Linear(SN(mean over tokens of u))

    Attention:  Q, K, V = SN(BN(X W));   BN((Q * SN_0.5(sum over tokens of K * V)) W)

The last maximum is taken of membrane current, not of spikes.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from .layers import ATTENTION_THRESHOLD, MembraneMlp, conv_bn, halved, linear_bn
from .spiking import Lif


class Patches(nn.Module):
    """Image (B, C, H, W) to membrane current (B, D, h, w); ``pools``: which of the four stages halve the image."""

    def __init__(self, channels: int, dim: int, pools: tuple[bool, ...]) -> None:
        super().__init__()
        widths = (channels, dim // 8, dim // 4, dim // 2)
        *early, last = pools
        self.stages = nn.Sequential(
            *(
                nn.Sequential(conv_bn(a, b), Lif(), halved(p))
                for (a, b), p in zip(pairwise(widths), early, strict=True)
            )
        )
        self.last = nn.Sequential(conv_bn(widths[-1], dim), halved(last))

    def forward(self, x: Tensor) -> Tensor:
        """Maxima of spikes, but for the last."""
        return self.last(self.stages(x))


class Attention(nn.Module):
    """Spikes (B, D, N) to membrane current (B, D, N): one gate for each channel, from all tokens."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.q_proj, self.q_sn = linear_bn(dim, dim), Lif()
        self.k_proj, self.k_sn = linear_bn(dim, dim), Lif()
        self.v_proj, self.v_sn = linear_bn(dim, dim), Lif()
        self.gate_sn = Lif(v_threshold=ATTENTION_THRESHOLD)
        self.proj = linear_bn(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Heads change nothing: a gate belongs to one channel, wherever that is."""
        q, k, v = self.q_sn(self.q_proj(x)), self.k_sn(self.k_proj(x)), self.v_sn(self.v_proj(x))
        return self.proj(q * self.gate_sn((k * v).sum(-1, keepdim=True)))


class Block(nn.Module):
    """Membrane current (B, D, N) to membrane current: attention, then MLP, each read through a neuron."""

    def __init__(self, dim: int, mlp_ratio: float) -> None:
        super().__init__()
        self.attn_sn, self.attn = Lif(), Attention(dim)
        self.mlp = MembraneMlp(dim, int(dim * mlp_ratio))

    def forward(self, u: Tensor) -> Tensor:
        """The shortcut passes no neuron."""
        u = u + self.attn(self.attn_sn(u))
        return u + self.mlp(u)


class SpikeDrivenTransformer(nn.Module):
    """One tick: image (B, C, H, W) to logits (B, K); their mean over T ticks is the answer."""

    def __init__(
        self,
        channels: int = 3,
        classes: int = 10,
        dim: int = 512,
        depth: int = 2,
        mlp_ratio: float = 4.0,
        pools: tuple[bool, ...] = (False, False, True, True),
    ) -> None:
        super().__init__()
        self.patches = Patches(channels, dim, pools)
        self.rpe_sn, self.rpe = Lif(), conv_bn(dim, dim)
        self.blocks = nn.Sequential(*(Block(dim, mlp_ratio) for _ in range(depth)))
        self.head_sn, self.head = Lif(), nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of this tick, or of all ticks when the neurons run in multi-step mode."""
        u = self.patches(x)
        u = u + self.rpe(self.rpe_sn(u))
        return self.head(self.head_sn(self.blocks(u.flatten(2)).mean(-1)))
