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
    "max pool with padding": lambda s, x: F.max_pool2d(F.relu(x), 3, 2, 1),
    "average pool": lambda s, x: F.avg_pool2d(x, 3, 1, padding=1),
    "global average pool": lambda s, x: F.adaptive_avg_pool2d(x, 1),
    "adaptive average pool": lambda s, x: F.adaptive_avg_pool2d(x, (3, 2)),
    "fused qkv": lambda s, x: _fused_qkv(s, x),
}


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
