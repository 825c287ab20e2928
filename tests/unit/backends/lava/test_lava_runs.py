"""Networks in Lava against the interpreter, at the edges where Lava's processes are known to trap."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from threading import Semaphore
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from neurodeploy import compare, lava
from neurodeploy.backends.lava import MEMBER
from neurodeploy.backends.lava.wakeups import mend
from neurodeploy.errors import SimulateError
from neurodeploy.formats.netx import MEMBER as NETX
from neurodeploy.formats.netx import READER
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Delay, Micro, Neuron, Product, Reduce, Sum, Synapse, View
from neurodeploy.ir.types import BINARY, TERNARY, Code
from neurodeploy.program import Program
from tests.fast import fast
from tests.netx_files import FLATTEN, RF, SDNN, conv, spikes, weights, write_net
from tests.netx_files import dense as dense_layer
from tests.tiny import chain

pytestmark = pytest.mark.needs("lava.magma")
LIF = {"du": 4095, "dv": 2048, "vth": 5}


def dense(name: str, source: str, weight: Any, bias: Any = None, **more: Any) -> Synapse:
    bias = None if bias is None else np.array(bias)
    return Synapse(name=name, inputs=(source,), weight=np.array(weight), bias=bias, **more)


def neuron(name: str, source: str, model: str = "lif", reset: Any = None, **params: Any) -> Neuron:
    params = {**LIF, **params} if model == "lif" else params
    return Neuron(name=name, inputs=(source,), model=model, params=params, reset=reset)


def places(graph: Graph) -> dict[str, str]:
    return dict(lava.describe(Program(graph)).nodes)


def agree(graph: Graph, x: np.ndarray, both_ways: bool = False) -> dict[str, np.ndarray]:
    """Every value of every node at every tick equals the interpreter's, in reverse order of samples as well."""
    names = tuple(graph.nodes)
    expected = interp.run(graph, x, names)
    for order in (slice(None), slice(None, None, -1)) if both_ways else (slice(None),):
        found, _ = MEMBER.run(Program(graph), x[order], names)
        for name in names:
            assert np.array_equal(found.values[name][:, order], expected.values[name]), name
        assert np.array_equal(found.outputs[:, order], expected.outputs)
        assert list(found.values) == list(names)
    return expected.values


def test_signed_spikes_odd_weights_and_the_ends_of_weight_ranges() -> None:
    """A ternary -1 into Dense, 127 in a matrix of both signs, matrices of one sign, a matrix of zeros."""
    ends = [[127, -127, 1, -1], [-128, 127, 0, 3], [1, 1, 1, 1], [0, -3, 5, 7]]
    negative = [[-128, -1, -3, -127], [-2, -5, -7, -128]]
    graph = chain(
        (4,),
        (dense("a", "x", np.eye(4, dtype=int) * 3), (4,)),
        (neuron("t", "a", "ternary_lif", du=4095, dv=0, vth_hi=8, vth_lo=-8), (4,)),
        (dense("b", "t", ends), (4,)),
        (neuron("c", "b", vth=100), (4,)),
        (dense("d", "c", negative), (2,)),
        (dense("e", "d", [[0, 0], [255, 3]]), (2,)),
        codes={"t": TERNARY, "c": BINARY},
        ticks=3,
    )
    x = np.array([[1, -1, 2, -3], [-50, 50, -9, 9], [9, -9, 0, 100], [0, 0, 0, 0]])
    values = agree(graph, x)
    assert (values["t"] == -1).any() and (values["t"] == 1).any() and values["c"].any()


@pytest.mark.slow
def test_dense_of_lava_would_get_these_wrong() -> None:
    """The traps are real: without their precautions Lava's Dense takes -1 for 1, and 127 for 126."""
    from lava.proc.dense.models import PyDenseModelBitAcc

    class Port:
        def __init__(self, data: np.ndarray) -> None:
            self.data, self.sent = data, np.zeros(1)

        def recv(self) -> np.ndarray:
            return self.data

        def send(self, data: np.ndarray) -> None:
            self.sent = data

    def runs(weights: list[list[int]], bits: int, s: list[int], **more: Any) -> int:
        model = PyDenseModelBitAcc({**more})
        model.weights, model.num_message_bits = np.array(weights), np.array([bits])
        model.a_buff, model.s_in, model.a_out = np.zeros(1, int), Port(np.array(s)), Port(np.zeros(1))
        model.run_spk()
        model.run_spk()
        return int(model.a_out.sent[0])

    assert runs([[2, 0]], 0, [-1, 0]) == 2 and runs([[2, 0]], 2, [-1, 0]) == -2
    assert runs([[127, -1]], 8, [1, 0]) == 126 and runs([[254, -2]], 8, [1, 0], weight_exp=-1) == 127
    assert runs([[-256, -2]], 8, [1, 0], weight_exp=-1) == -128  # -255 would be -127.5, rounded down to it
    assert runs([[-256, -2]], 8, [2, 0], weight_exp=-1) == -255  # and doubled it shows


