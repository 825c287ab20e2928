"""A network on events: from recordings in a folder to integers on simulated cores, and again from its own record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import cli, config, verbs
from neurodeploy.datasets import digits_events
from neurodeploy.datasets._digits import images

pytestmark = pytest.mark.slow
SMALL = ["--eval", "40", "--verify", "8", "--calib", "40", "-q"]


def recordings(folder: Path, count: int = 120) -> Path:
    """Some of the simulated recordings, as SpikingJelly writes them."""
    train, train_y, test, test_y = images()
    for part, stream, pictures, labels in (("train", 0, train, train_y), ("test", 1, test, test_y)):
        for index, events in enumerate(digits_events.recordings(pictures[:count], stream)):
            place = folder / part / str(labels[index])
            place.mkdir(parents=True, exist_ok=True)
            np.savez(place / f"{index}.npz", t=events.t, x=events.x, y=events.y, p=events.p)
    return folder


def test_recordings_are_built_verified_and_evaluated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = str(recordings(tmp_path / "data")), str(tmp_path / "build")
    arguments = ["build", "events-spikformer", "--data", data, *SMALL, "--out", out]
    assert cli.call(arguments) == 2  # such files do not say how large the sensor is
    assert "loader.size=[8,8]" in capsys.readouterr().err
    assert cli.call([*arguments, "--set", "loader.size=[8,8]"]) == 0
    report = json.loads((tmp_path / "build/report.json").read_text())
    assert report["bit_true"]["equal"] and set(report["bit_true"]["backends"]) == {
        "interp",
        "cpu",
        "loihi-sim",
    }
    assert "8 x 8 pixels, 4 frames of equal time" in report["model_info"]["reading"]
    assert report["accuracy"]["integer"] >= 0.85
    assert config.resolve(file=tmp_path / "build/build.toml").loader == {"size": [8, 8]}
    assert verbs.verify(out, samples=4).equal
    assert verbs.evaluate(out).samples == 120
    other = [*arguments, "--set", "loader.size=[8,8]", "--set", "loader.ticks=5"]
    assert cli.call(other) == 2 and "--set loader.ticks=4" in capsys.readouterr().err


def test_an_encoder_is_built_and_said(tmp_path: Path) -> None:
    out = str(tmp_path / "build")
    assert cli.call(["build", "digits-spikformer", "--encoder", "rate", *SMALL, "--out", out]) == 0
    report = json.loads((tmp_path / "build/report.json").read_text())
    assert report["bit_true"]["equal"] and report["accuracy"]["integer"] >= 0.85
    assert report["model_info"]["encoder"] == "rate"
    assert "encoder" in {row["name"] for row in report["layers"]}
    assert config.resolve(file=tmp_path / "build/build.toml").encoder == "rate"
    assert verbs.verify(out, samples=4).equal
