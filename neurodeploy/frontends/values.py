"""What a traced call reads and yields: a closed set of values; anything else is a constant.

An operator says which of them it reads (``ops/_base.py``), and :mod:`.lower` gives it no other. The batch axis never
reaches the graph, nor does time, where a model runs all ticks in one call. A :class:`Stream` remembers where they stand
in torch's shape, so that ``permute(2, 0, 3, 1, 4)``, ``view(batch * heads, ...)`` or ``flatten(0, 1)`` of ticks and
samples is understood, and an operator that mixes samples (ND105) or ticks (ND162) is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ..array import Array
from ..ir.types import Shape

#: scores at or below it are hidden: exp(-1e4) is 0 in float64, and libraries hide by -1e4, -1e9 or the least float
HIDING = -1e4

#: how ticks are put together at the end
READOUTS = ("mean", "sum", "last")
#: names of the axes that the graph does not have: samples, and ticks where a model runs them all in one call
BATCH, TIME = "batch", "time"
#: what torch lets one axis run over, the slowest first: sizes of parts of a graph axis, and the names above
Run: TypeAlias = tuple[int | str, ...]
#: the axes that hold a batch or time, each counted from the right
Place: TypeAlias = frozenset[tuple[int, Run]]
#: op, args and shape of each View, in order
Views = tuple[tuple[str, tuple[int, ...], Shape], ...]


@dataclass(frozen=True)
class WholeSample:
    """How a model runs all ``ticks`` in one call.

    ``given`` is the axis in which it takes a frame for each, ``returned`` the one in which it returns a row for each;
    None where there is one for all. ``mixed``: a neuron takes ticks and samples for time, so that only a sample alone
    is answered as its author means.
    """

    ticks: int
    given: int | None = None
    returned: int | None = None
    mixed: bool = False


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
    """An activation: graph node ``name`` of ``shape``, and what each of torch's axes runs over.

    Most axes are one axis of the graph, as ``(4,)``; ``(BATCH,)`` is the samples alone, ``(TIME, BATCH)`` what
    ``flatten(0, 1)`` makes of ticks and samples, ``(2, BATCH, 3)`` a view of batch and graph axis in one. ``ticks`` is
    the length of time, ``copies`` the number of samples. ``readout`` says how ticks were put together, once they were.

    Where a model runs its ticks in a loop, a stream is the value at one ``tick``, from 1 on, or the sum over all up to
    it, if it is ``partial``; 0 where it is the same at every tick, or has all of them in an axis.
    """

    name: str
    shape: Shape
    axes: tuple[Run, ...]
    copies: int
    ticks: int = 1
    readout: str = ""
    tick: int = 0
    partial: bool = False

    def length(self, part: int | str) -> int:
        """How many elements a part of an axis has."""
        return part if isinstance(part, int) else self.copies if part == BATCH else self.ticks

    @property
    def sizes(self) -> tuple[int, ...]:
        """Torch's shape, batch included."""
        return tuple(prod(map(self.length, run)) for run in self.axes)

    @property
    def rank(self) -> int:
        """Number of torch axes."""
        return len(self.axes)

    @property
    def place(self) -> Place:
        """Operands of one operator have to agree on it."""
        return frozenset((self.rank - d, run) for d, run in enumerate(self.axes) if foreign(run))

    @property
    def timed(self) -> bool:
        """Whether it has an element for each tick."""
        return any(TIME in run for run in self.axes)

    @property
    def batched(self) -> bool:
        """Whether samples, or ticks and samples, are the first axis, and no other holds any."""
        return bool(self.axes) and not inner(self.axes[0]) and not any(map(foreign, self.axes[1:]))

    def dim(self, dim: int) -> int:
        """A torch axis counted from the front."""
        return dim + self.rank if dim < 0 else dim

    def read(self, dim: int, readout: str) -> Stream:
        """All ticks put together, where ``dim`` is time alone; Refusal ND162 for another way than a read-out's."""
        if readout not in READOUTS:
            raise mixed_ticks(f"'{readout}'", f"axis {dim} of {self.sizes}")
        return replace(self, axes=(*self.axes[:dim], *self.axes[dim + 1 :]), readout=readout)

    def at_tick(self, dim: int, tick: int) -> Stream:
        """One tick of all, from 1 on, where ``dim`` is time alone."""
        return replace(self, axes=(*self.axes[:dim], *self.axes[dim + 1 :]), tick=tick)

    def axis(self, dim: int, what: str = "this operator") -> int:
        """The graph axis of a torch axis; Refusal ND105 for the batch, ND162 for time."""
        dim = self.dim(dim)
        run = self.axes[dim]
        if BATCH in run:
            limit, fix = "samples do not influence each other", "keep the batch in the first axis, untouched"
            raise Refusal(
                "ND105", f"{what} works on the batch axis", f"axis {dim} of {self.sizes}", limit, fix
            )
        if TIME in run:
            raise mixed_ticks(what, f"axis {dim} of {self.sizes}")
        return sum(bool(inner(other)) for other in self.axes[:dim])

    def graph_axes(self, dims: Sequence[int], what: str = "this operator") -> tuple[int, ...]:
        """The graph axes of several torch axes, sorted."""
        return tuple(sorted(self.axis(d, what) for d in dims))

    def at(self, name: str, shape: Shape, axes: Iterable[Run] | None = None) -> Stream:
        """What another node carries on; axes that hold a batch or time stay as they are unless said otherwise."""
        kept = tuple(self.axes if axes is None else axes)
        sizes = iter(shape.sizes)
        runs = (run if foreign(run) and (not inner(run) or next(sizes)) else (next(sizes),) for run in kept)
        return replace(self, name=name, shape=shape, axes=tuple(runs))


