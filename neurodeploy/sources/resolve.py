"""A MODEL string to a model: what it is called, what it defaults to, and how its source graph is made.

``digits-vit`` (zoo), ``py:package.module:factory`` (live torch code), ``timm:NAME`` and whatever else a member
of :mod:`neurodeploy.frontends.libraries` builds, ``file.pt2`` (torch.export), ``file.onnx``, ``file.net``
and whatever else a member of :mod:`neurodeploy.formats` reads, ``program.h5`` or a build folder (artifact).
Nothing here imports torch before a graph is asked for, and files of those formats never need it.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .. import extras, handed
from ..array import Array
from ..errors import ImportModelError, Problem, UsageError, configured, first_line, unknown_name
from ..files import digest
from ..formats._base import FORMATS, Format, Reader
from ..frontends.input_spec import InputSpec
from ..frontends.leaves import constructed
from ..frontends.libraries._base import LIBRARIES, Built, ExportOptions, PythonOptions, text_options
from ..frontends.proof.types import ImportCheck
from ..frontends.values import WholeSample
from ..ir.graph import Graph
from . import factories, shipped, zoo

if TYPE_CHECKING:
    from ..frontends.blocks import Live
    from ..frontends.proof.reference import Reference

Kind = Literal["zoo", "python", "handed", "library", "export", "format", "artifact"]

_WEIGHTS = "weights do not say how they are connected: build the network in Python and give py:package.module:factory"

#: what torch.export refuses a module for that torch.fx may take, such as one that notes a size in an attribute
_MAYBE_FX = {"ND104", "ND131"}

#: ticks of one inference where neither the model nor its user says
TICKS = 4

#: what is refused by its suffix, with what to do instead
FOREIGN = dict.fromkeys((".pt", ".pth", ".ckpt", ".safetensors"), (_WEIGHTS,))


@dataclass(frozen=True, eq=False)
class Loaded:
    """A source graph, and the module that it has to equal; None where a file is all that there is.

    ``check`` is what was compared with the module while it was in memory.
    """

    graph: Graph
    reference: Reference | Live | None = None
    check: ImportCheck | None = None


@dataclass(frozen=True)
class Model:
    """A model that was found but not loaded.

    ``readout`` of its graph, ``timesteps`` and ``method`` are defaults that a build may override; ``dataset`` may be
    empty. ``untrained``: its weights are random. ``convert`` holds options of the method, ``data_loader`` of the format
    of its data. ``encoder`` sends a still input. ``tokenizer`` (a folder, a file, or a name of the hub) makes token ids
    of texts.
    """

    name: str
    kind: Kind
    source: str
    loader: Callable[[], Loaded]
    system: str = ""
    title: str = ""
    dataset: str = ""
    method: str = ""
    timesteps: int = 1
    spiking: bool = False
    untrained: bool = False
    convert: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    tokenizer: str = ""
    data_loader: Mapping[str, Any] = field(default_factory=dict)
    encoder: str = ""

    @property
    def needs_data(self) -> bool:
        """Whether a build without data means nothing: not so for a file of another tool, and for random weights."""
        return self.kind != "format" and not self.untrained


@dataclass(frozen=True, eq=False)
class Asked:
    """A MODEL string with what its user says about the model; None where nothing is said."""

    text: str
    shape: tuple[int, ...] | None = None
    timesteps: int | None = None
    scale: float | Array | None = None
    offset: float | Array | None = None
    reader: Mapping[str, Any] = field(default_factory=dict)
    frames: int = 0

    @property
    def path(self) -> Path:
        """The string as a path."""
        return Path(self.text)

    def over(self, spec: InputSpec) -> InputSpec:
        """A spec with the raw levels that the user gives: one of the two without the other is 1 or 0."""
        if self.scale is None and self.offset is None:
            return spec
        scale, offset = 1.0 if self.scale is None else self.scale, 0.0 if self.offset is None else self.offset
        return replace(spec, scale=scale, offset=offset)


@dataclass(frozen=True)
class Resolver:
    """One kind of MODEL string: what it looks like, the model behind it, and whether it takes options of a reader."""

    matches: Callable[[Asked], bool]
    make: Callable[[Asked], Model]
    options: bool = True


def resolve(
    text: str,
    shape: tuple[int, ...] | None = None,
    timesteps: int | None = None,
    scale: float | Array | None = None,
    offset: float | Array | None = None,
    reader: Mapping[str, Any] | None = None,
    frames: int = 0,
) -> Model:
    """The model that a MODEL string names.

    ``shape`` (C, H, W), ``timesteps``, ``scale`` and ``offset`` complete a model that does not carry them (``py:``,
    ``.pt2`` and ``.onnx``); None is 1 and 0, or a library's own preparation where neither is given. ``reader`` holds
    options of a file format, a library, or of texts. ``frames``: the data have an image for each of so many ticks.
    Raises UsageError ND110 for a string that names nothing, ND120 for options that the reader does not know or that no
    reader takes, ImportModelError ND106, ND111, ND12x for a file or a factory that cannot be used.
    """
    asked = Asked(text, shape, timesteps, scale, offset, reader or {}, frames)
    found = next((resolver for resolver in RESOLVERS if resolver.matches(asked)), None)
    if asked.reader and not (found and found.options):
        raise UsageError(_no_reader(asked))
    if found is None:
        raise UsageError(_unknown(asked))
    return found.make(asked)


def source_graph(model: Model) -> Graph:
    """The source graph, imported anew, and not compared with anything."""
    return model.loader().graph


def formats() -> dict[str, tuple[Format, Reader]]:
    """Readable formats of whole networks, with their readers, by the suffix of their files."""
    return {f.suffix: (f, f.reader) for f in FORMATS.values() if f.reader is not None}


def _readable() -> str:
    return ", ".join((".pt2", ".onnx", *formats(), "program.h5"))


def _no_reader(asked: Asked) -> Problem:
    cause = "reader options are for files of other tools, and for models of optional libraries"
    found, fix = (
        f"{asked.text} with {', '.join(asked.reader)}",
        f"leave out --set reader.{next(iter(asked.reader))}",
    )
    suffixes = ", ".join(formats()) or "the suffix of a reader"
    limit = f"a file that ends in {suffixes}, or a model of {', '.join(LIBRARIES)}"
    return Problem("ND120", cause, "reader", found, limit, (fix,))


def _unknown(asked: Asked) -> Problem:
    text, path = asked.text, asked.path
    if path.suffix in FOREIGN:
        cause = f"a {path.suffix} file is not a model that can be read"
        return Problem("ND106", cause, text, path.suffix, _readable(), FOREIGN[path.suffix])
    if path.suffix == ".py" and path.is_file():
        cause = "a .py file is named as a module, with what in it builds the network"
        module = ".".join(path.with_suffix("").parts)
        made = [*factories.candidates(path)] or ["factory"]
        fixes = tuple(f"use py:{module}:{name}" for name in made[:3])
        return Problem("ND110", cause, text, ".py", "py:package.module:factory", fixes)
    if path.exists() or "/" in text or path.suffix:
        found = "nothing" if not path.exists() else "no model file"
        return _nothing_there(text, found, f"a build folder, or a file: {_readable()}")
    return unknown_name("ND110", "model", text, zoo.names())


def _nothing_there(where: str, found: str, wanted: str) -> Problem:
    return Problem("ND110", "no model at this path", where, found, wanted, ("check the path",))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


# --- networks in memory ------------------------------------------------------------------------------------------


def from_torch(
    module: Any,
    spec: InputSpec,
    name: str = "network",
    inside: str = "",
    call: Callable[[Any], Any] | None = None,
) -> Loaded:
    """A torch module in memory, traced as a spiking network where it has neurons, else exported; it stays as it was.

    One of blocks that hold integers writes these itself.

    ``inside`` is the attribute under which a wrapper holds the network, ``call`` how its user comes to the same result
    without the wrapper.
    """
    from ..frontends import blocks, guest
    from ..frontends.proof.reference import Reference

    if blocks.there(module):
        return Loaded(*blocks.import_module(module, spec, name))
    with guest.kept(module):
        graph = _traced(module, spec, name, inside)
    whole = graph.header.notes.get("whole_sample")
    return Loaded(graph, Reference(module, spec, whole=whole and WholeSample(**whole), call=call))


def _traced(module: Any, spec: InputSpec, name: str, inside: str) -> Graph:
    """The source graph by the front end for such modules."""
    from ..frontends import torch_export, torch_fx

    if not spec.tokens:
        if has_neurons(module):
            return torch_fx.import_module(module, spec, name)
        if (graph := torch_fx.import_remembering(module, spec, name)) is not None:
            return graph
    ways = [partial(torch_export.import_module, module, spec, name, inside)]
    if not (spec.tokens or inside):
        ways.append(partial(torch_fx.import_ann, module, spec, name))
    ways.append(partial(torch_export.import_module, module, spec, name, inside, run=True))
    errors: list[ImportModelError] = []
    for way in ways:
        try:
            return way()
        except ImportModelError as error:
            if not errors and not _codes(error) <= _MAYBE_FX:
                raise
            errors.append(error)
    # Who has met the operators says more.
    raise next((e for e in reversed(errors) if not _codes(e) <= _MAYBE_FX), errors[0]) from None


def _codes(error: ImportModelError) -> set[str]:
    return {problem.code for problem in error.problems}


def has_neurons(network: Any) -> bool:
    """Whether any submodule is a neuron of a known library, or derives from one."""
    from ..frontends.leaves import derives, leaf_of

    return any(leaf_of(module) is not None or derives(module) for module in network.modules())


# --- the zoo -----------------------------------------------------------------------------------------------------


def _zoo(asked: Asked) -> Model:
    entry = zoo.entry(asked.text)
    fingerprint = _digest(entry.model_dump_json(), entry.weights.sha256, _code(zoo.models_folder()))
    return Model(
        entry.name, "zoo", f"zoo:{entry.name}", partial(_from_zoo, entry),
        entry.system, entry.title, entry.dataset, entry.method, entry.timesteps, entry.kind == "snn",
        not entry.trained, entry.convert, fingerprint, data_loader=entry.loader,
        encoder=entry.input.encoder,
    )  # fmt: skip


def _from_zoo(entry: zoo.ZooEntry) -> Loaded:
    """The graph by torch, or the one that ships where torch is not installed; EnvironmentProblem ND115 without both."""
    if not extras.there("torch") and entry.trained and (found := shipped.load(entry)) is not None:
        graph, check = found
        return Loaded(graph, check=check)
    _need_torch(f"networks such as {entry.name}, of which no graph ships,")
    return by_torch(entry)


def by_torch(entry: zoo.ZooEntry) -> Loaded:
    """A network of the zoo, made by torch; raises as :func:`zoo.load`."""
    return from_torch(zoo.load(entry.name), entry.spec, entry.name)


def _need_torch(need: str) -> None:
    extras.require("torch", need, "give a network that needs none: .net, .nir, a trained one of the zoo")


def _code(folder: Path) -> str:
    """Digest of the Python files of a folder: editing a network changes its graph."""
    files = sorted(folder.glob("*.py"))
    return _digest(*(f"{f.name}\n{f.read_text(encoding='utf-8')}" for f in files))


# --- factories in Python -----------------------------------------------------------------------------------------


def _python(asked: Asked) -> Model:
    """``py:package.module:factory``: calling the factory yields a torch module; nothing is imported yet."""
    from ..frontends.doors import INSIDE, opened

    options = configured(PythonOptions, asked.reader, "ND120", "the reader of Python models", "reader")
    module, _, factory = asked.text[3:].partition(":")
    if not module or not factory:
        cause = "a Python model needs a module and a factory"
        raise UsageError(Problem("ND110", cause, asked.text, asked.text, "py:package.module:factory"))

    def load() -> Loaded:
        _need_torch("py: models")
        network = _built(module, factory, asked.text)
        spec = carried(network, asked)
        one = opened(network, spec.tokens, options.padding, options.output, asked.text)
        remark = _restored(network, one, spec, Path(options.weights)) if options.weights else None
        loaded = from_torch(one, spec, factory, "" if one is network else INSIDE)
        return replace(loaded, graph=_remarked(loaded.graph, remark)) if remark else loaded

    ticks = asked.timesteps or asked.frames or 1
    return Model(factory, "python", asked.text, load, timesteps=ticks, tokenizer=options.tokenizer)


def _restored(network: Any, one: Any, spec: InputSpec, weights: Path) -> Problem | None:
    """What was left out of a checkpoint that was loaded into a module; ImportModelError ND113, ND19x.

    ``one`` is the module as it is called, perhaps inside of another.
    """
    from ..frontends import _torch, blocks, doors, observed, torch_fx
    from ..frontends.libraries._weights import restore

    def reads() -> set[str] | None:
        if blocks.there(network):
            return observed.reads(network, [blocks.example(network, spec)])
        found = observed.reads(one, torch_fx.examples(_torch.prepared(one, spec), spec))
        inside = "" if one is network else f"{doors.INSIDE}."
        return found and {name.removeprefix(inside) for name in found}

    return restore(network, weights, reads)


def _remarked(graph: Graph, remark: Problem) -> Graph:
    """The graph with one more thing that its user is to be told."""
    remarks = [*graph.header.notes.get("remarks", ()), asdict(remark)]
    return graph.with_header(notes={**graph.header.notes, "remarks": remarks})


def carried(network: Any, asked: Asked) -> InputSpec:
    """The shape that the module carries, else that of the user's data; ImportModelError ND133 where there is none."""
    length = getattr(network, "input_tokens", None)
    if length is not None:
        return InputSpec((length,), tokens=True)
    shape = getattr(network, "input_shape", None) or asked.shape
    if shape is None:
        cause, module = (
            "the input shape of the model is not known",
            "set input_shape on the module, or input_tokens",
        )
        fixes = ("give the data set with --data", f"{module} if it takes token ids")
        raise ImportModelError(Problem("ND133", cause, asked.text, "none", "(C, H, W)", fixes))
    ticks = asked.timesteps or asked.frames or TICKS
    return asked.over(InputSpec(tuple(shape), timesteps=ticks, frames=asked.frames > 0))


