"""Data of strangers: a mode for all images that is chosen and said, and limits before anything is allocated."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from neurodeploy import archives, artifact, datasets, guarded, limits
from neurodeploy.datasets import hdf5_jpeg
from neurodeploy.errors import ImportModelError, NeurodeployError, UsageError
from neurodeploy.formats._hdf5.read import read_tree
from neurodeploy.frontends.libraries import _weights
from neurodeploy.inputs import texts

RNG = np.random.default_rng(0)


def codes(call: Callable[..., object], *arguments: object) -> set[str]:
    with pytest.raises(NeurodeployError) as caught:
        call(*arguments)
    return {problem.code for problem in caught.value.problems}


def decoded(spec: str) -> datasets.DataSet:
    data = datasets.load(spec)
    assert len(data.train_x) and len(data.test_x)
    return data


# --- images ------------------------------------------------------------------------------------------------------


def folder(root: Path, *images: Image.Image, kind: str = "png", **options: object) -> str:
    """Ten images of one class, the given ones over and over, without a split."""
    (root / "a").mkdir(parents=True)
    for i in range(10):
        images[i % len(images)].save(root / "a" / f"{i}.{kind}", **options)
    return str(root)


def grey(low: int = 0) -> Image.Image:
    return Image.fromarray(RNG.integers(low, 256, (5, 6), dtype=np.uint8))


def colour() -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (5, 6, 3), dtype=np.uint8))


def with_alpha(image: Image.Image, level: int) -> Image.Image:
    made = image.convert("RGBA" if image.mode == "RGB" else "LA")
    made.putalpha(level)
    return made


PALETTE = colour().quantize(7)
ONE_BIT = Image.fromarray(RNG.integers(0, 2, (5, 6), dtype=np.uint8) * 255).convert("1")


@pytest.mark.parametrize(
    ("images", "shape", "said"),
    [
        ((grey(),), (1, 5, 6), False),
        ((colour(),), (3, 5, 6), False),
        ((ONE_BIT,), (1, 5, 6), True),
        ((grey(), ONE_BIT), (1, 5, 6), True),
        ((grey(), colour()), (3, 5, 6), True),
        ((PALETTE,), (3, 5, 6), True),
        ((colour(), with_alpha(colour(), 255)), (3, 5, 6), True),
        ((with_alpha(grey(), 255),), (3, 5, 6), True),
    ],
)
def test_one_mode_is_chosen_from_all_images_and_said(
    images: tuple[Image.Image, ...], shape: tuple[int, ...], said: bool, tmp_path: Path
) -> None:
    spec = folder(tmp_path, *images)
    data, facts = decoded(spec), datasets.facts(spec)
    assert data.shape == facts.shape == shape
    assert [p.code for p in data.warnings] == [p.code for p in facts.warnings] == ["ND926"] * said
    mode = "L" if shape[0] == 1 else "RGB"
    expected = {
        np.asarray(image.convert(mode)).reshape(5, 6, -1).transpose(2, 0, 1).tobytes() for image in images
    }
    assert {image.tobytes() for image in (*data.train_x, *data.test_x)} == expected


def png16(channels: int) -> bytes:
    """A PNG of 16 bits per channel, which Pillow cannot write for colours."""
    rows = b"".join(b"\0" + RNG.bytes(6 * channels * 2) for _ in range(5))
    chunk = lambda kind, body: (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    )
    kind = {1: 0, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", 6, 5, 16, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def transparent_gif() -> bytes:
    return saved(PALETTE, "GIF", transparency=int(np.asarray(PALETTE)[0, 0]))


REFUSED = {
    "16 bits": ("png", lambda: png16(1)), "16 bits of colours": ("png", lambda: png16(3)),
    "16 bits and alpha": ("png", lambda: png16(4)),
    "32 bits": ("ppm", lambda: saved(Image.fromarray(np.full((5, 6), 40000, np.int32)), "PPM")),
    "1023 levels of grey": ("pgm", lambda: b"P5 6 5 1023\n" + bytes(60)),
    "1023 levels of colours": ("ppm", lambda: b"P6 6 5 1023\n" + bytes(180)),
    "15 levels": ("ppm", lambda: b"P6 6 5 15\n" + bytes(90)),
    "CMYK": ("jpg", lambda: saved(colour().convert("CMYK"), "JPEG")),
    "alpha": ("png", lambda: saved(with_alpha(colour(), 254), "PNG")),
    "alpha of greys": ("png", lambda: saved(with_alpha(grey(), 0), "PNG")),
    "a transparent colour": ("gif", transparent_gif),
    "frames": ("gif", lambda: saved(colour(), "GIF", save_all=True, append_images=[colour()])),
    "frames of webp": ("webp", lambda: saved(colour(), "WEBP", save_all=True, append_images=[colour()])),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_eight_bits_cannot_say_is_refused(what: str, tmp_path: Path) -> None:
    kind, make = REFUSED[what]
    spec = folder(tmp_path, colour())
    for i in range(10):
        (tmp_path / "a" / f"{i}.png").unlink()
        (tmp_path / "a" / f"{i}.{kind}").write_bytes(make())
    assert codes(decoded, spec) == {"ND924"}


def test_all_odd_images_are_named_at_once(tmp_path: Path) -> None:
    spec = folder(tmp_path, colour(), Image.new("RGB", (7, 5)), colour().convert("CMYK"), kind="jpg")
    with pytest.raises(UsageError) as caught:
        datasets.load(spec)
    assert len(caught.value.problems) == 6


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_folder_with_one_part_is_refused_by_its_facts_too(part: str, tmp_path: Path) -> None:
    folder(tmp_path / part, colour())
    assert codes(datasets.facts, str(tmp_path)) == codes(datasets.load, str(tmp_path)) == {"ND923"}


def test_names_that_are_not_text(tmp_path: Path) -> None:
    spec = folder(tmp_path, colour())
    os.rename(os.fsencode(tmp_path / "a"), os.fsencode(tmp_path) + b"/a\xff")
    assert codes(datasets.load, spec) == codes(datasets.facts, spec) == {"ND923"}


def test_images_that_unpack_to_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kilobytes claim megabytes."""
    monkeypatch.setattr(limits, "UNPACKED", 1 << 20)
    spec = folder(tmp_path, Image.new("L", (600, 600)))
    assert codes(datasets.load, spec) == codes(datasets.facts, spec) == {"ND923"}
    huge = bytearray(png16(1))
    huge[16:24] = struct.pack(">II", 60000, 60000)
    for i in range(10):
        (tmp_path / "a" / f"{i}.png").write_bytes(huge)
    assert codes(datasets.load, spec) <= {"ND922", "ND923", "ND924"}


