"""Every conversion method on one model of the zoo: accuracy, energy, latency and spikes over T.

    .venv/bin/python benchmarks/methods.py digits-vit [--ticks 1,2,4,6,8] [--target loihi-sim] [--only ecmt/headline]
    .venv/bin/python benchmarks/methods.py cifar10-vit --data cifar10_jpeg.h5 --eval-samples 2000

Calibration takes training images only, accuracy the whole test split. For each method, preset and T: accuracy of the
float source, of the spiking network in floats and of the integers; ``ratio``, the paper metric as a share of the ANN's;
energy and latency of one inference as the target prices them (nominal, low and high in the file); ``vs ANN``, that
energy over the int8 ANN baseline of the same technology, and ``events vs ANN`` the same without barriers and static
power, which the baseline leaves out too; spikes per neuron and inference; and, for populations that
send counts, the same counted as unit spikes (sum of magnitudes). Integrators send no message and are no neurons here.
What no other row beats in accuracy and energy at once is marked, by the paper metric (P) and by the target's prices
(E), and compared with the int8 ANN. Each row goes to ``benchmarks/results/methods-<model>.json`` when it is done, in
place of an older one of the same setting and T, so a run that was interrupted or done in parts loses nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from _bench import RESULTS, machine, write

from neurodeploy import target
from neurodeploy.builds.calibrated import calibrate
from neurodeploy.builds.converted import convert
from neurodeploy.builds.evaluated import evaluate
from neurodeploy.builds.imported import Imported, import_model
from neurodeploy.builds.integer import quantize
from neurodeploy.builds.mapped import map_to_cores
from neurodeploy.builds.paced import Budget
from neurodeploy.builds.priced import Priced, estimate
from neurodeploy.calibrate import unheard
from neurodeploy.config import BuildConfig
from neurodeploy.convert._sites import is_quantised
from neurodeploy.ir.graph import Graph
from neurodeploy.ir.nodes import Neuron

#: method, preset, further options
SETTINGS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("ecmt", "released", {}),
    ("ecmt", "headline", {}),
    ("ecmt", "faithful", {}),
    ("pmsm", "mse", {}),
    ("pmsm", "four_bits", {}),
    ("pmsm", "faithful", {}),
    ("dcgs", "released", {}),
    ("spikezip", "default", {}),
)
#: of networks that were trained with quantisers, whose steps and counts these methods take over
TRAINED: tuple[tuple[str, str, dict[str, Any]], ...] = (("pmsm", "trained", {}), ("spikezip", "trained", {}))


def with_own(
    config: BuildConfig, method: str, preset: str, options: dict[str, Any]
) -> tuple[str, str, dict[str, Any]]:
    """A setting with the model's own options, where it is the one that the model comes with."""
    own = dict(config.convert)
    if (method, preset) != (config.method, own.pop("preset", None)):
        own = {}
    return method, preset, {**own, **options}


