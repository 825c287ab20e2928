"""One guarded process: reads damaged files one after the other and says after each what came of it.

A line on the pipe before a file is read is its number, the line after it the outcome as JSON; whoever reads them knows
what a process that ended or hangs was doing.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.mutators import damage
from tests.fuzz.readers import READERS, TRAP, FileReader, Sample

GIB = 1 << 30
WARM = "imports"  # said before and after a valid sample is read, which brings in what the reader works with


def case(reader: FileReader, samples: list[Sample], seed: int, number: int) -> dict[str, bytes]:
    """The files of a case: the samples as they are come first, then damaged ones."""
    if number < len(samples):
        return dict(samples[number])
    rng = Random(f"{seed}/{reader.name}/{number}")
    return reader.seal(damage(rng, rng.choice(samples)))


def put(files: dict[str, bytes], folder: Path) -> None:
    """Write the files of a case."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def outcome(reader: FileReader, folder: Path) -> tuple[str, str]:
    """("accepted" | "refused" | "failed", why)."""
    from neurodeploy.codes import CODES
    from neurodeploy.errors import NeurodeployError

    try:
        reader.read(folder)
        kind, why = "accepted", ""
    except NeurodeployError as error:
        kind, why = "refused", ", ".join(sorted({p.code for p in error.problems}))
        if not error.problems or not all(p.code in CODES and p.cause for p in error.problems):
            kind, why = "failed", f"a problem without code or cause: {error}"
        if any(isinstance(cause, MemoryError) for cause in _causes(error)):
            kind, why = "failed", f"memory: {error}"
    except BaseException as error:
        kind, why = "failed", "".join(traceback.format_exception(error))
    return ("failed", "code was executed") if (folder / TRAP).exists() else (kind, why)


def _causes(error: BaseException | None) -> Any:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def limit() -> None:
    """A gibibyte on top of what the process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + GIB,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(name: str, seeds: str, kept: str, seed: int, start: int, stop: int) -> None:
    """Cases ``start`` .. ``stop`` - 1; the files of those that fail stay in a folder of their number in ``kept``."""
    reader = READERS[name]
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    samples = reader.samples(Path(seeds))
    with tempfile.TemporaryDirectory() as scratch:
        print(WARM, file=pipe)
        put(dict(samples[0]), Path(scratch) / WARM)
        os.chdir(scratch)
        outcome(reader, Path(scratch) / WARM)
        print(WARM, file=pipe)
        limit()
        for number in range(start, stop):
            files = case(reader, samples, seed, number)
            folder = Path(kept) / str(number)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            os.chdir(folder)
            put(files, folder)
            print(number, file=pipe)
            found = outcome(reader, folder)
            os.chdir(scratch)
            if found[0] != "failed":
                shutil.rmtree(folder)
            print(json.dumps(found), file=pipe)


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))
