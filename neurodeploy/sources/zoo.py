"""The systems that ship with neurodeploy: one TOML file per model, its torch module and its trained weights.

Names and entries are read without torch; only :func:`load` and :func:`build` import it.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .. import bundled
from ..errors import ImportModelError, Problem, UsageError, unknown_name
from ..frontends.input_spec import InputSpec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    import torch

    from ..datasets import DataSet

Tensor = TypeVar("Tensor")
#: The name under which the folder of the models is imported, wherever it lies.
PACKAGE = "neurodeploy_models"
#: how a network may be trained without labels, before it is trained for its data
Objective = Literal["masked", "random-replacement", "all-outputs"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
#: the folder of weights that are in checkouts and source archives, and for their size not in wheels
APART = "apart"
#: noise from which batch norms of networks with random weights take their means and variances
IMAGES = 2


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelTable(_Table):
    """Which module of ``models/`` builds the network, and with what."""

    module: str = Field(pattern=r"^[a-z_][a-z0-9_]*$")
    factory: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    arguments: dict[str, Any] = {}


class InputTable(_Table):
    """What the network sees of a pixel p of channel c: ``p * scale[c] + offset[c]``.

    ``shape`` is (C, H, W); (V,) of tokens that come one by one. With ``frames`` the data have an image for each tick.
    ``encoder``: a still image is sent by these neurons.
    """

    shape: tuple[int, ...] = Field(min_length=1)
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    frames: bool = False
    encoder: str = ""

    def apply(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Pixels (N, C, H, W) as the network sees them, float32."""
        axes = (-1,) + (1,) * (len(self.shape) - 1)
        scale, offset = (np.array(v, np.float32).reshape(axes) for v in (self.scale, self.offset))
        seen: NDArray[np.float32] = pixels.astype(np.float32) * scale + offset
        return seen

    def noise(self, count: int, seed: int) -> NDArray[np.float32]:
        """Random images (count, C, H, W) as the network sees them, of pixels over the whole range that it expects."""
        pixels = np.random.Generator(np.random.PCG64(seed)).random((count, *self.shape))
        return self.apply(np.round(pixels * round(1 / min(self.scale))))

    @field_validator("scale", "offset", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, (int, float)) else value

    @model_validator(mode="after")
    def _one_per_channel(self) -> InputTable:
        if {len(self.scale), len(self.offset)} - {1, self.shape[0]}:
            raise ValueError(f"scale and offset hold one number, or one for each of {self.shape[0]} channels")
        return self


class WeightsTable(_Table):
    """The trained weights, and what they reached on the test split when they were written; no file: random ones."""

    file: str = ""
    sha256: str = ""
    accuracy: float = Field(default=0.0, ge=0.0, le=1.0)
    correct: int = Field(default=0, ge=0)
    tested: int = Field(default=0, ge=0)
    parameters: int = Field(default=0, ge=0)
    bits: float = Field(
        default=0.0, ge=0.0, description="bits per token of the test split, of sequence models"
    )
    psnr_db: float | None = Field(
        default=None, description="of images beside the true ones of the test split"
    )

    @property
    def result(self) -> str:
        """Test images that were classified as they should be, how near to the truth images are, or no training."""
        if not self.file:
            return "random weights"
        if self.psnr_db is not None:
            return f"PSNR {self.psnr_db:.1f} dB of {self.tested} images"
        if not self.correct:
            return "images without a truth"
        bits = f", {self.bits:.3f} bits each" if self.bits else ""
        return f"{self.correct} of {self.tested} ({100 * self.accuracy:.1f} %{bits})"


