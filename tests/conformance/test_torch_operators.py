"""Every operator of torch that is declared, those between neurons on cores, and one in a file of a test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neurodeploy import passes
from neurodeploy.backends._base import BACKENDS
from neurodeploy.calibrate import measure
from neurodeploy.convert import named
from neurodeploy.errors import ImportModelError
from neurodeploy.frontends import lower
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.frontends.ops._base import OPERATORS
from neurodeploy.frontends.values import First, MaskedScores, Membrane, OfIds, TokenIds
from neurodeploy.image import encode
from neurodeploy.inputs.fitting import with_range
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.mapping.mapper import map_graph, prepared
from neurodeploy.program import Program
from neurodeploy.quantize import quantize
from neurodeploy.target import load
from tests import rooms
from tests.fast import fast
from tests.later import Tensor, modules, nn, torch, torch_export, torch_fx
from tests.unit.frontends.functions import FUNCTIONS, SHAPE

TICKS = 3
Logic = Callable[[Tensor, Tensor], Tensor]

#: functions of two streams of spikes
LOGIC: dict[str, Logic] = {
    "and": lambda a, b: ((a > 0) & (b >= 1)).to(a.dtype),
    "or": lambda a, b: torch.logical_or(a, b).to(a.dtype),
    "or of integers": lambda a, b: (a.int() | b.int()).to(a.dtype),
    "exclusive or": lambda a, b: (a.bool() ^ b.bool()).to(a.dtype),
    "not": lambda a, b: (~a.bool()).to(a.dtype) + torch.logical_not(b).to(a.dtype),
    "not of integers": lambda a, b: (~a.int()).to(a.dtype) * 0.5 + b,
    "equal": lambda a, b: (a == b).to(a.dtype),
    "unequal": lambda a, b: (a != b).to(a.dtype),
    "above": lambda a, b: (a > b).to(a.dtype) + (b >= a).double(),
    "compared with numbers": lambda a, b: (a == 0).to(a.dtype) + (b < 0.5).to(a.dtype) * 0.25,
    "chosen": lambda a, b: torch.where(a > 0, b, 1 - b) + b.masked_fill(a == 1, 0.25),
    "any": lambda a, b: (a.bool() & b.bool()).any(-1).to(a.dtype),
}
#: those of a single stream that are more than a rearrangement
FUNCTIONS_BETWEEN = [
    "dilated convolutions", "padding that is the same", "transposed convolution", "windows of a convolution",
    "edges repeated", "resize by copies", "resize by a linear map", "average pool without the padding",
    "average pool over the edge", "dilated max pool", "adaptive max pool",
    "adaptive average pool of uneven windows", "gather", "diagonal", "positions of two axes", "running sums",
    "einsum of three", "elu", "softplus", "mish", "square", "sigmoid", "prelu", "hard swish",
]  # fmt: skip


def _between(name: str) -> nn.Module:
    """A network with the function between its neurons."""
    torch.manual_seed(5)
    if name in LOGIC:
        return modules.Between(LOGIC[name], SHAPE).double().eval()
    inner = modules.Apply(FUNCTIONS[name])
    network = modules.Between(lambda a, b: inner(a), SHAPE)
    network.inner = inner
    return network.double().eval()


def _imported(name: str) -> tuple[Graph, np.ndarray]:
    """The graph, which equals the module at every tick, and raw inputs."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    try:
        network = _between(name)
        spec = InputSpec(SHAPE, 0.0625, -0.5, timesteps=TICKS, readout="last")
        graph = with_range(passes.simplify(torch_fx.import_module(network, spec)), 16)
        raw = np.random.default_rng(0).integers(0, 17, (6, *SHAPE))
        for module in network.modules():
            if hasattr(module, "reset"):
                module.reset()
        with torch.no_grad():
            expected = np.stack([network(torch.tensor(raw * 0.0625 - 0.5)).numpy() for _ in range(TICKS)])
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_allclose(interp.run(graph, raw).outputs, expected, atol=1e-9)
    return graph, raw


