"""MatMul-free language model (Zhu et al., arXiv 2406.02528; on Loihi 2: Abreu et al., arXiv 2503.18002).

Weights are -1, 0 or 1 times one number for each tensor, and tokens meet in an elementwise recurrence alone::

    x = x + TokenMix(N(x))    x = x + ChannelMix(N(x))    logits = Linear(N(x))
    TokenMix:    f = lb + (1 - lb) sigmoid(F x)    i = silu(I x) (1 - f)    h(t) = f h(t-1) + i    O(N(h) silu(G x))
    ChannelMix:  D(silu(A x) (B x))

N is an RMS norm with a gain. F, I, G, O, A, B, D are ternary layers, each behind an RMS norm without one; F, I and G
share theirs, and so do A and B. The lower bounds lb are learned for each channel, a cumulative softmax over layers
that begins at 0. The paper also quantises what each token sends to a layer to 8 bits, with a step of its own: here the
widths of the integer network take that place. Embedding and head are dense.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .sequences import GatedMemory

EPS = 1e-6


class Norm(nn.Module):
    """``x / sqrt(mean(x^2) + eps)``, times a gain where it has one."""

    def __init__(self, width: int, gain: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width)) if gain else None

    def forward(self, x: Tensor) -> Tensor:
        """Over the last axis."""
        normed = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS)
        return normed if self.weight is None else normed * self.weight


class Ternary(nn.Linear):
    """A linear layer of weights -1, 0 and 1 times their mean magnitude; the gradient passes the rounding."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)
        self.register_buffer("used", torch.zeros(0), persistent=False)

    def train(self, mode: bool = True) -> Ternary:
        """When training ends the weights are rounded, once."""
        if mode or self.training:
            self.used = torch.zeros(0) if mode else self.rounded().detach()
        return super().train(mode)

    def rounded(self) -> Tensor:
        """The weights that are used."""
        scale = self.weight.abs().mean().clamp(min=1e-5)
        return (self.weight / scale).round().clamp(-1, 1) * scale

    def forward(self, x: Tensor) -> Tensor:
        """While training the rounding is added as a constant."""
        if not self.training:
            return functional.linear(x, self.used)
        return functional.linear(x, self.weight + (self.rounded() - self.weight).detach())


class TokenMix(nn.Module):
    """The gated linear recurrence; ``lowest`` is the least that a channel keeps, None for 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.f, self.i, self.g = Norm(width, False), *(Ternary(width, width) for _ in range(3))
        self.memory, self.read, self.out_norm = GatedMemory(), Norm(width), Norm(width, False)
        self.o = Ternary(width, width)

    def forward(self, x: Tensor, lowest: Tensor | None) -> Tensor:
        """The mix of one token."""
        x = self.norm(x)
        keep = torch.sigmoid(self.f(x))
        keep = keep if lowest is None else lowest + (1 - lowest) * keep
        h = self.memory(keep, functional.silu(self.i(x)) * (1 - keep))
        return self.o(self.out_norm(self.read(h) * functional.silu(self.g(x))))


class ChannelMix(nn.Module):
    """A gated perceptron."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm, self.a, self.b = Norm(width, False), Ternary(width, hidden), Ternary(width, hidden)
        self.down_norm, self.d = Norm(hidden, False), Ternary(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Knows no time."""
        x = self.norm(x)
        return self.d(self.down_norm(functional.silu(self.a(x)) * self.b(x)))


class Block(nn.Module):
    """Two branches on a residual stream."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.mix = Norm(width), TokenMix(width)
        self.norm2, self.feed = Norm(width), ChannelMix(width, hidden)

    def forward(self, x: Tensor, lowest: Tensor | None) -> Tensor:
        """Tokens, then channels."""
        x = x + self.mix(self.norm1(x), lowest)
        return x + self.feed(self.norm2(x))


class MatMulFree(nn.Module):
    """One-hot tokens (B, V) to logits (B, V) of the token that follows."""

    def __init__(self, vocabulary: int = 96, width: int = 64, depth: int = 2, hidden: int = 192) -> None:
        super().__init__()
        self.embed = nn.Linear(vocabulary, width, bias=False)
        self.lowest = nn.Parameter(torch.zeros(depth, width))
        self.blocks = nn.ModuleList(Block(width, hidden) for _ in range(depth))
        self.norm, self.head = Norm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Layers in order; deeper ones keep more."""
        x = self.embed(x)
        shares = self.lowest.softmax(0)
        bounds = shares.cumsum(0) - shares[:1]
        for depth, block in enumerate(self.blocks):
            x = block(x, bounds[depth] if depth else None)
        return self.head(self.norm(x))
