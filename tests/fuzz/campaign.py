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

from tests.fuzz.readers import READERS, ROOT, FileReader
from tests.fuzz.worker import case, put

SECONDS, START_SECONDS = 20.0, 120.0
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
        kinds = [self.counts[kind] for kind in ("accepted", "refused", "failed")]
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
        results = list(pool.map(lambda name: _reader(READERS[name], seeds, each, seed), names))
    for result in results:
        samples = READERS[result.reader].samples(seeds)
        for number, why in result.failures.items():
            place = kept / result.reader / str(number)
            put(case(READERS[result.reader], samples, seed, number), place)
            (place / "WHY.txt").write_text(why, errors="backslashreplace")
    return results


def _reader(reader: FileReader, seeds: Path, cases: int, seed: int) -> Result:
    result, begun, start = Result(reader.name), time.monotonic(), 0
    while start < cases and len(result.failures) < MOST_FAILURES:
        stop = min(start + BATCH, cases)
        for number, (kind, why) in _batch(reader.name, seeds, seed, start, stop):
            start = number + 1
            result.counts[kind] += 1
            if kind == "failed":
                result.failures[number] = why
            result.codes.update(why.split(", ") if kind == "refused" else ())
    result.seconds = time.monotonic() - begun
    return result


def _batch(name: str, seeds: Path, seed: int, start: int, stop: int) -> Iterator[tuple[int, tuple[str, str]]]:
    """Outcomes of one process; the last one is a failure where it ended or was ended too early."""
    command = [sys.executable, "-m", "tests.fuzz.worker", name, str(seeds), *map(str, (seed, start, stop))]
    threads = {f"{kind}_NUM_THREADS": "1" for kind in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    environment = {**os.environ, **threads, "MALLOC_ARENA_MAX": "2", "PYTHONPATH": ROOT_PATH}
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment) as process:
        number, seconds = -1, START_SECONDS
        for line in _lines(process):
            if line is None:
                process.kill()
                break
            if line.isdigit():
                number, seconds = int(line), SECONDS
            else:
                yield number, tuple(json.loads(line))
                number += 1
        code = process.wait()
    if number < stop:
        why = f"no answer after {seconds:.0f} s" if code == -9 else f"the process ended with {code}"
        yield max(number, start), ("failed", why)


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
            waited = SECONDS
            yield from (line.decode() for line in lines)


def table(results: Iterable[Result]) -> str:
    """The results for people, failures of the same last line together."""
    rows = [("reader", "cases", "accepted", "refused", "failed", "s"), *(r.row for r in results)]
    lines = [
        "".join(f"{cell!s:<12}" if i == 0 else f"{cell!s:>10}" for i, cell in enumerate(row)) for row in rows
    ]
    for result in results:
        reasons = Counter(why.strip().splitlines()[-1][:150] for why in result.failures.values())
        lines += [f"{result.reader}: {count} x {why}" for why, count in reasons.most_common()]
    return "\n".join(lines)
