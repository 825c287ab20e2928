"""Networks whose forward is a loop over ticks with neurons of its own, written out as users write them."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.unit.frontends.stateful import Spike

TICKS = 4


class Looped(nn.Module):
    """A layer, neurons, and a head; 64 numbers, 5 classes."""

    def __init__(self, ticks: int = TICKS) -> None:
        super().__init__()
        self.first, self.back, self.head = nn.Linear(64, 12), nn.Linear(12, 12, bias=False), nn.Linear(12, 5)
        self.ticks, self.tau = ticks, 0.5
        with torch.no_grad():
            self.first.weight.mul_(3)
            self.head.weight.mul_(2)

    def rest(self, x: Tensor, value: float = 0.0) -> Tensor:
        return torch.full((x.shape[0], 12), value)

    def drive(self, x: Tensor) -> Tensor:
        return self.first(x.flatten(1))


class Soft(Looped):
    """Tensors before the loop, a list behind it."""

    def forward(self, x: Tensor) -> Tensor:
        mem, out = torch.zeros(x.shape[0], 12), []
        for _ in range(self.ticks):
            mem = 0.5 * mem + self.drive(x)
            spikes = (mem > 1).to(x.dtype)
            mem = mem - spikes
            out.append(self.head(spikes))
        return torch.stack(out).mean(0)


class Number(Looped):
    """Begins at a number of Python's, of which the first tick makes less."""

    def forward(self, x: Tensor) -> Tensor:
        mem: Any = 0
        out = []
        for _ in range(self.ticks):
            mem = mem * self.tau + self.drive(x)
            spikes = Spike.apply(mem - 1.0)
            mem = (1 - spikes) * mem
            out.append(spikes)
        return self.head(torch.stack(out, 1)).mean(1)


class Nothing(Looped):
    """Begins at None."""

    def forward(self, x: Tensor) -> Tensor:
        mem, out = None, 0
        for _ in range(self.ticks):
            mem = self.drive(x) if mem is None else 0.5 * mem + self.drive(x)
            spikes = torch.heaviside(mem - 1, torch.zeros((), dtype=x.dtype))
            mem = mem - spikes
            out = out + self.head(spikes)
        return out


class Recorded(Looped):
    """What the voltages were is kept on the module, where nothing reads it."""

    record: Any = None

    def forward(self, x: Tensor) -> Tensor:
        mem, out, record = 0, 0, []
        for _ in range(self.ticks):
            mem = 0.5 * mem + self.drive(x)
            record.append(mem.detach().cpu().clone())
            spikes = (mem > 1).to(x.dtype)
            mem = mem * (1 - spikes)
            out = out + self.head(spikes)
        self.record = torch.stack(record)
        return out


@torch.jit.script
def _charged(voltage: torch.Tensor, x: torch.Tensor, kept: float) -> tuple[torch.Tensor, torch.Tensor]:
    voltage = kept * voltage + x
    spikes = (voltage >= 1.0).to(x)
    return spikes, voltage - spikes


class Compiled(Looped):
    """A tick is a function that was compiled."""

    def forward(self, x: Tensor) -> Tensor:
        voltage, out = torch.zeros(x.shape[0], 12), 0
        for _ in range(self.ticks):
            spikes, voltage = _charged(voltage, self.drive(x), 0.5)
            out = out + self.head(spikes)
        return out


class Written(Looped):
    """One module spells out two populations; it writes ticks into the last axis, and reads spikes from there."""

    def __init__(self) -> None:
        super().__init__()
        self.spikes = _Written()

    def forward(self, x: Tensor) -> Tensor:
        every = torch.zeros(x.shape[0], 12, self.ticks)
        for t in range(self.ticks):
            every[..., t] = self.drive(x)
        sent = self.spikes(every)
        heads = torch.zeros(x.shape[0], 5, self.ticks)
        for t in range(self.ticks):
            heads[..., t] = 2 * self.head(sent[..., t])
        return self.spikes(heads).sum(-1)


