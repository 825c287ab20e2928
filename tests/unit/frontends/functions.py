"""Small torch modules, one or more per supported operator; each maps (B, 4, 6, 6) to (B, ...)."""

from __future__ import annotations

from collections.abc import Callable

from tests.later import Tensor, modules, torch
from tests.later import functional as F

SHAPE = (4, 6, 6)


def _without_gradients(s: modules.Apply, x: Tensor) -> Tensor:
    """Contexts that some versions of torch trace as modules of their own."""
    with torch.no_grad():
        with torch.autocast("cpu", enabled=False):
            y, z = x @ s.m, s.m.cos()
        y = y + z
    return y * s.c[:, None, None]


#: name -> (module, input) -> output
FUNCTIONS: dict[str, Callable[[modules.Apply, Tensor], Tensor]] = {
    "linear": lambda s, x: F.linear(x, s.w, s.b),
    "linear without bias": lambda s, x: F.linear(x, s.w),
    "matmul weight on the right": lambda s, x: x @ s.m,
    "matmul weight on the left": lambda s, x: s.m @ x,
    "matmul of its own for each channel": lambda s, x: x @ (s.c[:, None, None] + s.w.t()),
    "matmul of its own for each channel on the left": lambda s, x: (s.c[:, None, None] * s.w) @ x,
    "bmm of its own for each channel": lambda s, x: torch.bmm(
        (s.c[:, None, None] * s.w).repeat(x.shape[0], 1, 1), x.reshape(-1, 6, 6)
    ).view(-1, 4, 5, 6),
    "matrices that are all alike": lambda s, x: x @ s.m.expand(4, 6, 6),
    "attention with learned queries": lambda s, x: F.scaled_dot_product_attention(
        (s.c[:, None, None] + s.w).expand(x.shape[0], -1, -1, -1), x, x
    ),
    "addcmul of a stream and a constant": lambda s, x: torch.addcmul(
        s.c[:, None, None], x, s.m[0], value=0.5
    ),
    "addcmul of constants": lambda s, x: torch.addcmul(x, s.m[:1], s.m[1:2]),
    "matmul vector": lambda s, x: x @ s.m[0],
    "matmul of streams": lambda s, x: x @ x.transpose(-2, -1),
    "matmul with broadcasting": lambda s, x: x[:, :1] @ x,
    "matmul with other ranks": lambda s, x: x.transpose(2, 3) @ x.mean(1, keepdim=True),
    "batch inside an axis": lambda s, x: (
        F.linear(x.permute(1, 0, 2, 3).reshape(-1, 6), s.w).reshape(4, x.shape[0], 6, 5).permute(1, 0, 2, 3)
    ),
    "constant beside a batch inside an axis": lambda s, x: (
        (x.permute(1, 0, 2, 3).reshape(-1, 6, 6) + s.m.repeat(4 * x.shape[0], 1, 1))
        .reshape(4, -1, 36)
        .transpose(0, 1)
    ),
    "bmm over joined axes": lambda s, x: torch.bmm(x.reshape(-1, 6, 6), x.reshape(-1, 6, 6)).reshape(x.shape),
    "hadamard": lambda s, x: x * x.transpose(2, 3),
    "hadamard with broadcasting": lambda s, x: x * x.sum(1, keepdim=True),
    "addmm": lambda s, x: torch.addmm(s.b, x.reshape(-1, 6), s.w.t()).reshape(x.shape[0], 4, 6, 5),
    "conv2d": lambda s, x: F.conv2d(x, s.k, groups=2),
    "conv2d with padding and stride": lambda s, x: F.conv2d(x, s.k, s.c.repeat(2), (2, 1), (1, 0), groups=2),
    "conv2d same": lambda s, x: F.conv2d(x, s.k, padding="same", groups=2),
    "patches": lambda s, x: F.conv2d(x, s.k.reshape(8, 2, 3, 3)[:, :, :2, :2].repeat(1, 2, 1, 1), stride=2),
    "conv1d of kernel 1": lambda s, x: F.conv1d(
        x.flatten(2), s.k[:, :, 0, :1].repeat(1, 2, 1), s.c.repeat(2)
    ),
    "conv1d": lambda s, x: F.conv1d(x.flatten(2), s.k[:, :, 0], stride=3, padding=1, groups=2),
    "batch norm on images": lambda s, x: F.batch_norm(x, s.mean, s.var, s.c, s.c),
    "batch norm on tokens": lambda s, x: F.batch_norm(x.flatten(2), s.mean, s.var, s.c, s.c, eps=1e-3),
    "layer norm": lambda s, x: F.layer_norm(x, (6,), s.m[0], s.m[1], 1e-6),
    "layer norm over two axes": lambda s, x: F.layer_norm(x, (6, 6), s.m),
    "group norm": lambda s, x: F.group_norm(x, 2, s.c, s.mean, 1e-4),
    "group norm without factors": lambda s, x: F.group_norm(x, 4),
    "group norm on tokens": lambda s, x: F.group_norm(x.flatten(2), 1, bias=s.c),
    "group norm, decomposed": lambda s, x: torch.native_group_norm(
        x, s.c, s.mean, x.shape[0], 4, 36, 2, 1e-5
    )[0],
    "softmax": lambda s, x: x.softmax(-1),
    "softmax over channels": lambda s, x: torch.softmax(x, dim=1),
    "gelu": lambda s, x: F.gelu(x),
    "gelu by tanh": lambda s, x: F.gelu(x, approximate="tanh"),
    "relu": lambda s, x: F.relu(x),
    "silu": lambda s, x: F.silu(x),
    "attention": lambda s, x: F.scaled_dot_product_attention(x, x * 0.5, x),
    "attention with bias": lambda s, x: F.scaled_dot_product_attention(x, x, x, attn_mask=s.m),
    "attention with hidden entries": lambda s, x: F.scaled_dot_product_attention(
        x, x, x, attn_mask=torch.eye(6, dtype=torch.bool) | (s.m > 0)
    ),
    "causal attention": lambda s, x: F.scaled_dot_product_attention(x, x, x, is_causal=True, scale=0.3),
    "add": lambda s, x: x + x.transpose(2, 3),
    "add with broadcasting": lambda s, x: x + x.mean((2, 3), keepdim=True),
    "add other ranks": lambda s, x: x.flatten(2).mean(2).unsqueeze(-1) + x.flatten(2),
    "add constant": lambda s, x: x + s.m,
    "add channel constant": lambda s, x: s.c[:, None, None] + x,
    "add number": lambda s, x: 1.5 + x,
    "add scaled": lambda s, x: torch.add(x, x.transpose(2, 3), alpha=0.25),
    "subtract": lambda s, x: x - x.transpose(2, 3),
    "subtract from number": lambda s, x: 1 - x,
    "subtract constant": lambda s, x: x - s.m,
    "negate": lambda s, x: -x,
    "multiply by number": lambda s, x: x * 0.125,
    "multiply by channels": lambda s, x: x * s.c[:, None, None],
    "multiply by last axis": lambda s, x: s.m[0] * x,
    "multiply by rows": lambda s, x: x * s.m[0][:, None],
    "multiply by two axes": lambda s, x: x * s.m,
    "multiply by axes apart": lambda s, x: (s.c[:, None, None] + s.m[0]) * x,
    "multiply by all axes": lambda s, x: x * (s.c[:, None, None] * s.m),
    "multiply by two equal axes": lambda s, x: x * s.m[0].expand(6, 6),
    "rotary positions": lambda s, x: x * s.m.cos() + torch.cat((-x[..., 3:], x[..., :3]), -1) * s.m.sin(),
    "baddbmm": lambda s, x: torch.baddbmm(
        s.m.expand(4 * x.shape[0], 6, 6), x.reshape(-1, 6, 6), x.reshape(-1, 6, 6), beta=0.5, alpha=2
    ).reshape(x.shape),
    "baddbmm on nothing": lambda s, x: torch.baddbmm(
        torch.zeros(4 * x.shape[0], 6, 6, dtype=x.dtype), x.reshape(-1, 6, 6), x.reshape(-1, 6, 6)
    ).reshape(x.shape),
    "maximum with the least number": lambda s, x: torch.maximum(
        x.masked_fill(s.m > 1, -1e9), torch.tensor(torch.finfo(x.dtype).min)
    ).softmax(-1),
    "divide": lambda s, x: x / 3.0,
    "divide by channels": lambda s, x: x / s.var[:, None, None],
    "in place and not read again": lambda s, x: (x * 2).add_(1.0),
    "view": lambda s, x: x.view(-1, 2, 2, 36),
    "reshape": lambda s, x: x.reshape(x.shape[0], 2, 3, 24),
    "flatten": lambda s, x: x.flatten(1),
    "flatten pixels": lambda s, x: torch.flatten(x, 2),
    "unflatten": lambda s, x: x.unflatten(1, (2, -1)),
    "permute": lambda s, x: x.permute(0, 2, 3, 1),
    "permute that moves the batch": lambda s, x: x.permute(1, 0, 2, 3)[1],
    "transpose": lambda s, x: torch.transpose(x, -1, 1),
    "movedim": lambda s, x: x.movedim(1, -1),
    "select": lambda s, x: x[:, 2],
    "select from the end": lambda s, x: x.select(2, -2),
    "slice": lambda s, x: x[:, 1:3, ::2, -3:],
    "ellipsis and none": lambda s, x: x[..., 1:, None, 2],
    "narrow": lambda s, x: x.narrow(2, 1, 4),
    "split": lambda s, x: sum(x.split(2, dim=1)),
    "split by sizes": lambda s, x: torch.cat(torch.split(x, [1, 3], dim=1)[::-1], 1),
    "chunk": lambda s, x: x.chunk(3, dim=-1)[1],
    "unbind": lambda s, x: x.unbind(1)[3] - x.unbind(1)[0],
    "concat with a constant": lambda s, x: torch.cat((s.m.expand(x.shape[0], 1, 6, 6), x), dim=1),
    "roll": lambda s, x: x.roll((-2, 1, 6), (1, 2, 3)),
    "stack": lambda s, x: torch.stack((x, 2 * x), dim=2),
    "expand": lambda s, x: x.mean(1, keepdim=True).expand(-1, 3, -1, -1),
    "squeeze and unsqueeze": lambda s, x: x[:, :1].squeeze(1).unsqueeze(-2),
    "pad": lambda s, x: F.pad(x, (1, 2, 0, 1)),
    "identities": lambda s, x: F.dropout(x.contiguous().clone().detach().to(x.dtype), training=False),
    "mean": lambda s, x: x.mean(1),
    "mean over two axes": lambda s, x: x.mean((-1, 1), keepdim=True),
    "sum": lambda s, x: torch.sum(x, dim=(2, 3)),
    "amax": lambda s, x: x.amax(2),
    "maximum along an axis": lambda s, x: x.max(2)[0],
    "without gradients": _without_gradients,
    "max pool": lambda s, x: F.max_pool2d(x, 2),
    "max pool of anything with padding": lambda s, x: F.max_pool2d(x - 1.0, 3, 2, 1),
    "max pool that reaches over the edge": lambda s, x: F.max_pool2d(
        x - 1.0, (3, 4), 2, (1, 2), ceil_mode=True
    ),
    "max pool of rows with padding": lambda s, x: F.max_pool1d(x.flatten(2) - 1.0, 5, 3, 2),
    "max pool with padding": lambda s, x: F.max_pool2d(F.relu(x), 3, 2, 1),
    "average pool": lambda s, x: F.avg_pool2d(x, 3, 1, padding=1),
    "global average pool": lambda s, x: F.adaptive_avg_pool2d(x, 1),
    "adaptive average pool": lambda s, x: F.adaptive_avg_pool2d(x, (3, 2)),
    "fused qkv": lambda s, x: _fused_qkv(s, x),
    "clamp": lambda s, x: x.clamp(-0.3, 0.2),
    "clamp from below": lambda s, x: torch.clamp_min(x, -0.1) + x.clamp(min=0),
    "clamp from above": lambda s, x: torch.clamp_max(x, 0.1) + x.clamp(max=-0.2),
    "clamp by constants": lambda s, x: x.clamp(s.m - 1, s.m + 1),
    "relu6": lambda s, x: F.relu6(x * 20),
    "hardtanh": lambda s, x: F.hardtanh(x * 3) + F.hardtanh(x, -0.2, 0.1),
    "absolute": lambda s, x: x.abs(),
    "leaky relu": lambda s, x: F.leaky_relu(x, 0.2),
    "prelu": lambda s, x: F.prelu(x, s.c) + F.prelu(x, s.c[:1]),
    "hard swish": lambda s, x: F.hardswish(x * 8),
    "hard sigmoid": lambda s, x: F.hardsigmoid(x * 8),
    "sigmoid": lambda s, x: torch.sigmoid(x * 3),
    "glu": lambda s, x: F.glu(x, 1),
    "maximum of streams": lambda s, x: torch.maximum(x, x.transpose(2, 3)),
    "maximum with a constant": lambda s, x: torch.maximum(s.m, x),
    "maximum that repeats": lambda s, x: torch.maximum(x[:, :1], s.c[:, None, None]),
    "minimum": lambda s, x: torch.minimum(x, s.m) + torch.min(x, x.transpose(2, 3)),
    "minimum along an axis": lambda s, x: x.amin(2) + x.min(2)[0],
    "square": lambda s, x: torch.square(x) + x**2,
    "power": lambda s, x: x.pow(3) + torch.pow(x, 4),
    "lerp": lambda s, x: torch.lerp(x, x.transpose(2, 3), 0.3),
    "fill by a number": lambda s, x: x.masked_fill(s.m > 0, 0.7),
    "choice of streams": lambda s, x: torch.where(s.m > 0, x, x.transpose(2, 3)),
    "choice of a constant": lambda s, x: torch.where(s.m > 0, s.m, x),
    "einsum of streams": lambda s, x: torch.einsum("bchw,bcwv->bchv", x, x),
    "einsum over all": lambda s, x: torch.einsum("bchw,bcvw->bhv", x, x),
    "einsum with weights": lambda s, x: torch.einsum("bchw,ow->bcho", x, s.w),
    "einsum with weights for each channel": lambda s, x: torch.einsum(
        "bchw,cow->bcoh", x, s.c[:, None, None] * s.w
    ),
    "einsum with dots": lambda s, x: torch.einsum("...w,ow->...o", x, s.w),
    "einsum elementwise": lambda s, x: torch.einsum("bchw,bchw->bwch", x, x),
    "einsum that spreads what is shared": lambda s, x: torch.einsum("bchw,bcwv->bchv", x, x[:, :1]),
    "einsum that spreads what is summed": lambda s, x: torch.einsum("bchw,bcwv->bchv", x[..., :1], x),
    "einsum of one": lambda s, x: torch.einsum("bchw->bwc", x),
    "flip": lambda s, x: x.flip(1) + torch.flip(x, (2, -1)),
    "quarter turn": lambda s, x: torch.rot90(x, 3, (2, 3)),
    "list of positions": lambda s, x: x[:, [3, 1, 1, 0, 2]],
    "tensor of positions": lambda s, x: x[..., torch.tensor([[5, 3], [0, -1]])],
    "mask of positions": lambda s, x: x[:, :, torch.tensor([True, False, True, True, False, True])],
    "positions behind an integer": lambda s, x: x[:, 1, torch.tensor([4, 2, 0])],
    "index select": lambda s, x: x.index_select(2, torch.tensor([4, 0, 1, 1])),
    "many positions": lambda s, x: x.flatten(1)[:, (torch.arange(144) * 55) % 144],
    "repeat": lambda s, x: x.repeat(1, 2, 1, 3),
    "tile": lambda s, x: x.tile(2, 1),
    "repeat interleave": lambda s, x: x.repeat_interleave(2, 1),
    "tensor split": lambda s, x: x.tensor_split(4, 3)[1] + x.tensor_split((1, 3), 3)[1],
    "stack with a constant": lambda s, x: torch.stack((x, s.m.expand(x.shape)), 1),
    "hstack": lambda s, x: torch.hstack((x, x * 2)),
    "concat with nothing": lambda s, x: torch.cat((x, torch.empty(0)), 1),
    "pad with a number": lambda s, x: F.pad(x, (1, 0, 2, 1), value=0.4),
    "view as": lambda s, x: x.flatten(1).view_as(x),
    "transposed names": lambda s, x: x.mT + x.mH * 2 + x.adjoint(),
    "transposed matrices": lambda s, x: x.flatten(1).T.H + x.flatten(1).t().T,
    "casts that change nothing": lambda s, x: x.to(torch.float64).type_as(x).double().type(torch.float64),
    "dilated convolutions": lambda s, x: (
        F.conv2d(x, s.k, stride=(1, 2), padding=2, dilation=2, groups=2).sum((2, 3))
        + F.conv2d(x, s.k, s.c.repeat(2), dilation=(1, 2), groups=2).sum((2, 3))
        + F.conv1d(x.flatten(2), s.k[:, :, 0], padding=1, dilation=3, groups=2).amax(2)
    ),
    "padding that is the same": lambda s, x: (
        F.conv2d(x, s.k[..., :2, :], s.c.repeat(2), padding="same", groups=2)
        + F.conv2d(x, s.k[..., :2], padding="same", dilation=(2, 3), groups=2)
    ),
    "padding of rows that is the same": lambda s, x: F.conv1d(
        x.flatten(2), s.k[:, :, 0, :2], padding="same", dilation=3, groups=2
    ),
    "transposed convolution": lambda s, x: F.conv_transpose2d(
        x, s.k[:4], s.c, stride=(2, 3), padding=(1, 0), output_padding=1, groups=2, dilation=(2, 1)
    ),
    "transposed convolution that cuts": lambda s, x: F.conv_transpose2d(x, s.k[:4, :, :2], padding=2),
    "transposed convolution of rows": lambda s, x: F.conv_transpose1d(
        x.flatten(2), s.k[:4, :, 0], stride=2, groups=2
    ),
    "pixel shuffle": lambda s, x: F.pixel_unshuffle(F.pixel_shuffle(x, 2), 3),
    "channel shuffle": lambda s, x: (
        torch.channel_shuffle(x, 2) + x.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
    ),
    "windows of a convolution": lambda s, x: F.unfold(x, (2, 3), dilation=(2, 1), padding=(1, 0), stride=2),
    "windows of an axis": lambda s, x: x.unfold(2, 3, 2).unfold(3, 2, 2),
    "edges repeated": lambda s, x: F.pad(
        F.pad(x, (1, 2, 0, 1), mode="reflect"), (1, 0, 2, 1), mode="replicate"
    ),
    "pad that cuts": lambda s, x: F.pad(x, (-1, 2, 1, -2), value=0.3),
    "resize by copies": lambda s, x: (
        F.interpolate(x, scale_factor=2)[..., :7] + F.interpolate(x, size=(12, 7), mode="nearest-exact")
    ),
    "resize by a linear map": lambda s, x: F.interpolate(x, size=(9, 7), mode="bilinear", align_corners=True),
    "average pool without the padding": lambda s, x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "average pool over the edge": lambda s, x: (
        F.avg_pool2d(x, 4, 3, 1, ceil_mode=True)[..., :2, :2] + F.avg_pool2d(x, 3, 3, divisor_override=5)
    ),
    "average pool of rows": lambda s, x: F.avg_pool1d(x.flatten(2), 3, 2, 1, count_include_pad=False),
    "dilated max pool": lambda s, x: F.max_pool2d(x, (3, 2), (2, 1), 1, (2, 3)),
    "max pool of volumes": lambda s, x: (
        F.max_pool3d(x.unsqueeze(1) - 1.0, (2, 3, 2), (1, 2, 2), (1, 1, 0))
        + F.max_pool3d(x.reshape(-1, 1, 4, 6, 6), (1, 2, 3), (1, 2, 2), (0, 0, 1), (1, 1, 1))
        .repeat(1, 5, 1, 1, 1)[:, :, :1]
        .flatten(1, 2)
        .unsqueeze(1)
    ),
    "dilated max pool of volumes": lambda s, x: F.max_pool3d(x.unsqueeze(1), (2, 3, 1), 1, 0, (2, 2, 1)),
    "means of volumes": lambda s, x: (
        F.adaptive_avg_pool3d(x.unsqueeze(1), (None, 1, 1)) + F.adaptive_avg_pool3d(x.unsqueeze(1), 1)
    ),
    "adaptive max pool": lambda s, x: (
        F.adaptive_max_pool2d(x, (3, 2))[..., :1, :1] + F.adaptive_max_pool2d(x, (4, 5))
    ),
    "adaptive pools of rows": lambda s, x: (
        F.adaptive_max_pool1d(x.flatten(2), 5) + F.adaptive_avg_pool1d(x.flatten(2), 5)
    ),
    "adaptive average pool of uneven windows": lambda s, x: F.adaptive_avg_pool2d(x, (4, 9)),
    "gather": lambda s, x: x.gather(
        3, torch.arange(96).reshape(4, 6, 4).remainder(5).expand(x.shape[0], -1, -1, -1)
    ),
    "take along an axis": lambda s, x: torch.take_along_dim(x, torch.tensor([4, 0, 0]).view(1, 1, 1, 3), 3),
    "diagonal": lambda s, x: x.diagonal(dim1=-2, dim2=-1) + torch.einsum("bcii->bci", x),
    "positions of two axes": lambda s, x: x[:, :, [0, 1, 5], [2, 3, 3]],
    "repeat by several counts": lambda s, x: x.repeat_interleave(torch.tensor([1, 0, 2, 3]), 1),
    "running sums": lambda s, x: x.flatten(2).cumsum(2) + x.flatten(2).transpose(1, 2).cumsum(1).mT,
    "einsum of three": lambda s, x: torch.einsum("BChw,ow,BChv->BCov", x, s.w, x),
    "einsum of lists": lambda s, x: torch.einsum(x, [..., 3], s.w, [4, 3], [..., 4]),
    "elu": lambda s, x: F.elu(x * 3, 0.7) + F.selu(x * 2) + F.celu(x * 3, 0.4),
    "softplus": lambda s, x: F.softplus(x * 5, 2.0) + F.logsigmoid(x * 4),
    "mish": lambda s, x: F.mish(x * 5),
    "stacks of parts": lambda s, x: (
        torch.stack(x.split(2, 1), 2) + torch.cat(x.chunk(2, 1), 1).unsqueeze(2)[:, :2]
    ),
    "written through a slice": lambda s, x: _written(x * 2, lambda y: y[:, 1:3].mul_(0.5)),
    "written through a step": lambda s, x: _written(x * 2, lambda y: y[..., ::2].add_(x[..., :3])),
    "written through a transpose": lambda s, x: _written(x * 2, lambda y: y.transpose(1, 2)[:, 0].zero_()),
    "written by a list": lambda s, x: _written(x * 2, lambda y: y.__setitem__((slice(None), [2, 0]), 0.5)),
    "written by name": lambda s, x: _written(x * 2, lambda y: y.copy_(x.flip(3))),
    "read under another name": lambda s, x: _aliased(x * 2),
    "filled": lambda s, x: _filled(x),
    "division by what is at least one": lambda s, x: x / (1 + x.abs()),
    "division by a length": lambda s, x: x / (torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True) + 0.1),
    "lengths": lambda s, x: torch.linalg.vector_norm(x, dim=1),
    "responses normalised over channels": lambda s, x: (
        (n := x.norm(p=2, dim=(2, 3), keepdim=True)) / (n.mean(1, keepdim=True) + 1e-6) * x
    ),
    "linear attention": lambda s, x: (
        (made := x.relu() @ (x.relu().mT @ F.pad(x, (0, 1), value=1.0)))[..., :-1] / (made[..., -1:] + 1e-3)
    ),
    "decay": lambda s, x: torch.exp(-s.c[:, None, None].exp() * F.softplus(x)),
    "variance": lambda s, x: x.var((2, 3)) + x.var(1, unbiased=False).flatten(1)[:, :4],
    "gate that repeats the stream": lambda s, x: x[:, :1] * s.c[:, None, None],
    "convolution in space": lambda s, x: F.conv3d(
        x[:, None], s.k[:, :1, None].repeat(1, 1, 2, 1, 1), s.c.repeat(2), (1, 2, 1), (1, 0, 1)
    ),
    "convolution in space of groups": lambda s, x: F.conv3d(
        x.reshape(-1, 2, 2, 6, 6), s.k[:, :1, None, :2].repeat(1, 1, 2, 1, 1), groups=2, stride=2
    ),
    "convolution of every head": lambda s, x: F.conv2d(
        x.reshape(-1, 2, 6, 6), s.k, s.c.repeat(2), padding=1
    ).reshape(x.shape[0], 2, 8, 6, 6),
    "transposed convolution of every head": lambda s, x: F.conv_transpose2d(
        x.reshape(-1, 2, 6, 6), s.k[:2], stride=2
    ).reshape(x.shape[0], -1),
    "windows added up": lambda s, x: F.fold(
        F.unfold(x, 3, padding=1, stride=2), (6, 6), 3, padding=1, stride=2
    ),
    "patches put together": lambda s, x: F.fold(F.unfold(x, 2, stride=2), (6, 6), 2, stride=2),
    "windows added up in a larger image": lambda s, x: F.fold(
        F.unfold(x, (2, 3), stride=2), (7, 6), (2, 3), stride=2
    ),
    "maximum behind a border of minus infinity": lambda s, x: F.max_pool2d(
        F.pad(x - 1, (0, 1, 1, 2), value=-torch.inf), 3, 2
    ),
    "elements of every head": lambda s, x: torch.gather(
        x.reshape(-1, 6, 6),
        2,
        torch.tensor([[5, 0], [3, 3]]).repeat(3, 1)[None].expand(4 * x.shape[0], -1, -1),
    ).reshape(x.shape[0], -1),
    "bicubic resizing": lambda s, x: F.interpolate(x, (9, 4), mode="bicubic", align_corners=False),
    "Fourier transform of two axes": lambda s, x: torch.fft.fftn(x, dim=(1, 3)).real,
    "imaginary part": lambda s, x: torch.fft.fft(x, dim=2).imag,
    "attention with scores of its own": lambda s, x: F.scaled_dot_product_attention(
        x, x + s.m, x, attn_mask=x @ x.mT
    ),
}


