"""BESTformer (Cao et al., IJCAI 2025): Spikingformer with weights of one bit, binary attention and two streams.

One tick, with SN a LIF neuron and every weight but those of the first convolution and the heads +1 or -1::

    u = BN(Conv3x3(image));   u = BN(Conv3x3(MaxPool(SN(u))))  four times;   a = b = u, the two streams
    a, b = b, Attention(b) + (a + b)/2;   a, b = b, MLP(b) + (a + b)/2       each block
    logits = (Linear(mean over tokens of a) + Linear(mean over tokens of b)) / 2

    Attention:  Q, K, V = SN(BN(X W)) of X = SN(u);   A = SN_soft(Q K^T);   BN(SN_0.5(scale A V) W)

A neuron stands between the two products, so they cannot be taken in another order. In the authors' code ``scale`` is
learned for each tick and head; here it is learned for each head and the same at all ticks, since one call is one tick.
There the second head is taught by a larger network; here both learn from the labels.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from .layers import ATTENTION_THRESHOLD, conv_bn, halved, merge, split
from .spiking import Lif


def sign(weight: Tensor, training: bool) -> Tensor:
    """+1 where a weight lies above the mean of its output channel, -1 below it, 0 at it.

    In training the gradient is that of the weight, standardised for each output channel. The mean is taken in double
    precision: in single, the sign of a weight next to it would hang on the order of a sum.
    """
    axes = tuple(range(1, weight.dim()))
    exact = weight.double()
    centred = exact - exact.mean(axes, keepdim=True)
    signs = torch.sign(centred).to(weight.dtype)
    if not training:
        return signs
    standardised = (centred / (centred.std(axes, keepdim=True) + 1e-5)).to(weight.dtype)
    return standardised + (signs - standardised).detach()


class BinaryConv2d(nn.Conv2d):
    """A convolution whose weights count by their sign alone."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W); the batch norm behind it holds the scale."""
        return functional.conv2d(x, sign(self.weight, self.training), None, self.stride, self.padding)


class BinaryConv1d(nn.Conv1d):
    """A linear layer on tokens whose weights count by their sign alone."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, N); the batch norm behind it holds the scale."""
        return functional.conv1d(x, sign(self.weight, self.training))


def binary_conv_bn(inputs: int, outputs: int) -> nn.Sequential:
    """A binary 3x3 convolution and its batch norm."""
    return nn.Sequential(BinaryConv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))


def binary_linear_bn(inputs: int, outputs: int) -> nn.Sequential:
    """A binary linear layer on tokens and its batch norm."""
    return nn.Sequential(BinaryConv1d(inputs, outputs, 1, bias=False), nn.BatchNorm1d(outputs))


class Tokenizer(nn.Module):
    """Image (B, C, H, W) to membrane current (B, D, h, w); ``pools``: which of the four stages halve the image."""

    def __init__(self, channels: int, dim: int, pools: tuple[bool, ...]) -> None:
        super().__init__()
        widths = (dim // 8, dim // 4, dim // 2, dim, dim)
        self.first = conv_bn(channels, widths[0])
        stages = zip(pairwise(widths), pools, strict=True)
        self.stages = nn.Sequential(
            *(nn.Sequential(Lif(), halved(pool), binary_conv_bn(a, b)) for (a, b), pool in stages)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maxima are taken of spikes."""
        return self.stages(self.first(x))


class Attention(nn.Module):
    """Membrane current (B, D, N) to membrane current (B, D, N)."""

    def __init__(self, dim: int, heads: int, scale: float) -> None:
        super().__init__()
        self.heads = heads
        self.sn = Lif()
        self.q_proj, self.q_sn = binary_linear_bn(dim, dim), Lif()
        self.k_proj, self.k_sn = binary_linear_bn(dim, dim), Lif()
        self.v_proj, self.v_sn = binary_linear_bn(dim, dim), Lif()
        self.map_sn, self.attn_sn = Lif(soft=True), Lif(v_threshold=ATTENTION_THRESHOLD)
        self.scale = nn.Parameter(torch.full((heads, 1, 1), scale))
        self.proj = binary_linear_bn(dim, dim)

    def forward(self, u: Tensor) -> Tensor:
        """The attention map is spikes as well."""
        x = self.sn(u)
        q = split(self.q_sn(self.q_proj(x)), self.heads)
        k = split(self.k_sn(self.k_proj(x)), self.heads)
        v = split(self.v_sn(self.v_proj(x)), self.heads)
        weights = self.map_sn(q @ k.transpose(-2, -1))
        return self.proj(self.attn_sn(merge(weights @ v * self.scale)))


class Mlp(nn.Sequential):
    """Membrane current (B, D, N) to membrane current (B, D, N)."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__(Lif(), binary_linear_bn(dim, hidden), Lif(), binary_linear_bn(hidden, dim))


class Block(nn.Module):
    """Two streams of membrane current (B, D, N) to the next two."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float, scale: float) -> None:
        super().__init__()
        self.attn, self.mlp = Attention(dim, heads, scale), Mlp(dim, int(dim * mlp_ratio))

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Each new stream is a branch of the last one and the mean of the last two."""
        a, b = b, self.attn(b) + (a + b) / 2
        return b, self.mlp(b) + (a + b) / 2


class BESTformer(nn.Module):
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
        self.blocks = nn.ModuleList(Block(dim, heads, mlp_ratio, scale) for _ in range(depth))
        self.head, self.head2 = nn.Linear(dim, classes), nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of this tick, or of all ticks when the neurons run in multi-step mode."""
        a = b = self.tokenizer(x).flatten(2)
        for block in self.blocks:
            a, b = block(a, b)
        return (self.head(a.mean(-1)) + self.head2(b.mean(-1))) / 2
