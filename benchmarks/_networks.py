"""How a network of the validation is made and run: random weights in a .net file, mapped, on the simulated cores."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy import target
from neurodeploy.array import Array
from neurodeploy.ir.graph import Builder, Graph
from neurodeploy.ir.nodes import Neuron, Synapse, View
from neurodeploy.ir.trace import Events
from neurodeploy.ir.types import Shape
from neurodeploy.program import Program
from neurodeploy.target import Target

ROOT = Path(__file__).resolve().parent.parent
#: seed of every weight and input
SEED = 0
#: a decay of this code forgets all of a current at once
AT_ONCE = 4096
#: bias of neurons that fire by it, and the largest threshold there is
BIAS, VTH_MAX = 640, 131071


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
    """Read the file, map it, run it on the simulated cores; ValueError if it does not fit or is not bit-true."""
    from neurodeploy.backends.cpu import MEMBER as FAST
    from neurodeploy.backends.loihi_sim import MEMBER as CORES
    from neurodeploy.builds.mapped import laid_out
    from neurodeploy.image import encode

    graph = _read(network)
    found = laid_out(graph, place, optimise)
    if not found.mapping.fits:
        raise ValueError(f"does not fit {place.name}: {'; '.join(map(str, found.mapping.problems))}")
    program = Program(found.graph, encode(found.graph, found.mapping, place))
    trace, events = CORES.run(program, network.x[None])
    if not np.array_equal(trace.outputs, FAST.run(program, network.x[None])[0].outputs):
        raise ValueError("the cores give other integers than the network")
    return Ran(program, events)


def _read(network: Network) -> Graph:
    from neurodeploy.formats.netx import MEMBER as NETX
    from neurodeploy.formats.netx import READER

    sys.path.insert(0, str(ROOT))  # before whatever else is called tests
    from tests.netx_files import write_net

    with tempfile.TemporaryDirectory() as folder:
        path = write_net(Path(folder) / "network.net", network.layers)
        options: Any = NETX.configure(network.options)
        graph = READER.load(path, options, len(network.x))
    return network.edit(graph) if network.edit else graph


def narrowed(graph: Graph) -> Graph:
    """The graph without the columns behind the last one that is not zero: a chain reads all that is before it."""
    build = Builder(graph.header)
    for node in graph:
        used = np.flatnonzero(node.weight.any(axis=0))[-1] + 1 if isinstance(node, Synapse) else 0
        if isinstance(node, Synapse) and used < node.weight.shape[1]:
            source = build.table[node.inputs[0]]
            value = replace(build.values[source], shape=Shape(("C",), (int(used),)))
            view = View(name=f"{node.name}.read", inputs=(source,), op="slice", args=(0, 0, int(used), 1))
            read = build.add(view, value)
            build.copy(graph, node, inputs=(read,), weight=np.ascontiguousarray(node.weight[:, :used]))
        else:
            build.copy(graph, node)
    return build.build()


def as_neurons(graph: Graph, model: str, params: Mapping[str, Any], scale: float) -> Graph:
    """The graph with another model for all of its neurons, quantised for inputs of that scale."""
    from neurodeploy.ir.neuron_model import NEURONS

    made, build = NEURONS[model].quantize(params, scale, 1.0), Builder(graph.header)
    for node in graph:
        other = {"model": model, "params": made.params} if isinstance(node, Neuron) else {}
        build.copy(graph, node, **other)
    return build.build()


def limited(name: str, limits: Mapping[str, int]) -> Target:
    """A target with other limits, by which a network takes about the cores that it took."""
    place = target.load(name)
    changed = {
        key: getattr(place.limits, key).model_copy(update={"value": value}) for key, value in limits.items()
    }
    return place.model_copy(update={"limits": place.limits.model_copy(update=changed)})


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
    most = {kind: round(float(mean[:, i].max()), 1) for kind, i in kinds.items()}
    return {
        "neurons": sum(int(np.prod(graph.shape(n.name))) for n in graph.of(Neuron)),
        "weights": sum(int(np.count_nonzero(n.weight)) for n in graph.of(Synapse)),
        "cores": len(mapping.cores), "chips": len({core.chip for core in mapping.cores}), "ticks": events.steps,
        "step": {kind: round(float(mean[:, i].sum()), 1) for kind, i in kinds.items()},
        "busiest": most,
    }  # fmt: skip


# --- layers ------------------------------------------------------------------------------------------------------


def lif(every: int, bias: int = BIAS) -> dict[str, Any]:
    """A LIF neuron without leak which a bias makes fire every so many ticks."""
    return {"type": "CUBA", "iDecay": AT_ONCE, "vDecay": 0, "vThMant": every * bias - bias // 2}


def silent() -> dict[str, Any]:
    """A LIF neuron that does not fire."""
    return {"type": "CUBA", "iDecay": AT_ONCE, "vDecay": AT_ONCE, "vThMant": VTH_MAX - 1}


def graded() -> dict[str, Any]:
    """A sigma-delta neuron that sends every change."""
    return {"type": "SDNN", "activation": "relu", "vThMant": 0}


def staggered(count: int, bias: int = BIAS) -> Array:
    """Biases of so many neurons, by which they do not all fire in the same ticks."""
    jitter = np.random.default_rng(SEED).integers(-bias // 4, bias // 4 + 1, count)
    return (bias + jitter).astype(np.float64)


def dense(weight: Array, neuron: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A dense layer (with ``weight_rec``: a recurrent one)."""
    kind = "dense_rec" if "weight_rec" in more else "dense"
    shape = np.array([len(weight), 1, 1])
    return {"type": kind, "shape": shape, "weight": weight.astype(np.float32), "neuron": neuron, **more}


def conv(
    kind: str, weight: Array, shape: tuple[int, int, int], neuron: dict[str, Any], **more: Any
) -> dict[str, Any]:
    """A convolution or a pool of that output shape (C, Y, X)."""
    ones = np.array([1, 1])
    geometry = {"stride": ones, "padding": 0 * ones, "dilation": ones, "groups": 1, **more}
    return {
        "type": kind,
        "shape": np.array(shape),
        "weight": weight.astype(np.float32),
        "neuron": neuron,
        **geometry,
    }


def small(rng: np.random.Generator, *shape: int) -> Array:
    """Weights of 8 bits without zeros that are small beside any threshold: +1 and -1 but for one of each sign."""
    weight = rng.choice([-1, 1], shape)
    weight.flat[0], weight.flat[-1] = 127, -127
    return weight


def balanced(rng: np.random.Generator, rows: int, columns: int, most: int = 12) -> Array:
    """Weights of 8 bits without zeros, each row of sum zero: what all inputs have in common does not come through."""
    half = rng.choice([-1, 1], (rows, columns // 2)) * rng.integers(1, most + 1, (rows, columns // 2))
    half.flat[0] = 127
    return np.concatenate([half, -rng.permuted(half, axis=1)], axis=1)


def ternary(rng: np.random.Generator, rows: int, columns: int) -> Array:
    """-1, 0 and 1 alike often, each row of sum zero; times two, which the chip divides out again."""
    half = 2 * rng.integers(-1, 2, (rows, columns // 2))
    return np.concatenate([half, -rng.permuted(half, axis=1)], axis=1)


def chance(rng: np.random.Generator, rate: float, *shape: int) -> Array:
    """Spikes of a rate."""
    return (rng.random(shape) < rate).astype(np.int64)


def values(rng: np.random.Generator, *shape: int) -> Array:
    """Graded inputs of 8 bits, none of them zero."""
    return rng.choice([-1, 1], shape) * rng.integers(1, 128, shape)
