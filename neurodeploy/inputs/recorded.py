"""What a finished build was measured on, found again from what its artifact recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import artifact, datasets, handed
from ..array import Array
from ..artifact import Artifact
from ..datasets import DataSet
from ..datasets import texts as text_files
from ..errors import Problem, UsageError
from ..ir.graph import Graph
from . import texts
from .arrays import checked_input, read_array
from .fitting import require_fit
from .samples import SPIKE_RATE, SYNTHETIC, Recorded, Synthetic


@dataclass(frozen=True, eq=False)
class Record:
    """The inputs of the build whose artifact was read from ``place``."""

    artifact: Artifact
    place: str | Path

    @property
    def synthetic(self) -> Mapping[str, Any]:
        """What the build says of its synthetic input; empty where it had data."""
        ran_on = self.artifact.provenance.get("input")
        return ran_on if isinstance(ran_on, Mapping) and ran_on.get("kind") == "synthetic" else {}

    @property
    def label(self) -> str:
        """What numbers that depend on activity are called: "synthetic input", or empty where there were data."""
        return SYNTHETIC if self.synthetic else ""

    @property
    def tokenizer(self) -> str:
        """The tokenizer of the build; UsageError ND947 where the artifact holds no path."""
        place = self.artifact.provenance.get("tokenizer", "")
        if not isinstance(place, str):
            raise self._unexpected("tokenizer", repr(place)[:120], "a path")
        return place

    def given(self, x: Array | str | Path) -> Array:
        """Raw inputs from an array, a ``.npy`` file, or a file of texts; errors of its reader, ND601 .. ND607."""
        graph = self.artifact.program.graph
        if isinstance(x, (str, Path)):
            x = self._ids(graph, str(x)) if text_files.accepts(str(x)) else read_array(Path(x))
        return checked_input(graph, x)

    def measured_on(self, samples: int, data: str = "") -> Array:
        """Raw inputs (B, *input) of ``data``, or else of what the build was measured on.

        UsageError ND935 where its data are not found again, ND936 where they have changed, ND933 where ``data`` do not
        fit the network.
        """
        noise = self._noise(self.artifact.program.graph) if self.synthetic and not data else None
        return (noise or self.recorded(data)).measurement(samples)[0]

    def recorded(self, data: str = "") -> Recorded:
        """The samples of ``data``, or else of those of the build; errors of :meth:`measured_on`."""
        graph = self.artifact.program.graph
        found = datasets.load(data, self._loader(data)) if data else self._data()
        if found.texts:
            found, _ = texts.tokenised(found, graph, self.tokenizer)
        require_fit(graph, found)
        return Recorded(graph, found)

    def measurable(self, samples: int) -> tuple[Array, str]:
        """As :meth:`measured_on`, and synthetic input where the data of the build are gone; with its label."""
        try:
            return self.measured_on(samples), self.label
        except UsageError:
            return Synthetic(self.artifact.program.graph).measurement(samples)[0], SYNTHETIC

    def _ids(self, graph: Graph, spec: str) -> Array:
        """Token ids of the texts of a file, by the tokenizer of the build."""
        rows = [(where, text) for where, text, _ in text_files.read(spec)]
        return texts.ids(rows, spec, graph, self.tokenizer)

    def _noise(self, graph: Graph) -> Synthetic:
        rate, seed = self.synthetic.get("spike_rate", SPIKE_RATE), self.synthetic.get("seed", 0)
        rate = SPIKE_RATE if rate is None else rate
        if not (isinstance(rate, (int, float)) and 0 <= rate <= 1 and isinstance(seed, int) and seed >= 0):
            raise self._unexpected("input", f"seed {seed!r}, rate {rate!r}"[:120], "numbers")
        return Synthetic(graph, seed, rate)

    def _data(self) -> DataSet:
        """The data of the build, found again as they were named then."""
        provenance, where = self.artifact.provenance, str(self.place)
        spec, recorded = provenance.get("data_spec") or provenance.get("data"), provenance.get("data_sha256")
        spec, advice = str(spec or ""), (f"neurodeploy verify {where} --data SPEC",)
        handed.take(artifact.place(self.place).parent, [spec])
        try:
            found = datasets.load(spec, self._loader(spec))
        except UsageError as error:
            cause = "the data that the network was built on cannot be found here"
            reason = f"{spec or 'no name'}: {error.problems[0].cause}"
            raise UsageError(Problem("ND935", cause, where, reason, fixes=advice)) from error
        if recorded and found.hash != recorded:
            cause = f"{spec} is no longer the data that the network was built on"
            limit = f"sha256 {str(recorded)[:12]}"
            raise UsageError(Problem("ND936", cause, where, f"sha256 {found.hash[:12]}", limit, advice))
        return found

    def _loader(self, spec: str) -> Mapping[str, Any]:
        """The options that the build gave the format of its data, for data whose format has any."""
        found = self.artifact.provenance.get("data_loader", {})
        if not isinstance(found, Mapping):
            raise self._unexpected("data_loader", repr(found)[:120], "a table")
        return found if datasets.takes_options(spec) else {}

    def _unexpected(self, key: str, found: str, limit: str) -> UsageError:
        place = f"{self.place} /provenance: {key}"
        return UsageError(Problem("ND947", "a section holds something unexpected", place, found, limit))
