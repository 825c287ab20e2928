"""Runs a campaign: batches of cases in guarded processes, a new one where one ends or hangs, and a table of it all."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.readers import READERS, ROOT
from tests.fuzz.worker import WARM

#: of a file, twice what a guarded reader is given, and of a process until its first
SECONDS, START_SECONDS = 40.0, 120.0
BATCH = 2000
ROOT_PATH = str(ROOT)  # where a process finds us
#: failures after which a reader is given up
MOST_FAILURES = 200


@dataclass
class Result:
    """What came of the cases of one reader; ``failures`` by number of the case."""

    reader: str
    counts: Counter[str] = field(default_factory=Counter)
    failures: dict[int, str] = field(default_factory=dict)
    codes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def row(self) -> tuple[object, ...]:
        """One line of the table."""
        kinds = [self.counts[kind] for kind in ("accepted", "refused", "unmade", "failed")]
        return self.reader, self.counts.total(), *kinds, f"{self.seconds:.1f}"


def prepare(folder: Path, names: Iterable[str]) -> None:
    """Write the valid samples of readers."""
    for name in names:
        (folder / name).mkdir(parents=True)
        READERS[name].write(folder / name)


def run(seeds: Path, names: Iterable[str], cases: int, seed: int, jobs: int, kept: Path) -> list[Result]:
    """The same number of cases for each reader; failing files go to ``kept``."""
    prepare(seeds, names := tuple(names))
    each = -(-cases // len(names))
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(lambda name: _reader(name, seeds, each, seed, kept.resolve() / name), names))


def _reader(name: str, seeds: Path, cases: int, seed: int, kept: Path) -> Result:
    result, begun, start = Result(name), time.monotonic(), 0
    while start < cases and len(result.failures) < MOST_FAILURES:
        stop = min(start + BATCH, cases)
        for number, (kind, why) in _batch(name, seeds, kept, seed, start, stop):
            start = number + 1
            result.counts[kind] += 1
            if kind == "failed":
                result.failures[number] = why
                (kept / str(number)).mkdir(parents=True, exist_ok=True)
                (kept / str(number) / "WHY.txt").write_text(why, errors="backslashreplace")
            result.codes.update(why.split(", ") if kind == "refused" else ())
    result.seconds = time.monotonic() - begun
    return result


def _batch(
    name: str, seeds: Path, kept: Path, seed: int, start: int, stop: int
) -> Iterator[tuple[int, tuple[str, str]]]:
    """Outcomes of one process; the last one is a failure where it ended or was ended while it read.

    A process that ended before that was damaging a file: there is nothing to read, and the case is "unmade".
    """
    numbers = map(str, (seed, start, stop))
    command = [sys.executable, "-m", "tests.fuzz.worker", name, str(seeds), str(kept), *numbers]
    threads = {f"{kind}_NUM_THREADS": "1" for kind in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    environment = {**os.environ, **threads, "MALLOC_ARENA_MAX": "2", "PYTHONPATH": ROOT_PATH}
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment) as process:
        number, seconds, reads = start, START_SECONDS, False
        for line in _lines(process):
            if line is None:
                process.kill()
                break
            if line == WARM:
                reads = not reads
            elif line.isdigit():
                number, seconds, reads = int(line), SECONDS, True
            else:
                yield number, tuple(json.loads(line))
                number, reads = number + 1, False
        code = process.wait()
    if number < stop:
        why = f"no answer after {seconds:.0f} s" if code == -9 else f"the process ended with {code}"
        yield number, ("failed" if reads else "unmade", why)


def _lines(process: subprocess.Popen[bytes]) -> Iterator[str | None]:
    """What a process writes, line by line; None where it was silent too long."""
    buffer, waited = b"", START_SECONDS
    pipe = process.stdout
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(waited):
                yield None
                return
            chunk = os.read(pipe.fileno(), 1 << 16)
            if not chunk:
                return
            *lines, buffer = (buffer + chunk).split(b"\n")
            waited = SECONDS if any(line.isdigit() for line in lines) else waited
            yield from (line.decode() for line in lines)


def table(results: Iterable[Result]) -> str:
    """The results for people, failures of the same last line together."""
    rows = [("reader", "cases", "accepted", "refused", "unmade", "failed", "s"), *(r.row for r in results)]
    lines = [
        "".join(f"{cell!s:<12}" if i == 0 else f"{cell!s:>10}" for i, cell in enumerate(row)) for row in rows
    ]
    for result in results:
        reasons = Counter(why.strip().splitlines()[-1][:150] for why in result.failures.values())
        lines += [f"{result.reader}: {count} x {why}" for why, count in reasons.most_common()]
    return "\n".join(lines)