def is_module(value: Any) -> bool:
    """Whether this is a torch module."""
    torch = sys.modules.get("torch")  # whoever holds a module has imported it
    return torch is not None and isinstance(value, torch.nn.Module)


def _built(module: str, factory: str, text: str) -> Any:
    """The torch module that a factory returns; ImportModelError ND111 with what went wrong."""
    if "" not in sys.path:
        sys.path.insert(0, "")  # a console script does not search the working folder
    try:
        network = constructed(lambda: getattr(importlib.import_module(module), factory)())
    except Exception as error:  # the user's own code may raise anything
        cause, line = "the factory cannot be called", factories.place_of(error)
        lacks = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
        fixes = (
            (f"install '{lacks}', or do not import it for the network",) if lacks and lacks != module else ()
        )
        where = f"{text}, {line}" if line else text
        said = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else first_line(error)
        raise ImportModelError(Problem("ND111", cause, where, said, factories.LIMIT, fixes)) from error
    if not is_module(network):
        cause, found = "the factory does not return a torch module", type(network).__name__
        raise ImportModelError(Problem("ND111", cause, text, found, "torch.nn.Module"))
    return network


# --- networks handed over in memory ------------------------------------------------------------------------------


def _handed(asked: Asked) -> Model:
    """A module that was in memory: its source graph, with what was compared with the module then."""
    from .. import artifact

    texts = text_options(asked.reader)
    saved = artifact.load(handed.place(asked.text), ("source", "provenance"))
    graph, told = saved.source, saved.provenance
    if graph is None:
        raise UsageError(Problem("ND952", "it holds no source graph", asked.text, limit="a source graph"))
    check, ticks = ImportCheck.parse(told.get("import_check")), graph.header.timesteps
    return Model(
        str(told.get("name", "")), "handed", asked.text, lambda: Loaded(graph, check=check), timesteps=ticks,
        tokenizer=texts.tokenizer,
    )  # fmt: skip


