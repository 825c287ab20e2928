"""A built network that is given a stream piece by piece, and goes on where it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .. import compare
from ..array import Array
from ..errors import Problem, SimulateError, UsageError, unknown_name
from ..inputs.arrays import checked_input, read_array
from ..ir import store
from ..ir.lasting import Standing, after, hindrances, misfits
from ..ir.neuron_model import state_names
from .parts import opened

SECTION = "standing"


class Session:
    """Streams that last: what was given in several calls is answered as one long run of all of it, to the bit.

    ``folder`` is a build folder, or its ``program.h5``; ``state`` a file that :meth:`save` has written. Raises what
    :func:`neurodeploy.run` raises of both, BackendError ND746 for a backend that begins every sample at rest,
    SimulateError ND608 for a network that remembers more than the states of its populations, and UsageError ND609 for a
    state that is none of this network.
    """

    def __init__(self, folder: str | Path, backend: str = "cpu", state: str | Path | None = None) -> None:
        self.program = opened(folder).program
        self.backend = compare.usable(backend)
        graph = self.program.graph
        if not self.backend.goes_on:
            self.backend.go_on(self.program, np.zeros(0), {}, ())  # says why
        if problems := hindrances(graph):
            raise SimulateError(problems)
        self.standing = Standing(graph.content_hash())
        if state is not None:
            self.standing = load(Path(state))
            if problems := misfits(graph, self.standing):
                raise UsageError(problems)

    @property
    def ticks(self) -> int:
        """Ticks that the streams have lived."""
        return self.standing.ticks

    def run(self, x: Array | str | Path, record: Sequence[str] = ()) -> tuple[Array, dict[str, Array]]:
        """Accumulated read-outs (T, B, *output) of what comes next, and recorded layers (T, B, *shape).

        ``x``: frames (B, T, *input) of any number of ticks, or an image (B, *input) for as many ticks as the build has;
        one stream may come without B. There are as many streams as in the first call (ND601).
        """
        graph, states = self.program.graph, tuple(state_names(self.program.graph))
        known = (*graph.nodes, *states)
        if unknown := [name for name in record if name not in known]:
            raise UsageError([unknown_name("ND905", "layer", name, known, "--record") for name in unknown])
        pieces = list(self._pieces(read_array(Path(x)) if isinstance(x, (str, Path)) else np.asarray(x)))
        found: list[tuple[Array, dict[str, Array]]] = []
        for piece, ticks in pieces:
            # All streams are given whole runs; what they say behind their last tick is not looked at.
            names = tuple(dict.fromkeys((*record, *states)))
            begin, total = self.standing.states, self.standing.total
            if begin:
                trace = self.backend.go_on(self.program, piece, begin, names)
            else:
                trace, _ = self.backend.run(self.program, piece, names)
            outputs = trace.outputs[:ticks] + (0 if total is None else total)
            last = {name: np.array(trace.values[name][ticks - 1]) for name in states}
            self.standing = after(graph, self.standing, last, outputs)
            found.append((outputs, {name: trace.values[name][:ticks] for name in record}))
        outputs = np.concatenate([part for part, _ in found])
        return outputs, {name: np.concatenate([values[name] for _, values in found]) for name in record}

    def _pieces(self, x: Array) -> Iterator[tuple[Array, int]]:
        """Inputs of whole runs, the last one filled up with its last frame, with the ticks that each is asked for."""
        graph = self.program.graph
        ticks, shape = graph.header.timesteps, graph.shape(graph.input.name)
        if not graph.input.per_tick:
            yield self._streams(checked_input(graph, x)), ticks
            return
        x = x[None] if x.ndim == len(shape) + 1 else x
        if x.ndim != len(shape) + 2 or not x.shape[1]:
            limit = f"(streams, ticks, {', '.join(map(str, shape))})"
            raise SimulateError(
                Problem("ND601", "the input has the wrong shape", graph.input.name, str(x.shape), limit)
            )
        lengths = [min(ticks, x.shape[1] - start) for start in range(0, x.shape[1], ticks)]
        for number, length in enumerate(lengths):
            piece = x[:, number * ticks :][:, :ticks]
            filled = np.concatenate([piece, np.repeat(piece[:, -1:], ticks - length, axis=1)], axis=1)
            yield self._streams(checked_input(graph, filled)), length

    def _streams(self, x: Array) -> Array:
        known = next(iter(self.standing.states.values()), None)
        if known is not None and len(known) != len(x):
            cause, name = "there are not as many streams as before", self.program.graph.input.name
            raise SimulateError(Problem("ND601", cause, name, str(len(x)), str(len(known))))
        return x

    def save(self, path: str | Path) -> None:
        """Write where the streams are, whole or not at all: a later session goes on from there, on any backend."""
        store.write(Path(path), {SECTION: self.standing})


def load(path: Path) -> Standing:
    """What :meth:`Session.save` wrote; UsageError ND940 to ND947 for a file that is not that."""
    found = store.read(path, {Standing.__name__: Standing}).sections
    standing = found.get(SECTION)
    if len(found) != 1 or not isinstance(standing, Standing):
        cause, fix = "the file holds no state of a stream", "begin a new stream: another file"
        raise UsageError(Problem("ND942", cause, str(path), ", ".join(found), SECTION, (fix,)))
    return standing
