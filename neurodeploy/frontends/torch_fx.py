"""A live spiking network as a torch module to a source graph of one tick, by torch.fx with the neurons as leaves.

Every proxy carries the value that its node takes on an example of zeros, so that shapes are numbers while tracing
and ``if x.dim() == 4`` or ``b, c, h, w = x.shape`` need no special care. One call of the module is one tick.
"""

from __future__ import annotations

import functools
import inspect
import operator
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.overrides import TorchFunctionMode

from ..errors import ImportModelError, NeurodeployError, Problem, first_line
from ..ir.graph import Graph, Header
from ..ir.types import Origin
from . import _torch, guest, observed, written
from .input_spec import InputSpec
from .leaves._base import Leaf
from .loops import restarts, unrolled
from .lower import lower
from .recurrences import Recurrences, Remembered
from .replay import differing
from .states import Memory, begins, entered, flat, may_loop, may_remember, memory, unreadable
from .ticks import begins_anew, repeated, runs_all, ticks_inside
from .traced import Call, Ref, Traced

#: what a module is refused for that does not run on one image, and may run on a frame for each tick
DOES_NOT_RUN = {"ND103", "ND130"}
#: and what one is refused for that takes ticks for samples, or samples for ticks
OTHER_FORM = {*DOES_NOT_RUN, "ND105", "ND161"}


def import_module(model: torch.nn.Module, spec: InputSpec, name: str = "network") -> Graph:
    """The source graph of one tick of a spiking network that maps (batch, *shape) to (batch, ...).

    One call of the module is one tick, or all of them: where neurons run over time, its length is the graph's
    ``timesteps``, and what the module makes of the ticks in the end is the graph's read-out. A module that does not run
    on one image is given a frame for each tick, (T, batch, *shape) or (batch, T, *shape). The module is put into eval
    mode. Raises ImportModelError as :func:`.torch_export.import_module`, and ND109 for a neuron that cannot be
    expressed.
    """
    example = _torch.prepared(model, spec)
    refusals: dict[int | None, ImportModelError] = {}
    for axis in _axes(spec):
        try:
            traced = trace(model, _framed(example, axis, spec), axis)
            return _lowered(traced, spec, name)
        except ImportModelError as error:
            refusals[axis] = error
            if axis is None and not {problem.code for problem in error.problems} <= DOES_NOT_RUN:
                break
    raise min((refusals[None], *refusals.values()), key=_misunderstood)


def _misunderstood(refusal: ImportModelError) -> int:
    """How likely it is that a module was refused because it takes its input for something else."""
    codes = {problem.code for problem in refusal.problems}
    return 2 if codes & OTHER_FORM else int("ND101" in codes)


def _axes(spec: InputSpec) -> tuple[int | None, ...]:
    """Where a model may want a frame for each tick, None for one image at all of them; the likeliest first."""
    return (1, 0, None) if spec.frames else (None, 0, 1)


def examples(example: torch.Tensor, spec: InputSpec) -> list[torch.Tensor]:
    """What a model may want to be given, the likeliest first."""
    return [_framed(example, axis, spec) for axis in ((None,) if spec.tokens else _axes(spec))]


def _framed(example: torch.Tensor, axis: int | None, spec: InputSpec) -> torch.Tensor:
    """An example with as many frames in an axis as there are ticks."""
    return example if axis is None else example.unsqueeze(axis).repeat_interleave(spec.timesteps, axis)


def _lowered(traced: Traced, spec: InputSpec, name: str) -> Graph:
    """The graph of a network that lives in time."""
    ticks, notes = traced.ticks or spec.timesteps, {"contains_neurons": True}
    return lower(traced, Header(name=name, level="source", timesteps=ticks, notes=notes), spec, spec.readout)


