"""What was read of an HDF5 file, as plain arrays and texts, and what is wrong with it. Needs no library to look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...array import Array
from ...errors import ImportModelError, Problem

MAX_PROBLEMS = 200


@dataclass
class Tree:
    """A file in memory: ``arrays``, ``texts`` and lists of texts by path without leading slash, all groups, problems.

    ``lists`` are object arrays of str, of the shape that the dataset has. ``refused`` holds paths that are in the
    file and were not read.
    """

    path: Path
    groups: set[str] = field(default_factory=set)
    arrays: dict[str, Array] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    lists: dict[str, Array] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """All of it but the path, in lists and dictionaries around the arrays."""
        lists = {place: [list(found.shape), found.ravel().tolist()] for place, found in self.lists.items()}
        return {
            "groups": sorted(self.groups), "arrays": self.arrays, "texts": self.texts, "lists": lists,
            "refused": sorted(self.refused), "problems": [vars(problem) for problem in self.problems],
        }  # fmt: skip

    @classmethod
    def of(cls, path: Path, plain: dict[str, Any]) -> Tree:
        """The tree that :meth:`plain` describes."""
        lists = {}
        for place, (shape, texts) in plain["lists"].items():
            lists[place] = np.empty(len(texts), dtype=object)
            lists[place][:] = texts
            lists[place] = lists[place].reshape(shape)
        problems = [Problem(**problem) for problem in plain["problems"]]
        groups, refused = set(plain["groups"]), set(plain["refused"])
        return cls(path, groups, plain["arrays"], plain["texts"], lists, refused, problems)

    def __contains__(self, place: str) -> bool:
        """Whether something stands at this path, read or refused."""
        return any(place in t for t in (self.arrays, self.texts, self.lists, self.groups, self.refused))

    def children(self, place: str) -> list[str]:
        """Names directly inside a group, sorted."""
        prefix = f"{place}/" if place else ""
        paths = (*self.arrays, *self.texts, *self.lists, *self.groups, *self.refused)
        return sorted({p[len(prefix) :].split("/")[0] for p in paths if p.startswith(prefix) and p != place})

    def problem(
        self, code: str, cause: str, place: str, found: Any = "", limit: Any = "", *fixes: str
    ) -> None:
        """Note a problem at a place of the file."""
        where = f"{self.path.name} /{place}"
        self.problems.append(Problem(code, cause, where, str(found)[:200], str(limit)[:200], fixes))

    def refuse(self, code: str, cause: str, place: str, *more: Any) -> None:
        """Note a problem that keeps a part of the file from being read."""
        self.refused.add(place)
        self.problem(code, cause, place, *more)

    def check(self) -> None:
        """Raise ImportModelError with everything found so far, if anything was."""
        if self.problems:
            raise ImportModelError(self.problems[:MAX_PROBLEMS])
