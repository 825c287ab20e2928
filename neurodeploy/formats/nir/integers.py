"""The integer network inside a NIR file that this program wrote: metadata of the root, checked as any other part.

``/node/metadata/neurodeploy`` holds ``schema``, the graph as JSON text (``graph``, bytes) with its ``arrays``, and
``floats``, a digest of the float network beside it. Where that was changed, the integers are no longer its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ...array import Array, wide
from ...errors import NeurodeployError, Problem
from ...ir import codec, codes, interp, intervals, levels, shapes
from ...ir.graph import Graph, Header
from ...ir.neuron_model import NEURONS
from ...ir.nodes import Delay, Input, Micro, Neuron, Output, Reduce, Sum, Synapse, View
from ...ir.types import Activity, Code, Fixed, Interval, Origin, Shape, Value
from ...limits import MOST_TICKS
from .._hdf5.tree import Tree

KEY = "neurodeploy"
PLACE = f"node/metadata/{KEY}"
SCHEMA = 1
MAX_TEXT = 1 << 26  # bytes of JSON
WEIGHT_MAX = 256
MAX_ELEMENTS = 1 << 26  # of all values together

KINDS = (Input, Output, Synapse, Neuron, Sum, Reduce, Micro, View, Delay)
CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (*KINDS, Graph, Header, Value, Shape, Code, Fixed, Interval, Activity, Origin)
}


def pack(graph: Graph, floats: str) -> dict[str, Any]:
    """Metadata that hold an integer graph; ``floats`` is the :func:`digest` of the network it stands beside."""
    text, arrays = codec.encode(graph)
    content = json.dumps(text, separators=(",", ":")).encode()
    return {
        "schema": SCHEMA,
        "graph": np.frombuffer(content, dtype=np.uint8),
        "arrays": {key: np.atleast_1d(array) for key, array in arrays.items()},
        "floats": floats,
    }


def digest(entries: Iterable[tuple[str, Any]]) -> str:
    """SHA-256 over (path, number, array, text or pairs of texts), in order of their paths."""
    found = hashlib.sha256()
    for path, item in sorted(entries, key=lambda entry: entry[0]):
        array = np.asarray(item, dtype=object if isinstance(item, list) else None)
        found.update(f"<{path} {array.shape}>".encode())
        if array.dtype.kind in "OSU":
            found.update("\0".join(str(part) for part in array.ravel().tolist()).encode())
        else:
            found.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return found.hexdigest()


def entries_of(nested: Mapping[str, Any], prefix: str = "node") -> Iterator[tuple[str, Any]]:
    """Everything that :func:`nir.write` makes of a graph's dictionary, but for its metadata."""
    for key, item in nested.items():
        if isinstance(item, Mapping) and key != "metadata":
            yield from entries_of(item, f"{prefix}/{key}")
        elif key != "metadata":
            yield f"{prefix}/{key}", [list(pair) for pair in item] if key == "edges" else item


def _entries(tree: Tree) -> Iterator[tuple[str, Any]]:
    parts: dict[str, Any] = {**tree.arrays, **tree.texts, **{k: v.tolist() for k, v in tree.lists.items()}}
    yield from ((k, v) for k, v in parts.items() if k.startswith("node/") and "/metadata/" not in k)


def read(tree: Tree, timesteps: int | None) -> Graph | None:
    """The integer graph of the file, legal at its level; None, and problems in the tree, where it is not.

    ``timesteps`` other than those of the file change only how long it runs.
    """
    before = len(tree.problems)
    graph = _decoded(tree)
    if graph is not None:
        _check(tree, graph)
    if graph is None or len(tree.problems) > before:
        return None
    same = timesteps in (None, graph.header.timesteps)
    return graph if same else intervals.propagate(graph.with_header(timesteps=timesteps))


def _decoded(tree: Tree) -> Graph | None:
    """What the metadata say, whatever it is, once they are whole and belong to the floats beside them."""
    text = _text(tree)
    if text is None:
        return None

    def array(key: str) -> Array:
        found = tree.arrays.get(f"{PLACE}/arrays/{key}")
        if found is None:
            raise codec.CodecError(key, "missing", "a dataset")
        return found

    try:
        graph = codec.decode(json.loads(text.tobytes().decode("utf-8")), array, CLASSES)
    except codec.CodecError as error:
        tree.problem("ND124", "the integer network holds something unexpected", PLACE, error, error.limit)
    except (NeurodeployError, ValueError, RecursionError) as error:
        tree.problem("ND126", "the integer network is not whole", PLACE, str(error)[:200])
    else:
        if isinstance(graph, Graph):
            return graph
        tree.problem("ND124", "the integer network is no graph", PLACE, type(graph).__name__)
    return None


