"""``python -m tests.fuzz``: the campaign from the command line; ``make fuzz N=...`` calls it."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.fuzz.campaign import run, table
from tests.fuzz.readers import READERS


def main() -> int:
    """Exits with 1 where a case failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="of all readers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readers", nargs="+", choices=READERS, default=list(READERS), metavar="READER")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--kept", type=Path, default=Path("build/fuzz"), help="where failing files go")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as seeds:
        results = run(Path(seeds), chosen.readers, chosen.cases, chosen.seed, chosen.jobs, chosen.kept)
    print(table(results))
    failed = sum(result.counts["failed"] for result in results)
    print(f"{failed} failures" + (f", in {chosen.kept}" if failed else ""))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
