"""Tensors from a local file into a module, without unpickling: safetensors, HDF5, checkpoints of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...errors import ImportModelError, Problem, first_line, unknown_name
from ...formats._hdf5.read import read_tree
from .. import tensors

SUFFIXES = (".safetensors", ".h5", ".hdf5", ".pt", ".pth", ".bin", ".tar", ".ckpt")
#: keys under which checkpoints keep the tensors beside optimiser state and notes; averages come last
NESTED = ("state_dict", "model", "model_state_dict", "net", "model_ema", "state_dict_ema")
#: names of buffers that older versions stored, and of parts that a base model leaves out
BUFFERS = ("position_ids", "masked_bias", "num_batches_tracked")
_FIX = "save the state dict alone, from source that you trust: safetensors.torch.save_file(model.state_dict(), FILE)"
HEADS = ("pooler", "cls", "classifier", "lm_head", "vocab_projector", "vocab_transform", "vocab_layer_norm")


def fill(module: Any, path: Path, prefixes: tuple[str, ...] = ()) -> None:
    """Load a file into a module; ImportModelError ND191, ND192, ND193 (all misfits), ND194, ND195.

    ``prefixes`` may stand before the names in the file, or be missing there.
    """
    given = _renamed(read(path), set(module.state_dict()), prefixes)
    problems = list(_misfits(module, given, path))
    if problems:
        raise ImportModelError(problems)
    _copied(module, given)


def _copied(module: Any, given: dict[str, Any]) -> None:
    """Copy tensors into the places of the same names."""
    import torch

    with torch.no_grad():
        module.load_state_dict(given, strict=False)


def restore(module: Any, path: Path, reads: Callable[[], set[str] | None]) -> Problem | None:
    """Load a checkpoint into a user's own module by the names of its tensors; what was left out, as a warning (ND197).

    A tensor of the file for which the module has no place is left out. One of the module that the file lacks stays as
    the module was made, if no call of it reads it: ``reads`` yields the names of those that are read, None where that
    cannot be seen. ImportModelError as :func:`fill`.
    """
    expected = module.state_dict(keep_vars=True)
    given = _renamed(read(path), set(expected), ())
    problems = [
        p
        for key in given.keys() & expected.keys()
        for p in _misfit(key, given[key], expected[key], str(path))
    ]
    held = {expected[key].data_ptr() for key in given.keys() & expected.keys()}
    absent = [key for key, value in expected.items() if key not in given and value.data_ptr() not in held]
    absent = [key for key in absent if key.split(".")[-1] not in BUFFERS]
    read_ = reads() if absent else set()
    problems += [_missing(key, path) for key in absent if read_ is None or key in read_]
    if problems:
        raise ImportModelError(problems)
    _copied(module, given)
    unused = [key for key in given if key not in expected]
    return _left_out(path, unused, absent)


def _missing(key: str, path: Path) -> Problem:
    return Problem("ND193", "a tensor of the network has no weights", str(path), "missing", key)


def _left_out(path: Path, unused: list[str], absent: list[str]) -> Problem | None:
    """ND197, with every name."""
    parts = [f"no place in the module: {', '.join(unused)}"] if unused else []
    parts += [f"not in the file, and never read: {', '.join(absent)}"] if absent else []
    if not parts:
        return None
    cause, fix = (
        "tensors that the checkpoint and the module do not share",
        "compare the names with those of the training",
    )
    return Problem("ND197", cause, str(path), "; ".join(parts), "", (fix,), "warning")


def read(path: Path) -> dict[str, Any]:
    """All tensors of a file by name; ImportModelError ND113 (code), ND191 (no such file), ND192 (damaged)."""
    if not path.is_file() or path.suffix not in SUFFIXES:
        found = path.suffix or "no suffix" if path.is_file() else "nothing"
        cause, limit = "the weights of the model cannot be read", f"a file that ends in {', '.join(SUFFIXES)}"
        raise ImportModelError(Problem("ND191", cause, str(path), found, limit))
    cause = "the weights are not a whole file of tensors"
    try:
        tables = _read(path)
    except tensors.Refused as error:
        danger, limit, fix = "the weights could execute code", "tensors and plain containers", _FIX
        raise ImportModelError(Problem("ND113", danger, str(path), str(error), limit, (fix,))) from error
    except Exception as error:  # each reader has its own
        raise ImportModelError(Problem("ND192", cause, str(path), first_line(error))) from error
    if not tables:
        raise ImportModelError(Problem("ND192", cause, str(path), "0 tensors"))
    return tables


def _read(path: Path) -> dict[str, Any]:
    import torch

    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(path))
    if path.suffix in (".h5", ".hdf5"):
        tree = read_tree(path)
        tree.check()
        return {name.replace("/", "."): torch.from_numpy(held) for name, held in tree.arrays.items()}
    found = tensors.read(path)
    for key in NESTED:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict):
        raise ValueError(f"a {type(found).__name__} where a state dict is expected")
    return {str(k): v for k, v in found.items() if isinstance(v, torch.Tensor)}


def _renamed(given: dict[str, Any], wanted: set[str], prefixes: tuple[str, ...]) -> dict[str, Any]:
    """The tensors under the names of the module, where adding or leaving out one prefix gives more of them."""
    forms = [given]
    for prefix in ("module.", *(f"{p}." for p in prefixes)):
        forms.append({key.removeprefix(prefix): value for key, value in given.items()})
        forms.append({prefix + key: value for key, value in given.items()})
    return max(forms, key=lambda table: len(wanted & table.keys()))


def _misfits(module: Any, found: dict[str, Any], path: Path) -> Iterator[Problem]:
    """What of a file does not fit the module: names first, then shapes, types and values."""
    expected = module.state_dict(keep_vars=True)
    given = {expected[k].data_ptr() for k in found if k in expected}
    persistent = {n for n, _ in module.named_parameters(remove_duplicate=False)}
    for key, value in expected.items():
        if (
            key in persistent and key not in found and value.data_ptr() not in given
        ):  # nor tied to one of those
            yield _missing(key, path)
    for key, value in found.items():
        if key in expected:
            yield from _misfit(key, value, expected[key], str(path))
        elif not _idle(key):
            yield unknown_name("ND193", "tensor", key, expected, str(path))


def _misfit(key: str, value: Any, expected: Any, path: str) -> Iterator[Problem]:
    """What keeps a tensor of the file from the place of the network's."""
    import torch

    if value.shape != expected.shape:
        found, limit = str(tuple(value.shape)), str(tuple(expected.shape))
        yield Problem("ND193", f"tensor {key!r} has the wrong shape", path, found, limit)
    elif expected.is_floating_point() and not value.is_floating_point():
        # a copy would drop an imaginary part, or take quantised numbers for what they stand for
        cause = f"tensor {key!r} is of an unsupported type"
        yield Problem("ND195", cause, path, str(value.dtype), str(expected.dtype))
    elif value.is_floating_point() and not torch.isfinite(value).all():
        bad = int((~torch.isfinite(value)).sum())
        yield Problem("ND194", f"tensor {key!r} holds NaN or infinity", path, f"{bad} values", "0 values")


def _idle(key: str) -> bool:
    """Whether nothing is lost where the network has no place for it."""
    parts = key.split(".")
    return parts[-1] in BUFFERS or parts[-2:] == ["attn", "bias"] or parts[0] in HEADS
