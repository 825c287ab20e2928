"""Every foreign format reads back what it writes and refuses what is no file of its kind; a new one is one folder."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from neurodeploy import artifact, cli
from neurodeploy.codes import CODES
from neurodeploy.errors import GraphError, ImportModelError, NeurodeployError, SimulateError, UsageError
from neurodeploy.formats._base import FORMATS, Format
from neurodeploy.ir import codes, interp, intervals
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.nodes import Input, Micro, Neuron, Output, Sum, Synapse, View
from neurodeploy.ir.types import Fixed, Interval, Shape, Value
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from tests import rooms

Captured = pytest.CaptureFixture[str]
READABLE = [f for f in FORMATS.values() if f.reader is not None]
WRITABLE = [f for f in FORMATS.values() if f.writer is not None]
BOTH = [f for f in READABLE if f.writer is not None and not f.writer.available()]
each_reader = pytest.mark.parametrize("format", READABLE, ids=lambda f: f.name)
each_writer = pytest.mark.parametrize("format", WRITABLE, ids=lambda f: f.name)
each_pair = pytest.mark.parametrize("format", BOTH, ids=lambda f: f.name)

TICKS = 6
RNG = np.random.default_rng(3)
CUBA: dict[str, Any] = {"du": 2047, "dv": 300, "bias": 0}


# --- small networks, each of which some format holds -----------------------------------------------------------------


class _Sketch:
    """A chain of layers; every name is what the file of the first chip toolchain would call it."""

    def __init__(self, *sizes: int, low: int = 0, high: int = 1) -> None:
        self.b = Builder(Header("net", "integer", TICKS))
        bits = Fixed(2 if high == 1 else high.bit_length() + 1, low < 0, 1.0)
        facts = {"interval": Interval(low, high, True), "fixed": bits}
        self.last = self.b.add(Input(name="input", per_tick=True), _value(*sizes, **facts))
        self.layer = 0

    def weights(self, shape: tuple[int, ...], out: tuple[int, ...], **more: Any) -> None:
        weight = 2 * RNG.integers(-20, 40, shape)
        self._add(Synapse(name=f"layer{self.layer}.synapse", inputs=(self.last,), weight=weight, **more), out)

    def neurons(self, model: str, *sizes: int, **params: Any) -> None:
        name = f"layer{self.layer}"
        self._add(Neuron(name=name, inputs=(self.last,), model=model, params=params), sizes)
        self.layer += 1

    def feed_back(self, size: int) -> None:
        weight = 2 * RNG.integers(-20, 40, (size, size))
        name, before = f"layer{self.layer}", self.last
        self._add(Synapse(name=f"{name}.recurrent", inputs=(name,), weight=weight, delay=1), (size,))
        self._add(Sum(name=f"{name}.sum", inputs=(before, self.last), signs=(1, 1)), (size,))

    def flatten(self, size: int) -> None:
        name = f"layer{self.layer + 1}.flatten"
        self._add(View(name=name, inputs=(self.last,), op="reshape", args=(size,)), (size,))
        self.layer += 1

    def read_out(self, readout: Any, *sizes: int) -> Graph:
        facts = Value(Shape(("K",) if len(sizes) == 1 else ("C", "Y", "X"), sizes))
        self.b.add(Output(name="output", inputs=(self.last,), readout=readout), facts)
        return intervals.propagate(codes.infer(self.b.build()))

    def _add(self, node: Any, sizes: tuple[int, ...]) -> None:
        self.last = self.b.add(node, _value(*sizes))


def _value(*sizes: int, **facts: Any) -> Value:
    return Value(Shape(("C",) if len(sizes) == 1 else ("C", "Y", "X"), sizes), **facts)


def networks() -> dict[str, Graph]:
    """Spikes through dense, recurrent and convolutional layers, a voltage to read, and graded messages."""
    found: dict[str, Graph] = {}
    net = _Sketch(7)
    net.weights((5, 7), (5,), delay=1)
    net.neurons("cuba_lif", 5, vth=40, **CUBA)
    net.weights((3, 5), (3,), delay=1)
    net.neurons("cuba_lif", 3, vth=30, **CUBA)
    found["dense"] = net.read_out("sum", 3)
    net = _Sketch(6)
    net.weights((4, 6), (4,), delay=1)
    net.feed_back(4)
    net.neurons("cuba_lif", 4, vth=60, **CUBA)
    found["recurrent"] = net.read_out("sum", 4)
    net = _Sketch(2, 5, 6)
    net.weights((3, 2, 2, 3), (3, 4, 4), op="conv", delay=1)
    net.neurons("cuba_lif", 3, 4, 4, vth=50, **CUBA)
    net.flatten(48)
    net.weights((4, 48), (4,), delay=2)
    net.neurons("cuba_voltage", 4, du=-1, dv=1000, bias=0)
    found["image"] = net.read_out("last", 4)
    net = _Sketch(6, low=-127, high=127)
    net.weights((4, 6), (4,), delay=1)
    wide = {"message_bits": 16, "input_bits": 32, "cum_error": 0}
    net.neurons("sigma_delta", 4, vth=3 << 12, spike_exp=6, state_exp=6, bias=0, relu=1, **wide)
    found["graded"] = net.read_out("sum", 4)
    net = _Sketch(5)
    net.weights((4, 5), (4,))
    net.neurons("lif", 4, du=4095, dv=512, vth=40)
    found["without delays"] = net.read_out("sum", 4)
    return found


NETWORKS = networks()


def expressed(format: Format, folder: Path) -> Iterator[tuple[str, Graph, Path]]:
    """The networks that a format can hold, and the files that it made of them; the others are refused whole."""
    assert format.writer is not None
    for name, graph in NETWORKS.items():
        path = folder / f"{name}{format.suffix}"
        try:
            files = format.writer.write(Program(balance(graph)), path)
        except GraphError as error:
            assert {p.code for p in error.problems} == {"ND230"} and not path.exists()
            assert all(p.where and p.found for p in error.problems)
        else:
            assert files[0] == path and all(file.is_file() for file in files)
            yield name, graph, path


def loaded(format: Format, path: Path, timesteps: int | None = None) -> Graph:
    assert format.reader is not None
    return format.reader.load(path, format.configure({}), timesteps)


# --- every member ----------------------------------------------------------------------------------------------------


@each_pair
def test_what_is_written_computes_the_same_when_it_is_read(format: Format, tmp_path: Path) -> None:
    kept = list(expressed(format, tmp_path))
    assert len(kept) >= 3
    for name, graph, path in kept:
        again = loaded(format, path)
        value = graph.values["input"]
        assert value.interval is not None
        x = RNG.integers(value.interval.lo, value.interval.hi + 1, (3, TICKS, *value.shape.sizes))
        wanted = interp.run(graph, x).outputs
        assert np.array_equal(interp.run(again, x).outputs, wanted) and wanted.any(), name
        assert again.header.timesteps == TICKS


@each_pair
def test_a_graph_that_was_read_comes_back_with_equal_content(format: Format, tmp_path: Path) -> None:
    assert format.writer is not None
    for name, _, path in list(expressed(format, tmp_path)):
        first = loaded(format, path)
        other = tmp_path / "again" / path.name
        other.parent.mkdir(exist_ok=True)
        format.writer.write(Program(balance(first)), other)
        again = loaded(format, other)
        assert again.with_header(notes={}).content_hash() == first.with_header(notes={}).content_hash(), name


@each_pair
def test_ticks_may_be_chosen_anew(format: Format, tmp_path: Path) -> None:
    _, _, path = next(expressed(format, tmp_path))
    assert loaded(format, path, 11).header.timesteps == 11


FOREIGN = {
    "empty": b"", "a text": b"layer,weight\n1,2\n", "zeros": bytes(5000), "a zip": b"PK\x03\x04" * 40,
    "packed": zlib.compress(bytes(range(256)) * 20), "HDF5 in name": b"\x89HDF\r\n\x1a\n" + bytes(300),
}  # fmt: skip


@each_reader
@pytest.mark.parametrize("content", FOREIGN.values(), ids=list(FOREIGN))
def test_files_of_another_kind_are_refused(format: Format, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"a{format.suffix}"
    path.write_bytes(content)
    with pytest.raises(ImportModelError) as caught:
        loaded(format, path)
    assert {p.code for p in caught.value.problems} == {"ND121"}


@each_pair
@pytest.mark.parametrize("share", [0.05, 0.4, 0.9])
def test_files_that_end_too_early_are_refused(format: Format, share: float, tmp_path: Path) -> None:
    _, _, path = next(expressed(format, tmp_path))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ImportModelError) as caught:
        loaded(format, path)
    assert all(p.code in CODES and p.where.startswith(path.name) for p in caught.value.problems)


@each_reader
def test_a_folder_and_nothing_are_no_file(format: Format, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / f"none{format.suffix}"):
        with pytest.raises(NeurodeployError, match="ND"):
            loaded(format, path)


@each_reader
def test_options_are_a_closed_list(format: Format) -> None:
    with pytest.raises(UsageError) as caught:
        format.configure({"no_such_option": 1})
    (found,) = caught.value.problems
    assert found.code == "ND120" and found.where == "reader.no_such_option"
    assert type(format.configure({})) is getattr(format.reader, "Options", None)


@each_writer
def test_a_network_that_no_format_holds_is_refused_and_nothing_is_left(
    format: Format, tmp_path: Path
) -> None:
    assert format.writer is not None
    net = _Sketch(5)
    net._add(Micro(name="gelu", op="gelu", inputs=("input",), params={}), (5,))
    net.b.add(Output(name="output", inputs=("gelu",)), Value(Shape(("K",), (5,))))
    with pytest.raises((GraphError, SimulateError), match=r"ND230|ND610"):
        format.writer.write(Program(net.b.build()), tmp_path / f"a{format.suffix}")
    assert not list(tmp_path.iterdir())


def test_every_reader_has_a_suffix_of_its_own() -> None:
    suffixes = [f.suffix for f in READABLE]
    assert len(set(suffixes)) == len(suffixes)
    assert all(f.suffix.startswith(".") and f.title and f.name for f in FORMATS.values())
    assert all(f.reader is not None or f.writer is not None for f in FORMATS.values())


def test_formats_are_found_without_what_reads_or_writes_them() -> None:
    heavy = ("h5py", "nir", "ruamel.yaml", "scipy", "numba", "torch", "neurodeploy.backends.loihi_sim")
    script = (
        "import sys; from neurodeploy.formats._base import FORMATS; list(FORMATS);"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# --- one more format is one more folder ------------------------------------------------------------------------------

RULES = '''
    """A text of rows of weights; the last line is the threshold of the neurons behind them."""

    def rows(text):
        return [[int(word) for word in line.split()] for line in text.splitlines()]
'''
READ = """
    import numpy as np

    from ...errors import ImportModelError, Problem
    from ...ir import codes, intervals
    from ...ir.graph import Builder, Header
    from ...ir.nodes import Input, Neuron, Output, Synapse
    from ...ir.types import Interval, Shape, Value
    from .rules import rows

    def load(path, ticks):
        try:
            *weight, (threshold,) = rows(path.read_text())
            weight = np.array(weight, np.int64).reshape(len(weight), -1)
        except ValueError as error:
            raise ImportModelError(Problem("ND121", "not a toy", path.name, str(error))) from error
        b = Builder(Header(path.stem, "integer", ticks))
        value = lambda role, size, **facts: Value(Shape((role,), (size,)), **facts)
        b.add(Input(name="x", per_tick=True), value("C", weight.shape[1], interval=Interval(0, 1, True)))
        b.add(Synapse(name="w", inputs=("x",), weight=weight), value("C", len(weight)))
        params = {"du": 4095, "dv": 512, "vth": threshold}
        b.add(Neuron(name="n", inputs=("w",), model="lif", params=params), value("C", len(weight)))
        b.add(Output(name="y", inputs=("n",)), value("K", len(weight)))
        return intervals.propagate(codes.infer(b.build()))
