"""Fourier transforms: linear maps by cosines and sines. A complex stream has a last axis of real and imaginary part.

Torch has no such axis, so whatever reads it must be one of these: sizes tell any other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...array import Array
from ..lowering import Lowering
from ..values import Refusal, Stream
from ._base import operator
from .arithmetic import add
from .linear import along
from .views import select, stack


@operator("fft_fftn", "fft_fft2", "fft_fft", retypes=True)
def transform(lowering: Lowering, x: Stream, size: Any = None, dim: Any = None, norm: Any = None) -> Stream:
    """The discrete Fourier transform of a real stream along axes, without a factor."""
    usual: dict[str, Any] = {"fft_fft2": (-2, -1), "fft_fft": -1}
    dims = usual.get(lowering.call.op, range(x.rank)) if dim is None else dim
    dims = [dims] if isinstance(dims, int) else list(dims)
    if size is not None or norm not in (None, "backward"):
        raise Refusal(
            "ND101",
            "a Fourier transform of this kind",
            f"size {size}, norm {norm}",
            "the usual size and norm",
        )
    return _transformed(lowering, x, dims)


@operator("_fft_c2c", "_fft_r2c", retypes=True)
def transform_by_axes(lowering: Lowering, x: Stream, dim: Any, normalization: int, way: bool) -> Stream:
    """The basic forms: of numbers that were made complex before, forward or not; of real ones, a half of it or all."""
    one_sided = way and lowering.call.op == "_fft_r2c"
    forward = way or lowering.call.op == "_fft_r2c"
    if normalization or not forward or one_sided or x.name in lowering.spectra:
        found = f"normalization {normalization}, {'one' if one_sided else 'two'}-sided, forward {forward}"
        raise Refusal(
            "ND101", "a Fourier transform of this kind", found, "of real numbers, forward, without a factor"
        )
    return _transformed(lowering, x, list(dim))


def _transformed(lowering: Lowering, x: Stream, dims: list[int]) -> Stream:
    """Cosines and sines of one axis after the other: (re + i im) (cos - i sin)."""
    real: Any = x
    imaginary: Any = None
    for dim in map(x.dim, dims):
        size = x.sizes[dim]
        angles: Array = 2 * np.pi / size * (np.outer(np.arange(size), np.arange(size)) % size)
        cosines, sines = np.cos(angles), np.sin(angles)
        turned = along(lowering, real, dim, cosines), along(lowering, real, dim, -sines)
        if imaginary is None:
            real, imaginary = turned
            continue
        more = along(lowering, imaginary, dim, sines), along(lowering, imaginary, dim, cosines)
        real, imaginary = add(lowering, turned[0], more[0]), add(lowering, turned[1], more[1])
    made = stack(lowering, [real, imaginary], -1)
    lowering.spectra.add(made.name)
    return made


@operator("view_as_real", retypes=True)
def view_as_real(lowering: Lowering, x: Stream) -> Stream:
    """Both parts in a last axis, as they are kept."""
    if x.name not in lowering.spectra:
        raise Refusal(
            "ND101", "a real stream that is taken for a complex one", x.sizes, "a Fourier transform"
        )
    return x


@operator("real", "imag", retypes=True)
def part(lowering: Lowering, x: Stream) -> Stream:
    """One part of a complex stream; a real one is its real part."""
    if x.name in lowering.spectra:
        return select(lowering, x, -1, int(lowering.call.op == "imag"))
    if lowering.call.op == "imag":
        raise Refusal("ND101", "the imaginary part of a real stream", x.sizes, "a Fourier transform")
    return x
