"""``hf:NAME`` or a local folder: Hugging Face transformers (ViT, BERT-style encoders, decoders from GPT-2 to LLaMA).

An image model is fed as the library's own processor feeds it, an audio encoder by the features that it takes. A text
model takes token ids of one fixed length, positions in order. With ``mask`` the tokens of padding, of which each text
has its own number at its end, are hidden from attention and from the mean, and ``last`` is the one before them.
``hf:bert`` (a type of model, not of the hub) with ``pretrained=false`` is an architecture with the sizes of its
library, or those in ``arguments``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ... import guarded
from ...errors import ImportModelError, Problem
from . import _pixels, _signals, _texts
from ._base import RANDOM, Built, Library, LibraryOptions, TextOptions, constructing, fetching, seeded
from ._weights import fill

#: files of weights in a folder, the first that exists is read
FILES = ("model.safetensors", "pytorch_model.bin")
#: files of which one shows that a folder holds a tokenizer
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model")


#: bytes of a network for each byte of its file: weights of 8 bits as floats of 32, and some that several layers share
PER_BYTE = 8
SECONDS = 10.0  # to build one without memory


class HuggingFaceOptions(LibraryOptions, TextOptions):
    """Further: the size of images, the length of a text or a signal, and what is made of the tokens' vectors."""

    image: int | None = Field(None, ge=1, description="rows and columns of an image; unset: the model's own")
    tokens: int = Field(32, ge=1, description="tokens of a text")
    length: int | None = Field(
        None, ge=1, description="samples of a waveform, or frames of features; unset: the model's own"
    )
    mask: bool | None = Field(
        None, description="hide padding; unset: where the model's attention can and a tokenizer is known"
    )
    part: Literal["", "image", "text"] = Field(
        "", description="of a model of images and texts, such as CLIP, the one network or the other"
    )
    output: str = Field(
        "auto",
        description="logits of a head, mean of the tokens, the first or last token, pooled, or all tokens; or the "
        "model's own names of results, with commas between, which then follow in one row; auto: "
        "logits where there is a head (a decoder's at the last token), else what the model makes of a whole image, or "
        "first token, and of a text what its folder says, or mean",
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
        weights = Path(options.weights) if options.weights else None
        if local and options.pretrained and weights is None:
            weights = _file(folder)
        if local:
            _bounded(transformers, folder, options, weights, where)
        if local or (name in transformers.CONFIG_MAPPING and (options.weights or not options.pretrained)):
            with constructing(where):
                config = _config(transformers, name, folder if local else None, options.arguments)
        else:
            with fetching(where):
                read = transformers.AutoConfig.from_pretrained
                config = read(name, trust_remote_code=False, **options.arguments)
        if options.image is not None:
            sides = getattr(config, "image_size", None)
            config.image_size = (
                [options.image] * len(sides) if isinstance(sides, (list, tuple)) else options.image
            )
        with constructing(where), seeded(options.seed):
            model = _class(transformers, config)._from_config(config, attn_implementation="eager")
        if weights is not None:
            fill(model, weights, (model.base_model_prefix,))
        elif options.pretrained:
            with fetching(where):
                safe = {"trust_remote_code": False, "use_safetensors": True}
                model = type(model).from_pretrained(name, config=config, attn_implementation="eager", **safe)
        model.config.use_cache = False
        for part in model.modules():
            if isinstance(part, transformers.PreTrainedModel):  # it looks at ids in order to warn
                part.warn_if_padding_and_no_attention_mask = _nothing
        return self._network(transformers, model.float().eval(), options, name, where)

    def _network(self, transformers: Any, model: Any, options: Any, name: str, where: str) -> Built:
        """The network of images or texts that a model is; ImportModelError ND181 for one of both, if none is chosen."""
        whole = None
        if _is_two(model.config):
            if not options.part:
                cause, limit = "the model takes images and texts, and is two networks", "one of them"
                fixes = ("--set reader.part=image", "--set reader.part=text")
                raise ImportModelError(Problem("ND181", cause, where, type(model).__name__, limit, fixes))
            model, whole = _tower(transformers, model, options.part, where), model.config
        if model.main_input_name == "pixel_values":
            return _pixels.network(transformers, model, options, name, where, whole)
        if model.main_input_name in _signals.INPUTS:
            return _signals.network(model, options, where)
        if model.config.is_encoder_decoder and _generates(transformers, model):
            model = model.get_encoder()
        decoder = type(model) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING.values()
        tokenised = bool(self.texts(name, options).tokenizer)
        return _texts.network(model, options, name, tokenised, decoder, where)


def _config(transformers: Any, name: str, folder: Path | None, arguments: dict[str, Any]) -> Any:
    if folder is None:
        return transformers.AutoConfig.for_model(name, **arguments)
    return transformers.AutoConfig.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False, **arguments
    )


