"""How long the commands take and how much memory they use, as whole processes.

    .venv/bin/python benchmarks/commands.py [--runs 5]

Measures ``neurodeploy --help``, ``check`` and the two builds of the demo; prints a table, writes
``benchmarks/results/commands.json``. The goals: help under 0.5 s, check under 1 s, each build under 60 s and 2 GB.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from _bench import machine, measure, plain, table, write

PROGRAM = str(Path(sys.executable).parent / "neurodeploy")
ZOO = {"digits-a2os2a": [], "digits-vit": ["--method", "ecmt", "--timesteps", "4"]}


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each command")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure("--help", [PROGRAM, "--help"], runs)]
        for model, flags in ZOO.items():
            rows.append(measure(f"check {model}", [PROGRAM, "check", model, "--target", "loihi-sim"], runs))
            command = [PROGRAM, "build", model, "--target", "loihi-sim", *flags, "--out", f"{folder}/{model}"]
            rows.append(measure(f"build {model}", command, runs))
    print(machine(), table(rows), sep="\n\n")
    write("commands", {"rows": plain(rows)})


if __name__ == "__main__":
    main()
