"""Writes in place: a traced program without any, by torch's own functionalisation.

A graph has no memory within a tick. A tensor that is written under one name and read under another, itself or a view of
the same memory, becomes a chain of operators that return new tensors. The neurons go through it as one opaque operator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    for (
        node
    ) in graph.nodes:  # the one field that torch carries along and the tracer of live modules does not use
        node.meta["nn_module_stack"] = {"source": node.name}
    replay = _Replay(fx.GraphModule(root, graph))
    replay.states = {n.target: len(n.meta["leaf"].states) for n in graph.nodes if n.op == "call_module"}
    with traceback.preserve_node_meta():
        run = torch.func.functionalize(lambda *given: replay.run(*(tensor.clone() for tensor in given)))
        made = make_fx(run)(example, *states)
    _read_as_written(made.graph)
    for node in made.graph.nodes:
        name = (node.meta.get("nn_module_stack") or {}).get("source")
        node.meta["source"] = sources.get(name)
    _Valued(made).run(example, *states)
    return made


def _read_as_written(graph: fx.Graph) -> None:
    """Read what was written to a place of an axis from where it comes, and a whole axis that was written as a stack.

    So a tick that is kept in a tensor made before the loop is no memory of that loop.
    """
    aten = torch.ops.aten
    select, scatter = aten.select.int, aten.select_scatter.default
    for node in list(graph.nodes):
        if node.target == select:
            base, dim, index = node.args
            while _same_axis(base, scatter, dim) and base.args[3] != index:
                base = base.args[0]
            found = base.args[1] if _same_axis(base, scatter, dim) else None
            node.args = (base, dim, index)
        elif node.target in (aten.copy.default, aten.slice.Tensor, aten.slice_scatter.default):
            found = node.args[0] if node.target == aten.slice.Tensor else node.args[1]
            whole = node.target != aten.slice_scatter.default or _form(found) == _form(node.args[0])
            found = found if isinstance(found, fx.Node) and _form(found) == _form(node) and whole else None
        elif node.target == scatter:
            rows, base, dim = {}, node, node.args[2]
            while _same_axis(base, scatter, dim):
                rows.setdefault(base.args[3], base.args[1])
                base = base.args[0]
            if len(rows) < node.meta["val"].shape[dim]:
                continue
            with graph.inserting_before(node):
                found = graph.call_function(aten.stack.default, ([rows[k] for k in sorted(rows)], dim))
            found.meta = dict(node.meta)
        else:
            continue
        if found is not None:
            node.replace_all_uses_with(found)
    for node in reversed(graph.nodes):
        if node.target in (select, scatter, aten.copy.default) and not node.users:
            graph.erase_node(node)


def _same_axis(node: Any, scatter: Any, dim: int) -> bool:
    """Whether a node writes to a place of this axis, both counted from the front."""
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
    """Runs a trace with the neurons as :data:`NEURON`; ``states`` is how many states each returns behind it."""

    states: Mapping[Any, int]

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