# --- networks of optional libraries ------------------------------------------------------------------------------


def _is_library(asked: Asked) -> bool:
    """``PREFIX:NAME``, or a folder of Hugging Face."""
    prefix, _, name = asked.text.partition(":")
    folder = (asked.path / "config.json").is_file() and not (asked.path / "program.h5").is_file()
    return folder or (prefix in LIBRARIES and bool(name))


def _from_library(asked: Asked) -> Model:
    """A network that an optional library builds, when the graph is asked for."""
    prefix, _, name = asked.text.partition(":")
    if prefix not in LIBRARIES or not name:
        prefix, name = "hf", asked.text
    library = LIBRARIES[prefix]
    chosen = library.configure(asked.reader)

    def load() -> Loaded:
        built = library.build(name, chosen)
        title = Path(name).name if Path(name).is_dir() else name
        loaded = from_torch(built.module, asked.over(built.spec), title, built.inside, built.reference)
        return replace(loaded, graph=_noted(loaded.graph, built))

    tokenizer = library.texts(name, chosen).tokenizer
    return Model(name, "library", asked.text, load, library.name, library.title, tokenizer=tokenizer)


def _noted(graph: Graph, built: Built) -> Graph:
    """The graph with what a user may want to know of a library's preparation."""
    said = {"preparation": built.preparation, "remarks": list(built.remarks)}
    return graph.with_header(
        notes={**graph.header.notes, **{key: text for key, text in said.items() if text}}
    )


