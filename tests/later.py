"""Heavy libraries, and helpers built on them, imported when a test needs them: collecting the suite needs none."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

#: libraries that take seconds to import from a cold disk
HEAVY = frozenset({"lava", "onnx", "onnxruntime", "sklearn", "timm", "torch", "torchvision", "transformers"})


class Later:
    """Stands in for the module that ``load(name)`` gives, until it is asked for one of its public names.

    Private names are absent: pytest looks for marks of its own on everything that a test file holds.
    """

    def __init__(self, name: str, load: Callable[[str], ModuleType] = importlib.import_module) -> None:
        self._name, self._load = name, load

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._load(self._name), name)


def settle(tests: ModuleType) -> None:
    """Put the modules themselves where their stand-ins are, if ``tests`` has any: torch traces no stand-in.

    Lava stays as it is: it is not everywhere, takes seconds, and is in no traced function.
    """
    if not any(isinstance(value, Later) for value in vars(tests).values()):
        return
    helpers = [module for name, module in sys.modules.items() if name.startswith("tests.")]
    for module in (tests, *helpers):
        for name, value in list(vars(module).items()):
            if isinstance(value, Later) and not value._name.startswith("lava."):
                setattr(module, name, value._load(value._name))


if TYPE_CHECKING:
    import torch
    import transformers
    from safetensors import torch as safetensors
    from torch import Tensor, fx, nn
    from torch.nn import functional

    from neurodeploy.frontends import torch_export, torch_fx
    from tests import transformer_modules, unseen
    from tests.unit.frontends import modules
else:
    Tensor = Any  # stands in annotations alone
    torch, fx, nn = Later("torch"), Later("torch.fx"), Later("torch.nn")
    transformers = Later("transformers")
    functional, safetensors = Later("torch.nn.functional"), Later("safetensors.torch")
    torch_export = Later("neurodeploy.frontends.torch_export")
    torch_fx = Later("neurodeploy.frontends.torch_fx")
    transformer_modules, unseen = Later("tests.transformer_modules"), Later("tests.unseen")
    modules = Later("tests.unit.frontends.modules")
