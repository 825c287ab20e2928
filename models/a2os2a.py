"""A2OS2A, the "Spiking Transformer" with an addition-only accurate spiking self-attention (arXiv 2503.00226).

One tick, with SN a spiking neuron, u and U membrane currents (never spikes), and a membrane shortcut::

    s_1 = MaxPool(SN(BN(Conv3x3(I))))         u = BN(Conv3x3(s_1))            s = SN(u)
    U_0 = u + BN(Conv3x3(s))                                                  S_0 = SN(U_0)
    U'_l = U_{l-1} + Attention(S_{l-1})       S'_l = SN(U'_l)
    U_l  = U'_l + MLP(S'_l)                   S_l  = SN(U_l)
    logits = Linear(mean over tokens of S_L)

    Attention:  Q = SN_binary(BN(X W_Q))   K = ReLU(BN(X W_K))   V = SN_ternary(BN(X W_V))
                BN(W_O SN(Q K^T V))        no softmax and no scale: additions and subtractions only

No author code is public. Whether SN stands around the product and whether a projection follows could not be
established: both are flags (``attn_out_sn``, ``attn_proj``). Linear-BN on tokens is written as a 1x1
convolution and BatchNorm1d over (B, D, N), the same arithmetic without transposes between the two.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from .layers import conv_bn, linear_bn, merge, split
from .spiking import BinaryLif, GradedReLU, TernaryLif


class PatchSplitting(nn.Module):
    """Image (B, C, H, W) to membrane current (B, D, H/2^k, W/2^k): one halving per stage, with ``halve`` the last too.

    That one takes maxima of membrane current, as Spike-driven Transformer does.
    """

    def __init__(self, channels: int, stages: tuple[int, ...], lif: dict[str, float], halve: bool) -> None:
        super().__init__()
        sizes = (channels, *stages)
        self.stages = nn.ModuleList(
            nn.Sequential(conv_bn(a, b), BinaryLif(**lif), nn.MaxPool2d(2)) for a, b in pairwise(sizes[:-1])
        )
        self.last = conv_bn(sizes[-2], sizes[-1])
        self.pool = nn.MaxPool2d(2) if halve else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """The maximum over a window of spikes is a spike again: an OR."""
        for stage in self.stages:
            x = stage(x)
        return self.pool(self.last(x))


class Attention(nn.Module):
    """Spikes (B, D, N) to the membrane current of the attention branch (B, D, N)."""

    def __init__(
        self,
        dim: int,
        heads: int,
        lif: dict[str, float],
        attn_threshold: float,
        attn_out_sn: bool,
        attn_proj: bool,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.q_sn = linear_bn(dim, dim), BinaryLif(**lif)
        self.k_proj, self.k_relu = linear_bn(dim, dim), GradedReLU()
        self.v_proj, self.v_sn = linear_bn(dim, dim), TernaryLif(**lif)
        out = {**lif, "v_threshold": attn_threshold}
        self.out_sn = BinaryLif(**out) if attn_out_sn else nn.Identity()
        self.out_proj = linear_bn(dim, dim) if attn_proj else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Two products of streams of the same tick, then neuron and projection."""
        q = split(self.q_sn(self.q_proj(x)), self.heads)
        k = split(self.k_relu(self.k_proj(x)), self.heads)
        v = split(self.v_sn(self.v_proj(x)), self.heads)
        return self.out_proj(self.out_sn(merge((q @ k.transpose(-2, -1)) @ v)))


class Block(nn.Module):
    """Membrane current (B, D, N) to membrane current: attention, then MLP, each read through a neuron."""

    def __init__(
        self,
        dim: int,
        heads: int,
        mlp_ratio: float,
        lif: dict[str, float],
        attn_threshold: float,
        attn_out_sn: bool,
        attn_proj: bool,
    ) -> None:
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.attn_sn = BinaryLif(**lif)
        self.attn = Attention(dim, heads, lif, attn_threshold, attn_out_sn, attn_proj)
        self.mlp_sn = BinaryLif(**lif)
        self.fc1, self.fc1_sn = linear_bn(dim, hidden), BinaryLif(**lif)
        self.fc2 = linear_bn(hidden, dim)

    def forward(self, u: Tensor) -> Tensor:
        """The shortcut carries membrane current: it passes no neuron from the first block to the last."""
        u = u + self.attn(self.attn_sn(u))
        return u + self.fc2(self.fc1_sn(self.fc1(self.mlp_sn(u))))


class SpikingTransformer(nn.Module):
    """One tick: image (B, C, H, W) to logits (B, K); their mean over T ticks is the answer.

    ``stages`` are the channels of the patch splitting convolutions, the last one the token dimension; every stage but
    the last halves the image, and the last too with ``halve_last``. ``v_threshold``, ``beta`` and ``v_reset`` hold for
    every LIF but the one around the attention product, whose threshold is ``attn_threshold``.
    """

    def __init__(
        self,
        channels: int = 1,
        classes: int = 10,
        stages: tuple[int, ...] = (32, 64),
        halve_last: bool = False,
        depth: int = 2,
        heads: int = 4,
        mlp_ratio: float = 4.0,
        v_threshold: float = 0.5,
        beta: float = 0.25,
        v_reset: float = 0.0,
        attn_threshold: float = 0.5,
        attn_out_sn: bool = True,
        attn_proj: bool = True,
    ) -> None:
        super().__init__()
        lif = {"v_threshold": v_threshold, "beta": beta, "v_reset": v_reset}
        dim = stages[-1]
        self.patch = PatchSplitting(channels, tuple(stages), lif, halve_last)
        self.rpe_sn, self.rpe = BinaryLif(**lif), conv_bn(dim, dim)
        self.blocks = nn.ModuleList(
            Block(dim, heads, mlp_ratio, lif, attn_threshold, attn_out_sn, attn_proj) for _ in range(depth)
        )
        self.head_sn = BinaryLif(**lif)
        self.head = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of this tick, or of all ticks when the neurons run in multi-step mode."""
        u = self.patch(x)
        u = u + self.rpe(self.rpe_sn(u))
        u = u.flatten(2)
        for block in self.blocks:
            u = block(u)
        return self.head(self.head_sn(u).mean(-1))
