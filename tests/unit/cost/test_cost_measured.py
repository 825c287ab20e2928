"""The estimate against published measurements whose operation counts are known: the ranges must hold them.

Sources: NECOTIS two-neuron benchmark; OzU-CAST LoihiScalingEfficiency; MatMul-free language model on Loihi 2
(arXiv:2503.18002); k-nearest-neighbour search on Pohoiki Springs (Frady et al. 2020).
"""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.cost import estimate
from neurodeploy.cost.types import Estimate
from neurodeploy.ir.graph import Builder, Header
from neurodeploy.ir.nodes import Input, Output
from neurodeploy.ir.trace import EVENT_KINDS, Events
from neurodeploy.ir.types import Shape, Value
from neurodeploy.mapping.types import Core, Demand, Mapping
from neurodeploy.price import Range
from neurodeploy.program import Program
from neurodeploy.target import Target, load


def measured(target: Target, cores: int, steps: int, **counts: float) -> Estimate:
    """The estimate of ``counts`` events in all, spread evenly over cores and steps of one inference."""
    one = Value(Shape(("C",), (1,)))
    builder = Builder(Header(name="measured", level="integer", timesteps=steps))
    builder.add(Input(name="x"), one)
    builder.add(Output(name="y", inputs=("x",)), one)
    spots = tuple(Core(i, 0, *target.chip.router(i % target.chip.cores_per_chip), (), Demand(), {}, "")
                  for i in range(cores))  # fmt: skip
    program = Program(builder.build(), Mapping(target.name, 1, target.cores, (), spots, 0))
    row = np.array([counts.get(kind, 0.0) for kind in EVENT_KINDS])
    spread = np.broadcast_to(row / (cores * steps), (1, cores, steps, len(row)))
    return estimate(program, Events(1, steps, spread, {"x": row}, {}, {}, {}, {}), target)


def inside(found: Range, value: float) -> bool:
    return found.low <= value <= found.high


@pytest.fixture(scope="module")
def loihi2() -> Target:
    return load("loihi2")


def test_two_neurons_take_the_measured_step_and_static_power(loihi2: Target) -> None:
    steps = 100
    found = measured(loihi2, 1, steps, stock_updates=2.0 * steps)
    assert inside(found.timing.latency_ns * (1 / steps), 1163.8)
    assert inside(Range.of(loihi2.costs.power_w.static_per_chip), 0.2137)


def test_a_winner_takes_all_network_takes_the_measured_step(loihi2: Target) -> None:
    steps, neurons, cores = 100, 200, 5
    found = measured(loihi2, cores, steps, stock_updates=float(steps * neurons))
    assert inside(found.timing.latency_ns * (1 / steps), 1770.0)


def test_prefill_of_a_language_model_takes_the_measured_dynamic_energy_per_token(loihi2: Target) -> None:
    # 308 M ternary weights of which 60 to 100 % are not zero: the paper does not say how many.
    least, most = (measured(loihi2, 24 * 120, 1, synaptic_ops=308e6 * share) for share in (0.6, 1.0))
    assert least.events_pj.low <= 1.17e9 <= most.events_pj.high


def test_k_nearest_neighbours_lie_9_to_20_percent_above_the_measured_dynamic_energy() -> None:
    # Vendor constants only: the low end of the range. 60 steps, 76,800 stored patterns, 667 to 750 input spikes.
    spikes, patterns, steps = 708.5, 76_800, 60
    found = measured(
        load("loihi1"), 32, steps, synaptic_ops=spikes * patterns, stock_updates=float(patterns * steps)
    )
    assert 1.05 <= found.events_pj.low / 1.33e9 <= 1.25


def test_an_acoustic_autoencoder_lies_above_the_range(loihi2: Target) -> None:
    # arXiv:2608.18341: 40.6 uJ dynamic for 300 k synaptic operations on 74 cores of a 16-chip board, 135 pJ each where
    # other measurements give 4 to 30. Nothing that is counted here explains it, so the range does not stretch to it.
    found = measured(
        loihi2, 74, 7, synaptic_ops=3e5, stock_updates=1e4, spikes=1e4, packets_out=1e4, packets_in=2e4
    )
    dynamic = found.energy_pj.high - found.parts_pj["static"].high
    assert 2.0 < 40.6e6 / dynamic < 5.0
