"""The artifact: exact round trips, and a typed error for every way a file can be wrong."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy import artifact, files
from neurodeploy.artifact import CLASSES, Artifact
from neurodeploy.calibrate import Ranges
from neurodeploy.errors import EnvironmentProblem, UsageError
from neurodeploy.ir import codec, store
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import KINDS
from neurodeploy.ir.types import Activity
from tests.fuzz.readers import seal
from tests.networks import mini_snn, mini_vit
from tests.strategies import integer_graphs

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8),
    st.integers(-(2**31), 2**31 - 1).map(np.int32), st.floats(width=32, allow_nan=False).map(np.float32),
)  # fmt: skip
KEYS = st.one_of(st.text(max_size=6), st.just("$c"), st.just("a/b"), st.just("."), st.just(""))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
    ),
    max_leaves=12,
)


def same(a: Any, b: Any) -> bool:
    """Equal in type and value, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return bool(a == b)


# --- round trips -------------------------------------------------------------------------------------------------


@given(VALUES)
def test_codec_is_exact(value: Any) -> None:
    text, arrays = codec.encode(value)
    assert same(codec.decode(json.loads(json.dumps(text)), arrays.__getitem__, {}), value)


@pytest.mark.parametrize("dtype", sorted(codec.DTYPES))
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (5, 7)])
def test_arrays_keep_type_shape_and_values(dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    values = np.arange(int(np.prod(shape))).reshape(shape) % 2
    store.write(tmp_path / "x.h5", {"part": {"x": values.astype(dtype)}})
    found = store.read(tmp_path / "x.h5", {}).sections["part"]["x"]
    assert found.dtype == np.dtype(dtype) and found.shape == shape and np.array_equal(found, values)


def test_array_extremes_survive_narrowing(tmp_path: Path) -> None:
    extremes = np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max] + [0] * 20)
    floats = np.array([np.nan, np.inf, -0.0, 5e-324] * 5)
    store.write(tmp_path / "x.h5", {"part": (extremes, floats)})
    found = store.read(tmp_path / "x.h5", {}).sections["part"]
    assert found[0].tobytes() == extremes.tobytes() and found[1].tobytes() == floats.tobytes()


@settings(max_examples=25)
@given(integer_graphs())
def test_graphs_survive_the_file(tmp_path_factory: pytest.TempPathFactory, graph: Graph) -> None:
    path = tmp_path_factory.mktemp("graph") / "program.h5"
    artifact.save(path, Artifact(integer=graph))
    found = artifact.load(path).integer
    assert found is not None and list(found.nodes) == list(graph.nodes)
    assert found.content_hash() == graph.content_hash()


def test_artifact_keeps_every_section(saved: Path) -> None:
    found = artifact.load(saved)
    assert found.source is not None and found.source.content_hash() == mini_vit().content_hash()
    assert found.ranges is not None and np.array_equal(found.ranges.activity["a"].times, TIMES)
    assert found.ranges == RANGES and found.provenance == {"seed": 3, "versions": {"numpy": "1"}}
    assert len(found.hash) == 64


def test_same_content_gives_the_same_hash(saved: Path, tmp_path: Path) -> None:
    assert artifact.save(tmp_path / "again.h5", artifact.load(saved)) == artifact.load(saved).hash


def test_program_needs_an_integer_graph(saved: Path) -> None:
    with pytest.raises(UsageError, match="ND949"):
        _ = artifact.load(saved).program


def test_unknown_types_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(codec.CodecError):
        store.write(tmp_path / "x.h5", {"part": {"x": object()}})
    assert not list(tmp_path.iterdir())


def test_a_smaller_artifact_is_replaced_by_a_larger_one(tmp_path: Path) -> None:
    """The file that lies there says nothing of the one that takes its place."""
    for size in (10, 1 << 16):
        store.write(tmp_path / "x.h5", {"part": {"x": np.arange(size)}})
        assert store.read(tmp_path / "x.h5", {}).sections["part"]["x"].size == size


# --- hostile files -----------------------------------------------------------------------------------------------

TIMES = np.arange(24).reshape(4, 6)
RANGES = Ranges({"a": (-1.0, 2.5)}, {"a": Activity(0.1, 0.2, (0.1, 0.1), 4, 0, TIMES)}, 4)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "program.h5"
    whole = Artifact(source=mini_vit(), ranges=RANGES, provenance={"seed": 3, "versions": {"numpy": "1"}})
    artifact.save(path, whole)
    return path


def edit_text(section: str, change: Callable[[str], str]) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        text = change(file[section][()].tobytes().decode())
        del file[section]
        file[section] = np.frombuffer(text.encode(), np.uint8)

    return edit


