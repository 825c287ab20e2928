"""Every registered backend that needs no mapping equals the interpreter; a new file is tested by existing.

Backends that run from memory images are proven, each by itself, in ``tests/properties/test_mapped_backends.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy import compare
from neurodeploy.backends._base import BACKENDS, Backend
from neurodeploy.errors import BackendError, SimulateError
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.program import Program
from tests.strategies import inputs, integer_graphs
from tests.tiny import batch, chain

UNMAPPED = [m for m in BACKENDS.values() if not m.mapped]
each = pytest.mark.parametrize("backend", UNMAPPED, ids=lambda m: m.name)
#: a backend of processes takes seconds to start: fewer of its random graphs are in tests/properties/test_lava.py
quick = pytest.mark.parametrize("backend", [m for m in UNMAPPED if not m.granularities], ids=lambda m: m.name)


def usable(backend: Backend) -> Backend:
    """Itself; the test is skipped where what it needs is not installed."""
    if missing := backend.available():
        pytest.skip(missing)
    return backend


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=lambda m: m.name)
def test_backend_is_complete(backend: Backend) -> None:
    assert isinstance(backend, Backend)
    assert isinstance(backend.available(), str)
    assert backend.name == backend.name.lower()


def test_the_cpu_backend_is_always_usable() -> None:
    assert not BACKENDS["cpu"].available()


@quick
@settings(max_examples=10)
@given(integer_graphs(), st.data())
def test_backend_equals_the_interpreter(backend: Backend, graph: Graph, data: st.DataObject) -> None:
    x = data.draw(inputs(graph))
    try:
        result = compare.verify(Program(graph), x, (usable(backend),))
    except BackendError:
        return  # it may refuse a network that it cannot express, but not get one wrong
    assert result.equal, str(result)
    trace, _ = backend.run(Program(graph), x)
    expected = interp.run(graph, x)
    assert trace.outputs.dtype == np.int64 and not trace.values
    assert {k: v for k, v in trace.saturations.items() if v} == {
        k: v for k, v in expected.saturations.items() if v
    }


@each
def test_backend_refuses_an_input_of_the_wrong_shape(backend: Backend) -> None:
    with pytest.raises(SimulateError, match="ND601"):
        usable(backend).run(Program(chain((2,))), batch([1, 2, 3]))