@pytest.mark.slow
def test_biases_thresholds_and_resets_follow_each_sample_through_the_pipeline() -> None:
    """Populations that fire by their bias alone, three layers deep: nothing of fill, drain or other samples stays."""
    eye = np.eye(3, dtype=int)
    graph = chain(
        (3,),
        (dense("a", "x", eye, [4095, -4096, 7]), (3,)),
        (neuron("n1", "a", vth=np.array([4094, 0, 13]), dv=0), (3,)),
        (dense("b", "n1", eye * 3, [4096, 2, 3]), (3,)),  # 4096 does not fit LIF's bias
        (neuron("n2", "b", vth=np.array([4096, 6, 7]), dv=1024), (3,)),
        (dense("c", "n2", eye, [1, 1, 1]), (3,)),
        (neuron("n3", "c", vth=1, du=2048, dv=0), (3,)),
        codes={"n1": BINARY, "n2": BINARY, "n3": BINARY},
        ticks=5,
    )
    assert set(places(graph).values()) == {"Dense", "LIFReset", "own"}
    values = agree(graph, np.array([[0, 0, 0], [5, 100, -100], [-100, 100, 3], [1, 0, 0]]), both_ways=True)
    assert all(values[n].any() and not values[n].all() for n in ("n1", "n2", "n3"))


def test_convolutions_of_every_kind() -> None:
    """Kernels, strides and paddings that differ along the axes; groups; sums too wide for Conv; shared by tokens."""
    rng = np.random.default_rng(3)

    def conv(name: str, source: str, shape: tuple[int, ...], **more: Any) -> Synapse:
        bias = rng.integers(-50, 50, shape[0])
        return Synapse(
            name=name, inputs=(source,), weight=rng.integers(-127, 128, shape), bias=bias, op="conv", **more
        )

    graph = chain(
        (2, 5, 7),
        (conv("a", "x", (4, 2, 3, 2), stride=(1, 2), padding=(1, 0)), (4, 5, 3)),
        (neuron("n", "a", vth=50, dv=0), (4, 5, 3)),
        (conv("b", "n", (4, 1, 2, 3), groups=4, padding=(0, 1)), (4, 4, 3)),
        (conv("wide", "b", (1, 4, 1, 3)), (1, 4, 1)),
        (
            Micro(
                name="r",
                inputs=("wide",),
                op="rescale",
                params={"multiplier": 1, "shift": 0, "bits": 24},
                timing="instant",
            ),
            (1, 4, 1),
        ),
        (conv("wider", "r", (3, 1, 2, 1)), (3, 3, 1)),
        (View(name="tokens", inputs=("wider",), op="permute", args=(1, 2, 0)), (3, 1, 3)),
        (dense("d", "tokens", rng.integers(-127, 128, (2, 3))), (3, 1, 2)),
        codes={"n": BINARY},
        ticks=2,
    )
    assert {places(graph)[n] for n in ("a", "b")} == {"Conv"} and places(graph)["wider"] in ("Sparse", "own")
    agree(graph, rng.integers(-100, 101, (3, 2, 5, 7)))


@pytest.mark.slow
def test_a_layer_without_axes_and_one_shared_by_tokens() -> None:
    graph = chain(
        (2, 3),
        (dense("d", "x", [[1, 2, 3], [-1, 0, 1]], [5, 6]), (2, 2)),
        (neuron("n", "d", vth=9), (2, 2)),
        (Reduce(name="r", inputs=("n",), op="sum", axes=(0, 1)), ()),
        (neuron("m", "r", vth=1), ()),
        codes={"n": BINARY, "m": BINARY, "r": Code("multi", 4)},
        ticks=3,
    )
    agree(graph, np.array([[[1, 2, 3], [4, 5, 6]], [[0, 0, 9], [-1, 0, 0]]]))


