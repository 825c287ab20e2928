"""Rearrangements of images: pixels into channels and back, windows side by side, resizing by copies."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from ..lowering import Lowering
from ..values import Refusal, Stream
from ._base import operator
from ._windows import windowed
from .convolution import transposed_convolution
from .gather import taken
from .linear import along
from .views import constant_pad


@operator("pixel_shuffle")
def pixel_shuffle(lowering: Lowering, x: Stream, upscale_factor: int) -> Stream:
    """(C r r, Y, X) to (C, Y r, X r)."""
    batch, channels, rows, columns = x.sizes
    r = upscale_factor
    parts = lowering.reshape(x, (batch, channels // r**2, r, r, rows, columns))
    spread = lowering.permute(parts, (0, 1, 4, 2, 5, 3))
    return lowering.reshape(spread, (batch, channels // r**2, rows * r, columns * r))


@operator("pixel_unshuffle")
def pixel_unshuffle(lowering: Lowering, x: Stream, downscale_factor: int) -> Stream:
    """(C, Y r, X r) to (C r r, Y, X)."""
    batch, channels, rows, columns = x.sizes
    r = downscale_factor
    parts = lowering.reshape(x, (batch, channels, rows // r, r, columns // r, r))
    stacked = lowering.permute(parts, (0, 1, 3, 5, 2, 4))
    return lowering.reshape(stacked, (batch, channels * r**2, rows // r, columns // r))


@operator("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(lowering: Lowering, x: Stream, groups: int) -> Stream:
    """One channel of each group in turn."""
    batch, channels, *space = x.sizes
    parts = lowering.reshape(x, (batch, groups, channels // groups, *space))
    turned = lowering.permute(parts, (0, 2, 1, *range(3, parts.rank)))
    return lowering.reshape(turned, x.sizes)


@operator("unfold")
def unfold(
    lowering: Lowering, x: Stream, dimension: Any = None, size: int = 1, step: int = 1, **window: Any
) -> Stream:
    """Windows of an axis in a new last axis; torch.nn.functional's of this name is :func:`im2col`."""
    if window:
        return im2col(lowering, x, **window)
    dim = x.dim(dimension)
    windows = windowed(lowering, x, dim, size, step, 1)
    return lowering.permute(windows, [d for d in range(windows.rank) if d != dim + 1] + [dim + 1])


