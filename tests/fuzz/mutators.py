"""Damage to files: bytes, text, and the parts of JSON, TOML, HDF5 and zip archives, all of it from one random seed."""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

import h5py
import numpy as np

#: the files of one case: place in its folder -> content
Sample = Mapping[str, bytes]
Mutator = Callable[[Random, bytes], bytes]

LARGE = 1 << 24  # bytes of a part that is not read to be changed

EDGES = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"\xff" * 8, b"\x00" * 8,
         b"\x00" * 6 + b"\x10\x00")  # fmt: skip
NUMBERS = ("0", "-1", "1", "2147483648", "-9223372036854775809", "1e400", "-1e999", "1e-320", "NaN", "Infinity",
           "9" * 30, "9" * 5000, "0.1", "true", "null", "1_0", "0x10", "٣", "")  # fmt: skip
TEXTS = ("", "\0", "\x1b[2J", "\ud800", "../../etc/passwd", "a/b", "x" * 5000, "\u202e", "é", "'", "{{ 7 * 7 }}",
         "<script>", "py:os:abort", "/dev/zero")  # fmt: skip


def damage(rng: Random, sample: Sample) -> dict[str, bytes]:
    """One to three changes in one file of a sample; rarely a file too many, or one too few."""
    changed = dict(sample)
    name = rng.choice(sorted(changed))
    if len(changed) > 1 and rng.random() < 0.05:
        del changed[name]
        return changed
    if rng.random() < 0.03:
        changed[rng.choice(("a\x1b[31m.txt", "é.png", "sub/.hidden", "train/0/z.png"))] = changed[name]
    for _ in range(rng.choice((1, 1, 2, 3))):
        changed[name] = mutate(rng, name, changed[name])
    return changed


def mutate(rng: Random, name: str, content: bytes) -> bytes:
    """A change that knows the kind of file, or one of its bytes; what cannot be parsed is changed bytewise."""
    aware = _AWARE.get(_kind(content))
    if aware is None or rng.random() < 0.35:
        return rng.choice(_BYTES)(rng, content)
    try:
        return aware(rng, content)
    except Exception:  # what is damaged already breaks its own parser in any way
        return rng.choice(_BYTES)(rng, content)


def _kind(content: bytes) -> str:
    if content.startswith(b"\x89HDF"):
        return "hdf5"
    if content.startswith(b"PK"):
        return "zip"
    if content.startswith(b"\x93NUMPY"):
        return "npy"
    if content.startswith(b"\x89PNG"):
        return "png"
    if content[:1] == b"\x08" and len(content) > 8:
        return "message"
    if content.lstrip()[:1] in (b"{", b"["):
        return "json"
    return "text" if b"\0" not in content[:1000] else "bytes"


# --- bytes -------------------------------------------------------------------------------------------------------


