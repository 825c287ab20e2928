"""Spiking neurons as torch modules, and the three helpers that drive a network made of them.

A network is written once, as what happens in one tick. Its neurons decide how time runs:

- ``step_mode == "s"``: tensors are ``(B, ...)``, one call is one tick, state is kept until :func:`reset`.
- ``step_mode == "m"``: tensors are ``(T*B, ...)``, time-major, one call is a whole sample from rest; the neuron
  views ``(T, B, ...)`` and loops over T. Everything else in the network is stateless and sees a large batch.

Parameters are plain attributes (``v_threshold``, ``beta``, ``v_reset``), so that an importer can read them.
For torch.fx the neurons are leaves (see :func:`is_neuron`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

#: Half width of the surrogate gradient, in units of the threshold's own scale.
SURROGATE_WIDTH = 1.0


def _window(distance: Tensor) -> Tensor:
    """A triangle of area one around the threshold: the derivative that training sees instead of a Dirac pulse."""
    return torch.clamp(1.0 - distance.abs() / SURROGATE_WIDTH, min=0.0) / SURROGATE_WIDTH


class _Fire(torch.autograd.Function):
    """``S = 1 if U >= Vth else 0`` forward, a triangle backward."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, v_threshold: float) -> Tensor:
        ctx.save_for_backward(u)
        ctx.v_threshold = v_threshold
        return (u >= v_threshold).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (u,) = ctx.saved_tensors
        return grads[0] * _window(u - ctx.v_threshold), None


class _FireSigned(torch.autograd.Function):
    """``S = sign(U) if |U| >= Vth else 0`` forward, one triangle per threshold backward."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, v_threshold: float) -> Tensor:
        ctx.save_for_backward(u)
        ctx.v_threshold = v_threshold
        return torch.sign(u) * (u.abs() >= v_threshold).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (u,) = ctx.saved_tensors
        return grads[0] * _window(u.abs() - ctx.v_threshold), None


class Neuron(nn.Module):
    """A population without a fixed shape: ``tick`` says what one tick does, ``forward`` runs one or T of them."""

    def __init__(self) -> None:
        super().__init__()
        self.step_mode = "s"
        self.timesteps = 1
        self.state: Tensor | None = None

    def tick(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Input current and state of one tick to (output, next state)."""
        raise TypeError(f"{type(self).__name__} does not say what one tick does")

    def reset(self) -> None:
        """Forget the state: what has to happen between two samples."""
        self.state = None

    def forward(self, x: Tensor) -> Tensor:
        """One tick of ``(B, ...)``, or a whole sample of ``(T*B, ...)``: see the head of the file."""
        return self._whole_sample(x) if self.step_mode == "m" else self._one_tick(x)

    def _one_tick(self, x: Tensor) -> Tensor:
        state = torch.zeros_like(x) if self.state is None else self.state
        out, self.state = self.tick(x, state)
        return out

    def _whole_sample(self, x: Tensor) -> Tensor:
        ticks = x.unflatten(0, (self.timesteps, -1))
        state = torch.zeros_like(ticks[0])
        out = []
        for current in ticks.unbind(0):
            spikes, state = self.tick(current, state)
            out.append(spikes)
        return torch.stack(out).flatten(0, 1)


class _Lif(Neuron):
    """The parameters that the two A2OS2A neurons share; the state is H, zero at rest."""

    def __init__(self, v_threshold: float = 0.5, beta: float = 0.25, v_reset: float = 0.0) -> None:
        super().__init__()
        self.v_threshold = v_threshold
        self.beta = beta
        self.v_reset = v_reset

    def extra_repr(self) -> str:
        return f"v_threshold={self.v_threshold}, beta={self.beta}, v_reset={self.v_reset}"


