"""Small random changes of training images, drawn from torch's generator; pixel values stay whole levels."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def augment(
    pixels: Tensor,
    levels: int,
    shift: float,
    rotate: float,
    zoom: float,
    noise: float,
    flip: bool,
    crop: int = 0,
) -> Tensor:
    """Shift (pixels), rotate (degrees), zoom (relative), mirror and add noise (levels) to float (B, C, H, W).

    Every change is uniform within plus or minus its bound, noise is normal. ``crop`` shifts by whole pixels, as a crop
    of a padded image does: unlike ``shift`` it blurs nothing. What moves in from outside is 0. The result is rounded
    and clipped to 0 .. levels, because these are the only pixels that a deployed network sees.
    """
    count, height = pixels.shape[0], pixels.shape[2]
    matrix = _affine(count, height, shift, rotate, zoom, flip)
    if crop:
        matrix[:, :, 2] += torch.randint(-crop, crop + 1, (count, 2)) * (2 / height)
    grid = functional.affine_grid(matrix, list(pixels.shape), False)
    moved = functional.grid_sample(pixels, grid.to(pixels.device), padding_mode="zeros", align_corners=False)
    noisy = moved + noise * torch.randn(moved.shape).to(pixels.device)
    return noisy.round().clamp(0, levels)


def _uniform(count: int, bound: float) -> Tensor:
    return (2 * torch.rand(count) - 1) * bound


def _affine(count: int, height: int, shift: float, rotate: float, zoom: float, flip: bool) -> Tensor:
    """Matrices (B, 2, 3) from output to input coordinates, both in -1 .. 1; drawn on the CPU on any device."""
    angle = _uniform(count, math.radians(rotate))
    scale = 1 + _uniform(count, zoom)
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0) if flip else torch.ones(count)
    moves = torch.stack((_uniform(count, 2 * shift / height), _uniform(count, 2 * shift / height)), dim=-1)
    rows = (torch.cos(angle) * mirror, -torch.sin(angle), torch.sin(angle) * mirror, torch.cos(angle))
    matrix = torch.stack(rows, dim=-1).view(count, 2, 2) * scale.view(count, 1, 1)
    return torch.cat((matrix, moves.unsqueeze(-1)), dim=-1)
