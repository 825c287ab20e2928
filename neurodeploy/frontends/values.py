"""What a traced call reads and yields: a closed set of values; anything else is a constant.

An operator says which of them it reads (``ops/_base.py``), and :mod:`.lower` gives it no other. The batch axis never
reaches the graph. A :class:`Stream` remembers where it stands in torch's shape, so that ``permute(2, 0, 3, 1, 4)`` or
``view(batch * heads, ...)`` is understood, and an operator that mixes samples is refused (ND105).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from ..array import Array
from ..ir.types import Shape

#: scores at or below it are hidden: exp(-1e4) is 0 in float64, and libraries hide by -1e4, -1e9 or the least float
HIDING = -1e4

#: where the batch stands, counted from the right, whether a graph axis is in it, and how much of that runs slower
Place = tuple[int, bool, int]
#: op, args and shape of each View, in order
Views = tuple[tuple[str, tuple[int, ...], Shape], ...]


class Refusal(Exception):
    """An operator application that has no meaning in the graph; becomes a Problem with the call's origin."""

    def __init__(self, code: str, cause: str, found: object = "", limit: object = "", *fixes: str) -> None:
        super().__init__(cause)
        self.code, self.cause, self.found, self.limit, self.fixes = code, cause, str(found), str(limit), fixes


@dataclass(frozen=True)
class Unknown:
    """The result of a refused call; whatever depends on it is passed over in silence."""


@dataclass(frozen=True)
class Stream:
    """An activation: graph node ``name`` of ``shape``, and the torch axis that carries the ``copies`` samples.

    ``merged``: that axis also holds a graph axis, as after ``view(batch * heads, ...)``; else it is the batch alone.
    ``outer`` is the part of the graph axis that runs slower than the batch, as after ``view(tokens * batch, ...)``.
    """

    name: str
    shape: Shape
    batch: int
    copies: int
    merged: bool = False
    outer: int = 1

    @property
    def place(self) -> Place:
        """Operands of one operator have to agree on it."""
        return self.rank - self.batch, self.merged, self.outer

    @property
    def sizes(self) -> tuple[int, ...]:
        """Torch's shape, batch included."""
        s = self.shape.sizes
        if self.merged:
            return (*s[: self.batch], s[self.batch] * self.copies, *s[self.batch + 1 :])
        return (*s[: self.batch], self.copies, *s[self.batch :])

    @property
    def rank(self) -> int:
        """Number of torch axes."""
        return len(self.shape.sizes) + (not self.merged)

    def dim(self, dim: int) -> int:
        """A torch axis counted from the front."""
        return dim + self.rank if dim < 0 else dim

    def axis(self, dim: int, what: str = "this operator") -> int:
        """The graph axis of a torch axis; Refusal ND105 for the batch axis."""
        dim = self.dim(dim)
        if dim == self.batch:
            limit, fix = "samples do not influence each other", "keep the batch in the first axis, untouched"
            raise Refusal(
                "ND105", f"{what} works on the batch axis", f"axis {dim} of {self.sizes}", limit, fix
            )
        return dim if self.merged or dim < self.batch else dim - 1

    def axes(self, dims: Sequence[int], what: str = "this operator") -> tuple[int, ...]:
        """The graph axes of several torch axes, sorted."""
        return tuple(sorted(self.axis(d, what) for d in dims))

    def at(self, name: str, shape: Shape, batch: int | None = None) -> Stream:
        """What another node carries on, its batch axis where it was unless said otherwise."""
        return replace(self, name=name, shape=shape, batch=self.batch if batch is None else batch)


@dataclass(frozen=True)
class TokenIds:
    """The token ids of the input, (copies, tokens), which are looked up in a table of ``rows`` (None: not known).

    Only an embedding reads them, or an operator that makes something else of each id by itself.
    """

    tokens: int
    copies: int
    rows: int | None

    @property
    def ids(self) -> TokenIds:
        """Themselves: they are a function of themselves."""
        return self

    @property
    def place(self) -> Place:
        """Where the batch stands."""
        return 2, False, 1

    @property
    def sizes(self) -> tuple[int, ...]:
        """Torch's shape, batch included."""
        return self.copies, self.tokens

    @property
    def views(self) -> Views:
        """What lies behind a lookup, (tokens, 1), of the ids as they are."""
        return (("reshape", (self.tokens,), Shape(("N",), (self.tokens,))),)

    @property
    def table(self) -> Any:
        """The ids as a function of themselves, a torch tensor (rows,), where their number is known."""
        import torch

        return torch.arange(self.rows)

    def at(self, name: str, shape: Shape) -> Stream:
        """The stream that a node makes of them."""
        return Stream(name, shape, 0, self.copies)


@dataclass(frozen=True, eq=False)
class OfIds:
    """A function of single ``ids``: ``table`` (rows,), a torch tensor, and the ``views`` behind its lookup.

    ``stream`` is what the graph makes of it: an operator that does not ask for the table reads that.
    """

    ids: TokenIds
    stream: Stream
    table: Any
    views: Views

    @property
    def place(self) -> Place:
        """Where the batch of the stream stands."""
        return self.stream.place

    def at(self, name: str, shape: Shape) -> Stream:
        """The stream that another node carries on."""
        return self.stream.at(name, shape)


@dataclass(frozen=True, eq=False)
class MaskedScores:
    """Scores that a mask has made so small, where ``hidden``, that their softmax is 0; the scores stay as they are.

    ``hidden`` has the graph's shape. Only a softmax can read them.
    """

    scores: Stream
    hidden: Array

    @property
    def sizes(self) -> tuple[int, ...]:
        """Torch's shape, batch included."""
        return self.scores.sizes


#: what a sum or a mask may yield
Scores: TypeAlias = Stream | MaskedScores

#: everything that depends on the input
VALUES = (Stream, TokenIds, OfIds, MaskedScores, Unknown)


def depends(item: Any, kinds: tuple[type, ...] = VALUES) -> bool:
    """Whether an operand is no constant: a value of these kinds, or a tuple that holds one."""
    if isinstance(item, (tuple, list)):
        return any(depends(part, kinds) for part in item)
    return isinstance(item, kinds)


def plain(item: Any) -> Any:
    """A function of ids as the stream that it is, inside of tuples as well; anything else as it is."""
    if isinstance(item, (tuple, list)) and depends(item):
        return type(item)(map(plain, item))
    return item.stream if isinstance(item, OfIds) else item
