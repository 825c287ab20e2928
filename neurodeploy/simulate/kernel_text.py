"""The compiled form of an integer program: one text with a loop over rows, ticks and elements, from its symbols.

Every pass over the elements of a row is one loop that the compiler turns into vectors: in it stand all expressions that
need no total of a later one. Tables are read by loops of their own between two passes, since compilers leave loops with
such reads as they are. What a later pass reads again lies in a buffer of the size of a block, as states do, so
ticks go round outside of a block that stays in the nearest cache. Numbers are numpy's int32 wherever the symbol is
narrow, and every result is cut back at once, as compilers would go on in 64 bits.

The text holds no number that is known only when a network is planned, just how wide it is: networks share it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .symbols import FIRST, INT32, INT64, LITERAL, TICK, UNIFORM, Symbol

BLOCK = 1024  # elements: a few buffers of them fit the first-level cache
APART = 16  # more between two buffers, which otherwise fall on the same lines of that cache

TEXT = '''\
"""Generated: one integer program for rows of elements."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def kernel(block, out, short, long, short_at, long_at{arguments}):
    ticks, rows, width = out.shape
    block = min(block, width)
{buffers}
{uniform}
    clipped = 0
    for i in range(rows):
        for start in range(0, width, block):
            stop = min(start + block, width)
            size = stop - start
{zero}
{views}
            for t in range(ticks):
                to = out[t, i, start:stop]
{at_tick}
{passes}
    return clipped
