"""What the elements of a node meet, and what their programs do: the kinds of work in the second book.

Each program gets the book, the part of a node that is on the core, and by operand the messages that arrive there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..array import Array
from ..ir import interp
from ..ir.micro_op import COMPENSATION_OPS, MICROCODE, RESCALE_OPS
from ..ir.neuron_model import NEURONS
from ..ir.nodes import Delay, Micro, Neuron, Node, Product, Reduce, Sum, Synapse
from ..mapping.demand import WORD, state_bits
from ..mapping.reads import connections, reads
from ..mapping.regions import region

if TYPE_CHECKING:
    from .booked import Book

#: amounts by event kind, one number for all or (samples, turns, ticks)
Amounts = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Part:
    """The elements ``shown`` (turns that have any, elements of one) of a node on a core; ``turns``: their numbers."""

    node: Any
    shown: Array
    turns: Array

    @classmethod
    def of(cls, node: Node, flat: Array, turn: Array | None) -> Part:
        """Elements by turn: tokens of a piece are of one copy, and have as many elements each."""
        if turn is None:
            return cls(node, flat[None], np.zeros(1, dtype=np.int64))
        order = np.argsort(turn[flat], kind="stable")
        found = np.unique(turn[flat])
        return cls(node, flat[order].reshape(len(found), -1), found)

    @property
    def flat(self) -> Array:
        """All elements, sorted."""
        return np.sort(self.shown, axis=None)

    @property
    def model(self) -> Array:
        """Those of one turn, which stand for those of every other."""
        found: Array = self.shown[0]
        return found

    @property
    def size(self) -> int:
        """Number of elements of a turn."""
        return self.shown.shape[1]

    def summed(self, amounts: Array, mine: Array | None = None) -> Array:
        """Amounts (all elements, samples, ticks) of those here that are ``mine``: (samples, turns, ticks)."""
        each = amounts[self.shown]
        if mine is not None:
            each = np.where(mine[self.shown][..., None, None], each, 0)
        return self._placed(np.moveaxis(each.sum(axis=1, dtype=np.int64), 0, 1))

    def spread(self, amounts: Any, samples: int, ticks: int) -> Array:
        """Amounts of a turn in all turns that have elements here."""
        here = np.zeros((1, self.turns[-1] + 1, 1), dtype=bool)
        here[:, self.turns] = True
        return np.where(here, np.broadcast_to(amounts, (samples, here.shape[1], ticks)), 0)

    def during(self, amounts: Array) -> Array:
        """Of amounts (samples, any turns, ticks) those of the turns here."""
        return self._placed(amounts[:, self.turns])

    def _placed(self, amounts: Array) -> Array:
        found = np.zeros((len(amounts), self.turns[-1] + 1, amounts.shape[2]), dtype=np.int64)
        found[:, self.turns] = amounts
        return found


# --- what the elements of a node meet ------------------------------------------------------------------------------


def _synapse(book: Book, node: Synapse) -> Array:
    x = book.indicator(node.inputs[0])
    stored = replace(node, weight=(node.weight != 0).astype(np.float32))
    done = interp.linear(x.reshape(-1, *x.shape[2:]), stored)
    return done.reshape(*x.shape[:2], -1).astype(np.int32)


def _product(book: Book, node: Product) -> Array:
    a, b = (book.indicator(name) for name in node.inputs)
    if node.timing == "held":
        b = b.copy()
        for t in range(1, len(b)):
            silent = ~b[t].any(axis=tuple(range(1, b.ndim - 1)), keepdims=True)
            b[t] = np.where(silent, b[t - 1], b[t])
    if node.timing == "cumulative":
        sums = [np.cumsum(book.values(name), axis=0) for name in node.inputs]
        before = np.concatenate([np.zeros_like(sums[0][:1]), sums[0][:-1]])
        held, late = (np.asarray(part != 0, dtype=np.float32) for part in (sums[1], before))
        return _pairs(node, a, held) + _pairs(node, late, b)
    return _pairs(node, a, b)


def _pairs(node: Product, a: Array, b: Array) -> Array:
    """Pairs of non-zero operands of every element of the result, (T, B, *shape)."""
    contract = partial(interp.contract, node.einsum)
    met = node.met(contract, *(x.reshape(-1, *x.shape[2:]) for x in (a, b)))
    return met.reshape(*a.shape[:2], *met.shape[1:]).astype(np.int32)


def _reduce(book: Book, node: Reduce) -> Array:
    x = book.indicator(node.inputs[0])
    summed = interp.MEANING[Reduce](replace(node, op="sum"), [x.reshape(-1, *x.shape[2:])], None)
    return summed.reshape(*x.shape[:2], -1).astype(np.int32)


MET: dict[type[Node], Callable[..., Array]] = {Synapse: _synapse, Product: _product, Reduce: _reduce}


# --- programs ------------------------------------------------------------------------------------------------------


def nothing(book: Book, part: Part, arrived: list[Array]) -> Amounts:
    """The program of a node that has none."""
    return {}


def _neuron(book: Book, part: Part, arrived: list[Array]) -> Amounts:
    node, size = part.node, part.size
    model, words = NEURONS[node.model], -(-state_bits(node) // WORD)
    anew = np.array([t == 1 or node.resets(t) for t in range(1, book.ticks + 1)])
    work = {"stock_updates": size} if model.stock else {"program_ops": size * model.operations(node.params)}
    return {"neuron_updates": size, **work, "state_accesses": size * max(words - 1, 0),
            "reset_words": anew * size * words}  # fmt: skip


def _micro(book: Book, part: Part, arrived: list[Array]) -> Amounts:
    node, size = part.node, part.size
    op = MICROCODE[node.op]
    width = book.graph.shape(node.name)[-1] if op.row else 1
    operations = size // width * op.operations(node.params, width)
    if node.timing != "cumulative":
        return {"microcode_ops": operations}
    return {"microcode_ops": operations + size * COMPENSATION_OPS, "state_accesses": size,
            "reset_words": _first(book, size)}  # fmt: skip


def _sum_of(book: Book, part: Part, arrived: list[Array]) -> Amounts:
    return {"microcode_ops": part.size * (len(part.node.inputs) - 1)}


def _delay(book: Book, part: Part, arrived: list[Array]) -> Amounts:
    node = part.node
    waits = (node.steps > 1 or bool(node.keeps)) and node.inputs[0] not in book.still
    return {"microcode_ops": part.size, "state_accesses": part.size * waits}


def _reduced(book: Book, part: Part, arrived: list[Array]) -> Amounts:
    if part.node.op == "max":
        return {"microcode_ops": part.size * (connections(book.graph, part.node) - 1)}
    return {"microcode_ops": book.met(part)}


def _multiplied(book: Book, part: Part, arrived: list[Array]) -> Amounts:
    node, size = part.node, part.size
    scaled = RESCALE_OPS * (node.rescale is not None)
    out = region(part.model, book.graph.shape(node.name))
    a, b = (read.region.size for read in reads(book.graph, node, out, book.channels))
    done: Amounts = {"product_ops": book.met(part)}
    if node.timing == "cumulative":
        both = arrived[0] + arrived[1]
        return {**done, "microcode_ops": both + size * (1 + scaled), "state_accesses": both + size,
                "reset_words": _first(book, a + b + size)}  # fmt: skip
    done["microcode_ops"] = size * scaled
    if node.timing != "held":
        return done
    return {**done, "state_accesses": b * (arrived[1] > 0), "reset_words": _first(book, b)}


def _first(book: Book, words: int) -> Array:
    """Words that are written at tick 1."""
    written: Array = words * (np.arange(book.ticks) == 0)
    return written


PROGRAMS: dict[type[Node], Callable[..., Amounts]] = {
    Neuron: _neuron, Micro: _micro, Sum: _sum_of, Delay: _delay, Reduce: _reduced, Product: _multiplied
}  # fmt: skip