class BinaryLif(_Lif):
    """``U = H + X;  S = [U >= Vth];  H = Vreset*S + beta*U*(1 - S)``: spikes in {0, 1} (A2OS2A, SN^b)."""

    def tick(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Fires at equality; the leak multiplies what is left after the reset, the input is not scaled."""
        u = state + x
        s = _Fire.apply(u, self.v_threshold)
        return s, self.v_reset * s + self.beta * u * (1.0 - s)


class TernaryLif(_Lif):
    """``U = H + X;  S = sign(U)*[|U| >= Vth];  H = Vreset*S + beta*U*(1 - |S|)``: spikes in {-1, 0, 1} (SN^t)."""

    def tick(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """As :class:`BinaryLif`, with a second threshold at -Vth."""
        u = state + x
        s = _FireSigned.apply(u, self.v_threshold)
        return s, self.v_reset * s + self.beta * u * (1.0 - s.abs())


class Lif(Neuron):
    """``H = V + (X - V)/tau;  S = [H >= Vth];  V = H (1 - S)``, or ``H - Vth S`` with ``soft``.

    The neuron of Spikformer and its relatives: SpikingJelly's LIFNode with ``decay_input``, at rest at 0.
    """

    def __init__(self, tau: float = 2.0, v_threshold: float = 1.0, soft: bool = False) -> None:
        super().__init__()
        self.tau = tau
        self.v_threshold = v_threshold
        self.soft = soft

    def tick(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Fires at equality; no gradient passes through the reset."""
        h = state + (x - state) / self.tau
        s = _Fire.apply(h, self.v_threshold)
        fired = s.detach()
        return s, h - self.v_threshold * fired if self.soft else h * (1.0 - fired)


class Count(nn.Module):
    """``clip(round(x), 0, most) / norm``: the integer neuron of Spike-driven Transformer v3 at its one tick.

    Halves go to even counts, as in :func:`torch.round`; stateless. The gradient is one between 0 and ``most``.
    """

    def __init__(self, most: int = 4, norm: int = 4) -> None:
        super().__init__()
        self.most = most
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the shape of its input."""
        inside = torch.clamp(x, 0, self.most)
        counts = torch.round(inside)
        if self.training:
            counts = inside + (counts - inside).detach()
        return counts / self.norm


class _Straight(torch.autograd.Function):
    """``above`` where ``x >= 0``, else ``below``; the gradient passes where ``|x| <= 1``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, below: float) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, below).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grads[0] * (x.abs() <= 1), None


class Sign(nn.Module):
    """``S = 1 if X >= 0 else -1``: stateless, never silent (networks of binary activations)."""

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the shape of its input."""
        return _Straight.apply(x, -1.0)


class Step(nn.Module):
    """``S = 1 if X > threshold else 0``: stateless."""

    def __init__(self, threshold: float = 0.0) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the shape of its input; the gradient passes near the threshold."""
        return 1.0 - _Straight.apply(self.threshold - x, 0.0)


class GradedReLU(Neuron):
    """``K = max(0, X)``: stateless, sends its value (A2OS2A's keys; an unsigned graded spike once quantised)."""

    def tick(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The state passes through untouched."""
        return torch.relu(x), state

    def forward(self, x: Tensor) -> Tensor:
        """The same in both step modes, since nothing is remembered."""
        return torch.relu(x)


def is_neuron(module: nn.Module) -> bool:
    """Whether torch.fx should treat this module as a leaf because it is a neuron."""
    return isinstance(module, Neuron)


def neurons(model: nn.Module) -> list[Neuron]:
    """All neurons of a network, in registration order."""
    return [m for m in model.modules() if isinstance(m, Neuron)]


def reset(model: nn.Module) -> None:
    """Put every neuron back to rest."""
    for neuron in neurons(model):
        neuron.reset()


def set_step_mode(model: nn.Module, mode: str, timesteps: int = 1) -> None:
    """Make one call one tick (``"s"``) or a whole sample of ``timesteps`` ticks (``"m"``); state is forgotten.

    Raises ValueError for another mode or fewer than one tick.
    """
    if mode not in ("s", "m") or timesteps < 1:
        raise ValueError(
            f"step mode must be 's' or 'm' with at least one tick, not {mode!r} with {timesteps}"
        )
    for neuron in neurons(model):
        neuron.step_mode, neuron.timesteps = mode, timesteps
        neuron.reset()


def run(model: nn.Module, x: Tensor, timesteps: int) -> Tensor:
    """Logits of every tick for a still image fed anew at each tick (direct coding), or for a frame for each tick.

    ``x`` is (B, C, H, W) or (B, T, C, H, W), the result (T, B, K). The step mode of the model is left at ``"m"``.
    """
    set_step_mode(model, "m", timesteps)
    frames = x.transpose(0, 1) if x.ndim == 5 else x.unsqueeze(0).expand(timesteps, *x.shape)
    return model(frames.flatten(0, 1)).unflatten(0, (timesteps, -1))
