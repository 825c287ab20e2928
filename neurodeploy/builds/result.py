"""What every stage of a build hands on, and the results found so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from ..errors import Problem

#: what a stage calls with the samples that are done, and all of them
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """Base of all results: a headline, warnings, and why figures are missing, by dotted key of the report.

    ``kept``: an earlier build that did not come to its end had found it already.
    """

    fact: str = ""
    kept: bool = False
    warnings: tuple[Problem, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)


R = TypeVar("R", bound=Result)


@dataclass(frozen=True, eq=False)
class Results:
    """The results of the stages that ran, one of each type."""

    found: tuple[Result, ...] = ()

    def get(self, kind: type[R]) -> R | None:
        """The result of that type, None if its stage did not run."""
        return next((result for result in self.found if isinstance(result, kind)), None)

    def __getitem__(self, kind: type[R]) -> R:
        result = self.get(kind)
        if result is None:
            raise KeyError(kind.__name__)
        return result

    def with_(self, result: Result) -> Results:
        """These and one more."""
        return Results((*self.found, result))

    def instead(self, result: R) -> Results:
        """These, with one in the place of that of its type."""
        return Results(tuple(result if type(old) is type(result) else old for old in self.found))

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """All warnings, in the order of the stages."""
        return tuple(problem for result in self.found for problem in result.warnings)

    @property
    def reasons(self) -> dict[str, str]:
        """Why figures are missing; a later stage knows better."""
        return {key: why for result in self.found for key, why in result.reasons.items()}
