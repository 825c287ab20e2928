"""Networks that are in no zoo: small, untrained, as a user may bring them; for end_to_end/test_unseen_models.py."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurodeploy.sources import zoo

SHAPE, CLASSES = (3, 8, 8), 5
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Normalise(nn.Module):
    """Pixels 0 .. 255 to zero mean and unit variance per channel, inside the network."""

    def forward(self, x: Tensor) -> Tensor:
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
        return (x / 255.0 - mean) / std


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, dim = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mix = functional.scaled_dot_product_attention(*qkv.unbind(0))
        return self.proj(mix.transpose(1, 2).reshape(batch, tokens, dim))


class Block(nn.Module):
    def __init__(self, dim: int, heads: int, act: nn.Module) -> None:
        super().__init__()
        self.norm1, self.attn, self.norm2 = nn.LayerNorm(dim), Attention(dim, heads), nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), act, nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class MeanVit(nn.Module):
    """No class token: mean over patches; normalisation inside; patches by one or by two convolutions."""

    def __init__(self, stem: str = "patch", act: nn.Module | None = None, dim: int = 16) -> None:
        super().__init__()
        self.input_shape = SHAPE
        self.normalise = Normalise()
        self.stem = nn.Conv2d(3, dim, 4, 4) if stem == "patch" else nn.Sequential(
            nn.Conv2d(3, dim // 2, 3, 2, 1, bias=False), nn.BatchNorm2d(dim // 2), nn.GELU(),
            nn.Conv2d(dim // 2, dim, 3, 2, 1))  # fmt: skip
        self.pos = nn.Parameter(0.02 * torch.randn(1, 4, dim))
        self.blocks = nn.Sequential(Block(dim, 8, act or nn.GELU(approximate="tanh")))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(self.normalise(x)).flatten(2).transpose(1, 2) + self.pos
        return self.head(self.norm(self.blocks(x)).mean(1))


def convnet() -> nn.Module:
    net = nn.Sequential(
        Normalise(), nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES),
    )  # fmt: skip
    net.input_shape = SHAPE
    return net


def neuron() -> nn.Module:
    return zoo.submodule("spiking").BinaryLif(v_threshold=1.0, beta=0.5)


class Normed(nn.Module):
    """A linear layer over tokens or a convolution, its batch norm strong enough that neurons fire."""

    def __init__(self, layer: nn.Module, width: int) -> None:
        super().__init__()
        self.layer, self.norm = layer, nn.BatchNorm1d(width)
        self.norm.weight.data.uniform_(1.0, 2.0)
        self.norm.bias.data.uniform_(0.0, 0.5)
        self.norm.running_var.uniform_(0.1, 0.4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        if y.dim() == 4:
            return self.norm(y.flatten(2)).reshape(y.shape)
        return self.norm(y.transpose(-1, -2)).transpose(-1, -2)


def linear(inputs: int, outputs: int) -> nn.Module:
    return Normed(nn.Linear(inputs, outputs, bias=False), outputs)


class SpikingBlock(nn.Module):
    """``add``: spikes are added to spikes (Spikformer); ``gate``: a column sum gates V (SDT), membrane shortcut."""

    def __init__(self, dim: int, form: str) -> None:
        super().__init__()
        self.form = form
        self.q, self.k, self.v, self.p = (linear(dim, dim) for _ in range(4))
        self.fc1, self.fc2 = linear(dim, 2 * dim), linear(2 * dim, dim)
        self.n = nn.ModuleList(neuron() for _ in range(7))

    def forward(self, x: Tensor) -> Tensor:
        add = self.form == "add"
        s = x if add else self.n[5](x)
        q, k, v = self.n[0](self.q(s)), self.n[1](self.k(s)), self.n[2](self.v(s))
        if add:
            x = x + self.n[4](self.p(self.n[3](0.25 * (q @ k.transpose(-2, -1)) @ v)))
            return x + self.n[6](self.fc2(self.n[5](self.fc1(x))))
        x = x + self.p(self.n[3]((q * k).sum(-2, keepdim=True)) * v)
        return x + self.fc2(self.n[6](self.fc1(self.n[4](x))))


class Spiking(nn.Module):
    def __init__(self, form: str, dim: int = 16) -> None:
        super().__init__()
        self.input_shape = SHAPE
        self.stem, self.first = Normed(nn.Conv2d(3, dim, 3, 2, 1, bias=False), dim), neuron()
        self.pool, self.block = nn.MaxPool2d(2), SpikingBlock(dim, form)
        self.last, self.head = neuron(), nn.Linear(dim, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.stem(x / 127.5 - 1.0))
        x = self.block(self.pool(x).flatten(2).transpose(1, 2))
        return self.head((x if self.block.form == "add" else self.last(x)).mean(1))


def silent_queries() -> nn.Module:
    net = MeanVit()
    for name, parameter in net.named_parameters():
        if "qkv" in name or "norm1" in name:
            parameter.data.zero_()
    return net


def scaled_head(factor: float) -> nn.Module:
    net = MeanVit()
    net.head.weight.data.mul_(factor)
    net.blocks[0].mlp[0].weight.data.mul_(min(factor, 1.0))
    return net


def _seeded(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def factory() -> nn.Module:
        torch.manual_seed(0)
        return make().eval()

    return factory


vit = _seeded(MeanVit)
vit_relu_stem = _seeded(lambda: MeanVit("conv", nn.ReLU()))
cnn = _seeded(convnet)
spikes_added = _seeded(lambda: Spiking("add"))
spikes_gated = _seeded(lambda: Spiking("gate"))
silent = _seeded(silent_queries)
tiny_weights = _seeded(lambda: scaled_head(1e-9))
huge_weights = _seeded(lambda: scaled_head(1e6))
