"""What SANA-FE says of the same network and the same activity, beside what we say.

SANA-FE (GPL-3) runs in a process of its own: it is given files and returns one, and is imported by nothing here. Both
sides count the same recorded spikes with the same coefficients, so that a difference is one of the cost models. Counts
and energies are compared over samples that follow each other without a gap, T steps each: SANA-FE evaluates every
neuron in every step, and there each has exactly its T ticks. The time of a single frame comes from a second run, in
which every sample has T + depth steps of its own.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...array import Array
from ...cost.estimate import estimate
from ...cost.types import Estimate
from ...errors import BackendError, Problem, VerifyError
from ...files import io_problem, write_text
from ...program import Program
from ...target import Target
from .net import MEMORY_GB, Counts, Network
from .timing import replayed
from .write import export

PYTHON = "NEURODEPLOY_SANAFE_PYTHON"
TIME_LIMIT_S = 600.0
PROBE_LIMIT_S = 60.0
TIMINGS = ("detailed", "simple", "cycle")
LARGEST_RESULT = 1 << 20  # bytes
TAIL = 4000  # bytes of what it printed that are looked at
TOLERANCE = 1e-6  # relative; energies are sums of doubles

INSTALL = "install it where you like: python -m venv ENV; ENV/bin/pip install sanafe"
PROBE = "import importlib.metadata as m, sanafe; print('version', m.version('sanafe'))"
#: runs in the other process; everything it needs is in the job file, everything it says in the result file
DRIVER = """
import json, sys
import sanafe
with open(sys.argv[1]) as file:
    job = json.load(file)
arch = sanafe.load_arch(job["architecture"])
chip = sanafe.SpikingChip(arch)
chip.load(sanafe.load_net(job["network"], arch))
runs = []
for steps in job["steps"]:
    run = chip.sim(steps, timing_model=job["timing"], perf_trace=True)
    hops = sum(run["perf_trace"]["hops"])
    runs.append({k: run[k] for k in job["keys"]} | {"hops": hops})
with open(job["result"], "w") as file:
    json.dump(runs, file)
"""
REPORTED = ("timesteps_executed", "energy", "sim_time", "spikes", "packets_sent", "neurons_fired")
PARTS = ("synapse", "dendrite", "soma", "network", "total")

#: part of SANA-FE's energy -> our terms that answer to it
ANSWERS = {
    "synapse": ("synaptic_op",),
    "dendrite": (),
    "soma": ("neuron_update", "neuron_spike"),
    "network": ("axon_out", "axon_in", "packet_hop_x", "packet_hop_y"),
}
NOTES = (
    "synapse: both count messages that meet a weight other than zero. Messages to products, sums, delays and the host"
    " meet none; SANA-FE has them delivered over a connection without cost.",
    "soma: updates and spikes of the chip's own neurons. SANA-FE updates every neuron in every step, which equals our T"
    " ticks per sample where samples follow each other without a gap; a single frame of T + depth steps costs it more.",
    "network: axons out and in per packet, and hops. SANA-FE sends one message per spike and core; ours are several"
    " where a core addresses the same spike in several ways. What the host sends crosses no link on either side.",
    "only ours: products, microcode, the programs of other neurons, state words, barriers, links between chips and to"
    " the host, static power.",
    "time: the terms of our steps overlap in part, products, microcode and the fullest link among them. SANA-FE lets a"
    " core work on neurons and on arriving messages side by side, knows neither products nor microcode, and adds the"
    " barrier to every step; a synaptic event takes the words of memory that are read for one on the mean. Its detailed"
    " model also holds senders up where routes are full.",
    "time by events: ours with SANA-FE's terms alone, and packets that queue for links and receivers and wait where"
    " buffers are full. SANA-FE's cycle model simulates the network flit by flit; its detailed model estimates waiting"
    " from how many messages are under way on a route, its simple one knows none.",
)


@dataclass(frozen=True)
class Run:
    """What SANA-FE reports of one run: events, joules by part, seconds."""

    steps: int
    fired: int
    synaptic_events: int
    packets: int
    hops: int
    energy_j: Mapping[str, float]
    time_s: float


@dataclass(frozen=True)
class Count:
    """One kind of event, all samples together: ours, SANA-FE's, and by how much they ought to differ and why."""

    kind: str
    ours: int
    sanafe: int
    difference: int = 0
    why: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the difference is the one that is explained."""
        return self.sanafe - self.ours == self.difference


@dataclass(frozen=True)
class Figure:
    """An energy or a time per inference on both sides; None where a side has none."""

    name: str
    unit: str
    ours: float | None
    sanafe: float | None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """SANA-FE's over ours."""
        return self.sanafe / self.ours if self.ours and self.sanafe is not None else None


