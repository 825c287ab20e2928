"""One compiled function for a layer and its population: rows of weights summed, scaled, added to a stream, and fired.

A block of rows (tokens of samples) goes through all ticks, and within a tick through tiles of columns, so that a tile's
sums never leave the first-level cache and states are kept for a block alone. What comes out is the sum where others
read it, the payload, or lists of the spikes of each row, ready for the next layer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit

from ..array import Array
from ..ir.neuron_model import NEURONS
from . import kernels, vector
from .kernels import inlined, kept
from .vector import lanes, part

#: rows that pass through the ticks together
BLOCK = 16

SOURCE = '''\
"""Generated: a layer of {model}, constants {constants}, of {source}."""

import numpy as np
from numba import njit

from neurodeploy.simulate.kernels import scalar_step
from neurodeploy.simulate.layers import BLOCK, copied, joined, scaled
from neurodeploy.simulate.vector import lanes, part, {dot} as dot, {gather} as gather, {positions} as positions

{step}

@njit(cache={cached}, nogil=True, error_model="numpy")
def kernel(source, length, weights, matrix, crossover, bias, scale, top, other, own_sign, other_sign, sums, resets,
           out, sends, index, count,
           size, tokens, lo, hi{params}):
    ticks = resets.size
    width = {width}  # of a tile
    tiles, room = bias.size // width, index.shape[2]
    sums_of_block = np.empty(BLOCK * width, np.int32)
    fired = np.empty(width, out.dtype)
{memory}
    clipped_scale, clipped = np.int64(0), np.int64(0)
{states}
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
                m = min(width, size - start)
{sum}
                for r in range(first, last):
                    at = t * out.shape[1] + r
                    sum_of = part(sums_of_block, (r - first) * width, m)
                    if scale.size:
                        clipped_scale += scaled(sum_of, part(scale, start, m), part(scale, size + start, m), top)
                    if other.size:
                        place = (t if other.shape[0] > 1 else 0) * other.shape[1] * tokens
                        place += r if other.shape[1] > 1 or out.shape[1] == tokens else r % tokens
                        joined(sum_of, own_sign, part(other, place * size + start, m), other_sign)
                    if sums.size:
                        copied(sum_of, part(sums, at * size + start, m))
{fire}
            if index.size:
                for r in range(first, last):
                    for i in range(4):
                        index[t, r, count[t, r] + i] = size
    return clipped_scale, clipped
'''

STEP = """\
step = scalar_step({model!r}, {form!r})


@njit(nogil=True, error_model="numpy")
def update(x, out{states}{params}):
    return lanes(step, (x{states}{at}), (out{states},))

"""

#: memory of a call, work before a tick of a block of rows, and the sums of a tile of it, by what the layer starts from
STARTS = {
    "lists": (
        """\
    inputs = weights.shape[1]
    padded = matrix.size // (tiles * width)
    dense = np.zeros(BLOCK * padded if crossover < inputs else 0, np.{dense})""",
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
        "    # none",
        "            line = (t if source.shape[0] > 1 else 0) * source.shape[1] + first",
        """\
                dot(part(source, line * source.shape[2], (last - first) * source.shape[2]), source.shape[2],
                    part(matrix, start * source.shape[2], width * source.shape[2]), width // 64,
                    part(bias, start, width),
                    part(sums_of_block, 0, (last - first) * width))""",
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
                    if m == width:  # a constant: the loop unrolls
                        x, row = part(sums_of_block, (r - first) * width, width), part(fired, 0, width)
                        clipped += lanes(step, (x{whole}{at}), (row{whole},))
                        if index.size:
                            count[t, r] = positions(row, start, part(index, at * room, room), count[t, r])
                    else:
                        row = part(fired, 0, m)
                        clipped += update(sum_of, row{states}{params})
                        if index.size:
                            count[t, r] = positions(row, start, part(index, at * room, room), count[t, r])
                    if sends:
                        copied(part(fired, 0, m), part(out, at * size + start, m))"""