@operator("im2col")
def im2col(
    lowering: Lowering, x: Stream, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Stream:
    """(C, Y, X) to the windows of a convolution, (C ky kx, windows)."""
    kernel, dilation, padding, stride = (pair(given) for given in (kernel_size, dilation, padding, stride))
    x = constant_pad(lowering, x, [n for n in reversed(padding) for _ in range(2)])
    for axis in (1, 0):
        x = windowed(lowering, x, 2 + axis, kernel[axis], stride[axis], dilation[axis])
    x = lowering.permute(x, (0, 1, 3, 5, 2, 4))  # (C, oy, ky, ox, kx) to (C, ky, kx, oy, ox)
    return lowering.reshape(x, (x.sizes[0], x.sizes[1] * kernel[0] * kernel[1], -1))


@operator("col2im", "fold")
def col2im(
    lowering: Lowering,
    x: Stream,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Stream:
    """The windows of a convolution, (C ky kx, windows), added up where they overlap: a transposed convolution.

    Its kernel for each element of a window has a one in its place. What no window reaches is 0.
    """
    kernel, dilation, padding, stride = (pair(given) for given in (kernel_size, dilation, padding, stride))
    size, count = pair(output_size), kernel[0] * kernel[1]
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    windows = [(n + 2 * p - r) // s + 1 for n, p, r, s in zip(size, padding, reach, stride, strict=True)]
    rest = [
        n + 2 * p - r - (w - 1) * s
        for n, p, r, w, s in zip(size, padding, reach, windows, stride, strict=True)
    ]
    image = lowering.reshape(x, (x.sizes[0], x.sizes[1], *windows))
    places = np.tile(np.eye(count).reshape(count, 1, *kernel), (x.sizes[1] // count, 1, 1, 1))
    return transposed_convolution(
        lowering, image, places, None, stride, padding, rest, x.sizes[1] // count, dilation
    )


@operator("interpolate")
def interpolate(
    lowering: Lowering,
    x: Stream,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    *_: Any,
    **__: Any,
) -> Stream:
    """Resizing axis by axis: by copies of single elements, or by a linear map. What torch makes of a row says which."""
    import torch

    if mode not in ("nearest", "nearest-exact", "linear", "bilinear", "bicubic"):
        raise Refusal("ND101", "a resizing of this kind", mode, "nearest, (bi)linear or bicubic")
    if mode == "bicubic":
        return _bicubic(lowering, x, scale_factor, bool(align_corners))
    copies, options = mode.startswith("nearest"), {"align_corners": align_corners}
    for dim, wanted in enumerate((lowering.call.sizes or x.sizes)[2:], start=2):
        scale = None if scale_factor is None else pair(scale_factor)[dim - x.rank]
        row = partial(
            torch.nn.functional.interpolate, size=None if scale else wanted, scale_factor=scale,
            mode=mode if copies else "linear", **({} if copies else options),
        )  # fmt: skip
        length = x.sizes[dim]
        if copies:
            places = row(torch.arange(length, dtype=torch.float64)[None, None])
            x = taken(lowering, x, dim, places.flatten().long().tolist())
        else:
            x = along(
                lowering, x, dim, lowering.array(row(torch.eye(length, dtype=torch.float64)[None])[0].T)
            )
    return x


def _bicubic(lowering: Lowering, x: Stream, scale_factor: Any, align_corners: bool) -> Stream:
    """A linear map along each axis, which torch itself makes of columns of one pixel."""
    import torch

    for dim, wanted in enumerate((lowering.call.sizes or x.sizes)[2:], start=2):
        scale = None if scale_factor is None else pair(scale_factor)[dim - x.rank]
        columns = torch.eye(x.sizes[dim], dtype=torch.float64)[None, :, :, None]
        made = torch.nn.functional.interpolate(
            columns, size=None if scale else (wanted, 1), scale_factor=(scale, 1.0) if scale else None,
            mode="bicubic", align_corners=align_corners,
        )  # fmt: skip
        x = along(lowering, x, dim, lowering.array(made[0, :, :, 0].T))
    return x


@operator("upsample_nearest1d", "upsample_nearest2d")
def upsample_nearest(lowering: Lowering, x: Stream, size: Any, scale_factors: Any = None) -> Stream:
    """Aten's form."""
    return interpolate(lowering, x, size, scale_factors)


@operator("_upsample_nearest_exact1d", "_upsample_nearest_exact2d")
def upsample_nearest_exact(lowering: Lowering, x: Stream, size: Any, scale_factors: Any = None) -> Stream:
    """Aten's form."""
    return interpolate(lowering, x, size, scale_factors, "nearest-exact")


@operator("upsample_linear1d", "upsample_bilinear2d")
def upsample_linear(
    lowering: Lowering, x: Stream, size: Any, align_corners: bool, scale_factors: Any = None
) -> Stream:
    """Aten's form."""
    return interpolate(lowering, x, size, scale_factors, "linear", align_corners)


@operator("upsample_bicubic2d")
def upsample_bicubic(
    lowering: Lowering, x: Stream, size: Any, align_corners: bool, scale_factors: Any = None
) -> Stream:
    """Aten's form."""
    return interpolate(lowering, x, size, scale_factors, "bicubic", align_corners)


def copied_edges(lowering: Lowering, x: Stream, pad: Sequence[int], mode: str) -> Stream:
    """Padding by elements of the stream: 'reflect', 'replicate' or 'circular', the last axis first."""
    modes: dict[str, Any] = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    if mode not in modes:
        raise Refusal("ND101", "a padding of this kind", mode, ", ".join(modes))
    for i, sides in enumerate(zip(pad[::2], pad[1::2], strict=True)):
        dim = x.rank - 1 - i
        places = np.pad(np.arange(x.sizes[dim]), sides, mode=modes[mode])
        x = taken(lowering, x, dim, places.tolist())
    return x


@operator("reflection_pad1d", "reflection_pad2d")
def reflection_pad(lowering: Lowering, x: Stream, padding: Sequence[int]) -> Stream:
    """Padding by the elements next to the edge, in reverse."""
    return copied_edges(lowering, x, padding, "reflect")


@operator("replication_pad1d", "replication_pad2d")
def replication_pad(lowering: Lowering, x: Stream, padding: Sequence[int]) -> Stream:
    """Padding by the outermost elements."""
    return copied_edges(lowering, x, padding, "replicate")


@operator("_pad_circular")
def circular_pad(lowering: Lowering, x: Stream, pad: Sequence[int]) -> Stream:
    """Padding by the elements of the other end."""
    return copied_edges(lowering, x, pad, "circular")


@operator("pad")
def pad(lowering: Lowering, x: Stream, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Any:
    """A number, or elements of the stream, before and after; pairs count from the last axis as in torch."""
    if mode == "constant":
        return constant_pad(lowering, x, pad, value or 0.0)
    return copied_edges(lowering, x, pad, mode)


def pair(value: Any) -> tuple[int, int]:
    """One number for both axes of space, or one for each."""
    both = (value, value) if isinstance(value, (int, float)) else tuple(value)
    return (both[0], both[-1])