def import_remembering(model: torch.nn.Module, spec: InputSpec, name: str = "network") -> Graph | None:
    """The graph of a module without known neurons that has some of its own; None where it has none.

    They are spelled out in a loop over ticks, or are attributes that its calls change. The graph is that of
    :func:`import_module` where what the module returns depends on earlier ticks, else that of an ANN.
    """
    if may_loop(model) and (graph := _spelled(model, spec, name)) is not None:
        return graph
    if not may_remember(model):
        return None
    example = _torch.prepared(model, spec)
    with guest.kept(model):
        found = memory(model, example)
    if not found.leaves and not found.slots:
        return None
    try:
        traced = trace(model, example)
    except ImportModelError as error:
        if any(problem.code in ("ND157", "ND158") for problem in error.problems):
            raise
        return None
    return _lowered(traced, spec, name) if _lives(traced) else _ann(traced, spec, name)


def import_ann(model: torch.nn.Module, spec: InputSpec, name: str = "network") -> Graph:
    """The graph of a network without neurons, of which torch.export may know less."""
    return _ann(trace(model, _torch.prepared(model, spec)), spec, name)


def _ann(traced: Traced, spec: InputSpec, name: str) -> Graph:
    """The graph of a network of which nothing lives in time."""
    header = Header(name=name, level="source", timesteps=1, notes={"contains_neurons": False})
    return lower(traced, header, spec, "sum")


def _spelled(model: torch.nn.Module, spec: InputSpec, name: str) -> Graph | None:
    """The graph of a module that computes steps in a loop, where these are neurons; None where they are not.

    Given a frame for each tick, a module that remembers nothing between calls may have states without steps.
    """
    example, sequences = _torch.prepared(model, spec), spec.frames and not may_remember(model)
    refusals: list[ImportModelError] = []
    ann = lives = False
    for axis in _axes(spec):
        given = _framed(example, axis, spec)
        steps = observed.steps(model, given)
        ann = ann or (axis is None and steps is not None)
        if (not steps or steps == 1) and not (sequences and axis is not None):
            continue
        try:
            traced = trace(model, given, axis)
            lives = lives or _lives(traced) or bool(traced.unheld)
            if _lives(traced):
                return _lowered(traced, spec, name)
            if traced.unheld:
                return _ann(traced, spec, name)
        except ImportModelError as error:
            refusals.append(error)
        if ann:
            break
    if refusals and (lives or not ann):
        raise refusals[0]
    return None


def _lives(traced: Traced) -> bool:
    """Whether anything in a program depends on an earlier tick."""
    return any(call.op in ("neuron", "past") for call in traced.calls)


def trace(model: torch.nn.Module, example: torch.Tensor, time_axis: int | None = None) -> Traced:
    """The calls of one tick, or of all; ImportModelError ND103, ND104, ND108, ND109, ND130, ND131, ND151 to ND161.

    ``time_axis`` is where the example has a frame for each tick, None where it has one for all.
    """
    found = _traced(model, example)
    if found.tracer.made and restarts(found.nodes):  # what a loop begins with may be made in front of it
        with suppress(ImportModelError):
            found = _traced(model, example, True, found.tracer.memory.leaves)
    if not found.factories and written.into_constant(found.nodes):
        found = _traced(model, example, True, found.tracer.memory.leaves)
    tracer = found.tracer
    seen = [*observed.draws(found.seen), *observed.racing(found.seen)]
    problems = tracer.problems or [*found.foreign, *seen, *repeated(found.graph)]
    again = None if problems else _larger(model, example, 1 if time_axis == 0 else 0, found)
    problems = problems or (observed.follows_batch(found.seen, again.seen) if again else [])
    problems = problems or list(_kept_outside(found)) or list(_lasting_writes(found))
    problems = problems or list(
        differing(model, found.graph, tracer.remembered, tracer.memory.leaves, example)
    )
    if problems:
        raise ImportModelError(problems)
    calls, constants, nodes = _without_writes(found, example)
    given, output = _ends(nodes)
    if tracer.remembered and runs_all(found.graph):
        nodes, constants = _begun(nodes, tracer.remembered, constants)
    if tracer.remembered:
        states = Recurrences(nodes, tracer.remembered, constants)
        calls, output = states.calls({call.name: call for call in calls}), _references(states.output)
        constants |= states.fixed
        nodes[-1].args = (states.read,)  # nobody reads what the other states have become
    loops = unrolled(nodes, calls, constants, given, output)
    ticks = ticks_inside(found.graph, again and again.graph, _torch.BATCH, loops.ticks)
    if ticks is None and time_axis is not None:  # neurons of single ticks, which are given all frames
        ticks = example.shape[time_axis]
    if ticks is None and not tracer.remembered and begins_anew(found.graph):
        ticks = 1
    sizes, dtype = tuple(example.shape), example.dtype
    held = [node for node in nodes if node.op == "get_attr"]
    names = {node.name: _inside(str(node.meta.get("path", node.target))) for node in held}
    return Traced(
        loops.calls, constants, given, output, sizes, _torch.BATCH, _torch.to_array, ticks, time_axis, False, dtype,
        names, loops.unheld,
    )  # fmt: skip


