"""What is added to a room is one file: a toy member in a folder of the test works end to end, nothing else touched.

Torch operators, systems, foreign formats, strategies of the mapper and figures of the report have tests of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

import neurodeploy as nd
from neurodeploy import calibrate, cli, compare, convert, datasets, quantize, target
from neurodeploy.backends._base import BACKENDS
from neurodeploy.convert._base import METHODS
from neurodeploy.datasets._base import DATASETS
from neurodeploy.datasets.recordings._base import RECORDINGS
from neurodeploy.encoders import ENCODERS, encoded
from neurodeploy.frontends.leaves._base import LEAVES
from neurodeploy.image import encode
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.micro_op import MICROCODE
from neurodeploy.ir.neuron_model import NEURONS
from neurodeploy.ir.nodes import Micro, Neuron
from neurodeploy.mapping.mapper import map_graph, prepared
from neurodeploy.program import Program
from tests import rooms
from tests.networks import images, mini_snn

HERE = "tests.touch_networks"
SIZES = ("--set", "calib=4", "--set", "eval=2", "--set", "verify=2")
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands run in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    yield


def built(factory: str, *more: str) -> dict[str, Any]:
    """The report of a small build; every execution agreed."""
    arguments = ["build", f"py:{HERE}:{factory}", "--out", "out", "-T", "2", "-q", *SIZES, *more]
    assert cli.call([*arguments, "--set", f"scale={1 / 16}"]) == 0
    report: dict[str, Any] = json.loads(Path("out/report.json").read_text())
    assert report["bit_true"]["equal"] is True
    return report


NEURON = """
    import numpy as np
    from neurodeploy.ir.fixed import flag, saturate
    from neurodeploy.ir.types import BINARY
    from neurodeploy.ir.neuron_model import NeuronModel, Quantized, StateVar

    class Toy(NeuronModel):
        name = "toy"
        state = (StateVar("v", 24),)
        float_params, int_params, thresholds = ("threshold",), ("vth",), ("vth",)
        stock = False
        grade = ("plausible", "a toy")

        @staticmethod
        def float_step(x, v, threshold):
            v = v + x
            s = np.where(v >= threshold, 1.0, 0.0)
            return s, v - s * threshold

        @staticmethod
        def int_step(x, v, vth):
            raw = v + x
            v = saturate(raw, 24)
            s = flag(v >= vth)
            return s, v - s * vth, flag(raw != v)

        def code(self, params):
            return BINARY

        def quantize(self, params, in_scale, observed):
            vth = np.rint(params["threshold"] / np.asarray(in_scale)).astype(np.int64)
            return Quantized({"vth": vth}, BINARY, 1.0)

        def operations(self, params):
            return 3

    MEMBER = Toy()
    """


def toy_network() -> Graph:
    """A small spiking network in which every LIF is the toy."""
    graph = mini_snn()
    toy = lambda node: replace(node, model="toy", params={"threshold": 0.7})
    nodes = {
        node.name: toy(node) if isinstance(node, Neuron) and node.model == "lif" else node for node in graph
    }
    return Graph(nodes, graph.values, graph.header)


def integer_program(graph: Graph) -> Program:
    """The network as integers, mapped."""
    method, place = convert.natural(graph), target.load("loihi-sim")
    spiking = method.rewrite(graph, method.configure({})[1], images(graph, 8), 4)
    integer = prepared(quantize.quantize(spiking, calibrate.measure(spiking, images(graph, 8))), place)
    return Program(integer, encode(integer, map_graph(integer, place), place))


def test_a_neuron_is_one_file(tmp_path: Path, capsys: Captured) -> None:
    with rooms.member(NEURONS, tmp_path, toy=NEURON):
        graph = toy_network()
        program = integer_program(graph)
        result = compare.verify(program, images(graph, 3, seed=1))
        assert result.equal and result.backends == ("interp", "cpu", "loihi-sim"), str(result)
        trace = nd.compare.interp.run(program.graph, images(graph, 3, seed=1), ["s0"])
        assert 0 < trace.values["s0"].mean() < 1
        assert cli.call(["ops", "--format", "json"]) == 0
        rows = {row["name"]: row["grade"] for row in json.loads(capsys.readouterr().out)["rows"]}
        assert rows["toy"] == "plausible"


@pytest.mark.needs("lava.magma")
@pytest.mark.slow
def test_a_neuron_of_another_package_runs_in_lava(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Lava's processes are started anew: there the toy is found as an installed package is.
    (tmp_path / "toy_neuron.py").write_text(dedent(NEURON))
    info = tmp_path / "toy_neuron-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-neuron\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[neurodeploy.neurons]\ntoy = toy_neuron:MEMBER\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    rooms.forget(NEURONS)
    try:
        graph = toy_network()
        result = compare.verify(integer_program(graph), images(graph, 2, seed=1), ("lava",))
        assert result.equal, str(result)
    finally:
        rooms.forget(NEURONS)


def test_an_operator_is_one_file(tmp_path: Path) -> None:
    text = """
        from dataclasses import replace

        import numpy as np
        from neurodeploy.microcode._rescale import Rescale

        class Toy(Rescale):
            name, torch, spelled = "toy", ("deg2rad",), ({},)

            def float_apply(self, x, params):
                return np.deg2rad(x)

            def quantize(self, params, fixed, interval, options):
                return super().quantize({}, replace(fixed, scale=np.deg2rad(fixed.scale)), interval, options)

        MEMBER = Toy()
        """
    assert cli.call(["check", f"py:{HERE}:degrees", "--data", "digits", "-T", "2"]) == 3
    with rooms.member(MICROCODE, tmp_path, toy=text):
        report = built("degrees", "--data", "digits")
        saved = nd.artifact.load(Path("out"))
    assert report["method"] == "ecmt" and [node.op for node in saved.source.of(Micro)] == ["toy"]


def test_a_method_is_one_file(tmp_path: Path) -> None:
    text = """
        from neurodeploy.convert.pmsm import Pmsm

        class Toy(Pmsm):
            name, title = "toy", "a toy"

            def suits(self, graph):
                return 9

        MEMBER = Toy()
        """
    with rooms.member(METHODS, tmp_path, toy=text):
        report = built("plain", "--data", "digits")  # its own choice
        assert report["method"] == "toy"
        assert cli.call(["check", f"py:{HERE}:plain", "--data", "digits", "--method", "toy"]) == 0


def test_a_backend_is_one_file(tmp_path: Path, capsys: Captured) -> None:
    text = """
        from neurodeploy.backends._base import Backend, Description, Row
        from neurodeploy.ir import interp

        class Toy(Backend):
            name, proves, granularities = "toy", True, ("node",)

            def available(self):
                return ""

            def describe(self, program):
                rows = tuple(Row(node.name, ("Toy",), 1.0, 1.0) for node in program.graph)
                return Description("Toys", "node", rows, len(rows), {row.layer: "Toy" for row in rows})

            def run(self, program, x, record=()):
                return interp.run(program.graph, x, record), None

        MEMBER = Toy()
        """
    np.save("x.npy", np.zeros((2, 1, 8, 8), np.int64))
    with rooms.member(BACKENDS, tmp_path, toy=text):
        report = built("plain", "--data", "digits")
        assert report["bit_true"]["backends"] == ["interp", "cpu", "loihi-sim", "toy"]
        capsys.readouterr()
        assert cli.call(["verify", "out", "--samples", "2"]) == 0
        assert "Toys: " in capsys.readouterr().out
        run = ["run", "out", "--input", "x.npy", "--output", "y.npy", "--granularity", "node"]
        assert cli.call([*run, "--backend", "toy"]) == 0
        assert "100.0% of synaptic events on stock processes" in capsys.readouterr().out


def test_a_target_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    (tmp_path / "hw_targets").mkdir()
    (tmp_path / "hw_targets" / "toy.toml").write_text(
        'extends = "loihi-sim"\ntitle = "a toy"\ndescription = "a toy"\n[limits]\nweight_bits = '
        '{ value = [4], unit = "bits", source = "a toy" }\n'
    )
    assert cli.call(["targets", "list"]) == 0 and "a toy" in capsys.readouterr().out
    arguments = ["check", f"py:{HERE}:plain", "--data", "digits", "--target", "toy"]
    assert cli.call([*arguments, "--weight-bits", "4"]) == 0
    assert cli.call(arguments) == 3  # eight bits: the toy's own limit
    assert "ND503" in capsys.readouterr().err


def test_a_source_library_is_one_file(tmp_path: Path) -> None:
    text = f"""
        from neurodeploy.frontends.leaves._base import Leaf, SourceLibrary

        pulse = lambda module: Leaf("threshold", {{"threshold": 1.0}})
        MEMBER = SourceLibrary("toy", {{"{HERE}.Pulse": pulse}})
        """
    with rooms.member(LEAVES, tmp_path, toy=text):
        report = built("pulsing", "--data", "digits")
    saved = nd.artifact.load(Path("out"))
    assert [node.model for node in saved.source.of(Neuron)] == ["threshold"]
    assert report["method"] == "native"


def test_a_data_format_is_one_file(tmp_path: Path) -> None:
    text = """
        import numpy as np
        from neurodeploy.datasets import DataFormat, DataSet
        from neurodeploy.datasets._types import content_hash, split_once

        def load(spec):
            images, labels = np.arange(20 * 64, dtype=np.uint8).reshape(20, 1, 8, 8) % 17, np.arange(20) % 10
            digest = content_hash(images, labels)
            return DataSet("toy", *split_once(images, labels), tuple("0123456789"), (1, 8, 8), 16, digest, spec)

        MEMBER = DataFormat("toy", "a toy", lambda spec: spec.endswith(".toy"), load)
        """
    with rooms.member(DATASETS, tmp_path, toy=text):
        report = built("plain", "--data", "my.toy")
    assert json.loads(Path("out/repro.json").read_text())["data"] == "toy"
    assert report["accuracy"]["samples"] == 2


def test_a_format_of_recordings_is_one_file(tmp_path: Path) -> None:
    text = """
        import numpy as np
        from neurodeploy.datasets._events import made
        from neurodeploy.datasets.recordings._base import Recording

        def read(path):
            events = np.loadtxt(path, dtype=np.int64, ndmin=2)
            return made(events.T, path)

        MEMBER = Recording("toy", "a toy", (".toy",), read, lambda path: (2, 3))
        """
    for label in "01":
        (tmp_path / "data" / label).mkdir(parents=True)
        for index in range(3):
            (tmp_path / "data" / label / f"{index}.toy").write_text("0 1 1 1\n5 2 0 0\n")
    with rooms.member(RECORDINGS, tmp_path, toy=text):
        data = datasets.load(str(tmp_path / "data"), {"ticks": 2})
        assert data.shape == (2, 2, 3) and data.test_x[0].tolist() == [
            [[[0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 1, 0]]],
            [[[0, 0, 1], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]],
        ]


def test_an_encoder_is_one_file(tmp_path: Path) -> None:
    text = """
        from neurodeploy.encoders._base import Encoder

        MEMBER = Encoder("toy", "a toy", lambda full, levels, ticks: ("threshold", {"threshold": full / 2}))
        """
    with rooms.member(ENCODERS, tmp_path, toy=text):
        graph = encoded(mini_snn(), "toy", 16, 4)
        assert graph.nodes["encoder"].model == "threshold"
        result = compare.verify(integer_program(graph), images(graph, 3, seed=1))
    assert result.equal, str(result)
