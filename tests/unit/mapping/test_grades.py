"""Grades of evidence: from the target's table and the members, the worst counts."""

from __future__ import annotations

from neurodeploy.evidence import GRADES, worst
from neurodeploy.mapping.grades import grades
from neurodeploy.passes.balance import balance
from neurodeploy.target import load
from tests.unit.mapping.networks import ecmt_transformer, mlp, spiking_transformer

LOIHI1, LOIHI2 = load("loihi1"), load("loihi2")


def test_a_perceptron_of_lif_neurons_is_documented() -> None:
    graph = balance(mlp((8, 6, 4)))
    found = grades(graph, LOIHI2)
    assert {found[n][0] for n in ("fc1", "lif1")} == {"documented"} and all(
        reason for _, reason in found.values()
    )
    assert "x" not in found


def test_kinds_of_work_have_their_grade() -> None:
    found = grades(balance(ecmt_transformer(1, 2, 16)), LOIHI2)
    assert found["block0_qkv"][0] == "documented"
    assert found["block0_qk"][0] == "plausible"
    assert found["block0_softmax"][0] == found["block0_norm1"][0] == "simulation-only"
    assert found["block0_n1"][0] == "plausible"


def test_loihi1_does_not_support_products() -> None:
    found = grades(balance(spiking_transformer(1, 4, 16)), LOIHI1)
    assert found["block0_kv"][0] == "unsupported" and found["block0_q_lif"][0] == "documented"


def test_the_worst_of_equals_is_the_first() -> None:
    assert worst([("documented", "a"), ("plausible", "b"), ("plausible", "c")]) == ("plausible", "b")
    assert GRADES.index("documented") < GRADES.index("unsupported")
