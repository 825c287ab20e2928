"""What was computed one tick ago: a connection of weight 1 with a delay of one tick."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...ir.nodes import Synapse
from ...ir.types import Shape
from ..lowering import Lowering
from ..values import BATCH, Run, Stream, other_ticks
from ._base import operator


@operator("past")
def past(
    lowering: Lowering, x: Stream, source: str, sizes: tuple[int, ...], tick: int = 0, before: Any = None
) -> Stream:
    """The value of the call ``source``, of torch's ``sizes``, as it was in the tick before; zeros in the first.

    The call may come later: :func:`~neurodeploy.frontends.lower.lower` connects the two. ``x`` is the model's input.
    In a loop it is read at a ``tick``, and was ``before`` at the one before that, if there is one; Refusal ND160 where
    that is not the population of the tick before.
    """
    if isinstance(before, Stream) and (before.tick != tick - 1 or before.partial):
        raise other_ticks("what a tick feeds back", f"of tick {before.tick} in tick {tick}")
    batch = 0 if x.timed else x.axes.index((BATCH,))
    own = (*sizes[:batch], *sizes[batch + 1 :]) or (1,)
    image = len(own) == 3
    roles = ("C", "Y", "X") if image else (*("G",) * (len(own) - 2), "N", "C")[-len(own) :]
    fields: dict[str, Any] = {"op": "dense", "weight": np.eye(own[-1])}
    if image:
        fields = {"op": "conv", "weight": np.ones((own[0], 1, 1, 1)), "groups": own[0]}
    name = lowering.add(Synapse, [source], Shape(roles, own), "past", delay=1, **fields)
    lowering.pasts[name] = source
    axes: list[Run] = [*((n,) for n in own[:batch]), (BATCH,), *((n,) for n in own[batch:])]
    return replace(x.at(name, Shape(roles, own), axes), tick=tick)