@dataclass(frozen=True, eq=False)
class Crosscheck:
    """Both accounts of the same samples; ``whole`` is False where layers were chosen."""

    target: str
    samples: int
    version: str
    timing: str
    whole: bool
    synapses: int
    counts: tuple[Count, ...]
    energy: tuple[Figure, ...]
    time: tuple[Figure, ...]
    not_carried: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = NOTES
    problems: tuple[Problem, ...] = field(default=())
    input: str = ""  # what the counts are labelled with, where no data were given

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        apart = ("counts", "energy", "time", "problems", "not_carried")
        own = {k: v for k, v in vars(self).items() if k not in apart}
        counts = [{**vars(c), "agrees": c.agrees} for c in self.counts]
        energy, time = (
            [{**vars(f), "ratio": f.ratio} for f in figures] for figures in (self.energy, self.time)
        )
        lost = [{"node": node, "what": what} for node, what in self.not_carried]
        judged = {"counts": counts, "energy": energy, "time": time, "not_carried": lost}
        return {**own, **judged, "agrees": not self.problems}

    def require(self) -> Crosscheck:
        """Itself, or VerifyError ND652 with every account that disagrees beyond what is explained."""
        if self.problems:
            raise VerifyError(self.problems)
        return self


def crosscheck(
    program: Program,
    target: Target,
    x: Array,
    *,
    python: str = "",
    layers: Sequence[str] = (),
    timing: str = TIMINGS[0],
    memory_gb: float = MEMORY_GB,
    time_limit_s: float = TIME_LIMIT_S,
) -> Crosscheck:
    """Export, run and compare raw inputs ``x`` (samples, ...).

    Raises BackendError (ND720 SANA-FE is not there, ND721 its run failed, was too slow or returned nonsense) and what
    the exporter raises.
    """
    interpreter = interpreter_of(python)
    version = find(interpreter)
    with _scratch() as folder:
        how: dict[str, Any] = {"target": target, "layers": layers, "memory_gb": memory_gb}
        (network, architecture, _), net = export(program, folder / "network.yaml", x, **how)
        runs = simulate(interpreter, architecture, network, (net.pipelined, net.framed), timing, time_limit_s)
    return compare(program, target, net, runs, version, timing)


# --- the other process -----------------------------------------------------------------------------------------------


def interpreter_of(python: str = "") -> str:
    """The interpreter that has SANA-FE: the one given, else NEURODEPLOY_SANAFE_PYTHON, else this one."""
    return python or os.environ.get(PYTHON, "") or sys.executable


def find(interpreter: str) -> str:
    """SANA-FE's version there; BackendError ND720 if it cannot be imported."""
    with _scratch() as folder:
        code, said = _run([interpreter, "-c", PROBE], folder, PROBE_LIMIT_S)
    found = [line.split()[1:] for line in said.splitlines() if line.startswith("version ")]
    if code == 0 and found and found[-1]:
        return found[-1][0]
    fixes = (INSTALL, "neurodeploy crosscheck DIR --python ENV/bin/python", f"or set {PYTHON}")
    cause, reason = "SANA-FE is not installed here", _last(said) or f"it ended with {code}"
    raise BackendError(Problem("ND720", cause, interpreter, reason, "sanafe 2", fixes))


def simulate(
    interpreter: str,
    architecture: Path,
    network: Path,
    steps: Sequence[int],
    timing: str = TIMINGS[0],
    time_limit_s: float = TIME_LIMIT_S,
) -> list[Run]:
    """Runs of so many steps, one after the other on the same chip; BackendError ND721 for whatever goes wrong."""
    with _scratch() as folder:
        job, result = folder / "job.json", folder / "result.json"
        paths = {"architecture": str(architecture.resolve()), "network": str(network.resolve())}
        asked = {**paths, "steps": list(steps), "timing": timing, "keys": REPORTED, "result": str(result)}
        write_text(job, json.dumps(asked))
        code, said = _run([interpreter, "-c", DRIVER, str(job)], folder, time_limit_s)
        if code != 0:
            raise _failed(_last(said) or f"it ended with {code}")
        return read(result, steps)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A folder that is gone afterwards; EnvironmentProblem ND90x if there is no room for one."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="neurodeploy-sanafe-")
    except OSError as error:
        raise io_problem(error, tempfile.gettempdir()) from error
    with folder as name:
        yield Path(name)


