"""Finished stages of a build that did not come to its end are taken up by the same command, and by no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.builds import kept, pipeline
from neurodeploy.builds.verified import Verified
from neurodeploy.config import resolve
from neurodeploy.files import cache_folder
from neurodeploy.simulate import kernels
from neurodeploy.target import load
from tests.netx_files import dense, weights, write_net

STAGES = ("convert", "calibrate", "quantize", "map", "evaluate", "verify")


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(kernels.cache_folder()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kept, "WORTH", 0.0)
    rng = np.random.default_rng(0)
    write_net(tmp_path / "net.net", [dense(weights(rng, 6, 4)), dense(weights(rng, 3, 6))])
    yield


def build(stop: str = "", start: str = "import", **given: object) -> list[str]:
    """The stages that were kept; ``stop`` is interrupted as it begins."""
    seen = []

    def listener(event: pipeline.Event) -> None:
        if event.kind == "start" and event.stage == stop:
            raise KeyboardInterrupt
        if event.kind == "finish" and event.fact.endswith(", kept"):
            seen.append(event.stage)

    flags = {"model": "net.net", "out": "out", "calib": 2, "eval": 2, "verify": 2, "timesteps": 3, **given}
    try:
        pipeline.run(resolve(flags), listener, start)
    except KeyboardInterrupt:
        assert stop
    return seen


def entries() -> list[Path]:
    return sorted((cache_folder() / "stages").glob("*"))


@pytest.mark.parametrize("stop", ["quantize", "evaluate", "report"])
def test_the_same_command_goes_on_where_it_was(stop: str) -> None:
    build()
    whole = Path("out/program.h5").read_bytes()
    build(stop)
    finished = [name for name in STAGES if stop not in STAGES or name in STAGES[: STAGES.index(stop)]]
    assert len(entries()) == len(finished)
    assert build() == finished
    assert Path("out/program.h5").read_bytes() == whole
    assert entries() == [] and build() == [], "a build that came to its end needs nothing"


def test_another_build_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    build("quantize")
    for given in (
        {"seed": 3},
        {"calib": 3},
        {"eval": 3},
        {"target": "loihi2"},
        {"chips": 2},
        {"spike_rate": 0.3},
    ):
        assert build("quantize", **given) == []
    write_net(Path("net.net"), [dense(weights(np.random.default_rng(1), 3, 4))])
    assert build("quantize") == []
    monkeypatch.setattr(kept, "_code", lambda: ["changed"])
    assert build("quantize") == []


def test_nor_does_one_that_begins_with_an_artifact() -> None:
    """Its stages were made from what somebody may have put there."""
    build()
    build("estimate")
    assert build(start="evaluate") == []


@pytest.mark.parametrize("damage", [
    lambda data: b"", lambda data: data[: len(data) // 2],
    lambda data: data[:-9] + bytes(9), lambda data: b"not HDF5",
])  # fmt: skip
def test_a_damaged_entry_is_none(damage: object) -> None:
    build("quantize")
    for entry in entries():
        entry.write_bytes(damage(entry.read_bytes()))  # type: ignore[operator]
    assert build() == []


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    cache_folder().mkdir(parents=True)
    (cache_folder() / "stages").write_text("a file in the way")
    build("quantize")
    assert build("quantize") == []


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST", 4)
    build("estimate")
    assert len(entries()) == 4
    monkeypatch.setattr(kept, "MOST_BYTES", sum(p.stat().st_size for p in entries()) // 2)
    build("estimate", seed=1)
    assert sum(p.stat().st_size for p in entries()) <= kept.MOST_BYTES


def test_what_takes_a_moment_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "WORTH", 1000.0)
    build("quantize")
    assert entries() == []


def test_floats_that_would_come_back_in_another_order_are_not_kept() -> None:
    keeper = kept.Keeper(load("loihi-sim"))
    keeper.key = "k"
    for values, comes_back in ((np.ones((3, 2)), True), (np.ones((2, 3)).T, False)):
        found = keeper.get(Verified, lambda values=values: Verified(reasons={"layer": values}))  # type: ignore[misc]
        assert not found.kept and kept._comes_back(found) == comes_back == bool(entries())
        keeper.forget()
