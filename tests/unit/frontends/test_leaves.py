"""Neuron modules of the source libraries become registered models with the right parameters."""

from __future__ import annotations

import math
import subprocess
import sys
import types

import numpy as np
import pytest

from neurodeploy.errors import ImportModelError
from neurodeploy.frontends import leaves
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.frontends.leaves._base import LEAVES
from neurodeploy.ir import interp
from neurodeploy.ir.neuron_model import NEURONS
from neurodeploy.sources import zoo
from tests.later import torch, torch_fx


def stand_in(package: str, name: str, base: type | None = None, **attributes: object) -> torch.nn.Module:
    """A module that looks like one of a library that is not installed: class name, module name and attributes."""
    cls = type(name, (base or torch.nn.Module,), {"__module__": f"spikingjelly.{package}.neuron"})
    module = cls()
    for key, value in attributes.items():
        setattr(module, key, torch.tensor(value) if key in ("w", "k") else value)  # those that are trained
    return module


HARD = {"v_threshold": 1.0, "v_reset": 0.0}

#: package, class, attributes, expected parameters
JELLY = [
    ("activation_based", "LIFNode", {"tau": 2.0, "decay_input": True}, (0.5, 0.5)),
    ("activation_based", "LIFNode", {"tau": 4.0, "decay_input": False}, (0.75, 1.0)),
    ("activation_based", "IFNode", {}, (1.0, 1.0)),
    (
        "activation_based",
        "ParametricLIFNode",
        {"w": -math.log(3.0), "decay_input": True},
        (0.75, 0.25),
    ),
    ("clock_driven", "MultiStepLIFNode", {"tau": 2.0}, (0.5, 0.5)),
]


@pytest.mark.parametrize(("package", "name", "attributes", "expected"), JELLY)
def test_spikingjelly_parameters(package: str, name: str, attributes: dict, expected: tuple) -> None:
    leaf = leaves.leaf_of(stand_in(package, name, **HARD, **attributes))
    assert leaf is not None
    assert leaf.model == "lif"
    assert not leaf.problem
    assert (leaf.params["beta"], leaf.params["gain"]) == pytest.approx(expected)
    assert set(leaf.params) == set(NEURONS["lif"].float_params)


def test_resets_of_spikingjelly() -> None:
    """By subtraction, or to a value from which the voltage is counted."""
    soft = leaves.leaf_of(stand_in("activation_based", "IFNode", v_threshold=0.75, v_reset=None))
    assert soft is not None
    assert (soft.model, soft.params["rule"], soft.params["threshold"]) == ("inclusive_lif", 1, 0.75)
    assert set(soft.params) == set(NEURONS["inclusive_lif"].float_params)
    value = leaves.leaf_of(stand_in("activation_based", "IFNode", v_threshold=1.0, v_reset=-0.5))
    assert value is not None
    assert (value.model, value.params["threshold"]) == ("lif", 1.5)


def test_a_subclass_that_is_only_made_differently_is_its_parent() -> None:
    parent = type(stand_in("activation_based", "LIFNode"))
    attributes = {"__module__": "mine", "__init__": lambda self: torch.nn.Module.__init__(self)}
    made = type("Own", (parent,), attributes)()
    vars(made).update(HARD, tau=2.0, decay_input=True)
    leaf = leaves.leaf_of(made)
    assert leaf is not None
    assert leaf.model == "lif"
    assert not leaves.derives(made)
    changed = type("Other", (parent,), {"__module__": "mine", "neuronal_charge": lambda self, x: x})()
    assert leaves.leaf_of(changed) is None
    assert leaves.derives(changed) == "spikingjelly.activation_based.neuron.LIFNode"
    assert leaves.leaf_of(torch.nn.ReLU()) is None


def test_spikingjelly_lif_fires_like_its_equation() -> None:
    node = stand_in("activation_based", "LIFNode", **HARD, tau=2.0, decay_input=True)
    graph = torch_fx.import_module(torch.nn.Sequential(node), InputSpec((5,), 0.25, timesteps=6))
    raw = np.array([[0, 3, 4, 6, 9]])
    v, total = np.zeros(5), np.zeros(5)
    for _ in range(6):
        h = v + (raw[0] * 0.25 - v) / 2.0
        total, v = total + (h >= 1.0), np.where(h >= 1.0, 0.0, h)
    np.testing.assert_allclose(interp.run(graph, raw).outputs[-1][0], total / 6)