@inlined
def copied(source: Array, target: Array) -> None:
    """target (m,) = source (m,)."""
    for j in range(target.size):
        target[j] = source[j]


@inlined
def scaled(sums: Array, multiplier: Array, shift: Array, top: int) -> int:
    """Rescale sums (m,) in place by channel, clipped to +-top; how many were."""
    clipped: int = lanes(_scaled_one, (sums, multiplier, shift, top), (sums,))
    return clipped


@kept
def _scaled_one(x: Any, multiplier: Any, shift: Any, top: Any) -> Any:
    places = np.int64(shift)
    raw = (np.int64(x) * np.int64(multiplier) + ((np.int64(1) << places) >> 1)) >> places
    kept = min(max(raw, -top), top)
    return np.int32(kept), np.int32(kept != raw)


@inlined
def joined(sums: Array, own: int, other: Array, sign: int) -> None:
    """sums = own * sums + sign * other, signs of 1 or -1, int32."""
    one, two = np.int32(own), np.int32(sign)
    for j in range(sums.size):
        sums[j] = np.int32(np.int32(sums[j] * one) + np.int32(other[j] * two))


def source_of(
    model: str, form: str, constants: tuple[int, ...], start: str, width: int, group: int, cached: bool
) -> str:
    """Text of the kernel: ``model`` "" for no population, ``form`` the name of its step in 32 bits.

    ``start``: what it starts from, a key of :data:`STARTS`; ``width`` of a tile, in columns;
    ``group`` of inputs that dense products multiply at once.
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
        each = kernels.each
        step = STEP.format(
            model=model, form=form, states=each(", {0}", states),
            params=each(", {0}", params), at=each(", {0}", values),
        )  # fmt: skip
        made = each("    {0} = np.empty((BLOCK, size), np.int32)", states, "\n")
        zero = "            if t == 0 or resets[t]:\n" + each("                {0}[:] = 0", states, "\n")
    fire = FIRE.format(
        states=kernels.each(", part({0}, (r - first) * size + start, m)", states),
        whole=kernels.each(", part({0}, (r - first) * size + start, width)", states),
        params=kernels.each(", part({0}, start, m)", params),
        at=kernels.each(", {0}", (f"part({v}, start, width)" if v in params else v for v in values)),
    )  # fmt: skip
    forms, (memory, prepare, sums) = vector.chosen(), STARTS[start]
    return SOURCE.format(
        model=model or "no population", constants=constants, source=start, cached=cached, width=width,
        step=step, params=kernels.each(", {0}", params), states=made, zero=zero if states else "",
        dot=forms[f"dot_of_{group}"], gather=forms["gather"], positions=forms["positions"],
        memory=memory.format(dense="int8" if group == 4 else "int16"), prepare=prepare, sum=sums,
        fire=fire if model else "",
    )  # fmt: skip


@cache
def layer_kernel(
    model: str, form: str, constants: tuple[int, ...], start: str, width: int, group: int
) -> Callable[..., Any]:
    """The compiled layer, :data:`SOURCE`. Returns how many elements the rescale and the population clipped."""
    text = lambda cached: source_of(model, form, constants, start, width, group, cached)
    used: list[Any] = [f.py_func for f in (copied, scaled, _scaled_one, joined)]
    if model:
        used.append(kernels.step_of(model, form))
    return kernels.compiled(f"layer_{model}", text, [*used, vector.text()])


@cache
def list_rows() -> Callable[[Array, Array, Array], None]:
    """rows(x (T, rows, size) int8, index, count): the lists of the non-zero elements of every row."""
    positions = getattr(vector, vector.chosen()["positions"])

    def rows(x: Array, index: Array, count: Array) -> None:
        ticks, many, size = x.shape
        room = index.shape[2]
        for t in range(ticks):
            for r in range(many):
                at = t * many + r
                found = positions(part(x, at * size, size), 0, part(index, at * room, room), 0)
                count[t, r] = found
                for i in range(4):
                    index[t, r, found + i] = size

    return njit(rows, nogil=True)  # type: ignore[no-any-return]
