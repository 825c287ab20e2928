"""QKFormer (Zhou et al., NeurIPS 2024, arXiv 2403.16552): gates from queries in two stages, self-attention in a third.

One tick, with SN a LIF neuron; maxima are taken of membrane current, before the neuron::

    first patches:  a = SN(Pool(BN(Conv3x3(image))));   x = SN(BN(Conv3x3(SN(Pool(BN(Conv3x3(a)))))))
                    x = x + SN(BN(Conv1x1(a)))
    later patches:  x = SN(BN(Conv3x3(SN(Pool(BN(Conv3x3(x))))))) + SN(BN(Conv1x1(x)))
    stages 1, 2:    x = x + SN(BN((SN_0.5(sum over the head's channels of Q) * K) W))    Q, K = SN(BN(X W))
    stage 3:        x = x + SN(Attention(x))    (Spikformer's)
    every block:    x = x + SN(BN(SN(BN(x W1)) W2))
    logits = Linear(mean over tokens of x)

The shortcut carries whole numbers, as Spikformer's does.
"""

from __future__ import annotations

from torch import Tensor, nn

from .layers import ATTENTION_THRESHOLD, SelfAttention, SpikeMlp, conv_bn, halved, linear_bn
from .spiking import Lif


class Patches(nn.Module):
    """(B, C, H, W) to whole numbers (B, D, h, w): two convolutions and a shortcut of one, halved where ``pool``."""

    def __init__(self, inputs: int, outputs: int, pool: bool) -> None:
        super().__init__()
        self.conv1, self.pool, self.sn1 = conv_bn(inputs, outputs), halved(pool), Lif()
        self.conv2, self.sn2 = conv_bn(outputs, outputs), Lif()
        self.short, self.short_sn = conv_bn(inputs, outputs, 1, 2 if pool else 1), Lif()

    def forward(self, x: Tensor) -> Tensor:
        """Spikes of both ways, added."""
        return self.sn2(self.conv2(self.sn1(self.pool(self.conv1(x))))) + self.short_sn(self.short(x))


class FirstPatches(nn.Module):
    """The image (B, C, H, W), through half the width, to whole numbers (B, D, h, w)."""

    def __init__(self, channels: int, width: int, pools: tuple[bool, ...]) -> None:
        super().__init__()
        first, second = pools
        self.conv, self.pool, self.sn = conv_bn(channels, width // 2), halved(first), Lif()
        self.patches = Patches(width // 2, width, second)

    def forward(self, x: Tensor) -> Tensor:
        """The shortcut begins behind the first neuron."""
        return self.patches(self.sn(self.pool(self.conv(x))))


class TokenAttention(nn.Module):
    """Whole numbers (B, D, N) to membrane current (B, D, N): a gate for each token and head, from its queries."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.q_sn = linear_bn(dim, dim), Lif()
        self.k_proj, self.k_sn = linear_bn(dim, dim), Lif()
        self.gate_sn, self.proj = Lif(v_threshold=ATTENTION_THRESHOLD), linear_bn(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Linear in the number of tokens."""
        q = self.q_sn(self.q_proj(x)).unflatten(1, (self.heads, -1))
        k = self.k_sn(self.k_proj(x)).unflatten(1, (self.heads, -1))
        return self.proj((self.gate_sn(q.sum(2, keepdim=True)) * k).flatten(1, 2))


class Block(nn.Module):
    """Whole numbers (B, D, N) to larger ones: what each branch adds is a spike."""

    def __init__(self, dim: int, attention: nn.Module, mlp_ratio: float) -> None:
        super().__init__()
        self.attn, self.attn_sn = attention, Lif()
        self.mlp = SpikeMlp(dim, int(dim * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        """Attention, then MLP."""
        x = x + self.attn_sn(self.attn(x))
        return x + self.mlp(x)


class Stage(nn.Module):
    """Patches, then blocks on their tokens: images in, images out."""

    def __init__(self, patches: nn.Module, blocks: list[Block]) -> None:
        super().__init__()
        self.patches, self.blocks = patches, nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, D, h, w)."""
        x = self.patches(x)
        return self.blocks(x.flatten(2)).unflatten(-1, (-1, x.shape[-1]))


class QKFormer(nn.Module):
    """One tick: image (B, C, H, W) to logits (B, K); their mean over T ticks is the answer.

    Stages are D/4, D/2 and D wide. ``pools`` are the two of the first patches; later patches always halve.
    """

    def __init__(
        self,
        channels: int = 3,
        classes: int = 10,
        dim: int = 384,
        depths: tuple[int, ...] = (1, 1, 2),
        heads: int = 8,
        mlp_ratio: float = 4.0,
        pools: tuple[bool, ...] = (False, True),
        scale: float = 0.125,
    ) -> None:
        super().__init__()
        widths = (dim // 4, dim // 2, dim)
        patches = (
            FirstPatches(channels, widths[0], pools), Patches(widths[0], widths[1], True),
            Patches(widths[1], widths[2], True),
        )  # fmt: skip
        gates = lambda width: TokenAttention(width, heads)
        full = lambda width: SelfAttention(width, heads, scale, late=True)
        kinds = zip(widths, patches, depths, (gates, gates, full), strict=True)
        self.stages = nn.Sequential(
            *(
                Stage(patch, [Block(width, attention(width), mlp_ratio) for _ in range(depth)])
                for width, patch, depth, attention in kinds
            )
        )
        self.head = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of this tick, or of all ticks when the neurons run in multi-step mode."""
        return self.head(self.stages(x).flatten(2).mean(-1))
