"""What a .net file becomes: names, ranges, ticks, remarks, and the blocks that netx itself cannot run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.errors import UsageError
from neurodeploy.formats._base import FORMATS
from neurodeploy.formats.netx import MEMBER as NETX
from neurodeploy.formats.netx import READER
from neurodeploy.formats.netx.neurons import recomputed_decays
from neurodeploy.formats.netx.read import TICKS
from neurodeploy.formats.netx.weights import LossyWeights, in_lava
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.types import BINARY
from tests.netx_files import CUBA, FLATTEN, RF, SDNN, conv, dense, spikes, weights, write_net

RNG = np.random.default_rng(3)


def imported(path: Path, layers: list[dict[str, Any]], ticks: int | None = 6, **options: Any) -> Graph:
    return READER.load(write_net(path, layers), NETX.configure(options), ticks)


def run(graph: Graph, x: np.ndarray) -> dict[str, np.ndarray]:
    names = list(graph.nodes)
    return {n: v[:, 0] for n, v in interp.run(graph, x[None], names).values.items()}


def test_the_room_finds_the_reader_by_its_suffix() -> None:
    found = FORMATS["netx"]
    assert (
        found is NETX and found.suffix == ".net" and set(found.reader.Options.model_fields) >= {"skip_layers"}
    )


def test_names_origins_and_shapes(tmp_path: Path) -> None:
    layers = [
        {"type": "input", "shape": np.array([2, 6, 5])},
        conv(weights(RNG, 3, 2, 3, 2), (3, 4, 4)),
        FLATTEN,
        {**dense(weights(RNG, 4, 48)), "type": "dense_rec", "weight_rec": weights(RNG, 4, 4)},
    ]
    graph = imported(tmp_path / "net.net", layers)
    assert list(graph.nodes) == [
        "input", "layer1.synapse", "layer1", "layer3.flatten", "layer3.synapse", "layer3.recurrent", "layer3.sum",
        "layer3", "output",
    ]  # fmt: skip
    assert graph.shape("input") == (2, 6, 5) and graph.values["layer1"].shape.roles == ("C", "Y", "X")
    assert (
        graph.nodes["layer3"].origin[0].path == "layer/3"
        and graph.nodes["layer3"].origin[0].file == "net.net"
    )
    assert (graph.header.level, graph.header.name, graph.header.notes["file"]) == (
        "integer",
        "net",
        "net.net",
    )
    assert all(s.delays == (1,) for s in graph.of(type(graph.nodes["layer1.synapse"])))


@pytest.mark.parametrize(
    ("simulation", "given", "ticks"),
    [
        ({}, None, TICKS),
        ({"tSample": 30}, None, 30),
        ({"tSample": 30, "Ts": 2}, None, 15),
        ({"tSample": 30}, 7, 7),
    ],
)
def test_ticks(tmp_path: Path, simulation: dict[str, Any], given: int | None, ticks: int) -> None:
    path = write_net(tmp_path / "a.net", [dense(weights(RNG, 3, 4))], simulation)
    assert READER.load(path, NETX.configure({}), given).header.timesteps == ticks


@pytest.mark.parametrize(
    ("layers", "options", "interval"),
    [
        ([dense(weights(RNG, 3, 4))], {}, (0, 1)),
        ([dense(weights(RNG, 3, 4), SDNN)], {"input_message_bits": 8}, (-127, 127)),
        ([dense(weights(RNG, 3, 4), SDNN)], {"input_message_bits": 8, "input_range": (0, 9)}, (0, 9)),
        (
            [{"type": "input", "shape": np.array([4]), "neuron": CUBA}, dense(weights(RNG, 3, 4))],
            {},
            (-4096, 4095),
        ),
        (
            [{"type": "input", "shape": np.array([4]), "neuron": SDNN}, dense(weights(RNG, 3, 4))],
            {},
            (-511, 511),
        ),
        (
            [{"type": "input", "shape": np.array([4]), "neuron": SDNN}, dense(weights(RNG, 3, 4), SDNN)],
            {"skip_layers": 1},
            (-32767, 32767),
        ),
    ],
)
def test_declared_range_of_the_input(
    tmp_path: Path, layers: list[dict[str, Any]], options: dict[str, Any], interval: tuple[int, int]
) -> None:
    graph = imported(tmp_path / "a.net", layers, **options)
    found = graph.values["input"]
    assert (found.interval.lo, found.interval.hi, found.interval.proven) == (*interval, True)
    assert (found.code == BINARY) == (interval == (0, 1)) and graph.input.per_tick


def test_a_last_layer_that_never_fires_is_read_by_its_voltage(tmp_path: Path) -> None:
    layers = [dense(weights(RNG, 5, 4)), dense(weights(RNG, 3, 5), None)]
    voltage = imported(tmp_path / "a.net", layers)
    assert (voltage.nodes["layer1"].model, voltage.output.readout) == ("cuba_voltage", "last")
    assert any("voltage" in remark for remark in voltage.header.notes["remarks"])
    silent = imported(tmp_path / "b.net", layers, readout="spikes")
    assert (silent.nodes["layer1"].model, silent.output.readout) == ("cuba_lif", "sum")
    x = spikes(RNG, 6, 4)
    assert run(voltage, x)["output"][-1].any() and not run(silent, x)["output"].any()


THRESHOLDS = {"largest": 131071, "of slayer": (1 << 18) - 1, "one below": 131070, "usual": 512}


@pytest.mark.parametrize("name", THRESHOLDS)
def test_the_largest_threshold_of_a_chip_is_a_read_out_by_voltage(tmp_path: Path, name: str) -> None:
    """Voltages against the recurrence in numpy, one tick later than the first layer's spikes reach them."""
    last = {**CUBA, "iDecay": 4096, "vDecay": 128, "vThMant": THRESHOLDS[name]}
    layers = [dense(weights(RNG, 5, 4)), dense(weights(RNG, 3, 5), last)]
    read = name in ("largest", "of slayer")
    auto = imported(tmp_path / "a.net", layers)
    assert (auto.nodes["layer1"].model, auto.output.readout) == (
        ("cuba_voltage", "last") if read else ("cuba_lif", "sum")
    )
    assert imported(tmp_path / "b.net", layers, readout="spikes").nodes["layer1"].model == "cuba_lif"
    voltage = imported(tmp_path / "c.net", layers, readout="voltage")
    assert any("readout" in remark for remark in voltage.header.notes["remarks"])
    x = spikes(RNG, 6, 4)
    sent = run(voltage, x)
    weight, bias = voltage.nodes["layer1.synapse"].weight, np.asarray(voltage.nodes["layer1"].params["bias"])
    v, before = 0, np.zeros_like(sent["layer0"][0])
    for spike, found in zip(sent["layer0"], sent["layer1"], strict=True):
        kept = np.sign(v) * (np.abs(v) * (4096 - 128) >> 12)
        v = kept + (before @ weight.T << 6) + bias.ravel()
        np.testing.assert_array_equal(found, v)
        before = spike
    assert np.any(v)


