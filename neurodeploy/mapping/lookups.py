"""How many words of synapse memory a message makes its core read: the lists and kernels that its element leads to."""

from __future__ import annotations

import numpy as np

from ..array import Array
from ..ir.graph import Graph
from ..ir.nodes import Delay, Node, Reduce, Synapse
from ..target import Target
from .demand import dense_row, kernel_entry, list_words
from .reads import Read
from .regions import Region


def words_read(graph: Graph, node: Node, out: Region, read: Read, bits: int, target: Target) -> Array:
    """64-bit words read for one message of each element of ``read``, in the order of its indices.

    ``out`` is what the core has of the node's value, ``bits`` the width of a stored weight with its delay. A sum or a
    delay reads one word for each of its connections; a product has none. Where all are alike, the array has no strides.
    """
    if isinstance(node, Synapse):
        return (_dense if node.op == "dense" else _conv)(graph, node, out, read, bits, target)
    if isinstance(node, Reduce) and node.window is not None:
        covered = _covered(graph, node, out, node.window, node.stride or node.window, node.padding)
        return np.broadcast_to(covered, read.region.shape).reshape(-1)[read.region.indices]
    return _alike(int(isinstance(node, (Reduce, Delay))), read)


def _dense(graph: Graph, node: Synapse, out: Region, read: Read, bits: int, target: Target) -> Array:
    here = len(out.hull[-1])
    if read.position is None:
        words = dense_row(here, bits, target)
    elif target.features.shared_kernels.allowed:
        words = kernel_entry(here, bits, target)
    else:
        words = list_words(here, bits, target)
    return _alike(words, read)


def _alike(words: int, read: Read) -> Array:
    return np.broadcast_to(np.int64(words), read.region.size)


def _conv(graph: Graph, node: Synapse, out: Region, read: Read, bits: int, target: Target) -> Array:
    covered = _covered(graph, node, out, node.weight.shape[2:], node.stride, node.padding)
    local = np.bincount(out.hull[0] // (node.weight.shape[0] // node.groups), minlength=node.groups)
    if target.features.shared_kernels.allowed:
        words = np.multiply.outer([kernel_entry(n, bits, target) for n in local.tolist()], covered)
    else:
        targets = np.multiply.outer(local, covered)
        lengths, which = np.unique(targets, return_inverse=True)
        known = np.array([list_words(n, bits, target) for n in lengths.tolist()], dtype=np.int64)
        words = known[which.ravel()].reshape(targets.shape)
    inputs: Array = np.repeat(words, node.weight.shape[1], axis=0)
    return inputs.reshape(-1)[read.region.indices]


Sizes = tuple[int, ...]


def _along(at: Array, size: int, window: int, stride: int, padding: int) -> Array:
    """By how many windows at some positions along one axis each place is covered."""
    touched = (at[:, None] * stride + np.arange(window) - padding).ravel()
    return np.bincount(touched[(touched >= 0) & (touched < size)], minlength=size)


def _covered(graph: Graph, node: Node, out: Region, window: Sizes, stride: Sizes, padding: Sizes) -> Array:
    """By how many windows of the positions in ``out`` each place of the last two axes is covered, (Y, X)."""
    height, width = graph.shape(node.inputs[0])[-2:]
    if out.axes is not None:
        pairs = zip(out.axes[-2:], (height, width), window, stride, padding, strict=True)
        return np.multiply.outer(*(_along(*pair) for pair in pairs))
    axes = len(out.shape) - 2, len(out.shape) - 1
    rows, columns = np.unravel_index(out.positions(axes), out.shape[-2:])
    covered = np.zeros((height, width), dtype=np.int64)
    for dy, dx in np.ndindex(*window):
        y, x = rows * stride[0] + dy - padding[0], columns * stride[1] + dx - padding[1]
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        np.add.at(covered, (y[inside], x[inside]), 1)
    return covered
