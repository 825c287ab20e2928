"""A hypothesis strategy for torch modules: random programs of operators, views, casts, writes in place and aliases.

``programs()`` grows a pool of tensors by random moves, run on a real batch as they are drawn, so that every program
runs. What a program returns reads all tensors of the pool, so that a write that is seen under another name counts.

    @given(programs())
    def test_something(program):
        equal_or_refused(program, torch_fx)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

from neurodeploy.errors import ImportModelError
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.ir import interp
from neurodeploy.sources import zoo

SHAPE = (4, 4, 4)
SCALE, OFFSET, LEVELS = 0.25, -1.0, 17
LARGEST = 1e4  # of any value while drawing: a program that runs away tells nothing

Pick = Callable[[int], int]
#: what a move yields: a new tensor of the pool, or nothing where it wrote into one
Apply = Callable[..., Any]
Move = Callable[[Pick, Tensor], Apply]

MOVES: dict[str, Move] = {}
#: moves whose second operand is another tensor of the pool
PAIRS: dict[str, Move] = {}


def move(table: dict[str, Move]) -> Callable[[Move], Move]:
    def declare(function: Move) -> Move:
        table[function.__name__.strip("_")] = function
        return function

    return declare


def constant(pick: Pick, *sizes: int) -> Tensor:
    """Numbers that are no round ones, so that no sum of products meets a threshold or a bend."""
    return torch.randn(sizes, generator=torch.Generator().manual_seed(pick(1 << 16)), dtype=torch.float64)


def axis_of(pick: Pick, x: Tensor) -> int:
    """An axis beside the batch, counted from either end."""
    axis = 1 + pick(x.ndim - 1)
    return axis - x.ndim if pick(2) else axis


def number(pick: Pick) -> float:
    return (0.37, -1.3, 2.0, 0.81, 5.3)[pick(5)]


# --- functions ---------------------------------------------------------------------------------------------------


@move(MOVES)
def activation(pick: Pick, x: Tensor) -> Apply:
    return (F.relu, F.gelu, F.silu, torch.tanh, lambda x: F.gelu(x, approximate="tanh"))[pick(5)]


@move(MOVES)
def bent(pick: Pick, x: Tensor) -> Apply:
    c = number(pick)
    return (
        lambda x: x.clamp(max=c), lambda x: x.clamp(min=-abs(c)), lambda x: torch.clamp(x, -abs(c), abs(c)), F.relu6,
        torch.abs, lambda x: F.leaky_relu(x, 0.1), F.hardtanh, F.hardswish, F.hardsigmoid, torch.sigmoid,
        lambda x: torch.clamp_min(x, c), F.elu, F.softplus, F.mish,
    )[pick(14)]  # fmt: skip


@move(MOVES)
def spelled(pick: Pick, x: Tensor) -> Apply:
    c = (6.0, 10.0, 25.0, 1000.0)[pick(4)]
    clamp: Apply = (
        lambda x: x,
        lambda x: x.clamp(max=c),
        lambda x: x.clamp(-c, c),
        lambda x: x.clamp(min=-c),
    )[pick(4)]
    gain = (1.0, 20.0)[pick(2)]
    function: Apply = (
        lambda x: x * torch.sigmoid(x),
        lambda x: x * torch.sigmoid(1.702 * x),
        lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)),
        lambda x: 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))),
        lambda x: (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + 1e-5),
        lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6),
    )[pick(6)]
    return lambda x: function(clamp(x * gain))


@move(MOVES)
def with_number(pick: Pick, x: Tensor) -> Apply:
    c = number(pick)
    return (
        lambda x: x * c, lambda x: x + c, lambda x: c - x, lambda x: x / c, lambda x: -x, lambda x: x - c,
        lambda x: x**2, torch.square, lambda x: x.pow(3), lambda x: x // abs(c), lambda x: x % abs(c),
        lambda x: torch.maximum(x, torch.tensor(c)), lambda x: torch.minimum(x, torch.tensor(c)),
    )[pick(13)]  # fmt: skip


@move(MOVES)
def with_constant(pick: Pick, x: Tensor) -> Apply:
    c = constant(pick, *x.shape[1 + pick(x.ndim - 1) :])
    return (
        lambda x: x * c, lambda x: x + c, lambda x: x - c, lambda x: c - x, lambda x: torch.maximum(x, c),
        lambda x: x.masked_fill(c > 0.5, 0.0), lambda x: torch.where(c > 0, x, c), lambda x: torch.where(c > 0, 0.7, x),
        lambda x: x.masked_fill(c > 0.5, 1.5), lambda x: torch.addcmul(x, c, c, value=0.5),
    )[pick(10)]  # fmt: skip


@move(MOVES)
def softmax(pick: Pick, x: Tensor) -> Apply:
    axis = axis_of(pick, x)
    return lambda x: x.softmax(axis)


@move(MOVES)
def norm(pick: Pick, x: Tensor) -> Apply:
    width = x.shape[-1]
    c = constant(pick, width)
    return (lambda x: F.layer_norm(x, (width,), c, c), lambda x: F.layer_norm(x, x.shape[1:]))[pick(2)]


@move(MOVES)
def linear(pick: Pick, x: Tensor) -> Apply:
    w = constant(pick, 1 + pick(6), x.shape[-1]) / x.shape[-1] ** 0.5
    return (lambda x: F.linear(x, w), lambda x: x @ w.t(), lambda x: torch.einsum("...i,oi->...o", x, w))[
        pick(3)
    ]


@move(MOVES)
def convolution(pick: Pick, x: Tensor) -> Apply:
    k = constant(pick, 3, x.shape[1], 3, 2 + pick(2)) / 5
    form: dict[str, Any] = ({"padding": 1}, {"padding": "same", "dilation": 2})[pick(2)]
    turned = lambda x: F.conv_transpose2d(x, k.transpose(0, 1), stride=2, padding=1)
    if x.ndim == 4 and not pick(4):
        return turned
    return lambda x: F.conv2d(x, k, **form) if x.ndim == 4 else F.conv1d(x, k[..., 0], **form)


@move(MOVES)
def windows(pick: Pick, x: Tensor) -> Apply:
    axis = 1 + pick(x.ndim - 1)
    return (
        lambda x: F.max_pool2d(x, 2, 1, 1, 2), lambda x: F.avg_pool2d(x, 3, 2, 1, True, False),
        lambda x: F.unfold(x, 2, padding=1), lambda x: x.unfold(axis, 2, 1), lambda x: F.interpolate(x, size=5),
        lambda x: F.pad(x, (1, 0, 0, 1), mode="replicate"), lambda x: F.adaptive_avg_pool2d(x, 3),
    )[pick(7)]  # fmt: skip


# --- reductions and views ----------------------------------------------------------------------------------------


@move(MOVES)
def reduction(pick: Pick, x: Tensor) -> Apply:
    axis, keep = axis_of(pick, x), bool(pick(2))
    return (
        lambda x: x.mean(axis, keepdim=keep), lambda x: x.sum(axis, keepdim=keep), lambda x: x.amax(axis, keepdim=keep),
        lambda x: x.max(axis, keepdim=keep)[0], lambda x: x.mean(axis, keepdim=keep),
        lambda x: x.amin(axis, keepdim=keep), lambda x: x.cumsum(axis),
    )[pick(7)]  # fmt: skip


@move(MOVES)
def pooling(pick: Pick, x: Tensor) -> Apply:
    return (
        lambda x: F.max_pool2d(x, 2), lambda x: F.avg_pool2d(x, 2), lambda x: F.adaptive_avg_pool2d(x, 1),
    )[pick(3)]  # fmt: skip


@move(MOVES)
def reorder(pick: Pick, x: Tensor) -> Apply:
    axis, other = axis_of(pick, x), axis_of(pick, x)
    shift = pick(5) - 2
    return (
        lambda x: x.transpose(axis, other), lambda x: x.flip(axis), lambda x: x.roll(shift, axis),
        lambda x: x.movedim(axis, other), lambda x: x.swapaxes(axis, other), lambda x: x.flip((axis, other)),
        lambda x: x.transpose(axis, other).contiguous(), lambda x: torch.rot90(x, 1, (axis, other)),
    )[pick(8)]  # fmt: skip


@move(MOVES)
def reshape(pick: Pick, x: Tensor) -> Apply:
    axis = 1 + pick(x.ndim - 1)
    size = x.shape[axis]
    divisor = next((d for d in (2, 3, 5) if size % d == 0), 1)
    tail = tuple(x.shape[axis + 1 :])
    return (
        lambda x: x.flatten(1), lambda x: x.flatten(2) if x.ndim > 2 else x, lambda x: x.unflatten(axis, (divisor, -1)),
        lambda x: x.unsqueeze(axis), lambda x: x.squeeze(axis), lambda x: x.reshape(x.shape[0], -1, *tail),
        lambda x: x.reshape(x.shape[0], -1, divisor), lambda x: x.view(x.shape[0], -1),
        lambda x: x.view_as(x), lambda x: x.flatten(0, 1).unflatten(0, (x.shape[0], -1)),
    )[pick(10)]  # fmt: skip


def at(axis: int, step: Any) -> tuple[Any, ...]:
    """An index into one axis."""
    return (*[slice(None)] * axis, step)


@move(MOVES)
def part(pick: Pick, x: Tensor) -> Apply:
    axis = 1 + pick(x.ndim - 1)
    size = x.shape[axis]
    start, step = pick(size), 1 + pick(2)
    return (
        lambda x: x[at(axis, slice(start, None, step))], lambda x: x[at(axis, start)],
        lambda x: x.select(axis, start),
        lambda x: x.narrow(axis, start, size - start), lambda x: x.chunk(2, axis)[0], lambda x: x.split(2, axis)[-1],
        lambda x: x.unbind(axis)[-1], lambda x: x[..., : 1 + start], lambda x: x[..., None, -1],
        lambda x: x[at(axis, slice(None, None, 2))], lambda x: x.tensor_split(2, axis)[0],
    )[pick(11)]  # fmt: skip


@move(MOVES)
def gathered(pick: Pick, x: Tensor) -> Apply:
    axis = 1 + pick(x.ndim - 1)
    size = x.shape[axis]
    index = torch.tensor([pick(size) for _ in range(1 + pick(5))])
    at_axis = [-1 if d == axis else 1 for d in range(x.ndim)]
    mask = torch.tensor([i == 0 or bool(pick(2)) for i in range(size)])
    return (
        lambda x: x[at(axis, index)], lambda x: x[at(axis, index.tolist())], lambda x: x.index_select(axis, index),
        lambda x: x[at(axis, mask)], lambda x: x[at(axis, index[:, None])], lambda x: torch.take(x, index),
        lambda x: x[at(axis, -1 - index)], lambda x: x.take_along_dim(index.view(at_axis), axis),
    )[pick(8)]  # fmt: skip


@move(MOVES)
def repeated(pick: Pick, x: Tensor) -> Apply:
    axis = 1 + pick(x.ndim - 1)
    ones = [1] * x.ndim
    ones[axis] = 2
    return (
        lambda x: x.repeat(ones), lambda x: x.tile(ones), lambda x: x.repeat_interleave(2, axis),
        lambda x: torch.stack((x, x * 0.5), axis), lambda x: torch.cat((x, x * 0.5), axis),
        lambda x: torch.cat((x, torch.ones_like(x)), axis), lambda x: torch.cat((x, torch.empty(0)), axis),
        lambda x: F.pad(x, (1, 2)), lambda x: F.pad(x, (0, 1), value=0.7), lambda x: torch.hstack((x, x)),
        lambda x: x.unsqueeze(axis).expand(*x.shape[:axis], 3, *x.shape[axis:]), lambda x: torch.cat((x, x), -1),
    )[pick(12)]  # fmt: skip


# --- casts, randomness, the batch --------------------------------------------------------------------------------


@move(MOVES)
def cast(pick: Pick, x: Tensor) -> Apply:
    return (
        lambda x: x.double(), lambda x: x.to(x.dtype), lambda x: x.type_as(x), lambda x: x.float().to(x.dtype),
        lambda x: x.long().to(x.dtype), lambda x: x.to(torch.int32) * 0.5, lambda x: x.int().double(),
        lambda x: x.bool().double(), lambda x: x.half().to(x.dtype), lambda x: x.to(torch.bfloat16).double(),
        lambda x: (x > 0).to(x.dtype), lambda x: x.type(torch.int64).double(), lambda x: x.trunc(),
        lambda x: x.sum(-1, keepdim=True, dtype=torch.int64).double(), lambda x: x.round(), lambda x: x.sign(),
    )[pick(16)]  # fmt: skip


@move(MOVES)
def noise(pick: Pick, x: Tensor) -> Apply:
    return (
        lambda x: x + torch.randn(x.shape[1:], dtype=x.dtype), lambda x: x + torch.rand_like(x),
        lambda x: F.dropout(x, 0.5, training=True), lambda x: x * torch.bernoulli(torch.full((1,), 0.5)),
        lambda x: x + float(np.random.default_rng().random()) * 0, lambda x: F.dropout(x, 0.5, training=False),
        lambda x: x + torch.empty(1, dtype=x.dtype).normal_(),
    )[pick(7)]  # fmt: skip


@move(MOVES)
def batch(pick: Pick, x: Tensor) -> Apply:
    return (
        lambda x: x / x.shape[0], lambda x: x + len(x), lambda x: x.mean(0, keepdim=True) + x, lambda x: x * x.numel(),
        lambda x: x + torch.zeros(x.shape[0], 1, *x.shape[2:], dtype=x.dtype), lambda x: x.flip(0),
        lambda x: x + torch.full((x.shape[-1],), 1.0 / x.size(0), dtype=x.dtype), lambda x: x.reshape(x.size(0), -1),
        lambda x: x[: x.shape[0]], lambda x: x * (1.0 / x.shape[1]),
    )[pick(10)]  # fmt: skip


# --- two tensors -------------------------------------------------------------------------------------------------


@move(PAIRS)
def combined(pick: Pick, x: Tensor) -> Apply:
    return (
        lambda x, y: x + y, lambda x, y: x * y, lambda x, y: x - y, torch.maximum, torch.minimum,
        lambda x, y: torch.add(x, y, alpha=0.5), lambda x, y: torch.cat((x, y), -1),
        lambda x, y: torch.stack((x, y), 1),
        lambda x, y: torch.where(torch.arange(x.shape[-1]) % 2 == 0, x, y), lambda x, y: x + 0.5 * y,
        lambda x, y: torch.lerp(x, y, 0.3),
    )[pick(11)]  # fmt: skip


@move(PAIRS)
def product(pick: Pick, x: Tensor) -> Apply:
    return (
        lambda x, y: x @ y.transpose(-1, -2) / 4, lambda x, y: torch.matmul(x, y) / 4,
        lambda x, y: torch.einsum("bnc,bmc->bnm", x.flatten(2), y.flatten(2)) / 8,
        lambda x, y: torch.einsum("b...c,b...c->b...", x, y), lambda x, y: torch.einsum("bij,bik->bkj", x, y),
        lambda x, y: F.scaled_dot_product_attention(x, y, y),
    )[pick(6)]  # fmt: skip


# --- writes in place, and other names ----------------------------------------------------------------------------


@move(MOVES)
def alias(pick: Pick, x: Tensor) -> Apply:
    axis = axis_of(pick, x)
    return (
        lambda x: x, lambda x: x.detach(), lambda x: x[..., :2], lambda x: x.transpose(-1, axis),
        lambda x: x.flatten(1), lambda x: x.clone(), lambda x: x.select(axis, 0), lambda x: x.unsqueeze(1),
    )[pick(8)]  # fmt: skip


@move(MOVES)
def write(pick: Pick, x: Tensor) -> Apply:
    c, axis = number(pick), axis_of(pick, x)
    part = (slice(None),) * (axis % x.ndim) + (slice(0, 1 + pick(3), 1 + pick(2)),)

    def assigned(x: Tensor) -> None:
        x[part] = c

    def scaled(x: Tensor) -> None:
        x[part] *= c

    def added(x: Tensor) -> None:
        x += c

    def copied(x: Tensor) -> None:
        x.copy_(x.flip(axis))

    def half(x: Tensor) -> None:
        x[part] = x[part] * 0.5 + 1

    return (
        lambda x: (x[part].mul_(c), None)[1], assigned, scaled, added, copied,
        half, lambda x: (x.mul_(c), None)[1], lambda x: x.add_(c), lambda x: (F.relu(x, inplace=True), None)[1],
        lambda x: (x.transpose(-1, axis)[..., 0].add_(c), None)[1], lambda x: (x.fill_(c), None)[1],
        lambda x: (x.clamp_(-1.0, 1.0), None)[1], lambda x: (x.select(axis, 0).zero_(), None)[1], lambda x: x.relu_(),
        lambda x: (x.masked_fill_(torch.arange(x.shape[-1]) % 2 == 0, 0.0), None)[1],
    )[pick(15)]  # fmt: skip


@move(PAIRS)
def write_other(pick: Pick, x: Tensor) -> Apply:
    def added(x: Tensor, y: Tensor) -> None:
        x += y

    def assigned(x: Tensor, y: Tensor) -> None:
        x[..., :1] = y[..., :1]

    def multiplied(x: Tensor, y: Tensor) -> None:
        x *= y

    def filled(x: Tensor, y: Tensor) -> Tensor:
        room = torch.zeros(*x.shape[:-1], x.shape[-1] + 1, dtype=x.dtype)
        room[..., 1:] = x + y
        return room

    return (
        added, assigned, multiplied, filled, lambda x, y: (x.copy_(y), None)[1],
        lambda x, y: (x.flatten(1)[:, :1].add_(y.flatten(1)[:, :1]), None)[1],
        lambda x, y: (x.add_(y, alpha=0.5), None)[1],
    )[pick(7)]  # fmt: skip


# --- programs ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One move on tensors of the pool; what it yields, if anything, is their newest."""

    name: str
    sources: tuple[int, ...]
    apply: Apply

    def run(self, pool: list[Tensor]) -> None:
        result = self.apply(*(pool[i] for i in self.sources))
        if result is not None:
            pool.append(result)


