"""Small variants of networks of timm, transformers and torchvision, imported as a user imports them.

    .venv/bin/python benchmarks/library_models.py [NAME ...] [--seconds 500] [--again STATE ...]

Each has random parameters and is imported in a copy of this process that may take so much time and memory. What an
import says is believed no further than this: *equal* is a graph whose outputs on random images, or on texts of which
some are padded, are those of the library's own call in double precision; *wrong* one that differs; *refused* has a code
and a reason; *error* is anything else. Each row goes to ``benchmarks/results/library_models-TORCH.json`` when it is
done, in place of an older one of the same variant; those that have a row are left out unless they are named, or their
state is among ``--again``. `make docs` makes the page of it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from typing import Any

import numpy as np
from _bench import RESULTS, write
from _variants import Variant, variants

from neurodeploy import guarded, sources
from neurodeploy.config import BuildConfig
from neurodeploy.errors import NeurodeployError
from neurodeploy.frontends.libraries._base import LIBRARIES
from neurodeploy.inputs import samples
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph

#: of one variant, in a copy of the process
SECONDS, MEMORY = 240.0, 6 << 30
#: largest difference, of the largest output, of what is equal; in single precision only where the library itself has
#: no finite answer in double: it takes a softmax in single, and rows of which a window and padding hide everything
#: hold -1.8e308
NEAR = {"float64": 1e-6, "float32": 1e-4}
STATES = ("equal", "refused", "wrong", "error")
#: drawn by another seed than the import check's own
SEED = 20


def drawn(graph: Graph) -> Any:
    """Four raw inputs: noise, or token ids of which the last texts end in padding where the network hides it."""
    generator = np.random.default_rng(SEED)
    words = samples.tokens(graph)
    if words is None:
        return generator.integers(0, 256, (4, *interp.input_shape(graph)))
    length, vocabulary = words
    hidden = samples.hidden(graph)
    ids = generator.choice(np.setdiff1d(np.arange(vocabulary), hidden), (4, length))
    for text, shown in zip(ids, (length, length - 1, length // 2, 1), strict=True) if hidden else ():
        text[shown:] = hidden[0]
    return ids


def answers(variant: Variant, raw: Any, dtype: str) -> Any:
    """What the library itself says to raw inputs in a precision."""
    import torch

    kind = getattr(torch, dtype)
    torch.set_default_dtype(torch.float32)  # in which the weights were drawn
    prefix, _, name = variant.model.partition(":")
    library = LIBRARIES[prefix]
    built = library.build(name, library.configure({"pretrained": False, **variant.reader}))
    built.module.to(kind)
    torch.set_default_dtype(kind)
    if built.spec.tokens:
        x = torch.as_tensor(raw)
    else:
        scale, offset = (
            np.broadcast_to(level, built.spec.shape[-3:][:1]).reshape(
                -1, *(1,) * (len(built.spec.shape[-3:]) - 1)
            )
            for level in (built.spec.scale, built.spec.offset)
        )
        x = torch.as_tensor(raw * scale + offset, dtype=kind)
    with torch.no_grad():
        return (built.reference or built.module)(x).numpy()


def outcome(variant: Variant) -> dict[str, Any]:
    """State, what is refused and why, or how far outputs are apart."""
    asked = BuildConfig(
        model=variant.model, target="loihi-sim", reader={"pretrained": False, **variant.reader}
    )
    try:
        graph = sources.load(asked).graph
    except NeurodeployError as error:
        problems = [
            {"code": p.code, "cause": p.cause, "found": p.found, "where": p.where} for p in error.problems
        ]
        return {"state": "refused", "problems": problems}
    raw = drawn(graph)
    given = samples.one_hot(graph, raw) if samples.tokens(graph) else raw
    found = interp.run(graph, given).outputs[0]
    dtype, wanted = "float64", answers(variant, raw, "float64")
    if not np.isfinite(wanted).all():
        dtype, wanted = "float32", answers(variant, raw, "float32")
    alike = found.shape == wanted.shape and bool(np.isfinite(found).all())
    apart = float(np.abs(found - wanted).max() / max(float(np.abs(wanted).max()), 1e-30)) if alike else None
    state = "equal" if apart is not None and apart <= NEAR[dtype] else "wrong"
    padded = len(samples.hidden(graph)) > 0
    return {"state": state, "precision": dtype, "apart": apart, "padded": padded, "nodes": len(graph.nodes)}


def row(variant: Variant) -> dict[str, Any]:
    """What became of one variant."""
    start = time.monotonic()
    try:
        found = guarded.call(outcome, variant, seconds=SECONDS, memory=MEMORY)
    except guarded.Stopped as stopped:
        found = {
            "state": "error",
            "problems": [{"code": "", "cause": str(stopped), "found": "", "where": ""}],
        }
    seconds = round(time.monotonic() - start, 1)
    return {"name": variant.name, "kind": variant.kind, "family": variant.family, **found, "seconds": seconds}


def report() -> str:
    """Counts by kind, then every family with its state under each version of torch and what blocks it, in Markdown."""
    files = sorted(RESULTS.glob("library_models-*.json"))
    runs = {file.stem.partition("-")[2]: json.loads(file.read_text(encoding="utf-8")) for file in files}
    parts = []
    for run in runs.values():
        versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
        parts += [f"### With {versions}", _counts(run["rows"])]
    parts += ["### Families", _families(runs), "### What blocks the rest", _blocks(runs)]
    return "\n\n".join(parts)


def _counts(rows: list[dict[str, Any]]) -> str:
    listed = Counter(variant.kind for variant in variants())
    lines = ["| Kind | Listed | Run | Equal | Refused | Wrong | Error |", "|---|---|---|---|---|---|---|"]
    for kind in (*listed, "all"):
        found = Counter(row["state"] for row in rows if kind in (row["kind"], "all"))
        total = listed.total() if kind == "all" else listed[kind]
        states = " | ".join(str(found[state]) for state in STATES)
        lines.append(f"| {kind} | {total} | {found.total()} | {states} |")
    return "\n".join(lines)


def _families(runs: dict[str, Any]) -> str:
    """A line for each family: how many of its variants that were run are equal, under each version of torch."""
    lines = ["| Family | Kind | " + " | ".join(runs) + " |", "|---|---|" + "---|" * len(runs)]
    for family, kind in dict.fromkeys((variant.family, variant.kind) for variant in variants()):
        cells = []
        for run in runs.values():
            states = [row["state"] for row in run["rows"] if (row["family"], row["kind"]) == (family, kind)]
            cells.append(f"{states.count('equal')} of {len(states)}" if states else "not run")
        lines.append(f"| {family.removeprefix(kind).strip()} | {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _blocks(runs: dict[str, Any]) -> str:
    """A line for each reason, the most frequent first: the first problem of every variant that is not equal."""
    blocked: dict[str, dict[str, None]] = {}
    for run in runs.values():
        for row in run["rows"]:
            if row["state"] != "equal":
                first = row.get("problems", [{"code": "", "cause": row["state"], "found": ""}])[0]
                reason = f"{first['code']} {first['cause']}"
                if first["code"] == "ND101" and first["found"]:
                    reason += f": {first['found'][:60]}"
                blocked.setdefault(reason.strip(), {})[row["name"]] = None
    lines = ["| Reason | Variants |", "|---|---|"]
    for reason, names in sorted(blocked.items(), key=lambda item: -len(item[1])):
        lines.append(f"| {reason.replace('|', chr(92) + '|')} | {', '.join(names)} |")
    return "\n".join(lines)


def main() -> None:
    """Import those that were chosen and keep their rows."""
    import timm
    import torch
    import torchvision
    import transformers

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="variants (default: all without a row)")
    parser.add_argument("--kind", nargs="*", help="text, timm, vision, audio, torchvision")
    parser.add_argument("--again", nargs="*", default=[], help="states of which rows are made anew")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="begin no further one after so long"
    )
    chosen = parser.parse_args()
    version = torch.__version__.partition("+")[0]
    name = f"library_models-{version}"
    path = RESULTS / f"{name}.json"
    kept = {old["name"]: old for old in json.loads(path.read_text())["rows"]} if path.is_file() else {}
    rows, todo = {}, []
    for variant in variants():
        old = kept.get(variant.name)
        if old is not None:
            rows[variant.name] = old
        fresh = variant.name in chosen.names if chosen.names else old is None or old["state"] in chosen.again
        if fresh and (not chosen.kind or variant.kind in chosen.kind):
            todo.append(variant)
    versions = {m.__name__: m.__version__.partition("+")[0] for m in (torch, timm, transformers, torchvision)}
    torch.set_num_threads(1)
    end = time.monotonic() + chosen.seconds
    for variant in todo:
        if time.monotonic() > end:
            break
        rows[variant.name] = made = row(variant)
        first = made.get("problems", [{"code": "", "cause": "", "found": ""}])[0]
        print(
            made["state"],
            variant.kind,
            variant.name,
            first["code"],
            first["cause"],
            first["found"],
            flush=True,
        )
        order = [rows[v.name] for v in variants() if v.name in rows]
        write(name, {"versions": versions, "rows": order})
    print(Counter(made["state"] for made in rows.values()))


if __name__ == "__main__":
    main()
