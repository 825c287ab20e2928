"""An ``.onnx`` file as plain data: parsed by the library onnx in a guarded copy of the process, and checked there.

Nothing of a file runs. Sizes are held against what is stored before memory is taken, tensors may lie in files beside
this one and nowhere else, and what has a body of its own (If, Loop, Scan, functions that call each other) is opened by
the library or comes as an operator that nobody has declared.
"""

from __future__ import annotations

import ast
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from ... import extras, guarded
from ...array import Array
from ...errors import ImportModelError, Problem, first_line
from ...limits import most_unpacked
from .ops._base import Node

#: versions of ONNX's operators whose meaning is known here
OPSETS = range(11, 24)
MOST_NODES = 100_000
#: names of ONNX's own operators
OWN = ("", "ai.onnx")
_RATE = 5_000_000  # bytes a second
_SCOPES = "pkg.torch.onnx.name_scopes"
_ODD = re.compile(r"[^\w.\-]+")
_LONGEST = 120  # characters of a name

_FIX = "write it again with torch.onnx.export"


@dataclass(frozen=True)
class Given:
    """An input of a network: its name, numpy's name of its type, and its sizes, None or a name where one is open."""

    name: str
    dtype: str
    sizes: tuple[int | str | None, ...]


@dataclass(frozen=True, eq=False)
class File:
    """What a file says: ``constants`` by name, ``nodes`` in order, ``inputs``, and the names of its ``outputs``."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    inputs: tuple[Given, ...]
    outputs: tuple[str, ...]


def beside(path: Path) -> list[Path]:
    """Files in the folder of an ``.onnx`` file whose names stand in it: where its tensors may lie, and no others."""
    content = path.read_bytes()
    near = (file for file in path.parent.iterdir() if file != path and file.name.encode() in content)
    return sorted(file for file in near if file.is_file() and not file.is_symlink())


def load(path: Path) -> File:
    """The network that a file holds.

    Raises EnvironmentProblem ND115 without the library; ImportModelError ND106 for a file that is damaged or of
    another kind or version, ND123 for tensors that lie elsewhere, ND183 for what is larger than the file allows.
    """
    extras.require("onnx", ".onnx files")
    try:
        size = path.stat().st_size
        if not size:
            raise ImportModelError(_unreadable(path, "the model file is empty", "0 bytes"))
        stored = size + sum(file.stat().st_size for file in beside(path))
    except OSError as error:
        raise ImportModelError(
            _unreadable(path, "the model file cannot be read", first_line(error))
        ) from error
    seconds, memory = guarded.SECONDS + stored / _RATE, guarded.MEMORY // 2 + 6 * stored
    try:
        found = guarded.call(_plain, path, stored, seconds=seconds, memory=memory)
    except guarded.Stopped as error:
        cause = "the model file is damaged or no .onnx file"
        raise ImportModelError(_unreadable(path, cause, str(error)[:200])) from error
    nodes = tuple(
        Node(op, domain, place, tuple(given), tuple(made), attributes, found["opset"])
        for op, domain, place, given, made, attributes in found["nodes"]
    )
    inputs = tuple(Given(name, dtype, tuple(sizes)) for name, dtype, sizes in found["inputs"])
    return File(nodes, found["constants"], inputs, tuple(found["outputs"]))


def _unreadable(path: Path, cause: str, found: str, limit: str = "an ONNX network") -> Problem:
    return Problem("ND106", cause, str(path), found, limit, (_FIX,))


# --- in the copy -------------------------------------------------------------------------------------------------


def _plain(path: Path, stored: int) -> dict[str, Any]:
    """The file as numbers, texts and arrays."""
    import onnx

    model = onnx.load_model_from_string(path.read_bytes())
    graph = model.graph
    if not graph.node and not graph.output:
        raise ImportModelError(_unreadable(path, "the file holds no network", "no nodes"))
    opset = _opset(path, model)
    if len(model.functions):
        from onnx import inliner

        model = inliner.inline_local_functions(model)
        graph = model.graph
    if len(graph.node) > MOST_NODES:
        raise ImportModelError(_too_large(path, f"{len(graph.node)} nodes", f"{MOST_NODES} nodes"))
    if len(graph.sparse_initializer):
        cause, name = "a sparse tensor is not read", _named(graph.sparse_initializer[0].values.name)
        raise ImportModelError(Problem("ND123", cause, f"{path}: {name}", "sparse", "dense tensors"))
    arrays = _Arrays(path, most_unpacked(stored))
    constants = {tensor.name: arrays.of(tensor, tensor.name) for tensor in graph.initializer}
    inputs = [_given(value) for value in graph.input if value.name not in constants]
    nodes = [
        [n.op_type, n.domain, _place(n), list(n.input), list(n.output), _attributes(n, arrays)]
        for n in graph.node
    ]
    outputs = [value.name for value in graph.output]
    return {"nodes": nodes, "constants": constants, "inputs": inputs, "outputs": outputs, "opset": opset}


def _too_large(path: Path, found: str, limit: str) -> Problem:
    return Problem("ND183", "the model file holds a value that is too large", str(path), found, limit)


def _opset(path: Path, model: Any) -> int:
    """The version of ONNX's own operators; ImportModelError ND106 for one that is not known here."""
    opset = max((int(each.version) for each in model.opset_import if each.domain in OWN), default=0)
    if opset not in OPSETS:
        cause, found = "the operators of the file are of a version that is not read", f"opset {opset}"
        raise ImportModelError(_unreadable(path, cause, found, f"opset {OPSETS[0]} to {OPSETS[-1]}"))
    return opset