# --- files -------------------------------------------------------------------------------------------------------


def _export(asked: Asked) -> Model:
    """A file of torch.export; read when the graph is asked for."""
    texts = configured(ExportOptions, asked.reader, "ND120", "the reader of .pt2 files", "reader")
    path = asked.path

    def load() -> Loaded:
        _need_torch(".pt2 files")
        from ..frontends import pt2, torch_export
        from ..frontends.doors import Door, listed
        from ..frontends.proof.reference import of_program

        program, spec = pt2.load(path), asked.over(InputSpec())
        door = Door(texts.padding, tuple(listed(texts.output)), tuple(listed(texts.inputs)))
        graph = torch_export.import_program(program, spec, path.stem, door=door)
        return Loaded(graph, of_program(program, spec, door))

    if not path.is_file():
        raise UsageError(_nothing_there(str(path), "nothing", "a .pt2 file"))
    levels = asked.over(InputSpec())
    fingerprint = _digest(digest(path), repr((levels.scale, levels.offset, texts)))
    return Model(path.stem, "export", str(path), load, fingerprint=fingerprint, tokenizer=texts.tokenizer)


def _onnx(asked: Asked) -> Model:
    """A file of ONNX; read when the graph is asked for."""
    from ..frontends.onnx import read

    texts = configured(ExportOptions, asked.reader, "ND120", "the reader of .onnx files", "reader")
    path, levels = asked.path, asked.over(InputSpec())

    def load() -> Loaded:
        _need_torch(".onnx files")
        from ..frontends.doors import Door, listed
        from ..frontends.onnx import import_file

        door = Door(texts.padding, tuple(listed(texts.output)), tuple(listed(texts.inputs)))
        return Loaded(*import_file(path, levels, asked.shape, door))

    if not path.is_file():
        raise UsageError(_nothing_there(str(path), "nothing", "a .onnx file"))
    held = (digest(file) for file in (path, *read.beside(path)))
    fingerprint = _digest(*held, repr((levels.scale, levels.offset, texts, asked.shape)))
    return Model(path.stem, "export", str(path), load, fingerprint=fingerprint, tokenizer=texts.tokenizer)


