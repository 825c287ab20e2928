"""Broken and hostile NIR files: every problem at once, named by node and field, and nothing allocated on their word."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from neurodeploy.calibrate import measure
from neurodeploy.convert.native import MEMBER as NATIVE
from neurodeploy.errors import ImportModelError, Problem, UsageError
from neurodeploy.formats._hdf5 import read as _hdf5
from neurodeploy.formats._hdf5 import stored
from neurodeploy.formats.nir import MEMBER as NIR
from neurodeploy.formats.nir import READER, WRITER
from neurodeploy.formats.nir import read as reader
from neurodeploy.formats.nir.integers import PLACE
from neurodeploy.program import Program
from neurodeploy.quantize import quantize

ONE = np.ones(4)


@pytest.fixture(autouse=True)
def _sound_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files written here are sound HDF5: no other process needs to try them first."""
    monkeypatch.setattr(reader, "read_tree", lambda path: _hdf5.read_tree(path, trial=False))


def valid(folder: Path, **more: nir.NIRNode) -> Path:
    """input -> conv -> lif -> pool -> flat -> fc -> cuba -> output."""
    nodes = {
        "input": nir.Input(np.array([2, 6, 6])),
        "conv": nir.Conv2d((6, 6), np.ones((3, 2, 3, 3)), 1, 0, 1, 1, np.ones(3)),
        "lif": nir.LIF(*(np.full((3, 4, 4), v) for v in (1e-3, 1.0, 0.0, 1.0))),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "flat": nir.Flatten(np.array([3, 2, 2]), 0, -1),
        "fc": nir.Affine(np.ones((4, 12)), ONE),
        "cuba": nir.CubaLIF(1e-3 * ONE, 1e-3 * ONE, ONE, ONE * 0, ONE),
        "output": nir.Output(np.array([4])),
        **more,
    }
    names = ["input", "conv", "lif", "pool", "flat", "fc", "cuba", "output"]
    edges = list(pairwise(names))
    nir.write(folder / "net.nir", nir.NIRGraph(nodes, edges, type_check=False))
    return folder / "net.nir"


def problems(path: Path, **options: Any) -> list[Problem]:
    with pytest.raises(ImportModelError) as error:
        READER.load(path, NIR.configure(options), None)
    return list(error.value.problems)


def put(file: h5py.File, place: str, value: Any) -> None:
    if place in file:
        del file[place]
    file[place] = value


def edges(file: h5py.File, *pairs: tuple[str, str]) -> None:
    put(file, "node/edges", [*((a.decode(), b.decode()) for a, b in file["node/edges"][()]), *pairs])


def node(file: h5py.File, name: str, kind: str, **fields: Any) -> None:
    group = file.create_group(f"node/nodes/{name}")
    group["type"] = kind
    for key, item in fields.items():
        group[key] = item


