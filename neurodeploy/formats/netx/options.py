"""What a user may say about a .net file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .._base import FormatOptions

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
    #: what the last layer sends; auto: its voltage if all its thresholds are the largest there are, else spikes
    readout: Literal["auto", "voltage", "spikes"] = "auto"
    #: round fractional weights toward zero, as netx does, instead of refusing them
    truncate: bool = False
