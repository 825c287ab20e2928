"""Stage 7, verify: interpreter and backends give the same integers at every node and tick; noise of each layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import compare
from ..ir.graph import Graph
from ..program import Program
from ..report.inputs import BitTrue
from . import quality
from .evaluated import NO_FLOATS
from .imported import Imported
from .result import Result

SQNR_SAMPLES = 32  # signal and error are sums over many elements: few samples do


@dataclass(frozen=True, eq=False, kw_only=True)
class Verified(Result):
    """Whether all executions agree (None: not asked), and the signal to quantisation noise of each layer, dB."""

    bit_true: BitTrue | None = None
    sqnr_db: Mapping[str, float] = field(default_factory=dict)


def verify(found: Imported, spiking: Graph | None, program: Program) -> Verified:
    """The interpreter against the backends that prove a build, on samples of the test split."""
    if not found.config.verify:
        return Verified(reasons={"bit_true": "no samples were asked for (--verify 0)"}, fact="skipped")
    images, _ = found.stimulus.measurement(found.config.verify)
    result = compare.verify(program, images)
    divergence = str(result.divergence or "")
    bit_true = BitTrue(
        equal=result.equal, samples=len(images), backends=result.backends, divergence=divergence
    )
    if spiking is None:
        return Verified(bit_true=bit_true, reasons={"layers.sqnr_db": NO_FLOATS}, fact=str(result))
    noise = compare.sqnr(spiking, program, images[:SQNR_SAMPLES])
    warnings = tuple(quality.noisy(spiking, noise, found.config))
    return Verified(bit_true=bit_true, sqnr_db=noise, warnings=warnings, fact=str(result))
