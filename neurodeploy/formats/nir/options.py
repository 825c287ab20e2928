"""What a user may say about a NIR file, and how its equations are discretised."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .._base import FormatOptions

ORDER = "current before voltage, threshold and reset after the voltage"


class NirOptions(FormatOptions):
    """Options of the reader; NIR describes differential equations, so the time step is not in the file.

    What is not set is decided by the conventions of the tool that wrote the file (:mod:`.tools`), else by the default.
    """

    dt: float = Field(
        1e-4, gt=0, lt=1e9, description="time step of LIF, LI, CubaLIF and CubaLI; snnTorch uses 1e-4"
    )
    integrator_dt: float = Field(
        1.0, gt=0, lt=1e9, description="time step of IF and I; 1: r is the gain per tick"
    )
    decay: Literal["euler", "exponential"] = Field(
        "euler", description="what a tick forgets: dt / tau, or 1 - exp(-dt / tau) (sinabs)"
    )
    delay_dt: float | None = Field(None, gt=0, lt=1e9, description="time step of Delay; dt unless given")
    synapse: Literal["euler", "jump"] = Field(
        "euler", description="what w_in does to the current: dt / tau_syn of it, or all of it (Norse)"
    )
    reset: Literal["value", "subtract"] = Field(
        "value", description="what a spike does: v_reset, or v - threshold"
    )
    reset_delay: bool = Field(False, description="the reset acts in the next tick (snnTorch's reset_delay)")
    start: Literal["zero", "rest", "reset"] = Field(
        "zero", description="voltage before tick 1: 0, v_leak (Norse) or v_reset (SpikingJelly)"
    )
    fires: Literal["above", "reached"] = Field(
        "above", description="a voltage spikes above its threshold, or as soon as it equals it (SpikingJelly)"
    )
    tool: Literal["auto", "none", "snntorch", "spikingjelly", "norse", "sinabs"] = Field(
        "auto", description="whose conventions decide what is not set here; auto: told by marks of the file"
    )
    input_max: int = Field(1, ge=1, le=(1 << 23) - 1, description="largest raw input; 1: spikes")
    input_signed: bool = Field(False, description="raw inputs go down to -input_max")
    input_scale: float = Field(1.0, gt=0, lt=1e9, description="what one unit of the raw input is worth")
    per_tick: bool = Field(True, description="a frame for each tick; false: one frame that stays")
    readout: Literal["auto", "sum", "mean", "last"] = Field(
        "auto", description="over ticks; auto: spikes are summed, of voltages the last counts"
    )
    output: str = Field("", description="which Output is read, where there are several")
    integers: Literal["auto", "never"] = Field(
        "auto", description="take the integers that this program wrote, or not"
    )
