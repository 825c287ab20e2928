"""Makes the hostile files of this folder: READER/CASE/FILES, small, each once wrong or dangerous in its own way.

``python tests/data/hostile/make.py`` writes them again, the same to the byte. Files that would execute code try to make
a file named EXECUTED in the working folder.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

HERE = Path(__file__).parent


class Trap:
    """A pickle of this makes a file when it is read."""

    def __reduce__(self) -> Any:
        return open, ("EXECUTED", "w")


def npy(header: str, body: bytes = bytes(64), version: int = 1) -> bytes:
    """A numpy array with any header."""
    text = header.encode("latin1") + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + body


def packed(**members: bytes) -> bytes:
    """A zip archive, tightly packed, with a date that does not change."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(
                zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED
            )
    return buffer.getvalue()


def png(width: int, height: int) -> bytes:
    """An image that declares a size and holds a few bytes."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b""))
    body = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def proto(*fields: tuple[int, int | str | bytes]) -> bytes:
    """A message of Google's protocol buffers: numbers of fields, with a number or what has a length."""

    def number(value: int) -> bytes:
        value &= (1 << 64) - 1
        parts = []
        while value > 127:
            parts.append(value & 127 | 128)
            value >>= 7
        return bytes([*parts, value])

    def part(key: int, value: int | str | bytes) -> bytes:
        if isinstance(value, int):
            return number(key << 3) + number(value)
        content = value.encode() if isinstance(value, str) else value
        return number(key << 3 | 2) + number(len(content)) + content

    return b"".join(part(key, value) for key, value in fields)


def onnx() -> Iterator[tuple[str, bytes]]:
    """Networks of ONNX that ask for more than they may."""
    x = (
        11,
        proto((1, "x"), (2, proto((1, proto((1, 1), (2, proto((1, proto((1, 2))), (1, proto((1, 4)))))))))),
    )

    def node(op: str, inputs: str, output: str, *more: tuple[int, int | str | bytes]) -> tuple[int, bytes]:
        return 1, proto(*((1, name) for name in inputs.split()), (2, output), (3, op), (4, op), *more)

    def model(*fields: tuple[int, int | str | bytes], opset: int = 17) -> bytes:
        graph = proto((2, "g"), x, (12, proto((1, "y"))), *fields)
        return proto((1, 8), (7, graph), (8, proto((2, opset))))

    def elsewhere(place: str, **more: str) -> bytes:
        table = {"location": place, **more}
        stored = [(13, proto((1, key), (2, text))) for key, text in table.items()]
        tensor = proto((1, 4), (2, 1), (8, "w"), *stored, (14, 1))
        return model((5, tensor), node("Add", "x w", "y"))

    def sizes(*numbers: int) -> tuple[int, bytes]:
        body = struct.pack(f"<{len(numbers)}q", *numbers)
        return 5, proto((1, len(numbers)), (2, 7), (8, "n"), (9, body))

    huge = proto((1, 1 << 40), (1, 1 << 40), (2, 1), (8, "w"), (9, bytes(8)))
    negative = proto((1, -4), (2, 1), (8, "w"), (9, bytes(16)))
    again = proto((1, "body"), (6, proto((2, "g"))), (20, 5))
    yield "onnx/parent/net.onnx", elsewhere("../net.onnx")
    yield "onnx/root/net.onnx", elsewhere("/dev/zero")
    yield "onnx/itself/net.onnx", elsewhere("net.onnx", offset="-9", length="99999999999")
    yield "onnx/absent/net.onnx", elsewhere("weights")
    yield "onnx/huge/net.onnx", model((5, huge), node("Add", "x w", "y"))
    yield "onnx/negative/net.onnx", model((5, negative), node("Add", "x w", "y"))
    yield (
        "onnx/filled/net.onnx",
        model(sizes(1 << 40, 4), node("ConstantOfShape", "n", "c"), node("Add", "x c", "y")),
    )
    yield "onnx/expanded/net.onnx", model(sizes(1 << 40, 2, 4), node("Expand", "x n", "y"))
    yield "onnx/repeated/net.onnx", model(sizes(1 << 31, 1 << 31), node("Tile", "x n", "y"))
    yield "onnx/padded/net.onnx", model(sizes(0, 0, 1 << 50, 0), node("Pad", "x n", "y"))
    yield "onnx/loop/net.onnx", model(node("Loop", "x x", "y", (5, again)))
    yield "onnx/circle/net.onnx", model(node("Add", "x z", "y"), node("Add", "x y", "z"))
    yield "onnx/foreign/net.onnx", model(node("PyOp", "x", "y", (7, "ai.onnx.contrib")))
    yield "onnx/future/net.onnx", model(node("Relu", "x", "y"), opset=999)
    yield "onnx/pickled/net.onnx", pickle.dumps(Trap(), 2)


