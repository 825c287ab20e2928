"""The rows of the validation, Loihi 2 first; each with the builder of its network."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

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


ABR = "ABR power benchmarks, raw logs averaged again"
ACOUSTIC = "arXiv:2608.18341, 1 M inferences on one of 16 chips of a VPX board"
FRADY = "Frady et al. 2020 (arXiv:2004.12691), 32 chips"
FIT = "four times, see the fit"
QUARTZ = "Quartz on Loihi, notebook of the repository (a56d551)"
#: so many Izhikevich neurons are driven, which makes about one spike in a step
DRIVEN_NEURONS = 25
#: bias of sigma-delta neurons, above whatever their inputs take away, so that all of them always send
ABOVE = 192


# --- networks ----------------------------------------------------------------------------------------------------


def two_neurons() -> Network:
    """One neuron that drives a second, each with a bias by which it fires every 20 steps."""
    back = np.array([[0, 0], [128, 0]], np.float32)
    bias = np.array([417.0, 470.0])
    neurons = net.dense(np.array([[2], [2]]), net.lif(20, 417), weight_rec=back, bias=bias)
    return Network([neurons], np.zeros((40, 1), np.int64), 20, {"input_shape": (1,)})


def winner(size: int) -> Network:
    """LIF neurons, each connected to all, of which the bias of one makes it fire in every step."""
    rng = np.random.default_rng(net.SEED)
    back, bias = net.small(rng, size, size).astype(np.float32), np.zeros(size)
    bias[size // 2] = 2 * net.BIAS
    neurons = net.dense(2 * np.ones((size, 1)), net.lif(1), bias=bias, weight_rec=np.minimum(back, -1))
    return Network([neurons], np.zeros((4 + TICKS, 1), np.int64), 4, {"input_shape": (1,)})


def izhikevich(size: int) -> Network:
    """Regular spiking Izhikevich neurons, each connected to all, some of them under a constant current."""
    rng, scale = np.random.default_rng(net.SEED), 2.0**-6
    model = {"square": 0.04, "gap": 15.0, "a": 0.02, "b": 0.2, "peak": 100.0, "reset": 5.0, "jump": 8.0}
    bias = np.zeros(size)
    bias[:: size // DRIVEN_NEURONS] = rng.uniform(6.0, 14.0, len(bias[:: size // DRIVEN_NEURONS]))
    neurons = net.dense(
        2 * np.ones((size, 1)), net.lif(1), weight_rec=net.small(rng, size, size).astype(np.float32)
    )
    edit = partial(net.as_neurons, model="izhikevich", params={**model, "bias": bias}, scale=scale)
    return Network([neurons], np.zeros((200 + TICKS, 1), np.int64), 200, {"input_shape": (1,)}, edit)


def recurrent(size: int, every: int = 100) -> Network:
    """LIF neurons, each connected to all, which their biases make fire every so many ticks."""
    rng = np.random.default_rng(net.SEED)
    back = net.small(rng, size, size).astype(np.float32)
    neurons = net.dense(2 * np.ones((size, 1)), net.lif(every), bias=net.staggered(size), weight_rec=back)
    warm = 3 * every  # by then they do not fire together any more
    return Network([neurons], np.zeros((warm + TICKS, 1), np.int64), warm, {"input_shape": (1,)})


def sigma_delta(weights: list[net.Array], x: net.Array, warm: int) -> Network:
    """A chain of sigma-delta layers behind one that holds the input; all send whenever their input changes."""
    bias = lambda w: np.full(len(w), float(ABOVE))
    entry = {"type": "input", "shape": np.array([x.shape[1], 1, 1]), "neuron": net.graded()}
    layers = [net.dense(w, net.graded(), bias=bias(w)) for w in weights]
    return Network([entry, *layers], x[..., None, None], warm, edit=net.narrowed)


def autoencoder() -> Network:
    """256-128-64-32-64-128-256, a new input in every step."""
    rng = np.random.default_rng(net.SEED)
    weights = [net.balanced(rng, o, i) for i, o in pairwise((256, 128, 64, 32, 64, 128, 256))]
    return sigma_delta(weights, net.values(rng, 8 + TICKS, 256), 8)


def block(rng: np.random.Generator) -> list[net.Array]:
    """Synapses of a MatMul-free block: three projections, that of the output, gate and value, and back.

    A chain has no products: the layer after one reads one of the operands.
    """
    part = lambda rows, read, of: np.pad(net.ternary(rng, rows, read), ((0, 0), (0, of - read)))
    wide = 2816
    return [net.ternary(rng, 3072, 1024), part(1024, 1024, 3072), net.ternary(rng, 2 * wide, 1024),
            part(1024, wide, 2 * wide)]  # fmt: skip


def prefill() -> Network:
    """A block in which every layer has a token of its own in every step."""
    rng = np.random.default_rng(net.SEED)
    return sigma_delta(block(rng), net.values(rng, 8 + 2, 1024), 8)


def generate() -> Network:
    """A block that one token passes, layer after layer."""
    rng = np.random.default_rng(net.SEED)
    x = np.zeros((8 + 5, 1024), np.int64)
    x[8:] = net.values(rng, 1024)
    return sigma_delta(block(rng), x, 8)


def prototypes() -> Network:
    """1280 graded inputs, all of them at once, onto 300 prototypes."""
    rng = np.random.default_rng(net.SEED)
    x = np.zeros((4, 1280), np.int64)
    x[2:] = net.values(rng, 1280)
    return sigma_delta([net.balanced(rng, 300, 1280)], x, 2)


def spiking(sizes: tuple[int, ...], every: int, ticks: int) -> Network:
    """Dense layers of LIF neurons, which fire every so many ticks, as the inputs do."""
    rng = np.random.default_rng(net.SEED)
    layers = [
        net.dense(net.small(rng, o, i), net.lif(every), bias=net.staggered(o)) for i, o in pairwise(sizes)
    ]
    warm = 4 * every
    return Network(
        layers, net.chance(rng, 1 / every, warm + ticks, sizes[0]), warm, {"input_shape": (sizes[0],)}
    )


def neighbours() -> Network:
    """One chip of 32: 2400 patterns of 708 elements, of which 12 spike in each step, each once."""
    rng, patterns, size, steps = np.random.default_rng(net.SEED), 2400, 708, 60
    x = np.zeros((steps, size), np.int64)
    x[np.repeat(np.arange(steps - 1), size // (steps - 1)), rng.permutation(size)] = 1
    layer = net.dense(net.small(rng, patterns, size), net.silent())
    return Network([layer], x, 0, {"input_shape": (size,), "readout": "spikes"})


def quartz(steps: int) -> Network:
    """The convolutions of Quartz for MNIST, each neuron and pixel with a spike per sample."""
    rng, every = np.random.default_rng(net.SEED), steps
    neuron = net.lif(every)
    layer = lambda kind, weight, shape, **more: net.conv(
        kind, weight, shape, neuron, bias=net.staggered(shape[0]), **more
    )
    two, pool = np.array([2, 2]), lambda c: np.ones((c, 1, 2, 2))
    layers = [
        layer("conv", net.small(rng, 6, 1, 5, 5), (6, 24, 24)),
        layer("pool", pool(6), (6, 12, 12), stride=two),
        layer("conv", net.small(rng, 12, 6, 5, 5), (12, 8, 8)),
        layer("pool", pool(12), (12, 4, 4), stride=two),
        layer("conv", net.small(rng, 120, 12, 4, 4), (120, 1, 1)),
        {"type": "flatten", "shape": np.array([1, 1, 1])},
        net.dense(net.small(rng, 10, 120), neuron, bias=net.staggered(10)),
    ]
    x = net.chance(rng, 1 / every, 2 * steps, 1, 28, 28)
    return Network(layers, x, steps, {"input_shape": (28, 28, 1)})


# --- Loihi 2 -----------------------------------------------------------------------------------------------------

WINNER = "the winner fires in every step, no other neuron does (assumed: rates are not given)"
MANY = "1 % of the neurons fire in a step (assumed: rates are not given)"
NO_RATES = "rates are not given, and decide much of it"
MICROCODED = "one layer of Izhikevich neurons in microcode, each connected to all, 8-bit weights"
ONE_SPIKE = "about one spike in a step (assumed: rates are not given)"
EULER = "one Euler step with a peak that cuts the voltage; the program that was measured is not public"
INFERRED = (
    "that one of the 5 cores held 160 neurons is inferred from the time itself, as 1200 neurons take less"
)
SHARED = "one dense chain 1024-3072-1024-5632-1024 of sigma-delta neurons, 12.85 M ternary weights, a third of them 0"
#: a block took one chip, so its synapses cannot all have had 12 bits of index beside their weights
ONE_CHIP = {"synapse_words": 26000, "total_words": 40000}
ALONE = "element products, gates, norms, the scan over tokens and packets between chips are left out"
FITTED = (
    "cores are given 26,000 words: with 12 bits of index beside each weight a block does not fit its one chip"
)
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
            Measured(
                "dynamic_uj", 0.023 * 1.1638, 0.038 * 1.1638, noise="dynamic power is 23 to 38 mW, +-17 mW"
            ),
            Measured("power_w", 0.2137 + 0.023, 0.2137 + 0.038, fitted="`power_w.static_per_chip`"),
        ),
    ),
    *(
        Row(
            key=f"wta-{size}{suffix}",
            title=f"Winner-take-all, {size} LIF neurons{title}",
            source=OZU,
            build=partial(build, size),
            built=f"one layer of {size} LIF neurons, each connected to all, 8-bit weights",
            activity=activity,
            limits={"neurons_per_core": per_core},
            times=1 / TICKS,
            energies=1 / TICKS,
            measured=(
                exactly("time_us", 1.77, differs=differs, fitted="`time_ns.barrier`"),
                *((Measured("power_w", *power, differs=NO_RATES),) if power else ()),
            ),
            notes=notes,
        )
        for suffix, title, build, activity, differs in (
            ("", "", winner, WINNER, ""),
            (
                "-busy",
                ", many fire",
                recurrent,
                MANY,
                "the same network under another activity, to show what it decides",
            ),
        )
        for size, per_core, power, notes in (
            (200, 40, (0.47, 0.49), ()),
            (600, 28, (), ("the number of cores is assumed",)),
            (1200, 19, (0.57, 0.63), ()),
        )
    ),
    *(
        Row(
            key=f"wta-cores{suffix}",
            title=f"Winner-take-all, 1200 less 200 LIF neurons{title}",
            source=OZU,
            built="the difference of the two rows",
            minus=f"wta-1200{suffix} wta-200{suffix}",
            measured=(
                Measured("dynamic_w", 0.10, 0.14, differs=NO_RATES, fitted="`energy_pj.barrier_per_core`"),
            ),
        )
        for suffix, title in (("", ""), ("-busy", ", many fire"))
    ),
    Row(
        key="matmul-free-prefill",
        title="MatMul-free language model, prefill",
        source=MATMUL_FREE,
        per="token",
        build=prefill,
        built=f"{SHARED}; dynamic energy of 24 such blocks",
        activity="all neurons send in every step; every layer has its own token",
        limits=ONE_CHIP,
        host=False,
        times=1 / 2,
        energies=24 / 2,
        board=32,
        static_w=16.8,
        measured=(
            exactly("time_us", 1e6 / 6632, fitted=FIT),
            exactly("dynamic_uj", 3700 - 16.8e6 / 6632, fitted="`energy_pj.synaptic_op`"),
            exactly("total_uj", 3700),
        ),
        notes=(
            ALONE,
            FITTED,
            "static power is the 16.8 W that were measured",
        ),
    ),
    Row(
        key="matmul-free-generate",
        title="MatMul-free language model, generation",
        source=MATMUL_FREE,
        per="token",
        build=generate,
        built=f"{SHARED}; 24 such blocks one after the other",
        activity="one token passes; every neuron sends once",
        limits=ONE_CHIP,
        host=False,
        times=24,
        energies=24,
        board=32,
        static_w=16.8,
        measured=(
            exactly(
                "time_us",
                1e6 / 41.5,
                differs="how many steps a token takes in a block and between chips is not said",
            ),
            exactly("total_uj", 405e3, differs="static power over that time"),
        ),
        notes=(ALONE, FITTED, "static power is the 16.8 W that were measured"),
    ),
    *(
        Row(
            key=f"acoustic-autoencoder-{key}",
            title=f"Acoustic autoencoder 256-128-64-32-64-128-256, {title}",
            source=ACOUSTIC,
            per="inference",
            build=autoencoder,
            built="six dense layers of sigma-delta neurons and one of inputs, 8-bit weights without zeros",
            activity="all neurons send in every step; 3.5 steps make the 0.30 M synaptic operations of an inference",
            limits={"neurons_per_core": 13},
            host=key != "preloaded",
            times=3.5 / TICKS,
            energies=3.5 / TICKS,
            board=16,
            static_w=static_w,
            measured=measured,
            notes=(
                "3.5 steps, one behind the other in a pipeline, also make the 10,000 neuron updates that were counted",
                "leaky ReLU and 24-bit messages were measured, ReLU and 16 bits are built",
                f"static power is the {static_w} W that were measured",
                *notes,
            ),
        )
        for key, title, static_w, measured, notes in (
            (
                "preloaded",
                "inputs on the chip",
                16.05,
                (exactly("time_us", 48.3, fitted=FIT), exactly("dynamic_uj", 40.6), exactly("total_uj", 816)),
                (),
            ),
            (
                "ethernet",
                "inputs over Ethernet",
                16.05,
                (
                    exactly(
                        "time_us",
                        281.0,
                        differs="bound by the host and its network",
                        fitted="`time_ns.host_packet`",
                    ),
                    exactly("dynamic_uj", 42.6),
                    exactly("total_uj", 4554, differs="static power over that time"),
                ),
                (),
            ),
        )
    ),
    Row(
        key="clp-snn",
        title="CLP-SNN, 300 prototypes of 1280 elements",
        source="csv of the repository elvinhajizada/CLP-SNN",
        per="inference",
        build=prototypes,
        built="one dense layer of sigma-delta neurons, 8-bit weights without zeros, two steps",
        activity="all inputs at once: the 0.384 M synaptic operations are the most that there can be",
        chips=1,
        measured=(
            exactly("time_us", 330, differs="steps per inference, normalisation and learning are not said"),
            exactly("dynamic_uj", 12.9, differs="the same"),
            exactly("power_w", 0.16, differs="the same", fitted="`power_w.static_per_chip`"),
        ),
    ),
    Row(
        key="oxford",
        title="Oxford notebook of lava-dl, 200-256-200",
        source="lava-dl, 2000 steps on 5 cores",
        build=partial(spiking, (200, 256, 200), 50, TICKS),
        built="two dense layers of LIF neurons, 8-bit weights",
        activity="2 % of inputs and neurons in a step (assumed)",
        limits={"neurons_per_core": 100},
        times=1 / TICKS,
        energies=1 / TICKS,
        measured=(exactly("time_us", 16.09e6 / 2000, differs="bound by reading in and out on the host"),),
    ),
    Row(
        key="wta-izhikevich-200",
        title="Winner-take-all, 200 Izhikevich neurons",
        source=OZU,
        build=partial(izhikevich, 160),
        built=f"{MICROCODED}; the 160 neurons of the slowest core, alone",
        activity=ONE_SPIKE,
        limits={"neurons_per_core": 160},
        times=1 / TICKS,
        energies=1 / TICKS,
        measured=(
            exactly("time_us", 7.5, differs=INFERRED, fitted=FIT),
            exactly("power_w", 0.50, differs="one core is built, five were used"),
        ),
        notes=(EULER,),
    ),
    Row(
        key="wta-izhikevich-1200",
        title="Winner-take-all, 1200 Izhikevich neurons",
        source=OZU,
        build=partial(izhikevich, 1200),
        built=MICROCODED,
        activity=ONE_SPIKE,
        limits={"neurons_per_core": 24},
        times=1 / TICKS,
        energies=1 / TICKS,
        measured=(Measured("time_us", 2.2, 2.7, fitted=FIT), exactly("power_w", 0.75, differs=NO_RATES)),
        notes=(EULER, "measured on 43 to 60 cores"),
    ),
    Row(
        key="shd",
        title="Spiking Heidelberg Digits and Speech Commands with delays",
        source="Meszaros et al. 2025 (arXiv:2510.13757)",
        shown="feed-forward 1.46 ms, 0.46 mJ, 0.28 mJ dynamic; recurrent 1.49 to 1.54 ms, 0.36 mJ, 0.21 mJ dynamic",
        missing="sizes of the hidden layers, steps of an inference and rates",
    ),
    Row(
        key="eventprop",
        title="Eventprop, 1024 hidden neurons",
        source="Shoesmith et al. 2025 (arXiv:2503.04341)",
        shown="0.50 mJ",
        missing="steps of an inference and rates",
    ),
    Row(
        key="q-learning",
        title="Q-learning, 34 cores",
        source="arXiv:2609.32317",
        shown="58.42 us and 104.75 uJ per update, 12.86 us and 23.23 uJ per inference, 1.80 W of the board",
        missing="sizes of the layers; the power is that of a board with its host",
    ),
    Row(
        key="s4d",
        title="S4D, 67 k to 265 k parameters on 31 and 111 cores",
        source="Meyer et al. 2024",
        shown="1000 x less energy and 75 x lower latency than a recurrent network on a Jetson",
        missing="absolute energies and times",
    ),
    Row(
        key="sdnn-conversion",
        title="Converted sigma-delta networks",
        source="Brehove et al. 2025 (arXiv:2505.06417), 16 chips",
        shown="176 to 362 frames per second, synaptic operations 0.056 of the ANN's",
        missing="the layers of the network",
    ),
    Row(
        key="detection",
        title="Object detection",
        source="Gamage et al. 2026 (arXiv:2605.00146)",
        shown="0.96 to 1.9 mJ, 6 to 16 ms, 2.05 to 2.57 W",
        missing="the layers of the network and their rates",
    ),
    Row(
        key="masked-detection",
        title="Object detection with masked regions",
        source="arXiv:2503.16775",
        shown="1.65 x less energy times delay at 60 % masked",
        missing="absolute energies and times",
    ),
    Row(
        key="lca",
        title="Locally competitive algorithm",
        source="Parpart et al. 2023",
        shown="static about 0.54 W, dynamic 0.17 to 0.39 W",
        missing="the size of the dictionary and the rates",
    ),
)
# --- Loihi 1 -----------------------------------------------------------------------------------------------------

DRIVEN = "each step is driven by the host or by embedded processors"
LOIHI_1: tuple[Row, ...] = (
    Row(
        key="keywords",
        title="Keyword spotting on Loihi 1, 390-256-256-29",
        source=ABR,
        target="loihi1",
        per="inference",
        build=partial(spiking, (390, 256, 256, 29), 10, 10),
        built="three dense layers of LIF neurons, 8-bit weights, 10 steps",
        activity="10 % of inputs and neurons in a step (assumed: rates are not given)",
        measured=(
            exactly("time_us", 3370, differs=DRIVEN),
            exactly(
                "dynamic_uj", 46.7, differs="rates are not given; above armed idle, host traffic included"
            ),
        ),
    ),
    Row(
        key="keywords-slope",
        title="Keyword spotting on Loihi 1, each further layer of 256",
        source=ABR,
        target="loihi1",
        per="layer and step",
        build=partial(spiking, (256,) * 11, 20, TICKS),
        built="ten dense layers of 256 LIF neurons, 8-bit weights",
        activity="5 % of the neurons in a step (assumed: rates are not given)",
        limits={"neurons_per_core": 256},
        times=1 / TICKS,
        energies=0.1 / TICKS,
        measured=(exactly("dynamic_uj", 0.164, differs="rates are not given, and decide it"),),
    ),
    Row(
        key="quartz-mnist",
        title="Quartz, MNIST on Loihi 1, T = 8",
        source=QUARTZ,
        target="loihi1",
        per="sample",
        build=partial(quartz, 51),
        built="conv 5x5x6, pool, conv 5x5x12, pool, conv 4x4x120, dense 10, one LIF neuron for each unit, 51 steps",
        activity="one spike of each neuron and pixel in a sample (assumed)",
        measured=(
            exactly("time_us", 96.0 * 51, differs=DRIVEN),
            exactly(
                "dynamic_uj", 6.9e-3 * 96.0 * 51, differs="a unit of Quartz is a circuit of several neurons"
            ),
        ),
        notes=(
            "pools are sums of 2x2 with neurons of their own (assumed)",
            "72 cores were powered, 17 held the network",
        ),
    ),
    Row(
        key="nearest-neighbours",
        title="Nearest neighbours on Loihi 1, 76,800 patterns",
        source=FRADY,
        target="loihi1",
        per="query",
        build=neighbours,
        built="one chip of 32: a dense layer of 2400 LIF neurons, 8-bit weights, 60 steps; 32 times its dynamic energy",
        activity="708 input spikes (measured: 667 to 750), each meeting all patterns",
        limits={"neurons_per_core": 19},
        energies=32,
        chips=32,
        measured=(exactly("dynamic_uj", 1330),),
        notes=("what finds the nearest pattern, and packets between chips, are left out",),
    ),
    Row(
        key="quartz-cifar10",
        title="Quartz, CIFAR-10 on Loihi 1",
        source=QUARTZ,
        shown="278 us per step of 1314; 11.1 mW dynamic, 1753 cores on 14 chips",
        missing="the layers of the network",
    ),
    Row(
        key="nxtf-mnist",
        title="NxTF, MNIST on Loihi 1",
        source="Rueckauer et al. 2021",
        shown="14 cores, 0.66 mJ, 6.65 ms, T about 100",
        missing="the layers of the network and their rates",
    ),
    Row(
        key="nxtf-cifar10",
        title="NxTF, MobileNet for CIFAR-10 on Loihi 1",
        source="Rueckauer et al. 2021",
        shown="861 cores on 7 chips, 102 mJ, 340 ms, T about 400",
        missing="the layers of the network and their rates",
    ),
    Row(
        key="nxtf-n-mnist",
        title="NxTF, N-MNIST on Loihi 1",
        source="Rueckauer et al. 2021",
        shown="0.29 mJ, 6.46 ms, 522 neurons, 597 k parameters",
        missing="the layers of the network and their rates",
    ),
    Row(
        key="keywords-second",
        title="Keyword spotting on Loihi 1, second figure",
        source="Blouw et al., Yan et al.",
        shown="40 mW, 0.037 mJ",
        missing="what of the power is dynamic; the network is that of the first row of keyword spotting",
    ),
    Row(
        key="others",
        title="Olfaction, SDDPG, CarSNN, dodging, DVS gestures on Loihi 1",
        source="five publications, figures at second hand",
        shown="0.43 mJ in 2.75 ms; 15.53 uJ; 319.7 uJ in 0.72 ms; 1.39 mJ at 122 per s; 11.4 ms",
        missing="layers, steps and rates",
    ),
)
# --- measured elsewhere ------------------------------------------------------------------------------------------

ELSEWHERE: tuple[Row, ...] = (
    Row(
        key="n-dns",
        title="N-DNS challenge, baseline",
        source="IntelLabs, README of the challenge",
        shown="power proxy 14.54 M-ops/s",
        missing="a measurement on a chip: the proxy counts operations",
    ),
    Row(
        key="neurobench",
        title="NeuroBench, Google Speech Commands",
        source="README of the repository",
        shown="Xylo 0.028 mJ, Arduino 0.934 mJ",
        missing="a measurement on a Loihi",
    ),
)
ROWS = (*LOIHI_2, *LOIHI_1, *ELSEWHERE)