class Program(nn.Module):
    """All steps; then everything in the pool, each tensor with weights of its own, summed to five outputs."""

    def __init__(self, steps: Sequence[Step], weights: Sequence[Tensor], text: str = "") -> None:
        super().__init__()
        self.steps, self.text = list(steps), text
        self.heads = nn.ParameterList(weights)
        self.neurons = nn.ModuleList(s.apply for s in steps if isinstance(s.apply, nn.Module))

    def forward(self, x: Tensor) -> Tensor:
        pool = [x]
        for step in self.steps:
            step.run(pool)
        return sum(F.linear(part.flatten(1), head) for part, head in zip(pool, self.heads, strict=True))

    def __repr__(self) -> str:
        return f"Program({self.text})"


class Looped(nn.Module):
    """A program that runs its ticks in a loop of its own."""

    def __init__(self, program: Program, ticks: int) -> None:
        super().__init__()
        self.program, self.ticks = program, ticks

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.program(x) for _ in range(self.ticks)])

    def __repr__(self) -> str:
        return f"Looped({self.program})"


class LIFNode(nn.Module):
    """SpikingJelly's, as its documentation writes it: the library itself is not needed."""

    __module__ = "spikingjelly.activation_based.neuron"
    tau, v_threshold, v_reset, decay_input, step_mode = 1.7, 1.03, 0.0, False, "s"

    def __init__(self) -> None:
        super().__init__()
        self.v: Tensor | float = 0.0

    def reset(self) -> None:
        self.v = 0.0

    def forward(self, x: Tensor) -> Tensor:
        h = self.v * (1 - 1 / self.tau) + x
        spike = (h >= self.v_threshold).to(x.dtype)
        self.v = h * (1 - spike)
        return spike


