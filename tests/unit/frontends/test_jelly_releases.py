"""Networks of the SpikingJelly that is installed equal their graphs, single and multi step; releases differ."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from neurodeploy.frontends import leaves
from tests.later import Later, nn

if TYPE_CHECKING:
    from tests import import_cases
else:
    import_cases = Later("tests.import_cases")

pytestmark = pytest.mark.slow
TICKS = 4
RELEASES = ("activation_based", "clock_driven")
NEURONS = (
    "IFNode", "LIFNode", "ParametricLIFNode", "KLIFNode", "SimpleIFNode", "SimpleLIFNode", "TernaryIFNode",
    "TernaryLIFNode", "OTTTLIFNode", "SLTTLIFNode", "CUBALIFNode", "ActivationAwareIFNode",
)  # fmt: skip
#: those that run one tick alone, or are known by running one
SINGLE = ("OTTTLIFNode", "SLTTLIFNode", "CUBALIFNode", "ActivationAwareIFNode")


def library(release: str) -> tuple[Any, Any]:
    """Its neurons and its layers."""
    pytest.importorskip("spikingjelly")
    try:
        parts = [importlib.import_module(f"spikingjelly.{release}.{part}") for part in ("neuron", "layer")]
    except ImportError:
        pytest.skip("another release is installed")
    return parts[0], parts[1]


def made(neurons: Any, kind: str, **options: Any) -> Any:
    if not hasattr(neurons, kind):
        pytest.skip("another release has it")
    needed = {"tau": 2.0, "decay_input": True} if kind == "SimpleLIFNode" else {}
    return getattr(neurons, kind)(**needed, **options)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("kind", NEURONS)
def test_one_call_is_one_tick(release: str, kind: str) -> None:
    neurons, _ = library(release)

    def network() -> Any:
        first, second = (made(neurons, kind) for _ in range(2))
        return nn.Sequential(nn.Conv2d(1, 4, 3), first, nn.Flatten(), nn.Linear(144, 10), second)

    assert import_cases.outcome(import_cases.Case(network, import_cases.DIGIT, TICKS)) == "equal"


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("kind", [kind for kind in NEURONS if kind not in SINGLE])
def test_one_call_is_all_ticks(release: str, kind: str) -> None:
    neurons, layers = library(release)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            new = release == "activation_based"
            name, options = (kind, {"step_mode": "m"}) if new else (f"MultiStep{kind}", {})
            ahead = (
                nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)),
                nn.Sequential(nn.Flatten(), nn.Linear(144, 10)),
            )
            apart = [layers.SeqToANNContainer(part) for part in ahead]
            lifs = [made(neurons, name, **options) for _ in range(2)]
            self.layers = nn.Sequential(apart[0], lifs[0], apart[1], lifs[1])

        def forward(self, x: Any) -> Any:
            return self.layers(x.unsqueeze(0).repeat(TICKS, 1, 1, 1, 1)).mean(0)

    assert import_cases.outcome(import_cases.Case(Network, import_cases.DIGIT)) == "equal"


@pytest.mark.parametrize("release", RELEASES)
def test_neurons_of_cupy_are_made_without_it(release: str) -> None:
    neurons, _ = library(release)
    new = release == "activation_based"
    kind, options = ("LIFNode", {"step_mode": "m"}) if new else ("MultiStepLIFNode", {})
    if "backend" not in inspect.signature(getattr(neurons, kind).__init__).parameters:
        pytest.skip("another release has it")
    network = leaves.constructed(
        lambda: nn.Sequential(getattr(neurons, kind)(backend="cupy", **options), nn.Flatten())
    )
    assert network[0].backend == "torch"
