"""Models that run all of their ticks in one call: the graph of one tick says what they say, or they are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from neurodeploy import passes
from neurodeploy.errors import ImportModelError
from neurodeploy.frontends import leaves
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Micro, Neuron, Synapse
from neurodeploy.sources import resolve
from tests.fast import fast
from tests.later import Later, Tensor, nn, torch

if TYPE_CHECKING:
    from neurodeploy.frontends.proof import prove
    from tests import jelly, published
else:
    jelly, published = Later("tests.jelly"), Later("tests.published")
    prove = Later("neurodeploy.frontends.proof.prove")

SCALE, LEVELS = 1 / 16, 16
RAW = np.random.default_rng(0).integers(0, LEVELS + 1, (3, 1, 8, 8))
SYSTEMS = ("spikformer", "spike_driven", "metaformer", "token_gate", "dual_attention", "binary_map")
FORMS = (
    "accumulated", "in place", "begun before", "stacked", "stacked behind", "returned", "joined", "summed", "last",
    "stem once", "frames first", "frames second", "feedback", "in turns", "weighted", "scaled by its number", "middle",
)  # fmt: skip
DIFFERING = FORMS[-2:]


def imported(model: Any, timesteps: int = 4) -> Graph:
    """The graph, compared with the model."""
    loaded = resolve.from_torch(model, InputSpec((1, 8, 8), SCALE, timesteps=timesteps))
    graph = passes.simplify(loaded.graph)
    assert loaded.reference is not None
    check = prove.prove(loaded.reference, loaded.graph, graph, (0, LEVELS))
    assert check.neurons_compared > 0
    return graph


def refused(model: Any) -> list[str]:
    with pytest.raises(ImportModelError) as caught:
        imported(model)
    return [problem.code for problem in caught.value.problems]


def said(model: Any, x: np.ndarray = RAW) -> np.ndarray:
    """What a model in double precision says to raw images, from rest; the first of several results."""
    model = model.double().eval()
    for part in model.modules():
        if hasattr(part, "reset"):
            part.reset()
    with torch.no_grad():
        out = model(torch.tensor(x * SCALE))
    return (out[0] if isinstance(out, tuple) else out).numpy()


def agrees(graph: Graph, wanted: np.ndarray) -> None:
    x = np.stack([RAW] * graph.header.timesteps, 1) if graph.input.per_tick else RAW
    np.testing.assert_allclose(interp.run(graph, x).outputs[-1], wanted, atol=1e-9)


@pytest.mark.parametrize("name", fast(SYSTEMS, "spike_driven", "dual_attention"))
def test_published_code_is_imported_as_it_is(name: str) -> None:
    model = getattr(published, name)()
    graph = imported(model)
    wanted = said(model)
    agrees(graph, wanted.mean(0) if wanted.ndim == 3 else wanted)
    assert graph.header.timesteps == 4
    populations = [node.name for node in graph.of(Neuron)]
    rates = [spikes.mean() for spikes in interp.run(graph, RAW, record=populations).values.values()]
    assert 0.01 < np.mean(rates) < 0.9


@pytest.mark.parametrize(
    "spread", fast(["expand", "stack", "cat", "zeros", "second axis"], "stack", "second axis")
)
def test_time_is_made_in_many_ways(spread: str) -> None:
    model = published.seeded(lambda: published.Spikformer(spread))
    agrees(imported(model), said(model))


@pytest.mark.parametrize("read", fast(["sum", "last", "behind the head", "all"], "sum", "all"))
def test_ticks_are_put_together_in_many_ways(read: str) -> None:
    model = published.seeded(lambda: published.Spikformer(read=read))
    graph = imported(model)
    agrees(graph, said(model).mean(0) if read == "all" else said(model))
    assert graph.output.readout == {"sum": "sum", "last": "last"}.get(read, "mean")


@pytest.mark.parametrize(("form", "axis"), [("given first", 0), ("given second", 1)])
def test_a_model_that_takes_frames_is_given_them(form: str, axis: int) -> None:
    class Frames(published.Spikformer):
        def in_time(self, x: Tensor) -> Tensor:
            assert x.dim() == 5 and x.shape[axis] == 3
            return x if axis == 0 else x.transpose(0, 1)

    model = published.seeded(lambda: Frames(form))
    graph = imported(model, timesteps=3)
    assert graph.header.timesteps == 3
    agrees(graph, said(model, np.stack([RAW] * 3, axis)))


@pytest.mark.parametrize(
    ("name", "given"), [("spike_driven", 1), ("dual_attention", 1), ("token_by_token", None)]
)
def test_frames_of_the_data_go_into_the_ticks(name: str, given: int | None) -> None:
    """A model that would repeat an image is given frames where the data have some; so is one whose call is a tick."""
    model = (
        published.seeded(lambda: published.Loop("last", 1)) if given is None else getattr(published, name)()
    )
    frames = np.random.default_rng(1).integers(0, LEVELS + 1, (3, 3, 1, 8, 8))
    loaded = resolve.from_torch(model, InputSpec((1, 8, 8), SCALE, timesteps=3, frames=True))
    graph = passes.simplify(loaded.graph)
    assert loaded.reference is not None
    assert prove.prove(loaded.reference, loaded.graph, graph, (0, LEVELS)).neurons_compared > 0
    assert (graph.input.per_tick, graph.header.timesteps) == (True, 3)
    if given is None:
        said(model, frames[:, 0])
        with torch.no_grad():
            later = [model(torch.tensor(frames[:, t] * SCALE)).numpy() for t in (1, 2)]
        wanted = (said(model, frames[:, 0]) + sum(later)) / 3
    else:
        wanted = said(model, frames)
        wanted = wanted.mean(0) if wanted.ndim == 3 else wanted
    np.testing.assert_allclose(interp.run(graph, frames).outputs[-1], wanted, atol=1e-9)


@pytest.mark.parametrize(
    "form",
    fast(FORMS[:-2], "accumulated", "in place", "returned", "last", "frames second", "feedback", "in turns"),
)
def test_a_loop_over_ticks_is_one_tick(form: str) -> None:
    model = published.seeded(lambda: published.Loop(form))
    graph = imported(model, timesteps=5)
    assert (graph.header.timesteps, len(graph.of(Neuron)), bool(graph.feedback)) == (5, 2, form == "feedback")
    axis = {"frames first": 0, "frames second": 1}.get(form)
    wanted = said(model, RAW if axis is None else np.stack([RAW] * 5, axis))
    agrees(graph, wanted.mean(0) if form == "returned" else wanted)


@pytest.mark.parametrize("form", DIFFERING)
def test_ticks_that_differ_are_refused(form: str) -> None:
    assert set(refused(published.seeded(lambda: published.Loop(form)))) == {published.DIFFERING[form]}


def test_every_form_is_tried() -> None:
    assert tuple(published.FORMS) == FORMS
    assert set(DIFFERING) == set(published.DIFFERING)


class Flat:
    """What the tests below put between a convolution and a head, with time as (T * B) or (T, B)."""

    def __new__(cls, middle: Any, steps: int = 4, **options: Any) -> Any:
        class Network(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv, self.lif = nn.Conv2d(1, 8, 3), jelly.LIFNode(step_mode="m", **options)
                self.head = nn.Linear(288, 5)
                with torch.no_grad():
                    self.conv.weight.mul_(3)

            def forward(self, x: Tensor) -> Tensor:
                batch = x.shape[0]
                x = x.unsqueeze(0).repeat(steps, 1, 1, 1, 1)
                return middle(self, self.conv(x.flatten(0, 1)), steps, batch)

        return published.seeded(Network)


@pytest.mark.parametrize("steps", [4, 1])
def test_ticks_and_samples_in_one_axis_are_what_a_sample_alone_means(steps: int) -> None:
    model = Flat(
        lambda net, u, t, b: net.head(
            net.lif(2 * net.first(u.reshape(t, b, -1)).flatten(0, 1) - 1).reshape(t, b, -1)
        ).mean(0),
        steps,
        v_threshold=0.3,
    )
    model.first = jelly.LIFNode(v_threshold=0.05, step_mode="m")
    graph = imported(model)
    (remark,) = graph.header.notes["remarks"]
    assert remark["code"] == "ND164"
    agrees(graph, np.concatenate([said(model, RAW[i : i + 1]) for i in range(3)]))
    assert np.abs(said(model) - np.concatenate([said(model, RAW[i : i + 1]) for i in range(3)])).max() > 0.01


VOLUMES: dict[str, Any] = {
    "windows": lambda x: nn.functional.max_pool3d(x, (1, 3, 3), 1, (0, 1, 1)),
    "means": lambda x: nn.functional.adaptive_avg_pool3d(x, (None, 1, 1)).expand_as(x),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes_of_one_tick_leave_time_alone(name: str) -> None:
    """(T, B, C, Y, X) is pooled as a volume of which B is the channels and C the depth."""
    pool = VOLUMES[name]
    model = Flat(lambda net, u, t, b: net.head(pool(net.lif(u.reshape(t, b, 8, 6, 6))).flatten(2)).mean(0))
    agrees(imported(model), said(model))


#: what stands between convolution and head -> the code
MIXED = {
    "some of the ticks": (
        lambda net, u, t, b: net.head(net.lif(u.reshape(t, b, -1))[1:]).mean(0),
        "ND162",
    ),
    "maximum over ticks": (lambda net, u, t, b: net.head(net.lif(u.reshape(t, b, -1)).amax(0)), "ND162"),
    "softmax over ticks": (
        lambda net, u, t, b: net.head(net.lif(u.reshape(t, b, -1)).softmax(0)).sum(0),
        "ND162",
    ),
    "bend of the mean": (lambda net, u, t, b: net.head(net.lif(u.reshape(t, b, -1)).mean(0)).relu(), "ND162"),
    "neuron of the mean": (
        lambda net, u, t, b: net.lif(net.head(net.lif(u.reshape(t, b, -1)).mean(0))),
        "ND1",
    ),
    "windows over samples and ticks": (
        lambda net, u, t, b: net.head(
            nn.functional.max_pool3d(net.lif(u.reshape(t, b, -1))[:, None, None], (3, 1, 1), 1, (1, 0, 0))
            .squeeze(2)
            .squeeze(1)
        ).mean(0),
        "ND1",
    ),
    "samples for time": (lambda net, u, t, b: net.head(net.lif(u.reshape(b, t, -1))).mean(1), "ND1"),
}


@pytest.mark.parametrize("name", MIXED)
def test_what_joins_ticks_is_refused(name: str) -> None:
    middle, code = MIXED[name]
    assert all(found.startswith(code) for found in refused(Flat(middle)))


def test_a_neuron_of_single_ticks_is_not_given_all() -> None:
    model = Flat(lambda net, u, t, b: net.head(net.lif(u.reshape(t, b, -1))).mean(0))
    model.lif = nn.Sequential(model.lif, jelly.LIFNode())
    assert refused(model) == ["ND163"]


def test_a_place_that_is_written_from_behind_is_read_from_the_front() -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    from neurodeploy.frontends import written

    def program(x: Tensor) -> Tensor:
        kept = torch.zeros(3, 2)
        for place in range(3):
            kept[place] = (place + 1) * x
        kept[-1] = 5 * x
        return kept[2] + kept[-3]

    x = torch.tensor([1.0, -2.0])
    made = make_fx(torch.func.functionalize(program))(x)
    written._read_as_written(made.graph)
    made.recompile()
    assert torch.equal(made(x), program(x))
    assert not any("scatter" in str(node.target) for node in made.graph.nodes)


def test_frames_that_neurons_of_single_ticks_are_given_at_once_are_named() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = nn.Linear(64, 5), jelly.LIFNode()

        def forward(self, frames: Tensor) -> Tensor:
            return self.lif(self.fc(frames.flatten(2))).mean(0)

    with pytest.raises(ImportModelError, match="ND163"):
        resolve.from_torch(Network(), InputSpec((1, 8, 8), SCALE, timesteps=4, frames=True))


def test_a_bias_behind_the_sum_counts_once() -> None:
    class Biased(published.Spikformer):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat((super().forward(x) + torch.arange(10.0), torch.ones(x.shape[0], 2)), 1)

    model = published.seeded(lambda: Biased(read="sum"))
    agrees(imported(model), said(model))


def handed_on(neuron: str, hand: Any, **options: Any) -> Any:
    """Two neurons of snnTorch in a loop; ``hand`` says what the second is given of what it returned."""
    snn = pytest.importorskip("snntorch")
    decays = {"alpha": 0.7, "beta": 0.8} if neuron == "Synaptic" else {"beta": 0.8}

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(64, 30), nn.Linear(30, 5)
            self.lif1, self.lif2 = (getattr(snn, neuron)(**decays, **options) for _ in range(2))
            with torch.no_grad():
                self.fc1.weight.mul_(3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            first, second = (n.reset_mem() for n in (self.lif1, self.lif2))
            first, second = (s if isinstance(s, tuple) else (s,) for s in (first, second))
            spikes, membranes = [], []
            for _ in range(6):
                one, *first = self.lif1(self.fc1(x.flatten(1)), *first)
                two, *second = self.lif2(self.fc2(one.type_as(x)), *hand(first, second))
                spikes.append(two.type_as(x))
                membranes.append(second[-1])
            return torch.stack(spikes), torch.stack(membranes)

    return published.seeded(Network)


@pytest.mark.parametrize(
    ("neuron", "reset"), [("Leaky", "subtract"), ("Lapicque", "zero"), ("Synaptic", "zero")]
)
def test_states_that_their_caller_hands_on(neuron: str, reset: str) -> None:
    model = handed_on(neuron, lambda first, second: second, reset_mechanism=reset)
    graph = imported(model)
    assert [remark["code"] for remark in graph.header.notes["remarks"]] == ["ND156"]
    agrees(graph, said(model).mean(0))


@pytest.mark.parametrize(
    "hand", [lambda first, second: second[::-1], lambda first, second: [s * 0 for s in second]]
)
def test_states_of_another_are_refused(hand: Any) -> None:
    assert set(refused(handed_on("Synaptic", hand))) == {"ND165"}


def test_a_membrane_is_no_read_out() -> None:
    model = handed_on("Leaky", lambda first, second: second)
    forward = model.forward
    model.forward = lambda x: forward(x)[1].sum(0)
    assert refused(model) == ["ND165"]


@pytest.mark.parametrize("where", ["sum", "mean"])
def test_what_is_behind_the_read_out_is_no_part_of_a_tick(where: str) -> None:
    """The same module before and behind it: its bias counts once there, and what bends is refused there alone."""

    def middle(net: Any, u: Tensor, t: int, b: int) -> Tensor:
        spikes = net.lif(u.reshape(t, b, -1))
        if where == "sum":
            return net.head(spikes).sum(0) * 0.5 + net.head(spikes.sum(0))
        return net.head(spikes).relu().mean(0) + net.head(spikes.mean(0)).relu()

    model = Flat(middle)
    if where == "mean":
        assert refused(model) == ["ND162"]
    else:
        agrees(imported(model), said(model))


def kept(read: bool) -> Any:
    """A neuron of snnTorch whose membrane the model keeps from call to call, and may ``read``."""
    snn = pytest.importorskip("snntorch")

    class Kept(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif, self.mem = nn.Linear(64, 5), snn.Leaky(beta=0.8), None
            with torch.no_grad():
                self.fc.weight.mul_(4)

        def reset(self) -> None:
            self.mem = None

        def forward(self, x: Tensor) -> Tensor:
            mem = torch.zeros(x.shape[0], 5) if self.mem is None else self.mem.detach()
            spikes, self.mem = self.lif(self.fc(x.flatten(1)), mem)
            return spikes + mem if read else spikes

    return published.seeded(Kept)


def test_a_state_that_the_model_keeps_between_calls_is_its_neurons() -> None:
    graph = imported(kept(read=False))
    assert [node.model for node in graph.of(Neuron)] == ["general_lif"]
    assert refused(kept(read=True)) == ["ND165"]


#: what a network does with numbers of its own for each tick, (4, 1, 1) or (4, 1, 128)
BY_TICK: dict[str, Any] = {
    "scale": lambda net, u: net.second(net.scale * net.lif(u)),
    "offset": lambda net, u: net.second(net.lif(u) + net.offset),
    "difference": lambda net, u: net.second(net.offset - net.lif(u)),
    "ratio of currents": lambda net, u: net.second(net.lif(u / net.scale)),
    "behind ticks and samples": lambda net, u: net.second(
        (
            net.lif(u).flatten(0, 1).unflatten(0, (4, -1)).transpose(1, 2) * net.offset.transpose(1, 2)
        ).transpose(1, 2)
    ),
    "weights of ticks": lambda net, u: net.second(net.lif(u)) * torch.arange(4.0).reshape(4, 1, 1),
}


def by_tick(name: str, equal: bool = False) -> Any:
    """Two populations with numbers for each of four ticks between them, and a head."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.head = nn.Linear(64, 128), nn.Linear(128, 10)
            self.lif = jelly.LIFNode(step_mode="m")
            self.second = jelly.LIFNode(step_mode="m", v_threshold=0.4)
            values = [1.5] * 4 if equal else [1.0, -0.5, 2.0, 0.7]
            self.scale = nn.Parameter(torch.tensor(values).view(4, 1, 1))
            self.offset = nn.Parameter(torch.randn(1 if equal else 4, 1, 128).expand(4, 1, 128).clone())

        def forward(self, x: Tensor) -> Tensor:
            u = self.fc(x.flatten(1)) * 2
            return self.head(BY_TICK[name](self, u.unsqueeze(0).repeat(4, 1, 1))).sum(0)

    return published.seeded(Network)