def _run(command: Sequence[str], folder: Path, limit_s: float) -> tuple[int, str]:
    """(exit code, end of what it printed); nothing of it is left running, whatever happens."""
    log = folder / "log.txt"
    quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "start_new_session": True}
    try:
        with log.open("wb") as out:
            process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, **quiet)
    except OSError as error:
        return 127, f"{error.strerror or error}: {command[0]}"
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired as error:
        fewer = "fewer samples: --samples N", "fewer layers: --layers PATTERN"
        found = f"not done after {limit_s:g} s"
        raise _failed(found, "allow more: --time-limit SECONDS", *fewer) from error
    finally:  # stop it and what it started; nothing happens to one that has ended
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    with log.open("rb") as said:
        said.seek(max(0, log.stat().st_size - TAIL))
        return code, said.read().decode("utf-8", "replace")


def _last(said: str) -> str:
    """The last line that says something."""
    return next((line.strip()[:200] for line in reversed(said.splitlines()) if line.strip()), "")


def _failed(found: str, *fixes: str) -> BackendError:
    advice = fixes or ("the files can be looked at: neurodeploy export DIR --to sanafe --out network.yaml",)
    cause = "SANA-FE did not return a usable result"
    return BackendError(Problem("ND721", cause, "sanafe", found, fixes=advice))


def read(path: Path, steps: Sequence[int]) -> list[Run]:
    """The runs of a result file; BackendError ND721 unless it is exactly what was asked for."""
    try:
        if path.stat().st_size > LARGEST_RESULT:
            raise ValueError(f"{path.stat().st_size} bytes")
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, list) or len(found) != len(steps):
            raise ValueError(f"not a list of {len(steps)} runs")
        return [_parsed(run, wanted) for run, wanted in zip(found, steps, strict=True)]
    except FileNotFoundError as error:
        raise _failed("no result file") from error
    except (OSError, ValueError, RecursionError) as error:  # a JSON or UTF-8 error is a ValueError
        raise _failed(f"the result cannot be read: {error}"[:200]) from error


def _parsed(run: Any, steps: int) -> Run:
    if not isinstance(run, dict) or not isinstance(run.get("energy"), dict):
        raise ValueError("a run without energy")
    if _number(run, "timesteps_executed") != steps:
        raise ValueError(f"{run['timesteps_executed']} steps instead of {steps}")
    kinds = ("neurons_fired", "spikes", "packets_sent", "hops")
    fired, synaptic, packets, hops = (int(_number(run, kind)) for kind in kinds)
    energy = {key: float(_number(run["energy"], key, whole=False)) for key in PARTS}
    return Run(steps, fired, synaptic, packets, hops, energy, float(_number(run, "sim_time", whole=False)))


def _number(table: Mapping[str, Any], key: str, whole: bool = True) -> int | float:
    """A count or an amount; ValueError for anything else."""
    value = table.get(key)
    if type(value) is int and value >= 0:
        return value
    if not whole and type(value) is float and math.isfinite(value) and value >= 0:
        return value
    raise ValueError(f"{key} is {value!r:.40}")


# --- comparison ------------------------------------------------------------------------------------------------------


def compare(
    program: Program, target: Target, net: Network, runs: Sequence[Run], version: str, timing: str
) -> Crosscheck:
    """Both accounts side by side, and every disagreement that is not explained."""
    pipelined, framed = runs
    counts = _counts(net, pipelined)
    found = estimate(program, net.events, target) if net.whole else None
    problems = [_disagreement(c) for c in counts if not c.agrees]
    problems += _by_hand(net.expected, target, pipelined)
    return Crosscheck(
        target=target.name, samples=net.samples, version=version, timing=timing, whole=net.whole,
        synapses=net.synapses, counts=tuple(counts), energy=tuple(_energy(net, target, pipelined, found)),
        time=tuple(_times(net, target, pipelined, framed, found)), not_carried=net.not_carried,
        problems=tuple(problems),
    )  # fmt: skip


def ours(net: Network) -> dict[str, int]:
    """Our events by coefficient, all samples together: those of the simulated cores, or of the chosen layers."""
    if net.whole:
        total = {k: int(net.events.core_counts[..., i].sum()) for i, k in enumerate(net.events.kinds)}
        kinds = {
            "synaptic_op": "synaptic_ops", "neuron_update": "stock_updates", "neuron_spike": "spikes",
            "axon_out": "packets_out", "axon_in": "packets_in", "packet_hop_x": "hops_x", "packet_hop_y": "hops_y",
        }  # fmt: skip
        return {coefficient: total[kind] for coefficient, kind in kinds.items()}
    return carried(net.expected)


def carried(counts: Counts) -> dict[str, int]:
    """The events that SANA-FE is made to price, by coefficient."""
    return {
        "synaptic_op": counts.synaptic_events - counts.deliveries,
        "neuron_update": counts.updates,
        "neuron_spike": counts.spikes,
        "axon_out": counts.packets - counts.from_host,
        "axon_in": counts.packets - counts.to_host,
        "packet_hop_x": counts.hops_x,
        "packet_hop_y": counts.hops_y,
    }


