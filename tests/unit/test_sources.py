"""Which options a build takes from its model and which from its user."""

from typing import Any

import pytest

from neurodeploy import sources
from neurodeploy.config import BuildConfig
from neurodeploy.frontends import resolve
from neurodeploy.sources import Source


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
    source = Source(resolve.resolve("cifar10-vit"), None)  # type: ignore[arg-type]
    config = BuildConfig(model="cifar10-vit", convert=asked)
    assert sources.completed(config, source).convert == expected


def test_options_of_a_model_belong_to_its_own_method() -> None:
    source = Source(resolve.resolve("cifar10-vit"), None)  # type: ignore[arg-type]
    assert sources.completed(BuildConfig(model="cifar10-vit", method="pmsm"), source).convert == {}
