"""Spiking graph -> integer graph: weights, thresholds, payloads, rescales and microcode, with proven widths.

One forward walk decides, for every edge, what one integer unit is worth (``Fixed.scale``, a float that documents and
never computes) and turns each node's float parameters into integers:
- *Synapse*: signed weights of 2..8 bits, rounded each by itself or together (:mod:`.rounding`), one scale per output
  channel; the channel scale folds into the threshold of the neuron that follows. In front of the read-out, where no
  neuron follows, one scale for the whole tensor.
- *Neuron*: its own ``quantize`` (``neurons/``).
- *Stream* (sums connected by sums: the residual): one power-of-two unit for all; every branch is rescaled into it.
- *Micro*: its own ``quantize`` (``microcode/``), behind a rescale where the incoming unit differs per channel.
- *Product*: exact while the result fits, else one shift, by the measured range where operands are wide; cumulative
  ones carry 1/t in their rescale table.
Measured ranges (training samples only) choose units, with ``HEADROOM``; proven intervals choose widths.
"""

from __future__ import annotations

from .rounding import moments
from .walk import quantize

__all__ = ["moments", "quantize"]
