"""What an imported file has to equal: the same file, run by onnxruntime in a guarded copy of the process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ... import extras, guarded
from ...array import Array
from .. import doors
from ..proof.compare import RUNTIME
from ..proof.reference import Reference, of_program
from .read import Given, beside

_RATE = 5_000_000  # bytes a second


class FileReference(Reference):
    """A file in onnxruntime, which computes in single precision."""

    @property
    def precision(self) -> str:
        """What onnxruntime computes in."""
        return RUNTIME

    @contextmanager
    def visiting(self, precise: bool = True) -> Iterator[None]:
        """In single precision, whatever is asked for: kernels for doubles are few."""
        with super().visiting(precise=False):
            yield


def reference(
    path: Path, inputs: Sequence[Given], program: Any, spec: Any, door: doors.Door, batch: int | None
) -> FileReference:
    """What onnxruntime makes of the file; EnvironmentProblem ND115 without it.

    ``inputs`` are in the order of the program's, ``door`` names them and the results that are read. ``batch`` is the
    only number of samples that the file takes; None for any.
    """
    extras.require("onnx", "checks of .onnx files", package="onnxruntime")
    plain = of_program(program, spec, door)
    stored = path.stat().st_size + sum(file.stat().st_size for file in beside(path))
    seconds, memory = 3 * guarded.SECONDS + stored / _RATE, guarded.MEMORY + 8 * stored

    def call(x: torch.Tensor) -> Any:
        given = [x, *(doors.MADE[role](x, door.padding) for role in door.inputs[1:])]
        arrays = {each.name: _array(value, each) for each, value in zip(inputs, given, strict=True)}
        try:
            found = guarded.call(_run, str(path), arrays, seconds=seconds, memory=memory)
        except guarded.Stopped as error:  # as a module that fails: the check says so
            raise RuntimeError(f"onnxruntime: {error}") from error
        results = tuple(torch.from_numpy(np.array(value)) for value in found)
        return doors.chosen(results, door.wanted, "return value") if door.wanted else results[0]

    return FileReference(plain.module, plain.spec, batch, call=call)


def _array(value: torch.Tensor, given: Given) -> Array:
    array: Array = value.detach().numpy().astype(given.dtype)
    return array


def _run(path: str, arrays: Mapping[str, Array]) -> list[Array]:
    """The results of the file, without rewriting it first."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [np.asarray(value) for value in session.run(None, dict(arrays))]
