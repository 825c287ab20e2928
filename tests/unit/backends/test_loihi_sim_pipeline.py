"""The pipeline as the cores run it: which period is right, what steady operation counts, what a new sample resets."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy import cost
from neurodeploy.backends.loihi_sim import MEMBER
from neurodeploy.backends.loihi_sim.pipeline import pipelined
from neurodeploy.cost.latency import fold
from neurodeploy.image import encode
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Product, Synapse
from neurodeploy.ir.trace import EVENT_KINDS
from neurodeploy.passes.balance import balance, period
from neurodeploy.program import Program
from neurodeploy.target import load
from tests.mappings import one_core_per_group, random_mapping
from tests.tiny import chain
from tests.unit.backends.small import WIDTH, attention, ones

TARGET = load("loihi-sim")
RESET = EVENT_KINDS.index("reset_words")


def program(graph: Graph, seed: int | None = None) -> Program:
    mapping = one_core_per_group(graph, TARGET) if seed is None else random_mapping(graph, TARGET, seed)
    return Program(graph, encode(graph, mapping, TARGET))


def late(ticks: int, delays: tuple[int, ...], weight: int = 1) -> Graph:
    """Read-outs are what came so many ticks ago over each connection."""
    weights = np.array([[weight] * len(delays)])
    node = Synapse(name="late", inputs=("x",), weight=weights, delay=np.array([delays]))
    return balance(chain((len(delays),), (node, (1,)), ticks=ticks, readout="last"))


@pytest.mark.parametrize(
    ("ticks", "delays", "expected"),
    [(3, (0,), 3), (3, (1,), 4), (3, (0, 2), 5), (4, (4, 1), 8), (1, (3,), 2), (2, (5,), 7), (2, (6, 2), 4)],
)
def test_the_period_is_the_first_at_which_nothing_mixes(
    ticks: int, delays: tuple[int, ...], expected: int
) -> None:
    graph = late(ticks, delays)
    images, x = program(graph).mapping.images, np.ones((9, len(delays)), dtype=np.int64)
    wanted = interp.run(graph, x).outputs
    right = [p for p in range(ticks, 9) if np.array_equal(pipelined(images, x, p).outputs, wanted)]
    assert right[0] == expected == period(graph)


def test_connections_that_carry_nothing_do_not_count() -> None:
    assert period(late(3, (2,), weight=0)) == 3


def test_a_period_of_less_than_t_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="2 steps are too few for 3 ticks"):
        pipelined(program(late(3, (0,))).mapping.images, np.ones((2, 1)), 2)


@pytest.mark.parametrize("apart", [4, 5])
def test_steady_operation_counts_what_the_price_folds(apart: int) -> None:
    built = program(balance(attention()))
    _, alone = MEMBER.run(built, ones())
    found = pipelined(built.mapping.images, np.repeat(ones()[1:], 5, axis=0), apart)
    folded = np.moveaxis(fold(np.moveaxis(alone.core_counts[1], 1, 2), apart), 2, 1)
    assert len(found.steady) == len(found.entering) == 5 - (-(-alone.steps // apart) - 1) > 1
    assert all(np.array_equal(counts, folded) for counts in found.steady)


def test_the_price_of_a_pipeline_is_that_of_its_period() -> None:
    built = program(late(3, (2,)))
    estimate = cost.estimate(built, MEMBER.run(built, np.ones((1, 1)))[1], TARGET)
    costs = TARGET.costs.energy_pj
    barrier = costs.barrier_per_core.nominal + costs.barrier_per_chip.nominal
    static = TARGET.costs.power_w.static_per_chip.nominal * estimate.timing.period_ns.nominal * 1000
    assert estimate.timing.steady_ns.shape == (3, 5)
    assert estimate.pipelined_pj.nominal - estimate.events_pj.nominal == pytest.approx(5 * barrier + static)


@pytest.mark.parametrize(("timing", "words"), [("instant", 0), ("held", 10), ("cumulative", 6 + 10 + 15)])
def test_every_sample_resets_what_a_product_keeps(timing: str, words: int) -> None:
    fc = Synapse(name="fc", inputs=("x",), weight=np.arange(15).reshape(5, 3))
    product = Product(name="p", inputs=("x", "fc"), equation="nc,nd->cd", timing=timing)
    graph = balance(chain((2, 3), (fc, (2, 5)), (product, (3, 5)), ticks=3))
    built, x = program(graph), np.random.default_rng(0).integers(-9, 10, (4, 2, 3))
    trace, events = interp.run(graph, x, cost.names_to_record(graph)), MEMBER.run(built, x)[1]
    assert events.node_counts["p"][RESET] == cost.count(graph, trace).nodes["p"].reset_words == words
    assert np.array_equal(pipelined(built.mapping.images, x, 3).outputs, trace.outputs)


@pytest.mark.parametrize("seed", range(4))
def test_every_copy_of_an_operand_is_reset(seed: int) -> None:
    built = program(balance(attention()), seed)
    _, events = MEMBER.run(built, ones())
    pieces = [p.elements["qk"] for c in built.mapping.cores for p in c.pieces if "qk" in p.elements]
    rows, columns = zip(
        *(map(len, map(np.unique, np.unravel_index(flat, (3, 3)))) for flat in pieces), strict=True
    )
    assert events.node_counts["qk"][RESET] == 9 + WIDTH * (sum(rows) + sum(columns))
    assert "late" not in events.node_counts or events.node_counts["late"][RESET] == 0
