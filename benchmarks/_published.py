"""The rows of the validation, Loihi 2 first; each with the builder of its network."""

from __future__ import annotations

from functools import partial

import _networks as net
import numpy as np
from _networks import Network
from _rows import Measured, Row, exactly

TICKS = 4  # that count, where a step is measured
OZU = "OzU-CAST LoihiScalingEfficiency, figures read by eye, +-2 %"
NECOTIS = "NECOTIS two-neuron benchmark, 100 runs of 10 M steps"
MATMUL_FREE = (
    "arXiv:2503.18002, 24 blocks of a MatMul-free language model of 370 M parameters on 24 of 32 chips"
)


# --- networks ----------------------------------------------------------------------------------------------------


def two_neurons() -> Network:
    """One neuron that drives a second, each with a bias by which it fires every 20 steps."""
    back = np.array([[0, 0], [128, 0]])
    neurons = net.layer(np.array([[2], [2]]), net.lif(20, 417), weight_rec=back.astype(np.float32),
                        bias=np.array([417.0, 470.0]))  # fmt: skip
    return Network([neurons], np.zeros((40, 1), np.int64), 20, {"input_shape": (1,)})


def recurrent(size: int, every: int) -> Network:
    """LIF neurons, each connected to all, driven by their biases."""
    rng, bias = np.random.default_rng(net.SEED), 640
    neurons = net.layer(2 * np.ones((size, 1)), net.lif(every, bias), bias=net.staggered(size, every, bias),
                        weight_rec=net.small(rng, size, size).astype(np.float32))  # fmt: skip
    warm = 3 * every  # by then they do not fire together any more
    return Network([neurons], np.zeros((warm + TICKS, 1), np.int64), warm, {"input_shape": (1,)})


# --- rows --------------------------------------------------------------------------------------------------------

LOIHI_2: tuple[Row, ...] = (
    Row(
        key="two-lif",
        title="Two LIF neurons",
        source=NECOTIS,
        build=two_neurons,
        built="one recurrent layer of 2 neurons, weight 128 from the first to the second, biases 417 and 470",
        activity="a spike of each neuron in about 20 steps, which go to the host too (assumed: 25 to 100 Hz at 1 ms)",
        times=1 / 20,
        energies=1 / 20,
        measured=(
            exactly("time_us", 1.1638, fitted="`time_ns.barrier`"),
            Measured("dynamic_uj", 0.023 * 1.1638, 0.038 * 1.1638, noise="dynamic power is 23 to 38 mW, +-17 mW"),
            Measured("power_w", 0.2137 + 0.023, 0.2137 + 0.038, fitted="`power_w.static_per_chip`"),
        ),
    ),
    *(
        Row(
            key=f"wta-{size}",
            title=f"Winner-take-all, {size} LIF neurons",
            source=OZU,
            build=partial(recurrent, size, 100),
            built=f"one layer of {size} LIF neurons, each connected to all, 8-bit weights",
            activity="1 % of the neurons in a step (assumed: no rates are given, and time does not depend on the size)",
            neurons_per_core=per_core,
            times=1 / TICKS,
            energies=1 / TICKS,
            measured=(
                exactly("time_us", 1.77, fitted="`time_ns.barrier`"),
                *((Measured("power_w", *power),) if power else ()),
            ),
        )
        for size, per_core, power in ((200, 40, (0.47, 0.49)), (600, 28, ()), (1200, 19, (0.57, 0.63)))
    ),
    Row(
        key="wta-cores",
        title="Winner-take-all, 1200 less 200 LIF neurons",
        source=OZU,
        built="the difference of the two rows",
        minus="wta-1200 wta-200",
        measured=(Measured("dynamic_w", 0.10, 0.14, fitted="`energy_pj.barrier_per_core`"),),
    ),
)  # fmt: skip
LOIHI_1: tuple[Row, ...] = ()
ROWS = (*LOIHI_2, *LOIHI_1)
