"""Small spiking transformers written as published code writes them: all ticks in one call, ticks and samples flattened
around layers, neurons that run over their first axis. One for each construct that these systems are made of.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests import jelly

TICKS, WIDTH, HEADS, CLASSES = 4, 16, 4, 10


def lif(**options: object) -> nn.Module:
    return jelly.LIFNode(step_mode="m", **options)


def conv(inside: int, outside: int, kernel: int = 3, stride: int = 1, **options: int) -> nn.Sequential:
    layer = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False, **options)
    return nn.Sequential(layer, nn.BatchNorm2d(outside))


def apart(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer that knows no time, on (T, B, ...)."""
    steps, batch = x.shape[:2]
    y = layer(x.flatten(0, 1))
    return y.reshape(steps, batch, *y.shape[1:]).contiguous()


def heads(x: Tensor) -> Tensor:
    """(T, B, N, C) -> (T, B, heads, N, C / heads)."""
    steps, batch, tokens, width = x.shape
    return x.reshape(steps, batch, tokens, HEADS, width // HEADS).permute(0, 1, 3, 2, 4).contiguous()


class Spikformer(nn.Module):
    """Spike shortcuts; softmax-free attention of linear layers whose batch norm works on the transposed tensor."""

    def __init__(self, spread: str = "repeat", read: str = "mean") -> None:
        super().__init__()
        self.spread, self.read = spread, read
        self.stem, self.stem_lif, self.pool = conv(1, WIDTH), lif(), nn.MaxPool2d(3, 2, 1)
        self.rpe, self.rpe_lif = conv(WIDTH, WIDTH), lif()
        self.qkv = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm1d(WIDTH) for _ in range(3))
        self.lifs = nn.ModuleList(lif() for _ in range(3))
        self.attn_lif, self.proj, self.proj_norm = (
            lif(v_threshold=0.5),
            nn.Linear(WIDTH, WIDTH),
            nn.BatchNorm1d(WIDTH),
        )
        self.proj_lif, self.head = lif(), nn.Linear(WIDTH, CLASSES)

    def in_time(self, x: Tensor) -> Tensor:
        match self.spread:
            case "repeat":
                return x.unsqueeze(0).repeat(TICKS, 1, 1, 1, 1)
            case "expand":
                return x[None].expand(TICKS, -1, -1, -1, -1)
            case "stack":
                return torch.stack([x] * TICKS)
            case "cat":
                return torch.cat([x.unsqueeze(0) for _ in range(TICKS)])
            case "zeros":
                return torch.zeros(TICKS, 1, 1, 1, 1, dtype=x.dtype) + x
            case "second axis":
                return x.unsqueeze(1).repeat(1, TICKS, 1, 1, 1).transpose(0, 1)
        return x

    def forward(self, x: Tensor) -> Tensor:
        x = self.in_time(x)
        x = self.stem_lif(apart(self.stem, x))
        x = apart(self.pool, x)
        x = (x + self.rpe_lif(apart(self.rpe, x))).flatten(-2).transpose(-1, -2)
        q, k, v = (
            heads(
                n(
                    apart(
                        lambda y, layer=layer, norm=norm: norm(layer(y).transpose(-1, -2)).transpose(-1, -2),
                        x,
                    )
                )
            )
            for layer, norm, n in zip(self.qkv, self.norms, self.lifs, strict=True)
        )
        attended = ((q @ k.transpose(-2, -1)) @ v * 0.125).transpose(2, 3).reshape(x.shape).contiguous()
        attended = self.attn_lif(attended)
        projected = apart(
            lambda y: self.proj_norm(self.proj(y).transpose(-1, -2)).transpose(-1, -2), attended
        )
        x = (x + self.proj_lif(projected)).mean(2)
        match self.read:
            case "mean":
                return self.head(x.mean(0))
            case "sum":
                return self.head(x.sum(0))
            case "last":
                return self.head(x[-1])
            case "behind the head":
                return self.head(x).mean(0)
        return self.head(x)


