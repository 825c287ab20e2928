"""The sequence models of the zoo as integers beside their floats, over the whole held-out text.

    .venv/bin/python benchmarks/sequences.py [NAME ...]

Bits per token and how often the likeliest token is right, of the torch module in single precision and of the integer
network on the `cpu` backend, quantised as a build does it with 64 calibration windows. Each row goes to
``benchmarks/results/sequences.json``; `make docs` makes a table of it.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import torch
from _bench import RESULTS, write

from neurodeploy import calibrate, datasets, passes
from neurodeploy.backends._base import BACKENDS
from neurodeploy.builds.evaluated import surprise
from neurodeploy.convert._base import METHODS
from neurodeploy.inputs.samples import stratified
from neurodeploy.program import Program
from neurodeploy.quantize import quantize
from neurodeploy.sources import resolve, zoo

WINDOWS, AT_ONCE = 64, 32


def row(name: str) -> dict[str, Any]:
    """Of one model."""
    start, entry, data = time.process_time(), zoo.entry(name), datasets.load(zoo.entry(name).dataset)
    x, labels = data.test.take(range(len(data.test)))
    wanted = datasets.following(x, labels)
    with torch.no_grad():
        seen = torch.from_numpy(x).float().transpose(0, 1)
        floats = zoo.submodule("sequences").run(zoo.load(name), seen).transpose(0, 1).double().numpy()
    graph = passes.simplify(resolve.from_torch(zoo.load(name), entry.spec, name).graph)
    calibration = data.train.take(stratified(data.train.labels, WINDOWS, 0))[0]
    method = METHODS[entry.method]
    spiking = method.rewrite(graph, method.configure({})[1], calibration, entry.timesteps)
    program = Program(quantize(spiking, calibrate.measure(spiking, calibration)))
    outputs, clipped = [], 0
    for first in range(0, len(x), AT_ONCE):
        trace, _ = BACKENDS["cpu"].run(program, x[first : first + AT_ONCE])
        outputs.append(trace.outputs.swapaxes(0, 1))
        clipped += sum(trace.saturations.values())
    unit = program.graph.values[program.graph.output.name].fixed
    integers = np.concatenate(outputs) * np.asarray(unit.scale if unit else 1.0)
    found: dict[str, Any] = {"model": name, "tokens": wanted.size, "clipped": clipped}
    for level, logits in (("float", floats), ("integer", integers)):
        found[f"{level}_bits"] = float(surprise(logits, wanted).mean())
        found[level] = float((logits.argmax(axis=-1) == wanted).mean())
    return found | {"cpu_seconds": round(time.process_time() - start, 1)}


def main() -> None:
    """Measure the models and keep their rows."""
    known = [n for n in zoo.names() if zoo.entry(n).trained and zoo.entry(n).kind == "sequence"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=known, help="models of the zoo (default: all of them)")
    path = RESULTS / "sequences.json"
    rows = {old["model"]: old for old in json.loads(path.read_text())["rows"]} if path.is_file() else {}
    for name in parser.parse_args().names:
        rows[name] = row(name)
        print(rows[name], flush=True)
        write("sequences", {"rows": [rows[key] for key in sorted(rows)]})


if __name__ == "__main__":
    main()