def test_surrogates_are_called_to_see_whether_they_are_steps() -> None:
    """One whose primitive function is sent, or counts of spikes, is no spike."""
    step, slope = (lambda x: (x >= 0).to(x)), torch.sigmoid
    for fire, problem in (
        (step, ""),
        (slope, "its surrogate"),
        (lambda x: step(x) + step(x - 1), "its surrogate"),
    ):
        leaf = leaves.leaf_of(stand_in("activation_based", "IFNode", **HARD, surrogate_function=fire))
        assert leaf is not None
        assert leaf.problem.startswith(problem)
        assert bool(leaf.problem) == bool(problem)


KLIF = {**HARD, "tau": 2.0, "decay_input": True, "scale_reset": False}


def test_klif_is_a_lif_with_a_floor() -> None:
    """One that grows by itself, or fires for what inhibits, is none."""
    leaf = leaves.leaf_of(stand_in("activation_based", "KLIFNode", **KLIF, k=1.5))
    assert leaf is not None
    assert leaf.model == "rectified_lif"
    assert set(leaf.params) == set(NEURONS["rectified_lif"].float_params)
    assert (leaf.params["beta"], leaf.params["gain"], leaf.params["floor"]) == (0.75, 0.75, 0.0)
    for k, why in ((3.0, "grows"), (-1.0, "inhibits"), (0.0, "inhibits")):
        refused = leaves.leaf_of(stand_in("activation_based", "KLIFNode", **KLIF, k=k))
        assert refused is not None
        assert why in refused.problem


@pytest.mark.parametrize(
    ("package", "name", "why"),
    [
        ("activation_based", "QIFNode", "square"),
        ("clock_driven", "EIFNode", "exponential"),
        ("clock_driven", "MultiStepEIFNode", "exponential"),
        ("activation_based", "IzhikevichNode", "adaptation"),
    ],
)
def test_neurons_without_a_model_are_refused_by_name(package: str, name: str, why: str) -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), stand_in(package, name, **HARD))
    with pytest.raises(ImportModelError) as caught:
        torch_fx.import_module(model, InputSpec((4,), 0.25, timesteps=4))
    (problem,) = caught.value.problems
    assert problem.code == "ND109"
    assert name in problem.where
    assert why in problem.found
    assert "LIFNode" in problem.fixes[0]


def test_zoo_reset_to_another_value_is_refused() -> None:
    leaf = leaves.leaf_of(zoo.submodule("spiking").BinaryLif(v_reset=0.1))
    assert leaf is not None
    assert "0.1" in leaf.problem


def test_readers_import_no_library() -> None:
    assert any(name.startswith("spikingjelly.") for library in LEAVES.values() for name in library.classes)
    program = (
        "import sys; from neurodeploy.frontends.leaves._base import LEAVES; list(LEAVES); print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"spikingjelly", "snntorch", "torch"}.intersection(loaded)


@pytest.mark.parametrize("late", [False, True])
def test_a_neuron_may_ask_for_a_backend_that_the_machine_lacks(
    late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the library is imported before its factory is called, or by it."""
    name = "spikingjelly.clock_driven.neuron"
    library = types.ModuleType(name)

    def check_backend(backend: str) -> None:
        assert backend == "torch", f"{backend} is not installed"

    library.check_backend = check_backend
    monkeypatch.setitem(sys.modules, name, library)
    if late:
        monkeypatch.delitem(sys.modules, name)

    def factory() -> torch.nn.Module:
        monkeypatch.setitem(sys.modules, name, library)
        library.check_backend("cupy")
        own = torch.nn.Identity()
        own.backend = "cupy"
        return torch.nn.Sequential(
            stand_in("clock_driven", "MultiStepLIFNode", **HARD, tau=2.0, backend="cupy"), own
        )

    network = leaves.constructed(factory)
    assert (network[0].backend, network[1].backend) == ("torch", "cupy")
    assert library.check_backend is check_backend


def test_other_errors_of_a_factory_are_its_own() -> None:
    calls: list[None] = []

    def factory() -> None:
        calls.append(None)
        raise ValueError("no weights here")

    with pytest.raises(ValueError, match="no weights here"):
        leaves.constructed(factory)
    assert len(calls) == 1
