"""Published measurements beside what a build would have said of the same networks.

    .venv/bin/python benchmarks/validation.py [KEY ...]

Each network is built at its published size with random weights, read as a `.net` file, mapped, run on the simulated
cores and priced as in a build. Written to ``benchmarks/results/validation.json`` are the counts that the prices need,
the predictions made of them, and how far they are from what was measured; `make docs` makes ``docs/validation.md`` of
that file, and a test predicts again from the counts. With KEYs only these rows are made anew.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import _counted
import _fit
import _networks
from _bench import RESULTS, machine
from _published import ROWS
from _rows import UNITS, Row

from neurodeploy import target
from neurodeploy.price import LEVELS, Range

PATH = RESULTS / "validation.json"
#: counts of the busiest cores that the page shows
SHOWN = ("memory_reads", "stock_updates", "program_ops", "packets_in", "packets_out")
#: by how much the prices of a record may differ from those of the events that it was made of
EXACT = 1e-9
QUANTITIES = {
    "time_us": "time",
    "dynamic_uj": "dynamic energy",
    "total_uj": "energy",
    "power_w": "power",
    "dynamic_w": "power, difference",
}


# --- making the rows ---------------------------------------------------------------------------------------------


def measured(row: Row, done: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the file; ``done`` are those that it may be the difference to."""
    kept = {
        "key": row.key, "title": row.title, "source": row.source, "per": row.per, "built": row.built,
        "activity": row.activity, "missing": row.missing, "shown": row.shown, "target": row.target,
        "notes": list(row.notes), "minus": row.minus,
    }  # fmt: skip
    if row.build is not None:
        kept |= counted(row)
    kept["quantities"] = [asdict(m) for m in row.measured]
    return {**kept, "quantities": judged(kept, done)} if not row.missing else kept


def counted(row: Row) -> dict[str, Any]:
    """Run the network of a row: what was built, and the record of what it did."""
    assert row.build is not None
    start, network = time.perf_counter(), row.build()
    place = _networks.limited(row.target, row.limits)
    ran = _networks.run(network, place, row.optimise)
    assert ran.program.mapping is not None
    depth = ran.program.mapping.depth
    events = _counted.window(ran.events, slice(network.warm + depth, len(network.x) + depth), row.host)
    record = _counted.record(ran.program.mapping, events)
    proven(record, ran, events, place)
    scale = {
        "time": row.times,
        "energy": row.energies,
        "board": row.board,
        "chips": row.chips,
        "static_w": row.static_w,
    }
    return {
        "size": _networks.size(ran.program, events), "scale": scale, "record": record,
        "seconds": round(time.perf_counter() - start, 1),
    }  # fmt: skip


def proven(record: Mapping[str, Any], ran: _networks.Ran, events: Any, place: target.Target) -> None:
    """ValueError unless a record costs what the events that it was made of cost."""
    whole = _counted.raw(_networks.ticking(ran.program, events.steps), events, place)
    found = _counted.raw(_counted.program_of(dict(record)), _counted.events_of(dict(record)), place)
    for a, b in zip(whole[:2], found[:2], strict=True):
        pairs = [(getattr(a, k), getattr(b, k)) for k in ("low", "nominal", "high")]
        if whole[2] != found[2] or any(abs(x - y) > EXACT * abs(x) for x, y in pairs):
            raise ValueError(f"the record costs {b}, its events {a}")


# --- predictions -------------------------------------------------------------------------------------------------


