"""Functions that a model spells out in simple operators, found again: GELU, SiLU, layer and RMS norm, quantisers.

``0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3)))`` is one operator with an integer program, and not seven
without. There are as many spellings as libraries, so that none is matched as text: a group of elementwise calls with
constants, and of means over the last axis, whose result is used, and nothing else of it, is evaluated and compared with
the functions that are known. The eps of a norm and the step of a quantiser are among the constants of their group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special

from ..array import Array
from ..ir.micro_op import MICROCODE
from ..neurons import integer_lif, multi_spike
from ..neurons.multi_spike import COUNT_MAX
from .kinds import WHOLE
from .traced import Call, Ref, Traced, references


def _mean(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    return _rows(x, keepdim).mean(axis=-1, keepdims=True)


def _var(
    x: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, correction: Any = None
) -> Any:
    """Torch's variance; ``correction`` is the newer name of what ``unbiased`` says."""
    ddof = float(unbiased) if correction is None else correction
    return _rows(x, keepdim).var(axis=-1, ddof=ddof, keepdims=True)


def _length(x: Any, order: Any = 2, dim: Any = None, keepdim: bool = False) -> Any:
    """The Euclidean length of each row."""
    if order != 2:
        raise _NoFunctionError
    return np.linalg.norm(_rows(x, keepdim), axis=-1, keepdims=True)


def _rows(x: Any, keepdim: bool) -> Any:
    """What is reduced along its rows; :func:`_axis` says which axis of torch they are."""
    if not keepdim:
        raise _NoFunctionError
    return x


def _axis(calls: Sequence[Call]) -> int:
    """The one axis that all calls of a group reduce, counted from the last; _NoFunctionError where they differ.

    The last where none does.
    """
    axes = {axis for call in calls if call.op in REDUCED for axis in _reduced(call)}
    if len(axes) > 1:
        raise _NoFunctionError
    return axes.pop() if axes else -1


def _reduced(call: Call) -> list[int]:
    """The axes that a call reduces, counted from the last."""
    place = REDUCED[call.op]
    given = call.kwargs.get("dim", call.args[place] if len(call.args) > place else None)
    dims = [given] if isinstance(given, int) else given
    if not dims or (max(dims) >= 0 and call.sizes is None):
        raise _NoFunctionError
    return [dim - len(call.sizes or ()) if dim >= 0 else dim for dim in dims]


#: canonical operator -> its value on arrays
SIMPLE: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("add", "iadd", "__add__", "__radd__"), lambda a, b, alpha=1: a + alpha * b),
    **dict.fromkeys(("sub", "isub", "__sub__"), lambda a, b, alpha=1: a - alpha * b),
    **dict.fromkeys(("rsub", "__rsub__"), lambda a, b, alpha=1: b - alpha * a),
    **dict.fromkeys(("mul", "imul", "__mul__", "__rmul__"), lambda a, b: a * b),
    **dict.fromkeys(("div", "truediv", "__truediv__"), lambda a, b: a / b),
    **dict.fromkeys(("pow", "__pow__"), lambda a, b: a**b),
    **dict.fromkeys(("neg", "__neg__"), lambda a: -a),
    "square": lambda a: a * a,
    "reciprocal": lambda a: 1 / a,
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "erf": special.erf,
    "exp": np.exp,
    **dict.fromkeys(("floor", "floor_"), np.floor),
    **dict.fromkeys(("round", "round_"), np.round),
    **dict.fromkeys(("clamp", "clip", "clamp_"), lambda a, min=None, max=None: np.clip(a, min, max)),
    **dict.fromkeys(("clamp_min", "maximum"), np.maximum),
    **dict.fromkeys(("clamp_max", "minimum"), np.minimum),
    "detach": lambda a: a,
    "sqrt": np.sqrt,
    "rsqrt": lambda a: 1 / np.sqrt(a),
    "mean": _mean,
    "var": _var,
    "linalg_vector_norm": _length,
    **dict.fromkeys(("expand", "expand_as"), lambda a, *_: a),
}
CASTS = ("_to_copy", "to", "float", "double", "type_as")
SIMPLE |= dict.fromkeys(CASTS, lambda a, *_, **__: a)
#: reductions along rows, and which of their arguments says along which axis
REDUCED = {"mean": 1, "var": 1, "linalg_vector_norm": 2}
#: no group is a function worth a look without one of these
SEEDS = {
    "tanh", "sigmoid", "erf", "exp", "sqrt", "rsqrt", "pow", "__pow__", "floor", "floor_", "round", "round_",
    "linalg_vector_norm",
}  # fmt: skip
LARGEST = 24  # calls in a group
WIDTH = 18  # of a row, as norms see it
#: denser around 0, so that the rows differ in spread from far above any eps to far below
NEAR = (np.linspace(-np.cbrt(9.0), np.cbrt(9.0), 720) ** 3).reshape(40, WIDTH)
#: past any magnitude that a network reaches: whatever is cut off on the way differs out there
FAR = np.geomspace(9.0, 1e6, 90)
#: inputs of a quantiser in steps: past every count on both sides, and on both sides of what is half-way between two
STEPS = np.arange(-(COUNT_MAX + 2.45), COUNT_MAX + 2, 0.1)
HALVES = np.arange(-(COUNT_MAX + 1.5), COUNT_MAX + 2)
STEPS = np.concatenate(
    (STEPS, HALVES - 1e-4, HALVES + 1e-4, np.rint(FAR * 100) + 0.3, -np.rint(FAR * 100) - 0.3)
)
TOLERANCE = 2e-6  # constants are often written with seven digits
RELATIVE = 1e-12  # of points far out


