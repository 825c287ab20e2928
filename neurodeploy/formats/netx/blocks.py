"""The layers of a .net file as checked blocks, in the order and with the rules of netx 0.6.0.

A walk carries from layer to layer what netx carries: the shape, the width of messages, a pending flatten, the number
of processes made so far. Problems are noted in the tree, and the walk goes on where it can, so that all are listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from ...array import Array
from ...ir.shapes import MAX_ELEMENTS
from .._hdf5.read import Tree
from . import neurons as _netx_neurons
from . import weights as _netx_weights
from .fields import Fields
from .neurons import BIAS_MAX, SDNN_MAX, STATE_EXP, NeuronSpec

MAX_LAYERS = 1000
MAX_DELAY = 62
MAX_SIDE = 1 << 16

#: kinds of layers that are never imported, and why
UNKNOWN = {
    "convT": "transposed convolutions have no node in the graph",
    "unpool": "unpooling has no node in the graph",
    "average": "the file does not say whether it averages over neurons or over time",
    "dense_comp": "netx has no reader for it; complex layers are of type dense",
    "kwta": "winner-take-all layers have no node in the graph",
}

Sizes = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Block:
    """One layer that becomes nodes. ``shape`` is (C, Y, X) or (N,), ``before`` that of what enters.

    ``streams`` are the weights of each input of the neuron, (O, C) or (O, C/groups, ky, kx); none for an input layer
    and for ``concat``, whose ``sources`` are earlier layers. ``delay`` counts what comes on top of Lava's one step.
    """

    index: int
    kind: str
    shape: Sizes
    before: Sizes
    neuron: NeuronSpec | None = None
    bias: Array | None = None
    streams: tuple[Array, ...] = ()
    recurrent: Array | None = None
    delay: int | Array = 0
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    groups: int = 1
    flatten: bool = False
    sources: tuple[int, ...] = ()
    reset: tuple[int, int] | None = None


@dataclass
class Walk:
    """What is carried from layer to layer; ``options`` are those of the reader."""

    tree: Tree
    options: Any
    shape: Sizes | None = None
    message_bits: int = 0
    graded: bool = False
    flatten: bool = False
    process: int = 0
    entry_bits: int = 0
    blocks: list[Block] = field(default_factory=list)
    shapes: dict[int, Sizes] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def remark(self, index: int, text: str) -> None:
        """Something worth knowing that is not wrong."""
        self.remarks.append(f"layer/{index}: {text}")


def read_blocks(tree: Tree, options: Any) -> Walk:
    """All layers that the options ask for; problems are in the tree."""
    walk = Walk(tree, options, message_bits=options.input_message_bits)
    if options.input_shape:
        walk.shape = tuple(reversed(options.input_shape))
    for index in range(_count(tree, options)):
        layer = Fields(tree, f"layer/{index}")
        kind = layer.text("type")
        if kind is None:
            walk.shape = None
        elif kind in READERS:
            READERS[kind](walk, layer, index)
        else:
            reason = UNKNOWN.get(kind, "no such kind of layer")
            layer.problem(
                "ND125", "a layer that cannot be imported", "type", f"{kind[:40]}: {reason}", _known()
            )
            walk.shape = None
    if not tree.problems and not walk.blocks:
        tree.problem(
            "ND126", "no layer is left", "layer", f"skip_layers {options.skip_layers}", "at least one"
        )
    return walk


def _known() -> str:
    return ", ".join(READERS)


def _count(tree: Tree, options: Any) -> int:
    """How many layers are read; their groups must be called 0, 1, 2, ..."""
    if "layer" not in tree.groups:
        if "layer" not in tree.refused:
            tree.problem(
                "ND121", "an HDF5 file that is no .net file", "layer", "no such group", "a group of layers"
            )
        return 0
    names = tree.children("layer")
    for index in range(len(names)):
        if str(index) not in names:
            tree.problem("ND122", "a layer is missing", f"layer/{index}", ", ".join(names)[:100])
            return 0
    if not names or len(names) > MAX_LAYERS:
        tree.problem("ND126", "the number of layers", "layer", len(names), f"1 .. {MAX_LAYERS}")
        return 0
    return min(len(names), options.num_layers or len(names))


# --- layers ---------------------------------------------------------------------------------------------------------


def _input(walk: Walk, layer: Fields, index: int) -> None:
    shape = _shape(layer)
    if walk.blocks:  # netx would leave its neurons unconnected; without neurons it means nothing
        if layer.has("neuron"):
            layer.problem(
                "ND125", "an input layer behind other layers", "neuron", f"layer {index}", "the first layer"
            )
        return
    walk.shape = shape
    if not layer.has("neuron"):
        return
    neuron = _neuron(walk, layer, shape, is_input=True)
    if shape is None or neuron is None:
        return
    for key in ("weight", "bias"):
        if layer.has(key):
            walk.remark(
                index, f"{key} of the input layer scales images before they are sent; netx does not apply it"
            )
    _emit(walk, index, Block(index, "input", shape, shape, neuron, reset=_reset(walk, neuron)))


def _flatten(walk: Walk, layer: Fields, index: int) -> None:
    walk.flatten = True
    if walk.shape is not None:
        walk.shapes[index] = walk.shape


def _dense(walk: Walk, layer: Fields, index: int) -> None:
    declared = _shape(layer)
    shape = (prod(declared),) if declared else None
    neuron = _neuron(walk, layer, shape) if layer.has("neuron") else _netx_neurons.AFFINE
    recurrent = layer.text("type") == "dense_rec"
    is_complex = layer.has("weight/imag")
    keys = ["weight/real", "weight/imag"] if is_complex else ["weight"]
    keys += ["weight_rec"] if recurrent else []
    matrices = [_matrix(walk, layer, key, shape) for key in keys]
    delay: Any = 0
    if not is_complex:
        delay = _delay(layer, matrices[0])
    if shape is None or neuron is None or delay is None or any(m is None for m in matrices):
        walk.shape = shape
        return
    if is_complex != (neuron.inputs == 2) or (recurrent and is_complex):
        found = f"{neuron.model}, {'complex' if is_complex else 'real'} weights, {layer.text('type')}"
        layer.problem(
            "ND125", "weights and neuron that netx cannot join", "weight", found, "RF with complex weights"
        )
        return
    weights: list[Array] = matrices  # type: ignore[assignment]
    if recurrent and weights[1].shape != (shape[0], shape[0]):
        layer.problem(
            "ND126", "recurrent weights of another shape", "weight_rec", weights[1].shape, (shape[0],) * 2
        )
        return
    if recurrent and layer.has("delay") and np.shape(delay) != weights[1].shape:
        # netx gives both matrices the delays of the first
        layer.problem(
            "ND126", "delays do not fit the recurrent weights", "delay", np.shape(delay), weights[1].shape
        )
        return
    try:
        if is_complex:
            weights = [_netx_weights.in_lava([w])[0] for w in weights]
        else:
            weights = _netx_weights.in_lava(weights, shifted_down=not (recurrent and layer.has("delay")))
    except _netx_weights.LossyWeights as error:
        layer.problem(
            "ND124", "weights whose sums Lava rounds", keys[0], error, "weights with a positive value"
        )
        return
    _warn_changed(walk, index, matrices, weights)
    flatten = _joined(walk, layer, index, shape, weights[0].shape[1])
    if recurrent and neuron.graded and not walk.message_bits:
        layer.problem(
            "ND125",
            "graded spikes into a recurrent synapse that takes spikes as 0 and 1",
            "neuron/type",
            neuron.model,
            "input_message_bits above 0",
        )
    _spikes_as_bits(walk, layer)
    _emit(
        walk,
        index,
        Block(
            index,
            "dense",
            shape,
            (weights[0].shape[1],),
            neuron,
            _bias(walk, layer, index, neuron, shape),
            tuple(weights[:1] if recurrent else weights),
            weights[1] if recurrent else None,
            delay,
            flatten=flatten,
            reset=_reset(walk, neuron),
        ),
    )


def _conv(walk: Walk, layer: Fields, index: int) -> None:
    pool = layer.text("type") == "pool"
    shape, before = _shape(layer), walk.shape
    neuron = _neuron(walk, layer, shape, is_conv=True)
    is_complex = layer.has("weight/imag")
    kernels = [
        _kernel(walk, layer, k) for k in (("weight/real", "weight/imag") if is_complex else ("weight",))
    ]
    stride, padding, dilation = (
        layer.pair(key, low, MAX_SIDE) for key, low in (("stride", 1), ("padding", 0), ("dilation", 1))
    )
    groups = 1 if pool else layer.scalar("groups", 1, MAX_SIDE)
    if layer.has("delay"):
        walk.remark(index, "netx does not use the delays of a convolution; neither does this reader")
    if before is None and not walk.tree.problems:
        layer.problem(
            "ND126",
            "the shape of the input is not known",
            "shape",
            "no input layer",
            "(x, y, channels)",
            "--set reader.input_shape='[X, Y, CHANNELS]'",
        )
    walk.shape = shape
    parts = (shape, neuron, stride, padding, dilation, groups, before)
    if any(part is None for part in parts) or any(k is None for k in kernels):
        return
    if is_complex != (neuron.inputs == 2):  # type: ignore[union-attr]
        layer.problem(
            "ND125", "weights and neuron that netx cannot join", "weight", neuron.model, "complex with RF"
        )  # type: ignore[union-attr]
        return
    if pool and before is not None:
        groups = before[0]
        kernels = [_depthwise(k, before[0]) for k in kernels]  # type: ignore[arg-type]
    weights = [_dilated(k, dilation) for k in kernels]  # type: ignore[arg-type]
    yields = _convolved(before, weights[0].shape, stride, padding, groups)  # type: ignore[arg-type]
    if yields != shape:
        limit = (
            f"{yields} from {before}" if yields else f"kernel {weights[0].shape} on {before}, {groups} groups"
        )
        layer.problem("ND126", "a convolution that does not yield the declared shape", "shape", shape, limit)
        return
    _spikes_as_bits(walk, layer)
    _emit(
        walk,
        index,
        Block(
            index,
            "pool" if pool else "conv",
            shape,  # type: ignore[arg-type]
            before,  # type: ignore[arg-type]
            neuron,
            _bias(walk, layer, index, neuron, shape),  # type: ignore[arg-type]
            tuple(weights),
            stride=stride,  # type: ignore[arg-type]
            padding=padding,  # type: ignore[arg-type]
            groups=groups,  # type: ignore[arg-type]
            reset=_reset(walk, neuron),  # type: ignore[arg-type]
        ),
    )


def _concat(walk: Walk, layer: Fields, index: int) -> None:
    """The channels of the layer before, then those of the listed ones, in their order. netx itself refuses these."""
    listed = layer.whole("layers", 0, MAX_LAYERS)
    if listed is None or walk.shape is None or not walk.shapes:
        if not walk.tree.problems:
            layer.problem("ND126", "nothing to concatenate", "type", "no layer before", "a layer")
        walk.shape = None
        return
    last = max(walk.shapes)
    sources = (last, *(int(i) for i in listed.ravel()))
    missing = [i for i in sources if i not in walk.shapes]
    if missing:
        cause = "a layer to concatenate that comes later or is skipped"
        layer.problem("ND125", cause, "layers", f"layer {missing[0]}", "earlier layers")
        return
    shapes = [walk.shapes[i] for i in sources]
    if len({s[1:] for s in shapes}) > 1:
        layer.problem(
            "ND126", "layers of different rows or columns", "layers", shapes, "the same but for channels"
        )
        return
    shape = (sum(s[0] for s in shapes), *shapes[0][1:])
    declared = _shape(layer)
    if declared is not None and prod(declared) != prod(shape):
        layer.problem("ND126", "the concatenated layers have another size", "shape", declared, shape)
    walk.shape = walk.shapes[index] = shape
    walk.message_bits = max(walk.message_bits, SDNN_WIDTH if walk.graded else 0)
    walk.blocks.append(Block(index, "concat", shape, shape, sources=sources))


SDNN_WIDTH = _netx_neurons.SDNN_MESSAGE_BITS

READERS: Mapping[str, Any] = {
    "input": _input,
    "dense": _dense,
    "dense_rec": _dense,
    "conv": _conv,
    "pool": _conv,
    "flatten": _flatten,
    "concat": _concat,
}


# --- parts of a layer -----------------------------------------------------------------------------------------------


def _emit(walk: Walk, index: int, block: Block) -> None:
    """Take a finished block over, unless it is one of those to skip; either way its messages go on."""
    neuron = block.neuron
    if not walk.blocks:
        walk.entry_bits = walk.message_bits
    walk.shape = block.shape
    walk.message_bits = neuron.message_bits if neuron else walk.message_bits
    walk.graded = bool(neuron and neuron.graded)
    if index < walk.options.skip_layers:
        walk.graded = False  # what enters is then the network's input
        return
    walk.shapes[index] = block.shape
    walk.blocks.append(block)
    walk.process += 1


def _reset(walk: Walk, neuron: NeuronSpec) -> tuple[int, int] | None:
    """Process k resets where t = reset_offset + 1 + k (mod reset_interval); sigma-delta and RF neurons never do."""
    if walk.options.reset_interval is None or neuron.model != "cuba_lif":
        return None
    return walk.options.reset_interval, walk.options.reset_offset + 1 + walk.process


def _shape(layer: Fields) -> Sizes | None:
    """(C, Y, X) or (N,) as the file holds it."""
    value = layer.whole("shape", 1, MAX_ELEMENTS)
    if value is None:
        return None
    sizes = tuple(int(v) for v in value.ravel())
    if value.ndim > 1 or len(sizes) not in (1, 3) or prod(sizes) > MAX_ELEMENTS:
        layer.problem(
            "ND126",
            "not a shape of one or three sizes",
            "shape",
            str(sizes)[:80],
            f"up to {MAX_ELEMENTS} neurons",
        )
        return None
    return sizes


def _neuron(
    walk: Walk, layer: Fields, shape: Sizes | None, is_input: bool = False, is_conv: bool = False
) -> Any:
    channels = shape[0] if shape else 1
    return _netx_neurons.neuron_of(layer, channels, walk.options.spike_exp, is_input, is_conv)


def _matrix(walk: Walk, layer: Fields, key: str, shape: Sizes | None) -> Array | None:
    """Dense weights as (out, in)."""
    value = layer.whole(key, _netx_weights.LOW, _netx_weights.HIGH, truncate=walk.options.truncate)
    if value is None or shape is None:
        return None
    if value.ndim == 1 and value.size % shape[0] == 0:
        return value.reshape(shape[0], -1)
    if value.ndim < 2 or value.shape[0] != shape[0] or prod(value.shape[2:]) != 1:
        layer.problem(
            "ND126", "weights of another shape than the layer", key, value.shape, f"({shape[0]}, inputs)"
        )
        return None
    return value.reshape(value.shape[:2])


def _kernel(walk: Walk, layer: Fields, key: str) -> Array | None:
    """Kernels as (out, in, ky, kx)."""
    value = layer.whole(key, _netx_weights.LOW, _netx_weights.HIGH, truncate=walk.options.truncate)
    if value is None:
        return None
    if value.ndim not in (4, 5) or prod(value.shape[4:]) != 1:
        layer.problem("ND126", "kernels with other axes", key, value.shape, "(out, in, rows, columns)")
        return None
    return value.reshape(value.shape[:4])


def _dilated(kernel: Array, dilation: tuple[int, int]) -> Array:
    """The kernel with zeros between its entries: what a dilation means. Too large a one is cut: it fits no input."""
    (dy, dx), (ky, kx) = dilation, kernel.shape[2:]
    if dilation == (1, 1):
        return kernel
    if (ky - 1) * dy >= MAX_SIDE or (kx - 1) * dx >= MAX_SIDE:
        return np.broadcast_to(np.int64(0), (*kernel.shape[:2], MAX_SIDE, MAX_SIDE))  # a view of one number
    sizes = (*kernel.shape[:2], (ky - 1) * dy + 1, (kx - 1) * dx + 1)
    if prod(sizes) > MAX_ELEMENTS:
        return np.broadcast_to(np.int64(0), (*kernel.shape[:2], MAX_SIDE, MAX_SIDE))
    wide = np.zeros(sizes, np.int64)
    wide[:, :, ::dy, ::dx] = kernel
    return wide


def _depthwise(kernel: Array, channels: int) -> Array:
    """The one kernel of a pool, for each channel by itself."""
    return np.repeat(kernel, channels, axis=0) if kernel.shape[0] == 1 else kernel


def _convolved(before: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, groups: int) -> Sizes | None:
    """Shape that a convolution yields, None where its parts do not fit."""
    if len(before) != 3 or before[0] % groups or kernel[0] % groups or kernel[1] * groups != before[0]:
        return None
    sides = [s + 2 * p - k for s, p, k in zip(before[1:], padding, kernel[2:], strict=True)]
    if min(sides) < 0:
        return None
    return (kernel[0], *(side // step + 1 for side, step in zip(sides, stride, strict=True)))


def _delay(layer: Fields, weight: Array | None) -> int | Array | None:
    """Delays beyond Lava's one step, 0 or (out, in): floored, at most 62; one axis means rows if it can."""
    if not layer.has("delay"):
        return 0
    value = layer.array("delay")
    if value is None or weight is None:
        return None
    if value.min() < 0:
        layer.problem("ND124", "a negative delay", "delay", value.min(), f"0 .. {MAX_DELAY}")
        return None
    steps = np.minimum(np.floor(value), MAX_DELAY).astype(np.int64)
    rows, columns = weight.shape
    if steps.size == 1:
        return np.full(weight.shape, int(steps.ravel()[0]), np.int64)
    if steps.ndim == 1 and steps.size in (rows, columns):
        return np.broadcast_to(steps[:, None] if steps.size == rows else steps[None, :], weight.shape).copy()
    if steps.shape == weight.shape:
        return steps
    layer.problem(
        "ND126", "delays that fit neither rows, columns nor weights", "delay", steps.shape, weight.shape
    )
    return None


