"""``hf:NAME`` or a local folder: Hugging Face transformers (ViT, BERT-style encoders, decoders from GPT-2 to LLaMA).

A text model takes token ids of one fixed length, positions in order. With ``mask`` the tokens of padding, of which each
text has its own number at its end, are hidden from attention and from the mean, and ``last`` is the one before them.
``hf:bert`` (a type of model, not of the hub) with ``pretrained=false`` is an architecture with the sizes of its
library, or those in ``arguments``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from ...errors import ImportModelError, Problem
from ..input_spec import InputSpec
from ._base import RANDOM, Built, Library, LibraryOptions, TextOptions, constructing, fetching, seeded
from ._weights import fill

Pool = Literal["auto", "logits", "mean", "first", "last", "pooled", "tokens"]
#: files of weights in a folder, the first that exists is read
FILES = ("model.safetensors", "pytorch_model.bin")
#: files of which one shows that a folder holds a tokenizer
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model")
#: encoders whose padding is hidden without being asked for where their tokenizer is known, as that of decoders is
MASKED = ("albert", "bert", "camembert", "distilbert", "electra", "mpnet", "roberta", "t5", "xlm-roberta")
#: what a token's score exceeds that of the one before by, so that a softmax of integers sees the last alone
NEARER = 32.0


class HuggingFaceOptions(LibraryOptions, TextOptions):
    """Further: the length of a text and what is made of the tokens' vectors."""

    tokens: int = Field(32, ge=1, description="tokens of a text")
    mask: bool | None = Field(
        None, description="hide padding; unset: yes for decoders, BERT and its kin where a tokenizer is known"
    )
    output: Pool = Field(
        "auto",
        description="logits of a head, mean of the tokens, the first or last token, pooled, or all tokens; auto: "
        "logits where there is a head (a decoder's at the last token), else mean (text) or first (image)",
    )


class HuggingFace(Library):
    """Hugging Face transformers."""

    name, package, extra = "hf", "transformers", "hf"
    distributions = ("transformers", "tokenizers")
    title = "Hugging Face transformers"
    Options = HuggingFaceOptions

    def texts(self, name: str, options: Any) -> TextOptions:
        """The tokenizer that is named, else that of the folder or of the hub that the weights come from."""
        folder = Path(name)
        own = name if any((folder / file).is_file() for file in TOKENIZERS) else ""
        if not folder.exists() and options.pretrained and not options.weights:
            own = name
        return TextOptions(tokenizer=options.tokenizer or own)

    def build(self, name: str, options: Any) -> Built:
        """From a folder with config.json, a type of model, or the hub."""
        transformers = self.require()
        where, folder = f"hf:{name}", Path(name)
        local = (folder / "config.json").is_file()
        if local or (name in transformers.CONFIG_MAPPING and (options.weights or not options.pretrained)):
            with constructing(where):
                config = _config(transformers, name, folder if local else None, options.arguments)
        else:
            with fetching(where):
                read = transformers.AutoConfig.from_pretrained
                config = read(name, trust_remote_code=False, **options.arguments)
        with constructing(where), seeded(options.seed):
            model = _class(transformers, config)._from_config(config, attn_implementation="eager")
        if options.weights:
            fill(model, Path(options.weights), (model.base_model_prefix,))
        elif options.pretrained and local:
            fill(model, _file(folder), (model.base_model_prefix,))
        elif options.pretrained:
            with fetching(where):
                safe = {"trust_remote_code": False, "use_safetensors": True}
                model = type(model).from_pretrained(name, config=config, attn_implementation="eager", **safe)
        causal, mask = _causal(transformers, config), options.mask
        if mask is None:
            mask = bool(self.texts(name, options).tokenizer) and (causal or config.model_type in MASKED)
        return _wrapped(model.float().eval(), config, options, mask, causal, where)


def _config(transformers: Any, name: str, folder: Path | None, arguments: dict[str, Any]) -> Any:
    if folder is None:
        return transformers.AutoConfig.for_model(name, **arguments)
    return transformers.AutoConfig.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False, **arguments
    )


def _causal(transformers: Any, config: Any) -> bool:
    """Whether it is a decoder: encoders have a causal head as well, but are trained with the one for masked tokens."""
    heads = transformers.MODEL_FOR_CAUSAL_LM_MAPPING, transformers.MODEL_FOR_MASKED_LM_MAPPING
    return [type(config) in table for table in heads] == [True, False] and not config.is_encoder_decoder


