"""What was computed one tick ago: a connection of weight 1 with a delay of one tick."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.nodes import Synapse
from ...ir.types import Shape
from ..lowering import Lowering
from ..values import BATCH, Stream
from ._base import operator


@operator("past")
def past(lowering: Lowering, x: Stream, source: str, sizes: tuple[int, ...]) -> Stream:
    """The value of the call ``source``, of torch's ``sizes``, as it was in the tick before; zeros in the first.

    The call may come later: :func:`~neurodeploy.frontends.lower.lower` connects the two. ``x`` is the model's input.
    """
    batch = x.axes.index((BATCH,))
    own = (*sizes[:batch], *sizes[batch + 1 :]) or (1,)
    image = len(own) == 3
    roles = ("C", "Y", "X") if image else (*("G",) * (len(own) - 2), "N", "C")[-len(own) :]
    fields: dict[str, Any] = {"op": "dense", "weight": np.eye(own[-1])}
    if image:
        fields = {"op": "conv", "weight": np.ones((own[0], 1, 1, 1)), "groups": own[0]}
    name = lowering.add(Synapse, [], Shape(roles, own), "past", delay=1, **fields)
    lowering.pasts[name] = source
    before, after = own[:batch], own[batch:]
    return x.at(name, Shape(roles, own), [*((n,) for n in before), (BATCH,), *((n,) for n in after)])
