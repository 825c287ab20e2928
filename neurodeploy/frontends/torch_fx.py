"""A live spiking network as a torch module to a source graph of one tick, by torch.fx with the neurons as leaves.

Every proxy carries the value that its node takes on an example of zeros, so that shapes are numbers while tracing
and ``if x.dim() == 4`` or ``b, c, h, w = x.shape`` need no special care. One call of the module is one tick.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import FrameType
from typing import Any

import torch
from torch import fx

from ..errors import ImportModelError, NeurodeployError, Problem, first_line
from ..ir.graph import Graph, Header
from ..ir.types import Origin
from . import _torch
from .guest import guest
from .input_spec import InputSpec
from .leaves._base import Leaf
from .lower import lower
from .recurrences import Recurrences, State
from .replay import differing
from .states import Memory, begins, entered, flat, memory, unreadable
from .ticks import repeated
from .traced import Call, Ref, Traced, references


def import_module(
    model: torch.nn.Module, spec: InputSpec, name: str = "network", time_axis: bool = False
) -> Graph:
    """The source graph of one tick of a spiking network that maps (batch, *shape) to (batch, ...).

    With ``time_axis`` the module takes (T, batch, *shape) and is traced with T = 1: its own mean over T is then
    the graph's readout. The module is put into eval mode. Raises ImportModelError as
    :func:`.torch_export.import_module`, and ND109 for a neuron that cannot be expressed.
    """
    example = _torch.prepared(model, spec)
    traced = trace(model, example.unsqueeze(0) if time_axis else example, 1 if time_axis else 0)
    header = Header(name=name, level="source", timesteps=spec.timesteps, notes={"contains_neurons": True})
    return lower(traced, header, spec, spec.readout)


def trace(model: torch.nn.Module, example: torch.Tensor, batch_axis: int = 0) -> Traced:
    """The calls of one tick; ImportModelError ND103, ND104, ND108 or ND109."""
    with guest(model), _torch.inference():
        tracer = _Tracer(model, example, memory(model, example))
        try:
            graph = tracer.trace(model)
        except NeurodeployError:
            raise
        except Exception as error:  # whatever the user's own code raises, or fx itself
            raise ImportModelError(_trace_problem(error, example)) from error
        states = tracer.states()
    if tracer.problems:
        raise ImportModelError(tracer.problems)
    calls = [_call(node) for node in graph.nodes if node.op.startswith("call_")]
    (output,) = (_references(node.args[0]) for node in graph.nodes if node.op == "output")
    problems = [*_mutations(calls, references(output)), *repeated(graph)]
    if states and not problems:
        with _torch.inference():
            problems += differing(model, graph, states, tracer.memory.leaves, example)
    if problems:
        raise ImportModelError(problems)
    inputs = [node.name for node in graph.nodes if node.op == "placeholder"]
    constants = {node.name: node.meta["val"] for node in graph.nodes if node.op == "get_attr"}
    if states:
        found = Recurrences(graph, states)
        calls = found.calls({call.name: call for call in calls})
        constants |= {node.name: value for node, value in found.fixed.items()}
    sizes = tuple(example.shape)
    return Traced(calls, constants, inputs[0], output, sizes, _torch.BATCH, _torch.to_array, batch_axis)


#: what is asked of a tensor beside its values
_NUMBERS = {"shape", "ndim", "dtype", "device", "is_cuda", "size", "dim", "numel"}


class _Shaped(fx.Proxy):  # type: ignore[misc]
    """A proxy that answers questions about its shape with numbers."""

    @property
    def _value(self) -> Any:
        return self.node.meta["val"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._value, name) if name in _NUMBERS else super().__getattr__(name)

    def __len__(self) -> int:
        return len(self._value)

    def __iter__(self) -> Iterator[Any]:
        return iter([self[i] for i in range(len(self._value))])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice) and isinstance(self._value, (tuple, list)):
            return [self[i] for i in range(*index.indices(len(self._value)))]
        return super().__getitem__(index)


class _Held(_Shaped):
    """A state: what changes it in place makes a new value, for everybody who has the state itself."""

    def __getattr__(self, name: str) -> Any:
        if name.endswith("_") and not name.startswith("_"):
            return partial(self._become, name[:-1])
        return super().__getattr__(name)

    def _become(self, op: str, *args: Any, **kwargs: Any) -> _Held:
        made = args[0] if op == "copy" else getattr(self, op)(*args, **kwargs)
        if not isinstance(made, fx.Proxy) or made.node.meta["val"].shape != self._value.shape:
            raise TypeError(f"'{op}_' writes something else into a state")
        self.node = made.node
        return self


class _Tracer(fx.Tracer):  # type: ignore[misc]
    """Traces through everything but neurons, evaluating as it goes."""

    def __init__(self, model: torch.nn.Module, example: torch.Tensor, memory: Memory) -> None:
        super().__init__()
        self.example = example
        self.memory = memory
        self.problems: list[Problem] = list(memory.problems)
        self.leaves: dict[str, Leaf] = {}
        self.given: dict[str, torch.Tensor] = {}
        self.befores: dict[int, list[fx.Node]] = {}
        self.tensors = _torch.tensors_of(model)

    def create_args_for_root(self, *args: Any, **kwargs: Any) -> Any:
        """The arguments of the model, and behind them its states, each a proxy where the value was."""
        made = super().create_args_for_root(*args, **kwargs)
        for number, slot in enumerate(self.memory.slots):
            nodes = self.befores[number] = []

            def enter(value: torch.Tensor, nodes: list[fx.Node] = nodes) -> fx.Proxy:
                name = f"state_{len(self.given)}"
                self.given[name] = value
                nodes.append(self.create_node("placeholder", name, (), {}))
                return _Held(nodes[-1], self)

            try:
                slot.put(entered(slot.value, enter))
            except ValueError as error:
                self.problems.append(unreadable(slot, str(error)))
        return made

    def states(self) -> list[State]:
        """What each state has become by the end of the trace."""
        found = []
        for number, slot in enumerate(self.memory.slots):
            befores, afters = self.befores[number], flat(slot.now)
            if befores and len(befores) != len(afters):
                self.problems.append(unreadable(slot, f"{len(befores)} parts that become {len(afters)}"))
            for before, after in zip(befores, afters, strict=False):
                node = after.node if isinstance(after, fx.Proxy) else after
                found.append(State(slot.name, slot.path, before, node, begins(slot)))
        return found

    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        """A neuron is a leaf; one that cannot be expressed is a problem, and a leaf too."""
        leaf = self.memory.leaves.get(id(m))
        if leaf is None:
            return False
        self.leaves[module_qualified_name] = leaf
        if leaf.problem and not self.memory.problems:
            where = f"{module_qualified_name} [{type(m).__module__}.{type(m).__qualname__}]"
            self.problems.append(
                Problem("ND109", "a neuron that has no counterpart", where, leaf.problem, "", leaf.fixes)
            )
        return True

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Our proxies answer questions about shapes."""
        return _Shaped(node, self)

    def create_node(self, kind: str, *args: Any, **kwargs: Any) -> fx.Node:
        """Record the node with its value on the example and its place in the user's files."""
        node = super().create_node(kind, *args, **kwargs)
        stack = list(self.module_stack.values())
        node.meta.update(place=_user_place(), module=stack[-1] if stack else ("", None))
        if kind != "output":
            node.meta["val"] = self._evaluate(node)
        return node

    def _constant(self, name: str) -> Any:
        """A parameter, a buffer, or a tensor made while tracing, which fx has just stored on the root."""
        return self.tensors[name] if name in self.tensors else vars(self.root)[name]

    def _evaluate(self, node: fx.Node) -> Any:
        """What the node yields on the example; a neuron keeps the shape."""
        if node.op == "placeholder":
            return self.given.get(str(node.target), self.example)
        if node.op == "get_attr":
            return self._constant(node.target)
        args, kwargs = (fx.node.map_arg(part, lambda n: n.meta["val"]) for part in (node.args, node.kwargs))
        if node.op == "call_module":
            node.meta["leaf"] = self.leaves[node.target]
            return torch.zeros_like(args[0])
        if node.op == "call_method":
            return getattr(args[0], node.target)(*args[1:], **kwargs)
        return node.target(*args, **kwargs)