def test_a_decoder_that_crashes_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = folder(tmp_path, colour())
    data = datasets.load(spec)
    monkeypatch.setattr(Image.Image, "convert", lambda *_: os.abort())
    with pytest.raises(UsageError, match="signal 6"):
        _ = data.train_x
    monkeypatch.setattr(Image, "open", lambda *_, **__: os.abort())
    assert codes(datasets.load, spec) == {"ND922"}


# --- HDF5 --------------------------------------------------------------------------------------------------------


def shared_groups(path: Path, depth: int = 9) -> Path:
    """Ten names for each group on each level."""
    with h5py.File(path, "w") as file:
        group: h5py.Group = file
        for _ in range(depth):
            inner = group.create_group("0")
            for i in range(1, 10):
                group[str(i)] = inner
            group = inner
        group["x"] = np.zeros(3)
    return path


def linked(path: Path, link: object) -> Path:
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(3)
        file["y"] = link
    return path


def huge(path: Path) -> Path:
    """Chunks that were never written: a terabyte in a kilobyte."""
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (1 << 37,), "f8", chunks=(1 << 16,), compression="gzip")
    return path


def named(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file[b"a\xff"] = np.zeros(3)
        file[b"b\x1b[2J"] = np.zeros(3)
    return path


HDF5 = {
    "shared groups": shared_groups, "a huge dataset": huge, "names that are not text": named,
    "a soft link": lambda path: linked(path, h5py.SoftLink("/x")),
    "an external link": lambda path: linked(path, h5py.ExternalLink("/etc/passwd", "/x")),
}  # fmt: skip


@pytest.mark.parametrize("what", HDF5)
def test_hdf5_of_strangers(what: str, tmp_path: Path) -> None:
    """By every reader of HDF5: networks, weights, data, artifacts."""
    path = HDF5[what](tmp_path / "x.h5")
    tree = read_tree(path)
    assert {problem.code for problem in tree.problems} == {"ND123"}
    assert codes(_weights.read, path) == {"ND192"}
    assert codes(datasets.load, str(path)) == {"ND923"}
    assert codes(artifact.load, path) <= {"ND941", "ND942", "ND946"}


def test_the_tree_of_the_copy_is_that_of_this_process(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a/b"], file["a/c"] = np.arange(6).reshape(2, 3), "text"
        file["lists"] = np.array([["ä", "b"], ["", "d"]], dtype=object)
        file["odd"] = np.zeros(2, dtype=[("x", "f4"), ("y", "i2")])
        file.create_dataset("packed", data=np.ones((50, 3), np.float32), chunks=(7, 2), compression="gzip")
    first, second = read_tree(tmp_path / "x.h5"), read_tree(tmp_path / "x.h5", trial=False)
    assert (first.texts, first.groups, first.refused, first.problems) == (
        second.texts, second.groups, second.refused, second.problems,
    )  # fmt: skip
    assert first.lists.keys() == second.lists.keys() and first.arrays.keys() == second.arrays.keys()
    for table, other in ((first.lists, second.lists), (first.arrays, second.arrays)):
        assert all(np.array_equal(table[k], other[k]) and table[k].dtype == other[k].dtype for k in table)


def test_weights_of_hdf5_that_crash_are_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["x"] = np.zeros(3)
    monkeypatch.setattr(h5py, "File", lambda *_, **__: os.abort())
    assert codes(_weights.read, tmp_path / "w.h5") == {"ND192"}
    assert codes(artifact.load, tmp_path / "w.h5") == {"ND941"}
    assert codes(datasets.load, str(tmp_path / "w.h5")) == {"ND922"}
    with pytest.raises(ImportModelError, match="signal 6"):
        read_tree(tmp_path / "w.h5").check()


def jpegs(path: Path, stream: bytes, change: Callable[[h5py.File], None] = lambda file: None) -> str:
    with h5py.File(path, "w") as file:
        file.attrs.update({"layout": "JPEG stream payload[offsets[i]:offsets[i+1]]", "shape": (5, 6, 3)})
        file.attrs["classes"] = np.array(["a"], dtype=object)
        for part in ("train", "test"):
            group = file.create_group(part)
            group["payload"], group["labels"] = np.frombuffer(stream * 2, np.uint8), np.zeros(2, int)
            group["offsets"] = np.array([0, len(stream), 2 * len(stream)])
        change(file)
    return str(path)


def replaced(name: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (replaced("train", np.zeros(3)), "ND923"),
        (replaced("train/labels", h5py.SoftLink("/test/labels")), "ND923"),
        (replaced("train/labels", h5py.ExternalLink("/etc/passwd", "/x")), "ND923"),
        (lambda file: (file["train"].__delitem__("payload"),
                       file["train"].create_dataset("payload", (1 << 36,), "u1", chunks=(1 << 16,))), "ND923"),
        (lambda file: file.attrs.__setitem__("classes", np.array(["a\x1b[2J"], dtype=object)), "ND923"),
    ],
)  # fmt: skip
def test_data_in_hdf5_of_strangers(change: Callable[[h5py.File], None], code: str, tmp_path: Path) -> None:
    assert codes(decoded, jpegs(tmp_path / "a.h5", saved(colour(), "JPEG"), change)) == {code}


@pytest.mark.parametrize(
    ("stream", "code"),
    [(saved(colour().convert("CMYK"), "JPEG"), "ND924"), (saved(Image.new("RGB", (9000, 9000)), "JPEG"), "ND924"),
     (saved(colour(), "PNG"), "ND922"), (saved(colour(), "JPEG")[:200], "ND922")],
    ids=["CMYK", "large", "PNG", "cut"],
)  # fmt: skip
def test_streams_of_strangers(stream: bytes, code: str, tmp_path: Path) -> None:
    assert codes(decoded, jpegs(tmp_path / "a.h5", stream)) == {code}


def test_streams_that_claim_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = jpegs(tmp_path / "a.h5", saved(colour(), "JPEG"))
    monkeypatch.setattr(limits, "UNPACKED", 100)
    monkeypatch.setattr(limits, "EXPANSION", 0)
    assert codes(hdf5_jpeg._require_bounded, spec, 101) == {"ND923"}
    hdf5_jpeg._require_bounded(spec, 100)


def test_grey_streams_of_a_colour_set_are_read(tmp_path: Path) -> None:
    image = grey()
    data = decoded(jpegs(tmp_path / "a.h5", saved(image, "JPEG")))
    assert np.array_equal(data.train_x[:, 0], data.train_x[:, 2])


def test_a_stream_that_crashes_its_decoder_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = datasets.load(jpegs(tmp_path / "a.h5", saved(colour(), "JPEG")))
    monkeypatch.setattr(hdf5_jpeg.JpegReader, "_decode", lambda *_: os.abort())
    with pytest.raises(UsageError, match="signal 6"):
        _ = data.train_x


# --- arrays ------------------------------------------------------------------------------------------------------


def archive(path: Path, header: str, body: bytes = b"", version: int = 1) -> str:
    """An .npz with one array of such a header."""
    text = header.encode() + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("x.npy", "y.npy"):
            file.writestr(name, b"\x93NUMPY" + bytes([version, 0]) + size + text + body)
    return str(path)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 1000)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-1, -64)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (8,)}",
        "{'descr': '|V9', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': 8}",
        "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f8', 'fortran_order': False}", "(" * 9000, "{" * 200, "1", "__import__('os')", "\0", "'" * 3,
        "{'descr': 7, 'fortran_order': False, 'shape': ()}", "{[]: 1}",
    ],
)  # fmt: skip
def test_headers_of_arrays(header: str, tmp_path: Path) -> None:
    spec = archive(tmp_path / "a.npz", header, bytes(64))
    assert codes(datasets.load, spec) <= {"ND922", "ND923", "ND924", "ND925"}
    assert codes(datasets.facts, spec) <= {"ND922", "ND923", "ND924", "ND925"}


