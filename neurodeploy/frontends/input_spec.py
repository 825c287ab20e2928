"""How a torch module is fed and read: one value from the MODEL string to the graph."""

from __future__ import annotations

from dataclasses import dataclass

from ..array import Array


@dataclass(frozen=True, eq=False)
class InputSpec:
    """What a torch module takes, and for how many ticks it is asked.

    ``shape`` is without the batch: (C, H, W), or (N,) with ``tokens``, where the input is token ids; empty for an
    exported program, which says it itself. A raw integer r enters as ``r * scale + offset``, scalars or one value for
    each leading channel. ``timesteps`` and ``readout`` are of networks with neurons: any other has one tick. With
    ``frames`` the data have an image for each of these.
    """

    shape: tuple[int, ...] = ()
    scale: float | Array = 1.0
    offset: float | Array = 0.0
    tokens: bool = False
    timesteps: int = 1
    readout: str = "mean"
    frames: bool = False