def hdf5(fill: Any) -> bytes:
    """An HDF5 file, made in memory."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", track_order=False) as file:
        fill(file)
    return buffer.getvalue()


def shared(file: h5py.File) -> None:
    """Groups that hold the next one ten times: ten to the ninth objects for whoever follows all."""
    below = file.create_group("layer")
    for _ in range(9):
        group = file.create_group(None)
        for name in "abcdefghij":
            below[name] = group
        below = group


def train_is_no_group(file: h5py.File) -> None:
    """Numbers where the images should be."""
    file.attrs.update({"layout": "image i of a split is the JPEG stream payload[offsets[i]:offsets[i+1]]"})
    file.attrs["shape"], file.attrs["classes"] = (8, 16, 3), ["dark", "light"]
    file["train"], file["test"] = np.arange(3), np.arange(3)


def elsewhere(file: h5py.File) -> None:
    """Columns of events behind links, in another file, and of texts."""
    for name in "tx":
        file.create_dataset(name, (8,), "i8", external=[("/dev/zero", 0, 64)])
    file["y"], file["p"] = h5py.SoftLink("/x"), h5py.ExternalLink("/dev/zero", "/p")


def endless(file: h5py.File) -> None:
    """A terabyte of events that takes no room, and a group inside itself."""
    for name in "txyp":
        file.create_dataset(f"events/{name}", (1 << 37,), "i8", chunks=(1 << 20,), compression="gzip")
    file["events/again"] = file["events"]


def recording(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """One recording of one class."""
    case, _, suffix = name.partition("/")
    yield f"events/{case}/data/0/a{suffix}", content


def recordings() -> Iterator[tuple[str, bytes]]:
    """Files of events."""
    fields = "{'descr': '<i8', 'fortran_order': False, 'shape': (8,), }"
    huge = npy(fields.replace("(8,)", "(17179869184,)"))
    yield from recording(
        "objects/.npz",
        packed(**{n: npy(fields.replace("<i8", "|O"), pickle.dumps(Trap(), 2)) for n in "txyp"}),
    )
    yield from recording("huge/.npz", packed(t=huge, x=huge, y=huge, p=huge))
    yield from recording("elsewhere/.h5", hdf5(elsewhere))
    yield from recording("endless/.h5", hdf5(endless))
    yield from recording("shared/.h5", hdf5(shared))
    yield from recording("outside/.bin", bytes((200, 200, 255, 255, 255)))
    yield from recording(
        "head/.dat", b"% Version 2\n% Height " + b"9" * 5000 + b"\n% Width 1\n\x0c\x08" + bytes(8)
    )
    yield from recording("negative/.dat", b"% Version 2\n% Height -3\n% Width 4\n\x0c\x08" + bytes(8))
    yield from recording("corner/.dat", b"% Version 2\n\x0c\x08" + b"\xff" * 80)
    vectors = struct.pack("<2000H", *[0x8001, 0x6000, 0x0001, 0x3000, *[0x4FFF] * 1996])
    yield from recording("vectors/.raw", b"% evt 3.0\n% end\n" + vectors)
    yield from recording("long/.aedat4", b"#!AER-DAT4.0\r\n" + b"\xff" * 40)
    yield from recording("pickled/.aedat4", pickle.dumps(Trap(), 2))


def files() -> Iterator[tuple[str, bytes]]:
    """(READER/CASE/FILE, content)."""
    big = "9" * 5000
    fields = "{'descr': '<i8', 'fortran_order': False, 'shape': (8,), }"
    yield "npy/dangling/x.npy", npy("{'descr': '<i8', 'fortran_order': False, 'shape': (8,")
    yield "npy/length/x.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", 0x7FFFFFFF) + bytes(64)
    yield "npy/deep/x.npy", npy("(" * 3000)
    yield "npy/huge/x.npy", npy(fields.replace("(8,)", "(1099511627776,)"))
    yield "npy/negative/x.npy", npy(fields.replace("(8,)", "(-8,)"))
    yield "npy/overflow/x.npy", npy(fields.replace("(8,)", "(4611686018427387904, 4)"))
    yield "npy/objects/x.npy", npy(fields.replace("<i8", "|O"), pickle.dumps(Trap(), 2))
    yield "npy/digits/x.npy", npy(fields.replace("8,", f"{big},"))
    yield "npy/dates/x.npy", npy(fields.replace("<i8", "<M8[s]"))
    yield "npz/dangling/data.npz", packed(x=npy("{'descr': '|u1', 'fortran_order': False, 'shape': (8,"))
    yield "npz/bomb/data.npz", packed(x=npy("{'descr': '|u1', 'fortran_order': False, 'shape': (64, 1024, 1024), }",
                                            bytes(64 << 20)), y=npy(fields))  # fmt: skip
    yield (
        "npz/objects/data.npz",
        packed(x=npy(fields.replace("<i8", "|O"), pickle.dumps(Trap(), 2)), y=npy(fields)),
    )
    yield "csv/digits/data.csv", f"text,label\na,{big}\nb,1\n".encode()
    yield "csv/field/data.csv", b"text,label\n" + b"x" * 140_000 + b",1\nb,1\n"
    yield "csv/nul/data.csv", b"text,label\na\0,0\nb,1\n"
    yield "csv/short/data.csv", b'text,label\n"a\nb,1,2,3\n'
    yield (
        "jsonl/digits/data.jsonl",
        f'{{"text": "a", "label": {big}}}\n{{"text": "b", "label": 1}}\n'.encode(),
    )
    yield "jsonl/halves/data.jsonl", b'{"text": "\\ud800", "label": 0}\n{"text": "b", "label": 1}\n'
    yield "jsonl/deep/data.jsonl", b'{"text": ' + b"[" * 90_000 + b"\n"
    yield "jsonl/infinite/data.jsonl", b'{"text": "a", "label": Infinity}\n{"text": "b", "label": 1e999}\n'
    yield "txt/controls/data.txt", b"a \x1b[31m\x00 b\n\xc2\x85c\ne\n"
    yield "target/path/target.toml", b'extends = "a/b"\n'
    yield "target/nul/target.toml", b'extends = "a\\u0000"\n'
    yield "target/long/target.toml", b'extends = "' + b"x" * 5000 + b'"\n'
    yield "target/self/target.toml", b'extends = "target"\n'
    yield "target/digits/target.toml", f"chips = {big}\n".encode()
    yield "target/deep/target.toml", b"a = " + b"[" * 50_000
    yield "config/nul/build.toml", b'model = "a\\u0000b"\n'
    yield "config/digits/build.toml", f"seed = {big}\n".encode()
    yield "config/deep/build.toml", b"a = " + b"{a=" * 50_000
    yield "config/dates/build.toml", b"[reader]\nwhen = 1979-05-27T07:32:00Z\n"
    yield "mapping/digits/mapping.toml", f"[layer.a]\nlayout = {{ tokens = {big} }}\n".encode()
    yield "mapping/deep/mapping.toml", b"layer = " + b"{a=" * 50_000
    yield "mapping/nested/mapping.toml", b"[layer.a.layout.tokens.b]\n[layer.b]\ncores = [[[]], nan, 1e999]\n"
    yield "report/infinite/report.json", b'{"schema_version": 2, "timesteps": Infinity}'
    yield "report/deep/report.json", b"[" * 100_000
    yield "report/list/report.json", b"[{}]"
    yield (
        "folder/record/repro.json",
        json.dumps({"program_sha256": ["x"], "files_sha256": {"build.toml": 3}}).encode(),
    )
    yield "images/wide/data/0/a.png", png(60_000, 60_000)
    yield "images/wide/data/1/a.png", png(60_000, 60_000)
    yield "images/empty/data/0/a.png", png(0, 0)
    yield "images/pickled/data/0/a.png", pickle.dumps(Trap(), 2)
    yield "netx/shared/net.net", hdf5(shared)
    yield "nir/shared/net.nir", hdf5(shared)
    yield "hdf5_jpeg/numbers/data.h5", hdf5(train_is_no_group)
    yield "cifar/pickled/cifar-10-batches-bin/data_batch_1", pickle.dumps(Trap(), 2)
    yield from recordings()
    yield "tokenizer/dangling/tokenizer.json", json.dumps(
        {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
         "pre_tokenizer": None, "decoder": None, "post_processor": {
             "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}], "pair": [],
             "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [], "tokens": []}}},
         "model": {"type": "WordLevel", "vocab": {"a": 4294967295}, "unk_token": "[UNK]"}}).encode()  # fmt: skip
    yield "weights/pickled/w.pt", pickle.dumps({"a": Trap()}, 2)
    yield "weights/beyond/w.safetensors", struct.pack("<Q", 1 << 62) + b"{}"
    yield "pt2/pickled/net.pt2", pickle.dumps(Trap(), 2)
    yield from onnx()


if __name__ == "__main__":
    for name, content in files():
        (HERE / name).parent.mkdir(parents=True, exist_ok=True)
        (HERE / name).write_bytes(content)