def _counts(net: Network, run: Run) -> list[Count]:
    own, wanted = ours(net), net.expected
    outside, merged = wanted.fired - wanted.spikes, wanted.merged
    senders = "that the host injects" if net.whole else "of the host and of senders outside the layers"
    unmet = "messages that meet no weight" if wanted.deliveries else ""
    together = f"{merged} messages of one spike to one core are one message there" if merged else ""
    injected = "; ".join(filter(None, ("packets that the host injects", together)))
    injected = injected if wanted.from_host or merged else ""
    fewer, fewer_hops = (merged, wanted.merged_hops) if net.whole else (0, 0)
    hops = own["packet_hop_x"] + own["packet_hop_y"]
    return [
        Count("spikes", own["neuron_spike"], run.fired, outside, f"spikes {senders}" if outside else ""),
        Count("synaptic events", own["synaptic_op"], run.synaptic_events, wanted.deliveries, unmet),
        Count("packets", own["axon_out"], run.packets, wanted.from_host - fewer, injected),
        Count("hops", hops, run.hops, -fewer_hops, together),
    ]


def _disagreement(count: Count) -> Problem:
    cause = f"{count.kind} of SANA-FE and of the simulated cores differ by more than is explained"
    wanted = f"{count.ours + count.difference} ({count.ours} and {count.difference} {count.why or 'more'})"
    return Problem("ND652", cause, "all samples together", str(count.sanafe), wanted)


def _by_hand(counts: Counts, target: Target, run: Run) -> list[Problem]:
    """SANA-FE's energies against events x coefficients."""
    events, wrong = carried(counts), []
    for part, coefficients in ANSWERS.items():
        wanted = _priced(target, events, coefficients) * 1e-12
        if abs(run.energy_j[part] - wanted) > TOLERANCE * max(wanted, 1e-15):
            cause = f"the {part} energy of SANA-FE is not events x coefficients"
            where = ", ".join(f"energy_pj.{key}" for key in coefficients)
            wrong.append(Problem("ND652", cause, where, f"{run.energy_j[part]:.9g} J", f"{wanted:.9g} J"))
    return wrong


def _priced(target: Target, events: Mapping[str, int], coefficients: Iterable[str]) -> float:
    """Energy in pJ."""
    prices = target.costs.energy_pj
    return float(sum(events[key] * getattr(prices, key).nominal for key in coefficients))


def _energy(net: Network, target: Target, run: Run, found: Estimate | None) -> list[Figure]:
    """Microjoules per inference by part, then what only we count."""
    own, n = ours(net), net.samples
    figures = []
    for part, keys in ANSWERS.items():
        mine = _priced(target, own, keys) * 1e-6 / n
        note = " + ".join(f"energy_pj.{key}" for key in keys) or "no counterpart in the target"
        figures.append(Figure(part, "uJ", mine, run.energy_j[part] * 1e6 / n, note))
    shared = sum(f.ours or 0.0 for f in figures)
    figures.append(Figure("shared terms", "uJ", shared, run.energy_j["total"] * 1e6 / n))
    if found is None:
        return figures
    answered = {f"energy_pj.{key}" for keys in ANSWERS.values() for key in keys}
    for key in dict.fromkeys(term.key for term in found.terms if term.key not in answered):
        mine = sum(term.energy_pj.nominal for term in found.terms if term.key == key) * 1e-6
        if mine:
            figures.append(Figure(key.partition(".")[2], "uJ", mine, None, f"{key}, only ours"))
    figures.append(Figure("all terms", "uJ", found.energy_pj.nominal * 1e-6, run.energy_j["total"] * 1e6 / n))
    return figures


def _times(net: Network, target: Target, pipelined: Run, framed: Run, found: Estimate | None) -> list[Figure]:
    """Milliseconds per inference, between results in a pipeline and of a single frame: all our terms, then shared."""
    times = (found.timing.period_ns, found.timing.latency_ns) if found else (None, None)
    every = [None if time is None else time.nominal * 1e-6 for time in times]
    events = replayed(net, target)
    shared = [time * 1e-6 / net.samples for time in (events.pipelined_ns, events.framed_ns)]
    runs = tuple(zip(("pipelined", "one frame"), (pipelined, framed), strict=True))
    figures = [
        Figure(name, "ms", own, run.time_s * 1e3 / net.samples, f"{run.steps // net.samples} steps a sample")
        for own, (name, run) in zip(every, runs, strict=True)
    ]
    note = "shared terms alone, with queues and full buffers"
    figures += [
        Figure(f"{name}, by events", "ms", own, run.time_s * 1e3 / net.samples, note)
        for own, (name, run) in zip(shared, runs, strict=True)
    ]
    return figures
