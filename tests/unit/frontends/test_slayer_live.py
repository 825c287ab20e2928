"""Live networks of lava-dl's slayer: the graph equals the module at every block and tick, or is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from neurodeploy import cli
from neurodeploy.errors import ImportModelError
from neurodeploy.formats.netx import READER
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Neuron, Synapse
from neurodeploy.sources import resolve
from tests.fast import fast
from tests.later import Later, torch
from tests.slayer_networks import CASES, CUBA, RF, Case, delayed, normed, random_network, sdnn, slayer

if TYPE_CHECKING:
    from neurodeploy.frontends.proof import prove
else:
    prove = Later("neurodeploy.frontends.proof.prove")

pytestmark = [
    pytest.mark.needs("lava.lib.dl.slayer", "lava.lib.dl.netx.hdf5"),
    pytest.mark.filterwarnings("ignore:.*weight_norm is deprecated"),
]
TICKS, SHAPE = 16, (2, 6, 6)


def imported(network: Any, scale: float = 1.0, shape: tuple[int, ...] = SHAPE) -> Any:
    return resolve.from_torch(network, InputSpec(shape, scale, timesteps=TICKS))


def compared(loaded: Any, high: int = 1, graph: Graph | None = None) -> Any:
    return prove.prove(loaded.reference, loaded.graph, graph or loaded.graph, (0, high))


def proven(case: Case) -> Graph:
    """The graph, after it was compared; all of its populations do something."""
    loaded = imported(case.make(), case.scale)
    check = compared(loaded, case.high)
    assert (check.precision, check.largest_difference, check.ties) == ("float64", 0.0, 0)
    graph: Graph = loaded.graph
    x = np.random.default_rng(0).integers(0, case.high + 1, (3, TICKS, *SHAPE))
    names = [node.name for node in graph.of(Neuron)]
    values = interp.run(graph, x, record=names).values
    sizes = sum(values[name][0, 0].size for name in names)
    assert check.neurons_compared == check.samples * TICKS * sizes
    assert check.samples > 3
    assert all(values[name].any() for name in names)
    return graph


@pytest.mark.parametrize("name", CASES)
def test_every_block_equals_the_module_at_every_tick(name: str) -> None:
    torch.manual_seed(1)
    proven(CASES[name])


@pytest.mark.parametrize("seed", fast(range(40), *range(6)))
def test_random_networks(seed: int) -> None:
    case = random_network(seed)
    loaded = imported(case.make(), case.scale)
    assert compared(loaded, case.high).samples


def test_names_delays_and_read_outs() -> None:
    graph = proven(CASES["nmnist"])
    assert [node.origin[0].path for node in graph.of(Neuron)] == ["blocks.1", "blocks.2", "blocks.3"]
    assert graph.nodes["layer1.synapse"].delays == tuple(range(1, 11))
    assert (graph.output.readout, graph.header.level) == ("sum", "integer")
    assert [remark["code"] for remark in graph.header.notes["remarks"]] == ["ND156"]
    voltages = proven(CASES["pilotnet"])
    assert voltages.output.readout == "last"
    # the spikes of blocks with a norm wait in front of the next one
    assert [node.delays for node in voltages.of(Synapse)] == [(1,), (0,), (1,), (1,)]


def test_the_integers_are_those_of_the_exported_file(tmp_path: Path) -> None:
    import h5py

    network = CASES["convolutions"].make()
    live = imported(network).graph
    network(torch.zeros(1, *SHAPE, 2))
    with h5py.File(tmp_path / "network.net", "w") as file:
        for i, block in enumerate(network):
            block.export_hdf5(file.create_group(f"layer/{i}"))
    stored = READER.load(tmp_path / "network.net", READER.Options(input_shape=SHAPE[::-1]), TICKS)
    for node in stored.of(Synapse):
        assert np.array_equal(live.nodes[node.name].weight, node.weight)
    assert [node.params for node in live.of(Neuron)] == [node.params for node in stored.of(Neuron)]


def test_the_module_stays_as_it_was() -> None:
    network = CASES["nmnist"].make().train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    draws = torch.random.get_rng_state()
    compared(imported(network))
    assert network.training
    assert torch.equal(torch.random.get_rng_state(), draws)
    assert {key: value.tolist() for key, value in network.state_dict().items()} == {
        key: value.tolist() for key, value in before.items()
    }
    assert network.blocks[1].neuron.shape is None
    assert network.blocks[1].synapse.weight_norm_enabled


def test_states_of_earlier_calls_do_not_matter() -> None:
    network = torch.nn.Sequential(
        slayer.block.cuba.Flatten(),
        slayer.block.cuba.Dense({**CUBA, "persistent_state": True}, 72, 5, weight_scale=4),
    )
    with torch.no_grad():
        network(torch.ones(3, *SHAPE, 5))
    assert network[1].neuron.voltage_state.any()
    assert compared(imported(network)).samples


@pytest.mark.parametrize("threshold", [0.0, 0.5, 64.0, 200.0])
def test_a_voltage_on_its_threshold_does_not_fire(threshold: float) -> None:
    """One spike puts the voltage exactly on it: the first of three neurons; one step more fires, one less does not."""
    weight = min(threshold, 2.0)
    params = {"threshold": threshold, "current_decay": 0.0 if threshold > 2 else 1.0, "voltage_decay": 1.0}
    block = slayer.block.cuba.Dense(params, 1, 3)
    network = torch.nn.Sequential(block)
    ticks = round(threshold / weight) if weight else 1
    with torch.no_grad():
        block.synapse.weight[:] = torch.tensor([0.0, 1 / 32, -1 / 32]).reshape(3, 1, 1, 1, 1) + weight
    spec = InputSpec((1,), timesteps=ticks + 1)
    loaded = resolve.from_torch(network, spec)
    x = np.ones((1, ticks + 1, 1), np.int64)
    spikes = interp.run(loaded.graph, x, record=["layer0"]).values["layer0"][:, 0]
    assert spikes[ticks].tolist() == [0, 1, 0]  # what arrives in this tick was summed up one before
    assert compared(loaded).neurons_compared


def chained(*blocks: Any) -> Any:
    return torch.nn.Sequential(slayer.block.cuba.Flatten(), *blocks)


def dense(**more: Any) -> Any:
    return slayer.block.cuba.Dense({**CUBA, **more}, 72, 5, weight_scale=3)


def odd(run: Callable[[Any, Any], Any]) -> Any:
    """A network whose forward does something between its blocks."""

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.flat, self.first = slayer.block.cuba.Flatten(), dense()
            self.second = slayer.block.cuba.Dense(CUBA, 5, 5, weight_scale=3)

        def forward(self, x: Any) -> Any:
            return run(self, x)

    return Network()


def sigma_delta(**more: Any) -> Any:
    return chained(slayer.block.sigma_delta.Dense(sdnn(**more), 72, 5))


def cuba(kind: str, *arguments: Any, **more: Any) -> Any:
    return getattr(slayer.block.cuba, kind)(*arguments, **more)


def alif() -> Any:
    params = {**CUBA, "threshold_step": 1, "threshold_decay": 0.1, "refractory_decay": 0.1}
    return chained(dense(), slayer.block.alif.Dense(params, 5, 5))


def negative() -> Any:
    def hook(weight: Any, descale: bool = False) -> Any:
        return -(10 * weight.abs()).round() * (64 if descale else 1)

    return chained(cuba("Dense", CUBA, 72, 5, pre_hook_fx=hook))


def both() -> Any:
    first = delayed(cuba("Dense", normed(5), 72, 5, delay=True), range(5))
    return chained(first, cuba("Affine", CUBA, 5, 2))


def channels() -> Any:
    return torch.nn.Sequential(delayed(cuba("Conv", CUBA, 2, 2, 3, delay=True), [0, 1]))


REFUSED: dict[str, tuple[Callable[[], Any], str, str]] = {
    "between": (lambda: odd(lambda n, x: n.second(2 * n.first(n.flat(x)))), "ND175", "else than what 'first'"),
    "twice": (lambda: odd(lambda n, x: n.second(n.second(n.first(n.flat(x))))), "ND175", "called twice"),
    "beside": (lambda: odd(lambda n, x: n.second(y := n.first(n.flat(x))) + y), "ND175", "returns something else"),
    "decoded": (lambda: odd(lambda n, x: n.first(n.flat(x)).mean(-1)), "ND175", "returns something else"),
    "fails": (lambda: odd(lambda n, x: n.second(x)), "ND103", ""),
    "alif": (alif, "ND109", "alif.Dense"),
    "average": (lambda: chained(dense(), cuba("Average", 5)), "ND109", "cuba.Average"),
    "neuron alone": (lambda: chained(dense(), slayer.neuron.cuba.Neuron(**CUBA)), "ND109", "outside of a block"),
    "graded": (lambda: chained(dense(graded_spike=True)), "ND109", "graded_spike"),
    "scale": (lambda: chained(dense(scale=100)), "ND109", "scale = 100"),
    "norm": (lambda: chained(dense(norm=slayer.neuron.norm.WgtScaleBatchNorm)), "ND109", "WgtScaleBatchNorm"),
    "not called": (lambda: chained(dense(shared_param=False)), "ND109", "draws at random"),
    "floats": (lambda: chained(cuba("Dense", CUBA, 72, 5, pre_hook_fx=None)), "ND109", "not quantised"),
    "hook": (lambda: chained(cuba("Dense", CUBA, 72, 5, pre_hook_fx=lambda w: w)), "ND109", "descale"),
    "counted": (lambda: chained(cuba("Dense", CUBA, 72, 5, count_log=True)), "ND109", "count_log"),
    "input": (lambda: torch.nn.Sequential(cuba("Input", CUBA, weight=0.7)), "ND109", "multiple of 1/2"),
    "input bias": (lambda: torch.nn.Sequential(cuba("Input", CUBA, bias=1)), "ND109", "bias of the input"),
    "pool": (lambda: torch.nn.Sequential(cuba("Pool", CUBA, 2, stride=1)), "ND109", "cross channels"),
    "odd pool": (lambda: torch.nn.Sequential(cuba("Pool", CUBA, 4)), "ND126", "'0'"),
    "conv delays": (channels, "ND109", "delays that differ"),
    "last norm": (lambda: chained(cuba("Dense", normed(5), 72, 5)), "ND175", "a tick later"),
    "norm and delays": (both, "ND175", "a delay for each channel"),
    "affine norm": (lambda: chained(cuba("Affine", normed(5), 72, 5)), "ND109", "Affine with a norm"),
    "recurrent norm": (lambda: chained(cuba("Recurrent", normed(5), 72, 5)), "ND109", "Recurrent with a norm"),
    "units": (lambda: chained(dense(), slayer.block.sigma_delta.Dense(sdnn(), 5, 5)), "ND175", "1/1 from '1'"),
    "raw": (lambda: sigma_delta(), "ND175", "scale 1.0"),
    "tanh": (lambda: sigma_delta(activation=torch.tanh), "ND109", "activation = tanh"),
    "cum_error": (lambda: sigma_delta(cum_error=True), "ND109", "cum_error"),
    "threshold": (lambda: sigma_delta(threshold=0.0), "ND109", "a threshold"),
    "rf norm": (
        lambda: chained(slayer.block.rf.Dense({**RF, "norm": slayer.neuron.norm.MeanOnlyBatchNorm}, 72, 5)),
        "ND109", "norm = MeanOnlyBatchNorm"),
    "negative": (negative, "ND109", "netx would change"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named(name: str) -> None:
    make, code, text = REFUSED[name]
    with pytest.raises(ImportModelError) as caught:
        imported(make())
    assert {problem.code for problem in caught.value.problems} == {code}
    assert text in str(caught.value)


def test_a_write_in_place_between_blocks_is_found() -> None:
    """The tensor is the same one, so the chain looks whole."""

    def run(network: Any, x: Any) -> Any:
        spikes = network.first(network.flat(x))
        spikes[:] = 0
        return network.second(spikes)

    loaded = imported(odd(run))
    with pytest.raises(ImportModelError, match="ND140") as caught:
        compared(loaded)
    assert "first" in caught.value.problems[0].where


def test_a_wrong_graph_is_found() -> None:
    loaded = imported(chained(dense(), slayer.block.cuba.Dense(CUBA, 5, 5, weight_scale=3)))
    node = loaded.graph.nodes["layer1"]
    nodes = {
        **loaded.graph.nodes,
        "layer1": replace(node, params={**node.params, "vth": node.params["vth"] // 2}),
    }
    with pytest.raises(ImportModelError, match="ND140"):
        compared(loaded, graph=replace(loaded.graph, nodes=nodes))


def test_a_module_that_casts_is_compared_in_single_precision() -> None:
    loaded = imported(odd(lambda n, x: n.second(n.first(n.flat(x.float())))))
    assert compared(loaded).precision == "float32"


@pytest.mark.parametrize("inputs", [2, 72, 2000])
def test_samples_on_which_a_state_does_not_fit_are_left_out(inputs: int) -> None:
    """Inhibition without a leak: a voltage saturates at -2^23, a larger current wraps; the module's do neither."""
    block = slayer.block.cuba.Dense({**CUBA, "current_decay": 0.0, "voltage_decay": 0.0}, inputs, 3)
    with torch.no_grad():
        block.synapse.weight[:] = -4
        block.synapse.weight[0, 0] = 1
    loaded = imported(torch.nn.Sequential(block), shape=(inputs,))
    if inputs == 2:
        assert compared(loaded).samples == 10
        return
    assert 1 <= compared(loaded).samples < 10
    with pytest.raises(ImportModelError, match="leaves its bits on every sample"):
        prove.prove(loaded.reference, loaded.graph, loaded.graph, (1, 1))


