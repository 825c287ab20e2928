"""Constants of a loop over ticks that differ from turn to turn, as ``self.scale[t] * x`` has them.

A line that is run once in every turn is one operator of all ticks: its streams get an axis of ticks, and its constants
of all turns are stacked along it. Every turn then makes the same node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..array import Array
from .traced import Call, Ref, Traced, evaluated, references, substitute
from .values import TIME, Stream, depends


class Turns:
    """The calls of a program by the line that makes them; ``values`` are what was lowered so far, by name."""

    def __init__(
        self, traced: Traced, calls: Sequence[Call], values: Mapping[str, Any], array: Callable[[Any], Array]
    ) -> None:
        self.ticks, self.values, self.array = traced.ticks or 1, values, array
        self.calls = {call.name: call for call in calls}
        self.lines: dict[Any, list[Call]] = {}
        for call in calls if self.ticks > 1 else ():
            self.lines.setdefault((call.op, call.origin), []).append(call)

    def of(self, call: Call) -> list[Call]:
        """The calls of one line and place in it, one of each turn; none where there are not so many."""
        line = self.lines.get((call.op, call.origin), [])
        each, rest = divmod(len(line), self.ticks)
        return [] if rest or not each else line[line.index(call) % each :: each]

    def together(self, call: Call, args: Sequence[Any], build: Callable[[Sequence[Any]], Any]) -> Any:
        """What ``build`` makes of the ``args`` of all ticks, at the tick of this call; None where turns do not differ.

        ``args`` are the values of the call's own arguments.
        """
        turns = self.of(call)
        streams = [arg for arg in args if isinstance(arg, Stream)]
        if not turns or not all(
            s.tick == turns.index(call) + 1 and not (s.readout or s.partial) for s in streams
        ):
            return None
        places = [place for place, arg in enumerate(args) if not depends(arg)]
        given = [[turn.args[place] for place in places] for turn in turns]
        if len(streams) != 1 or len(places) != len(args) - 1 or not all(map(self._fixed, given)):
            return None
        constants = [[self.array(substitute(item, self._value)) for item in items] for items in given]
        if any(len({array.shape for array in turns}) > 1 for turns in zip(*constants, strict=True)):
            return None
        if all(np.array_equal(a, b) for turn in constants for a, b in zip(constants[0], turn, strict=True)):
            return None
        (stream,) = streams
        rows = [_stacked(arrays, stream.rank) for arrays in zip(*constants, strict=True)]
        timed = replace(stream, axes=((TIME,), *stream.axes), ticks=self.ticks, tick=0)
        filled = dict(zip(places, rows, strict=True))
        made = build([filled.get(place, timed) for place in range(len(args))])
        return replace(made, axes=made.axes[1:], ticks=stream.ticks, tick=stream.tick)

    def _fixed(self, item: Any) -> bool:
        """Whether arguments, perhaps of turns that have not been lowered yet, depend on no input."""
        for ref in references(item):
            if ref.name in self.values:
                if depends(self.values[ref.name]):
                    return False
            elif not self._fixed((self.calls[ref.name].args, self.calls[ref.name].kwargs)):
                return False
        return True

    def _value(self, ref: Ref) -> Any:
        if ref.name in self.values:
            return self.values[ref.name]
        call = self.calls[ref.name]
        return evaluated(call, *(substitute(part, self._value) for part in (call.args, call.kwargs)))


def _stacked(turns: Sequence[Array], rank: int) -> Array:
    """(T, ...) with as many axes behind as a stream has."""
    return np.stack([turn.reshape((1,) * (rank - turn.ndim) + turn.shape) for turn in turns])
