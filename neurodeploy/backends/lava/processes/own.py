"""Own processes of a lowered network and their models (tag ``fixed_pt``): cells, the network, source and recorder.

Imports are absolute because Lava executes this file a second time, outside its package, when it looks for models.
Process classes with any number of ports are made on demand: Lava wants every port of a model in its class.
"""

from __future__ import annotations

import types
import warnings
from abc import abstractmethod
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lava.utils.weightutils import SignMode

from ....array import Array
from ....errors import Problem
from ..cell import Cell, CellSpec, Clock
from ..plan import INPUT, Plan, Unit
from ..stock import Stock
from ..wiring import Wire, simplified

#: called with the name of a process and what it raised; set where a run is watched over
report: Callable[[str, Exception], None] | None = None
#: called with the saturation counts of a cell, by node, whenever these have changed
count: Callable[[dict[str, int]], None] | None = None


def in_port(number: int) -> str:
    """Attribute of the in port of that number."""
    return f"s_in_{number}"


def out_port(number: int) -> str:
    """Attribute of the out port of that number."""
    return f"s_out_{number}"


class Ports(AbstractProcess):  # type: ignore[misc]
    """A process with numbered in and out ports of the given shapes."""

    def __init__(
        self, *, ins: tuple[tuple[int, ...], ...], outs: tuple[tuple[int, ...], ...], **more: Any
    ) -> None:
        super().__init__(**more)
        for number, shape in enumerate(ins):
            setattr(self, in_port(number), InPort(shape=shape))
        for number, shape in enumerate(outs):
            setattr(self, out_port(number), OutPort(shape=shape))


class PortsModel(PyLoihiProcessModel):  # type: ignore[misc]
    """Base of own models; what a step raises is reported before Lava, which may wait for ever, gets to see it."""

    def run_spk(self) -> None:
        """One step."""
        try:
            self.work()
        except Exception as error:
            if report is not None:
                report(str(self.proc_params["name"]), error)
            raise

    @abstractmethod
    def work(self) -> None:
        """What this process does in one step."""

    def receive(self, number: int) -> Array:
        """Data of an in port, those of several wires added."""
        y: Array = getattr(self, in_port(number)).recv()
        return y

    def send(self, number: int, data: Array) -> None:
        """Data to an out port."""
        port = getattr(self, out_port(number))
        port.send(np.asarray(data, dtype=np.int64).reshape(port.shape))


class CellModel(PortsModel):
    """Runs a :class:`neurodeploy.backends.lava.cell.Cell`."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.cell = Cell(proc_params["spec"])
        self.counted: dict[str, int] = {}

    def work(self) -> None:
        """One step of the cell."""
        self.cell.step(self.time_step, self.receive, self.send)
        if count is not None and self.cell.saturations != self.counted:
            self.counted = dict(self.cell.saturations)
            count(self.counted)


class SourceModel(PortsModel):
    """Sends raw frames: the frame of tick t of each sample at its step, zeros in between."""

    def work(self) -> None:
        """Send this step's frame."""
        clock: Clock = self.proc_params["clock"]
        frames, per_tick = self.proc_params["frames"], self.proc_params["per_tick"]
        tick = clock.tick(self.time_step, 0)
        sample = 0 if clock.period is None else (self.time_step - 1) // clock.period
        if tick is None or tick > clock.ticks or sample >= len(frames):
            self.send(0, np.zeros(getattr(self, out_port(0)).shape, dtype=np.int64))
            return
        self.send(0, frames[sample][tick - 1] if per_tick else frames[sample])


class GateModel(PortsModel):
    """Passes raw levels on, those outside the range clipped to it; the first such step is a warning (ND171)."""

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.warned = False

    def work(self) -> None:
        """Clip this step's frame; what comes outside the ticks of a sample is not looked at."""
        clock, (low, high) = self.proc_params["clock"], self.proc_params["levels"]
        frame = self.receive(0)
        clipped = frame if clock.tick(self.time_step, 0) is None else np.clip(frame, low, high)
        wrong = int(np.count_nonzero(clipped != frame))
        if wrong and not self.warned:
            self.warned = True
            cause = (
                "levels outside the range that the network was built for are clipped, here and from now on"
            )
            found = f"{frame.min()} .. {frame.max()} at step {self.time_step}, {wrong} values"
            problem = Problem("ND171", cause, "s_in", found, f"{low} .. {high}", severity="warning")
            warnings.warn(str(problem), stacklevel=2)
        self.send(0, clipped)


