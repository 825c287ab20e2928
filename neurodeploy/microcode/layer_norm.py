"""Layer norm over the last axis; program, widths and error bound in :mod:`._norm`.

Source parameters: ``width``, ``eps``, ``gamma`` and ``beta`` (arrays of that width, or None).
"""

from __future__ import annotations

from ._norm import Norm

MEMBER = Norm("layer_norm", centred=True)