class SpikeDriven(nn.Module):
    """Membrane shortcuts; maxima of real currents; k * v summed over tokens; a neuron behind a mean; a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_lif = conv(1, WIDTH // 2), lif()
        self.down, self.pool, self.down_lif = conv(WIDTH // 2, WIDTH), nn.MaxPool2d(3, 2, 1), lif()
        self.rpe, self.shortcut_lif = conv(WIDTH, WIDTH), lif()
        self.qkv = nn.ModuleList(conv(WIDTH, WIDTH, 1) for _ in range(3))
        self.lifs = nn.ModuleList(lif() for _ in range(3))
        self.talking, self.proj = lif(v_threshold=0.5), conv(WIDTH, WIDTH, 1)
        self.head_lif, self.head = lif(), nn.Linear(WIDTH, CLASSES)

    def forward(
        self, x: Tensor, hook: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        x = x.unsqueeze(0).repeat(TICKS, 1, 1, 1, 1) if x.dim() < 5 else x.transpose(0, 1).contiguous()
        x = self.stem_lif(apart(self.stem, x))
        if hook is not None:
            hook["stem"] = x.detach()
        x = apart(lambda y: self.pool(self.down(y)), x)
        x = apart(self.rpe, self.down_lif(x)) + x
        steps, batch, width, rows, columns = x.shape
        spikes = self.shortcut_lif(x)
        q, k, v = (
            heads(n(apart(layer, spikes)).flatten(3).transpose(-1, -2))
            for layer, n in zip(self.qkv, self.lifs, strict=True)
        )
        gate = self.talking(k.mul(v).sum(dim=-2, keepdim=True))
        gated = q.mul(gate).transpose(3, 4).reshape(steps, batch, width, rows, columns).contiguous()
        x = apart(self.proj, gated) + x
        return self.head(self.head_lif(x.flatten(3).mean(3))).mean(0), hook


class PadByNorm(nn.Module):
    """A batch norm whose padding is what it makes of zero, written into the edges."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        norm = self.norm
        edge = norm.bias.detach() - norm.running_mean * norm.weight.detach() / torch.sqrt(
            norm.running_var + norm.eps
        )
        edge = edge.view(1, -1, 1, 1)
        y = F.pad(norm(x), [1] * 4)
        y[:, :, 0:1, :] = edge
        y[:, :, -1:, :] = edge
        y[:, :, :, 0:1] = edge
        y[:, :, :, -1:] = edge
        return y


def reparameterised(width: int) -> nn.Sequential:
    """1x1, norm with its padding, depthwise 3x3 without, 1x1, norm."""
    inner = nn.Conv2d(width, width, 3, groups=width, bias=False)
    return nn.Sequential(
        nn.Conv2d(width, width, 1, bias=False), PadByNorm(width), inner, nn.Conv2d(width, width, 1, bias=False),
        nn.BatchNorm2d(width),
    )  # fmt: skip


class MetaFormer(nn.Module):
    """Depthwise and pointwise convolutions without a neuron between; convolutions padded by their norm; Q (K^T V)."""

    def __init__(self) -> None:
        super().__init__()
        width = WIDTH // 2
        self.down, self.first, self.wide = conv(1, width, 7, 2), lif(), conv(width, WIDTH, 1)
        self.second = lif()
        self.depthwise = nn.Conv2d(WIDTH, WIDTH, 7, padding=3, groups=WIDTH, bias=False)
        self.pointwise, self.third = conv(WIDTH, width, 1), lif()
        self.qkv = nn.ModuleList(reparameterised(width) for _ in range(3))
        self.lifs = nn.ModuleList(lif() for _ in range(3))
        self.attn_lif, self.proj = lif(v_threshold=0.5), reparameterised(width)
        self.head_lif, self.head = lif(), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = apart(self.down, x.unsqueeze(0).repeat(TICKS, 1, 1, 1, 1))
        spread = self.second(apart(self.wide, self.first(x)))
        x = x + apart(lambda y: self.pointwise(self.depthwise(y)), spread)
        spikes = self.third(x)
        q, k, v = (
            heads(n(apart(layer, spikes)).flatten(3).transpose(-1, -2))
            for layer, n in zip(self.qkv, self.lifs, strict=True)
        )
        attended = (
            (q @ (k.transpose(-2, -1) @ v) * 0.125).transpose(3, 4).reshape(*x.shape[:3], -1).contiguous()
        )
        x = apart(self.proj, self.attn_lif(attended).reshape(x.shape)) + x
        return self.head(self.head_lif(x.flatten(3).mean(3))).mean(0)


