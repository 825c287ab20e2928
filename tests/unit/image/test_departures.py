"""What leaves a core: whose elements they are."""

from __future__ import annotations

import numpy as np

from neurodeploy.image import encode, origins
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
