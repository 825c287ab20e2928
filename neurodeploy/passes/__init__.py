"""Passes: pure functions Graph -> Graph that keep the meaning; each file holds the one it is named after.

``simplify`` is what an imported graph goes through before conversion; :data:`PASSES` lists its steps by name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from ..ir.graph import Graph
from .compose_convolutions import compose_convolutions
from .drop_identity import drop_identity
from .equalise import equalise
from .fold_batch_norm import fold_batch_norm
from .fold_bias import fold_bias
from .fold_constants import fold_constants
from .fold_scalars import fold_scalars
from .join_delays import join_delays
from .push_slices import push_slices
from .reassociate import reassociate
from .sink_views import sink_views
from .split_synapse import split_synapse

Pass = Callable[[Graph], Graph]

#: in order; each relies on what the ones before it left
PASSES: dict[str, Pass] = {
    "fold_constants": fold_constants, "join_delays": join_delays, "split_synapse": split_synapse,
    "drop_identity": drop_identity, "sink_views": sink_views, "fold_scalars": fold_scalars,
    "fold_batch_norm": fold_batch_norm, "fold_bias": fold_bias, "compose_convolutions": compose_convolutions,
    "reassociate": reassociate, "push_slices": push_slices, "equalise": equalise,
}  # fmt: skip


def simplify(graph: Graph, without: Collection[str] = ()) -> Graph:
    """All passes in order but those named in ``without``, repeated until the graph stays as it is."""
    chosen = [function for name, function in PASSES.items() if name not in without]
    while True:
        before = graph
        for function in chosen:
            graph = function(graph)
        graph = drop_identity(graph)
        if list(graph.nodes) == list(before.nodes):
            return graph
