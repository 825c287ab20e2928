"""Small ``.onnx`` files, written by the library onnx node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.later import Later

onnx = Later("onnx")

#: (operator, names of operands, names of results, attributes)
Written = tuple[str, Sequence[str], Sequence[str], Mapping[str, Any]]


def model(
    nodes: Sequence[Written],
    inputs: Mapping[str, tuple[Any, Sequence[Any]]],
    outputs: Sequence[str] = ("y",),
    constants: Mapping[str, np.ndarray] | None = None,
    opset: int = 17,
    domain: str = "",
) -> Any:
    """A model of these nodes; ``inputs`` are names with numpy type and sizes."""
    helper, types = onnx.helper, onnx.helper.np_dtype_to_tensor_dtype
    graph = helper.make_graph(
        [
            helper.make_node(op, list(given), list(made), name=f"/net/{op}_{k}", domain=domain, **more)
            for k, (op, given, made, more) in enumerate(nodes)
        ],
        "graph",
        [helper.make_tensor_value_info(n, types(np.dtype(d)), list(s)) for n, (d, s) in inputs.items()],
        [helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(v), name) for name, v in (constants or {}).items()],
    )
    for value in graph.output:
        value.ClearField("type")
    versions = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=versions, ir_version=8)


def save(path: Path, *arguments: Any, **more: Any) -> Path:
    """The file of a model, see :func:`model`."""
    path.write_bytes(model(*arguments, **more).SerializeToString())
    return path


def perceptron(path: Path, batch: Any = "batch", seed: int = 0) -> Path:
    """Linear, ReLU, linear: 8 pixels to 3 classes."""
    rng = np.random.default_rng(seed)
    shapes = {"a": (6, 8), "b": (6,), "c": (3, 6), "d": (3,)}
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    nodes = [
        ("Gemm", ("x", "a", "b"), ("h",), {"transB": 1}),
        ("Relu", ("h",), ("r",), {}),
        ("Gemm", ("r", "c", "d"), ("y",), {"transB": 1}),
    ]
    return save(path, nodes, {"x": (np.float32, (batch, 8))}, constants=weights)