def _class(transformers: Any, config: Any) -> Any:
    """The class that the config names, or what is usual for its type."""
    named = getattr(transformers, (getattr(config, "architectures", None) or [""])[0], None)
    if isinstance(named, type) and issubclass(named, transformers.PreTrainedModel):
        return named
    mappings: tuple[str, ...] = ("MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING", "MODEL_MAPPING")
    if _causal(transformers, config):
        mappings = ("MODEL_FOR_CAUSAL_LM_MAPPING", *mappings)
    for mapping in mappings:
        table = getattr(transformers, mapping)
        if type(config) in table:
            found = table[type(config)]
            return found[0] if isinstance(found, tuple) else found
    raise ValueError(f"no network of type {config.model_type}")


def _file(folder: Path) -> Path:
    for name in FILES:
        if (folder / name).is_file():
            return folder / name
    cause, found = "the weights of the model cannot be read", "no file of weights"
    raise ImportModelError(Problem("ND191", cause, str(folder), found, " or ".join(FILES), (RANDOM,)))


def _wrapped(model: Any, config: Any, options: Any, mask: bool, causal: bool, where: str) -> Built:
    """The model behind a module that maps one tensor to one tensor."""
    config.use_cache = False
    if model.main_input_name == "pixel_values":
        size = [int(n) for n in np.broadcast_to(config.image_size, 2)]
        pool = _pool(model, options.output, "first")
        # the processors of ViT take levels 0 .. 255 to -1 .. 1
        spec = InputSpec((int(config.num_channels), *size), 1 / 127.5, -1.0)
        return Built(_module(model, "pixel_values", pool).eval(), spec, inside="model")
    most = getattr(config, "max_position_embeddings", options.tokens)
    start = _first_position(config)
    if options.tokens + start > most:
        cause, fix = "a text of this length does not fit the model", "choose another: --set reader.tokens=N"
        found, limit = f"{options.tokens} tokens", f"at most {most - start}"
        raise ImportModelError(Problem("ND103", cause, where, found, limit, (fix,)))
    import torch

    pad = config.pad_token_id if config.pad_token_id is not None else config.eos_token_id
    if mask and not isinstance(pad, int):
        cause, fix = "the model has no token for padding", "texts of one length: --set reader.mask=false"
        found = "neither pad_token_id nor eos_token_id"
        raise ImportModelError(Problem("ND103", cause, where, found, "one of them", (fix,)))
    pool = _pool(model, options.output, "mean")
    positions = torch.arange(start, start + options.tokens)[None] if start else None
    module = _module(model, "input_ids", pool, pad if mask else None, positions, causal)
    return Built(module.eval(), InputSpec((options.tokens,), tokens=True), inside="model")


def _first_position(config: Any) -> int:
    """RoBERTa and its kin count positions from behind the padding index."""
    kin = ("roberta", "xlm-roberta", "camembert", "mpnet")
    return int(config.pad_token_id) + 1 if config.model_type in kin else 0


def _pool(model: Any, wanted: str, usual: str) -> str:
    """What to make of the first result."""
    kind = type(model).__name__
    if wanted != "auto":
        return wanted
    if "CausalLM" in kind or "LMHead" in kind:
        return "last"
    return "logits" if "For" in kind else usual


def _module(
    model: Any, argument: str, pool: str, pad: int | None = None, positions: Any = None, causal: bool = False
) -> Any:
    """The wrapper; tokens ``pad``, where given, are hidden, as they are anyway where none sees a later one."""
    from torch import Tensor, nn

    class Wrapper(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.register_buffer("positions", positions)

        def forward(self, x: Tensor) -> Tensor:
            given: dict[str, Any] = {argument: x}
            shown = None if pad is None else x != pad
            if shown is not None and not causal:
                given["attention_mask"] = shown.to(x.dtype)
            if self.positions is not None:
                given["position_ids"] = self.positions.expand(x.shape[0], -1)
            found = self.model(**given, return_dict=False)
            if pool == "pooled":
                return found[1]
            return _pooled(found[0], pool) if shown is None else _shown(found[0], pool, shown)

    return Wrapper()


def _pooled(y: Any, pool: str) -> Any:
    """What of the tokens (B, N, C) is read, all of which count."""
    if pool == "mean":
        return y.mean(1)
    if pool == "first":
        return y[:, 0]
    return y[:, -1] if pool == "last" else y


def _shown(y: Any, pool: str, shown: Any) -> Any:
    """The same where those count that are ``shown`` (B, N)."""
    import torch

    if pool not in ("mean", "last"):
        return _pooled(y, pool)
    share = (shown.to(y.dtype) - 1.0) * torch.finfo(y.dtype).max
    if pool == "last":
        share = share + shown.to(y.dtype) * (NEARER * torch.arange(y.shape[1]))
    return (share.softmax(-1)[:, None] @ y)[:, 0]


MEMBER = HuggingFace()
