"""Reads a ``.pt2`` file of torch.export without executing what its author put into it.

Such a file can run code in three ways, each closed here before or while torch reads it: tensors are pickles (torch is
told to rebuild tensors only), symbolic sizes are evaluated as Python text, and the graph names the functions to call
(both checked in the JSON text). The graph is only ever translated, never run, but for constants.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ImportModelError, Problem, first_line

_TARGET = re.compile(
    r"torch\.ops\.aten\.\w+(\.\w+)?|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pow"
    r"|eq|ne|le|ge|lt|gt)|torch\.sym_(int|float|max|min|not)|math\.(ceil|floor|trunc)"
)
_NAME = re.compile(r"[A-Za-z_]\w*")
_SYMBOL = re.compile(
    r"[a-z]{1,4}\d+|Max|Min|Mod|FloorDiv|floor|ceiling|Eq|Ne|True|False|oo|int_oo"
    r"|Symbol|Integer|Rational|Mul|Add|Pow|positive|nonnegative|integer"
)
_EXPRESSION = re.compile(r"[\w\s+\-*/%(),<>=&|~]*")
_QUOTED = re.compile(r"Symbol\('([a-z]{1,4}\d+)'")

_FIX = "write it again with torch.export.save from source that you trust"


def load(path: Path) -> Any:
    """The torch.export.ExportedProgram of a file.

    Raises ImportModelError: ND106 for a file that is empty, truncated, foreign or of another version, ND113 for one
    that could execute code.
    """
    content = _content(path)
    problems = list(_suspicious(path, content))
    if problems:
        raise ImportModelError(problems)
    import pickle

    import torch

    try:
        with _tensors_only():
            return torch.export.load(io.BytesIO(content))
    except pickle.UnpicklingError as error:
        raise ImportModelError(_code(path, "a pickle that does more than rebuild tensors")) from error
    except Exception as error:  # torch raises whatever its reader stumbles over
        fix = "export the model with this version of torch"
        cause = "the .pt2 file cannot be read by this version of torch"
        raise _unreadable(path, cause, first_line(error), torch.__version__, fix) from error


def _content(path: Path) -> bytes:
    """The bytes of a whole archive; ImportModelError ND106 for anything else."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, "the model file cannot be read", str(error)) from error
    if not content:
        raise _unreadable(path, "the model file is empty", "0 bytes", "an archive", _FIX)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            damaged = archive.testzip()
            graphs = [name for name in archive.namelist() if name.endswith(".json")]
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        cause, found = "the model file is truncated or no .pt2 archive", f"{len(content)} bytes: {error}"
        raise _unreadable(path, cause, found, "an archive", _FIX) from error
    if damaged or not graphs:
        found = f"{damaged} is damaged" if damaged else "no graph in the archive"
        raise _unreadable(path, "the archive is no whole .pt2 file", found, "", _FIX)
    return content


def _unreadable(path: Path, cause: str, found: str, limit: str = "", *fixes: str) -> ImportModelError:
    return ImportModelError(Problem("ND106", cause, str(path), found, limit, fixes))


def _suspicious(path: Path, content: bytes) -> Iterator[Problem]:
    """ND113 for every function or expression in the graph that is not torch arithmetic, and for opaque objects."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            if "custom_obj" in name:
                yield _code(path, f"an opaque object ({name})")
            if name.endswith(".json"):
                yield from _in_graph(path, archive.read(name))


def _in_graph(path: Path, text: bytes) -> Iterator[Problem]:
    try:
        tree = json.loads(text)
    except ValueError as error:
        yield Problem("ND106", "the graph in the archive is not JSON", str(path), str(error), "", (_FIX,))
        return
    for key, value in _strings(tree):
        if key == "target" and not _TARGET.fullmatch(value):
            yield _code(path, f"a call of {value!r}")
        if key == "expr_str" and not _arithmetic(value):
            yield _code(path, f"the expression {value!r}")


def _strings(tree: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """All strings with the key they stand under; targets of inputs and outputs are tensor names, not functions."""
    if isinstance(tree, dict):
        for name, part in tree.items():
            yield from () if name in ("input_specs", "output_specs") else _strings(part, name)
    elif isinstance(tree, list):
        for part in tree:
            yield from _strings(part, key)
    elif isinstance(tree, str):
        yield key, tree


def _arithmetic(text: str) -> bool:
    """Whether a symbolic size is arithmetic on numbers and size symbols."""
    text = _QUOTED.sub(r"Symbol(\1", text)
    names = _NAME.findall(text)
    return bool(_EXPRESSION.fullmatch(text)) and all(_SYMBOL.fullmatch(name) for name in names)


def _code(path: Path, what: str) -> Problem:
    cause, limit = "the model file could execute code", "tensors and torch operators"
    return Problem("ND113", cause, str(path), what, limit, (_FIX,))


@contextmanager
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
