"""Memory images: the word format, agreement with the mapper's accounting, and what a hostile image meets."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.backends.loihi_sim import MEMBER
from neurodeploy.backends.loihi_sim.machine import Machine
from neurodeploy.codes import CODES
from neurodeploy.errors import MappingError, NeurodeployError
from neurodeploy.image import TABLES, encode, from_arrays, stored, to_arrays, weights_of
from neurodeploy.image import words as image_words
from neurodeploy.image.words import Layout, pack, unpack
from neurodeploy.ir import interp
from neurodeploy.mapping.demand import weight_bits
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.target import load
from tests.mappings import assemble, one_core_per_group
from tests.unit.backends.small import attention, find, ones
from tests.unit.mapping.networks import Net, ecmt_transformer, mlp, spiking_transformer

TARGET = load("loihi-sim")
LAYOUTS = st.builds(
    Layout,
    st.integers(1, 12),
    st.sampled_from((0, 12)),
    st.sampled_from((0, 10, 16, 40)),
    st.sampled_from((0, 3, 64)),
)


# --- words ---------------------------------------------------------------------------------------------------------


@given(LAYOUTS, st.integers(1, 4), st.integers(0, 150), st.integers(0, 2**32 - 1))
def test_words_hold_every_weight(layout: Layout, rows: int, entries: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-(1 << (layout.bits - 1)), 1 << (layout.bits - 1), (rows, entries))
    columns = rng.permutation(4096)[:entries]
    words = pack(weights, columns, layout)
    assert words.shape == (rows, layout.row_words(entries)) and words.dtype == np.uint64
    again, index, _, right = unpack(words, entries, layout)
    assert np.array_equal(again, weights) and right.all()
    assert not layout.index_bits or np.array_equal(index, np.tile(columns, (rows, 1)))


def test_words_follow_the_published_layers() -> None:
    """MNIST 784-128-64-10 at 8 bits: 50 targets take 16 words, 64 take 21, 10 take 4; 256 take 81."""
    dense = Layout(8, 12, 16)
    assert [dense.row_words(n) for n in (50, 64, 10, 256)] == [16, 21, 4, 81]
    kernel = Layout(5, 0, 40)  # YOLO-KP: printed words per (kx, ky, cin) entry
    assert [kernel.row_words(n) for n in (16, 32, 64, 128, 256)] == [2, 4, 6, 11, 21]


def test_word_is_header_then_index_then_weight() -> None:
    (word,) = pack(np.array([[-2, 3]]), np.array([5, 9]), Layout(4, 6, 8))[0].tolist()
    assert [word & 255, word >> 8 & 63, word >> 14 & 15, word >> 18 & 63, word >> 24 & 15] == [2, 5, 14, 9, 3]
    assert word >> 28 == 0


@given(st.lists(st.integers(-300, 300), min_size=1, max_size=8), st.integers(0, 5))
def test_common_power_of_two_is_divided_out(weights: list[int], shift: int) -> None:
    array = np.array(weights) << shift
    mantissa, exponent, bits = stored(array)
    assert np.array_equal(mantissa << exponent, array)
    assert -(1 << (bits - 1)) <= mantissa.min() and mantissa.max() < 1 << (bits - 1)
    assert bits == weight_bits(array)


# --- images --------------------------------------------------------------------------------------------------------


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


def test_lists_replace_kernels_where_the_target_shares_none() -> None:
    loihi1 = load("loihi1")
    graph = balance(convolutions())
    program = Program(graph, encode(graph, one_core_per_group(graph, loihi1), loihi1))
    x = np.random.default_rng(0).integers(0, 2, (3, 3, 9, 9))
    assert np.array_equal(MEMBER.run(program, x)[0].outputs, interp.run(graph, x).outputs)


def test_decoded_weights_are_the_graphs() -> None:
    graph = balance(attention())
    mapping = encode(graph, one_core_per_group(graph, TARGET), TARGET)
    number, item = find(mapping, "k_fc")
    image = mapping.images[number]
    (link,) = np.flatnonzero(image.tables["connections"][:, 0] == item.ports[0])
    assert np.array_equal(weights_of(image, int(link)), graph.nodes["k_fc"].weight.T)


def test_images_are_plain_data() -> None:
    graph = balance(attention())
    for image in encode(graph, one_core_per_group(graph, TARGET), TARGET).images:
        data = to_arrays(image)
        assert set(data) == {"record", *TABLES}
        again = from_arrays({**data, "record": json.loads(json.dumps(data["record"]))})
        assert to_arrays(again)["record"] == data["record"]


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


# --- hostile images --------------------------------------------------------------------------------------------------

NONSENSE = (0, -1, 1, 2, 1 << 31, 1 << 70, "x", None, [], {}, 1.5, True, [0], [-1, 5])
DATA: list[dict[str, Any]] = []


def sound() -> list[dict[str, Any]]:
    if not DATA:
        graph = balance(attention())
        DATA.extend(to_arrays(i) for i in encode(graph, one_core_per_group(graph, TARGET), TARGET).images)
    return copy.deepcopy(DATA)


def places(record: Any, path: tuple = ()) -> list[tuple]:
    """Every place in a JSON-able record."""
    inner = (
        record.items() if isinstance(record, dict) else enumerate(record) if isinstance(record, list) else ()
    )
    return [path][: len(path)] + [p for key, part in inner for p in places(part, (*path, key))]


@given(st.data())
def test_damaged_table_never_escapes(data: st.DataObject) -> None:
    images = sound()
    image = data.draw(st.sampled_from(images))
    table = image[data.draw(st.sampled_from(sorted(n for n in TABLES if image[n].size)))]
    bits = np.iinfo(table.dtype)
    entry = data.draw(st.integers(0, table.size - 1))
    value = int(table.flat[entry])
    new = data.draw(st.sampled_from((value + 1, value - 1, -1, 0, bits.max, bits.min, value ^ 64)))
    table.flat[entry] = np.array(min(max(new, bits.min), bits.max), dtype=table.dtype)
    survives(images)


@given(st.data())
def test_damaged_record_never_escapes(data: st.DataObject) -> None:
    images = sound()
    record = data.draw(st.sampled_from(images))["record"]
    *path, last = data.draw(st.sampled_from(places(record)))
    for key in path:
        record = record[key]
    record[last] = data.draw(
        st.sampled_from((0, -1, 1, 2, 1 << 31, 1 << 70, "x", None, [], {}, 1.5, True, [0], [-1, 5]))
    )
    survives(images)


def survives(images: list[dict[str, Any]]) -> None:
    """Reading and running either works or ends in a typed error that names a known code and a place."""
    try:
        Machine([from_arrays(data) for data in images]).run(ones())
    except NeurodeployError as error:
        assert all(p.code in CODES and p.where for p in error.problems)


@pytest.mark.parametrize("table", TABLES)
def test_missing_or_mistyped_table_is_refused(table: str) -> None:
    for wrong in (None, sound()[0][table].astype(np.float32), sound()[0][table][None]):
        with pytest.raises(MappingError) as caught:
            from_arrays({**sound()[0], table: wrong})
        (problem,) = caught.value.problems
        assert problem.code == "ND581" and table in problem.where and "core 0" in problem.where


def test_format_version_is_checked() -> None:
    data = sound()[0]
    data["record"]["format"] = 99
    with pytest.raises(MappingError):
        from_arrays(data)


def test_layout_of_blocks_covers_a_row() -> None:
    assert list(Layout(8, 0, 10, 64).blocks(130)) == [(0, 64), (64, 64), (128, 2)]
    assert Layout(8, 0, 10, 64).row_words(130) == 9 + 9 + 1
    assert image_words.WORD == 64