def recurrent(delay: Any, **lif: Any) -> Graph:
    """Two populations of delayed connections; the first feeds itself."""
    rng = np.random.default_rng(1)
    return chain(
        (3,),
        (dense("a", "x", rng.integers(-9, 10, (4, 3)), [1, 0, 2, 0], delay=1), (4,)),
        (dense("back", "n", rng.integers(-20, 20, (4, 4)), delay=1), (4,)),
        (Sum(name="s", inputs=("a", "back")), (4,)),
        (neuron("n", "s", **lif), (4,)),
        (dense("b", "n", rng.integers(-9, 10, (2, 4)), delay=delay), (2,)),
        (neuron("m", "b", "cuba_lif", du=-1, dv=100, bias=np.array([64, 192]), vth=20), (2,)),
        codes={"n": BINARY, "m": BINARY},
        ticks=7,
    )


@pytest.mark.parametrize(
    ("delay", "lif", "process"),
    [(1, {"reset": (3, 0)}, "LIFReset"), (np.array([[1, 2, 5, 1], [3, 1, 1, 4]]), {}, "LIF")],
)
def test_delays_recurrence_and_resets(delay: Any, lif: dict[str, Any], process: str) -> None:
    graph = recurrent(delay, **lif)
    found = places(graph)
    assert found["n"] == process and found["back"] == "Dense" and found["m"] == "LIF"
    assert found["b"] == ("Dense" if np.ndim(delay) == 0 else "DelayDense")
    values = agree(graph, np.array([[9, -3, 2], [-9, 50, 50]]))
    assert values["n"].any() and values["m"].any()


@pytest.mark.slow
def test_own_delays_where_branches_wait() -> None:
    """A delayed connection behind others starts late: what reads it may not see what happened before tick 1."""
    graph = chain(
        (2,),
        (dense("a", "x", [[3, 1], [1, 3]], [9, 1]), (2,)),
        (neuron("n", "a", vth=8, dv=0), (2,)),
        (dense("b", "n", [[1, 1], [5, 7]], [2, 0], delay=np.array([[0, 2], [1, 0]])), (2,)),
        (neuron("m", "b", "ternary_lif", du=0, dv=4096, vth_hi=4, vth_lo=-4), (2,)),
        (Delay(name="w", inputs=("m",), steps=2), (2,)),
        codes={"n": BINARY, "m": TERNARY},
        ticks=4,
    )
    agree(graph, np.array([[0, 0], [3, -3], [1, 5]]))


@pytest.mark.parametrize("timing", fast(["instant", "held", "cumulative"], "cumulative"))
def test_products(timing: str) -> None:
    eye = np.eye(3, dtype=int)
    rescale = None if timing == "instant" else (np.array([3, 3, 1, 3]), np.array([2, 3, 1, 4]))
    graph = chain(
        (2, 3),
        (dense("a", "x", eye, [1, 0, -1]), (2, 3)),
        (neuron("n", "a", vth=2, dv=0), (2, 3)),
        (dense("b", "x", -eye), (2, 3)),
        (neuron("m", "b", "ternary_lif", du=4095, dv=0, vth_hi=9, vth_lo=-9), (2, 3)),
        (Product(name="p", inputs=("n", "m"), equation="nd,md->nm", timing=timing, rescale=rescale), (2, 2)),
        codes={"n": BINARY, "m": TERNARY},
        bits={"p": 24},
        ticks=4,
    )  # fmt: skip
    values = agree(graph, np.array([[[5, 0, 2], [1, -9, 3]], [[0, 0, 0], [4, 4, 4]]]))
    assert values["p"].any()


@pytest.mark.slow
def test_a_frame_for_each_tick_and_inputs_that_are_not_centred() -> None:
    from dataclasses import replace

    graph = chain((2,), (dense("a", "x", [[1, 2], [3, -1]]), (2,)), (neuron("n", "a", vth=3), (2,)), ticks=3)
    source = replace(graph.input, per_tick=True, zero=2)
    graph = Graph({**graph.nodes, "x": source}, graph.values, graph.header)
    agree(graph, np.random.default_rng(0).integers(0, 9, (3, 3, 2)))