"""
WRITE = """
    import numpy as np

    from ...files import write_text
    from ...ir.nodes import Neuron, Synapse
    from .._base import Refusals

    def write(graph, path):
        refusals = Refusals("a toy")
        for node in graph:
            if node.kind not in ("input", "synapse", "neuron", "output"):
                refusals.add(node.name, node.kind, "weights and neurons")
        refusals.check()
        (synapse,), (neuron,) = graph.of(Synapse), graph.of(Neuron)
        rows = [*synapse.weight.tolist(), [int(np.unique(neuron.params["vth"]).item())]]
        write_text(path, "\\n".join(" ".join(map(str, row)) for row in rows) + "\\n")
        return (path,)
"""
MEMBER = '''
    """Networks of one matrix, as text."""

    from .._base import Format, FormatOptions, Reader, Writer

    class Options(FormatOptions):
        ticks: int = 5

    class ToyReader(Reader):
        Options = Options

        def load(self, path, options, timesteps=None):
            from .read import load
            return load(path, timesteps or options.ticks)

    class ToyWriter(Writer):
        def write(self, program, path, x=None):
            from .write import write
            return write(program.graph, path)

    MEMBER = Format("matrix", ".matrix", "networks of one matrix", ToyReader(), ToyWriter())
'''


@contextmanager
def one_more(folder: Path) -> Iterator[None]:
    """A room of its own for one more format, beside those of the package."""
    room = folder / "matrix"
    room.mkdir(parents=True)
    for name, text in (("__init__", MEMBER), ("rules", RULES), ("read", READ), ("write", WRITE)):
        (room / f"{name}.py").write_text(dedent(text))
    try:
        with rooms.member(FORMATS, folder):
            yield
    finally:
        for name in [m for m in sys.modules if m.startswith("neurodeploy.formats.matrix")]:
            del sys.modules[name]


def test_a_foreign_format_is_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    weight = RNG.integers(-9, 30, (4, 6))
    Path("net.matrix").write_text("\n".join(" ".join(map(str, row)) for row in weight.tolist()) + "\n25\n")
    with one_more(tmp_path / "rooms"):
        assert cli.call(["check", "net.matrix"]) == 0 and "can run" in capsys.readouterr().out
        assert cli.call(["build", "net.matrix", "--set", "reader.ticks=7", "--out", "built", "-q"]) == 0
        assert cli.call(["export", "built", "--to", "matrix", "--out", "again.matrix"]) == 0
        assert cli.call(["build", "again.matrix", "--timesteps", "7", "--out", "again", "-q"]) == 0
        first, second = (artifact.load(folder).program.graph for folder in ("built", "again"))
        assert np.array_equal(first.nodes["w"].weight, weight) and first.header.timesteps == 7
        assert first.with_header(name="").content_hash() == second.with_header(name="").content_hash()
        capsys.readouterr()
        assert cli.call(["doctor", "--format", "json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["formats"][".matrix"] == "networks of one matrix" and said["exporters"]["matrix"] == ""
        assert cli.call(["check", "net.matrix", "--set", "reader.tocks=7"]) == 2
        Path("bad.matrix").write_text("1 2\nthree\n")
        assert cli.call(["check", "bad.matrix"]) == 3
    assert cli.call(["check", "net.matrix"]) == 2