def judged(row: Mapping[str, Any], done: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The quantities of a row with prediction, error and verdict, from the counts that it holds."""
    found = predictions(row, done)
    return [{**q, **verdict(q, found[q["quantity"]])} for q in row["quantities"]]


def refitted(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The fit of the time coefficients; the figures that it used are judged by the fit without them."""
    fit = _fit.summary({row["key"]: row for row in rows})
    for line in fit["figures"]:
        for q in (q for row in rows if row["key"] == line["key"] for q in row["quantities"]):
            if q["quantity"] == "time_us":
                factor = (1 + line["left_out"]) / (1 + line["error"])
                moved = Range(*(q["predicted"][level] * factor for level in LEVELS))
                q["left_out"] = {k: v for k, v in verdict(q, moved).items() if k in ("error", "inside")}
    return fit


def predictions(row: Mapping[str, Any], done: Mapping[str, Any]) -> dict[str, Range]:
    """What the present target file makes of the counts of a row."""
    if row["minus"]:
        first, second = row["minus"].split()
        return difference(predictions(done[first], done), predictions(done[second], done))
    return _counted.predicted(row["record"], row["scale"], target.load(row["target"]))


def difference(one: Mapping[str, Range], other: Mapping[str, Range]) -> dict[str, Range]:
    """One prediction less another, level by level."""
    levels = {
        key: [getattr(one[key], k) - getattr(other[key], k) for k in ("low", "nominal", "high")]
        for key in one
    }
    return {key: Range(min(v), v[1], max(v)) for key, v in levels.items()}


def verdict(quantity: Mapping[str, Any], found: Range) -> dict[str, Any]:
    """Prediction, relative error of its nominal (0 within the measured range), and whether the ranges meet."""
    low, high = quantity["low"], quantity["high"]
    nearest = min(max(found.nominal, low), high)
    return {
        "predicted": found.as_dict(),
        "error": found.nominal / nearest - 1,
        "inside": bool(found.low <= high and low <= found.high),
        "width": found.high / found.low if found.low > 0 else None,
    }


# --- the page ----------------------------------------------------------------------------------------------------


def report(data: Mapping[str, Any]) -> str:
    """Totals and tables as Markdown."""
    rows = data["rows"]
    built = [row for row in rows if not row["missing"]]
    parts = [totals(built), "### Rows", figures(built), "### Fit", fits(data["fit"])]
    parts += ["### Networks", networks(built)]
    parts += ["### What differs", differences(built), "### Not built", missing(rows)]
    return "\n\n".join(parts)


def totals(rows: Sequence[Mapping[str, Any]]) -> str:
    """How often the range holds, how far the nominal is, how wide the range: of all figures and of parts of them."""
    found = [q for row in rows for q in row["quantities"]]
    like = [q for q in found if not q["differs"] and not q["noise"]]
    groups = {
        "like-for-like": like,
        "like-for-like, not fitted to": [q for q in like if not q["fitted"]],
        "like-for-like, fitted to": [q for q in like if q["fitted"]],
        "noise": [q for q in found if q["noise"]],
        "not like-for-like": [q for q in found if q["differs"] and not q["noise"]],
    }
    groups |= {
        f"like-for-like, {name}": [q for q in like if q["quantity"] == key]
        for key, name in QUANTITIES.items()
    }
    lines = [(name, *total(of)) for name, of in groups.items() if of]
    return table(
        ("Figures", "Number", "Inside", "Median error of the nominal", "Median width, high / low"), lines
    )


def total(found: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Number, inside, median error, median width; what a fit used counts as the fit without it has it."""
    fair = [{**q, **q.get("left_out", {})} for q in found]
    errors, widths = [abs(q["error"]) for q in fair], [q["width"] for q in fair if q["width"]]
    inside = f"{sum(q['inside'] for q in fair)} of {len(fair)}"
    width = f"{statistics.median(widths):.1f} x" if widths else ""
    return str(len(found)), inside, f"{100 * statistics.median(errors):.0f} %", width


def figures(rows: Iterable[Mapping[str, Any]]) -> str:
    """Every figure: measured, predicted, error, and whether it counts."""
    lines = []
    for row in rows:
        for q in row["quantities"]:
            unit, p = UNITS[q["quantity"]], q["predicted"]
            figure = f"{QUANTITIES[q['quantity']]}, {unit}" + (f" per {row['per']}" if unit != "W" else "")
            width = f"{q['width']:.1f} x" if q["width"] else ""
            lines.append((
                row["title"], figure,
                ranged(q["low"], q["high"]), f"{p['nominal']:.3g} [{p['low']:.3g} .. {p['high']:.3g}]",
                error(q), width, "yes" if q["inside"] else "no", counts_as(q), q["fitted"],
            ))  # fmt: skip
    head = (
        "Network",
        "Figure",
        "Measured",
        "Predicted",
        "Error",
        "Width",
        "Inside",
        "Like-for-like",
        "Fitted to it",
    )
    return table(head, lines)


def error(quantity: Mapping[str, Any]) -> str:
    """Error of the nominal, and that of the fit without the figure."""
    said = f"{100 * quantity['error']:+.0f} %"
    left = quantity.get("left_out")
    return f"{said}, left out {100 * left['error']:+.0f} %" if left else said


def fits(fit: Mapping[str, Any]) -> str:
    """What was fitted, and how far each figure is from the fit with it and without it."""
    found = ", ".join(f"`{key}` {value:.2f}" for key, value in fit["coefficients"].items())
    lines = [
        (
            line["figure"],
            f"{line['measured']:.3g}",
            f"{100 * line['error']:+.0f} %",
            f"{100 * line['left_out']:+.0f} %",
        )
        for line in fit["figures"]
    ]
    head = ("Figure", "Measured", "Error of the fit", "Error of the fit without it")
    return f"Found: {found}.\n\n" + table(head, lines)


def counts_as(quantity: Mapping[str, Any]) -> str:
    """Whether a figure is like-for-like."""
    noise = "noise" if quantity["noise"] else ""
    return ", ".join(filter(None, ("no" if quantity["differs"] else "yes", noise)))


def ranged(low: float, high: float) -> str:
    """A measurement, which may be a range."""
    return f"{low:.4g}" if low == high else f"{low:.3g} .. {high:.3g}"


def networks(rows: Iterable[Mapping[str, Any]]) -> str:
    """What was built of each row, and the counts that its prices rest on."""
    lines = []
    for row in rows:
        if "size" not in row:
            continue
        s = row["size"]
        step, most = s["step"], s["busiest"]
        work = [f"{step.get('synaptic_ops', 0):,.0f}, {most.get('synaptic_ops', 0):,.0f}"]
        work += [f"{most.get(kind, 0):,.0f}" for kind in SHOWN]
        lines.append((
            row["title"], row["built"], row["activity"], f"{s['neurons']:,}", f"{s['weights']:,}",
            f"{s['cores']:,} on {s['chips']}", *work,
        ))  # fmt: skip
    head = ("Network", "Built", "Activity", "Neurons", "Weights", "Cores on chips", "Synaptic operations, on a core",
            "Words of synapses", "Stock updates", "Program operations", "Packets in", "Packets out")  # fmt: skip
    return table(head, lines)


def differences(rows: Iterable[Mapping[str, Any]]) -> str:
    """Sources, notes, and why figures are noise or not like-for-like."""
    parts = []
    for row in rows:
        why = [(q, q[key]) for q in row["quantities"] for key in ("differs", "noise") if q[key]]
        reasons = dict.fromkeys(f"{QUANTITIES[q['quantity']]}: {reason}" for q, reason in why)
        said = "; ".join([*row["notes"], *reasons])
        parts.append(f"- **{row['title']}** ({row['source']})" + (f": {said}." if said else "."))
    return "\n".join(parts)


def missing(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows that could not be built."""
    lines = [(row["title"], row["shown"], row["source"], row["missing"]) for row in rows if row["missing"]]
    return table(("System", "Measured", "Source", "What is missing"), lines)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


# --- the command -------------------------------------------------------------------------------------------------


def main() -> None:
    """Make the rows that are asked for and keep them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("keys", nargs="*", help="rows to make (default: all of them)")
    keys = parser.parse_args().keys
    old = json.loads(PATH.read_text()) if PATH.is_file() and keys else {"rows": []}
    done = {row["key"]: row for row in old["rows"]}
    for row in ROWS:
        if not keys or row.key in keys or row.key not in done:
            done[row.key] = measured(row, done)
            print(row.key, shown(done[row.key]), flush=True)
    rows = [done[row.key] for row in ROWS]
    found = {"machine": machine(), "fit": refitted(rows), "rows": rows}
    PATH.write_text(json.dumps(found, indent=1) + "\n")


def shown(row: Mapping[str, Any]) -> str:
    """One line of a row that was made."""
    if row["missing"]:
        return f"not built: {row['missing']}"
    said = [
        f"{q['quantity']} {ranged(q['low'], q['high'])} | {q['predicted']['nominal']:.4g}"
        f" [{q['predicted']['low']:.3g} .. {q['predicted']['high']:.3g}]"
        for q in row["quantities"]
    ]
    return "; ".join([*said, f"{row.get('size', {}).get('busiest', '')} {row.get('seconds', '')} s"])


if __name__ == "__main__":
    main()
