"""A torch module in memory as a file that holds its source graph, compared with the module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import artifact, datasets, handed
from ..config import BuildConfig
from ..errors import Problem, UsageError
from ..frontends.libraries._base import text_options
from ..sources import cache
from ..sources.resolve import Asked, Loaded, Model, carried, from_torch, is_module
from .samples import LEVELS, Levels


def kept(module: Any, asked: BuildConfig, levels: Levels | None) -> str:
    """What names the source graph of a module, which stays as it was.

    The input has the shape of the data, or that which the module carries as ``input_shape``, or as ``input_tokens``.
    Raises UsageError ND951 for what is no torch module, ImportModelError ND1xx for one that cannot be imported.
    """
    if not is_module(module):
        found, limit = type(module).__name__, "a torch.nn.Module, or a MODEL string"
        fixes = (f"call it: {module.__name__}()",) * callable(module) if hasattr(module, "__name__") else ()
        raise UsageError(
            Problem("ND951", "the model is no torch module", found=found, limit=limit, fixes=fixes)
        )
    data = datasets.load(asked.data, asked.loader) if asked.data else None
    name = type(module).__name__
    over = levels if levels is not None and asked.scale is None and asked.offset is None else None
    shape, frames = (data.shape if data and not data.texts else None), (data.ticks if data else 0)
    scale, offset = (over.scale, over.offset) if over else (asked.scale, asked.offset)
    spec = carried(module, Asked(name, shape, asked.timesteps, scale, offset, frames=frames))
    tokenizer = text_options(asked.reader).tokenizer

    def load() -> Loaded:
        return from_torch(module, spec, name)

    model = Model(name, "python", name, load, timesteps=spec.timesteps, tokenizer=tokenizer)
    whole, _, check = cache.imported(model, data, asked.import_check)
    notes = {**whole.header.notes, LEVELS: Levels(spec.scale, spec.offset).notes}
    whole = whole.with_header(notes=notes)
    told = {"name": name, "import_check": check and check.as_dict()}

    def write(path: Path) -> None:
        artifact.save(path, artifact.Artifact(source=whole, provenance=told))

    return handed.keep(name, ".h5", write)