def flip(rng: Random, content: bytes) -> bytes:
    """Up to a dozen bits."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 12) if content else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(rng: Random, content: bytes) -> bytes:
    """The end is missing."""
    return content[: rng.randint(0, len(content))]


def splice(rng: Random, content: bytes) -> bytes:
    """A piece moved, doubled or left out."""
    start, end = sorted(rng.randint(0, len(content)) for _ in range(2))
    piece, rest = content[start:end][:4096], content[:start] + content[end:]
    place = rng.randint(0, len(rest))
    return rng.choice((rest, content[:place] + piece + content[place:], rest[:place] + piece + rest[place:]))


def edge(rng: Random, content: bytes) -> bytes:
    """Bytes of a number at the end of its range."""
    piece, place = rng.choice(EDGES), rng.randint(0, len(content))
    return content[:place] + piece + content[place + len(piece) :]


def run(rng: Random, content: bytes) -> bytes:
    """A long run of one byte."""
    place = rng.randint(0, len(content))
    return content[:place] + bytes([rng.randrange(256)]) * rng.choice((16, 300, 70000)) + content[place:]


_BYTES: tuple[Mutator, ...] = (flip, flip, flip, cut, splice, edge, edge, run)


# --- text --------------------------------------------------------------------------------------------------------


def text(rng: Random, content: bytes) -> bytes:
    """A number, a string, a line or a bracket of a text."""
    return rng.choice((_number, _number, _string, _line, _line, _nested))(rng, content)


def _replaced(rng: Random, content: bytes, pattern: bytes, new: bytes) -> bytes:
    found = list(re.finditer(pattern, content))
    if not found:
        return flip(rng, content)
    chosen = rng.choice(found)
    return content[: chosen.start()] + new + content[chosen.end() :]


def _number(rng: Random, content: bytes) -> bytes:
    return _replaced(rng, content, rb"-?\d[\d.]*(e-?\d+)?", rng.choice(NUMBERS).encode())


def _string(rng: Random, content: bytes) -> bytes:
    new = json.dumps(rng.choice(TEXTS)).encode() if rng.random() < 0.7 else rng.choice(EDGES)
    return _replaced(rng, content, rb'"[^"\n]*"|\b[a-z_]+\b', new)


def _line(rng: Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    if not lines:
        return b"\n"
    line = lines[index := rng.randrange(len(lines))]
    lines[index : index + 1] = rng.choice(([], [line, line], [line.rstrip()], [rng.choice(lines)]))
    return b"".join(lines)


def _nested(rng: Random, content: bytes) -> bytes:
    opened, closed = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"(", b")"), (b'"', b'"')))
    depth, place = rng.choice((1, 50, 30000)), rng.randint(0, len(content))
    return content[:place] + opened * depth + closed * rng.choice((0, depth)) + content[place:]


# --- JSON --------------------------------------------------------------------------------------------------------


def tree(rng: Random, content: bytes) -> bytes:
    """A part of a JSON tree replaced, left out, doubled, wrapped or renamed."""
    root = [json.loads(content)]
    parents = list(_containers(root))
    parent = rng.choice(parents)
    if not parent:
        return text(rng, content)
    key = rng.choice(sorted(parent)) if isinstance(parent, dict) else rng.randrange(len(parent))
    _edit(rng, parent, key, parents)
    return json.dumps(root[0] if root else None).encode()


def _containers(item: Any) -> Any:
    if isinstance(item, (dict, list)):
        yield item
        for part in item.values() if isinstance(item, dict) else item:
            yield from _containers(part)


def _edit(rng: Random, parent: Any, key: Any, parents: list[Any]) -> None:
    way = rng.choice(("value", "value", "value", "near", "delete", "wrap", "other", "rename"))
    old = parent[key]
    if way == "delete":
        del parent[key]
    elif way == "wrap":
        parent[key] = rng.choice(([old], {"a": old}, [old] * 3))
    elif way == "other":
        parent[key] = json.loads(json.dumps(rng.choice(parents)))
    elif way == "rename" and isinstance(parent, dict):
        parent[rng.choice((*TEXTS, "type", "shape"))] = parent.pop(key)
    elif way == "near" and isinstance(old, (int, float)) and not isinstance(old, bool):
        parent[key] = rng.choice((-old, old + 1, old - 1, old * 1000, old / 3, 0))
    else:
        parent[key] = value(rng)


def value(rng: Random) -> Any:
    """Any JSON value, mostly one that hurts."""
    numbers = (
        0,
        -1,
        1,
        3,
        1 << 31,
        -(1 << 63),
        1 << 64,
        10**30,
        0.5,
        -0.0,
        1e308,
        1e-320,
        float("nan"),
        float("inf"),
    )
    plain: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], {"a": 1}, ["a", 1], [1, 2, 3])
    return rng.choice((rng.choice(numbers), rng.choice(TEXTS), rng.choice(plain)))


# --- archives ----------------------------------------------------------------------------------------------------


def archive(rng: Random, content: bytes) -> bytes:
    """A member of a zip file changed (with the right checksum), left out, doubled, renamed or packed tightly."""
    with zipfile.ZipFile(io.BytesIO(content)) as old:
        members = [(info.filename, old.read(info)) for info in old.infolist()]
    name, data = members[index := rng.randrange(len(members))]
    way = rng.choice(("change", "change", "change", "delete", "double", "rename", "bomb"))
    changes: dict[str, list[tuple[str, bytes]]] = {
        "change": [(name, mutate(rng, name, data) if way == "change" else b"")],
        "delete": [],
        "double": [(name, data), (name, flip(rng, data))],
        "rename": [
            (rng.choice((name.upper(), "../" + name, name + ".x", members[0][0], "x/code/a.py")), data)
        ],
        "bomb": [(name, data[:128] + bytes(40 << 20) if way == "bomb" else b"")],
    }
    members[index : index + 1] = changes[way]
    buffer = io.BytesIO()
    packed = zipfile.ZIP_DEFLATED if way == "bomb" else zipfile.ZIP_STORED
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", packed) as new:
        warnings.simplefilter("ignore")  # of two members of the same name
        for member, body in members:
            new.writestr(zipfile.ZipInfo(member), body, packed)
    return buffer.getvalue()


def array(rng: Random, content: bytes) -> bytes:
    """The header of a numpy array, whose length stays right."""
    size = int.from_bytes(content[8:10], "little")
    header = text(rng, content[10 : 10 + size])
    if rng.random() < 0.3:
        names = (
            b"'|O'",
            b"'<U9'",
            b"'<M8[s]'",
            b"[('a', '<f8')]",
            b"'V0'",
            b"'<f2'",
            b"'>i8'",
            b"'|S0'",
            b"None",
        )
        header = re.sub(rb"'[<>|=][^']*'", rng.choice(names), content[10 : 10 + size], count=1)
    header = header.rstrip().ljust(size - 1)[:60000] + b"\n"
    return content[:8] + len(header).to_bytes(2, "little") + header + content[10 + size :]


def picture(rng: Random, content: bytes) -> bytes:
    """The data of one part of a PNG file, with the right checksum."""
    starts, place = [], 8
    while place + 12 <= len(content):
        starts.append(place)
        place += 12 + int.from_bytes(content[place : place + 4], "big")
    start = rng.choice(starts)
    size = int.from_bytes(content[start : start + 4], "big")
    kind, data = content[start + 4 : start + 8], content[start + 8 : start + 8 + size]
    data = rng.choice((flip, edge, cut))(rng, data)
    part = len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    return content[:start] + part + content[start + 12 + size :]


# --- HDF5 --------------------------------------------------------------------------------------------------------


def hdf5(rng: Random, content: bytes) -> bytes:
    """A part of an HDF5 file: another value, nothing, another place, a link, a huge shape, a changed text."""
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        found: list[str] = []
        file.visit(found.append)
        if found:
            _part(rng, file, sorted(found))
    return buffer.getvalue()


def _part(rng: Random, file: h5py.File, places: list[str]) -> None:
    place, other = rng.choice(places), rng.choice(places)
    item, fresh = file[place], next(f"new{i}" for i in range(1000) if f"new{i}" not in file)
    if isinstance(item, h5py.Dataset) and item.nbytes < LARGE and rng.random() < 0.5:
        return _dataset(rng, file, place)
    ways: tuple[Callable[[], object], ...] = (
        lambda: file.copy(file[other], fresh),
        lambda: file.__setitem__(fresh, file[other]),
        lambda: item.attrs.__setitem__(rng.choice((*item.attrs, "x")), _thing(rng)),
        lambda: item.__setitem__("alias", file[other]),  # a cycle, if the item is a group that holds itself
    )
    if rng.random() < 0.4:
        rng.choice(ways)()
        return
    del file[place]
    links: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: file.__setitem__(
            place, h5py.SoftLink(rng.choice(("/", f"/{place}", f"/{other}", "/nowhere")))
        ),
        lambda: file.__setitem__(place, h5py.ExternalLink(rng.choice(("/etc/passwd", "/dev/zero")), "/")),
        lambda: file.create_group(place),
        lambda: file.create_dataset(place, (1 << 30, rng.choice((1 << 10, 1 << 30))), "f4", chunks=(64, 1)),
        lambda: file.__setitem__(place, _thing(rng)),
    )
    rng.choice(links)()


def _dataset(rng: Random, file: h5py.File, place: str) -> None:
    """Other content in a data set of the same type where that is a text or numbers, else another one."""
    old = file[place][()]
    if isinstance(old, bytes):
        new: Any = mutate(rng, place, old)
    elif isinstance(old, np.ndarray) and old.dtype == np.uint8 and old.ndim == 1 and old.size:
        new = np.frombuffer(mutate(rng, place, old.tobytes()), np.uint8)
    elif isinstance(old, np.ndarray) and old.size and old.dtype.kind in "iuf" and rng.random() < 0.6:
        new = old.copy()
        new.flat[rng.randrange(new.size)] = rng.choice((0, 1, 255, 127, new.flat[0]))
    else:
        new = _thing(rng)
    del file[place]
    file[place] = new


def _thing(rng: Random) -> Any:
    shape = [rng.randint(0, 6) for _ in range(rng.randint(0, 6))]
    numbers = (0, -1, 1, 1 << 40, 0.5, float("nan"), float("inf"), -(2**63))
    names = ("CUBA", "dense", "", "RF", "LIF", "Affine", "x" * 3000)
    raw = (b"conv", b"flatten", b"concat", b"pool", b"\xff\xfe")
    kinds = ("f4", "i8", "u1", "?", "c8", "f8")
    return rng.choice(
        (np.int64(rng.choice(numbers[:4])), np.float32(rng.choice(numbers)), rng.choice(names), rng.choice(raw),
         np.ones(shape, rng.choice(kinds)), np.array([rng.randint(-9, 1 << 40) for _ in range(3)]))
    )  # fmt: skip


# --- messages of protocol buffers --------------------------------------------------------------------------------

#: number and wire type of a field, and what it holds
Field = tuple[int, int, int | bytes]
SIZES = (0, 1, 2, 5, 127, 1 << 31, 1 << 40, (1 << 63) - 1, (1 << 64) - 1, (1 << 64) - 2)
FIXED = {1: 8, 5: 4}


def message(rng: Random, content: bytes) -> bytes:
    """A field of a message, or of one inside of it: another number or text, gone, doubled or elsewhere."""
    fields = list(_fields(content))
    at = rng.randrange(len(fields))
    number, wire, value = fields[at]
    if isinstance(value, int):
        fields[at] = number, wire, rng.choice((*SIZES, value + 1))
    elif rng.random() < 0.8 and (inner := _inside(value)):
        fields[at] = number, wire, message(rng, inner)
    else:
        text = rng.choice(TEXTS).encode("utf-8", "replace")
        fields[at] = (
            number,
            wire,
            rng.choice((text, value[: len(value) // 2], value + bytes(8), flip(rng, value))),
        )
    if rng.random() < 0.2:
        fields.insert(rng.randrange(len(fields)), rng.choice(fields))
    if rng.random() < 0.1:
        del fields[rng.randrange(len(fields))]
    return b"".join(_field(*field) for field in fields)


def _inside(value: bytes) -> bytes:
    """The value where it is a message itself."""
    try:
        return value if list(_fields(value)) else b""
    except (ValueError, IndexError):
        return b""


def _fields(content: bytes) -> Iterator[Field]:
    place = 0

    def number() -> int:
        nonlocal place
        value = shift = 0
        while True:
            value |= (content[place] & 127) << shift
            place, shift = place + 1, shift + 7
            if content[place - 1] < 128:
                return value

    while place < len(content):
        key = number()
        if not key >> 3 or key & 7 not in (0, 2, *FIXED):
            raise ValueError("no field")
        if key & 7 == 0:
            yield key >> 3, 0, number()
            continue
        length = number() if key & 7 == 2 else FIXED[key & 7]
        if place + length > len(content):
            raise ValueError("cut off")
        yield key >> 3, key & 7, content[place : place + length]
        place += length


def _field(number: int, wire: int, value: int | bytes) -> bytes:
    def varint(n: int) -> bytes:
        n &= (1 << 64) - 1
        parts = []
        while n > 127:
            parts.append(n & 127 | 128)
            n >>= 7
        return bytes([*parts, n])

    key = varint(number << 3 | wire)
    if isinstance(value, int):
        return key + varint(value)
    return key + (varint(len(value)) if wire == 2 else b"") + value


_AWARE: dict[str, Mutator] = {
    "hdf5": hdf5, "message": message, "zip": archive, "npy": array, "png": picture, "json": tree, "text": text,
}  # fmt: skip
