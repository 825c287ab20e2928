"""How a network of the validation is made and run: random weights in a .net file, mapped, on the simulated cores."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy import target
from neurodeploy.array import Array
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Neuron, Synapse
from neurodeploy.ir.trace import Events
from neurodeploy.program import Program
from neurodeploy.target import Target

ROOT = Path(__file__).resolve().parent.parent
#: seed of every weight and input
SEED = 0
#: a decay of this code forgets all of a current at once
AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Network:
    """Layers of a .net file and the input (ticks, *shape) on which it runs; the first ``warm`` ticks do not count."""

    layers: list[dict[str, Any]]
    x: Array
    warm: int
    options: dict[str, Any] = field(default_factory=dict)
    edit: Callable[[Graph], Graph] | None = None


@dataclass(frozen=True, eq=False)
class Ran:
    """A program on its cores and what they did in the ticks that count."""

    program: Program
    events: Events


def run(network: Network, place: Target, optimise: str) -> Ran:
    """Read the file, map it, run it on the simulated cores; ValueError if it does not fit."""
    from neurodeploy.backends.loihi_sim import MEMBER as CORES
    from neurodeploy.builds.mapped import laid_out
    from neurodeploy.image import encode

    graph = _read(network)
    found = laid_out(graph, place, optimise)
    if not found.mapping.fits:
        raise ValueError(f"does not fit {place.name}: {'; '.join(map(str, found.mapping.problems))}")
    program = Program(found.graph, encode(found.graph, found.mapping, place))
    return Ran(program, CORES.run(program, network.x[None])[1])


def _read(network: Network) -> Graph:
    from neurodeploy.formats.netx import MEMBER as NETX
    from neurodeploy.formats.netx import READER

    sys.path[:0] = [] if str(ROOT) in sys.path else [str(ROOT)]
    from tests.netx_files import write_net

    with tempfile.TemporaryDirectory() as folder:
        path = write_net(Path(folder) / "network.net", network.layers)
        options: Any = NETX.configure(network.options)
        graph = READER.load(path, options, len(network.x))
    return network.edit(graph) if network.edit else graph


def limited(name: str, chips: int = 1, neurons_per_core: int | None = None) -> Target:
    """A target with so many chips, whose cores take at most so many neurons."""
    place = target.load(name).with_chips(chips)
    if neurons_per_core is None:
        return place
    limit = place.limits.neurons_per_core.model_copy(update={"value": neurons_per_core})
    return place.model_copy(update={"limits": place.limits.model_copy(update={"neurons_per_core": limit})})


def ticking(program: Program, ticks: int) -> Program:
    """The program as one of so many ticks, none of which fills or empties a pipeline."""
    assert program.mapping is not None
    graph = program.graph.with_header(timesteps=ticks)
    return replace(program, graph=graph, mapping=replace(program.mapping, depth=0))


def size(program: Program, events: Events) -> dict[str, Any]:
    """How large a network is, what all cores did in a mean step, and the most that any core did, kind by kind."""
    graph, mapping = program.graph, program.mapping
    assert mapping is not None
    mean = events.core_counts.mean(axis=(0, 2))
    kinds = {kind: i for i, kind in enumerate(events.kinds) if mean[:, i].any()}
    demands = [core.demand for core in mapping.cores]
    lists = np.array([d.synapse_words / max(d.axon_in, 1) for d in demands])
    read = mean[:, events.kinds.index("packets_in")] * lists
    most = {kind: round(float(mean[:, i].max()), 1) for kind, i in kinds.items()}
    return {
        "neurons": sum(int(np.prod(graph.shape(n.name))) for n in graph.of(Neuron)),
        "weights": sum(int(np.count_nonzero(n.weight)) for n in graph.of(Synapse)),
        "cores": len(mapping.cores), "chips": len({core.chip for core in mapping.cores}), "ticks": events.steps,
        "step": {kind: round(float(mean[:, i].sum()), 1) for kind, i in kinds.items()},
        "busiest": {**most, "synapse_words": round(float(read.max()), 1)},
    }  # fmt: skip


# --- layers ------------------------------------------------------------------------------------------------------


def lif(every: int, bias: int = 64) -> dict[str, Any]:
    """A LIF neuron without leak whose bias makes it fire every so many ticks."""
    return {"type": "CUBA", "iDecay": AT_ONCE, "vDecay": 0, "vThMant": every * bias - bias // 2}


def staggered(count: int, every: int, bias: int = 64) -> Array:
    """Biases of so many neurons, by which they do not all fire in the same ticks."""
    jitter = np.random.default_rng(SEED).integers(-bias // 4, bias // 4 + 1, count)
    return (bias + jitter).astype(np.float64)


def layer(weight: Array, neuron: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A dense layer (with ``weightRec``: a recurrent one)."""
    kind = "dense_rec" if "weight_rec" in more else "dense"
    return {"type": kind, "shape": np.array([len(weight), 1, 1]), "weight": weight.astype(np.float32),
            "neuron": neuron, **more}  # fmt: skip


def small(rng: np.random.Generator, *shape: int) -> Array:
    """Weights of 8 bits without zeros that are small beside any threshold: +1 and -1 but for one of each sign."""
    weight = rng.choice([-1, 1], shape)
    weight.flat[0], weight.flat[-1] = -127, 127
    return weight


def ternary(rng: np.random.Generator, *shape: int) -> Array:
    """-1, 0 and 1 alike often, times two, which the chip divides out again."""
    return 2 * rng.integers(-1, 2, shape)


def chance(rng: np.random.Generator, ticks: int, size: int, rate: float) -> Array:
    """Spikes (ticks, size) of a rate."""
    return (rng.random((ticks, size)) < rate).astype(np.int64)