@pytest.mark.parametrize("name", BY_TICK)
def test_numbers_for_each_tick_are_kept(name: str) -> None:
    model = by_tick(name)
    graph = imported(model)
    agrees(graph, said(model))
    assert [node.op for node in graph.of(Micro)] == ["affine_by_tick"]


@pytest.mark.parametrize("name", ["scale", "offset"])
def test_numbers_for_each_tick_are_one_where_all_are_equal(name: str) -> None:
    model = by_tick(name, equal=True)
    graph = imported(model)
    agrees(graph, said(model))
    assert not graph.of(Micro)


@pytest.mark.parametrize("where", fast(["repeat", "expand", "cat", "behind"], "repeat", "behind"))
def test_a_channel_that_is_repeated_as_often_is_no_time(where: str) -> None:
    class Coloured(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.lif, self.head = (
                nn.Conv2d(4, 8, 3),
                jelly.LIFNode(step_mode="m"),
                nn.Linear(288, 5),
            )
            with torch.no_grad():
                self.conv.weight.mul_(3)

        def forward(self, x: Tensor) -> Tensor:
            match where:
                case "repeat":
                    x = x.repeat(1, 4, 1, 1)
                case "expand":
                    x = x.expand(-1, 4, -1, -1)
                case "cat":
                    x = torch.cat([x] * 4, 1)
            x = x.unsqueeze(0).repeat(4, 1, 1, 1, 1)
            x = x.repeat(1, 1, 4, 1, 1) if where == "behind" else x
            spikes = self.lif(self.conv(x.flatten(0, 1)).unflatten(0, (4, -1)))
            return self.head(spikes.flatten(2)).mean(0)

    model = published.seeded(Coloured)
    agrees(imported(model), said(model))


def test_parameters_of_channels_are_read_in_their_shape() -> None:
    snn = pytest.importorskip("snntorch")
    beta = torch.tensor([0.2, 0.5, 0.7, 0.9]).view(4, 1, 1)

    class Channels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.lif = nn.Conv2d(1, 4, 3), snn.Leaky(beta, threshold=2 * beta, init_hidden=True)
            self.head = nn.Linear(144, 5)
            with torch.no_grad():
                self.conv.weight.mul_(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.lif(self.conv(x)).flatten(1).type_as(x))

    (neuron,) = imported(published.seeded(Channels)).of(Neuron)
    np.testing.assert_array_equal(neuron.params["beta"], beta.numpy().astype(np.float64))


def test_a_network_without_states_is_told_that_its_ticks_are_alike() -> None:
    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(144, 10)

        def forward(self, x: Tensor) -> Tensor:
            spikes = self.conv(x.unsqueeze(0).repeat(4, 1, 1, 1, 1).flatten(0, 1)).clamp(0, 4).round() / 4
            return self.head(spikes.flatten(1)).unflatten(0, (4, -1)).mean(0)

    with pytest.raises(ImportModelError) as caught:
        imported(Counted())
    (problem,) = caught.value.problems
    assert problem.code == "ND105" and "all ticks are alike" in problem.fixes[0]


def test_a_network_that_returns_a_neuron_with_its_states() -> None:
    """A Sequential whose last neuron of snnTorch returns (spikes, membrane)."""
    snn = pytest.importorskip("snntorch")

    def made() -> Any:
        last = snn.Leaky(beta=0.5, init_hidden=True, output=True)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 5), last)

    model = published.seeded(made)
    graph = imported(model)
    assert [remark["code"] for remark in graph.header.notes["remarks"]] == ["ND156"]


