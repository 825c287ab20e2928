"""Every operator of torch that is declared, and one that a test brings in a file of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurodeploy.errors import ImportModelError
from neurodeploy.frontends import lower
from neurodeploy.frontends.input_spec import InputSpec
from neurodeploy.frontends.ops._base import OPERATORS
from neurodeploy.frontends.values import MaskedScores, Membrane, OfIds, TokenIds
from neurodeploy.ir import interp
from tests import rooms
from tests.later import modules, torch, torch_export, torch_fx

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
        assert operator.reads | operator.keeps <= {TokenIds, OfIds, MaskedScores, Membrane}, name
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