class RecorderModel(PortsModel):
    """Writes what arrives, step by step, into arrays that lie in files."""

    def work(self) -> None:
        """Take this step's values."""
        for number, array in enumerate(self.proc_params["arrays"]):
            data = self.receive(number)
            if self.time_step <= len(array):
                array[self.time_step - 1] = data
        self.proc_params["done"]()


def _classes(model: type[PortsModel], ins: int, outs: int) -> type[Ports]:
    """The process class of a model with these numbers of ports, made once and found by Lava in this module."""
    name = f"{model.__name__.removesuffix('Model')}{ins}x{outs}"
    if name in globals():
        found: type[Ports] = globals()[name]
        return found
    process = types.new_class(name, (Ports,), exec_body=lambda ns: ns.update(__module__=__name__))
    ports = {in_port(n): LavaPyType(PyInPort.VEC_DENSE, np.int64, precision=24) for n in range(ins)}
    ports |= {out_port(n): LavaPyType(PyOutPort.VEC_DENSE, np.int64, precision=24) for n in range(outs)}
    made = types.new_class(
        f"{name}Model", (model,), exec_body=lambda ns: ns.update(ports, __module__=__name__)
    )
    made = implements(proc=process, protocol=LoihiProtocol)(requires(CPU)(tag("fixed_pt")(made)))
    globals()[name], globals()[f"{name}Model"] = process, made
    return process


def cell(spec: CellSpec) -> Ports:
    """The process of a cell."""
    ins, outs = tuple(f.shape or (1,) for f in spec.feeds), tuple(spec.shapes[v] or (1,) for v in spec.outs)
    return _classes(CellModel, len(ins), len(outs))(ins=ins, outs=outs, name=spec.name, spec=spec)


def source(frames: Array, clock: Clock, shape: tuple[int, ...], per_tick: bool) -> Ports:
    """A process that sends raw samples ``frames`` (B, *shape) or (B, T, *shape) one after the other."""
    return _classes(SourceModel, 0, 1)(
        ins=(), outs=(shape or (1,),), name="source", frames=frames, clock=clock, per_tick=per_tick
    )


def gate(levels: tuple[int, int], clock: Clock, shape: tuple[int, ...]) -> Ports:
    """A process that clips raw levels to a range, with a warning."""
    shapes = (shape or (1,),)
    return _classes(GateModel, 1, 1)(ins=shapes, outs=shapes, name="gate", levels=levels, clock=clock)


class Network(AbstractProcess):  # type: ignore[misc]
    """A lowered network as one hierarchical process.

    ``s_in`` takes raw input levels of the Input's shape, the frame of tick t at step t. ``s_out`` sends the read-out
    accumulated up to tick t at step t + ``depth``. ``taps``: out ports of each recorded value, whose data are
    to be added. ``levels``: the range to which what comes in is clipped, with a warning; None: it was checked before.
    """

    def __init__(self, plan: Plan, name: str = "network", levels: tuple[int, int] | None = None) -> None:
        super().__init__(plan=plan, name=name, levels=levels)
        graph = plan.graph
        self.depth = plan.depth
        self.period = plan.clock.period
        self.s_in = InPort(shape=graph.shape(graph.input.name) or (1,))
        self.s_out = OutPort(shape=plan.output.shape or (1,))
        self.taps = tuple(
            tuple(OutPort(shape=tap.shape or (1,)) for _ in tap.wires if tap.live) for tap in plan.taps
        )
        for number, ports in enumerate(self.taps):
            for wire, port in enumerate(ports):
                setattr(self, f"tap_{number}_{wire}", port)


