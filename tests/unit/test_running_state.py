"""S(t) = f(t) S(t-1) + k(t) v(t)^T, read by q(t) in the same tick: by hand, on every backend, mapped and priced."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurodeploy import cost
from neurodeploy.backends._base import BACKENDS
from neurodeploy.cost import counts
from neurodeploy.errors import BackendError
from neurodeploy.image import encode
from neurodeploy.ir import interp, intervals, levels
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.lasting import Standing, hindrances, misfits
from neurodeploy.ir.neuron_model import NEURONS, state_names
from neurodeploy.ir.nodes import Input, Micro, Neuron, Output, Product, Synapse, View
from neurodeploy.ir.types import DENSE, Fixed, Interval, Shape, Value
from neurodeploy.mapping.demand import state_bits
from neurodeploy.mapping.groups import populations
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.target import load

TARGET, TICKS, INPUTS, KEYS, VALUES = load("loihi-sim"), 6, 5, 3, 2
#: of the gates: what is kept lies below 1, or grows
BIAS = {3: 3000, 8: 12000}
MODELS = ("integrator", "leaky_integrator", "gated_integrator")


def shape(*sizes: int) -> Value:
    return Value(Shape(("C",) * len(sizes), sizes), code=DENSE)


def network(
    model: str = "gated_integrator", gain: int = 8, ticks: int = TICKS
) -> tuple[Graph, dict[str, np.ndarray]]:
    """A frame for each tick; q, k, v and f by a layer each; and the weights of these layers."""
    rng = np.random.default_rng(0)
    sizes = {"q": KEYS, "k": KEYS, "v": VALUES, "f": KEYS * VALUES}
    weights = {name: rng.integers(-gain, gain + 1, (size, INPUTS)) for name, size in sizes.items()}
    b = Builder(Header("running", "integer", ticks))
    values = {"x": Value(Shape(("C",), (INPUTS,)), interval=Interval(-8, 7, True), fixed=Fixed(4, True, 1.0))}
    b.add(Input(name="x", per_tick=True), values["x"])
    for name, size in sizes.items():
        bias = np.full(size, BIAS[gain]) if name == "f" else None
        b.add(Synapse(name=name, inputs=("x",), weight=weights[name], bias=bias), shape(size))
    b.add(Product(name="kv", inputs=("k", "v"), equation="c,d->cd", timing="instant"), shape(KEYS, VALUES))
    known: dict[str, dict[str, Any]] = {
        "integrator": {"bias": 0, "bits": 24},
        "leaky_integrator": {"du": 4096, "dv": np.array([0, 1365]), "bias": 0, "offset": 0},
    }
    params = known.get(model, {})
    inputs: tuple[str, ...] = ("kv",)
    if model == "gated_integrator":
        b.add(View(name="keep", inputs=("f",), op="reshape", args=(KEYS, VALUES)), shape(KEYS, VALUES))
        inputs = ("kv", "keep")
    code = NEURONS[model].code(params)
    value = Value(shape(KEYS, VALUES).shape, code=code, fixed=Fixed(24, True, 1.0))
    b.add(Neuron(name="S", inputs=inputs, model=model, params=params), value)
    wide = replace(shape(VALUES), fixed=Fixed(32, True, 1.0))
    b.add(Product(name="read", inputs=("q", "S"), equation="c,cd->d", timing="instant"), wide)
    scale = {"multiplier": 1, "shift": 8, "bits": 24}
    b.add(Micro(name="out", inputs=("read",), op="rescale", params=scale, timing="instant"), shape(VALUES))
    b.add(Output(name="y", inputs=("out",), readout="last"), shape(VALUES))
    graph = intervals.propagate(b.build())
    return graph, weights


def clip(x: int, bits: int) -> int:
    top = 2 ** (bits - 1) - 1
    return max(-top, min(top, x))


def by_hand(
    model: str, weights: dict[str, np.ndarray], frames: np.ndarray, gain: int = 8
) -> tuple[list, list, int]:
    """Read-outs and states of one stream, and how many states were clipped; whole numbers of Python's own."""
    state = [[0] * VALUES for _ in range(KEYS)]
    outs, states, clipped = [], [], 0
    for frame in frames:
        q, k, v, f = (
            [sum(int(w) * int(x) for w, x in zip(row, frame, strict=True)) for row in weights[n]]
            for n in "qkvf"
        )
        for c in range(KEYS):
            for d in range(VALUES):
                kept = {"integrator": 4096, "leaky_integrator": 4096 - (0, 1365)[d]}.get(
                    model, f[c * VALUES + d] + BIAS[gain]
                )
                bits = 0 if model == "integrator" else 6
                old = state[c][d]
                sign = (1 if old > 0 else -1) * (1 if kept > 0 else -1)
                total = sign * (abs(old) * abs(kept) // 4096) + k[c] * v[d] * 2**bits
                state[c][d] = clip(total, 24)
                clipped += state[c][d] != total
        states.append([list(row) for row in state])
        read = [clip(sum(q[c] * state[c][d] for c in range(KEYS)), 32) for d in range(VALUES)]
        outs.append([clip((one + 128) // 256, 24) for one in read])
    return outs, states, clipped


def frames(count: int, ticks: int = TICKS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-8, 8, (count, ticks, INPUTS))


@pytest.mark.parametrize("gain", [3, 8])
@pytest.mark.parametrize("model", MODELS)
def test_state_and_reader_equal_arithmetic_by_hand_everywhere(model: str, gain: int) -> None:
    """Of four streams; with large weights states saturate, as often as by hand."""
    graph, weights = network(model, gain)
    assert levels.verify(graph, "integer") == []
    x = frames(4)
    hands = [by_hand(model, weights, stream, gain) for stream in x]
    graph = balance(graph)
    program = Program(graph, encode(graph, map_graph(graph, TARGET), TARGET))
    variable = f"S.{NEURONS[model].state[-1].name}"
    runs = [
        interp.run(graph, x, (variable,)),
        *(BACKENDS[n].run(program, x, (variable,))[0] for n in ("cpu", "loihi-sim")),
    ]
    for trace in runs:
        assert np.array_equal(trace.outputs, np.array([outs for outs, _, _ in hands]).swapaxes(0, 1))
        assert np.array_equal(
            trace.values[variable], np.array([states for _, states, _ in hands]).swapaxes(0, 1)
        )
        if model != "leaky_integrator":  # whose current saturates and counts as well
            assert trace.saturations.get("S", 0) == sum(clipped for _, _, clipped in hands)
    if gain == 8 and model == "gated_integrator":
        assert sum(clipped for _, _, clipped in hands)


@pytest.mark.needs("lava.magma")
def test_lava_runs_it_in_a_process_of_its_own() -> None:
    graph, weights = network()
    x = frames(2)
    found, _ = BACKENDS["lava"].run(Program(graph), x, ("S",))
    hands = [by_hand("gated_integrator", weights, stream) for stream in x]
    assert np.array_equal(found.outputs, np.array([outs for outs, _, _ in hands]).swapaxes(0, 1))
    assert np.array_equal(found.values["S"], np.array([states for _, states, _ in hands]).swapaxes(0, 1))


def test_a_gate_that_never_changes_is_a_leak() -> None:
    """The stream f against the constant 4096 - dv of the chips' own neuron, at the ends and between."""
    rng = np.random.default_rng(1)
    gated, leaky = NEURONS["gated_integrator"], NEURONS["leaky_integrator"]
    for kept in (0, 1, 2731, 4095, 4096):
        v, u, w = np.zeros(50, np.int64), np.zeros(50, np.int64), np.zeros(50, np.int64)
        for _ in range(20):
            x = rng.integers(-(1 << 17) + 1, 1 << 17, 50)
            out, v, clipped = gated.int_step(x, np.full(50, kept), v)
            wanted, u, w, flags = leaky.int_step(x, u, w, 4096, 4096 - kept, 0, 0)
            assert np.array_equal(out, wanted) and np.array_equal(v, w) and np.array_equal(clipped, flags)


def test_it_is_mapped_counted_and_priced() -> None:
    graph = balance(network(gain=3)[0])
    program = Program(graph, encode(graph, map_graph(graph, TARGET), TARGET))
    (group,) = (g for g in populations(graph) if any(n.name == "S" for n in g.nodes))
    assert {n.name for n in group.nodes} >= {
        "kv",
        "S",
    }  # one neuron for each element: k v^T and the state that adds it
    assert -(-state_bits(graph.nodes["S"]) // 64) == 1
    x = frames(3)
    trace = BACKENDS["cpu"].run(program, x, counts.names(graph))[0]
    found, events = counts.count(graph, trace), BACKENDS["loihi-sim"].run(program, x)[1]
    assert events is not None and counts.disagreements(graph, found, events) == []
    assert found.nodes["S"].reset_words == KEYS * VALUES
    per_sample = found.nodes["S"].neuron_updates
    assert per_sample == KEYS * VALUES * TICKS and found.nodes["S"].program_ops == 8 * per_sample
    assert cost.estimate(program, events, TARGET).energy_pj.nominal > 0


# --- streams that go on ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("backend", ["interp", "cpu", "loihi-sim"])
def test_two_runs_are_one_long_run(backend: str, model: str) -> None:
    graph, _ = network(model)
    graph = balance(graph)
    x, states = frames(3, 2 * TICKS), tuple(state_names(graph))
    wanted = interp.run(graph, x, ("S",), timesteps=2 * TICKS)
    program = Program(graph, encode(graph, map_graph(graph, TARGET), TARGET))
    first = BACKENDS["cpu"].run(program, x[:, :TICKS], states)[0]
    begin, names = {name: first.values[name][-1] for name in states}, ("S",)
    if backend == "interp":
        second = interp.run(graph, x[:, TICKS:], names, begin=begin)
    else:
        second = BACKENDS[backend].go_on(program, x[:, TICKS:], begin, names)
    assert np.array_equal(second.values["S"], wanted.values["S"][TICKS:])
    assert np.array_equal(second.outputs, wanted.outputs[TICKS:])
    assert np.any(second.values["S"][0] != first.values[states[-1]][0])


def test_a_backend_that_always_begins_at_rest_says_so() -> None:
    with pytest.raises(BackendError, match="ND746"):
        BACKENDS["lava"].go_on(Program(network()[0]), frames(1), {}, ())


def test_what_remembers_more_than_states_is_named() -> None:
    graph, _ = network()
    assert hindrances(graph) == []
    nodes: dict[str, Any] = dict(graph.nodes)
    nodes["q"] = replace(nodes["q"], delay=2)
    nodes["kv"] = replace(nodes["kv"], timing="held")
    nodes["S"] = replace(nodes["S"], reset=(3, 1))
    found = hindrances(Graph(nodes, graph.values, graph.header))
    assert [(p.code, p.where) for p in found] == [("ND608", "q"), ("ND608", "kv"), ("ND608", "S")]


@pytest.mark.parametrize("wrong", ["graph", "lacking", "shape", "type", "range", "streams"])
def test_a_state_of_something_else_is_refused(wrong: str) -> None:
    graph, _ = network()
    state, name = np.zeros((2, KEYS, VALUES), np.int64), "S.v"
    states = {
        "lacking": {}, "shape": {name: state[:, :2]}, "type": {name: state + 0.5}, "range": {name: state + (1 << 24)},
        "streams": {name: np.zeros((), np.int64)},
    }  # fmt: skip
    digest = "0" * 64 if wrong == "graph" else graph.content_hash()
    assert misfits(graph, Standing(graph.content_hash(), 3, {name: state})) == []
    assert {p.code for p in misfits(graph, Standing(digest, 3, states.get(wrong, {name: state})))} == {
        "ND609"
    }