@pytest.mark.slow
def test_sigma_delta_messages_that_lava_would_not_clip_are_noticed() -> None:
    params = {
        "bias": 0,
        "vth": 64,
        "state_exp": 6,
        "relu": 0,
        "cum_error": 0,
        "message_bits": 8,
        "input_bits": 32,
    }
    graph = chain(
        (1,),
        (dense("a", "x", [[64]], delay=1), (1,)),
        (neuron("n", "a", "sigma_delta", **params), (1,)),
        ticks=3,
    )
    assert places(graph)["n"] == "SigmaDelta"
    agree(graph, np.array([[40], [-5]]))
    wide = chain(
        (1,),
        (dense("a", "x", [[-128]], delay=1), (1,)),
        (neuron("n", "a", "sigma_delta", **params), (1,)),
        ticks=3,
    )
    with pytest.raises(SimulateError, match=r"ND744(.|\n)*where: n(.|\n)*127 \(8 bits\)"):
        MEMBER.run(Program(wide), np.array([[100]]))


def test_verify_finds_a_wrong_integer() -> None:
    """The comparison with Lava can fail."""
    graph = chain((2,), (dense("a", "x", [[1, 1]]), (1,)), (neuron("n", "a", vth=3), (1,)), ticks=2)
    other = chain((2,), (dense("a", "x", [[1, 1]]), (1,)), (neuron("n", "a", vth=2), (1,)), ticks=2)

    class Wrong(type(MEMBER)):  # type: ignore[misc]
        def run(self, program: Program, x: np.ndarray, record: Any = ()) -> Any:
            return super().run(Program(other), x, record)

    result = compare.verify(Program(graph), np.array([[1, 2]]), (Wrong(),))
    assert result.divergence is not None and result.divergence.node == "n" and result.divergence.tick == 1
    assert compare.verify(Program(graph), np.array([[1, 2]]), (MEMBER,)).equal


OWN_PROGRAM = """
import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from neurodeploy import lava
from neurodeploy.ir import interp
from tests.unit.backends.lava.test_lava_runs import chain, dense, neuron

graph = chain((2,), (dense("a", "x", [[3, 1], [1, 3]], [9, 1]), (2,)), (neuron("n", "a", vth=8, dv=0), (2,)),
              (dense("b", "n", [[1, 2]]), (1,)), ticks=3)
x = np.array([[1, 2], [5, -5], [0, 9]])
net = lava.network(graph, record=("n",))
assert (net.depth, net.period) == (2, 3)
steps = len(x) * net.period + net.depth
source = Source(data=np.repeat(x, net.period, axis=0).T)
sink, spikes = Sink(shape=(1,), buffer=steps), Sink(shape=(2,), buffer=steps)
source.s_out.connect(net.s_in)
net.s_out.connect(sink.a_in)
net.taps[0][0].connect(spikes.a_in)
lava.mend()
net.run(RunSteps(num_steps=steps), Loihi2SimCfg(select_tag="fixed_pt"))
got, seen = sink.data.get(), spikes.data.get()
net.stop()
expected = interp.run(graph, x, ("n",))
for k in range(len(x)):
    for t in range(1, 4):
        column = k * net.period + t + net.depth - 1
        assert got[0, column] == expected.outputs[t - 1, k, 0], (k, t, got, expected.outputs)
        assert (seen[:, column - 1] == expected.values["n"][t - 1, k]).all(), (k, t)
assert not got[:, : net.depth].any() and expected.outputs.any()
print("equal")
"""


def test_network_in_a_lava_program_of_ones_own() -> None:
    """Ports and their timing as documented, under RunSteps and Loihi2SimCfg, with stock source and sink."""
    done = subprocess.run([sys.executable, "-c", OWN_PROGRAM], capture_output=True, text=True, timeout=120)
    assert "equal" in done.stdout, done.stderr[-2000:]


WIDE_PROGRAM = """
import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from neurodeploy import lava
from neurodeploy.ir import interp
from neurodeploy.ir.graph import raw_range
from tests.unit.backends.lava.test_lava_runs import chain, dense, neuron

graph = chain((2,), (dense("a", "x", [[3, 1], [1, 3]], [9, 1]), (2,)), (neuron("n", "a", vth=8, dv=0), (2,)), ticks=3)
low, high = raw_range(graph)
x = np.array([[1, 2], [high + 4, low - 300], [0, high + 1]])
net = lava.network(graph)
steps = len(x) * net.period + net.depth
source, sink = Source(data=np.repeat(x, net.period, axis=0).T), Sink(shape=(2,), buffer=steps)
source.s_out.connect(net.s_in)
net.s_out.connect(sink.a_in)
lava.mend()
net.run(RunSteps(num_steps=steps), Loihi2SimCfg(select_tag="fixed_pt"))
got = sink.data.get()
net.stop()
expected = interp.run(graph, np.clip(x, low, high)).outputs
for k in range(len(x)):
    for t in range(1, 4):
        assert (got[:, k * net.period + t + net.depth - 1] == expected[t - 1, k]).all(), (k, t, got, expected)
print("equal")
"""


