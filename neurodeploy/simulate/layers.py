"""One compiled function for a layer and its population: rows of weights summed, scaled, added to a stream, and fired.

A block of rows (tokens of samples) goes through all ticks, and within a tick through tiles of columns, so that a tile's
sums never leave the first-level cache and states are kept for a block alone. What comes out is the sum where others
read it, the payload, or lists of the spikes of each row, ready for the next layer.

A row of a convolution is an output pixel, and what it reads is a patch: the rows of the pixels under its filters, one
behind the other, put together for a block at a time. Lists of spikes were tried there: at the 25 to 40 % that trained
networks of four ticks send they take twice as long as instructions that multiply four inputs of 8 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..array import Array
from ..ir.neuron_model import NEURONS
from ..jit import kept
from . import calls, kernels, vector
from .kernels import inlined
from .vector import lanes, part

#: rows that pass through the ticks together
BLOCK = 16

USES = """\
from neurodeploy.simulate.kernels import scalar_step
from neurodeploy.simulate.layers import BLOCK, copied, joined, near, patch, tapped, {scaled} as scaled
from neurodeploy.simulate.vector import lanes, part, row_at, {dot} as dot, {gather} as gather, {positions} as positions

{step}
"""

SOURCE = """\
    ticks = resets.size
    width = {width}  # of a tile
    tiles, room = bias.size // width, index.shape[2]
    # one piece of memory, from the start of a cache line on: to ask for it takes as long as a few rows
    memory = np.empty(64 + BLOCK * (4 * (width + {states} * size) + width * out.itemsize), np.int8)
    place = memory.ctypes.data + (-memory.ctypes.data & 63)
    sums_of_block = row_at(place, bias, BLOCK * width)
    place += 4 * BLOCK * width
    fired = row_at(place, out, BLOCK * width)
    place += out.itemsize * BLOCK * width
{state}
{memory}
    clipped_scale, clipped = np.int64(0), np.int64(0)
    for first in range(lo, hi, BLOCK):
        last = min(first + BLOCK, hi)
        for t in range(ticks):
{zero}
            if index.size:
                for r in range(first, last):
                    count[t, r] = 0
{prepare}
            for tile in range(tiles):
                start = tile * width
                m = {columns}
{sum}
                # stage by stage: to read a row again as soon as it is written would wait for it
                if scale.size:
                    for r in range(first, last):
                        clipped_scale += scaled(part(sums_of_block, (r - first) * width, m), part(scale, start, m),
                                                part(scale, size + start, m), part(scale, 2 * size + start, m), top)
                if other.size:
                    for r in range(first, last):
                        place = (t if other.shape[0] > 1 else 0) * other.shape[1] * tokens
                        place += r if other.shape[1] > 1 or out.shape[1] == tokens else r % tokens
                        joined(part(sums_of_block, (r - first) * width, m), own_sign,
                               part(other, place * size + start, m), other_sign)
                if sums.size:
                    for r in range(first, last):
                        at = t * out.shape[1] + r
                        copied(part(sums_of_block, (r - first) * width, m), part(sums, at * size + start, m))
{fire}
            if index.size:
                for r in range(first, last):
                    for i in range(4):
                        index[t, r, count[t, r] + i] = size
    counted[0], counted[1] = clipped_scale, clipped
    memory[0] = 0  # used until here
