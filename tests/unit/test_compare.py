"""The first difference is found, named and raised; the float network is a measure, not a judge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from neurodeploy import compare
from neurodeploy.backends._base import Backend
from neurodeploy.errors import BackendError, UsageError, VerifyError
from neurodeploy.formats._base import FORMATS
from neurodeploy.ir import interp
from neurodeploy.ir.nodes import Micro, Neuron, Synapse
from neurodeploy.ir.trace import Trace
from neurodeploy.microcode.rescale import MEMBER as RESCALE
from neurodeploy.program import Program
from tests.tiny import chain

ORDER = ("a", "b", "y")


class Faulty(Backend):
    """The interpreter with one integer off: at (node, tick from 1, sample, index)."""

    name = "faulty"

    def __init__(self, *where: tuple[str, int, int, tuple[int, ...]]) -> None:
        self.where = where

    def available(self) -> str:
        return ""

    def run(self, program: Program, x: np.ndarray, record: Iterable[str] = ()) -> tuple[Trace, None]:
        trace = interp.run(program.graph, x, record)
        for node, tick, sample, index in self.where:
            array = trace.values[node] = np.array(trace.values.get(node, trace.outputs))
            if sample < array.shape[1]:
                place = (tick - 1, sample, *index)
                array[place] += 1
            if node == program.graph.output.name:
                trace.outputs = array
        return trace, None


class Leaky(Faulty):
    """Adds the previous sample's first pixel to the read-out."""

    name = "leaky"

    def run(self, program: Program, x: np.ndarray, record: Iterable[str] = ()) -> tuple[Trace, None]:
        trace = interp.run(program.graph, x, record)
        before = np.concatenate([x[:1] * 0, x[:-1]]).reshape(len(x), -1)[:, :1]
        trace.outputs = trace.outputs + (before > 1000)
        return trace, None


def network() -> Program:
    spikes = {"du": 4095, "dv": 2048, "vth": 20}
    return Program(
        chain(
            (3,),
            (Synapse(name="w", inputs=("x",), weight=np.array([[1, 2, 0], [0, -1, 3]])), (2,)),
            (Neuron(name="n", inputs=("w",), model="lif", params=spikes), (2,)),
            (
                Micro(name="m", inputs=("n",), op="rescale", params=RESCALE.params(3.0, 8), timing="instant"),
                (2,),
            ),
            ticks=3,
            reach=(-100, 2000),
        )
    )


def samples(count: int = 70) -> np.ndarray:
    return np.random.default_rng(0).integers(-100, 100, (count, 3))


def traces(*changes: tuple[str, int, int, int]) -> tuple[Trace, Trace]:
    """Two equal traces, and changes (node, tick index, sample, element) to the first."""
    found = {name: np.arange(24).reshape(2, 3, 4) for name in ORDER}
    expected = Trace(found["y"], {name: found[name] for name in "ab"})
    changed = {name: array.copy() for name, array in found.items()}
    for name, tick, sample, element in changes:
        changed[name][tick, sample, element] += 100
    return Trace(changed["y"], {name: changed[name] for name in "ab"}), expected


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ([("b", 0, 1, 2), ("a", 1, 0, 0)], ("b", 1, 1, (2,))),  # an earlier tick wins over an earlier node
        ([("b", 1, 0, 0), ("a", 1, 2, 3)], ("a", 2, 2, (3,))),  # then the node, then the sample
        ([("a", 0, 2, 0), ("a", 0, 1, 3)], ("a", 1, 1, (3,))),
        ([("y", 1, 0, 1)], ("y", 2, 0, (1,))),  # read-outs are not recorded values
    ],
)
def test_first_divergence_orders_by_tick_then_node_then_sample(changes: list, first: tuple) -> None:
    difference = compare.first_divergence(*traces(*changes), ORDER)
    assert difference is not None
    assert (difference.node, difference.tick, difference.sample, difference.index) == first
    assert difference.found == difference.expected + 100  # type: ignore[operator]