class Filter(nn.Module):
    """A state of a user's own: an exponential filter, or a memory of the last input."""

    def __init__(self, factor: float, feeds: float) -> None:
        super().__init__()
        self.factor, self.feeds = factor, feeds
        self.held: Tensor | float = 0.0

    def reset(self) -> None:
        self.held = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.held = self.factor * self.held + self.feeds * x
        return self.held - x


def _neuron(pick: Pick) -> nn.Module:
    spiking = zoo.submodule("spiking")
    if pick(4) == 0:
        return Filter((0.9, 0.5, 1.0)[pick(3)], (1.0, 0.1)[pick(2)])
    return (
        LIFNode,
        lambda: spiking.BinaryLif(v_threshold=1.03),
        lambda: spiking.TernaryLif(v_threshold=0.77),
    )[pick(3)]()


@st.composite
def programs(draw: Any, neurons: bool = False, most: int = 7) -> Program:
    """A random module; with ``neurons`` of spiking libraries among the moves, at least one."""
    pick: Pick = lambda n: draw(st.integers(0, n - 1))
    pool = [torch.arange(3 * np.prod(SHAPE), dtype=torch.float64).reshape(3, *SHAPE).mul(7.3).sin() * 3]
    steps: list[Step] = []
    for index in range(2 + pick(most - 1)):
        step = _drawn(pick, pool, neurons and (index == 1 or pick(5) == 0))
        try:
            with torch.no_grad():
                trial = _shadow(pool)
                step.run(trial)
        except Exception:  # whatever torch says to a move that does not fit
            continue
        if all(_fits(t) for t in trial):
            pool = trial
            steps.append(step)
    seed = torch.Generator().manual_seed(pick(1 << 16))
    widths = [t[0].numel() for t in pool]
    heads = [torch.randn(5, w, generator=seed, dtype=torch.float64) / w**0.5 for w in widths]
    text = ", ".join(f"{s.name}{list(s.sources)}" for s in steps)
    return Program(steps, heads, text).eval()


