"""What both torch front ends share: arrays, checks of weights and input, names and places."""

from __future__ import annotations

import dis
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import takewhile
from pathlib import PurePath
from types import FrameType
from typing import Any

import numpy as np

from ..array import Array
from ..errors import ImportModelError, Problem, first_line
from .input_spec import InputSpec

#: samples in the example batch: more than one, so that the batch axis can be told from an axis of size 1
BATCH = 2

#: files of Python's own library that stand in tracebacks of torch.export
_MACHINERY = ("contextlib.py", "functools.py", "bytecode_transformation.py")

#: torch's layers that hold packed integers
_QUANTISED = re.compile(r"torch\.(ao\.)?nn\.(intrinsic\.)?quantized\.")

#: under which names layers of torch keep the size of what they take
_SIZES = ("in_channels", "in_features", "num_features", "normalized_shape", "num_channels", "embed_dim")

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')


def let_go() -> None:
    """Make torch forget from where it was imported.

    Where an optional library is missing, ``torch.cuda`` keeps that error, whose traceback holds every frame that was
    active then: those of the import of a model, and with them all of its graphs, as long as the process lives.
    """
    error = getattr(getattr(sys.modules.get("torch"), "cuda", None), "_PYNVML_ERR", None)
    if isinstance(error, BaseException):
        error.__traceback__ = None


def to_array(value: Any) -> Array:
    """A tensor, number or list as numpy."""
    import torch

    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    # bfloat16 and its kin are unknown to numpy
    short = value.dtype.is_floating_point and value.dtype.itemsize < 4
    array: Array = (value.float() if short else value).detach().cpu().numpy()
    return array


def one_number(value: Any) -> float | None:
    """The number that all elements of a value are; None where they differ, or it is something else."""
    import torch

    try:
        numbers = torch.as_tensor(value, dtype=torch.float64).reshape(-1)
    except (TypeError, ValueError, RuntimeError):
        return None
    first = float(numbers[0]) if numbers.numel() else 0.0
    return first if bool((numbers == first).all()) else None


def require_finite(tensors: Mapping[str, Any]) -> None:
    """ImportModelError naming every parameter or buffer with NaN or infinite (ND102) or no real values (ND195)."""
    import torch

    problems = []
    for name, tensor in tensors.items():
        if tensor.is_complex() or tensor.is_quantized:
            cause, limit = "weights of an unsupported type", "floats, integers or booleans"
            problems.append(Problem("ND195", cause, name, str(tensor.dtype), limit))
            continue
        # A sum shows whether anything is wrong in a tenth of the time that a look at every number takes.
        suspect = tensor.is_floating_point() and not torch.isfinite(tensor.sum(dtype=torch.float64))
        bad = int((~torch.isfinite(tensor)).sum()) if suspect else 0
        if bad:
            cause, found = "weights that are not finite numbers", f"{bad} of {tensor.numel()} values"
            fixes = ("check the training for divergence, or load another checkpoint",)
            problems.append(Problem("ND102", cause, name, found, "finite numbers", fixes))
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


#: the name of the user's module in a :func:`whole`
INSIDE = "network"


def whole(network: Any) -> Any:
    """The user's module as a part of another, which takes one argument whatever others the module could take.

    Its own hooks, and a forward that its instance has been given, are called then.
    """
    import torch

    class Whole(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Any) -> Any:
            return self.network(x)

    return Whole().eval()


def dressed(network: Any) -> bool:
    """Whether a module does more than its class says: hooks, or a forward of its own."""
    hooks = (network._forward_hooks, network._forward_pre_hooks)
    return any(hooks) or "forward" in vars(network)


def prepared(model: Any, spec: InputSpec) -> Any:
    """An example for a model put into eval mode: zeros (batch, *shape) of its own float type, or token ids.

    ImportModelError ND132 where the shape is not of positive whole numbers, ND102 and ND195 as :func:`require_finite`.
    """
    import torch

    if not spec.shape or any(not isinstance(s, int) or s < 1 for s in spec.shape):
        limit, found = "positive whole numbers without the batch, such as (3, 32, 32)", str(tuple(spec.shape))
        raise ImportModelError(Problem("ND132", "the input shape is not usable", "input", found, limit))
    _require_floats(model)
    require_finite(tensors_of(model.eval()))
    floats = (p.dtype for p in model.parameters() if p.is_floating_point())
    dtype = torch.int64 if spec.tokens else next(floats, torch.get_default_dtype())
    return torch.zeros(BATCH, *spec.shape, dtype=dtype)


def _require_floats(model: Any) -> None:
    """ImportModelError ND155 with every layer that torch itself has quantised, whose weights are packed."""
    problems = []
    for path, module in model.named_modules():
        kind = f"{type(module).__module__}.{type(module).__qualname__}"
        if _QUANTISED.match(kind) and not kind.endswith("PackedParams"):
            cause, limit = "a layer that torch has quantised", "layers of floats"
            fix = "give the network as it was before its quantisation"
            problems.append(Problem("ND155", cause, path or "<root>", kind, limit, (fix,)))
    if problems:
        raise ImportModelError(problems)


