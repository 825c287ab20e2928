"""Networks where numba cannot be imported: in a process of their own, equal to the interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BLOCKED = "import sys\nsys.modules |= dict.fromkeys(('numba', 'llvmlite'))\n"

EQUAL = """
import numpy as np
from hypothesis import given, settings, strategies as st
from neurodeploy.ir import interp
from neurodeploy.simulate import Engine
from tests.strategies import inputs, integer_graphs
import json

seen = {"graphs": 0, "kinds": set()}

@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.data())
def equal(data):
    graph = data.draw(integer_graphs())
    x = data.draw(inputs(graph))
    names, engine = list(graph.nodes), Engine(graph)
    truth = interp.run(graph, x, names)
    for watched in (names, [], []):
        found = engine.run(x, watched)
        assert all(np.array_equal(found.values[n], truth.values[n]) for n in watched)
        assert np.array_equal(found.outputs, truth.outputs) and found.saturations == truth.saturations
    seen["graphs"] += 1
    seen["kinds"] |= {type(node).__name__ for node in graph}

equal()
print(json.dumps([seen["graphs"], sorted(seen["kinds"])]))
"""

COMMANDS = """
from neurodeploy import cli
for words in (["check", "digits-a2os2a"], ["build", "digits-a2os2a", "--out", "b"], ["verify", "b"]):
    assert cli.call(words) == 0, words
"""


def child(script: str, folder: Path) -> str:
    root = str(Path(__file__).parents[3])
    code = f"{BLOCKED}sys.path.insert(0, {root!r})\n{script}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder)
    assert result.returncode == 0, result.stderr + result.stdout
    return result.stdout


def test_random_graphs_equal_the_interpreter(tmp_path: Path) -> None:
    graphs, kinds = json.loads(child(EQUAL, tmp_path).splitlines()[-1])
    assert graphs >= 30 and {"Synapse", "Neuron", "Product", "Micro", "Reduce", "Sum"} <= set(kinds)


@pytest.mark.slow
def test_a_model_is_checked_built_and_verified_and_told_slow(tmp_path: Path) -> None:
    text = child(COMMANDS, tmp_path)
    assert "ND614" in text and "interp = cpu = loihi-sim" in text