def _equal_on_cores(graph: Graph, raw: np.ndarray) -> None:
    native, target = named("native"), load("loihi-sim")
    spiking = native.rewrite(graph, native.configure({})[1], raw, TICKS)
    integer = prepared(quantize(spiking, measure(spiking, raw)), target)
    program = Program(integer, encode(integer, map_graph(integer, target), target))
    names = [node.name for node in integer]
    wanted = interp.run(integer, raw, names)
    for backend in ("cpu", "loihi-sim"):
        found, _ = BACKENDS[backend].run(program, raw, names)
        assert np.array_equal(found.outputs, wanted.outputs)
        assert all(np.array_equal(found.values[n], wanted.values[n]) for n in names if n in found.values)


@pytest.mark.parametrize("name", fast(LOGIC, "and", "exclusive or", "chosen"))
def test_logic_of_spikes(name: str) -> None:
    _equal_on_cores(*_imported(name))


@pytest.mark.parametrize(
    "name", fast(FUNCTIONS_BETWEEN, "transposed convolution", "dilated max pool", "mish")
)
def test_what_stands_between_neurons_is_equal_on_cores(name: str) -> None:
    _equal_on_cores(*_imported(name))


RADIANS = """
    import math
    from neurodeploy.frontends.ops._base import operator
    from neurodeploy.frontends.ops.arithmetic import mul

    @operator("deg2rad", elementwise=True)
    def radians(lowering, x):
        '''Degrees to radians.'''
        return mul(lowering, x, math.pi / 180)
"""


def test_every_operator_says_what_it_reads() -> None:
    assert len(OPERATORS) > 100 and not OPERATORS.problems
    for name, operator in lower.operators().items():
        assert operator.reads | operator.keeps <= {TokenIds, OfIds, MaskedScores, First, Membrane}, name
        assert not operator.reads & operator.keeps, name
        assert operator.build is not None or operator.elementwise, f"nothing makes anything of {name}"


@pytest.mark.parametrize("front_end", [torch_fx, torch_export])
def test_an_operator_is_one_function_in_a_file(tmp_path: Path, front_end: object) -> None:
    network, spec = modules.Angles().double(), InputSpec((3, 4), 0.5, -1.0)
    with pytest.raises(ImportModelError, match="'deg2rad' has no counterpart"):
        front_end.import_module(network, spec)
    with rooms.member(OPERATORS, tmp_path, toy=RADIANS):
        assert OPERATORS["deg2rad"].family == "toy"
        graph = front_end.import_module(network, spec)
    raw = np.random.default_rng(0).integers(0, 9, (5, 3, 4))
    expected = network(torch.tensor(raw * 0.5 - 1.0)).numpy()
    np.testing.assert_allclose(interp.run(graph, raw).outputs[0], expected, rtol=1e-12)


def test_an_elementwise_operator_makes_tables_of_token_ids(tmp_path: Path) -> None:
    network = modules.Penalty().double()
    with rooms.member(OPERATORS, tmp_path, toy=RADIANS):
        graph = torch_export.import_module(network, InputSpec((5,), tokens=True))
    ids = np.random.default_rng(0).integers(0, 11, (7, 5))
    with torch.no_grad():
        expected = network(torch.tensor(ids)).numpy()
    np.testing.assert_allclose(interp.run(graph, np.eye(11)[ids]).outputs[0], expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (RADIANS.replace("deg2rad", "gelu"), "has the name of"),
        (RADIANS.replace('"deg2rad"', '"deg2rad", "deg2rad"'), "has the name of"),
        ("import nothing_of_this_name", "cannot be imported"),
        ("text = 'no operator'", "binds no MEMBER"),
    ],
    ids=["a name of another file", "a name twice", "no import", "no operator"],
)
def test_a_file_that_is_wrong_is_named_and_spoils_no_other(tmp_path: Path, text: str, cause: str) -> None:
    before = dict(OPERATORS)
    with rooms.member(OPERATORS, tmp_path, toy=text):
        (problem,) = OPERATORS.problems
        found = dict(OPERATORS)
    assert problem.code == "ND930" and cause in problem.cause and problem.where == str(tmp_path / "toy.py")
    assert {name: found[name] for name in before} == before and len(found) <= len(before) + 1
