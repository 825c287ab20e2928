"""Files of torch are data: whatever they bring along, nothing of it is executed, and the refusal is typed."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy import cli, limits
from neurodeploy.errors import ImportModelError, NeurodeployError
from neurodeploy.frontends import pt2, tensors
from neurodeploy.frontends.libraries import _weights
from neurodeploy.ir import interp
from neurodeploy.sources import resolve
from tests import hostile
from tests.later import torch


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile.exported(tmp_path_factory.mktemp("export") / "tiny.pt2")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    """An archive of TorchScript, and the file that its code creates."""
    folder = tmp_path_factory.mktemp("script")
    return hostile.scripted(folder, folder / "executed"), folder / "executed"


def codes(call: Any, *arguments: Any, **options: Any) -> set[str]:
    with pytest.raises(NeurodeployError) as caught:
        call(*arguments, **options)
    return {problem.code for problem in caught.value.problems}


# --- checkpoints -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
def test_checkpoints_are_what_torch_wrote(archive: bool, protocol: int) -> None:
    """The second reader is torch's own, on a file of ours."""
    torch.manual_seed(0)
    w = torch.randn(5, 6)
    stored = {
        "w": w, "view": w.t()[1:3], "parameter": torch.nn.Parameter(torch.randn(3)), "scalar": torch.tensor(3),
        "empty": torch.empty(0, 3), "repeated": torch.ones(1, 3).expand(4, 3), "flags": torch.tensor([True, False]),
        **{f"type {d}": torch.arange(5).to(d) for d in (torch.float16, torch.bfloat16, torch.float64, torch.int8,
           torch.uint8, torch.int16, torch.int32, torch.complex64)},
        "rest": [1, 2.5, None, True, (1, "two"), b"3", 10**30, {"a": OrderedDict(b=1)}, {1, 2}, torch.Size([2])],
    }  # fmt: skip
    buffer = io.BytesIO()
    torch.save(stored, buffer, _use_new_zipfile_serialization=archive, pickle_protocol=protocol)
    found = tensors.read(buffer.getvalue())
    expected = torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)
    assert found.keys() == expected.keys() and found["rest"] == expected["rest"]
    for name in stored.keys() - {"rest"}:
        assert found[name].dtype == expected[name].dtype and torch.equal(found[name], expected[name]), name
    assert found["w"].data_ptr() == found["view"].untyped_storage().data_ptr()  # one storage, as it was


