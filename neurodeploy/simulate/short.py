"""Products with numbers of 16 bits: synapses whose inputs and weights fit, summed exactly in 32 bits.

One kernel does all of it: a few rows of pairs of 16-bit numbers, times columns of pairs, added up in registers
(vpmaddwd, vpdpwssd). Sums may wrap on the way; what is proven is that the result fits. A dense synapse has its inputs
as rows and its weights as columns. A convolution has its weights as rows, so that channels come first in what it
writes, and as columns the pixels of its padded input one after the other: what a tap of the kernel sees is the same
input, some places further on. So no patches are copied. Places at which an output would reach over the edge are
computed and left out. With a stride the input is laid out by its phases.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.nodes import Synapse
from ..jit import kept
from . import arithmetic
from .run import Run, Step
from .vector.tiles import CONV_COLUMNS, CONV_ROWS, DENSE_COLUMNS, DENSE_ROWS, conv_tile, dense_tile

SHORT, LONG = (1 << 15) - 1, (1 << 31) - 1


BLOCK = 8 * DENSE_ROWS  # rows of a dense synapse that are converted at a time
PLACE = np.uint64  # as an index: a number that might be negative keeps loops from becoming vectors
PLACES = 512  # about as many does a convolution lay out at a time


@kept
def dense_rows(x: Any, weight: Any, steps: Any, bias: Any, out: Any) -> None:
    """out (n, N) = x (n, K) times panels of weights (N / DENSE_COLUMNS, pairs, DENSE_COLUMNS), plus bias (N,)."""
    count, inputs = x.shape
    panels, pairs, _ = weight.shape
    outputs = out.shape[1]
    rows = np.zeros((BLOCK, 2 * pairs), np.int16)
    c, flat = np.empty((DENSE_ROWS, DENSE_COLUMNS), np.int32), out.reshape(out.size)
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        for i in range(size):
            for k in range(inputs):
                rows[i, k] = np.int16(np.int32(x[PLACE(start + i), k]))
        for panel in range(panels):
            first = panel * DENSE_COLUMNS
            columns = min(DENSE_COLUMNS, outputs - first)
            for i in range(0, size, DENSE_ROWS):
                dense_tile(rows, i * pairs, weight, panel * pairs * DENSE_COLUMNS, steps, pairs, c)
                for r in range(min(DENSE_ROWS, size - i)):
                    row = (start + i + r) * outputs + first
                    for j in range(columns):
                        flat[PLACE(row + j)] = np.int32(c[r, j] + bias[PLACE(first + j)])


@kept
def lay_out(x: Any, other: Any, image: Any, first: int, line: int, stride: Any, padding: Any) -> None:
    """Two channels (Y, X) into pairs of an image (phases of rows, of columns, places), from place ``first`` on."""
    (sy, sx), (py, px) = stride, padding
    height, width = x.shape
    for y in range(height):
        phase, row = (y + py) % sy, first + (y + py) // sy * line
        for right in range(min(sx, width)):
            place = row + (right + px) // sx
            count = (width - right + sx - 1) // sx
            to, low, high = (
                image[phase, (right + px) % sx, place : place + count],
                x[y, right:],
                other[y, right:],
            )
            if sx == 1:  # a distance that the compiler knows makes vectors
                for j in range(count):
                    to[j] = np.int32((np.int32(low[j]) & 65535) | np.int32(np.int32(high[j]) << 16))
            elif sx == 2:
                for j in range(count):
                    to[j] = np.int32((np.int32(low[2 * j]) & 65535) | np.int32(np.int32(high[2 * j]) << 16))
            else:
                for j in range(count):
                    to[j] = np.int32((np.int32(low[sx * j]) & 65535) | np.int32(np.int32(high[sx * j]) << 16))


@kept
def within(start: int, end: int, plane: int, line: int, rows: int, columns: int, runs: Any) -> int:
    """How many runs of places from ``start`` to ``end`` are outputs.

    Each is written to ``runs``: place from start on, length, sample, place in its output.
    """
    found, place = 0, start
    while place < end:
        sample, y, x = place // plane, place % plane // line, place % plane % line
        if y < rows and x < columns:
            runs[found, 0], runs[found, 1] = place - start, min(columns - x, end - place)
            runs[found, 2], runs[found, 3] = sample, y * columns + x
            found += 1
        place += line - x
    return found


@kept
def conv_planes(x: Any, weight: Any, steps: Any, bias: Any, out: Any, image: Any, plane: int, line: int,
                together: int, stride: Any, padding: Any) -> None:  # fmt: skip
    """out (n, O, Y', X') of x (n, C, Y, X) and weights (G, O/G rounded up to CONV_ROWS, pairs).

    ``image`` (C/G halved, phases of rows, of columns, places) is all zeros and takes ``together`` samples, ``plane``
    places each, their rows ``line``.
    """
    samples, channels, height, width = x.shape
    _, outputs, rows, columns = out.shape
    groups, own, pairs = weight.shape
    inside, real = channels // groups, outputs // groups
    none = np.zeros((height, width), x.dtype)
    c = np.empty((CONV_ROWS, CONV_COLUMNS), np.int32)
    flat = out.reshape(out.size)
    runs = np.empty((CONV_COLUMNS, 4), np.int64)
    for first in range(0, samples, together):
        count = min(together, samples - first)
        for g in range(groups):
            for s in range(count):
                for k in range(0, inside, 2):
                    low = x[first + s, g * inside + k]
                    high = x[first + s, g * inside + k + 1] if k + 1 < inside else none
                    lay_out(low, high, image[k // 2], s * plane, line, stride, padding)
            for start in range(0, count * plane, CONV_COLUMNS):
                found = within(
                    start, min(start + CONV_COLUMNS, count * plane), plane, line, rows, columns, runs
                )
                for o in range(0, own, CONV_ROWS):
                    conv_tile(weight, (g * own + o) * pairs, image, start, steps, pairs, c)
                    for i in range(found):
                        here, size, channel = (
                            runs[i, 0],
                            runs[i, 1],
                            (first + runs[i, 2]) * outputs + g * real + o,
                        )
                        for r in range(min(CONV_ROWS, real - o)):
                            to, by = (channel + r) * rows * columns + runs[i, 3], bias[g * real + o + r]
                            for j in range(size):
                                flat[PLACE(to + j)] = np.int32(c[r, PLACE(here + j)] + by)


def fits(node: Synapse, graph: Graph) -> bool:
    """Whether inputs and weights have 16 bits and sums are proven to have 32; filters of few outputs do not pay."""
    weight = np.abs(node.weight.astype(np.int64))
    reach, bias = arithmetic.magnitude(graph, node.inputs[0]), spread(node.bias, len(weight))
    sums = weight.reshape(len(weight), -1).sum(axis=1).astype(object) * reach + np.abs(bias).astype(object)
    few = node.op != "dense" and len(weight) // node.groups < CONV_ROWS // 2
    return not few and reach <= SHORT and int(weight.max(initial=0)) <= SHORT and max(sums, default=0) <= LONG


def spread(bias: Array | None, outputs: int) -> Array:
    """A bias for every output."""
    return np.zeros(outputs, np.int64) if bias is None else np.broadcast_to(bias, (outputs,)).astype(np.int64)


def synapse(node: Synapse, kind: Any) -> Step:
    """A synapse for which :func:`fits` holds; its values have the type ``kind``."""
    return _dense(node, kind) if node.op == "dense" else _conv(node, kind)


def _dense(node: Synapse, kind: Any) -> Step:
    outputs, inputs = node.weight.shape
    panels, pairs = -(-outputs // DENSE_COLUMNS), -(-inputs // 2)
    weight = np.zeros((panels * DENSE_COLUMNS, 2 * pairs), np.int16)
    weight[:outputs, :inputs] = node.weight
    # (panel, column, pair) with two numbers in an int32, columns innermost
    packed = np.ascontiguousarray(
        weight.view(np.int32).reshape(panels, DENSE_COLUMNS, pairs).transpose(0, 2, 1)
    )
    bias, steps = spread(node.bias, outputs).astype(np.int32), np.arange(pairs) * DENSE_COLUMNS

    def step(args: list[Array], run: Run) -> Array:
        x = np.ascontiguousarray(args[0]).reshape(-1, inputs)
        out = np.empty((len(x), outputs), kind)
        dense_rows(x, packed, steps, bias, out)
        return out.reshape(*args[0].shape[:-1], outputs)

    return step


def _conv(node: Synapse, kind: Any) -> Step:
    outputs, inside, ky, kx = node.weight.shape
    own, halves = outputs // node.groups, -(-inside // 2)
    rows = -(-own // CONV_ROWS) * CONV_ROWS
    weight = np.zeros((node.groups, rows, ky, kx, 2 * halves), np.int16)
    grouped = node.weight.reshape(node.groups, own, inside, ky, kx)
    weight[:, :own, ..., :inside] = grouped.transpose(0, 1, 3, 4, 2)
    packed = weight.view(np.int32).reshape(node.groups, rows, -1)
    bias = spread(node.bias, outputs).astype(np.int32)
    stride, padding = node.stride, node.padding

    def step(args: list[Array], run: Run) -> Array:
        x = np.ascontiguousarray(args[0])
        x = x.reshape(-1, *x.shape[2:])
        padded = [n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True)]
        size = [(n - k) // s + 1 for n, k, s in zip(padded, (ky, kx), stride, strict=True)]
        lines, line = (-(-n // s) for n, s in zip(padded, stride, strict=True))
        plane = lines * line
        # samples side by side until they are many columns, and one more for what the last ones see beyond their end
        together = max(1, min(len(x), PLACES // plane))
        places = (together + 1) * plane + CONV_COLUMNS
        image = np.zeros((halves, *stride, places), np.int32)
        y, z = np.divmod(np.arange(ky), stride[0]), np.divmod(np.arange(kx), stride[1])
        phase = (y[1][:, None] * stride[1] + z[1]) * places
        taps = (phase + y[0][:, None] * line + z[0]).ravel()
        steps = (taps[:, None] + np.arange(halves) * prod(stride) * places).ravel()
        out = np.empty((len(x), outputs, *size), kind)
        conv_planes(x, packed, steps, bias, out, image, plane, line, together, stride, padding)
        return out.reshape(*args[0].shape[:2], outputs, *size)

    return step