def _bounded(transformers: Any, folder: Path, options: Any, weights: Path | None, where: str) -> None:
    """Refuse a folder whose few numbers describe a network that no file of weights fills (ND183).

    It is built without memory for its weights, in a copy of the process, since the number of its layers counts as well.
    """
    size = weights.stat().st_size if weights is not None and weights.is_file() else 0
    most = max(guarded.MEMORY, PER_BYTE * size)

    def needed() -> int:
        import torch

        torch.set_num_threads(1)
        with constructing(where):
            config = _config(transformers, "", folder, options.arguments)
            make = partial(_class(transformers, config)._from_config, config, attn_implementation="eager")
            try:
                with torch.device("meta"):
                    model = make()
            except Exception:  # some compute sizes with tensors
                model = make()
        return sum(held.numel() * held.element_size() for held in (*model.parameters(), *model.buffers()))

    try:
        found = guarded.call(needed, seconds=SECONDS, memory=most)
        said = f"{found >> 20} MB"
    except guarded.Stopped as error:
        found, said = most + 1, str(error)
    if found > most:
        cause = "the configuration describes a network that is too large"
        limit = f"{most >> 20} MB, {PER_BYTE} times the file of its weights" if size else f"{most >> 20} MB"
        fix = "if it is meant so, name it by its type, hf:TYPE, with its sizes in reader.arguments"
        raise ImportModelError(Problem("ND183", cause, f"{where}/config.json", said, limit, (fix,)))


def _causal(transformers: Any, config: Any) -> bool:
    """Whether it is a decoder: encoders have a causal head as well, but are trained with the one for masked tokens."""
    heads = transformers.MODEL_FOR_CAUSAL_LM_MAPPING, transformers.MODEL_FOR_MASKED_LM_MAPPING
    return [type(config) in table for table in heads] == [True, False] and not config.is_encoder_decoder


def _tower(transformers: Any, model: Any, part: str, where: str) -> Any:
    """One of the two networks of a model, with its projection where the library has a class for that; ND117 if none."""
    side = {"image": "Vision", "text": "Text"}[part]
    kind = type(model).__name__.removesuffix("Model") + side
    config = model.config.vision_config if part == "image" else model.config.text_config
    config.projection_dim = getattr(model.config, "projection_dim", None)
    weights = model.state_dict()
    with constructing(where):
        for name in (f"{kind}ModelWithProjection", f"{kind}Model"):
            make = getattr(transformers, name, None)
            if make is None:
                continue
            tower = make._from_config(config, attn_implementation="eager")
            names = tower.state_dict()
            inside = "" if names.keys() <= weights.keys() else f"{side.lower()}_model."
            if missing := [key for key in names if inside + key not in weights]:
                raise ValueError(f"{name} has weights that {type(model).__name__} has not: {missing[0]}")
            tower.load_state_dict({key: weights[inside + key] for key in names})
            tower.config.use_cache = False
            return tower.float().eval()
        raise ValueError(f"no class {kind}Model")


def _is_two(config: Any) -> bool:
    """Whether a configuration is of a network of images beside one of texts."""
    return all(hasattr(config, part) for part in ("text_config", "vision_config"))


def _nothing(*_: Any, **__: Any) -> None:
    pass


def _generates(transformers: Any, model: Any) -> bool:
    """Whether the decoder of a network writes texts, word by word: its encoder is what maps a text to vectors."""
    names = ("MODEL_MAPPING", "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING", "MODEL_FOR_PRETRAINING_MAPPING")
    return any(type(model) in getattr(transformers, name).values() for name in names)


def _class(transformers: Any, config: Any) -> Any:
    """The class that the config names, or what is usual for its type."""
    named = getattr(transformers, (getattr(config, "architectures", None) or [""])[0], None)
    if isinstance(named, type) and issubclass(named, transformers.PreTrainedModel):
        return named
    mappings: tuple[str, ...] = ("MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING", "MODEL_MAPPING")
    if _is_two(config):
        mappings = ("MODEL_MAPPING",)
    elif _causal(transformers, config):
        mappings = ("MODEL_FOR_CAUSAL_LM_MAPPING", *mappings)
    elif config.is_encoder_decoder:  # T5 and its kin by their encoder, which maps a text alone
        mappings = ("MODEL_FOR_TEXT_ENCODING_MAPPING", *mappings)
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


MEMBER = HuggingFace()
