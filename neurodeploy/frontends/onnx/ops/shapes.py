"""Sizes, and what moves or repeats elements."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ....array import Array
from ._base import Known, Node, Refused, TooLarge, numbers, onnx, room_for, tensor


def _whole(operand: Any, what: str) -> list[int]:
    return [int(number) for number in numbers(operand, what)]


def axes_of(node: Node, operand: Any) -> list[int] | None:
    """Axes by attribute, as before opset 13 or 18, or by operand; None where neither is given."""
    if operand is not None:
        return _whole(operand, "axes")
    given = node.get("axes")
    return None if given is None else [int(axis) for axis in given]


@onnx("Constant")
def constant(node: Node) -> Any:
    """A number of the file."""
    name, value = next(iter(node.attributes.items()), ("", None))
    if value is None or name not in _CONSTANTS:
        raise Refused(f"a constant by {name or 'nothing'}")
    return torch.as_tensor(value, dtype=_CONSTANTS[name])


_CONSTANTS = {
    "value": None, "value_float": torch.float32, "value_floats": torch.float32, "value_int": torch.int64,
    "value_ints": torch.int64,
}  # fmt: skip


@onnx("Shape")
def shape(node: Node, x: Any) -> Any:
    """The sizes of a value, as numbers."""
    return torch.tensor(x.shape[node.get("start", 0) : node.get("end")], dtype=torch.int64)


@onnx("Size")
def size(node: Node, x: Any) -> Any:
    """The number of elements."""
    return torch.tensor(x.numel(), dtype=torch.int64)


@onnx("ConstantOfShape", known=(0,))
def filled(node: Node, sizes: Any) -> Any:
    """One number everywhere."""
    value = torch.as_tensor(node.get("value", 0.0))
    dtype = value.dtype if "value" in node.attributes else torch.float32
    return torch.full(room_for(_whole(sizes, "sizes")), value.reshape(-1)[0].item(), dtype=dtype)


@onnx("Range", known=(0, 1, 2))
def steps(node: Node, start: Any, limit: Any, delta: Any) -> Any:
    """Numbers at equal distances."""
    first, last, by = (numbers(each, "limits")[0] for each in (start, limit, delta))
    if not by:
        raise Refused("a range without a step")
    room_for([max(0, int((last - first) / by) + 1)])
    return torch.arange(first, last, by, dtype=start.tensor.dtype)


@onnx("EyeLike")
def eye(node: Node, x: Any) -> Any:
    """Ones on a diagonal."""
    if node.get("k", 0) or x.dim() != 2:
        raise Refused("ones beside the diagonal")
    return torch.eye(*room_for(list(x.shape)))


@onnx("Reshape", known=(1,), moves=True)
def reshape(node: Node, x: Any, sizes: Any) -> Any:
    """Other sizes; 0 keeps one unless ``allowzero``, and -1 is what is left."""
    wanted = _whole(sizes, "sizes")
    if not node.get("allowzero", 0):
        if any(n == 0 and k >= x.dim() for k, n in enumerate(wanted)):
            raise Refused(f"a reshape to {wanted}")
        wanted = [x.shape[k] if n == 0 else n for k, n in enumerate(wanted)]
    return torch.reshape(x, wanted)


@onnx("Flatten", moves=True)
def flatten(node: Node, x: Any) -> Any:
    """Two axes: those before ``axis``, and those from it on."""
    axis = node.get("axis", 1)
    axis += x.dim() if axis < 0 else 0
    return torch.reshape(x, (prod(x.shape[:axis]), prod(x.shape[axis:])))


@onnx("Squeeze", known=(1,), moves=True)
def squeeze(node: Node, x: Any, axes: Any = None) -> Any:
    """Without axes of size 1."""
    chosen = axes_of(node, axes)
    if chosen is None:
        return torch.squeeze(x)
    for axis in sorted((a % x.dim() for a in chosen), reverse=True):
        if x.shape[axis] != 1:
            raise Refused(f"a squeeze of an axis of size {x.shape[axis]}")
        x = torch.squeeze(x, axis)
    return x


@onnx("Unsqueeze", known=(1,), moves=True)
def unsqueeze(node: Node, x: Any, axes: Any = None) -> Any:
    """With axes of size 1 at these places of the result."""
    chosen = axes_of(node, axes) or []
    rank = x.dim() + len(chosen)
    for axis in sorted(a % rank for a in chosen):
        x = torch.unsqueeze(x, axis)
    return x


@onnx("Transpose", moves=True)
def transpose(node: Node, x: Any) -> Any:
    """Axes in another order, the reverse one by default."""
    return torch.permute(x, node.get("perm") or list(range(x.dim()))[::-1])


@onnx("Concat")
def concat(node: Node, *parts: Any) -> Any:
    """One behind the other."""
    return torch.cat(parts, node.get("axis", 0))


@onnx("Split", known=(1,), moves=True)
def split(node: Node, x: Any, sizes: Any = None) -> Any:
    """Parts of given sizes, or equal ones of which the last may be smaller."""
    axis, count = node.get("axis", 0), len(node.outputs)
    wanted = _whole(sizes, "sizes") or node.get("split")
    if not wanted:
        part = -(-x.shape[axis] // count)
        wanted = [min(part, x.shape[axis] - k * part) for k in range(count)]
    return torch.split(x, list(wanted), axis)


@onnx("Slice", known=(1, 2, 3, 4), moves=True)
def slices(node: Node, x: Any, starts: Any, ends: Any, axes: Any = None, by: Any = None) -> Any:
    """A range of each axis; a backward one only if it is all of it."""
    first, last = _whole(starts, "places"), _whole(ends, "places")
    chosen, strides = _whole(axes, "axes") or list(range(len(first))), _whole(by, "steps") or [1] * len(first)
    for axis, start, end, step in zip(chosen, first, last, strides, strict=True):
        if step > 0:
            index = [slice(None)] * (axis % x.dim()) + [slice(start, end, step)]
            x = x[tuple(index)]
        elif step == -1 and slice(start, end, -1).indices(x.shape[axis]) == (x.shape[axis] - 1, -1, -1):
            x = torch.flip(x, [axis])
        else:
            raise Refused(f"a slice {start}:{end}:{step}")
    return x


@onnx("Gather", known=(1,), moves=True)
def gather(node: Node, x: Any, indices: Any) -> Any:
    """Rows, or places of another axis, by numbers: a table of embeddings, or one place, or several."""
    axis = node.get("axis", 0) % x.dim()
    if not isinstance(indices, Known):
        if axis == 0 and x.dim() == 2:
            return F.embedding(indices, x)
        if axis:
            raise Refused("rows of another axis than the first, by numbers that depend on the input")
        return x[indices]
    places = indices.tensor
    if places.dim() == 0:
        return torch.select(x, axis, int(indices.numbers))
    flat = _flat(indices.numbers)
    if any(not -x.shape[axis] <= n < x.shape[axis] for n in flat):
        raise Refused(f"place {max(flat, key=abs)} of {x.shape[axis]}")
    first = flat[0] if flat else 0
    if flat == list(range(first, first + len(flat))) and first >= 0:
        found = torch.narrow(x, axis, first, len(flat))
    else:
        found = torch.index_select(
            x, axis, torch.where(places < 0, places + x.shape[axis], places).reshape(-1)
        )
    sizes = (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
    return found if found.shape == sizes else found.reshape(sizes)


def _flat(item: Any) -> list[int]:
    return [n for part in item for n in _flat(part)] if isinstance(item, list) else [int(item)]


@onnx("GatherElements")
def gather_elements(node: Node, x: Any, indices: Any) -> Any:
    """For each place a number along one axis."""
    axis = node.get("axis", 0)
    return torch.gather(x, axis, torch.where(indices < 0, indices + x.shape[axis], indices))


@onnx("GatherND", known=(1,))
def gather_nd(node: Node, x: Any, indices: Any) -> Any:
    """Values at whole places."""
    places = tensor(indices)
    if node.get("batch_dims", 0):
        raise Refused("places for each sample")
    return x[tuple(torch.unbind(places, -1))]


@onnx("ScatterND", known=(1,))
def scatter_nd(node: Node, x: Any, indices: Any, updates: Any) -> Any:
    """The first value with some rows of one axis taken from the second, however many places spell that out."""
    places = np.array(numbers(indices, "places"))
    if node.get("reduction", "none") != "none" or places.ndim < 2:
        raise Refused(f"writes that are joined by {node.get('reduction', 'none')}")
    axis, rows = _written(places, x.shape)
    index = [None] * axis + [torch.as_tensor(rows, device=x.device)]
    return torch.ops.aten.index_put(x, index, updates)


def _written(places: Array, sizes: Sequence[int]) -> tuple[int, list[int]]:
    """The axis and its rows that whole places (..., axes) are, all places of the axes before and behind among them."""
    count = places.shape[-1]
    grid = [np.unique(places[..., k]) for k in range(count)]
    partial = [k for k in range(count) if len(grid[k]) < sizes[k]] or [0]
    axis, shape = partial[0], places.shape[:-1]
    if len(partial) == 1 and len(shape) == count:
        rows = np.moveaxis(places[..., axis], axis, 0).reshape(shape[axis], -1)[:, 0]
        lines = [rows if k == axis else np.arange(sizes[k]) for k in range(count)]
        if (
            shape == tuple(map(len, lines))
            and (np.stack(np.meshgrid(*lines, indexing="ij"), -1) == places).all()
        ):
            return axis, rows.tolist()
    raise Refused("writes to places of several axes", "rows of one axis")


@onnx("Expand", known=(1,))
def expand(node: Node, x: Any, sizes: Any) -> Any:
    """Repeated to a size that both fit."""
    wanted = torch.broadcast_shapes(tuple(x.shape), tuple(_whole(sizes, "sizes")))
    return x.expand(room_for(wanted))


@onnx("Tile", known=(1,))
def tile(node: Node, x: Any, repeats: Any) -> Any:
    """Repeated along each axis."""
    times = _whole(repeats, "repetitions")
    room_for([n * by for n, by in zip(x.shape, times, strict=True)])
    return x.repeat(times)


@onnx("Pad", known=(1, 2, 3))
def pad(node: Node, x: Any, pads: Any, value: Any = None, axes: Any = None) -> Any:
    """Before and behind each axis: a number, the nearest element, or the mirror."""
    given, chosen = _whole(pads, "pads"), _whole(axes, "axes") or list(range(x.dim()))
    before, after = given[: len(given) // 2], given[len(given) // 2 :]
    sides = [(0, 0)] * x.dim()
    for axis, low, high in zip(chosen, before, after, strict=True):
        sides[axis % x.dim()] = (low, high)
    if any(abs(side) > 1 << 20 for pair in sides for side in pair):
        raise TooLarge(str(given))
    while len(sides) > 1 and sides[0] == (0, 0):
        sides = sides[1:]
    flat = [side for pair in reversed(sides) for side in pair]
    mode = node.get("mode", "constant")
    if mode == "constant":
        return F.pad(x, flat, value=(numbers(value, "values") or [0])[0])
    names = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}
    if mode not in names:
        raise Refused(f"padding by {mode}")
    return F.pad(x, flat, mode=names[mode])


@onnx("DepthToSpace")
def depth_to_space(node: Node, x: Any) -> Any:
    """Channels to pixels."""
    size, mode = node.get("blocksize"), node.get("mode", "DCR")
    if mode == "CRD":
        return F.pixel_shuffle(x, size)
    batch, channels, rows, columns = x.shape
    parts = x.reshape(batch, size, size, channels // size**2, rows, columns).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(batch, channels // size**2, rows * size, columns * size)


@onnx("SpaceToDepth")
def space_to_depth(node: Node, x: Any) -> Any:
    """Pixels to channels."""
    size = node.get("blocksize")
    batch, channels, rows, columns = x.shape
    parts = x.reshape(batch, channels, rows // size, size, columns // size, size).permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(batch, channels * size**2, rows // size, columns // size)


@onnx("Trilu", known=(1,))
def triangle(node: Node, x: Any, k: Any = None) -> Any:
    """One side of a diagonal; zeros elsewhere."""
    offset = int((numbers(k, "diagonals") or [0])[0])
    return (torch.triu if node.get("upper", 1) else torch.tril)(x, offset)


@onnx("Resize", known=(1, 2, 3))
def resize(node: Node, x: Any, roi: Any = None, scales: Any = None, sizes: Any = None) -> Any:
    """Images of other sizes, by the nearest pixel or by lines between pixels, as torch has them."""
    mode, place = node.get("mode", "nearest"), node.get("coordinate_transformation_mode", "half_pixel")
    factors, wanted = numbers(scales, "scales"), _whole(sizes, "sizes")
    if not wanted:
        wanted = [int(n * by) for n, by in zip(x.shape, factors, strict=True)]
    if len(wanted) != x.dim() or wanted[:2] != list(x.shape[:2]) or node.get("axes"):
        raise Refused("a resize of other axes than rows and columns")
    room_for(wanted)
    return F.interpolate(
        x, size=wanted[2:], **_mode(x, mode, place, node.get("nearest_mode", "round_prefer_floor"))
    )


def _mode(x: Any, mode: str, place: str, nearest: str) -> dict[str, Any]:
    if mode == "nearest" and (place, nearest) == ("asymmetric", "floor"):
        return {"mode": "nearest"}
    linear: Sequence[str] = ("", "", "", "linear", "bilinear", "trilinear")
    names = {"linear": linear[min(x.dim(), 5)], "cubic": "bicubic"}
    places = {"align_corners": True, "half_pixel": False, "pytorch_half_pixel": False}
    if mode not in names or place not in places:
        raise Refused(
            f"a resize by {mode}, {place}, {nearest}",
            "nearest with asymmetric and floor, linear with half_pixel",
        )
    return {"mode": names[mode], "align_corners": places[place]}
