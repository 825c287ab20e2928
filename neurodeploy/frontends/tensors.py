"""Checkpoints of torch, read without torch's own readers: no pickle is executed and no TorchScript is loaded.

A checkpoint is a pickle that names storages, and the storages' bytes beside it: members of a zip archive, or, in files
of before torch 1.6, parts that follow one another. The pickle is interpreted here by a machine that knows literals,
plain containers and the few functions by which torch spells a tensor; anything else that a pickle names is refused.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..archives import opened

MOST_STEPS = 1_000_000  # of one pickle
#: how many elements a tensor may have that repeats those of its storage along an axis
MOST_REPEATED = 1 << 16

_LEGACY_MAGIC, _LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
#: members by which TorchScript archives and packages of code are known
_CODE = re.compile(r"(^|/)(constants\.pkl|code/|\.data/ts_code|\.data/extern_modules)")

_DTYPES = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64",
    "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool",
    "ComplexFloat": "complex64", "ComplexDouble": "complex128",
}  # fmt: skip


class Refused(ValueError):
    """Something that is no tensor and no plain container; the text says what."""


class _Name(NamedTuple):
    """What a pickle names: a class or a function, which is never looked up."""

    module: str
    name: str


@dataclass
class _Storage:
    """Bytes as a tensor of uint8, and the type under which they were stored."""

    dtype: Any
    data: Any


def read(source: Path | bytes) -> Any:
    """Tensors and plain containers of a checkpoint.

    Raises :class:`Refused` for code and for anything but tensors and plain containers, and one of
    :data:`neurodeploy.archives.ERRORS` for a file that is damaged or not a checkpoint.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        if (start := file.read(4)) != b"PK\3\4":
            return _legacy(start + file.read())
    with opened(source) as archive:
        names = archive.namelist()
        refuse_code(names)
        pickles = [name for name in names if name.split("/", 1)[-1] == "data.pkl"]
        if len(pickles) != 1:
            raise ValueError("no data.pkl in the archive")
        folder = pickles[0].removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if order in names and archive.read(order) != b"little":
            raise ValueError("bytes in another order than this machine's")
        sizes = {info.filename: info.file_size for info in archive.infolist()}

        def storage(key: str, size: int) -> bytes:
            member = f"{folder}data/{key}"
            if sizes.get(member, -1) < size:
                raise ValueError(f"{sizes.get(member, 0)} bytes in {member}, {size} declared")
            return archive.read(member)

        machine = _Machine(storage)
        return machine.run(io.BytesIO(archive.read(pickles[0])))


def refuse_code(names: list[str]) -> None:
    """:class:`Refused` for the members of an archive of TorchScript or of Python code."""
    found = next((name for name in names if _CODE.search(name)), None)
    if found is not None:
        raise Refused(f"an archive of TorchScript ({found[:80]})")


@contextmanager
def without_scripts() -> Iterator[None]:
    """Inside, torch loads no TorchScript: old versions of its weights-only reader do when they are handed some."""
    import torch

    def refuse(*_: Any, **__: Any) -> Any:
        raise Refused("an archive of TorchScript")

    before, torch.jit.load = torch.jit.load, refuse
    try:
        yield
    finally:
        torch.jit.load = before


