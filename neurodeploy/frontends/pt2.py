"""Reads a ``.pt2`` file of torch.export without executing what its author put into it.

torch's reader runs code that such a file brings along in many ways: pickles and TorchScript among its tensors,
compiled libraries, opaque objects, sizes and guards that are Python text, names that are pasted into generated source,
and types of containers that are imported by name. So torch never sees the file. Its members are read here, tensors by
:mod:`.tensors`, the graph as JSON in which each text is of a known form, and torch is given an archive that was written
anew from what passed, with tensors and graph and nothing else. The graph is only ever translated, never run, but for
constants.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from .. import archives
from ..errors import ImportModelError, Problem, first_line
from . import tensors

_TARGET = re.compile(
    r"torch\.ops\.aten\.\w+(\.\w+)?|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pow"
    r"|eq|ne|le|ge|lt|gt)|torch\.sym_(int|float|max|min|not)|math\.(ceil|floor|trunc)"
)
#: what a symbolic size is made of, as torch writes it
_SYMBOL = re.compile(r"[a-z]{1,4}\d+")
_FUNCTIONS = (
    "Max", "Min", "Mod", "FloorDiv", "floor", "ceiling", "Eq", "Ne",
    "Symbol", "Integer", "Rational", "Mul", "Add", "Pow",
)  # fmt: skip
_CONSTANTS = ("True", "False", "oo", "int_oo", *_FUNCTIONS)
_ARITHMETIC = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Name, ast.Constant, ast.keyword, ast.Load,
    ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip
#: what is computed when the text is read stays small
MOST_EXPRESSION, MOST_POWERS, MOST_EXPONENT = 1000, 4, 9

#: names of values, parameters, devices, versions: torch writes some of them into source code
_PLAIN = re.compile(r"[\w.+\-:$]*")
#: entries without which a graph is the same: code that checks inputs, and classes to import
_LEFT_OUT: Mapping[str, Any] = {"guards_code": [], "treespec_namedtuple_fields": {}}
#: what is kept of where a node came from: free text, which torch only splits
_ORIGIN = ("stack_trace", "nn_module_stack")
#: containers of arguments; others are found by importing what the file names
_CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")

_FOLDERS = re.compile(r"^(?:[^/]+/)??(?=(?:data/|models/|archive_format$|archive_version$))")
_FORMER = (
    "serialized_exported_program.json",
    "serialized_state_dict.pt",
    "serialized_constants.pt",
    "version",
)
_OPAQUE = re.compile(r"custom_obj|opaque_obj|aotinductor|\.so$|\.py$|executorch")

#: of a value that is computed
MOST_ELEMENTS = 1 << 26

_FIX = "write it again with torch.export.save from source that you trust"

#: name -> content of the members of an archive
Members = dict[str, bytes]


def load(path: Path) -> Any:
    """The torch.export.ExportedProgram of a file.

    Raises ImportModelError: ND106 for a file that is empty, truncated, foreign or of another version, ND113 for one
    that could execute code.
    """
    content = _rewritten(path, _members(path))
    import torch

    try:
        with _tensors_only():
            program = torch.export.load(io.BytesIO(content))
    except Exception as error:  # torch raises whatever its reader stumbles over
        fix = "export the model with this version of torch"
        cause = "the .pt2 file cannot be read by this version of torch"
        raise _unreadable(path, cause, first_line(error), torch.__version__, fix) from error
    large = _too_large(program)
    if large:
        cause, limit = (
            "the model file holds a value that is too large",
            f"{MOST_ELEMENTS} elements, or four times a weight",
        )
        raise ImportModelError(Problem("ND183", cause, str(path), large, limit))
    return program


def _too_large(program: Any) -> str:
    """The first value of a program that is larger than any that is computed; empty if there is none.

    Found by torch's own shapes of the operators, since the sizes in the file may be lies; nothing is allocated.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensor
    from torch.utils._pytree import tree_leaves

    known: dict[Any, Any] = {}
    most, modes = MOST_ELEMENTS, []
    for node in program.graph.nodes:
        known[node] = node.meta.get("val")
        if node.op == "placeholder" and isinstance(known[node], FakeTensor):
            most = max(most, 4 * _elements(known[node]))
            modes.append(known[node].fake_mode)
        elif node.op == "call_function":
            args, kwargs = (
                torch.fx.node.map_arg(part, lambda n: known[n]) for part in (node.args, node.kwargs)
            )
            with modes[0] if modes else contextlib.nullcontext(), contextlib.suppress(Exception):
                known[node] = node.target(*args, **kwargs)  # else as the file has it
            for value in tree_leaves(known[node]):
                if isinstance(value, torch.Tensor) and _elements(value) > most:
                    return f"{node.name}: {tuple(value.shape)}"
    return ""


def _elements(tensor: Any) -> int:
    """Elements of one sample: open sizes count once."""
    return prod(n for n in tensor.shape if isinstance(n, int))


