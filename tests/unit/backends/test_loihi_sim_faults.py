"""One flipped bit in any kind of table shows, first where that entry is used: nothing comes from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.backends.loihi_sim import MEMBER
from neurodeploy.errors import MappingError
from neurodeploy.image import encode, from_arrays, to_arrays
from neurodeploy.image.arrivals import ROW
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.neuron_model import NEURONS
from neurodeploy.ir.trace import Trace
from neurodeploy.mapping.types import Mapping
from neurodeploy.passes.balance import balance
from neurodeploy.program import Program
from neurodeploy.target import load
from tests.mappings import one_core_per_group
from tests.unit.backends.small import attention, broken, find, flip, ones

Place = tuple[int, str, tuple[int, ...]]  # tick, node, (sample, *index)
Fault = Callable[[Graph, Mapping, Trace], tuple[Mapping, Place]]

TARGET = load("loihi-sim")
NAMES = ("q_fc", "q", "k_fc", "k", "qk", "scaled", "late", "columns", "rows", "total")


def first_difference(graph: Graph, a: Trace, b: Trace) -> Place | None:
    for t in range(len(a.outputs)):
        for node in graph:
            if node.name in NAMES:
                where = np.argwhere(a.values[node.name][t] != b.values[node.name][t])
                if len(where):
                    return t + 1, node.name, tuple(where[0].tolist())
    return None


def first(node: str, wanted: np.ndarray, found: np.ndarray) -> Place:
    """The first place where two (T, B, ...) arrays of one node differ."""
    t, *index = np.argwhere(wanted != found)[0].tolist()
    return t + 1, node, tuple(index)


def weight_word(graph: Graph, mapping: Mapping, trace: Trace) -> tuple[Mapping, Place]:
    number, item = find(mapping, "q_fc")
    image = mapping.images[number]
    links = image.tables["connections"]
    (link,) = np.flatnonzero(links[:, 0] == item.ports[0])
    _, bits, exponent, header, index_bits, _, first_row, *_ = links[link].tolist()
    channel, output = 2, 1
    word = int(image.tables["rows"][first_row + channel, 0])
    bit = header + output * (bits + index_bits) + index_bits
    change = graph.nodes["q_fc"].weight[output, channel] >> exponent
    delta = (1 if change % 2 == 0 else -1) << exponent
    wrong = trace.values["q_fc"].copy()
    wrong[..., output] += delta * trace.values["x"][..., channel]
    return flip(mapping, number, "synapses", word + bit // 64, bit % 64), first(
        "q_fc", trace.values["q_fc"], wrong
    )


def in_axon(graph: Graph, mapping: Mapping, trace: Trace) -> tuple[Mapping, Place]:
    """Token 1's messages add to token 0."""
    number, item = find(mapping, "q_fc")
    image = mapping.images[number]
    (link,) = np.flatnonzero(image.tables["connections"][:, 0] == item.ports[0])
    items = image.tables["items"]
    (entry,) = np.flatnonzero((items[:, 0] == ROW) & (items[:, 1] == link) & (items[:, 3] == 4))
    weight = graph.nodes["q_fc"].weight
    wrong = trace.values["q_fc"].copy()
    moved = trace.values["x"][:, :, 1] @ weight.T
    wrong[:, :, 0] += moved
    wrong[:, :, 1] -= moved
    return flip(mapping, number, "items", (int(entry), 3), 2), first("q_fc", trace.values["q_fc"], wrong)


def out_route(graph: Graph, mapping: Mapping, trace: Trace) -> tuple[Mapping, Place]:
    """Token 0 of q arrives at the product as token 1."""
    number, _ = find(mapping, "q")
    place = mapping.images[find(mapping, "qk")[0]].place
    routes = mapping.images[number].tables["routes"]
    here = np.flatnonzero((routes[:, 2:6] == place).all(axis=1))
    source = here[routes[here, 1] == 0][0]
    other = here[routes[here, 1] == 1][0]
    q = trace.values["q"].copy()
    q[:, :, 1] += q[:, :, 0]
    q[:, :, 0] = 0
    wrong = compensated(graph, q, trace.values["k"])

    def change(table: np.ndarray) -> None:
        table[source, 6] = table[other, 6]

    return broken(mapping, number, "routes", change), first("qk", trace.values["qk"], wrong)


def compensated(graph: Graph, a: np.ndarray, b: np.ndarray, s_b: np.ndarray | int = 0) -> np.ndarray:
    """The product's outputs (T, B, n, m) from its operands, starting at S_B = ``s_b``."""
    multiplier, shift = graph.nodes["qk"].rescale
    s_b, s_a, p, last, out = s_b + np.zeros_like(b[0]), np.zeros_like(a[0]), 0, 0, []
    for t in range(len(a)):
        s_b = s_b + b[t]
        p = p + a[t] @ s_b.swapaxes(1, 2) + s_a @ b[t].swapaxes(1, 2)
        s_a = s_a + a[t]
        y = (p * multiplier[t] + ((1 << shift[t]) >> 1)) >> shift[t]
        out.append(y - last)
        last = y
    return np.stack(out)


