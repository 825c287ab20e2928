"""SpikingResformer (Shi et al., CVPR 2024, arXiv 2403.14302): a ResNet of stages with dual spiking self-attention.

One tick, with SN a LIF neuron, all of it on images (B, C, H, W) and with a shortcut that carries membrane current::

    stage:      first stem or BN(Conv3x3(SN(u))) at every second place, then blocks
    block:      X = SN(u);   Y1, Y2 = BN(Conv_pxp(X)) at every p-th place, n places
                A = SN(c1 Y1^T X)    c1 = (f_X d)^-1/2      n x pixels, for each head
                u = u + BN(Conv1x1(SN(c2 Y2 A)))    c2 = (f_A n)^-1/2
                w = BN(Conv1x1(SN(u)));   w = w + BN(GroupConv3x3(SN(w)));   u = u + BN(Conv1x1(SN(w)))
    logits = Linear(mean over the image of u), without bias

f_X and f_A are firing rates for each head, averaged during training and kept: c1 and c2 are constants afterwards. Both
products have one operand of spikes and one, Y1 or Y2, of real numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import conv_bn
from .spiking import Lif


class Rate(nn.Module):
    """The running mean of what passes through, for each head of (B, heads, ...), kept in ``mean``."""

    mean: Tensor

    def __init__(self, heads: int, momentum: float = 0.999) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(heads, 1, 1))

    def scale(self, x: Tensor, size: int) -> Tensor:
        """``(rate x size)^-1/2``; in training the rate moves towards that of ``x`` first, from that of the first."""
        if self.training:
            with torch.no_grad():
                now = x.mean((0, 2, 3)).view(-1, 1, 1).clamp(min=1e-3)
                momentum = self.momentum if bool((self.mean > 0).all()) else 0.0
                self.mean.mul_(momentum).add_(now * (1 - momentum))
        return (self.mean * size) ** -0.5


class DualAttention(nn.Module):
    """Membrane current (B, C, H, W) to membrane current; ``patch`` is p, ``places`` n."""

    def __init__(self, width: int, heads: int, patch: int, places: int) -> None:
        super().__init__()
        self.heads, self.dim, self.places = heads, width // heads, places
        self.sn = Lif()
        self.down = nn.Sequential(
            nn.Conv2d(width, 2 * width, patch, patch, bias=False), nn.BatchNorm2d(2 * width)
        )
        self.rate_x, self.attn_sn = Rate(heads), Lif()
        self.rate_attn, self.out_sn = Rate(heads), Lif()
        self.proj = conv_bn(width, width, 1)

    def forward(self, u: Tensor) -> Tensor:
        """No softmax: both products are scaled by constants."""
        x, side = self.sn(u), u.shape[-1]
        y1, y2 = self.down(x).flatten(2).unflatten(1, (self.heads, -1)).chunk(2, 2)
        spikes = x.flatten(2).unflatten(1, (self.heads, -1))
        weights = self.attn_sn(y1.transpose(-2, -1) @ spikes * self.rate_x.scale(spikes, self.dim))
        out = self.out_sn(y2 @ weights * self.rate_attn.scale(weights, self.places))
        return self.proj(out.flatten(1, 2).unflatten(-1, (-1, side)))


class GroupFeed(nn.Module):
    """Membrane current (B, C, H, W) to membrane current, through a grouped convolution with a shortcut of its own."""

    def __init__(self, width: int, ratio: int, group: int) -> None:
        super().__init__()
        hidden = width * ratio
        self.sn1, self.wide = Lif(), conv_bn(width, hidden, 1)
        self.sn2, self.mix = Lif(), conv_bn(hidden, hidden, 3, groups=hidden // group)
        self.sn3, self.narrow = Lif(), conv_bn(hidden, width, 1)

    def forward(self, u: Tensor) -> Tensor:
        """Every layer is given spikes."""
        w = self.wide(self.sn1(u))
        return self.narrow(self.sn3(w + self.mix(self.sn2(w))))


class Block(nn.Module):
    """Dual attention, then the grouped feed-forward network."""

    def __init__(self, attention: DualAttention, feed: GroupFeed) -> None:
        super().__init__()
        self.attn, self.feed = attention, feed

    def forward(self, u: Tensor) -> Tensor:
        """The shortcut passes no neuron."""
        u = u + self.attn(u)
        return u + self.feed(u)


class SpikingResformer(nn.Module):
    """One tick: image (B, C, H, W) to logits (B, K); their mean over T ticks is the answer.

    ``size`` is the height and width of the image. ``stem`` 7 halves it twice, by a convolution and a maximum of
    membrane current, 3 leaves it. Stages have ``widths``, ``heads``, ``patches`` (p) and ``depths``; each but the
    first halves.
    """

    def __init__(
        self,
        channels: int = 3,
        classes: int = 10,
        size: int = 32,
        stem: int = 3,
        widths: tuple[int, ...] = (64, 192, 384),
        heads: tuple[int, ...] = (1, 3, 6),
        patches: tuple[int, ...] = (4, 2, 1),
        depths: tuple[int, ...] = (1, 2, 3),
        ratio: int = 4,
        group: int = 64,
    ) -> None:
        super().__init__()
        large = stem == 7
        first = conv_bn(channels, widths[0], stem, 2 if large else 1)
        self.stem = nn.Sequential(first, nn.MaxPool2d(3, 2, 1)) if large else first
        side, before, stages = size // 4 if large else size, widths[0], []
        for index, (width, count, patch, depth) in enumerate(
            zip(widths, heads, patches, depths, strict=True)
        ):
            if index:
                side = -(-side // 2)
                stages += [Lif(), conv_bn(before, width, 3, 2)]
            places = (side // patch) ** 2
            stages += [
                Block(DualAttention(width, count, patch, places), GroupFeed(width, ratio, group))
                for _ in range(depth)
            ]
            before = width
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(before, classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of this tick, or of all ticks when the neurons run in multi-step mode."""
        return self.head(self.stages(self.stem(x)).flatten(2).mean(-1))
