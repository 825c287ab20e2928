"""Images of mappings: they agree with the mapper's accounting, and what has no encoding is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurodeploy.backends.loihi_sim import MEMBER
from neurodeploy.errors import MappingError
from neurodeploy.image import encode, weights_of
from neurodeploy.ir import interp
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.target import Target, load
from tests.mappings import assemble, one_core_per_group
from tests.unit.backends.small import attention, find
from tests.unit.mapping.networks import Net, ecmt_transformer, mlp, spiking_transformer

TARGET = load("loihi-sim")


def convolutions() -> Any:
    """A convolution with stride and padding, a grouped and a depthwise one, pooling, a classifier."""
    net = Net()
    x = net.lif(net.conv(net.input("CYX", 3, 9, 9), 8, 3, 2, 1, name="c1"), "l1")
    x = net.lif(net.conv(x, 12, 3, 1, 1, name="c2", groups=4), "l2")
    x = net.lif(net.conv(x, 12, 3, 1, 1, name="c3", groups=12, top=15), "l3")
    x = net.view(net.pool(x, "max", 2), "reshape", (12 * 4,), "C", "flat")
    return net.output(net.dense(x, 10, "fc"))


NETWORKS = {
    "mlp": lambda: mlp((200, 128, 64, 10)),
    "convolutions": convolutions,
    "spiking": lambda: spiking_transformer(1, 4, 32),
    "ecmt": lambda: ecmt_transformer(1, 4, 32),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_words_equal_the_mappers_accounting(name: str) -> None:
    graph = balance(NETWORKS[name]())
    mapping = encode(graph, map_graph(graph, TARGET), TARGET)
    counted = [core.demand.synapse_words for core in mapping.cores]
    assert [len(image.tables["synapses"]) for image in mapping.images[:-1]] == counted


def apart(name: str) -> Target:
    """A target whose positions have lists of their own."""
    chip = load(name)
    kernels = chip.features.shared_kernels.model_copy(update={"allowed": False})
    return chip.model_copy(update={"features": chip.features.model_copy(update={"shared_kernels": kernels})})


def test_lists_replace_kernels_where_the_target_shares_none() -> None:
    target = apart("loihi1")
    graph = balance(convolutions())
    program = Program(graph, encode(graph, one_core_per_group(graph, target), target))
    x = np.random.default_rng(0).integers(0, 2, (3, 3, 9, 9))
    assert np.array_equal(MEMBER.run(program, x)[0].outputs, interp.run(graph, x).outputs)


def test_decoded_weights_are_the_graphs() -> None:
    graph = balance(attention())
    mapping = encode(graph, one_core_per_group(graph, TARGET), TARGET)
    number, item = find(mapping, "k_fc")
    image = mapping.images[number]
    (link,) = np.flatnonzero(image.tables["connections"][:, 0] == item.ports[0])
    assert np.array_equal(weights_of(image, int(link)), graph.nodes["k_fc"].weight.T)


def test_unbalanced_graph_is_refused() -> None:
    graph = attention()
    mapping = one_core_per_group(balance(graph), TARGET)
    with pytest.raises(MappingError) as caught:
        encode(graph, mapping, TARGET)
    assert {p.code for p in caught.value.problems} == {"ND584"}


def test_wide_weights_are_refused() -> None:
    graph = balance(mlp((8, 4), top=1000))
    with pytest.raises(MappingError) as caught:
        encode(graph, one_core_per_group(graph, TARGET), TARGET)
    assert [p.code for p in caught.value.problems] == ["ND585"]


def test_missing_element_is_refused() -> None:
    graph = balance(attention())
    whole = one_core_per_group(graph, TARGET)
    cores = [((c.chip, c.x, c.y), c.pieces) for c in whole.cores if "k" not in c.pieces[0].elements]
    with pytest.raises(MappingError) as caught:
        encode(graph, assemble(graph, TARGET, cores), TARGET)
    assert [p.code for p in caught.value.problems] == ["ND583"]
    assert caught.value.problems[0].where == "k"


def test_several_pieces_share_a_core() -> None:
    graph = balance(attention())
    pieces = [p for c in one_core_per_group(graph, TARGET).cores for p in c.pieces]
    images = encode(graph, assemble(graph, TARGET, [((0, 0, 0), pieces)]), TARGET).images
    assert len(images) == 2 and len(images[0].units) == len(pieces)


@pytest.mark.parametrize("name", ["index_bits", "sparse_index_bits"])
def test_a_list_with_more_targets_than_its_index_names_is_refused(name: str) -> None:
    """What two targets share an index would add up at the wrong one of them."""
    chip = apart("loihi1") if name == "sparse_index_bits" else load("loihi-sim")
    graph = balance(convolutions() if name == "sparse_index_bits" else mlp((20, 64, 10)))
    narrow = chip.limits.model_copy(update={name: getattr(chip.limits, name).model_copy(update={"value": 5})})
    target = chip.model_copy(update={"limits": narrow})
    with pytest.raises(MappingError, match="ND585") as error:
        encode(graph, one_core_per_group(graph, target), target)
    assert "targets" in error.value.problems[0].found and "32" in error.value.problems[0].limit
