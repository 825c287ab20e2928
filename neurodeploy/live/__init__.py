"""Objects of a Python session as what a config can name: a module and its data become files that a build can replay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import config
from ..errors import Problem, UsageError
from ..ir.graph import Graph
from . import samples

__all__ = ["data_spec", "named"]


def named(model: Any, data: Any, settings: Sequence[str], flags: Mapping[str, Any]) -> dict[str, Any]:
    """``flags`` with model and data as strings; whatever is none is kept as a file (:mod:`neurodeploy.handed`).

    A torch module is imported and compared with itself here, on some of the data. Floats are put on at most 256 levels;
    which ones goes into the module's source graph, or into ``scale`` and ``offset`` for a model that has a name. Raises
    UsageError ND951 for objects that are none of these, and errors of the front ends.
    """
    given = dict(flags)
    levels: samples.Levels | None = None
    if data is not None and not _is_name(data):
        found = samples.kept(data)
        given["data"], levels = found.spec, found.levels
    elif data is not None:
        given["data"] = str(data)
    if model is None or _is_name(model):
        if levels is not None and not {"scale", "offset"} & given.keys():
            given |= levels.flags()
        return given | ({} if model is None else {"model": str(model)})
    from . import network

    asked = config.resolve({k: v for k, v in given.items() if k != "model"}, None, settings)
    for flag in ("scale", "offset"):
        given.pop(flag, None)  # in the graph from here on
    return given | {"model": network.kept(model, asked, levels)}


def data_spec(data: Any, graph: Graph) -> str:
    """What names data for a built network: floats become the levels that it was built on.

    UsageError ND951 for floats where the network was no object in memory: only that one knows its levels.
    """
    if _is_name(data):
        return str(data)
    told = graph.header.notes.get(samples.LEVELS)
    found = samples.kept(data, samples.Levels.told(told) if told else None)
    if found.levels is not None and not told:
        cause, limit = "floats for a network whose levels are not known", "integers, as its own data are"
        raise UsageError(Problem("ND951", cause, "data", limit=limit))
    return found.spec


def _is_name(value: Any) -> bool:
    if isinstance(value, (bytes, int, float, bool)):
        limit = "a name, a path, or an object such as a torch module or arrays"
        raise UsageError(
            Problem("ND951", "neither a name nor a network or data", found=repr(value)[:80], limit=limit)
        )
    return isinstance(value, (str, Path))