def _format(asked: Asked) -> Model:
    """A network in a file of another tool; read when the graph is asked for."""
    path = asked.path
    format, reader = formats()[path.suffix]
    chosen = format.configure(asked.reader)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise UsageError(_nothing_there(str(path), found, f"a {path.suffix} file"))
    fingerprint = _digest(digest(path), format.name, chosen.model_dump_json(), repr(asked.timesteps))

    def load() -> Loaded:
        return Loaded(reader.load(path, chosen, asked.timesteps))

    return Model(path.stem, "format", str(path), load, format.name, format.title, fingerprint=fingerprint)


def _is_artifact(asked: Asked) -> bool:
    return asked.path.name == "program.h5" or (asked.path / "program.h5").is_file()


def _artifact(asked: Asked) -> Model:
    """A built program: it holds no source graph any more; the pipeline starts from its later stages."""
    file = asked.path / "program.h5" if asked.path.is_dir() else asked.path
    if not file.is_file():
        raise UsageError(_nothing_there(str(file), "nothing", "program.h5"))

    def refuse() -> Loaded:
        cause, fixes = "a built program holds no source graph", ("give the model that it was built from",)
        raise ImportModelError(Problem("ND112", cause, str(file), "artifact", "a model", fixes))

    return Model(file.parent.name or file.stem, "artifact", str(file), refuse)


#: every kind of MODEL string; the first that matches is it
RESOLVERS = (
    Resolver(lambda asked: asked.text in zoo.names(), _zoo, options=False),
    Resolver(lambda asked: asked.text.startswith("py:"), _python),
    Resolver(lambda asked: handed.named(asked.text), _handed),
    Resolver(lambda asked: asked.path.suffix in formats(), _format),
    Resolver(_is_library, _from_library),
    Resolver(lambda asked: asked.path.suffix == ".pt2", _export),
    Resolver(lambda asked: asked.path.suffix == ".onnx", _onnx),
    Resolver(_is_artifact, _artifact, options=False),
)