MINE = """
from tests import slayer_networks as made
from tests.later import torch

def network():
    torch.manual_seed(1)
    found = made.CASES[{name!r}].make()
    found.input_shape = (2, 6, 6)
    return found
"""


@pytest.mark.parametrize("name", fast(("pilotnet", "nmnist", "sigma_delta", "rf", "recurrent"), "pilotnet"))
def test_a_build_from_python_is_bit_true(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On interp = cpu = loihi-sim; also on Lava in the long proofs."""
    case = CASES[name]
    (tmp_path / f"mine_{name}.py").write_text(MINE.format(name=name))
    monkeypatch.syspath_prepend(tmp_path)
    x = np.random.default_rng(0).integers(0, case.high + 1, (24, TICKS, *SHAPE)).astype(np.uint8)
    y = np.arange(24) % 2
    frames = {
        "train_x": x,
        "train_y": y,
        "test_x": x[:4],
        "test_y": y[:4],
        "ticks": TICKS,
        "levels": case.high,
    }
    np.savez(tmp_path / "events.npz", **frames)
    data, folder = str(tmp_path / "events.npz"), str(tmp_path / "built")
    build = [
        "build",
        f"py:mine_{name}:network",
        "--data",
        data,
        "--set",
        f"scale={case.scale}",
        "--out",
        folder,
        "-q",
    ]
    assert cli.call([*build, "--target", "loihi-sim"]) == 0
    report = json.loads((tmp_path / "built" / "report.json").read_text())
    assert report["bit_true"]["equal"]
    assert set(report["bit_true"]["backends"]) == {"interp", "cpu", "loihi-sim"}
    assert (report["import_check"]["samples"], report["timesteps"]) == (10, TICKS)
    if name != "pilotnet":
        assert cli.call(["verify", folder, "--backend", "lava", "--samples", "1"]) == 0