@implements(proc=Network, protocol=LoihiProtocol)
@tag("fixed_pt")
class NetworkModel(AbstractSubProcessModel):  # type: ignore[misc]
    """Builds all units of the plan and wires them."""

    def __init__(self, proc: Network) -> None:
        plan: Plan = proc.proc_params["plan"]
        made = {unit.name: build(unit) for unit in plan.units}
        entry, levels = proc.s_in, proc.proc_params["levels"]
        if levels is not None:
            self.gate = gate(levels, plan.clock, tuple(proc.s_in.shape))
            proc.s_in.connect(getattr(self.gate, in_port(0)))
            entry = getattr(self.gate, out_port(0))
        ports = {INPUT: (entry,)} | {name: ends(process) for name, process in made.items()}
        for unit in plan.units:
            names = unit.stock.ins if unit.stock else map(in_port, range(len(unit.ins)))
            for name, wires in zip(names, unit.ins, strict=True):
                for wire in wires:
                    connect(ports, wire, getattr(made[unit.name], name))
        for wire in plan.output.wires:
            connect(ports, wire, proc.s_out)
        for tap, outs in zip(plan.taps, proc.taps, strict=True):
            for wire, out in zip(tap.wires, outs, strict=False):  # none for what is not live
                connect(ports, wire, out)
        for number, process in enumerate(made.values()):
            setattr(self, f"unit_{number}", process)  # Lava finds the processes among the attributes


def ends(process: AbstractProcess) -> tuple[OutPort, ...]:
    """Out ports of a unit's process in their order."""
    if isinstance(process, Ports):
        return tuple(getattr(process, out_port(n)) for n in range(len(process.proc_params["spec"].outs)))
    return (process.s_out,) if hasattr(process, "s_out") else (process.a_out,)


def connect(ports: dict[str, tuple[Any, ...]], wire: Wire, target: Any) -> None:
    """One connection, through Lava's virtual ports where data are rearranged."""
    port = ports[wire.unit][wire.port]
    ops = simplified(tuple(port.shape), tuple((op, args or (1,)) for op, args in wire.ops))
    for op, args in ops:
        port = port.reshape(tuple(args)) if op == "reshape" else port.transpose(tuple(args))
    if tuple(port.shape) != tuple(target.shape):
        port = port.reshape(tuple(target.shape))
    port.connect(target)


def build(unit: Unit) -> AbstractProcess:
    """The process of a unit."""
    if unit.spec is not None:
        return cell(unit.spec)
    if unit.stock is None:
        raise ValueError(f"{unit.name} is neither a process of Lava nor an own one")
    return _stock(unit.name, unit.stock)


#: process of Lava -> the package below ``lava.proc`` that holds it
STOCK = {
    "Dense": "dense", "DelayDense": "dense", "Sparse": "sparse", "Conv": "conv", "LIF": "lif", "LIFReset": "lif",
    "TernaryLIF": "lif", "SigmaDelta": "sdn", "Delta": "sdn", "Sigma": "sdn", "RF": "rf",
    "RF_IZ": "rf_iz",
}  # fmt: skip


def _stock(name: str, stock: Stock) -> AbstractProcess:
    """A process of Lava; words and flags in its arguments become Lava's enumerations."""
    package = STOCK[stock.process]
    module, arguments = import_module(f"lava.proc.{package}.process"), dict(stock.arguments)
    if package != "sdn":  # its processes take no name
        arguments["name"] = name
    if "sign_mode" in arguments:
        arguments["sign_mode"] = SignMode[arguments["sign_mode"]]
    if "act_mode" in arguments:
        mode = module.ActivationMode
        arguments["act_mode"] = mode.RELU if arguments["act_mode"] else mode.UNIT
    process = getattr(module, stock.process)(**arguments)
    for variable, value in stock.variables.items():
        getattr(process, variable).init = value
    return process


def watch(network: Network, plan: Plan, arrays: list[Array], done: Callable[[], None]) -> None:
    """Fill ``arrays`` (steps, *shape) with the read-out and the live taps of a network, in that order.

    ``done`` is called after each step.
    """
    shapes = tuple(a.shape[1:] for a in arrays)
    make = _classes(RecorderModel, len(arrays), 0)
    recorder = make(ins=shapes, outs=(), name="recorder", arrays=arrays, done=done)
    live = [ports for tap, ports in zip(plan.taps, network.taps, strict=True) if tap.live]
    for number, ports in enumerate([(network.s_out,), *live]):
        for port in ports:
            port.connect(getattr(recorder, in_port(number)))
