"""A file format of whole networks that lives in the tests: JSON that says which small network to make.

``install`` puts it among the readers as ``.toy``; its graphs hold integers, or floats with live neurons, and take one
frame for each tick, or one image for all of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.errors import ImportModelError, Problem
from neurodeploy.formats._base import FORMATS, Format, FormatOptions, Reader
from neurodeploy.ir import codes, intervals
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.nodes import Input, Neuron, Output, Synapse, View
from neurodeploy.ir.types import Fixed, Interval, Shape, Value

SHAPE, CHANNELS, CLASSES = (2, 4, 4), 3, 4
TICKS = 5  # where the file does not say


class ToyOptions(FormatOptions):
    """Options of the reader."""

    gain: int = 1


class Toy(Reader):
    """Reads what :func:`write` wrote."""

    Options = ToyOptions

    def load(self, path: Path, options: Any, timesteps: int | None) -> Graph:
        """The network that the file asks for."""
        try:
            asked = json.loads(path.read_text())
        except ValueError as error:
            raise ImportModelError(
                [
                    Problem("ND121", "not a toy file", str(path), str(error)),
                    Problem("ND122", "no layer", str(path)),
                ]
            ) from error
        ticks = timesteps or asked.get("ticks", TICKS)
        make = integers if asked.get("level", "integer") == "integer" else floats
        return make(path.stem, ticks, asked, options.gain)


MEMBER = Format("toy", ".toy", "toy networks of the tests", Toy())


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader, for one test."""
    monkeypatch.setitem(FORMATS.members, "toy", MEMBER)


def write(path: Path, **asked: Any) -> str:
    """A file; ``level``, ``ticks``, ``range`` [lo, hi] ``per_tick`` and ``remarks`` of the network in it."""
    path.write_text(json.dumps(asked))
    return str(path)


def value(roles: str, *sizes: int, **facts: Any) -> Value:
    return Value(Shape(tuple(roles), sizes), **facts)


def _input(asked: dict[str, Any]) -> tuple[Input, Value]:
    lo, hi = asked.get("range") or (0, 1)
    declared = None if "range" in asked and asked["range"] is None else Interval(lo, hi, True)
    node = Input(name="input", per_tick=asked.get("per_tick", True))
    spec = Fixed(9 if lo < 0 else 8, lo < 0, 1.0)
    return node, value("CYX", *SHAPE, interval=declared, fixed=spec)


def integers(name: str, ticks: int, asked: dict[str, Any], gain: int = 1) -> Graph:
    """Convolution, LIF, dense, LIF: every number is whole."""
    rng = np.random.default_rng(asked.get("seed", 0))
    notes = {"remarks": tuple(asked.get("remarks", ()))}
    b = Builder(Header(name, "integer", ticks, notes=notes))
    b.add(*_input(asked))
    kernel = rng.integers(-20, 60, (CHANNELS, SHAPE[0], 2, 2)) * gain
    bias = rng.integers(0, 5, CHANNELS)
    b.add(
        Synapse(name="conv", inputs=("input",), weight=kernel, bias=bias, op="conv"),
        value("CYX", CHANNELS, 3, 3),
    )
    lif = {"du": 1024, "dv": 512, "vth": np.int64(asked.get("vth", 40))}
    b.add(Neuron(name="conv.lif", inputs=("conv",), model="lif", params=lif), value("CYX", CHANNELS, 3, 3))
    b.add(View(name="flat", inputs=("conv.lif",), op="reshape", args=(27,)), value("C", 27))
    dense = rng.integers(-30, 60, (CLASSES, 27))
    b.add(Synapse(name="dense", inputs=("flat",), weight=dense), value("C", CLASSES))
    b.add(Neuron(name="dense.lif", inputs=("dense",), model="lif", params=lif), value("C", CLASSES))
    b.add(Output(name="output", inputs=("dense.lif",)), value("K", CLASSES))
    return intervals.propagate(codes.infer(b.build()))


def floats(name: str, ticks: int, asked: dict[str, Any], gain: int = 1) -> Graph:
    """The same layers as floats, before anything is timed or quantised."""
    rng = np.random.default_rng(asked.get("seed", 0))
    b = Builder(Header(name, "source", ticks))
    node, facts = _input(asked)
    b.add(node, value("CYX", *SHAPE, interval=facts.interval))
    kernel = rng.normal(0.2, 0.4, (CHANNELS, SHAPE[0], 2, 2)) * gain
    b.add(Synapse(name="conv", inputs=("input",), weight=kernel, op="conv"), value("CYX", CHANNELS, 3, 3))
    lif = {"beta": 0.5, "gain": 0.5, "threshold": asked.get("vth", 0.3)}
    b.add(Neuron(name="conv.lif", inputs=("conv",), model="lif", params=lif), value("CYX", CHANNELS, 3, 3))
    b.add(View(name="flat", inputs=("conv.lif",), op="reshape", args=(27,)), value("C", 27))
    b.add(
        Synapse(name="dense", inputs=("flat",), weight=rng.normal(0.1, 0.4, (CLASSES, 27))),
        value("C", CLASSES),
    )
    b.add(Neuron(name="dense.lif", inputs=("dense",), model="lif", params=lif), value("C", CLASSES))
    b.add(Output(name="output", inputs=("dense.lif",)), value("K", CLASSES))
    return b.build()