@dataclass(frozen=True)
class _Program:
    """The calls by name, which of them depend on the input, by which calls each is read, and the constants."""

    calls: Mapping[str, Call]
    live: Set[str]
    users: Mapping[str, Set[str]]
    constants: Mapping[str, Any]

    @classmethod
    def of(cls, traced: Traced) -> _Program:
        """The program behind the calls; the output is read by a call without a name."""
        live = {traced.input}
        users: dict[str, set[str]] = {}
        for call in traced.calls:
            read = [ref.name for ref in references((call.args, call.kwargs))]
            if not live.isdisjoint(read):
                live.add(call.name)
            for name in read:
                users.setdefault(name, set()).add(call.name)
        for ref in references(traced.output):
            users.setdefault(ref.name, set()).add("")
        return cls({call.name: call for call in traced.calls}, live, users, traced.constants)

    def read(self, name: str) -> list[str]:
        """What a call reads of all that depends on the input."""
        call = self.calls[name]
        return [ref.name for ref in references((call.args, call.kwargs)) if ref.name in self.live]

    def group(self, root: str) -> list[str]:
        """The root and the elementwise calls before it that serve nothing else."""
        group = [root]
        while len(group) < LARGEST:
            more = [
                read
                for name in group
                for read in self.read(name)
                if read not in group and read in self.calls
                if self.simple(self.calls[read]) and self.users[read] <= set(group)
            ]
            if not more:
                break
            group += list(dict.fromkeys(more))
        return group

    def simple(self, call: Call) -> bool:
        """Whether a call is elementwise, a mean of rows, or repeats one along its row.

        A cast is nothing where its type holds what it is given.
        """
        if call.op in CASTS and call.dtype is not None:
            return bool(call.dtype.is_floating_point and call.dtype.itemsize >= WHOLE)
        if call.op.startswith("expand"):
            given = getattr(call.args[0], "name", "")
            return self.statistic(given) and _repeats_rows(self.calls[given], call)
        return call.op in SIMPLE

    def statistic(self, name: str) -> bool:
        """Whether a call says one number of each row."""
        call = self.calls.get(name)
        if call is None or call.op not in SIMPLE:
            return False
        read = self.read(name)
        return call.op in REDUCED or (bool(read) and all(map(self.statistic, read)))


def _repeats_rows(given: Call, call: Call) -> bool:
    """Whether a call repeats one number along one axis of what another yields, as arithmetic does by itself."""
    old, new = given.sizes or (), call.sizes or ()
    grown = [a for a, b in zip(old, new, strict=False) if a != b]
    return len(old) == len(new) and len(grown) < 2 and all(size == 1 for size in grown)


