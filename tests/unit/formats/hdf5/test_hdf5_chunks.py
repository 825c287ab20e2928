"""Chunks are unpacked as h5py does it, and never to more than they may hold."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from neurodeploy.errors import ImportModelError
from neurodeploy.formats._hdf5 import read as _hdf5
from neurodeploy.formats._hdf5 import stored

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "i2", "u1", "?"])
@pytest.mark.parametrize("facts", [
    {"compression": "gzip"}, {"compression": "gzip", "shuffle": True, "fletcher32": True}, {"shuffle": True}, {},
], ids=str)  # fmt: skip
def test_chunks_read_as_h5py_reads_them(tmp_path: Path, dtype: str, facts: dict[str, Any]) -> None:
    data = RNG.integers(0, 100, (23, 9, 5)).astype(dtype)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.create_dataset("full", data=data, chunks=(7, 4, 5), **facts)
        some = file.create_dataset("some", (40, 6), dtype, chunks=(8, 6), fillvalue=1, **facts)
        some[9:12] = 0  # the other chunks are not stored
    with h5py.File(tmp_path / "c.h5") as file:
        for name in ("full", "some"):
            found = stored.chunks(tmp_path / "c.h5", file[name])
            assert found.dtype == file[name].dtype and np.array_equal(found, file[name][()])


@pytest.mark.parametrize("content", [
    zlib.compress(b"\0" * (1 << 24)), zlib.compress(b"\0" * 100), b"no stream", zlib.compress(b"\0" * 512)[:-6]
], ids=["bomb", "short", "no stream", "cut off"])  # fmt: skip
def test_chunks_that_lie_about_their_size_are_refused(tmp_path: Path, content: bytes) -> None:
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("x", (64,), "f8", chunks=(64,), compression="gzip").id.write_direct_chunk(
            (0,), content
        )
    tree = _hdf5.read_tree(tmp_path / "b.h5", trial=False)
    with pytest.raises(ImportModelError) as error:
        tree.check()
    assert [(p.code, "/x" in p.where) for p in error.value.problems] == [("ND121", True)]