class TokenGate(nn.Module):
    """A gate per token from the sum of a head's channels, times the keys: no product of matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.pool, self.stem_lif = conv(1, WIDTH), nn.MaxPool2d(3, 2, 1), lif()
        self.q, self.q_norm, self.q_lif = nn.Conv1d(WIDTH, WIDTH, 1, bias=False), nn.BatchNorm1d(WIDTH), lif()
        self.k, self.k_norm, self.k_lif = nn.Conv1d(WIDTH, WIDTH, 1, bias=False), nn.BatchNorm1d(WIDTH), lif()
        self.gate, self.proj, self.norm, self.last = (
            lif(v_threshold=0.5), nn.Conv1d(WIDTH, WIDTH, 1), nn.BatchNorm1d(WIDTH), lif(),
        )  # fmt: skip
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem_lif(
            apart(lambda y: self.pool(self.stem(y)), x.unsqueeze(0).repeat(TICKS, 1, 1, 1, 1))
        ).flatten(3)
        steps, batch, width, tokens = x.shape
        q = self.q_lif(apart(lambda y: self.q_norm(self.q(y)), x))
        k = self.k_lif(apart(lambda y: self.k_norm(self.k(y)), x))
        q, k = (y.unsqueeze(2).reshape(steps, batch, HEADS, width // HEADS, tokens) for y in (q, k))
        gated = torch.mul(self.gate(torch.sum(q, dim=3, keepdim=True)), k).flatten(2, 3)
        x = x + self.last(apart(lambda y: self.norm(self.proj(y)), gated))
        return self.head(x.mean(3).mean(0))


class DualAttention(nn.Module):
    """Two products of a real operand with spikes, scaled by firing rates that were kept in buffers; (T, B, K)."""

    def __init__(self) -> None:
        super().__init__()
        width = WIDTH // 2
        self.stem, self.pool, self.lif = conv(1, width), nn.MaxPool2d(3, 2, 1), lif()
        self.register_buffer("rate_x", torch.full((1, 1, 2, 1, 1), 0.23))
        self.register_buffer("rate_attn", torch.full((1, 1, 2, 1, 1), 0.31))
        self.patch = nn.Sequential(nn.Conv2d(width, 2 * width, 2, 2, bias=False), nn.BatchNorm2d(2 * width))
        self.attn_lif, self.out_lif, self.proj, self.head = (
            lif(), lif(), conv(width, width, 1), nn.Linear(width, CLASSES),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(0).repeat(TICKS, 1, 1, 1, 1) if x.dim() != 5 else x.transpose(0, 1)
        x = apart(lambda y: self.pool(self.stem(y)), x)
        shortcut = x.clone()
        spikes = self.lif(x)
        steps, batch, width, rows, columns = spikes.shape
        y = apart(self.patch, spikes).reshape(steps, batch, 2, width, -1)
        first, second = y[:, :, :, : width // 2, :], y[:, :, :, width // 2 :, :]
        spikes = spikes.reshape(steps, batch, 2, width // 2, rows * columns)
        scale = 1.0 / torch.sqrt(self.rate_x * (width // 2))
        attention = self.attn_lif(torch.matmul(first.transpose(-1, -2), spikes) * scale)
        scale = 1.0 / torch.sqrt(self.rate_attn * second.shape[-1])
        out = self.out_lif(
            (torch.matmul(second, attention) * scale).reshape(steps, batch, width, rows, columns)
        )
        x = apart(self.proj, out) + shortcut
        return self.head(
            torch.flatten(F.adaptive_avg_pool2d(x.flatten(0, 1), 1), 1).reshape(steps, batch, -1)
        )


class BinaryMap(nn.Module):
    """An attention map of spikes, a scale for each tick and head, and a position for each tick; (T, B, K)."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.lif = nn.Conv2d(1, WIDTH, 2, 2), lif()
        self.qkv = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.lifs = nn.ModuleList(lif() for _ in range(3))
        self.map_lif, self.out_lif = lif(v_reset=None), lif(v_threshold=0.5)
        self.position = nn.Parameter(torch.randn(TICKS, 1, 16, WIDTH))
        self.scale = nn.Parameter(torch.rand(TICKS, 1, HEADS, 1, 1) * 4 + 0.5)
        self.head = nn.Linear(WIDTH, CLASSES)
        with torch.no_grad():
            for layer in (self.patch, *self.qkv):
                layer.weight.mul_(12)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        spikes = self.lif(tokens.unsqueeze(0).repeat(TICKS, 1, 1, 1) + self.position)
        q, k, v = (heads(sn(layer(spikes))) for layer, sn in zip(self.qkv, self.lifs, strict=True))
        out = (self.map_lif(q @ k.transpose(-2, -1)) @ v) * 0.125 * self.scale
        return self.head(self.out_lif(out.transpose(2, 3).flatten(3)).mean(2))