@dataclass(frozen=True)
class _Found:
    """A trace with its tracer, and what torch computed meanwhile."""

    tracer: _Tracer
    graph: fx.Graph
    seen: observed.Recorder
    foreign: list[Problem]
    factories: bool

    @property
    def nodes(self) -> list[fx.Node]:
        """In order."""
        return list(self.graph.nodes)


def _traced(
    model: torch.nn.Module,
    example: torch.Tensor,
    factories: bool = False,
    leaves: Mapping[int, Leaf] | None = None,
) -> _Found:
    """A trace from rest, which leaves the module as it was; ImportModelError ND103, ND104, ND130 or ND131.

    With ``factories`` new tensors are traced too, so that they can be written. ``leaves`` as :func:`memory`.
    """
    foreign: list[Problem] = []
    named: list[Problem] = []
    _import_what_dispatch_does()
    _known_to_einops()
    try:
        with guest.kept(model):
            tracer, recorder = (
                _Tracer(_torch.whole(model), example.clone(), memory(model, example, leaves)),
                observed.Recorder(),
            )
            named = tracer.problems
            made = _Factories(tracer) if factories else nullcontext()
            with observed.foreign_draws(foreign), _torch.inference(), recorder, made, _unscripted():
                graph = tracer.trace(tracer.whole)
            tracer.close(graph)
    except NeurodeployError:
        raise
    except Exception as error:  # whatever the user's own code raises, or fx itself
        raise ImportModelError(named or _trace_problem(model, example, error)) from error
    return _Found(tracer, graph, recorder, foreign, factories)


@contextmanager
def _unscripted() -> Iterator[None]:
    """Functions that the user had compiled by ``torch.jit.script`` run as they are written where they meet a proxy."""
    compiled = torch.jit.ScriptFunction
    call = compiled.__call__

    def run(function: Any, *args: Any, **kwargs: Any) -> Any:
        written = getattr(function, "_torchdynamo_inline", None)
        if written and any(isinstance(arg, fx.Proxy) for arg in (*args, *kwargs.values())):
            return written(*args, **kwargs)
        return call(function, *args, **kwargs)

    compiled.__call__ = run
    try:
        yield
    finally:
        compiled.__call__ = call


@functools.cache
def _import_what_dispatch_does() -> None:
    """Parts of torch that it first imports when an operator is watched: in a trace they would keep its calls."""
    with observed.Recorder():
        torch.zeros(1).clone()


#: torch's functions that read nothing but the form of their operand
_LIKE = ("zeros_like", "ones_like", "empty_like", "full_like")