def fused(traced: Traced) -> list[Call]:
    """The calls with every spelled-out function replaced by one call, which has the origin of the last it replaces."""
    calls = list(traced.calls)
    if not any(call.op in SEEDS for call in calls):
        return calls
    program = _Program.of(traced)
    gone: set[str] = set()
    made: dict[str, Call] = {}
    for call in reversed(calls):
        if not program.simple(call) or call.name in gone or call.name not in program.live:
            continue
        if found := _recognised(call, program):
            made[call.name], dropped = found
            gone |= dropped
    return [made.get(call.name, call) for call in calls if call.name not in gone]


def _recognised(root: Call, program: _Program) -> tuple[Call, set[str]] | None:
    """(the call that replaces the root, names of the calls it makes idle) where the root is a known function."""
    group = program.group(root.name)
    if not any(program.calls[name].op in SEEDS for name in group):
        return None
    read = dict.fromkeys(name for member in group for name in program.read(member))
    for leaf in reversed(read):  # farthest from the root first
        function = _Function(root.name, leaf, group, program)
        try:
            with np.errstate(all="ignore"):
                used = function.used()
                idle = used - {root.name}
                calls = [program.calls[name] for name in used]
                alone = all(program.users[name] <= used for name in idle)
                if not (alone and any(call.op in SEEDS for call in calls)):
                    continue
                found = _known(function, calls) or _quantiser(function, calls)
        except _NoFunctionError:
            continue
        if found is not None:
            op, keywords = found
            origin = replace(root.origin, op=keywords.get("norm", op))
            return replace(root, op=op, args=(Ref(leaf),), kwargs=keywords, origin=origin, leaf=False), idle
    return None


def _known(function: _Function, group: Sequence[Call]) -> tuple[str, dict[str, Any]] | None:
    """The function that a group is on all points, with the keywords of its call.

    Where the spelling itself overflows, far out, it says nothing.
    """
    points = _points(group, function.program.constants)
    y = function.value(points)
    if np.shape(y) != points.shape or not np.isfinite(y[: len(NEAR)]).all():
        return None
    shown = np.isfinite(y)
    for op, params, keywords in _candidates(group, _axis(group)):
        expected = MICROCODE[op].float_apply(points, params)
        if np.allclose(y[shown], expected[shown], rtol=RELATIVE, atol=TOLERANCE):
            return "spelled_norm" if "norm" in keywords else op, keywords
    return None


