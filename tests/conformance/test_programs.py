"""Programs on symbols and their compiled form equal the registered ones, for every neuron and operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurodeploy.ir.micro_op import MICROCODE
from neurodeploy.ir.neuron_model import NEURONS
from neurodeploy.ir.nodes import Micro, Neuron
from neurodeploy.ir.types import Fixed, Interval
from neurodeploy.simulate import fused as fused_module
from neurodeploy.simulate import operators, populations
from neurodeploy.simulate.fused import Fused, run
from neurodeploy.simulate.kernel_text import ordered
from neurodeploy.simulate.symbols import INT64, Symbol
from tests.fast import fast
from tests.tiny import chain

LIMIT, TICKS = 2**23 - 1, 3
MEMBERS = [(name, timing) for name in sorted(MICROCODE) for timing in ("instant", "cumulative")]
MEMBERS = [m for m in MEMBERS if m != ("affine_by_tick", "cumulative")] + [
    (name, "neuron") for name in sorted(NEURONS)
]
#: compiled in `make test`: tables between passes and a row, two timings of elements, a population
COMPILED = ("softmax", "relu", "multi_threshold")

NUMPY: dict[str, Any] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "shl": np.left_shift, "shr": np.right_shift,
    "div": np.floor_divide, "mod": np.remainder, "and": np.bitwise_and, "or": np.bitwise_or, "min": np.minimum,
    "max": np.maximum, "abs": np.abs, "sign": np.sign, "lt": np.less, "le": np.less_equal, "eq": np.equal,
    "ne": np.not_equal, "all": np.logical_and, "any": np.logical_or, "where": np.where, "held": lambda x: x,
    "flag": lambda c: c * np.int64(1), "sum": lambda x: x.sum(axis=-1, keepdims=True),
    "least": lambda x: x.min(axis=-1, keepdims=True), "most": lambda x: x.max(axis=-1, keepdims=True),
}  # fmt: skip


def made(name: str, timing: str, width: int = 16, reach: int = LIMIT, channels: bool = False) -> Fused:
    """A member as the engine plans it, for values of shape (3, width), each channel in a unit of its own if asked."""
    scale: Any = 2.0**-9 * (1 + np.arange(width) % 3) if channels else 2.0**-9
    if timing == "neuron":
        model = NEURONS[name]
        params = dict(model.quantize(model.example, scale, 3.0).params)
        inputs = ("x",) * model.inputs
        limit = min(reach, (model.input_limit or reach + 1) - 1)
        node: Any = Neuron(name="n", inputs=inputs, model=name, params=params)
        return populations.program(
            node, chain((3, width), (node, (3, width)), ticks=TICKS, reach=(-limit, limit))
        )
    op = MICROCODE[name]
    example, ticks = dict(op.example(width)), TICKS
    if op.by_tick:
        example = {
            key: np.array([[1.0], [-1.5], [0.25]]) if key in op.by_tick else v for key, v in example.items()
        }
    q = op.quantize(example, Fixed(24, True, scale), Interval(-reach, reach, True), {"out_bits": 14})
    node = Micro(name="n", inputs=("x",), op=name, params=q.params, timing=timing)
    graph = chain((3, width), (node, (3, width)), ticks=ticks, reach=(-reach, reach), bits={"n": 14})
    return operators.program(node, graph)


def samples(fused: Fused, kind: Any = np.int64) -> list[np.ndarray]:
    """Inputs (T, B, *shape): silence, both rails, steps between them, noise of every size."""
    rng, (lo, hi) = np.random.default_rng(0), fused.inputs[0]
    lead = (TICKS, 1, *fused.shape)
    noise = [rng.integers(max(lo, -(1 << k)), min(hi, 1 << k), lead, endpoint=True) for k in range(0, 24, 2)]
    rails = [np.full(lead, lo), np.full(lead, hi), rng.choice([lo, hi], lead), np.zeros(lead, np.int64)]
    x = np.concatenate([*noise, *rails], axis=1).astype(kind)
    return [np.roll(x, 5 * i, axis=-1) for i in range(len(fused.inputs))]


def evaluated(s: Symbol, known: dict[int, Any], leaves: dict[str, Any]) -> Any:
    """The value of a symbol, which has to lie between its ends."""
    if id(s) in known:
        return known[id(s)]
    if s.value is not None:
        value = np.int64(s.value)
    elif s.op in ("input", "state", "tick", "by_tick", "parameter"):
        value = leaves[s.args[0]]
    elif s.op == "take":
        value = s.array[evaluated(s.args[0], known, leaves)]
    else:
        value = NUMPY[s.op](*(evaluated(a, known, leaves) for a in s.args))
    known[id(s)] = value
    assert s.lo <= np.min(value) and np.max(value) <= s.hi, f"{s.op} leaves {s.ends}"
    return value


@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize(("name", "timing"), MEMBERS)
def test_symbols_compute_what_numpy_does_between_their_ends(name: str, timing: str, channels: bool) -> None:
    if channels and timing != "neuron" and MICROCODE[name].row:
        pytest.skip("a row has one unit")
    fused = made(name, timing, channels=channels)
    step, params = (fused.step, fused.params) if fused.compiled is None else fused.compiled()
    xs = samples(fused)
    out, states, _ = fused.by_numpy(xs, TICKS, xs[0].shape[1])
    ends = [e or INT64 for e in fused.states]
    outcome, began = run(fused, step, params, ends)
    after: list[Any] = [np.zeros(out.shape[1:], np.int64) for _ in began]
    clipped = 0
    for t in range(TICKS):
        leaves = {n: np.asarray(v)[t] if n in fused.by_tick else v for n, v in params.items()}
        leaves |= {f"x{i}": x[t] for i, x in enumerate(xs)} | {f"s{i}": s for i, s in enumerate(after)}
        known: dict[int, Any] = {}
        assert np.array_equal(np.broadcast_to(evaluated(outcome.out, known, leaves), out[t].shape), out[t])
        after = [np.broadcast_to(evaluated(s, known, leaves), out[t].shape) for s in outcome.states]
        clipped += int(np.sum(evaluated(outcome.clipped, known, leaves)))
        assert all(np.array_equal(s, all_ticks[t]) for s, all_ticks in zip(after, states, strict=True))
    assert clipped == fused.by_numpy(xs, TICKS, xs[0].shape[1])[2]
    assert len(ordered([outcome.out])) > 1 or outcome.out.op == "state"


@pytest.mark.parametrize(("name", "timing"), fast(MEMBERS, *COMPILED, by=0))
def test_compiled_equals_numpy(name: str, timing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_module, "LOOKED_AT", -1)
    monkeypatch.setattr(fused_module, "WORTH", -1)
    for width, reach, kind in ((17, LIMIT, np.float64), (16, 3000, np.float32)):
        fused = made(name, timing, width, reach)
        xs = samples(fused, kind)
        for batch in (xs, [x[:1, :1] for x in xs], [x[:, :0] for x in xs]):
            expected, _, clips = fused.by_numpy(batch, TICKS, batch[0].shape[1])
            found, clipped = fused(batch, TICKS)
            assert fused.machine is not None and fused.machine.kernel is not None
            assert found.dtype == fused.kind and np.array_equal(
                np.broadcast_to(found, expected.shape), expected
            )
            assert clipped * (TICKS // len(found)) == clips