def _drawn(pick: Pick, pool: list[Tensor], neuron: bool) -> Step:
    source = len(pool) - 1 - min(pick(len(pool)), pick(len(pool)))
    x = pool[source]
    if neuron:
        return Step("neuron", (source,), _neuron(pick))
    if pick(4) == 0:
        name = list(PAIRS)[pick(len(PAIRS))]
        return Step(name, (source, pick(len(pool))), PAIRS[name](pick, x))
    name = list(MOVES)[pick(len(MOVES))]
    return Step(name, (source,), _safe(MOVES[name], pick, x))


def _safe(make: Move, pick: Pick, x: Tensor) -> Apply:
    try:
        return make(pick, x)
    except (IndexError, ValueError, TypeError):  # a tensor with too few axes for the move

        def never(*_: Tensor) -> Tensor:
            raise ValueError

        return never


def _shadow(pool: list[Tensor]) -> list[Tensor]:
    """The same tensors anew, those that share memory sharing it again: a move that fails must leave no trace."""
    copied: list[Tensor] = copy.deepcopy(pool)
    return copied


def _fits(t: Any) -> bool:
    if not isinstance(t, Tensor) or t.ndim < 2 or t.shape[0] != 3 or not 0 < t.numel() <= 3 * 400:
        return False
    return t.dtype == torch.float64 and bool(torch.isfinite(t).all()) and float(t.abs().max()) < LARGEST