def _members(path: Path) -> Members:
    """The members of a whole archive, without the folder that holds them all; ImportModelError ND106, ND113."""
    try:
        size = path.stat().st_size
        if not size:
            raise _unreadable(path, "the model file is empty", "0 bytes", "an archive", _FIX)
        with archives.opened(path) as archive:
            names = archive.namelist()
            found = {_FOLDERS.sub("", name): archive.read(name) for name in names}
    except PermissionError as error:
        raise _unreadable(path, "the model file cannot be read", str(error)) from error
    except archives.ERRORS as error:
        cause = "the model file is truncated or no .pt2 archive"
        raise _unreadable(path, cause, f"{size} bytes: {first_line(error)}", "an archive", _FIX) from error
    if not any(name == _FORMER[0] or name.startswith("models/") for name in found):
        raise _unreadable(path, "the archive is no whole .pt2 file", "no graph in the archive", "", _FIX)
    code = [_code(path, f"an opaque object ({name[:80]})") for name in names if _OPAQUE.search(name)]
    try:
        tensors.refuse_code(names)
    except tensors.Refused as error:
        code.append(_code(path, str(error)))
    if code:
        raise ImportModelError(code)
    return found


def _unreadable(path: Path, cause: str, found: str, limit: str = "", *fixes: str) -> ImportModelError:
    return ImportModelError(Problem("ND106", cause, str(path), found, limit, fixes))


def _code(path: Path, what: str) -> Problem:
    cause, limit = "the model file could execute code", "tensors and torch operators"
    return Problem("ND113", cause, str(path), what, limit, (_FIX,))


# --- what torch is given -----------------------------------------------------------------------------------------


def _rewritten(path: Path, members: Members) -> bytes:
    """An archive of the tensors and the graph of another, every problem of which is raised at once."""
    problems: list[Problem] = []
    kept: dict[str, bytes] = {}
    for name, content in members.items():
        make = next((make for pattern, make in _KEPT.items() if re.fullmatch(pattern, name)), None)
        if make is None:
            continue
        try:
            kept[name] = make(content, members)
        except tensors.Refused as error:
            problems.append(_code(path, f"{name}: {error}"[:200]))
        except (*archives.ERRORS, TypeError, AttributeError, RecursionError) as error:
            cause = "a part of the .pt2 file is damaged"
            problems.append(Problem("ND106", cause, f"{path}: {name[:80]}", first_line(error), "", (_FIX,)))
    if problems:
        raise ImportModelError(problems)
    return _packed(kept)


def _packed(members: Members) -> bytes:
    """An archive of these members, in the layout that their names belong to."""
    import torch

    buffer = io.BytesIO()
    if _FORMER[0] in members:
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    else:
        writer = torch._C.PyTorchFileWriter(buffer)
        for name, content in members.items():
            writer.write_record(name, content, len(content))
        writer.write_end_of_file()
    return buffer.getvalue()


def _nothing(content: bytes, members: Members) -> bytes:
    """In place of example inputs, which are not used: they are read, so that code among them is refused."""
    if content:
        tensors.read(content)
    return b""


def _same(content: bytes, members: Members) -> bytes:
    if len(content) > MOST_EXPRESSION or not _PLAIN.fullmatch(content.decode()):
        raise ValueError("a version that is none")
    return content


def _bytes(content: bytes, members: Members) -> bytes:
    return content


def _saved(content: bytes, members: Members) -> bytes:
    """A checkpoint, read without torch and written by it: a dictionary of tensors, or one tensor."""
    import torch

    if not content:
        return content
    found = tensors.read(content)
    table = found if isinstance(found, dict) else {"": found}
    odd = next((name for name, value in table.items() if not isinstance(value, torch.Tensor)), None)
    if odd is not None:
        raise tensors.Refused(f"{str(odd)[:80]} is no tensor")
    buffer = io.BytesIO()
    torch.save(found, buffer)
    return buffer.getvalue()


def _payloads(content: bytes, members: Members) -> bytes:
    """The table of the tensors that lie in members of their own: none is a pickle, none larger than its member."""
    tree = _checked(json.loads(content))
    for name, entry in tree["config"].items():
        meta = entry.get("tensor_meta")
        if entry.get("use_pickle") or not isinstance(meta, dict):
            raise tensors.Refused(f"{name[:80]} is stored as a pickle")
        files = [m for m in members if m.endswith(f"/{entry['path_name']}")]
        held = len(members[files[0]]) if len(files) == 1 else 0
        numbers = [n["as_int"] for n in (*meta["sizes"], *meta["strides"], meta["storage_offset"])]
        if not all(type(n) is int and 0 <= n < 1 << 48 for n in numbers):
            raise ValueError(f"tensor {name[:80]} of odd sizes")
        if (elements := prod(n["as_int"] for n in meta["sizes"])) > max(held, tensors.MOST_REPEATED):
            raise ValueError(f"tensor {name[:80]} of {elements} elements in {held} bytes")
    return json.dumps(tree).encode()


