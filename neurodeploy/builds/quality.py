"""Quality that collapses says so: warnings where a level of the network does not do what the one before it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..config import BuildConfig
from ..convert._base import METHODS
from ..errors import Problem
from ..ir.graph import Graph
from ..ir.nodes import View
from ..report import units
from ..report.inputs import Accuracy, Pictures

DROP = 0.05  # of the accuracy from one level to another
NOISE_DB = 15.0  # signal to quantisation noise of the read-out: every 30th of its power is noise
NEAR = 0.95  # cosine of read-outs with those of the float model
NEAR_DB = 30.0  # of images, beside those of the float model
BITS = 8  # of a weight, at most


def drops(accuracy: Accuracy, config: BuildConfig) -> Iterator[Problem]:
    """ND680 where spikes lose more than 5 points of the float model's accuracy, ND681 where integers do."""
    floats, spiking, integer = accuracy.source, accuracy.spiking, accuracy.integer
    if floats is None or spiking is None or integer is None:
        return
    if floats - spiking > DROP:
        cause = "the spiking network answers fewer right than the float model"
        yield _lost("ND680", cause, config, accuracy.samples, floats, spiking, of_spikes(config))
        floats = spiking  # what spikes lost is no fault of the integers
    if max(floats, spiking) - integer > DROP:
        cause = "the integer network answers fewer right than it did in floats"
        fixes = of_integers(config)
        yield _lost("ND681", cause, config, accuracy.samples, max(floats, spiking), integer, fixes)


def _lost(
    code: str,
    cause: str,
    config: BuildConfig,
    samples: int,
    before: float,
    after: float,
    fixes: tuple[str, ...],
) -> Problem:
    found = f"{100 * after:.1f} % of {samples} after {100 * before:.1f} %"
    where = f"{config.method}, T = {config.timesteps}, {config.weight_bits}-bit weights"
    return Problem(code, cause, where, found, f"{100 * DROP:g} points", fixes, "warning")


def apart(cosines: Mapping[str, float], config: BuildConfig) -> Iterator[Problem]:
    """ND682 for the first level whose read-outs turn away from those of the float model."""
    fixes = {"spiking": of_spikes(config), "integer": of_integers(config)}
    for level in fixes:
        if cosines[level] < NEAR:
            cause = f"the read-out of the {level} network is unlike that of the float model"
            where, found = f"{config.method}, T = {config.timesteps}", f"cosine {cosines[level]:.3f}"
            yield Problem("ND682", cause, where, found, str(NEAR), fixes[level], "warning")
            break


def pictured(images: Pictures) -> Iterator[str]:
    """What is said of images: PSNR beside those of the float model, and beside the truth where there is one."""
    if images.true:
        yield "PSNR " + " -> ".join(f"{k} {units.decibels(v)}" for k, v in images.true.items())
    yield "beside the float images " + ", ".join(f"{k} {units.decibels(v)}" for k, v in images.near.items())


def unlike(images: Pictures, config: BuildConfig) -> Iterator[Problem]:
    """ND684 for the first level whose images are unlike those of the float model."""
    fixes = {"spiking": of_spikes(config), "integer": of_integers(config)}
    for level, near in images.near.items():
        if near is not None and near < NEAR_DB:
            cause = f"the images of the {level} network are unlike those of the float model"
            where, limit = f"{config.method}, T = {config.timesteps}", units.decibels(NEAR_DB)
            yield Problem("ND684", cause, where, units.decibels(near), limit, fixes[level], "warning")
            break


def noisy(spiking: Graph, sqnr_db: Mapping[str, float], config: BuildConfig) -> Iterator[Problem]:
    """ND683 where quantisation noise drowns the read-out, with the layer where it first does."""
    *_, read = spiking.upwards(spiking.output.inputs[0], lambda node: isinstance(node, View))
    level = sqnr_db.get(read.name)
    if level is None or level >= NOISE_DB:
        return
    first = next(name for name, found in sqnr_db.items() if found < NOISE_DB)
    cause, found = "quantisation noise drowns the read-out", f"{level:.1f} dB"
    where = read.place if first == read.name else f"{read.place}, first at {spiking.nodes[first].place}"
    fixes = (*of_integers(config), *of_spikes(config))
    yield Problem("ND683", cause, where, found, f"{NOISE_DB:g} dB", fixes, "warning")


def of_spikes(config: BuildConfig) -> tuple[str, ...]:
    """What brings a spiking network nearer to its float model."""
    method = METHODS.get(config.method)
    return () if method is None else method.nearer(method.preset(config.convert), config.timesteps or 1)


def of_integers(config: BuildConfig) -> tuple[str, ...]:
    """What brings integers nearer to the floats that they stand for."""
    narrow = config.weight_bits < BITS
    wider = (f"wider weights: --weight-bits {BITS}",) * narrow
    together = ("weights rounded together: --set rounding=calibrated",) * (
        config.rounding == "nearest" and narrow
    )
    return (*wider, *together, f"calibrate on more samples: --calib {2 * config.calib}")
