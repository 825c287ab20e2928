"""A built network inside a Lava program of your own.

    from neurodeploy import artifact, lava
    net = lava.network(artifact.load("build/").program)
    source.s_out.connect(net.s_in)
    net.s_out.connect(sink.a_in)
    net.run(RunSteps(num_steps=100), Loihi2SimCfg(select_tag="fixed_pt"))

Steps count from 1. ``s_in`` takes raw input levels: the frame of tick t of sample k (from 0) at step k * period + t.
What leaves the range that the network was built for is clipped to it, with a warning (ND171).
``s_out`` sends the read-out accumulated up to tick t of sample k at step k * period + t + depth; before that it sends
zeros. State starts anew with each sample. Where ``period`` is None (a network with delays or recurrence in ticks) there
is one sample only, and its ticks go on as long as the program runs.

Lava itself sometimes hangs when a program ends (a message that nobody is told of). ``lava.mend()``, called before
``run``, cures that; it changes two methods of Lava's ports and nothing that a network computes.

``lava.setup()`` makes an environment of Python 3.10 with Lava, by which ``--backend lava`` runs from any Python; a
program like the one above is run in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .backends._base import Description, Row
from .backends.lava import MEMBER, lowered
from .backends.lava.place import here, setup
from .backends.lava.plan import Granularity, plan
from .backends.lava.wakeups import mend
from .errors import BackendError, Problem
from .ir.graph import raw_range
from .program import Program

if TYPE_CHECKING:
    from .ir.graph import Graph

__all__ = ["Description", "Row", "describe", "mend", "network", "setup"]


def describe(program: Program, granularity: Granularity = "layer") -> Description:
    """What each layer or core becomes in Lava; needs no Lava. BackendError as :func:`network`, but ND701."""
    return MEMBER.at(granularity).describe(program)


def network(
    program: Program | Graph,
    granularity: Granularity = "layer",
    record: Iterable[str] = (),
    name: str = "network",
) -> Any:
    """The network as one hierarchical Lava process with the ports ``s_in`` and ``s_out``.

    ``depth`` and ``period`` of the process say when what arrives and leaves, in steps. ``record``: names of values,
    each with out ports in ``taps`` (one; with ``granularity="core"`` one per core, whose data are to be added).
    BackendError ND701 without Lava, ND742 for one process per core of a program that is not mapped, ND515 for a
    recurrent loop that takes longer than its delays.
    """
    if reason := here():
        raise BackendError(Problem("ND701", "the backend lava cannot be used here", "lava", reason))
    from .backends.lava.processes.own import Network

    program = program if isinstance(program, Program) else Program(program)
    program = lowered(program, granularity)
    return Network(plan(program.graph, record, granularity, program.mapping), name, raw_range(program.graph))
