"""What netx takes as arguments of its ``Network`` and not from the file, under its names, and what follows from them.

The reader takes them as options. The writer puts those that a network needs into the group ``arguments``: netx does not
look there, the reader does.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError

from .._base import FormatOptions
from .._hdf5.tree import Tree
from .fields import Fields

GROUP = "arguments"
SPIKE_EXP = 6  # netx's default


class NetxOptions(FormatOptions):
    """Options of netx's ``Network``, under its names, and three of this reader."""

    skip_layers: int = Field(0, ge=0)
    num_layers: int | None = Field(None, ge=1)
    input_message_bits: int = Field(0, ge=0, le=24)
    #: (x, y, channels) or (n,), netx's order, for files without input layer
    input_shape: tuple[int, ...] | None = Field(None, min_length=1, max_length=3)
    reset_interval: int | None = Field(None, ge=1)
    reset_offset: int = 0
    spike_exp: int = Field(SPIKE_EXP, ge=0, le=12)
    #: smallest and largest raw input; default: what the width of the input messages allows
    input_range: tuple[int, int] | None = None
    #: what a last layer that never fires sends: its voltage, or the spikes that netx would send (none)
    readout: Literal["voltage", "spikes"] = "voltage"
    #: round fractional weights toward zero, as netx does, instead of refusing them
    truncate: bool = False


def with_arguments(tree: Tree, options: NetxOptions) -> NetxOptions:
    """The options, and where none were given the arguments that stand in the file."""
    group = Fields(tree, GROUP)
    stored: dict[str, Any] = {}
    for key in tree.children(GROUP):
        if key not in NetxOptions.model_fields:
            known = ", ".join(NetxOptions.model_fields)
            group.problem("ND124", "no argument of netx or of this reader", key, "", known)
        elif key == "readout":
            stored[key] = group.text(key)
        else:
            value = group.whole(key, -(1 << 31), (1 << 31) - 1)
            if value is not None and value.size <= 3:
                stored[key] = value.tolist()
    try:
        return NetxOptions(**{**stored, **options.model_dump(include=options.model_fields_set)})
    except ValidationError as error:
        for detail in error.errors():
            key = ".".join(str(part) for part in detail["loc"])
            group.problem("ND124", f"a wrong argument: {detail['msg']}", key, repr(detail["input"]))
        return options


def phase(offset: int, process: int) -> int:
    """Process k, counted from 0, resets where t = reset_offset + 1 + k (mod reset_interval)."""
    return offset + 1 + process


def input_range(bits: int) -> tuple[int, int]:
    """What messages of a width hold; netx takes those of width 0 as 0 and 1."""
    limit = (1 << (bits - 1)) - 1 if bits else 0
    return (-limit, limit) if bits else (0, 1)


def input_bits(lo: int, hi: int) -> int:
    """The width of messages that holds a range."""
    return 0 if (lo, hi) == (0, 1) else max(2, max(abs(lo), abs(hi)).bit_length() + 1)
