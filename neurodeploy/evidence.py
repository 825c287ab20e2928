"""How sure it is that work runs on silicon: four grades, each given with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

#: documented: a public source shows it on the chip; plausible: public facts about microcode and memory suffice;
#: simulation-only: neither; unsupported: public sources say the chip cannot
SiliconGrade = Literal["documented", "plausible", "simulation-only", "unsupported"]

#: in falling order
GRADES: tuple[SiliconGrade, ...] = get_args(SiliconGrade)

Evidence = tuple[SiliconGrade, str]  # grade, reason


def worst(evidence: Sequence[Evidence]) -> Evidence:
    """The first of the worst grade."""
    return max(evidence, key=lambda found: GRADES.index(found[0]))
