"""Compiled loops: generated texts, integer steps of neuron models for scalars, and the rescale of running products.

A text lies in the user's cache folder under a name that contains a hash of it and of all that it uses, so numba can
keep the machine code between runs; where no folder can be written, it is compiled anew in each process.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, cast

import numpy as np

from .. import files
from ..array import Array
from ..ir.graph import Graph
from ..ir.neuron_model import NEURONS
from ..jit import kept, njit
from ..registry import version

Kernel = Callable[..., int]


def step_of(name: str, form: str = "int_step") -> FunctionType:
    """The text of a model's integer step, or of a form of it that :meth:`NeuronModel.form` names."""
    return cast(FunctionType, getattr(NEURONS[name], form))


def scalar_step(name: str, form: str = "int_step") -> Any:
    """The model's step, compiled for scalars together with every function it calls."""
    return _compiled(step_of(name, form), {})


def _compiled(function: FunctionType, done: dict[FunctionType, Any]) -> Any:
    if function not in done:
        names = dict(function.__globals__)
        names |= {name: _compiled(callee, done) for name, callee in _callees(function).items()}
        own = function.__name__, function.__defaults__, function.__closure__
        done[function] = njit(FunctionType(function.__code__, names, *own), error_model="numpy")
    return done[function]


def _callees(function: FunctionType) -> dict[str, FunctionType]:
    """Python functions of its module that a function uses, by the name it knows them under."""
    known = {name: function.__globals__.get(name) for name in function.__code__.co_names}
    return {name: found for name, found in known.items() if isinstance(found, FunctionType)}


def _fingerprint(function: FunctionType) -> bytes:
    """Byte code, module, constants and numbers used by a function and all it calls."""
    code = function.__code__
    known = (function.__globals__.get(name) for name in code.co_names)
    numbers = [value for value in known if isinstance(value, (int, float))]
    constants = [c for c in code.co_consts if not isinstance(c, CodeType)]
    # the module too: numba looks it up by name when it loads the machine code
    text = "".join(map(repr, (function.__module__, code.co_names, numbers, constants))).encode()
    return b"".join([code.co_code, text, *(_fingerprint(callee) for callee in _callees(function).values())])


def constant_positions(name: str, form: str = "int_step") -> tuple[int, ...]:
    """Which of ``int_params`` shape the program rather than a threshold: those that the step annotates as int."""
    model, step = NEURONS[name], step_of(name, form)
    notes = list(inspect.signature(step).parameters.values())[model.inputs + len(model.state) :]
    return tuple(i for i, note in enumerate(notes) if note.annotation in (int, "int"))


def each(form: str, names: Iterable[str], between: str = "") -> str:
    """The text of every name."""
    return between.join(form.format(name) for name in names)


def compiled(name: str, text: Callable[[bool], str], uses: Iterable[FunctionType | str] = ()) -> Kernel:
    """``kernel`` of a generated module: ``text(cached)``, with what it ``uses``, functions or the text of modules.

    ``cached``: whether its machine code is kept.
    """
    try:
        return _from_file(name, text(True), uses)
    except (OSError, RuntimeError):  # no folder to write to, or numba cannot use it
        table: dict[str, Any] = {}
        exec(compile(text(False), f"<kernel {name}>", "exec"), table)
        return cast(Kernel, table["kernel"])


def is_kept(name: str, text: str) -> bool:
    """Whether an earlier run has kept this text, which uses nothing, and with it its machine code."""
    return _path(name, text, ()).is_file()


def network_kept(graph: Graph) -> bool:
    """Whether an earlier run has kept the machine code of a network; it is not looked into."""
    return _mark(graph).is_file()


def keep_network(graph: Graph) -> None:
    """Remember that the machine code of a network is there, where anything can be written."""
    with suppress(OSError):
        _write_whole(_mark(graph), "")


def _mark(graph: Graph) -> Path:
    versions = "-".join(map(version, ("neurodeploy", "numba")))
    return cache_folder() / f"network_{graph.content_hash()[:32]}_{versions}"


def _path(name: str, text: str, uses: Iterable[FunctionType | str]) -> Path:
    marks = b"".join(part.encode() if isinstance(part, str) else _fingerprint(part) for part in uses)
    digest = hashlib.sha256(text.encode() + marks).hexdigest()[:16]
    return cache_folder() / f"{name}_{digest}.py"


def _from_file(name: str, text: str, uses: Iterable[FunctionType | str]) -> Kernel:
    path = _path(name, text, uses)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        _write_whole(path, text)
    spec = importlib.util.spec_from_file_location(f"neurodeploy_kernel_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise OSError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # numba looks the module up by name
    spec.loader.exec_module(module)
    return cast(Kernel, module.kernel)


def _write_whole(path: Path, text: str) -> None:
    """Write under another name and rename: a second process never reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:  # an interruption as well
        Path(temporary).unlink(missing_ok=True)
        raise


def cache_folder() -> Path:
    """NUMBA_CACHE_DIR if set, else ``neurodeploy/kernels`` in the user's cache folder."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    return Path(chosen) / "neurodeploy" if chosen else files.cache_folder() / "kernels"


def plain(x: Array) -> Array:
    """Contiguous float32 or int64: the two types kernels are compiled for."""
    return np.ascontiguousarray(x, dtype=np.float32 if x.dtype == np.float32 else np.int64)


def inlined(function: Callable[..., Any]) -> Any:
    """:func:`kept`, for what is called on a few vectors at a time: constants of the caller reach its loops."""
    return kept(function, forceinline=True)
