"""Bounds of layers and steps: the fullest core decides, and every bound has the change that would move it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.cost import floorline
from neurodeploy.cost.types import CHANGES
from neurodeploy.ir.trace import EVENT_KINDS
from neurodeploy.price import BOUNDS, TERMS, lasting
from neurodeploy.target import load
from tests import fake_build

TARGET = load("loihi-sim")
TIMES = TARGET.costs.time_ns


def test_a_layer_is_as_slow_as_its_fullest_core() -> None:
    inputs = fake_build.inputs()
    mapping, events = inputs.mapping, inputs.assessment.events
    group = replace(mapping.groups[0], nodes=("a", "b"))
    mapping = replace(mapping, groups=(group,))
    rows = {core: np.zeros(len(EVENT_KINDS)) for core in (2, 5)}
    rows[2][EVENT_KINDS.index("memory_reads")] = 4000
    rows[5][EVENT_KINDS.index("memory_reads")] = 9000
    counted = {(group.nodes[0], core): row for core, row in rows.items()}
    counted[group.nodes[1], 5] = rows[5]  # nodes of one layer on one core add up
    (found,) = floorline.layers(replace(events, node_core_counts=counted), mapping, TARGET, ticks=4)
    assert (found.layer, found.core, found.memory_reads) == (group.name, 5, 4500)
    assert found.terms_ns[TERMS.index("memory")] == pytest.approx(4500 * TIMES.memory_read.nominal)
    assert found.lasts_ns == pytest.approx(float(lasting(list(found.terms_ns), TARGET, "nominal")))
    assert (found.bound, found.change) == ("memory", CHANGES["memory"])


@pytest.mark.parametrize(
    ("kind", "term"),
    [
        ("message_bits", "traffic"),
        ("synaptic_ops", "synapses"),
        ("state_accesses", "programs"),
        ("hops_x", "barrier"),
    ],
)
def test_every_bound_has_its_change(kind: str, term: str) -> None:
    inputs = fake_build.inputs()
    row = np.zeros(len(EVENT_KINDS))
    row[EVENT_KINDS.index(kind)] = 1e9 if term != "barrier" else 1
    counted = {(inputs.mapping.groups[-1].nodes[0], 0): row}
    events = replace(inputs.assessment.events, node_core_counts=counted)
    (found,) = floorline.layers(events, inputs.mapping, TARGET, ticks=1)
    assert (found.term, found.bound) == (term, BOUNDS[term]) and found.change


def test_steps_name_the_layer_that_works_on_their_slowest_core() -> None:
    inputs = fake_build.inputs()
    found, mapping = inputs.assessment.estimate, inputs.mapping
    depth = {group.name: group.depth for group in mapping.groups}
    assert [floor.core for floor in found.steps] == list(found.timing.busiest)
    named = [(step, floor) for step, floor in enumerate(found.steps) if floor.layer]
    assert len(named) > found.timesteps
    for step, floor in named:
        hosted = {piece.group for piece in mapping.cores[floor.core].pieces}
        assert floor.layer in hosted and depth[floor.layer] - 1 <= step < depth[floor.layer] + found.timesteps
