"""Synapse memory: rows of weights as 64-bit words, bit by bit as the accounting of the target assumes.

A row is cut into blocks of at most ``block`` entries (0: one block). A block is a header of ``header_bits`` that holds
the number of entries, then per entry ``index_bits`` of target index (none for shared kernels), ``delay_bits`` of delay
in steps (none where nothing waits) and ``bits`` of weight in two's complement, least significant bit first, padded to
whole words. One bit of weight is a sign, +1 or -1. Weights share a power of two that the connection's exponent puts
back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..array import Array
from ..mapping.demand import weight_bits

WORD = 64
#: width of a weight that is a sign, +1 or -1: in two's complement one bit would be 0 or -1
SIGN = 1


@dataclass(frozen=True)
class Layout:
    """How one connection stores its rows; all widths in bits, ``block`` in entries (0: a row is one block)."""

    bits: int
    index_bits: int
    header_bits: int
    block: int = 0
    delay_bits: int = 0

    @property
    def entry_bits(self) -> int:
        """Width of one entry."""
        return self.index_bits + self.delay_bits + self.bits

    def blocks(self, entries: int) -> Iterator[tuple[int, int]]:
        """(first entry, number of entries) of each block."""
        step = self.block or max(entries, 1)
        return ((start, min(step, entries - start)) for start in range(0, entries, step))

    def block_words(self, entries: int) -> int:
        """Words of one block."""
        return -(-(self.header_bits + entries * self.entry_bits) // WORD)

    def row_words(self, entries: int) -> int:
        """Words of a row; an empty row takes none."""
        return sum(self.block_words(n) for _, n in self.blocks(entries))

    def header(self, entries: int) -> int:
        """What the header of a block says: its number of entries, as far as the header is wide."""
        return entries & ((1 << self.header_bits) - 1)


def pack(weights: Array, columns: Array, layout: Layout, delays: Array | int = 0) -> Array:
    """(rows, entries) weights and delays with the target index of each entry -> (rows, words) uint64."""
    rows, entries = weights.shape
    delays = np.broadcast_to(delays, weights.shape)
    blocks = [slice(a, a + n) for a, n in layout.blocks(entries)]
    parts = [_pack_block(weights[:, b], columns[b], delays[:, b], layout) for b in blocks]
    return np.concatenate([np.zeros((rows, 0), dtype=np.uint64), *parts], axis=1)


def _pack_block(weights: Array, columns: Array, delays: Array, layout: Layout) -> Array:
    rows, entries = weights.shape
    header = _bits(np.full((rows, 1), layout.header(entries)), layout.header_bits)
    index = _bits(np.broadcast_to(columns, weights.shape), layout.index_bits)
    held = weights < 0 if layout.bits == SIGN else weights
    parts = [index, _bits(delays, layout.delay_bits), _bits(held, layout.bits)]
    body = np.concatenate(parts, axis=2).reshape(rows, -1)
    stream = np.zeros((rows, WORD * layout.block_words(entries)), dtype=np.uint8)
    stream[:, : layout.header_bits] = header[:, 0]
    stream[:, layout.header_bits : layout.header_bits + body.shape[1]] = body
    return np.packbits(stream, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def unpack(words: Array, entries: int, layout: Layout) -> tuple[Array, Array, Array, Array]:
    """(rows, words) -> weights, target indices and delays, (rows, entries) each, and which rows' headers are right."""
    rows = len(words)
    weights, index, delays = (np.zeros((rows, entries), dtype=np.int64) for _ in range(3))
    right, word = np.ones(rows, dtype=bool), 0
    for start, count in layout.blocks(entries):
        size = layout.block_words(count)
        raw = np.ascontiguousarray(words[:, word : word + size]).astype("<u8").view(np.uint8)
        stream, word = np.unpackbits(raw, axis=1, bitorder="little"), word + size
        body = stream[:, layout.header_bits :][:, : count * layout.entry_bits].reshape(rows, count, -1)
        right &= _number(stream[:, : layout.header_bits]) == layout.header(count)
        index[:, start : start + count] = _number(body[..., : layout.index_bits])
        first = layout.index_bits + layout.delay_bits
        delays[:, start : start + count] = _number(body[..., layout.index_bits : first])
        raw_weights = _number(body[..., first:])
        sign = body[..., -1].astype(np.int64)
        signed = 1 - 2 * sign if layout.bits == SIGN else raw_weights - (sign << layout.bits)
        weights[:, start : start + count] = signed
    return weights, index, delays, right


def _bits(values: Array, width: int) -> Array:
    """Two's complement bits along a new last axis, least significant first."""
    return ((np.asarray(values, dtype=np.int64)[..., None] >> np.arange(width)) & 1).astype(np.uint8)


def _number(bits: Array) -> Array:
    """Unsigned numbers from bits along the last axis, least significant first."""
    return bits.astype(np.int64) @ (np.int64(1) << np.arange(bits.shape[-1], dtype=np.int64))


def stored(weight: Array) -> tuple[int, int]:
    """The power of two that weights share, and the bits they need without it."""
    common = int(np.bitwise_or.reduce(weight, axis=None)) if weight.size else 0
    return (common & -common).bit_length() - 1 if common else 0, weight_bits(weight)
