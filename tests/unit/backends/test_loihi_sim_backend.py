"""The backend's own behaviour: typed errors, batches, what a record may name."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import neurodeploy.backends.loihi_sim as package
from neurodeploy.backends._base import BACKENDS
from neurodeploy.backends.loihi_sim import MEMBER, machine
from neurodeploy.codes import CODES
from neurodeploy.errors import NeurodeployError
from neurodeploy.image import encode
from neurodeploy.ir import interp
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.target import load
from tests.mappings import one_core_per_group
from tests.unit.backends.small import attention, find, ones

TARGET = load("loihi-sim")


def program() -> Program:
    graph = balance(attention())
    return Program(graph, encode(graph, one_core_per_group(graph, TARGET), TARGET))


def renamed(built: Program, old: str, new: str) -> Program:
    """The program whose images call a neuron model by another name."""
    images = []
    for image in built.mapping.images:
        units = tuple(
            replace(
                u,
                program=tuple(
                    replace(i, texts={k: new if v == old else v for k, v in i.texts.items()})
                    for i in u.program
                ),
            )
            for u in image.units
        )
        images.append(replace(image, units=units))
    return replace(built, mapping=replace(built.mapping, images=tuple(images)))


CASES = {
    "ND601": lambda p: (p, ones()[:, :2], ()),
    "ND610": lambda p: (replace(p, mapping=None), ones(), ()),
    "ND611": lambda p: (p, ones(), ("nobody",)),
    "ND612": lambda p: (renamed(p, "lif", "lifo"), ones(), ()),
    "ND580": lambda p: (replace(p, mapping=replace(p.mapping, images=p.mapping.images[:-1])), ones(), ()),
}


@pytest.mark.parametrize("code", CASES)
def test_misuse_is_a_typed_error(code: str) -> None:
    built, x, record = CASES[code](program())
    with pytest.raises(NeurodeployError) as caught:
        MEMBER.run(built, x, record)
    assert [p.code for p in caught.value.problems] == [code]
    assert code in CODES


def test_refused_instruction_names_core_node_and_tick() -> None:
    built = program()
    number, item = find(built.mapping, "scaled")
    image = built.mapping.images[number]
    bare = replace(item, arrays={k: v for k, v in item.arrays.items() if k != "p:shift"})
    units = tuple(replace(u, program=tuple(bare if i == item else i for i in u.program)) for u in image.units)
    images = tuple(
        replace(image, units=units) if n == number else i for n, i in enumerate(built.mapping.images)
    )
    with pytest.raises(NeurodeployError) as caught:
        MEMBER.run(replace(built, mapping=replace(built.mapping, images=images)), ones())
    (problem,) = caught.value.problems
    assert problem.code == "ND613"
    assert problem.where == f"core {image.index}: scaled at tick 1"


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    built = program()
    x = np.random.default_rng(3).integers(0, 2, (7, 3, 6))
    whole, events = MEMBER.run(built, x, ["qk"])
    monkeypatch.setattr(machine, "BATCH", 3)
    parts, again = MEMBER.run(built, x, ["qk"])
    assert np.array_equal(whole.values["qk"], parts.values["qk"])
    assert np.array_equal(events.core_counts, again.core_counts)
    assert events.link_peak == again.link_peak
    assert all(np.allclose(events.links[link], again.links[link]) for link in events.links)


def test_every_node_can_be_recorded() -> None:
    built = program()
    names = [node.name for node in built.graph]
    found, _ = MEMBER.run(built, ones(), names)
    wanted = interp.run(built.graph, ones(), names)
    assert all(np.array_equal(found.values[n], wanted.values[n]) for n in names)


def test_backend_is_registered() -> None:
    assert BACKENDS["loihi-sim"] is MEMBER
    assert MEMBER.mapped and MEMBER.available() == ""


def test_simulator_reads_neither_graph_nor_interpreter() -> None:
    allowed_of_program = {"mapping"}
    for file in Path(package.__file__).parent.glob("*.py"):
        tree = ast.parse(file.read_text())
        imported = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert not {m for m in imported if m.endswith(("interp", "simulate", "cpu", "graph", "nodes"))}, (
            file.name
        )
        read = {
            n.attr
            for n in ast.walk(tree)
            if isinstance(n, ast.Attribute)
            and isinstance(n.value, ast.Name)
            and n.value.id == "program"
            and file.name == "__init__.py"
        }
        assert read <= allowed_of_program
