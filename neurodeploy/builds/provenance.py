"""What somebody needs to get the same numbers: versions, seeds and hashes; neither time nor place."""

from __future__ import annotations

import platform

from .. import __version__
from ..artifact import Artifact
from ..registry import version
from ..rooms import distributions
from ..target import Target
from .converted import Converted
from .evaluated import Evaluated
from .imported import Imported
from .result import Results


def provenance_of(results: Results, saved: Artifact, target: Target) -> dict[str, object]:
    """JSON-able; ``saved`` holds the graphs of the results."""
    found = results[Imported]
    converted, evaluated = results.get(Converted), results.get(Evaluated)
    graphs = {"source": saved.source, "spiking": saved.spiking, "integer": saved.integer}
    return {
        "neurodeploy": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
        "seed": found.config.seed,
        "config_sha256": found.config.digest(),
        "network_sha256": found.config.network_digest(),
        "mapping_sha256": found.given.sha256,
        "target": target.name,
        "target_sha256": target.sha256,
        "data": found.data.name if found.data else None,
        "data_spec": found.config.data,
        "data_loader": dict(found.config.loader),
        "data_sha256": found.data.hash if found.data else None,
        "tokenizer": found.tokenizer,
        "input": dict(found.stimulus.facts()),
        "model": found.config.model,
        "preset": converted.preset if converted else "",
        "graphs_sha256": {name: graph.content_hash() for name, graph in graphs.items() if graph is not None},
        "evaluation": dict(evaluated.counts) if evaluated else {},
        "command": "neurodeploy build --config build.toml",
    }


def versions() -> dict[str, str]:
    """Installed versions of the libraries that can change a number."""
    return {name: found for name in distributions() if (found := version(name))}
