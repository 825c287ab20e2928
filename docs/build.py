"""Fills the generated parts of README.md and docs/*.md from the code; ``--check`` only says which are stale.

    make docs

A part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``; NAME is a key of :data:`PARTS`. What is written
around it by hand stays.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [
    str(ROOT),
    str(ROOT / "benchmarks"),
]  # so that it also runs where the package is not installed

import library_models as libraries_benchmark  # noqa: E402
import methods as methods_benchmark  # noqa: E402
import onnx_models as onnx_benchmark  # noqa: E402
import validation as validation_benchmark  # noqa: E402

from neurodeploy import codes, cost, registry, support, target, target_schema  # noqa: E402
from neurodeploy.backends._base import BACKENDS  # noqa: E402
from neurodeploy.convert._base import METHODS  # noqa: E402
from neurodeploy.cost import audit, counts, energy, latency, paper  # noqa: E402
from neurodeploy.cost.ann import BASELINE, RATIO  # noqa: E402
from neurodeploy.datasets._base import DATASETS  # noqa: E402
from neurodeploy.datasets._events import EventOptions  # noqa: E402
from neurodeploy.datasets.recordings._base import RECORDINGS  # noqa: E402
from neurodeploy.encoders import ENCODERS  # noqa: E402
from neurodeploy.formats._base import FORMATS  # noqa: E402
from neurodeploy.formats.nir.tools import TOOLS  # noqa: E402
from neurodeploy.frontends import lower  # noqa: E402
from neurodeploy.frontends.leaves._base import LEAVES  # noqa: E402
from neurodeploy.ir.micro_op import MICROCODE  # noqa: E402
from neurodeploy.ir.neuron_model import NEURONS  # noqa: E402
from neurodeploy.mapping.layouts._base import LAYOUTS  # noqa: E402
from neurodeploy.mapping.objectives._base import OBJECTIVES  # noqa: E402
from neurodeploy.mapping.placements._base import PLACEMENTS  # noqa: E402
from neurodeploy.report import units  # noqa: E402
from neurodeploy.report.columns import TABLES  # noqa: E402
from neurodeploy.report.figures import GROUPS  # noqa: E402
from neurodeploy.sources import zoo  # noqa: E402

PART = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
RESULTS = ROOT / "benchmarks" / "results"
#: results with a page of their own
OWN_PAGES = ("zoo", "sequences", "validation", "encoders")
#: the order in which readers of the support page think of targets
TARGETS = ("loihi-sim", "loihi2", "hala-point", "loihi1", "cpu-sim")
RANGES = {
    "ND1": "Import and zoo",
    "ND2": "Graph",
    "ND3": "Conversion",
    "ND4": "Quantization",
    "ND5": "Mapping and memory images",
    "ND6": "Running and verifying",
    "ND7": "Backends",
    "ND8": "Cost and report",
    "ND9": "Command line, config, files, targets and data",
}
DEFINITIONS = (
    counts.COUNTS, counts.DENSE, energy.ENERGY, energy.PIPELINED, latency.LATENCY, latency.THROUGHPUT, BASELINE, RATIO,
    paper.NATIVE, paper.ECMT, audit.PURITY, audit.SILICON,
)  # fmt: skip


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; bars inside cells are escaped."""
    cell = lambda value: str(value).replace("|", "\\|").replace("\n", " ")
    lines = ["| " + " | ".join(map(cell, row)) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


# --- errors ------------------------------------------------------------------------------------------------------


def errors() -> str:
    """Every code with its title and long text, by range."""
    parts = []
    for prefix, title in RANGES.items():
        known = sorted(code for code in codes.CODES if code.startswith(prefix))
        entries = [f"**{code}** {_title(code)}  \n{codes.CODES[code][1]}" for code in known]
        parts += [f"## {prefix}xx: {title}", *entries]
    return "\n\n".join(parts)


def _title(code: str) -> str:
    title = codes.CODES[code][0]
    return title[:1].upper() + title[1:].rstrip(".") + "."


# --- support -----------------------------------------------------------------------------------------------------


def operators() -> str:
    """Every kind of work, neuron model and operator against every target."""
    found = {name: support.catalogue(target.load(name)) for name in TARGETS}
    rows = []
    for place, verdict in enumerate(found[TARGETS[0]]):
        grades = [_grade(found[name][place]) for name in TARGETS]
        rows.append((verdict.kind, verdict.node, *grades))
    return table(("Kind", "Name", *TARGETS), rows)


def _grade(verdict: support.Verdict) -> str:
    return f"no: {', '.join(verdict.missing)}" if verdict.blocked else verdict.grade


def nir_tools() -> str:
    """How files of each tool are told from others, what they are read with, and what they leave open."""
    rows = []
    for tool in TOOLS:
        said = ", ".join(f"`{key}={str(value).lower()}`" for key, value in tool.options.items())
        asked = ", ".join(f"`{key}`" for key in tool.open) or "nothing"
        rows.append((f"{tool.title} ({tool.versions})", tool.told_by, f"{tool.steps}, {said}", asked))
    return table(("Tool (versions)", "Told by", "Read with", "Asked for"), rows)


def members() -> str:
    """Neurons, operators, methods, backends, file and export formats with the first sentence of their files."""
    rooms: dict[str, registry.Room[Any]] = {
        "neurons": NEURONS,
        "microcode": MICROCODE,
        "methods": METHODS,
        "encoders": ENCODERS,
        "backends": BACKENDS,
        "formats": FORMATS,
        "objectives": OBJECTIVES,
        "layouts": LAYOUTS,
        "placements": PLACEMENTS,
    }
    rows = [
        (label, f"`{name}`", _sentence(room.path, name, member))
        for label, room in rooms.items()
        for name, member in room.items()
    ]
    return table(("Room", "Name", "What it is"), rows)


def _sentence(room: str, name: str, member: object) -> str:
    """The first sentence of the file that a member is named after; of its class where a file holds several."""
    file = f"neurodeploy.{room}.{name.replace('-', '_')}"
    source = importlib.import_module(file) if importlib.util.find_spec(file) else type(member)
    text = " ".join((source.__doc__ or "").split("\n\n")[0].split())
    return re.split(r"\. |;| program and error bound", text.rstrip(".:"))[0]


def methods() -> str:
    """Presets and options of every conversion method."""
    found = METHODS
    settings = lambda values: ", ".join(f"{k} = {v!r}" for k, v in values.items()) or "the defaults below"
    presets = [
        (f"`{name}`", f"`{preset}`", settings(values))
        for name, method in found.items()
        for preset, values in method.presets.items()
    ]
    options = [
        (f"`{name}`", f"`{key}`", f"`{field.default!r}`", field.description)
        for name, method in found.items()
        for key, field in method.Config.model_fields.items()
    ]
    return "\n\n".join(
        (
            table(("Method", "Preset, the first without being asked", "Sets"), presets),
            table(("Method", "Option", "Default", "Meaning"), options),
        )
    )


def imported() -> str:
    """Torch operators that the front ends accept, by file; neuron classes by library; data formats."""
    files: dict[str, list[str]] = {}
    for name, operator in lower.operators().items():
        family = operator.family
        files.setdefault(family, []).append(name)
    torch = table(
        ("Family", "Names in torch"),
        [(f, ", ".join(f"`{n}`" for n in sorted(ns))) for f, ns in files.items()],
    )
    classes: dict[str, list[str]] = {}
    for name in sorted(name for library in LEAVES.values() for name in library.classes):
        module, _, cls = name.rpartition(".")
        classes.setdefault(module, []).append(cls)
    neurons = table(("Module", "Neuron classes"), [(f"`{m}`", ", ".join(c)) for m, c in classes.items()])
    data = table(
        ("Reader", "Accepts"),
        [(f"`{name}`", member.title) for name, member in DATASETS.items()],
    )
    return "\n\n".join(("### Operators", torch, "### Spiking neurons", neurons, "### Data", data))


def models() -> str:
    """The trained models of the zoo."""
    rows = [
        (
            f"`{e.name}`",
            e.title,
            e.dataset,
            e.weights.result,
            f"{e.weights.parameters:,}",
            e.method,
            e.timesteps,
        )
        for e in map(zoo.entry, zoo.names())
        if e.trained
    ]
    return table(
        ("Name", "System", "Data", "Correct on the test split, float", "Parameters", "Method", "Ticks"), rows
    )


def zoo_builds() -> str:
    """What each trained model is, and what its build says where one was measured."""
    built = {row["model"]: row for row in _measured("zoo")}
    head = ("Name", "Attention", "Neuron", "T", "Parameters", "Float", "Integer", "Operations", "Energy, uJ",
            "Latency, ms", "Cores", "Work by code")  # fmt: skip
    entries = [e for e in map(zoo.entry, zoo.names()) if e.trained]
    return table(
        head,
        [
            (f"`{e.name}`", e.attention, e.neuron, e.timesteps, f"{e.weights.parameters:,}", e.weights.result,
             *_built(built.get(e.name)))
            for e in entries
        ],
    )  # fmt: skip


def plan() -> str:
    """The keys of the table ``train`` of a model's file."""
    rows = [
        (f"`{key}`", f"`{json.dumps(field.default)}`", field.description)
        for key, field in zoo.TrainTable.model_fields.items()
    ]
    return table(("Key", "Default", "Meaning"), rows)


def cifar() -> str:
    """How models of CIFAR-10 were trained, and what their builds say."""
    built = {row["model"]: row for row in _measured("zoo")}
    rows = []
    for entry in (e for e in map(zoo.entry, zoo.names()) if e.trained and e.name.startswith("cifar10-")):
        log = json.loads(entry.weights_path.with_suffix(".log.json").read_text(encoding="utf-8"))
        ticks = f", {entry.train.one_tick_epochs} of them at one tick" if entry.train.one_tick_epochs else ""
        integer, _, power, latency_ms, *_ = _built(built.get(entry.name))
        rows.append((f"`{entry.name}`", f"{entry.train.epochs}{ticks}", f"{log['seconds'] / 60:.0f} min",
                     f"{entry.weights.parameters:,}", entry.weights.result, integer, power, latency_ms))  # fmt: skip
    return table(
        ("Name", "Epochs", "Wall time", "Parameters", "Float", "Integer", "Energy, uJ", "Latency, ms"), rows
    )


def sequences() -> str:
    """Bits per token of sequence models and of their integers."""
    head = ("Model", "Tokens", "Bits each, float", "Integer", "Ratio", "Likeliest is right, float", "Integer")
    return table(
        head,
        [
            (f"`{row['model']}`", f"{row['tokens']:,}", f"{row['float_bits']:.3f}", f"{row['integer_bits']:.3f}",
             f"{row['integer_bits'] / row['float_bits']:.4f}", f"{100 * row['float']:.1f} %",
             f"{100 * row['integer']:.1f} %")
            for row in _measured("sequences")
        ],
    )  # fmt: skip


def recordings() -> str:
    """Formats of recordings, and what becomes of their events."""
    formats = [
        (f"`{s}`", _sentence(RECORDINGS.path, n, r)) for n, r in RECORDINGS.items() for s in r.suffixes
    ]
    options = [
        (f"`{key}`", "from the files" if field.default is None else f"`{field.default}`", field.description)
        for key, field in EventOptions.model_fields.items()
    ]
    return "\n\n".join(
        (table(("File", "What is read"), formats), table(("Option", "Default", "Meaning"), options))
    )


def events_and_frames() -> str:
    """Networks on events beside the same ones on images, as their builds were measured."""
    built = {row["model"]: row for row in _measured("zoo")}
    names = [n for n in zoo.names() if zoo.entry(n).input.frames and zoo.entry(n).trained]
    rows = [
        (
            f"`{name}`",
            e.weights.result,
            *_built(built.get(name))[:4],
            _range(built.get(name, {}).get("energy_events_uj")),
        )
        for own in names
        for name in (f"digits-{zoo.entry(own).system}", own)
        for e in (zoo.entry(name),)
    ]
    head = ("Name", "Float", "Integer", "Operations", "Energy, uJ", "Latency, ms", "Events alone, uJ")
    return table(head, rows)


def encoders() -> str:
    """One network behind every encoder, as it was measured."""
    percent = lambda value: f"{100 * value:.1f} %"
    rows = [
        (
            f"`{row['encoder']}`",
            "behind the encoder" if row["trained"] else "on levels",
            percent(row["spiking"]),
            percent(row["integer"]),
            f"{row['synaptic_ops'] / 1e6:.2f} M",
            *map(_range, (row["energy_uj"], row["energy_events_uj"], row["latency_ms"])),
        )
        for row in _measured("encoders")
    ]
    head = ("Encoder", "Trained", "Spiking", "Integer", "Synaptic operations", "Energy, uJ", "Events alone, uJ",
            "Latency, ms")  # fmt: skip
    return table(head, rows)


def _measured(name: str) -> list[dict[str, Any]]:
    """Rows of a benchmark; none where it was not run."""
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8"))["rows"] if file.is_file() else []


def zoo_sizes() -> str:
    """Networks at the sizes of their papers."""
    rows = [
        (f"`{e.name}`", e.title, e.attention, e.neuron, f"{e.weights.parameters / 1e6:.2f} M")
        for e in map(zoo.entry, zoo.names())
        if not e.trained
    ]
    return table(("Name", "System", "Attention", "Neuron", "Parameters"), rows)


def _built(row: dict[str, Any] | None) -> tuple[str, ...]:
    """Accuracy of the integers, operations, energy, latency and cores of a build; empty without one."""
    if row is None:
        return ("",) * 6
    operations = f"{(row['synaptic_ops'] + row['product_ops']) / 1e6:.2f} M"
    ranges = map(_range, (row["energy_uj"], row["latency_ms"]))
    return (_judged(row), operations, *ranges, str(row["cores"]), _work(row))


def _judged(row: dict[str, Any]) -> str:
    """What integers answer: a share of images, or how near theirs are to the truth and to the float network's."""
    if "psnr_float_db" not in row:
        return f"{100 * row['integer']:.1f} %"
    near, true = row["psnr_float_db"]["integer"], row["psnr_truth_db"]["integer"]
    beside = "" if true is None else f"{true:.1f} dB; "
    return f"{beside}{near:.1f} dB beside float"


def _work(row: dict[str, Any]) -> str:
    """Shares of the event operations by the code of what drives them; of older rows the binary one alone."""
    work = row.get("work", {"binary": row["binary"]})
    return ", ".join(f"{code} {100 * share:.1f} %" for code, share in work.items() if share >= 5e-4)


def _range(found: dict[str, float] | None) -> str:
    """Nominal, lowest and highest; empty where nothing was measured."""
    if not found:
        return ""
    nominal, low, high = (units.digits(found[key]) for key in ("nominal", "low", "high"))
    return f"{nominal} [{low} .. {high}]"


# --- numbers -----------------------------------------------------------------------------------------------------


def definitions() -> str:
    """Formula, notes and sources of every headline, as the report prints them."""
    return "\n\n".join(_definition(d) for d in DEFINITIONS)


def _definition(one: cost.Definition) -> str:
    formula = "\n".join(f"- {' '.join(part.split())}" for part in one.formula.split(";  "))
    lines = [f"### {one.title}", f"Key `{one.key}`:", formula]
    if one.notes:
        lines += ["Notes:", "\n".join(f"- {note}" for note in one.notes)]
    if one.coefficients:
        lines.append("Coefficients: " + ", ".join(f"`{key}`" for key in one.coefficients) + ".")
    if one.sources:
        lines.append("Sources: " + "; ".join(one.sources) + ".")
    return "\n\n".join(lines)


def coefficients() -> str:
    """Every price of the default target with its range and source."""
    rows = [
        (
            f"`{row.section.removeprefix('costs.')}.{row.key}`",
            f"{row.nominal:g} [{row.low:g} .. {row.high:g}]",
            row.unit,
            row.source,
        )
        for row in target.load(TARGETS[0]).rows()
        if row.section.startswith("costs") and row.nominal is not None
    ]
    return table(("Key", "Nominal [low .. high]", "Unit", "Source"), rows)


def targets() -> str:
    """Every target that comes with the package."""
    found = sorted({path.stem for path in (ROOT / "hw_targets").glob("*.toml")} - set(TARGETS))
    loaded = [target.load(name) for name in (*TARGETS, *found)]
    return table(("Target", "Kind", "What it is"), [(f"`{t.name}`", t.kind, t.title) for t in loaded])


def figures() -> str:
    """Every figure of report.json, by group."""
    parts = []
    for group in GROUPS.values():
        rows = [(f"`{f.key}`", f.label, f.unit, f.help, f.formula) for f in group.figures]
        parts += [f"### {group.title}", table(("Key", "Name", "Unit", "Meaning", "Formula"), rows)]
    return "\n\n".join(parts)


def limits() -> str:
    """Every key under [limits] with its unit, its meaning and the problem that it leads to."""
    rows = []
    for key in filter(lambda key: key.section == "limits", target.keys()):
        check = target_schema.check_of(key.key)
        refused = check.code if check.key == key.key else f"{check.code}, `{check.key}`"
        rows.append((f"`{key.key}`", key.unit, key.help, refused))
    return table(("Key", "Unit", "Meaning", "Refused with"), rows)


def columns() -> str:
    """Every column of the three CSV files."""
    parts = []
    for name, entries in TABLES.items():
        rows = [(f"`{c.name}`", c.unit, c.help, c.formula) for c in entries]
        parts += [f"### {name}.csv", table(("Column", "Unit", "Meaning", "Formula"), rows)]
    return "\n\n".join(parts)


# --- benchmarks --------------------------------------------------------------------------------------------------


def results() -> str:
    """One table for each file of results, with the machine that it was measured on."""
    parts = []
    for file in sorted(
        set(RESULTS.glob("*.json"))
        - set(RESULTS.glob("methods-*.json"))
        - set(RESULTS.glob("*_models-*.json"))
        - {RESULTS / f"{n}.json" for n in OWN_PAGES}
    ):
        data = json.loads(file.read_text(encoding="utf-8"))
        facts = [f"{k}: {v}" for k, v in data.items() if not isinstance(v, (list, dict))]
        parts += [f"### {file.stem}", "; ".join(facts) + "."]
        parts += [_rows(rows) for rows in data.values() if isinstance(rows, list) and rows]
    return "\n\n".join(parts) if parts else "No results are stored yet."


def comparison() -> str:
    """Conversion methods on the models that `benchmarks/methods.py` ran."""
    parts = [methods_benchmark.LEGEND]
    for file in sorted(RESULTS.glob("methods-*.json"), key=lambda path: path.stem):
        data = json.loads(file.read_text(encoding="utf-8"))
        facts = f"target: {data['target']}; calibration: {data['calibration']} training images; {data['machine']}."
        parts += [f"### {file.stem.removeprefix('methods-')}", facts, methods_benchmark.report(data)]
    return "\n\n".join(parts)


def validation() -> str:
    """Published measurements beside predictions, as `benchmarks/validation.py` made them."""
    return validation_benchmark.report(json.loads(validation_benchmark.PATH.read_text(encoding="utf-8")))


def onnx_operators() -> str:
    """Operators of ONNX that are read, by the file that translates them."""
    from neurodeploy.frontends.onnx.ops._base import ONNX

    families: dict[str, list[str]] = {}
    for name, member in ONNX.items():
        families.setdefault(member.family, []).append(f"`{name}`")
    return table(("File", "Operators"), [(f"`{f}.py`", ", ".join(names)) for f, names in families.items()])


def library_models() -> str:
    """What of the libraries' networks is imported, as `benchmarks/library_models.py` found it."""
    return libraries_benchmark.report()


def _rows(rows: list[Any]) -> str:
    if not all(isinstance(row, dict) for row in rows):
        return ", ".join(map(str, rows))
    head = list(dict.fromkeys(key for row in rows for key in row))
    return table(
        [key.replace("_", " ") for key in head], [[_number(row.get(k)) for k in head] for row in rows]
    )


def _number(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"low", "nominal", "high"}:
        return f"{_number(value['nominal'])} [{_number(value['low'])} .. {_number(value['high'])}]"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return "" if value is None else value


# --- pages -------------------------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[], str]] = {
    "nir-tools": nir_tools,
    "errors": errors,
    "operators": operators,
    "members": members,
    "methods": methods,
    "imported": imported,
    "models": models,
    "zoo-builds": zoo_builds,
    "zoo-sizes": zoo_sizes,
    "plan": plan,
    "cifar": cifar,
    "sequences": sequences,
    "definitions": definitions,
    "coefficients": coefficients,
    "figures": figures,
    "columns": columns,
    "limits": limits,
    "targets": targets,
    "results": results,
    "comparison": comparison,
    "validation": validation,
    "library-models": library_models,
    "onnx-operators": onnx_operators,
    "onnx-models": onnx_benchmark.report,
    "recordings": recordings,
    "events-and-frames": events_and_frames,
    "encoders": encoders,
}


def pages() -> list[Path]:
    """The pages that may hold generated parts."""
    folders = [ROOT, ROOT / "hw_targets", ROOT / "models"]
    return [*(folder / "README.md" for folder in folders), *sorted((ROOT / "docs").glob("*.md"))]


def filled(text: str) -> str:
    """A page with every generated part made anew; KeyError for a name that is not in PARTS."""
    return PART.sub(lambda m: f"{m[1]}\n{PARTS[m[2]]()}\n\n{m[3]}", text)


def stale() -> list[Path]:
    """The pages whose generated parts differ from what the code says now."""
    return [
        page
        for page in pages()
        if filled(page.read_text(encoding="utf-8")) != page.read_text(encoding="utf-8")
    ]


def main() -> int:
    """Write the pages, or with ``--check`` only name the stale ones; returns the exit code."""
    found = stale()
    for page in found:
        print(("stale: " if "--check" in sys.argv else "wrote ") + str(page.relative_to(ROOT)))
        if "--check" not in sys.argv:
            page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    return int(bool(found) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
