"""BHViT (Gao et al., CVPR 2025): a hybrid of convolutions and attention whose weights and activations are one bit each.

With b(x) = sign(x + move), W a weight of alpha sign(w - mean w), R(x) = PReLU(x - m1) + m2, and BN for every norm::

    x = GELU(BN(Conv(image))) + position;   between stages x = BN(W b(BN(x))) + mean of 2x2, joined to twice the width
    early: x = x + BN(sum over dilations 1, 3, 5 of R(W b(BN(x))))             grouped 3x3 convolutions
    late:  x = x + W b(o);  o = R(BN(P V) + Q + K + V);   Q, K, V = R(BN(W b(BN(x))) + BN(x))
    all:   x = x + MLP(BN(x));   logits = Linear(mean(BN(x)))

Attention is between the tokens of a window, and from them to a pooled image of the whole (a learned mix of mean and
maximum). Its rows p = softmax(q.k / sqrt d) of binary q, k become three binary masks that no place shares::

    P = alpha (T0 + a2 T1 + a3 T2):  T2 = [p > 0.9 max p],  T1 = [p > 0.7 max p] - T2,  T0 = [p > alpha/2], else

MLP: h = R(BN(W b(x)) + (x, .., x)), y = R(BN(W b(h)) + mean of h's parts), each scaled and shifted by channel, beside
three more terms: x moved by one place up and down, left and right, and by a quarter of the channels. The published code
binarises the context of windows that it merges by a learned mix; here windows are put side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .bestformer import sign
from .layers import as_windows, from_windows
from .spiking import Sign, Step

DILATIONS = (1, 3, 5)
UPPER, MIDDLE = 0.9, 0.7


class Moved(nn.Module):
    """``x + b``, b of each channel of (B, C, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W)."""
        return x + self.bias


class Scaled(nn.Module):
    """``a x + b`` by channel (LayerScale)."""

    def __init__(self, width: int, first: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.full((width, 1, 1), first))
        self.bias = nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W)."""
        return x * self.gain + self.bias


def binarised(width: int) -> nn.Sequential:
    """``sign(x + move)``."""
    return nn.Sequential(Moved(width), Sign())


def bent(width: int) -> nn.Sequential:
    """``PReLU(x - m1) + m2``."""
    return nn.Sequential(Moved(width), nn.PReLU(width), Moved(width))


class Binary(nn.Conv2d):
    """A convolution with weights of alpha sign(w - mean w), alpha the mean of |w| for each output channel."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W)."""
        alpha = self.weight.abs().mean((1, 2, 3), keepdim=True)
        weight = alpha * sign(self.weight, self.training)
        return functional.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Layer(nn.Sequential):
    """``BN(W sign(x + move))``."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__(binarised(inputs), Binary(inputs, outputs, kernel, stride), nn.BatchNorm2d(outputs))


class Convolutions(nn.Module):
    """The mixer of early stages."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                binarised(width), Binary(width, width, 3, 1, d, d, groups), bent(width)
            ) for d in DILATIONS
        )  # fmt: skip
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W)."""
        return self.norm(self.branches[0](x) + self.branches[1](x) + self.branches[2](x))


class Masks(nn.Module):
    """Rows of a softmax as three binary masks; see the head of the file."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(2.0 / columns))
        self.second, self.third = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor(3.0))
        self.above, self.apart = Step(), Step(0.5)

    def forward(self, p: Tensor, v: Tensor) -> Tensor:
        """P v of rows p (..., N, M) and values v (..., M, d)."""
        top = p.amax(-1, keepdim=True)
        upper, middle, low = (self.above(p - bar) for bar in (UPPER * top, MIDDLE * top, self.alpha / 2))
        masks = (self.apart(low - middle), self.apart(middle - upper), upper)
        factors = (self.alpha, self.alpha * self.second, self.alpha * self.third)
        if self.training:  # p itself carries the gradient
            rows = sum(f * mask.detach() for f, mask in zip(factors, masks, strict=True))
            return (rows + p - p.detach()) @ v
        first, second, third = (f * (mask @ v) for f, mask in zip(factors, masks, strict=True))
        return first + second + third


