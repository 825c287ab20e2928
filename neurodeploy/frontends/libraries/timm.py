"""``timm:NAME``: vision transformers of PyTorch Image Models (ViT, DeiT and their kin)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from pydantic import Field

from . import _images
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
        if options.classes is not None:
            arguments["num_classes"] = options.classes
        near = self.near(name.partition(".")[0], timm.list_models())

        def make(published: bool) -> Any:
            create = partial(timm.create_model, name, pretrained=published, **arguments)
            if options.image is None:
                return create()
            try:
                return create(img_size=options.image)
            except TypeError:  # convolutions alone take images of any size
                return create()

        model = self.weighted(name, options, near, make)
        own = timm.data.resolve_model_data_config(model)  # what its own pipeline goes by
        channels, *size = own["input_size"]
        sides = options.image or arguments.get("img_size")
        if sides is not None:
            size = [int(n) for n in np.broadcast_to(sides, 2)]
        channels = int(arguments.get("in_chans", channels))
        levels = _images.levels(1 / _images.TOP, own["mean"], own["std"], channels)
        whole = int(min(size) / own["crop_pct"])
        prepared = _images.cropped(whole, tuple(size), own["interpolation"])
        return Built(model, levels.spec(tuple(size)), preparation=prepared)


MEMBER = Timm()
