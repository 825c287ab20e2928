"""What netx 0.6.0 makes of the weights of a dense block before Lava uses them, and which weights lead to given ones.

netx shifts a matrix up to fill 8 bits, chooses a number of weight bits, and lets Lava's Dense cut off the bits below
and shift every sum down again. For most matrices the net effect is nothing. Where it is not, it is reproduced here:
a largest weight of 255 beside negative ones becomes 254, and matrices without a positive weight can lose low bits.
"""

from __future__ import annotations

import numpy as np

from ...array import Array

#: what a file may hold: 8 bits and a common factor of two, or 8 bits without sign
LOW, HIGH = -256, 255


class LossyWeights(ValueError):
    """Lava would round sums of these weights: no weights without rounding stand for them."""


def in_lava(matrices: list[Array], shifted_down: bool = True) -> list[Array]:
    """The integer matrices whose exact sums equal what Lava's Dense processes send.

    ``matrices`` are int64 (out, in) in LOW .. HIGH that netx scales together (one, or two of a recurrent block).
    ``shifted_down`` False: netx forgets the shift back, as it does for recurrent blocks with delays. Raises
    LossyWeights where Lava's final shift cuts bits off a sum.
    """
    together = np.concatenate([m.ravel() for m in matrices])
    if not together.any():  # netx divides by zero here; zeros are zeros
        return matrices
    high, low = int(together.max()), int(together.min())
    if high > 254 and low < 0:
        high, matrices = 254, [np.minimum(m, 254) for m in matrices]
        together = np.minimum(together, 254)
    mixed = int(low < 0 <= high)
    up = _scale_bits(low, high) + mixed
    power = max(n for n in range(9) if not (together & ((1 << n) - 1)).any())  # of two, divides all weights
    bits = 8 - up - (power - mixed)
    cut = [_as_dense(m << up, bits) for m in matrices]
    if not shifted_down:
        return cut
    if any((m & ((1 << up) - 1)).any() for m in cut):
        raise LossyWeights(f"weights {low} .. {high} leave a remainder below Lava's shift by {up}")
    return [m >> up for m in cut]


def for_file(matrices: list[Array], shifted_down: bool = True) -> list[Array] | None:
    """The matrices from which :func:`in_lava` arrives at these, or None where there are none."""
    for shift in range(1 if shifted_down else 9):
        stored = [m >> shift for m in matrices]
        try:
            found = in_lava(stored, shifted_down)
        except (LossyWeights, ValueError):
            continue
        equal = all(np.array_equal(a, b) for a, b in zip(found, matrices, strict=True))
        if equal and all(m.any() for m in stored):
            return stored
    return None


def _scale_bits(low: int, high: int) -> int:
    """Largest k, possibly -1, for which 2^k times the weights stays in 8 bits (mixed) or 8 bits without sign."""
    if low < 0 <= high:
        return max(k for k in range(-2, 9) if high * 2.0**k <= 127 and -low * 2.0**k <= 128)
    return max(k for k in range(-2, 9) if (high if low >= 0 else -low) * 2.0**k <= (255 if low >= 0 else 256))


def _as_dense(weights: Array, bits: int) -> Array:
    """Clipped and cut to ``bits`` as Lava's Dense does, with the sign mode that it finds by itself."""
    excitatory, inhibitory = weights.min() >= 0, weights.max() <= 0
    if excitatory or inhibitory:
        magnitude = np.minimum(np.abs(weights), 255)
        return _cut(magnitude, 8 - bits) * (1 if excitatory else -1)
    return _cut(np.clip(weights, -256, 255), 8 - bits + 1)


def _cut(weights: Array, shift: int) -> Array:
    """Low bits set to zero; numpy yields zero for the negative shifts that odd magnitudes above 127 lead to."""
    return (weights >> shift) << shift if shift >= 0 else np.zeros_like(weights)