def test_a_read_out_by_voltage_needs_a_layer_that_has_one(tmp_path: Path) -> None:
    image = {"type": "input", "shape": np.array([4]), "neuron": SDNN}
    with pytest.raises(UsageError, match="ND120"):
        imported(tmp_path / "a.net", [image, dense(weights(RNG, 3, 4), SDNN)], readout="voltage")


def test_remarks_tell_what_netx_leaves_out_or_changes(tmp_path: Path) -> None:
    layers = [
        {"type": "input", "shape": np.array([1, 4, 4]), "neuron": CUBA, "weight": 64, "bias": 3},
        conv(weights(RNG, 2, 1, 2, 2), (2, 3, 3), delay=np.ones(2), bias=np.array([0.5, 2])),
        FLATTEN,
        dense(np.where(RNG.random((3, 18)) < 0.5, 255.0, -3.0)),
    ]
    remarks = "\n".join(imported(tmp_path / "a.net", layers).header.notes["remarks"])
    for text in (
        "layer/0: weight",
        "layer/0: bias",
        "delays of a convolution",
        "fractions",
        "layer/3",
        "differ",
    ):
        assert text in remarks


def test_sum_pool_is_a_depthwise_convolution(tmp_path: Path) -> None:
    pool = {**conv(np.full((1, 1, 2, 2, 1), 2.0), (3, 2, 2), {**CUBA, "vThMant": 1}), "type": "pool"}
    pool = {**pool, "stride": np.array([2, 2])}
    graph = imported(tmp_path / "a.net", [{"type": "input", "shape": np.array([3, 4, 4])}, pool])
    x = spikes(RNG, 6, 3, 4, 4)
    sums = run(graph, x)["layer1.synapse"]
    expected = 2 * x.reshape(6, 3, 2, 2, 2, 2).sum((3, 5))
    assert np.array_equal(sums[1:], expected[:-1]) and not sums[0].any()


def test_concat_joins_the_layer_before_and_the_listed_ones(tmp_path: Path) -> None:
    layers = [
        dense(weights(RNG, 5, 4), {**CUBA, "vThMant": 5}),
        dense(weights(RNG, 3, 5), {**CUBA, "vThMant": 5}),
        {"type": "concat", "shape": np.array([8]), "layers": np.array([0])},
        dense(weights(RNG, 2, 8)),
    ]
    graph = imported(tmp_path / "a.net", layers)
    values = run(graph, spikes(RNG, 6, 4))
    assert np.array_equal(values["layer2"], np.concatenate([values["layer1"], values["layer0"]], axis=1))
    assert values["layer2"].any()


def test_a_flatten_layer_that_is_concatenated_stands_for_the_layer_before_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    joined = {"type": "concat", "shape": np.array([8]), "layers": np.array([1])}
    path = write_net(tmp_path / "a.net", [dense(weights(rng, 4, 6)), FLATTEN, joined])
    graph = READER.load(path, NETX.configure({}), None)
    assert graph.nodes["layer2"].inputs == ("layer0", "layer0") and graph.shape("layer2") == (8,)


