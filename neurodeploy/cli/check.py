"""The command ``check``."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .. import errors, verbs
from .app import app
from .flags import Asked, Shape, Verbose, of_network
from .screen import Format, Silent, screen

BLOCKED = "BLOCKED"
#: nodes, and kinds of work, that a row of `check` names
MOST_NAMES = 3


@app.command()
@of_network
def check(asked: Asked, form: Shape = Format.auto, verbose: Verbose = False) -> None:
    """Say node by node whether a network can run on a target; nothing is trained, calibrated or written."""
    screen.configure(form, verbose=verbose)
    found = verbs.check(**asked.flags, config_file=asked.config, settings=asked.settings)
    if screen.json:
        named = {name: getattr(found, name) for name in ("model", "target", "method", "blocked")}
        problems = [asdict(p) for p in found.problems]
        named["import_check"] = found.import_check and found.import_check.as_dict()
        named["search"] = found.search
        screen.data({**named, "nodes": [vars(v) for v in found.verdicts], "problems": problems})
    else:
        said = [_verdict_line(found), *([_search_line(found.search)] if found.search else ())]
        screen.out("\n".join(line for text in said for line in _wrapped(text, "")))
        if verbose:
            rows = [(v.node, v.detail, _grade(v), v.reason) for v in found.verdicts]
            screen.table(("node", "what", "grade", "why"), rows)
        else:
            screen.out("\n".join(line for row in _by_reason(found.verdicts) for line in _block(*row)))
            if found.verdicts:
                screen.out("all nodes, one by one: -v")
        screen.warnings(found.problems)
    if found.blocked:
        wrong = [p for p in found.problems if p.severity == "error"]
        raise Silent(errors.EXIT_UNSUPPORTED) if screen.json else errors.MappingError(wrong)


def _verdict_line(found: Any) -> str:
    count = Counter(v.grade for v in found.verdicts if v.grade != "free")
    grades = ", ".join(f"{n} {grade}" for grade, n in count.most_common())
    verdict = BLOCKED if found.blocked else "can run"
    if found.cores is not None:
        verdict += f", at least about {found.cores[0]} of {found.cores[1]} cores"
    return f"{found.model} by {found.method} on {found.target}: {verdict}" + (
        f"  ({grades})" if grades else ""
    )


def _grade(verdict: Any) -> str:
    return BLOCKED if verdict.blocked else str(verdict.grade)


def _by_reason(verdicts: Iterable[Any]) -> Iterator[tuple[str, str, list[Any]]]:
    """(grade, reason, nodes) of all nodes of which the same is said, what blocks first."""
    found: dict[tuple[str, str], list[Any]] = {}
    for verdict in verdicts:
        if verdict.blocked or verdict.grade != "free":
            found.setdefault((_grade(verdict), verdict.reason), []).append(verdict)
    for (grade, reason), those in sorted(found.items(), key=lambda row: row[0][0] != BLOCKED):
        yield grade, reason, those


def _block(grade: str, reason: str, those: Sequence[Any]) -> Iterator[str]:
    """Lines of the nodes of which the same is said: how many of what, why, and the first of their names, each whole."""
    yield from _wrapped(f"{grade}: {len(those)} x {_listed([v.detail for v in those])}", "")
    if reason:
        yield from _wrapped(reason, "  ")
    yield from _wrapped(_listed([v.node for v in those]), "  ")


def _wrapped(text: str, indent: str) -> list[str]:
    whole = textwrap.TextWrapper(screen.width, break_long_words=False, break_on_hyphens=False)
    whole.initial_indent, whole.subsequent_indent = indent, indent + "  "
    return whole.wrap(text)


def _listed(names: Iterable[str]) -> str:
    """The first of some names, each once, and how many more there are."""
    each = list(dict.fromkeys(names))
    more = f" and {len(each) - MOST_NAMES} more" if len(each) > MOST_NAMES else ""
    return ", ".join(each[:MOST_NAMES]) + more


def _search_line(search: Mapping[str, Any]) -> str:
    from ..report import words

    said = (*words.plans(search["objective"], search["plans"]), *words.longest(search["layers"]))
    return "   ".join(("on noise", *said))
