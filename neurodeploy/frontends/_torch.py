"""What both torch front ends share: arrays, checks of weights and input, names and places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import PurePath
from typing import Any

import numpy as np

from ..array import Array
from ..errors import ImportModelError, Problem
from ..ir.types import Origin

#: samples in the example batch: more than one, so that the batch axis can be told from an axis of size 1
BATCH = 2

#: files of Python's own library that stand in tracebacks of torch.export
_MACHINERY = ("contextlib.py", "functools.py", "bytecode_transformation.py")

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def to_array(value: Any) -> Array:
    """A tensor, number or list as numpy."""
    import torch

    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    short = (
        value.dtype.is_floating_point and value.dtype.itemsize < 4
    )  # bfloat16 and its kin are unknown to numpy
    array: Array = (value.float() if short else value).detach().cpu().numpy()
    return array


def require_finite(tensors: Mapping[str, Any]) -> None:
    """ImportModelError naming every parameter or buffer with NaN or infinite (ND102) or no real values (ND195)."""
    import torch

    problems = []
    for name, tensor in tensors.items():
        if tensor.is_complex() or tensor.is_quantized:
            limit = "floats, integers or booleans"
            problems.append(
                Problem("ND195", "weights of an unsupported type", name, str(tensor.dtype), limit)
            )
            continue
        # A sum shows whether anything is wrong in a tenth of the time that a look at every number takes.
        suspect = tensor.is_floating_point() and not torch.isfinite(tensor.sum(dtype=torch.float64))
        bad = int((~torch.isfinite(tensor)).sum()) if suspect else 0
        if bad:
            problems.append(
                Problem(
                    "ND102",
                    "weights that are not finite numbers",
                    name,
                    f"{bad} of {tensor.numel()} values",
                    "finite numbers",
                    ("check the training for divergence, or load another checkpoint",),
                )
            )
    if problems:
        raise ImportModelError(problems)


def tensors_of(model: Any) -> dict[str, Any]:
    """Parameters and buffers by their full names."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


@contextmanager
def inference() -> Iterator[None]:
    """No gradients, and torch's transformer layers as their parts instead of one fused operator."""
    import torch

    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def example_input(model: Any, shape: Iterable[int], batch: int = BATCH) -> Any:
    """Zeros (batch, *shape) of the model's own float type."""
    import torch

    types = [p.dtype for p in model.parameters() if p.is_floating_point()]
    return torch.zeros(batch, *shape, dtype=types[0] if types else torch.get_default_dtype())


def example_ids(shape: Iterable[int], batch: int = BATCH) -> Any:
    """Token ids (batch, *shape), all of them 0."""
    import torch

    return torch.zeros(batch, *shape, dtype=torch.int64)


def require_image_shape(shape: Iterable[int]) -> tuple[int, ...]:
    """The input shape as positive whole numbers; ImportModelError ND103 else."""
    sizes = tuple(shape)
    if not sizes or any(not isinstance(s, int) or s < 1 for s in sizes):
        raise ImportModelError(
            Problem(
                "ND103",
                "the input shape is not usable",
                "input",
                str(sizes),
                "positive whole numbers without the batch, such as (3, 32, 32)",
            )
        )
    return sizes


@cache
def library_folders() -> tuple[str, ...]:
    """Folders whose frames are not the user's."""
    import torch

    return (str(PurePath(torch.__file__).parent), str(PurePath(__file__).parent))


def place(stack_trace: str | None) -> tuple[str, int]:
    """(file name, line) of the innermost frame of a stack trace that lies in the user's own files."""
    frames = [
        (f, int(n)) for f, n in _FRAME.findall(stack_trace or "") if not f.startswith(library_folders())
    ]
    return (PurePath(frames[-1][0]).name, frames[-1][1]) if frames else ("", 0)


def one_operator(kind: str) -> bool:
    """Whether a module class (by qualified name) is one of torch's own that consist of a single operator."""
    composite = ("Sequential", "ModuleList", "MultiheadAttention")
    name = kind.rpartition(".")[2]
    return (
        kind.startswith("torch.nn.modules.") and name not in composite and not name.startswith("Transformer")
    )


def origin(path: str, op: str, stack_trace: str | None) -> Origin:
    """Module path, operator, file and line."""
    return Origin(path, op, *place(stack_trace))


def failure(error: BaseException) -> tuple[str, int]:
    """(file name, line) of the innermost of the user's frames in an exception's traceback."""
    import traceback

    lines = "\n".join(
        f'File "{f.filename}", line {f.lineno}' for f in traceback.extract_tb(error.__traceback__)
    )
    found = place(lines)
    # dynamo runs the user's code in its own frames, and tells where it was at the end of its text
    return place(str(error)) if found[0] in _MACHINERY or not found[0] else found