def measure(
    base: Imported, method: str, preset: str, options: dict[str, Any], ticks: int, samples: int = 0
) -> dict[str, Any]:
    """One row: a build of the model without its reports."""
    tested = samples or (len(base.data.test) if base.data else 0)
    config = base.config.model_copy(
        update={
            "method": method,
            "timesteps": ticks,
            "convert": {**({} if preset == "trained" else {"preset": preset}), **options},
            "eval": tested,
        }
    )
    imported, place, start = replace(base, config=config), target.load(config.target), time.perf_counter()
    spiking = convert(imported).graph
    ranges = calibrate(imported, spiking).ranges
    integer = quantize(imported, spiking, ranges)
    mapped = map_to_cores(imported, integer.graph, place, ranges)
    evaluated = evaluate(imported, spiking, mapped.program, place, unheard)
    priced = estimate(imported, mapped.program, place, Budget(math.inf, frozenset({"estimate"})))
    found, accuracy = priced.assessment, evaluated.accuracy
    assert accuracy is not None and found.paper is not None
    row: dict[str, Any] = {
        "method": method, "preset": preset, **options, "T": ticks, "samples": accuracy.samples,
        "float": accuracy.source, "spiking": accuracy.spiking, "integer": accuracy.integer,
        "ratio": found.paper.ratio, **spikes(mapped.graph, priced), "saturations": sum(evaluated.saturations.values()),
        "fits": mapped.mapping.fits, "seconds": round(time.perf_counter() - start, 1),
    }  # fmt: skip
    if found.estimate is not None and found.baseline is not None:
        energy, latency = found.estimate.energy_pj, found.estimate.timing.latency_ns
        row |= {
            "energy_uj": energy.as_dict(1e-6),
            "events_uj": found.estimate.events_pj.as_dict(1e-6),
            "latency_ms": latency.as_dict(1e-6),
            "ann_uj": found.baseline.energy_pj.as_dict(1e-6),
            "vs_ann": energy.nominal / found.baseline.energy_pj.nominal,
            "events_vs_ann": found.estimate.events_pj.nominal / found.baseline.energy_pj.nominal,
            "cores": len(mapped.mapping.cores),
        }
    return row


def spikes(graph: Graph, priced: Priced) -> dict[str, float]:
    """Spikes per neuron and inference, and the same as unit spikes where a message is a count."""
    trace = priced.trace
    names = [n.name for n in graph.of(Neuron) if n.model != "integrator"]
    if not names:
        return {}
    sizes = sum(graph.values[name].shape.size for name in names)
    values = [trace.values[name] for name in names]
    samples = values[0].shape[1]
    return {
        "spikes_per_neuron": float(sum(np.count_nonzero(v) for v in values)) / samples / sizes,
        "units_per_neuron": float(sum(np.abs(v).sum() for v in values)) / samples / sizes,
        "neurons": sizes,
    }


Row = dict[str, Any]
Cost = Callable[[Row], float]
#: what a row may be best in: the letter that marks it, and the cost
COSTS: dict[str, Cost] = {
    "P": lambda row: row["ratio"],
    "E": lambda row: row["energy_uj"]["nominal"] if "energy_uj" in row else math.inf,
}
LEGEND = (
    "*n*: test images of the accuracies. *ratio*: paper metric as a share of the ANN's. *energy*, *latency*: of one"
    " inference as the target prices them, nominal; *events*: energy without barriers and static power. *x ANN*: events"
    " over the int8 ANN baseline of the same technology, which leaves both out too. *spikes*: per neuron and inference,"
    " a graded message being one. *best*: no other row has both more integer accuracy and a lower paper metric (P) or"
    " energy (E)."
)


