"""Transformers with the module structure of the libraries they come from, written out: no library is needed."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.transformers_small import DIM, HEADS, TOKENS, VOCABULARY


class LayerScale(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(dim) + 0.2)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class TimmAttention(nn.Module):
    """timm: fused qkv, optional norms of q and k, scaled q."""

    def __init__(self, dim: int, heads: int, qk_norm: bool, fused: bool) -> None:
        super().__init__()
        self.heads, self.head_dim, self.fused = heads, dim // heads, fused
        self.qkv = nn.Linear(dim, 3 * dim)
        self.q_norm = nn.LayerNorm(self.head_dim) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(self.head_dim) if qk_norm else nn.Identity()
        self.attn_drop, self.proj, self.proj_drop = nn.Dropout(0.1), nn.Linear(dim, dim), nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        q, k = self.q_norm(q), self.k_norm(k)
        if self.fused:
            x = F.scaled_dot_product_attention(q, k, v)
        else:
            attn = ((q * self.head_dim**-0.5) @ k.transpose(-2, -1)).softmax(dim=-1)
            x = self.attn_drop(attn) @ v
        return self.proj_drop(self.proj(x.transpose(1, 2).reshape(b, n, c)))


class TimmBlock(nn.Module):
    def __init__(self, dim: int, heads: int, act: nn.Module, scale: bool, qk_norm: bool, fused: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attn = TimmAttention(dim, heads, qk_norm, fused)
        self.ls1, self.ls2 = (LayerScale(dim) if scale else nn.Identity() for _ in range(2))
        self.drop_path1, self.drop_path2 = nn.Identity(), nn.Identity()
        self.mlp = nn.Sequential()
        self.mlp.add_module("fc1", nn.Linear(dim, 4 * dim))
        self.mlp.add_module("act", act)
        self.mlp.add_module("drop1", nn.Dropout(0.1))
        self.mlp.add_module("fc2", nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path1(self.ls1(self.attn(self.norm1(x))))
        return x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))


class PatchEmbed(nn.Module):
    def __init__(self, patch: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class TimmVit(nn.Module):
    """ViT and DeiT of timm: one or two prefix tokens, or none and the mean over patches."""

    def __init__(
        self, image: int = 16, patch: int = 8, dim: int = DIM, depth: int = 2, heads: int = HEADS, classes: int = 5,
        prefix: int = 1, pool: str = "token", act: Callable[[], nn.Module] = nn.GELU, scale: bool = False,
        qk_norm: bool = False, fused: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_shape, self.pool, self.prefix = (3, image, image), pool, prefix
        self.patch_embed = PatchEmbed(patch, dim)
        if prefix:
            self.cls_token = nn.Parameter(0.5 * torch.randn(1, prefix, dim))
        self.pos_embed = nn.Parameter(0.2 * torch.randn(1, prefix + (image // patch) ** 2, dim))
        self.blocks = nn.Sequential(
            *(TimmBlock(dim, heads, act(), scale, qk_norm, fused) for _ in range(depth))
        )
        self.norm, self.head = nn.LayerNorm(dim, eps=1e-6), nn.Linear(dim, classes)
        self.head_dist = nn.Linear(dim, classes) if prefix == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        if self.prefix:
            x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1)
        x = self.norm(self.blocks(x + self.pos_embed))
        if self.head_dist is not None:
            return (self.head(x[:, 0]) + self.head_dist(x[:, 1])) / 2
        return self.head(x.mean(1) if self.pool == "avg" else x[:, 0])


class QuickGelu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class NewGelu(nn.Module):
    """GPT-2's: the tanh form in simple operators."""

    def forward(self, x: Tensor) -> Tensor:
        inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))
        return 0.5 * x * (1.0 + torch.tanh(inner))


class ErfGelu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))


class BertSelf(nn.Module):
    def __init__(self, dim: int, heads: int, sdpa: bool) -> None:
        super().__init__()
        self.heads, self.width, self.sdpa = heads, dim // heads, sdpa
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))

    def split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.heads, self.width).permute(0, 2, 1, 3)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        if self.sdpa:
            mix = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        else:
            scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(self.width)
            mix = torch.matmul(torch.softmax(scores if mask is None else scores + mask, dim=-1), v)
        return mix.permute(0, 2, 1, 3).contiguous().view(x.shape)


class BertLayer(nn.Module):
    """Post-norm, as in BERT and MiniLM."""

    def __init__(self, dim: int, heads: int, act: nn.Module, sdpa: bool, width: int) -> None:
        super().__init__()
        self.attention = BertSelf(dim, heads, sdpa)
        self.dense, self.LayerNorm = nn.Linear(dim, dim), nn.LayerNorm(dim, eps=1e-12)
        self.intermediate, self.output = nn.Linear(dim, width), nn.Linear(width, dim)
        self.act, self.final, self.dropout = act, nn.LayerNorm(dim, eps=1e-12), nn.Dropout(0.1)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.LayerNorm(self.dropout(self.dense(self.attention(x, mask))) + x)
        return self.final(self.dropout(self.output(self.act(self.intermediate(x)))) + x)