def test_equal_traces_have_no_divergence() -> None:
    assert compare.first_divergence(*traces(), ORDER) is None


def test_shapes_that_differ_are_a_divergence() -> None:
    found, expected = traces()
    found.outputs = found.outputs[:, :2]
    difference = compare.first_divergence(found, expected, ORDER)
    assert difference is not None and "shape (2, 2, 4)" in str(difference)


def test_cpu_agrees_with_the_interpreter() -> None:
    result = compare.verify(network(), samples(), ("cpu",)).require()
    assert result.equal and result.samples == 70 and result.backends == ("interp", "cpu")
    assert result.nodes == ("n", "m", "y")
    assert str(result) == "interp = cpu on 70 samples: 3 nodes, every tick"


@pytest.mark.parametrize(
    ("fault", "place"),
    [
        (("n", 2, 1, (0,)), "node n, tick 2, sample 1, index [0]"),
        (("m", 3, 0, (1,)), "node m, tick 3, sample 0, index [1]"),
        (("y", 1, 5, (1,)), "node y, tick 1, sample 5, index [1]"),
    ],
)
def test_one_wrong_integer_is_named(fault: tuple, place: str) -> None:
    result = compare.verify(network(), samples(10), ("cpu", Faulty(fault)))
    assert not result.equal
    assert place in str(result.divergence) and "faulty" in str(result.divergence)
    with pytest.raises(VerifyError, match="ND650") as caught:
        result.require()
    assert place in str(caught.value) and caught.value.exit_code == 4


def test_sample_number_counts_over_chunks() -> None:
    class Late(Faulty):
        def run(self, program: Program, x: np.ndarray, record: Iterable[str] = ()) -> tuple[Trace, None]:
            self.where = (("n", 1, 4, (0,)),) if len(x) < compare.CHUNK else ()
            return super().run(program, x, record)

    result = compare.verify(network(), samples(), (Late(),))
    assert result.divergence is not None and result.divergence.sample == compare.CHUNK + 4


def test_earliest_tick_wins_between_backends() -> None:
    late, early = Faulty(("n", 3, 0, (0,))), Faulty(("m", 1, 0, (0,)))
    early.name = "early"
    result = compare.verify(network(), samples(4), (late, early))
    assert result.divergence is not None and result.divergence.backend == "early"


def test_state_that_leaks_into_the_next_sample_is_found() -> None:
    x = samples(4)
    x[1, 0] = 1500
    wide = replace(network())
    leaky, cpu = Leaky(), compare.usable("cpu")
    leak = compare.order_matters(wide, x, leaky, leaky.run(wide, x)[0])
    assert leak is not None and leak.backend == "leaky"
    assert compare.order_matters(wide, x, cpu, cpu.run(wide, x, ("n",))[0]) is None


def test_leak_alone_is_raised_under_its_own_code() -> None:
    class Backwards(Faulty):
        name = "backwards"

        def run(self, program: Program, x: np.ndarray, record: Iterable[str] = ()) -> tuple[Trace, None]:
            self.where = (("y", 1, 0, (0,)),) if x.strides[0] < 0 else ()
            return super().run(program, x, record)

    with pytest.raises(VerifyError, match="ND651"):
        compare.verify(network(), samples(5), (Backwards(),)).require()


def test_unknown_and_unusable_backends_are_typed_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="ND702"):
        compare.verify(network(), samples(1), ("cpv",))
    monkeypatch.setattr(type(compare.usable("cpu")), "available", lambda self: "no numba")
    with pytest.raises(BackendError, match="no numba"):
        compare.verify(network(), samples(1), ("cpu",))


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_format_is_written_not_run(name: str) -> None:
    with pytest.raises(BackendError, match=r"ND703.*not a backend") as caught:
        compare.usable(name)
    assert caught.value.exit_code == 6
    assert f"neurodeploy export DIR --to {name} --out NETWORK" in str(caught.value)
