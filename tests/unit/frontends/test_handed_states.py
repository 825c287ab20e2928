"""Neurons whose caller hands on their state, a named tuple, as Norse's do; beside the library where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.later import Later, nn, torch

if TYPE_CHECKING:
    from tests import import_cases, norse_cells
else:
    import_cases, norse_cells = Later("tests.import_cases"), Later("tests.norse_cells")

TICKS, STEP = 4, 2.0**-10
#: calls a model: its parts by name, and the image of one sample in each row
Forward = Callable[[Any, Any], Any]


def network(snn: Any, forward: Forward) -> Any:
    """Two layers, of which the second is read by its voltages; a step is half of the first's time constants."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            p = snn.LIFParameters(tau_mem_inv=torch.tensor(512.0), tau_syn_inv=torch.tensor(512.0))
            self.stem, self.lif, self.again = (
                nn.Linear(64, 32),
                snn.LIFCell(p, dt=STEP),
                snn.LIFCell(p, dt=STEP),
            )
            self.head, self.read, self.over = nn.Linear(32, 10), snn.LICell(dt=STEP), snn.LIF(p, dt=STEP)
            self.kind, self.state = snn.LIFFeedForwardState, None

        def forward(self, x: Any) -> Any:
            return forward(self, 4 * self.stem(x.flatten(1)))

    return Network()


def loop(net: Any, x: Any) -> Any:
    hidden = read = None
    voltages = []
    for _ in range(TICKS):
        spikes, hidden = net.lif(x, hidden)
        voltage, read = net.read(net.head(spikes), read)
        voltages.append(voltage)
    return torch.stack(voltages).mean(0)


def recorded(net: Any, x: Any) -> Any:
    """Parts of a state go into a record that nothing reads."""
    state, total, record = None, 0, []
    for _ in range(TICKS):
        spikes, state = net.lif(x, state)
        total = total + net.head(spikes)
        v, _ = state
        record += [v, state.i]
    return total


def all_ticks(net: Any, x: Any) -> Any:
    spikes, _ = net.over(x.repeat(TICKS, 1, 1))
    return net.head(spikes).mean(0)


def from_zeros(net: Any, x: Any) -> Any:
    state, total = net.kind(v=torch.zeros_like(x), i=torch.zeros_like(x)), 0
    for _ in range(TICKS):
        spikes, state = net.lif(x, state)
        total = total + net.head(spikes)
    return total


def one_tick(net: Any, x: Any) -> Any:
    return net.head(net.lif(x)[0])


def forgotten(net: Any, x: Any) -> Any:
    return sum(net.head(net.lif(x)[0]) for _ in range(TICKS))


def another(net: Any, x: Any) -> Any:
    mine = yours = None
    total = 0
    for _ in range(TICKS):
        spikes, mine = net.lif(x, yours)
        spikes, yours = net.again(4 * spikes, mine)
        total = total + net.head(spikes)
    return total


def kept(net: Any, x: Any) -> Any:
    spikes, net.state = net.lif(x, net.state)
    return net.head(spikes)


def membrane(net: Any, x: Any) -> Any:
    state = None
    for _ in range(TICKS):
        _, state = net.lif(x, state)
    return state.v


CASES: dict[Forward, str] = {
    **dict.fromkeys((loop, recorded, from_zeros, all_ticks), "equal"),
    **dict.fromkeys((one_tick, forgotten, kept, membrane), "ND165"),
    another: "ND157",  # what the loop hands on is the state of no neuron; ND165 stands behind it
}


@pytest.mark.parametrize("library", ["tests.norse_cells", "norse.torch"])
@pytest.mark.parametrize("forward", CASES, ids=lambda forward: forward.__name__)
def test_states_in_named_tuples(forward: Forward, library: str) -> None:
    snn = pytest.importorskip(library)
    case = import_cases.Case(lambda: network(snn, forward), import_cases.DIGIT)
    assert import_cases.outcome(case) == CASES[forward]


def test_weights_inside_of_a_neuron_are_refused_by_name() -> None:
    case = import_cases.Case(lambda: nn.Sequential(nn.Flatten(), norse_cells.LIFRecurrentCell()), (4,))
    assert import_cases.outcome(case) == "ND109"


@pytest.mark.needs("norse")
def test_containers_of_norse() -> None:
    """What hands on states for its user is traced as any other code."""
    import norse.torch as snn

    class Network(nn.Module):
        def __init__(self, *layers: Any, over: bool) -> None:
            super().__init__()
            self.layers, self.over = snn.SequentialState(*layers), over

        def forward(self, x: Any) -> Any:
            if self.over:
                return self.layers(x.unsqueeze(0).repeat(TICKS, 1, 1, 1, 1))[0].mean(0)
            state, total = None, 0
            for _ in range(TICKS):
                out, state = self.layers(x, state)
                total = total + out
            return total

    box = snn.LIFBoxParameters(tau_mem_inv=torch.tensor(512.0))
    conv, linear = nn.Conv2d(1, 4, 3), nn.Linear(144, 10)
    cells = (conv, snn.LIFBoxCell(box, dt=STEP), nn.Flatten(), linear, snn.IAFCell())
    whole = (snn.Lift(conv), snn.LIF(dt=STEP), nn.Flatten(2), linear, snn.LI(dt=STEP))
    for layers, over in ((cells, False), (whole, True)):
        case = import_cases.Case(lambda: Network(*layers, over=over), import_cases.DIGIT)  # noqa: B023
        assert import_cases.outcome(case) == "equal"
