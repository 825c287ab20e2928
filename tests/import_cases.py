"""Small torch modules, each of a kind that is easily imported wrong, and what an import makes of them.

The truth is the module itself: reset, then called once per tick on the same input, in eval mode and float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurodeploy import passes
from neurodeploy.errors import ImportModelError
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.frontends.proof.prove import prove
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.sources import resolve
from tests import jelly

SCALE, LEVELS, SAMPLES = 1 / 16, 16, 5
IMAGE, DIGIT = (3, 8, 8), (1, 8, 8)


@dataclass(frozen=True)
class Case:
    """A module, the shape of its input without batch, and the calls of one inference."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...] = IMAGE
    ticks: int = 1


def outcome(case: Case) -> str:
    """'equal' at every tick, the code of the first problem of a refusal, or where and how far the import is off."""
    torch.manual_seed(0)
    module = case.make().double().eval()
    spec = InputSpec(case.shape, SCALE, timesteps=case.ticks, readout="last")
    try:
        loaded = resolve.from_torch(module, spec)
        assert loaded.reference is not None
        graph = passes.simplify(loaded.graph)
        prove(loaded.reference, loaded.graph, graph, (0, LEVELS))
    except ImportModelError as error:
        return error.problems[0].code
    raw = np.random.default_rng(1).integers(0, LEVELS + 1, (SAMPLES, *case.shape))
    return compared(graph, expected(module, raw, case.ticks), raw)


def expected(module: nn.Module, raw: np.ndarray, ticks: int) -> np.ndarray:
    """What the module says at every tick, (T, B, ...)."""
    for part in module.modules():
        if callable(getattr(part, "reset", None)):
            part.reset()
    with torch.no_grad():
        x = torch.tensor(raw * SCALE, dtype=torch.float64)
        return np.stack([module(x).numpy() for _ in range(ticks)])


def compared(graph: Graph, wanted: np.ndarray, raw: np.ndarray) -> str:
    """'equal', or the largest difference of a read-out; a whole sample in one call has the last tick alone."""
    found = interp.run(graph, raw).outputs[-len(wanted) :]
    if found.shape != wanted.shape:
        return f"wrong: shape {found.shape} for {wanted.shape}"
    off = np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max())
    return "equal" if off < 1e-6 else f"wrong: off by {off:.3g}"


# --- functions of tokens -------------------------------------------------------------------------------------------


class Tokens(nn.Module):
    """Patches to tokens, a function of the tokens, a head on their mean; values far on both sides of 10."""

    def __init__(self, function: Callable[[Tensor], Tensor], width: int = 16, gain: float = 48.0) -> None:
        super().__init__()
        self.function = function
        self.stem, self.mid, self.head = (
            nn.Conv2d(3, width, 2, 2),
            nn.Linear(width, width),
            nn.Linear(width, 5),
        )
        with torch.no_grad():
            self.mid.weight.mul_(gain)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None:
            x = x * mask
        x = self.stem(x).flatten(2).transpose(1, 2)
        return self.head(self.function(self.mid(x)).mean(1))


def tokens(function: Callable[[Tensor], Tensor]) -> Case:
    return Case(lambda: Tokens(function))


def _silu(g: Tensor, slope: float = 1.0) -> Tensor:
    return g * torch.sigmoid(slope * g)


def _tanh_gelu(g: Tensor) -> Tensor:
    return 0.5 * g * (1 + torch.tanh(0.7978845608028654 * (g + 0.044715 * g**3)))


def _scaled_slice(y: Tensor) -> Tensor:
    y = y.clone()
    y[..., :8].mul_(0.25)
    return y


def _alias(y: Tensor) -> Tensor:
    y = y.clone()
    kept = y
    y += torch.tanh(y)
    return y + kept


def _filled(y: Tensor) -> Tensor:
    y = y.clone()
    y[..., 3] = 0.0
    return y


def _through_view(y: Tensor) -> Tensor:
    y = y.clone()
    flat = y.view(y.shape[0], -1)
    flat.add_(1.0)
    return y * 2


def _branch(y: Tensor) -> Tensor:
    return y * 2 if y.sum() > 0 else y


# --- modules with state ----------------------------------------------------------------------------------------------


