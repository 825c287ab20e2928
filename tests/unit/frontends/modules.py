"""Small torch modules that tests of the import share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from neurodeploy.sources import zoo

spiking = zoo.submodule("spiking")


class Apply(nn.Module):
    """A function with parameters drawn anew: ``w`` (5, 6) for the last axis, ``m`` (6, 6), ``c`` (4,)."""

    def __init__(self, function: Callable[[Apply, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.w, self.b = nn.Parameter(torch.randn(5, 6)), nn.Parameter(torch.randn(5))
        self.m, self.c = nn.Parameter(torch.randn(6, 6)), nn.Parameter(torch.randn(4))
        self.k = nn.Parameter(torch.randn(8, 2, 3, 3))
        self.register_buffer("mean", torch.randn(4))
        self.register_buffer("var", torch.rand(4) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


class Between(nn.Module):
    """A function of the spikes of two populations in front of a third one, on images of ``shape``."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        self.first, self.second = (nn.Conv2d(shape[0], shape[0], 3, padding=1) for _ in range(2))
        self.a, self.b, self.last = (spiking.BinaryLif(v_threshold=v) for v in (0.3, 0.2, 0.4))
        with torch.no_grad():
            width = function(*torch.zeros(2, 1, *shape))[0].numel()
        self.head, self.out = nn.Linear(width, 5), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        between = self.function(self.a(self.first(x)), self.b(self.second(x)))
        return self.out(self.last(self.head(between.flatten(1))))


class Small(nn.Module):
    """One linear layer on a small image; ``input_shape`` as modules of users carry it."""

    input_shape = (3, 4, 4)

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.head = nn.Linear(48, 3, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


class Spelled(nn.Module):
    """A dense layer over the last axis behind a norm that is written out."""

    input_shape = (3, 4, 6)

    def __init__(self, norm: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.norm, self.gain = norm, nn.Parameter(torch.linspace(0.5, 1.5, 6))
        self.out = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.gain * self.norm(x + 0.5))


class Pair(nn.Module):
    """Two inputs."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Alone(nn.Module):
    """The same with the second made inside."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()

    def forward(self, x: Tensor) -> Tensor:
        return self.pair(x, torch.ones_like(x))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.norm, self.head.weight = nn.LayerNorm(3), self.table.weight


class Angles(nn.Module):
    """Angles of an image."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.deg2rad(x) + x


class Penalty(nn.Module):
    """Scores of tokens, with a penalty that is an angle of what each id is."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(11, 4)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        return ((x @ x.transpose(1, 2)) - torch.deg2rad(ids.to(torch.float64) * 9)[:, None]).softmax(-1) @ x


class Counts(nn.Module):
    """Quarters of a count from 0 to 4."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.floor(x.clamp(0, 4) + 0.5) / 4


class Windows(nn.Module):
    """Counts as published code has them: one tick in front, sizes noted in attributes, one quantiser at two places."""

    def __init__(self, heads: int = 2) -> None:
        super().__init__()
        self.counts, self.stem, self.wide = Counts(), nn.Conv2d(1, 4, 3, 2, 1), nn.Conv2d(4, 8, 1)
        self.narrow, self.heads = nn.Conv2d(8, 4, 1), nn.ModuleList(nn.Linear(4, 5) for _ in range(heads))

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(0).repeat(1, 1, 1, 1, 1)
        x = self.stem(x.flatten(0, 1)) * 8
        self.rows = x.shape[-2] // 2
        rows = x.reshape(len(x), 4, 2, self.rows, 4).transpose(2, 3).reshape(x.shape)
        x = self.narrow(self.counts(self.wide(self.counts(rows)) * 4)).reshape(1, -1, 4, 16).mean(-1)
        first, *others = (head(x).mean(0) for head in self.heads)
        return (first + others[0]) / 2 if others else first


class Bordered(nn.Module):
    """Spikes, a pointwise layer, its norm with a border of what that makes of zero, written in place, a 3x3 layer."""

    def __init__(self, lif: nn.Module, width: int = 6) -> None:
        super().__init__()
        self.stem, self.lif, self.inner = (
            nn.Conv2d(1, width, 3, 2, 1),
            lif,
            nn.Conv2d(width, width, 1, bias=False),
        )
        self.norm, self.depthwise = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, groups=width)
        self.outer = nn.Conv2d(width, 3, 1)
        with torch.no_grad():
            for tensor in (self.norm.weight, self.norm.bias, self.norm.running_mean, self.norm.running_var):
                tensor.uniform_(0.2, 1.7)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.inner(self.lif(self.stem(x))))
        deviation = torch.sqrt(self.norm.running_var + self.norm.eps)
        zero = self.norm.bias.detach() - self.norm.running_mean * self.norm.weight.detach() / deviation
        y = torch.nn.functional.pad(y, [1] * 4)
        for border in (y[:, :, :1], y[:, :, -1:], y[..., :1], y[..., -1:]):
            border[:] = zero.view(1, -1, 1, 1)
        return self.outer(self.depthwise(y))
