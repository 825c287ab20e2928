"""Flags that commands share, and those of single commands whose help is long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from .screen import Format

Option, Argument = typer.Option, typer.Argument
Text = str | None
Texts = list[str] | None
Whole = int | None
NoCheck = Annotated[
    bool, Option("--no-import-check", help="do not compare the import with the model; all numbers say so")
]
Shape = Annotated[Format, Option("--format", help="rich, plain or json; auto: rich on a terminal")]
Quiet = Annotated[bool, Option("-q", "--quiet", help="no progress")]
Verbose = Annotated[bool, Option("-v", "--verbose", help="more detail, and tracebacks of internal errors")]
ModelName = Annotated[
    Text, Argument(help="zoo name, file (.pt2, .onnx, .net, .nir), or py:package.module:factory")
]
Place = Annotated[Text, Option("--target", help="target name or .toml file (default: loihi-sim)")]
MethodName = Annotated[Text, Option("--method", help="conversion method, or auto (default: the model's own)")]
MaxLoss = Annotated[
    float | None,
    Option("--max-loss", help="percent of answers that the method found by auto may change (default: 1)"),
]
Ticks = Annotated[Whole, Option("--timesteps", "-T", help="ticks per inference")]
WeightBits = Annotated[Whole, Option("--weight-bits", help="2..8 (default: 8)")]
DataSpec = Annotated[Text, Option("--data", help="data set name, file or folder")]
BuildData = Annotated[
    str, Option("--data", help="data set name, file or folder (default: that of the build)")
]
Samples = Annotated[int, Option("--samples", min=1, help="test samples")]
COMPARED = "test samples (default: as many as there is time for, at most 100)"
Compared = Annotated[int | None, Option("--samples", min=1, help=COMPARED)]
Chips = Annotated[Whole, Option("--chips", help="chips (default: the target's own)")]
Streams = Annotated[
    Whole,
    Option("--streams", help="copies of each layer that take the tokens in turn (default: where needed)"),
]
Encoder = Annotated[
    Text,
    Option(
        "--encoder", help="a still input as spikes: rate, latency, delta or none (default: the model's own)"
    ),
]
Lookups = Annotated[
    Text, Option("--lookups", help="tables of token ids: on cores, or looked up by the host (default: cores)")
]
ConfigFile = Annotated[Path | None, Option("--config", help="TOML file; build.toml replays a build")]
Settings = Annotated[Texts, Option("--set", help="dotted.key=value, may repeat")]
TargetName = Annotated[str, Option("--target", help="target name or .toml file")]
Folder = Annotated[Path, Argument(help="a build folder, or its program.h5")]
Granularity = Annotated[
    str, Option("--granularity", help="one process per layer (default) or per mapped core")
]

#: of single commands, by what they choose
CALIB = "training samples for calibration (default: 256, 16 at the least for large networks; without data at most 32)"
Calib = Annotated[Whole, Option("--calib", help=CALIB)]
TESTED = "test samples for accuracy (default: all, without data at most 32)"
Tested = Annotated[Whole, Option("--eval", "--eval-samples", help=TESTED)]
VERIFIED = "samples for bit equality (default: 100, without data at most 16)"
Verified = Annotated[Whole, Option("--verify", help=VERIFIED)]
SECONDS = "seconds that verify and estimate may take each, unless samples are given (default: 300)"
TimeBudget = Annotated[float | None, Option("--time-budget", help=SECONDS)]
Optimise = Annotated[
    Text, Option("--optimise", help="energy, latency, edp, throughput or cores (default: energy)")
]
MaxCores = Annotated[Whole, Option("--max-cores", min=1, help="cores that may be used (default: all)")]
MaxLatency = Annotated[
    float | None, Option("--max-latency", help="milliseconds of an inference that are allowed, as expected")
]
LAID = "mapping file: layouts and cores of layers, such as mapping.toml of a build; the rest is found"
LaidOut = Annotated[Text, Option("--mapping", help=LAID)]
Out = Annotated[Text, Option("--out", help="output folder (default: build/MODEL-TARGET)")]
From = Annotated[str, Option("--from", help="first stage, from the artifact in the folder")]
RAW = (
    "raw integers as .npy: (samples, *input), or (samples, T, *input) with a frame for each tick; for a network of "
    "texts also ids (samples, tokens), or texts as .txt, .csv, .jsonl"
)
Raw = Annotated[Path, Option("--input", help=RAW)]
Outputs = Annotated[Path, Option("--output", help="accumulated read-outs (T, samples, *output) as .npy")]
RECORDED = (
    "a layer, or a state of its neurons (LAYER.v): values at every tick go into OUTPUT.LAYER.npy; may repeat"
)
Recorded = Annotated[Texts, Option("--record", help=RECORDED)]
Backends = Annotated[Texts, Option("--backend", help="may repeat (default: those that prove a build)")]
Carried = Annotated[
    Path | None, Option("--input", help="raw integers as .npy, for formats that carry samples or hold floats")
]
Drawn = Annotated[int | None, Option("--samples", min=1, help="without --input: samples of the build's data")]
DIFFER = "part of a layer's values in which written floats may differ from the integers (default: 0.05)"
Differ = Annotated[float | None, Option("--differ", min=0, max=1, help=DIFFER)]
PYTHON = "interpreter that has sanafe (default: $NEURODEPLOY_SANAFE_PYTHON, else this one)"
Python = Annotated[str, Option("--python", help=PYTHON)]
Layers = Annotated[Texts, Option("--layers", help="only populations of nodes that match, may repeat")]
Timing = Annotated[str, Option("--timing", help="SANA-FE's timing model: detailed, simple, cycle")]
Memory = Annotated[float | None, Option("--memory", min=0, help="GB that SANA-FE may take (default: 8)")]
TimeLimit = Annotated[
    float | None, Option("--time-limit", min=0, help="seconds that SANA-FE may take (default: 600)")
]

WHOLE = "samples, seeded and spread over the classes (default: the whole split)"
Spread = Annotated[int, Option("--samples", min=0, help=WHOLE)]
LEVEL = "network that answers: integer, or spiking and source in floats"
SCHEDULER = "address of a dask.distributed scheduler, whose workers run the batches"


@dataclass(frozen=True)
class Asked:
    """What was said of a network: ``flags`` as keys of a config, a config file, settings."""

    flags: dict[str, Any]
    config: Path | None
    settings: Sequence[str]


#: options of every command that takes a network; what is no key of a config is told as it is
NETWORK: dict[str, Any] = {
    "model": ModelName, "target": Place, "method": MethodName, "max_loss": MaxLoss, "timesteps": Ticks,
    "weight_bits": WeightBits, "data": DataSpec, "encoder": Encoder, "chips": Chips, "streams": Streams,
    "lookups": Lookups, "mapping": LaidOut, "config": ConfigFile, "settings": Settings,
}  # fmt: skip


def of_network(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of :data:`NETWORK` and ``--no-import-check``, told as its argument ``asked``."""

    def called(no_import_check: bool = False, **given: Any) -> None:
        flags = {name: given.pop(name) for name in NETWORK}
        config, settings = flags.pop("config"), flags.pop("settings") or ()
        flags["import_check"] = off(no_import_check)
        command(Asked(flags, config, settings), **given)

    word = Parameter.KEYWORD_ONLY
    shared = [Parameter(name, word, default=None, annotation=kind) for name, kind in NETWORK.items()]
    check = Parameter("no_import_check", word, default=False, annotation=NoCheck)
    own = [
        parameter.replace(kind=word)
        for name, parameter in signature(command, eval_str=True).parameters.items()
        if name != "asked"
    ]
    made = Signature([*shared, check, *own])
    called.__signature__ = made  # type: ignore[attr-defined]
    called.__annotations__ = {name: parameter.annotation for name, parameter in made.parameters.items()}
    called.__name__, called.__doc__ = command.__name__, command.__doc__
    return called


def off(flag: bool) -> bool | None:
    """A flag that turns something off: not given, it leaves what a config file says."""
    return False if flag else None