class Bert(nn.Module):
    """Word, position and type embeddings; ``output``: mean over the valid tokens, or pooler and classifier.

    The last ``padding`` tokens are hidden, or all whose id is below ``hides``.
    """

    def __init__(
        self, vocabulary: int = VOCABULARY, dim: int = DIM, depth: int = 2, heads: int = HEADS, tokens: int = TOKENS,
        padding: int = 0, output: str = "mean", sdpa: bool = False, act: Callable[[], nn.Module] = nn.GELU,
        width: int = 0, hides: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.hides = hides
        self.input_tokens, self.valid, self.output = tokens, tokens - padding, output
        self.word_embeddings = nn.Embedding(vocabulary, dim, padding_idx=0)
        self.position_embeddings = nn.Embedding(tokens + 6, dim)
        self.token_type_embeddings = nn.Embedding(2, dim)
        self.register_buffer("position_ids", torch.arange(tokens + 6)[None], persistent=False)
        self.norm, self.dropout = nn.LayerNorm(dim, eps=1e-12), nn.Dropout(0.1)
        self.layer = nn.ModuleList(BertLayer(dim, heads, act(), sdpa, width or 2 * dim) for _ in range(depth))
        if output == "pooler":
            self.pooler, self.classifier = nn.Linear(dim, dim), nn.Linear(dim, 3)

    def forward(self, ids: Tensor) -> Tensor:
        batch, length = ids.shape
        types = torch.zeros((batch, length), dtype=torch.long)
        x = self.word_embeddings(ids) + self.token_type_embeddings(types)
        x = self.dropout(self.norm(x + self.position_embeddings(self.position_ids[:, :length])))
        mask = None
        if self.valid < length:
            seen = (
                (torch.arange(length) < self.valid)
                .to(x.dtype)[None, None, None]
                .expand(batch, 1, length, length)
            )
            mask = (1.0 - seen) * -1e9
        if self.hides:
            seen = (ids >= self.hides)[:, None, None, :]
            mask = (1.0 - seen.to(x.dtype)) * torch.finfo(x.dtype).min
        for layer in self.layer:
            x = layer(x, mask)
        if self.output == "pooler":
            return self.classifier(torch.tanh(self.pooler(x[:, 0])))
        if self.hides:
            return (mask[:, 0].softmax(-1) @ x)[:, 0]
        return x[:, : self.valid].mean(1)


class Conv1D(nn.Module):
    """GPT-2's linear layer, weights (in, out)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(0.3 * torch.randn(inputs, outputs)),
            nn.Parameter(torch.zeros(outputs)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(*x.shape[:-1], len(self.bias))


class GptBlock(nn.Module):
    def __init__(self, dim: int, heads: int, tokens: int, causal: str) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.ln_1, self.ln_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.c_attn, self.c_proj = Conv1D(dim, 3 * dim), Conv1D(dim, dim)
        self.c_fc, self.act, self.out = Conv1D(dim, 4 * dim), NewGelu(), Conv1D(4 * dim, dim)
        self.register_buffer(
            "bias", torch.tril(torch.ones(tokens + 4, tokens + 4, dtype=torch.bool))[None, None]
        )

    def attend(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = (
            t.view(b, n, self.heads, c // self.heads).permute(0, 2, 1, 3)
            for t in self.c_attn(x).split(c, dim=2)
        )
        if self.causal == "sdpa":
            mix = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = torch.matmul(q, k.transpose(-1, -2)) / (c // self.heads) ** 0.5
            visible = self.bias[:, :, :n, :n]
            if self.causal == "where":
                least = torch.full([], torch.finfo(scores.dtype).min, dtype=scores.dtype)
                scores = torch.where(visible, scores, least)
            else:
                scores = scores.masked_fill(~visible, float("-inf"))
            mix = torch.matmul(scores.softmax(-1), v)
        return self.c_proj(mix.permute(0, 2, 1, 3).contiguous().view(b, n, c))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.ln_1(x))
        return x + self.out(self.act(self.c_fc(self.ln_2(x))))


class Gpt2(nn.Module):
    """Causal decoder with tied embeddings; logits of the last position."""

    def __init__(self, causal: str = "where") -> None:
        super().__init__()
        self.input_tokens = TOKENS
        self.wte, self.wpe = nn.Embedding(VOCABULARY, DIM), nn.Embedding(TOKENS + 4, DIM)
        self.h = nn.ModuleList(GptBlock(DIM, HEADS, TOKENS, causal) for _ in range(2))
        self.ln_f, self.lm_head = nn.LayerNorm(DIM), nn.Linear(DIM, VOCABULARY, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, ids: Tensor) -> Tensor:
        ids = ids.view(-1, ids.shape[-1])
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1])[None])
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))[:, -1]


class RmsNorm(nn.Module):
    """As LLaMA spells it."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(dim) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


class RotaryAttention(nn.Module):
    """Grouped queries; the first ``rotary`` channels of a head are turned by an angle that grows with the position."""

    def __init__(self, dim: int, heads: int, groups: int, rotary: int) -> None:
        super().__init__()
        self.heads, self.groups, self.rotary, width = heads, groups, rotary, dim // heads
        self.q_proj, self.k_proj, self.v_proj = (
            nn.Linear(dim, n * width, bias=False) for n in (heads, groups, groups)
        )
        self.o_proj = nn.Linear(dim, dim, bias=False)
        self.register_buffer("inv_freq", 1.0 / 100.0 ** (torch.arange(0, rotary, 2) / rotary))

    def turned(self, x: Tensor) -> Tensor:
        angles = torch.outer(torch.arange(x.shape[2], dtype=x.dtype), self.inv_freq).repeat(1, 2)[None, None]
        moved, kept = x[..., : self.rotary], x[..., self.rotary :]
        half = self.rotary // 2
        swapped = torch.cat((-moved[..., half:], moved[..., :half]), -1)
        turned = moved * angles.cos() + swapped * angles.sin()
        return torch.cat((turned, kept), -1) if kept.shape[-1] else turned

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = (
            t.view(b, n, -1, c // self.heads).transpose(1, 2)
            for t in (self.q_proj(x), self.k_proj(x), self.v_proj(x))
        )
        q, k = self.turned(q), self.turned(k)
        k, v = (
            t[:, :, None].expand(-1, -1, self.heads // self.groups, -1, -1).reshape(b, self.heads, n, -1)
            for t in (k, v)
        )
        scores = q @ k.transpose(-1, -2) * (c // self.heads) ** -0.5
        scores = scores + torch.full((n, n), -1e9, dtype=x.dtype).triu(1)
        return self.o_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, n, c))


class RotaryBlock(nn.Module):
    """``parallel``: attention and the gated layers read the same stream, as in GPT-NeoX."""

    def __init__(self, dim: int, heads: int, groups: int, rotary: int, parallel: bool) -> None:
        super().__init__()
        self.parallel, self.norm1, self.norm2 = parallel, RmsNorm(dim), RmsNorm(dim)
        self.attn = RotaryAttention(dim, heads, groups, rotary)
        self.gate_proj, self.up_proj = (nn.Linear(dim, 2 * dim, bias=False) for _ in range(2))
        self.act, self.down_proj = nn.SiLU(), nn.Linear(2 * dim, dim, bias=False)

    def gated(self, x: Tensor) -> Tensor:
        return self.down_proj(self.act(self.gate_proj(x)) * self.up_proj(x))

    def forward(self, x: Tensor) -> Tensor:
        y = x + self.attn(self.norm1(x))
        return y + self.gated(self.norm2(x if self.parallel else y))


class RotaryDecoder(nn.Module):
    """Causal decoder with rotary positions; logits of the last position."""

    input_tokens = TOKENS

    def __init__(self, groups: int = 2, rotary: int = 4, parallel: bool = False) -> None:
        super().__init__()
        dim, heads = 2 * DIM, 4
        self.embed = nn.Embedding(VOCABULARY, dim)
        self.layers = nn.ModuleList(RotaryBlock(dim, heads, groups, rotary, parallel) for _ in range(2))
        self.norm, self.head = RmsNorm(dim), nn.Linear(dim, VOCABULARY, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x)[:, -1])


class Encoder(nn.Module):
    """torch's own encoder on token ids, its last tokens hidden as padding, or all whose id is below ``hides``."""

    def __init__(self, pre: bool, padding: int = 0, act: str = "gelu", hides: int = 0) -> None:
        super().__init__()
        self.input_tokens, self.hides = TOKENS, hides
        layer = nn.TransformerEncoderLayer(
            DIM, HEADS, 2 * DIM, activation=act, batch_first=True, norm_first=pre
        )
        self.embedding, self.position = (
            nn.Embedding(VOCABULARY, DIM),
            nn.Parameter(0.2 * torch.randn(TOKENS, DIM)),
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.register_buffer("padding", (torch.arange(TOKENS) >= TOKENS - padding)[None] if padding else None)

    def forward(self, ids: Tensor) -> Tensor:
        padding = None if self.padding is None else self.padding.expand(ids.shape[0], -1)
        if self.hides:
            padding = ids < self.hides
        return self.encoder(self.embedding(ids) + self.position, src_key_padding_mask=padding).mean(1)