def _bias(walk: Walk, layer: Fields, index: int, neuron: NeuronSpec, shape: Sizes) -> Array | None:
    """Bias of each neuron in state units, broadcastable to the population; None if the layer has none."""
    if not layer.has("bias"):
        return None
    if neuron.inputs == 2:
        walk.remark(index, "netx does not use the bias of a complex layer; neither does this reader")
        return None
    sdnn = neuron.model != "cuba_lif"
    limit = SDNN_MAX if sdnn else BIAS_MAX
    value = layer.whole("bias", -limit - 1, limit, truncate=True)
    if value is None:
        return None
    stored = layer.tree.arrays[layer.at("bias")]
    if (stored != value).any():
        walk.remark(index, "the bias holds fractions; they are cut off toward zero, as netx does")
    if neuron.model == "sigma":
        if value.any():
            layer.problem(
                "ND125", "a bias on a Sigma neuron, which Lava does not have", "bias", value.ravel()[0], "0"
            )
        return None
    if value.size == 1 or value.shape == (shape[0],):
        value = value.reshape(-1, *(1,) * (len(shape) - 1))
    elif len(shape) == 3 and value.shape == tuple(reversed(shape)):
        value = value.transpose(2, 1, 0)  # one for each neuron, in netx's order (x, y, channel)
    elif value.size == prod(shape) and len(shape) == 1:
        value = value.reshape(shape)
    else:
        layer.problem(
            "ND126", "a bias of another length than the layer", "bias", value.shape, f"({shape[0]},)"
        )
        return None
    return value << (walk.options.spike_exp + STATE_EXP if sdnn else STATE_EXP)


