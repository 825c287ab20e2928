"""Torch modules that remember something in ways of their own, and the truth about them: calling them tick by tick."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from neurodeploy.array import Array


class Spike(torch.autograd.Function):
    """A surrogate gradient as users write it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * (x.abs() < 1).to(x.dtype)


class Resting(nn.Module):
    """Begins at ``v = begin`` after a reset."""

    begin: Any = 0.0

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        vars(self).update(settings)
        self.reset()

    def reset(self) -> None:
        self.v: Any = self.begin
        self.s: Any = self.begin


class Leaky(Resting):
    def forward(self, x: Tensor) -> Tensor:
        self.v = self.v * 0.9 + x
        return self.v


class Average(Resting):
    """Exponential; what is read is the distance from it."""

    def forward(self, x: Tensor) -> Tensor:
        self.v = self.v + 0.25 * (x - self.v)
        return x - self.v


class Sum(Resting):
    begin = None

    def forward(self, x: Tensor) -> Tensor:
        self.v = x if self.v is None else self.v + x
        return self.v


class Before(Resting):
    """Reads its state before it is written."""

    def forward(self, x: Tensor) -> Tensor:
        old = self.v
        self.v = 0.5 * self.v + x
        return x + old


class Buffered(nn.Module):
    """A buffer that is written in place; it grows to the batch in the first call."""

    def __init__(self) -> None:
        super().__init__()
        self.trace: Tensor
        self.register_buffer("trace", torch.zeros(()))

    def reset(self) -> None:
        self.trace = torch.zeros((), dtype=self.trace.dtype)

    def forward(self, x: Tensor) -> Tensor:
        if self.trace.dim() == 0:
            self.trace = torch.zeros_like(x)
        self.trace.mul_(0.75).add_(x)
        return self.trace * 2


class Lif(Resting):
    """Charge, fire, reset to zero; made of what torch has."""

    threshold, keep = 0.5, 0.5

    def forward(self, x: Tensor) -> Tensor:
        h = self.v * self.keep + x
        spikes = Spike.apply(h - self.threshold)
        self.v = h * (1 - spikes)
        return spikes


class Where(Resting):
    """Strict, and reset to a value by torch.where."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.v + (x - self.v) / 2.0
        fires = h > 0.25
        self.v = torch.where(fires, torch.full_like(h, -0.125), h)
        return fires.to(x.dtype)


class Soft(Resting):
    def forward(self, x: Tensor) -> Tensor:
        h = self.v + x
        spikes = (h >= 0.75).to(x.dtype)
        self.v = h - 0.75 * spikes
        return spikes


class Late(Resting):
    """snnTorch's: the threshold is subtracted in the tick after the spike."""

    def forward(self, x: Tensor) -> Tensor:
        reset = (self.v > 0.5).to(x.dtype) if isinstance(self.v, Tensor) else 0.0
        self.v = 0.875 * self.v + x - reset * 0.5
        return (self.v > 0.5).to(x.dtype)


class Two(Resting):
    """Membrane and last spikes as two attributes, as in STBP code."""

    def forward(self, x: Tensor) -> Tensor:
        self.v = self.v * 0.25 * (1 - self.s) + x
        self.s = (self.v >= 0.5).to(x.dtype)
        return self.s


class Synaptic(Resting):
    """A current and a voltage."""

    def forward(self, x: Tensor) -> Tensor:
        self.s = 0.5 * self.s + x
        h = 0.75 * self.v + self.s
        spikes = (h >= 0.5).to(x.dtype)
        self.v = h - h * spikes
        return spikes


class Pair(Resting):
    """Its two states in a tuple."""

    def forward(self, x: Tensor) -> Tensor:
        current, voltage = self.v if isinstance(self.v, tuple) else (0.0, 0.0)
        current = 0.5 * current + x
        voltage = 0.5 * voltage + current
        self.v = (current, voltage)
        return voltage


class Delayed(Resting):
    def forward(self, x: Tensor) -> Tensor:
        old = self.v
        self.v = x
        return x + 0.5 * old


class Gated(Resting):
    """A gated linear recurrence: the input decides what is kept."""

    def forward(self, x: Tensor) -> Tensor:
        keep = torch.sigmoid(3.0 * x - 1.0)
        self.v = keep * self.v + torch.tanh(x) * (1 - keep)
        return self.v


class Blended(Resting):
    """The same by one operator, with two terms that are added."""

    def forward(self, x: Tensor) -> Tensor:
        self.v = torch.addcmul(0.5 * x, torch.relu(x) / 4, torch.zeros_like(x) + self.v) - torch.sigmoid(x)
        return self.v


class Recorder(Resting):
    """Remembers what nothing reads."""

    def reset(self) -> None:
        self.calls = 0
        self.last: Tensor | None = None
        self.all: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        self.last = x.mean()
        self.all = {"x": x}
        return x * 2