class Rounded(torch.autograd.Function):
    """Counts for the forward, straight through for the backward."""

    @staticmethod
    def forward(ctx: object, x: Tensor, most: int) -> Tensor:
        return torch.round(torch.clamp(x, min=0, max=most))

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class Count(nn.Module):
    """An integer neuron of training at one tick: 0 .. 4 spikes, sent over ``norm``."""

    def __init__(self, norm: int = 4) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return Rounded.apply(x, 4) / self.norm


class IntegerTrained(nn.Module):
    """No time at all: counts, whose products meet halves, drive every layer."""

    def __init__(self) -> None:
        super().__init__()
        width = WIDTH // 2
        self.down, self.count = conv(1, width, 7, 2), Count()
        self.q, self.k, self.v = conv(width, width, 1), conv(width, width, 1), conv(width, 4 * width, 1)
        self.counts, self.attended = nn.ModuleList(Count() for _ in range(3)), Count()
        self.proj, self.last, self.head = conv(4 * width, width, 1), Count(1), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        batch, _, rows, columns = x.shape
        spikes = self.count(x)
        q, k, v = (
            n(layer(spikes))
            .flatten(2)
            .transpose(-1, -2)
            .reshape(batch, rows * columns, 2, -1)
            .permute(0, 2, 1, 3)
            for layer, n in zip((self.q, self.k, self.v), self.counts, strict=True)
        )
        attended = (q @ k.transpose(-2, -1)) @ v * 0.5
        attended = self.attended(attended.transpose(2, 3).reshape(batch, -1, rows, columns))
        x = self.proj(attended) + x
        return self.head(self.last(x.flatten(2).mean(2)))