def does_not_run(error: Exception, where: str, example: Any) -> Problem:
    """What a module says to its first input: ND130 where its own code raises, ND103 where an operator of torch does."""
    sizes, said = tuple(example.shape), first_line(error)
    if own_exception(error):
        cause = "the model's own code raises an exception on its input"
        fix = "give the model what that line asks for: other data with --data, or another input_shape on the module"
        return Problem("ND130", cause, where, f"{said} (input {sizes})", "", (fix,))
    cause = "the module does not run on an input of this shape"
    fix = "give data of the shape that the model expects with --data, or correct input_shape on the module"
    return Problem("ND103", cause, where, f"{sizes}: {said}", _wanted(error), (fix,))


def own_exception(error: BaseException) -> bool:
    """Whether a ``raise`` or ``assert`` in one of the user's own files threw it, not what was called there."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_code.co_filename.startswith(library_folders()):
        return False
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def _wanted(error: BaseException) -> str:
    """What the innermost layer of torch in a traceback takes, such as 'Conv2d with in_channels = 3'; or nothing."""
    import torch

    for frame, _ in reversed([*traceback.walk_tb(error.__traceback__)]):
        layer = frame.f_locals.get("self")
        if isinstance(layer, torch.nn.Module):
            sizes = [f"{name} = {value}" for name in _SIZES if (value := vars(layer).get(name)) is not None]
            return f"{type(layer).__name__} with {sizes[0]}" if sizes else ""
    return ""


def not_traced(error: BaseException, where: str) -> Problem:
    """ND131: a call that runs on numbers, and not on what stands for them while a graph is read."""
    cause = "a call that torch can run, but not trace"
    found = ": ".join(filter(None, (_construct(error), first_line(error))))
    fixes = (
        "write it by functions of torch that take and return tensors",
        "where it runs over ticks: make one tick the forward, and give --timesteps",
        "bring the network as a .nir or .net file",
    )
    return Problem("ND131", cause, where, found, "functions of torch, branches on shapes", fixes)


def _construct(error: BaseException) -> str:
    """The text of the innermost line of the user's in a traceback, empty where dynamo ran it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(library_folders())]
    machinery = not own or PurePath(own[-1].filename).name in _MACHINERY
    return "" if machinery else (own[-1].line or "").strip()


def kind_of(value: Any) -> tuple[tuple[int, ...] | None, Any]:
    """(sizes, dtype) of a tensor, sizes None where one is open; nothing of any other value."""
    import torch

    if not isinstance(value, torch.Tensor):
        return None, None
    sizes = tuple(value.shape)
    return sizes if all(isinstance(size, int) for size in sizes) else None, value.dtype


def operator_name(target: Any) -> str:
    """``aten::_softmax`` is '_softmax', ``operator.getitem`` is 'getitem'."""
    import torch

    if isinstance(target, torch._ops.OpOverload):
        namespace, _, short = target._schema.name.partition("::")
        return str(short) if namespace == "aten" else f"{namespace}.{short}"
    return str(target.__name__)


@cache
def library_folders() -> tuple[str, ...]:
    """Folders whose frames are not the user's."""
    import torch

    return (str(PurePath(torch.__file__).parent), str(PurePath(__file__).parent))


def place(stack_trace: str | None) -> tuple[str, int]:
    """(file name, line) of the innermost frame of a stack trace that lies in the user's own files."""
    frames = _FRAME.findall(stack_trace or "")
    own = [(PurePath(f).name, int(n)) for f, n in frames if not f.startswith(library_folders())]
    return own[-1] if own else ("", 0)


def running_place() -> tuple[str, int]:
    """(file name, line) of the innermost running frame in the user's own files."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not frame.f_code.co_filename.startswith(library_folders()):
            return frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2], frame.f_lineno
        frame = frame.f_back
    return "", 0


#: running functions, the outermost first, each with the instruction that it has come to
Frames = list[tuple[FrameType, int]]


def came_round(before: Frames) -> tuple[bool, Frames]:
    """Whether a loop of the user's came round since ``before``, and the frames that run now.

    It did where the innermost function that runs since then is back at an earlier instruction, or calls from the same
    one again.
    """
    frame, now = sys._getframe(1), []
    while frame is not None:
        now.append((frame, frame.f_lasti))
        frame = frame.f_back  # type: ignore[assignment]
    now.reverse()
    common = sum(1 for _ in takewhile(lambda pair: pair[0][0] is pair[1][0], zip(before, now, strict=False)))
    if not common or now[common - 1][0].f_code.co_filename.startswith(library_folders()):
        return False, now
    (_, was), (_, here) = before[common - 1], now[common - 1]
    return here < was or (here == was and len(before) > common < len(now)), now


def one_operator(kind: str) -> bool:
    """Whether a module class (by qualified name) is one of torch's own that consist of a single operator."""
    composite = ("Sequential", "ModuleList", "MultiheadAttention")
    name = kind.rpartition(".")[2]
    own = kind.startswith("torch.nn.modules.")
    return own and name not in composite and not name.startswith("Transformer")


def failure(error: BaseException) -> tuple[str, int]:
    """(file name, line) of the innermost of the user's frames in an exception's traceback."""
    found = place("".join(traceback.format_tb(error.__traceback__)))
    # dynamo runs the user's code in its own frames, and tells where it was at the end of its text
    return place(str(error)) if found[0] in _MACHINERY or not found[0] else found
