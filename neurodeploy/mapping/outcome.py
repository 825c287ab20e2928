"""What a search found, as plain data for a report: what its plan costs and waits for, and what it was weighed against.

All of it is expected, from the activity that calibration saw; what a run on cores counted is the estimate's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .plan import Cost, Plan
from .tiling import Tiling

Row = dict[str, Any]
UJ_PER_PJ, MS_PER_NS = 1e-6, 1e-6

TAKEN, NEXT, FEWEST = "taken", "next best", "fewest"
SPACE, TURNS = "tokens in space", "tokens in turn"
ON_HOST, ON_CORES = "lookups on the host", "lookups on cores"


def outcome(plan: Plan, cores: int) -> dict[str, list[Row]]:
    """``plans``: the one taken, the next best, that of the fewest cores, the best of tokens in space or in turn, and of
    tables of token ids on the host or on cores; ``layers``: what each of its groups waits for.

    ``cores`` are those of the plan taken, fewer than its tiles where these share them; costs are of tiles that do not.
    Nothing on a target without prices, where no plan is better than another.
    """
    if not plan.target.priced:
        return {}
    taken, *others = (_cost(*told) for told in _told(plan))
    return {"plans": [{**taken, "cores": cores}, *others], "layers": list(_layers(plan))}


def _told(plan: Plan) -> Iterator[tuple[str, Cost]]:
    """What plans of different numbers of cores cost."""
    yield TAKEN, plan.cost
    others = [other for other in plan.others if other.cores != plan.cores]
    if others:
        yield NEXT, others[0]
        least = min(others, key=lambda other: other.cores)
        if least.cores < min(plan.cores, others[0].cores):
            yield FEWEST, least
    yield from plan.instead.items()


def _cost(label: str, cost: Cost) -> Row:
    return {"plan": label, "tiles": cost.cores, "cores": cost.cores, "chips": cost.chips,
            "energy_uj": cost.energy_pj * UJ_PER_PJ, "latency_ms": cost.latency_ns * MS_PER_NS,
            "period_ms": cost.period_ns * MS_PER_NS}  # fmt: skip


def _layers(plan: Plan) -> Iterator[Row]:
    whole = plan.latency_ns
    for name, (bound, held_ns) in plan.waits.items():
        tiling = plan.tilings[name]
        cut = {"layout": tiling.cut.layout, "cores": tiling.cut.cores, "tick_ns": tiling.cut.work}
        yield {"layer": name, **cut, "bound": bound, "share": held_ns / whole, **_next(tiling)}


def _next(tiling: Tiling) -> Row:
    """The cut that fits and is nearest to the chosen one in cores."""
    chosen, *rest = tiling.alternatives
    fitting: Iterable[Row] = (cut for cut in rest if cut["fits"])
    near = min(fitting, key=lambda cut: (abs(cut["cores"] - chosen["cores"]), cut["tick_ns"]), default={})
    return {f"next_{key}": near.get(key) for key in ("layout", "cores", "fill", "tick_ns")}