def test_a_checkpoint_of_an_optimiser_is_read() -> None:
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    buffer = io.BytesIO()
    torch.save({"model": network.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
    found = tensors.read(buffer.getvalue())
    optimizer.load_state_dict(found["optimizer"])
    assert torch.equal(found["model"]["weight"], network.weight)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
@pytest.mark.parametrize("make", [hostile.pickled, hostile.legacy, hostile.bare])
def test_pickles_are_not_executed(make: Any, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(make(tmp_path / "executed"))
    assert codes(_weights.read, path) == {"ND113"}
    assert not (tmp_path / "executed").exists()


def test_the_trap_works(script: tuple[bytes, Path]) -> None:
    """What is refused below does create the file where torch's own reader is let at it."""
    content, trap = script
    torch.jit.load(io.BytesIO(content))
    assert trap.exists()
    trap.unlink()


def test_scripts_are_not_executed(script: tuple[bytes, Path], tmp_path: Path) -> None:
    content, trap = script
    for name in ("w.pt", "w.pth", "w.bin"):
        (tmp_path / name).write_bytes(content)
        assert codes(_weights.read, tmp_path / name) == {"ND113"}
    # nor by a library that reads what it was given by its hub
    with tensors.without_scripts(), pytest.raises((tensors.Refused, RuntimeError)):
        torch.load(tmp_path / "w.pt", weights_only=True)
    assert not trap.exists() and torch.jit.load.__module__.startswith("torch")


def instructions(*parts: bytes) -> bytes:
    """A checkpoint whose pickle is these instructions."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02" + b"".join(parts) + b".")
        archive.writestr("x/data/0", b"\0" * 16)
    return buffer.getvalue()


def tensor(offset: int = 0, size: tuple = (4,), stride: tuple = (1,), count: int = 4) -> bytes:
    """The pickle of a tensor over storage 0."""
    reference = (
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\3\0\0\0cpuJ"
        + struct.pack("<i", count)
        + b"tQ"
    )
    parts = b"".join(pickle.dumps(part, 2)[2:-1] for part in (offset, size, stride))
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + reference + parts + b"\x89}tR"


def test_instructions_by_hand_are_read() -> None:
    assert tensors.read(instructions(tensor())).tolist() == [0.0] * 4


@pytest.mark.parametrize(
    "pickled",
    [
        b"cos\nsystem\nX\4\0\0\0true\x85R",  # a call
        b"cposix\nsystem\n)R", b"c__builtin__\neval\nX\1\0\0\x001\x85R", b"ctorch\nload\n)R",
        b"ccollections\nOrderedDict\n)R}ctorch\nload\nb)R",  # attributes, then a call of a value
        b"ccollections\nOrderedDict\n}b",  # attributes for a class
        b"ccollections\nOrderedDict\n)\x81",  # an object of a class
        b"\x82\1", b"ios\nsystem\n",  # an extension, an instance
        b"X\1\0\0\0aX\1\0\0\0b\x93)R",  # a name from the stack
        b"]q\0h\0ah\0X\1\0\0\0a}b", b"}q\0h\0h\0s", b"})K\1s",  # keys that are containers
        b"r\xff\xff\xff\x7f", b"N0", b"h\7", b"(", b"t", b"0", b"",  # nothing there
        b"\x8b\xff\xff\xff\x7f", b"\x8d" + b"\xff" * 8, b"\x96" + b"\xff" * 8,  # sizes that are not there
        tensor(offset=-1), tensor(offset=1), tensor(size=(5,)), tensor(stride=(2,)), tensor(stride=(-1,)),
        tensor(size=(1 << 40,), stride=(0,)), tensor(size=(1 << 20, 1 << 20), stride=(0, 0)), tensor(count=5),
        tensor(count=-1), tensor(size=(2, 2)), tensor(count=1 << 30), tensor(size=(True,)),
    ],
)  # fmt: skip
def test_damaged_and_hostile_pickles(pickled: bytes) -> None:
    if pickled == b"r\xff\xff\xff\x7f":
        pickled = b"N" + pickled + b"0"  # a place in the memo, for which no table is made
    with pytest.raises(ValueError):
        tensors.read(instructions(pickled))


def test_a_long_pickle_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "MOST_STEPS", 1000)
    with pytest.raises(ValueError, match="steps"):
        tensors.read(instructions(b"N0" * (tensors.MOST_STEPS // 2 + 1)))


def test_storages_that_follow_are_counted_together() -> None:
    """Of a file before torch 1.6: each declares as much as the file has."""
    torch.save(
        [torch.zeros(50) for _ in range(9)], buffer := io.BytesIO(), _use_new_zipfile_serialization=False
    )
    whole = buffer.getvalue()
    assert len(tensors.read(whole)) == 9
    for cut in (len(whole) // 2, len(whole) - 1):
        with pytest.raises((ValueError, struct.error)):
            tensors.read(whole[:cut])


def test_a_checkpoint_that_unpacks_to_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UNPACKED", 1 << 20)
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", pickle.dumps({}, 2))
        archive.writestr("x/data/0", bytes(2 << 20))
    assert codes(_weights.read, tmp_path / "w.pt") == {"ND192"}


# --- exported programs -------------------------------------------------------------------------------------------


def same_network(first: Path, second: Path) -> bool:
    x = np.random.default_rng(0).integers(0, 9, (5, 1, 8, 8))
    one, two = (
        interp.run(resolve.source_graph(resolve.resolve(str(p))), x).outputs[0] for p in (first, second)
    )
    return np.array_equal(one, two)


def test_an_export_means_what_torch_makes_of_it(export: Path) -> None:
    raw = np.random.default_rng(0).integers(0, 9, (5, 1, 8, 8))
    expected = torch.export.load(export).module()(torch.tensor(raw, dtype=torch.float32))
    graph = resolve.source_graph(resolve.resolve(str(export)))
    np.testing.assert_allclose(interp.run(graph, raw).outputs[0], expected.detach().numpy(), atol=1e-5)
    assert any(origin.path == "head" for node in graph for origin in node.origin)


def test_a_packed_export_is_read(export: Path, tmp_path: Path) -> None:
    path = tmp_path / "packed.pt2"
    with zipfile.ZipFile(export) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert same_network(export, path)


def tensors_of(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return [n for n in archive.namelist() if n.endswith(".pt") or "/weight_" in n or "/tensor_" in n]


@pytest.mark.parametrize("make", [hostile.pickled, hostile.legacy, hostile.bare])
def test_no_pickle_of_an_export_is_executed(make: Any, export: Path, tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    checkpoints = [name for name in tensors_of(export) if name.endswith(".pt")]
    for victim in checkpoints:
        change = lambda name, content, v=victim: make(trap) if name == v else content
        assert codes(pt2.load, hostile.rewritten(export, tmp_path / "h.pt2", change)) == {"ND113"}
    assert checkpoints and not trap.exists()


def test_no_script_in_an_export_is_executed(export: Path, script: tuple[bytes, Path], tmp_path: Path) -> None:
    content, trap = script
    for victim in [name for name in tensors_of(export) if name.endswith(".pt")]:
        change = lambda name, old, v=victim: content if name == v else old
        assert codes(pt2.load, hostile.rewritten(export, tmp_path / "h.pt2", change)) == {"ND113"}
    (tmp_path / "s.pt2").write_bytes(content)
    assert codes(pt2.load, tmp_path / "s.pt2") <= {"ND106", "ND113"}
    assert not trap.exists()


@pytest.mark.parametrize(
    "member",
    [
        "data__constants__custom_obj_0", "data__constants__opaque_obj_0", "data__aotinductor__model__model_dot_so",
        "constants_dot_pkl", "code____torch___dot_py", "data__aotinductor__model__wrapper_dot_cpp",
    ],
)  # fmt: skip
def test_members_that_are_code_are_refused(member: str, export: Path, tmp_path: Path) -> None:
    more = {member: pickle.dumps(hostile.Touch(tmp_path / "executed"))}
    assert codes(pt2.load, hostile.rewritten(export, tmp_path / "h.pt2", lambda _, c: c, **more)) == {"ND113"}
    assert not (tmp_path / "executed").exists()


def test_members_that_nobody_knows_are_left_out(export: Path, tmp_path: Path) -> None:
    more = {"extra__notes_dot_txt": b"hello", "unknown": b"\0"}
    assert same_network(export, hostile.rewritten(export, tmp_path / "n.pt2", lambda _, c: c, **more))


def spec(kind: str, context: str) -> str:
    return json.dumps([1, {"type": kind, "context": context, "children_spec": []}])


TRAP = "TRAP"
EVIL = {
    "the name of an input": ("x", f"x=open('{TRAP}','w')"),
    "the name of a value": ("add", f"add=open('{TRAP}','w')"),
    "a function": ("target", "torch.os.system"),
    "a function of torch": ("target", "torch.load"),
    "a function of Python": ("target", "builtins.eval"),
    "a size": ("expr_str", f"open('{TRAP}','w')"),
    "a size by names": ("expr_str", "__import__('os').getcwd()"),
    "a size that is computed for ever": ("expr_str", "9**9**9**9"),
    "a tower of powers": ("expr_str", "Pow(9, Pow(9, Pow(9, 9)))"),
    "a shift": ("expr_str", "1 << 99999999999"),
    "a power that is": ("expr_str", "Pow(Pow(9, 99999), 99999)"),
    "a long size": ("expr_str", "+".join(["s0"] * 400)),
    "a container that imports": (
        "in_spec", spec("collections.defaultdict", json.dumps({"default_factory_module": "evil_module",
                                                               "default_factory_name": "x"}))),
    "a key that imports": (
        "in_spec", spec("builtins.dict", json.dumps([{"__enum__": True, "fqn": "evil_module:x", "name": "x"}]))),
    "a container of anything": ("out_spec", spec("torch.return_types.max", "null")),
}  # fmt: skip


@pytest.mark.parametrize("what", EVIL)
def test_no_text_of_a_graph_is_executed(
    what: str, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "executed"
    (tmp_path / "evil_module.py").write_text(f"open({str(trap)!r}, 'w')\nx = None\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    key, text = EVIL[what]
    text = text.replace(TRAP, str(trap))
    inputs = ("x", "arg5_1") if key == "x" else (key,)
    changed = []

    def change(under: str, old: str) -> str:
        if under == key or (under != "expr_str" and old in inputs and key in ("x", "add") and under != "key"):
            changed.append(under)
            return text
        return old

    path = hostile.edited(export, tmp_path / "h.pt2", change)
    assert changed and codes(pt2.load, path) == {"ND113"} and not trap.exists()


@pytest.mark.parametrize(
    "text", ["s0", "s0**2 + 3*s1", "Symbol('s77', positive=True, integer=True)", "FloorDiv(s0 - 1, 2) + 1",
             "Pow(Symbol('s0', positive=True, integer=True), Integer(2))", "Max(2, s0 % 3)", "-(s0//4)", "Eq(s0, 3)"],
)  # fmt: skip
def test_sizes_as_torch_writes_them_pass(text: str) -> None:
    pt2._size("expr_str", text)


def test_guards_are_left_out(export: Path, tmp_path: Path) -> None:
    """Newer versions of torch store checks of the input as Python text and run it with the program."""
    trap = tmp_path / "executed"

    def guarded(name: str, content: bytes) -> bytes:
        if not hostile.is_graph(name):
            return content
        return json.dumps({**json.loads(content), "guards_code": [f"open({str(trap)!r}, 'w')"]}).encode()

    path = hostile.rewritten(export, tmp_path / "g.pt2", guarded)
    try:
        pt2.load(path).module()(torch.zeros(3, 1, 8, 8))
    except ImportModelError as error:  # a version that knows no guards
        assert {p.code for p in error.problems} == {"ND106"}
    assert not trap.exists()


def test_sizes_are_torchs_not_the_files(export: Path, tmp_path: Path) -> None:
    """The text of the operator says 30 thousand million elements, the tables of sizes say seventeen."""

    def larger(name: str, content: bytes) -> bytes:
        return content.replace(b"[17, 1]", b"[300000, 100000]") if hostile.is_graph(name) else content

    assert codes(pt2.load, hostile.rewritten(export, tmp_path / "h.pt2", larger)) == {"ND183"}


@pytest.mark.parametrize("offset", [0, 1, 1000])
def test_an_archive_that_begins_before_its_file(offset: int, export: Path, tmp_path: Path) -> None:
    """The end record says where the directory lies; so far back that it would start before the file."""
    content = bytearray(hostile.rewritten(export, tmp_path / "p.pt2", lambda _, c: c).read_bytes())
    end = content.rindex(b"PK\5\6")
    struct.pack_into("<I", content, end + 12, len(content) * 2 + offset)
    (tmp_path / "h.pt2").write_bytes(content)
    assert codes(pt2.load, tmp_path / "h.pt2") == {"ND106"}


def test_flipped_and_cut_exports_are_typed(export: Path, tmp_path: Path) -> None:
    whole, generator = export.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(whole)
        for place in generator.integers(0, len(content), 3):
            content[place] ^= 1 << int(generator.integers(8))
        (tmp_path / "f.pt2").write_bytes(
            content[: int(generator.integers(1, len(content)))] if _ % 3 == 0 else content
        )
        try:
            resolve.source_graph(resolve.resolve(str(tmp_path / "f.pt2")))
        except NeurodeployError:
            continue


# --- every door --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["check", "build"])
def test_the_commands_execute_nothing(
    verb: str, export: Path, script: tuple[bytes, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    content, trap = script
    inner = next(name for name in tensors_of(export) if name.endswith(".pt"))
    hostile.rewritten(export, tmp_path / "h.pt2", lambda name, old: content if name == inner else old)
    assert cli.call([verb, "h.pt2", "--data", "digits"]) == 3
    assert "ND113" in "".join(capsys.readouterr()) and not trap.exists()


@pytest.mark.needs("transformers")
@pytest.mark.parametrize("verb", ["check", "build"])
def test_a_folder_of_hugging_face_executes_nothing(
    verb: str, script: tuple[bytes, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    content, trap = script
    os.mkdir("folder")
    sizes = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 8,
        "vocab_size": 9,
    }
    Path("folder/config.json").write_text(json.dumps({"model_type": "bert", **sizes}))
    Path("folder/pytorch_model.bin").write_bytes(content)
    assert cli.call([verb, "folder"]) == 3
    assert "ND113" in "".join(capsys.readouterr())
    Path("w.pt").write_bytes(hostile.pickled(trap))
    assert cli.call([verb, "folder", "--set", "reader.weights=w.pt"]) == 3
    assert "ND113" in "".join(capsys.readouterr()) and not trap.exists()