class _Written(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        mem, out = torch.zeros(x.shape[:-1]), torch.zeros(x.shape)
        for t in range(x.shape[-1]):
            mem = 0.5 * mem * (1 - out[..., max(t - 1, 0)]) + x[..., t]
            out[..., t] = Spike.apply(mem - 0.5)
        return out


class Otherwise(Looped):
    """The first tick is written in a line of its own; ticks are written into the first axis."""

    def forward(self, x: Tensor) -> Tensor:
        every = self.drive(x).repeat(self.ticks, 1, 1)
        out, mem, spikes = torch.zeros_like(every), torch.zeros_like(every[0]), torch.zeros_like(every[0])
        for t in range(self.ticks):
            if t >= 1:
                mem = mem * 0.25 * (1 - spikes.detach()) + every[t]
            else:
                mem = every[t]
            spikes = (mem > 0.5).to(x.dtype)
            mem = mem.clone()
            out[t] = spikes
        return self.head(out).mean(0)


class Begins(Looped):
    """Rests at a value, to which it returns."""

    def forward(self, x: Tensor) -> Tensor:
        mem, out = self.rest(x, 0.25), 0
        for _ in range(self.ticks):
            mem = mem + (self.drive(x) - (mem - 0.25)) / 2.0
            spikes = (mem >= 1).to(x.dtype)
            mem = torch.where(spikes > 0, 0.25, mem)
            out = out + self.head(spikes)
        return out / self.ticks


class Spikes(Looped):
    """The last spikes are a second state; two layers, of which one is read by its membrane."""

    def forward(self, x: Tensor) -> Tensor:
        mem = spikes = torch.zeros_like(self.drive(x))
        read: Any = 0.0
        for _ in range(self.ticks):
            mem = mem * 0.25 * (1.0 - spikes) + self.drive(x)
            spikes = mem.gt(0.5).to(x.dtype)
            read = 0.75 * read + self.head(spikes)
        return read


class Recurrent(Looped):
    """Reads its own spikes of the tick before."""

    def forward(self, x: Tensor) -> Tensor:
        mem, last, out = self.rest(x), self.rest(x), 0
        for _ in range(self.ticks):
            mem = 0.5 * mem + self.drive(x) + self.back(last)
            last = (mem >= 1).to(x.dtype)
            mem = mem * (1 - last)
            out = out + self.head(last)
        return out


class Late(Looped):
    """Reads what it was given a tick before."""

    def forward(self, x: Tensor) -> Tensor:
        mem, last, out = self.rest(x), self.rest(x), 0
        for _ in range(self.ticks):
            current = self.drive(x)
            mem, last = 0.5 * mem + last, current
            spikes = (mem >= 1).to(x.dtype)
            mem = mem * (1 - spikes)
            out = out + spikes
        return self.head(out)


class Layers(nn.Module):
    """Layers in a list, inside of the ticks."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in ((64, 16), (16, 12), (12, 5)))
        for layer in self.layers:
            nn.init.uniform_(layer.weight, -0.3, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        state = [torch.zeros(x.shape[0], layer.out_features) for layer in self.layers]
        out = []
        for _ in range(TICKS):
            y = x.flatten(1)
            for k, layer in enumerate(self.layers):
                state[k] = 0.75 * state[k] + layer(y)
                y = (state[k] >= 1.0).to(x.dtype)
                state[k] = state[k] - y
            out.append(y)
        return torch.stack(out).sum(0)


class Steps(nn.Module):
    """A layer of neurons that takes (batch, ticks, ...) and has the loop inside."""

    def forward(self, x: Tensor) -> Tensor:
        mem: Any = 0
        out = []
        for t in range(x.shape[1]):
            mem = mem * 0.5 + x[:, t, ...]
            spikes = Spike.apply(mem - 1.0)
            mem = (1 - spikes) * mem
            out.append(spikes)
        return torch.stack(out, dim=1)


class Layerwise(nn.Module):
    """A loop in each layer of neurons; frames of its input, or copies of it."""

    def __init__(self, frames: bool = False) -> None:
        super().__init__()
        self.conv, self.one = nn.Conv2d(1, 6, 3, 1, 1), Steps()
        self.deep, self.two, self.head = nn.Conv2d(6, 8, 3, 2, 1), Steps(), nn.Linear(128, 5)
        self.frames = frames
        with torch.no_grad():
            self.conv.weight.mul_(3)
            self.deep.weight.mul_(4)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.frames else x.unsqueeze(1).repeat(1, TICKS, 1, 1, 1)
        for layer, neurons in ((self.conv, self.one), (self.deep, self.two)):
            ticks = x.shape[:2]
            x = neurons(layer(x.flatten(0, 1)).view(*ticks, layer.out_channels, *x.shape[3:]) if layer is self.conv
                        else layer(x.flatten(0, 1)).unflatten(0, ticks))  # fmt: skip
        return self.head(x.flatten(2)).mean(1)


class Frames(nn.Module):
    """A function for each layer, as STBP code has it, over the frames of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3, 1, 1), nn.Linear(64, 5)
        with torch.no_grad():
            self.conv.weight.mul_(3)
            self.head.weight.mul_(3)

    @staticmethod
    def updated(layer: nn.Module, x: Tensor, mem: Tensor, spikes: Tensor) -> tuple[Tensor, Tensor]:
        mem = mem * 0.25 * (1.0 - spikes) + layer(x)
        return mem, mem.ge(0.5).to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        mem = spikes = torch.zeros(x.shape[0], 4, 8, 8)
        last = fired = count = torch.zeros(x.shape[0], 5)
        for t in range(x.shape[1]):
            mem, spikes = self.updated(self.conv, x[:, t], mem, spikes)
            last, fired = self.updated(self.head, F.avg_pool2d(spikes, 2).flatten(1), last, fired)
            count = count + fired
        return count / x.shape[1]


