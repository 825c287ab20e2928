"""Makes what ships for machines without torch and scikit-learn: ``python models/ship.py [NAME ...]``.

The source graph of every trained model, or of those named, as torch makes it, and the images of the digits. A file
stays as it is where it holds the same; tests compare both with what torch and scikit-learn say.
"""

from __future__ import annotations

import sys

import numpy as np

from neurodeploy import archives, bundled, datasets
from neurodeploy.errors import NeurodeployError
from neurodeploy.frontends.proof.types import ImportCheck
from neurodeploy.ir.graph import Graph
from neurodeploy.sources import cache, resolve, shipped, zoo


def graph(name: str) -> tuple[Graph, ImportCheck]:
    """A model's source graph before any pass, and what it was compared with the module on."""
    entry = zoo.entry(name)
    try:
        data: datasets.DataSet | None = datasets.load(entry.dataset, entry.loader)
    except NeurodeployError:  # data that do not ship
        data = None
    loaded = resolve.by_torch(entry)
    found = cache.imported(resolve.resolve(name), data, compare=True, loaded=loaded)
    if found[2] is None:
        raise SystemExit(f"{name}: nothing was compared")
    return loaded.graph, found[2]


def digits() -> bytes:
    """scikit-learn's images (N, 8, 8) of 0 .. 16 and their labels."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    return archives.packed({"images": raw.images.astype(np.uint8), "labels": raw.target.astype(np.uint8)})


def main(names: list[str]) -> None:
    """Write what is not there or holds something else."""
    file = bundled.path("models") / "data" / "digits.npz"
    if not names and not file.exists():
        file.write_bytes(digits())
        print(f"{file.name}: written; its hash belongs into neurodeploy/datasets/_digits.py")
    for name in names or [name for name in zoo.names() if zoo.entry(name).trained]:
        print(f"{name}: {'written' if shipped.write(name, *graph(name)) else 'as it was'}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