def foreign(run: Run) -> Run:
    """What an axis holds of samples and ticks."""
    return tuple(part for part in run if isinstance(part, str))


def inner(run: Run) -> tuple[int, ...]:
    """What an axis holds of the graph's own; nothing where it is samples or ticks alone."""
    return tuple(part for part in run if isinstance(part, int))


def mixed_ticks(what: str, found: object) -> Refusal:
    """ND162."""
    limit = (
        "ticks influence each other through neurons, and are put together at the end: mean, sum, or the last"
    )
    return Refusal("ND162", f"{what} works on the time axis", found, limit, "leave it to a neuron")


def moved_batch(what: str, stream: Stream) -> Refusal:
    """ND105 for an operator whose samples are not its first axis."""
    copies = any(isinstance(part, int) for run in stream.axes if BATCH in run for part in run)
    fix = "if these are ticks: no neuron of the model has a state, so all ticks are alike; build it with one, T = 1"
    cause, limit = f"{what} whose batch is not the first of its axes", "(batch, ...)"
    return Refusal("ND105", cause, stream.sizes, limit, *([fix] if copies else []))


def other_ticks(what: str, found: object) -> Refusal:
    """ND160."""
    cause = f"a loop over ticks that is no row of equal ticks: {what} joins them"
    limit = "ticks that compute the same, each from the input and its own neurons; their outputs summed or stacked"
    return Refusal(
        "ND160", cause, found, limit, "make the body of the loop the forward, and give --timesteps"
    )


def changing_parameter(name: str, values: Iterable[Array]) -> Refusal:
    """ND174: a constant with other ``values`` at other ticks, from tick 1 on or of two of them."""

    def text(value: Array) -> str:
        low, high = np.min(value), np.max(value)
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"

    cause = "a parameter of the model differs from tick to tick"
    fixes = (
        "run all ticks in one call, (T, batch, ...): a factor or an offset for each tick is taken there",
        "or train it with one value for all ticks",
    )
    found = f"{name}: {', '.join(map(text, values))}" if name else ", ".join(map(text, values))
    return Refusal("ND174", cause, found, "the same at every tick, as what a core stores", *fixes)


@dataclass(frozen=True)
class TokenIds:
    """The token ids of the input, (copies, tokens), which are looked up in a table of ``rows`` (None: not known).

    Only an embedding reads them, or an operator that makes something else of each id by itself. ``turned``: the tokens
    are the first axis, as some libraries have it.
    """

    tokens: int
    copies: int
    rows: int | None
    turned: bool = False

    @property
    def ids(self) -> TokenIds:
        """Themselves: they are a function of themselves."""
        return self

    @property
    def place(self) -> Place:
        """Where the batch stands."""
        return frozenset({(1 if self.turned else 2, (BATCH,))})

    @property
    def sizes(self) -> tuple[int, ...]:
        """Torch's shape, batch included."""
        return (self.tokens, self.copies) if self.turned else (self.copies, self.tokens)

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
        own: list[Run] = [(size,) for size in shape.sizes]
        return Stream(
            name, shape, (*own[: int(self.turned)], (BATCH,), *own[int(self.turned) :]), self.copies
        )


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
class Pair:
    """A mask of pairs of tokens: both are what ``one`` and ``other`` say, or not both, where ``shown`` is false."""

    one: OfIds
    other: OfIds
    shown: bool = True


@dataclass(frozen=True, eq=False)
class MaskedScores:
    """Scores that a mask has made so small, where ``hidden``, that their softmax is 0; the scores stay as they are.

    ``hidden`` has the graph's shape. Only a softmax can read them. Where a mask ``of_ids`` takes part, it is added to
    the scores, and only so deep.
    """

    scores: Stream
    hidden: Array
    of_ids: bool = False

    @property
    def sizes(self) -> tuple[int, ...]:
        """Torch's shape, batch included."""
        return self.scores.sizes


@dataclass(frozen=True)
class First:
    """The place of the first token that a mask shows, of each text: ``stream`` (B, N) is 1 there, and 0 elsewhere."""

    stream: Stream


@dataclass(frozen=True)
class Membrane:
    """A state of the neuron at ``path`` behind ``tick``, which it alone reads; without ``name``, what comes of one."""

    path: str
    name: str
    tick: int


#: what a sum or a mask may yield
Scores: TypeAlias = Stream | MaskedScores

#: everything that depends on the input
VALUES = (Stream, TokenIds, OfIds, MaskedScores, First, Membrane, Unknown)


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
