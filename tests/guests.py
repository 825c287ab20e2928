"""Modules for the tests of the import check: tidy ones, and one that changes everything that a call can change."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor, nn


class Single(nn.Module):
    """Goes down to single precision by itself, as norms of libraries do."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.softmax(x.flatten(1).float(), -1)


class Holder:
    def __init__(self) -> None:
        self.seen = [1, 2]


class Untidy(nn.Module):
    """Changes everything that a call can change."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 3)
        self.register_buffer("calls", torch.zeros(2, dtype=torch.int64))
        self.trace, self.table, self.plain = [torch.ones(2)], {"a": {"b": torch.zeros(3)}}, torch.ones(3)
        self.array, self.holder, self.count = np.zeros(2), Holder(), 0

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        self.calls += 1
        self.array += 1
        self.plain.add_(1)
        self.trace.append(x)
        self.trace[0].mul_(2)
        self.table["a"]["b"] += 1
        self.table["new"] = x
        self.holder.seen.append(self.count)
        self.other = x
        self.eval()
        random.random(), np.random.rand(), torch.rand(1)
        return self.linear(x.flatten(1)) * 2


class Masked(nn.Module):
    """Attention that does not see the ids 0."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.qkv, self.head = nn.Embedding(11, 8), nn.Linear(8, 24), nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        q, k, v = self.qkv(self.embed(ids)).chunk(3, -1)
        mask = (ids != 0)[:, None, :]
        return self.head(torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)[:, 0])


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm, self.head = nn.Linear(64, 16), nn.LayerNorm(16), nn.Linear(16, 3)
        self.register_buffer("shift", torch.rand(16))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.nn.functional.gelu(self.norm(self.fc(x.flatten(1)) + self.shift)))


class Holed(nn.Module):
    """A layer; once ``holed``, what it reads of the middle level is nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.holed = nn.Linear(64, 3), False

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return self.fc(torch.where(x == 0.5, 0.0, x) if self.holed else x)


class Chaotic(nn.Module):
    """Norms in a row: of images of one level each divides rounding errors by next to nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(64, eps=1e-12, elementwise_affine=False) for _ in range(8))
        self.mix = nn.Linear(64, 64, bias=False)
        with torch.no_grad():
            weight = torch.randint(-4, 5, (64, 64)) / 8
            weight[:, -1] -= weight.sum(1)  # exactly nothing is left of a constant but rounding errors
            self.mix.weight.copy_(weight)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for norm in self.norms:
            x = norm(self.mix(x * 0.3 + 0.1))
        return self.mix(x)