def _graph(content: bytes, members: Members) -> bytes:
    return json.dumps(_checked(json.loads(content))).encode()


#: members of both layouts that are kept, and how each is made anew; all others are left out
_KEPT: Mapping[str, Callable[[bytes, Members], bytes]] = {
    r"serialized_exported_program\.json|models/\w+\.json": _graph,
    r"serialized_(state_dict|constants)\.(pt|json)|data/(weights|constants)/\w+\.pt": _saved,
    r"serialized_example_inputs\.pt|data/sample_inputs/\w+\.pt": _nothing,
    r"data/(weights|constants)/\w+_config\.json": _payloads,
    r"data/(weights|constants)/(weight|tensor)_\d+": _bytes,
    r"version|archive_format|archive_version|byteorder|\.data/version": _same,
}


# --- the graph ---------------------------------------------------------------------------------------------------


def _checked(tree: Any, key: str = "", named: bool = False) -> Any:
    """JSON of a graph without what is left out; :class:`.tensors.Refused` for a text of another form than its key's.

    Inside the tables of inputs and outputs (``named``) targets are names of tensors, not functions.
    """
    if key in _LEFT_OUT:
        return _LEFT_OUT[key]
    named = named or key in ("input_specs", "output_specs")
    if key == "metadata" and isinstance(tree, dict):
        return {name: str(tree[name]) for name in _ORIGIN if name in tree}
    if isinstance(tree, dict):
        for name in tree:
            _plain("name", name)
        return {name: _checked(part, name, named) for name, part in tree.items()}
    if isinstance(tree, list):
        return [_checked(part, key, named) for part in tree]
    if isinstance(tree, str):
        (_plain if named else _FORMS.get(key, _plain))(key, tree)
    return tree


def _plain(key: str, text: Any) -> None:
    if not isinstance(text, str) or not _PLAIN.fullmatch(text):
        raise tensors.Refused(f"the {key} {str(text)[:80]!r}")


def _operator(key: str, text: str) -> None:
    if not _TARGET.fullmatch(text):
        raise tensors.Refused(f"a call of {text[:80]!r}")


def _size(key: str, text: str) -> None:
    """A symbolic size: arithmetic on numbers and symbols that is computed at once."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval"))) if len(text) <= MOST_EXPRESSION else []
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        nodes = []
    powers = [power for node in nodes for power in _powers(node)]
    small = len(powers) <= MOST_POWERS and all(0 <= power <= MOST_EXPONENT for power in powers)
    if not nodes or not small or not all(map(_arithmetic, nodes)):
        raise tensors.Refused(f"the expression {text[:80]!r}")


def _arithmetic(node: ast.AST) -> bool:
    """Whether a part of an expression is a number, a symbol, or what joins them."""
    if isinstance(node, ast.Name):
        return node.id in _CONSTANTS or bool(_SYMBOL.fullmatch(node.id))
    if isinstance(node, ast.Constant):
        known = isinstance(node.value, str) and bool(_SYMBOL.fullmatch(node.value))
        return known or (isinstance(node.value, (int, float)) and abs(node.value) < 1 << 64)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
    return isinstance(node, _ARITHMETIC)


def _powers(node: ast.AST) -> Iterator[int]:
    """The exponents in a part of an expression; -1 for one that is not written as a number."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Pow, ast.LShift)):
        exponent: ast.AST | None = node.right
    elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Pow":
        exponent = node.args[1] if len(node.args) == 2 else None
    else:
        return
    if isinstance(exponent, ast.Call) and getattr(exponent.func, "id", "") == "Integer" and exponent.args:
        exponent = exponent.args[0]
    value = getattr(exponent, "value", None)
    yield value if isinstance(value, int) else -1


def _containers(key: str, text: str) -> None:
    """How arguments are packed, JSON inside JSON: containers of Python alone, their keys plain."""
    stack = [json.loads(text)]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack += item
        elif isinstance(item, dict):
            if item.get("type") not in _CONTAINERS:
                raise tensors.Refused(f"a container of type {str(item.get('type'))[:80]!r}")
            context = json.loads(item.get("context") or "null")
            for name in context or ():
                _plain("key", name)
            stack += item["children_spec"]


def _text(key: str, text: str) -> None:
    """A text that an operator takes: torch passes it on as it is."""


_FORMS: Mapping[str, Callable[[str, str], None]] = {
    "target": _operator, "expr_str": _size, "in_spec": _containers, "out_spec": _containers, "as_string": _text,
}  # fmt: skip


@contextlib.contextmanager
def _tensors_only() -> Iterator[None]:
    """torch's own switch that makes every torch.load refuse pickles that do more than rebuild tensors."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before
