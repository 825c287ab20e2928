"""The einsum of a product of two streams as a value: which letters each operand and the result have."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from ..array import Array

_FORM = re.compile("([a-z]*),([a-z]*)->([a-z]*)")

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Equation:
    """``left,right->out``: one lower-case letter for each axis of both operands and of the result, in order.

    Neither batch nor ticks have a letter. Raises ValueError where the result has a letter that neither operand has.
    """

    left: str
    right: str
    out: str

    def __post_init__(self) -> None:
        if not set(self.out) <= set(self.left + self.right):
            raise ValueError(f"equation {self} yields letters it does not read")

    @classmethod
    def parse(cls, text: str) -> Equation:
        """The equation that a text says; ValueError for a text of another form."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError(f"equation {text!r} is not of the form 'ab,bc->ac'")
        return cls(*found.groups())

    def __str__(self) -> str:
        return f"{self.left},{self.right}->{self.out}"

    @cached_property
    def shared(self) -> str:
        """Letters of both operands that the result keeps, in its order."""
        return "".join(c for c in self.out if c in self.left and c in self.right)

    @cached_property
    def rows(self) -> str:
        """Letters of the result that only the left operand has."""
        return "".join(c for c in self.out if c not in self.right)

    @cached_property
    def columns(self) -> str:
        """Letters of the result that only the right operand has."""
        return "".join(c for c in self.out if c not in self.left)

    @cached_property
    def summed(self) -> str:
        """Letters of both operands that the result lacks, in the order of the left operand."""
        return "".join(c for c in self.left if c in self.right and c not in self.out)

    @property
    def lone(self) -> bool:
        """Whether an operand has a letter that neither the other nor the result has."""
        return bool((set(self.left) ^ set(self.right)) - set(self.out))

    @property
    def repeats(self) -> bool:
        """Whether a letter stands twice in one operand or in the result."""
        return any(len(set(part)) < len(part) for part in (self.left, self.right, self.out))

    @property
    def elementwise(self) -> bool:
        """Whether every element meets the element at its own place."""
        return self.left == self.right == self.out

    def sizes(self, a: Sizes, b: Sizes) -> dict[str, int]:
        """The size of every letter; ValueError unless operands of these shapes fit the equation."""
        letters, sizes = self.left + self.right, dict(zip(self.left + self.right, a + b, strict=False))
        ranks = (len(a), len(b)) == (len(self.left), len(self.right))
        if not ranks or any(sizes[letter] != size for letter, size in zip(letters, a + b, strict=True)):
            raise ValueError(f"equation {self} for inputs {[a, b]}")
        return sizes

    def shape(self, a: Sizes, b: Sizes) -> Sizes:
        """The shape of the result; ValueError as :meth:`sizes`."""
        sizes = self.sizes(a, b)
        return tuple(sizes[letter] for letter in self.out)

    def terms(self, a: Sizes, b: Sizes) -> int:
        """How many products each element of the result adds up."""
        return prod(size for letter, size in self.sizes(a, b).items() if letter not in self.out)

    def macs(self, a: Sizes, b: Sizes) -> int:
        """How many products all elements of the result add up."""
        return prod(self.sizes(a, b).values())

    def pairs(self, a: Array, b: Array) -> Array:
        """Non-zero pairs that operands (T, B, ...) meet, (T,): a dot product over the letters that both have."""
        both = "".join(c for c in self.left if c in self.right)
        often_a = np.einsum(f"YZ{self.left}->YZ{both}", (a != 0).astype(np.int64))
        often_b = np.einsum(f"YZ{self.right}->YZ{both}", (b != 0).astype(np.int64))
        met: Array = (often_a * often_b).sum(axis=tuple(range(1, often_a.ndim)))
        return met
