"""The sequence systems of the zoo, small: a token a call is the whole sequence, and the integers are one network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurodeploy import calibrate, passes
from neurodeploy.backends._base import BACKENDS
from neurodeploy.convert._base import METHODS
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.image import encode
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.lasting import hindrances
from neurodeploy.ir.neuron_model import state_names
from neurodeploy.ir.nodes import Neuron
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.quantize import quantize
from neurodeploy.sources import resolve, zoo
from neurodeploy.target import load
from tests.fast import fast
from tests.later import torch

TICKS, TOKENS = 6, 7
#: system -> what becomes of its states
SYSTEMS = {
    "matmulfree": {"gated_integrator"},
    "rwkv": {"leaky_integrator", "previous"},
    "spikegpt": {"leaky_integrator", "previous", "lif"},
    "t2r": {"integrator", "previous"},
}


def network(system: str) -> Any:
    entry = zoo.entry(f"documentation-{system}")
    sizes = {"vocabulary": TOKENS, "width": 8, "depth": 1, "hidden": 12}
    known = entry.model.arguments | sizes | ({"heads": 2, "features": 4} if system == "t2r" else {})
    small = entry.model_copy(update={"model": entry.model.model_copy(update={"arguments": known})})
    torch.manual_seed(0)
    return zoo.build(small).double().eval()


def sequences(count: int, ticks: int = TICKS, seed: int = 0) -> np.ndarray:
    return np.eye(TOKENS, dtype=np.int64)[np.random.default_rng(seed).integers(0, TOKENS, (count, ticks))]


def imported(system: str) -> Graph:
    spec = InputSpec((TOKENS,), timesteps=TICKS, readout="last", frames=True)
    return passes.simplify(resolve.from_torch(network(system), spec, system).graph)


@pytest.mark.parametrize("system", fast(SYSTEMS, "matmulfree", "rwkv"))
def test_tokens_one_by_one_are_the_sequence_and_the_graph(system: str) -> None:
    x = sequences(5)
    graph = imported(system)
    with torch.no_grad():
        whole = (
            zoo.submodule("sequences").run(network(system), torch.tensor(x).double().transpose(0, 1)).numpy()
        )
        single, each = network(system), torch.tensor(x).double()
        tokens = np.stack([single(each[:, t]).numpy() for t in range(TICKS)])
    np.testing.assert_allclose(tokens, whole, atol=1e-12)
    np.testing.assert_allclose(interp.run(graph, x).outputs, whole, atol=1e-12)
    assert {node.model for node in graph.of(Neuron)} == SYSTEMS[system]
    assert np.abs(whole[1:] - whole[:1]).max() > 1e-3  # what came before matters


@pytest.mark.parametrize("system", fast(SYSTEMS, "matmulfree"))
def test_integers_are_near_and_a_stream_goes_on(system: str) -> None:
    graph, target = imported(system), load("loihi-sim")
    x = sequences(8, 2 * TICKS, 1)
    spiking = METHODS["native"].rewrite(graph, METHODS["native"].configure({})[1], x[:, :TICKS], TICKS)
    integer = balance(quantize(spiking, calibrate.measure(spiking, x[:, :TICKS])))
    assert hindrances(integer) == []
    program, states = (
        Program(integer, encode(integer, map_graph(integer, target), target)),
        tuple(state_names(integer)),
    )
    wanted = interp.run(integer, x, timesteps=2 * TICKS).outputs
    for name in ("cpu", "loihi-sim"):
        first, _ = BACKENDS[name].run(program, x[:, :TICKS], states)
        begin = {state: first.values[state][-1] for state in states}
        second = BACKENDS[name].go_on(program, x[:, TICKS:], begin, states)
        assert np.array_equal(np.concatenate([first.outputs, second.outputs]), wanted)
    said = wanted * np.asarray(integer.values[integer.output.name].fixed.scale)
    floats = interp.run(spiking, x, timesteps=2 * TICKS).outputs
    error = np.sqrt(np.mean((said - floats) ** 2) / np.mean(floats**2))
    assert error < (
        0.5 if system == "spikegpt" else 0.1
    )  # a spike more or less weighs much in so small a network
