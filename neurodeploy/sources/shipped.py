"""Source graphs of the zoo as they ship, for where torch is not installed: what torch made of each trained model.

``models/graphs/NAME.npz`` holds the graph before any pass: its text, and the arrays that are none of the tensors in the
file of weights. ``index.json`` beside it says for each the hash of the file, that of what it was made from, and what
was compared with the module when it was made. ``python models/ship.py`` makes them all.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import archives, artifact
from ..array import Array
from ..errors import ImportModelError, Problem
from ..files import write_bytes, write_text
from ..frontends.proof.types import ImportCheck
from ..ir import codec
from ..ir.graph import Graph
from ..registry import version
from . import zoo

INDEX = "index.json"
TEXT = "graph"  # the name of the text among the arrays
ROUNDING = 1e-14  # of sums in other orders; one last bit was seen
_AGAIN = "install neurodeploy again, or in a checkout run: python models/ship.py"


def folder() -> Path:
    """Where the files lie."""
    return zoo.models_folder() / "graphs"


def described(entry: zoo.ZooEntry) -> str:
    """The hash of what decides a graph besides the code of its module: description and weights."""
    parts = entry.model_dump(include={"kind", "timesteps", "readout", "model", "input"})
    return hashlib.sha256(json.dumps([parts, entry.weights.sha256], sort_keys=True).encode()).hexdigest()


def index() -> dict[str, dict[str, Any]]:
    """By name ``sha256``, ``described``, ``torch``, ``check`` of what ships; ImportModelError ND191 without a list."""
    file = folder() / INDEX
    try:
        found: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _refuse("ND191", file, "the list of shipped graphs cannot be read", str(error)) from error
    return found


def load(entry: zoo.ZooEntry) -> tuple[Graph, ImportCheck | None] | None:
    """The graph of a model before any pass, with what was compared; None where none ships for its description.

    ImportModelError: ND191 for a graph or weights that are missing, ND192 for others than the list and the entry name.
    """
    told = index().get(entry.name)
    if told is None or told["described"] != described(entry):
        return None
    file = folder() / f"{entry.name}.npz"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _refuse("ND191", file, "a shipped graph cannot be read", str(error)) from error
    if (found := hashlib.sha256(content).hexdigest()) != told["sha256"]:
        raise _refuse(
            "ND192", file, "a shipped graph is not the one that was made", found, str(told["sha256"])
        )
    return unpacked(content, entry), ImportCheck.parse(told["check"])


def unpacked(content: bytes, entry: zoo.ZooEntry) -> Graph:
    """The graph that :func:`packed` wrote, its tensors from the file of weights."""
    with archives.opened(content) as archive:
        held = {name: np.load(io.BytesIO(archive.read(name))) for name in archive.namelist()}
    arrays = tensors(entry) | {name.removesuffix(".npy"): array for name, array in held.items()}
    text = json.loads(arrays.pop(TEXT).tobytes())
    graph: Graph = codec.decode(text, arrays.__getitem__, artifact.CLASSES)
    return graph


def packed(graph: Graph, entry: zoo.ZooEntry) -> bytes:
    """A graph as a deflated archive of arrays, without those that are tensors of its weights."""
    text, arrays = codec.encode(graph)
    weights = tensors(entry)
    kept = {name: array for name, array in sorted(arrays.items()) if name not in weights}
    said = json.dumps(text, separators=(",", ":")).encode()
    return archives.packed({TEXT: np.frombuffer(said, np.uint8), **kept})


def tensors(entry: zoo.ZooEntry) -> dict[str, Array]:
    """The trained tensors, and each as a matrix, by the address that :mod:`neurodeploy.ir.codec` gives them."""
    from safetensors.numpy import load as parse

    found = zoo.weights_read(entry.weights_path, entry.weights.sha256, parse)
    arrays = [np.ascontiguousarray(array) for array in found.values()]
    matrices = [
        array.reshape(len(array), -1) for array in arrays if array.ndim > 2
    ]  # a convolution of one position
    return {codec.address(array): array for array in (*arrays, *matrices)}


def write(name: str, graph: Graph, check: ImportCheck) -> bool:
    """Put a graph among those that ship; returns False, and leaves it, where that very graph ships already."""
    entry, known = zoo.entry(name), index() if (folder() / INDEX).exists() else {}
    if name in known and _same(entry, graph):
        return False
    content = packed(graph, entry)
    folder().mkdir(exist_ok=True)
    write_bytes(folder() / f"{name}.npz", content)
    digest = hashlib.sha256(content).hexdigest()
    made = {"sha256": digest, "described": described(entry), "torch": version("torch")}
    known[name] = {**made, "check": check.as_dict()}
    write_text(folder() / INDEX, json.dumps(dict(sorted(known.items())), indent=1) + "\n")
    return True


def _same(entry: zoo.ZooEntry, graph: Graph) -> bool:
    """Whether this graph ships already; its bytes depend on the library that deflates."""
    try:
        found = load(entry)
    except ImportModelError:
        return False
    return found is not None and alike(found[0], graph)


def alike(one: Graph, other: Graph) -> bool:
    """Whether two graphs are the same but for what rounding leaves, :data:`ROUNDING` of an array's largest number.

    Releases of torch call the same operator differently, and processors add in different orders.
    """
    (text, arrays), (other_text, others) = (codec.encode(_unnamed(graph)) for graph in (one, other))

    def same(a: Any, b: Any) -> bool:
        if isinstance(a, dict) and isinstance(b, dict):
            return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
        if isinstance(a, list) and isinstance(b, list):
            return len(a) == len(b) and all(map(same, a, b))
        if isinstance(a, str) and a in arrays and b in others:
            return _near(arrays[a], others[b])
        return _near(np.asarray(a), np.asarray(b)) if isinstance(a, float) else bool(a == b)

    return same(json.loads(json.dumps(text)), json.loads(json.dumps(other_text)))


def _near(one: Array, other: Array) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.kind != "f":
        return np.array_equal(one, other)
    largest = np.abs(other[np.isfinite(other)]).max(initial=0.0)
    return np.allclose(one, other, rtol=0.0, atol=ROUNDING * largest)


def _unnamed(graph: Graph) -> Graph:
    """The graph without torch's names of operators."""
    nodes = {
        name: replace(node, origin=tuple(replace(origin, op="") for origin in node.origin))
        for name, node in graph.nodes.items()
    }
    return replace(graph, nodes=nodes)


def _refuse(code: str, where: Path, cause: str, found: str, limit: str = "") -> ImportModelError:
    return ImportModelError(Problem(code, cause, str(where), found, limit, (_AGAIN,)))