def _text(tree: Tree) -> Array | None:
    """The bytes of the JSON text."""
    schema, text = tree.arrays.get(f"{PLACE}/schema"), tree.arrays.get(f"{PLACE}/graph")
    floats = tree.texts.get(f"{PLACE}/floats")
    for name, part in (("schema", schema), ("graph", text), ("floats", floats)):
        if part is None and f"{PLACE}/{name}" not in tree.refused:
            tree.problem("ND122", "a part of the integer network is missing", f"{PLACE}/{name}")
    if schema is None or text is None or tree.problems:
        return None
    never = "--set reader.integers=never reads the float network"
    if schema.size != 1 or schema.flat[0] != SCHEMA:
        cause, place = "integers of another version", f"{PLACE}/schema"
        tree.problem("ND121", cause, place, schema.flat[:1], SCHEMA, never)
        return None
    if digest(_entries(tree)) != floats:
        cause = "the float network was changed after its integers were written"
        tree.problem("ND126", cause, PLACE, "", "", f"{never} and quantises it anew")
        return None
    if text.dtype != np.uint8 or text.size > MAX_TEXT:
        cause = "the text of the integer network is no bytes, or too long"
        tree.problem("ND124", cause, f"{PLACE}/graph", text.size)
        return None
    return text


def _check(tree: Tree, graph: Graph) -> None:
    """Note whatever keeps an integer graph from running: the file may say anything."""
    kinds, header = [node.kind for node in graph], graph.header
    if kinds.count("input") != 1 or kinds.count("output") != 1 or header.level != "integer":
        tree.problem("ND126", "not one input, one output and integers", PLACE, header.level)
        return
    if not 1 <= header.timesteps <= MOST_TICKS:
        limit = f"1 .. {MOST_TICKS}"
        tree.problem("ND124", "an impossible number of ticks", PLACE, header.timesteps, limit)
        return
    for node in graph:
        for what, found in _odd(node):
            tree.problem("ND124", what, f"{PLACE}: {node.name}", found)
    total = sum(value.shape.size for value in graph.values.values())
    if total > MAX_ELEMENTS:
        tree.problem("ND123", "more elements than any network has", PLACE, total, MAX_ELEMENTS)
    if not tree.problems:
        _check_run(tree, graph)


def _check_run(tree: Tree, graph: Graph) -> None:
    """Note what rules of the integer level are broken, and, since those do not say all, what a run meets."""
    wrong = shapes.problems(graph)
    try:
        wrong = wrong or levels.verify(graph, "integer") or _narrow(graph)
        if not wrong:
            ticks = min(2, graph.header.timesteps)
            interp.run(graph, np.zeros((1, *interp.input_shape(graph, ticks)), np.int64), timesteps=ticks)
    except Exception as error:  # anything at all: the file chooses what the steps meet
        tree.problem("ND126", "the integer network does not run", PLACE, f"{type(error).__name__}: {error}")
    for problem in wrong[:20]:
        tree.problem("ND126", problem.cause, f"{PLACE}: {problem.where}", problem.found, problem.limit)


def _odd(node: Any) -> Iterator[tuple[str, Any]]:
    """Parameters that no exporter of ours writes."""
    if isinstance(node, Synapse) and node.weight.size and np.abs(wide(node.weight)).max() > WEIGHT_MAX:
        yield f"a weight beyond {WEIGHT_MAX}", int(np.abs(wide(node.weight)).max())
    if isinstance(node, Micro) and node.op != "rescale":
        yield "an operator that is not exported", node.op
    if isinstance(node, Neuron):
        model = NEURONS.get(node.model)
        missing = ["unknown"] if model is None else [n for n in model.int_params if n not in node.params]
        if missing:
            yield "a neuron without its model or a parameter", f"{node.model}: {', '.join(missing)}"


def _narrow(graph: Graph) -> list[Problem]:
    """Values whose stated interval is narrower than what can occur."""
    found = intervals.propagate(codes.infer(graph)).values
    pairs = {name: (value.interval, found[name].interval) for name, value in graph.values.items()}
    return [
        Problem("ND126", "an interval narrower than what can occur", name, str(stated), str(proven))
        for name, (stated, proven) in pairs.items()
        if stated is None or proven is None or not stated.lo <= proven.lo <= proven.hi <= stated.hi
    ]