N = "node/nodes"
#: change -> (code, part of where, part of the text)
CASES: dict[str, tuple[Callable[[h5py.File], Any], str, str, str]] = {
    "no node": (lambda f: f.move("node", "other"), "ND121", "/node", "other"),
    "root of another kind": (lambda f: put(f, "node/type", "Linear"), "ND125", "/node", "Linear"),
    "no edges": (lambda f: f.__delitem__("node/edges"), "ND122", "/node/edges", "list of edges"),
    "edges of another shape": (lambda f: put(f, "node/edges", ["a", "b", "c"]), "ND126", "/node/edges", "pairs"),
    "unknown node": (lambda f: put(f, f"{N}/lif/type", "Izhikevich"), "ND125", "/lif", "Izhikevich"),
    "no type": (lambda f: f.__delitem__(f"{N}/fc/type"), "ND122", "/fc/type", "type"),
    "missing parameter": (lambda f: f.__delitem__(f"{N}/lif/tau"), "ND122", "/lif/tau", "missing"),
    "text for numbers": (lambda f: put(f, f"{N}/fc/weight", "heavy"), "ND124", "/fc/weight", "no number"),
    "NaN": (lambda f: put(f, f"{N}/fc/bias", np.array([1, np.nan, 1, 1])), "ND124", "/fc/bias", "not finite"),
    "infinity": (lambda f: put(f, f"{N}/cuba/tau_mem", np.inf * ONE), "ND124", "/cuba/tau_mem", "not finite"),
    "edge to nowhere": (lambda f: edges(f, ("lif", "ghost")), "ND126", "/node/edges", "lif -> ghost"),
    "edge twice": (lambda f: edges(f, ("lif", "pool")), "ND126", "/node/edges", "lif -> pool"),
    "weights that do not fit": (lambda f: put(f, f"{N}/fc/weight", np.ones((4, 11))), "ND126", "/fc/weight", "(12,)"),
    "bias that does not fit": (lambda f: put(f, f"{N}/conv/bias", np.ones(2)), "ND126", "/conv/bias", "(2,)"),
    "matrices": (lambda f: put(f, f"{N}/fc/weight", np.ones((2, 4, 12))), "ND125", "/fc/weight", "matrices"),
    "parameters that do not fit": (lambda f: put(f, f"{N}/lif/tau", np.ones(5)), "ND126", "/lif/tau", "(3, 4, 4)"),
    "time constant of zero": (lambda f: put(f, f"{N}/lif/tau", np.zeros(1)), "ND124", "/lif/tau", "positive"),
    "time constant below dt": (lambda f: put(f, f"{N}/lif/tau", np.full(1, 1e-6)), "ND124", "/lif/tau", "reader.dt"),
    "resistance below zero": (lambda f: put(f, f"{N}/lif/r", np.full(1, -1.0)), "ND124", "/lif/r", "above 0"),
    "kernel too large": (lambda f: put(f, f"{N}/conv/dilation", 9), "ND126", "/conv/weight", "larger"),
    "dilation beyond sense": (lambda f: put(f, f"{N}/conv/dilation", 1 << 40), "ND124", "/conv/dilation", "whole"),
    "stride of zero": (lambda f: put(f, f"{N}/conv/stride", 0), "ND124", "/conv/stride", "1 .. "),
    "half a stride": (lambda f: put(f, f"{N}/conv/stride", 1.5), "ND124", "/conv/stride", "whole"),
    "unknown padding": (lambda f: put(f, f"{N}/conv/padding", "reflect"), "ND124", "/conv/padding", "reflect"),
    "groups that do not divide": (lambda f: put(f, f"{N}/conv/groups", 2), "ND126", "/conv/weight", "2 groups"),
    "window too large": (lambda f: put(f, f"{N}/pool/kernel_size", 9), "ND126", "/pool/kernel_size", "window"),
    "axes out of range": (lambda f: put(f, f"{N}/flat/start_dim", 2), "ND126", "/fc/weight", "(3, 2, 2)"),
    "no input": (lambda f: put(f, f"{N}/input/type", "Output"), "ND122", "node/nodes", "Input"),
    "several inputs": (lambda f: node(f, "in2", "Input", shape=[4]), "ND125", "node/nodes", "in2"),
    "several outputs": (lambda f: node(f, "out2", "Output", shape=[4]), "ND125", "node/nodes", "reader.output=out2"),
    "declared output": (lambda f: put(f, f"{N}/output/shape", [5]), "ND126", "/output/shape", "(4,)"),
    "huge input": (lambda f: put(f, f"{N}/input/shape", [1 << 20] * 3), "ND123", "/input/shape", "elements"),
    "input of zero": (lambda f: put(f, f"{N}/input/shape", [0, 6, 6]), "ND124", "/input/shape", "whole"),
    "nothing drives it": (
        lambda f: node(f, "idle", "Linear", weight=np.ones((4, 4))) or edges(f, ("idle", "fc")),
        "ND126", "/idle", "nothing",
    ),
    "loop without state": (
        lambda f: node(f, "back", "Linear", weight=np.ones((12, 4))) or edges(f, ("fc", "back"), ("back", "fc")),
        "ND126", "/fc", "loop",
    ),
    "streams of different shapes": (lambda f: edges(f, ("input", "fc")), "ND126", "/fc", "different shapes"),
    "external link": (
        lambda f: f.__delitem__(f"{N}/fc") or f.__setitem__(f"{N}/fc", h5py.ExternalLink("/etc/passwd", "/")),
        "ND123", "/fc", "external",
    ),
    "huge dataset": (
        lambda f: f.__delitem__(f"{N}/fc/weight")
        or f.create_dataset(f"{N}/fc/weight", (1 << 30, 1 << 20), "f8", chunks=(64, 64)),
        "ND123", "/fc/weight", "declared",
    ),
    "a delay of a loop and more": (
        lambda f: node(f, "d", "Delay", delay=[1e-4] * 4) or edges(f, ("fc", "d"), ("cuba", "d"), ("d", "cuba")),
        "ND125", "/d", "of its own",
    ),
    "a delay of a loop of another shape": (
        lambda f: node(f, "d", "Delay", delay=np.arange(3) * 1e-4) or edges(f, ("cuba", "d"), ("d", "cuba")),
        "ND126", "/d/delay", "another shape",
    ),
    "own delays": (lambda f: node(f, "d", "Delay", delay=[0.33e-4] * 4) or edges(f, ("cuba", "d"), ("d", "output")),
                   "ND124", "/d/delay", "reader.delay_dt"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_broken_files_are_named_by_node_and_field(tmp_path: Path, name: str) -> None:
    change, code, where, text = CASES[name]
    path = valid(tmp_path)
    READER.load(path, NIR.configure({}), None)
    with h5py.File(path, "r+") as file:
        change(file)
    found = problems(path)
    assert any(p.code == code and where in p.where and text in f"{p}" for p in found), [str(p) for p in found]


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    path = valid(tmp_path)
    with h5py.File(path, "r+") as file:
        for name in ("lif/tau", "cuba/r", "fc/bias"):
            put(file, f"{N}/{name}", np.array([np.nan]))
    assert sorted(p.where.split()[1] for p in problems(path)) == [
        f"/{N}/cuba/r", f"/{N}/fc/bias", f"/{N}/lif/tau"
    ]  # fmt: skip


def test_subgraphs_with_several_ends_are_refused(tmp_path: Path) -> None:
    ends = {f"in{i}": nir.Input(np.array([4])) for i in range(2)} | {"out": nir.Output(np.array([4]))}
    inner = nir.NIRGraph(ends, [("in0", "out"), ("in1", "out")], type_check=False)
    nodes = {"input": nir.Input(np.array([4])), "sub": inner, "output": nir.Output(np.array([4]))}
    graph = nir.NIRGraph(nodes, [("input", "sub"), ("sub", "output")], type_check=False)
    nir.write(tmp_path / "s.nir", graph)
    assert [(p.code, "/sub" in p.where) for p in problems(tmp_path / "s.nir")] == [("ND125", True)]


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n" + b"\0" * 200])
def test_files_of_another_kind(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.nir").write_bytes(content)
    assert [p.code for p in problems(tmp_path / "x.nir")] == ["ND121"]


@pytest.mark.parametrize("options", [
    {"dt": 0}, {"dt": "soon"}, {"reset": "none"}, {"input_max": 0}, {"dtt": 1}, {"output": 3}
], ids=str)  # fmt: skip
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as error:
        NIR.configure(options)
    assert [p.code for p in error.value.problems] == ["ND120"]


def test_an_output_of_unknown_name(tmp_path: Path) -> None:
    assert [(p.code, p.limit) for p in problems(valid(tmp_path), output="logits")] == [("ND125", "output")]


# --- texts, which the HDF5 library is not asked to read ----------------------------------------------------------


def heap_of(content: bytes) -> int:
    return content.index(b"GCOL")


@pytest.mark.parametrize(
    "place, value",
    [(0, b"XXXX"), (4, b"\2"), (8, b"\xff" * 8), (16 + 8, b"\xff" * 8), (16, b"\7\0")],
    ids=["magic", "version", "size", "size of an object", "index of an object"],
)
def test_a_damaged_heap_of_texts_ends(tmp_path: Path, place: int, value: bytes) -> None:
    path = valid(tmp_path)
    content = bytearray(path.read_bytes())
    start = heap_of(content) + place
    content[start : start + len(value)] = value
    path.write_bytes(content)
    assert {p.code for p in problems(path)} <= {"ND121", "ND122"}


def test_texts_read_as_h5py_reads_them(tmp_path: Path) -> None:
    words = [["a", "", "snow ☃"], ["x" * 300, "b c", "last"]]
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["words"] = words
        file["one"] = "alone"
        file.create_dataset("empty", (3,), h5py.string_dtype())
    with h5py.File(tmp_path / "t.h5") as file:
        found = stored.texts(tmp_path / "t.h5", file["words"], 1 << 20)
        assert found.tolist() == file["words"][()].tolist()
        assert stored.texts(tmp_path / "t.h5", file["one"], 3).item() == b"alo"
        assert stored.texts(tmp_path / "t.h5", file["empty"], 9).tolist() == [b""] * 3


# --- the integers that this program writes -----------------------------------------------------------------------


def own(folder: Path) -> Path:
    spiking = NATIVE.rewrite(READER.load(valid(folder), NIR.configure({}), 4), None, np.zeros(0), 4)
    x = np.random.default_rng(0).integers(0, 2, (4, 4, 2, 6, 6))
    WRITER.write(Program(quantize(spiking, measure(spiking, x))), folder / "own.nir")
    return folder / "own.nir"


def rewritten(path: Path, change: Callable[[dict], Any]) -> None:
    """The JSON of the integer graph, changed."""
    with h5py.File(path, "r+") as file:
        text = json.loads(file[f"{PLACE}/graph"][()].tobytes())
        change(text)
        put(file, f"{PLACE}/graph", np.frombuffer(json.dumps(text).encode(), np.uint8))


def values(text: dict, name: str) -> dict:
    return text["values"][name]


INTEGERS: dict[str, tuple[Callable[[dict], Any], str]] = {
    "another class": (lambda t: t.update({"$c": "Exception"}), "unexpected"),
    "level": (lambda t: t["header"].update(level="source"), "one input, one output and integers"),
    "ticks": (lambda t: t["header"].update(timesteps=1 << 40), "ticks"),
    "interval": (lambda t: values(t, "fc")["interval"].update(lo=0, hi=1), "narrower"),
    "shape": (lambda t: values(t, "fc")["shape"].update(sizes=[1 << 20]), "shape"),
    "elements": (lambda t: values(t, "fc")["shape"].update(sizes=[1 << 40]), "elements"),
    "parameter": (lambda t: t["nodes"]["lif"]["params"].pop("vth"), "parameter"),
    "model": (lambda t: t["nodes"]["lif"].update(model="unheard"), "model"),
    "order": (lambda t: t["nodes"]["conv"].update(inputs=["fc"]), "cycle"),
    "text parameter": (lambda t: t["nodes"]["lif"]["params"].update(vth="high"), "does not run"),
}


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_that_were_tampered_with(tmp_path: Path, name: str) -> None:
    path = own(tmp_path)
    assert READER.load(path, NIR.configure({}), None).header.level == "integer"
    change, text = INTEGERS[name]
    rewritten(path, change)
    found = problems(path)
    assert any(text in str(p) and PLACE in p.where for p in found), [str(p) for p in found]


def test_integers_of_another_version_or_half_gone(tmp_path: Path) -> None:
    path = own(tmp_path)
    for schema in (2, np.inf, np.nan, 1e300):
        with h5py.File(path, "r+") as file:
            put(file, f"{PLACE}/schema", schema)
        assert [p.code for p in problems(path)] == ["ND121"]
    with h5py.File(path, "r+") as file:
        del file[f"{PLACE}/graph"], file[f"{PLACE}/floats"]
    assert [p.code for p in problems(path)] == ["ND122", "ND122"]
    assert READER.load(path, NIR.configure({"integers": "never"}), None).header.level == "source"


def test_a_batch_in_the_declared_input_is_no_problem_beside_others(tmp_path: Path) -> None:
    path = valid(tmp_path, input=nir.Input(np.array([1, 2, 6, 6])))
    assert READER.load(path, NIR.configure({}), None).shape("input") == (2, 6, 6)
    with h5py.File(path, "r+") as file:
        put(file, f"{N}/lif/tau", np.full(1, 1e-6))
    assert [(p.code, "/lif/tau" in p.where) for p in problems(path)] == [("ND124", True)]
