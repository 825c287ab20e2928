"""Networks of timm, transformers and torchvision exported to ONNX, and imported from the file as a user imports it.

    .venv/bin/python benchmarks/onnx_models.py [--every 11] [--seconds 500]

Every so manieth of the variants that `library_models.py` imports equal, by both of torch's exporters where they are
there. *equal*: outputs of the graph on random images or texts are those of the library's own call in double precision
and, by the check of every import, those of onnxruntime; *unwritten*: the exporter refuses the network, or writes a file
that onnxruntime refuses. Results go to ``benchmarks/results/onnx_models-TORCH.json``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
import time
import warnings
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import library_models
import numpy as np
from _bench import RESULTS, write
from _variants import Variant, variants

from neurodeploy import guarded, sources
from neurodeploy.config import BuildConfig
from neurodeploy.errors import NeurodeployError
from neurodeploy.frontends.libraries._base import LIBRARIES
from neurodeploy.inputs import samples
from neurodeploy.ir import interp

#: of single precision, in which a file keeps its constants
NEAR = 1e-5
STATES = ("equal", "refused", "wrong", "unwritten", "error")
OPSETS = {"TorchScript": 17, "dynamo": 18}


def outcome(variant: Variant, exporter: str) -> dict[str, Any]:
    """State, and why, or how far outputs are apart."""
    import torch

    prefix, _, name = variant.model.partition(":")
    library = LIBRARIES[prefix]
    built = library.build(name, library.configure({"pretrained": False, **variant.reader}))
    scale, offset = (0.0, 0.0) if built.spec.tokens else (1 / 128, -1.0)
    example = torch.zeros(2, *built.spec.shape, dtype=torch.int64 if built.spec.tokens else torch.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        try:
            _export(built.module.eval(), example, path, exporter)
        except Exception as error:
            return {"state": "unwritten", "why": f"{type(error).__name__}: {str(error)[:200]}"}
        levels = {} if built.spec.tokens else {"scale": scale, "offset": offset}
        try:
            graph = sources.load(BuildConfig(model=str(path), target="loihi-sim", **levels)).graph
        except NeurodeployError as error:
            invalid = any("INVALID_GRAPH" in p.found for p in error.problems)
            why = "; ".join(f"{p.code} {p.cause}: {p.found}" for p in error.problems)[:400]
            return {"state": "unwritten" if invalid else "refused", "why": why}
    raw = library_models.drawn(graph)
    found = interp.run(graph, samples.one_hot(graph, raw) if built.spec.tokens else raw).outputs[0]
    try:
        wanted = _said(built, raw * scale + offset if levels else raw, torch.float64)
    except RuntimeError:  # a module that keeps numbers of single precision for itself
        wanted = _said(built, raw * scale + offset if levels else raw, torch.float32)
    if found.size != wanted.size:
        return {"state": "wrong", "why": f"{found.shape} instead of {wanted.shape}"}
    apart = float(
        np.abs(found.reshape(wanted.shape) - wanted).max() / max(float(np.abs(wanted).max()), 1e-30)
    )
    return {"state": "equal" if apart <= NEAR else "wrong", "apart": apart}


def _said(built: Any, x: Any, kind: Any) -> Any:
    """What the library's own call makes of images or ids, in a precision."""
    import torch

    built.module.to(kind)
    torch.set_default_dtype(kind)
    given = torch.as_tensor(x) if built.spec.tokens else torch.as_tensor(x, dtype=kind)
    with torch.no_grad():
        return (built.reference or built.module)(given).numpy()


def _export(module: Any, example: Any, path: Path, exporter: str) -> None:
    import torch

    new = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 5)
    more: dict[str, Any] = {"dynamo": exporter == "dynamo"} if new else {}
    silent = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (example,), str(path), opset_version=OPSETS[exporter], **more)


def report() -> str:
    """Counts by exporter and version of torch, and what is not equal, in Markdown."""
    lines = ["| torch | Exporter | Networks | Equal | Largest difference | Refused | Wrong | Not written | Error |",
             "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    rest = []
    for file in sorted(RESULTS.glob("onnx_models-*.json")):
        rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
        version = file.stem.partition("-")[2]
        for exporter in dict.fromkeys(row["exporter"] for row in rows):
            own = [row for row in rows if row["exporter"] == exporter]
            count = Counter(row["state"] for row in own)
            far = max((row["apart"] for row in own if row["state"] == "equal"), default=0.0)
            states = " | ".join(str(count[state]) for state in STATES[1:])
            lines.append(f"| {version} | {exporter} | {len(own)} | {count['equal']} | {far:.1e} | {states} |")
            rest += [
                f"- {row['name']} ({version}, {exporter}), {row['state']}: {row['why'][:160]}"
                for row in own
                if row["state"] != "equal" and "why" in row
            ]
    return "\n".join([*lines, "", *rest]).strip()


def main() -> None:
    """Rows that are missing, until the time is over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=500)
    chosen = parser.parse_args()
    import torch

    version = torch.__version__.partition("+")[0]
    torch.set_num_threads(1)
    known = json.loads((RESULTS / f"library_models-{version}.json").read_text(encoding="utf-8"))["rows"]
    equal = {row["name"] for row in known if row["state"] == "equal"}
    asked = [variant for variant in variants() if variant.name in equal][:: chosen.every]
    exporters = [name for name in OPSETS if name != "dynamo" or find_spec("onnxscript")]
    file = RESULTS / f"onnx_models-{version}.json"
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.exists() else []
    end = time.monotonic() + chosen.seconds
    for variant, exporter in ((v, e) for v in asked for e in exporters):
        if any((row["name"], row["exporter"]) == (variant.name, exporter) for row in rows):
            continue
        if time.monotonic() > end:
            break
        start = time.monotonic()
        try:
            found = guarded.call(outcome, variant, exporter, seconds=library_models.SECONDS, memory=6 << 30)
        except guarded.Stopped as stopped:
            found = {"state": "error", "why": str(stopped)}
        row = {
            "name": variant.name,
            "exporter": exporter,
            **found,
            "seconds": round(time.monotonic() - start, 1),
        }
        rows.append(row)
        print(row, flush=True)
        write(file.stem, {"rows": rows})
    print(Counter((row["exporter"], row["state"]) for row in rows))


if __name__ == "__main__":
    main()