def _given(value: Any) -> list[Any]:
    import onnx

    kind = value.type.tensor_type
    with suppress(KeyError):
        dtype = str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        sizes = [_size(axis) for axis in kind.shape.dim] if kind.HasField("shape") else []
        return [value.name, dtype, sizes]
    return [value.name, "", []]


def _size(axis: Any) -> int | str | None:
    if axis.HasField("dim_value"):
        return int(axis.dim_value)
    return _named(axis.dim_param) or None


class _Arrays:
    """Tensors of a file as arrays, of so many bytes together."""

    def __init__(self, path: Path, most: int) -> None:
        self.path, self.most, self.taken = path, most, 0

    def of(self, tensor: Any, name: str) -> Array:
        """The numbers of a tensor; ImportModelError ND123, ND183, ND195."""
        import numpy as np
        import onnx

        where = f"{self.path}: {_named(name)}"
        sizes = [int(n) for n in tensor.dims]
        if tensor.data_type in (onnx.TensorProto.STRING, onnx.TensorProto.UNDEFINED):
            raise ImportModelError(
                Problem("ND195", "a tensor of an unsupported type", where, "texts", "numbers")
            )
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        self.taken += prod(sizes) * dtype.itemsize
        if any(n < 0 for n in sizes) or self.taken > self.most:
            raise ImportModelError(_too_large(self.path, f"{_named(name)}: {sizes}", f"{self.most} bytes"))
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            plain = onnx.TensorProto()
            plain.CopyFrom(tensor)
            plain.data_location = onnx.TensorProto.DEFAULT
            del plain.external_data[:]
            plain.raw_data = self._outside(tensor, where, sizes, dtype.itemsize)
            tensor = plain
        array: Array = onnx.numpy_helper.to_array(tensor)
        if array.dtype.kind == "c":
            raise ImportModelError(
                Problem("ND195", "a tensor of an unsupported type", where, "complex", "numbers")
            )
        if array.dtype.kind not in "fiub" or array.dtype == np.float16:
            array = array.astype(np.float32)  # bfloat16 and its kin are unknown to numpy
        return array

    def _outside(self, tensor: Any, where: str, sizes: Sequence[int], itemsize: int) -> bytes:
        """Bytes of a tensor in a file beside this one."""
        table = {entry.key: entry.value for entry in tensor.external_data}
        name = table.get("location", "")
        if not name or Path(name).name != name or name in (".", ".."):
            raise ImportModelError(_elsewhere(where, name))
        length = prod(sizes) * itemsize
        start = int(table.get("offset", 0))
        if start < 0 or int(table.get("length", length)) != length:
            raise ImportModelError(_elsewhere(where, f"{name}: {table}"))
        try:
            handle = os.open(self.path.parent / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise ImportModelError(_elsewhere(where, f"{name}: {error.strerror}")) from error
        with os.fdopen(handle, "rb") as file:
            held = os.fstat(handle)
            if not stat.S_ISREG(held.st_mode) or start + length > held.st_size:
                raise ImportModelError(_elsewhere(where, f"{name}: {start + length} of {held.st_size} bytes"))
            file.seek(start)
            return file.read(length)


def _elsewhere(where: str, found: str) -> Problem:
    cause, limit = "a tensor lies where it is not read", "a whole part of a plain file beside the model file"
    return Problem("ND123", cause, where, found[:200], limit, ("save the model as one file",))


def _attributes(node: Any, arrays: _Arrays) -> dict[str, Any]:
    """Numbers, texts and arrays by name; of what else there is, None."""
    import onnx

    kinds = onnx.AttributeProto
    found: dict[str, Any] = {}
    for each in node.attribute:
        value: Any = None
        if each.type in (kinds.FLOAT, kinds.INT):
            value = onnx.helper.get_attribute_value(each)
        elif each.type in (kinds.FLOATS, kinds.INTS):
            value = list(onnx.helper.get_attribute_value(each))
        elif each.type == kinds.STRING:
            value = each.s.decode("utf-8", "replace")
        elif each.type == kinds.TENSOR:
            value = arrays.of(each.t, f"{_place(node)}.{each.name}")
        found[each.name] = value
    return found


def _named(text: str) -> str:
    """A name of a file for people."""
    return _ODD.sub("_", text)[:_LONGEST]


def _place(node: Any) -> str:
    """Path of the module that a node was written for, as far as its exporter says."""
    scopes = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "")
    with suppress(ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        *_, path, _ = ast.literal_eval(scopes[: 10 * _LONGEST])
        return _named(path)
    return _named(".".join(_parts(node.name.strip("/").split("/")[:-1])) or node.name)


def _parts(names: Sequence[str]) -> Iterator[str]:
    """A container names itself and its part as one: ``blocks/blocks.0`` is ``blocks.0``."""
    for name, after in zip(names, [*names[1:], ""], strict=False):
        if not after.startswith(f"{name}."):
            yield name
