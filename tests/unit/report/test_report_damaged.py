"""A report that is damaged in any key: it is shown, or refused with a code; no renderer ever ends in a traceback."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from neurodeploy import verbs
from neurodeploy.errors import ReportError
from neurodeploy.report import data
from tests import fake_build
from tests.fast import in_turn

GONE = object()
FEW = 20  # of so many keys the fast suite damages one
VALUES: tuple[Any, ...] = (
    None,
    GONE,
    "x",
    -1,
    10**30,
    1e308,
    True,
    [],
    {},
    [None],
    {"a": 1},
    0,
    1e-320,
    [[1]],
    "",
)
Place = tuple[Any, ...]


@cache
def whole(method: str) -> dict[str, Any]:
    return data.build(fake_build.inputs(method))


def places(item: Any, above: Place = ()) -> Iterator[Place]:
    """Every key; of lists the first item stands for all."""
    keys = (
        list(item) if isinstance(item, dict) else range(min(len(item), 1)) if isinstance(item, list) else ()
    )
    for key in keys:
        yield (*above, key)
        yield from places(item[key], (*above, key))


def damaged(report: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    found = copy.deepcopy(report)
    part: Any = found
    for key in place[:-1]:
        part = part[key]
    if value is GONE:
        del part[place[-1]]
    else:
        part[place[-1]] = value
    return found


def shown(report: dict[str, Any], folder: Path) -> bool:
    """Whether it is shown; a refusal is one problem with its fix, and leaves the folder as it was."""
    (folder / "report.json").write_text(json.dumps(report))
    try:
        verbs.report(folder)
        return True
    except ReportError as error:
        (problem,) = error.problems
        assert problem.code in ("ND811", "ND812") and problem.fixes
        return False


def test_some_keys_damaged_in_some_way(tmp_path: Path) -> None:
    report = whole("native")
    found = list(places(report))
    assert len(found) > 400
    chosen = enumerate(found[::FEW])
    refused = [not shown(damaged(report, p, VALUES[i % len(VALUES)]), tmp_path) for i, p in chosen]
    assert any(refused) and not all(refused)
    assert shown(report, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["native", "ecmt"])
def test_every_key_damaged(method: str, tmp_path: Path) -> None:
    """One value after the other: all of them at all keys take half an hour."""
    report = whole(method)
    for i, place in in_turn(enumerate(places(report))):
        shown(damaged(report, place, VALUES[i % len(VALUES)]), tmp_path)


@pytest.mark.parametrize(
    "text", ['{"schema_version": 3, "timesteps": NaN}', "[" * 100_000, "9" * 5000, "\ud800"]
)
def test_what_is_no_json_is_typed(text: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(text, errors="surrogatepass")
    with pytest.raises(ReportError, match=r"ND81[12]"):
        verbs.report(tmp_path)
