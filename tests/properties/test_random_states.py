"""Random modules with states of their own: the graph equals the module at every tick, or it is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurodeploy.errors import ImportModelError
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.ir import interp
from neurodeploy.passes import simplify
from tests.fast import at_length
from tests.later import Later, Tensor, nn, torch, torch_fx

stateful: Any = Later("tests.unit.frontends.stateful")

TICKS = 6
RAW = np.random.default_rng(3).integers(0, 17, (4, 4))

#: what a line of a program computes of two values and a number that is no round one
LINES = {
    "scale": lambda a, b, n: n * a,
    "add": lambda a, b, n: a + b,
    "subtract": lambda a, b, n: a - b,
    "leak": lambda a, b, n: a + (b - a) * n,
    "shift": lambda a, b, n: a + n,
    "fire": lambda a, b, n: (a >= n).to(a.dtype),
    "fire strictly": lambda a, b, n: (a > n).to(a.dtype),
    "reset": lambda a, b, n: a * (1 - b),
    "lose": lambda a, b, n: a - n * b,
    "choose": lambda a, b, n: torch.where(b > n, torch.zeros_like(a), a),
    "gate": lambda a, b, n: a * b,
    "relu": lambda a, b, n: torch.relu(a),
}

Program = tuple[list[tuple[str, int, int, float]], list[int], int]


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Lines that read earlier values, what one or two states become, and what is returned."""
    states = draw(st.integers(1, 2))
    lines: list[tuple[str, int, int, float]] = []
    for number in range(1 + states, 1 + states + draw(st.integers(2, 7))):
        a, b = (draw(st.integers(0, number - 1)) for _ in range(2))
        lines.append((draw(st.sampled_from(sorted(LINES))), a, b, draw(st.floats(0.1, 0.9)) + 1e-7))
    last = states + len(lines)
    return lines, [draw(st.integers(0, last)) for _ in range(states)], draw(st.integers(1 + states, last))


def module(program: Program) -> nn.Module:
    """A program as a module between two layers: registers are the input, the states, and one for each line."""
    lines, becomes, result = program

    class Random(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.reset()

        def reset(self) -> None:
            self.v = self.w = 0.0

        def forward(self, x: Tensor) -> Tensor:
            zero = torch.zeros_like(x)
            registers = [x, *(zero + old for old in (self.v, self.w)[: len(becomes)])]
            for op, a, b, number in lines:
                registers.append(LINES[op](registers[a], registers[b], number))
            self.v = registers[becomes[0]]
            self.w = registers[becomes[-1]]
            return registers[result]

    return stateful.network(Random())


def holds(program: Program) -> bool:
    """Whether a program is imported, and then equal; an error of any other type is one of ours."""
    network = module(program)
    try:
        spec = InputSpec((4,), 1 / 16, timesteps=TICKS, readout="last")
        graph = torch_fx.import_module(network, spec)
    except ImportModelError as error:
        assert {problem.code for problem in error.problems} <= {
            "ND101",
            "ND107",
            "ND109",
            "ND157",
            "ND158",
        }, error
        return False
    expected = stateful.every_tick(network, RAW, TICKS)
    for form in (graph, simplify(graph)):
        found = interp.run(form, RAW).outputs
        assert np.allclose(found, expected, rtol=1e-8, atol=1e-10), program
    return True


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(programs())
def test_a_module_with_states_is_equal_or_refused(program: Program) -> None:
    holds(program)


@pytest.mark.slow
@settings(max_examples=at_length(500), suppress_health_check=list(HealthCheck))
@given(programs())
def test_a_module_with_states_is_equal_or_refused_at_length(program: Program) -> None:
    holds(program)


def test_many_of_them_are_imported() -> None:
    """Programs that are drawn by chance, most of which are no neuron; these are."""
    leaky = [("scale", 1, 1, 0.7), ("add", 2, 0, 0.5)]
    fire = [*leaky, ("fire", 3, 3, 0.4), ("reset", 3, 4, 0.5)]
    assert holds((leaky, [3], 3))
    assert holds((fire, [5], 4))
    assert holds(([*leaky, ("fire", 3, 3, 0.4)], [3, 4], 4)) is not None
