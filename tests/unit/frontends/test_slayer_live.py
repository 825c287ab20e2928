"""A live network of lava-dl's slayer is refused, and does what the refusal says."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurodeploy.errors import ImportModelError
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.sources import resolve
from tests.later import torch


@pytest.mark.needs("lava.lib.dl.slayer", "lava.lib.dl.netx.hdf5")
def test_slayer_is_refused_and_its_export_is_read(tmp_path: Path) -> None:
    import h5py
    from lava.lib.dl import slayer

    neuron = {"threshold": 1.0, "current_decay": 0.4, "voltage_decay": 0.1}
    network = torch.nn.Sequential(
        slayer.block.cuba.Dense(neuron, 6, 5, weight_scale=3), slayer.block.cuba.Affine(neuron, 5, 2)
    )
    with pytest.raises(ImportModelError) as caught:
        resolve.from_torch(network, InputSpec((6,), timesteps=8))
    assert {problem.code for problem in caught.value.problems} == {"ND109"}
    export, build = caught.value.problems[0].fixes
    assert build == "then neurodeploy build network.net"
    assert "block.export_hdf5(file.create_group(f'layer/{i}'))" in export

    network(torch.zeros(1, 6, 8))
    with h5py.File(tmp_path / "network.net", "w") as file:
        for i, block in enumerate(network):
            block.export_hdf5(file.create_group(f"layer/{i}"))
    graph = resolve.source_graph(resolve.resolve(str(tmp_path / "network.net")))
    assert graph.header.level == "integer"
