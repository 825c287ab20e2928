"""Stage 7, verify: interpreter and backends give the same integers at every node and tick; levels layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .. import beside, compare, sampled
from ..array import Array
from ..calibrate import unheard
from ..ir.graph import Graph
from ..program import Program
from ..report.inputs import Beside, BitTrue
from ..sampled import Sampled
from ..target import Target
from . import quality
from .evaluated import NO_FLOATS
from .imported import Imported
from .paced import Budget
from .result import Progress, Result

SQNR_SAMPLES = 32  # signal and error are sums over many elements: few samples do


@dataclass(frozen=True, eq=False, kw_only=True)
class Verified(Result):
    """Whether all executions agree (None: not asked), and what each layer says at every level.

    ``wanted`` is the number of samples that would have run without a budget, ``sampled`` says which cores did where not
    all of them could.
    """

    bit_true: BitTrue | None = None
    wanted: int = 0
    sampled: str = ""
    beside: Beside = field(default_factory=Beside)


def verify(
    found: Imported,
    spiking: Graph | None,
    program: Program,
    target: Target,
    budget: Budget,
    progress: Progress = unheard,
) -> Verified:
    """The interpreter against the backends that prove a build, on samples of the test split."""
    if not found.config.verify:
        return Verified(reasons={"bit_true": "no samples were asked for (--verify 0)"}, fact="skipped")

    def compared(x: Array) -> tuple[compare.Verification, Beside]:
        levels = beside.compared(found.graph, spiking, program, x[:SQNR_SAMPLES]) if spiking else Beside()
        return compare.verify(program, x, heard=progress), levels

    draw = found.stimulus.draw
    cores, spent = sample(program, target, draw, budget)
    ran = budget.run("verify", program.graph, draw, found.config.verify, compared, runs, spent)
    result, levels = joined(ran.found[0], cores, ran.cut), ran.found[1]
    bit_true = BitTrue(
        equal=result.equal, samples=ran.samples, backends=result.backends, divergence=str(result.divergence or "")
    )  # fmt: skip
    warnings = tuple(quality.noisy(spiking, levels.sqnr_db, found.config)) if spiking else ()
    return Verified(
        bit_true=bit_true, wanted=ran.wanted, sampled=result.sampled, beside=levels, warnings=warnings,
        reasons={} if spiking else dict.fromkeys(("layers.sqnr_db", "beside.layers"), NO_FLOATS), fact=str(result),
    )  # fmt: skip


def sample(
    program: Program, target: Target, draw: Callable[[int], Array], budget: Budget
) -> tuple[Sampled | None, float]:
    """What a sample of cores did where not all are simulated, on one sample of the data; and the seconds it took."""
    if not program.unimaged:
        return None, 0.0
    began = budget.clock()
    return sampled.verify(program, target, draw(1)), budget.clock() - began


def joined(result: compare.Verification, cores: Sampled | None, cut: str) -> compare.Verification:
    """A comparison of backends with that of a sample of cores, and why samples were left out."""
    if cores is None:
        return replace(result, cut=cut)
    divergence = result.divergence or cores.divergence
    return replace(result, equal=divergence is None, divergence=divergence, sampled=str(cores), cut=cut)


def runs(samples: int) -> int:
    """How often a sample is run where so many are compared, the measured noise included."""
    return compare.runs(samples) + min(samples, SQNR_SAMPLES)