"""

#: memory of a call, work before a tick of a block of rows, and the sums of a tile of it, by what the layer starts from
STARTS = {
    "lists": (
        """\
    inputs = weights.shape[1]
    padded = matrix.size // (tiles * width)
    dense = np.empty(BLOCK * padded if crossover < inputs else 0, np.{dense})""",
        """\
            line = (t if source.shape[0] > 1 else 0) * source.shape[1]
            events = np.int64(0)
            for r in range(first, last):
                events += length[line // source.shape[1], r]
            if events > crossover * (last - first):
                dense[:] = 0
                for r in range(first, last):
                    row = part(source, (line + r) * source.shape[2], source.shape[2])
                    for i in range(length[line // source.shape[1], r]):
                        dense[(r - first) * padded + np.int64(row[i])] = 1""",
        """\
                if events > crossover * (last - first):
                    dot(part(dense, 0, (last - first) * padded), padded, part(matrix, start * padded, width * padded),
                        width // 64, part(bias, start, width), part(sums_of_block, 0, (last - first) * width))
                else:
                    for r in range(first, last):
                        row = part(source, (line + r) * source.shape[2], source.shape[2])
                        gather(row, length[line // source.shape[1], r],
                               part(weights, tile * inputs * width, inputs * width), part(bias, start, width),
                               part(sums_of_block, (r - first) * width, width))""",
    ),
    "rows": (
        """\
    once = np.empty(BLOCK * bias.size if source.shape[0] == 1 else 0, np.int32)  # of rows alike at all ticks""",
        "            line = (t if source.shape[0] > 1 else 0) * source.shape[1] + first",
        """\
                summed = part(once, BLOCK * start, BLOCK * width) if once.size else sums_of_block
                if t == 0 or not once.size:
                    dot(part(source, line * source.shape[2], (last - first) * source.shape[2]), source.shape[2],
                        part(matrix, start * source.shape[2], width * source.shape[2]), width // 64,
                        part(bias, start, width), part(summed, 0, (last - first) * width))
                if once.size:
                    copied(part(summed, 0, (last - first) * width), sums_of_block)""",
    ),
    "patches": (
        """\
    padded = matrix.size // (tiles * width)
    patches = np.zeros(BLOCK * padded, np.{dense})
    once = np.empty(BLOCK * bias.size if source.shape[0] == 1 else 0, np.int32)  # of rows alike at all ticks""",
        """\
            if t == 0 or source.shape[0] > 1:
                for r in range(first, last):
                    patch(near(r, tokens, geometry), geometry, source, t if source.shape[0] > 1 else 0,
                          part(patches, (r - first) * padded, padded))""",
        """\
                summed = part(once, BLOCK * start, BLOCK * width) if once.size else sums_of_block
                if t == 0 or not once.size:
                    dot(part(patches, 0, (last - first) * padded), padded,
                        part(matrix, start * padded, width * padded), width // 64, part(bias, start, width),
                        part(summed, 0, (last - first) * width))
                if once.size:
                    copied(part(summed, 0, (last - first) * width), sums_of_block)""",
    ),
    "taps": (
        "    # none",
        "            # nothing",
        """\
                for r in range(first, last):
                    row = part(sums_of_block, (r - first) * width, m)
                    copied(part(bias, start, m), row)
                    tapped(near(r, tokens, geometry), geometry, source, t if source.shape[0] > 1 else 0, matrix,
                           bias.size, start, row)""",
    ),
    "sums": (
        "    # none",
        "            # nothing",
        """\
                for r in range(first, last):
                    line = (t if source.shape[0] > 1 else 0) * source.shape[1]
                    line += r // tokens if source.shape[1] > 1 else 0
                    copied(part(source, (line * tokens + r % tokens) * size + start, m),
                           part(sums_of_block, (r - first) * width, m))""",
    ),
}

FIRE = """\
                for r in range(first, last):
                    x, row = part(sums_of_block, (r - first) * width, m), part(fired, (r - first) * width, m)
                    clipped += lanes(step, (x{states}{values}), (row{states},))
                if index.size:
                    for r in range(first, last):
                        at, row = t * out.shape[1] + r, part(fired, (r - first) * width, m)
                        count[t, r] = positions(row, start, part(index, at * room, room), count[t, r])
                if sends:
                    for r in range(first, last):
                        at = t * out.shape[1] + r
                        copied(part(fired, (r - first) * width, m), part(out, at * size + start, m))"""


@inlined
def copied(source: Array, target: Array) -> None:
    """The first of target = source (m,)."""
    for j in range(source.size):
        target[j] = source[j]


@inlined
def near(r: int, tokens: int, geometry: Any) -> Any:
    """The first pixel of the input that output pixel ``r`` of all samples sees.

    Where its sample begins, and its row and column.

    ``geometry``: rows, columns and channels of an input, columns of an output; rows and columns of a filter, of a
    stride, of the padding.
    """
    height, width, _, columns, _, _, down, right, above, before = geometry
    sample, pixel = r // tokens, r % tokens
    return sample * height * width, pixel // columns * down - above, pixel % columns * right - before


@kept
def patch(at: Any, geometry: Any, source: Array, tick: int, out: Array) -> None:
    """The rows of the pixels under a filter, one behind the other; zeros beyond the edge."""
    height, width, channels, _, rows, columns, _, _, _, _ = geometry
    sample, top, left = at
    low, high = max(0, -left), min(columns, width - left)
    if top < 0 or top + rows > height or low > 0 or high < columns:
        out[:] = 0
    for i in range(max(0, -top), min(rows, height - top)):
        pixel = tick * source.shape[1] + sample + (top + i) * width + left + low
        count = max(0, high - low) * channels
        copied(part(source, pixel * channels, count), part(out, (i * columns + low) * channels, count))


@kept
def tapped(
    at: Any, geometry: Any, source: Array, tick: int, weights: Array, size: int, start: int, out: Array
) -> None:
    """out (m,) += weight times input of channels ``start`` .. of all pixels under a filter that sees its channel alone.

    ``weights``: (taps, size), flat.
    """
    height, width, channels, _, rows, columns, _, _, _, _ = geometry
    sample, top, left = at
    for i in range(max(0, -top), min(rows, height - top)):
        for j in range(max(0, -left), min(columns, width - left)):
            pixel = tick * source.shape[1] + sample + (top + i) * width + left + j
            x = part(source, pixel * channels + start, out.size)
            weight = part(weights, (i * columns + j) * size + start, out.size)
            lanes(_added, (out, x, weight), (out,))


@kept
def _added(total: Any, x: Any, weight: Any) -> Any:
    return np.int32(total + np.int32(np.int32(x) * np.int32(weight))), np.int32(0)


@inlined
def scaled(sums: Array, multiplier: Array, shift: Array, half: Array, top: int) -> int:
    """Rescale sums (m,) in place by channel, clipped to +-top; how many were."""
    clipped: int = lanes(_scaled_one, (sums, multiplier, shift, top), (sums,))
    return clipped


@inlined
def scaled_open(sums: Array, multiplier: Array, shift: Array, half: Array, top: int) -> int:
    """:func:`scaled_narrow` where nothing can be clipped."""
    clipped: int = lanes(_scaled_one_open, (sums, multiplier, shift, half), (sums,))
    return clipped


@inlined
def scaled_narrow(sums: Array, multiplier: Array, shift: Array, half: Array, top: int) -> int:
    """:func:`scaled` where products of sums and multipliers are proven to fit 32 bits. ``half``: of 2^shift."""
    clipped: int = lanes(_scaled_one_narrow, (sums, multiplier, shift, half, np.int32(top)), (sums,))
    return clipped


@kept
def _scaled_one(x: Any, multiplier: Any, shift: Any, top: Any) -> Any:
    places = np.int64(shift)
    raw = (np.int64(x) * np.int64(multiplier) + ((np.int64(1) << places) >> 1)) >> places
    kept = min(max(raw, -top), top)
    return np.int32(kept), np.int32(kept != raw)


@kept
def _scaled_one_open(x: Any, multiplier: Any, shift: Any, half: Any) -> Any:
    return np.int32(np.int32(np.int32(x * multiplier) + half) >> shift), np.int32(0)


@kept
def _scaled_one_narrow(x: Any, multiplier: Any, shift: Any, half: Any, top: Any) -> Any:
    raw = np.int32(np.int32(np.int32(x * multiplier) + half) >> shift)
    kept = np.int32(min(np.int32(max(raw, np.int32(-top))), top))
    return kept, np.int32(kept != raw)


@inlined
def joined(sums: Array, own: int, other: Array, sign: int) -> None:
    """sums = own * sums + sign * other, signs of 1 or -1, int32."""
    one, two = np.int32(own), np.int32(sign)
    for j in range(sums.size):
        sums[j] = np.int32(np.int32(sums[j] * one) + np.int32(other[j] * two))


_SCALES = scaled, scaled_narrow, scaled_open, _scaled_one, _scaled_one_narrow, _scaled_one_open


def layer_kernel(
    model: str,
    form: str,
    constants: tuple[int, ...],
    start: str,
    width: int,
    group: int,
    rescale: str,
    given: Mapping[str, Any],
) -> Any:
    """The compiled layer, :data:`SOURCE`. It counts how many elements the rescale and the population clipped.

    ``model``: "" for no population, ``form`` the name of its step in 32 bits; ``start``: what it starts from, a key of
    :data:`STARTS`; ``width`` of a tile, in columns; ``group`` of inputs that dense products multiply at once;
    ``rescale``: the function that scales sums.
    """
    states: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    values: list[str] = []
    step, zero, made = "", "", ""
    if model:
        found = NEURONS[model]
        states = tuple(f"s{i}" for i in range(len(found.state)))
        params = tuple(f"p{i}" for i in range(len(found.int_params)))
        values = list(params)
        for position, constant in zip(kernels.constant_positions(model, form), constants, strict=False):
            values[position] = f"np.int32({constant})"
        step = f"step = scalar_step({model!r}, {form!r})"
        made = kernels.each(
            "    {0} = row_at(place, bias, BLOCK * size)\n    place += 4 * BLOCK * size", states, "\n"
        )
        zero = "            if t == 0 or resets[t]:\n" + kernels.each(
            "                {0}[:] = 0", states, "\n"
        )
    fire = FIRE.format(
        states=kernels.each(", part({0}, (r - first) * size + start, m)", states),
        values=kernels.each(", {0}", (f"part({v}, start, m)" if v in params else v for v in values)),
    )
    # where all tiles are full, a constant: the loops over columns unroll
    columns = "min(width, size - start)" if given["size"] % width else "width"
    forms, (memory, prepare, sums) = vector.chosen(), STARTS[start]
    before = USES.format(
        dot=forms[f"dot_of_{group}"], gather=forms["gather"], positions=forms["positions"], step=step,
        scaled=rescale,
    )  # fmt: skip
    body = SOURCE.format(
        width=width, columns=columns, states=len(states), state=made, zero=zero if states else "", prepare=prepare,
        sum=sums, memory=memory.format(dense="int8" if group == 4 else "int16"), fire=fire if model else "",
    )  # fmt: skip
    used = [f.py_func for f in (copied, joined, near, patch, tapped, _added, *_SCALES)]
    if model:
        used.append(kernels.step_of(model, form))
    return calls.kernel(f"layer_{model}", before, body, given, *used)


LISTS = """\
    ticks, rows, size = x.shape
    room = index.shape[2]
    for t in range(ticks):
        for r in range(lo, hi):
            at = t * rows + r
            found = positions(part(x, at * size, size), 0, part(index, at * room, room), 0)
            count[t, r] = found
            for i in range(4):
                index[t, r, found + i] = size
"""


def list_rows(given: Mapping[str, Any]) -> Any:
    """The compiled :data:`LISTS`: of the non-zero elements of every row of x (T, rows, size) int8, index and count."""
    before = f"from neurodeploy.simulate.vector import part, {vector.chosen()['positions']} as positions"
    return calls.kernel("lists", before, LISTS, given)