def test_complex_convolution(tmp_path: Path) -> None:
    both = {"real": weights(RNG, 2, 1, 2, 2), "imag": weights(RNG, 2, 1, 2, 2)}
    layer = {**conv(weights(RNG, 2, 1, 2, 2), (2, 3, 3), RF), "weight": both}
    graph = imported(tmp_path / "a.net", [layer], input_shape=(4, 4, 1))
    assert graph.nodes["layer0"].inputs == ("layer0.real", "layer0.imag")
    assert run(graph, spikes(RNG, 6, 1, 4, 4))["layer0.imag"].any()


def test_message_bits_that_netx_cannot_read(tmp_path: Path) -> None:
    layers = [dense(weights(RNG, 4, 3), {**SDNN, "messageBits": 5}), dense(weights(RNG, 2, 4), SDNN)]
    graph = imported(tmp_path / "a.net", layers, input_message_bits=8)
    assert graph.values["layer0"].interval.hi == 15


def test_sums_beyond_32_bits_wrap_on_every_backend(tmp_path: Path) -> None:
    from tests.unit.formats.netx.test_netx_equals_lava import ours

    layers = [
        dense(weights(RNG, 8, 6), {**SDNN, "messageBits": 24}),
        dense(weights(RNG, 4, 8), {**SDNN, "messageBits": 24}),
    ]
    path = write_net(tmp_path / "a.net", layers)
    x = RNG.integers(-(1 << 23) + 1, 1 << 23, (6, 6))
    graph, values, _ = ours(path, x, input_message_bits=24)
    assert graph.values["layer1.synapse"].interval.magnitude > 1 << 31
    assert np.abs(values["layer1.synapse"]).max() > 1 << 31


def test_more_than_127_groups_on_which_netx_overflows(tmp_path: Path) -> None:
    layer = conv(np.full((128, 1, 1, 1), 64.0), (128, 2, 2), {**CUBA, "vThMant": 5}, groups=128)
    graph = imported(tmp_path / "a.net", [layer], input_shape=(2, 2, 128))
    x = spikes(RNG, 6, 128, 2, 2)
    assert np.array_equal(run(graph, x)["layer0.synapse"][1:], 64 * x[:-1])


def test_all_zero_weights_on_which_netx_fails(tmp_path: Path) -> None:
    graph = imported(tmp_path / "a.net", [dense(np.zeros((3, 4))), dense(weights(RNG, 2, 3))])
    assert not run(graph, spikes(RNG, 6, 4))["layer0.synapse"].any()


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        ([[-128, 127]], [[-128, 127]]),
        ([[-256, 254]], [[-256, 254]]),
        ([[-5, 255]], [[-5, 254]]),
        ([[0, 255]], [[0, 255]]),
        ([[-255, 0]], [[0, 0]]),
        ([[-256, -256]], [[0, 0]]),
        ([[-254, -2]], [[-254, -2]]),
        ([[0, 0]], [[0, 0]]),
    ],
)
def test_net_effect_of_netx_on_weights(weight: list[list[int]], expected: list[list[int]]) -> None:
    assert np.array_equal(in_lava([np.array(weight)])[0], expected)


@pytest.mark.needs("lava.lib.dl.netx.utils")
def test_net_effect_equals_that_of_netx_and_lava(rng: np.random.Generator = RNG) -> None:
    """netx's shift and bit count, then what Lava's Dense cuts, from their own functions, for random matrices."""
    from lava.lib.dl.netx import utils
    from lava.utils import weightutils

    compared = 0
    for _ in range(4000):
        low, high = sorted(rng.integers(-256, 256, 2))
        weight = rng.integers(low, high + 1, (2, 3))
        weight = (weight >> (shift := rng.integers(0, 8))) << shift
        if not weight.any() or (weight.max() > 254 and weight.min() < 0):
            continue  # netx divides by zero; netx prints a warning
        moved, bits, exponent, _ = utils.optimize_weight_bits(weight)
        mode = weightutils.determine_sign_mode(moved)
        cut = weightutils.truncate_weights(weightutils.clip_weights(moved, mode, num_bits=8), mode, bits)
        assert np.array_equal(in_lava([weight], shifted_down=False)[0], cut)
        try:
            assert np.array_equal(in_lava([weight])[0] << -exponent, cut)
            compared += 1
        except LossyWeights:
            assert (cut & ((1 << -exponent) - 1)).any()
    assert compared > 3000


@pytest.mark.needs("lava.lib.dl.slayer.neuron.rf")
def test_decays_of_resonators_equal_those_of_netx_and_lava() -> None:
    from lava.lib.dl.slayer.neuron import rf
    from lava.proc.rf.process import RF as Process

    sin, cos = RNG.integers(-4096, 4097, (2, 400))
    sin[:2], cos[:2] = 0, (4000, -4000)
    with np.errstate(divide="ignore"):
        for s, c in zip(sin, cos, strict=True):
            params = rf.neuron_params({"sinDecay": s, "cosDecay": c, "vThMant": 1})
            process = Process(
                shape=(1,), period=params["period"], alpha=params["decay"], state_exp=6, decay_bits=12, vth=1
            )
            found = recomputed_decays(s, c)
            assert (int(found[0]), int(found[1])) == (
                int(process.sin_decay.init),
                int(process.cos_decay.init),
            )
