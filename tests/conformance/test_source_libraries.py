"""Neurons of every source library against the library itself: the model that a module becomes fires as it does.

Random currents in double precision, ties included, in each way that a module can be called. Libraries that are not
installed, and classes that the installed release has not, are passed over.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from neurodeploy.frontends.leaves import leaf_of
from neurodeploy.frontends.leaves._base import LEAVES
from neurodeploy.ir.neuron_model import NEURONS
from tests.later import Later, torch

guest = Later("neurodeploy.frontends.guest")
TICKS, SIZE = 20, 300
#: of voltages that are sent; spikes are whole numbers
ROUNDING = 1e-12
CLASSES = sorted(name for library in LEAVES.values() for name in library.classes)

#: arguments, beside those that a class lacks
SETTINGS: list[dict[str, Any]] = [
    {}, {"tau": 3.0, "init_tau": 3.0}, {"tau": 4.0, "init_tau": 4.0, "decay_input": False}, {"v_threshold": 0.5},
    {"v_reset": None}, {"v_reset": None, "decay_input": False, "v_threshold": 0.75}, {"v_reset": -0.5},
    {"v_reset": 0.25, "decay_input": False}, {"beta": 0.5, "v_threshold": 1.0}, {"threshold": 0.75},
    {"reset_mechanism": "zero"}, {"reset_mechanism": "zero", "beta": 0.5, "alpha": 0.25, "threshold": 1.5},
    {"learn_beta": True, "learn_threshold": True, "init_hidden": True},
    {"k": 1.5, "scale_reset": True}, {"k": 2.0, "scale_reset": False}, {"k": 0.75, "v_reset": 0.25, "tau": 4.0},
    {"k": 1.5, "v_reset": -0.5, "scale_reset": True}, {"k": 2.0, "v_reset": None, "scale_reset": True},
    {"k": 0.5, "v_reset": None, "decay_input": False}, {"k": 1.5, "v_reset": -0.5, "decay_input": False},
    {"dt": 2.0**-3, "tau_mem_inv": 4.0, "tau_syn_inv": 2.0}, {"dt": 2.0**-3, "tau_mem_inv": 2.0, "v_th": 0.75},
    {"dt": 2.0**-3, "tau_mem_inv": 4.0, "v_leak": 0.25, "v_reset": -0.5}, {"reset_method": "reset_subtract"},
    {"v_reset": 0.25, "v_th": (0.5,) * (SIZE // 2) + (1.5,) * (SIZE // 2)},
]  # fmt: skip
#: settings that are no argument
LEARNED = frozenset({"k"})
#: what neurons of a library cannot do without
NEEDED = {"snntorch": {"beta": 0.9, "alpha": 0.75}, "spikingjelly": {"tau": 2.0, "decay_input": True}}
#: settings that a class of some models is refused with, and what it says
HARD_ALONE = {"TernaryIFNode": "v_reset = ", "TernaryLIFNode": "v_reset = ",
              "BinaryLif": "it resets to", "TernaryLif": "it resets to"}  # fmt: skip
#: settings with which the library's own class does not run
BROKEN = {
    "KLIFNode": {"v_reset": None},
    "lif.SimpleLIFNode": {"v_reset": None},
    "online_learning.OTTTLIFNode": {"step_mode": "m"},
    "online_learning.SLTTLIFNode": {"step_mode": "m"},
}


def class_of(name: str) -> Any:
    """The class of that name; None where the installed release has it in another place, or not at all."""
    module, _, kind = name.rpartition(".")
    if module.startswith("neurodeploy_models."):
        from neurodeploy.sources import zoo

        return getattr(zoo.submodule(module.rpartition(".")[2]), kind)
    try:
        cls = getattr(importlib.import_module(module), kind, None)
    except ImportError:
        return None
    return cls if cls and f"{cls.__module__}.{cls.__qualname__}" == name else None


def made(name: str, settings: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """A module of a class in double precision, with the settings, if it takes them all."""
    cls = class_of(name) or pytest.skip("not in what is installed")
    if name.startswith("norse."):
        yield from made_of_parameters(cls, settings)
        return
    taken = inspect.signature(cls.__init__).parameters
    needed = NEEDED.get(name.partition(".")[0], {})
    given = {key: value for key, value in {**needed, **settings}.items() if key in taken}
    if BROKEN.get(name.removeprefix("spikingjelly.activation_based.neuron."), {}).items() & given.items():
        return
    module = cls(**given).double().eval()
    learned = {key: settings[key] for key in LEARNED & settings.keys() if hasattr(module, key)}
    for key, value in learned.items():
        getattr(module, key).data.fill_(value)
    given |= learned
    if settings.keys() & given.keys() or not settings:
        yield given, module


def made_of_parameters(cls: Any, settings: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """A module of Norse: what it is made of is a named tuple of tensors and a way to reset."""
    kind = type(inspect.signature(cls.__init__).parameters["p"].default)
    if settings.keys() - {"dt"} <= set(kind._fields) and None not in settings.values():
        ways = importlib.import_module("norse.torch.functional.reset")
        given = {
            key: getattr(ways, value) if isinstance(value, str) else torch.tensor(value)
            for key, value in settings.items()
            if key != "dt"
        }
        module = cls(p=kind(**given), dt=settings.get("dt", 0.001))
        guest.Snapshot(module).to(torch.float64)
        yield settings, module


def currents() -> Iterator[np.ndarray]:
    """(ticks, elements): of three sizes, and eighths, with which states meet thresholds."""
    random = np.random.default_rng(0)
    for spread in (0.5, 1.5, 20.0):
        yield random.normal(0.3, 1.0, (TICKS, SIZE)) * spread
    yield random.integers(-4, 17, (TICKS, SIZE)) / 8.0


def called(module: Any, x: np.ndarray) -> np.ndarray:
    """What a module sends from rest, called as its settings want it: tick by tick, or once."""
    for reset in guest.resets(module):
        reset()
    inputs = torch.tensor(x)[:, None]
    leaf = leaf_of(module)
    assert leaf is not None
    given: Any = ()  # states that the caller hands on
    outs = []
    with torch.no_grad():
        for part in (inputs,) if leaf.whole_sample else inputs:
            out = module(part, *given)
            out, *given = out if leaf.states else (out,)
            outs.append(out)
    return torch.cat(outs)[:, 0].numpy() if leaf.whole_sample else torch.stack(outs)[:, 0].numpy()


def played(module: Any, x: np.ndarray) -> np.ndarray:
    leaf = leaf_of(module)
    assert leaf is not None
    assert not leaf.problem
    model = NEURONS[leaf.model]
    state: tuple = tuple(np.zeros(SIZE) for _ in model.state)
    outs = []
    for tick in x:
        out, *rest = model.float_step(tick, *state, *(leaf.params[name] for name in model.float_params))
        state = tuple(rest)
        outs.append(out)
    return np.array(outs)


def equal(name: str, settings: dict[str, Any]) -> None:
    for given, module in made(name, settings):
        refusal = HARD_ALONE.get(name.rpartition(".")[2])
        if refusal and given.get("v_reset", 0.0) != 0.0:
            leaf = leaf_of(module)
            assert leaf is not None
            assert refusal in leaf.problem
            continue
        for x in currents():
            np.testing.assert_allclose(
                played(module, x), called(module, x), ROUNDING, ROUNDING, err_msg=str(given)
            )


@pytest.mark.parametrize("name", CLASSES)
def test_fires_as_its_library(name: str) -> None:
    for settings in SETTINGS:
        equal(name, settings)


@pytest.mark.parametrize("name", [name for name in CLASSES if "activation_based" in name])
def test_whole_samples_are_told_from_ticks(name: str) -> None:
    for settings in SETTINGS:
        more = {**settings, "step_mode": "m"}
        for _, module in made(name, more):
            leaf = leaf_of(module)
            assert leaf is not None
            assert leaf.whole_sample or leaf.problem
            equal(name, more)


@pytest.mark.parametrize("library", [name for name, library in LEAVES.items() if library.refused])
def test_refuses_by_name(library: str) -> None:
    classes = [cls for name in LEAVES[library].refused if (cls := class_of(name))]
    if not classes:
        pytest.skip("not installed")
    for cls in classes:
        leaf = leaf_of(cls.__new__(cls))
        assert leaf is not None
        assert leaf.problem
        assert leaf.fixes
