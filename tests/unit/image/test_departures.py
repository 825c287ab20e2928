"""What leaves a core: whose elements they are, and in which order."""

from __future__ import annotations

import numpy as np

from neurodeploy.image import encode, exports, origins, places, receiver
from neurodeploy.image.departures import mixed
from neurodeploy.ir import interp
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.passes.balance import balance
from neurodeploy.target import load
from tests.unit.mapping.networks import ecmt_transformer

TARGET = load("loihi-sim")


def test_elements_have_the_values_of_their_origins() -> None:
    graph = balance(ecmt_transformer(1, 4, 32))
    mapping = encode(graph, map_graph(graph, TARGET), TARGET)
    x = np.random.default_rng(3).integers(0, 2, (1, *interp.input_shape(graph)))
    names = [n.name for n in graph]
    values = {k: v.reshape(len(v), -1) for k, v in interp.run(graph, x, names).values.items()}
    looked_through = 0
    for image in mapping.images:
        for number, unit in enumerate(image.units):
            for item, (origin, element) in zip(unit.program, origins(image, number), strict=True):
                for source in np.unique(origin).tolist() if item.node else ():
                    other, mine = unit.program[source], origin == source
                    wanted = values[other.node][:, image.elements(other)[element[mine]]]
                    assert np.array_equal(values[item.node][:, image.elements(item)[mine]], wanted)
                    looked_through += other is not item
    assert looked_through


def test_any_stretch_of_the_order_is_spread_over_all() -> None:
    for count, tenths in ((0, 0), (1, 0), (1000, 10)):
        order = mixed(count)
        assert sorted(order.tolist()) == list(range(count))
        for stretch in np.split(order, tenths) if tenths else ():
            met = np.bincount(stretch * 10 // count, minlength=10)
            assert 5 <= met.min() <= met.max() <= 15


def test_a_core_sends_to_all_its_receivers_from_beginning_to_end() -> None:
    graph = balance(ecmt_transformer(1, 16, 32))
    images = tuple(encode(graph, map_graph(graph, TARGET, optimise="latency"), TARGET).images)
    receivers, parts = [receiver(image) for image in images], 0
    for export in (e for image in images for e in exports(image, places(images), receivers)):
        count = len(export.elements)
        for bundle in (b for b in export.bundles if 8 <= len(b.elements) <= count // 2):
            turns = export.turn(bundle.elements)
            assert np.array_equal(export.elements[turns], bundle.elements)
            assert turns.min() < count / 4 and turns.max() >= count * 3 / 4
            parts += 1
    assert parts
