"""What a tile is expected to do in a tick, in the kinds of events that the simulated cores count.

The mapper chooses before anything has run on cores: values are taken to be non-zero as often as calibration saw, each
independently of the others. What such events cost and how long they take is :mod:`neurodeploy.price`, as in the report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.micro_op import COMPENSATION_OPS, MICROCODE, RESCALE_OPS
from ..ir.neuron_model import NEURONS
from ..ir.nodes import Delay, Micro, Neuron, Node, Product, Reduce, Sum, Synapse
from ..ir.trace import EVENT_KINDS
from ..price import lasting, stages
from .activity import activity
from .cells import Tile
from .demand import WORD, Accounting, delay_bits, state_bits
from .lookups import inside, words_read
from .reads import Read, connections, reads
from .regions import Region

Amounts = dict[str, float]  # event kind -> expected count


def per_tick(accounting: Accounting, tile: Tile, turn: bool = False) -> Array:
    """Expected counts of one tick, in the order of :data:`EVENT_KINDS`; packets that leave are the traffic's.

    ``turn``: of one turn of many, in which but a part arrives of what is kept.
    """
    found: Counter[str] = Counter()
    graph = accounting.graph
    for node in accounting.group.nodes:
        size = tile.size(node.name)
        if size and type(node) in PROGRAMS:
            found.update(PROGRAMS[type(node)](graph, node, size))
    for node, out in accounting.regions(tile).items():
        for operand, read in enumerate(reads(graph, node, out, accounting.channels)):
            if read.source not in accounting.constants:
                kept = accounting.taken.kept(node, operand)
                share = 1 / (1 + accounting.taken.last(read.source)) if turn and kept else 1.0
                again = accounting.taken.turns(node.name) if kept and not turn else 1
                found.update(_taken_in(accounting, node, out, read, share))
                found.update(_summed_up(accounting, node, read, again))
    return np.array([found[kind] for kind in EVENT_KINDS])


def whole(accounting: Accounting) -> Array:
    """Expected counts of one tick of a whole group: all but what it takes in does not depend on how it is cut."""
    cells = accounting.cells
    if cells.neuron is None:
        return per_tick(accounting, Tile(cells, tuple(np.arange(size) for size in cells.shape)))
    return per_tick(accounting, cells.hosted(np.arange(len(cells.homes[0]))))


def busy_ns(accounting: Accounting, tile: Tile) -> float:
    """Expected time of a tick on the core of a tile, nominal, without what it sends and waits for."""
    counts = per_tick(accounting, accounting.of_turn(tile), turn=True)
    work = stages(counts, EVENT_KINDS, accounting.target, "nominal")
    return float(lasting(list(work), accounting.target, "nominal"))


def _summed_up(accounting: Accounting, node: Node, read: Read, turns: int) -> Amounts:
    """The running sums of an operand of a compensated product, added up anew in every turn."""
    if not isinstance(node, Product) or node.timing != "cumulative":
        return {}
    added = turns * read.region.size * activity(accounting.graph, read.source)
    return {"microcode_ops": added, "state_accesses": added}


def _taken_in(accounting: Accounting, node: Node, out: Region, read: Read, share: float) -> Amounts:
    """What messages of one value set off at one of its readers, if such a share of them comes in a tick."""
    graph, active, bits = accounting.graph, activity(accounting.graph, read.source), 0
    active *= share
    amounts: Amounts = {"packets_in": read.region.size * active}
    if isinstance(node, Synapse):
        bits = accounting.weight_bits[node.name] + delay_bits(accounting.waits[node.name], accounting.target)
        stored = accounting.stored[node.name]
        met = out.size * connections(graph, node) * inside(graph, node, out)
        amounts["synaptic_ops"] = met * stored * active
    words = words_read(graph, node, out, read, bits, accounting.target)
    return amounts | {"memory_reads": float(words.sum()) * active}


def _neuron(graph: Graph, node: Neuron, size: int) -> Amounts:
    model = NEURONS[node.model]
    work = {"stock_updates": size} if model.stock else {"program_ops": size * model.operations(node.params)}
    further = max(-(-state_bits(node) // WORD) - 1, 0)
    spikes = size * activity(graph, node.name)
    return {"neuron_updates": size, **work, "spikes": spikes, "state_accesses": size * further}


def _micro(graph: Graph, node: Micro, size: int) -> Amounts:
    op = MICROCODE[node.op]
    width = graph.shape(node.name)[-1] if op.row else 1
    work = size / width * op.operations(node.params, width)
    if node.timing != "cumulative":
        return {"microcode_ops": work}
    return {"microcode_ops": work + size * COMPENSATION_OPS, "state_accesses": size}


def _sum(graph: Graph, node: Sum, size: int) -> Amounts:
    return {"microcode_ops": size * (len(node.inputs) - 1)}


def _delay(graph: Graph, node: Delay, size: int) -> Amounts:
    return {"microcode_ops": size, "state_accesses": size * bool(node.steps > 1 or node.keeps)}


def _reduce(graph: Graph, node: Reduce, size: int) -> Amounts:
    fan = connections(graph, node)
    return {"microcode_ops": size * (fan - 1 if node.op == "max" else fan * activity(graph, node.inputs[0]))}


def _product(graph: Graph, node: Product, size: int) -> Amounts:
    a, b = (activity(graph, name) for name in node.inputs)
    pairs = size * connections(graph, node) / 2 * a * b
    scaled = size * RESCALE_OPS * (node.rescale is not None)
    if node.timing != "cumulative":
        return {"product_ops": pairs, "microcode_ops": scaled}
    # The second of two products meets a running sum, which is hardly ever zero.
    return {"product_ops": pairs / max(b, 1e-9) + pairs / max(a, 1e-9), "microcode_ops": scaled + size,
            "state_accesses": size}  # fmt: skip


PROGRAMS: dict[type[Node], Callable[..., Amounts]] = {
    Neuron: _neuron, Micro: _micro, Sum: _sum, Delay: _delay, Reduce: _reduce, Product: _product
}  # fmt: skip
