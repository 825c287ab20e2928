"""SAFormer, "Spike Aggregation Transformer" (Zhang et al., arXiv 2412.13553), as we read it.

The text that is public says what this is, not how: attention weights from spikes of queries and keys alone, without
values, and a depthwise convolution for what such weights miss. Everything below that is our definition. One tick, with
SN a LIF neuron; patches and shortcut are those of Spike-driven Transformer v1::

    Q, K = SN(BN(X W)) of X = SN(u)
    g = SN_0.5(sum of Q over ``aggregate``)     "channel": a gate per token and head, "token": a gate per channel
    Z = g * K;   C = SN(BN(DWConv(K)))          of Z instead with ``local = "gated"``
    u = u + BN((Z + C) W);   u = u + BN(SN(BN(SN(u) W1)) W2)
    logits = Linear(SN(mean over tokens of u))

Z + C is 0, 1 or 2; with ``merge = "or"`` it is at most 1, Z + C - Z * C.
"""

from __future__ import annotations

from torch import Tensor, nn

from .layers import ATTENTION_THRESHOLD, MembraneMlp, conv_bn, linear_bn
from .sdt1 import Patches
from .spiking import Lif


class Attention(nn.Module):
    """Spikes (B, D, N) to membrane current (B, D, N)."""

    def __init__(self, dim: int, heads: int, aggregate: str, local: str, merge: str, kernel: int) -> None:
        super().__init__()
        for value, known in (
            (aggregate, ("channel", "token")),
            (local, ("keys", "gated")),
            (merge, ("add", "or")),
        ):
            if value not in known:
                raise ValueError(f"{value!r} is none of {', '.join(known)}")
        self.heads = heads
        self.axis, self.gated, self.either = (
            2 if aggregate == "channel" else 3,
            local == "gated",
            merge == "or",
        )
        self.q_proj, self.q_sn = linear_bn(dim, dim), Lif()
        self.k_proj, self.k_sn = linear_bn(dim, dim), Lif()
        self.gate_sn = Lif(v_threshold=ATTENTION_THRESHOLD)
        self.local, self.local_sn = conv_bn(dim, dim, kernel, groups=dim), Lif()
        self.proj = linear_bn(dim, dim)

    def forward(self, x: Tensor, side: int) -> Tensor:
        """Sums, masks and a depthwise convolution of an image with ``side`` columns: no product of matrices."""
        q = self.q_sn(self.q_proj(x)).unflatten(1, (self.heads, -1))
        k = self.k_sn(self.k_proj(x))
        gate = self.gate_sn(q.sum(self.axis, keepdim=True))
        z = (gate * k.unflatten(1, (self.heads, -1))).flatten(1, 2)
        near = (z if self.gated else k).unflatten(-1, (-1, side))
        c = self.local_sn(self.local(near)).flatten(2)
        return self.proj(z + c - z * c if self.either else z + c)


class Block(nn.Module):
    """Membrane current (B, D, N) to membrane current: attention, then MLP, each read through a neuron."""

    def __init__(self, dim: int, mlp_ratio: float, attention: Attention) -> None:
        super().__init__()
        self.attn_sn, self.attn = Lif(), attention
        self.mlp = MembraneMlp(dim, int(dim * mlp_ratio))

    def forward(self, u: Tensor, side: int) -> Tensor:
        """The shortcut passes no neuron."""
        u = u + self.attn(self.attn_sn(u), side)
        return u + self.mlp(u)


class SAFormer(nn.Module):
    """One tick: image (B, C, H, W) to logits (B, K); their mean over T ticks is the answer.

    Raises ValueError for an unknown ``aggregate``, ``local`` or ``merge``.
    """

    def __init__(
        self,
        channels: int = 3,
        classes: int = 10,
        dim: int = 384,
        depth: int = 4,
        heads: int = 12,
        mlp_ratio: float = 4.0,
        pools: tuple[bool, ...] = (False, False, True, True),
        aggregate: str = "channel",
        local: str = "keys",
        merge: str = "add",
        kernel: int = 3,
    ) -> None:
        super().__init__()
        self.patches = Patches(channels, dim, pools)
        attention = lambda: Attention(dim, heads, aggregate, local, merge, kernel)
        self.blocks = nn.ModuleList(Block(dim, mlp_ratio, attention()) for _ in range(depth))
        self.head_sn, self.head = Lif(), nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of this tick, or of all ticks when the neurons run in multi-step mode."""
        u = self.patches(x)
        side, u = u.shape[-1], u.flatten(2)
        for block in self.blocks:
            u = block(u, side)
        return self.head(self.head_sn(u.mean(-1)))
