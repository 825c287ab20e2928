"""Exponentials and divisions of streams: exact where an end is known, and refused where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from neurodeploy import passes
from neurodeploy.errors import ImportModelError
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.ir import interp
from neurodeploy.ir.nodes import Micro
from neurodeploy.sources import resolve
from tests.later import Tensor, nn, torch

Function = Callable[[Any], Any]


def network(function: Function) -> Any:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(function(self.a(x)))

    torch.manual_seed(0)
    return Net().double().eval()


@pytest.mark.parametrize(
    ("function", "ops"),
    [
        (lambda y: torch.exp((3 * y).clamp(max=1.5)), ["exp"]),
        (lambda y: torch.exp(torch.minimum(y, torch.tensor(0.5))), ["exp"]),
        (lambda y: torch.exp((3 * y).clamp(-1.0, 1.5)), ["exp", "relu"]),
        (lambda y: y / y.square().clamp(min=0.25), ["reciprocal"]),
        (lambda y: 2.0 / torch.clamp(y, min=0.125), ["reciprocal"]),
        (lambda y: (y + 1).clamp(min=0.5).reciprocal(), ["reciprocal"]),
    ],
)
def test_what_is_clamped_is_equal(function: Function, ops: list[str]) -> None:
    """The clamp itself is a part of the operator, but for its other end."""
    model, raw = network(function), np.random.default_rng(0).integers(0, 17, (9, 4))
    graph = passes.simplify(resolve.from_torch(model, InputSpec((4,), 1 / 4)).graph)
    assert sorted(node.op for node in graph.of(Micro)) == ops
    wanted = model(torch.from_numpy(raw / 4)).detach().numpy()
    np.testing.assert_allclose(interp.run(graph, raw).outputs[-1], wanted, atol=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda y: torch.exp(y),
        lambda y: torch.exp(y.clamp(min=0.5)),
        lambda y: 1 / y,
        lambda y: y / y.clamp(max=2.0),
        lambda y: y / y.clamp(min=0.0),
        lambda y: y / y.clamp(min=-1.0),
    ],
)
def test_without_an_end_it_is_refused(function: Function) -> None:
    with pytest.raises(ImportModelError, match="ND101"):
        resolve.from_torch(network(function), InputSpec((4,), 1 / 4))
