"""A demand held against a target's limits: how full, what limits, what is broken."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from ..target import Target
from .types import Demand

#: resource of a Demand -> key under [limits] of the target file
RESOURCES = {
    "neurons": "neurons_per_core",
    "neuron_groups": "neuron_groups",
    "synapse_words": "synapse_words",
    "axon_in": "axon_in",
    "axon_out": "axon_out",
    "table_words": "table_words",
    "total_words": "total_words",
    "fan_in": "fan_in",
    "thresholds": "distinct_thresholds_per_core",
}
#: resources that are no memory
COUNTS = ("neuron_groups", "fan_in", "thresholds")


@dataclass(frozen=True)
class Breach:
    """One limit that a demand exceeds."""

    resource: str
    used: float
    limit: float

    @property
    def key(self) -> str:
        """The limit's place in the target file."""
        return f"limits.{RESOURCES[self.resource]}"


def usage(demand: Demand, target: Target) -> dict[str, tuple[float, float]]:
    """Resource -> (used, limit); an unlimited one has limit infinity."""
    limits = {r: getattr(target.limits, key).value for r, key in RESOURCES.items()}
    return {
        r: (float(getattr(demand, r)), inf if limit is None else float(limit)) for r, limit in limits.items()
    }


def fill(used: dict[str, tuple[float, float]]) -> tuple[float, str]:
    """Share of the scarcest resource that is used, and its name; above 1 it does not fit."""
    shares = {r: _share(r, amount, limit) for r, (amount, limit) in used.items()}
    worst = max(shares, key=lambda r: shares[r])
    return shares[worst], worst


def _share(resource: str, amount: float, limit: float) -> float:
    share = amount / limit if limit else (inf if amount else 0.0)
    # One of eight groups does not make a core an eighth full: what is no memory counts only when there is too much.
    return share if resource not in COUNTS or share > 1 else 0.0


def breaches(demand: Demand, target: Target) -> list[Breach]:
    """Every limit the demand exceeds."""
    return [
        Breach(r, amount, limit) for r, (amount, limit) in usage(demand, target).items() if amount > limit
    ]