class TrainTable(_Table):
    """Everything that decides the weights besides the model and the data."""

    seed: int = Field(default=0, description="of weights, order, held-out images and changes of images")
    epochs: int = Field(default=100, ge=1, description="passes over the training samples")
    batch: int = Field(default=64, ge=1, description="samples per step")
    learning_rate: float = Field(
        default=1e-3, gt=0, description="largest one; it ends at 0, by half a cosine"
    )
    warmup_epochs: int = Field(default=5, ge=0, description="epochs in which the rate rises to it")
    weight_decay: float = Field(default=0.05, ge=0, description="of matrices and kernels alone, by AdamW")
    label_smoothing: float = Field(
        default=0.1, ge=0, lt=1, description="share of a label that all classes share"
    )
    clip_norm: float = Field(default=1.0, gt=0, description="largest norm of a step's gradient")
    average: float = Field(
        default=0.0, ge=0, lt=1, description="decay of the weights' moving average, which is saved; 0: none"
    )
    validation: float = Field(default=0.0, ge=0, lt=1, description="share of the training images held out")
    shift: float = Field(default=0.0, ge=0, description="largest shift, pixels")
    rotate: float = Field(default=0.0, ge=0, description="largest rotation, degrees")
    zoom: float = Field(default=0.0, ge=0, lt=1, description="largest relative change of size")
    noise: float = Field(default=0.0, ge=0, description="standard deviation, pixel levels")
    flip: bool = Field(default=False, description="half of the images mirrored")
    crop: int = Field(default=0, ge=0, description="largest shift by whole pixels")
    start: str = Field(default="", description="model of the zoo whose weights training begins with")
    levels: int = Field(
        default=0, ge=0, description="half the counts of the network's quantisers; 0: it has none"
    )
    init: Literal["mse", "entropy", "midway"] = Field(
        default="mse", description="how steps of quantisers start, as in `--method pmsm`"
    )
    objective: Objective | Literal[""] = Field(default="", description="of the training before; empty: none")
    pretrain_epochs: int = Field(default=0, ge=0, description="passes without labels, before the others")
    real: str = Field(default="", description="data set whose images a generator's are to look like")
    channels_last: bool = Field(
        default=False, description="memory layout of kernels and images: faster for wide convolutions"
    )
    one_tick_epochs: int = Field(
        default=0, ge=0, description="epochs at the beginning in which a spiking network sees one tick"
    )
    bfloat16: bool = Field(
        default=False,
        description="products and convolutions of training in bfloat16; weights and tests in float32",
    )


class ZooEntry(_Table):
    """One model of the zoo, as its TOML file describes it.

    ``kind``: a network without time, one of spiking neurons that sees the same image at every tick, or one of tokens
    that are ticks, whose ``timesteps`` are its context.
    """

    name: str
    title: str
    system: str
    attention: str = ""
    neuron: str = ""
    dataset: str = ""
    method: str
    kind: Literal["ann", "snn", "sequence"]
    timesteps: int = Field(ge=1)
    readout: Literal["mean", "last"] = "mean"
    model: ModelTable
    input: InputTable
    weights: WeightsTable = WeightsTable()
    train: TrainTable = TrainTable()
    convert: dict[str, Any] = {}
    loader: dict[str, Any] = {}

    @property
    def spec(self) -> InputSpec:
        """How the network is fed and read."""
        scale, offset = np.array(self.input.scale), np.array(self.input.offset)
        frames = self.input.frames or self.kind == "sequence"
        return InputSpec(self.input.shape, scale, offset, False, self.timesteps, self.readout, frames)

    @property
    def trained(self) -> bool:
        """Whether there are weights of our own training."""
        return bool(self.weights.file)

    @property
    def weights_path(self) -> Path:
        """Where the weights lie on this machine."""
        return models_folder() / self.weights.file


def models_folder() -> Path:
    """The folder that holds the TOML files, the modules and the weights."""
    return bundled.path("models")


def names() -> tuple[str, ...]:
    """All models of the zoo, sorted."""
    return tuple(sorted(p.stem for p in models_folder().glob("*.toml")))


def entry(name: str) -> ZooEntry:
    """The description of one model.

    Raises UsageError: ND908 for an unknown name (with the nearest known ones), ND909 for a file that breaks
    the schema.
    """
    if name not in names():
        raise UsageError(unknown_name("ND908", "model", name, names()))
    return read_entry(models_folder() / f"{name}.toml")


def read_entry(path: Path) -> ZooEntry:
    """The description in any file of the zoo's format; UsageError with every problem of the file at once."""
    try:
        return ZooEntry.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problem = Problem("ND909", "the model file cannot be read", str(path), found=str(error))
        raise UsageError(problem) from error
    except ValidationError as error:
        raise UsageError([_schema_problem(path, detail) for detail in error.errors()]) from error


def _schema_problem(path: Path, detail: Any) -> Problem:
    keys = [str(part) for part in detail["loc"]]
    where = f"{path}: {'.'.join(keys)}"
    if detail["type"] == "extra_forbidden":
        return unknown_name("ND909", "key", keys[-1], _known_keys(keys[:-1]), where)
    cause = f"a key of the model file is wrong: {detail['msg']}"
    return Problem("ND909", cause, where, found=repr(detail["input"]))


def _known_keys(parents: list[str]) -> list[str]:
    table: Any = ZooEntry
    for key in parents:
        table = table.model_fields[key].annotation
    return list(table.model_fields)


def dataset(name: str) -> DataSet:
    """The data set that a model of the zoo was trained and tested on."""
    from .. import datasets

    described = entry(name)
    return datasets.load(described.dataset, described.loader)


@lru_cache(maxsize=1)
def package() -> ModuleType:
    """The folder of the models as the package ``neurodeploy_models``.

    It has no ``__init__.py``: in a checkout it would be in front of a user's folder ``models`` that has none.
    """
    folder = models_folder()
    if not folder.is_dir():
        cause = "the modules of the zoo are not installed"
        raise ImportModelError([Problem("ND191", cause, str(folder), fixes=("install neurodeploy again",))])
    module = ModuleType(PACKAGE)
    module.__path__ = [str(folder)]
    sys.modules[PACKAGE] = module
    return module


