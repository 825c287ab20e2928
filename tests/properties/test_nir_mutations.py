"""Valid NIR files, damaged at random: a graph or typed problems, in bounded time and memory, and never a crash.

The files: a convolutional network with pools, one with a loop, delays and a subgraph, and one with our integers.
"""

from __future__ import annotations

import io
import tempfile
from functools import cache
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.calibrate import measure
from neurodeploy.convert.native import MEMBER as NATIVE
from neurodeploy.formats._hdf5 import read as _hdf5
from neurodeploy.formats.nir import MEMBER as NIR
from neurodeploy.formats.nir import READER, WRITER
from neurodeploy.formats.nir import read as reader
from neurodeploy.program import Program
from neurodeploy.quantize import quantize
from tests.properties import test_netx_mutations as netx

TICKS, DT = 3, 1e-4


def networks() -> list[nir.NIRGraph]:
    """Every kind of node once, but for those that differ from another by name alone."""
    rng = np.random.default_rng(0)
    lif = lambda *sizes: nir.LIF(*(np.full(sizes, v) for v in (1e-3, 9.0, 0.0, 1.0)))
    image = nir.NIRGraph.from_list(
        nir.Input(np.array([2, 6, 6])), nir.Conv2d((6, 6), rng.normal(size=(3, 2, 3, 3)), 1, 1, 1, 1, np.zeros(3)),
        lif(3, 6, 6), nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        nir.Flatten(np.array([3, 3, 3]), 0, -1), nir.Affine(rng.normal(size=(4, 27)), rng.normal(size=4)),
        nir.CubaLI(*(np.full(4, v) for v in (3e-4, 1e-3, 1.0, 0.0))), nir.Output(np.array([4])),
    )  # fmt: skip
    inner = nir.NIRGraph(
        {"input": nir.Input(np.array([5])), "lif": lif(5), "rec": nir.Linear(rng.normal(size=(5, 5))),
         "wait": nir.Delay(np.full(5, 2 * DT)), "output": nir.Output(np.array([5]))},
        [("input", "lif"), ("lif", "wait"), ("wait", "rec"), ("rec", "lif"), ("lif", "output")], type_check=False,
    )  # fmt: skip
    loop = nir.NIRGraph(
        {"input": nir.Input(np.array([6])), "w": nir.Linear(rng.normal(size=(5, 6))), "sub": inner,
         "scale": nir.Scale(np.arange(1.0, 6.0)), "t": nir.Threshold(np.ones(5)), "output": nir.Output(np.array([5]))},
        [("input", "w"), ("w", "sub"), ("sub", "scale"), ("scale", "t"), ("t", "output"), ("sub", "output")],
        type_check=False,
    )  # fmt: skip
    return [image, loop]


DATA = Path(__file__).parents[1] / "data" / "nir"
OF_TOOLS = ("snntorch_rsynaptic", "spikingjelly_cuba", "norse_lif_iaf")
FILES = 3 + len(OF_TOOLS)


@cache
def files() -> tuple[bytes, ...]:
    """The files, made once; the third is the second network after quantization, then files of other tools."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        sound(patch)
        paths = [Path(folder) / f"{i}.nir" for i in range(3)]
        for path, graph in zip(paths, networks(), strict=False):
            nir.write(path, graph)
        spiking = NATIVE.rewrite(load(paths[1]), None, np.zeros(0), TICKS)
        x = np.random.default_rng(1).integers(0, 2, (4, TICKS, 6))
        WRITER.write(Program(quantize(spiking, measure(spiking, x))), paths[2])
        paths += [DATA / f"{name}.nir" for name in OF_TOOLS]
        return tuple(path.read_bytes() for path in paths)


def load(path: Path) -> object:
    return READER.load(path, NIR.configure({}), TICKS)


def sound(patch: pytest.MonkeyPatch) -> None:
    """What h5py wrote needs no other process to try it first."""
    patch.setattr(reader, "read_tree", lambda path: _hdf5.read_tree(path, trial=False))


def survives(path: Path) -> None:
    """As for .net files: loading ends soon, takes little, and yields a graph or problems with explained codes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(netx, "READER", READER)
        patch.setattr(netx, "NETX", NIR)
        netx.survives(path)


@settings(max_examples=25, **netx.COMMON)
@given(st.data(), st.sampled_from(range(FILES)))
def test_bytes(data: st.DataObject, which: int) -> None:
    content = files()[which]
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.none(), st.integers(0, len(content))))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.nir"
        path.write_bytes(bytes(damaged[:end]))
        survives(path)


@settings(max_examples=120, **netx.COMMON)
@given(st.data(), st.sampled_from(range(FILES)))
def test_parts(data: st.DataObject, which: int) -> None:
    buffer = io.BytesIO(files()[which])
    with h5py.File(buffer, "r+") as file:
        for _ in range(data.draw(st.integers(1, 4))):
            if netx.places(file):
                netx.mutate(data, file)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        sound(patch)
        path = Path(folder) / "a.nir"
        path.write_bytes(buffer.getvalue())
        survives(path)


@pytest.mark.parametrize("which", range(FILES))
def test_the_files_are_valid_before_they_are_damaged(tmp_path: Path, which: int) -> None:
    (tmp_path / "a.nir").write_bytes(files()[which])
    assert load(tmp_path / "a.nir").header.timesteps == TICKS