def _written(y: Tensor, write: Callable[[Tensor], object]) -> Tensor:
    write(y)
    return y


def _aliased(y: Tensor) -> Tensor:
    kept, part = y, y[:, :2]
    y += 1
    y *= y.mean(1, keepdim=True)
    return kept + part.sum(1, keepdim=True)


def _filled(x: Tensor) -> Tensor:
    room = torch.zeros(x.shape[0], 5, 6, 6, dtype=x.dtype)
    room[:, 0] = 1.5
    room[:, 1:] = x
    return room


def _fused_qkv(s: modules.Apply, x: Tensor) -> Tensor:
    """Two heads of three channels over 24 tokens, timm's way of splitting."""
    tokens = x.flatten(2).reshape(x.shape[0], 24, 6)
    weight = torch.cat((s.m, s.m.t(), s.m @ s.m))
    q, k, v = F.linear(tokens, weight).reshape(x.shape[0], 24, 3, 2, 3).permute(2, 0, 3, 1, 4).unbind(0)
    mix = ((q * 3**-0.5) @ k.transpose(-2, -1)).softmax(-1) @ v
    return mix.transpose(1, 2).reshape(x.shape[0], 24, 6)


def module(name: str) -> modules.Apply:
    """The module of that name, with weights that depend on nothing but the name's place in the table."""
    torch.manual_seed(list(FUNCTIONS).index(name))
    return modules.Apply(FUNCTIONS[name]).double().eval()
