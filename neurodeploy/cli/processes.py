"""What the layers of a network become on a backend that makes processes of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..backends._base import Description


def description(found: Description) -> dict[str, Any]:
    """What the layers become, as JSON."""
    whole = {name: getattr(found, name) for name in ("granularity", "processes", "share")}
    return {**whole, "layers": [asdict(row) for row in found.rows]}


def shares(found: Description) -> str:
    """One line on what the layers become."""
    known = found.share is not None
    share = f"{found.share:.1%} of synaptic events on stock processes" if known else "no synaptic events"
    return f"{found.title}: {found.processes} processes, one per {found.granularity}; {share}"