class _Factories(TorchFunctionMode):  # type: ignore[misc]
    """Torch's functions that make a tensor from numbers alone yield proxies."""

    names = ("zeros", "ones", "empty", "full", *_LIKE)

    def __init__(self, tracer: _Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        makes = getattr(func, "__name__", "") in self.names and not self.tracer.evaluating
        if makes and not any(isinstance(arg, fx.Proxy) for arg in args):
            return self.tracer.create_proxy("call_function", func, tuple(args), kwargs)
        return func(*args, **kwargs)


def _larger(model: torch.nn.Module, example: torch.Tensor, axis: int, found: _Found) -> _Found | None:
    """A second trace, with one sample more; None for a network of one size of batch alone."""
    sizes = (*example.shape[:axis], example.shape[axis] + 1, *example.shape[axis + 1 :])
    try:
        other = torch.zeros(sizes, dtype=example.dtype)
        return _traced(model, other, found.factories, found.tracer.memory.leaves)
    except ImportModelError:
        return None


#: what is asked of a tensor beside its values
_NUMBERS = {
    "shape", "ndim", "dtype", "device", "layout", "is_cuda", "requires_grad", "size", "dim", "ndimension", "numel",
    "nelement", "stride", "is_contiguous", "is_floating_point", "is_complex",
}  # fmt: skip

#: Python's writes in place, which a proxy would otherwise take for the operator that returns a new tensor
_WRITES = ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor")


class _Shaped(fx.Proxy):  # type: ignore[misc]
    """A proxy that answers questions about its shape with numbers."""

    @property
    def _value(self) -> Any:
        return self.node.meta["val"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._value, name) if name in _NUMBERS else super().__getattr__(name)

    def __len__(self) -> int:
        return len(self._value)

    __hash__ = fx.Proxy.__hash__

    def __eq__(self, other: Any) -> Any:
        """``x == None`` asks whether there is a tensor; anything else is an operator."""
        return super().__eq__(other) if other is not None else False

    def __ne__(self, other: Any) -> Any:
        return super().__ne__(other) if other is not None else True

    def __iter__(self) -> Iterator[Any]:
        return iter([self[i] for i in range(len(self._value))])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice) and isinstance(self._value, (tuple, list)):
            return [self[i] for i in range(*index.indices(len(self._value)))]
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self.tracer.create_proxy("call_function", operator.setitem, (self, index, value), {})


def _known_to_einops() -> None:
    """Let einops, where the user's code has imported it, take a proxy for a tensor: it asks for the class alone."""
    einops = sys.modules.get("einops._backends")
    if einops is not None:
        einops._type2backend[_Shaped] = einops._type2backend[_Held] = einops.get_backend(torch.zeros(1))


