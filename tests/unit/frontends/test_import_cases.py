"""Modules of kinds that are easily imported wrong: the graph equals the module at every tick, or it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.later import Later

if TYPE_CHECKING:
    from tests import import_cases
else:
    import_cases = Later("tests.import_cases")

#: what an import may refuse: no graph means it, or its author did not mean it
REFUSABLE = {
    "long", "int32", "bool", "half", "batch size as a number", "mean over samples", "random number", "dropout left on",
    "branch on values", "calls counted", "one neuron for two layers", "batch taken for time",
}  # fmt: skip
#: every case, by name: collecting them needs no torch
NAMES = sorted(REFUSABLE | {
    "clamped silu", "clamped quick gelu", "clamped tanh gelu", "in-place product of a slice", "assignment to an index",
    "in-place sum under two names", "in-place through a view", "square", "reorder", "einsum", "optional argument",
    "leaky read-out", "average in a buffer", "lif written out", "recurrent container", "feedback",
    "learned time constant", "soft reset", "reset elsewhere", "input not decayed", "mean then fire",
    "threshold equals weight", "time inside", "loop over time", "hook of a neuron",
    "pre-hook of the root", "forward replaced",
})  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_graph_equals_the_module_or_is_refused(name: str) -> None:
    found = import_cases.outcome(import_cases.CASES[name])
    assert found == "equal" or (name in REFUSABLE and found.startswith("ND")), found


def test_every_case_is_tried() -> None:
    assert sorted(import_cases.CASES) == NAMES