def _points(group: Sequence[Call], constants: Mapping[str, Any]) -> Array:
    """Rows of points around 0, far out, and on both sides of every constant of a group."""
    numbers = {abs(float(number)) for call in group for number in _scalars(call, constants)}
    bends = sorted({n for number in numbers if 0 < number < np.inf for n in (number, 1 / number)})
    beside = np.outer(bends, (0.99, 1.01)).reshape(-1)
    more = np.concatenate((FAR, -FAR, beside, -beside))
    return np.concatenate((NEAR, np.resize(more, (-(-more.size // WIDTH), WIDTH))))


def _quantiser(function: _Function, group: Sequence[Call]) -> tuple[str, dict[str, Any]] | None:
    """``step * clip(round(x / step), -N, P)`` whose step, or its reciprocal, is a constant of the group, or 1."""
    if not any(call.op.startswith(("floor", "round")) for call in group):
        return None
    scalars = [float(number) for call in group for number in _scalars(call, function.program.constants)]
    scalars.append(1.0)
    for step in (s for scalar in scalars if scalar > 0 for s in (scalar, 1 / scalar)):
        y = function.value(step * STEPS) / step
        negative, positive = -round(float(y.min())), round(float(y.max()))
        expected = multi_spike.MEMBER.float_step(STEPS, 0.0, 1.0, positive, negative)[0]
        if not np.allclose(y, expected, rtol=0, atol=1e-3) or max(negative, positive) > COUNT_MAX:
            continue
        even = _halves_to_even(function, step, positive, negative)
        if even is not None:
            return "quantise", {"step": step, "positive": positive, "negative": negative, "even": even}
    return None


def _halves_to_even(function: _Function, step: float, positive: int, negative: int) -> bool | None:
    """Whether what is half-way between two counts goes to the even one, False if it goes up; None for another way.

    Only a step that is a power of two meets halves: with any other, the order of the arithmetic decides for each.
    """
    halves = HALVES[(-negative - 1 < HALVES) & (positive + 1 > HALVES)]
    y = function.value(step * halves) / step
    rules = {True: integer_lif.MEMBER, False: multi_spike.MEMBER}
    fit = {
        even: np.mean(np.abs(y - neuron.float_step(halves, 0.0, 1.0, positive, negative)[0]) < 0.5)
        for even, neuron in rules.items()
    }
    best = max(fit, key=lambda even: fit[even])
    return best if fit[best] == 1 or np.frexp(step)[0] != 0.5 else None


def _scalars(call: Call, constants: Mapping[str, Any]) -> Iterator[Any]:
    for part in (*call.args, *call.kwargs.values()):
        part = constants.get(part.name) if isinstance(part, Ref) else part
        if isinstance(part, (int, float)) or _single(part):
            yield part


def _candidates(group: Sequence[Call], axis: int) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(operator, its parameters on rows of points, keywords of the call) of every function that a group may be."""
    for name, op in MICROCODE.items():
        yield from ((name, dict(keywords), dict(keywords)) for keywords in op.spelled)
    numbers = {n for call in group for n in (*call.args, *call.kwargs.values()) if isinstance(n, float)}
    least = sorted(n for n in numbers | {0.0} if 0 <= n < 1)
    affine = {"width": WIDTH, "gamma": np.ones(WIDTH), "beta": np.zeros(WIDTH)}
    for norm in (name for name, op in MICROCODE.items() if op.affine):
        for eps in least:
            yield norm, {**affine, "eps": eps}, {"norm": norm, "eps": eps, "dim": axis}
    if any(call.op == "linalg_vector_norm" for call in group):
        # a row that is shorter than the least length is next to nothing, and stays so
        short = {**affine, "gamma": np.full(WIDTH, WIDTH**-0.5)}
        for eps in (n**2 for n in reversed(least)):
            keywords = {"norm": "rms_norm", "eps": eps, "dim": axis, "length": True}
            yield "rms_norm", {**short, "eps": eps / WIDTH}, keywords


class _NoFunctionError(Exception):
    """The root depends on more than the leaf and single constants."""


@dataclass(frozen=True)
class _Function:
    """The root of a group as a function of one leaf."""

    root: str
    leaf: str
    group: Sequence[str]
    program: _Program

    def used(self) -> set[str]:
        """The calls of the group between leaf and root."""
        used: set[str] = set()
        ahead = [self.root]
        while ahead:
            name = ahead.pop()
            if name != self.leaf and name in self.group and name not in used:
                used.add(name)
                call = self.program.calls[name]
                ahead += [ref.name for ref in references((_numbers(call), call.kwargs))]
        return used

    def value(self, points: Array) -> Any:
        """Its value with ``points`` in place of the leaf; _NoFunctionError where it depends on more."""
        return self._value(Ref(self.root), points)

    def _value(self, item: Any, points: Array) -> Any:
        if item is None or isinstance(item, (bool, str, int, float)) or _axes(item):
            return item
        if not isinstance(item, Ref):
            raise _NoFunctionError
        if item.name == self.leaf:
            return points
        if item.name in self.group:
            return self._applied(self.program.calls[item.name], points)
        constant: Any = self.program.constants.get(item.name)
        if not _single(constant):
            raise _NoFunctionError
        return float(constant)

    def _applied(self, call: Call, points: Array) -> Any:
        parts = [self._value(part, points) for part in _numbers(call)]
        keywords = {
            key: self._value(item, points)
            for key, item in call.kwargs.items()
            if isinstance(item, (int, float, Ref)) or _axes(item)
        }
        try:
            return SIMPLE[call.op](*parts, **keywords)
        except TypeError as error:
            raise _NoFunctionError from error


def _single(constant: Any) -> bool:
    return bool(getattr(constant, "numel", lambda: 0)() == 1)


def _axes(item: Any) -> bool:
    return isinstance(item, (list, tuple)) and all(isinstance(axis, int) for axis in item)


def _numbers(call: Call) -> Sequence[Any]:
    """The operands: of a change of type the tensor alone."""
    return call.args[:1] if call.op in CASTS else call.args