def _write(function: Callable[..., Any]) -> Callable[..., fx.Proxy]:
    def method(self: _Shaped, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return method


for _name in _WRITES:
    setattr(_Shaped, f"__{_name}__", _write(getattr(operator, _name)))


class _Held(_Shaped):
    """A state: what changes it in place makes a new value, for everybody who has the state itself."""

    def __getattr__(self, name: str) -> Any:
        if name.endswith("_") and not name.startswith("_"):
            return functools.partial(self._become, name[:-1])
        return super().__getattr__(name)

    def _become(self, op: str, *args: Any, **kwargs: Any) -> _Held:
        made = args[0] if op == "copy" else getattr(self, op)(*args, **kwargs)
        if not isinstance(made, fx.Proxy) or made.node.meta["val"].shape != self._value.shape:
            raise TypeError(f"'{op}_' writes something else into a state")
        self.node = made.node
        return self


for _name in _WRITES:  # iadd as __add__
    setattr(_Held, f"__{_name}__", functools.partialmethod(_Held._become, f"__{_name[1:]}__"))


class _Tracer(fx.Tracer):  # type: ignore[misc]
    """Traces through everything but neurons, evaluating as it goes."""

    def __init__(self, whole: torch.nn.Module, example: torch.Tensor, memory: Memory) -> None:
        super().__init__()
        self.whole, self.example, self.memory = whole, example, memory
        self.problems: list[Problem] = []
        self.leaves: dict[str, Leaf] = {}
        self.given: dict[str, torch.Tensor] = {}  # the states, by the name of their placeholder
        self.remembered: list[Remembered] = []
        self.tensors = _torch.tensors_of(whole)
        self.own = written.memory(list(self.tensors.values()))
        self.made: dict[str, torch.Tensor] = {}
        # the states of neurons are no constants
        apart = [m for m in whole.modules() if id(m) not in memory.leaves]
        self.buffers = {id(buffer) for m in apart for buffer in m.buffers(recurse=False)}
        self.evaluating = False
        self.turns = 0  # how often a loop of the user's came round
        self.frames: _torch.Frames = []  # and what runs now

    def create_args_for_root(self, *args: Any, **kwargs: Any) -> Any:
        """The arguments of the model, and behind them its states, each a proxy where the value was."""
        made = super().create_args_for_root(*args, **kwargs)
        for slot in self.memory.slots:
            try:
                slot.put(entered(slot.value, self._state))
            except ValueError as error:
                self.problems.append(unreadable(slot, str(error)))
        return made

    def _state(self, value: torch.Tensor) -> fx.Proxy:
        name = f"state_{len(self.given)}"
        self.given[name] = value.clone()
        return _Held(self.create_node("placeholder", name, (), {}), self)

    def close(self, graph: fx.Graph) -> None:
        """Let the graph return what the states have become beside what the model returns."""
        self.frames = []
        afters = []
        for slot in self.memory.slots:
            parts, before = flat(_opened(slot.now)), flat(slot.value)
            if len(parts) != len(before):
                self.problems.append(unreadable(slot, f"{len(before)} parts that become {len(parts)}"))
            afters += parts
            self.remembered += [Remembered(slot.name, slot.path, begins(slot)) for _ in parts]
        if afters:
            (output,) = (node for node in graph.nodes if node.op == "output")
            nodes = [after.node if isinstance(after, fx.Proxy) else after for after in afters]
            output.args = ((output.args[0], nodes),)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Buffers are traced like parameters: what is made of them alone is computed once more, in double precision."""
        self.proxy_buffer_attributes = id(attr_val) in self.buffers
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        """A neuron is a leaf; one that cannot be expressed is a problem, and a leaf too."""
        leaf = self.memory.leaves.get(id(m))
        if leaf is None:
            return False
        self.leaves[module_qualified_name] = leaf
        if leaf.problem:
            where = f"{_inside(module_qualified_name)} [{type(m).__module__}.{type(m).__qualname__}]"
            cause = "a neuron that has no counterpart"
            problem = Problem("ND109", cause, where, leaf.problem, "", leaf.fixes)
            if problem not in self.problems:  # in a loop it is called at each tick
                self.problems.append(problem)
        return True

    def call_module(
        self, m: torch.nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """A neuron's own hooks are called around it as torch does, with proxies."""
        if id(m) not in self.memory.leaves:
            return super().call_module(m, forward, args, kwargs)
        if "forward" in vars(m):
            cause, where = (
                "the forward of a neuron is replaced on its instance",
                _inside(self.path_of_module(m)),
            )
            fix = "give the neuron a class of its own, with an entry in frontends/leaves"
            raise ImportModelError(Problem("ND153", cause, where, repr(vars(m)["forward"]), "", (fix,)))
        bare = super().call_module
        m.forward = lambda *given, **named: bare(m, forward, given, named)
        try:
            return forward(*args, **kwargs)
        finally:
            del m.forward

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Our proxies answer questions about shapes."""
        return _Shaped(node, self)

    def create_proxy(self, kind: str, *args: Any, **kwargs: Any) -> Any:
        """Of a function that returns several tensors a proxy for each: torch takes no proxy for a list of them.

        What only has the form of a state does not depend on it.
        """
        if getattr(args[0], "__name__", "") in _LIKE and args[1] and isinstance(args[1][0], _Held):
            return args[0](args[1][0]._value, *args[1][1:], **args[2])
        proxy = super().create_proxy(kind, *args, **kwargs)
        value = proxy.node.meta.get("val")
        if kind not in ("call_function", "call_method") or type(value) not in (tuple, list):
            return proxy
        return type(value)(proxy[i] for i in range(len(value)))

    def create_node(self, kind: str, *args: Any, **kwargs: Any) -> fx.Node:
        """Record the node with its value on the example and its place in the user's files."""
        node = super().create_node(kind, *args, **kwargs)
        path, cls = next(reversed(self.module_stack.values()), ("", None))
        again, self.frames = _torch.came_round(self.frames)
        self.turns += again
        node.meta.update(place=_torch.running_place(), module=(_inside(path), cls), turn=self.turns)
        if kind != "output":
            node.meta["val"] = self._evaluate(node)
        return node

    def _constant(self, name: str) -> Any:
        """A parameter, a buffer, or a copy of a tensor that fx has just stored on the root, since it may be written."""
        if name in self.tensors:
            module, _, buffer = name.rpartition(".")
            now = self.whole.get_submodule(module)._buffers.get(buffer, self.tensors[name])
            return (
                self.tensors[name] if now is self.tensors[name] else now.clone()
            )  # one that a neuron has reset
        if name not in self.made:
            self.made[name] = functools.reduce(getattr, name.split("."), self.whole).clone()
        return self.made[name]

    def _evaluate(self, node: fx.Node) -> Any:
        """What the node yields on the example; a neuron keeps the shape."""
        if node.op == "placeholder":
            return self.given.get(str(node.target), self.example)
        if node.op == "get_attr":
            return self._constant(node.target)
        args, kwargs = (fx.node.map_arg(part, lambda n: n.meta["val"]) for part in (node.args, node.kwargs))
        if node.op == "call_module":
            node.meta["leaf"] = self.leaves[node.target]
            zeros = args[0].new_zeros(args[0].shape)  # no factory: those may be traced
            return _said(self.leaves[node.target], zeros)
        if _writes(node) and (lasting := self.own & written.memory(args[:1])):
            node.meta["writes"] = lasting  # the user's own tensors stay as they are
            return args[0]
        operands = list(written.tensors((*args, *kwargs.values())))
        versions = [operand._version for operand in operands]
        self.evaluating = True
        try:
            value = _target(node)[1](*args, **kwargs)
        finally:
            self.evaluating = False
        changed = [o for o, version in zip(operands, versions, strict=True) if o._version != version]
        node.meta["writes"] = written.memory(changed)
        return value


def _opened(value: Any) -> Any:
    """A proxy of a tuple as the tuple of proxies of its parts."""
    tuples = isinstance(value, fx.Proxy) and isinstance(value.node.meta["val"], tuple)
    return tuple(value) if tuples else value


def _said(leaf: Leaf, zeros: torch.Tensor) -> Any:
    """What a silent neuron returns: spikes, and its states where its caller keeps them."""
    if not leaf.states:
        return zeros
    state: Any = namedtuple("State", leaf.parts) if leaf.parts else None
    states = (state(*(zeros.clone() for _ in leaf.parts)) if state else zeros.clone() for _ in leaf.states)
    return (zeros, *states)


def _writes(node: fx.Node) -> bool:
    """Whether a call says by its name that it writes into its first operand."""
    name = node.target if node.op == "call_method" else node.target.__name__
    dunder = name.strip("_")
    return (
        (name.endswith("_") and name != f"__{dunder}__")
        or dunder in ("setitem", *_WRITES)
        or node.kwargs.get("inplace") is True
    )


def _inside(path: str) -> str:
    """A path as the user's module says it."""
    return path.removeprefix(_torch.INSIDE).removeprefix(".")


def _trace_problem(model: torch.nn.Module, example: torch.Tensor, error: Exception) -> Problem:
    """ND104 for control flow on values, ND131 for a call that only tensors can take, ND103 or ND130 if nothing runs."""
    if isinstance(error, fx.proxy.TraceError):
        cause = "the module's control flow depends on the values of its input"
        limit = "control flow that depends on shapes and settings only"
        fix = "replace data-dependent branches by arithmetic"
        return Problem("ND104", cause, _where(error), first_line(error), limit, (fix,))
    try:
        with guest.kept(model), _torch.inference():
            model(example.clone())
    except Exception as plain:  # whatever the user's own code raises
        return _torch.does_not_run(plain, _where(plain), example)
    return _torch.not_traced(error, _where(error))


def _where(error: Exception) -> str:
    file, line = _torch.failure(error)
    return f"{file}:{line}" if file else "forward"


def _without_writes(found: _Found, example: torch.Tensor) -> tuple[list[Call], dict[str, Any], list[fx.Node]]:
    """Calls, constants and nodes of a trace, made functional where memory is written under another name.

    ImportModelError ND108 where torch cannot.
    """
    nodes, write = found.nodes, written.overwritten(found.nodes)
    if write is None:
        constants = {node.name: node.meta["val"] for node in nodes if node.op == "get_attr"}
        return [_call(node) for node in nodes if node.op.startswith("call_")], constants, nodes
    try:
        with _torch.inference():
            made = written.functional(found.tracer.whole, found.graph, example, *found.tracer.given.values())
    except Exception as error:  # torch raises a dozen unrelated classes here
        raise ImportModelError(_unwritable(write, first_line(error))) from error
    nodes = list(made.graph.nodes)
    constants = {node.name: getattr(made, node.target) for node in nodes if node.op == "get_attr"}
    calls = [_basic_call(node, write) for node in nodes if node.op == "call_function"]
    return calls, constants, nodes


def _ends(nodes: list[fx.Node]) -> tuple[str, Any]:
    """The input and what is returned."""
    given = next(node.name for node in nodes if node.op == "placeholder")
    (output,) = (_references(node.args[0]) for node in nodes if node.op == "output")
    return given, output


def _begun(
    nodes: list[fx.Node], remembered: list[Remembered], constants: dict[str, Any]
) -> tuple[list[fx.Node], dict[str, Any]]:
    """Nodes and constants of a call that runs all ticks, and so begins with each state where that begins."""
    constants, (_, *states) = dict(constants), (node for node in nodes if node.op == "placeholder")
    for state, known in zip(states, remembered, strict=True):
        if known.rest is not None and state.users:
            with state.graph.inserting_after(states[-1]):
                made = state.graph.create_node("get_attr", f"{state.name}_begins")
            begun = torch.full_like(state.meta["val"], known.rest)
            made.meta = {**state.meta, "val": begun}
            constants |= {made.name: begun, state.name: begun}
            state.replace_all_uses_with(made)
    return list(nodes[0].graph.nodes), constants


def _kept_outside(found: _Found) -> Iterator[Problem]:
    """ND165 for each neuron that keeps no state, whose state the model keeps in an attribute from call to call."""
    kept = {node for node in found.nodes if node.op == "placeholder" and node.name in found.tracer.given}
    for node in found.nodes:
        leaf: Leaf | None = node.meta.get("leaf")
        if leaf is None:
            if not kept.isdisjoint(node.all_input_nodes):
                kept.add(node)
        elif leaf.forgets and not kept.isdisjoint(node.all_input_nodes[1:]):
            cause = "the state of a neuron is kept by the model from one call to the next"
            fix = "run all ticks in one call of the model"
            where = str(_call(node).origin)
            yield Problem("ND165", cause, where, ", ".join(leaf.states), "the neuron's own memory", (fix,))


def _lasting_writes(found: _Found) -> Iterator[Problem]:
    """ND154 for every write into a parameter or buffer, ND108 for one into another tensor from outside of the trace."""
    tensors = found.tracer.tensors.items()
    names = {place: name for name, tensor in tensors for place in written.memory(tensor)}
    lasting = False
    for node in found.nodes:
        for place in node.meta.get("writes", set()) & names.keys():
            lasting = True
            yield observed.lasting_write(_inside(names[place]), str(_call(node).origin))
    if not lasting and (node := written.into_constant(found.nodes)):
        yield _unwritable(node, "a tensor that is not traced")


def _unwritable(node: fx.Node, found: str) -> Problem:
    call = _call(node)
    cause = f"'{call.op}' changes a tensor in place that is read again"
    limit, fixes = "operators that return a new tensor", ("use the form that is not in place",)
    return Problem("ND108", cause, str(call.origin), found, limit, fixes)


def _references(item: Any) -> Any:
    return fx.node.map_arg(item, lambda n: Ref(n.name))


def _call(node: fx.Node) -> Call:
    path, kind = node.meta["module"]
    args, kwargs = _references(node.args), dict(_references(node.kwargs))
    value = node.meta["val"]
    leaf: Leaf | None = node.meta.get("leaf")
    if leaf is not None:
        return _population(node, node, leaf)
    op, evaluate = _target(node)
    args, kwargs = _bound(node.target, args, kwargs)
    single = kind is not None and _torch.one_operator(f"{kind.__module__}.{kind.__qualname__}")
    origin = Origin(path, op, *node.meta["place"])
    return Call(node.name, op, args, kwargs, origin, single, evaluate, *_torch.kind_of(value))


def _population(node: fx.Node, source: fx.Node, leaf: Leaf) -> Call:
    """A neuron; ``source`` is its node in the trace."""
    origin = Origin(_inside(str(source.target)), f"neuron {leaf.model}", *source.meta["place"])
    population = {"model": leaf.model, "params": leaf.params, "whole_sample": leaf.whole_sample}
    if leaf.states:
        given = {**dict(zip(leaf.states, node.args[1:], strict=False)), **node.kwargs}
        population |= {"states": leaf.states, "given": _references(given), "forgets": leaf.forgets}
    kind = _torch.kind_of(source.meta["val"])
    return Call(node.name, "neuron", _references(node.args[:1]), population, origin, True, _no_value, *kind)


def _basic_call(node: fx.Node, write: fx.Node) -> Call:
    """A call of one of torch's basic operators, with the origin of what it was before the writes were taken out."""
    source = node.meta["source"]
    source = source if source is not None and source.op.startswith("call_") else write
    leaf: Leaf | None = source.meta.get("leaf")
    if leaf is not None:
        return _population(node, source, leaf)
    args, kwargs = _references(node.args), dict(_references(node.kwargs))
    before = _call(source)
    name, kind = _torch.operator_name(node.target), _torch.kind_of(node.meta.get("val"))
    return Call(node.name, name, args, kwargs, before.origin, before.leaf, node.target, *kind)


def _no_value(*_: Any, **__: Any) -> Any:
    problem = Problem("ND109", "a neuron is fed a constant", "neuron", "no dependence on the input")
    raise ImportModelError(problem)


def _target(node: fx.Node) -> tuple[str, Callable[..., Any]]:
    if node.op == "call_method":
        return node.target, lambda x, *args, **kwargs: getattr(x, node.target)(*args, **kwargs)
    return node.target.__name__, node.target


def _bound(target: Any, args: Any, kwargs: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Python functions of torch take arguments in an order of their own: name them; the first stays in place."""
    kwargs, firsts = dict(kwargs), ["input", "self"]
    if inspect.isfunction(target):
        names = inspect.signature(target).parameters
        if all(p.kind == p.POSITIONAL_OR_KEYWORD for p in names.values()):
            kwargs = {**dict(zip(names, args, strict=False)), **kwargs}
            args, firsts = (), [next(iter(names))]
    for first in firsts:
        if first in kwargs and not args:
            args = (kwargs.pop(first),)
    return args, kwargs