class Attention(nn.Module):
    """The mixer of late stages: (B, C, H, W) to the same, in windows of ``window`` x ``window`` tokens."""

    def __init__(self, width: int, heads: int, window: int, pool: int, size: int) -> None:
        super().__init__()
        self.heads, self.window, self.pool, self.tokens = heads, window, pool, (size // pool) ** 2
        self.project, self.bends = (
            nn.ModuleList(make(width) for _ in range(3)) for make in (lambda n: Layer(n, n), bent)
        )
        self.signs = nn.ModuleList(binarised(width) for _ in range(3))
        self.mix = nn.Parameter(torch.full((width, 1, 1), 0.5))
        self.masks = Masks(window * window + self.tokens)
        self.norm, self.bend = nn.BatchNorm2d(width), bent(width)
        self.out = nn.Sequential(binarised(width), Binary(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Queries are the tokens of a window; keys and values these and those of the pooled image."""
        size = x.shape[-1]
        q, k, v = (bend(layer(x) + x) for layer, bend in zip(self.project, self.bends, strict=True))
        q_b, k_b, v_b = (binary(part) for binary, part in zip(self.signs, (q, k, v), strict=True))
        pooled = self._pooled(x)
        k_p, v_p = (self.signs[i](self.bends[i](self.project[i](pooled) + pooled)) for i in (1, 2))
        keys, values = (
            torch.cat((as_windows(near, self.heads, self.window), self._whole(far, size)), -2)
            for near, far in ((k_b, k_p), (v_b, v_p))
        )
        queries = as_windows(q_b, self.heads, self.window)
        scores = queries @ keys.transpose(-2, -1) * queries.shape[-1] ** -0.5
        context = from_windows(self.masks(scores.softmax(-1), values), size)
        return self.out(self.bend(self.norm(context) + q + k + v))

    def _pooled(self, x: Tensor) -> Tensor:
        mean, most = functional.avg_pool2d(x, self.pool), functional.max_pool2d(x, self.pool)
        return most + self.mix * (mean - most)

    def _whole(self, x: Tensor, size: int) -> Tensor:
        """(B, C, h, w) to (B, windows, heads, h w, C / heads), the same for every window."""
        x = x.reshape(-1, 1, self.heads, x.shape[1] // self.heads, self.tokens).transpose(-2, -1)
        return x.expand(-1, (size // self.window) ** 2, -1, -1, -1)


class Mlp(nn.Module):
    """(B, C, H, W) to the same."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio
        self.up, self.bend_up = Layer(width, width * ratio), bent(width * ratio)
        self.down, self.bend_down = Layer(width * ratio, width), bent(width)
        self.scales = nn.ModuleList(Scaled(width, first) for first in (1.0, 0.1, 0.1, 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Wide, narrow again, and what stands beside a token."""
        hidden = self.bend_up(self.up(x) + torch.cat([x] * self.ratio, 1))
        y = self.bend_down(self.down(hidden) + hidden.unflatten(1, (self.ratio, -1)).mean(1))
        rows, columns = ((x.roll(1, d) + x.roll(-1, d)) / 2 for d in (2, 3))
        shifted = x.roll(x.shape[1] // 4, 1)
        parts = [scale(part) for scale, part in zip(self.scales, (y, rows, columns, shifted), strict=True)]
        return parts[0] + parts[1] + parts[2] + parts[3]


class Block(nn.Module):
    """A mixer and an MLP, each behind its norm and beside its shortcut."""

    def __init__(self, width: int, mixer: nn.Module, ratio: int) -> None:
        super().__init__()
        self.norm1, self.mixer = nn.BatchNorm2d(width), mixer
        self.norm2, self.mlp = nn.BatchNorm2d(width), Mlp(width, ratio)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        x = x + self.mixer(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Merge(nn.Module):
    """Half as many rows and columns, another width, a whole multiple of the one before."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm, self.layer, self.copies = (
            nn.BatchNorm2d(inputs),
            Layer(inputs, outputs, 2, 2),
            outputs // inputs,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, D, H/2, W/2)."""
        return self.layer(self.norm(x)) + torch.cat([functional.avg_pool2d(x, 2)] * self.copies, 1)


class BHViT(nn.Module):
    """Image (B, C, H, W) to logits (B, K); ``heads`` of a stage is 0 where its mixer is of convolutions."""

    def __init__(
        self,
        image_size: int = 224,
        patch: int = 4,
        channels: int = 3,
        classes: int = 1000,
        widths: Sequence[int] = (64, 128, 256, 512),
        depths: Sequence[int] = (3, 4, 8, 4),
        heads: Sequence[int] = (0, 0, 4, 8),
        ratios: Sequence[int] = (8, 8, 4, 4),
        window: int = 7,
        pools: Sequence[int] = (0, 0, 2, 1),
        groups: int = 4,
    ) -> None:
        super().__init__()
        size, inputs = image_size // patch, widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(channels, inputs, patch, patch), nn.BatchNorm2d(inputs), nn.GELU()
        )
        self.position = nn.Parameter(torch.zeros(1, inputs, size, size))
        nn.init.trunc_normal_(self.position, std=0.02)
        stages: list[nn.Module] = []
        for index, width in enumerate(widths):
            if index:
                stages, size = [*stages, Merge(inputs, width)], size // 2
            for _ in range(depths[index]):
                late = heads[index] > 0
                mixer = (
                    Attention(width, heads[index], window, pools[index], size)
                    if late
                    else Convolutions(width, groups)
                )
                stages.append(Block(width, mixer, ratios[index]))
            inputs = width
        self.stages, self.norm = nn.Sequential(*stages), nn.BatchNorm2d(inputs)
        self.head = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Stem, stages, norm, mean, head."""
        x = self.stages(self.stem(x) + self.position)
        return self.head(self.norm(x).mean((2, 3)))