def _user_place() -> tuple[str, int]:
    """(file name, line) of the innermost running frame in the user's own files."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not frame.f_code.co_filename.startswith(_torch.library_folders()):
            return frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2], frame.f_lineno
        frame = frame.f_back
    return "", 0


def _trace_problem(error: Exception, example: torch.Tensor) -> Problem:
    """ND104 for control flow on values, else ND103: the module does not run on this input."""
    file, line = _torch.failure(error)
    where = f"{file}:{line}" if file else "forward"
    if not isinstance(error, fx.proxy.TraceError):
        return _torch.does_not_run(error, where, example)
    cause = "the module's control flow depends on the values of its input"
    limit = "control flow that depends on shapes and settings only"
    fix = "replace data-dependent branches by arithmetic"
    return Problem("ND104", cause, where, first_line(error), limit, (fix,))


def _references(item: Any) -> Any:
    return fx.node.map_arg(item, lambda n: Ref(n.name))


def _call(node: fx.Node) -> Call:
    path, kind = node.meta["module"]
    args, kwargs = _references(node.args), dict(_references(node.kwargs))
    leaf: Leaf | None = node.meta.get("leaf")
    if leaf is not None:
        origin = Origin(str(node.target), f"neuron {leaf.model}", *node.meta["place"])
        population = {"model": leaf.model, "params": leaf.params}
        return Call(node.name, "neuron", args[:1], population, origin, True, _no_value)
    op, evaluate = _target(node)
    args, kwargs = _bound(node.target, args, kwargs)
    single = kind is not None and _torch.one_operator(f"{kind.__module__}.{kind.__qualname__}")
    return Call(node.name, op, args, kwargs, Origin(path, op, *node.meta["place"]), single, evaluate)


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


def _mutations(calls: list[Call], results: list[Ref]) -> Iterator[Problem]:
    """In-place changes of a tensor that is read again under its old name, which a graph without memory cannot keep."""
    read = set(results)
    for call in reversed(calls):
        named = call.op.endswith("_") and not call.op.endswith("__")
        in_place = named or call.kwargs.get("inplace") is True
        if in_place and read.intersection(references(call.args[:1])):
            cause = f"'{call.op}' changes a tensor in place that is read again"
            limit = "operators that return a new tensor"
            fixes = ("use the form that is not in place",)
            yield Problem("ND108", cause, str(call.origin), call.op, limit, fixes)
        read.update(references((call.args, call.kwargs)))
