"""Every operator of ONNX that is read, beside onnxruntime on the same file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.frontends.onnx import read
from neurodeploy.frontends.onnx.ops._base import ONNX
from tests import onnx_files
from tests.later import Later, torch

ort, network = Later("onnxruntime"), Later("neurodeploy.frontends.onnx.network")
pytestmark = pytest.mark.needs("torch", "onnx", "onnxruntime")

F, I = np.float32, np.int64


def draw(*sizes: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    return np.random.default_rng(sum(sizes)).uniform(low, high, sizes).astype(F)


X, IMAGE, SIGNAL = draw(2, 3, 4), draw(2, 4, 6, 6), draw(2, 4, 9)
POSITIVE, UNIT = draw(2, 3, 4, low=0.1), draw(2, 3, 4, low=-0.9, high=0.9)
TRUE = X > 0
ONES = np.ones(4, F)
GRID = np.stack(np.meshgrid([0, 1], [3, 1], indexing="ij"), -1)


@dataclass(frozen=True)
class Case:
    """Data, constants by the order of operands (None: left out), attributes, opset."""

    op: str
    data: Any = field(default_factory=lambda: (X,))
    constants: Any = ()
    attributes: Any = field(default_factory=dict)
    opset: int = 18
    outputs: int = 1


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, I)


def each(names: str, *data: np.ndarray, **attributes: Any) -> list[Case]:
    return [Case(name, data or (X,), (), attributes) for name in names.split()]


CASES = [
    *each(
        "Abs Neg Exp Erf Tanh Sigmoid Relu Sin Cos Floor Ceil Round Sign Softplus Softsign HardSwish Identity"
    ),
    *each("Mish Atan Sinh Cosh Asinh IsNaN LeakyRelu Elu Selu Celu ThresholdedRelu HardSigmoid Dropout"),
    *each("Log Sqrt Reciprocal", POSITIVE),
    *each("Tan Asin Acos Atanh", UNIT),
    *each("Acosh", POSITIVE + 1),
    *each("Not", TRUE),
    *each("And Or Xor", TRUE, ~TRUE[:1]),
    *each("Add Sub Mul Div Max Min Sum Mean", X, X[:1] + 3),
    *each("Max Min Sum Mean", X, X + 1, X[:1]),
    *each("Equal Less LessOrEqual Greater GreaterOrEqual", np.round(X), np.round(X[:1])),
    Case("Pow", (POSITIVE,), (F(3),)),
    Case("Pow", (POSITIVE, X)),
    Case("Sub", (X,), (np.array([2.5], F),)),
    Case("Div", (np.arange(-6, 6),), (np.array(4, I),)),
    Case("Div", (X,), (POSITIVE,)),
    Case("Mod", (np.arange(-6, 6),), (np.array(4, I),)),
    Case("Mod", (X,), (F(1.5),), {"fmod": 1}),
    Case("LeakyRelu", attributes={"alpha": 0.3}),
    Case("HardSigmoid", attributes={"alpha": 1 / 6, "beta": 0.5}),
    Case("Selu", attributes={"alpha": 1.5, "gamma": 1.2}),
    Case("Celu", attributes={"alpha": 0.7}),
    Case("PRelu", (IMAGE,), (draw(4, 1, 1),)),
    Case("PRelu", (X,), (F([0.2]),)),
    Case("PRelu", (X,), (draw(3, 4),)),
    Case("Gelu", opset=20),
    Case("Gelu", attributes={"approximate": "tanh"}, opset=20),
    Case("Clip", (X,), (F(-1), F(0.5))),
    Case("Clip", (X,), (None, F(0.5))),
    Case("Clip", (X,), (F(0),)),
    Case("Where", (TRUE, X, X + 1)),
    Case("Where", (X > 1,), (F(0), F(-1))),
    Case("Cast", attributes={"to": 7}),
    Case("Cast", (np.arange(4),), (), {"to": 1}),
    Case("CastLike", (X, np.arange(2))),
    Case("CumSum", (X,), (np.array(1, I),)),
    Case("EyeLike", (X[0],)),
    Case("Constant", (), (), {"value_floats": [1.0, 2.0]}),
    Case("Constant", (), (), {"value_int": 3}),
    Case("Shape"),
    Case("Shape", attributes={"start": 1, "end": -1}),
    Case("Size"),
    Case("ConstantOfShape", (), (ints(2, 3),)),
    Case("Range", (), (np.array(1, I), np.array(9, I), np.array(3, I))),
    Case("Reshape", (X,), (ints(0, -1),)),
    Case("Reshape", (X,), (ints(-1, 6),), {"allowzero": 1}),
    Case("Flatten"),
    Case("Flatten", attributes={"axis": -1}),
    Case("Flatten", attributes={"axis": 0}),
    Case("Squeeze", (X[:, :1],), (ints(1),)),
    Case("Squeeze", (X[:1, :1],)),
    Case("Squeeze", (X[:, :1],), (), {"axes": [1]}, 11),
    Case("Unsqueeze", (X,), (ints(0, -1),)),
    Case("Unsqueeze", (X,), (), {"axes": [1]}, 11),
    Case("Transpose"),
    Case("Transpose", attributes={"perm": [1, 0, 2]}),
    Case("Concat", (X, X + 1), (), {"axis": -1}),
    Case("Split", (IMAGE,), (ints(1, 3),), {"axis": 1}, outputs=2),
    Case("Split", (SIGNAL,), (), {"axis": 2, "num_outputs": 2}, outputs=2),
    Case("Split", (IMAGE,), (), {"axis": 1, "split": [1, 3]}, 11, 2),
    Case("Split", (IMAGE,), (), {"axis": 1}, 13, 2),
    Case("Slice", (SIGNAL,), (ints(1), ints(8), ints(2), ints(3))),
    Case("Slice", (X,), (ints(-3, 0), ints(2**62, 2), ints(2, 1))),
    Case("Slice", (X,), (ints(-1), ints(-(2**62)), ints(2), ints(-1))),
    Case("Slice", (X,), (ints(1), ints(2))),
    Case("Gather", (X,), (np.array(-1, I),), {"axis": 1}),
    Case("Gather", (X,), (ints(0, 2, -1),), {"axis": 2}),
    Case("Gather", (X,), (np.array([[0, 1], [1, 2]], I),), {"axis": 1}),
    Case("Gather", (X,), (ints(1, 2),), {"axis": 1}),
    Case("GatherElements", (X, np.array([[[0, -1, 1, 2]]], I)), (), {"axis": 1}),
    Case("GatherND", (X,), (np.array([[0, 1], [1, 2]], I),)),
    Case("ScatterND", (X,), (np.array([[-1], [0]], I), draw(2, 3, 4))),
    Case("ScatterND", (IMAGE[:, :, 0],), (GRID, draw(2, 2, 6))),
    Case("Expand", (X[:, :1],), (ints(3, 1),)),
    Case("Tile", (X,), (ints(1, 2, 3),)),
    Case("Pad", (IMAGE,), (ints(0, 0, 1, 2, 0, 0, 0, 1), F(0.5))),
    Case("Pad", (IMAGE,), (ints(0, 0, 1, 2, 0, 0, 0, 1),), {"mode": "reflect"}),
    Case("Pad", (IMAGE,), (ints(0, 0, 1, 2, 0, 0, 0, 1),), {"mode": "edge"}),
    Case(
        "Pad",
        (X,),
        (ints(1, -1), F(1), ints(2)),
    ),
    Case("DepthToSpace", (IMAGE,), (), {"blocksize": 2}),
    Case("DepthToSpace", (IMAGE,), (), {"blocksize": 2, "mode": "CRD"}),
    Case("SpaceToDepth", (IMAGE,), (), {"blocksize": 2}),
    Case("Trilu", (X,), (np.array(1, I),)),
    Case("Trilu", (X,), (), {"upper": 0}),
    Case("Resize", (IMAGE,), (None, None, ints(2, 4, 12, 9)), {"mode": "linear"}),
    Case(
        "Resize",
        (IMAGE,),
        (None, F([1, 1, 2, 2])),
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    ),
    Case(
        "Resize",
        (IMAGE,),
        (None, F([1, 1, 2, 2])),
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    ),
    Case("Resize", (IMAGE,), (None, F([1, 1, 2, 2])), {"mode": "cubic", "cubic_coeff_a": -0.75}),
    Case("MatMul", (X, draw(4, 5))),
    Case("MatMul", (IMAGE, IMAGE + 1)),
    Case("Einsum", (X, X), (), {"equation": "bij, bkj -> bik"}),
    Case("Gemm", (X[0], draw(4, 5))),
    Case("Gemm", (X[0], draw(5, 4), draw(5)), (), {"transB": 1}),
    Case("Gemm", (X[0], draw(3, 5), draw(4, 1)), (), {"transA": 1, "alpha": 0.5, "beta": 2.0}),
    Case("Conv", (SIGNAL, draw(6, 4, 3)), (), {"pads": [1, 1], "strides": [2]}),
    Case("Conv", (IMAGE, draw(4, 2, 3, 3), draw(4)), (), {"group": 2, "dilations": [2, 1]}),
    Case("Conv", (IMAGE, draw(6, 4, 3, 3)), (), {"pads": [0, 1, 1, 0]}),
    Case("Conv", (IMAGE, draw(6, 4, 2, 4)), (), {"auto_pad": "SAME_UPPER", "strides": [2, 1]}),
    Case("Conv", (IMAGE, draw(6, 4, 2, 4)), (), {"auto_pad": "SAME_LOWER"}),
    Case("Conv", (IMAGE, draw(6, 4, 2, 2)), (), {"auto_pad": "VALID"}),
    Case(
        "ConvTranspose",
        (IMAGE, draw(4, 3, 3, 3)),
        (),
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
    ),
    *[
        Case(f"Reduce{name}", (X,), (ints(1),))
        for name in ("Mean", "Max", "Min", "L1", "L2", "SumSquare", "LogSumExp", "Prod")
    ],
    *[
        Case(f"Reduce{name}", (X,), (), {"axes": [-1], "keepdims": 0}, 11)
        for name in ("Mean", "Max", "Min", "L2", "Sum", "Prod")
    ],
    Case("ReduceSum", (X,), (ints(0, 2),), {"keepdims": 0}),
    Case("ReduceSum"),
    Case("ReduceSum", (X,), (ints(),), {"noop_with_empty_axes": 1}),
    Case("ArgMax", attributes={"axis": 1}),
    Case("ArgMin", attributes={"axis": -1, "keepdims": 0}),
    *each("GlobalAveragePool GlobalMaxPool", IMAGE),
    Case("MaxPool", (IMAGE,), (), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Case("MaxPool", (SIGNAL,), (), {"kernel_shape": [2], "strides": [2], "ceil_mode": 1}),
    Case("MaxPool", (IMAGE - 3,), (), {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"}),
    Case("AveragePool", (IMAGE,), (), {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 0]}),
    Case("AveragePool", (IMAGE,), (), {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1], "count_include_pad": 1}),
    Case("BatchNormalization", (IMAGE,), (draw(4), ONES, draw(4), ONES * 2)),
    Case("InstanceNormalization", (IMAGE,), (draw(4), ONES)),
    Case("GroupNormalization", (IMAGE,), (draw(2), ONES[:2]), {"num_groups": 2}),
    Case("GroupNormalization", (IMAGE,), (draw(4), ONES), {"num_groups": 2}, 21),
    Case("LayerNormalization", (X,), (draw(4), ONES)),
    Case("LayerNormalization", (X,), (draw(3, 4),), {"axis": 1, "epsilon": 0.01}),
    Case("RMSNormalization", (X,), (draw(4),), opset=23),
    Case("LpNormalization"),
    Case("LpNormalization", attributes={"p": 1, "axis": 1}),
    *each("Softmax LogSoftmax"),
    Case("Softmax", attributes={"axis": 1}),
    Case("Softmax", attributes={"axis": 1}, opset=11),
    Case("Softmax", attributes={"axis": 2}, opset=11),
    Case("QuantizeLinear", (X,), (F(0.02), np.uint8(100))),
    Case(
        "DequantizeLinear",
        (),
        (np.arange(6, dtype=np.int8).reshape(2, 3), F([0.5, 0.25]), np.array([1, 0], np.int8)),
        {"axis": 0},
    ),
]


def test_every_operator_has_a_case() -> None:
    assert {case.op for case in CASES} == set(ONNX)
    assert not ONNX.problems


@pytest.mark.parametrize("opset", sorted({case.opset for case in CASES}))
def test_operators_are_what_onnxruntime_computes(opset: int, tmp_path: Path) -> None:
    """All cases of a version in one file, side by side."""
    nodes: list[onnx_files.Written] = []
    data: dict[str, np.ndarray] = {}
    constants: dict[str, np.ndarray] = {}
    outputs: dict[str, str] = {}
    for k, case in enumerate(CASES):
        if case.opset != opset:
            continue
        given = {f"{k}.d{n}": np.asarray(value) for n, value in enumerate(case.data)}
        held = {f"{k}.c{n}": np.asarray(v) for n, v in enumerate(case.constants) if v is not None}
        names = [*given, *(n if (n := f"{k}.c{i}") in held else "" for i in range(len(case.constants)))]
        made = [f"{k}.y{n}" for n in range(case.outputs)]
        nodes.append((case.op, names, made, case.attributes))
        if case.op == "QuantizeLinear":  # in real units as long as it is one
            nodes.append(("DequantizeLinear", [made[0], *names[1:]], [made[0] + "z"], {}))
            made = [made[0] + "z"]
        data |= given
        constants |= held
        outputs |= dict.fromkeys(made, f"{k}-{case.op}")
    inputs = {name: (value.dtype, value.shape) for name, value in data.items()}
    file = onnx_files.save(tmp_path / "n.onnx", nodes, inputs, list(outputs), constants, opset)
    wanted = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, data)
    parsed = read.load(file)
    found = network._Folding(parsed, parsed.inputs, "n.onnx").network()(*map(torch.from_numpy, data.values()))
    wrong = [
        name
        for name, mine, theirs in zip(outputs.values(), found, wanted, strict=True)
        if mine.numpy().dtype != theirs.dtype or mine.shape != theirs.shape
        or not np.allclose(mine.numpy(), theirs, rtol=2e-5, atol=2e-6, equal_nan=True)
    ]  # fmt: skip
    assert not wrong and len(found) == len(outputs)
