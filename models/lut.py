"""Layers of look-up tables, learned end to end, as in differentiable weightless networks (Bacellar et al., 2024).

    y_j = [table_j[a_j] >= 0],   a_j = sum over i < n of 2^i x[s_ji]      x and y bits, s the selection

The address is a layer whose weights are powers of two, the table a neuron without state. Gradients are those of the
extended finite difference, of a bit i of the address a by all entries k of a table U, with H the Hamming distance::

    dU/da_i = sum_k (2 k_i - 1) U[k] / (1 + H(k, a without bit i))

An entry's gradient is that of the output where its address was read. Which bits a table reads is learned as well: of
``CHOICES`` that were drawn for each place of its address the one with the largest score, straight through to a softmax.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

#: addresses have at most so many bits: a table is then four words of 16
MOST = 6
#: bits from which one is chosen for each place of an address
CHOICES = 16


def differences(bits: int) -> Tensor:
    """(n, addresses, entries): by how much an entry counts in the difference by each bit at an address."""
    entries = torch.arange(1 << bits)
    digits = (entries[:, None] >> torch.arange(bits)) & 1
    unlike = (digits[:, None] != digits[None]).float()  # addresses, entries, n
    distance = unlike.sum(-1, keepdim=True) - unlike
    return ((2 * digits.float() - 1)[None] / (1 + distance)).permute(2, 0, 1).contiguous()


class _Read(torch.autograd.Function):
    """The bit of each table at its address, from the bits of the address (..., J, n)."""

    @staticmethod
    def forward(ctx: Any, bits: Tensor, table: Tensor, weight: Tensor) -> Tensor:
        address = (bits * (2.0 ** torch.arange(bits.shape[-1], device=bits.device))).sum(-1).long()
        ctx.save_for_backward(address, table, weight)
        return (table[torch.arange(len(table), device=bits.device), address] >= 0).to(bits.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        address, table, weight = ctx.saved_tensors
        flat, grad = address.flatten(0, -2), grads[0].flatten(0, -2)
        by_table = torch.zeros_like(table).scatter_add_(1, flat.T, grad.T)
        slopes = torch.einsum("je,nae->jan", table, weight)
        rows = torch.arange(len(table), device=table.device)
        by_bit = slopes[rows, flat] * grad[..., None]
        return by_bit.reshape(*address.shape, -1), by_table, None


class Lookup(nn.Module):
    """Addresses (..., J) to bits: what a table holds, one if 0 or more. Stateless; a neuron to importers."""

    def __init__(self, tables: int = 1, bits: int = MOST) -> None:
        super().__init__()
        if not 1 <= bits <= MOST:
            raise ValueError(f"a table is addressed by 1 to {MOST} bits, not {bits}")
        self.table = nn.Parameter(torch.empty(tables, 1 << bits).uniform_(-1, 1))

    def forward(self, address: Tensor) -> Tensor:
        """Inference alone: training reads through :class:`_Read`."""
        rows = torch.arange(len(self.table), device=address.device)
        entry = (address + 0.5).floor().clamp(0, (1 << MOST) - 1).long() % self.table.shape[1]
        return (self.table[rows, entry] >= 0).to(address.dtype)


class LutLayer(nn.Module):
    """Bits (..., C) to bits (..., J), each by a table that ``bits`` of them address."""

    def __init__(self, inputs: int, outputs: int, bits: int = MOST) -> None:
        super().__init__()
        self.inputs, self.bits = inputs, bits
        self.lookup = Lookup(outputs, bits)
        self.scores = nn.Parameter(torch.randn(outputs, bits, CHOICES))
        self.register_buffer("choices", torch.randint(inputs, (outputs, bits, CHOICES), dtype=torch.int16))
        self.register_buffer("weight", differences(bits), persistent=False)

    def indices(self) -> Tensor:
        """(J, n): which bits are read."""
        return self.choices.long().gather(-1, self.scores.argmax(-1, keepdim=True))[..., 0]

    def forward(self, x: Tensor) -> Tensor:
        """The same numbers in training and inference."""
        if not self.training:
            powers = 2.0 ** torch.arange(self.bits, device=x.device)
            selected = functional.one_hot(self.indices(), self.inputs).to(x.dtype)
            return self.lookup(functional.linear(x, (selected * powers[:, None]).sum(1)))
        soft = self.scores.softmax(-1)
        one = functional.one_hot(self.scores.argmax(-1), CHOICES)
        rows = torch.zeros(*self.scores.shape[:2], self.inputs, device=x.device)
        rows = rows.scatter_add(-1, self.choices.long(), one + soft - soft.detach())
        bits = functional.linear(x, rows.flatten(0, 1)).unflatten(-1, (-1, self.bits))
        self.lookup.table.data.clamp_(-1, 1)
        return _Read.apply(bits.round() + bits - bits.detach(), self.lookup.table, self.weight)
