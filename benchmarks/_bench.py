"""What every benchmark shares: the machine in words, whole-process measurements, a table and a JSON file."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def machine() -> str:
    """Processor, cores, memory, Python and system of this machine, in one line."""
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        size = f", {memory:.0f} GiB"
    except OSError:
        size = ""
    return f"{cpu}, {os.cpu_count()} cores{size}, Python {platform.python_version()}, {platform.system()}"


@dataclass(frozen=True)
class Measured:
    """Median, smallest and largest wall time in seconds over the runs, and the largest resident set in MiB."""

    name: str
    runs: int
    median_s: float
    min_s: float
    max_s: float
    peak_mib: float


def measure(name: str, command: Sequence[str], runs: int, cwd: Path | None = None) -> Measured:
    """Run a command ``runs`` times after one warm-up; raises CalledProcessError if it fails."""
    samples = [_once(command, cwd) for _ in range(runs + 1)][1:]
    times = [wall for wall, _ in samples]
    peak = max(size for _, size in samples)
    return Measured(name, runs, statistics.median(times), min(times), max(times), peak)


def _once(command: Sequence[str], cwd: Path | None) -> tuple[float, float]:
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status):
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), list(command))
    return wall, usage.ru_maxrss / 1024


def table(rows: Sequence[Measured]) -> str:
    """The measurements as a Markdown table."""
    head = "| what | runs | median s | min s | max s | peak MiB |\n|---|---:|---:|---:|---:|---:|\n"
    return head + "\n".join(
        f"| {r.name} | {r.runs} | {r.median_s:.3f} | {r.min_s:.3f} | {r.max_s:.3f} | {r.peak_mib:.0f} |"
        for r in rows
    )


def write(name: str, data: dict[str, Any]) -> Path:
    """Write ``results/<name>.json`` with the machine beside the data."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **data}, indent=2) + "\n")
    return path


def plain(rows: Sequence[Measured]) -> list[dict[str, Any]]:
    """The measurements as JSON."""
    return [asdict(r) for r in rows]
