"""JSON Schemas of the files that users write, so that editors complete and check them; made from what reads these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .config import BuildConfig
from .convert import AUTO
from .convert._base import METHODS
from .datasets import names as data_names
from .errors import UsageError, unknown_name
from .mapping.objectives._base import OBJECTIVES
from .mapping.placements._base import PLACEMENTS
from .sources import zoo
from .target import Target, names

Json = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: keys of a config that have known names -> what knows them; those that are closed take no other
KNOWN: Mapping[str, Callable[[], Iterable[str]]] = {
    "model": zoo.names, "target": names, "data": data_names, "method": lambda: (*METHODS.members, AUTO),
    "optimise": lambda: OBJECTIVES.members, "placement": lambda: PLACEMENTS.members,
}  # fmt: skip
CLOSED = ("method", "optimise", "placement")


def schema(kind: str) -> Json:
    """The schema of ``config`` (of ``--config``) or ``target`` files; UsageError ND900 for another kind."""
    if kind not in KINDS:
        raise UsageError(unknown_name("ND900", "kind of file", kind, tuple(KINDS), "KIND"))
    return {"$schema": DIALECT, "title": f"neurodeploy {kind}", **KINDS[kind]()}


def _config() -> Json:
    found: Json = _plain(BuildConfig.model_json_schema())
    for key, known in KNOWN.items():
        names = sorted(known())
        said = (
            {"type": "string", "enum": [*names, ""]}
            if key in CLOSED
            else {"type": "string", "examples": names}
        )
        found["properties"][key] = {
            **{k: v for k, v in found["properties"][key].items() if k != "anyOf"},
            **said,
        }
    return found


def _target() -> Json:
    """One that ``extends`` another has of every table only what differs: no key is required."""
    found: Json = _plain(Target.model_json_schema())
    found["properties"] = {k: v for k, v in found["properties"].items() if k not in FOUND}
    found["properties"]["extends"]["examples"] = sorted(names())
    for table in (found, *found.get("$defs", {}).values()):
        table.pop("required", None)
    for key in ("Limit", "Choice"):
        value = found["$defs"][key]["properties"]["value"]
        found["$defs"][key]["properties"]["value"] = {"anyOf": [value, {"const": "unlimited"}]}
    return found


#: fields of a target that come from where it was found, not from what is written
FOUND = ("file", "sha256")
KINDS: Mapping[str, Callable[[], Json]] = {"config": _config, "target": _target}


def _plain(value: Any) -> Any:
    """Without the titles that pydantic makes of names, which say nothing, and without null, which TOML lacks."""
    if isinstance(value, list):
        return [_plain(item) for item in value if item != {"type": "null"}]
    if not isinstance(value, dict):
        return value
    found = {
        key: _plain(item) for key, item in value.items() if not (key == "title" and isinstance(item, str))
    }
    if len(found.get("anyOf", ())) == 1:
        found |= found.pop("anyOf")[0]
    if found.get("default", "") is None:
        del found["default"]
    return found
