"""Networks of blocks that hold their neurons and run over time themselves, such as those of lava-dl's slayer.

A call of the module is a whole sample, (B, *shape, T). The blocks are found by running it: they have to be a chain.
Each writes its own integers into a ``.net`` file, which the reader of these reads: one meaning for both.
What differs is time. netx lets every connection wait a tick; here a block sends in the tick of its sums, or as much
later as it says, and waiting for sums or for spikes is the same to neurons that begin at rest and have no bias.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import torch

from ..array import Array
from ..errors import GraphError, ImportModelError, Problem, first_line
from ..formats.netx.layers import input_bits
from ..formats.netx.options import NetxOptions
from ..formats.netx.read import load, parameter
from ..ir.graph import Graph
from ..ir.nodes import Neuron, Node, Synapse, View
from ..ir.types import Origin, Shape
from . import _torch, guest
from .input_spec import InputSpec
from .leaves import block_of, leaf_of
from .leaves._base import Block, Leaf
from .lower import first_of, remarked

CHAIN = "a chain: each block once, on what the block before it returned"


@dataclass(frozen=True, eq=False)
class Link:
    """One block of a chain, with the path of its module.

    ``waits`` are the ticks that its sums wait, by channel, ``early`` those by which its neurons send before it does.
    """

    path: str
    module: torch.nn.Module
    block: Block
    waits: int | Array = 0
    early: int = 0


@dataclass(frozen=True, eq=False)
class Live:
    """A module as it is called: raw integers r (B, T, *shape) enter as r * scale, time last."""

    module: torch.nn.Module
    spec: InputSpec
    links: Sequence[Link]

    @contextmanager
    def visiting(self, dtype: torch.dtype) -> Iterator[None]:
        """The module in evaluation mode and of this precision, its weights those that it has in its own."""
        default = torch.get_default_dtype()
        with guest.kept(self.module), _torch.inference():
            _called(self.module, self.spec)
            _settled(self.module)
            guest.Snapshot(self.module).to(dtype)
            torch.set_default_dtype(dtype)
            try:
                yield
            finally:
                torch.set_default_dtype(default)

    def run(self, raw: Array) -> list[Array]:
        """What each block returns, and last what the module does, from rest: (T, B, *shape), counted in integers."""
        for link in self.links:
            link.block.rest()
        x = torch.as_tensor(raw * self.spec.scale, dtype=torch.get_default_dtype())
        calls, result = _watched(
            self.module, x.movedim(1, -1).contiguous(), [link.module for link in self.links]
        )
        result = result[0] if isinstance(result, (tuple, list)) else result
        told = {id(module): returned for module, _, returned in calls}
        found = [(link.block, told[id(link.module)]) for link in self.links]
        return [_counted(block, value) for block, value in (*found, (self.links[-1].block, result))]


def _counted(block: Block, value: Any) -> Array:
    counted: Array = np.moveaxis(value.numpy().astype(np.float64), -1, 0) * max(block.sends, 1)
    return np.cumsum(counted, axis=0) if block.summed else counted


def there(module: torch.nn.Module) -> bool:
    """Whether any part of a module is a block."""
    return any(block_of(part) is not None for part in module.modules())


def import_module(module: torch.nn.Module, spec: InputSpec, name: str = "network") -> tuple[Graph, Live]:
    """The integer graph of a module that maps (B, *shape, T) to (B, ..., T), with what it has to equal.

    The module stays as it was. Raises ImportModelError: ND109 for a block that has no counterpart, ND175 where the
    blocks are no chain or their integers have other units, ND103 and ND130 where the module does not run, ND12x for
    integers that netx would refuse; GraphError where they break a rule of the integer level.
    """
    with guest.kept(module), _torch.inference():
        blocks = _read(module)
        _torch.prepared(module, spec)
        x, calls, result = _called(module, spec, list(blocks))
        first = result[0] if isinstance(result, (tuple, list)) and result else result
        links = _waiting([Link(path, part, block) for part, (path, block) in _chain(blocks, x, calls, first)])
        entering = _entering(links, spec)
        _settled(module)
        graph = _placed(_netx(links, spec, entering), links, spec, name)
    if first is not result:
        graph = remarked(graph, first_of(result))
    return graph, Live(module, spec, links)


def example(module: torch.nn.Module, spec: InputSpec) -> torch.Tensor:
    """What a module of blocks takes: zeros of its own float type, of two samples."""
    dtype = next((p.dtype for p in module.parameters()), torch.get_default_dtype())
    return torch.zeros(_torch.BATCH, *spec.shape, spec.timesteps, dtype=dtype)


Blocks = dict[torch.nn.Module, tuple[str, Block]]
Call = tuple[torch.nn.Module, Any, Any]


def _read(module: torch.nn.Module) -> Blocks:
    """All blocks of a module with their paths; ImportModelError ND109 with those, and neurons, that cannot be read."""
    parts = dict(module.named_modules())
    found = {part: (path, read(part)) for path, part in parts.items() if (read := block_of(part)) is not None}
    inside = {part for block in found for part in block.modules()} - found.keys()
    refused: list[tuple[str, Any, Block | Leaf]]
    refused = [(path, part, block) for part, (path, block) in found.items()]
    refused += [
        (path, part, leaf) for path, part in parts.items() if part not in inside and (leaf := leaf_of(part))
    ]
    cause = "a block that has no counterpart"
    problems = [
        Problem("ND109", cause, f"{path!r} [{type(part).__module__}.{type(part).__qualname__}]", what.problem, "",
                what.fixes)
        for path, part, what in refused if what.problem
    ]  # fmt: skip
    if problems:
        raise ImportModelError(problems)
    return found


def _watched(module: Any, x: torch.Tensor, parts: Sequence[torch.nn.Module]) -> tuple[list[Call], Any]:
    """The calls of some parts in their order, what each was given and what it returned; and the result."""
    calls: list[Call] = []
    hooks = [part.register_forward_hook(lambda *call: calls.append(call)) for part in parts]
    try:
        result = module(x)
    finally:
        for hook in hooks:
            hook.remove()
    return [(part, given[0], returned) for part, given, returned in calls], result


def _called(
    module: Any, spec: InputSpec, parts: Sequence[torch.nn.Module] = ()
) -> tuple[torch.Tensor, list[Call], Any]:
    """One call on zeros, which also makes what blocks make at their first; ImportModelError where it fails."""
    x = example(module, spec)
    module.eval()
    try:
        return x, *_watched(module, x, parts)
    except Exception as error:  # whatever the user's own code raises
        raise ImportModelError(_torch.does_not_run(error, "forward", x)) from error


def _chain(blocks: Blocks, x: Any, calls: Sequence[Call], result: Any) -> list[tuple[Any, tuple[str, Block]]]:
    """The blocks in the order of their calls; ImportModelError ND175 where something is between them, or beside."""
    before, last, seen = x, "the input", set()
    for part, given, returned in calls:
        path = blocks[part][0]
        if part in seen:
            raise ImportModelError(_no_chain(f"'{path}'", "it is called twice in one call of the model"))
        if given is not before:
            raise ImportModelError(
                _no_chain(f"'{path}'", f"it is given something else than what {last} returned")
            )
        before, last = returned, f"'{path}'"
        seen.add(part)
    if result is not before or not calls:
        raise ImportModelError(_no_chain("return value", f"the model returns something else than {last}"))
    return [(part, blocks[part]) for part, _, _ in calls]


def _no_chain(where: str, found: str) -> Problem:
    fix = "do in front of the network, or after it, what its forward does between its blocks"
    return Problem("ND175", "the blocks of the model are no chain", where, found, CHAIN, (fix,))


def _waiting(links: Sequence[Link]) -> list[Link]:
    """The same with the ticks that their sums wait.

    Where neurons have a bias they work while they wait, so that it is their spikes that have to: they are handed to the
    sums of the next block, and those of the last one to nobody (ND175).
    """
    found, handed = [], 0
    for link in links:
        block = link.block
        if not block.takes:  # it has no neurons
            found.append(link)
            continue
        own: Any = block.late + (0 if block.delay is None else block.delay)
        if block.biased and np.ndim(own):
            raise ImportModelError(_unplaced(link, "a norm, and a delay for each channel"))
        early = int(own) if block.biased else 0
        found.append(replace(link, waits=handed + own - early, early=early))
        handed = early
    if handed:
        raise ImportModelError(_unplaced(found[-1], "a norm, and spikes that leave the network a tick later"))
    return found


def _unplaced(link: Link, what: str) -> Problem:
    cause, limit = "a bias that works while spikes wait", "a delay for all channels, and a block behind it"
    fixes = ("give the block delay_shift=False", "leave out its norm")
    return Problem("ND175", cause, f"'{link.path}'", what, limit, fixes)


def _entering(links: Sequence[Link], spec: InputSpec) -> tuple[int, int]:
    """The range of the input; ImportModelError ND175 where what is sent and what is taken have other units."""
    with_neurons = [link for link in links if link.block.takes]
    if not with_neurons:
        raise ImportModelError(_no_chain("forward", "no block with neurons"))
    first = with_neurons[0].block
    if np.any(np.asarray(spec.scale) * first.takes != 1) or np.any(spec.offset):
        cause, shown = "raw inputs in another unit", f"scale {spec.scale}, offset {spec.offset}"
        unit, place = f"scale {1 / first.takes!r}", f"'{with_neurons[0].path}'"
        fix = f"--set scale={1 / first.takes!r}, and data of whole numbers in that unit"
        raise ImportModelError(Problem("ND175", cause, place, shown, f"{unit}, offset 0", (fix,)))
    for a, b in pairwise(with_neurons):
        if a.block.sends != b.block.takes:
            cause, shown = "blocks that count in other units", f"1/{a.block.sends} from '{a.path}'"
            raise ImportModelError(Problem("ND175", cause, f"'{b.path}'", shown, f"1/{b.block.takes}"))
    return first.entering


def _settled(module: torch.nn.Module) -> None:
    """Weights in place of what a norm makes them of at each call: in another precision it would make others."""
    for part in module.modules():
        with suppress(ValueError):  # it has none
            torch.nn.utils.remove_weight_norm(part)
        if hasattr(part, "weight_norm_enabled"):  # else its export would remove it again
            part.weight_norm_enabled = False


def _netx(links: Sequence[Link], spec: InputSpec, entering: tuple[int, int]) -> Graph:
    """The graph in netx's time, every connection waiting one tick."""
    readout = "voltage" if links[-1].block.voltage else "spikes"
    options: dict[str, Any] = {
        "input_range": entering, "input_message_bits": input_bits(*entering), "readout": readout}  # fmt: skip
    if len(spec.shape) == 3:
        options["input_shape"] = tuple(reversed(spec.shape))
    try:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "network.net"
            _write(links, path)
            graph = load(path, NetxOptions(**options), spec.timesteps)
    except (ImportModelError, GraphError) as error:
        raise type(error)([replace(p, where=_named(p.where, links)) for p in error.problems]) from error
    changed = [
        _named(text, links) for text in graph.header.notes["remarks"] if "differ from the file" in text
    ]
    if changed:
        raise ImportModelError(Problem("ND109", "weights that netx would change", found="; ".join(changed)))
    return graph


