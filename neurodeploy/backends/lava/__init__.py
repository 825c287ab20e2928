"""Lava as a backend: the network as Lava processes, bit for bit. This file needs no Lava."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ...array import Array
from ...errors import BackendError, Problem
from ...ir.interp import check_input
from ...ir.neuron_model import state_names
from ...ir.nodes import Synapse
from ...ir.trace import Events, Trace
from ...mapping.checks import too_fast
from ...mapping.hosting import on_cores
from ...passes.balance import balance, hurried
from ...program import Program
from .._base import Backend, Description
from . import place
from .plan import Granularity, plan


class Lava(Backend):
    """Processes of Lava 0.10.0 and own ones, in Lava's simulator on this machine."""

    name = "lava"
    distributions = ("lava-nc",)
    granularities = ("layer", "core")

    def __init__(self, granularity: Granularity = "layer") -> None:
        self.granularity: Granularity = granularity

    def available(self) -> str:
        """Empty where an interpreter with Lava is found (:mod:`.place`), else what is missing and what helps."""
        return place.missing()

    def at(self, granularity: str) -> Lava:
        """This backend with one process per ``layer`` or per mapped ``core``."""
        return Lava("core" if granularity == "core" else "layer")

    def describe(self, program: Program) -> Description:
        """Layers or cores as processes of Lava and own ones; BackendError ND742 and ND515 as :func:`lowered`."""
        from .describe import description

        program = lowered(program, self.granularity)
        return description(plan(program.graph, (), self.granularity, program.mapping))

    def run(self, program: Program, x: Array, record: Iterable[str] = ()) -> tuple[Trace, Events | None]:
        """All samples in Lava's simulator; BackendError ND742 for one process per core without a mapping."""
        from . import supervise

        names = tuple(dict.fromkeys(record))
        hidden = state_names(program.graph).keys() & set(names)
        if hidden:
            cause, fixes = (
                "a state inside a process of Lava is not recorded",
                ("--backend cpu, the same to the bit",),
            )
            raise BackendError(
                [Problem("ND172", cause, name, fixes=fixes) for name in names if name in hidden]
            )
        check_input(program.graph, x)
        program = lowered(program, self.granularity)
        found = plan(program.graph, names, self.granularity, program.mapping, len(x))
        if not found.message_bits.keys() <= set(names):
            # Lava's sigma-delta processes do not keep to the width of messages: what they send is looked at too.
            watched = tuple(dict.fromkeys((*names, *found.message_bits)))
            found = plan(program.graph, watched, self.granularity, program.mapping, len(x))
        return supervise.run(program, found, np.asarray(x), names), None


def lowered(program: Program, granularity: Granularity = "layer") -> Program:
    """The program with its graph balanced, as units and wires are made from it.

    BackendError ND742 where one process per core is asked for without a mapping, ND515 for a recurrent connection that
    is shorter than its way.
    """
    mapping = program.mapping
    if granularity == "core" and (mapping is None or not mapping.fits or not mapping.cores):
        raise BackendError(
            Problem("ND742", "one process per core needs a mapped program", "--granularity", "core",
                    fixes=("build on a target that the network fits", "--granularity layer"))
        )  # fmt: skip
    graph = program.graph
    if graph.header.copies and granularity == "core":
        cause, found = "tokens take turns on the mapped cores, which Lava's processes do not", "--streams"
        raise BackendError(Problem("ND742", cause, "--granularity", found, fixes=("--granularity layer",)))
    if any(node.hosted for node in graph.of(Synapse)) and granularity == "core":
        cause, found = "the host looks tables up, which Lava's processes do themselves", "--lookups host"
        raise BackendError(Problem("ND742", cause, "--granularity", found, fixes=("--granularity layer",)))
    graph = on_cores(graph)
    graph = replace(graph, header=replace(graph.header, copies=()))  # every token has processes of its own
    late = hurried(graph)
    if late:
        raise BackendError([too_fast(*edge) for edge in late])
    return replace(program, graph=balance(graph))


MEMBER = Lava()
