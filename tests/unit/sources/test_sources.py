"""Which options a build takes from its model and which from its user."""

from typing import Any

import numpy as np
import pytest

from neurodeploy import sources
from neurodeploy.config import BuildConfig
from neurodeploy.ir.graph import Builder, Header
from neurodeploy.ir.nodes import Input, Output, Synapse
from neurodeploy.sources import Source, resolve
from tests.networks import mini_vit, value


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {"preset": "headline", "base_scale": 0.125}),
        ({"preset": "headline"}, {"preset": "headline", "base_scale": 0.125}),
        ({"base_scale": 0.5}, {"preset": "headline", "base_scale": 0.5}),
        ({"preset": "released"}, {"preset": "released"}),
        ({"preset": "released", "levels": 4}, {"preset": "released", "levels": 4}),
    ],
    ids=str,
)
def test_options_of_a_model_belong_to_its_own_preset(asked: dict[str, Any], expected: dict[str, Any]) -> None:
    """cifar10-vit refines a preset: another one, chosen by the user, is what its name says."""
    source = Source(resolve.resolve("cifar10-vit"), mini_vit())
    config = BuildConfig(model="cifar10-vit", convert=asked)
    assert sources.completed(config, source).convert == expected


def test_options_of_a_model_belong_to_its_own_method() -> None:
    source = Source(resolve.resolve("cifar10-vit"), mini_vit())
    assert sources.completed(BuildConfig(model="cifar10-vit", method="pmsm"), source).convert == {}


@pytest.mark.parametrize(("asked", "expected"), [(None, 1), (3, 3)])
def test_a_context_of_one_token_is_one_tick(asked: int | None, expected: int) -> None:
    builder = Builder(Header(timesteps=1))
    builder.add(Input(name="x", per_tick=True), value("C", 4))
    builder.add(Output(name="out", inputs=("x",)), value("C", 4))
    config = BuildConfig(model="matmulfree-370m", timesteps=asked)
    source = Source(resolve.resolve("matmulfree-370m"), builder.build())
    assert sources.completed(config, source).timesteps == expected


@pytest.mark.parametrize(
    ("width", "asked", "expected"),
    [(100, {}, 256), (1000, {}, 73), (3000, {}, 16), (3000, {"calib": 99}, 99)],
)
def test_large_networks_calibrate_on_fewer_samples_unless_told(
    width: int, asked: dict[str, int], expected: int
) -> None:
    builder = Builder()
    builder.add(Input(name="x"), value("C", width))
    builder.add(
        Synapse(name="w", inputs=("x",), op="dense", weight=np.ones((width, width))), value("C", width)
    )
    builder.add(Output(name="out", inputs=("w",)), value("C", width))
    source = Source(resolve.resolve("py:a:b"), builder.build())
    config = BuildConfig(model="py:a:b", method="ecmt", timesteps=4096, **asked)
    assert sources.completed(config, source).calib == expected