def submodule(name: str) -> ModuleType:
    """One module of the zoo, such as ``vit`` or ``spiking``."""
    package()
    return importlib.import_module(f"{PACKAGE}.{name}")


def build(described: ZooEntry) -> torch.nn.Module:
    """The network with fresh weights; ImportModelError ND190 when module, factory or arguments do not fit."""
    table = described.model
    try:
        network: torch.nn.Module = getattr(submodule(table.module), table.factory)(**table.arguments)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        where = f"{described.name}.toml: model {table.module}.{table.factory}"
        raise ImportModelError(Problem("ND190", "the network cannot be built", where, str(error))) from error
    return network


def load(name: str) -> torch.nn.Module:
    """The network in eval mode, trained or with seeded random weights; spiking ones take one tick a call, from rest.

    Raises ImportModelError: ND190 when it cannot be built, ND191 for weights that are missing, ND192 for a
    damaged file, ND193 for tensors that do not fit the network, ND194 for NaN or infinite values.
    """
    described = entry(name)
    if not described.trained:
        return _random(described).eval()
    network = build(described)
    load_weights(network, described.weights_path, described.weights.sha256)
    return network.eval()


def _random(described: ZooEntry) -> torch.nn.Module:
    """A network as it is before training, but for its batch norms: they have seen noise, so that neurons fire."""
    import torch

    with torch.random.fork_rng(devices=()), torch.no_grad():
        torch.manual_seed(described.train.seed)
        network = build(described).train()
        norms = [m for m in network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
        if not norms:
            return network
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = None  # a plain mean
        noise = torch.from_numpy(described.input.noise(IMAGES, described.train.seed))
        if described.kind == "snn":
            submodule("spiking").run(network, noise, 1)
            submodule("spiking").set_step_mode(network, "s")
        else:
            network(noise)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    return network


def load_weights(network: torch.nn.Module, path: Path, sha256: str = "") -> None:
    """Fill a network from a safetensors file; ``sha256`` is compared when given. Raises as :func:`load`."""
    from safetensors.torch import load as parse

    fill(network, weights_read(path, sha256, parse), path)


def fill(network: torch.nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Give a network its tensors, all or none; ``path`` is where they come from. ImportModelError ND193, ND194."""
    problems = _misfits(network, tensors, path)
    if problems:
        raise ImportModelError(problems)
    network.load_state_dict(tensors)


def weights_read(path: Path, sha256: str, parse: Callable[[bytes], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of a safetensors file, as ``parse`` makes them; ImportModelError ND191, ND192."""
    from safetensors import SafetensorError

    fix = f"train them: python models/train.py {path.stem}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImportModelError(_absent(path, str(error), fix)) from error
    found = hashlib.sha256(content).hexdigest()
    if sha256 and found != sha256:
        cause = "the weights are not those that the model file records"
        raise ImportModelError([Problem("ND192", cause, str(path), found, sha256, (fix,))])
    try:
        return parse(content)
    except (SafetensorError, ValueError, KeyError) as error:
        cause = "the weights are not a whole safetensors file"
        raise ImportModelError(Problem("ND192", cause, str(path), str(error), fixes=(fix,))) from error


def _absent(path: Path, found: str, fix: str) -> Problem:
    cause = "the weights of the model cannot be read"
    if path.parent.name != APART:
        return Problem("ND191", cause, str(path), found, fixes=(fix,))
    cause = "the weights of the model are too large for an installed package, and were left out of it"
    copy = f"copy models/weights/{APART}/{path.name} of neurodeploy's repository or source archive to {path}"
    return Problem("ND191", cause, str(path), found, fixes=(copy, fix))


def _misfits(network: torch.nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> list[Problem]:
    import torch

    expected = network.state_dict()
    problems = [
        Problem("ND193", "a tensor of the network has no weights", str(path), "missing", key)
        for key in expected.keys() - tensors.keys()
    ]
    for key, value in tensors.items():
        if key not in expected:
            problems.append(unknown_name("ND193", "tensor", key, expected, str(path)))
        elif value.shape != expected[key].shape:
            found, limit = str(tuple(value.shape)), str(tuple(expected[key].shape))
            problems.append(Problem("ND193", f"tensor {key!r} has the wrong shape", str(path), found, limit))
        elif not torch.isfinite(value).all():
            cause, count = f"tensor {key!r} holds NaN or infinity", int((~torch.isfinite(value)).sum())
            problems.append(Problem("ND194", cause, str(path), f"{count} values", "0 values"))
    return problems
