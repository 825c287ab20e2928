"""Valid .net files, damaged at random: a graph or typed problems, in bounded time and memory, and never a crash."""

from __future__ import annotations

import io
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurodeploy.codes import CODES
from neurodeploy.errors import NeurodeployError
from neurodeploy.formats.netx import MEMBER as NETX
from neurodeploy.formats.netx import READER
from neurodeploy.ir.graph import Graph
from tests.netx_files import CUBA, FLATTEN, RF, SDNN, conv, dense, weights, write_net

SECONDS, KIB = 30.0, 300 << 10  # a hanging library is given up after ten
RNG = np.random.default_rng(7)
COMMON = {"deadline": None, "derandomize": True, "suppress_health_check": [HealthCheck.too_slow]}


def valid() -> list[bytes]:
    """Small files that hold every kind of layer and neuron."""
    both = {"real": weights(RNG, 5, 4), "imag": weights(RNG, 5, 4)}
    nets: list[list[dict[str, Any]]] = [
        [
            {"type": "input", "shape": np.array([2, 6, 6]), "neuron": CUBA, "weight": 64, "bias": 0},
            conv(weights(RNG, 3, 2, 3, 3), (3, 4, 4), bias=np.array([1, 2, 3])),
            FLATTEN,
            dense(weights(RNG, 5, 48), delay=np.arange(5)),
            dense(weights(RNG, 2, 5), None),
        ],
        [
            {**dense(weights(RNG, 4, 6)), "type": "dense_rec", "weight_rec": weights(RNG, 4, 4)},
            {"type": "dense", "shape": np.array([5]), "weight": both, "neuron": RF},
            dense(weights(RNG, 4, 5), SDNN),
            dense(weights(RNG, 3, 4), {**SDNN, "sigma_output": True}),
        ],
    ]
    with tempfile.TemporaryDirectory() as folder:
        return [
            write_net(Path(folder) / f"{i}.net", n, {"tSample": 9}).read_bytes() for i, n in enumerate(nets)
        ]


FILES = valid()


def survives(path: Path) -> None:
    """Loading ends soon, takes little, and yields a graph or problems with explained codes."""
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        assert isinstance(READER.load(path, NETX.configure({}), None), Graph)
    except NeurodeployError as error:
        assert error.problems and all(p.code in CODES and p.cause for p in error.problems)
    assert time.monotonic() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < KIB


@settings(max_examples=60, **COMMON)
@given(st.data(), st.sampled_from(range(2)))
def test_bytes(data: st.DataObject, which: int) -> None:
    content = FILES[which]
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 12))):
        damaged[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.none(), st.integers(0, len(content))))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.net"
        path.write_bytes(bytes(damaged[:end]))
        survives(path)


VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.floats(width=32).map(np.float32),
    st.sampled_from(["CUBA", "dense", "", "RF", "x" * 3000]),
    st.sampled_from([b"conv", b"flatten", b"concat", b"pool", b"\xff\xfe"]),
    st.tuples(
        st.lists(st.integers(0, 6), min_size=0, max_size=6),
        st.sampled_from(["f4", "i8", "u1", "?", "c8", "f8"]),
    ).map(lambda p: np.ones(p[0], p[1])),
    st.lists(st.integers(-9, 2**40), min_size=1, max_size=4).map(np.array),
)


def places(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visit(found.append)
    return sorted(found)


def mutate(data: st.DataObject, file: h5py.File) -> None:
    """One change of a part: another value, nothing, another place, a link, a huge shape."""
    place = data.draw(st.sampled_from(places(file)))
    other = data.draw(st.sampled_from(places(file)))
    kind = data.draw(
        st.sampled_from(["value", "delete", "copy", "soft", "external", "hard", "huge", "group", "alias"])
    )
    item = file[other]
    parent = file[place] if kind == "alias" and isinstance(file[place], h5py.Group) else file
    fresh = next(f"new{i}" for i in range(1000) if f"new{i}" not in parent)
    if kind == "copy":
        file.copy(item, fresh)
        return
    if kind == "alias":
        parent[fresh] = item
        return
    if place in other or other in place:
        kind = "delete"
    del file[place]
    if kind == "value":
        file[place] = data.draw(VALUES)
    elif kind == "soft":
        file[place] = h5py.SoftLink(data.draw(st.sampled_from(["/", f"/{place}", f"/{other}", "/nowhere"])))
    elif kind == "external":
        file[place] = h5py.ExternalLink(
            data.draw(st.sampled_from(["/etc/passwd", "a.net", "/dev/zero"])), "/"
        )
    elif kind == "hard":
        file[place] = item
    elif kind == "huge":
        chunks = data.draw(st.sampled_from([None, (64, 1)]))
        file.create_dataset(
            place, (1 << 30, data.draw(st.sampled_from([1, 1 << 10, 1 << 30]))), "f4", chunks=chunks
        )
    elif kind == "group":
        file.create_group(place)


@settings(max_examples=60, **COMMON)
@given(st.data(), st.sampled_from(range(2)))
def test_parts(data: st.DataObject, which: int) -> None:
    buffer = io.BytesIO(FILES[which])
    with h5py.File(buffer, "r+") as file:
        for _ in range(data.draw(st.integers(1, 4))):
            if places(file):
                mutate(data, file)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.net"
        path.write_bytes(buffer.getvalue())
        survives(path)


@pytest.mark.parametrize("which", range(2))
def test_the_files_are_valid_before_they_are_damaged(tmp_path: Path, which: int) -> None:
    (tmp_path / "a.net").write_bytes(FILES[which])
    assert READER.load(tmp_path / "a.net", NETX.configure({}), None).header.timesteps == 9
