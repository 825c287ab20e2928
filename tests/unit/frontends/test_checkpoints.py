"""Checkpoints of published code in the module that a factory makes: by name, and nothing that counts is missing."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.errors import ImportModelError, UsageError
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Synapse
from neurodeploy.sources import resolve
from tests.later import Later, nn, safetensors, torch

published, jelly = Later("tests.published"), Later("tests.jelly")


def network() -> Any:
    """A spiking network with a layer that no call reads, and a neuron whose leak is learned."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.lif = published.conv(1, 4), jelly.ParametricLIFNode()
            self.norm1, self.head = nn.LayerNorm(4), nn.Linear(256, 5)

        def forward(self, x: Any) -> Any:
            return self.head(self.lif(self.conv(x)).flatten(1))

    return published.seeded(Network)


def trained() -> dict[str, Any]:
    """Other values for all of its tensors."""
    state = network().state_dict()
    return {name: value * 1.5 if value.is_floating_point() else value for name, value in state.items()}


def loaded(weights: Path) -> Graph:
    model = resolve.resolve(
        "py:tests.unit.frontends.test_checkpoints:network", (1, 8, 8), 3, reader={"weights": str(weights)}
    )
    return resolve.source_graph(model)


def saved(tmp_path: Path, content: Any, name: str = "checkpoint.pth.tar") -> Path:
    torch.save(content, tmp_path / name)
    return tmp_path / name


def refused(weights: Path) -> dict[str, str]:
    """What is named, by code."""
    with pytest.raises(ImportModelError) as caught:
        loaded(weights)
    return {problem.limit or problem.cause: problem.code for problem in caught.value.problems}


WRAPPED = {
    "bare": lambda state: state,
    "of a trainer": lambda state: {
        "epoch": 3, "args": argparse.Namespace(lr=0.1, size=[8, 8]), "optimizer": {"state": {}},
        "state_dict": {f"module.{name}": value for name, value in state.items()},
    },
    "an average": lambda state: {"model_ema": state, "epoch": 3},
}  # fmt: skip


@pytest.mark.parametrize("how", WRAPPED)
def test_a_checkpoint_is_loaded_by_name(how: str, tmp_path: Path) -> None:
    state = trained()
    graph = loaded(saved(tmp_path, WRAPPED[how](state)))
    (head,) = (node for node in graph.of(Synapse) if node.name == "head")
    np.testing.assert_allclose(head.weight, state["head.weight"].numpy(), rtol=1e-6)
    assert "remarks" not in graph.header.notes


def test_what_no_call_reads_may_be_absent_and_what_has_no_place_is_named(tmp_path: Path) -> None:
    state = {name: value for name, value in trained().items() if not name.startswith("norm1")}
    state["block.norm2.weight"] = torch.ones(3)
    safetensors.save_file(state, tmp_path / "weights.safetensors")
    (remark,) = loaded(tmp_path / "weights.safetensors").header.notes["remarks"]
    assert (remark["code"], remark["severity"]) == ("ND197", "warning")
    for name in ("block.norm2.weight", "norm1.weight", "norm1.bias"):
        assert name in remark["found"]


@pytest.mark.parametrize("name", ["head.weight", "conv.1.running_var", "lif.w"])
def test_what_is_read_has_to_be_there(name: str, tmp_path: Path) -> None:
    """A weight, a statistic, and the leak of a neuron that is a leaf of the trace."""
    state = {key: value for key, value in trained().items() if key != name}
    assert refused(saved(tmp_path, state)) == {name: "ND193"}


def test_other_shapes_other_classes_and_other_options_are_refused(tmp_path: Path) -> None:
    state = trained() | {"head.bias": torch.ones(4)}
    assert refused(saved(tmp_path, state)) == {"(5,)": "ND193"}
    assert set(refused(saved(tmp_path, {"model": trained(), "code": Path("x")})).values()) == {"ND113"}
    assert set(refused(tmp_path / "absent.pth").values()) == {"ND191"}
    with pytest.raises(UsageError):
        resolve.resolve("py:tests.published:spikformer", reader={"weight": "x.pth"})