def first_array(file: h5py.File) -> str:
    return f"arrays/{min(file['arrays'])}"


def set_array(make: Callable[[h5py.File, str], None]) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        place = first_array(file)
        del file[place]
        make(file, place)

    return edit


def soft_link(file: h5py.File) -> None:
    file["arrays/link"] = h5py.SoftLink("/header")


def external_link(file: h5py.File) -> None:
    file["arrays/link"] = h5py.ExternalLink("/etc/hostname", "/")


def cycle(file: h5py.File) -> None:
    file["arrays/loop"] = file["arrays"]


def deeper(text: str) -> str:
    return "[" * 100_000 + "]" * 100_000


EDITS: dict[str, tuple[str, Callable[[h5py.File], None]]] = {
    "array missing": ("ND945", set_array(lambda f, p: None)),
    "text missing": ("ND945", lambda f: f.__delitem__("source")),
    "objects": ("ND946", set_array(lambda f, p: f.create_dataset(p, data=["x"], dtype=h5py.string_dtype()))),
    "strings": ("ND946", set_array(lambda f, p: f.create_dataset(p, data=np.array([b"abc"])))),
    "compound": ("ND946", set_array(lambda f, p: f.create_dataset(p, data=np.zeros(2, "i4,f4")))),
    "compressed": ("ND946", set_array(lambda f, p: f.create_dataset(p, data=np.zeros(99), compression="gzip"))),
    "declared huge": ("ND946", set_array(lambda f, p: f.create_dataset(p, (1 << 50,), "f8"))),
    "chunked huge": ("ND946", set_array(lambda f, p: f.create_dataset(p, (1 << 50,), "f8", chunks=(1024,)))),
    "soft link": ("ND946", soft_link),
    "external link": ("ND946", external_link),
    "cycle": ("ND946", cycle),
    "other shape": ("ND948", set_array(lambda f, p: f.create_dataset(p, data=np.full(4, 7, "u8")))),
    "not JSON": ("ND947", edit_text("source", lambda t: t[:-5])),
    "nested": ("ND947", edit_text("source", deeper)),
    "unknown kind": ("ND947", edit_text("source", lambda t: t.replace('"$c":"Synapse"', '"$c":"Popen"', 1))),
    "unknown tag": ("ND947", edit_text("source", lambda t: t.replace('"$a"', '"$x"', 1))),
    "unknown field": ("ND947", edit_text("source", lambda t: t.replace('"stride"', '"strike"', 1))),
    "wrong type": ("ND947", edit_text("source", lambda t: t.replace('"timesteps":1', '"timesteps":"1"', 1))),
    "wrong choice": ("ND947", edit_text("source", lambda t: t.replace('"op":"dense"', '"op":"dance"', 1))),
    "other section type": ("ND947", edit_text("source", lambda t: "3")),
    "nothing in a section": ("ND947", edit_text("source", lambda t: "null")),
    "unknown operator": ("ND948", edit_text("source", lambda t: t.replace('"op":"softmax"', '"op":"hardmax"', 1))),
    "unknown level": ("ND948", edit_text("source", lambda t: t.replace('"level":"source"', '"level":"top"', 1))),
    "no ticks": ("ND948", edit_text("source", lambda t: t.replace('"timesteps":1', '"timesteps":0', 1))),
    "unknown section": ("ND942", lambda f: f.copy("ranges", "stuff")),
}  # fmt: skip


@pytest.mark.parametrize("case", EDITS)
def test_edited_files_are_refused(saved: Path, case: str) -> None:
    code, edit = EDITS[case]
    with h5py.File(saved, "r+") as file:
        edit(file)
    if code != "ND946":
        with h5py.File(saved, "r+") as file:
            seal(file)
    with pytest.raises(UsageError) as caught:
        artifact.load(saved)
    assert {p.code for p in caught.value.problems} == {code}, str(caught.value)
    assert str(saved) in caught.value.problems[0].where


def test_shapes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    graph = mini_snn()
    name = next(n.name for n in graph.of(KINDS["synapse"]) if n.op == "dense")
    wrong = replace(graph.nodes[name], weight=np.zeros((3, 3)), bias=None)  # type: ignore[call-arg]
    artifact.save(tmp_path / "x.h5", Artifact(source=replace(graph, nodes={**graph.nodes, name: wrong})))
    with pytest.raises(UsageError, match="ND948") as caught:
        artifact.load(tmp_path / "x.h5")
    assert name in str(caught.value)