def _joined(walk: Walk, layer: Fields, index: int, shape: Sizes, columns: int) -> bool:
    """Whether a view must flatten what comes before a dense layer; problems if it cannot be joined."""
    before, pending = walk.shape, walk.flatten
    walk.flatten = False
    first = not walk.blocks or index < walk.options.skip_layers
    if first or before is None:
        return False
    if prod(before) != columns:
        layer.problem(
            "ND126",
            "the layer before has another size",
            "weight",
            f"{columns} inputs",
            f"{prod(before)} neurons",
        )
        return False
    if prod(before[1:]) != 1 and not pending:
        fix = "put a flatten layer between them"
        layer.problem("ND126", "a dense layer behind rows and columns", "type", before, "(N,)", fix)
        return False
    return len(before) > 1


def _spikes_as_bits(walk: Walk, layer: Fields) -> None:
    """netx takes messages of width 0 as 0 and 1; graded ones would lose their value there."""
    if walk.graded and not walk.message_bits:
        layer.problem(
            "ND125",
            "graded spikes into a synapse that takes spikes as 0 and 1",
            "type",
            "messageBits 0 of the layer before",
            "messageBits of at least 2",
        )


def _warn_changed(walk: Walk, index: int, before: list[Any], after: list[Array]) -> None:
    changed = sum(int((a != b).sum()) for a, b in zip(before, after, strict=True))
    if changed:
        walk.remark(index, f"{changed} weights differ from the file: netx fits them into Lava's 8 bits")
