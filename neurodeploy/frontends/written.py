"""Writes in place: a traced program without any, by torch's own functionalisation.

A graph has no memory within a tick. A tensor that is written under one name and read under another, itself or a view of
the same memory, becomes a chain of operators that return new tensors. The neurons go through it as one opaque operator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache, reduce
from typing import Any

import numpy as np
import torch
from torch import fx

from ..array import Array

#: what stands for a neuron while torch functionalises, and for a state that it returns
NEURON, STATE = "neurodeploy::neuron", "neurodeploy::state"


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """All tensors inside of tuples and lists."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors(part)


def memory(value: Any) -> set[int]:
    """The pieces of memory that a value lies in."""
    return {tensor.untyped_storage()._cdata for tensor in tensors(value)}


def crosses(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors share elements, but not each with its own counterpart."""
    if not memory(a) & memory(b) or _layout(a) == _layout(b):
        return False
    return bool(np.intersect1d(_offsets(a), _offsets(b)).size)


def _layout(tensor: torch.Tensor) -> tuple[Any, ...]:
    strides = [stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size > 1]
    return tensor.storage_offset(), tensor.shape, strides


def _offsets(tensor: torch.Tensor) -> Array:
    """Where in their memory the elements of a tensor lie, int64."""
    axes = [np.arange(size) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)]
    return reduce(np.add.outer, axes, np.array(tensor.storage_offset()))


def overwritten(nodes: list[fx.Node]) -> fx.Node | None:
    """The first node that writes into memory which is read again under another name than its own result's.

    ``meta["writes"]`` of a node holds the memory that it wrote into, ``meta["val"]`` its value.
    """
    for position, node in enumerate(nodes):
        changed = node.meta.get("writes")
        if not changed:
            continue
        stale = {n for n in nodes[:position] if changed & memory(n.meta.get("val"))}
        if any(stale.intersection(later.all_input_nodes) for later in nodes[position + 1 :]):
            return node
    return None


def into_constant(nodes: list[fx.Node]) -> fx.Node | None:
    """The first node that writes into a tensor which is not traced: whoever reads it does not read the trace."""
    constants = {place for node in nodes if node.op == "get_attr" for place in memory(node.meta["val"])}
    return next((node for node in nodes if constants & node.meta.get("writes", set())), None)


def functional(
    root: torch.nn.Module, graph: fx.Graph, example: torch.Tensor, *states: torch.Tensor
) -> fx.GraphModule:
    """The same program in torch's basic operators, none of which writes; ``meta["source"]`` is the node it comes from.

    ``states`` are further inputs. ``meta["val"]`` is the value of each node, as in the trace. Raises whatever torch
    raises where it cannot.
    """
    from torch.fx import traceback
    from torch.fx.experimental.proxy_tensor import make_fx

    sources = {node.name: node for node in graph.nodes}
    # the one field that torch carries along and the tracer of live modules does not use
    for node in graph.nodes:
        node.meta["nn_module_stack"] = {"source": node.name}
    replay = _Replay(fx.GraphModule(root, graph))
    replay.states = {n.target: len(n.meta["leaf"].states) for n in graph.nodes if n.op == "call_module"}
    constants = {n.target: replay.fetch_attr(n.target) for n in graph.nodes if n.op == "get_attr"}

    def run(*given: torch.Tensor) -> Any:
        replay.held = dict(zip(constants, given[1 + len(states) :], strict=True))
        return replay.run(*(tensor.clone() for tensor in given[: 1 + len(states)]))

    with traceback.preserve_node_meta():
        made = make_fx(torch.func.functionalize(run))(example, *states, *constants.values())
    _hold(made, constants)
    _read_as_written(made.graph)
    for node in made.graph.nodes:
        name = (node.meta.get("nn_module_stack") or {}).get("source")
        node.meta["source"] = sources.get(name)
    _Valued(made).run(example, *states)
    return made


def _hold(made: fx.GraphModule, constants: Mapping[str, torch.Tensor]) -> None:
    """The last inputs become constants again: what is computed from these alone stays in the graph that way."""
    places = [node for node in made.graph.nodes if node.op == "placeholder"]
    for number, (node, path) in enumerate(
        zip(places[len(places) - len(constants) :], constants, strict=True)
    ):
        setattr(made, f"held_{number}", constants[path])
        with made.graph.inserting_before(node):
            constant = made.graph.create_node("get_attr", f"held_{number}", name=node.name)
        constant.meta = {**node.meta, "path": path}
        node.replace_all_uses_with(constant)
        made.graph.erase_node(node)
    made.recompile()


def _read_as_written(graph: fx.Graph) -> None:
    """Read what was written to a place of an axis from where it comes, and a whole axis that was written as a stack.

    So a tick that is kept in a tensor made before the loop is no memory of that loop.
    """
    aten = torch.ops.aten
    reads: dict[Any, Callable[[fx.Node], Any]] = {
        aten.select.int: _place_read,
        aten.select_scatter.default: _axis_written,
        aten.copy.default: lambda copy: copy.args[1],
        aten.slice.Tensor: lambda part: part.args[0],
        aten.slice_scatter.default: lambda put: put.args[1],
    }
    for node in list(graph.nodes):
        found = reads[node.target](node) if node.target in reads else None
        if isinstance(found, fx.Node) and _form(found) == _form(node):
            node.replace_all_uses_with(found)
    for node in reversed(graph.nodes):
        if node.target in reads and not node.users:
            graph.erase_node(node)


def _place_read(select: fx.Node) -> Any:
    """What was last written to the place that is read; else what is read is taken from before the other writes."""
    base, dim, index = select.args
    while _writes_to(base, dim) and _place(base, dim, base.args[3]) != _place(base, dim, index):
        base = base.args[0]
    select.args = (base, dim, index)
    return base.args[1] if _writes_to(base, dim) else None


def _axis_written(scatter: fx.Node) -> fx.Node | None:
    """A stack of what was last written to each place of an axis, where all of them were."""
    rows: dict[int, Any] = {}
    base, dim = scatter, scatter.args[2]
    while _writes_to(base, dim):
        rows.setdefault(_place(base, dim, base.args[3]), base.args[1])
        base = base.args[0]
    if len(rows) < scatter.meta["val"].shape[dim]:
        return None
    with scatter.graph.inserting_before(scatter):
        stack = torch.ops.aten.stack.default
        made = scatter.graph.call_function(stack, ([rows[place] for place in sorted(rows)], dim))
    made.meta = dict(scatter.meta)
    return made


def _place(node: fx.Node, dim: int, index: int) -> int:
    """A place of an axis, counted from its front."""
    return int(index % node.meta["val"].shape[dim])


def _writes_to(node: Any, dim: int) -> bool:
    """Whether a node writes to a place of this axis, which torch counts from the front."""
    scatter = torch.ops.aten.select_scatter.default
    return isinstance(node, fx.Node) and node.target == scatter and node.args[2] == dim


def _form(node: fx.Node) -> tuple[Any, ...]:
    value = node.meta["val"]
    return value.shape, value.dtype


class _Valued(fx.Interpreter):  # type: ignore[misc]
    """Notes what each node yields."""

    def run_node(self, n: fx.Node) -> Any:
        """The value of one node, which it keeps."""
        n.meta["val"] = super().run_node(n)
        return n.meta["val"]


class _Replay(fx.Interpreter):  # type: ignore[misc]
    """Runs a trace with the neurons as :data:`NEURON` and constants as ``held``.

    ``states`` is how many states each neuron returns behind its spikes.
    """

    states: Mapping[Any, int]
    held: Mapping[Any, torch.Tensor]

    def get_attr(self, target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A constant of the module."""
        return self.held[target]

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A neuron: nothing else is left as a module."""
        _library()
        spikes = torch.ops.neurodeploy.neuron(*args[:1])
        states = [torch.ops.neurodeploy.state(spikes) for _ in range(self.states[target])]
        return (spikes, *states) if states else spikes


@cache
def _library() -> torch.library.Library:
    """Declares :data:`NEURON` to torch, which forgets it when the library is let go."""
    library = torch.library.Library("neurodeploy", "FRAGMENT")
    for name in (NEURON, STATE):
        short = name.partition("::")[2]
        library.define(f"{short}(Tensor x) -> Tensor")
        library.impl(short, torch.zeros_like, "CompositeExplicitAutograd")
    return library