def _legacy(content: bytes) -> Any:
    """The format before torch 1.6: magic number, version and system as pickles, then the object, then its storages."""
    stream, machine = io.BytesIO(content), _Machine(None, len(content))
    for wanted in (_LEGACY_MAGIC, _LEGACY_PROTOCOL):
        if machine.run(stream) != wanted:
            raise ValueError("neither an archive nor an older checkpoint of torch")
    system = machine.run(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("bytes in another order than this machine's")
    # tensors are views of storages whose bytes come behind the pickle that describes them
    found, keys = machine.run(stream), machine.run(stream)
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(map(str, machine.storages)):
        raise ValueError("other storages than the tensors name")
    for key in keys:
        store, (count,) = machine.storages[key], struct.unpack("<q", stream.read(8))
        if count * store.dtype.itemsize != store.data.numel():
            raise ValueError(
                f"{count} elements in storage {str(key)[:40]}, {store.data.numel()} bytes declared"
            )
        _fill(store, stream.read(store.data.numel()))
    return found


def _fill(store: _Storage, raw: bytes) -> None:
    if len(raw) < store.data.numel():
        raise ValueError("the file ends inside a storage")
    memoryview(store.data.numpy())[:] = memoryview(raw)[: store.data.numel()]


@dataclass
class _Machine:
    """Interprets pickles; ``load(key, bytes)`` gives the bytes of a storage, None where they come later: ``most``."""

    load: Callable[[str, int], bytes] | None
    most: int = 0
    storages: dict[Any, _Storage] = field(default_factory=dict)
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self, stream: io.BytesIO) -> Any:
        """The object of one pickle, the stream behind it; ValueError for one that is damaged, or :class:`Refused`."""
        self.stack, self.marks, self.memo = [], [], {}
        try:
            for step, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
                if step > MOST_STEPS:
                    raise ValueError(f"a pickle of more than {MOST_STEPS} steps")
                if opcode.name in _LITERALS:
                    self.stack.append(argument)
                elif opcode.name in _STEPS:
                    _STEPS[opcode.name](self, argument)
                elif opcode.name not in _IGNORED:
                    raise Refused(f"the pickle instruction {opcode.name}")
            return self.stack.pop()
        except (IndexError, TypeError, AttributeError, pickle.UnpicklingError) as error:
            raise ValueError(f"a damaged pickle: {error}") from error

    def since_mark(self) -> list[Any]:
        """What was pushed since the last mark, taken off."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def get(self, place: int) -> None:
        if place not in self.memo:
            raise ValueError(f"a damaged pickle: nothing at {place}")
        self.stack.append(self.memo[place])

    def put(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def tuple_of(self, count: int) -> None:
        items = tuple(self.stack[len(self.stack) - count :])
        if len(items) != count:
            raise ValueError("a damaged pickle: too few items")
        del self.stack[len(self.stack) - count :]
        self.stack.append(items)

    def extend(self, items: list[Any]) -> None:
        container = self.stack[-1]
        if not isinstance(container, (list, set)):
            raise Refused(f"items for a {type(container).__name__}")
        if isinstance(container, set):
            container.update(map(_key, items))
        else:
            container.extend(items)

    def set_items(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict) or len(items) % 2:
            raise Refused(f"items for a {type(self.stack[-1]).__name__}")
        self.stack[-1].update(zip(map(_key, items[::2]), items[1::2], strict=True))

    def dictionary(self, items: list[Any]) -> None:
        self.stack.append({})
        self.set_items(items)

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(_Name(str(module), str(name)))

    def reduce(self) -> None:
        """Call what a pickle names: one of :data:`_CALLS`, on arguments that this machine made."""
        arguments, name = self.stack.pop(), self.stack.pop()
        make = _CALLS.get(name) if isinstance(name, _Name) else None
        if make is None or not isinstance(arguments, tuple):
            raise Refused(
                f"a pickle that calls {'.'.join(name) if isinstance(name, _Name) else 'a value'}"[:120]
            )
        self.stack.append(make(*arguments))

    def record(self) -> None:
        """An object of a class that holds settings and nothing else: none of them is kept."""
        arguments, name = self.stack.pop(), self.stack.pop()
        if name not in _RECORDS or arguments != ():
            raise Refused(
                f"a pickle that makes {'.'.join(name) if isinstance(name, _Name) else 'a value'}"[:120]
            )
        self.stack.append({})

    def build(self) -> None:
        """Attributes of an object: those of a dictionary of tensors (its ``_metadata``) are left out."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict):
            raise Refused(f"attributes for a {type(self.stack[-1]).__name__}")

    def persistent(self) -> None:
        """A storage: ``('storage', type, key, location, elements)``, in older files with the place of a view."""
        kind, named, key, _, count, *view = self.stack.pop()
        if kind != "storage" or not isinstance(count, int) or count < 0 or any(v is not None for v in view):
            raise Refused(f"a reference to {str(kind)[:40]}")
        if key not in self.storages:
            self.storages[_key(key)] = self.stored(_storage_dtype(named), str(key), count)
        self.stack.append(self.storages[key])

    def stored(self, dtype: Any, key: str, count: int) -> _Storage:
        import torch

        size = count * dtype.itemsize
        if self.load is not None:
            raw = self.load(key, size)
            store = _Storage(dtype, torch.empty(size, dtype=torch.uint8))
            _fill(store, raw)
            return store
        if size > self.most:
            raise ValueError(f"storage {key[:40]} of {size} bytes, more than the file has")
        self.most -= size
        return _Storage(dtype, torch.empty(size, dtype=torch.uint8))


def _key(value: Any) -> Any:
    """A key of a dictionary; nothing whose comparison could take long."""
    if not isinstance(value, (str, int, float, bytes, type(None))):
        raise Refused(f"a {type(value).__name__} as a key")
    return value


def _storage_dtype(named: Any) -> Any:
    import torch

    module, name = named if isinstance(named, _Name) else ("", "")
    if name == "UntypedStorage":
        return torch.uint8
    dtype = _DTYPES.get(name.removesuffix("Storage")) if module == "torch" else None
    if dtype is None:
        raise Refused(f"a storage of type {module}.{name}"[:80])
    return getattr(torch, dtype)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Any:
    """torch's ``_rebuild_tensor_v2``: (requires_grad, hooks, metadata) do not matter for numbers."""
    import torch

    if not isinstance(storage, _Storage):
        raise Refused("a tensor without a storage")
    return _view(torch, storage.data, storage.dtype, offset, size, stride)


