"""What a library of networks is: options, and a function from a name to a torch module with its input.

A member file binds ``MEMBER`` to an instance of :class:`Library`. The library itself is imported when a network is
built, and never runs code that comes with weights: these are read from safetensors, HDF5, or by
our own reader of torch's checkpoints.
"""

from __future__ import annotations

import difflib
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ... import extras
from ...errors import ImportModelError, NeurodeployError, Problem, configured, first_line
from ...registry import Member, Room
from .. import tensors
from ..input_spec import InputSpec
from ._weights import fill

RANDOM = "random weights, to see whether it fits: --set reader.pretrained=false"


class LibraryOptions(BaseModel):
    """What every library takes from the table ``reader``; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pretrained: bool = Field(True, description="weights of the publisher; false: random ones")
    weights: str = Field("", description="local file of weights: .safetensors, .h5, .pt, .pth or .bin")
    seed: int = Field(0, ge=0, description="of random weights")
    arguments: dict[str, Any] = Field(
        {}, description="settings of the architecture, as its library names them"
    )


class TextOptions(BaseModel):
    """How texts become the token ids that a network takes; of ``py:``, ``.pt2``, ``.onnx`` as of libraries."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokenizer: str = Field(
        default="", description="folder or file of the tokenizer; unset: that of a local hf: folder"
    )


class ModuleOptions(TextOptions):
    """What modules of a user take, and files of them: which result is read, what texts are filled up with."""

    output: str = Field(
        default="",
        description="of several results the one that is read, by its name or number; several with commas between",
    )
    padding: int | None = Field(
        default=None,
        ge=0,
        description="token that fills texts up, of which the attention mask of the module is made",
    )


class ExportOptions(ModuleOptions):
    """What ``.pt2`` and ``.onnx`` files take from the table ``reader``."""

    inputs: str = Field(
        default="",
        description="names of the inputs in order, such as input_ids,attention_mask, where the file has others",
    )


class PythonOptions(ModuleOptions):
    """What ``py:`` models take from the table ``reader``."""

    weights: str = Field(
        default="",
        description="local checkpoint whose tensors have the names of the module's; unset: as it is made",
    )


def text_options(options: Mapping[str, Any]) -> TextOptions:
    """Checked options; UsageError ND120."""
    return configured(TextOptions, options, "ND120", "the text reader", "reader")


@dataclass(frozen=True, eq=False)
class Built:
    """A module in evaluation mode that maps one input to one tensor.

    The raw levels of ``spec`` are pixels of 0 .. 255. ``inside`` is the attribute of the wrapper that holds the
    library's own module.

    ``reference`` is the library's own way to the same result without the wrapper, from what the module takes; None
    where there is no wrapper. ``preparation`` says what the library would do to rows and columns of an image of the
    network's size; ``remarks``, as ``place: text``, what is worth knowing.
    """

    module: Any
    spec: InputSpec
    inside: str = ""
    reference: Callable[[Any], Any] | None = None
    preparation: str = ""
    remarks: tuple[str, ...] = ()


class Library(Member):
    """One optional library; stateless object, discovered by its file. Its name is the prefix of its models."""

    #: the package to import, and the extra of neurodeploy that installs it
    package: str
    extra: str
    title: str
    Options: type[LibraryOptions] = LibraryOptions

    @abstractmethod
    def build(self, name: str, options: Any) -> Built:
        """The network of that name; ImportModelError ND116, ND117, ND19x."""

    def texts(self, name: str, options: Any) -> TextOptions:
        """How texts become token ids; a library of image networks has nothing to say."""
        return TextOptions()

    def installed(self) -> str:
        """The library with its version, or how to install it; it is not imported."""
        try:
            return f"{self.package} {version(self.package)}"
        except PackageNotFoundError:
            return f"not installed: {extras.command(self.extra)}"

    def require(self) -> Any:
        """The imported library; EnvironmentProblem ND115 where it is absent."""
        extras.require("torch", f"models of the form {self.name}:NAME")
        other = "build the network in Python and give py:package.module:factory, or save it as .pt2"
        return extras.require(self.extra, f"models of the form {self.name}:NAME", other, package=self.package)

    def configure(self, options: Mapping[str, Any]) -> LibraryOptions:
        """Checked options; UsageError ND120 for unknown keys, with the nearest names, and for wrong values."""
        return configured(self.Options, options, "ND120", f"the {self.name} reader", "reader")

    def near(self, name: str, known: Collection[str]) -> tuple[str, ...]:
        """Models whose names look like one that is not known."""
        close = [] if name in known else difflib.get_close_matches(name, known, 3)
        return tuple(f"{self.name}:{n}" for n in close)

    def weighted(self, name: str, options: Any, near: tuple[str, ...], make: Callable[[bool], Any]) -> Any:
        """The module that ``make`` yields, with the publisher's weights (True), random ones, or those of a file."""
        where = f"{self.name}:{name}"
        with constructing(where, near), seeded(options.seed):
            model = make(False)
        if options.weights:
            fill(model, Path(options.weights))
        elif options.pretrained:
            with fetching(where):
                model = make(True)
        return model.eval()


@contextmanager
def constructing(where: str, fixes: tuple[str, ...] = ()) -> Iterator[None]:
    """Whatever a library raises while it builds an architecture becomes ImportModelError ND117."""
    try:
        yield
    except NeurodeployError:
        raise
    except Exception as error:
        cause = "the library cannot build this network"
        raise ImportModelError(Problem("ND117", cause, where, first_line(error), fixes=fixes)) from error


@contextmanager
def fetching(where: str) -> Iterator[None]:
    """Whatever a library raises while it asks its hub for weights becomes ImportModelError ND116.

    Of what it gets, torch's own reader loads no TorchScript.
    """
    try:
        with tensors.without_scripts():
            yield
    except Exception as error:
        cause, limit = (
            "the weights cannot be had from the hub of the library",
            "a network, or weights on this machine",
        )
        fixes = (
            "give a local file: --set reader.weights=model.safetensors",
            "of Hugging Face: give the folder that holds config.json and model.safetensors",
            RANDOM,
        )
        raise ImportModelError(Problem("ND116", cause, where, first_line(error), limit, fixes)) from error


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random weights that depend on the seed alone; the state of torch's generator stays as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


LIBRARIES = Room("frontends.libraries", Library)
