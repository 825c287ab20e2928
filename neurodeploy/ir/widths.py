"""Widths of the integer level in bits, sign included: the same for every target, so that integers are.

Meaning, quantization and every simulator take them from here. What a target can hold are limits of its own, against
which the mapper checks what a network needs.
"""

from __future__ import annotations

STATE_BITS = 24  # of a neuron
MESSAGE_BITS = 24  # of what travels
REGISTER_BITS = 32  # of programs: running sums, sums of products, synaptic sums, the read-out
MULTIPLY_BITS = 64  # of a product before its shift
WEIGHT_BITS = (2, 8)  # fewest and most of a stored weight that a build can ask for
OPERATOR_BITS = 17  # of an operator's output where nothing wider is asked for: 16 bits and a sign