# --- what must hold ----------------------------------------------------------------------------------------------


def inputs() -> np.ndarray:
    """Random raw images, all lowest, all highest, and one hot element."""
    rng = np.random.default_rng(0)
    hot = np.zeros((1, *SHAPE), dtype=np.int64)
    hot[0, 1, 2, 3] = LEVELS - 1
    whole = [np.full((1, *SHAPE), level) for level in (0, LEVELS - 1)]
    return np.concatenate([rng.integers(0, LEVELS, (3, *SHAPE)), *whole, hot])


def expected(program: nn.Module, raw: np.ndarray, ticks: int) -> np.ndarray:
    """The module's own answers at every tick (T, B, ...), from rest."""
    model = copy.deepcopy(program)
    for module in model.modules():
        if hasattr(module, "reset"):
            module.reset()
    x = torch.tensor(raw * SCALE + OFFSET)
    with torch.no_grad():
        return np.stack([model(x.clone()).numpy() for _ in range(ticks)])


def equal_or_refused(program: nn.Module, front_end: Any, ticks: int = 1) -> bool:
    """Whether the module is imported; AssertionError where the graph is another function."""
    spec = InputSpec(SHAPE, SCALE, OFFSET, timesteps=ticks, readout="last")
    try:
        graph = front_end.import_module(copy.deepcopy(program), spec)
    except ImportModelError:
        return False
    raw = inputs()
    found = interp.run(graph, raw, timesteps=ticks).outputs
    truth = expected(program, raw, 1)[0] if isinstance(program, Looped) else expected(program, raw, ticks)
    assert found.shape == truth.shape
    np.testing.assert_allclose(found, truth, rtol=0, atol=1e-5 * (1 + np.abs(truth).max()))
    return True