class Leaky(nn.Module):
    """A read-out that never fires, as users write it."""

    def __init__(self) -> None:
        super().__init__()
        self.v: Tensor | float = 0.0

    def reset(self) -> None:
        self.v = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.v = self.v * 0.9 + x
        return self.v


class Counting(nn.Module):
    """Scales by the number of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def reset(self) -> None:
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class Averaging(nn.Module):
    """An exponential average in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.average: Tensor
        self.register_buffer("average", torch.zeros(10))

    def reset(self) -> None:
        self.average = torch.zeros_like(self.average.view(-1, 10)[0])

    def forward(self, x: Tensor) -> Tensor:
        self.average = 0.8 * self.average + 0.2 * x
        return x + self.average


class OwnLif(nn.Module):
    """Charge, fire and reset written out."""

    def __init__(self) -> None:
        super().__init__()
        self.v: Tensor | float = 0.0

    def reset(self) -> None:
        self.v = 0.0

    def forward(self, x: Tensor) -> Tensor:
        h = self.v * 0.5 + x
        spikes = (h >= 1.0).to(x.dtype)
        self.v = h * (1.0 - spikes)
        return spikes


class Feedback(nn.Module):
    """A neuron that hears its own last spikes through a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.back, self.lif = nn.Linear(64, 32), nn.Linear(32, 32, bias=False), jelly.LIFNode()
        self.head = nn.Linear(32, 10)
        self.last: Tensor | None = None
        with torch.no_grad():
            self.stem.weight.mul_(6)

    def reset(self) -> None:
        self.last = None

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.flatten(1))
        if self.last is not None:
            x = x + self.back(self.last)
        self.last = self.lif(x)
        return self.head(self.last)


def net(*tail: nn.Module, lif: Callable[[], nn.Module] = jelly.LIFNode) -> nn.Module:
    """A convolutional spiking network with a tail of its own."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), lif(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 32),
        lif(), nn.Linear(32, 10), *tail,
    )  # fmt: skip
    with torch.no_grad():
        model[0].weight.mul_(4)
        model[5].weight.mul_(4)
    return model


def recurrent() -> nn.Module:
    inner = jelly.LinearRecurrentContainer(jelly.LIFNode(), 32, 32)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), inner, nn.Linear(32, 10))
    with torch.no_grad():
        model[1].weight.mul_(6)
    return model


class Twice(nn.Module):
    """One neuron module for two layers: its state carries over from one to the other."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.lif, self.head = jelly.LIFNode(), nn.Linear(512, 10)
        with torch.no_grad():
            self.a.weight.mul_(8)
            self.b.weight.mul_(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lif(self.b(self.lif(self.a(x)))).flatten(1))


class Inside(nn.Module):
    """Time inside the model: T copies in front, merged with the batch around stateless layers, mean at the end."""

    def __init__(self, ticks: int = 4) -> None:
        super().__init__()
        self.ticks, self.conv, self.norm = ticks, nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.lif, self.head = jelly.LIFNode(step_mode="m"), nn.Linear(512, 10)
        with torch.no_grad():
            self.conv.weight.mul_(4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(0).repeat(self.ticks, 1, 1, 1, 1)
        t, b = x.shape[:2]
        x = self.norm(self.conv(x.flatten(0, 1))).reshape(t, b, 8, 8, 8)
        return self.head(self.lif(x).flatten(2)).mean(0)


class Loop(nn.Module):
    """A loop over T inside of ``forward``."""

    def __init__(self, ticks: int = 4) -> None:
        super().__init__()
        self.ticks, self.net = ticks, net()

    def forward(self, x: Tensor) -> Tensor:
        return sum(self.net(x) for _ in range(self.ticks)) / self.ticks


class Unmarked(nn.Module):
    """A multi-step neuron where axis 0 is the batch: samples become ticks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.lif, self.head = nn.Linear(64, 32), jelly.LIFNode(step_mode="m"), nn.Linear(32, 10)
        with torch.no_grad():
            self.stem.weight.mul_(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lif(self.stem(x.flatten(1))))


