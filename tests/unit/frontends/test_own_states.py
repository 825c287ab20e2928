"""Modules that remember something in ways of their own: the graph equals them at every tick, or names what it refuses.

The truth is the module itself, called once for each tick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from neurodeploy import passes
from neurodeploy.backends._base import BACKENDS
from neurodeploy.calibrate import measure
from neurodeploy.convert.native import MEMBER as NATIVE
from neurodeploy.errors import ImportModelError, Problem
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.image import encode
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Neuron
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.quantize import quantize
from neurodeploy.sources import resolve, zoo
from neurodeploy.target import load
from tests.fast import fast
from tests.later import Later, Tensor, nn, torch, torch_fx

if TYPE_CHECKING:
    from tests.unit.frontends import stateful
else:
    stateful = Later("tests.unit.frontends.stateful")

TICKS = 8
RAW = np.random.default_rng(0).integers(0, 17, (5, 4))

#: classes of ``stateful`` -> the models that they are
EQUAL = {
    "Leaky": ["leaky_integrator"], "Average": ["leaky_integrator"], "Buffered": ["leaky_integrator"],
    "Before": ["leaky_integrator", "previous"], "Asks": ["leaky_integrator"], "Index": ["leaky_integrator"],
    "Pair": ["leaky_integrator", "leaky_integrator"], "Sum": ["integrator"], "Delayed": ["previous"],
    "Recorder": [], "Lif": ["lif"], "Two": ["lif"], "Soft": ["inclusive_lif"], "Where": ["general_lif"],
    "Late": ["general_lif"], "Synaptic": ["leaky_integrator", "lif"], "Recurrent": ["lif"],
    "Back": ["lif", "leaky_integrator"], "Gated": ["gated_integrator"], "Blended": ["gated_integrator"],
    "Own": ["gated_integrator"],
}  # fmt: skip
#: classes of ``stateful`` -> code, and the attribute that is named
REFUSED = {
    "Refractory": ("ND157", "1.v (stateful.py:"), "Product": ("ND157", "1.v (stateful.py:"),
    "Clock": ("ND157", "1.v (stateful.py:"), "Queue": ("ND157", "1.v"), "FirstInput": ("ND158", "1.v"),
}  # fmt: skip


def imported(network: nn.Module, shape: tuple[int, ...] = (4,), ticks: int = TICKS) -> Graph:
    return torch_fx.import_module(network, InputSpec(shape, 1 / 16, timesteps=ticks, readout="last"))


def refused(network: nn.Module, shape: tuple[int, ...] = (4,)) -> tuple[Problem, ...]:
    with pytest.raises(ImportModelError) as caught:
        imported(network, shape)
    return caught.value.problems


def test_every_kind_is_tried() -> None:
    assert sorted(EQUAL) == sorted(kind.__name__ for kind in stateful.EQUAL)
    assert sorted(REFUSED) == sorted(kind.__name__ for kind in stateful.REFUSED)


@pytest.mark.parametrize("name", EQUAL)
def test_the_graph_equals_the_module_at_every_tick(name: str) -> None:
    network = stateful.network(getattr(stateful, name)())
    graph = imported(network)
    expected = stateful.every_tick(network, RAW, TICKS)
    assert [node.model for node in graph.of(Neuron)] == EQUAL[name]
    assert len(np.unique(expected.round(9))) > 10
    for form in (graph, passes.simplify(graph)):
        np.testing.assert_allclose(interp.run(form, RAW).outputs, expected, atol=1e-12)


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_neuron_computes_is_refused_by_name(name: str) -> None:
    first, *_ = refused(stateful.network(getattr(stateful, name)()))
    code, where = REFUSED[name]
    assert (first.code, first.where[: len(where)]) == (code, where)


@pytest.mark.parametrize("feedback", [False, True])
def test_states_of_the_whole_network(feedback: bool) -> None:
    torch.manual_seed(0)
    network = stateful.Inside(feedback).double().eval()
    raw = np.random.default_rng(1).integers(0, 17, (6, 6))
    graph = imported(network, (6,))
    assert [node.model for node in graph.of(Neuron)] == ["lif", "lif"]
    assert bool(graph.feedback) == feedback
    np.testing.assert_allclose(
        interp.run(graph, raw).outputs, stateful.every_tick(network, raw, TICKS), atol=1e-12
    )


@pytest.mark.parametrize("bias", [False, True])
def test_what_is_kept_behind_weights(bias: bool) -> None:
    """Without a bias a connection with a delay, with one a population that keeps it."""
    network = stateful.network(stateful.Back(bias))
    graph = passes.simplify(imported(network))
    assert [node.model for node in graph.of(Neuron)] == ["lif", "leaky_integrator"][: 1 + bias]
    np.testing.assert_allclose(
        interp.run(graph, RAW).outputs, stateful.every_tick(network, RAW, TICKS), atol=1e-12
    )


@pytest.mark.parametrize("name", fast(["Recurrent", "Soft", "Leaky", "Where", "Back"], "Recurrent", "Soft"))
def test_cores_equal_the_interpreter(name: str) -> None:
    """From the module to memory images, recurrence included."""
    network = stateful.network(getattr(stateful, name)())
    graph = NATIVE.rewrite(passes.simplify(imported(network)), None, np.zeros(0), TICKS)
    integer = balance(quantize(graph, measure(graph, RAW)))
    target = load("loihi-sim")
    program = Program(integer, encode(integer, map_graph(integer, target), target))
    names = [node.name for node in integer]
    wanted = interp.run(integer, RAW, names)
    assert any(wanted.values[node.name].any() for node in integer.of(Neuron))
    for backend in ("cpu", "loihi-sim"):
        found, _ = BACKENDS[backend].run(program, RAW, names)
        assert np.array_equal(found.outputs, wanted.outputs)
    scale = np.abs(interp.run(graph, RAW).outputs).max()
    error = interp.run(graph, RAW).outputs - wanted.outputs * integer.values["output"].fixed.scale
    assert np.median(np.abs(error)) < 0.05 * scale


def test_the_module_is_left_as_it_was() -> None:
    network = stateful.network(stateful.Pair())
    network(torch.ones(3, 4, dtype=torch.float64))
    before = dict(vars(network[1]))
    imported(network)
    assert vars(network[1]).keys() == before.keys()
    assert all(vars(network[1])[key] is value for key, value in before.items())


def test_a_module_without_known_neurons_is_seen_to_remember() -> None:
    graph = resolve.from_torch(stateful.network(stateful.Leaky()), InputSpec((4,), 1 / 16, timesteps=3)).graph
    assert [node.model for node in graph.of(Neuron)] == ["leaky_integrator"]
    graph = resolve.from_torch(stateful.network(stateful.Recorder()), InputSpec((4,), 1 / 16)).graph
    assert not graph.header.notes["contains_neurons"]


def test_a_neuron_with_its_own_charge_is_found_by_running_it() -> None:
    spiking = zoo.submodule("spiking")

    class Scaled(spiking.BinaryLif):  # type: ignore[name-defined]
        def tick(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            return super().tick(0.5 * x, state)

    class Noisy(spiking.BinaryLif):  # type: ignore[name-defined]
        def tick(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            return super().tick(x * x, state)

    network = stateful.network(Scaled())
    graph = imported(network)
    params = graph.of(Neuron)[0].params
    assert (params["beta"], params["threshold"] / params["gain"]) == (0.25, 1.0)
    np.testing.assert_array_equal(interp.run(graph, RAW).outputs, stateful.every_tick(network, RAW, TICKS))
    problem, *_ = refused(stateful.network(Noisy()))
    assert (problem.code, "derives from" in problem.found) == ("ND109", True)


def twice(neuron: nn.Module, loop: int = 0) -> nn.Module:
    """A network that calls one neuron in two places, or in a loop."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.neuron = nn.Linear(4, 4), nn.Linear(4, 4), neuron

        def forward(self, x: Tensor) -> Tensor:
            if not loop:
                return self.b(self.neuron(self.b(self.neuron(self.a(x)))))
            return sum(self.b(self.neuron(self.a(x))) for _ in range(loop)) / loop

    return Network().double().eval()


def test_one_neuron_in_two_places_is_refused_with_both_lines() -> None:
    spiking = zoo.submodule("spiking")
    (problem,) = refused(twice(spiking.BinaryLif()))
    assert (problem.code, problem.where.split(" ")[0]) == ("ND159", "neuron")
    assert problem.found.count("test_own_states.py:") == 2
    network = twice(spiking.GradedReLU())  # it remembers nothing
    np.testing.assert_allclose(
        interp.run(imported(network), RAW).outputs, stateful.every_tick(network, RAW, TICKS), atol=1e-12
    )


def test_a_loop_over_ticks_is_one_tick() -> None:
    network = twice(zoo.submodule("spiking").BinaryLif(), loop=4)
    graph = imported(network)
    with torch.no_grad():
        wanted = network(torch.tensor(RAW / 16, dtype=torch.float64)).numpy()
    assert graph.header.timesteps == 4
    np.testing.assert_allclose(interp.run(graph, RAW).outputs[-1], wanted, atol=1e-12)
