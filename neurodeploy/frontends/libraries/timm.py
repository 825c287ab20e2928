"""``timm:NAME``: vision transformers of PyTorch Image Models (ViT, DeiT and their kin)."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from ..input_spec import InputSpec
from ._base import Built, Library, LibraryOptions


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
        arguments = dict(options.arguments)
        if options.image is not None:
            arguments["img_size"] = options.image
        if options.classes is not None:
            arguments["num_classes"] = options.classes
        near = self.near(name.partition(".")[0], timm.list_models())
        make = lambda published: timm.create_model(name, pretrained=published, **arguments)
        model = self.weighted(name, options, near, make)
        own = getattr(model, "pretrained_cfg", None) or {}
        channels, *size = own.get("input_size", (3, 224, 224))
        if "img_size" in arguments:
            size = [int(n) for n in np.broadcast_to(arguments["img_size"], 2)]
        mean, std = (np.array(own.get(key, 0.5)) for key in ("mean", "std"))
        channels = int(arguments.get("in_chans", channels))
        return Built(model, InputSpec((channels, *size), 1 / (255 * std), -mean / std))


MEMBER = Timm()
