"""RWKV-4 (Peng et al., EMNLP Findings 2023, arXiv 2305.13048): time mix and channel mix over channels alone.

With p(t) = x(t-1), the token shift, and mix_c = c x + (1 - c) p with c learned for each channel::

    x = x + TimeMix(N(x))    x = x + ChannelMix(N(x))    logits = Linear(N(x))
    TimeMix:     r, k, v = Wr mix_r, Wk mix_k, Wv mix_v
                 wkv = (a(t-1) + e^(u+k) v) / (b(t-1) + e^(u+k))
                 a(t) = e^(-e^w) a(t-1) + e^k v    b(t) = e^(-e^w) b(t-1) + e^k      Wo (sigmoid(r) wkv)
    ChannelMix:  sigmoid(Wr mix_r) (Wv relu(Wk mix_k)^2)

N is a layer norm; the embedding has one too. Published code keeps a running maximum of k apart, so that e^k never
overflows; here k and u + k are held below 4 and the divisor above 1/64, which training sees as well.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from .sequences import Decayed, Shift

MOST_KEY, LEAST_WEIGHT = 4.0, 1 / 64


class Mixed(nn.Module):
    """``W (c x + (1 - c) p)``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.full((inputs,), 0.5))
        self.linear = nn.Linear(inputs, outputs, bias=False)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """A token and the one before."""
        weight = self.linear.weight
        return functional.linear(x, weight * self.share) + functional.linear(
            before, weight * (1 - self.share)
        )


class TimeMix(nn.Module):
    """The weighted mean of the values of all tokens so far."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.shift, self.values, self.weights = Shift(), Decayed(), Decayed()
        self.r, self.k, self.v = (Mixed(width, width) for _ in range(3))
        spread = torch.arange(width) / max(width - 1, 1)
        self.decay, self.first = nn.Parameter(5 * spread - 4), nn.Parameter(torch.zeros(width))
        self.o = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The mix of one token (B, D)."""
        before, kept = self.shift(x), torch.exp(-torch.exp(self.decay))
        k, v = self.k(x, before), self.v(x, before)
        weight, own = (torch.exp(y.clamp(max=MOST_KEY)) for y in (k, k + self.first))
        values, weights = self.values(weight * v, kept), self.weights(weight, kept)
        mean = (values + own * v) / (weights + own).clamp(min=LEAST_WEIGHT)
        return self.o(torch.sigmoid(self.r(x, before)) * mean)


class ChannelMix(nn.Module):
    """A perceptron with a gate."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.shift, self.r, self.k = Shift(), Mixed(width, width), Mixed(width, hidden)
        self.v = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Knows the token before, no other."""
        before = self.shift(x)
        return torch.sigmoid(self.r(x, before)) * self.v(functional.relu(self.k(x, before)).square())


class Block(nn.Module):
    """Two branches on a residual stream; ``sent`` makes what each of them sends of what it computes."""

    def __init__(self, width: int, hidden: int, sent: Callable[[], nn.Module] = nn.Identity) -> None:
        super().__init__()
        self.norm1, self.mix, self.sent1 = nn.LayerNorm(width), TimeMix(width), sent()
        self.norm2, self.feed, self.sent2 = nn.LayerNorm(width), ChannelMix(width, hidden), sent()

    def forward(self, x: Tensor) -> Tensor:
        """Tokens, then channels."""
        x = x + self.sent1(self.mix(self.norm1(x)))
        return x + self.sent2(self.feed(self.norm2(x)))


class RWKV(nn.Module):
    """One-hot tokens (B, V) to logits (B, V) of the token that follows."""

    def __init__(self, vocabulary: int = 96, width: int = 64, depth: int = 2, hidden: int = 192) -> None:
        super().__init__()
        self.embed, self.norm0 = nn.Linear(vocabulary, width, bias=False), nn.LayerNorm(width)
        self.blocks = nn.Sequential(*(Block(width, hidden) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Order is in what decays."""
        return self.head(self.norm(self.blocks(self.norm0(self.embed(x)))))