def front(rows: list[Row], cost: Cost) -> list[Row]:
    """The rows that no other one beats in integer accuracy and ``cost`` at once, cheapest first."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda r: (cost(r), -r["integer"])):
        if cost(row) < math.inf and (not kept or row["integer"] > kept[-1]["integer"]):
            kept.append(row)
    return kept


def report(data: dict[str, Any]) -> str:
    """All rows of a result file as Markdown, the best ones marked, and how far they are from the int8 ANN."""
    rows: list[Row] = data["rows"]
    best = {letter: front(rows, cost) for letter, cost in COSTS.items()}
    marks = ["".join(letter for letter, kept in best.items() if row in kept) for row in rows]
    head = (
        "| method | preset | T | n | float % | spiking % | integer % | ratio | energy uJ | events uJ | x ANN |"
        " latency ms | spikes | best |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n"
    )
    body = "\n".join(f"{line(row)} {mark} |" for row, mark in zip(rows, marks, strict=True))
    return f"{head}{body}\n\n{verdict(rows)}"


def line(row: Row) -> str:
    """One row of the table, without its mark."""
    of = lambda key: row[key]["nominal"] if key in row else None
    number = lambda value, form: "-" if value is None else format(value, form)
    cells = [
        row["method"], row["preset"], row["T"], row["samples"],
        *(f"{100 * row[level]:.2f}" for level in ("float", "spiking", "integer")),
        number(row["ratio"], ".3f"), number(of("energy_uj"), ".4g"), number(of("events_uj"), ".3g"),
        number(row.get("events_vs_ann"), ".0f"), number(of("latency_ms"), ".3g"),
        number(row.get("spikes_per_neuron"), ".2f"),
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def verdict(rows: list[Row]) -> str:
    """Whether any setting beats the int8 ANN on this technology, and the cheapest that is as good as the floats."""
    priced = [row for row in rows if "energy_uj" in row]
    if not priced:
        return "The target prices nothing, so there is no comparison with an int8 ANN."
    ann = priced[0]["ann_uj"]
    winners = [row for row in priced if row["events_vs_ann"] < 1]
    least = min(priced, key=lambda row: row["events_vs_ann"])
    name = lambda row: f"{row['method']} {row['preset']} at T = {row['T']}"
    percent = lambda share: f"{100 * share:.2f} %"
    text = [
        f"The int8 ANN of the same technology takes {ann['nominal']:.3g} uJ [{ann['low']:.3g} .. {ann['high']:.3g}], a"
        " lower bound of its dynamic energy."
    ]
    if winners:
        text.append(f"Fewer events' energy than that: {', '.join(map(name, winners))}.")
    else:
        text.append(
            f"No setting beats it: the cheapest events, of {name(least)} ({percent(least['integer'])}), take"
            f" {least['events_vs_ann']:.0f} times as much, and {least['events_uj']['low'] / ann['high']:.0f} times at"
            " the ends of both ranges that favour spikes."
        )
    for points in (0.5, 1.0):
        near = [row for row in priced if row["integer"] >= row["float"] - points / 100]
        if near:
            row = min(near, key=COSTS["E"])
            text.append(
                f"Cheapest within {points} points of the float network: {name(row)}, {percent(row['integer'])} against"
                f" {percent(row['float'])}, {row['energy_uj']['nominal']:.4g} uJ, ratio {row['ratio']:.3f}."
            )
    return " ".join(text)


def merged(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``rows`` in front of those of an earlier run that they do not replace, in the order of the settings."""
    path = RESULTS / f"{name}.json"
    old = json.loads(path.read_text())["rows"] if path.is_file() else []
    key = lambda row: (row["method"], row["preset"], row["T"])
    order = [(method, preset) for method, preset, _ in SETTINGS + TRAINED]
    table = {key(row): row for row in [*old, *rows]}
    return sorted(table.values(), key=lambda row: (order.index(key(row)[:2]), row["T"]))


def main() -> None:
    """Run every method and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a model of the zoo that is an ANN")
    parser.add_argument("--ticks", default="1,2,4,6,8", help="numbers of ticks, separated by commas")
    parser.add_argument("--target", default="loihi-sim")
    parser.add_argument("--data", default="", help="data set, for models whose images do not ship")
    parser.add_argument("--eval-samples", type=int, default=0, help="test samples (default: all)")
    parser.add_argument(
        "--only", action="append", help="one setting, as method/preset; may be given several times"
    )
    args = parser.parse_args()
    base = import_model(BuildConfig(model=args.model, target=args.target, data=args.data))
    name = f"methods-{args.model}"
    known = TRAINED if is_quantised(base.graph) else SETTINGS
    chosen = [s for s in known if not args.only or f"{s[0]}/{s[1]}" in args.only]
    if not chosen:
        parser.error(f"--only takes {', '.join(f'{m}/{p}' for m, p, _ in known)}")
    for setting in chosen:
        for ticks in (int(t) for t in args.ticks.split(",")):
            row = measure(base, *with_own(base.config, *setting), ticks, args.eval_samples)
            data = {
                "target": args.target,
                "calibration": base.config.calib,
                "rows": merged(name, [row]),
            }
            write(name, data)
            print(line(row), flush=True)
    print(machine(), report(data), LEGEND, sep="\n\n")


if __name__ == "__main__":
    main()