def neuron_parameter(graph: Graph, mapping: Mapping, trace: Trace) -> tuple[Mapping, Place]:
    number, item = find(mapping, "k")
    element = 6
    wrong = spikes(graph, "k", trace, threshold=(element, 10))
    entry = item.arrays["e:vth"].start + element
    return flip(mapping, number, "values", entry, 10), first("k", trace.values["k"], wrong)


def initial_state(graph: Graph, mapping: Mapping, trace: Trace) -> tuple[Mapping, Place]:
    number, item = find(mapping, "k")
    element, bit = 5, 14
    wrong = spikes(graph, "k", trace, voltage=(element, 1 << bit))
    entry = item.state.start + item.size + element  # u of all elements, then v
    return flip(mapping, number, "state", entry, bit), first("k", trace.values["k"], wrong)


def spikes(
    graph: Graph,
    node: str,
    trace: Trace,
    threshold: tuple[int, int] | None = None,
    voltage: tuple[int, int] | None = None,
) -> np.ndarray:
    """The population's spikes with one threshold's bit inverted or one initial voltage set."""
    model, params = NEURONS["lif"], graph.nodes[node].params
    x = trace.values[f"{node}_fc"].reshape(*trace.values[f"{node}_fc"].shape[:2], -1)
    vth = np.broadcast_to(params["vth"], graph.shape(node)).ravel().copy()
    u, v = np.zeros_like(x[0]), np.zeros_like(x[0])
    if threshold:
        vth[threshold[0]] ^= 1 << threshold[1]
    if voltage:
        v[:, voltage[0]] = voltage[1]
    out = []
    for t in range(len(x)):
        s, u, v, _ = model.int_step(x[t], u, v, params["du"], params["dv"], vth)
        out.append(s)
    return np.stack(out).reshape(trace.values[node].shape)


def held_operand(graph: Graph, mapping: Mapping, trace: Trace) -> tuple[Mapping, Place]:
    number, item = find(mapping, "qk")
    element, bit = (1, 2), 3
    start = np.zeros(graph.shape("k"), dtype=np.int64)
    start[element] = 1 << bit
    wrong = compensated(graph, trace.values["q"], trace.values["k"], start)
    entry = item.state.start + graph.values["q"].shape.size + int(np.ravel_multi_index(element, start.shape))
    return flip(mapping, number, "state", entry, bit), first("qk", trace.values["qk"], wrong)


def bias(graph: Graph, mapping: Mapping, trace: Trace) -> tuple[Mapping, Place]:
    number, item = find(mapping, "k_fc")
    element = 6
    entry = int(mapping.images[number].tables["ports"][item.ports[0], 0]) + element
    return flip(mapping, number, "port_init", entry, 0), (
        1,
        "k_fc",
        (0, *np.unravel_index(element, graph.shape("k_fc"))),
    )


def microcode_constant(graph: Graph, mapping: Mapping, trace: Trace) -> tuple[Mapping, Place]:
    number, item = find(mapping, "scaled")
    wrong = (trace.values["qk"] * 7 + 1) >> 1
    return flip(mapping, number, "values", item.arrays["p:multiplier"].start, 2), first(
        "scaled", trace.values["scaled"], wrong
    )


FAULTS: dict[str, Fault] = {
    f.__name__: f
    for f in (
        weight_word,
        in_axon,
        out_route,
        neuron_parameter,
        initial_state,
        held_operand,
        bias,
        microcode_constant,
    )
}


@pytest.mark.parametrize("name", FAULTS)
def test_flipped_bit_shows_where_it_is_used(name: str) -> None:
    graph = balance(attention())
    mapping = encode(graph, one_core_per_group(graph, TARGET), TARGET)
    wanted = interp.run(graph, ones(), [*NAMES, "x"])
    sound, _ = MEMBER.run(Program(graph, mapping), ones(), NAMES)
    assert first_difference(graph, wanted, sound) is None
    faulty, place = FAULTS[name](graph, mapping, wanted)
    found, _ = MEMBER.run(Program(graph, faulty), ones(), NAMES)
    assert first_difference(graph, wanted, found) == place


@pytest.mark.parametrize(
    "code, table, number, change",
    [
        ("ND582", "synapses", "q_fc", lambda t: t.__setitem__(0, t[0] ^ np.uint64(1))),
        ("ND586", "routes", "q", lambda t: t.__setitem__((0, 3), 7)),
        ("ND586", "routes", "q", lambda t: t.__setitem__((0, 6), 9999)),
    ],
)
def test_unreadable_image_is_a_typed_error(code: str, table: str, number: str, change: Callable) -> None:
    graph = balance(attention())
    mapping = encode(graph, one_core_per_group(graph, TARGET), TARGET)
    faulty = broken(mapping, find(mapping, number)[0], table, change)
    with pytest.raises(MappingError) as caught:
        MEMBER.run(Program(graph, faulty), ones())
    assert caught.value.problems[0].code == code
    assert table in caught.value.problems[0].where


def test_reading_back_keeps_the_run() -> None:
    graph = balance(attention())
    mapping = encode(graph, one_core_per_group(graph, TARGET), TARGET)
    images = tuple(from_arrays(to_arrays(image)) for image in mapping.images)
    program = Program(graph, replace(mapping, images=images))
    assert np.array_equal(MEMBER.run(program, ones())[0].outputs, interp.run(graph, ones()).outputs)
