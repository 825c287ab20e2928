"""The command ``check``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .. import errors, verbs
from .app import app
from .flags import (
    Chips,
    ConfigFile,
    DataSpec,
    Encoder,
    LaidOut,
    Lookups,
    MethodName,
    ModelName,
    NoCheck,
    Place,
    Settings,
    Shape,
    Streams,
    Ticks,
    Verbose,
    WeightBits,
    off,
)
from .screen import Format, Silent, screen

#: nodes that `check` lists one by one; -v lists all
MOST_NODES = 100


@app.command()
def check(
    model: ModelName = None,
    target: Place = None,
    method: MethodName = None,
    timesteps: Ticks = None,
    weight_bits: WeightBits = None,
    data: DataSpec = None,
    encoder: Encoder = None,
    chips: Chips = None,
    streams: Streams = None,
    lookups: Lookups = None,
    mapping: LaidOut = None,
    config: ConfigFile = None,
    settings: Settings = None,
    no_import_check: NoCheck = False,
    form: Shape = Format.auto,
    verbose: Verbose = False,
) -> None:
    """Say node by node whether a network can run on a target; nothing is trained, calibrated or written."""
    screen.configure(form, verbose=verbose)
    found = verbs.check(
        model, target, method, timesteps, config_file=config, settings=settings or (),
        weight_bits=weight_bits, data=data, chips=chips, streams=streams, lookups=lookups, mapping=mapping,
        encoder=encoder, import_check=off(no_import_check),
    )  # fmt: skip
    if screen.json:
        named = {name: getattr(found, name) for name in ("model", "target", "method", "blocked")}
        problems = [asdict(p) for p in found.problems]
        named["import_check"] = found.import_check and found.import_check.as_dict()
        named["search"] = found.search
        screen.data({**named, "nodes": [vars(v) for v in found.verdicts], "problems": problems})
    else:
        shown = [v for v in found.verdicts if verbose or v.grade != "free"]
        rows = [(v.node, v.detail, "BLOCKED" if v.blocked else v.grade, v.reason) for v in shown]
        screen.table(("node", "what", "grade", "why"), rows if verbose else _alike(rows))
        screen.out(_verdict_line(found))
        if found.search:
            screen.out(_search_line(found.search))
        screen.warnings(found.problems)
    if found.blocked:
        wrong = [p for p in found.problems if p.severity == "error"]
        raise Silent(errors.EXIT_UNSUPPORTED) if screen.json else errors.MappingError(wrong)


def _verdict_line(found: Any) -> str:
    count = Counter(v.grade for v in found.verdicts if v.grade != "free")
    grades = ", ".join(f"{n} {grade}" for grade, n in count.most_common())
    verdict = "BLOCKED" if found.blocked else "can run"
    if found.cores is not None:
        verdict += f", at least about {found.cores[0]} of {found.cores[1]} cores"
    return f"{found.model} by {found.method} on {found.target}: {verdict}  ({grades})"


def _alike(rows: Sequence[tuple[str, ...]]) -> Sequence[tuple[str, ...]]:
    """Rows of nodes: where there are more than :data:`MOST_NODES`, one for all of which the same is said."""
    if len(rows) <= MOST_NODES:
        return rows
    names: dict[tuple[str, ...], list[str]] = {}
    for name, *said in rows:
        names.setdefault(tuple(said), []).append(name)
    return [(first + f" and {len(rest)} more" * bool(rest), *said) for said, (first, *rest) in names.items()]


def _search_line(search: Mapping[str, Any]) -> str:
    from ..report import words

    said = (*words.plans(search["objective"], search["plans"]), *words.longest(search["layers"]))
    return "   ".join(("on noise", *said))
