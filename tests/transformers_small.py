"""Small transformers with random weights in evaluation mode, which carry ``input_shape`` or ``input_tokens``."""

from __future__ import annotations

from collections.abc import Callable

from tests.later import nn, torch
from tests.later import transformer_modules as modules

DIM, HEADS, TOKENS, VOCABULARY = 16, 2, 10, 40

#: name -> factory
FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "timm ViT": lambda: modules.TimmVit(),
    "timm ViT, fused attention": lambda: modules.TimmVit(fused=True),
    "timm DeiT, distilled": lambda: modules.TimmVit(prefix=2),
    "timm DeiT III, layer scale": lambda: modules.TimmVit(scale=True),
    "timm ViT, mean, norms of q and k": lambda: modules.TimmVit(prefix=0, pool="avg", qk_norm=True),
    "timm ViT, quick GELU": lambda: modules.TimmVit(act=modules.QuickGelu),
    "BERT": lambda: modules.Bert(),
    "BERT, padded": lambda: modules.Bert(padding=3),
    "BERT, fused attention, padded": lambda: modules.Bert(padding=3, sdpa=True),
    "BERT, pooler": lambda: modules.Bert(output="pooler"),
    "BERT, GELU by erf": lambda: modules.Bert(act=modules.ErfGelu),
    "GPT-2": lambda: modules.Gpt2(),
    "GPT-2, fused attention": lambda: modules.Gpt2("sdpa"),
    "GPT-2, masked fill": lambda: modules.Gpt2("fill"),
    "TransformerEncoder, post-norm": lambda: modules.Encoder(False),
    "TransformerEncoder, pre-norm, padded": lambda: modules.Encoder(True, 3),
    "TransformerEncoder, ReLU": lambda: modules.Encoder(True, act="relu"),
    "BERT, hides what its ids say": lambda: modules.Bert(hides=12),
    "BERT, fused attention, hides what its ids say": lambda: modules.Bert(hides=12, sdpa=True),
    "TransformerEncoder, hides what its ids say": lambda: modules.Encoder(False, hides=12),
    "LLaMA": lambda: modules.RotaryDecoder(rotary=8),
    "GPT-NeoX, part of a head rotary": lambda: modules.RotaryDecoder(groups=4, parallel=True),
}


def family(name: str) -> nn.Module:
    """The network of that name, the same in every call."""
    torch.manual_seed(list(FAMILIES).index(name))
    return FAMILIES[name]().eval()


def timm_vit() -> nn.Module:
    """A factory without arguments, as ``py:`` takes it."""
    return family("timm ViT")


def bert() -> nn.Module:
    """Likewise."""
    return family("BERT, padded")


def hides() -> nn.Module:
    """Likewise."""
    return family("BERT, hides what its ids say")


def vit_s() -> nn.Module:
    """ViT-S/16 at 224 pixels, 22 million random weights."""
    torch.manual_seed(0)
    return modules.TimmVit(image=224, patch=16, dim=384, depth=12, heads=6, classes=1000).eval()


def minilm() -> nn.Module:
    """A BERT-style encoder of 6 layers and width 384 on 32 tokens, 22 million random weights, half of them a table."""
    torch.manual_seed(0)
    return modules.Bert(vocabulary=30522, dim=384, depth=6, heads=12, tokens=32, padding=8, width=1536).eval()