class Refractory(Resting):
    """No registered model is silent for a tick after a spike."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.v * 0.5 + x
        spikes = (h >= 0.5).to(x.dtype) * (1 - self.s)
        self.v, self.s = h * (1 - spikes), spikes
        return spikes


class Product(Resting):
    """Not linear in what it remembers."""

    def forward(self, x: Tensor) -> Tensor:
        self.v = 0.1 * self.v * self.v + x
        return self.v


class Own(Resting):
    """A gate that is also what it adds."""

    def forward(self, x: Tensor) -> Tensor:
        self.v = self.v * x + x
        return self.v


class Clock(Resting):
    """A tick counter that is read."""

    def forward(self, x: Tensor) -> Tensor:
        self.v = self.v + 1
        return x / self.v


class Queue(Resting):
    """A list that grows and is read."""

    def reset(self) -> None:
        self.v = []

    def forward(self, x: Tensor) -> Tensor:
        self.v.append(x)
        return sum(self.v)


class Inside(nn.Module):
    """The recurrence in the forward of the whole network, with two layers and feedback from the second to the first."""

    def __init__(self, feedback: bool = True) -> None:
        super().__init__()
        self.first, self.second, self.back = nn.Linear(6, 8), nn.Linear(8, 5), nn.Linear(5, 8, bias=False)
        self.feedback = feedback
        self.reset()

    def reset(self) -> None:
        self.a = self.b = self.out = 0.0

    def forward(self, x: Tensor) -> Tensor:
        u = self.first(x)
        if self.feedback and isinstance(self.out, (Tensor, object)) and not isinstance(self.out, float):
            u = u + self.back(self.out)
        a = 0.75 * self.a + 4 * u
        fired = (a >= 0.5).to(x.dtype)
        self.a = a * (1 - fired)
        b = 0.5 * self.b + self.second(fired)
        self.out = (b >= 0.125).to(x.dtype)
        self.b = b * (1 - self.out)
        return self.out


class FirstInput(Resting):
    """An average that begins at its first input, which no neuron does."""

    begin = None

    def forward(self, x: Tensor) -> Tensor:
        self.v = x if self.v is None else 0.5 * self.v + 0.5 * x
        return self.v


class Asks(Resting):
    """Begins anew where its state is no tensor, as a proxy is none."""

    def forward(self, x: Tensor) -> Tensor:
        if not isinstance(self.v, Tensor):
            self.v = torch.zeros_like(x)
        self.v = 0.5 * self.v + x
        return self.v


class Recurrent(nn.Module):
    """A layer that reads its input beside its own spikes of the tick before, as SpikingJelly's container does."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.both, self.spiking = nn.Linear(12, 6, bias), Lif()
        with torch.no_grad():
            self.both.weight.mul_(3)
        self.reset()

    def reset(self) -> None:
        self.y: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.y is None:
            self.y = torch.zeros_like(x)
        self.y = self.spiking(self.both(torch.cat((x, self.y), -1)))
        return self.y


class Back(nn.Module):
    """Remembers what its spikes became behind weights; with a bias that is no connection, but a value that is kept."""

    def __init__(self, bias: bool = False) -> None:
        super().__init__()
        self.spiking, self.back = Lif(), nn.Linear(6, 6, bias)
        self.reset()

    def reset(self) -> None:
        self.last: Any = 0.0

    def forward(self, x: Tensor) -> Tensor:
        y = self.spiking(x + self.last)
        self.last = self.back(y)
        return y


class Index(Resting):
    """A state that is written by index."""

    begin = None

    def forward(self, x: Tensor) -> Tensor:
        if self.v is None:
            self.v = torch.zeros_like(x)
        self.v[:] = 0.5 * self.v + x
        return self.v + x


#: what has to come in as it is, by its name
EQUAL = (
    Leaky, Average, Buffered, Before, Lif, Where, Soft, Late, Two, Synaptic, Pair, Delayed, Recorder, Sum, Asks,
    Recurrent, Back, Index, Gated, Blended, Own,
)  # fmt: skip
#: what no registered neuron computes
REFUSED = (Refractory, Product, Clock, Queue, FirstInput)


def network(module: nn.Module, width: int = 6) -> nn.Module:
    """The module between two layers, in double precision: inputs of 4 numbers, outputs of 3."""
    torch.manual_seed(0)
    first = nn.Linear(4, width)
    with torch.no_grad():
        first.weight.mul_(2)
    return nn.Sequential(first, module, nn.Linear(width, 3)).double().eval()


def every_tick(model: nn.Module, raw: Array, ticks: int, scale: float = 1 / 16) -> Array:
    """What a copy of the module returns at each call, from rest."""
    model = copy.deepcopy(model).eval().double()
    for module in model.modules():
        if hasattr(module, "reset"):
            module.reset()
    with torch.no_grad():
        x = torch.tensor(raw, dtype=torch.float64) * scale
        return torch.stack([model(x) for _ in range(ticks)]).numpy()
