"""A MODEL string to a model: what it is called, what it defaults to, and how its source graph is made.

``digits-vit`` (zoo), ``py:package.module:factory`` (live torch code), ``timm:NAME`` and whatever else a member
of :mod:`neurodeploy.frontends.libraries` builds, ``file.pt2`` (torch.export), ``file.net`` and whatever else a member
of :mod:`neurodeploy.formats` reads, ``program.h5`` or a build folder (artifact).
Nothing here imports torch before a graph is asked for, and files of those formats never need it.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import registry
from ..array import Array
from ..errors import ImportModelError, Problem, UsageError, first_line, unknown_name
from ..files import typed
from ..formats._base import Format, Reader
from ..frontends.libraries._base import Library, TextOptions, text_options
from ..ir.graph import Graph
from . import zoo

Kind = Literal["zoo", "python", "library", "export", "format", "artifact"]

_WEIGHTS = "weights do not say how they are connected: build the network in Python and give py:package.module:factory"

#: ticks of one inference where neither the model nor its user says
TICKS = 4

_EXPORT = "export the torch module itself with torch.export.save to a .pt2 file"
_FACTORY = "build the network in Python and give py:package.module:factory"

#: formats of whole networks whose readers are not part of this version, and what to do instead
UNREAD = {".onnx": (_EXPORT, _FACTORY)}

#: everything that is refused by its suffix, with what to do instead
FOREIGN = {**dict.fromkeys((".pt", ".pth", ".ckpt", ".safetensors"), (_WEIGHTS,)), **UNREAD}


@dataclass(frozen=True)
class Model:
    """A model that was found but not loaded.

    ``readout`` of its graph, ``timesteps`` and ``method`` are defaults that a build may override; ``dataset`` may be
    empty. ``convert`` holds options of the method. ``tokenizer`` (a folder, a file, or a name of the hub) makes token
    ids of texts. ``fingerprint`` changes whenever the source graph may
    change (empty: unknown, do not cache).
    """

    name: str
    kind: Kind
    source: str
    loader: Callable[[], Graph]
    system: str = ""
    title: str = ""
    dataset: str = ""
    method: str = ""
    timesteps: int = 1
    spiking: bool = False
    shape: tuple[int, ...] = ()
    convert: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    tokenizer: str = ""


def resolve(
    text: str,
    shape: tuple[int, ...] | None = None,
    timesteps: int | None = None,
    scale: float | Array | None = None,
    offset: float | Array | None = None,
    reader: Mapping[str, Any] | None = None,
) -> Model:
    """The model that a MODEL string names.

    ``shape`` (C, H, W), ``timesteps``, ``scale`` and ``offset`` complete a model that does not carry them (``py:`` and
    ``.pt2``); None is 1 and 0, or a library's own preparation where neither is given. ``reader`` holds options of a
    file format, a library, or of texts. Raises UsageError ND110 for a string that names nothing, ND120 for options that
    the reader does not know or that no reader takes, ImportModelError ND106, ND111, ND12x for a file or a factory that
    cannot be used.
    """
    path = Path(text)
    known = formats()
    factor, shift = 1.0 if scale is None else scale, 0.0 if offset is None else offset
    if path.suffix in known and text not in zoo.names() and not text.startswith("py:"):
        return _format(path, *known[path.suffix], timesteps, reader or {})
    library, name = _library(text, path)
    if library is not None:
        own = scale is None and offset is None
        return _from_library(library, name, text, None if own else (factor, shift), reader or {})
    torch_code = text not in zoo.names() and (text.startswith("py:") or path.suffix == ".pt2")
    if reader and not torch_code:
        raise UsageError(_no_reader(text, reader, known))
    options = text_options(reader or {})
    if text in zoo.names():
        return _zoo(text)
    if text.startswith("py:"):
        return _with_texts(_python(text, shape, timesteps, factor, shift), options)
    if path.suffix == ".pt2":
        return _with_texts(_export(path, factor, shift), options)
    if path.name == "program.h5" or (path / "program.h5").is_file():
        return _artifact(path)
    raise UsageError(_unknown(text, path))


def source_graph(model: Model) -> Graph:
    """The source graph, imported anew; callers cache it by ``model.fingerprint``."""
    return model.loader()


def formats() -> dict[str, tuple[Format, Reader]]:
    """Readable formats of whole networks, with their readers, by the suffix of their files."""
    return {f.suffix: (f, f.reader) for f in registry.FORMATS.values() if f.reader is not None}


def libraries() -> registry.Room[Library]:
    """Optional libraries of networks by their prefix; none of them is imported."""
    return registry.LIBRARIES


def _library(text: str, path: Path) -> tuple[Any, str]:
    """(library, name in it) of ``PREFIX:NAME`` or of a folder of Hugging Face; (None, "") for anything else."""
    prefix, colon, name = text.partition(":")
    if colon and prefix in libraries() and name:
        return libraries()[prefix], name
    if text not in zoo.names() and (path / "config.json").is_file() and not (path / "program.h5").is_file():
        return libraries()["hf"], text
    return None, ""


def _from_library(
    library: Any,
    name: str,
    text: str,
    levels: tuple[float | Array, float | Array] | None,
    options: Mapping[str, Any],
) -> Model:
    """A network that an optional library builds, when the graph is asked for.

    ``levels``: scale and offset of a pixel level; None: as the library's own preparation would have them.
    """
    chosen = library.configure(options)

    def load() -> Graph:
        from ..frontends import torch_export

        built = library.build(name, chosen)
        factor, shift = (built.scale, built.offset) if levels is None else levels
        title = Path(name).name if Path(name).is_dir() else name
        return torch_export.import_module(
            built.module, built.shape, title, factor, shift, tokens=built.tokens, inside=built.inside
        )

    model = Model(name, "library", text, load, system=library.name, title=library.title)
    return _with_texts(model, library.texts(name, chosen))


def _with_texts(model: Model, options: TextOptions) -> Model:
    return replace(model, tokenizer=options.tokenizer)


def _readable() -> str:
    return ", ".join((".pt2", *formats(), "program.h5"))


def _no_reader(text: str, reader: Mapping[str, Any], known: Mapping[str, Any]) -> Problem:
    return Problem(
        "ND120",
        "reader options are for files of other tools, and for models of optional libraries",
        "reader",
        f"{text} with {', '.join(reader)}",
        f"a file that ends in {', '.join(known) or 'the suffix of a reader'}, or a model of {', '.join(libraries())}",
        (f"leave out --set reader.{next(iter(reader))}",),
    )


def _unknown(text: str, path: Path) -> Problem:
    if path.suffix in FOREIGN:
        why = "read by this version yet" if path.suffix in UNREAD else "a model that can be read"
        return Problem(
            "ND106",
            f"a {path.suffix} file is not {why}",
            text,
            path.suffix,
            _readable(),
            FOREIGN[path.suffix],
        )
    if path.exists() or "/" in text or path.suffix:
        return Problem(
            "ND110",
            "no model at this path",
            text,
            "nothing" if not path.exists() else "no model file",
            f"a build folder, or a file: {_readable()}",
            ("check the path",),
        )
    return unknown_name("ND110", "model", text, zoo.names())


def _zoo(name: str) -> Model:
    entry = zoo.entry(name)
    fingerprint = _digest(
        entry.model_dump_json(), entry.weights.sha256, _sources(zoo.models_folder()), _version()
    )
    return Model(
        name,
        "zoo",
        f"zoo:{name}",
        lambda: _zoo_graph(entry),
        entry.system,
        entry.title,
        entry.dataset,
        entry.method,
        entry.timesteps,
        entry.kind == "snn",
        entry.input.shape,
        entry.convert,
        fingerprint,
    )


def _zoo_graph(entry: zoo.ZooEntry) -> Graph:
    scale, offset = np.array(entry.input.scale), np.array(entry.input.offset)
    return from_torch(
        zoo.load(entry.name),
        entry.input.shape,
        entry.kind == "snn",
        entry.name,
        entry.timesteps,
        scale,
        offset,
        entry.readout,
    )


def from_torch(
    module: Any,
    shape: tuple[int, ...],
    spiking: bool,
    name: str = "network",
    timesteps: int = 1,
    scale: float | Array = 1.0,
    offset: float | Array = 0.0,
    readout: str = "mean",
) -> Graph:
    """The source graph of a torch module in memory, traced as a spiking network or exported as an ANN."""
    if spiking:
        from ..frontends import torch_fx

        return torch_fx.import_module(module, shape, timesteps, name, scale, offset, readout)
    from ..frontends import torch_export

    return torch_export.import_module(module, shape, name, scale, offset)


def _sources(folder: Path) -> str:
    """Digest of the Python files of a folder: editing a network changes its graph."""
    files = sorted(folder.glob("*.py"))
    return _digest(*(f"{f.name}\n{f.read_text(encoding='utf-8')}" for f in files))


def _version() -> str:
    """Digest of this room, whose code decides what a model becomes."""
    here = Path(__file__).parent.parent / "frontends"
    return _digest(*(_sources(folder) for folder in (here, here / "ops", here / "leaves")))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _python(
    text: str,
    shape: tuple[int, ...] | None,
    timesteps: int | None,
    scale: float | Array,
    offset: float | Array,
) -> Model:
    """``py:package.module:factory``: calling the factory yields a torch module; nothing is imported yet."""
    module, _, factory = text[3:].partition(":")
    if not module or not factory:
        raise UsageError(
            Problem(
                "ND110",
                "a Python model needs a module and a factory",
                text,
                text,
                "py:package.module:factory",
            )
        )

    def load() -> Graph:
        network = _built(module, factory, text)
        length = getattr(network, "input_tokens", None)
        if length is not None:
            from ..frontends import torch_export

            return torch_export.import_module(network, (length,), factory, tokens=True)
        wanted = getattr(network, "input_shape", None) or shape
        if wanted is None:
            raise ImportModelError(
                Problem(
                    "ND103",
                    "the input shape of the model is not known",
                    text,
                    "none",
                    "(C, H, W)",
                    (
                        "give the data set with --data",
                        "set input_shape on the module, or input_tokens if it takes token ids",
                    ),
                )
            )
        return from_torch(
            network, tuple(wanted), has_neurons(network), factory, timesteps or TICKS, scale, offset
        )

    return Model(factory, "python", text, load, shape=tuple(shape or ()), timesteps=timesteps or 1)


def _built(module: str, factory: str, text: str) -> Any:
    """The torch module that a factory returns; ImportModelError ND111 with what went wrong."""
    import torch

    if "" not in sys.path:
        sys.path.insert(0, "")  # a console script does not search the working folder
    try:
        network = getattr(importlib.import_module(module), factory)()
    except Exception as error:  # the user's own code may raise anything
        raise ImportModelError(
            Problem(
                "ND111",
                "the factory cannot be called",
                text,
                first_line(error),
                "a function without arguments that returns a torch module",
            )
        ) from error
    if not isinstance(network, torch.nn.Module):
        raise ImportModelError(
            Problem(
                "ND111",
                "the factory does not return a torch module",
                text,
                type(network).__name__,
                "torch.nn.Module",
            )
        )
    return network


def has_neurons(network: Any) -> bool:
    """Whether any submodule is a neuron of a known library."""
    from ..frontends.leaves import leaf_of

    return any(leaf_of(module) is not None for module in network.modules())


def _export(path: Path, scale: float | Array, offset: float | Array) -> Model:
    """A file of torch.export; read when the graph is asked for."""

    def load() -> Graph:
        from ..frontends import pt2, torch_export

        return torch_export.import_program(pt2.load(path), path.stem, scale, offset)

    if not path.is_file():
        raise UsageError(
            Problem(
                "ND110", "no model at this path", str(path), "nothing", "a .pt2 file", ("check the path",)
            )
        )
    fingerprint = _digest(hashlib.sha256(path.read_bytes()).hexdigest(), repr((scale, offset)), _version())
    return Model(path.stem, "export", str(path), load, fingerprint=fingerprint)


def _format(
    path: Path, format: Format, reader: Reader, timesteps: int | None, options: Mapping[str, Any]
) -> Model:
    """A network in a file of another tool; read when the graph is asked for."""
    chosen = format.configure(options)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise UsageError(
            Problem(
                "ND110",
                "no model at this path",
                str(path),
                found,
                f"a {path.suffix} file",
                ("check the path",),
            )
        )
    here = Path(__file__).parent.parent
    fingerprint = _digest(
        _content(path), format.name, chosen.model_dump_json(), repr(timesteps), _sources(here / "formats" / "_hdf5"),
        _sources(here / "formats" / format.name), _sources(here / "ir"), _sources(here / "neurons"),
    )  # fmt: skip
    return Model(
        path.stem,
        "format",
        str(path),
        lambda: reader.load(path, chosen, timesteps),
        system=format.name,
        title=format.title,
        fingerprint=fingerprint,
    )


def _content(path: Path) -> str:
    """Digest of a file, read piece by piece; EnvironmentProblem where it cannot be read."""
    digest = hashlib.sha256()
    with typed(path), path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _artifact(path: Path) -> Model:
    """A built program: it holds no source graph any more; the pipeline starts from its later stages."""
    file = path / "program.h5" if path.is_dir() else path
    if not file.is_file():
        raise UsageError(
            Problem("ND110", "no model at this path", str(file), "nothing", "program.h5", ("check the path",))
        )

    def refuse() -> Graph:
        raise ImportModelError(
            Problem(
                "ND112",
                "a built program holds no source graph",
                str(file),
                "artifact",
                "a model",
                ("give the model that it was built from",),
            )
        )

    return Model(file.parent.name or file.stem, "artifact", str(file), refuse)