@pytest.mark.parametrize("options", [{"linear_features": 12}, {"all_to_all": False, "V": 0.5}])
@pytest.mark.parametrize("neuron", ["RLeaky", "RSynaptic"])
def test_recurrent_neurons_of_snntorch(neuron: str, options: dict[str, Any]) -> None:
    """They ask whether they are handed a state by ``==``, and make their first one like the last."""
    snn = pytest.importorskip("snntorch")
    decays = {"alpha": 0.7, "beta": 0.8} if neuron == "RSynaptic" else {"beta": 0.8}

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.neuron, self.head = (
                nn.Linear(64, 12), getattr(snn, neuron)(**decays, **options), nn.Linear(12, 5)
            )  # fmt: skip

        def forward(self, x: Tensor) -> Tensor:
            states, total = self.neuron.reset_mem(), 0
            for _ in range(4):
                states = self.neuron(self.fc(x.flatten(1)), *states)
                total = total + self.head(states[0])
            return total

    graph = imported(published.seeded(Network))
    assert any(isinstance(node, Synapse) and node.delay for node in graph.nodes.values())


def test_a_loop_with_feedback_beside_neurons_that_run_over_time() -> None:
    """One layer takes tick by tick and remembers, the others are given all ticks in one call."""

    class Feedback(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix, self.lif, self.last = nn.Linear(24, 12), jelly.LIFNode(), None

        def reset(self) -> None:
            self.last = None

        def forward(self, sequence: Tensor) -> Tensor:
            sent: list[Tensor] = []
            for x in sequence:
                if self.last is None:
                    self.last = torch.zeros_like(x)
                self.last = self.lif(4 * self.mix(torch.cat((x, self.last), -1)))
                sent.append(self.last)
            return torch.stack(sent)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif, self.feedback = nn.Linear(64, 12), published.lif(), Feedback()

        def forward(self, x: Tensor) -> Tensor:
            every = self.fc(x.flatten(1)).repeat(4, 1, 1)
            return self.feedback(self.lif(4 * every)).mean(0)

    model = published.seeded(Network)
    agrees(imported(model), said(model))


def test_what_a_model_is_refused_for_is_said_of_the_form_that_it_takes() -> None:
    """Given frames it works along time; one frame it would take for a batch, which is not what it is refused for."""

    class Differences(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = nn.Linear(8, 5), published.lif()

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(self.fc(x[1:] - x[:-1])).mean(0)

    with pytest.raises(ImportModelError) as caught:
        resolve.from_torch(Differences(), InputSpec((8,), SCALE, timesteps=4, frames=True))
    assert {problem.code for problem in caught.value.problems} == {"ND162"}


@pytest.mark.parametrize(
    ("name", "options"), [("SLSTM", (8, 4)), ("SConv2dLSTM", (1, 2, 3)), ("Alpha", (0.9, 0.8))]
)
def test_neurons_of_snntorch_without_a_model_are_refused_by_name(
    name: str, options: tuple[float, ...]
) -> None:
    snn = pytest.importorskip("snntorch")
    leaf = leaves.leaf_of(getattr(snn, name)(*options))
    assert leaf is not None and leaf.problem.startswith(f"{name}: ")


def test_a_call_that_hands_its_neurons_where_they_begin_is_a_whole_sample() -> None:
    """A tick of snnTorch that forgets: every call is the first."""
    snn = pytest.importorskip("snntorch")

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = nn.Linear(64, 5), snn.Leaky(beta=0.8)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            spikes, membrane = self.lif(4 * self.fc(x.flatten(1)), self.lif.reset_mem())
            return spikes, membrane

    loaded = resolve.from_torch(published.seeded(Network), InputSpec((1, 8, 8), SCALE, timesteps=4))
    graph = passes.simplify(loaded.graph)
    assert loaded.reference is not None and graph.header.timesteps == 1
    prove.prove(loaded.reference, loaded.graph, graph, (0, LEVELS))


def test_a_neuron_of_snntorch_without_a_reset_is_read_by_its_membrane() -> None:
    snn = pytest.importorskip("snntorch")

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(64, 12), nn.Linear(12, 5)
            self.lif = snn.Leaky(beta=0.8)
            self.read = snn.Leaky(beta=0.9, reset_mechanism="none")

        def forward(self, x: Tensor) -> Tensor:
            first, second, voltages = self.lif.reset_mem(), self.read.reset_mem(), []
            for _ in range(4):
                spikes, first = self.lif(4 * self.fc1(x.flatten(1)), first)
                _, second = self.read(self.fc2(spikes), second)
                voltages.append(second)
            return torch.stack(voltages)

    graph = imported(published.seeded(Network))
    assert [node.model for node in graph.of(Neuron)] == ["general_lif", "leaky_integrator"]