def test_a_flipped_bit_is_seen(saved: Path) -> None:
    with h5py.File(saved, "r+") as file:
        data = file[first_array(file)]
        raw = data[()]
        raw.reshape(-1)[0] += 1
        data[...] = raw
    with pytest.raises(UsageError, match="ND944"):
        artifact.load(saved)


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_truncated_files_are_refused(saved: Path, keep: float) -> None:
    raw = saved.read_bytes()
    saved.write_bytes(raw[: int(keep * len(raw))])
    with pytest.raises(UsageError) as caught:
        artifact.load(saved)
    assert caught.value.problems[0].code in ("ND940", "ND941", "ND946", "ND944")


@pytest.mark.parametrize(
    "content, code",
    [(None, "ND940"), (b"", "ND940"), (b"not HDF5", "ND941"), (b"\x89HDF\r\n\x1a\n" + b"\0" * 50, "ND941")],
)
def test_missing_and_foreign_files_are_refused(tmp_path: Path, content: bytes | None, code: str) -> None:
    path = tmp_path / "program.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=code):
        artifact.load(path)


def test_hdf5_of_another_program_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["weights"] = np.zeros(3)
    with pytest.raises(UsageError, match="ND942"):
        artifact.load(tmp_path / "x.h5")


@pytest.mark.parametrize("version", [0, store.SCHEMA - 1, store.SCHEMA + 1, None, str(store.SCHEMA)])
def test_another_schema_version_is_refused_with_both_named(saved: Path, version: object) -> None:
    """An artifact as another version wrote it: its header names another schema, its parts are of unknown classes."""
    with h5py.File(saved, "r+") as file:
        header = json.loads(file["header"][()].tobytes())
        for name, text in (("header", {**header, "schema": version}), ("integer", {"$c": "Population"})):
            if name in file:
                del file[name]
                file[name] = np.frombuffer(json.dumps(text).encode(), dtype=np.uint8)
    with pytest.raises(UsageError) as caught:
        artifact.load(saved)
    (problem,) = caught.value.problems
    assert problem.code == "ND943" and problem.fixes
    assert (problem.found, problem.limit) == (f"schema version {version}", f"schema version {store.SCHEMA}")


LAYOUT = Path(__file__).parents[1] / "golden" / f"artifact_schema_{store.SCHEMA}.json"


def layout() -> dict[str, dict[str, list[str]]]:
    """Class -> field -> its type without arguments, and "needed" where a file must hold it."""
    found = {}
    for name, cls in sorted(CLASSES.items()):
        kinds = {
            name: re.sub(r"\[.*\]|typing\.", "", str(hint)) for name, hint in get_type_hints(cls).items()
        }
        needed = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
        found[name] = {f.name: [kinds[f.name], *["needed"] * (f.name in needed)] for f in fields(cls)}
    return found


def test_what_this_schema_version_wrote_before_can_still_be_read() -> None:
    """A class or field that went, changed its type or became needed: then store.SCHEMA must go up, and a file for it be
    written here. New classes, and new fields with a default, leave older files readable.
    """
    now = layout()
    if not LAYOUT.exists():
        LAYOUT.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
        pytest.fail(f"{LAYOUT.name} was missing and has been written: look at it and commit it")
    before = json.loads(LAYOUT.read_text(encoding="utf-8"))
    for name, kept in before.items():
        assert name in now, name
        for field, (kind, *_) in kept.items():
            assert now[name].get(field, [None])[0] == kind, (name, field)
        needed = {field for field, said in now[name].items() if "needed" in said}
        assert needed <= set(kept), (name, needed - set(kept))


def test_every_node_kind_can_be_stored() -> None:
    assert {cls.__name__ for cls in KINDS.values()} <= set(CLASSES)


# --- writing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_failed_writes_leave_the_old_file(
    saved: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    before = saved.read_bytes()

    def refuse(descriptor: int) -> None:
        raise failure

    monkeypatch.setattr(files.os, "fsync", refuse)
    wanted = EnvironmentProblem if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(wanted) as caught:
        artifact.save(saved, Artifact(source=mini_snn()))
    assert saved.read_bytes() == before and list(saved.parent.iterdir()) == [saved]
    if isinstance(caught.value, EnvironmentProblem):
        assert caught.value.problems[0].code == "ND901"


def test_a_folder_that_cannot_be_written_is_typed(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="ND90"):
        artifact.save(tmp_path / "missing" / "x.h5", Artifact())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_devices_are_written_to_and_never_replaced() -> None:
    with pytest.raises(EnvironmentProblem, match="ND901"):
        files.write_bytes(Path("/dev/full"), b"x")
    assert Path("/dev/full").is_char_device()


def test_links_keep_pointing(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    files.write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"


def test_a_folder_in_the_way_is_typed(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(EnvironmentProblem, match="ND90"):
        files.write_text(tmp_path / "x", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