def test_archives_that_unpack_to_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UNPACKED", 1 << 20)
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.zeros(2 << 20, np.uint8))
    assert codes(datasets.load, str(path)) == codes(datasets.facts, str(path)) == {"ND923"}


# --- tokenizers --------------------------------------------------------------------------------------------------


def tokenizer(path: Path, **more: object) -> str:
    model = {"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "[UNK]"}
    path.write_text(json.dumps({"version": "1.0", "added_tokens": [], "model": model, **more}))
    return str(path)


@pytest.mark.needs("tokenizers")
def test_tokenizers_of_strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = texts.load(tokenizer(tmp_path / "tokenizer.json"))
    assert good.encode(["a", "b"], 4) == [[0], [1]] and good.ids == {"a": 0, "[UNK]": 1}
    dangling = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}],
                "pair": [], "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [7], "tokens": ["[CLS]"]}}}  # fmt: skip
    for text in ("{", "[]", '{"model": 3}', ""):
        (tmp_path / "bad.json").write_text(text)
        assert codes(texts.load, str(tmp_path / "bad.json")) == {"ND929"}

    def use(**more: object) -> None:
        texts.load(tokenizer(tmp_path / "t.json", **more)).encode(["a" * 40 + "b"], 4)

    try:
        use(post_processor=dangling)
    except UsageError as error:
        assert {p.code for p in error.problems} == {"ND929"}
    monkeypatch.setattr(guarded, "SECONDS", 1.0)
    slow = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    try:
        use(pre_tokenizer=slow)
    except UsageError as error:
        assert {p.code for p in error.problems} == {"ND929"}


def test_an_archive_holds_no_more_than_its_file() -> None:
    """Python's reader makes room for as many packed bytes as the directory claims."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a", b"x" * 64)
    content = bytearray(buffer.getvalue())
    packed = content.index(b"PK\x01\x02") + 20  # in the entry of the directory
    content[packed : packed + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    with pytest.raises(ValueError, match="packed in an archive"):
        archives.opened(bytes(content))
