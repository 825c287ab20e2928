"""Integer programs run on symbols instead of numbers: what they compute, as a graph with an interval on every value.

The programs of neurons and operators are expressions over numpy arrays. Run once on symbols they say what to compute
for one element of a row, which totals of the row they take on the way, and, from the intervals of their inputs, how
wide every intermediate is: 32 bits wherever that is proven. Equal expressions are one symbol.

A program that asks a symbol for what it does not know before the data is there raises :class:`Untraceable`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from ..array import Array
from ..ir.fixed import held

INT64 = (-(1 << 63), (1 << 63) - 1)
INT32 = (-(1 << 31), (1 << 31) - 1)
#: when a value is known: written in the text, before the run, at the tick; from FIRST on in pass ``when - FIRST``
LITERAL, UNIFORM, TICK, FIRST = range(4)

Ends = tuple[int, int]


class Untraceable(TypeError):
    """A program that cannot be run on symbols."""


class Symbol:
    """One value of a program; arithmetic with it gives further ones."""

    __slots__ = ("args", "array", "book", "ends", "op", "value", "when", "wide")

    def __init__(self, book: Book, op: str, args: tuple[Any, ...], ends: Ends, when: int, wide: bool) -> None:
        self.book, self.op, self.args, self.ends, self.when, self.wide = book, op, args, ends, when, wide
        self.value: int | None = None  # of literals and uniform values
        self.array: Array | None = None  # of a parameter that is one

    @property
    def lo(self) -> int:
        """Smallest value."""
        return self.ends[0]

    @property
    def hi(self) -> int:
        """Largest value."""
        return self.ends[1]

    @property
    def narrow(self) -> bool:
        """Whether 32 bits hold it."""
        return INT32[0] <= self.lo and self.hi <= INT32[1]

    @property
    def truth(self) -> bool:
        """Whether it is a condition."""
        return self.op in CONDITIONS

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the row that the symbol stands for."""
        return (self.book.width,)

    @property
    def size(self) -> int:
        """Entries of a table."""
        if self.array is None:
            raise Untraceable("the number of elements")
        return int(self.array.size)

    def __bool__(self) -> bool:
        return bool(int(self))

    def __index__(self) -> int:
        return int(self)

    def __int__(self) -> int:
        if self.value is None:
            raise Untraceable(f"a decision on {self.op}, which depends on the data")
        return self.value

    def __hash__(self) -> int:
        return id(self)

    def __getitem__(self, index: Any) -> Symbol:
        if self.array is None or self.array.ndim != 1:
            raise Untraceable("an index into something that is no table")
        return self.book.take(self, self.book.integer(index))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Untraceable(f".{name}")

    def sum(self, axis: int | None = None, keepdims: bool = False) -> Symbol:
        """The total of a row."""
        return self._total("sum", axis, keepdims)

    def min(self, axis: int | None = None, keepdims: bool = False) -> Symbol:
        """The least of a row."""
        return self._total("least", axis, keepdims)

    def max(self, axis: int | None = None, keepdims: bool = False) -> Symbol:
        """The most of a row."""
        return self._total("most", axis, keepdims)

    def _total(self, op: str, axis: int | None, keepdims: bool) -> Symbol:
        if axis != -1 or not keepdims or not self.wide:
            raise Untraceable("a total that is not of the last axis")
        width = self.book.width if op == "sum" else 1
        return self.book.total(op, self, (min(self.lo, self.lo * width), max(self.hi, self.hi * width)))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Symbol:
        if method != "__call__" or kwargs or ufunc not in UFUNCS:
            raise Untraceable(f"numpy's {ufunc.__name__}")
        op, order = UFUNCS[ufunc]
        return self.book.call(op, *inputs[::order])

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Symbol:
        if kwargs or function not in FUNCTIONS:
            raise Untraceable(f"numpy's {function.__name__}")
        return FUNCTIONS[function](self.book, *args)

    def __add__(self, other: Any) -> Symbol:
        return self.book.call("add", self, other)

    def __radd__(self, other: Any) -> Symbol:
        return self.book.call("add", other, self)

    def __sub__(self, other: Any) -> Symbol:
        return self.book.call("sub", self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return self.book.call("sub", other, self)

    def __mul__(self, other: Any) -> Symbol:
        return self.book.call("mul", self, other)

    __rmul__ = __mul__

    def __lshift__(self, other: Any) -> Symbol:
        return self.book.call("shl", self, other)

    def __rlshift__(self, other: Any) -> Symbol:
        return self.book.call("shl", other, self)

    def __rshift__(self, other: Any) -> Symbol:
        return self.book.call("shr", self, other)

    def __rrshift__(self, other: Any) -> Symbol:
        return self.book.call("shr", other, self)

    def __floordiv__(self, other: Any) -> Symbol:
        return self.book.call("div", self, other)

    def __rfloordiv__(self, other: Any) -> Symbol:
        return self.book.call("div", other, self)

    def __mod__(self, other: Any) -> Symbol:
        return self.book.call("mod", self, other)

    def __and__(self, other: Any) -> Symbol:
        return self.book.call("and", self, other)

    __rand__ = __and__

    def __or__(self, other: Any) -> Symbol:
        return self.book.call("or", self, other)

    __ror__ = __or__

    def __neg__(self) -> Symbol:
        return self.book.call("sub", 0, self)

    def __abs__(self) -> Symbol:
        return self.book.call("abs", self)

    def __lt__(self, other: Any) -> Symbol:
        return self.book.call("lt", self, other)

    def __le__(self, other: Any) -> Symbol:
        return self.book.call("le", self, other)

    def __gt__(self, other: Any) -> Symbol:
        return self.book.call("lt", other, self)

    def __ge__(self, other: Any) -> Symbol:
        return self.book.call("le", other, self)

    def __eq__(self, other: Any) -> Symbol:  # type: ignore[override]
        return self.book.call("eq", self, other)

    def __ne__(self, other: Any) -> Symbol:  # type: ignore[override]
        return self.book.call("ne", self, other)


class Book:
    """All symbols of one program for rows of ``width`` elements of a value of ``shape``, each expression once."""

    def __init__(self, width: int, shape: tuple[int, ...]) -> None:
        self.width, self.shape = width, shape
        self.known: dict[Any, Symbol] = {}

    def literal(self, value: int) -> Symbol:
        """A number that stands in the program."""
        return self._kept(("literal", value), "literal", (value,), (value, value), LITERAL, False, value)

    def uniform(self, name: str, value: int) -> Symbol:
        """A number that is known before the run, and of which the text knows nothing but its width."""
        return self._kept(("leaf", name), "uniform", (name,), (value, value), UNIFORM, False, value)

    def leaf(self, op: str, name: str, ends: Ends, when: int, wide: bool) -> Symbol:
        """An input, a state, or a parameter that has a value for every tick or element."""
        return self._kept(("leaf", name), op, (name,), ends, when, wide)

    def truth(self, value: bool) -> Symbol:
        """A condition that always holds, or never."""
        return self._kept(("truth", value), "truth", (), (int(value),) * 2, LITERAL, False, int(value))

    def parameter(self, name: str, value: Any) -> Symbol:
        """A number of the program, or an array: a table, or one number for each element."""
        array = np.asarray(value)
        if array.ndim == 0:
            return self.uniform(name, int(array))
        for other in self.known.values():  # such as equal thresholds on both sides
            if other.op == "parameter" and other.array is not None and np.array_equal(other.array, array):
                return other
        found = self.leaf("parameter", name, (int(array.min()), int(array.max())), FIRST, True)
        found.array = array
        return found

    def tick(self, name: str, values: Array) -> Symbol:
        """A parameter with a value, or an array of them, for every tick."""
        ends = int(values.min()), int(values.max())
        if values[0].size == 1:
            found = self.leaf("tick", name, ends, TICK, False)
        else:
            found = self.leaf("by_tick", name, ends, FIRST, True)
        found.array = values
        return found

    def number(self, x: Symbol) -> Symbol:
        """A parameter where it is calculated with, as one for each element; one number where they are all equal."""
        if x.op not in ("parameter", "by_tick") or x.array is None:
            return x
        one = x.array if x.op == "parameter" else x.array[0]
        if one.ndim > len(self.shape) or np.broadcast_shapes(one.shape, self.shape) != self.shape:
            raise Untraceable(f"an array of shape {one.shape} that does not fit the elements")
        return self.uniform(x.args[0], x.lo) if x.lo == x.hi and x.op == "parameter" else x

    def take(self, table: Symbol, index: Symbol) -> Symbol:
        """An entry of a table; those of all elements are read between two passes."""
        if table.op != "parameter" or table.array is None:
            raise Untraceable("a table that changes with the tick")
        key = "take", table.args[0], id(index)
        when = index.when + 1 if index.wide else max(index.when, UNIFORM)
        value = None if index.value is None else int(table.array[index.value])
        ends = table.ends if value is None else (value, value)
        found = self._kept(key, "take", (index,), ends, when, index.wide, value)
        found.array = table.array
        return found

    def integer(self, x: Any) -> Symbol:
        """Any operand as a symbol that is no condition."""
        if isinstance(x, Symbol):
            return self.flag(x) if x.truth else self.number(x)
        if isinstance(x, (bool, int, np.integer, np.bool_)) or (isinstance(x, np.ndarray) and x.ndim == 0):
            return self.literal(int(x))
        raise Untraceable(f"an operand of type {type(x).__name__}")

    def condition(self, x: Any) -> Symbol:
        """Any operand as a condition."""
        return x if isinstance(x, Symbol) and x.truth else self.call("ne", x, 0)

    def flag(self, c: Symbol) -> Symbol:
        """1 where a condition holds, else 0."""
        return (
            self.literal(c.value)
            if c.when == LITERAL and c.value is not None
            else self.add("flag", (c,), (0, 1))
        )

    def where(self, c: Any, yes: Any, no: Any) -> Symbol:
        """``yes`` where the condition holds, else ``no``."""
        chosen, a, b = self.condition(c), self.integer(yes), self.integer(no)
        if chosen.when == LITERAL:
            return a if chosen.value else b
        if a.when == b.when == LITERAL and (a.value, b.value) == (1, 0):
            return self.flag(chosen)
        same = a is b or (a.value is not None and a.value == b.value)
        return a if same else self.add("where", (chosen, a, b), (min(a.lo, b.lo), max(a.hi, b.hi)))

    def call(self, op: str, *operands: Any) -> Symbol:
        """The symbol of an operation, or a simpler one that is equal."""
        if op in ("and", "or") and all(isinstance(x, Symbol) and x.truth for x in operands):
            return self._both(op, *operands)
        if op == "mul":
            for c, x in (operands, operands[::-1]):
                c = c.args[0] if isinstance(c, Symbol) and c.op == "flag" else c
                if isinstance(c, Symbol) and c.truth:
                    return self.where(c, x, 0)
        args = tuple(self.integer(x) for x in operands)
        simpler = SIMPLER[op](self, *args) if op in SIMPLER else None
        return self.add(op, args, ENDS[op](*args)) if simpler is None else simpler

    def _both(self, op: str, a: Symbol, b: Symbol) -> Symbol:
        for x, y in ((a, b), (b, a)):
            if x.when == LITERAL:
                return y if bool(x.value) == (op == "and") else x
        return self.add("all" if op == "and" else "any", (a, b), (0, 1))

    def add(self, op: str, args: tuple[Symbol, ...], ends: Ends) -> Symbol:
        """The symbol of an operation on symbols; its value where all of theirs are known."""
        when = max(a.when for a in args)
        values = [a.value for a in args]
        if all(v is not None for v in values):
            value = int(VALUES[op](*values))
            if not INT64[0] <= value <= INT64[1]:
                raise Untraceable("a number of more than 64 bits")
            if when == LITERAL:
                return self.truth(bool(value)) if op in CONDITIONS else self.literal(value)
            return self._kept((op, *map(id, args)), op, args, (value, value), when, False, value)
        if ends[0] < INT64[0] or ends[1] > INT64[1]:
            ends = INT64  # int64 wraps, in numpy and in compiled code alike
        return self._kept((op, *map(id, args)), op, args, ends, when, any(a.wide for a in args))

    def total(self, op: str, x: Symbol, ends: Ends) -> Symbol:
        """A total of a row: known before the next pass."""
        if ends[0] < INT64[0] or ends[1] > INT64[1]:
            ends = INT64
        return self._kept((op, id(x)), op, (x,), ends, max(x.when, FIRST) + 1, False)

    def known_within(self, x: Symbol, lo: int, hi: int) -> Symbol:
        """The same value, of which more is known than its expression says."""
        if x.value is not None or (lo <= x.lo and x.hi <= hi):
            return x
        return self.add("held", (x,), (max(lo, x.lo), min(hi, x.hi)))

    def _kept(
        self, key: Any, op: str, args: Any, ends: Ends, when: int, wide: bool, value: int | None = None
    ) -> Symbol:
        if key not in self.known:
            self.known[key] = Symbol(self, op, args, ends, when, wide)
            self.known[key].value = value
        return self.known[key]


@held.register
def _held(x: Symbol, bits: Any) -> Symbol:
    limit = 1 << (int(bits) - 1)
    return x.book.known_within(x, -limit, limit - 1)


def _corners(function: Callable[[int, int], int]) -> Callable[[Symbol, Symbol], Ends]:
    """Ends of a function that is monotone in each operand while the other rests."""

    def ends(a: Symbol, b: Symbol) -> Ends:
        found = [function(x, y) for x, y in product(a.ends, b.ends)]
        return min(found), max(found)

    return ends


def _shifted(function: Callable[[int, int], int]) -> Callable[[Symbol, Symbol], Ends]:
    corners = _corners(function)
    return lambda a, b: corners(a, b) if b.lo >= 0 and b.hi <= 63 else INT64


def _masked(a: Symbol, b: Symbol) -> Ends:
    masks = [x.hi for x in (a, b) if x.lo >= 0]
    return (0, min(masks)) if masks else (min(a.lo, b.lo, -1) * 2, max(a.hi, b.hi, 1) * 2)


def _divided(a: Symbol, b: Symbol) -> Ends:
    return _corners(operator.floordiv)(a, b) if b.lo > 0 else INT64


def _exceeds(a: Symbol, b: Symbol) -> bool:
    """Whether a - b is a distance from an end of a row."""
    return (a.op == "most" and a.args[0] is b) or (b.op == "least" and b.args[0] is a)


def _truth(*args: Symbol) -> Ends:
    return 0, 1


ENDS: dict[str, Callable[..., Ends]] = {
    "add": lambda a, b: (a.lo + b.lo, a.hi + b.hi),
    "sub": lambda a, b: (0 if _exceeds(a, b) else a.lo - b.hi, a.hi - b.lo),
    "mul": _corners(operator.mul),
    "shl": _shifted(operator.lshift),
    "shr": _shifted(operator.rshift),
    "div": _divided,
    "mod": lambda a, b: (0, b.hi - 1) if b.lo > 0 else INT64,
    "and": _masked,
    "or": lambda a, b: INT64,
    "min": lambda a, b: (min(a.lo, b.lo), min(a.hi, b.hi)),
    "max": lambda a, b: (max(a.lo, b.lo), max(a.hi, b.hi)),
    "abs": lambda a: (max(a.lo, -a.hi, 0), max(abs(a.lo), abs(a.hi))),
    "sign": lambda a: (-1, 1),
    "lt": _truth, "le": _truth, "eq": _truth, "ne": _truth,
}  # fmt: skip

#: of known numbers
VALUES: dict[str, Callable[..., Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "shl": operator.lshift, "shr": operator.rshift,
    "div": operator.floordiv, "mod": operator.mod, "and": operator.and_, "or": operator.or_, "min": min, "max": max,
    "abs": abs, "sign": lambda a: (a > 0) - (a < 0), "lt": operator.lt, "le": operator.le, "eq": operator.eq,
    "ne": operator.ne, "all": lambda a, b: a and b, "any": lambda a, b: a or b, "flag": int, "held": int,
    "where": lambda c, a, b: a if c else b,
}  # fmt: skip
CONDITIONS = frozenset({"truth", "lt", "le", "eq", "ne", "all", "any"})


def _sum(book: Book, a: Symbol, b: Symbol) -> Symbol | None:
    for x, y in ((a, b), (b, a)):
        if y.value == 0 and y.when == LITERAL:
            return x
        if y.op == "where" and y.args[2].value == 0 and y.args[2].when == LITERAL:
            c, change, _ = y.args
            if change.op == "sub" and change.args[1] is x:  # fixed.select: b + (a - b) * flag(c)
                return book.where(c, change.args[0], x)
            if change.when <= UNIFORM and x.when <= UNIFORM:
                return book.where(c, x + change, x)
    return None


def _difference(book: Book, a: Symbol, b: Symbol) -> Symbol | None:
    return a if b.value == 0 and b.when == LITERAL else None


def _product(book: Book, a: Symbol, b: Symbol) -> Symbol | None:
    for x, y in ((a, b), (b, a)):
        if y.when == LITERAL and y.value in (0, 1):
            return x if y.value else y
    return None


def _least(book: Book, a: Symbol, b: Symbol) -> Symbol | None:
    return a if a.hi <= b.lo else b if b.hi <= a.lo else None


def _most(book: Book, a: Symbol, b: Symbol) -> Symbol | None:
    return a if a.lo >= b.hi else b if b.lo >= a.hi else None


def _equal(truth: bool) -> Callable[[Book, Symbol, Symbol], Symbol | None]:
    def simpler(book: Book, a: Symbol, b: Symbol) -> Symbol | None:
        same = a is b
        return book.truth(same == truth) if same or a.hi < b.lo or b.hi < a.lo else None

    return simpler


def _ordered(strict: bool) -> Callable[[Book, Symbol, Symbol], Symbol | None]:
    def simpler(book: Book, a: Symbol, b: Symbol) -> Symbol | None:
        always = a.hi < b.lo or (a.hi == b.lo and not strict)
        never = a.lo > b.hi or (a.lo == b.hi and strict)
        return book.truth(always) if always or never else None

    return simpler


#: book, operands -> an equal symbol, where there is a simpler one
SIMPLER: dict[str, Callable[..., Symbol | None]] = {
    "add": _sum, "sub": _difference, "mul": _product, "shl": _difference, "shr": _difference,
    "min": _least, "max": _most, "abs": lambda book, a: a if a.lo >= 0 else None,
    "eq": _equal(True), "ne": _equal(False), "lt": _ordered(True), "le": _ordered(False),
}  # fmt: skip

#: numpy's name -> ours, and the order of its operands
UFUNCS: dict[Any, tuple[str, int]] = {
    np.add: ("add", 1), np.subtract: ("sub", 1), np.multiply: ("mul", 1), np.left_shift: ("shl", 1),
    np.right_shift: ("shr", 1), np.floor_divide: ("div", 1), np.remainder: ("mod", 1), np.minimum: ("min", 1),
    np.maximum: ("max", 1), np.absolute: ("abs", 1), np.sign: ("sign", 1), np.bitwise_and: ("and", 1),
    np.bitwise_or: ("or", 1), np.less: ("lt", 1), np.less_equal: ("le", 1), np.greater: ("lt", -1),
    np.greater_equal: ("le", -1), np.equal: ("eq", 1), np.not_equal: ("ne", 1),
}  # fmt: skip
FUNCTIONS: dict[Any, Callable[..., Symbol]] = {
    np.where: Book.where,
    np.clip: lambda book, x, lo, hi: book.call("min", book.call("max", x, lo), hi),
    np.zeros_like: lambda book, x: book.literal(0),
}
