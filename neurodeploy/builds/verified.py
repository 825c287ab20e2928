"""Stage 7, verify: interpreter and backends give the same integers at every node and tick; noise of each layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .. import compare
from ..array import Array
from ..ir.graph import Graph
from ..program import Program
from ..report.inputs import BitTrue
from . import quality
from .evaluated import NO_FLOATS
from .imported import Imported
from .paced import Budget
from .result import Result

SQNR_SAMPLES = 32  # signal and error are sums over many elements: few samples do


@dataclass(frozen=True, eq=False, kw_only=True)
class Verified(Result):
    """Whether all executions agree (None: not asked), and the signal to quantisation noise of each layer, dB.

    ``wanted`` is the number of samples that would have run without a budget.
    """

    bit_true: BitTrue | None = None
    wanted: int = 0
    sqnr_db: Mapping[str, float] = field(default_factory=dict)


def verify(found: Imported, spiking: Graph | None, program: Program, budget: Budget) -> Verified:
    """The interpreter against the backends that prove a build, on samples of the test split."""
    if not found.config.verify:
        return Verified(reasons={"bit_true": "no samples were asked for (--verify 0)"}, fact="skipped")

    def compared(x: Array) -> tuple[compare.Verification, dict[str, float]]:
        return compare.verify(program, x), compare.sqnr(spiking, program, x[:SQNR_SAMPLES]) if spiking else {}

    ran = budget.run("verify", program.graph, found.stimulus.draw, found.config.verify, compared, runs)
    result, noise = ran.found
    bit_true = BitTrue(
        equal=result.equal, samples=ran.samples, backends=result.backends, divergence=str(result.divergence or "")
    )  # fmt: skip
    warnings = tuple(quality.noisy(spiking, noise, found.config)) if spiking else ()
    return Verified(
        bit_true=bit_true, wanted=ran.wanted, sqnr_db=noise, warnings=warnings,
        reasons={} if spiking else {"layers.sqnr_db": NO_FLOATS}, fact=str(replace(result, cut=ran.cut)),
    )  # fmt: skip


def runs(samples: int) -> int:
    """How often a sample is run where so many are compared, the measured noise included."""
    return compare.runs(samples) + min(samples, SQNR_SAMPLES)