'''


@dataclass(frozen=True, eq=False)
class Outcome:
    """The symbols of one step: what it sends, its states afterwards, and what counts as clipped."""

    out: Symbol
    states: tuple[Symbol, ...]
    clipped: Symbol


@dataclass
class Kernel:
    """The text of a program, and in which order it wants its uniform numbers, numbers of ticks, arrays and tables."""

    text: str = ""
    uniform: list[Symbol] = field(default_factory=list)
    ticked: list[Symbol] = field(default_factory=list)
    arrays: list[Symbol] = field(
        default_factory=list
    )  # inputs, parameters and tables, in the order of arguments


class Writer:
    """Writes one kernel."""

    def __init__(self, outcome: Outcome, states: Sequence[Symbol], stride: int) -> None:
        self.outcome, self.states = outcome, states
        self.kernel = Kernel()
        self.names: dict[int, str] = {}
        self.used, self.stride = [0, 0], stride
        self.last = max([FIRST, *(s.when for s in (outcome.out, outcome.clipped, *outcome.states))])
        self.order = ordered([outcome.out, outcome.clipped, *outcome.states])
        self.constant = self._constant()
        self.reads = [s for s in self.order if s.op == "take" and s.wide]
        self.kept = self._crossing()
        self.arguments: dict[int, str] = {}
        self.views: dict[int, list[str]] = {1: [], 2: []}  # before the ticks, at each
        self.kernel.text = self._text()

    def _constant(self) -> set[int]:
        """What parameters alone decide: cheaper computed again than kept from pass to pass."""
        found: set[int] = set()
        for s in self.order:
            if s.op == "parameter" or (
                s.wide and s.op not in (*LEAVES, "take") and all(id(a) in found or not a.wide for a in s.args)
            ):
                found.add(id(s))
        return found

    def _crossing(self) -> dict[int, str]:
        """Buffers of what is computed in one pass and read in a later one."""
        kept: dict[int, str] = {}
        for s in self.states:
            self._keep(s, kept)
        readers = [(s.when, a) for s in self.order if s.wide for a in s.args if isinstance(a, Symbol)]
        readers += [(self.last, s) for s in (self.outcome.out, self.outcome.clipped, *self.outcome.states)]
        for when, symbol in readers:
            if (
                symbol.wide
                and symbol.when < when
                and symbol.op not in LEAVES
                and id(symbol) not in self.constant
            ):
                self._keep(symbol, kept)
        for s in self.reads:
            self._keep(s, kept)
            if s.args[0].op not in LEAVES:
                self._keep(s.args[0], kept)
        return kept

    def _keep(self, s: Symbol, kept: dict[int, str]) -> None:
        """A place in one of two arrays: with distances between buffers that it knows the compiler sees them apart."""
        if id(s) not in kept:
            first = self.used[not s.narrow] * self.stride
            kept[id(s)] = f"{'short' if s.narrow else 'long'}_work[np.uint64(j + {first})]"
            self.used[not s.narrow] += 1

    def _text(self) -> str:
        passes = [self._pass(when) for when in range(FIRST, self.last + 1)]
        at_tick = self._scalars(TICK)
        buffers = [
            f"    {kind}_work = np.empty({count * self.stride}, {number})"
            for (kind, number), count in zip(
                (("short", "np.int32"), ("long", "np.int64")), self.used, strict=True
            )
        ]
        zero = [f"{' ' * 16}{self.kept[id(s)]} = 0" for s in self.states]
        zero = [f"{' ' * 12}for j in range(size):", *zero] if zero else []
        uniform = self.kernel.uniform
        loaded = [
            f"    {self.names[id(s)]} = {_cast(s, f'{_length(s)}[{i}]')}" for i, s in enumerate(uniform)
        ]
        arguments = "".join(f", {self.arguments[id(s)]}" for s in self.kernel.arrays)
        inner = [*self.views[2], *at_tick]
        return TEXT.format(
            arguments=arguments, buffers="\n".join(buffers), uniform="\n".join(loaded),
            zero="\n".join(zero), views="\n".join(self.views[1]), at_tick="\n".join(inner), passes="\n".join(passes),
        )  # fmt: skip

    def _pass(self, when: int) -> str:
        """The scalars before a pass, and the loop."""
        totals = [s for s in self.order if s.op in TOTALS and s.when == when + 1]
        head = self._scalars(when) if when > FIRST else []
        head += [f"{' ' * 16}{self._named(s)} = {_start(s)}" for s in totals]
        lines: list[str] = []
        done: dict[int, str] = {}
        for s in totals:
            name, at = self._named(s), self._wide(s.args[0], when, lines, done)
            lines.append(f"{name} = {_cast(s, GATHER[s.op].format(name, at))}")
        for s in self.order:
            if s.when == when and id(s) in self.kept and s.op != "take":
                lines.append(f"{self.kept[id(s)]} = {self._wide(s, when, lines, done)}")
        tail: list[str] = []
        if when == self.last:
            tail = self._outputs(when, lines, done, head)
        for s in self.reads:
            if s.when == when + 1:
                (index,) = s.args
                at = self._element(index) if index.op in LEAVES else self.kept[id(index)]
                tail.append(f"{' ' * 16}for j in range(size):")
                tail.append(f"{' ' * 20}{self.kept[id(s)]} = {self._table(s)}[np.uint64({at})]")
        body = [" " * 20 + line for line in lines]
        loop = [f"{' ' * 16}for j in range(size):", *body] if body else []
        return "\n".join([*head, *loop, *tail])

    def _outputs(self, when: int, lines: list[str], done: dict[int, str], head: list[str]) -> list[str]:
        outcome, tail = self.outcome, list[str]()
        values = [self._wide(s, when, lines, done) for s in (outcome.out, *outcome.states)]
        if outcome.clipped.value != 0:
            head.append(f"{' ' * 16}count = np.int32(0)")
            lines.append(f"count = np.int32(count + {self._wide(outcome.clipped, when, lines, done)})")
            tail.append(f"{' ' * 16}clipped += count")
        lines.append(f"to[j] = {values[0]}")
        for state, value in zip(self.states, values[1:], strict=True):
            lines.append(f"{self.kept[id(state)]} = {_cast(state, value)}")
        return tail

    def _scalars(self, when: int) -> list[str]:
        """What is known once for a tick, or between two passes."""
        lines = []
        for s in self.order:
            if s.when == when and not s.wide and s.op not in (*TOTALS, "tick"):
                text = self._expression(s, self._scalar)
                lines.append(f"{' ' * 16}{self._named(s)} = {text}")
        return lines

    def _scalar(self, s: Symbol) -> str:
        """The name of a number that is the same for every element."""
        if s.when == LITERAL:
            return f"({s.value})" if not s.truth else str(bool(s.value))
        if s.op == "tick":
            return self._tick(s)
        if s.when == UNIFORM and id(s) not in self.names:
            self.kernel.uniform.append(s)
        return self._named(s)

    def _tick(self, s: Symbol) -> str:
        if id(s) not in self.names:
            text = _cast(s, f"{_length(s)}_at[{len(self.kernel.ticked)}, t]")
            self.views[2].append(f"{' ' * 16}{self._named(s)} = {text}")
            self.kernel.ticked.append(s)
        return self._named(s)

    def _named(self, s: Symbol) -> str:
        return self.names.setdefault(id(s), f"n{len(self.names)}")

    def _wide(self, s: Symbol, when: int, lines: list[str], done: dict[int, str]) -> str:
        """The name of a value of the element at j, after the lines that compute it."""
        if not s.wide:
            return self._scalar(s)
        if id(s) not in done:
            if s.op in LEAVES:
                text = _cast(s, self._element(s))
            elif id(s) in self.kept and (s.when < when or s.op == "take"):
                text = f"{self.kept[id(s)]}{' != 0' if s.truth else ''}"
            else:
                text = self._expression(s, lambda a: self._wide(a, when, lines, done))
            done[id(s)] = name = self._named(s)
            lines.append(f"{name} = {text}")
        return done[id(s)]

    def _element(self, s: Symbol) -> str:
        """The element at j of an input, a state or a parameter."""
        if s.op == "state":
            return self.kept[id(s)]
        name = f"at_{s.args[0]}"
        if id(s) not in self.arguments:
            array = self._argument(s)
            t = {"input": f"t if {array}.shape[0] > 1 else 0", "parameter": "0", "by_tick": "t"}[s.op]
            row = "i" if s.op == "input" else f"i % {array}.shape[1]"
            outside = s.op == "parameter"
            place = " " * (12 if outside else 16)
            self.views[1 if outside else 2].append(f"{place}{name} = {array}[{t}, {row}, start:stop]")
        return f"{name}[j]"

    def _argument(self, s: Symbol) -> str:
        if id(s) not in self.arguments:
            self.arguments[id(s)] = (
                f"all_{s.args[0]}" if s.op in LEAVES else f"table{len(self.kernel.arrays)}"
            )
            self.kernel.arrays.append(s)
        return self.arguments[id(s)]

    def _table(self, s: Symbol) -> str:
        """The table that a symbol is read from."""
        return self._argument(
            next((x for x in self.kernel.arrays if x.op == "take" and x.array is s.array), s)
        )

    def _expression(self, s: Symbol, name: Callable[[Symbol], str]) -> str:
        a = [name(x) for x in s.args]
        if s.op == "take":
            return _cast(s, f"{self._table(s)}[np.uint64({a[0]})]")
        if s.op in ("shl", "shr"):
            short = s.args[0].narrow and s.args[1].hi < 32 and (s.op == "shr" or s.narrow)
            at = a[1] if s.args[1].when == LITERAL else f"({a[1]} & {31 if short else 63})"
            left = a[0] if short else f"np.int64({a[0]})"
            return _cast(s, f"{left} {'<<' if s.op == 'shl' else '>>'} {at}")
        text = FORMS[s.op].format(*a)
        return text if s.truth else _cast(s, text)


def write(outcome: Outcome, states: Sequence[Symbol], width: int) -> Kernel:
    """The kernel of a step, for blocks of at most ``width``; ``states`` are the symbols that it started from."""
    longest = BLOCK if width <= BLOCK else 1 << (width - 1).bit_length()
    return Writer(outcome, states, longest + APART).kernel


def ordered(ends: list[Symbol]) -> list[Symbol]:
    """All that they need, operands first; of what is known before the run the result alone."""
    found: dict[int, Symbol] = {}

    def visit(s: Symbol) -> None:
        if id(s) not in found:
            for a in s.args if s.when > UNIFORM else ():
                if isinstance(a, Symbol):
                    visit(a)
            found[id(s)] = s

    for s in ends:
        visit(s)
    return list(found.values())


def _type(s: Symbol) -> str:
    return "np.int32" if s.narrow else "np.int64"


def _length(s: Symbol) -> str:
    """The array that holds a number: one whose type the compiler need not cut back."""
    return "short" if s.narrow else "long"


def _cast(s: Symbol, text: str) -> str:
    return f"{text} != 0" if s.truth else f"{_type(s)}({text})"


def _start(s: Symbol) -> str:
    """What a total begins with: zero, or a value that every element beats."""
    least, most = INT32 if s.narrow else INT64
    rest = {"sum": 0, "least": most, "most": least}[s.op]
    return f"{_type(s)}({rest})"


LEAVES = ("input", "state", "parameter", "by_tick")
TOTALS = ("sum", "least", "most")
GATHER = {"sum": "{0} + {1}", "least": "{1} if {1} < {0} else {0}", "most": "{1} if {1} > {0} else {0}"}
FORMS = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} // {1}", "mod": "{0} % {1}",
    "and": "{0} & {1}", "or": "{0} | {1}", "min": "{0} if {0} < {1} else {1}", "max": "{0} if {0} > {1} else {1}",
    "abs": "{0} if {0} >= 0 else -{0}", "sign": "({0} > 0) - ({0} < 0)", "lt": "{0} < {1}", "le": "{0} <= {1}",
    "eq": "{0} == {1}", "ne": "{0} != {1}", "all": "{0} & {1}", "any": "{0} | {1}", "flag": "{0}", "held": "{0}",
    "where": "{1} if {0} else {2}",
}  # fmt: skip
