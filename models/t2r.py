"""T2R: a transformer finetuned into a recurrent network (Kasai et al., EMNLP 2021, arXiv 2103.13076).

Attention without softmax, whose features are learned: a layer and a ReLU make those of queries and keys, and what a
head has seen is a matrix and a vector that tokens are added to::

    x(t) = E token(t) + P E token(t-1)    x = x + Mix(N(x))    x = x + W2 relu(W1 N(x))    logits = Linear(N(x))
    q = relu(Wq x)    k = relu(Wk x)    v = Wv x, split into heads, q and k of f channels each
    S(t) = S(t-1) + k(t) v(t)^T    z(t) = z(t-1) + k(t)    Mix(x) = Wo (q^T S / max(q^T z, 1e-2))

N is a layer norm. The paper keeps the layer of the features apart while it trains, phi(y) = relu(M y + m) of q and k
of a pretrained transformer, and folds it into Wq and Wk afterwards: that is where training begins here, from random
weights. It also adds an embedding of positions. S and z know no order, and a stream has no first place to count from,
so here each token is told of the one before it instead.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .sequences import Memory, Shift

#: what the sum of attention weights is held above
LEAST = 1e-2


class RunningSum(Memory):
    """``S(t) = S(t-1) + x(t)``."""

    def step(self, state, new: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        """Everything is kept."""
        return state + new


class LinearAttention(nn.Module):
    """(B, D) of one token to the same."""

    def __init__(self, width: int, heads: int, features: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = (nn.Linear(width, heads * features) for _ in range(2))
        self.v_proj = nn.Linear(width, width)
        self.seen, self.weights, self.proj = RunningSum(), RunningSum(), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Heads split the channels."""
        split = lambda y: y.unflatten(-1, (self.heads, -1))
        q, k = (functional.relu(split(layer(x))) for layer in (self.q_proj, self.k_proj))
        v = split(self.v_proj(x))
        seen = self.seen(torch.einsum("...hf,...hd->...hfd", k, v))
        weights = self.weights(k)
        read = torch.einsum("...hf,...hfd->...hd", q, seen)
        total = (q * weights).sum(-1, keepdim=True)
        return self.proj((read / total.clamp(min=LEAST)).flatten(-2))


class Block(nn.Module):
    """Two branches on a residual stream."""

    def __init__(self, width: int, heads: int, features: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.mix = nn.LayerNorm(width), LinearAttention(width, heads, features)
        self.norm2, self.fc1, self.fc2 = (
            nn.LayerNorm(width),
            nn.Linear(width, hidden),
            nn.Linear(hidden, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Tokens, then channels."""
        x = x + self.mix(self.norm1(x))
        return x + self.fc2(functional.relu(self.fc1(self.norm2(x))))


class T2R(nn.Module):
    """One-hot tokens (B, V) to logits (B, V) of the token that follows."""

    def __init__(
        self,
        vocabulary: int = 96,
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        features: int = 16,
        hidden: int = 192,
    ) -> None:
        super().__init__()
        self.embed, self.shift = nn.Linear(vocabulary, width, bias=False), Shift()
        self.before = nn.Linear(width, width, bias=False)
        self.blocks = nn.Sequential(*(Block(width, heads, features, hidden) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """A token with the one before it, then all that was added so far."""
        x = self.embed(x)
        return self.head(self.norm(self.blocks(x + self.before(self.shift(x)))))
