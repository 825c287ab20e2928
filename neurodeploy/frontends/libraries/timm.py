"""``timm:NAME``: vision transformers of PyTorch Image Models (ViT, DeiT and their kin)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from ..input_spec import InputSpec
from ._base import Built, Library, LibraryOptions, constructing, fetching, seeded
from ._weights import fill


class TimmOptions(LibraryOptions):
    """Further: the size of images and the number of classes."""

    image: int | None = Field(None, ge=1, description="rows and columns of an image; unset: the model's own")
    classes: int | None = Field(None, ge=1, description="number of classes; unset: the model's own")


class Timm(Library):
    """PyTorch Image Models."""

    name = package = extra = "timm"
    distributions = ("timm",)
    title = "PyTorch Image Models"
    Options = TimmOptions

    def build(self, name: str, options: Any) -> Built:
        """``timm.create_model``, with attention in its parts."""
        timm = self.require()
        timm.layers.set_fused_attn(False)  # torch 2.3 cannot trace the switch between the two forms
        where = f"timm:{name}"
        arguments = dict(options.arguments)
        if options.image is not None:
            arguments["img_size"] = options.image
        if options.classes is not None:
            arguments["num_classes"] = options.classes
        hub = options.pretrained and not options.weights
        near = tuple(f"timm:{n}" for n in _near(name.partition(".")[0], timm.list_models()))
        with constructing(where, near), seeded(options.seed):
            model = timm.create_model(name, pretrained=False, **arguments)
        if hub:
            with fetching(where):
                model = timm.create_model(name, pretrained=True, **arguments)
        elif options.weights:
            fill(model, Path(options.weights))
        own = getattr(model, "pretrained_cfg", None) or {}
        channels, *size = own.get("input_size", (3, 224, 224))
        if "img_size" in arguments:
            size = [int(n) for n in np.broadcast_to(arguments["img_size"], 2)]
        mean, std = (np.array(own.get(key, default)) for key, default in (("mean", 0.5), ("std", 0.5)))
        channels = int(arguments.get("in_chans", channels))
        return Built(model.eval(), InputSpec((channels, *size), 1 / (255 * std), -mean / std))


def _near(name: str, known: list[str]) -> list[str]:
    import difflib

    return [] if name in known else difflib.get_close_matches(name, known, 3)


MEMBER = Timm()
