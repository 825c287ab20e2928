"""``torchvision:NAME``: vision transformers of torchvision."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from . import _images
from ._base import Built, Library, LibraryOptions

#: the usual normalisation of its weights
LEVELS = _images.levels(1 / _images.TOP, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 3)


class TorchvisionOptions(LibraryOptions):
    """Further: the size of images and the number of classes."""

    image: int = Field(224, ge=1, description="rows and columns of an image")
    classes: int | None = Field(None, ge=1, description="number of classes; unset: the model's own")


class Torchvision(Library):
    """torchvision.models; ``torchvision:VisionTransformer`` with ``arguments`` is one of any size."""

    name = package = extra = "torchvision"
    distributions = ("torchvision",)
    title = "torchvision"
    Options = TorchvisionOptions

    def build(self, name: str, options: Any) -> Built:
        """``torchvision.models.get_model``."""
        models = self.require().models
        arguments = dict(options.arguments)
        if options.classes is not None:
            arguments["num_classes"] = options.classes

        def make(published: bool) -> Any:
            if published:
                return models.get_model(name, weights="DEFAULT", **arguments)
            if name == "VisionTransformer":
                return models.VisionTransformer(image_size=options.image, **arguments)
            sized = {"image_size": options.image} if name.startswith("vit_") else {}
            return models.get_model(name, weights=None, **sized, **arguments)

        model = self.weighted(name, options, self.near(name, models.list_models()), make)
        if not options.pretrained or options.weights:
            return Built(model, LEVELS.spec((options.image, options.image)))
        own = models.get_model_weights(name).DEFAULT.transforms()  # the publisher's own pipeline
        size = (own.crop_size[0], own.crop_size[0])
        prepared = _images.cropped(own.resize_size[0], size, own.interpolation.value)
        levels = _images.levels(1 / _images.TOP, own.mean, own.std, 3)
        return Built(model, levels.spec(size), preparation=prepared)


MEMBER = Torchvision()