class Gates(nn.Module):
    """A gated linear recurrence over the frames of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.keep, self.new, self.head = nn.Linear(64, 8), nn.Linear(64, 8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[0], 8)
        for t in range(x.shape[1]):
            frame = x[:, t].flatten(1)
            keep = torch.sigmoid(self.keep(frame))
            h = keep * h + torch.tanh(self.new(frame)) * (1 - keep)
        return self.head(h)


class Refractory(Looped):
    """No registered model is silent for a tick after a spike."""

    def forward(self, x: Tensor) -> Tensor:
        mem, last, out = self.rest(x), self.rest(x), 0
        for _ in range(self.ticks):
            mem = mem * 0.5 + self.drive(x)
            spikes = (mem >= 1).to(x.dtype) * (1 - last)
            mem, last = mem * (1 - spikes), spikes
            out = out + self.head(spikes)
        return out


class FromInput(Looped):
    """Begins at what it is given."""

    def forward(self, x: Tensor) -> Tensor:
        mem, out = self.drive(x), 0
        for _ in range(self.ticks):
            mem = mem * 0.5 + self.drive(x)
            spikes = (mem >= 1).to(x.dtype)
            mem, out = mem * (1 - spikes), out + self.head(spikes)
        return out


class Membrane(Looped):
    """Returns the membrane of a neuron that fires."""

    def forward(self, x: Tensor) -> Tensor:
        mem = self.rest(x)
        for _ in range(self.ticks):
            mem = mem * 0.5 + self.drive(x)
            mem = mem - (mem >= 1).to(x.dtype)
        return mem


class Forgetful(Looped):
    """Leaks by another factor at each tick."""

    def forward(self, x: Tensor) -> Tensor:
        mem, out = self.rest(x), 0
        for t in range(self.ticks):
            mem = mem * (0.5 / (t + 1)) + self.drive(x)
            spikes = (mem >= 1).to(x.dtype)
            mem, out = mem * (1 - spikes), out + self.head(spikes)
        return out


class Strong(Looped):
    """Is given more in its first tick."""

    def forward(self, x: Tensor) -> Tensor:
        mem, out = self.rest(x), 0
        for t in range(self.ticks):
            current = self.drive(x) * 2 if t == 0 else self.drive(x)
            mem = mem * 0.5 + current
            spikes = (mem >= 1).to(x.dtype)
            mem, out = mem * (1 - spikes), out + self.head(spikes)
        return out


class Biased(Looped):
    """What feeds back is more than a connection, and absent in the first tick."""

    def forward(self, x: Tensor) -> Tensor:
        mem, last, out = self.rest(x), None, 0
        for _ in range(self.ticks):
            current = self.drive(x)
            if last is not None:
                current = current + F.linear(last, self.back.weight, torch.ones(12, dtype=x.dtype))
            mem = mem * 0.5 + current
            last = (mem >= 1).to(x.dtype)
            mem, out = mem * (1 - last), out + self.head(last)
        return out


#: what has to come in as it is, and the models of its neurons
EQUAL = {
    Soft: ["general_lif"], Number: ["lif"], Nothing: ["general_lif"], Recorded: ["general_lif"],
    Written: ["lif"] * 2, Otherwise: ["general_lif"], Compiled: ["inclusive_lif"], Begins: ["lif"],
    Spikes: ["general_lif", "leaky_integrator"], Recurrent: ["lif"], Late: ["leaky_integrator", "lif"],
    Layers: ["inclusive_lif"] * 3, Layerwise: ["lif", "lif"], Frames: ["lif", "lif"],
    Gates: ["gated_integrator"],
}  # fmt: skip
#: what has not, and the code that says why
REFUSED = {
    Refractory: "ND157", FromInput: "ND157", Membrane: "ND157", Forgetful: "ND160", Strong: "ND160", Biased: "ND160",
}  # fmt: skip