def _write(links: Sequence[Link], path: Path) -> None:
    """The file of the blocks' own integers; ImportModelError ND109 with the block that cannot write itself."""
    with h5py.File(path, "w") as file:
        for index, link in enumerate(links):
            group = file.create_group(f"layer/{index}")
            try:
                link.block.write(group)
            except Exception as error:  # whatever a release says to a setting that it does not export
                cause = "a block that cannot be exported"
                raise ImportModelError(
                    Problem("ND109", cause, f"'{link.path}'", first_line(error))
                ) from error
            # netx lets recurrent connections wait as well, and those of convolutions never
            group.pop("delay", None)


def _named(text: str, links: Sequence[Link]) -> str:
    """A place in a file as the path of a module."""
    return re.sub(r"(?:\S+ /)?layer/(\d+)", lambda match: f"'{links[int(match[1])].path}'", text)


def _placed(graph: Graph, links: Sequence[Link], spec: InputSpec, name: str) -> Graph:
    """The graph with the time of the blocks, their parameters and paths, and the shape of what the module is given."""
    nodes, values = {node.name: _own(graph, node, links) for node in graph}, dict(graph.values)
    entry = replace(graph.input, origin=nodes[graph.input.name].origin, scale=spec.scale)
    nodes[entry.name] = entry
    flat = graph.shape(entry.name)
    if flat != tuple(spec.shape) and prod(flat) == prod(spec.shape) and len(spec.shape) == 3:
        view = View(name="flatten", inputs=(entry.name,), op="reshape", args=flat, origin=entry.origin)
        readers = {
            n.name: replace(n, inputs=tuple(view.name if i == entry.name else i for i in n.inputs))
            for n in nodes.values()
        }
        nodes = {entry.name: entry, view.name: view, **{k: v for k, v in readers.items() if k != entry.name}}
        values[view.name] = values[entry.name]
        values[entry.name] = replace(values[entry.name], shape=Shape(("C", "Y", "X"), tuple(spec.shape)))
    return Graph(nodes, values, replace(graph.header, name=name, notes={"contains_neurons": True}))


def _own(graph: Graph, node: Node, links: Sequence[Link]) -> Node:
    """A node as its block has it."""
    match = re.match(r"layer(\d+)", node.name)
    if match is None:
        return replace(node, origin=(Origin("", node.kind),))
    link = links[int(match[1])]
    node = replace(node, origin=(Origin(link.path, node.origin[0].op),))
    if isinstance(node, Neuron):
        own = {key: parameter(value, graph.shape(node.name)) for key, value in link.block.params.items()}
        return replace(node, params={**node.params, **own})
    if isinstance(node, Synapse) and not node.name.endswith(".recurrent"):
        waits = np.asarray(link.waits)
        if (waits == waits.flat[0]).all():
            return replace(node, delay=int(waits.flat[0]))
        return replace(node, delay=np.broadcast_to(waits[:, None], node.weight.shape).copy())
    return node
