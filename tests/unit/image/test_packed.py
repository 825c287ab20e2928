"""Images of a network: made one by one, kept as a few long arrays, and taken out and checked one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from neurodeploy import artifact
from neurodeploy.artifact import Artifact
from neurodeploy.backends.loihi_sim import MEMBER
from neurodeploy.errors import MappingError, UsageError
from neurodeploy.image import CoreImage, Images, encode, from_arrays, pack, to_arrays, unpack
from neurodeploy.image import encoder as encoders
from neurodeploy.ir import store
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.target import load
from tests.mappings import one_core_per_group
from tests.unit.mapping.networks import ecmt_transformer

TARGET = load("loihi-sim")


@pytest.fixture(scope="module")
def program() -> Program:
    graph = balance(ecmt_transformer(1, 4, 8))
    return Program(graph, encode(graph, one_core_per_group(graph, TARGET), TARGET))


def plain(images: Any) -> list[dict[str, Any]]:
    return [
        {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in to_arrays(image).items()}
        for image in images
    ]


def test_images_are_made_when_they_are_asked_for(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    assert program.mapping is not None
    made: list[int] = []
    own = encoders.checked
    monkeypatch.setattr(encoders, "checked", lambda image: made.append(image.index) or own(image))
    images = encode(program.graph, replace(program.mapping, images=()), TARGET).images
    assert made == [] and len(images) == len(program.mapping.cores) + 1
    assert images[2].index == 2 and made == [2]
    assert [image.index for image in images[-2:]] == [len(images) - 2, -1]
    assert plain([images[3]]) == plain([list(images)[3]])  # in whatever order they are made


def test_packed_images_survive(program: Program) -> None:
    assert program.mapping is not None
    packed = pack(program.mapping.images)
    assert plain(unpack(packed)) == plain(program.mapping.images)
    wide = {name for name, array in packed.items() if array.itemsize == 8 and array.size}
    assert wide == {"synapses", "sizes"}
    assert len(unpack(pack(()))) == 0


EDITS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no table": lambda p: {k: v for k, v in p.items() if k != "gather"},
    "another table": lambda p: p | {"more": p["gather"]},
    "no mapping": lambda p: (),
    "floats": lambda p: p | {"gather": p["gather"].astype(float)},
    "another width": lambda p: p | {"rows": p["rows"][:, :2]},
    "sizes of something else": lambda p: p | {"sizes": p["sizes"] + 1},
    "negative sizes": lambda p: p | {"sizes": np.concatenate([p["sizes"], [[-1] * 18], [[1] * 18]])},
    "sizes that overflow": lambda p: p | {"sizes": np.concatenate([p["sizes"], np.full((4, 18), 1 << 62)])},
    "too few images": lambda p: p | {"sizes": p["sizes"][:-1]},
}  # fmt: skip


@pytest.mark.parametrize("case", EDITS)
def test_parts_that_do_not_fit_each_other_are_refused(program: Program, case: str) -> None:
    assert program.mapping is not None
    with pytest.raises(MappingError, match="ND581"):
        unpack(EDITS[case](pack(program.mapping.images)))


def test_an_image_is_checked_when_it_is_taken_out(program: Program, tmp_path: Path) -> None:
    """A file with one bad image: the others can be used, the file is named, and a run refuses it."""
    assert program.mapping is not None
    images: list[CoreImage] = list(program.mapping.images)
    items = images[1].tables["items"].copy()
    items[:, 1] = 1 << 20
    images[1] = replace(images[1], tables={**images[1].tables, "items": items})
    bad = Images(len(images), images.__getitem__)
    artifact.save(tmp_path / "x.h5", Artifact(program.graph, replace(program.mapping, images=bad)))
    found = artifact.load(tmp_path / "x.h5").program
    assert found.mapping is not None and plain([found.mapping.images[0]]) == plain([images[0]])
    with pytest.raises(UsageError, match="ND580") as caught:
        MEMBER.run(found, np.zeros((1, *program.graph.shape(program.graph.input.name))))
    assert str(tmp_path / "x.h5") in caught.value.problems[0].where
    with pytest.raises(MappingError, match="ND581"):
        from_arrays({**to_arrays(images[0]), "gather": np.array([1 << 40])})


def test_what_is_not_asked_for_is_not_read(program: Program, tmp_path: Path) -> None:
    """A graph beside the program may be damaged: a run neither reads nor refuses it."""
    floats = replace(program.graph, header=replace(program.graph.header, notes={"long": np.arange(99.0) / 7}))
    artifact.save(tmp_path / "x.h5", Artifact(program.graph, program.mapping, source=floats))
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        (place,) = (name for name, held in file["arrays"].items() if held.dtype.kind == "f")
        file["arrays"][place][0] += 1
    assert artifact.load(tmp_path / "x.h5", artifact.PROGRAM).program.mapping is not None
    with pytest.raises(UsageError, match="ND944"):
        artifact.load(tmp_path / "x.h5")


def test_equal_arrays_are_one(tmp_path: Path) -> None:
    once, single = np.arange(999.0) / 7, (np.arange(999.0) / 7).astype(np.float32).astype(np.float64)
    store.write(tmp_path / "x.h5", {"a": once, "b": (once.copy(), single)})
    with h5py.File(tmp_path / "x.h5") as file:
        assert sorted(held.dtype.itemsize for held in file["arrays"].values()) == [4, 8]
    found = store.read(tmp_path / "x.h5", {}).sections
    assert found["a"].tobytes() == found["b"][0].tobytes() == once.tobytes()
    assert found["b"][1].tobytes() == single.tobytes()
    assert list(store.read(tmp_path / "x.h5", {}, ("b", "c")).sections) == ["b"]
