"""What a library of networks is: options, and a function from a name to a torch module with its input.

A member file binds ``MEMBER`` to an instance of :class:`Library`. The library itself is imported when a network is
built, and never runs code that comes with weights: these are read from safetensors, HDF5, or by torch's weights-only
reader.
"""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...errors import (
    EnvironmentProblem,
    ImportModelError,
    NeurodeployError,
    Problem,
    UsageError,
    first_line,
    unknown_name,
)
from ...registry import Member
from ..input_spec import InputSpec


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
    """How texts become the token ids that a network takes; of ``py:`` and ``.pt2`` models as of libraries."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokenizer: str = Field(
        default="", description="folder or file of the tokenizer; unset: that of a local hf: folder"
    )


def text_options(options: Mapping[str, Any]) -> TextOptions:
    """Checked options; UsageError ND120."""
    try:
        return TextOptions(**options)
    except ValidationError as error:
        raise UsageError([_problem("text", TextOptions, e) for e in error.errors()]) from error


@dataclass(frozen=True, eq=False)
class Built:
    """A module in evaluation mode that maps one input to one tensor.

    The raw levels of ``spec`` are pixels of 0 .. 255. ``inside`` is the attribute of the wrapper that holds the
    library's own module.
    """

    module: Any
    spec: InputSpec
    inside: str = ""


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

    def available(self) -> str:
        """Empty, or the reason why the library cannot be used here."""
        try:
            importlib.import_module(self.package)
        except Exception as error:  # a broken installation raises anything
            return f"{type(error).__name__}: {error}"
        return ""

    def installed(self) -> str:
        """The library with its version, or how to install it; it is not imported."""
        try:
            return f"{self.package} {version(self.package)}"
        except PackageNotFoundError:
            return f"not installed: pip install 'neurodeploy[{self.extra}]'"

    def require(self) -> Any:
        """The imported library; EnvironmentProblem ND115 where it is absent."""
        reason = self.available()
        if reason:
            raise EnvironmentProblem(
                Problem(
                    "ND115",
                    f"{self.package} is needed for models of the form {self.name}:NAME, and is not usable here",
                    self.package,
                    reason,
                    "",
                    (
                        f"pip install 'neurodeploy[{self.extra}]'",
                        "build the network in Python and give py:package.module:factory, or save it as .pt2",
                    ),
                )
            )
        return importlib.import_module(self.package)

    def configure(self, options: Mapping[str, Any]) -> LibraryOptions:
        """Checked options; UsageError ND120 for unknown keys, with the nearest names, and for wrong values."""
        try:
            return self.Options(**options)
        except ValidationError as error:
            raise UsageError([_problem(self.name, self.Options, e) for e in error.errors()]) from error


def _problem(reader: str, options: type[BaseModel], detail: Any) -> Problem:
    key = ".".join(str(part) for part in detail["loc"]) or "reader"
    if detail["type"] == "extra_forbidden":
        return unknown_name(
            "ND120", f"key of the {reader} reader", key, options.model_fields, f"reader.{key}"
        )
    cause = f"a key of the {reader} reader is wrong: {detail['msg']}"
    return Problem("ND120", cause, f"reader.{key}", found=repr(detail["input"])[:120])


@contextmanager
def constructing(where: str, fixes: tuple[str, ...] = ()) -> Iterator[None]:
    """Whatever a library raises while it builds an architecture becomes ImportModelError ND117."""
    try:
        yield
    except NeurodeployError:
        raise
    except Exception as error:
        raise ImportModelError(
            Problem("ND117", "the library cannot build this network", where, first_line(error), fixes=fixes)
        ) from error


@contextmanager
def fetching(where: str) -> Iterator[None]:
    """Whatever a library raises while it asks its hub for weights becomes ImportModelError ND116."""
    try:
        yield
    except Exception as error:
        raise ImportModelError(
            Problem(
                "ND116",
                "the weights cannot be had from the hub of the library",
                where,
                first_line(error),
                "a network, or weights on this machine",
                (
                    "give a local file: --set reader.weights=model.safetensors",
                    "of Hugging Face: give the folder that holds config.json and model.safetensors",
                    "random weights, to see whether it fits: --set reader.pretrained=false",
                ),
            )
        ) from error


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random weights that depend on the seed alone; the state of torch's generator stays as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