class TokenMean(nn.Module):
    """A neuron behind a mean over tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.lif = nn.Conv2d(1, 8, 3, padding=1), jelly.LIFNode()
        self.mix, self.last, self.head = nn.Conv2d(8, 8, 3, padding=1), jelly.LIFNode(), nn.Linear(8, 10)
        with torch.no_grad():
            self.stem.weight.mul_(4)
            self.mix.weight.mul_(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.last(self.mix(self.lif(self.stem(x))).flatten(2).mean(2)))


def identity() -> nn.Module:
    """Weights of exactly 1 and thresholds of 1: every membrane ties."""
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(4):
        linear = nn.Linear(16, 16, bias=False)
        with torch.no_grad():
            linear.weight.copy_(torch.eye(16))
        layers += [linear, jelly.IFNode()]
    return nn.Sequential(*layers, nn.Linear(16, 5))


def hooked(register: Callable[[nn.Sequential], Any]) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        model = net()
        register(model)
        return model

    return make


def replaced() -> nn.Module:
    """``forward`` replaced on the instance."""
    model = net()
    own = model.forward
    model.forward = lambda x: own(x) * 2
    return model


def spiking(make: Callable[[], nn.Module], ticks: int = 6, shape: tuple[int, ...] = DIGIT) -> Case:
    return Case(make, shape, ticks)


CASES: dict[str, Case] = {
    "clamped silu": tokens(lambda x: _silu(x.clamp(max=10.0))),
    "clamped quick gelu": tokens(lambda x: _silu(x.clamp(-10.0, 10.0), 1.702)),
    "clamped tanh gelu": tokens(lambda x: _tanh_gelu(x.clamp(-12.0, 12.0))),
    "long": tokens(lambda x: (x * 4).long().to(x.dtype)),
    "int32": tokens(lambda x: x.to(torch.int32).to(x.dtype)),
    "bool": tokens(lambda x: x.bool().to(x.dtype) * 2),
    "half": tokens(lambda x: x.half().to(x.dtype)),
    "in-place product of a slice": tokens(_scaled_slice),
    "in-place sum under two names": tokens(_alias),
    "assignment to an index": tokens(_filled),
    "in-place through a view": tokens(_through_view),
    "batch size as a number": tokens(lambda x: x / x.shape[0]),
    "mean over samples": tokens(lambda x: x - x.mean(0, keepdim=True)),
    "random number": tokens(lambda x: x + torch.randn(16, 16, dtype=x.dtype)),
    "dropout left on": tokens(lambda x: F.dropout(x, 0.5, training=True)),
    "branch on values": tokens(_branch),
    "square": tokens(lambda x: F.relu(x) ** 2),
    "reorder": tokens(lambda x: x[..., torch.tensor([3, 1, 2, 0] * 4)].flip(1)),
    "einsum": tokens(lambda x: torch.einsum("bnc,bmc->bnm", x, x) @ x / 64),
    "optional argument": Case(lambda: Tokens(lambda x: x, gain=1.0)),
    "leaky read-out": spiking(lambda: net(Leaky())),
    "calls counted": spiking(lambda: net(Counting())),
    "average in a buffer": spiking(lambda: net(Averaging())),
    "lif written out": spiking(lambda: net(lif=OwnLif)),
    "recurrent container": spiking(recurrent),
    "feedback": spiking(Feedback),
    "one neuron for two layers": spiking(Twice),
    "time inside": spiking(Inside, 1),
    "loop over time": spiking(Loop, 1),
    "batch taken for time": spiking(Unmarked),
    "learned time constant": spiking(lambda: net(lif=jelly.ParametricLIFNode)),
    "soft reset": spiking(lambda: net(lif=lambda: jelly.LIFNode(v_reset=None))),
    "reset elsewhere": spiking(lambda: net(lif=lambda: jelly.LIFNode(v_reset=-0.25))),
    "input not decayed": spiking(lambda: net(lif=lambda: jelly.LIFNode(decay_input=False))),
    "mean then fire": spiking(TokenMean),
    "threshold equals weight": spiking(identity, shape=(1, 4, 4)),
    "hook of a neuron": spiking(hooked(lambda m: m[2].register_forward_hook(lambda module, args, out: out * 0.5))),
    "pre-hook of the root": spiking(hooked(lambda m: m.register_forward_pre_hook(lambda module, args: (args[0] * 3,)))),
    "forward replaced": spiking(replaced),
}  # fmt: skip