def test_levels_outside_the_range_are_clipped_with_a_warning_in_a_program_of_ones_own() -> None:
    """As the interpreter answers for clipped levels; once, with the range and what came."""
    done = subprocess.run([sys.executable, "-c", WIDE_PROGRAM], capture_output=True, text=True, timeout=120)
    assert "equal" in done.stdout, done.stderr[-2000:]
    assert done.stderr.count("ND171") == 1 and "2 values" in done.stderr


def test_a_waiting_selector_hears_of_every_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that comes while another still waits is told of too: the one before may be taken at any moment."""
    from lava.magma.compiler.channels import pypychannel

    for port, callback in (
        (pypychannel.CspRecvPort, "_req_callback"),
        (pypychannel.CspSendPort, "_ack_callback"),
    ):
        monkeypatch.setattr(port, callback, getattr(port, callback))  # undone after the test
    mend()
    shared = SimpleNamespace(buf=memoryview(bytearray(2 * 4)))
    proto = pypychannel.Proto(shape=(1,), dtype=np.int32, nbytes=4)
    both = (shared, proto, 2, Semaphore(0), Semaphore(0), nullcontext(), nullcontext())
    sender, receiver = pypychannel.CspSendPort("a", *both), pypychannel.CspRecvPort("b", *both)
    received, acknowledged = Semaphore(0), Semaphore(0)
    receiver.observer, sender.observer = received.release, acknowledged.release
    sender.start()
    receiver.start()
    for number in (1, 2):
        sender.send(np.array([number], dtype=np.int32))
    assert received.acquire(timeout=30) and received.acquire(timeout=30)
    assert [receiver.recv()[0], receiver.recv()[0]] == [1, 2]
    assert acknowledged.acquire(timeout=30) and acknowledged.acquire(timeout=30)
    sender.join()
    receiver.join()


@pytest.mark.parametrize(
    "kind", fast(["convolution and loop", "sigma-delta", "resonators"], "convolution and loop")
)
def test_networks_of_lava_dl(kind: str, tmp_path: Path) -> None:
    """Files in lava-dl's format run on processes of Lava alone; test_netx_equals_lava.py ties them to netx itself."""
    rng = np.random.default_rng(2)
    small = lambda *shape: weights(rng, *shape, low=-60, high=80)
    shape: tuple[int, ...] = (8,)
    options: dict[str, Any] = {}
    if kind == "convolution and loop":
        layers = [
            conv(small(3, 2, 3, 3), (3, 4, 4), inChannels=2, bias=rng.integers(-9, 40, 3)),
            FLATTEN,
            {**dense_layer(small(6, 48)), "type": "dense_rec", "weight_rec": small(6, 6)},
            dense_layer(small(4, 6), delay=np.array([0, 1, 2, 0, 5, 1])),
        ]
        shape, options = (2, 6, 6), {"reset_interval": 5, "reset_offset": 1}
    elif kind == "sigma-delta":
        layers = [dense_layer(small(6, 8), SDNN), dense_layer(small(3, 6), {**SDNN, "sigma_output": True})]
        options = {"input_message_bits": 16, "input_range": [0, 255]}
    else:
        both = {"real": small(6, 8), "imag": small(6, 8)}
        layers = [{**dense_layer(small(6, 8), RF), "weight": both}, dense_layer(np.full((3, 6), 200.0))]
    x = spikes(rng, 24, *shape) * (200 if kind == "sigma-delta" else 1)
    path = write_net(tmp_path / "network.net", layers)
    graph = READER.load(path, NETX.configure({"input_shape": list(shape[::-1]), **options}), len(x))
    assert lava.describe(Program(graph)).share == 1.0
    assert {places(graph)[n.name] for n in graph.of(Neuron)} <= {
        "LIFReset",
        "LIF",
        "SigmaDelta",
        "Sigma",
        "RF",
    }
    values = agree(graph, x[None])
    assert all(values[n.name].any() for n in graph.of(Neuron))