class Loop(nn.Module):
    """A convolution, two neurons that keep their state, and a loop over ticks around them, in one of many forms."""

    def __init__(self, form: str, ticks: int = 5) -> None:
        super().__init__()
        self.form, self.ticks = form, ticks
        self.conv, self.first = nn.Conv2d(1, 8, 3), jelly.LIFNode()
        self.fc, self.second = nn.Linear(288, 5), jelly.LIFNode()
        with torch.no_grad():
            self.conv.weight.mul_(3)
            self.fc.weight.mul_(2)
        self.scale = nn.Parameter(torch.linspace(1.5, 0.5, ticks))
        self.offsets = nn.ParameterList(torch.linspace(-t / 4, t / 4, 5) for t in range(ticks))

    def tick(self, x: Tensor) -> Tensor:
        return self.second(self.fc(self.first(self.conv(x)).flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        return FORMS[self.form](self, x)


def _accumulated(net: Loop, x: Tensor) -> Tensor:
    out = 0
    for _ in range(net.ticks):
        out = out + net.tick(x)
    return out / net.ticks


def _in_place(net: Loop, x: Tensor) -> Tensor:
    out = torch.zeros(x.shape[0], 5, dtype=x.dtype)
    for _ in range(net.ticks):
        out += net.tick(x)
    return out


def _begun(net: Loop, x: Tensor) -> Tensor:
    out = net.tick(x)
    for _ in range(1, net.ticks):
        out += net.tick(x)
    return out / net.ticks


def _last(net: Loop, x: Tensor) -> Tensor:
    for _ in range(net.ticks):
        out = net.tick(x)
    return out


def _stem_once(net: Loop, x: Tensor) -> Tensor:
    u = net.conv(x)
    return torch.stack([net.second(net.fc(net.first(u).flatten(1))) for _ in range(net.ticks)]).mean(0)


def _feedback(net: Loop, x: Tensor) -> Tensor:
    y, out = 0.0, 0.0
    for _ in range(net.ticks):
        y = net.second(net.fc(net.first(net.conv(x)).flatten(1)) + y)
        out = out + y
    return out


def _in_turns(net: Loop, x: Tensor) -> Tensor:
    out = []
    for t in range(net.ticks):
        current = net.fc(net.first(net.conv(x)).flatten(1) / net.scale[t])
        out.append(net.second(net.offsets[t] - current))
    return torch.stack(out).mean(0)


#: forms of a loop; those in DIFFERING have ticks that are not alike -> the code
FORMS: dict[str, Callable[[Loop, Tensor], Tensor]] = {
    "accumulated": _accumulated,
    "in place": _in_place,
    "begun before": _begun,
    "stacked": lambda net, x: torch.stack([net.tick(x) for _ in range(net.ticks)]).mean(0),
    "stacked behind": lambda net, x: torch.stack([net.tick(x) for _ in range(net.ticks)], 1).sum(1),
    "returned": lambda net, x: torch.stack([net.tick(x) for _ in range(net.ticks)]),
    "joined": lambda net, x: torch.cat([net.tick(x)[None] for _ in range(net.ticks)]).mean(0),
    "summed": lambda net, x: sum(net.tick(x) for _ in range(net.ticks)),
    "last": _last,
    "stem once": _stem_once,
    "frames first": lambda net, x: torch.stack([net.tick(x[t]) for t in range(x.shape[0])]).mean(0),
    "frames second": lambda net, x: sum(net.tick(x[:, t]) for t in range(x.shape[1])) / x.shape[1],
    "feedback": _feedback,
    "in turns": _in_turns,
    "weighted": lambda net, x: sum(net.tick(x) * (t + 1) for t in range(net.ticks)),
    "scaled by its number": lambda net, x: sum(net.tick(x * (t + 1)) for t in range(net.ticks)),
    "middle": lambda net, x: [net.tick(x) for _ in range(net.ticks)][1],
}
DIFFERING = {"scaled by its number": "ND174", "middle": "ND160"}


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A module whose batch norms let its neurons fire, not all and not never."""
    torch.manual_seed(0)
    model = make()
    for part in model.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.05, 0.3)
            nn.init.uniform_(part.weight, 0.8, 2.0)
            nn.init.normal_(part.bias, 0.3, 0.3)
    return model.eval()


#: systems that anybody can build: py:tests.published:NAME
spikformer = partial(seeded, Spikformer)
spike_driven = partial(seeded, SpikeDriven)
metaformer = partial(seeded, MetaFormer)
token_gate = partial(seeded, TokenGate)
dual_attention = partial(seeded, DualAttention)
binary_map = partial(seeded, BinaryMap)
integer_trained = partial(seeded, IntegerTrained)
