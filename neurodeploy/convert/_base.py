"""What a conversion method is: a config with named presets, and a rewrite from a source graph to a spiking one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..array import Array
from ..errors import Problem, UsageError, configured, unknown_name
from ..ir.graph import Graph
from ..registry import Member, Room
from ._sites import refusals


class MethodConfig(BaseModel):
    """Base of all method configs: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def option(default: Any, description: str, **bounds: Any) -> Any:
    """A field of a config: its default, what it is, and what it must keep (``gt``, ``ge``, ``lt``, ``le``)."""
    return Field(default, description=description, **bounds)


@dataclass(frozen=True)
class Trial:
    """A setting that ``--method auto`` tries: a preset, ticks, and its share of the ANN's energy by the papers' metric.

    ``ratio`` is what ``benchmarks/methods.py`` found on networks of the zoo; only the order matters.
    """

    preset: str
    ticks: int
    ratio: float


class Method(Member):
    """One registered conversion method."""

    #: one line for people
    title: str
    Config: type[MethodConfig] = MethodConfig
    #: preset name -> the config's fields; the first one is the default
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {}}
    #: what the energy metric of papers counts: "trained" (the first layer as MACs), "converted" (all but the stem)
    metric: Literal["trained", "converted"] = "converted"
    trials: tuple[Trial, ...] = ()
    #: whether it takes over the quantisers of a network that was trained with them
    takes_quantisers: bool = False
    #: what helps where a neuron that the method put behind an operator has no integer form, by operator
    remedies: ClassVar[Mapping[str, str]] = {}
    #: the preset that keeps the spiking network nearest to its source, if presets differ in that
    closest: str = ""

    def accept(self, graph: Graph) -> list[Problem]:
        """Every reason why the method does not apply to this source graph: it already spikes, or nothing ever would."""
        return refusals(graph, self.takes_quantisers)

    @abstractmethod
    def rewrite(self, graph: Graph, config: Any, samples: Array, timesteps: int) -> Graph:
        """The spiking graph; ``samples`` are raw training images for calibration."""

    def convert(self, graph: Graph, whole: Graph, config: Any, samples: Array, timesteps: int) -> Graph:
        """As :meth:`rewrite`; ``whole`` is the graph with the rows that nobody reads, for who calibrates on them."""
        return self.rewrite(graph, config, samples, timesteps)

    def suits(self, graph: Graph) -> int:
        """How naturally the method keeps a source network as it was trained: the highest is taken, 0 only if asked."""
        return 0

    def ticks(self, graph: Graph) -> int:
        """The number of ticks at which a source network stays as it was trained; 0 where there is no such number."""
        return 0

    def nearer(self, preset: str, timesteps: int) -> tuple[str, ...]:
        """What brings a spiking network of this preset and so many ticks nearer to its source, best first."""
        finer = f"what keeps most of the network: --set convert.preset={self.closest}"
        ticks = f"more ticks: --timesteps {2 * timesteps}"
        return (ticks, finer) if self.closest not in ("", preset) else (ticks,)

    def preset(self, options: Mapping[str, Any]) -> str:
        """The preset that options ask for, the first one where they ask for none."""
        return str(options.get("preset", next(iter(self.presets))))

    def configure(self, options: Mapping[str, Any]) -> tuple[str, MethodConfig]:
        """(preset name, config) from a preset and single keys; UsageError with the nearest names for unknown ones."""
        preset = self.preset(options)
        if preset not in self.presets:
            kind = f"{self.name} preset"
            raise UsageError(unknown_name("ND302", kind, preset, self.presets, "convert.preset"))
        chosen = {**self.presets[preset], **{k: v for k, v in options.items() if k != "preset"}}
        return preset, configured(self.Config, chosen, "ND303", f"method {self.name}", "convert")


METHODS = Room("convert", Method)
