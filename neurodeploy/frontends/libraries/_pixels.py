"""Image models of Hugging Face: their preparation by the library's own processor, and the module that a graph is of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...array import Array
from ...errors import ImportModelError, Problem, first_line
from .. import _torch
from . import _images, _outputs
from ._base import Built, constructing, fetching
from ._outputs import EMBEDDINGS, ReadOut

PREPARATION = "preprocessor_config.json"
#: most rows and columns that a processor may be asked for
MOST = 4096
#: steps of a processor that change rows and columns
GEOMETRY = ("do_resize", "do_center_crop", "do_thumbnail", "do_align_long_axis", "do_pad")
#: how PIL numbers what lies between two pixels
RESAMPLING = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")


def network(transformers: Any, model: Any, options: Any, name: str, where: str, whole: Any = None) -> Built:
    """The model behind a module that maps an image to one tensor, fed as the library's own preparation feeds it.

    A model of videos takes as many images as its configuration says. ``whole`` is the configuration of what it is part
    of, if of anything.

    ImportModelError ND103 or ND130 where it does not run, ND177 for a preparation that the input cannot say, ND178
    where nothing says how large images are, ND179 for a result that it does not yield.
    """
    import torch

    config = getattr(model.config, "vision_config", None) or model.config
    channels = int(getattr(config, "num_channels", 3))
    processor, own = _processor(transformers, whole or model.config, name, where)
    frames = getattr(config, "num_frames", None)
    ahead = (frames,) if isinstance(frames, int) else ()
    found, flipped = _levels(processor, channels, where)
    size = _size(config, options, processor, own, channels, where)
    if processor is not None:
        prepare = _as_it_is(processor)
        found = _images.settled(lambda raw: _turned(prepare(raw), flipped), found, (channels, *size), where)
    example = torch.zeros(_torch.BATCH, *ahead, channels, *size)
    try:
        results = _outputs.results(model, {"pixel_values": example}, where)
    except ImportModelError:
        raise
    except Exception as error:  # whatever the library says
        raise ImportModelError(_torch.does_not_run(error, where, example)) from error
    read = _read_out(results, options.output)
    spec = replace(found.spec(size), shape=(*ahead, channels, *size))
    return Built(
        _module(model, read, flipped), spec, "model", reference=_reference(model, read, flipped),
        preparation=_geometry(processor, found, flipped, size) if own else "", remarks=_remarks(processor, own, name),
    )  # fmt: skip


# --- preparation -------------------------------------------------------------------------------------------------


def _processor(transformers: Any, config: Any, name: str, where: str) -> tuple[Any, bool]:
    """What prepares images, and whether it comes with the weights: else what is usual for the type, or None."""
    folder = Path(name)
    read = transformers.AutoImageProcessor.from_pretrained
    if (folder / PREPARATION).is_file():
        try:
            found = read(str(folder), local_files_only=True, trust_remote_code=False, use_fast=False)
        except Exception as error:  # each processor has its own
            cause = "the library cannot read how images are prepared"
            place = str(folder / PREPARATION)
            raise ImportModelError(_images.unsaid(cause, place, first_line(error))) from error
        return found, True
    if not folder.exists() and name not in transformers.CONFIG_MAPPING:
        with fetching(where):
            return read(name, trust_remote_code=False, use_fast=False), True
    usual = transformers.IMAGE_PROCESSOR_MAPPING
    kind = usual[type(config)][0] if type(config) in usual else None
    if kind is None:
        return None, False
    with constructing(where):
        return kind(), False


def _prepare(processor: Any, **more: Any) -> _images.Prepare:
    """One image (C, H, W) by the library."""

    def prepare(raw: Array) -> Array:
        made = processor(raw, return_tensors="np", input_data_format="channels_first", **more)["pixel_values"]
        image: Array = np.asarray(made, dtype=np.float64)[0]
        return image[0] if image.ndim == 4 else image  # a video of one image

    return prepare


def _as_it_is(processor: Any) -> _images.Prepare:
    """The same with rows and columns as they are."""
    return _prepare(processor, **{step: False for step in GEOMETRY if hasattr(processor, step)})


def _levels(processor: Any, channels: int, where: str) -> tuple[_images.Levels, bool]:
    """What becomes of raw levels, and whether the order of channels is turned round; -1 .. 1 if nobody prepares."""
    if processor is None:
        return _images.levels(1 / _images.TOP, 0.5, 0.5, channels), False
    rescales, normalises = (getattr(processor, key, False) for key in ("do_rescale", "do_normalize"))
    try:
        usual = 1 / _images.TOP  # some have no setting for it
        rescale = float(getattr(processor, "rescale_factor", usual)) if rescales else 1.0
        mean, deviation = (processor.image_mean, processor.image_std) if normalises else (0.0, 1.0)
        found = _images.levels(rescale, mean, deviation, channels)
    except (TypeError, ValueError, AttributeError) as error:
        cause = "the library's preparation of images has impossible numbers"
        raise ImportModelError(_images.unsaid(cause, where, first_line(error))) from error
    return found, bool(getattr(processor, "do_flip_channel_order", False))


def _turned(made: Array, flipped: bool) -> Array:
    """What the library made, channels in the order of the raw ones."""
    return made[::-1] if flipped else made


def _size(config: Any, options: Any, processor: Any, own: bool, channels: int, where: str) -> tuple[int, int]:
    """Rows and columns: what the user says, else the publisher's preparation, the config, the usual preparation."""
    asked = options.image or options.arguments.get("image_size")
    if processor is not None and asked is None and (own or not hasattr(config, "image_size")):
        return _made(processor, channels, where)
    given = asked if asked is not None else getattr(config, "image_size", None)
    sizes = np.asarray(given if given is not None else 0).reshape(-1)
    if (
        sizes.size not in (1, 2)
        or sizes.dtype.kind not in "iu"
        or not (sizes > 0).all()
        or (sizes > MOST).any()
    ):
        cause, fix = "nothing says how large the images of the model are", "say it: --set reader.image=224"
        found = "nothing" if given is None else str(given)
        raise ImportModelError(Problem("ND178", cause, where, found, f"1 .. {MOST} rows and columns", (fix,)))
    rows, columns = np.broadcast_to(sizes, 2)
    return int(rows), int(columns)


