"""The import check: what it refuses and names, what it lets pass, and that the model is left as it was."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from neurodeploy import passes
from neurodeploy.errors import ImportModelError, Problem
from neurodeploy.frontends import lower
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.frontends.ops._base import Operator
from neurodeploy.frontends.proof import admissible
from neurodeploy.frontends.proof.types import ImportCheck
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.nodes import Input, Micro, Neuron, Output, Synapse
from neurodeploy.ir.types import Origin, Shape, Value
from neurodeploy.sources import resolve
from tests.later import Later, nn, torch

if TYPE_CHECKING:
    from torch import Tensor

    from neurodeploy.frontends import guest
    from neurodeploy.frontends.proof import causes, compare, prove, reference
    from tests import guests, import_cases
else:
    guests, import_cases = Later("tests.guests"), Later("tests.import_cases")
    guest = Later("neurodeploy.frontends.guest")
    causes, compare, prove, reference = (
        Later(f"neurodeploy.frontends.proof.{name}") for name in ("causes", "compare", "prove", "reference")
    )

SPEC = InputSpec((1, 8, 8), 1 / 16, timesteps=5)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


def proven(module: nn.Module, spec: InputSpec = SPEC) -> ImportCheck:
    """The import of a module, compared with it."""
    loaded = resolve.from_torch(module, spec)
    assert loaded.reference is not None
    return prove.prove(loaded.reference, loaded.graph, passes.simplify(loaded.graph), (0, 16))


def refused(module: nn.Module, spec: InputSpec = SPEC) -> Problem:
    with pytest.raises(ImportModelError) as caught:
        proven(module, spec)
    (problem,) = caught.value.problems
    return problem


def weighed(graph: Graph, name: str, factor: float) -> Graph:
    """A graph whose weights are off in one place."""
    node = graph.nodes[name]
    assert isinstance(node, Synapse)
    return replace(graph, nodes={**graph.nodes, name: replace(node, weight=node.weight * factor)})


def spiking(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return import_cases.net()


# --- equal ---------------------------------------------------------------------------------------------------------


def test_an_equal_import_says_what_was_compared() -> None:
    found = proven(spiking())
    neurons = 8 * 8 * 8 + 32
    assert (found.samples, found.ticks, found.precision, found.ties) == (admissible.MANY, 5, "float64", 0)
    # in batches, and each sample by itself
    assert found.outputs_compared == 2 * found.samples * 5 * 10
    assert found.neurons_compared == 2 * found.samples * 5 * neurons
    assert found.largest_difference < found.tolerance
    assert ImportCheck.parse(found.as_dict()) == found


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_precision_of_the_weights_makes_no_difference(dtype: str) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(144, 3))
    assert proven(module.to(getattr(torch, dtype))).precision == "float64"


def test_a_module_that_computes_in_single_precision_is_compared_with_a_wider_tolerance() -> None:
    torch.manual_seed(0)
    found = proven(nn.Sequential(nn.Conv2d(1, 4, 3), guests.Single(), nn.Linear(144, 3)))
    assert (found.precision, found.tolerance) == ("float32", 1e-3)


def test_inputs_whose_answer_is_a_rounding_error_are_left_out() -> None:
    torch.manual_seed(0)
    found = proven(guests.Chaotic())
    assert admissible.MANY // 2 <= found.samples < admissible.MANY and found.largest_difference < 1e-6


def test_a_wrong_import_is_found_on_the_others() -> None:
    torch.manual_seed(0)
    loaded = resolve.from_torch(guests.Chaotic(), SPEC)
    simple = passes.simplify(loaded.graph)
    last = [node.name for node in simple.of(Synapse)][-1]
    wrong = weighed(simple, last, 1.01)
    with pytest.raises(ImportModelError, match="ND140"):
        prove.prove(loaded.reference, loaded.graph, wrong, (0, 16))


def test_noise_is_never_left_out() -> None:
    """A step at a level: as little a change of the input changes the answer, and no rounding is the cause."""
    torch.manual_seed(0)
    module = guests.Holed().eval()
    loaded = resolve.from_torch(module, SPEC)
    module.holed = True
    with pytest.raises(ImportModelError, match="ND140"):
        prove.prove(loaded.reference, loaded.graph, passes.simplify(loaded.graph), (0, 16))


# --- differences and their places ------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", range(4))
def test_the_first_wrong_node_is_named(monkeypatch: pytest.MonkeyPatch, layer: int) -> None:
    """One of four layers of the same kind is lowered wrong."""
    known, seen = lower.operators(), []

    def wrong(lowering: Any, x: Any, inplace: bool = False) -> Any:
        seen.append(lowering.call.origin.path)
        return lowering.like(x, Micro, op="silu" if len(seen) - 1 != layer else "gelu")

    monkeypatch.setattr(lower, "operators", lambda: {**known, "silu": Operator("silu", "toy", wrong)})
    torch.manual_seed(0)
    sizes = (64, 20, 20, 20, 5)
    parts = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.SiLU())]
    problem = refused(nn.Sequential(nn.Flatten(), *parts))
    assert problem.code == "ND140" and len(seen) == 4
    assert problem.where.startswith(f"{seen[layer]} from {seen[layer]} [silu]")
    assert "index" in problem.found and problem.fixes == (prove.SWITCH,)


def test_a_pass_that_changes_numbers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = resolve.from_torch(spiking(), SPEC)
    simple = passes.simplify(loaded.graph)
    head = simple.of(Synapse)[-1]
    wrong = weighed(simple, head.name, 1.01)
    with pytest.raises(ImportModelError) as caught:
        prove.prove(loaded.reference, loaded.graph, wrong, (0, 16))
    assert caught.value.problems[0].code == "ND140"


def test_every_stored_number_matters() -> None:
    """Weights, time constants and thresholds, each off by one percent or two."""
    loaded = resolve.from_torch(spiking(), SPEC)
    simple = passes.simplify(loaded.graph)
    wrong = [weighed(simple, node.name, 1.01) for node in simple.of(Synapse)]
    for node in simple.of(Neuron):
        for name in ("beta", "gain", "threshold"):
            moved = replace(node, params={**node.params, name: node.params[name] * 1.02})
            wrong.append(replace(simple, nodes={**simple.nodes, node.name: moved}))
    assert len(wrong) == 3 + 2 * 3
    for graph in wrong:
        with pytest.raises(ImportModelError, match="ND140"):
            prove.prove(loaded.reference, loaded.graph, graph, (0, 16))


def test_a_wrong_time_constant_is_found_at_its_neuron(monkeypatch: pytest.MonkeyPatch) -> None:
    module = spiking()
    graph = resolve.from_torch(module, SPEC).graph
    module[6].tau = 1.9
    with pytest.raises(ImportModelError) as caught:
        prove.prove(reference.Reference(module, SPEC), graph, passes.simplify(graph), (0, 16))
    assert caught.value.problems[0].where.startswith("6 from 6 [neuron lif]")


# --- causes ----------------------------------------------------------------------------------------------------------

CAUSES = {
    "leaky read-out": "the attribute 'v' of '8' [Leaky]",
    "calls counted": "the attribute 'calls' of '8' [Counting]",
    "average in a buffer": "the attribute 'average' of '8' [Averaging]",
    "recurrent container": "the attribute 'y' of '2' [LinearRecurrentContainer]",
    "feedback": "the attribute 'last' of the model [Feedback]",
    "one neuron for two layers": "'lif' is called 2 times",
    "loop over time": "'net.2' is called 4 times",
    "batch taken for time": "'lif' takes its first axis for time",
    "random number": "'randn' draws random numbers in every call (import_cases.py:",
    "dropout left on": "random numbers in every call (import_cases.py:",
    "batch size as a number": "depends on the number of samples",
    "mean over samples": "depends on the number of samples in the batch, or on the others",
    "branch on values": "Python looks at a value",
    "long": "casts to numbers of another kind, which rounds (import_cases.py:",
    "in-place product of a slice": "'mul_' writes to a tensor in place (import_cases.py:",
    "hook of a neuron": "'2' has hooks",
    "pre-hook of the root": "the model has hooks",
    "forward replaced": "'forward' of the model was replaced",
}


@pytest.mark.parametrize("name", CAUSES)
def test_causes_are_found_by_looking(name: str) -> None:
    case = import_cases.CASES[name]
    torch.manual_seed(0)
    module = case.make()
    spec = InputSpec(case.shape, 1 / 16, timesteps=case.ticks)
    watched = reference.Reference(module, spec)
    raw = np.random.default_rng(2).integers(0, 17, (4, *case.shape))
    with watched.visiting():
        found = causes.likely(watched, raw, case.ticks, False)
    assert any(CAUSES[name] in text for text in found), found


def test_a_plain_module_has_no_causes() -> None:
    watched = reference.Reference(spiking(), SPEC)
    with watched.visiting():
        assert causes.likely(watched, np.full((3, 1, 8, 8), 7), 5, False) == []


def test_a_module_that_fails_on_what_it_has_to_take_is_refused() -> None:
    class OnlyTwo(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1) * torch.ones(2, 1, dtype=x.dtype)

    problem = refused(nn.Sequential(OnlyTwo(), nn.Linear(64, 3)))
    assert problem.code == "ND141"
    assert "must match the size" in problem.found
    assert any("every number of samples" in fix for fix in problem.fixes)


# --- ties ------------------------------------------------------------------------------------------------------------


def population(weight: np.ndarray, threshold: float) -> Graph:
    """A layer of integrate-and-fire neurons, and a head that reads each of them."""
    builder = Builder(Header("ties", "source", 3))
    shape = Shape(("C",), (weight.shape[1],))
    out = Shape(("C",), (len(weight),))
    builder.add(Input(name="input"), Value(shape))
    builder.add(Synapse(name="fc", inputs=("input",), weight=weight), Value(out))
    params = {"beta": 1.0, "gain": 1.0, "threshold": threshold}
    builder.add(Neuron(name="lif", inputs=("fc",), model="lif", params=params, origin=(Origin("lif", "neuron lif"),)),
                Value(out))  # fmt: skip
    builder.add(
        Synapse(name="head", inputs=("lif",), weight=np.arange(1.0, len(weight) + 1)[None]),
        Value(Shape(("K",), (1,))),
    )
    builder.add(Output(name="output", inputs=("head",), readout="last"), Value(Shape(("K",), (1,))))
    return builder.build()


def answers(graph: Graph, currents: np.ndarray, strict: bool = False) -> reference.Answers:
    """What a module of the same equations says to the same current (B, C) at every tick."""
    threshold, weight = graph.nodes["lif"].params["threshold"], graph.nodes["head"].weight
    v, spikes = np.zeros_like(currents), []
    for _ in range(3):
        h = v + currents
        spikes.append(((h > threshold) if strict else (h >= threshold)).astype(float))
        v = h * (1 - spikes[-1])
    told = np.stack(spikes)
    given = np.broadcast_to(currents, (3, *currents.shape))
    return reference.Answers(told @ weight.T, {"lif": told}, {"lif": lambda: given})


def test_ties_by_the_order_of_a_sum_are_counted_and_everything_else_is_compared() -> None:
    graph, x = population(np.array([[0.1] * 10, [0.3] * 10]), 1.0), np.ones((2, 10), np.int64)
    exact = interp.run(graph, x, record=["fc"]).values["fc"][0]
    moved = exact + np.array([[-2e-16, 0.0]]) * np.where(exact >= 1.0, 1, -1)
    assert ((moved >= 1) != (exact >= 1)).any()
    found = compare.Comparison(graph, x, "float64", ["lif"]).against(answers(graph, moved))
    assert found.difference is None and found.ties == 2
    # the other neuron of the same samples still counts
    wrong = answers(graph, moved)
    wrong.spikes["lif"][1, 1, 1] = 1 - wrong.spikes["lif"][1, 1, 1]
    difference = compare.Comparison(graph, x, "float64", ["lif"]).against(wrong).difference
    assert difference is not None and (difference.node, difference.tick, difference.index) == ("lif", 2, (1,))


def test_another_rule_at_exact_equality_is_no_tie() -> None:
    """Weights and thresholds of 1: nothing is rounded, and >= is not >."""
    graph, x = population(np.eye(4), 1.0), np.ones((2, 4), np.int64)
    currents = np.ones((2, 4))
    assert (
        compare.Comparison(graph, x, "float64", ["lif"]).against(answers(graph, currents)).difference is None
    )
    difference = (
        compare.Comparison(graph, x, "float64", ["lif"])
        .against(answers(graph, currents, strict=True))
        .difference
    )
    assert difference is not None and (difference.node, difference.tick) == ("lif", 1)


# --- the guest -------------------------------------------------------------------------------------------------------


def state(module: nn.Module) -> dict[str, Any]:
    parts = {name: (p.dtype, p.requires_grad, p.grad, p.tolist()) for name, p in module.named_parameters()}
    return {
        **parts, "training": [part.training for part in module.modules()], "calls": module.calls.tolist(),
        "trace": [t.tolist() for t in module.trace], "table": module.table["a"]["b"].tolist(),
        "keys": list(module.table), "plain": (module.plain.dtype, module.plain.tolist()),
        "array": module.array.tolist(),
        "seen": list(module.holder.seen), "count": module.count, "own": sorted(vars(module)),
        "hooks": list(module._forward_hooks), "random": (torch.get_rng_state().tolist(), random.getstate()),
        "numpy": np.random.get_state(legacy=False)["state"]["key"].tolist(), "default": torch.get_default_dtype(),
    }  # fmt: skip


def visited(module: nn.Module) -> None:
    """Called as the comparison calls it, from rest at each batch."""
    guests = reference.Reference(module, SPEC)
    with guests.visiting():
        first, again = (guests.run(np.full((count, 1, 8, 8), 3), 2).outputs for count in (3, 1))
    np.testing.assert_allclose(first[:, :1], again)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training: bool) -> None:
    torch.manual_seed(0)
    module = guests.Untidy()
    module.train(training)
    module.linear.weight.requires_grad_(False)
    module.linear(torch.ones(1, 64)).sum().backward()
    bias, gradient = module.linear.bias, module.linear.bias.grad
    module.register_forward_hook(lambda part, given, result: None)
    before, identities = (
        state(module),
        [id(part) for part in (module.trace, module.table, module.plain, module.array)],
    )
    for attempt in (proven, visited):
        with suppress(ImportModelError):
            attempt(module)
        assert state(module) == before
    assert [id(part) for part in (module.trace, module.table, module.plain, module.array)] == identities
    assert module.linear.bias is bias and bias.grad is gradient


def test_a_spiking_model_keeps_the_state_it_came_with() -> None:
    module = spiking()
    with torch.no_grad():
        module(torch.rand(2, 1, 8, 8))
    kept = module[2].v.clone()
    proven(module)
    assert torch.equal(module[2].v, kept) and module[0].weight.dtype == torch.float32


def test_a_reset_that_changes_parameters_is_not_used() -> None:
    class Fresh(nn.Linear):
        def reset(self) -> None:
            self.reset_parameters()

    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), Fresh(64, 3))
    weight = module[1].weight.detach().clone()
    assert proven(module).largest_difference < 1e-12
    assert torch.equal(module[1].weight, weight)


def test_a_snapshot_shares_what_an_earlier_one_holds() -> None:
    """Of buffers that are the same; what has changed since is copied, and both put back what they saw."""
    module = nn.BatchNorm1d(3)
    first = guest.Snapshot(module)
    module.running_mean.add_(1.0)
    second = guest.Snapshot(module, first)
    copies = [
        [s.tensors[id(t)].copy for t in (module.running_mean, module.running_var)] for s in (first, second)
    ]
    assert copies[0][0] is not copies[1][0] and copies[0][1] is copies[1][1]
    module.running_mean.add_(5.0)
    for snapshot, mean in ((second, 1.0), (first, 0.0)):
        snapshot.restore()
        assert torch.equal(module.running_mean, torch.full((3,), mean))


# --- inputs, and files ---------------------------------------------------------------------------------------------


def test_raw_inputs_hold_the_corners_of_what_is_admissible() -> None:
    graph = resolve.from_torch(spiking(), SPEC).graph
    raw = admissible.samples(graph, (0, 16), np.full((5, 1, 8, 8), 3), few=False)
    kinds = {tuple(np.unique(sample)) for sample in raw}
    assert raw.shape == (admissible.MANY, 1, 8, 8) and raw.min() == 0 and raw.max() == 16
    assert {(3,), (0,), (16,), (0, 16)} <= kinds and max(map(len, kinds)) > 10
    assert any((sample == 16).sum() == 1 for sample in raw)
    few = admissible.samples(graph, (0, 16), np.full((5, 1, 8, 8), 3), few=True)
    own, noise = few
    assert (own == 3).all() and len(np.unique(noise)) > 10


def test_texts_are_filled_up_at_several_lengths() -> None:
    torch.manual_seed(0)
    spec = InputSpec((9,), tokens=True)
    loaded = resolve.from_torch(guests.Masked(), spec)
    assert loaded.reference is not None
    raw = admissible.samples(loaded.graph, (0, 1), None, few=False)
    assert len({int((text != 0).sum()) for text in raw}) >= 4 and raw.max() == 10
    found = proven(guests.Masked(), spec)
    assert found.samples == admissible.MANY and found.largest_difference < 1e-9


@pytest.mark.parametrize("batch", [1, 2, 4, None])
def test_an_exported_program_is_compared_in_the_batches_that_it_takes(
    tmp_path: Any, batch: int | None
) -> None:
    torch.manual_seed(0)
    module = guests.Small().eval()
    dynamic = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)} if batch is None else {}
    program = torch.export.export(module, (torch.rand(batch or 3, 1, 8, 8),), **dynamic)
    torch.export.save(program, tmp_path / "net.pt2")
    loaded = resolve.resolve(str(tmp_path / "net.pt2"), scale=1 / 16).loader()
    assert loaded.reference.batch == batch
    found = prove.prove(loaded.reference, loaded.graph, passes.simplify(loaded.graph), (0, 16))
    assert found.largest_difference < 1e-9
    head = loaded.graph.of(Synapse)[-1]
    wrong = weighed(loaded.graph, head.name, 1.01)
    with pytest.raises(ImportModelError, match="ND140"):
        prove.prove(loaded.reference, wrong, wrong, (0, 16))


def test_an_axis_of_a_module_may_be_two_of_the_graph() -> None:
    """Heads inside of the channels, behind a view that the passes moved; a permutation alone does not fit."""
    said = np.random.default_rng(0).integers(0, 2, (3, 2, 6, 4)).astype(float)
    kept = said.reshape(3, 2, 2, 3, 4).transpose(0, 1, 2, 4, 3)
    arrange = compare.arrangement(said, kept)
    assert arrange is not None and np.array_equal(arrange(said), kept)
    assert compare.arrangement(said, np.zeros((3, 2, 5, 5))) is None
