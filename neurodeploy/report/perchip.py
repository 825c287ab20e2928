"""The cores of a chip taken together: what the page shows of builds with more cores than it can draw one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from .columns import Column
from .packed import MOST_ROWS
from .words import Json

Rows = Sequence[Json]  # of the core table, those of one chip
#: chips that are drawn core by core
MOST_CHIPS = 16


def _all(name: str, take: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    """Of the values of a column of the cores; None if one of them is missing."""

    def found(rows: Rows) -> Any:
        values = [row[name] for row in rows]
        return None if None in values else take(values)

    return found


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


COLUMNS: tuple[Column[Any], ...] = (
    Column("chip", "number of the chip", lambda rows: rows[0]["chip"], "index", first=True),
    Column("cores", "cores in use", len, first=True),
    Column("fill_mean", "how full the fullest resource of its cores is, mean", _all("fill", _mean), "%", first=True),
    Column("fill_max", "how full the fullest resource of its fullest core is", _all("fill", max), "%", first=True),
    *(Column(f"{name}_used", f"{name.replace('_', ' ')} in use", _all(f"{name}_used", sum), first=True)
      for name in ("neurons", "synapse_words", "total_words")),
    *(Column(f"packets_{way}_mean", f"packets {did} per step by its cores, mean", _all(f"packets_{way}_mean", sum),
             depends="activity", first=True)
      for way, did in (("in", "received"), ("out", "sent"))),
    Column("energy_nominal_uj", "energy per inference of its cores, nominal", _all("energy_nominal_uj", sum), "uJ",
           depends="activity", first=True),
    Column("layers", "population groups it hosts", lambda rows: len({name for row in rows for name in row["layers"]}),
           first=True),
)  # fmt: skip


def many(report: Json) -> bool:
    """Whether the cores are too many to be drawn, and listed, one by one."""
    cores = report["cores"]
    return len(cores) > MOST_ROWS or len({row["chip"] for row in cores}) > MOST_CHIPS


def chips(report: Json) -> list[Json]:
    """One row for each chip in use."""
    found: dict[int, list[Json]] = defaultdict(list)
    for row in report["cores"]:
        found[row["chip"]].append(row)
    return [{column.name: column.get(found[chip]) for column in COLUMNS} for chip in sorted(found)]