def _tensor_of(
    storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Any, *_: Any
) -> Any:
    """torch's ``_rebuild_tensor_v3``, for types that have no storages of their own."""
    import torch

    found = getattr(torch, dtype.name, None) if isinstance(dtype, _Name) and dtype.module == "torch" else None
    if not isinstance(storage, _Storage) or not isinstance(found, torch.dtype):
        raise Refused("a tensor of an unknown type")
    return _view(torch, storage.data, found, offset, size, stride)


def _view(torch: Any, data: Any, dtype: Any, offset: Any, size: Any, stride: Any) -> Any:
    """A tensor over a storage, inside its bounds."""
    whole = [offset, *size, *stride]
    if len(size) != len(stride) or not all(type(n) is int and 0 <= n < 1 << 48 for n in whole):
        raise ValueError("a tensor of odd sizes")
    held, elements = data.numel() // dtype.itemsize, 1
    for n in size:
        elements *= n
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if elements and last >= held:
        raise ValueError(f"a tensor that ends at element {last} of a storage of {held}")
    if elements > max(held, MOST_REPEATED):
        raise ValueError(f"a tensor of {elements} elements in a storage of {held}")
    return torch.empty(0, dtype=dtype).set_(data.untyped_storage(), offset, tuple(size), tuple(stride))


def _parameter(data: Any, grad: Any = True, *_: Any) -> Any:
    import torch

    if not isinstance(data, torch.Tensor):
        raise Refused("a parameter that is no tensor")
    return torch.nn.Parameter(data, requires_grad=grad is True and data.is_floating_point())


def _ordered(pairs: Any = ()) -> dict[Any, Any]:
    return {_key(k): v for k, v in pairs}


def _bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise Refused(f"bytes as {encoding[:20]}")
    return text.encode(encoding)


#: what a pickle may call, and what is called in its place
_CALLS: Mapping[_Name, Callable[..., Any]] = {
    _Name("torch._utils", "_rebuild_tensor_v2"): _tensor,
    _Name("torch._utils", "_rebuild_tensor"): _tensor,
    _Name("torch._utils", "_rebuild_tensor_v3"): _tensor_of,
    _Name("torch._utils", "_rebuild_parameter"): _parameter,
    _Name("torch.nn.parameter", "Parameter"): _parameter,
    _Name("collections", "OrderedDict"): _ordered,
    _Name("_codecs", "encode"): _bytes,
    **dict.fromkeys(
        (_Name("builtins", "set"), _Name("__builtin__", "set")), lambda items=(): set(map(_key, items))
    ),
    _Name("torch", "Size"): lambda sizes=(): tuple(sizes),
    _Name("torch", "device"): lambda *parts: ":".join(map(str, parts)),
}

#: classes of which checkpoints hold objects beside the tensors: what a training was started with
_RECORDS = frozenset({_Name("argparse", "Namespace")})

_LITERALS = (
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
)  # fmt: skip
_IGNORED = ("PROTO", "FRAME", "STOP")

_STEPS: Mapping[str, Callable[[_Machine, Any], Any]] = {
    "NONE": lambda m, _: m.stack.append(None),
    "NEWTRUE": lambda m, _: m.stack.append(True),
    "NEWFALSE": lambda m, _: m.stack.append(False),
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "POP": lambda m, _: m.stack.pop(),
    "POP_MARK": lambda m, _: m.since_mark(),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "EMPTY_SET": lambda m, _: m.stack.append(set()),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.since_mark())),
    "TUPLE1": lambda m, _: m.tuple_of(1),
    "TUPLE2": lambda m, _: m.tuple_of(2),
    "TUPLE3": lambda m, _: m.tuple_of(3),
    "LIST": lambda m, _: m.stack.append(m.since_mark()),
    "DICT": lambda m, _: m.dictionary(m.since_mark()),
    "APPEND": lambda m, _: m.extend([m.stack.pop()]),
    "APPENDS": lambda m, _: m.extend(m.since_mark()),
    "ADDITEMS": lambda m, _: m.extend(m.since_mark()),
    "SETITEM": lambda m, _: m.set_items([m.stack.pop(-2), m.stack.pop()]),
    "SETITEMS": lambda m, _: m.set_items(m.since_mark()),
    "GLOBAL": lambda m, named: m.stack.append(_Name(*named.split(" ", 1))),
    "STACK_GLOBAL": lambda m, _: m.stack_global(),
    "REDUCE": lambda m, _: m.reduce(),
    "BUILD": lambda m, _: m.build(),
    "NEWOBJ": lambda m, _: m.record(),
    "BINPERSID": lambda m, _: m.persistent(),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda m, place: m.put(place)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, place: m.get(place)),
    "MEMOIZE": lambda m, _: m.put(len(m.memo)),
}
