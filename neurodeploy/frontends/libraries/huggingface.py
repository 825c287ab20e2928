"""``hf:NAME`` or a local folder: Hugging Face transformers (ViT, BERT-style encoders, decoders from GPT-2 to LLaMA).

A text model takes token ids of one fixed length. Positions come in order, the last ``padding`` of them are hidden from
attention. ``hf:bert`` (a type of model, not of the hub) with ``pretrained=false`` is an architecture with the sizes of
its library, or those in ``arguments``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from ...errors import ImportModelError, Problem
from ._base import Built, Library, LibraryOptions, TextOptions, constructing, fetching, seeded
from ._weights import fill

Pool = Literal["auto", "logits", "mean", "first", "last", "pooled", "tokens"]
#: files of weights in a folder, the first that exists is read
FILES = ("model.safetensors", "pytorch_model.bin")
#: files of which one shows that a folder holds a tokenizer
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model")


class HuggingFaceOptions(LibraryOptions, TextOptions):
    """Further: the length of a text and what is made of the tokens' vectors."""

    tokens: int = Field(32, ge=1, description="tokens of a text")
    output: Pool = Field(
        "auto",
        description="logits of a head, mean of the tokens, the first or last token, pooled, or all tokens; auto: "
        "logits where there is a head (a decoder's at the last token), else mean (text) or first (image)",
    )


class HuggingFace(Library):
    """Hugging Face transformers."""

    name, package, extra = "hf", "transformers", "hf"
    title = "Hugging Face transformers"
    Options = HuggingFaceOptions

    def texts(self, name: str, options: Any) -> TextOptions:
        """The tokenizer that is named, else that of the folder or of the hub that the weights come from."""
        folder = Path(name)
        own = name if any((folder / file).is_file() for file in TOKENIZERS) else ""
        if not folder.exists() and options.pretrained and not options.weights:
            own = name
        return TextOptions(tokenizer=options.tokenizer or own, padding=options.padding)

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
                config = transformers.AutoConfig.from_pretrained(
                    name, trust_remote_code=False, **options.arguments
                )
        with constructing(where), seeded(options.seed):
            model = _class(transformers, config)._from_config(config, attn_implementation="eager")
        if options.weights:
            fill(model, Path(options.weights), (model.base_model_prefix,))
        elif options.pretrained and local:
            fill(model, _file(folder), (model.base_model_prefix,))
        elif options.pretrained:
            with fetching(where):
                model = type(model).from_pretrained(
                    name,
                    config=config,
                    trust_remote_code=False,
                    use_safetensors=True,
                    attn_implementation="eager",
                )
        return _wrapped(model.float().eval(), config, options, where)


def _config(transformers: Any, name: str, folder: Path | None, arguments: dict[str, Any]) -> Any:
    if folder is None:
        return transformers.AutoConfig.for_model(name, **arguments)
    return transformers.AutoConfig.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False, **arguments
    )


def _class(transformers: Any, config: Any) -> Any:
    """The class that the config names, or what is usual for its type."""
    named = getattr(transformers, (getattr(config, "architectures", None) or [""])[0], None)
    if isinstance(named, type) and issubclass(named, transformers.PreTrainedModel):
        return named
    mappings: tuple[str, ...] = ("MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING", "MODEL_MAPPING")
    # encoders have a causal head as well, but are trained with the one for masked tokens
    if type(config) not in transformers.MODEL_FOR_MASKED_LM_MAPPING and not config.is_encoder_decoder:
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
    raise ImportModelError(
        Problem(
            "ND191",
            "the weights of the model cannot be read",
            str(folder),
            "no file of weights",
            " or ".join(FILES),
            ("random weights, to see whether it fits: --set reader.pretrained=false",),
        )
    )


def _wrapped(model: Any, config: Any, options: Any, where: str) -> Built:
    """The model behind a module that maps one tensor to one tensor."""
    config.use_cache = False
    if model.main_input_name == "pixel_values":
        size = [int(n) for n in np.broadcast_to(config.image_size, 2)]
        pool = _pool(model, options.output, "first")
        # the processors of ViT take levels 0 .. 255 to -1 .. 1
        return Built(
            _module(model, "pixel_values", pool, 0, {}).eval(),
            (int(config.num_channels), *size),
            inside="model",
            scale=1 / 127.5,
            offset=-1.0,
        )
    most = getattr(config, "max_position_embeddings", options.tokens)
    start = _first_position(config)
    if options.tokens + start > most or options.padding >= options.tokens:
        raise ImportModelError(
            Problem(
                "ND103",
                "a text of this length does not fit the model",
                where,
                f"{options.tokens} tokens, {options.padding} of them padding",
                f"at most {most - start}, at least one that is no padding",
                ("choose another: --set reader.tokens=N",),
            )
        )
    import torch

    extra: dict[str, Any] = {}
    if options.padding:
        mask = torch.ones(1, options.tokens, dtype=torch.int64)
        mask[:, options.tokens - options.padding :] = 0
        extra["attention_mask"] = mask
    if start:
        extra["position_ids"] = torch.arange(start, start + options.tokens)[None]
    pool = _pool(model, options.output, "mean")
    module = _module(model, "input_ids", pool, options.tokens - options.padding, extra)
    return Built(module.eval(), (options.tokens,), tokens=True, inside="model")


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


def _module(model: Any, argument: str, pool: str, valid: int, extra: dict[str, Any]) -> Any:
    """The wrapper; ``valid`` tokens are no padding."""
    from torch import Tensor, nn

    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.register_buffer("attention_mask", extra.get("attention_mask"))
            self.register_buffer("position_ids", extra.get("position_ids"))

        def forward(self, x: Tensor) -> Tensor:
            fixed: dict[str, Any] = {}  # each buffer by its own name, or torch.export does not know it
            if self.attention_mask is not None:
                fixed["attention_mask"] = self.attention_mask.expand(x.shape[0], -1)
            if self.position_ids is not None:
                fixed["position_ids"] = self.position_ids.expand(x.shape[0], -1)
            found = self.model(**{argument: x}, **fixed, return_dict=False)
            if pool == "pooled":
                return found[1]
            y: Tensor = found[0]
            if pool == "mean":
                return (y[:, :valid] if valid else y).mean(1)
            if pool == "first":
                return y[:, 0]
            if pool == "last":
                return y[:, valid - 1]
            return y

    return Wrapper()


MEMBER = HuggingFace()
