"""What a neuron model is: parameters, a float step, an integer step, the code it emits, its cost in operations.

``float_step(x, *state, *params) -> (out, *state)`` and ``int_step(x, *state, *params) -> (out, *state, clipped)``
(a model of two inputs takes ``x, y``) are elementwise and branch-free: numpy runs them on arrays, the engine on
symbols of which it makes machine code. ``state`` and parameters follow the order of ``state`` and ``float_params`` /
``int_params``; state is zero before tick 1.
``clipped`` is 1 where a state saturated.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..array import Array
from ..evidence import Evidence
from ..registry import Member, Room
from .nodes import Neuron
from .types import Code

if TYPE_CHECKING:
    from .graph import Graph

Params = Mapping[str, Any]  # by name, in real numbers or in integers
Scale = float | Array  # what a unit is worth, per channel where they differ
Values = tuple[Any, ...]  # of one tick: what is sent, the state, and at the integer level the clipped flag

#: the reason for many a "plausible"
IN_MICROCODE = "in Loihi 2 microcode; not shown on silicon"


@dataclass(frozen=True)
class StateVar:
    """One state variable and its width in bits, sign included; a ``clock`` counts ticks, whatever the input."""

    name: str
    bits: int
    clock: bool = False
    #: bits that the chip's own form of it has, where Lava computes in a wider container and goes on beyond; 0: ``bits``
    declared: int = 0

    @property
    def kept(self) -> int:
        """Bits that a chip has to keep."""
        return self.declared or self.bits


@dataclass(frozen=True, eq=False)
class Quantized:
    """Integer parameters of a population, the code it emits and what one unit of its output is worth."""

    params: Params
    code: Code
    scale: Scale


class NeuronModel(Member):
    """One registered neuron model; stateless object, discovered by its file."""

    #: whether it is one of the chips' own neurons; all others are microcode
    stock: bool
    #: the integer parameters that are thresholds: a core may hold but so many different settings of them
    thresholds: tuple[str, ...]
    #: input streams, each of the population's shape
    inputs: int = 1
    #: what a unit of every input behind the first is worth, where that is fixed; None: as much as of the first
    factor_unit: float | None = None
    state: tuple[StateVar, ...] = ()
    float_params: tuple[str, ...] = ()
    int_params: tuple[str, ...] = ()
    #: typical float parameters, with which the conformance tests run every model
    example: ClassVar[Params] = {}
    #: how sure it is that a Loihi-class core runs this
    grade: Evidence = ("simulation-only", "")
    #: largest |input| the integer step is defined for (None: the message width)
    input_limit: int | None = None
    #: whether only the low 32 bits of an input matter: sums that wrap in a register of that width do no harm
    modular: bool = False
    #: output units by which the integer step may differ from the float step where no threshold is near
    tolerance: float = 0.5
    #: whether larger inputs never make it send later, and smaller ones never sooner, until it first sends
    monotone: bool = False
    #: whether a unit of the output is that of the input up to a factor, so that a read-out wants one unit before it
    keeps_unit: bool = False
    #: whether it sends at every tick, also where nothing arrives
    always: bool = False
    #: whether its first tick from rest rounds to a number of steps, so that an ANN with quantisers holds it
    quantises: bool = False
    #: the name of the static method that 64-bit machine code is made from: the integer step, or one that is equal to it
    traced: str = "int_step"

    @staticmethod
    @abstractmethod
    def float_step(x: Any, *args: Any) -> Values:
        """One tick in real numbers: the intention."""

    @staticmethod
    @abstractmethod
    def int_step(x: Any, *args: Any) -> Values:
        """One tick in integers: the specification."""

    def form(self, params: Params, reach: int) -> str:
        """The name of the static method that the fast engine compiles for inputs within +-``reach``: ``int_step``.

        A model may have others, equal to it under these integer parameters, in 32-bit arithmetic, cast after every
        operation. They take and return what it does.
        """
        return "int_step"

    @abstractmethod
    def code(self, params: Params) -> Code:
        """The code of the emitted values, from float or integer parameters."""

    @abstractmethod
    def quantize(self, params: Params, in_scale: Scale, observed: float) -> Quantized:
        """Integer parameters for an input whose unit is worth ``in_scale`` (broadcastable, per channel).

        ``observed`` is the largest magnitude the float population was seen to emit in calibration.
        """

    def finest_unit(self, params: Params) -> float:
        """Smallest worth of an input unit at which the integer parameters still fit their widths; 0 if any does."""
        return 0.0

    def quantized_limit(self, params: Params) -> int | None:
        """The magnitude below which the quantizer keeps inputs, so that no state wraps or saturates over time."""
        return self.input_limit

    @abstractmethod
    def operations(self, params: Params) -> int:
        """Add, multiply, shift, compare and table operations of one update of one neuron."""


NEURONS = Room("neurons", NeuronModel)


def begun(graph: Graph, begin: Mapping[str, Array]) -> dict[str, tuple[Array, ...]]:
    """States by population, from arrays named as :func:`state_names` has them."""
    found: dict[str, list[Array]] = {}
    for name, (node, _) in state_names(graph).items():
        if name in begin:
            found.setdefault(node, []).append(begin[name])
    return {node: tuple(states) for node, states in found.items()}


def state_names(graph: Graph) -> dict[str, tuple[str, int]]:
    """What the states of populations are called, ``NODE.VARIABLE`` -> (node, place among its states).

    A node that has such a name itself comes first.
    """
    found = {
        f"{node.name}.{variable.name}": (node.name, place)
        for node in graph.of(Neuron)
        for place, variable in enumerate(NEURONS[node.model].state)
    }
    return {name: place for name, place in found.items() if name not in graph.nodes}
