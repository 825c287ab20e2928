"""Forms that libraries of networks write: caches, norms along any axis, masks that are scaled; small modules."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest

from neurodeploy.errors import ImportModelError
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.frontends.libraries import _images
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Micro
from tests.later import Tensor, modules, nn, torch, torch_export
from tests.later import functional as F

SHAPE = (3, 4, 6)


def imported(network: nn.Module, run: bool = False) -> Graph:
    """The graph, equal to the module on noise and on an input of zeros."""
    graph = torch_export.import_module(network.double().eval(), InputSpec(SHAPE, 0.25), run=run)
    raw = np.random.default_rng(3).integers(-9, 9, (4, *SHAPE))
    raw[0] = 0
    with torch.no_grad():
        expected = network(torch.tensor(raw * 0.25)).numpy()
    found = interp.run(graph, raw, timesteps=1).outputs[-1]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    return graph


def test_what_dynamo_cannot_read_is_run_by_python() -> None:
    class Caching(nn.Module):
        """Keeps what it computed of sizes, and says so, as rotary positions of libraries do."""

        def __init__(self) -> None:
            super().__init__()
            self.kept: Tensor | None = None
            self.calls = [0]

        def forward(self, x: Tensor) -> Tensor:
            if self.kept is None or self.kept.shape[-1] != x.shape[-1]:
                logging.getLogger(__name__).warning("made anew")
                self.kept = torch.arange(x.shape[-1], dtype=x.dtype).cos()
            return x * self.kept + [1.0, 2.0].count(2.0)

    network = Caching()
    imported(network)
    assert type(network.kept).__name__ == "Tensor"  # the module's own: none without numbers is left behind


def test_values_of_constants_may_be_asked_for() -> None:
    class Sorted(nn.Module):
        """Takes sizes and choices out of tensors that are not the input, and keeps what it found."""

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 6)
            self.register_buffer("kinds", torch.tensor([1, 1, 0]))

        def forward(self, x: Tensor) -> Tensor:
            kinds, counts = torch.unique_consecutive(self.kinds, return_counts=True)
            self.found = kinds.tolist()
            parts = torch.split(x, counts.tolist(), 1)
            parts = [
                self.linear(part) if kind else part * 2 for part, kind in zip(parts, self.found, strict=True)
            ]
            made = torch.cat(parts, 1)
            made[:, 0] += 1.0
            return made if bool(self.kinds.sum() == 2) else x

    graph = imported(Sorted(), run=True)
    assert any(node.name == "linear" for node in graph)


ASKED: dict[str, Callable[[Tensor], float]] = {
    "tolist": lambda kept: sum(kept.tolist()),
    "item": lambda kept: kept.sum().item(),
    "numpy": lambda kept: float(kept.numpy().sum()),
    "nonzero": lambda kept: len(kept.nonzero()),
}


@pytest.mark.parametrize("run", [False, True])
@pytest.mark.parametrize("ask", ASKED)
def test_values_of_the_input_may_not_be_asked_for(ask: str, run: bool) -> None:
    class Asking(nn.Module):
        """Hides the look behind a constant that is written to."""

        def forward(self, x: Tensor) -> Tensor:
            self.kept = torch.zeros(3, dtype=x.dtype)
            self.kept[1:] += x[0, 0, 0, :2]
            return x * (2.0 if ASKED[ask](self.kept) > 1.0 else 1.0)

    with pytest.raises(ImportModelError) as caught:
        torch_export.import_module(Asking().eval(), InputSpec(SHAPE, 0.25), run=run)
    assert {problem.code for problem in caught.value.problems} <= {"ND104", "ND105", "ND131"}


def test_a_branch_on_values_is_refused_by_both_ways_of_export() -> None:
    class Branching(nn.Module):
        """Chooses by the values, which no trace may take for granted."""

        def forward(self, x: Tensor) -> Tensor:
            self.seen = x.shape[0]
            return x if x.sum() > 0 else -x

    with pytest.raises(ImportModelError) as caught:
        torch_export.import_module(Branching().eval(), InputSpec(SHAPE))
    assert {problem.code for problem in caught.value.problems} <= {"ND104", "ND131"}


def _channels_first(x: Tensor) -> Tensor:
    mean = x.mean(1, keepdim=True)
    return (x - mean) / torch.sqrt((x - mean).pow(2).mean(1, keepdim=True) + 1e-3)


def _by_length(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


#: name -> (function, the operators that it becomes)
FORMS: dict[str, tuple[Callable[[Tensor], Tensor], list[str]]] = {
    "layer norm along channels": (_channels_first, ["layer_norm"]),
    "rows of length 1": (lambda x: F.normalize(x, dim=-1), ["rms_norm"]),
    "pixels of length 1": (lambda x: F.normalize(x, dim=1), ["rms_norm"]),
    "divided by a length": (lambda x: _by_length(x + 9), ["rms_norm"]),
    "a slice of nothing": (lambda x: torch.cat((x[..., :2], x[..., 6:]), -1), []),
    "pooled behind a permuted map": (
        lambda x: F.adaptive_avg_pool2d(x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2), 1).flatten(1),
        [],
    ),
    "masked scores divided": (
        lambda x: (
            torch.where(torch.ones(6, 6, dtype=torch.bool).tril(), x.mT @ x, torch.finfo(x.dtype).min) / 3.0
        ).softmax(-1),
        ["softmax"],
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_libraries(name: str) -> None:
    function, ops = FORMS[name]
    graph = imported(modules.Apply(lambda s, x: function(x)))
    assert [node.op for node in graph.of(Micro)] == ops


def test_lengths_along_two_axes_are_no_norm() -> None:
    mixed = modules.Apply(lambda s, x: x / (x.norm(dim=-1, keepdim=True) + x.norm(dim=1, keepdim=True)))
    with pytest.raises(ImportModelError) as caught:
        torch_export.import_module(mixed.eval(), InputSpec(SHAPE))
    assert {problem.code for problem in caught.value.problems} == {"ND101"}


def test_random_numbers_that_nothing_reads_are_none() -> None:
    imported(modules.Apply(lambda s, x: (torch.rand(()), x + 1)[1]))


def _levels() -> _images.Levels:
    return _images.levels(1 / 255, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), 3)


def test_a_preparation_in_two_steps_is_asked_for_scale_and_offset() -> None:
    first, second = _levels(), np.array([0.5, 0.25, 2.0])
    found = _images.settled(lambda raw: first(raw) / second[:, None, None], first, (3, 5, 6), "here")
    np.testing.assert_allclose(found.scale, first.scale / second, rtol=1e-12)
    np.testing.assert_allclose(found.offset, first.offset / second, rtol=1e-12)
    assert _images.settled(first, first, (3, 5, 6), "here") is first


@pytest.mark.parametrize("prepare", [lambda raw: raw.astype(float) ** 2, lambda raw: np.zeros(raw.shape)])
def test_a_preparation_that_is_no_scale_and_offset_is_refused(prepare: _images.Prepare) -> None:
    with pytest.raises(ImportModelError) as caught:
        _images.settled(prepare, _levels(), (3, 5, 6), "here")
    assert [problem.code for problem in caught.value.problems] == ["ND177"]
