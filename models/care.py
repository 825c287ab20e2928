"""CARE Transformer (Zhou et al., CVPR 2025): linear attention and depthwise convolutions side by side; no neurons.

Images x (B, C, H, W), of whose C = m + 3g channels m are memory, and a, b, c have g each::

    x = BN(Conv(image)), again between stages;   (m, a, b, c) = x
    a = DW_1k(a) + DW_k1(a)                          in the first stages
    a = (V phi(K)^T / n) phi(Q) / max(mean phi(K) . phi(Q), 0.01)     in the last ones: Q, K = Conv1x1(a), V = a
    f = (a, DW_3(b), DW_7(c));   f = f + W DW_3 GELU W BN f;   y = (m, f);   y = y + W DW_3 GELU W BN y
    x = x + gamma y;   the very last y is DW_3 GELU W BN y alone
    logits = (Linear + Linear)(LN(GELU(mean of y))) / 2

phi is ELU + 1. The division is by a number of each token. The two heads of training are averaged, which is one layer.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, cat, full, nn
from torch.nn import functional

EPSILON = 1e-6
#: what the divisor of attention is held above
FLOOR = 0.01


def depthwise(width: int, kernel: int | tuple[int, int]) -> nn.Conv2d:
    """A kernel for each channel; the image keeps its size."""
    return nn.Conv2d(width, width, kernel, padding="same", groups=width)


class Interaction(nn.Sequential):
    """``W DW_3 GELU W BN x``: (B, C, H, W) to the same, or to the hidden width where it is ``open``."""

    def __init__(self, width: int, hidden: int, open_: bool = False) -> None:
        parts: list[nn.Module] = [
            nn.BatchNorm2d(width),
            nn.Conv2d(width, hidden, 1),
            nn.GELU(),
            depthwise(hidden, 3),
        ]
        super().__init__(*parts, *([] if open_ else [nn.Conv2d(hidden, width, 1)]))


class LinearAttention(nn.Module):
    """(B, g, H, W) to the same; values are the input itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qk = nn.Conv2d(width, 2 * width, 1)

    def forward(self, a: Tensor) -> Tensor:
        """Rows are tokens: cost grows with their number, not with its square."""
        q, k = (functional.elu(part) + 1.0 for part in self.qk(a).flatten(2).chunk(2, dim=1))
        v = a.flatten(2)
        mixed = (v @ k.transpose(1, 2)) / k.shape[-1] @ q
        total = k.mean(-1, keepdim=True).transpose(1, 2) @ q
        return (mixed / total.clamp(min=FLOOR)).unflatten(-1, a.shape[-2:])


class Strips(nn.Module):
    """``DW_1k(a) + DW_k1(a)``."""

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.across, self.along = depthwise(width, (1, length)), depthwise(width, (length, 1))

    def forward(self, a: Tensor) -> Tensor:
        """(B, g, H, W) to the same."""
        return self.across(a) + self.along(a)


class Block(nn.Module):
    """Local and global features, then their interaction among themselves and with the memory."""

    def __init__(
        self,
        memory: int,
        group: int,
        linear: bool,
        length: int,
        ratios: tuple[float, float],
        last: bool,
        scale: float,
    ) -> None:
        super().__init__()
        width, self.sizes, self.last = memory + 3 * group, (memory, group, group, group), last
        self.mixer = LinearAttention(group) if linear else Strips(group, length)
        self.near, self.far = depthwise(group, 3), depthwise(group, 7)
        self.first = Interaction(3 * group, int(3 * group * ratios[0]))
        self.second = Interaction(width, int(width * ratios[1]), last)
        self.gamma = None if last else nn.Parameter(full((width, 1, 1), scale))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same; the last block of all to its hidden width."""
        memory, a, b, c = x.split(self.sizes, dim=1)
        f = cat((self.mixer(a), self.near(b), self.far(c)), dim=1)
        y = cat((memory, f + self.first(f)), dim=1)
        return self.second(y) if self.last else x + self.gamma * (y + self.second(y))


class Care(nn.Module):
    """Image (B, C, H, W) to logits (B, K).

    A stage has ``depths`` blocks with ``memory`` and three times ``groups`` channels, the last ``linear`` stages with
    linear attention. ``strides`` are those of the convolution before each stage; its kernel is as large. ``scale`` is
    what gamma begins as.
    """

    def __init__(
        self,
        channels: int = 3,
        classes: int = 1000,
        depths: Sequence[int] = (2, 4, 8, 4),
        memory: Sequence[int] = (24, 40, 64, 128),
        groups: Sequence[int] = (8, 16, 40, 80),
        strides: Sequence[int] = (4, 2, 2, 2),
        linear: int = 2,
        length: int = 11,
        ratios: tuple[float, float] = (1.0, 2.0),
        scale: float = 0.5,
    ) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        inputs = channels
        for index, depth in enumerate(depths):
            width, stride = memory[index] + 3 * groups[index], strides[index]
            if index:
                stages += [nn.BatchNorm2d(inputs), nn.Conv2d(inputs, width, stride, stride)]
            else:
                stages += [nn.Conv2d(inputs, width, stride, stride, bias=False), nn.BatchNorm2d(width)]
            for block in range(depth):
                last = index == len(depths) - 1 and block == depth - 1
                late = index >= len(depths) - linear
                stages.append(Block(memory[index], groups[index], late, length, ratios, last, scale))
            inputs = width
        self.stages, hidden = nn.Sequential(*stages), int(inputs * ratios[1])
        self.norm = nn.LayerNorm(hidden, eps=EPSILON)
        self.heads = nn.ModuleList(nn.Linear(hidden, classes) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Stages, mean over the image, head."""
        x = self.norm(functional.gelu(self.stages(x).mean((2, 3))))
        return (self.heads[0](x) + self.heads[1](x)) / 2
