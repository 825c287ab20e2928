"""What cannot be imported: the code, the place, everything at once, and no traceback of torch's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from neurodeploy.codes import CODES
from neurodeploy.errors import ImportModelError, Problem
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.ir import interp
from neurodeploy.ir.nodes import Synapse
from neurodeploy.sources import resolve, zoo
from tests.later import Tensor, modules, nn, torch, torch_export, torch_fx
from tests.later import functional as F
from tests.unit.frontends.functions import SHAPE


def refused(network: nn.Module, front_end: str = "fx", shape: tuple[int, ...] = SHAPE) -> list[Problem]:
    with pytest.raises(ImportModelError) as caught:
        if front_end == "float":
            torch_export.import_module(network, InputSpec(modules.Small.input_shape))
        elif front_end == "fx":
            torch_fx.import_module(network.double(), InputSpec(shape))
        else:
            torch_export.import_module(network.double(), InputSpec(shape))
    assert all(p.code in CODES for p in caught.value.problems)
    return list(caught.value.problems)


BOTH = pytest.mark.parametrize("front_end", ["fx", "export"])


def _changed(x: Tensor, write: Callable[[Tensor], object]) -> Tensor:
    x = x * 1.5
    write(x)
    return x


def _filled(x: Tensor) -> Tensor:
    """Written into a new tensor, which makes fx trace once more."""
    room = torch.zeros(x.shape, dtype=x.dtype)
    room[..., 1:] = x[..., 1:]
    return room


#: name -> (function, code, text of the cause)
CASES: dict[str, tuple[Callable[[modules.Apply, Tensor], Tensor], str, str]] = {
    "sine": (lambda s, x: torch.sin(x), "ND101", "sin"),
    "division by a stream": (lambda s, x: x / (1 + x), "ND101", "division by a stream"),
    "mean over samples": (lambda s, x: x.mean(0), "ND105", "batch axis"),
    "softmax over samples": (lambda s, x: x.softmax(0), "ND105", "batch axis"),
    "sum of everything": (lambda s, x: x.sum(), "ND105", "batch axis"),
    "one sample of the batch": (lambda s, x: x[0], "ND105", "batch axis"),
    "batch in the middle": (lambda s, x: x.permute(1, 0, 2, 3), "ND105", "first axis"),
    "batch mixed by a reshape": (lambda s, x: x.permute(1, 2, 3, 0).reshape(-1, 3), "ND105", "reshape"),
    "samples multiplied": (lambda s, x: x.flatten(1) @ x.flatten(1).t(), "ND105", "product"),
    "statistics of the batch": (
        lambda s, x: F.batch_norm(x, s.mean.clone(), s.var.clone(), training=True),
        "ND10",
        "",
    ),
    "kernel from the input": (lambda s, x: F.conv2d(x, x[:2, :2, :3, :3].repeat(1, 2, 1, 1)), "ND10", ""),
    "maximum of what is hidden whole": (
        lambda s, x: F.max_pool2d(F.pad(x, (2, 2, 2, 2), value=-torch.inf), 2),
        "ND101",
        "hidden",
    ),
    "hidden border that is added to": (
        lambda s, x: F.pad(x, (1, 1, 1, 1), value=-torch.inf).mean(1),
        "ND101",
        "softmax",
    ),
    "Fourier transform that is scaled": (
        lambda s, x: torch.fft.fft(x, norm="ortho").real,
        "ND101",
        "Fourier",
    ),
    "magnitude of a Fourier transform": (lambda s, x: torch.fft.fft(x).abs(), "ND1", ""),
    "exponential without a bound": (lambda s, x: torch.exp(x), "ND101", "exponential"),
    "maximum of all": (lambda s, x: x - x.max(), "ND101", "all elements"),
    "constant matrices": (
        lambda s, x: torch.baddbmm(x.reshape(-1, 6, 6), *[s.m.expand(4 * x.shape[0], 6, 6)] * 2),
        "ND101",
        "constant",
    ),
    "maximum of hidden scores": (
        lambda s, x: torch.maximum(x.masked_fill(s.m > 1, -1e9), s.m).softmax(-1),
        "ND101",
        "hidden by a mask",
    ),
    "cast to whole numbers": (lambda s, x: (x * 4).long().to(x.dtype), "ND150", "type"),
    "cast to truth": (lambda s, x: x.bool() * s.m, "ND150", "type"),
    "cast to half precision": (lambda s, x: x.half().to(x.dtype), "ND150", "type"),
    "cast to bfloat16": (lambda s, x: x.to(torch.bfloat16) + s.m, "ND150", "type"),
    "sum of whole numbers": (lambda s, x: x.sum(-1, dtype=torch.int64) * s.c[:, None], "ND150", "type"),
    "number of samples": (lambda s, x: x / x.shape[0], "ND152", "samples"),
    "number of samples in a constant": (lambda s, x: x + torch.full((6,), 1 / len(x)), "ND152", "samples"),
    "number of elements": (lambda s, x: x * x.numel(), "ND152", "samples"),
    "number of samples beside what is written": (lambda s, x: _filled(x / x.shape[0]), "ND152", "samples"),
    "noise": (lambda s, x: x + torch.randn(6, 6), "ND151", "random"),
    "noise like the stream": (lambda s, x: x + torch.rand_like(x), "ND151", "random"),
    "noise written": (lambda s, x: x + torch.empty(6).uniform_(), "ND151", "random"),
    "noise of a generator": (
        lambda s, x: x + torch.randn(6, generator=torch.Generator().manual_seed(0)),
        "ND1",
        "",
    ),
    "dropout": (lambda s, x: F.dropout(x, training=True), "ND151", "random"),
    "numpy's noise": (lambda s, x: x * float(np.random.rand()), "ND151", "random"),
    "sum that reads what it writes": (
        lambda s, x: _changed(x, lambda x: x.add_(x[..., :1])),
        "ND108",
        "first",
    ),
    "shifted onto itself": (
        lambda s, x: _changed(x, lambda x: x[..., 1:].copy_(x[..., :-1])),
        "ND108",
        "first",
    ),
    "part transposed onto itself": (
        lambda s, x: _changed(x[..., :5, :5], lambda x: x[..., 1:, 1:].mul_(x[..., 1:, 1:].mT)),
        "ND108",
        "first",
    ),
    "power of a half": (lambda s, x: x**0.5, "ND101", "power"),
    "einsum over samples": (lambda s, x: torch.einsum("bchw,bcwv->hv", x, x), "ND105", "batch axis"),
    "lists of samples": (lambda s, x: x[[1, 0], [2, 3]], "ND105", "sample"),
    "gather at what the input says": (
        lambda s, x: x.gather(3, (x > 0).long()),
        "ND101",
        "no spikes",
    ),
    "comparison of real values": (lambda s, x: (x > 0.3).to(x.dtype), "ND101", "no spikes"),
    "logic of real values": (lambda s, x: torch.logical_and(x, x.mT).to(x.dtype), "ND101", "no spikes"),
    "softplus that jumps": (lambda s, x: F.softplus(x, threshold=1.0), "ND101", "jumps"),
    "list of samples": (lambda s, x: x[[1, 0]], "ND105", "batch axis"),
    "choice that depends on the input": (lambda s, x: torch.where(x > 0, x, s.m), "ND101", ""),
    "mask of a whole row": (
        lambda s, x: F.scaled_dot_product_attention(x, x, x, attn_mask=torch.zeros(6, 6, dtype=torch.bool)),
        "ND101",
        "row",
    ),
    "roll over all elements": (lambda s, x: x.roll(1), "ND101", "roll"),
    "no dependence on the input": (lambda s, x: s.m, "ND107", "one tensor"),
}


@BOTH
@pytest.mark.parametrize("name", CASES)
def test_refusals_name_code_and_cause(name: str, front_end: str) -> None:
    function, code, text = CASES[name]
    problems = refused(modules.Apply(function), front_end)
    assert any(p.code.startswith(code) and text in p.cause for p in problems), problems


@BOTH
def test_unknown_operators_are_all_listed_with_their_places(front_end: str) -> None:
    class Inner(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.erf(x)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(Inner() for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = layer(x)
            return torch.cos(torch.cumprod(x, 1))

    problems = refused(Outer(), front_end)
    assert {p.found for p in problems} == {"erf", "cumprod", "cos"}
    (erf,) = (p for p in problems if p.found == "erf")
    assert erf.where.startswith("layers.0 [erf] (test_refused_models.py:")
    assert erf.where.endswith("and 2 more places")


@BOTH
def test_bad_weights_are_all_named(front_end: str) -> None:
    network = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm2d(4))
    network[0].weight.data[1, 2] = float("nan")
    network[1].running_var[0] = float("inf")
    problems = refused(network, front_end)
    assert {(p.code, p.where) for p in problems} == {("ND102", "0.weight"), ("ND102", "1.running_var")}


@BOTH
def test_wrong_shape_shows_what_the_module_says(front_end: str) -> None:
    (problem,) = refused(nn.Sequential(nn.Conv2d(3, 4, 3)), front_end)
    assert problem.code == "ND103" and "Conv2d with in_channels = 3" in problem.limit
    assert "(2, 4, 6, 6)" in problem.found
    front = torch_fx if front_end == "fx" else torch_export
    assert front.import_module(nn.Sequential(nn.Conv2d(3, 4, 3)), InputSpec((3, 6, 6))).of(Synapse)


@BOTH
def test_an_exception_of_the_models_own_is_shown_with_its_line(front_end: str) -> None:
    class Careful(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.shape[1] != 3:
                raise ValueError("colours are wanted")
            return x * 2.0

    (problem,) = refused(Careful(), front_end)
    assert (
        problem.code == "ND130" and "colours are wanted" in problem.found and "(2, 4, 6, 6)" in problem.found
    )
    assert "test_refused_models.py:" in problem.where
    front = torch_fx if front_end == "fx" else torch_export
    assert front.import_module(Careful(), InputSpec((3, 6, 6))).shape("output") == (3, 6, 6)


def test_a_call_that_cannot_be_traced_is_named() -> None:
    """What takes numbers alone; by a function of torch it comes in."""

    class Outside(nn.Module):
        def __init__(self, twice: Callable[[Tensor], Tensor]) -> None:
            super().__init__()
            self.twice = twice

        def forward(self, x: Tensor) -> Tensor:
            return x + self.twice(x)

    (problem,) = refused(Outside(lambda x: torch.from_numpy(np.multiply(x.numpy(), 2.0))))
    assert problem.code == "ND131" and "np.multiply" in problem.found
    assert "test_refused_models.py:" in problem.where and ".nir" in problem.fixes[-1]
    assert (
        torch_fx.import_module(Outside(lambda x: torch.mul(x, 2.0)), InputSpec(SHAPE)).shape("output")
        == SHAPE
    )


def test_a_call_that_is_unknown_to_export_is_named() -> None:
    class Listed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + len(x.tolist())

    (problem,) = refused(Listed(), "export")
    assert (
        problem.code == "ND131" and "test_refused_models.py:" in problem.where and "tolist" in problem.found
    )


def test_token_ids_are_one_row_for_each_sample() -> None:
    with pytest.raises(ImportModelError, match="ND136"):
        torch_export.import_module(modules.Tied().table, InputSpec((5, 2), tokens=True))
    assert torch_export.import_module(modules.Tied().table, InputSpec((5,), tokens=True)).shape("output") == (
        5,
        3,
    )


@pytest.mark.parametrize("several", [True, False], ids=["several inputs", "an open size"])
def test_programs_of_another_form(several: bool) -> None:
    network = modules.Pair() if several else nn.ReLU()
    given = (torch.zeros(2, 4),) * (2 if several else 1)
    sizes = None if several else {"input": {1: torch.export.Dim("width", min=2, max=9)}}
    program = torch.export.export(network.eval(), given, dynamic_shapes=sizes)
    with pytest.raises(ImportModelError, match="ND134" if several else "ND135"):
        torch_export.import_program(program, InputSpec((4,)))
    fixed = torch.export.export(modules.Alone().eval() if several else network, given[:1])
    assert torch_export.import_program(fixed, InputSpec((4,))).shape("output") == (4,)


@pytest.mark.parametrize("shape", [(), (0, 4, 4), (1, -2, 2)])
def test_unusable_input_shape(shape: tuple[int, ...]) -> None:
    assert refused(nn.Flatten(), shape=shape)[0].code == "ND132"


@BOTH
def test_branch_on_values(front_end: str) -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    assert {p.code for p in refused(Branch(), front_end)} == {"ND104"}


@BOTH
def test_of_several_results_the_first_is_taken_and_said(front_end: str) -> None:
    network, spec = modules.Apply(lambda s, x: (x * 2.0, {"x": x}, None)).double(), InputSpec((4, 6, 6))
    graph = (torch_fx if front_end == "fx" else torch_export).import_module(network, spec)
    assert [remark["code"] for remark in graph.header.notes["remarks"]] == ["ND156"]
    raw = np.random.default_rng(0).integers(0, 9, (2, 4, 6, 6))
    np.testing.assert_array_equal(interp.run(graph, raw).outputs[0], raw * 2.0)


def test_branch_on_shapes_is_followed() -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            batch, channels, *_ = x.shape
            if x.dim() == 4 and x.size(1) > 3 and len(x) == batch:
                return x.reshape(batch, channels, -1)
            raise RuntimeError

    assert torch_fx.import_module(Branch(), InputSpec(SHAPE)).shape("output") == (4, 36)


@BOTH
def test_a_buffer_that_a_call_changes(front_end: str) -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.count += 1
            return x * self.count

    network = Counter()
    assert {p.code for p in refused(network, front_end)} <= {"ND104", "ND154", "ND157"}
    assert front_end == "export" or float(network.count) == 0  # put back


@BOTH
def test_torchs_own_quantised_layers_are_named(front_end: str) -> None:
    network = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(6, 4)), {nn.Linear})
    (problem,) = refused(network, front_end)
    assert problem.code == "ND155" and problem.where == "0"


def test_a_neuron_with_another_forward_on_its_instance() -> None:
    neuron = zoo.submodule("spiking").BinaryLif()
    neuron.forward = lambda x: x
    (problem,) = refused(nn.Sequential(nn.Linear(6, 6), neuron))
    assert (problem.code, problem.where) == ("ND153", "1") and "forward" in vars(neuron)


def test_numbers_only_is_not_a_traceback_of_numpy() -> None:
    with pytest.raises(ImportModelError) as caught:
        torch_export.import_module(nn.Identity(), InputSpec((2.5, 2)))
    assert caught.value.problems[0].code == "ND132"


def test_front_ends_are_imported_without_torch() -> None:
    code = (
        "import sys, neurodeploy.sources.resolve as r, neurodeploy.passes; m = r.resolve('digits-vit');"
        "sys.exit('torch' in sys.modules or m.dataset != 'digits')"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_numpy_is_not_written_to() -> None:
    graph = torch_export.import_module(nn.Linear(6, 2).double(), InputSpec(SHAPE))
    weight = graph.nodes["linear"].weight
    with pytest.raises(ValueError, match="read-only"):
        weight[0, 0] = np.float64(1)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_every_float_type_is_read_exactly(dtype: str) -> None:
    network = modules.Small(getattr(torch, dtype))
    graph = torch_export.import_module(network, InputSpec(network.input_shape))
    (layer,) = graph.of(Synapse)
    np.testing.assert_array_equal(layer.weight, network.head.weight.detach().double().numpy())


def test_complex_weights_are_named() -> None:
    network = modules.Small()
    network.register_parameter("phase", nn.Parameter(torch.zeros(2, dtype=torch.complex64)))
    network.register_parameter("gain", nn.Parameter(torch.tensor([1.0, float("nan")])))
    found = {p.code: p.where for p in refused(network.float(), "float")}
    assert found == {"ND195": "phase", "ND102": "gain"}


def wide() -> nn.Module:
    """A factory without arguments."""
    return modules.Small()


def test_the_shape_that_a_module_carries_stays_whatever_the_data() -> None:
    model = resolve.resolve("py:tests.unit.frontends.test_refused_models:wide", (3, 8, 8))
    assert resolve.source_graph(model).shape("input") == (3, 4, 4)


def test_control_flow_is_found_in_the_users_own_file() -> None:
    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.sum() > 0:
                return x
            return -x

    (problem,) = refused(Branches(), "export")
    assert problem.code == "ND104" and "test_refused_models.py" in problem.where