def _made(processor: Any, channels: int, where: str) -> tuple[int, int]:
    """Rows and columns of what the library makes of a large square image; ImportModelError ND177, ND178."""
    numbers = [n for key in ("size", "crop_size") for n in dict(getattr(processor, key, None) or {}).values()]
    if any(not isinstance(n, int) or not 0 < n <= MOST for n in numbers):
        cause, limit = "the library's preparation makes images of an impossible size", f"1 .. {MOST}"
        raise ImportModelError(Problem("ND178", cause, where, str(numbers), limit))
    side = _images.PROBED
    try:
        made = _prepare(processor)(np.zeros((channels, side, side), np.uint8))
    except Exception as error:  # whatever the library says to its own settings
        cause = "the library's own preparation of images fails"
        raise ImportModelError(_images.unsaid(cause, where, first_line(error))) from error
    return int(made.shape[-2]), int(made.shape[-1])


def _geometry(processor: Any, found: _images.Levels, flipped: bool, size: tuple[int, int]) -> str:
    """What the library would do to rows and columns of an image of this very size; empty if nothing."""
    raw = _images.noise((len(found.scale), *size))
    if _images.distance(_turned(_prepare(processor)(raw), flipped), found(raw)) <= _images.NEAR:
        return ""
    steps = []
    if getattr(processor, "do_resize", False):
        way = getattr(processor, "resample", None)
        named = RESAMPLING[way] if isinstance(way, int) and 0 <= way < len(RESAMPLING) else str(way)
        crop = getattr(processor, "crop_pct", None)
        steps.append(
            f"resize to {_sides(processor.size)} ({named}{f', of which {crop:g} is kept' if crop else ''})"
        )
    if getattr(processor, "do_center_crop", False):
        steps.append(f"centre crop of {_sides(getattr(processor, 'crop_size', processor.size))}")
    return ", ".join(steps) or "a preparation of its own"


def _sides(size: Any) -> str:
    named = dict(size)
    if {"height", "width"} <= named.keys():
        return f"{named['height']} x {named['width']}"
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in named.items())


def _remarks(processor: Any, own: bool, name: str) -> tuple[str, ...]:
    """What is worth knowing where a publisher's folder does not say how images are prepared."""
    if own or not Path(name).exists():
        return ()
    usual = (
        "as for ViT, to -1 .. 1" if processor is None else f"as {type(processor).__name__} does unless told"
    )
    return (f"{PREPARATION}: missing, levels enter {usual}; --set scale and --set offset say otherwise",)


# --- the network -------------------------------------------------------------------------------------------------


def _read_out(results: _outputs.Results, wanted: str) -> ReadOut:
    """``auto``: logits, else what stands for a whole image, else the first token, or the mean of a map."""
    if wanted != "auto":
        return results.asked(wanted)
    name = results.of("logits", *EMBEDDINGS)
    return results.read(name) if name else results.asked("first" if results.axes == 3 else "mean")


def _pooled(y: Any, pool: str) -> Any:
    """Of tokens (B, N, C), or of a map (B, C, H, W); one of a single pixel is a vector."""
    if y.ndim == 4 and y.shape[2:].numel() == 1:
        return y.flatten(1)
    if y.ndim == 4 and pool != "whole":
        y = y.flatten(2).transpose(1, 2)
    if pool == "mean":
        return y.mean(1)
    if pool == "first":
        return y[:, 0]
    return y[:, -1] if pool == "last" else y


def _module(model: Any, read: ReadOut, flipped: bool) -> Any:
    """The network as a graph is made of it: images (B, C, H, W) to what is read."""
    import torch
    from torch import Tensor, nn

    class Image(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            given = torch.cat(x.split(1, -3)[::-1], -3) if flipped else x
            return read.listed(self.model(pixel_values=given, return_dict=False), _pooled)

    return Image().eval()


def _reference(model: Any, read: ReadOut, flipped: bool) -> Callable[[Any], Any]:
    """The library's own call on what its preparation makes of levels: images (B, C, H, W) to what is read."""

    def call(x: Any) -> Any:
        return read.named(model(pixel_values=x.flip(-3) if flipped else x, return_dict=True), _pooled)

    return call
