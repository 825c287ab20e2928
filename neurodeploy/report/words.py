"""What a report says in sentences; everything is made from its data alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..config import INTEGER
from ..cost.paper import trained
from ..mapping.objectives._base import OBJECTIVES
from ..mapping.outcome import TAKEN
from . import units

Json = dict[str, Any]

#: expected figures of a plan, and their units
TOLD = {"energy_uj": "uJ", "latency_ms": "ms", "period_ms": "ms"}
#: kinds of warnings that the console names
MOST_WARNINGS = 4


def at(report: Json, key: str) -> Any:
    """The value at a dotted key; None where there is nothing."""
    value: Any = report
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def above(key: str) -> Iterator[str]:
    """A dotted key and everything that it is a part of, longest first."""
    parts = key.split(".")
    return (".".join(parts[:length]) for length in range(len(parts), 0, -1))


def why(report: Json, key: str) -> str:
    """The reason why a value is missing; of a value with parts, that of its nominal or first part."""
    reasons = report["reasons"]
    found = reasons.get(key) or reasons.get(f"{key}.nominal")
    return found or next((text for name, text in reasons.items() if name.startswith(f"{key}.")), "not known")


def synthetic(report: Json) -> str:
    """What every number that depends on activity is called, empty where the network ran on data."""
    found = report["input"]
    return str(found.get("label") or "") if found.get("kind") == "synthetic" else ""


def unchecked(report: Json) -> str:
    """What every number is called if the import was not compared with the model, empty where it was."""
    return str(at(report, "unchecked.label") or "")


def label(report: Json, key: str) -> str:
    """The marks of a figure: its number comes from synthetic input, or from an import that was not compared."""
    marks = (synthetic(report) if key in report["input"]["affects"] else "",
             unchecked(report) if key in (at(report, "unchecked.affects") or ()) else "")  # fmt: skip
    return ", ".join(filter(None, marks))


def marks(report: Json) -> str:
    """What every number that depends on activity is called."""
    return ", ".join(filter(None, (synthetic(report), unchecked(report))))


def import_check(report: Json) -> tuple[str, ...]:
    """What was compared with the model itself."""
    found = at(report, "import_check")
    if not found:
        return (unchecked(report),) if unchecked(report) else ()
    ticks = f" over {found['ticks']} ticks" if found["ticks"] > 1 else ""
    ties = (f"ties on {units.count(found['ties'])} elements, equal elsewhere",) if found["ties"] else ()
    spikes = f", {units.count(found['neurons_compared'])} of neurons" if found["neurons_compared"] else ""
    compared = f"{units.count(found['outputs_compared'])} read-outs{spikes}"
    largest = f"largest difference {found['largest_difference'] or 0:.1g} of {found['tolerance']:.0e}"
    if not found["tolerance"]:
        largest = "every integer equal"
    return (f"equal to the model on {found['samples']} samples{ticks}", compared, largest, *ties)


def how_made(report: Json) -> str:
    """Method and time steps."""
    method = report["method"]
    made = "natively trained" if trained(method) else f"converted by {method}"
    made = "integers as in the model" if method == INTEGER else made
    bits = sorted({row["weight_bits"] for row in report["layers"] if row["weight_bits"]})
    return f"{made}, T={report['timesteps']}" + (f", weights up to {bits[-1]} bits" if bits else "")


def network(report: Json) -> tuple[str, ...]:
    """The network, its system and how it was made."""
    return (f"{report['model']} ({report['system']})  {how_made(report)}",)


def kind(report: Json) -> str:
    """What the target is, and that its numbers are estimates."""
    sorts = {"simulated": "simulated: estimates, not hardware", "software": "software: no prices"}
    return sorts.get(report["target"]["kind"], "hardware description: estimates, not measurements")


def target(report: Json) -> tuple[str, ...]:
    """The target and what it is."""
    return (f"{report['target']['name']} ({kind(report)})",)


def stimulus(report: Json) -> tuple[str, ...]:
    """Synthetic input, where that is what the network ran on."""
    name = synthetic(report)
    return (f"{name}: {report['input']['text']}; no data were given",) if name else ()


def fits(report: Json) -> tuple[str, ...]:
    """Whether the network fits, on how many cores, and what limits it."""
    mapping = report["mapping"]
    if mapping["fits"] is None:
        return ()
    used, whole = mapping["cores_used"], mapping["cores_total"]
    share = f" ({units.percent(used / whole)})" if whole else ""
    limit = f"limiting resource: {units.words(mapping['limiting_resource'])}"
    return (units.show(mapping["fits"]), f"cores {used}/{whole}{share}", *chips(report), limit)


def chips(report: Json) -> tuple[str, ...]:
    """How many chips are in use or, where the cores do not suffice, would be needed; empty for one that does."""
    used, given = report["mapping"]["chips"] or 1, report["target"]["chips"]
    if used > given:
        return (f"{used} chips are needed, {given} given",)
    return (f"chips {used}",) if used > 1 else ()


def shares(amounts: Mapping[str, float] | None, places: int = 1) -> tuple[str, ...]:
    """The shares that are not zero, each named."""
    return tuple(f"{units.words(k)} {units.percent(v, places)}" for k, v in (amounts or {}).items() if v)


def work(report: Json) -> tuple[str, ...]:
    """Shares of the event operations by the code of what drives them, and the dense operators left."""
    purity = report["purity"]
    if purity["work"] is None:
        return ()
    left = ", ".join(f"{count} {units.words(op)}" for op, count in purity["operators"].items())
    tail = f"dense operators left: {left} (on-core microcode)" if left else "no dense operators left"
    return (*shares(purity["work"]), f"of event operations; {tail}")


def accuracy(report: Json) -> tuple[str, ...]:
    """Accuracy at the levels that are known; else agreement with the float model, of texts or of images."""
    found, near = report["accuracy"], report["agreement"]
    if found["integer"] is None and report["images"]["samples"]:
        return (units.NONE, *images(report))
    if found["integer"] is None and near:
        kept = near["integer"]
        text = f"agreement with the float model: cosine {kept['cosine']:.4f}, rank {kept['rank']:.4f}"
        return (units.NONE, text, f"(n = {near['samples']})")
    known = [level for level in ("float", "spiking", "integer") if found[level] is not None]
    shown = "  ->  ".join(f"{level} {units.percent(found[level])}" for level in known)
    if not known:
        return ()
    nothing, bits = found["meaningless"], found["bits"] or {}
    told = [f"bits per token {bits['source']:.3f}  ->  {bits['integer']:.3f}"] if bits else []
    return (shown, f"(n = {found['samples']})", *told, *([f"MEANINGLESS: {nothing}"] if nothing else []))


def images(report: Json) -> tuple[str, ...]:
    """How near images are to the truth, where there is one, and to those of the float model."""
    found = report["images"]
    near, true = found["psnr_float_db"], found["psnr_truth_db"]
    shown = "  ->  ".join(f"{level} {units.decibels(db)}" for level, db in true.items())
    beside = ", ".join(f"{level} {units.decibels(db)}" for level, db in near.items())
    told = () if true["float"] is None else (f"PSNR {shown}",)
    return (*told, f"beside the float images: {beside}", f"(n = {found['samples']})")


def accuracy_of_integers(report: Json) -> str:
    """Of the integer network, or that it means nothing."""
    found = report["accuracy"]
    return "meaningless" if found["meaningless"] else units.percent(found["integer"])


def levels(report: Json) -> str:
    """Accuracy at the levels above the integers."""
    found = report["accuracy"]
    known = [level for level in ("float", "spiking") if found[level] is not None]
    shown = [*(f"{x} {units.percent(found[x])}" for x in known), f"n = {found['samples']}"]
    return ", ".join([found["meaningless"], *shown] if found["meaningless"] else shown)


def bit_true(report: Json) -> tuple[str, ...]:
    """Which backends gave the same integers, or where they differ."""
    found = report["bit_true"]
    if found["equal"] is None:
        return ()
    if found["equal"]:
        cut = filter(None, (found.get("budget"), report.get("sampled")))
        return (f"{' = '.join(found['backends'])} on {found['samples']} samples", *cut)
    return ("NO", found["divergence"] or "backends differ")


def silicon(report: Json) -> tuple[str, ...]:
    """Shares of all operations per grade of evidence."""
    found = shares(report["silicon"])
    return (*found, "of all operations") if found else ()


def lava(report: Json) -> tuple[str, ...]:
    """What stock and own processes of Lava do; empty where nobody asked."""
    processes, done = report["lava"]["processes"], report["lava"]["work"]
    if processes is None:
        return ()
    whole = sum(processes.values())
    split = ", ".join(f"{count} {name}" for name, count in processes.items())
    if found := shares(done):
        return (*found, "of all operations", f"{whole} processes: {split}")
    return (f"{whole} processes", split)


def breakdown(report: Json) -> tuple[str, ...]:
    """The four parts that take most of the energy."""
    nominal = report["energy_uj"]["nominal"]
    parts = {part: uj / nominal for part, uj in report["energy_breakdown_uj"].items() if nominal and uj}
    most = dict(sorted(parts.items(), key=lambda item: -item[1])[:4])
    return (", ".join(shares(most, 0)),) if most else ()


def main_code(report: Json) -> str:
    """The code that drives most of the work."""
    code, share = max(report["purity"]["work"].items(), key=lambda item: item[1])
    return f"{units.percent(share)} {code}"


def baseline(report: Json) -> tuple[str, ...]:
    """The energy of the network as an ANN."""
    found = report["ann_baseline_uj"]
    return () if found is None else (f"{units.quantity(found, 'uJ')} (int8 MAC, same technology, dynamic)",)


def baseline_ratio(report: Json) -> tuple[str, ...]:
    """How many times as much the events take."""
    found = report["ann_baseline_ratio"]
    if found["nominal"] is None:
        return ()
    low, nominal, high = (units.count(found[level]) for level in ("low", "nominal", "high"))
    return (f"events take {nominal} x [{low} .. {high}]",)


def baseline_below(report: Json) -> str:
    """What stands below the baseline on its card."""
    return "; ".join((*baseline_ratio(report), "lower bound: int8 MACs and SRAM, dynamic energy only"))


def paper_ratio(report: Json) -> tuple[str, ...]:
    """The paper metric as a share of that of the ANN."""
    found = report["energy_paper_ratio"]
    return () if found is None else (f"{units.percent(found)} of the ANN's by that metric",)


def paper_below(report: Json) -> str:
    """What stands below the paper metric on its card."""
    found = report["energy_paper_ratio"]
    shown = f"{units.percent(found)} of the same layers as MACs"
    return why(report, "energy_paper_ratio") if found is None else shown


def bounds(report: Json) -> tuple[str, ...]:
    """Share of the time by what its steps wait for, largest first, and the layer that most of it waits for."""
    waits: dict[str, float] = defaultdict(float)
    held: dict[tuple[str, str], float] = defaultdict(float)
    for step in report["steps"] or ():
        waits[step["bound"]] += step["nominal_ns"] or 0.0
        held[step["layer"], step["bound"]] += step["nominal_ns"] or 0.0
    whole, longest = sum(waits.values()), sorted(waits.items(), key=lambda wait: -wait[1])
    shares = ", ".join(f"{bound} {units.percent(ns / whole, 0)}" for bound, ns in longest if whole)
    if not shares:
        return ()
    (layer, bound), ns = max(held.items(), key=lambda item: item[1])
    return (f"waits for {shares}", *_longest(layer, ns / whole, bound))


def _longest(layer: str, share: float, bound: str) -> tuple[str, ...]:
    """A layer that holds up the others; at the barrier none does."""
    return (
        (f"longest for {layer} {units.percent(share, 0)} ({bound})",) if layer and bound != "barrier" else ()
    )


def lookups(report: Json) -> tuple[str, ...]:
    """What the host looks up instead of the chip."""
    rows = at(report, "mapping.lookups") or ()
    told = [f"looks {row['layer']} up: {row['reads']:,} numbers read{_sent(row['messages'])}" for row in rows]
    return (*told, "its own energy and time are not counted") if told else ()


def _sent(messages: float | None) -> str:
    return "" if messages is None else f", {units.count(messages)} messages"


def search(report: Json) -> tuple[str, ...]:
    """What the mapper took and what it weighed."""
    return plans(at(report, "mapping.objective"), at(report, "mapping.plans") or ())


def expected(report: Json) -> tuple[str, ...]:
    """The layer that the mapper expects most of the time to wait for."""
    return longest(at(report, "mapping.expected") or ())


def plans(objective: str, rows: Sequence[Json]) -> tuple[str, ...]:
    """What the chosen plan is expected to cost under the objective in use, and what was weighed against it."""
    told = OBJECTIVES[objective].told if objective in OBJECTIVES.members else ()
    if not rows:
        return ()
    taken, *others = (_plan(row, told) for row in rows)
    apart = rows[0]["tiles"] if rows[0]["tiles"] > rows[0]["cores"] else 0
    how = f"expected if each of {apart} tiles had its own" if apart else "expected"
    return (f"{objective}: {taken} {how}", *others)


def longest(rows: Iterable[Json]) -> tuple[str, ...]:
    """The layer that most of the time is expected to wait for."""
    row = max(rows, key=lambda row: row["share"], default=None)
    return () if row is None else _longest(row["layer"], row["share"], row["bound"])


def _plan(row: Json, told: Iterable[str]) -> str:
    costs = (units.quantity(row[key], TOLD[key]) for key in told)
    label = "" if row["plan"] == TAKEN else f"{row['plan']} "
    return " ".join((f"{label}{row['cores']} cores", *costs))


def contended(report: Json) -> tuple[str, ...]:
    """Latency where packets wait for each other."""
    found = report["latency_contended_ms"]
    return () if found is None else (f"with contention {units.quantity(found, 'ms')}",)


def throughput(report: Json) -> tuple[str, ...]:
    """Inferences per second."""
    found = report["throughput_per_s"]
    return () if found is None else (f"throughput {units.rate(found)} (pipelined)",)


def warnings(report: Json) -> tuple[str, ...]:
    """How many warnings there are, what the first kinds of them are, and how to learn about the first."""
    kinds = {problem["code"]: problem["cause"] for problem in reversed(report["warnings"])}
    count = Counter(problem["code"] for problem in report["warnings"])
    more = {code: f" and {n - 1} more" if n > 1 else "" for code, n in count.items()}
    shown = [f"{code} {kinds[code]}{more[code]}" for code in sorted(kinds)]
    if not shown:
        return ("0",)
    listed = "; ".join(shown[:MOST_WARNINGS]) + ("; ..." if len(shown) > MOST_WARNINGS else "")
    return (f"{len(report['warnings'])}", listed, f"->  neurodeploy explain {min(kinds)}")
